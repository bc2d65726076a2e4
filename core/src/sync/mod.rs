//! Sync: bringing every replica to the same state, over links that break.
//!
//! [`Engine`] is one pure machine for all peers. It knows the store's types, and neither log nor transport. Facts go in
//! (`peer_up`, `handle_message`, `durable` …), [`Effect`]s come out, and bulk is pulled: [`Effect::PeerReady`] says
//! that [`Engine::write_batch`] has something for a link; it composes from the store at the moment of sending.
//!
//! ```text
//!            handle_message                       applied(token, lsn)          durable(lsn)
//!  link ───────────────────▶ Engine ─▶ Apply ─▶ stage + log in one frame ─────────────────▶ claims, ack
//!  link ◀─────────────────── Engine ◀─ write_batch ◀─ PeerReady
//! ```
//!
//! # What is promised
//!
//! A version vector claims a dot only if the operation, or what superseded it, is durable here. It advances only at
//! *cuts*: a sender that has walked its feed to the end says what the receiver may claim now. Nothing is offered to a
//! peer that is not durable here, and an acknowledgement is always a replica's own durable vector.
//!
//! `docs/sync.md` has the algorithm, the argument for convergence and the message layouts.
//!
//! *Invariant:* this module never knows transport, log or node. A [`PeerId`] is a number, an [`Lsn`] rises.

mod carry;
mod chain;
mod collect;
mod conflict;
mod conflicts;
mod deadlines;
mod direct;
mod ending;
mod engine;
mod former;
mod full;
#[doc(hidden)]
pub mod fuzz;
mod greet;
mod histories;
mod intake;
mod lease;
mod members;
pub mod message;
mod outbox;
mod progress;
mod pulse;
mod receive;
mod record;
mod rename;
mod repair;
mod repeats;
mod send;
mod session;
mod sessions;
mod settle;
mod state;
mod status;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

pub use self::carry::{Carried, Logged, carry_out};
pub use self::chain::{Ladder, Pairs};
pub use self::conflict::{Conflict, Met, Outcome, Policy, Version};
pub use self::conflicts::{Conflicts, MAX_CONFLICT_BYTES, MAX_CONFLICTS, MAX_OPEN_CONFLICT_BYTES, MAX_OPEN_CONFLICTS};
pub use self::engine::{Engine, Traffic};
pub use self::members::Member;
pub use self::message::{Bye, PROTOCOL};
pub use self::outbox::OutboxStatus;
pub use self::record::{Checkpoint, Contest, SyncRecord};
pub use self::rename::Renaming;
pub use self::repeats::Burial;
pub use self::state::State;
pub use self::status::{Load, PeerStatus, Phase, Status};

use crate::context::VersionVector;
use crate::error::{Code, Error};
use crate::ids::{Dot, LogId, Lsn, NodeId, ReplicaId, Seq};
use crate::op::{Body, Operation};

/// Names one link, from its beginning to its end. The node chooses it and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// Names one [`Apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Who this replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its history.
    pub replica: ReplicaId,
    /// The operator's name of the node.
    pub node: NodeId,
    /// Its log.
    pub log: LogId,
    /// Drawn anew at each start.
    pub boot: u64,
    /// Names the network: two replicas of different networks turn each other away.
    pub network: [u8; 16],
}

/// What to do about a peer whose clock is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockPolicy {
    /// Say so, and go on: order is by the operations' own stamps, and data flows.
    #[default]
    Warn,
    /// Close the link.
    Refuse,
}

/// What tells that a member was not heard for its lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseClock {
    /// The wall clock, and the time that this node was up: leaps age nobody.
    #[default]
    Steady,
    /// The wall clock alone. For simulators, which have members taken for gone by letting it leap.
    Wall,
}

