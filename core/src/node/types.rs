//! What goes into a node and what comes out of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::discovery::{self, Ignored, Loss, Sighting, Target};
use crate::disk::{DiskError, DiskRequest, DiskResult, IoToken};
use crate::error::Error;
use crate::ids::{Lsn, NodeId, ReplicaId};
use crate::sync;
use crate::transport::address::Address;
use crate::transport::endpoint::{LinkId, PeerId};
use crate::transport::identity::NodeKey;
use crate::transport::reason as link;
use crate::transport::trust::Distrust;

/// Names one command until its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A fact from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A disk operation ended.
    Disk {
        /// Which.
        token: IoToken,
        /// How.
        result: DiskResult,
    },
    /// The disk has found that its directory is not in its place any more: what is written from now on would be found by
    /// nobody.
    DiskLost(DiskError),
    /// The deadline of [`super::Node::poll_timeout`] has passed.
    Timeout,
    /// Something became of a connection.
    Link {
        /// Which.
        link: LinkId,
        /// What.
        fact: LinkFact,
    },
    /// Something about the datagrams of discovery.
    Datagram(DatagramFact),
}

/// What there is to tell of datagrams. The contract stands at the head of [`crate::discovery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatagramFact {
    /// One has arrived.
    Arrived {
        /// From where, as the socket gives it.
        from: SocketAddr,
        /// What.
        bytes: Bytes,
    },
    /// Some were dropped before they came here.
    Dropped {
        /// Where the latest of them came from.
        from: SocketAddr,
        /// Why.
        why: Ignored,
        /// How many.
        count: u64,
    },
    /// One that the node wanted to be sent was not.
    NotSent {
        /// Where it was to go.
        to: Target,
        /// What the system said.
        error: String,
    },
}

/// What became of a connection. The contract stands at the head of [`crate::transport::endpoint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFact {
    /// It is made, as [`LinkAct::Dial`] asked for.
    Connected,
    /// It could not be made.
    DialFailed {
        /// What the system said.
        error: String,
    },
    /// Bytes arrived.
    Bytes(Bytes),
    /// It has taken so many more bytes.
    Written(usize),
    /// It has ended: at its end, or by a failure.
    Ended {
        /// What the system said.
        error: Option<String>,
    },
}

/// What to do about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAct {
    /// Make it; answered by [`LinkFact::Connected`] or [`LinkFact::DialFailed`].
    Dial {
        /// Where to.
        address: Address,
    },
    /// Send bytes, in order; told by [`LinkFact::Written`].
    Send(Bytes),
    /// Close it as soon as what was sent before has been written, or after a second, and speak of it no more.
    Close(link::CloseReason),
}

/// What the node wants from the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Carry out a disk operation.
    Disk(DiskRequest),
    /// Answer a command. Whatever it says is already true.
    Reply {
        /// Which command.
        request: RequestId,
        /// The answer.
        result: Result<Reply, Error>,
    },
    /// The store shows everything up to here. Watchers pull what changed from [`crate::store::Store::feed`].
    Published(Lsn),
    /// Do something about a connection.
    Link {
        /// Which.
        link: LinkId,
        /// What.
        act: LinkAct,
    },
    /// Send a datagram of discovery, from a socket with a port of its own.
    Datagram {
        /// Where to.
        to: Target,
        /// What: at most 1,200 bytes.
        bytes: Bytes,
    },
    /// This name was seen for the first time, with this key: keep both, for the [`super::Network`] of the next start.
    Pin {
        /// The name.
        node: NodeId,
        /// The key.
        key: NodeKey,
    },
    /// Something an operator wants to read.
    Event(Event),
    /// The clean close has ended; nothing follows.
    Closed,
}

/// One write of an atomic batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Put {
        /// 1 to 1024 bytes.
        key: Bytes,
        /// Up to the configured limit.
        value: Bytes,
        /// Refuse the whole batch unless the key has this version; 0 means "unless the key is absent".
        expect: Option<u64>,
        /// Write even if the value is unchanged.
        touch: bool,
    },
    /// Deletes a key. Deleting an absent key writes nothing.
    Delete {
        /// 1 to 1024 bytes.
        key: Bytes,
        /// Refuse the whole batch unless the key has this version; 0 means "unless the key is absent".
        expect: Option<u64>,
    },
}

