//! The router that a running node serves on its control socket: HTTP/1.1 and JSON, so that what a person can reach
//! with `curl --unix-socket DIR/control.sock http://node/v1/status`, a program can. `docs/json.md` lists the routes.

mod discovery;
mod network;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use softadastra_core::error::Code;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, ErrorEnvelope};
use super::backend::{Backend, Changes, PAGE_RECORDS, Scan};
use super::body::{self, Room, Whole};
use super::fault::Fault;
use super::local::{Local, LocalWatch};
use super::query::Query;
use super::serving::{self, Limits};
use super::{SOCKET_NAME, socket};
use crate::driver::nothing_on_disk;
use crate::held_dir::HeldDir;
use crate::{Client, events, ndjson};

/// The most bytes of bodies that are held at once, those of small ones left out.
const BODIES: usize = 256 << 20;

/// How long a body may take to come, and to wait for room.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// A control socket that listens. Dropping it removes the socket.
#[derive(Debug)]
pub struct Server {
    listener: Option<UnixListener>,
    dir: Arc<HeldDir>,
}

impl Server {
    /// Creates the control socket of the client's data directory.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the client has no data directory; [`Code::IoError`] when the socket cannot be created.
    pub fn bind(client: &Client) -> Result<Self, Fault> {
        let dir = client.held_dir().cloned().ok_or_else(nothing_on_disk)?;
        let path = dir.path().join(SOCKET_NAME);
        let listener = socket::listen(&dir)
            .map_err(|error| Fault::io(format_args!("create the control socket {}", path.display()), &error))?;
        Ok(Self { listener: Some(listener), dir })
    }

    /// Serves until `stop` is cancelled; then finishes what is being answered, ends watches, and returns.
    pub async fn serve(mut self, local: Local, stop: CancellationToken) {
        let listener = self.listener.take().expect("a server is served once");
        let bodies = Room::new(BODIES, body::MOST, BODY_PATIENCE);
        let shared = Shared { local, stop: stop.clone(), bodies };
        serving::serve(listener, router(shared), too_many(), Limits::default(), stop).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = socket::remove(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.path().display(), "control socket left behind");
        }
    }
}

/// What every request has at hand.
#[derive(Clone)]
pub(super) struct Shared {
    local: Local,
    stop: CancellationToken,
    pub(super) bodies: Room,
}

/// Those of the routes that a console in a browser may use: it looks, settles conflicts and hurries delivery. What hands out
/// secrets, writes files or changes whom the node trusts stays with the control socket.
pub(crate) fn for_the_console(local: Local, stop: CancellationToken) -> Router {
    const BODIES: usize = 8 << 20;
    const MOST: usize = 2 << 20;
    let shared = Shared { local, stop, bodies: Room::new(BODIES, MOST, Duration::from_secs(10)) };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/node", get(node))
        .route("/v1/store/value", get(value))
        .route("/v1/store/list", get(list))
        .merge(network::routes_of_the_console())
        .with_state(shared)
}

/// Answers when there are too many connections.
fn too_many() -> Router {
    Router::new().fallback(|| async {
        let what = "all connections that the node takes are in use";
        Refused(Fault::new(Code::Overloaded, what, "end some of them (a watch keeps its own), or try again"))
            .into_response()
    })
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/node", get(node))
        .route("/v1/store/value", get(value).put(put).delete(remove))
        .route("/v1/store/contains", get(contains))
        .route("/v1/store/size", get(size))
        .route("/v1/store/list", get(list))
        .route("/v1/store/batch", post(batch))
        .route("/v1/store/watch", get(watch))
        .route("/v1/wal", get(wal))
        .route("/v1/snapshot", post(snapshot))
        .route("/v1/backup", post(backup))
        .route("/v1/console", get(console))
        .merge(network::routes())
        .merge(discovery::routes())
        .fallback(|| async { Refused(Fault::new(Code::NotFound, "no such route", "see docs/json.md")).into_response() })
        .method_not_allowed_fallback(|| async {
            let fault = Fault::new(Code::InvalidArgument, "this route has other methods", "see docs/json.md");
            failed(StatusCode::METHOD_NOT_ALLOWED, fault)
        })
        .with_state(shared)
}

/// An answer as a document.
struct Answered<T>(T);

impl<T: Answer> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        document(StatusCode::OK, &self.0.envelope())
    }
}

/// A fault as a document, under the HTTP status that comes nearest.
pub(super) struct Refused(Fault);

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match Code::from_name(&self.0.code) {
            Some(Code::InvalidArgument) => StatusCode::BAD_REQUEST,
            Some(Code::NotFound) => StatusCode::NOT_FOUND,
            Some(Code::VersionMismatch | Code::AlreadyExists | Code::InvalidState | Code::Locked) => {
                StatusCode::CONFLICT
            }
            Some(Code::Overloaded) => StatusCode::TOO_MANY_REQUESTS,
            Some(Code::Degraded) => StatusCode::SERVICE_UNAVAILABLE,
            Some(Code::DiskFull) => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        failed(status, self.0)
    }
}

