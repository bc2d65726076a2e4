//! What commands answer, as it crosses the control socket and as `--json` prints it: `docs/json.md` is the reference.
//! Within a schema number fields are only added. LSNs, versions, counts and bytes are numbers (none can reach 2^53 on a
//! real disk); hashes, ids and stamps are strings.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ndjson::{key_field, value_field};

/// A document with the name and version of its schema.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// `softadastra.<what>/<version>`.
    pub schema: String,
    /// The answer itself.
    pub data: T,
}

/// The document of an error, on stderr and on the control socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorEnvelope {
    /// `softadastra.error/1`.
    pub schema: String,
    /// The failure.
    pub error: super::Fault,
}

impl ErrorEnvelope {
    /// The document of this failure.
    #[must_use]
    pub fn new(error: super::Fault) -> Self {
        Self { schema: "softadastra.error/1".to_owned(), error }
    }
}

/// An answer that is a document of its own.
pub trait Answer: Serialize {
    /// The schema without its prefix, such as `put/1`.
    const SCHEMA: &'static str;

    /// The answer as a document.
    fn envelope(&self) -> Envelope<&Self> {
        Envelope { schema: format!("softadastra.{}", Self::SCHEMA), data: self }
    }
}

macro_rules! answers {
    ($($name:ident = $schema:literal),+ $(,)?) => { $(impl Answer for $name { const SCHEMA: &'static str = $schema; })+ };
}

answers! {
    Put = "put/1",
    Removed = "remove/1",
    Record = "value/1",
    Contains = "contains/1",
    Size = "size/1",
    Page = "page/1",
    Batch = "batch/1",
    Change = "change/1",
    Status = "status/1",
    Node = "node/1",
    Snapshot = "snapshot/1",
    Backup = "backup/1",
    Restored = "restore/1",
    Log = "wal/1",
    Repaired = "repair/1",
    Init = "init/1",
    Imported = "import/1",
    Exported = "export/1",
    Version = "version/1",
}

/// What `store put` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// How often the value of this key has changed so far.
    pub version: u64,
    /// `created`, `updated` or `unchanged`.
    pub outcome: String,
    /// Position in the node's log; 0 when nothing was written.
    pub lsn: u64,
}

/// What `store remove` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// How often this key has changed so far, this removal included.
    pub version: u64,
    /// Position in the node's log.
    pub lsn: u64,
}

/// A key and its value, alone or in a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// The value.
    #[serde(flatten, with = "value_field")]
    pub value: Bytes,
    /// How often the value of this key has changed so far.
    pub version: u64,
    /// When it was written, in hybrid logical time: milliseconds since 1970, `+`, a counter.
    pub stamp: String,
    /// Position of its latest change in the node's log.
    pub lsn: u64,
}

/// Whether a key has a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contains {
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// Whether it has a value.
    pub contains: bool,
}

/// How much is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Keys that have a value.
    pub keys: u64,
    /// Deleted keys still remembered.
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
}

/// A part of a listing, in the order of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Whether records follow after the last one here.
    pub more: bool,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Keys that were absent.
    pub created: u64,
    /// Keys that had another value.
    pub updated: u64,
    /// Keys that had this very value.
    pub unchanged: u64,
}

/// One change seen by a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// The value; absent when the key was removed.
    #[serde(flatten, with = "optional_value")]
    pub value: Option<Bytes>,
    /// Whether the key was removed.
    pub removed: bool,
    /// How often this key has changed so far.
    pub version: u64,
    /// Position in the node's log; `--from` goes on after it.
    pub lsn: u64,
}

/// A value under `value` or `value_base64`, or under neither.
mod optional_value {
    use bytes::Bytes;
    use serde::ser::SerializeMap as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::ndjson::value_field;

    pub(super) fn serialize<S: Serializer>(value: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => value_field::serialize(bytes, serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let twins = value_field::Twins::deserialize(deserializer)?;
        if twins.text.is_none() && twins.base64.is_none() {
            Ok(None)
        } else {
            twins.bytes().map(Some).map_err(serde::de::Error::custom)
        }
    }
}

/// How the node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `ready`, `no_room`, `degraded` or `closing`.
    pub state: String,
    /// Why it is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Keys that have a value.
    pub keys: u64,
    /// Deleted keys still remembered.
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
    /// Order-independent digest of the contents: 32 hex digits.
    pub digest: String,
    /// Own operations that no peer has acknowledged yet.
    pub outbox: u64,
    /// The log; absent when everything is kept in memory.
    pub wal: Option<Wal>,
}

/// How the log does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wal {
    /// Its directory.
    pub path: String,
    /// The last record accepted.
    pub last_lsn: u64,
    /// Everything up to here survives a crash.
    pub durable_lsn: u64,
    /// Number of segment files.
    pub segments: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes of the log behind the latest snapshot: what opening would have to replay.
    pub tail_bytes: u64,
    /// What the latest snapshot holds reaches to here; 0 when there is none.
    pub snapshot_lsn: u64,
    /// Its size.
    pub snapshot_bytes: u64,
    /// Whether a snapshot is being written.
    pub snapshot_running: bool,
}

/// Who the node is, and what answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The operator's name of it.
    pub node_id: String,
    /// What people call it.
    pub display_name: String,
    /// Names its present history: 32 hex digits.
    pub replica_id: String,
    /// Names its log: 32 hex digits; absent when everything is kept in memory.
    pub log_id: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// Name of the machine.
    pub hostname: String,
    /// Operating system and architecture.
    pub os: String,
    /// Version of the software.
    pub version: String,
    /// Where its data is.
    pub data_dir: Option<String>,
    /// Whether a node runs on the directory and answered; else the command opened it for itself.
    pub running: bool,
    /// The process that answered.
    pub pid: u32,
    /// When it was opened, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// How long it has been open, in milliseconds.
    pub uptime_ms: u64,
    /// What opening found.
    pub recovery: Recovery,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The directory was empty and a new log was founded.
    pub created: bool,
    /// The log ended with a clean close.
    pub clean: bool,
    /// Records replayed after the snapshot.
    pub records: u64,
    /// What the snapshot it started from holds reaches to here; 0 when there was none.
    pub snapshot_lsn: u64,
    /// Entries of that snapshot.
    pub snapshot_entries: u64,
    /// Bytes of an unfinished write that nobody was promised, cut from the end.
    pub torn_bytes: u64,
    /// The last record.
    pub last_lsn: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

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
    /// An unfinished write at the end that nobody was promised.
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

/// What `init` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// The new data directory.
    pub data_dir: String,
    /// The node's name.
    pub node_id: String,
    /// Its history: 32 hex digits.
    pub replica_id: String,
    /// Its log: 32 hex digits.
    pub log_id: Option<String>,
}

/// What an import did. Every record counted here is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Records read and stored.
    pub records: u64,
    /// Keys that were absent.
    pub created: u64,
    /// Keys that had another value.
    pub updated: u64,
    /// Keys that had this very value.
    pub unchanged: u64,
    /// Bytes of the lines read.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Records per second.
    pub records_per_second: u64,
}

/// What an export did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// Records written.
    pub records: u64,
    /// Bytes of the lines written.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Records per second.
    pub records_per_second: u64,
}

/// Which software this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its version.
    pub version: String,
}
