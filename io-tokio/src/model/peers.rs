//! What the client gives about peers and about what flows to and from them.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::ids::{Dot, Lsn, NodeId, ReplicaId, Seq};
use softadastra_core::node::{Node, Peer};
use softadastra_core::op::Body;
use softadastra_core::sync::{Conflict, Version};
pub use softadastra_core::sync::{OutboxStatus, Outcome as ConflictOutcome, Phase, Traffic};
use softadastra_core::time::WallTime;
use softadastra_core::transport::address::Address;
pub use softadastra_core::transport::endpoint::PeerState;
use softadastra_core::transport::identity::NodeKey;

use crate::link_end;

/// A peer: the link to it, and what flows over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its name, once it has said.
    pub node: Option<NodeId>,
    /// Its key, once known.
    pub key: Option<NodeKey>,
    /// Where it is dialled, the next one first.
    pub addresses: Vec<Address>,
    /// Where it stands.
    pub state: PeerState,
    /// The node dials it whenever there is no link.
    pub wanted: bool,
    /// It is dialled because discovery has found it, and only while it is there.
    pub found: bool,
    /// It was disconnected by hand: its links are refused until it is connected again.
    pub held: bool,
    /// How long the link has stood.
    pub up_for: Option<Duration>,
    /// Time since anything was heard of it.
    pub silent_for: Duration,
    /// The latest round trip.
    pub round_trip: Option<Duration>,
    /// Why the last link or dial ended.
    pub last_error: Option<LinkError>,
    /// Failed dials and short links in a row.
    pub failures: u32,
    /// Time to the next dial.
    pub next_dial_in: Option<Duration>,
    /// What flows; `None` without a link.
    pub sync: Option<PeerSync>,
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkError {
    /// The stable name, such as `wrong_secret`.
    pub code: &'static str,
    /// In words.
    pub text: String,
    /// Trying again is useless before somebody has changed something.
    pub needs_operator: bool,
}

/// Links from one address that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where they came from.
    pub from: IpAddr,
    /// The stable name of the reason, such as `wrong_secret`.
    pub code: &'static str,
    /// The reason in words.
    pub text: String,
    /// How many there were.
    pub count: u64,
    /// When the last one was refused.
    pub last: WallTime,
}

/// What flows between this node and a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSync {
    /// How far the two have come.
    pub phase: Phase,
    /// The peer's history, once it has said.
    pub replica: Option<ReplicaId>,
    /// The own feed is durable at the peer up to here.
    pub acknowledged: Lsn,
    /// The peer's feed is durable here up to there.
    pub taken: Lsn,
    /// Changes here that the peer lacks; at most 10,000 are counted.
    pub lag: u64,
    /// Bytes sent and not yet acknowledged.
    pub in_flight: u64,
    /// Milliseconds that the peer's clock is ahead of this node's.
    pub clock_ahead_ms: i64,
}

impl PeerInfo {
    pub(crate) fn of(Peer { link, sync, cause, found }: Peer) -> Self {
        let last_error = link.last_end.map(|reason| LinkError {
            code: link_end::code(&reason, cause.as_ref()),
            text: link_end::sentence(&reason, cause.as_ref()),
            needs_operator: reason.needs_operator(),
        });
        let flow = sync.as_ref().and_then(|sync| sync.round_trip);
        Self {
            node: link.node,
            key: link.key,
            addresses: link.addresses,
            state: link.state,
            wanted: link.wanted,
            found,
            held: link.held,
            up_for: link.up_for,
            silent_for: link.silent_for,
            round_trip: link.round_trip.or(flow),
            last_error,
            failures: link.failures,
            next_dial_in: link.next_dial_in,
            sync: sync.map(|sync| PeerSync {
                phase: sync.phase,
                replica: sync.replica,
                acknowledged: sync.acknowledged,
                taken: sync.taken,
                lag: sync.lag,
                in_flight: sync.in_flight,
                clock_ahead_ms: sync.clock_ahead_ms,
            }),
        }
    }
}

