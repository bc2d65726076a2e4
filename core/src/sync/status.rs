//! What a program or an operator can read of sync.

use alloc::vec::Vec;
use core::time::Duration;

use super::engine::{Engine, Traffic};
use super::outbox::OutboxStatus;
use super::session::{Phase as SessionPhase, Session};
use super::{Finding, PeerId};
use crate::context::VersionVector;
use crate::ids::{Lsn, NodeId, ReplicaId, Seq};
use crate::store::Store;
use crate::time::WallTime;

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The two are finding out who they are.
    Greeting,
    /// Everything flows.
    Open,
    /// One is below the other's floor: the whole state is compared.
    FullExchange,
    /// It is being closed.
    Closing,
}

/// What is under way to peers, at a glance: one look at each session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of batches that the peer with the most of them has not acknowledged.
    pub most_in_flight: u64,
    /// Sessions in which a full exchange is under way.
    pub full_exchanges: usize,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its link.
    pub peer: PeerId,
    /// How far it has come.
    pub phase: Phase,
    /// The peer's history, once it has said.
    pub replica: Option<ReplicaId>,
    /// The peer's name, once it has said.
    pub node: Option<NodeId>,
    /// What the peer claims.
    pub vector: VersionVector,
    /// The own feed is with the peer up to here.
    pub acknowledged: Lsn,
    /// Changes of the own feed that the peer does not claim, as far as looked at (at most 10,000 are counted).
    pub lag: u64,
    /// Bytes sent and not yet acknowledged.
    pub in_flight: u64,
    /// The peer's feed is taken in up to here.
    pub taken: Lsn,
    /// Milliseconds the peer's clock is ahead of this one's.
    pub clock_ahead_ms: i64,
    /// From the last ping.
    pub round_trip: Option<Duration>,
}

/// Sync as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Own operations by their state.
    pub outbox: OutboxStatus,
    /// What this replica claims.
    pub vector: VersionVector,
    /// Nothing is here beyond what it claims.
    pub exact: bool,
    /// What is here beyond what it claims; as much of it as is left of closed histories does not count against `exact`.
    pub unclaimed: VersionVector,
    /// Batches taken from peers that are not in the log yet.
    pub waiting: usize,
    /// Sessions.
    pub peers: Vec<PeerStatus>,
    /// Other replicas known: which, its name, when it was last heard, own operations it holds, whether it is forgotten.
    pub members: Vec<(ReplicaId, NodeId, WallTime, Seq, bool)>,
    /// Conflicts ever recorded here.
    pub conflicts: u64,
    /// Those that wait for somebody to resolve them.
    pub open_conflicts: usize,
    /// Times that a peer with the same claims had another state.
    pub divergences: u64,
    /// Peers that had another state with the same claims, and have not agreed since.
    pub diverged: Vec<ReplicaId>,
    /// Entries that crossed links.
    pub traffic: Traffic,
    /// Why nothing is exchanged any more.
    pub halted: Option<Finding>,
}

/// Changes counted for a lag at most.
const LAG: usize = 10_000;

impl Engine {
    /// Own operations by their state.
    #[must_use]
    pub fn outbox_status(&self) -> OutboxStatus {
        // Mostly the first one was sent everything.
        let mut sent = 0;
        for session in self.sessions.values().filter(|session| session.is_open()) {
            sent = session.sent_seq.max(sent);
            if sent >= self.own_seq {
                break;
            }
        }
        self.outbox.status((self.state.pruned, self.state.acknowledged), sent, self.own_seq)
    }

    /// How many peers had another state with the same claims, and have not agreed since.
    #[must_use]
    pub fn diverged(&self) -> usize {
        self.diverged.len()
    }

    /// The name of the peer of a session, once it has said.
    #[must_use]
    pub fn name_of(&self, peer: PeerId) -> Option<NodeId> {
        self.sessions.get(&peer)?.them.as_ref().map(|them| them.node.clone())
    }

    /// What is under way to peers, at a glance.
    #[must_use]
    pub fn load(&self) -> Load {
        let sessions = || self.sessions.values();
        Load {
            most_in_flight: sessions().map(Session::in_flight).max().unwrap_or(0),
            full_exchanges: sessions()
                .filter(|session| session.full_in.is_some() || session.full_out.is_some())
                .count(),
        }
    }

    /// All sessions. Counting lags looks at the feed: not for every message.
    #[must_use]
    pub fn peers(&self, store: &Store) -> Vec<PeerStatus> {
        let peers = self.sessions.iter().map(|(peer, session)| PeerStatus {
            peer: *peer,
            phase: match session.phase {
                SessionPhase::Greeting | SessionPhase::Resuming => Phase::Greeting,
                SessionPhase::Open if session.full_in.is_some() || session.full_out.is_some() => Phase::FullExchange,
                SessionPhase::Open => Phase::Open,
                SessionPhase::Closing => Phase::Closing,
            },
            replica: session.replica(),
            node: session.them.as_ref().map(|them| them.node.clone()),
            vector: session.vector.clone(),
            acknowledged: session.acked_lsn,
            lag: store
                .feed(session.acked_lsn)
                .take(LAG)
                .filter(|entry| entry.known_dots().any(|dot| !session.vector.covers(dot)))
                .count() as u64,
            in_flight: session.in_flight(),
            taken: session.taken_lsn,
            clock_ahead_ms: session.ahead_ms,
            round_trip: session.round_trip,
        });
        peers.collect()
    }

    /// The whole state at this moment. Counting lags looks at the feed: not for every message.
    #[must_use]
    pub fn status(&self, store: &Store) -> Status {
        let members = self.state.members.iter().map(|(replica, member)| {
            let held = member.vector.get(self.me.replica);
            (replica, member.node.clone(), member.heard, held, member.is_forgotten())
        });
        Status {
            outbox: self.outbox_status(),
            vector: self.claims.clone(),
            exact: self.is_exact(store),
            unclaimed: self.state.met.beyond(&self.claims),
            waiting: self.applies.iter().filter(|applying| applying.lsn.is_none()).count(),
            peers: self.peers(store),
            members: members.collect(),
            conflicts: self.state.conflicts.total(),
            open_conflicts: self.state.conflicts.open(),
            divergences: self.divergences,
            diverged: self.diverged.iter().copied().collect(),
            traffic: self.traffic,
            halted: self.halted,
        }
    }
}
