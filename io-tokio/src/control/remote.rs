//! Asks the node that runs on a data directory, over its control socket.

mod discovery;
mod network;
mod patience;

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use softadastra_core::error::{Code, LocalState};
use tokio::time::Instant;

pub use self::patience::PATIENCE;
use self::patience::Patience;
use super::answer::{
    Backup, Batch, Change, Console, Contains, Envelope, ErrorEnvelope, Log, Node, Page, Put, Record, Removed, Size,
    Snapshot, Status,
};
use super::backend::{Backend, Changes, Scan};
use super::fault::Fault;
use super::query::Target;
use super::serving::HEAD_PATIENCE;
use super::{local, socket};
use crate::{data_dir, ndjson};

/// A connection to a running node.
#[derive(Debug)]
pub struct Remote {
    patience: Patience,
    sender: Sender,
    last_used: Instant,
}

/// A connection that was not used for this long is not used again: the node may be about to close it, and a request on
/// its way at that moment would be lost.
const FRESH: Duration = Duration::from_secs(20);
const _: () = assert!(FRESH.as_secs() < HEAD_PATIENCE.as_secs());

type Sender = SendRequest<Full<Bytes>>;

/// What becomes of local data when the answer to a request is lost.
#[derive(Clone, Copy)]
enum Kind {
    Read,
    Write,
    /// Something about links or delivery: no value depends on it.
    Order,
    /// It takes as long as there is data; no value depends on it.
    Work,
}

impl Remote {
    /// Connects to the node on this data directory; `None` when none runs there.
    ///
    /// # Errors
    /// When there is a socket but this user may not use it.
    pub async fn connect(dir: &Path) -> Result<Option<Self>, Fault> {
        let patience = Patience::with(dir);
        Ok(Self::reach(dir).await?.map(|sender| Self { patience, sender, last_used: Instant::now() }))
    }

    /// The same, waiting so long for each answer; `None` for as long as it takes.
    #[must_use]
    pub fn within(mut self, limit: Option<Duration>) -> Self {
        self.patience.limit = limit;
        self
    }

    async fn reach(dir: &Path) -> Result<Option<Sender>, Fault> {
        let stream = match socket::connect(dir).await {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => {
                let me = rustix::process::geteuid().as_raw();
                return Err(match std::fs::metadata(dir).map(|meta| data_dir::check_owner(dir, &meta, me)) {
                    Ok(Err(foreign)) => foreign.into(),
                    Ok(Ok(())) | Err(_) => Fault::io(format_args!("reach the node on {}", dir.display()), &error),
                });
            }
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(Kind::Read, &error))?;
        // Whoever waits for an answer learns from its own half that the connection broke.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "control connection ended")
            }
        });
        Ok(Some(sender))
    }

    /// Sends a request, over a new connection if the present one is closed or may soon be.
    async fn deliver(&mut self, kind: Kind, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Fault> {
        let stale = self.last_used.elapsed() >= FRESH;
        if stale || self.sender.ready().await.is_err() {
            let gone = || Fault::new(Code::IoError, "the node went away", "try again when it runs");
            self.sender = Self::reach(&self.patience.dir).await?.ok_or_else(gone)?;
        }
        let answer = self.sender.send_request(request).await.map_err(|error| lost(kind, &error));
        self.last_used = Instant::now();
        answer
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        kind: Kind,
        method: Method,
        target: &Target,
        body: Bytes,
    ) -> Result<T, Fault> {
        let patience = self.patience.clone();
        let answer = async {
            let response = self.send(kind, method, target, body).await?;
            response.into_body().collect().await.map_err(|error| lost(kind, &error))
        };
        let body = patience.wait(kind, answer).await?.to_bytes();
        let envelope: Envelope<T> = serde_json::from_slice(&body).map_err(|error| unreadable(&error))?;
        Ok(envelope.data)
    }

    async fn send(
        &mut self,
        kind: Kind,
        method: Method,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Incoming>, Fault> {
        let request = Request::builder()
            .method(method)
            .uri(target.as_str())
            .header(hyper::header::HOST, "softadastra")
            .body(Full::new(body))
            // A target is percent-encoded; only its length can be wrong.
            .map_err(|_too_long| {
                Fault::new(
                    Code::InvalidArgument,
                    format!("a key or prefix that takes {} bytes to ask for is too long", target.as_str().len()),
                    "keys have at most 1024 bytes",
                )
            })?;
        let response = self.deliver(kind, request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| lost(kind, &error))?.to_bytes();
        match serde_json::from_slice::<ErrorEnvelope>(&body) {
            Ok(envelope) => Err(envelope.error),
            Err(_other) => Err(Fault::new(
                Code::InternalError,
                format!("the node answered {} {}: {}", target.as_str(), status, String::from_utf8_lossy(&body).trim()),
                "check that node and command line are of one version",
            )),
        }
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory)
}

fn lost(kind: Kind, error: &dyn std::error::Error) -> Fault {
    let message = format!("the node went away before it answered: {error}");
    match kind {
        Kind::Read | Kind::Work => Fault::new(Code::IoError, message, "try again"),
        Kind::Order => Fault::new(Code::IoError, message, "it may have been done: look, and try again"),
        Kind::Write => Fault {
            local_state: LocalState::Unknown.as_str().to_owned(),
            ..Fault::new(Code::Unknown, message, "read the key when the node is back")
        },
    }
}

fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::new(
        Code::InternalError,
        format!("the node's answer cannot be read: {error}"),
        "check that node and command line are of one version",
    )
}

