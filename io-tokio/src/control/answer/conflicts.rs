//! What commands about conflicts answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::store::optional_value;
use crate::ndjson::key_field;

/// Conflicts on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    /// Conflicts ever recorded here, those no longer kept included.
    pub total: u64,
    /// Those on record, oldest first: the latest 1,000 settled ones, and those that wait for a decision.
    pub conflicts: Vec<Conflict>,
}

/// Two writes to one key that had not seen each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Its number on this node, counted up from 1.
    pub id: u64,
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// When the later of the two was written, in milliseconds since 1970.
    pub at_ms: u64,
    /// `merged` (the winner stands), `open` (it waits for a decision) or `resolved`.
    pub outcome: String,
    /// `local` or `remote`: whether the version that won was here or came in.
    pub won: String,
    /// The version that the merge chose.
    pub winner: Side,
    /// The other one.
    pub loser: Side,
    /// What the key holds now: a policy or a later write may have put another value above both.
    pub stands: Standing,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its value; absent when it has none.
    #[serde(flatten, with = "optional_value")]
    pub value: Option<Bytes>,
    /// Whether it has none.
    pub removed: bool,
}

/// One of the two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The history that wrote it: 32 hex digits.
    pub replica_id: String,
    /// The name of its node, when known.
    pub node_id: Option<String>,
    /// Its number among the writes of that history.
    pub seq: u64,
    /// When it was written, in hybrid logical time: seconds since 1970 to the millisecond, `+`, a counter.
    pub stamp: String,
    /// What it wrote; absent when it removed the key.
    #[serde(flatten, with = "optional_value")]
    pub value: Option<Bytes>,
    /// Whether it removed the key.
    pub removed: bool,
    /// It was written to settle an earlier conflict.
    pub resolution: bool,
}

/// What `conflicts resolve` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The conflict.
    pub id: u64,
    /// The key.
    #[serde(flatten, with = "key_field")]
    pub key: Bytes,
    /// How often this key has changed so far.
    pub version: u64,
    /// Position of the resolution in the node's log.
    pub lsn: u64,
}
