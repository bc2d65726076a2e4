//! State that a program or an operator can read at any time.

use alloc::string::String;
use alloc::vec::Vec;

use super::types::Degraded;
use crate::ids::{LogId, Lsn, NodeId, ReplicaId};
use crate::store::Digest;
use crate::sync::{Finding, OutboxStatus};
use crate::wal;

/// Whether the node takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Reads and writes.
    Ready,
    /// Reads; writes are refused until there is room on the disk.
    DiskFull,
    /// Reads; writes are refused until the node is reopened.
    Degraded(Degraded),
    /// On the way out.
    Closing,
}

impl Health {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::DiskFull => "disk_full",
            Self::Degraded(_) => "degraded",
            Self::Closing => "closing",
        }
    }
}

/// The whole state of a node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The operator's name of the node.
    pub node_id: NodeId,
    /// Its present history.
    pub replica: ReplicaId,
    /// Whether it takes writes.
    pub health: Health,
    /// The store.
    pub store: StoreStatus,
    /// The log; `None` in memory-only mode.
    pub log: Option<wal::Status>,
    /// LSN up to which the store shows writes.
    pub published: Lsn,
    /// Own operations and how far they got.
    pub outbox: OutboxStatus,
    /// Conflicts ever recorded here.
    pub conflicts: u64,
    /// Peers with a link.
    pub connected: usize,
    /// Why nothing is exchanged with peers any more.
    pub halted: Option<Finding>,
    /// Peers that had another state with the same claims, and have not agreed since.
    pub diverged: usize,
    /// Commands that wait for the disk.
    pub waiting: usize,
}

/// Size and content of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Live keys.
    pub keys: usize,
    /// Deleted keys still remembered.
    pub tombstones: usize,
    /// Bytes of live keys and values.
    pub live_bytes: u64,
    /// Equal on nodes of equal content. What was deleted has no part in it: nodes do not forget that at the same moment.
    pub digest: Digest,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log's name; `None` in memory-only mode.
    pub log: Option<LogId>,
    /// The directory was empty, and a new history was born.
    pub created: bool,
    /// The log ended with the frame of a clean close.
    pub clean: bool,
    /// LSN at which the snapshot began that was loaded.
    pub snapshot_at: Option<Lsn>,
    /// Entries loaded from the snapshot.
    pub snapshot_entries: u64,
    /// Records replayed from the log after it.
    pub records: u64,
    /// Segments read.
    pub segments: u64,
    /// A torn tail that nobody was promised, cut off.
    pub torn: Option<TornTail>,
    /// Signs of somebody else at work in the log that prove no loss, and cannot exclude one.
    pub doubts: Vec<String>,
    /// Live keys afterwards.
    pub keys: usize,
    /// LSN of the last record.
    pub last_lsn: Lsn,
    /// Files in the log directory that are not the log's; they were left alone.
    pub strangers: Vec<String>,
}

/// The end of a log that was being written when the power went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were dropped.
    pub bytes: u64,
}
