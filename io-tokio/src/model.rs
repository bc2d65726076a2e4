//! What the client takes and gives.

mod copies;
mod found;
mod peers;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::{LogId, Lsn, NodeId, ReplicaId};
use softadastra_core::node::{self, Health, Node};
pub use softadastra_core::node::{Outcome, Written};
use softadastra_core::store::{Entry, Store};
use softadastra_core::time::{Now, WallTime};

pub(crate) use self::copies::Copies;
pub use self::found::{DiscoveryCounters, DiscoveryState, FoundNode, FoundState, TargetState};
pub use self::peers::{
    ConflictInfo, ConflictOutcome, ConflictVersion, LinkError, Member, OutboxStatus, PeerInfo, PeerState, PeerSync,
    Phase, Refusal, Resolution, SyncState, Traffic,
};

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

impl Value {
    /// The value of an entry; `None` of a tombstone.
    pub(crate) fn of(entry: &Entry<'_>) -> Option<Self> {
        let bytes = entry.value_bytes()?;
        Some(Self::with(bytes, entry))
    }

    fn with(bytes: Bytes, entry: &Entry<'_>) -> Self {
        Self { bytes, version: entry.version(), stamp: entry.stamp(), lsn: entry.changed() }
    }
}

/// One key of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Bytes,
    /// What it holds.
    pub value: Value,
}

impl Item {
    /// Of an entry with a value. What is short is copied to where its neighbours are; see [`Page`].
    pub(crate) fn of(entry: &Entry<'_>, copies: &mut Copies) -> Option<Self> {
        let key = copies.copy(entry.key());
        let value = entry.value()?;
        let bytes = if Copies::takes(value) { copies.copy(value) } else { entry.value_bytes()? };
        Some(Self { key, value: Value::with(bytes, entry) })
    }
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

impl ScanOptions {
    /// The range of keys in which everything asked for lies. Keys beyond the prefix may lie in it, behind the others.
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let from = self.from.as_deref().unwrap_or_default().max(&self.prefix);
        let start = match self.after.as_deref() {
            Some(after) if after >= from => Bound::Excluded(after),
            Some(_) | None => Bound::Included(from),
        };
        (start, self.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// Refuses what no page can be of.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for a limit of 0.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.limit == 0 {
            return Err(Error::new(Code::InvalidArgument, "the limit of a scan is 0", "ask for at least one item"));
        }
        Ok(())
    }

    /// Everything asked for, whatever the limit.
    pub(crate) fn listing<'a>(&'a self, store: &'a Store) -> impl Iterator<Item = Entry<'a>> + 'a {
        let within = |entry: &Entry<'_>| self.prefix.is_empty() || entry.key().starts_with(&self.prefix);
        store.scan(self.bounds()).take_while(within)
    }
}

/// One page of a scan, read at one instant.
///
/// Short keys and values share memory with their neighbours, up to 4 KiB of it: whoever keeps one of them for long, and not
/// the others, may want a copy.
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
    /// A name for people; the node id unless another was given.
    pub display_name: String,
    /// Name of the machine.
    pub hostname: String,
    /// Operating system and architecture.
    pub os: String,
    /// Version of this software.
    pub version: String,
    /// What it can do, sorted.
    pub capabilities: Vec<String>,
    /// Where its data is; `None` when it keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// When it was opened.
    pub started_at: WallTime,
    /// How long it has been open.
    pub uptime: Duration,
}

impl NodeInfo {
    pub(crate) fn of(node: &Node, now: Now, log_id: Option<LogId>, data_dir: Option<&Path>) -> Self {
        let info = node.info(now);
        Self {
            node_id: info.node_id,
            replica_id: info.replica,
            log_id,
            display_name: info.display_name,
            hostname: info.hostname,
            os: info.os,
            version: info.version,
            capabilities: info.capabilities,
            data_dir: data_dir.map(Path::to_owned),
            started_at: info.started,
            uptime: info.uptime,
        }
    }
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
    /// Order-independent digest of the keys that have a value, 128 bits.
    pub digest: u128,
    /// The log; `None` when everything is kept in memory.
    pub wal: Option<WalStatus>,
    /// Own operations that no other node has acknowledged.
    pub outbox: u64,
    /// Writes that wait for the disk at this moment.
    pub waiting: u64,
    /// Why nothing is exchanged with peers any more.
    pub halted: Option<String>,
    /// Peers that had another state with the same claims, and have not agreed since.
    pub diverged: u64,
}