/// Settings of sync. The defaults suit a fleet of some dozen nodes on links of any quality.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many other replicas must hold an operation durably before it counts as acknowledged; at least 1. Default 1:
    /// two copies.
    pub required_acks: usize,
    /// Bytes of batches a peer may send before they are durable here. Default 1 MiB: a second of a slow link, and what
    /// each peer may cost in memory.
    pub window: u64,
    /// A link on which something stays unanswered for so long is suspect and closed. Default 15 s.
    pub ack_timeout: Duration,
    /// After so many links that broke with own operations under way and no progress, those are shown as failed. Default
    /// 8: some minutes of trouble.
    pub max_retries: u32,
    /// The pause after the first broken link; each further one doubles it. Default 500 ms.
    pub backoff_first: Duration,
    /// The longest pause. Default 60 s.
    pub backoff_max: Duration,
    /// How often a pulse goes out. Default 10 s.
    pub ping_every: Duration,
    /// How long an announcement of claims waits for others to join it. Default 20 ms.
    pub announce_delay: Duration,
    /// How long word of other replicas waits for more. Default 500 ms.
    pub gossip_delay: Duration,
    /// A peer in the middle of its feed that sends nothing for so long is no longer relied on for its own operations.
    /// Default 5 s.
    pub stall_after: Duration,
    /// A full exchange that others wait for, and in which the peer does not go on for so long, ends with its link; so
    /// does one that takes twenty times as long in all, twice that the next time. Default 30 s.
    pub full_timeout: Duration,
    /// A replica that nobody heard for so long no longer holds back the collection of tombstones. Default 30 days.
    pub member_lease: Duration,
    /// What tells that. Default [`LeaseClock::Steady`].
    pub lease_clock: LeaseClock,
    /// How often tombstones are collected. Default 10 minutes.
    pub collect_every: Duration,
    /// A peer whose clock is off by more is said to be skewed. Default 5 minutes.
    pub max_clock_skew: Duration,
    /// What to do about it. Default [`ClockPolicy::Warn`].
    pub clock_policy: ClockPolicy,
    /// What to do about conflicts. Default [`Policy::LastWriteWins`].
    pub conflict_policy: Policy,
    /// Whether operations are sent by themselves. Default on; else only a tick sends them, for links that cost money.
    pub auto_tick: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            required_acks: 1,
            window: 1 << 20,
            ack_timeout: Duration::from_secs(15),
            max_retries: 8,
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            ping_every: Duration::from_secs(10),
            announce_delay: Duration::from_millis(20),
            gossip_delay: Duration::from_millis(500),
            stall_after: Duration::from_secs(5),
            full_timeout: Duration::from_secs(30),
            member_lease: Duration::from_secs(30 * 24 * 3600),
            lease_clock: LeaseClock::Steady,
            collect_every: Duration::from_secs(600),
            max_clock_skew: Duration::from_secs(300),
            clock_policy: ClockPolicy::Warn,
            conflict_policy: Policy::LastWriteWins,
            auto_tick: true,
        }
    }
}

impl Settings {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("required_acks must be at least 1", self.required_acks >= 1),
            ("window must be 4 KiB to 1 GiB", (4 << 10..=1 << 30).contains(&self.window)),
            ("ack_timeout must be at least 100 ms", self.ack_timeout >= Duration::from_millis(100)),
            ("max_retries must be at least 1", self.max_retries >= 1),
            ("backoff_first must be at least 10 ms", self.backoff_first >= Duration::from_millis(10)),
            ("backoff_max must not be below backoff_first", self.backoff_max >= self.backoff_first),
            ("ping_every must be at least 100 ms", self.ping_every >= Duration::from_millis(100)),
            ("full_timeout must be at least 1 s", self.full_timeout >= Duration::from_secs(1)),
            ("member_lease must be at least 1 hour", self.member_lease >= Duration::from_secs(3600)),
            ("collect_every must be at least 1 s", self.collect_every >= Duration::from_secs(1)),
        ];
        match checks.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(Error::new(Code::InvalidArgument, *what, "correct the setting")),
            None => Ok(()),
        }
    }
}

/// What the engine asks for and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call [`Engine::write_batch`] for this peer as long as the link has room and it has something. Comes again only
    /// after it had nothing.
    PeerReady(PeerId),
    /// The same for every peer that [`Engine::woken`] names.
    AllReady,
    /// Stage and log these in one frame ([`carry_out`]), then call [`Engine::applied`] or [`Engine::apply_refused`].
    /// To be done in the order in which they come.
    Apply(Apply),
    /// Something has come over this link for good, in one direction or the other: it was worth making. Comes once.
    Progressed(PeerId),
    /// Log this with the next frame. Nothing waits for it.
    Persist(SyncRecord),
    /// When nothing is staged, call [`Engine::plan_collection`].
    CollectDue,
    /// Call [`Engine::write_batch`] once more, then close the link and call [`Engine::peer_down`]. Do not dial this
    /// peer again before `retry_after` has passed.
    Close {
        /// Which link.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
        /// The pause.
        retry_after: Duration,
    },
    /// Write this as an own operation marked as a resolution, if the key's latest winner is still `winner`.
    Resolve(Resolution),
    /// This history is not the one that peers know under its name. Nothing is taken from or sent to anybody until the
    /// node goes on under a new replica id and log id.
    Rebirth(Finding),
    /// Something an operator wants to read.
    Event(Event),
}