/// A fault as a document, under this HTTP status.
pub(crate) fn failed(status: StatusCode, fault: Fault) -> Response {
    document(status, &ErrorEnvelope::new(fault))
}

fn document<T: serde::Serialize>(status: StatusCode, document: &T) -> Response {
    let mut body = serde_json::to_vec(document).expect("answers are trees of text and numbers");
    body.push(b'\n');
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

type Answers<T> = Result<Answered<T>, Refused>;

async fn status(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Status> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.status().await?))
}

async fn node(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Node> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.node().await?))
}

/// The value as JSON, or its bytes alone for who accepts `application/octet-stream`.
async fn value(
    State(mut shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let mut query = Query::parse(query.as_deref());
    let key = query.take_needed("key")?;
    query.finish()?;
    let record = shared.local.get(key).await?;
    let raw = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/octet-stream");
    if raw {
        return Ok(([(CONTENT_TYPE, "application/octet-stream")], record.value).into_response());
    }
    Ok(Answered(record).into_response())
}

async fn put(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<super::answer::Put> {
    let mut query = Query::parse(query.as_deref());
    let key = query.take_needed("key")?;
    let if_version = query.take_number("if_version")?;
    query.finish()?;
    Ok(Answered(shared.local.put(key, body.bytes.clone(), if_version).await?))
}

async fn remove(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Removed> {
    let mut query = Query::parse(query.as_deref());
    let key = query.take_needed("key")?;
    query.finish()?;
    Ok(Answered(shared.local.remove(key).await?))
}

async fn contains(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Contains> {
    let mut query = Query::parse(query.as_deref());
    let key = query.take_needed("key")?;
    query.finish()?;
    Ok(Answered(shared.local.contains(key).await?))
}

async fn size(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Size> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.size().await?))
}

async fn list(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Page> {
    let mut query = Query::parse(query.as_deref());
    let prefix = query.take("prefix").unwrap_or_default();
    let after = query.take("after");
    let limit = query.take_number("limit")?;
    query.finish()?;
    if limit == Some(0) {
        return Err(Fault::new(Code::InvalidArgument, "the parameter \"limit\" is 0", "ask for 1 or more").into());
    }
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_RECORDS);
    Ok(Answered(shared.local.scan(&Scan { prefix, after, limit }).await?))
}

/// The body is NDJSON as `store import` reads it; all of it is written, or nothing.
async fn batch(
    State(mut shared): State<Shared>,
    RawQuery(query): RawQuery,
    body: Whole,
) -> Answers<super::answer::Batch> {
    Query::parse(query.as_deref()).finish()?;
    let mut records = Vec::new();
    for (at, line) in body.bytes.split(|&b| b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = ndjson::parse_line(line).map_err(|error| {
            Fault::new(Code::InvalidArgument, format!("line {}: {error}", at + 1), "correct the line")
        })?;
        records.push(record);
    }
    Ok(Answered(shared.local.batch(&records).await?))
}

/// One change a line, until the node stops or the caller goes away.
async fn watch(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let mut query = Query::parse(query.as_deref());
    let prefix = query.take("prefix").unwrap_or_default();
    let from = query.take_number("from")?;
    query.finish()?;
    let watch = shared.local.watch(prefix, from).await?;
    let changes = stream::unfold((watch, shared.stop), |(mut watch, stop)| async move {
        let line = next_line(&mut watch, &stop).await?;
        Some((Ok::<_, Infallible>(line), (watch, stop)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(changes)).into_response())
}

async fn next_line(watch: &mut LocalWatch, stop: &CancellationToken) -> Option<Bytes> {
    // A fault here is the end of the node; the end of the stream says as much.
    let change = stop.run_until_cancelled(watch.next()).await?.ok()?;
    let mut line = serde_json::to_vec(&change.envelope()).expect("answers are trees of text and numbers");
    line.push(b'\n');
    Some(line.into())
}

async fn console(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Console> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.console().await?))
}

async fn wal(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Log> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.log().await?))
}

async fn snapshot(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Snapshot> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.snapshot().await?))
}

async fn backup(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<super::answer::Backup> {
    let mut query = Query::parse(query.as_deref());
    let dir = query.take_needed("dir")?;
    query.finish()?;
    let dir = Path::new(OsStr::from_bytes(&dir));
    if !dir.is_absolute() {
        return Err(Refused(Fault::new(Code::InvalidArgument, "the backup directory is not an absolute path", "")));
    }
    let made = shared.local.backup(dir).await;
    events::backed_up(dir, &made);
    Ok(Answered(made?))
}
