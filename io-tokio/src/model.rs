//! What the client takes and gives.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::ids::{LogId, Lsn, NodeId, ReplicaId};
use softadastra_core::time::WallTime;

/// What one write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was absent and has a value now.
    Created,
    /// The key has another value than before, or the same one written again by a touch.
    Updated,
    /// The key had this very value; nothing was written.
    Unchanged,
    /// The key had a value and has none now.
    Deleted,
    /// The key was absent; nothing was written.
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

/// The answer to one write: it is as durable as the [`Durability`](crate::Durability) asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How often this key's winner has changed so far, deletions included; 0 for a key that never was.
    pub version: u64,
    /// What happened.
    pub outcome: Outcome,
    /// Position in the node's log; [`Lsn::ZERO`] when nothing was written.
    pub lsn: Lsn,
}

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub bytes: Bytes,
    /// How often this key's winner has changed so far; give it to `put_if_version`.
    pub version: u64,
    /// When it was written, in hybrid logical time.
    pub stamp: Stamp,
    /// Position of its latest change in the node's log.
    pub lsn: Lsn,
}

/// One key of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Bytes,
    /// What it holds.
    pub value: Value,
}

/// Which keys to list. All of them by default, 1,000 at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// Only keys that begin so. Default: empty, all keys.
    pub prefix: Bytes,
    /// Only keys from this one on, inclusive. Default: none.
    pub from: Option<Bytes>,
    /// Only keys before this one, exclusive. Default: none.
    pub to: Option<Bytes>,
    /// Only keys after this one: the cursor that the page before ended with. Default: none.
    pub after: Option<Bytes>,
    /// The most items of one page, 1 or more. Default 1,000: a page is read under one lock, and writers wait for it.
    pub limit: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { prefix: Bytes::new(), from: None, to: None, after: None, limit: 1000 }
    }
}

/// One page of a scan, read at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of keys.
    pub items: Vec<Item>,
    /// Where to go on, as [`ScanOptions::after`]; `None` at the end.
    pub next: Option<Bytes>,
}

/// One change seen by a watch. Versions that were overwritten before the watch came to them are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// Its value; `None` when it was deleted.
    pub value: Option<Bytes>,
    /// How often this key's winner has changed so far.
    pub version: u64,
    /// Position of the change in the node's log: a later watch may start after it.
    pub lsn: Lsn,
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The operator's name of it.
    pub node_id: NodeId,
    /// Names its present history.
    pub replica_id: ReplicaId,
    /// Names its log; `None` when it keeps everything in memory.
    pub log_id: Option<LogId>,
    /// Name of the machine.
    pub hostname: String,
    /// Operating system and architecture.
    pub os: String,
    /// Version of this software.
    pub version: String,
    /// Where its data is; `None` when it keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// When it was opened.
    pub started_at: WallTime,
    /// How long it has been open.
    pub uptime: Duration,
}

/// How a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Reads and writes.
    pub state: NodeState,
    /// Keys that hold a value.
    pub keys: u64,
    /// Deleted keys still remembered.
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
    /// Order-independent digest of the contents, 128 bits.
    pub digest: u128,
    /// The log; `None` when everything is kept in memory.
    pub wal: Option<WalStatus>,
}

/// What a node can do at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Reads and writes.
    Ready,
    /// The disk has no room: it reads, and writes are refused until there is room again.
    NoRoom,
    /// It reads; writes are refused until it is reopened. Says why.
    Degraded(String),
    /// It is being closed.
    Closing,
}

/// How the log does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalStatus {
    /// Its directory.
    pub path: PathBuf,
    /// The last record accepted.
    pub last_lsn: Lsn,
    /// Everything up to here survives a crash.
    pub durable_lsn: Lsn,
    /// Number of segment files.
    pub segments: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Where the latest snapshot began; [`Lsn::ZERO`] when there is none.
    pub snapshot_lsn: Lsn,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The directory was empty and a new log was founded.
    pub created: bool,
    /// The log ended with the frame of a clean close.
    pub clean: bool,
    /// Records replayed after the snapshot.
    pub records: u64,
    /// Where the snapshot it started from began; [`Lsn::ZERO`] when there was none.
    pub snapshot_lsn: Lsn,
    /// Bytes of an unfinished write that nobody was promised, cut from the end.
    pub torn_bytes: u64,
    /// The last record.
    pub last_lsn: Lsn,
    /// How long it took.
    pub took: Duration,
}

/// What a snapshot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Everything up to here is in it.
    pub at: Lsn,
    /// Its size.
    pub bytes: u64,
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Everything up to here is in it.
    pub durable_lsn: Lsn,
    /// Files it consists of, manifest left out.
    pub files: u64,
    /// Files copied this time; the others were there from an earlier backup.
    pub copied_files: u64,
    /// Bytes it consists of.
    pub bytes: u64,
    /// Bytes copied this time.
    pub copied_bytes: u64,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The node's name.
    pub node_id: NodeId,
    /// The new history.
    pub replica_id: ReplicaId,
    /// The history that the backup was made of.
    pub old_replica_id: ReplicaId,
    /// Keys that hold a value.
    pub keys: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
}