/// Which of two ways a message may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Small; may overtake bulk.
    Urgent,
    /// Operations and what belongs to them.
    Bulk,
}

/// Foreign entries to take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// To be named in the answer.
    pub token: Token,
    /// From whom.
    pub peer: PeerId,
    /// What.
    pub items: Vec<Item>,
    /// Versions that a full exchange found deleted.
    pub drops: Vec<(Dot, Bytes)>,
    /// Keys whose present value is to be written again as an own operation, ahead of the rest: a full exchange found
    /// that the others may have deleted the key, not having seen this value. If that is an operation that others know by
    /// its name, the new one is to say that it repeats this.
    pub reissue: Vec<(Bytes, Option<Dot>)>,
    /// Versions to be deleted by an own operation, ahead of the rest: a full exchange found that the others have deleted
    /// them and forgotten it, and then merged an older tombstone that is merged here too and must not be lost.
    pub bury: Vec<(Dot, Bytes)>,
    /// Deletions to be written as own operations, ahead of the rest, if they are due by then: some of `items` repeat what was
    /// seen deleted here.
    pub burials: Vec<Burial>,
    /// What to log behind the entries, in the same frame.
    pub records: Vec<SyncRecord>,
}

/// A foreign entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its operation.
    pub op: Operation,
    /// What else was merged with it; empty if nothing.
    pub known: VersionVector,
    /// It was deleted here before, and comes too late to be a side of a conflict. It is taken in for what was merged with it.
    pub late: bool,
}

/// What a policy wants written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The conflict it settles.
    pub conflict: u64,
    /// Its key.
    pub key: Bytes,
    /// Only if this is still the winner.
    pub winner: Dot,
    /// What to write.
    pub body: Body,
}

/// Why a link is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the protocol.
    Protocol(String),
    /// It belongs to another network.
    WrongNetwork,
    /// There is no protocol that both speak.
    NoCommonProtocol,
    /// It answered nothing for too long.
    Silent,
    /// Its clock is too far off, and the policy refuses that.
    ClockSkew,
    /// A newer link to the same replica took over.
    Replaced,
    /// This replica has forgotten deletions that the peer has not seen: the two must greet each other anew, and compare
    /// everything.
    FloorRose,
    /// What it sent could not be made durable here: no room.
    NoRoom,
    /// What it sent could not be made durable here: the disk failed.
    Degraded,
    /// It sent an operation that no honest node can have issued.
    StampOutOfRange,
    /// With what it sent, more replicas would be named here than any vector may.
    TooManyReplicas,
    /// The full exchange that it began came to no end, and what others sent had to wait.
    FullStalled,
    /// Others have brought in meanwhile what a full exchange with it had found deleted: the two must compare everything anew.
    FullSpoiled,
    /// Its identity, or ours, is not what it claims to be.
    Identity(Finding),
    /// It said farewell.
    Told(Bye),
}

