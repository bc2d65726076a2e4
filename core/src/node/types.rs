//! What goes into a node and what comes out of it.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::disk::{DiskRequest, DiskResult, IoToken};
use crate::error::Error;
use crate::ids::Lsn;

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
    /// The deadline of [`super::Node::poll_timeout`] has passed.
    Timeout,
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
    /// There is room again; writes are accepted.
    DiskRoom,
    /// A snapshot is durable, and older segments are gone.
    SnapshotDone(SnapshotTaken),
    /// A snapshot was given up; the log goes on without it.
    SnapshotFailed {
        /// Why.
        error: String,
    },
}

/// Why a node refuses writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// What failed and where.
    pub what: String,
    /// First and last LSN of the writes whose fate is known only after reopening.
    pub doubtful: Option<(Lsn, Lsn)>,
}
