//! What commands about discovery answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How discovery does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// It is wanted; whether it works is for `error` to say.
    pub running: bool,
    /// `listen` or `announce`, while it is wanted.
    pub mode: Option<String>,
    /// Whoever is found is dialled.
    pub auto_connect: bool,
    /// The UDP port, while it is wanted.
    pub port: Option<u16>,
    /// Nodes that are available or stale.
    pub found: u64,
    /// Why nobody is found at present; it is tried again.
    pub error: Option<DiscoveryError>,
    /// The interfaces in use.
    pub interfaces: Vec<DiscoveryInterface>,
    /// Where announcements go.
    pub targets: Vec<DiscoveryTarget>,
    /// Time to the next announcement, in milliseconds.
    pub next_announcement_ms: Option<u64>,
    /// What was counted since the start.
    pub datagrams: Datagrams,
}

/// Discovery in short, as `status` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryInShort {
    /// It is wanted; whether it works is for `error` to say.
    pub running: bool,
    /// `listen` or `announce`, while it is wanted.
    pub mode: Option<String>,
    /// Whoever is found is dialled.
    pub auto_connect: bool,
    /// Nodes that are available or stale.
    pub found: u64,
    /// Why nobody is found at present; it is tried again.
    pub error: Option<DiscoveryError>,
}

/// What keeps datagrams from coming or going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryError {
    /// `port_in_use`, `no_permission`, `no_interface`, `no_network` or `socket_failed`.
    pub code: String,
    /// What happened, and where.
    pub message: String,
    /// What can be done about it.
    pub next: String,
}

/// An interface that discovery uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryInterface {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// A group, a broadcast address or a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryTarget {
    /// Which, in words.
    pub target: String,
    /// What the system said to the latest datagram that could not be sent.
    pub error: Option<String>,
}

/// Datagrams since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagrams {
    /// Composed.
    pub sent: u64,
    /// Of these, not sent.
    pub failed: u64,
    /// Received.
    pub received: u64,
    /// Of these, believed.
    pub believed: u64,
    /// Of these, dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// The nodes that were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Discovery is wanted.
    pub running: bool,
    /// Each of them, by name.
    pub nodes: Vec<DiscoveredNode>,
}

/// A node that was found. That it is reached at the addresses is for a link to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveredNode {
    /// The name it gives.
    pub node_id: String,
    /// Its public key.
    pub public_key: String,
    /// Where to dial it, the latest heard first.
    pub addresses: Vec<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// `available`, `stale` or `expired`.
    pub state: String,
    /// There is a link to it.
    pub connected: bool,
    /// Time since it was first heard, in milliseconds.
    pub first_heard_ms: u64,
    /// Time since it was last heard, in milliseconds.
    pub last_heard_ms: u64,
    /// How far its clock is ahead of this node's, in milliseconds.
    pub clock_ahead_ms: i64,
}
