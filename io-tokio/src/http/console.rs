//! The console: one page, whose files are part of this program, and the document that it asks for again and again.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;

use super::Site;
use super::history::Sample;
use crate::control::answer::{Conflict, Conflicts, Discovered, DiscoveredNode, Node, Outbox, Peers, Side, Status};
use crate::control::backend::{Backend as _, Delivering as _, Discovering as _, Peering as _};
use crate::control::{Fault, Local};
use crate::logging::Remembered;

const PAGE: &str = include_str!("console/index.html");
const STYLE: &str = include_str!("console/console.css");
const SCRIPTS: [(&str, &str); 3] = [
    ("/console.js", include_str!("console/console.js")),
    ("/view.js", include_str!("console/view.js")),
    ("/charts.js", include_str!("console/charts.js")),
];
const ICON: &str = include_str!("console/icon.svg");

/// The most found nodes that are shown, those that are there first.
const MOST_FOUND: usize = 100;

/// The most conflicts that are shown, open ones and the latest first.
const MOST_CONFLICTS: usize = 50;

/// The most bytes of each value that are shown of a conflict. A longer one is settled on the command line.
const MOST_VALUE: usize = 16 << 10;

/// The files of the page. They hold nothing of the node, and need no token.
pub(super) fn assets() -> Router {
    let file = |kind: &'static str, text: &'static str| get(async move || ([(CONTENT_TYPE, kind)], text));
    let mut files = Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route("/console.css", file("text/css; charset=utf-8", STYLE))
        .route("/icon.svg", file("image/svg+xml", ICON));
    for (path, text) in SCRIPTS {
        files = files.route(path, file("text/javascript; charset=utf-8", text));
    }
    files
}

/// Everything that the page shows, but keys and values.
#[derive(Debug, Serialize)]
struct Overview {
    node: Node,
    status: Status,
    /// Why it is not ready, if it is not.
    doubt: Option<String>,
    peers: Peers,
    found: Found,
    outbox: Outbox,
    conflicts: Shown,
    /// Samples after the moment that was asked for.
    history: Vec<Sample>,
    /// Log lines after the number that was asked for.
    lines: Vec<Remembered>,
}

/// Some of the nodes that discovery has found.
#[derive(Debug, Serialize)]
struct Found {
    total: u64,
    nodes: Vec<DiscoveredNode>,
}

/// Some of the conflicts.
#[derive(Debug, Serialize)]
struct Shown {
    total: u64,
    open: u64,
    conflicts: Vec<Conflict>,
    /// Lengths of values that were left out for their length, by the number of the conflict: winner's, loser's.
    left_out: BTreeMap<u64, [u64; 2]>,
}

/// The overview: `lines` and `history` say what the page has already.
pub(super) async fn overview(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let Site { mut local, recent, history } = site;
    let number = |name: &str| {
        let pairs = query.as_deref().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    };
    let (lines, samples) = (recent.after(number("lines")), history.after(number("history")));
    match look(&mut local, samples, lines).await {
        Ok(overview) => axum_json(StatusCode::OK, &overview),
        Err(fault) => axum_json(StatusCode::SERVICE_UNAVAILABLE, &crate::control::answer::ErrorEnvelope::new(fault)),
    }
}

async fn look(local: &mut Local, history: Vec<Sample>, lines: Vec<Remembered>) -> Result<Overview, Fault> {
    Ok(Overview {
        node: local.node().await?,
        status: local.status().await?,
        doubt: super::is_ready(&local.client().status()?).err(),
        peers: local.peers().await?,
        found: found(local.discovered().await?),
        outbox: local.outbox().await?,
        conflicts: shown(local.conflicts().await?),
        history,
        lines,
    })
}

fn found(Discovered { mut nodes, .. }: Discovered) -> Found {
    let total = nodes.len() as u64;
    nodes.sort_by_key(|node| node.state == "expired");
    nodes.truncate(MOST_FOUND);
    Found { total, nodes }
}

fn shown(Conflicts { total, mut conflicts }: Conflicts) -> Shown {
    let is_open = |conflict: &Conflict| conflict.outcome == "open";
    let open = conflicts.iter().filter(|conflict| is_open(conflict)).count() as u64;
    conflicts.sort_by_key(|conflict| (!is_open(conflict), std::cmp::Reverse(conflict.id)));
    conflicts.truncate(MOST_CONFLICTS);
    let mut left_out = BTreeMap::new();
    for conflict in &mut conflicts {
        let lengths = [shorten(&mut conflict.winner), shorten(&mut conflict.loser)];
        if lengths != [0, 0] {
            left_out.insert(conflict.id, lengths);
        }
    }
    Shown { total, open, conflicts, left_out }
}

/// Leaves a value out that is too long, and gives its length; else 0.
fn shorten(side: &mut Side) -> u64 {
    let len = side.value.as_ref().map_or(0, bytes::Bytes::len);
    if len <= MOST_VALUE {
        return 0;
    }
    side.value = None;
    len as u64
}

fn axum_json<T: Serialize>(status: StatusCode, document: &T) -> Response {
    let body = serde_json::to_vec(document).expect("answers are trees of text and numbers");
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