impl CloseReason {
    /// What the peer is told.
    #[must_use]
    pub const fn bye(&self) -> Bye {
        match self {
            Self::Protocol(_) => Bye::Protocol,
            Self::WrongNetwork => Bye::WrongNetwork,
            Self::NoCommonProtocol => Bye::NoCommonProtocol,
            Self::Silent | Self::FloorRose | Self::FullSpoiled => Bye::Leaving,
            Self::StampOutOfRange => Bye::StampOutOfRange,
            Self::TooManyReplicas => Bye::TooManyReplicas,
            Self::FullStalled => Bye::FullStalled,
            Self::ClockSkew => Bye::ClockSkew,
            Self::Replaced => Bye::Replaced,
            Self::NoRoom => Bye::NoRoom,
            Self::Degraded => Bye::Degraded,
            Self::Identity(_) => Bye::Identity,
            Self::Told(bye) => *bye,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(what) => write!(f, "protocol error: {what}"),
            Self::WrongNetwork => f.write_str("the peer belongs to another network"),
            Self::NoCommonProtocol => f.write_str("the peer speaks no protocol that this version speaks"),
            Self::Silent => f.write_str("no acknowledgement in time"),
            Self::ClockSkew => f.write_str("the peer's clock is too far off"),
            Self::Replaced => f.write_str("a newer link to the same replica took over"),
            Self::FloorRose => f.write_str("deletions were collected that the peer has not seen"),
            Self::StampOutOfRange => f.write_str("stamp_out_of_range: the peer sent what no clock can have stamped"),
            Self::TooManyReplicas => f.write_str("too_many_replicas: the peer names more replicas than there can be"),
            Self::FullStalled => f.write_str("full_stalled: the peer began a full exchange and did not go on with it"),
            Self::FullSpoiled => f.write_str("others sent what a full exchange had compared: it begins anew"),
            Self::NoRoom => f.write_str("no room on this node's disk for what the peer sent"),
            Self::Degraded => f.write_str("this node's disk has failed"),
            Self::Identity(finding) => finding.fmt(f),
            Self::Told(bye) => write!(f, "the peer said: {bye}"),
        }
    }
}

/// Two histories bear one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This history was rolled back: a peer has seen more of it, or other things in it, than it holds.
    Rollback {
        /// What this replica has issued.
        own: Seq,
        /// What it had issued when the peer heard of it.
        told: Seq,
        /// Up to here it is certain that both mean the same history.
        common: Seq,
    },
    /// This log was rolled back: a peer has taken in more of its feed than it ever held.
    LogRollback {
        /// What is durable here.
        durable: Lsn,
        /// What the peer took in.
        told: Lsn,
        /// Up to here it is certain that the peer holds the operations of this history.
        common: Seq,
    },
    /// This log was rolled back: it once said that it holds more of another history than it does.
    ClaimRollback {
        /// Of which.
        of: ReplicaId,
        /// What it holds of it.
        own: Seq,
        /// What it said.
        told: Seq,
        /// Up to here it is certain that the peer holds the operations of this history.
        common: Seq,
    },
    /// Another running node has this replica id, or two running peers share one.
    Clone(ReplicaId),
}

impl Finding {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rollback { .. } | Self::LogRollback { .. } | Self::ClaimRollback { .. } => "identity_rollback",
            Self::Clone(_) => "identity_clone",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rollback { own, told, .. } if told > own => {
                write!(f, "this node's data was rolled back: it has issued {own} operations, a peer was told of {told}")
            }
            Self::Rollback { told, common, .. } => write!(
                f,
                "two histories bear this node's name: a peer was told of {told} operations, and they are the same here up to \
                 {common} only; the directory was copied, or copied back and written to since"
            ),
            Self::LogRollback { durable, told, .. } => {
                write!(f, "this node's log was rolled back: it ends at {durable}, a peer took in {told}")
            }
            Self::ClaimRollback { of, own, told, .. } => write!(
                f,
                "this node's log was rolled back: it holds {own} operations of replica {of}, and once told that it holds {told}"
            ),
            Self::Clone(replica) => write!(f, "replica {replica} runs in two places"),
        }
    }
}

/// Something an operator wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer is in sync traffic now.
    Opened {
        /// Its link.
        peer: PeerId,
        /// Its history.
        replica: ReplicaId,
        /// Its name.
        node: NodeId,
    },
    /// Two concurrent writes met.
    Conflict {
        /// Its number on this node.
        id: u64,
        /// The key.
        key: Bytes,
    },
    /// There are more open conflicts than can be kept: this one is no longer on record, and with it the version that lost.
    ConflictDropped {
        /// Its number on this node.
        id: u64,
        /// The key.
        key: Bytes,
    },
    /// A clock is off.
    ClockSkew {
        /// Whose.
        peer: PeerId,
        /// Milliseconds that it is ahead of this node's (negative: behind).
        ahead_ms: i64,
    },
    /// Two replicas that claim the same, and hold nothing else, differ. A repair is under way.
    Diverged {
        /// The other one.
        peer: PeerId,
    },
    /// Two histories bear one name.
    Identity(Finding),
    /// Own operations could not be delivered after many tries. They are kept, and tried again.
    Failed {
        /// How many.
        operations: u64,
        /// The last failure.
        reason: String,
    },
    /// Tombstones were collected.
    Collected {
        /// How many.
        tombstones: usize,
    },
}

#[cfg(test)]
mod tests;