impl Write {
    /// The key it concerns.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Put { value, .. } => Some(value),
            Self::Delete { .. } => None,
        }
    }

    pub(super) const fn expect(&self) -> Option<u64> {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key, .. } => key.len(),
        }
    }
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a batch: one entry per write, in order.
    Written(Vec<Written>),
    /// To a snapshot.
    Snapshot(SnapshotTaken),
    /// To a flush: everything up to here is durable.
    Flushed(Lsn),
}

/// What one write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// What happened.
    pub outcome: Outcome,
    /// The entry's version count afterwards; 0 for a key that was never there.
    pub version: u64,
    /// LSN of the entry's latest change; [`Lsn::ZERO`] for a key that was never there.
    pub lsn: Lsn,
}

/// What happened to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was absent and has a value now.
    Created,
    /// It had another value.
    Updated,
    /// It had this value already; nothing was written.
    Unchanged,
    /// It was there and is deleted now.
    Deleted,
    /// It was absent; nothing was written.
    Absent,
}

impl Outcome {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
        }
    }
}

/// What a [`super::Node::tick`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Operations that had failed and are queued again.
    pub retried: u64,
    /// Acknowledged operations whose bookkeeping was given up.
    pub pruned: u64,
    /// Own operations that were ready to be sent.
    pub batch: u64,
    /// Entries handed to links, those of others included.
    pub sent: u64,
    /// Peers with a link.
    pub connected: usize,
}

/// A finished snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotTaken {
    /// Replay begins after this LSN.
    pub at: Lsn,
    /// Size of the file.
    pub bytes: u64,
}

/// Something an operator wants to read. The driver turns these into log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Writes are refused from here on, until the node is reopened.
    Degraded(Degraded),
    /// There is no room for the next segment; writes are refused until there is.
    DiskFull {
        /// What the system said.
        error: String,
    },
    /// There is room again: nothing was refused for a while, and something was written.
    DiskRoom,
    /// A snapshot is durable, and older segments are gone.
    SnapshotDone(SnapshotTaken),
    /// A snapshot was given up; the log goes on without it.
    SnapshotFailed {
        /// Why.
        error: String,
    },
    /// A link to a peer stands.
    LinkUp {
        /// Its name.
        node: NodeId,
        /// Its key.
        key: NodeKey,
    },
    /// The link to a peer has ended.
    LinkDown {
        /// Its name.
        node: NodeId,
        /// Its key.
        key: NodeKey,
        /// Why.
        reason: link::CloseReason,
        /// What sync had against it, if it was sync that ended it.
        cause: Option<sync::CloseReason>,
    },
    /// A link ended before it stood.
    LinkFailed {
        /// Which.
        link: LinkId,
        /// For whom it was dialled; `None` if somebody else opened it.
        peer: Option<PeerId>,
        /// Why.
        reason: link::CloseReason,
    },
    /// A proven key was not let in. A changed key is the loud one.
    Distrusted {
        /// The name it gave.
        node: NodeId,
        /// The key.
        key: NodeKey,
        /// Why.
        why: Distrust,
    },
    /// Another running node has the key of this peer, or of this node itself: a directory was copied.
    KeyCloned {
        /// The key.
        key: NodeKey,
    },
    /// Peers knew another history under this node's replica id, and the node goes on under a new one.
    Reborn {
        /// The name that is given up.
        from: ReplicaId,
        /// The new one.
        to: ReplicaId,
        /// What was found.
        finding: sync::Finding,
    },
    /// What sync has to say.
    Sync(sync::Event),
    /// Discovery has found a node that was not there, or was lost.
    NodeFound(Box<Sighting>),
    /// A node that discovery has found has another name, other addresses or capabilities, or was started anew.
    NodeChanged(Box<Sighting>),
    /// A node that discovery had found said goodbye, or was not heard for too long.
    NodeLost {
        /// Its key.
        key: NodeKey,
        /// Its name.
        node: NodeId,
        /// Why.
        why: Loss,
    },
    /// What discovery has to say.
    Discovery(discovery::Notice),
}

/// Why a node refuses writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// What failed and where.
    pub what: String,
    /// First and last LSN of the writes whose fate is known only after reopening.
    pub doubtful: Option<(Lsn, Lsn)>,
}
