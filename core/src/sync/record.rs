//! What sync needs to have in the node's log, beside the operations themselves.
//!
//! ```text
//! kind u8 | fields, numbers little-endian or varint
//!   1 entry         replica 16 | operation | vector of what else was merged
//!   2 cut           vector
//!   3 checkpoint    replica 16 | log 16 | boot u64 | LSN varint
//!   4 member        replica 16 | node id | heard u64 | forgotten u64 | vector
//!   5 acknowledged  seq varint
//!   6 collected     vector of what is stable | limit stamp u64 | floor vector | stamp u64
//!   7 floor         vector | stamp u64
//!   8 dropped       replica 16 | seq varint | key
//!   9 pairs         replica 16 | pairs
//!  10 boot          u64 | LSN varint, of a run of older software
//!  11 pruned        seq varint
//!  12 renamed       from 16 | above seq varint | to 16 | wall u64
//!  13 owed          vector | stamp u64
//!  14 late entry    as 1
//!  15 boot          as 10 | keeps both u8: 0 no, 1 yes
//!  16 contest       as 1 | u8: 0, or 1 | version that stood there
//! pairs = count u8, then per pair: seq varint | chain u64
//! ```
//!
//! A version is laid out as in [`super::conflict`]. Kinds are only ever added. A run that says whether both are kept (15) says of
//! every conflict that it met one (16): a start may find there what was written later, and does not judge by that.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::chain::Pairs;
use super::conflict::{Version, put_version, take_version};
use super::members::Member;
use super::rename::Renaming;
use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, LogId, Lsn, NodeId, ReplicaId, Seq};
use crate::limits::MAX_KEY_LEN;
use crate::op::Operation;
use crate::time::WallTime;

/// How far a peer's feed was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Of which log.
    pub log: LogId,
    /// In which run of the peer.
    pub boot: u64,
    /// Up to where.
    pub lsn: Lsn,
}

/// One record of sync in the log. Replaying any of them twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncRecord {
    /// A foreign operation, and what whoever passed it on had merged besides.
    Entry {
        /// The operation.
        op: Operation,
        /// Every dot of the key that was merged there.
        known: VersionVector,
        /// What it met.
        contest: Contest,
    },
    /// The own vector covers this too, from here on.
    Cut(VersionVector),
    /// A peer's feed was taken in up to here.
    Checkpoint {
        /// Whose.
        replica: ReplicaId,
        /// How far.
        at: Checkpoint,
    },
    /// What is known of another replica.
    Member {
        /// Which.
        replica: ReplicaId,
        /// What is known of it.
        member: Member,
    },
    /// Own operations up to here are acknowledged.
    Acknowledged(Seq),
    /// Tombstones were collected: those whose every dot `stable` covers and whose stamp is below `before`.
    Collected {
        /// What every member holds.
        stable: VersionVector,
        /// No tombstone stamped here or later was collected.
        before: Stamp,
        /// The greatest dots collected.
        dots: VersionVector,
        /// The greatest stamp collected.
        stamp: Stamp,
    },
    /// A peer had collected tombstones up to this floor, and what it had forgotten is forgotten here.
    Floor {
        /// The greatest dots collected.
        dots: VersionVector,
        /// The greatest stamp collected.
        stamp: Stamp,
    },
    /// The same, and the deletions are not yet claimed here.
    Owed {
        /// The greatest dots collected.
        dots: VersionVector,
        /// The greatest stamp collected.
        stamp: Stamp,
    },
    /// A full exchange found this version of a key deleted.
    Dropped {
        /// The version.
        dot: Dot,
        /// The key.
        key: Bytes,
    },
    /// What another replica said of its history.
    Pairs {
        /// Which.
        replica: ReplicaId,
        /// What it said.
        pairs: Pairs,
    },
    /// The bookkeeping of acknowledged operations up to here was given up.
    Pruned(Seq),
    /// A part of this history has another name from here on, and so has whoever writes.
    Renamed(Renaming),
    /// A run of this replica begins.
    Boot {
        /// Drawn for it.
        boot: u64,
        /// The last LSN before it.
        after: Lsn,
        /// Whether conflicts that it meets stay open until somebody resolves them; older software does not say it.
        keeps_both: Option<bool>,
    },
}

/// Whether a foreign operation came in as one side of a conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Contest {
    /// Not said: by older software, or because it was none.
    #[default]
    Unsaid,
    /// It was none, though what stands there had not been seen: see [`super::Item`].
    Late,
    /// With what stood there, which is too long to be said here.
    WithStanding,
    /// With this version.
    With(Box<Version>),
}

