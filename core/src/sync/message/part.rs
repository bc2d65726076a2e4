//! What batches are made of.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::borrow::Borrow;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::limits::{MAX_KEY_LEN, MAX_REPLICAS};
use crate::op::{Operation, View};
use crate::sync::Pairs;

/// The most parts in one message: what decoding one may take in memory is bounded by this, whatever its bytes are.
pub(in crate::sync) const MAX_PARTS: usize = 16_384;

/// Room is made for one part in so many bytes; where there are more, the list grows.
const USUAL_PART: usize = 128;

/// One thing in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// An operation, and what its sender had merged besides (empty if nothing).
    Entry {
        /// The operation.
        op: Operation,
        /// Every dot of the key that was merged, if more than the operation says.
        known: VersionVector,
    },
    /// A key that the sender has.
    Present(Bytes),
    /// A key that the sender has as a tombstone.
    Buried {
        /// The key.
        key: Bytes,
        /// The tombstone.
        dot: Dot,
        /// Every dot of the key that was merged there. What its vector claims beyond that, it had deleted before.
        known: VersionVector,
        /// That of the tombstone, from protocol 5 on.
        stamp: Option<Stamp>,
    },
    /// The sender's feed has no more.
    End,
    /// The receiver may claim this.
    Cut(VersionVector),
    /// What the sender says of its history.
    Pairs(Pairs),
    /// Every key up to here was named.
    Upto(Option<Bytes>),
    /// Which history of another replica it is that the sender claims.
    History {
        /// Whose.
        replica: ReplicaId,
        /// What it said of it.
        pairs: Pairs,
    },
}

/// Replica ids by number, for one direction of one session.
#[derive(Debug, Default)]
pub(in crate::sync) struct Origins {
    numbers: BTreeMap<ReplicaId, u64>,
    ids: Vec<ReplicaId>,
}

impl Origins {
    fn number(&mut self, replica: ReplicaId, out: &mut Vec<u8>) -> u64 {
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(replica).or_insert(next);
        if number == next {
            out.push(0);
            out.extend_from_slice(&replica.0);
        }
        number
    }
}

impl Origins {
    fn take(&self, reader: &mut Reader<'_>) -> Result<ReplicaId, DecodeError> {
        let number = usize::try_from(reader.varint("origin number")?).unwrap_or(usize::MAX);
        self.ids.get(number).copied().ok_or(DecodeError { field: "origin number", fault: Fault::Invalid })
    }
}

/// Appends what [`Part::Entry`] says, from wherever the operation lies.
pub(in crate::sync) fn put_entry(
    op: &View<'_, impl Borrow<VersionVector>>,
    known: &VersionVector,
    origins: &mut Origins,
    out: &mut Vec<u8>,
) {
    let number = origins.number(op.dot.replica, out);
    out.push(if known.is_empty() { 1 } else { 2 });
    put_varint(out, number);
    op.encode(out);
    if !known.is_empty() {
        known.encode(out);
    }
}

impl Part {
    /// Appends the part; origins that were not yet named come before it.
    pub(in crate::sync) fn encode(&self, origins: &mut Origins, out: &mut Vec<u8>) {
        match self {
            Self::Entry { op, known } => put_entry(&op.view(), known, origins, out),
            Self::Present(key) => {
                out.push(3);
                put_blob(out, key);
            }
            Self::Buried { key, dot, known, stamp } => {
                let number = origins.number(dot.replica, out);
                out.push(if stamp.is_some() { 11 } else { 9 });
                put_varint(out, number);
                put_varint(out, dot.seq);
                put_blob(out, key);
                known.encode(out);
                out.extend(stamp.iter().flat_map(|stamp| stamp.0.to_le_bytes()));
            }
            Self::End => out.push(4),
            Self::Cut(vector) => {
                out.push(5);
                vector.encode(out);
            }
            Self::Pairs(pairs) => {
                out.push(6);
                pairs.encode(out);
            }
            Self::Upto(Some(key)) => {
                out.push(7);
                put_blob(out, key);
            }
            Self::Upto(None) => out.push(8),
            Self::History { replica, pairs } => {
                let number = origins.number(*replica, out);
                out.push(10);
                put_varint(out, number);
                pairs.encode(out);
            }
        }
    }

    /// Reads the next part; `None` for one that only names an origin.
    fn decode(reader: &mut Reader<'_>, origins: &mut Origins) -> Result<Option<Self>, DecodeError> {
        let tag = reader.u8("part")?;
        let part = match tag {
            0 => {
                if origins.ids.len() >= MAX_REPLICAS {
                    return Err(DecodeError { field: "origin", fault: Fault::Invalid });
                }
                origins.ids.push(ReplicaId(reader.array("origin")?));
                return Ok(None);
            }
            1 | 2 => {
                let replica = origins.take(reader)?;
                let op = Operation::decode(reader, replica)?;
                let known = if tag == 2 { VersionVector::decode(reader, "known")? } else { VersionVector::EMPTY };
                Self::Entry { op, known }
            }
            3 => Self::Present(take_key(reader)?),
            4 => Self::End,
            5 => Self::Cut(VersionVector::decode(reader, "cut")?),
            6 => Self::Pairs(Pairs::decode(reader)?),
            7 => Self::Upto(Some(take_key(reader)?)),
            8 => Self::Upto(None),
            9 | 11 => {
                let replica = origins.take(reader)?;
                let dot = Dot { replica, seq: reader.varint("seq")? };
                let (key, known) = (take_key(reader)?, VersionVector::decode(reader, "known")?);
                let stamp = if tag == 11 { Some(Stamp(reader.u64("stamp")?)) } else { None };
                Self::Buried { key, dot, known, stamp }
            }
            10 => Self::History { replica: origins.take(reader)?, pairs: Pairs::decode(reader)? },
            _ => return Err(DecodeError { field: "part", fault: Fault::FromTheFuture }),
        };
        Ok(Some(part))
    }
}

pub(super) fn take_key(reader: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    let key = reader.blob(MAX_KEY_LEN, "key")?;
    if key.is_empty() { Err(DecodeError { field: "key", fault: Fault::Invalid }) } else { Ok(key) }
}

pub(super) fn take_parts(reader: &mut Reader<'_>, origins: &mut Origins) -> Result<Vec<Part>, DecodeError> {
    let mut parts = Vec::with_capacity((reader.remaining() / USUAL_PART).min(MAX_PARTS));
    while reader.remaining() > 0 {
        if parts.len() >= MAX_PARTS {
            return Err(DecodeError { field: "parts", fault: Fault::Invalid });
        }
        parts.extend(Part::decode(reader, origins)?);
    }
    Ok(parts)
}