impl Backend for Remote {
    type Watch = RemoteWatch;

    async fn put(&mut self, key: Bytes, value: Bytes, if_version: Option<u64>) -> Result<Put, Fault> {
        let target = Target::new("/v1/store/value").with("key", &key).with_number("if_version", if_version);
        self.call(Kind::Write, Method::PUT, &target, value).await
    }

    async fn get(&mut self, key: Bytes) -> Result<Record, Fault> {
        let target = Target::new("/v1/store/value").with("key", &key);
        self.call(Kind::Read, Method::GET, &target, Bytes::new()).await
    }

    async fn remove(&mut self, key: Bytes) -> Result<Removed, Fault> {
        let target = Target::new("/v1/store/value").with("key", &key);
        self.call(Kind::Write, Method::DELETE, &target, Bytes::new()).await
    }

    async fn contains(&mut self, key: Bytes) -> Result<Contains, Fault> {
        let target = Target::new("/v1/store/contains").with("key", &key);
        self.call(Kind::Read, Method::GET, &target, Bytes::new()).await
    }

    async fn scan(&mut self, scan: &Scan) -> Result<Page, Fault> {
        let mut target = Target::new("/v1/store/list").with("prefix", &scan.prefix);
        if let Some(after) = &scan.after {
            target = target.with("after", after);
        }
        let target = target.with_number("limit", Some(scan.limit as u64));
        self.call(Kind::Read, Method::GET, &target, Bytes::new()).await
    }

    async fn size(&mut self) -> Result<Size, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/store/size"), Bytes::new()).await
    }

    async fn batch(&mut self, records: &[(Bytes, Bytes)]) -> Result<Batch, Fault> {
        let mut body = Vec::new();
        for (key, value) in records {
            ndjson::write_line(&mut body, key, value);
        }
        self.call(Kind::Write, Method::POST, &Target::new("/v1/store/batch"), body.into()).await
    }

    async fn watch(&mut self, prefix: Bytes, from: Option<u64>) -> Result<RemoteWatch, Fault> {
        let target = Target::new("/v1/store/watch").with("prefix", &prefix).with_number("from", from);
        let patience = self.patience.clone();
        let response = patience.wait(Kind::Read, self.send(Kind::Read, Method::GET, &target, Bytes::new())).await?;
        Ok(RemoteWatch { body: response.into_body(), read: BytesMut::new() })
    }

    async fn status(&mut self) -> Result<Status, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/status"), Bytes::new()).await
    }

    async fn node(&mut self) -> Result<Node, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/node"), Bytes::new()).await
    }

    async fn console(&mut self) -> Result<Console, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/console"), Bytes::new()).await
    }

    async fn snapshot(&mut self) -> Result<Snapshot, Fault> {
        self.call(Kind::Work, Method::POST, &Target::new("/v1/snapshot"), Bytes::new()).await
    }

    async fn backup(&mut self, dir: &Path) -> Result<Backup, Fault> {
        let target = Target::new("/v1/backup").with("dir", dir.as_os_str().as_bytes());
        self.call(Kind::Work, Method::POST, &target, Bytes::new()).await
    }

    async fn log(&mut self) -> Result<Log, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/wal"), Bytes::new()).await
    }

    async fn close(self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A watch at a running node: one change a line.
#[derive(Debug)]
pub struct RemoteWatch {
    body: Incoming,
    read: BytesMut,
}

impl Changes for RemoteWatch {
    async fn next(&mut self) -> Result<Change, Fault> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.read.iter().skip(searched).position(|&b| b == b'\n') {
                let line = self.read.split_to(searched + end + 1);
                let envelope: Envelope<Change> = serde_json::from_slice(&line).map_err(|error| unreadable(&error))?;
                return Ok(envelope.data);
            }
            searched = self.read.len();
            let frame = self.body.frame().await.ok_or_else(local::stopped)?.map_err(|_broken| local::stopped())?;
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::task::JoinSet;

    use super::*;
    use crate::held_dir::HeldDir;

    async fn answer(mut stream: UnixStream, nth: usize) {
        let body = format!(
            "{{\"schema\":\"softadastra.size/1\",\"data\":{{\"keys\":{nth},\"tombstones\":0,\"live_bytes\":0}}}}"
        );
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut request = [0; 4096];
        while stream.read(&mut request).await.unwrap() > 0 {
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_is_renewed_before_the_node_gives_it_up() {
        let dir = tempfile::tempdir().unwrap();
        let listener = socket::listen(&HeldDir::open(dir.path()).unwrap()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut answering = JoinSet::new();
            for nth in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                answering.spawn(answer(stream, nth));
            }
        });
        let mut remote = Remote::connect(dir.path()).await.unwrap().unwrap();
        let mut asked = Vec::new();
        tokio::time::pause();
        for pause in [0, 19, 1, 20, 19] {
            tokio::time::advance(Duration::from_secs(pause)).await;
            asked.push(remote.size().await.unwrap().keys);
        }
        assert_eq!(asked, [1, 1, 1, 2, 2], "the number of the connection that answered");
    }
}