impl SyncRecord {
    /// Appends the layout of this module's documentation.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Entry { op, known, contest } => {
                out.push(match contest {
                    Contest::Unsaid => 1,
                    Contest::Late => 14,
                    Contest::WithStanding | Contest::With(_) => 16,
                });
                out.extend_from_slice(&op.dot.replica.0);
                op.encode(out);
                known.encode(out);
                match contest {
                    Contest::Unsaid | Contest::Late => {}
                    Contest::WithStanding => out.push(0),
                    Contest::With(version) => {
                        out.push(1);
                        put_version(out, version);
                    }
                }
            }
            Self::Cut(vector) => {
                out.push(2);
                vector.encode(out);
            }
            Self::Checkpoint { replica, at } => {
                out.push(3);
                out.extend_from_slice(&replica.0);
                at.encode(out);
            }
            Self::Member { replica, member } => {
                out.push(4);
                out.extend_from_slice(&replica.0);
                member.encode(out);
            }
            Self::Acknowledged(seq) => {
                out.push(5);
                put_varint(out, *seq);
            }
            Self::Collected { stable, before, dots, stamp } => {
                out.push(6);
                stable.encode(out);
                out.extend_from_slice(&before.0.to_le_bytes());
                dots.encode(out);
                out.extend_from_slice(&stamp.0.to_le_bytes());
            }
            Self::Owed { dots, stamp } => {
                out.push(13);
                dots.encode(out);
                out.extend_from_slice(&stamp.0.to_le_bytes());
            }
            Self::Floor { dots, stamp } => {
                out.push(7);
                dots.encode(out);
                out.extend_from_slice(&stamp.0.to_le_bytes());
            }
            Self::Dropped { dot, key } => {
                out.push(8);
                out.extend_from_slice(&dot.replica.0);
                put_varint(out, dot.seq);
                put_blob(out, key);
            }
            Self::Pairs { replica, pairs } => {
                out.push(9);
                out.extend_from_slice(&replica.0);
                pairs.encode(out);
            }
            Self::Boot { boot, after, keeps_both } => {
                out.push(if keeps_both.is_some() { 15 } else { 10 });
                out.extend_from_slice(&boot.to_le_bytes());
                put_varint(out, after.0);
                out.extend(keeps_both.map(u8::from));
            }
            Self::Renamed(Renaming { from, above, to, at }) => {
                out.push(12);
                out.extend_from_slice(&from.0);
                put_varint(out, *above);
                out.extend_from_slice(&to.0);
                out.extend_from_slice(&at.0.to_le_bytes());
            }
            Self::Pruned(seq) => {
                out.push(11);
                put_varint(out, *seq);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote; nothing may follow.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not one well-formed record.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let reader = &mut Reader::new(bytes);
        let record = match reader.u8("sync record kind")? {
            kind @ (1 | 14 | 16) => {
                let replica = ReplicaId(reader.array("sync record replica")?);
                let op = Operation::decode(reader, replica)?;
                let known = VersionVector::decode(reader, "sync record known")?;
                let contest = match kind {
                    1 => Contest::Unsaid,
                    14 => Contest::Late,
                    _ => Contest::take(reader)?,
                };
                Self::Entry { op, known, contest }
            }
            2 => Self::Cut(VersionVector::decode(reader, "cut")?),
            3 => Self::Checkpoint {
                replica: ReplicaId(reader.array("checkpoint replica")?),
                at: Checkpoint::decode(reader)?,
            },
            4 => Self::Member { replica: ReplicaId(reader.array("member replica")?), member: Member::decode(reader)? },
            5 => Self::Acknowledged(reader.varint("acknowledged seq")?),
            6 => Self::Collected {
                stable: VersionVector::decode(reader, "collected vector")?,
                before: Stamp(reader.u64("collected limit")?),
                dots: VersionVector::decode(reader, "collected dots")?,
                stamp: Stamp(reader.u64("collected stamp")?),
            },
            7 => Self::Floor {
                dots: VersionVector::decode(reader, "floor vector")?,
                stamp: Stamp(reader.u64("floor stamp")?),
            },
            8 => {
                let replica = ReplicaId(reader.array("dropped replica")?);
                let seq = reader.varint("dropped seq")?;
                Self::Dropped { dot: Dot { replica, seq }, key: reader.blob(MAX_KEY_LEN, "dropped key")? }
            }
            9 => Self::Pairs { replica: ReplicaId(reader.array("pairs replica")?), pairs: Pairs::decode(reader)? },
            kind @ (10 | 15) => {
                let (boot, after) = (reader.u64("boot")?, Lsn(reader.varint("boot LSN")?));
                let keeps_both = if kind == 15 { Some(take_keeps_both(reader)?) } else { None };
                Self::Boot { boot, after, keeps_both }
            }
            12 => Self::Renamed(Renaming {
                from: ReplicaId(reader.array("renamed from")?),
                above: reader.varint("renamed above")?,
                to: ReplicaId(reader.array("renamed to")?),
                at: take_wall(reader)?,
            }),
            11 => Self::Pruned(reader.varint("pruned seq")?),
            13 => Self::Owed {
                dots: VersionVector::decode(reader, "owed vector")?,
                stamp: Stamp(reader.u64("owed stamp")?),
            },
            _ => return Err(DecodeError { field: "sync record kind", fault: Fault::FromTheFuture }),
        };
        reader.finish("sync record")?;
        Ok(record)
    }
}

impl Contest {
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("contest")? {
            0 => Ok(Self::WithStanding),
            1 => Ok(Self::With(Box::new(take_version(reader)?))),
            _ => Err(DecodeError { field: "contest", fault: Fault::FromTheFuture }),
        }
    }
}

impl Checkpoint {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.log.0);
        out.extend_from_slice(&self.boot.to_le_bytes());
        put_varint(out, self.lsn.0);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            log: LogId(reader.array("checkpoint log")?),
            boot: reader.u64("checkpoint boot")?,
            lsn: Lsn(reader.varint("checkpoint LSN")?),
        })
    }
}

/// Reads a node id as [`put_blob`] wrote it.
pub(super) fn take_node_id(reader: &mut Reader<'_>) -> Result<NodeId, DecodeError> {
    let invalid = DecodeError { field: "node id", fault: Fault::Invalid };
    let text = reader.blob(NodeId::MAX_LEN, "node id")?;
    let text = core::str::from_utf8(&text).map_err(|_| invalid)?;
    NodeId::new(text).map_err(|_| invalid)
}

/// Reads whether conflicts stay open.
pub(super) fn take_keeps_both(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8("keeps both")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError { field: "keeps both", fault: Fault::FromTheFuture }),
    }
}

/// Reads a point of wall time.
pub(super) fn take_wall(reader: &mut Reader<'_>) -> Result<WallTime, DecodeError> {
    reader.u64("wall time").map(WallTime)
}
