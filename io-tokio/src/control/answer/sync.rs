//! What commands about delivery answer.

use serde::{Deserialize, Serialize};

/// Own operations by how far they got. `queued + in_flight + failed` is what is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Own operations accepted here, in all of this history.
    pub accepted: u64,
    /// Durable on enough other nodes.
    pub acknowledged: u64,
    /// Waiting for a link, or for room on one.
    pub queued: u64,
    /// Sent over a live link, and not yet acknowledged.
    pub in_flight: u64,
    /// Tried too often without progress: kept, and tried again when a peer is heard, or on `sync retry`.
    pub failed: u64,
    /// Why they failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Links that broke without progress since the node was started.
    pub retries: u64,
    /// So many other replicas must hold an operation before it counts as acknowledged.
    #[serde(default = "one")]
    pub required_acks: u64,
    /// So many other replicas are known that were not forgotten.
    #[serde(default)]
    pub replicas: u64,
}

const fn one() -> u64 {
    1
}

/// The outbox in detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// The history whose operations these are: 32 hex digits.
    pub replica_id: String,
    /// The counts.
    pub delivery: Delivery,
    /// Up to this own operation the bookkeeping of acknowledged ones was given up.
    pub pruned: u64,
    /// Which operations are in which state, oldest first.
    pub ranges: Vec<Range>,
    /// Which of them other nodes hold.
    pub holders: Vec<Holder>,
}

/// Own operations that follow on each other and share a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// `acknowledged`, `failed`, `in_flight` or `queued`.
    pub state: String,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// How much of the outbox another node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub node_id: String,
    /// Its history: 32 hex digits.
    pub replica_id: String,
    /// It holds own operations of this node up to here, durably.
    pub holds: u64,
    /// When it was last heard of, in milliseconds since 1970.
    pub heard_at_ms: u64,
    /// It was forgotten, and no longer counts.
    pub forgotten: bool,
}

/// Delivery as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Own operations by how far they got.
    pub delivery: Delivery,
    /// What this node claims to hold of each history, its own included.
    pub vector: Vec<Claim>,
    /// Nothing is here beyond what it claims.
    pub exact: bool,
    /// Peers with a link.
    pub connected: u64,
    /// Other nodes that were ever heard of.
    pub members: Vec<Holder>,
    /// Conflicts ever recorded here.
    pub conflicts: u64,
    /// Times that a peer with the same claims had another state.
    pub divergences: u64,
    /// Peers of which that was so when they were last compared.
    #[serde(default)]
    pub diverged: u64,
    /// Entries that crossed links since the node was started.
    pub traffic: Traffic,
    /// Why nothing is exchanged any more.
    pub halted: Option<String>,
}

/// What is held of one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The history: 32 hex digits.
    pub replica_id: String,
    /// Its name, when known.
    pub node_id: Option<String>,
    /// Everything it wrote up to here.
    pub seq: u64,
}

/// Entries that crossed links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Received, and not here before.
    pub taken: u64,
}

/// What `sync tick` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticked {
    /// `nothing_ready`, `no_connected_peer`, `nothing_sent` or `delivery_attempted`.
    pub outcome: String,
    /// Operations that had failed and are queued again.
    pub retried: u64,
    /// Acknowledged operations whose bookkeeping was given up.
    pub pruned: u64,
    /// Own operations that were ready to be sent.
    pub batch: u64,
    /// Entries handed to links, those of other nodes included.
    pub sent: u64,
    /// Peers with a link.
    pub connected: u64,
}

/// What `sync retry` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Operations that had failed and are queued again.
    pub retried: u64,
}
