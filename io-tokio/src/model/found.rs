//! What the client gives about discovery.

use std::net::SocketAddr;
use std::time::Duration;

pub use softadastra_core::discovery::{Counters as DiscoveryCounters, NodeState as FoundState};
use softadastra_core::discovery::{Interface, Sighting, Status, Target, TargetStatus};
use softadastra_core::ids::NodeId;
use softadastra_core::node::Node;
use softadastra_core::time::Now;
use softadastra_core::transport::identity::NodeKey;

use crate::discovery::{DiscoveryMode, InterfaceInfo, Trouble};
use crate::driver::Standing;

/// A node that was heard. Only its key and what it says are proven; that it is reached at the addresses is for the link to
/// show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNode {
    /// The name it gives.
    pub node: NodeId,
    /// Its key.
    pub key: NodeKey,
    /// Where to dial it, the latest heard first; at most 8.
    pub addresses: Vec<SocketAddr>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// How it does.
    pub state: FoundState,
    /// Time since it was first heard.
    pub first_heard: Duration,
    /// Time since it was last heard.
    pub last_heard: Duration,
    /// Milliseconds that its clock is ahead of this node's.
    pub clock_ahead_ms: i64,
    /// There is a link to it.
    pub connected: bool,
}

impl FoundNode {
    pub(crate) fn of(sighting: Sighting, now: Now, connected: bool) -> Self {
        Self {
            first_heard: now.mono.since(sighting.first_heard),
            last_heard: now.mono.since(sighting.last_heard),
            node: sighting.node,
            key: sighting.key,
            addresses: sighting.addresses,
            capabilities: sighting.capabilities,
            state: sighting.state,
            clock_ahead_ms: sighting.clock_ahead,
            connected,
        }
    }
}

/// How discovery does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveryState {
    /// It is wanted. Whether it works is for `trouble` to say.
    pub running: bool,
    /// Whether it is seen by others, while it is wanted.
    pub mode: Option<DiscoveryMode>,
    /// Whoever is found is dialled.
    pub auto_connect: bool,
    /// The UDP port, while it is wanted.
    pub port: Option<u16>,
    /// The interfaces in use.
    pub interfaces: Vec<InterfaceInfo>,
    /// Where announcements go.
    pub targets: Vec<TargetState>,
    /// What keeps datagrams from coming or going.
    pub trouble: Option<Trouble>,
    /// Time to the next announcement.
    pub next_announcement: Option<Duration>,
    /// Nodes that are available or stale.
    pub found: u64,
    /// What was counted since the start.
    pub counters: DiscoveryCounters,
}

/// How it goes with one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Which.
    pub target: String,
    /// What the system said to the latest attempt that failed.
    pub error: Option<String>,
}

impl DiscoveryState {
    pub(crate) fn of(node: &Node, now: Now, standing: Option<Standing>) -> Self {
        let Some(Status { targets, next_announcement, nodes, counters, .. }) = node.discovery_status(now) else {
            return Self::default();
        };
        let found = nodes.iter().filter(|node| node.state != FoundState::Expired).count() as u64;
        let before = Self { found, counters, ..Self::default() };
        let Some(Standing { mode, port, interfaces, trouble }) = standing else { return before };
        Self {
            running: true,
            mode: Some(mode),
            auto_connect: node.auto_connects(),
            port: Some(port),
            targets: targets.into_iter().map(|status| TargetState::of(status, &interfaces)).collect(),
            interfaces,
            trouble,
            next_announcement: next_announcement.filter(|_| mode == DiscoveryMode::Announce),
            ..before
        }
    }
}

impl TargetState {
    /// With the name of the interface instead of its number.
    fn of(TargetStatus { target, error }: TargetStatus, interfaces: &[InterfaceInfo]) -> Self {
        let name_of = |index| interfaces.iter().find(|interface| interface.index == index).map(|found| &found.name);
        let target = match target {
            Target::Multicast { group, on: Interface::Index(index) } => match name_of(index) {
                Some(name) => format!("multicast {group} on {name}"),
                None => target.to_string(),
            },
            Target::Multicast { .. } | Target::Broadcast(_) | Target::Unicast(_) => target.to_string(),
        };
        Self { target, error }
    }
}
