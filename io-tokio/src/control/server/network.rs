//! Routes about links, peers, delivery and conflicts. What names a peer may be a ticket, and so a secret: it stands in
//! the body.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use bytes::Bytes;
use softadastra_core::error::Code;

use super::{Answered, Answers, Shared};
use crate::control::answer::{
    Conflict, Conflicts, Connecting, Disconnected, Forgotten, Joined, Outbox, Peers, Resolved, Retried, SyncStatus,
    Ticked, Ticket, Trusted,
};
use crate::control::backend::{Delivering as _, Peering as _};
use crate::control::body::Whole;
use crate::control::fault::Fault;
use crate::control::query::Query;
use crate::model::Resolution;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/peers", get(peers))
        .route("/v1/peers/connect", post(connect))
        .route("/v1/peers/disconnect", post(disconnect))
        .route("/v1/peers/trust", post(trust))
        .route("/v1/peers/forget", post(forget))
        .route("/v1/ticket", post(ticket))
        .route("/v1/join", post(join))
        .route("/v1/sync", get(sync))
        .route("/v1/sync/outbox", get(outbox))
        .route("/v1/sync/tick", post(tick))
        .route("/v1/sync/retry", post(retry))
        .route("/v1/conflicts", get(conflicts))
        .route("/v1/conflicts/one", get(conflict))
        .route("/v1/conflicts/resolve", post(resolve))
}

/// See [`super::for_the_console`].
pub(super) fn routes_of_the_console() -> Router<Shared> {
    Router::new()
        .route("/v1/peers", get(peers))
        .route("/v1/sync", get(sync))
        .route("/v1/sync/outbox", get(outbox))
        .route("/v1/sync/tick", post(tick))
        .route("/v1/sync/retry", post(retry))
        .route("/v1/conflicts/one", get(conflict))
        .route("/v1/conflicts/resolve", post(resolve))
}

async fn peers(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Peers> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.peers().await?))
}

async fn ticket(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Ticket> {
    let mut query = Query::parse(query.as_deref());
    let mut addresses = Vec::new();
    while let Some(address) = query.take("address") {
        addresses.push(text(&address)?.to_owned());
    }
    let new_secret = yes_or_no(&mut query, "new_secret")?;
    query.finish()?;
    Ok(Answered(shared.local.ticket(&addresses, new_secret).await?))
}

async fn join(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<Joined> {
    let mut query = Query::parse(query.as_deref());
    let leave = yes_or_no(&mut query, "leave")?;
    query.finish()?;
    Ok(Answered(shared.local.join(text(&body.bytes)?, leave).await?))
}

async fn connect(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<Connecting> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.connect(text(&body.bytes)?).await?))
}

async fn disconnect(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<Disconnected> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.disconnect(text(&body.bytes)?).await?))
}

async fn trust(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<Trusted> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.trust(text(&body.bytes)?).await?))
}

async fn forget(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<Forgotten> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.forget(text(&body.bytes)?).await?))
}

async fn sync(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<SyncStatus> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.sync_status().await?))
}

async fn outbox(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Outbox> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.outbox().await?))
}

async fn tick(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Ticked> {
    let mut query = Query::parse(query.as_deref());
    let prune = yes_or_no(&mut query, "prune")?;
    query.finish()?;
    Ok(Answered(shared.local.tick(prune).await?))
}

async fn retry(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Retried> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.retry().await?))
}

async fn conflicts(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Conflicts> {
    Query::parse(query.as_deref()).finish()?;
    Ok(Answered(shared.local.conflicts().await?))
}

async fn conflict(State(mut shared): State<Shared>, RawQuery(query): RawQuery) -> Answers<Conflict> {
    let mut query = Query::parse(query.as_deref());
    let id = id(&mut query)?;
    query.finish()?;
    Ok(Answered(shared.local.conflict(id).await?))
}

/// Settles a conflict `with` its `winner`, with the `value` in the body, or by a removal (`delete`).
async fn resolve(State(mut shared): State<Shared>, RawQuery(query): RawQuery, body: Whole) -> Answers<Resolved> {
    let mut query = Query::parse(query.as_deref());
    let id = id(&mut query)?;
    let resolution = match query.take("with").as_deref() {
        None | Some(b"winner") => Resolution::Winner,
        Some(b"value") => Resolution::Value(body.bytes.clone()),
        Some(b"delete") => Resolution::Delete,
        Some(_) => return Err(bad("the parameter \"with\" is none of winner, value, delete").into()),
    };
    query.finish()?;
    if !matches!(resolution, Resolution::Value(_)) && !body.bytes.is_empty() {
        return Err(bad("a value is sent, but the parameter \"with\" is not value").into());
    }
    Ok(Answered(shared.local.resolve(id, resolution).await?))
}

pub(super) fn yes_or_no(query: &mut Query, name: &str) -> Result<bool, Fault> {
    match query.take(name).as_deref() {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(bad(&format!("the parameter {name:?} is neither true nor false"))),
    }
}

fn id(query: &mut Query) -> Result<u64, Fault> {
    query.take_number("id")?.ok_or_else(|| bad("the parameter \"id\" is missing"))
}

fn text(bytes: &Bytes) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map(str::trim).map_err(|_| bad("it is not text"))
}

fn bad(message: &str) -> Fault {
    Fault::new(Code::InvalidArgument, message, "correct the request")
}
