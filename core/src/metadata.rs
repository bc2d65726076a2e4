//! What a node says about itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::ids::{NodeId, ReplicaId};
use crate::time::{Instant, Now, WallTime};

/// What the driver found out about its surroundings. Everything may be empty: a node works without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// A name for people; the node id when empty.
    pub display_name: String,
    /// The machine's name.
    pub hostname: String,
    /// Operating system and architecture, such as `linux x86_64`.
    pub os: String,
    /// Version of the program that embeds the engine.
    pub version: String,
    /// What the node can do, in sorted order, such as `store`, `wal`.
    pub capabilities: Vec<String>,
}

/// Keeps what is known and turns it into [`NodeInfo`] on demand.
#[derive(Clone, Debug)]
pub struct Metadata {
    surroundings: Surroundings,
    started: WallTime,
    started_mono: Instant,
}

impl Metadata {
    /// Metadata of a node that starts now.
    #[must_use]
    pub fn new(now: Now) -> Self {
        Self { surroundings: Surroundings::default(), started: now.wall, started_mono: now.mono }
    }

    /// Takes over what the driver found out, now or anew.
    pub fn refresh(&mut self, surroundings: Surroundings) {
        self.surroundings = surroundings;
    }

    /// Everything known, for the node of this name and history. The uptime counts monotonic time: a stepping wall
    /// clock does not touch it.
    #[must_use]
    pub fn info(&self, now: Now, node_id: &NodeId, replica: ReplicaId) -> NodeInfo {
        let found = &self.surroundings;
        let display_name =
            if found.display_name.is_empty() { String::from(node_id.as_str()) } else { found.display_name.clone() };
        NodeInfo {
            node_id: node_id.clone(),
            replica,
            display_name,
            hostname: found.hostname.clone(),
            os: found.os.clone(),
            version: found.version.clone(),
            started: self.started,
            uptime: now.mono.since(self.started_mono),
            capabilities: found.capabilities.clone(),
        }
    }
}

/// What a node says about itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The operator's name.
    pub node_id: NodeId,
    /// The present history.
    pub replica: ReplicaId,
    /// A name for people.
    pub display_name: String,
    /// The machine's name; may be empty.
    pub hostname: String,
    /// Operating system and architecture; may be empty.
    pub os: String,
    /// Version of the embedding program; may be empty.
    pub version: String,
    /// When the node started, by the wall clock of that moment.
    pub started: WallTime,
    /// How long it has run.
    pub uptime: Duration,
    /// What it can do, sorted.
    pub capabilities: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_does_not_follow_the_wall_clock() {
        let start = Now { mono: Instant(1_000_000), wall: WallTime(50_000) };
        let metadata = Metadata::new(start);
        let later = Now { mono: Instant(4_000_000), wall: WallTime(1) };
        let info = metadata.info(later, &NodeId::new("till").unwrap(), ReplicaId([0; 16]));
        assert_eq!(info.uptime, Duration::from_secs(3));
        assert_eq!(info.started, WallTime(50_000));
        assert_eq!(info.display_name, "till");
    }
}