/// Sync as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncState {
    /// Own operations by how far they got.
    pub outbox: OutboxStatus,
    /// So many other replicas must hold an operation before it counts as acknowledged.
    pub required_acks: u64,
    /// What this replica claims to hold, by the replica that wrote it.
    pub vector: Vec<(ReplicaId, Seq)>,
    /// Nothing is here beyond what it claims.
    pub exact: bool,
    /// Peers with a link.
    pub connected: u64,
    /// Other replicas that were ever heard of.
    pub members: Vec<Member>,
    /// Conflicts ever recorded here.
    pub conflicts: u64,
    /// Times that a peer with the same claims had another state.
    pub divergences: u64,
    /// Peers of which that was so when they were last compared.
    pub diverged: u64,
    /// Entries that crossed links since the start.
    pub traffic: Traffic,
    /// Why nothing is exchanged any more.
    pub halted: Option<String>,
}

/// Another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its history.
    pub replica: ReplicaId,
    /// Its name.
    pub node: NodeId,
    /// When it was last heard of.
    pub heard: WallTime,
    /// It holds the own operations up to here.
    pub acknowledged: Seq,
    /// It was retired.
    pub forgotten: bool,
}

impl SyncState {
    pub(crate) fn of(node: &Node) -> Self {
        let status = node.sync_status();
        let members = status.members.into_iter().map(|(replica, node, heard, acknowledged, forgotten)| Member {
            replica,
            node,
            heard,
            acknowledged,
            forgotten,
        });
        Self {
            outbox: status.outbox,
            required_acks: node.required_acks() as u64,
            vector: status.vector.iter().map(|dot| (dot.replica, dot.seq)).collect(),
            exact: status.exact,
            connected: status.peers.len() as u64,
            members: members.collect(),
            conflicts: status.conflicts,
            divergences: status.divergences,
            diverged: status.diverged.len() as u64,
            traffic: status.traffic,
            halted: status.halted.map(|finding| finding.to_string()),
        }
    }
}

/// Two writes to one key that had not seen each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictInfo {
    /// Its number on this node, counted up from 1.
    pub id: u64,
    /// The key.
    pub key: Bytes,
    /// When the later of the two was written, by its stamp.
    pub at: WallTime,
    /// What became of it.
    pub outcome: ConflictOutcome,
    /// The version that the merge chose.
    pub winner: ConflictVersion,
    /// The other one.
    pub loser: ConflictVersion,
    /// The winner came in from elsewhere; otherwise it was here.
    pub remote_won: bool,
    /// What the key holds now, whoever wrote it: a policy or a later write may have put another value above both. `None` when
    /// it holds nothing.
    pub stands: Option<Bytes>,
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictVersion {
    /// The name of the operation.
    pub dot: Dot,
    /// When it was written, in hybrid logical time.
    pub stamp: Stamp,
    /// What it wrote; `None` for a deletion.
    pub value: Option<Bytes>,
    /// It was written to settle an earlier conflict.
    pub resolution: bool,
}

impl ConflictInfo {
    pub(crate) fn of(conflict: &Conflict, stands: Option<Bytes>) -> Self {
        let met = &conflict.met;
        let remote_won = met.remote_wins();
        let (winner, loser) = if remote_won { (&met.remote, &met.local) } else { (&met.local, &met.remote) };
        Self {
            id: conflict.id,
            key: met.key.clone(),
            at: conflict.at,
            outcome: conflict.outcome,
            winner: ConflictVersion::of(winner),
            loser: ConflictVersion::of(loser),
            remote_won,
            stands,
        }
    }
}

impl ConflictVersion {
    fn of(version: &Version) -> Self {
        let value = match &version.body {
            Body::Put(value) => Some(value.clone()),
            Body::Delete => None,
        };
        Self { dot: version.dot, stamp: version.stamp, value, resolution: version.resolution }
    }
}

/// How a conflict is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The version that the merge chose stands.
    Winner,
    /// This value stands.
    Value(Bytes),
    /// The key is deleted.
    Delete,
}

impl Resolution {
    pub(crate) fn body(self) -> Option<Body> {
        match self {
            Self::Winner => None,
            Self::Value(value) => Some(Body::Put(value)),
            Self::Delete => Some(Body::Delete),
        }
    }
}
