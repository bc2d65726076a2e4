//! Serves connections of the control socket, and of the console, each in bounded time and all of them in bounded number,
//! whatever callers do.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::Request;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::connections::{Busy, Connections, Place};
use crate::descriptors;
use crate::events;

/// How long to wait after a failed `accept` that no connection could give way to.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that is told to end may take between two looks at whether it is idle.
const LINGER: Duration = Duration::from_millis(50);

/// Connections that are being told that there are too many, at most; more are closed without a word.
const REFUSALS: usize = 16;

/// How long such a connection may take.
const REFUSAL: Duration = Duration::from_secs(5);

/// How long a connection may wait for, or take to send, the head of its next request.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections.
    pub(crate) connections: usize,
    /// [`HEAD_PATIENCE`].
    pub(crate) head: Duration,
    /// After so long a connection is asked to end, and after as long again it is ended: whoever does not read what was
    /// answered holds no place for ever. `None` where answers may last, as watches do.
    pub(crate) life: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: descriptors::share(256, 2), head: HEAD_PATIENCE, life: None }
    }
}

/// Takes connections.
pub(crate) trait Listen: AsFd + Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one.
    fn take(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn take(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listen for Arc<TcpListener> {
    type Stream = TcpStream;

    async fn take(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Serves until `stop` is cancelled; then lets every request that has come be answered, and returns.
///
/// `router` answers; `refuse` answers when there are too many connections and none is idle.
pub(crate) async fn serve<L: Listen>(
    listener: L,
    router: Router,
    refuse: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let connections = Arc::new(Connections::default());
    let refusals = Arc::new(Semaphore::new(REFUSALS.min(limits.connections)));
    let mut tasks = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.take()).await {
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok(stream) => match connections.enter(limits.connections) {
                Some(place) => {
                    let serving = serve_one(stream, router.clone(), Arc::new(place), limits, stop.clone());
                    tasks.spawn(serving.in_current_span());
                }
                None => {
                    if let Ok(permit) = refusals.clone().try_acquire_owned() {
                        let (refuse, stop) = (refuse.clone(), stop.clone());
                        tasks.spawn(async move {
                            stop.run_until_cancelled(refuse_one(stream, refuse)).await;
                            drop(permit);
                        });
                    }
                }
            },
            // Without descriptors the system says so even when nobody has come.
            Err(_) if !somebody_waits(&listener) => {
                stop.run_until_cancelled(sleep(PAUSE)).await;
            }
            Err(error) => {
                let makes_way = connections.make_way();
                events::control_accept_failed(&error, makes_way);
                // Whoever gives way needs a moment for it, too.
                stop.run_until_cancelled(sleep(PAUSE)).await;
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Whether a connection waits to be taken.
fn somebody_waits(listener: &impl AsFd) -> bool {
    let mut listener = [PollFd::new(listener, PollFlags::IN)];
    // A question that fails is answered as if somebody did: then the error is told.
    poll(&mut listener, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

async fn serve_one<S>(stream: S, router: Router, place: Arc<Place>, limits: Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answers = TowerToHyperService::new(router);
    let holder = place.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = holder.busy();
        let answer = answers.call(request);
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Held { body, _busy: busy })) }
    });
    let mut builder = undated();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let told_to_end = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = place.give_way.cancelled() => {}
            () = end_of(limits.life) => {}
        }
    };
    tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        () = told_to_end => {}
    }
    connection.as_mut().graceful_shutdown();
    let mut hard_end = pin!(end_of(limits.life));
    loop {
        let waited = tokio::select! {
            waited = timeout(LINGER, connection.as_mut()) => waited,
            () = hard_end.as_mut() => return,
        };
        match waited {
            Ok(ended) => return log_end(ended),
            // Half a head may stand there for ever; a request will be answered.
            Err(_elapsed) if place.is_idle() => return,
            Err(_elapsed) => {}
        }
    }
}

/// Completes when a life is over.
async fn end_of(life: Option<Duration>) {
    match life {
        Some(life) => sleep(life).await,
        None => std::future::pending().await,
    }
}

/// Answers without a `Date`: hyper cannot write one while the clock stands before 1970, as that of a machine without a
/// battery may, and gives up the connection.
fn undated() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.auto_date_header(false);
    builder
}

async fn refuse_one(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, refuse: Router) {
    let answers = TowerToHyperService::new(refuse);
    let service = service_fn(move |request: Request<Incoming>| answers.call(request));
    let mut builder = undated();
    builder.keep_alive(false);
    match timeout(REFUSAL, builder.serve_connection(TokioIo::new(stream), service)).await {
        Ok(ended) => log_end(ended),
        Err(_elapsed) => tracing::debug!("a connection that was to be refused asked for nothing"),
    }
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "control connection ended");
    }
}

/// The body of an answer: while it lasts, its connection is busy.
struct Held {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
