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
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::guard::Guard;
use self::history::History;
pub use self::token::{FILE_NAME as TOKEN_FILE_NAME, Token};
use crate::control::Local;
use crate::control::server;
use crate::control::serving::{self, Limits};
use crate::logging::Recent;
use crate::model::NodeState;

/// How long the event loop may take to answer before the node does not count as healthy.
const PULSE: Duration = Duration::from_secs(5);

/// What connections may take: fewer, and for a shorter time, than on the control socket, which only the owner reaches.
const LIMITS: Limits = Limits { connections: 64, head: Duration::from_secs(10), life: Some(Duration::from_secs(120)) };

/// A port that listens.
#[derive(Debug)]
pub struct Http {
    listener: TcpListener,
    address: SocketAddr,
    exposed: bool,
    token: Token,
}

/// What every request has at hand.
#[derive(Clone)]
struct Site {
    local: Local,
    recent: Arc<Recent>,
    history: Arc<History>,
}

impl Http {
    /// Listens. `exposed`: it may be reached from other machines, and then metrics need the token as well.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn bind(address: SocketAddr, token: Token) -> io::Result<Self> {
        let exposed = !address.ip().to_canonical().is_loopback();
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, exposed, token })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link that opens the console. It holds the token: show it to the owner of the node and to nobody else.
    #[must_use]
    pub fn link(&self) -> String {
        link(self.address, &self.token)
    }

    /// Serves until `stop` is cancelled.
    pub async fn serve(self, local: Local, recent: Arc<Recent>, stop: CancellationToken) {
        let Self { listener, exposed, token, address: _ } = self;
        let history = Arc::new(History::default());
        let site = Site { local: local.clone(), recent, history: history.clone() };
        let guard = Guard::new(token, exposed);
        let routes = routes(site, server::for_the_console(local.clone(), stop.clone()), &guard);
        let sampling = stop.run_until_cancelled(history.sample(local));
        let serving = serving::serve(listener, routes, too_many(), LIMITS, stop.clone());
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
        .layer(from_fn_with_state(guard.clone(), guard::at_the_door))
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

/// Whether it takes writes.
async fn ready(State(site): State<Site>) -> Response {
    match site.local.client().status().map(|status| status.state) {
        Ok(NodeState::Ready) => "ready\n".into_response(),
        Ok(state) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", state.as_str())).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
