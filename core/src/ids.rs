//! Names of nodes, histories, operations and log positions.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// The operator's stable name of a node: 1 to 64 characters of `[A-Za-z0-9._-]`. It is for people; the engine
/// itself tells histories apart by [`ReplicaId`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeId(String);

impl NodeId {
    /// The greatest length of a node id, in bytes (all of them ASCII).
    pub const MAX_LEN: usize = 64;

    /// Parses a node id.
    ///
    /// # Errors
    /// [`InvalidNodeId`] when the text is empty, longer than [`Self::MAX_LEN`] or holds another character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidNodeId> {
        let text = text.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(allowed) {
            return Err(InvalidNodeId { text });
        }
        Ok(Self(text))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The text is not a node id; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidNodeId {
    /// What was given.
    pub text: String,
}

impl fmt::Display for InvalidNodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node id {:?} is not 1 to {} characters of [A-Za-z0-9._-]", self.text, NodeId::MAX_LEN)
    }
}

impl core::error::Error for InvalidNodeId {}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id128! {
    /// Minted when a data directory is born; names one unbroken history and is never reused for another.
    ReplicaId
}

id128! {
    /// Names one write-ahead log, so that another log's files are refused.
    LogId
}

/// 1, 2, 3 … : position of an operation among its replica's own operations, without gaps. 0 means "none yet".
pub type Seq = u64;

/// The name of one operation, everywhere and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who issued the operation.
    pub replica: ReplicaId,
    /// Its position among that replica's own operations, from 1.
    pub seq: Seq,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.replica, self.seq)
    }
}

/// Position of a record in one node's own write-ahead log: 1, 2, 3 … over local and remote operations alike.
/// [`Lsn::ZERO`] stands before the first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record of a log.
    pub const ZERO: Self = Self(0);

    /// The position after this one.
    ///
    /// # Panics
    /// After 2^64 records, which no disk can hold.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a log holds fewer than 2^64 records"))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn node_ids_are_parsed_strictly() {
        for good in ["a", "till-3", "Clinic_7.north", &"x".repeat(64)] {
            assert_eq!(NodeId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "ä", "a/b", &"x".repeat(65)] {
            let refused = NodeId::new(bad).expect_err("it is no node id").to_string();
            assert_eq!(refused, alloc::format!("node id {bad:?} is not 1 to 64 characters of [A-Za-z0-9._-]"));
        }
        assert_eq!(NodeId::new("till-3").unwrap().to_string(), "till-3");
    }

    #[test]
    fn ids_print_as_hex() {
        assert_eq!(ReplicaId([0xab; 16]).to_string(), "ab".repeat(16));
        assert_eq!(alloc::format!("{:?}", LogId([0xab; 16])), "ab".repeat(16), "also in what developers read");
        let dot = Dot { replica: ReplicaId([1; 16]), seq: 7 };
        assert_eq!((dot.to_string(), Lsn(9).to_string()), (alloc::format!("{}:7", "01".repeat(16)), "9".into()));
    }
}