impl Status {
    /// `wal`: where the log is.
    pub(crate) fn of(node: &Node, wal: Option<PathBuf>) -> Self {
        let status = node.status();
        let wal = wal.zip(node.log()).map(|(path, log)| {
            let (progress, log) = (log.progress(), log.status());
            WalStatus {
                path,
                last_lsn: progress.accepted,
                durable_lsn: progress.durable,
                segments: log.segments as u64,
                bytes: log.bytes,
                tail_bytes: log.tail_bytes,
                snapshot_lsn: log.snapshot.map_or(Lsn::ZERO, |snapshot| snapshot.at),
                snapshot_bytes: log.snapshot.map_or(0, |snapshot| snapshot.bytes),
                snapshot_running: log.snapshot_running,
            }
        });
        Self {
            state: NodeState::of(status.health),
            keys: status.store.keys as u64,
            tombstones: status.store.tombstones as u64,
            live_bytes: status.store.live_bytes,
            digest: status.store.digest.0,
            wal,
            outbox: status.outbox.size(),
            waiting: status.waiting as u64,
            halted: status.halted.map(|finding| finding.to_string()),
            diverged: status.diverged as u64,
        }
    }
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

impl NodeState {
    fn of(health: Health) -> Self {
        match health {
            Health::Ready => Self::Ready,
            Health::DiskFull => Self::NoRoom,
            Health::Degraded(degraded) => Self::Degraded(degraded.what),
            Health::Closing => Self::Closing,
        }
    }

    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoRoom => "no_room",
            Self::Degraded(_) => "degraded",
            Self::Closing => "closing",
        }
    }
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
    /// Bytes logged since that snapshot began: what an opening has to replay.
    pub tail_bytes: u64,
    /// Where the latest snapshot began; [`Lsn::ZERO`] when there is none.
    pub snapshot_lsn: Lsn,
    /// Size of that snapshot.
    pub snapshot_bytes: u64,
    /// One is being written.
    pub snapshot_running: bool,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log's name; `None` when everything is kept in memory.
    pub log_id: Option<LogId>,
    /// The directory was empty and a new log was founded.
    pub created: bool,
    /// The log ended with the frame of a clean close.
    pub clean: bool,
    /// Records replayed after the snapshot.
    pub records: u64,
    /// Where the snapshot it started from began; [`Lsn::ZERO`] when there was none.
    pub snapshot_lsn: Lsn,
    /// Bytes at the end that were no whole frame and were cut: a write that was cut short, or damage to the very last one.
    pub torn_bytes: u64,
    /// Signs of somebody else at work in the log that prove no loss, and cannot exclude one.
    pub doubts: Vec<String>,
    /// The last record.
    pub last_lsn: Lsn,
    /// Entries loaded from the snapshot.
    pub snapshot_entries: u64,
    /// Segments read.
    pub segments: u64,
    /// Keys that hold a value.
    pub keys: u64,
    /// Files in the log directory that are not the log's; they were left alone.
    pub strangers: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl RecoveryReport {
    pub(crate) fn new(report: node::RecoveryReport, took: Duration) -> Self {
        Self {
            log_id: report.log,
            created: report.created,
            clean: report.clean,
            records: report.records,
            snapshot_lsn: report.snapshot_at.unwrap_or(Lsn::ZERO),
            torn_bytes: report.torn.map_or(0, |torn| torn.bytes),
            doubts: report.doubts,
            last_lsn: report.last_lsn,
            snapshot_entries: report.snapshot_entries,
            segments: report.segments,
            keys: report.keys as u64,
            strangers: report.strangers,
            took,
        }
    }
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
