//! What commands about keys and values answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ndjson::{key_field, value_field};

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
    /// When it was written, in hybrid logical time: seconds since 1970 to the millisecond, `+`, a counter.
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
pub(super) mod optional_value {
    use bytes::Bytes;
    use serde::ser::SerializeMap as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::ndjson::value_field;

    pub(in crate::control::answer) fn serialize<S: Serializer>(
        value: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => value_field::serialize(bytes, serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }

    pub(in crate::control::answer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        let twins = value_field::Twins::deserialize(deserializer)?;
        if twins.text.is_none() && twins.base64.is_none() {
            Ok(None)
        } else {
            twins.bytes().map(Some).map_err(serde::de::Error::custom)
        }
    }
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
