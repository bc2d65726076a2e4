//! Routes about discovery.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use softadastra_core::error::Code;

use super::network::yes_or_no;
use super::{Answered, Answers, Shared};
use crate::control::answer::{Discovered, Discovery};
use crate::control::backend::Discovering as _;
use crate::control::fault::Fault;
use crate::control::query::Query;
use crate::discovery::DiscoveryMode;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/discovery", get(discovery))
        .route("/v1/discovery/nodes", get(discovered))
        .route("/v1/discovery/start", post(start))
        .route("/v1/discovery/stop", post(stop))
}

async fn discovery(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Discovery> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.discovery().await?))
}

async fn discovered(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Discovered> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.discovered().await?))
}

/// Starts it as the node is configured, unless the parameters say otherwise.
async fn start(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Discovery> {
    let mut query = Query::parse(query.as_deref());
    let mode = match query.take("mode").as_deref() {
        None => None,
        Some(b"listen") => Some(DiscoveryMode::Listen),
        Some(b"announce") => Some(DiscoveryMode::Announce),
        Some(_) => {
            let what = "the parameter \"mode\" is neither listen nor announce";
            return Err(Fault::new(Code::InvalidArgument, what, "correct the request").into());
        }
    };
    let auto_connect = yes_or_no(&mut query, "auto_connect")?;
    query.finish()?;
    Ok(Answered(shared.local.start_discovery(mode, auto_connect).await?))
}

async fn stop(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Discovery> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.stop_discovery().await?))
}
