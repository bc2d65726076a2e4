//! What commands about links and peers answer.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use softadastra_core::transport::trust::TrustMode;

/// Whether links are opened, and where they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// Links are opened and taken.
    pub running: bool,
    /// Addresses at which links are taken.
    pub listening: Vec<String>,
    /// Why none are, although they should be; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whom it lets in: `network`, `pinned` or `open`; absent while no links are opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
}

impl Transport {
    /// Whether whoever reaches it from another machine is let in.
    #[must_use]
    pub fn lets_anybody_in(&self) -> bool {
        let beyond_loopback =
            |text: &String| text.parse().is_ok_and(|at: SocketAddr| !at.ip().to_canonical().is_loopback());
        self.trust.as_deref() == Some(TrustMode::Open.as_str()) && self.listening.iter().any(beyond_loopback)
    }
}

/// The peers of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// The links as a whole.
    pub transport: Transport,
    /// Own operations accepted here, to compare `holds` with.
    pub accepted: u64,
    /// All that are dialled, and all that came by themselves.
    pub peers: Vec<Peer>,
    /// Links of others that were refused since the node started, the latest first; a bounded number.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Public keys that were forgotten by hand, and are refused until they are trusted, connected or joined again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<String>,
}

/// Links from one address that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Where they came from.
    pub address: String,
    /// The stable name of the reason, such as `wrong_secret`.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// How many there were.
    pub count: u64,
    /// When the last one was refused, in milliseconds since 1970.
    pub last_at_ms: u64,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name, once it has said.
    pub node_id: Option<String>,
    /// Its public key, once known.
    pub public_key: Option<String>,
    /// Where it is dialled, the next one first.
    pub addresses: Vec<String>,
    /// `available`, `connecting`, `connected`, `stale`, `expired`, `faulted`; while no links are opened `remembered`.
    pub state: String,
    /// The node dials it whenever there is no link.
    pub wanted: bool,
    /// It is dialled because discovery has found it, and only while it is there.
    #[serde(default)]
    pub found: bool,
    /// It was disconnected by hand: its links are refused until it is connected again.
    pub held: bool,
    /// How long the link has stood, in milliseconds.
    pub up_ms: Option<u64>,
    /// Time since anything was heard of it, in milliseconds.
    pub silent_ms: Option<u64>,
    /// The latest round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Why the last link or dial ended.
    pub last_error: Option<PeerError>,
    /// Failed dials and short links in a row.
    pub failures: u32,
    /// Time to the next dial, in milliseconds.
    pub next_dial_ms: Option<u64>,
    /// What flows; absent without a link.
    pub sync: Option<Flow>,
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerError {
    /// The stable name, such as `wrong_secret`.
    pub code: String,
    /// In words.
    pub message: String,
    /// Trying again is useless before somebody has changed something.
    pub needs_operator: bool,
}

/// What flows over a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// `greeting`, `open`, `full_exchange` or `closing`.
    pub phase: String,
    /// The peer's history, once it has said: 32 hex digits.
    pub replica_id: Option<String>,
    /// Own operations that it holds durably.
    pub holds: u64,
    /// Changes here up to this position are durable there.
    pub acknowledged_lsn: u64,
    /// The peer's own log is taken in up to this position of it.
    pub taken_lsn: u64,
    /// Changes here that the peer lacks; at most 10,000 are counted.
    pub lag: u64,
    /// Bytes sent and not yet acknowledged.
    pub in_flight_bytes: u64,
    /// How far the peer's clock is ahead of this node's, in milliseconds.
    pub clock_ahead_ms: i64,
}

/// A ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its text, to be kept like a key when it holds the secret of a network.
    pub ticket: String,
    /// The public key that must answer.
    pub public_key: String,
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// Whether it holds the secret of a network.
    pub secret: bool,
}

/// What `join` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The public key of the peer that the ticket names.
    pub public_key: String,
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// It is dialled now; otherwise as soon as a node runs here.
    pub dialling: bool,
}

/// What `connect` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connecting {
    /// The peer as it was named; of a ticket, only whose it is.
    pub peer: String,
}

/// What `disconnect` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnected {
    /// The peer as it was named; of a ticket, only whose it is.
    pub peer: String,
}

/// What `peers trust` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// The public key.
    pub public_key: String,
    /// It was not trusted by hand before.
    pub new: bool,
}

/// What `peers forget` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Public keys that are no longer trusted by hand, pinned to a name, or dialled.
    pub public_keys: Vec<String>,
    /// Histories that no longer count: 32 hex digits each.
    pub replica_ids: Vec<String>,
    /// Addresses that are no longer dialled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}
