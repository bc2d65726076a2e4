//! What commands about the log, snapshots and backups answer.

use serde::{Deserialize, Serialize};

/// What a snapshot did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Everything up to here is in it.
    pub at: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a backup did, or what checking one found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Where it is.
    pub dir: String,
    /// Everything up to here is in it.
    pub durable_lsn: u64,
    /// Files it consists of, its manifest left out.
    pub files: u64,
    /// Files copied this time; the others were there from an earlier backup.
    pub copied_files: u64,
    /// Bytes it consists of.
    pub bytes: u64,
    /// Bytes copied this time.
    pub copied_bytes: u64,
    /// Nothing was copied: every byte was read and is as it was written.
    #[serde(default)]
    pub verified: bool,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The new data directory.
    pub data_dir: String,
    /// The node's name.
    pub node_id: String,
    /// The new history.
    pub replica_id: String,
    /// The history that the backup was made of.
    pub old_replica_id: String,
    /// Keys that have a value.
    pub keys: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
}

/// What the log of a directory consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Where it is.
    pub path: String,
    /// Its name; absent in an empty directory.
    pub log_id: Option<String>,
    /// Segments, oldest first.
    pub segments: Vec<Segment>,
    /// The snapshot that recovery starts from.
    pub snapshot: Option<SnapshotFile>,
    /// Damage to acknowledged data.
    pub damage: Vec<Damage>,
    /// What is no whole frame at the end: a write that was cut short, or damage to the very last one.
    pub torn: Option<Torn>,
    /// Signs of somebody else at work that prove no loss, and cannot exclude one.
    #[serde(default)]
    pub doubts: Vec<String>,
    /// Position of the next record.
    pub next_lsn: u64,
    /// The greatest position that the log itself states to have been durable.
    pub durable_seen: u64,
    /// Whether the log ended with a clean close.
    pub closed_cleanly: bool,
    /// Whether a running node uses it, and answered.
    #[serde(default)]
    pub in_use: bool,
    /// Files that are not the log's.
    pub strangers: Vec<String>,
    /// Files of the log that nothing needs any more.
    pub leftovers: Vec<Leftover>,
    /// What was written by a newer version.
    pub too_new: Option<String>,
    /// What it holds; absent when it holds the history of no node. With damage, what could be read in spite of it.
    pub content: Option<Content>,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The operator's name of the node.
    pub node_id: String,
    /// The history that wrote last: 32 hex digits.
    pub replica_id: String,
    /// Keys that have a value.
    pub keys: u64,
    /// Deleted keys still remembered.
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
    /// Order-independent digest of the contents: 32 hex digits.
    pub digest: String,
}

/// A file of the log that nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// `spare`, `draft`, `old_segment` or `old_snapshot`.
    pub kind: String,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// The first record it may hold.
    pub first_lsn: u64,
    /// The record after its last.
    pub next_lsn: u64,
    /// Frames.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Whether it is full and sealed.
    pub sealed: bool,
}

/// One snapshot of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Its file.
    pub file: String,
    /// It holds everything up to here.
    pub at: u64,
    /// The greatest position whose effect is in it.
    pub reaches: u64,
    /// Entries.
    pub items: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Damage to acknowledged data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The first record lost.
    pub first_lsn: u64,
    /// The last record lost; absent when not known; the one before `first_lsn` when none is lost.
    pub last_lsn: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// An unfinished write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Where the damaged log is kept.
    pub kept_aside: String,
    /// What was wrong.
    pub damage: Vec<Damage>,
    /// Keys salvaged.
    pub keys: u64,
    /// Records salvaged.
    pub records: u64,
    /// The new history.
    pub replica_id: String,
}
