//! Metrics, health and the console, over HTTP on a port of this machine.
//!
//! Off unless asked for, and on loopback unless asked for twice. Connections, their time and their bodies are bounded
//! as on the control socket, whose server and handlers it shares. What it guards against is told in `guard.rs`.

pub mod console;
mod guard;
mod history;
pub mod metrics;
mod process;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use softadastra_core::error::Code;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::guard::Guard;
use self::history::History;
pub use self::token::{FILE_NAME as TOKEN_FILE_NAME, Token};
use crate::control::server;
use crate::control::serving::{self, Limits};
use crate::control::{Fault, Local};
use crate::descriptors;
use crate::logging::Recent;
use crate::model::{NodeState, Status};

/// How long the event loop may take to answer before the node does not count as healthy.
const PULSE: Duration = Duration::from_secs(5);

/// What connections may take: fewer, and for a shorter time, than on the control socket, which only the owner reaches.
fn limits() -> Limits {
    let connections = descriptors::share(64, 1);
    Limits { connections, head: Duration::from_secs(10), life: Some(Duration::from_secs(120)) }
}

/// A port that listens, for a node that may still be opening.
#[derive(Debug)]
pub struct Http {
    listener: Arc<TcpListener>,
    address: SocketAddr,
}

/// What every request has at hand.
#[derive(Clone)]
struct Site {
    local: Local,
    recent: Arc<Recent>,
    history: Arc<History>,
}

impl Http {
    /// Listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(address).await?);
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link that opens the console. It holds the token: show it to the owner of the node and to nobody else.
    #[must_use]
    pub fn link(&self, token: &Token) -> String {
        link(self.address, token)
    }

    /// Says that the node is not open yet, until it is.
    pub async fn wait(&self, opened: CancellationToken) {
        serving::serve(self.listener.clone(), opening(), too_many(), limits(), opened).await;
    }

    /// Serves until `stop` is cancelled.
    pub async fn serve(self, token: Token, local: Local, recent: Arc<Recent>, stop: CancellationToken) {
        let history = Arc::new(History::default());
        let site = Site { local: local.clone(), recent, history: history.clone() };
        // Where other machines may come, metrics need the token as well.
        let guard = Guard::new(token, !self.address.ip().to_canonical().is_loopback());
        let routes = routes(site, server::for_the_console(local.clone(), stop.clone()), &guard);
        let sampling = stop.run_until_cancelled(history.sample(local));
        let serving = serving::serve(self.listener, routes, too_many(), limits(), stop.clone());
        tokio::join!(sampling, serving);
    }
}

/// The link to a console at this address; one that listens everywhere is reached on loopback as well.
fn link(address: SocketAddr, token: &Token) -> String {
    let host = match (address.ip().is_unspecified(), address) {
        (true, SocketAddr::V4(_)) => "127.0.0.1".to_owned(),
        (true, SocketAddr::V6(_)) => "[::1]".to_owned(),
        (false, SocketAddr::V4(at)) => at.ip().to_string(),
        (false, SocketAddr::V6(at)) => format!("[{}]", at.ip()),
    };
    format!("http://{host}:{}/#token={}", address.port(), token.reveal())
}

fn routes(site: Site, shared: Router, guard: &Guard) -> Router {
    let watched = Router::new().route("/metrics", get(metrics)).with_state(site.clone());
    let watched =
        if guard.exposed { watched.layer(from_fn_with_state(guard.clone(), guard::holds_token)) } else { watched };
    let owned = Router::new().route("/v1/console", get(console::overview)).with_state(site.clone()).merge(shared);
    let owned = owned.layer(from_fn_with_state(guard.clone(), guard::holds_token));
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(site)
        .merge(watched)
        .merge(owned)
        .merge(console::assets())
        .fallback(async || (StatusCode::NOT_FOUND, "there is nothing here\n"))
        .layer(from_fn(guard::at_the_door))
}

/// What there is before the node is open: the process works, and takes no writes yet.
fn opening() -> Router {
    let not_yet =
        || Fault::new(Code::InvalidState, "the node is opening: it waits for its directory or reads its log", "wait");
    Router::new()
        .route("/healthz", get("ok\n"))
        .route("/readyz", get((StatusCode::SERVICE_UNAVAILABLE, "opening\n")))
        .merge(console::assets())
        .fallback(async move || server::failed(StatusCode::SERVICE_UNAVAILABLE, not_yet()))
        .layer(from_fn(guard::at_the_door))
}

fn too_many() -> Router {
    Router::new().fallback(async || (StatusCode::SERVICE_UNAVAILABLE, "all connections are in use\n"))
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let open = headers
        .get_all(ACCEPT)
        .iter()
        .any(|value| value.to_str().is_ok_and(|text| text.contains("application/openmetrics-text")));
    match metrics::render(&site.local, &site.recent, open).await {
        Ok(text) => ([(CONTENT_TYPE, metrics::content_type(open))], text).into_response(),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")).into_response(),
    }
}

/// Whether the process does its work at all; a service manager may restart it if not.
async fn healthy(State(site): State<Site>) -> Response {
    match timeout(PULSE, site.local.client().pulse()).await {
        Ok(Ok(())) => "ok\n".into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_elapsed) => (StatusCode::SERVICE_UNAVAILABLE, "the event loop does not answer\n").into_response(),
    }
}

async fn ready(State(site): State<Site>) -> Response {
    let status = site.local.client().status();
    match status.map_err(|error| error.to_string()).and_then(|status| is_ready(&status)) {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Whether it takes writes, and nothing casts doubt on what it holds; else why not.
fn is_ready(status: &Status) -> Result<(), String> {
    match (&status.state, &status.halted, status.diverged) {
        (NodeState::Ready, None, 0) => Ok(()),
        (NodeState::Ready, None, _) => Err("diverged".to_owned()),
        (NodeState::Ready, Some(why), _) => Err(format!("halted: {why}")),
        (state, _, _) => Err(state.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, ClientOptions};

    #[tokio::test]
    async fn ready_is_who_takes_writes_and_is_in_no_doubt() {
        let client = Client::open(ClientOptions::memory_only()).await.unwrap();
        let well = client.status().unwrap();
        assert_eq!(is_ready(&well), Ok(()));
        for (status, why) in [
            (Status { state: NodeState::NoRoom, ..well.clone() }, "no_room"),
            (Status { state: NodeState::Degraded("a sync failed".to_owned()), ..well.clone() }, "degraded"),
            (Status { state: NodeState::Closing, ..well.clone() }, "closing"),
            (Status { diverged: 1, ..well.clone() }, "diverged"),
            (Status { halted: Some("a copy".to_owned()), ..well.clone() }, "halted: a copy"),
        ] {
            assert_eq!(is_ready(&status), Err(why.to_owned()));
        }
        client.close().await.unwrap();
    }
}
