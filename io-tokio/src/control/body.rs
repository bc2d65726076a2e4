//! The bodies of requests: read whole, in bounded time, and all of them together in bounded memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use softadastra_core::error::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::fault::Fault;
use super::server::{Refused, Shared, failed};
use crate::ndjson;

/// The greatest body: a line of the greatest length, and room for what comes before it in a batch.
pub(super) const MOST: usize = ndjson::MAX_LINE_LEN + (16 << 20);

/// Bodies up to this length wait for no room: there are no more of them than connections.
const SMALL: usize = 64 << 10;

/// Room for the bodies that are being read and carried out.
#[derive(Clone, Debug)]
pub(super) struct Room {
    bytes: Arc<Semaphore>,
    most: usize,
    patience: Duration,
}

impl Room {
    /// Room for `total` bytes at once, and `most` for each body, which must be there within `patience`.
    pub(super) fn new(total: usize, most: usize, patience: Duration) -> Self {
        assert!(most <= total, "a body that never finds room");
        Self { bytes: Arc::new(Semaphore::new(total)), most, patience }
    }

    /// Reads a body once there is room for all of it.
    async fn read(&self, body: Body) -> Result<Whole, Response> {
        let hint = body.size_hint();
        if hint.lower() > self.most as u64 {
            return Err(self.too_long());
        }
        // One that does not say how long it is may become as long as any.
        let len = hint.upper().and_then(|upper| usize::try_from(upper).ok()).unwrap_or(self.most).min(self.most);
        let permits = if len > SMALL { u32::try_from(len).unwrap_or(u32::MAX) } else { 0 };
        let room = timeout(self.patience, self.bytes.clone().acquire_many_owned(permits)).await;
        let Ok(Ok(room)) = room else {
            let what = "the bodies of other requests take all the room there is for them";
            return Err(Refused::from(Fault::new(Code::Overloaded, what, "try again in a moment")).into_response());
        };
        match timeout(self.patience, self.collect(body)).await {
            Ok(read) => Ok(Whole { bytes: read?, _room: room }),
            Err(_elapsed) => {
                let what = format!("the body was not there after {:?}", self.patience);
                let next = "send it at once, or in smaller requests";
                Err(failed(StatusCode::REQUEST_TIMEOUT, Fault::new(Code::IoError, what, next)))
            }
        }
    }

    async fn collect(&self, mut body: Body) -> Result<Bytes, Response> {
        let expected = body.size_hint().exact().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        let mut read = BytesMut::with_capacity(expected);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let fault = Fault::new(Code::IoError, format!("the body broke off: {error}"), "send it again");
                failed(StatusCode::BAD_REQUEST, fault)
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if read.len() + data.len() > self.most {
                return Err(self.too_long());
            }
            read.extend_from_slice(&data);
        }
        Ok(read.freeze())
    }

    fn too_long(&self) -> Response {
        let what = format!("the body has more than {} bytes", self.most);
        failed(StatusCode::PAYLOAD_TOO_LARGE, Fault::new(Code::InvalidArgument, what, "send it in parts"))
    }
}

/// A whole body. Its room is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl FromRequest<Shared> for Whole {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Response> {
        shared.bodies.read(request.into_body()).await
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use tokio::task::JoinSet;

    use super::*;

    const KIB: usize = 1 << 10;
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A body that counts what has been read of it, and never ends.
    fn endless(read: &Arc<AtomicUsize>) -> Body {
        let read = read.clone();
        Body::from_stream(stream::unfold((), move |()| {
            let before = read.fetch_add(KIB, Ordering::Relaxed);
            async move {
                if before >= 500 * KIB {
                    std::future::pending::<()>().await;
                }
                Some((Ok::<_, Infallible>(Bytes::from(vec![b'x'; KIB])), ()))
            }
        }))
    }

    async fn status_and_text(response: Response) -> (StatusCode, String) {
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_beyond_the_room_wait_unread_and_are_refused_in_time() {
        let room = Room::new(1000 * KIB, 600 * KIB, PATIENCE);
        let read = Arc::new(AtomicUsize::new(0));
        let mut readers = JoinSet::new();
        for _ in 0..8 {
            let (room, body) = (room.clone(), endless(&read));
            readers.spawn(async move { room.read(body).await });
        }
        let mut told = Vec::new();
        while let Some(ended) = readers.join_next().await {
            let (status, text) = status_and_text(ended.unwrap().unwrap_err()).await;
            assert!(read.load(Ordering::Relaxed) <= 2 * 502 * KIB, "one at a time, and one after the other");
            told.push((status.as_u16(), text.contains("\"overloaded\"")));
        }
        told.sort_unstable();
        // The first is given up; whoever then finds room is given up as well, a patience later.
        assert_eq!(told.iter().filter(|told| **told == (429, true)).count(), told.len() - 2, "{told:?}");
        assert_eq!(told.iter().filter(|told| **told == (408, false)).count(), 2, "{told:?}");
        assert_eq!(room.bytes.available_permits(), 1000 * KIB);
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_body_waits_for_nobody() {
        let room = Room::new(100 * KIB, 100 * KIB, PATIENCE);
        let whole = room.read(Body::from(vec![1; 100 * KIB])).await.unwrap();
        let small = room.read(Body::from("v")).await.unwrap();
        assert_eq!((whole.bytes.len(), &small.bytes[..]), (100 * KIB, &b"v"[..]));
        drop(whole);
        assert!(room.read(Body::from(vec![1; 90 * KIB])).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused_whether_it_says_so_or_not() {
        let room = Room::new(100 * KIB, 100 * KIB, PATIENCE);
        let read = Arc::new(AtomicUsize::new(0));
        for body in [Body::from(vec![1; 100 * KIB + 1]), endless(&read)] {
            let (status, text) = status_and_text(room.read(body).await.unwrap_err()).await;
            assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(text.contains("more than 102400 bytes"), "{text}");
        }
        assert!(read.load(Ordering::Relaxed) <= 102 * KIB);
    }
}
