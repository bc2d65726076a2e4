//! What `softadastra top` shows.

use serde::{Deserialize, Serialize};

use super::{Delivery, Peers, Status};

/// A node at work, between two looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// The operator's name of the node.
    pub node_id: String,
    /// When it was looked at, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long the node has been open, in milliseconds.
    pub uptime_ms: u64,
    /// As in `status`.
    pub state: String,
    /// Why it is degraded, or why nothing is exchanged any more.
    pub trouble: Option<String>,
    /// Own operations accepted a second since the look before; absent at the first.
    pub writes_per_second: Option<f64>,
    /// Operations of other nodes taken in a second since then.
    pub received_per_second: Option<f64>,
    /// Writes a second at the looks before, oldest first; at most 60.
    pub history: Vec<f64>,
    /// Keys that have a value.
    pub keys: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
    /// Own operations that no peer has acknowledged yet.
    pub outbox: u64,
    /// Own operations by how far they got.
    pub delivery: Delivery,
    /// Conflicts ever recorded here.
    pub conflicts: u64,
    /// Those of them that wait for a decision.
    pub open_conflicts: u64,
    /// Bytes of all files of the log.
    pub log_bytes: u64,
    /// Segments of it.
    pub segments: u64,
    /// Room on its disk; absent when that cannot be told.
    pub free_bytes: Option<u64>,
    /// The peers.
    pub peers: Vec<Lagging>,
}

/// A peer, and how far it is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lagging {
    /// Its name, else its key or its address.
    pub peer: String,
    /// As in `peers`.
    pub state: String,
    /// Changes here that it lacks, at most 10,000; absent without a link.
    pub lag: Option<u64>,
    /// Bytes sent and not yet acknowledged; absent without a link.
    pub in_flight_bytes: Option<u64>,
    /// The latest round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Why the last link or dial ended, while there is no link.
    pub last_error: Option<String>,
}

/// The most looks that a history holds.
const HISTORY: usize = 60;

/// What is counted for ever: two of them give a rate.
#[derive(Clone, Copy, Debug)]
struct Counted {
    at_ms: u64,
    accepted: u64,
    received: u64,
}

/// The looks so far.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    before: Option<Counted>,
    history: Vec<f64>,
}

impl Looks {
    /// What one more look shows. `at_ms`: by a clock that goes on evenly.
    pub fn add(&mut self, node_id: String, uptime_ms: u64, at_ms: u64, status: Status, peers: Peers) -> Top {
        let now = Counted { at_ms, accepted: status.delivery.accepted, received: status.received };
        let before = self.before.replace(now);
        let rates = before.map(|before| {
            let ms = at_ms.saturating_sub(before.at_ms).max(1);
            // A node that was started anew, or has another history, counts from below.
            let rate =
                |now: u64, before: u64| (now.saturating_sub(before) as f64 * 10_000.0 / ms as f64).round() / 10.0;
            (rate(now.accepted, before.accepted), rate(now.received, before.received))
        });
        if let Some((writes, _)) = rates {
            self.history.push(writes);
            let most = self.history.len().saturating_sub(HISTORY);
            self.history.drain(..most);
        }
        let (log_bytes, segments, free_bytes) =
            status.wal.map_or((0, 0, None), |wal| (wal.bytes, wal.segments, wal.free_bytes));
        Top {
            node_id,
            at_ms,
            uptime_ms,
            state: status.state,
            trouble: status.reason.or(status.halted),
            writes_per_second: rates.map(|(writes, _)| writes),
            received_per_second: rates.map(|(_, received)| received),
            history: self.history.clone(),
            keys: status.keys,
            live_bytes: status.live_bytes,
            outbox: status.outbox,
            delivery: status.delivery,
            conflicts: status.conflicts,
            open_conflicts: status.open_conflicts,
            log_bytes,
            segments,
            free_bytes,
            peers: peers.peers.into_iter().map(lagging).collect(),
        }
    }
}

fn lagging(peer: super::Peer) -> Lagging {
    let key = peer.public_key.map(|key| key.chars().take(10).chain(['…']).collect());
    let called = peer.node_id.or(key).or_else(|| peer.addresses.first().cloned());
    let connected = peer.state == "connected";
    Lagging {
        peer: called.unwrap_or_else(|| "-".to_owned()),
        state: if peer.held { "disconnected".to_owned() } else { peer.state },
        lag: peer.sync.as_ref().map(|flow| flow.lag),
        in_flight_bytes: peer.sync.as_ref().map(|flow| flow.in_flight_bytes),
        round_trip_us: peer.round_trip_us,
        last_error: peer.last_error.filter(|_| !connected).map(|error| format!("{} [{}]", error.message, error.code)),
    }
}
