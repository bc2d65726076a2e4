//! What commands about the node as a whole answer.

use serde::{Deserialize, Serialize};

use super::{Delivery, DiscoveryInShort, Transport};

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
    /// Own operations by how far they got: accepted here, delivered there.
    pub delivery: Delivery,
    /// Operations of other nodes that are held here.
    pub received: u64,
    /// Conflicts ever recorded here.
    pub conflicts: u64,
    /// Those of them that wait for a decision.
    pub open_conflicts: u64,
    /// Links to other nodes.
    pub transport: Transport,
    /// Whether other nodes are looked for.
    #[serde(default)]
    pub discovery: DiscoveryInShort,
    /// Whether metrics and the console are served.
    #[serde(default)]
    pub http: Http,
    /// Peers with a link.
    pub connected: u64,
    /// Why nothing is exchanged with other nodes any more.
    pub halted: Option<String>,
    /// The log; absent when everything is kept in memory.
    pub wal: Option<Wal>,
}

/// Whether metrics, health and the console are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// `off`, `served` or `failed`.
    pub state: String,
    /// Where they are served, or should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why they are not, although they should be; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self { state: "off".to_owned(), address: None, error: None }
    }
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
    /// Room on its disk; absent when that cannot be told.
    #[serde(default)]
    pub free_bytes: Option<u64>,
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
    /// Its public key; absent when `network.json` cannot be used.
    pub public_key: Option<String>,
    /// Addresses at which it takes links.
    pub listening: Vec<String>,
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
    /// Bytes at the end that were no whole frame and were cut.
    pub torn_bytes: u64,
    /// The last record.
    pub last_lsn: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
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

/// Where the console is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// The link that opens it. It holds the token: whoever has it may read everything on the node.
    pub link: String,
}

/// Which software this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its version.
    pub version: String,
}
