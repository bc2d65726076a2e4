//! The operation: one write to one key, named by its dot, encoded once and carried unchanged everywhere.
//!
//! Layout (little-endian; the issuing replica's id is known from where the bytes stand):
//!
//! ```text
//! flags u8 | stamp u64 | seq varint
//!   [if OWN_CONTEXT: seq - context seq of the issuer itself, varint]
//!   [if FOREIGN_CONTEXT: version vector of the other replicas]
//!   [if REPEATS: replica 16 | seq varint, of an operation in the context]
//! key length varint | key
//!   [unless DELETE: value length varint | value]
//! ```

use alloc::vec::Vec;
use core::borrow::Borrow;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::hash::{blake3_64, blake3_128};
use crate::ids::{Dot, ReplicaId};
use crate::limits::{MAX_KEY_LEN, MAX_SEQ, MAX_VALUE_LEN};

const DELETE: u8 = 1 << 0;
const OWN_CONTEXT: u8 = 1 << 1;
const FOREIGN_CONTEXT: u8 = 1 << 2;
const BATCH_CONTINUES: u8 = 1 << 3;
const LIFTED: u8 = 1 << 4;
const RESOLUTION: u8 = 1 << 5;
const REPEATS: u8 = 1 << 6;
const KNOWN_FLAGS: u8 = DELETE | OWN_CONTEXT | FOREIGN_CONTEXT | BATCH_CONTINUES | LIFTED | RESOLUTION | REPEATS;

/// What an operation does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Sets the value.
    Put(Bytes),
    /// Deletes the key, leaving a tombstone.
    Delete,
}

impl Body {
    /// The value, unless this is a deletion.
    #[must_use]
    pub const fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Put(value) => Some(value),
            Self::Delete => None,
        }
    }

    /// The first 64 bits of BLAKE3 over a tag byte (0 delete, 1 put) and the value.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        match self {
            Self::Put(value) => blake3_64([&[1], value]),
            Self::Delete => blake3_64([&[0]]),
        }
    }
}

/// What is hashed of one operation without a look at any other: worked out once, and wherever there is time for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// [`Body::content_hash`].
    pub content: u64,
    /// [`winner_hash`], should it win.
    pub winner: u128,
}

/// The first 128 bits of BLAKE3 over what tells the winner of a key from any other: dot, stamp, content hash, whether it
/// is a deletion, and the key.
#[must_use]
pub fn winner_hash(dot: Dot, stamp: Stamp, content_hash: u64, is_tombstone: bool, key: &[u8]) -> u128 {
    // Fields of fixed length first, so that the key needs no length: keys up to 23 bytes take one BLAKE3 block.
    let [seq, stamp, content] = [dot.seq, stamp.0, content_hash].map(u64::to_le_bytes);
    blake3_128([&dot.replica.0, &seq, &stamp, &content, &[u8::from(is_tombstone)], key])
}

/// One write to one key. Immutable once issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub dot: Dot,
    /// When, in hybrid logical time: above every version it overwrites.
    pub stamp: Stamp,
    /// Which dots of this key the writer had seen.
    pub context: VersionVector,
    /// The key, 1 to [`MAX_KEY_LEN`] bytes.
    pub key: Bytes,
    /// What happens to it.
    pub body: Body,
    /// How the operation came about.
    pub marks: Marks,
}

/// Facts about an operation that are not its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The replica's next operation belongs to the same atomic batch.
    pub batch_continues: bool,
    /// The stamp was lifted above an overwritten version that stood ahead of the writer's clock.
    pub lifted: bool,
    /// Written by a conflict policy, not by a user.
    pub resolution: bool,
    /// Written by sync, not by a user: a value says again what this operation of its context had said; a deletion, that
    /// this operation was deleted.
    pub repeats: Option<Dot>,
}

impl Operation {
    /// The greatest stamp that an operation with this context can bear.
    ///
    /// A clock stays below [`Stamp::HORIZON`], and whoever overwrites a version that stands there stamps one above it and
    /// names it in the context, which then counts one operation more. So what an honest node issues is always in range, and
    /// what is in range can always be overwritten. It depends on the operation alone: every replica judges it alike.
    #[must_use]
    pub fn stamp_limit(context: &VersionVector) -> Stamp {
        let seen = context.iter().fold(0_u64, |sum, dot| sum.saturating_add(dot.seq));
        Stamp(Stamp::HORIZON.0.saturating_add(seen))
    }

    /// Whether an honest node can have issued it: its stamp is in range, and so are the seqs it names.
    #[must_use]
    pub fn is_in_range(&self) -> bool {
        let counts = self.dot.seq <= MAX_SEQ && self.context.iter().all(|dot| dot.seq <= MAX_SEQ);
        counts && self.stamp <= Self::stamp_limit(&self.context)
    }

    /// Its hashes.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        let content = self.body.content_hash();
        let is_tombstone = self.body.value().is_none();
        Hashes { content, winner: winner_hash(self.dot, self.stamp, content, is_tombstone, &self.key) }
    }

    /// Appends the layout of this module's documentation.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.view().encode(out);
    }

    /// The same, with key and value where they are.
    #[must_use]
    pub fn view(&self) -> View<'_, &VersionVector> {
        let Self { dot, stamp, ref context, ref key, ref body, marks } = *self;
        View { dot, stamp, context, key, value: body.value().map(|value| &**value), marks }
    }

    /// Reads what [`Self::encode`] wrote for an operation issued by `replica`. Key and value share the input's memory.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not one well-formed operation.
    pub fn decode(reader: &mut Reader<'_>, replica: ReplicaId) -> Result<Self, DecodeError> {
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        let flags = reader.u8("operation flags")?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(DecodeError { field: "operation flags", fault: Fault::FromTheFuture });
        }
        let stamp = Stamp(reader.u64("operation stamp")?);
        let seq = reader.varint("operation seq")?;
        if seq == 0 {
            return Err(invalid("operation seq"));
        }
        let own = if flags & OWN_CONTEXT == 0 {
            0
        } else {
            let back = reader.varint("operation own context")?;
            match seq.checked_sub(back) {
                Some(own) if own > 0 && back > 0 => own,
                Some(_) | None => return Err(invalid("operation own context")),
            }
        };
        let mut context = if flags & FOREIGN_CONTEXT == 0 {
            VersionVector::EMPTY
        } else {
            let foreign = VersionVector::decode(reader, "operation context")?;
            if foreign.is_empty() || foreign.get(replica) > 0 {
                return Err(invalid("operation context"));
            }
            foreign
        };
        context.include(Dot { replica, seq: own });
        let repeats = if flags & REPEATS == 0 { None } else { Some(take_repeated(reader, &context)?) };
        let key = reader.blob(MAX_KEY_LEN, "operation key")?;
        if key.is_empty() {
            return Err(invalid("operation key"));
        }
        let body =
            if flags & DELETE == 0 { Body::Put(reader.blob(MAX_VALUE_LEN, "operation value")?) } else { Body::Delete };
        let marks = Marks {
            batch_continues: flags & BATCH_CONTINUES != 0,
            lifted: flags & LIFTED != 0,
            resolution: flags & RESOLUTION != 0,
            repeats,
        };
        Ok(Self { dot: Dot { replica, seq }, stamp, context, key, body, marks })
    }
}

/// An operation whose key and value lie elsewhere: to pass it on, they need not be copied.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, C> {
    /// As [`Operation::dot`].
    pub dot: Dot,
    /// As [`Operation::stamp`].
    pub stamp: Stamp,
    /// As [`Operation::context`].
    pub context: C,
    /// As [`Operation::key`].
    pub key: &'a [u8],
    /// What is set; `None` for a deletion.
    pub value: Option<&'a [u8]>,
    /// As [`Operation::marks`].
    pub marks: Marks,
}

impl<C: Borrow<VersionVector>> View<'_, C> {
    /// As [`Operation::encode`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let context = self.context.borrow();
        let own = context.get(self.dot.replica);
        debug_assert!(own < self.dot.seq, "an operation cannot have seen itself");
        let foreign = context.len() > usize::from(own > 0);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            flag(self.value.is_none(), DELETE)
                | flag(own > 0, OWN_CONTEXT)
                | flag(foreign, FOREIGN_CONTEXT)
                | flag(self.marks.batch_continues, BATCH_CONTINUES)
                | flag(self.marks.lifted, LIFTED)
                | flag(self.marks.resolution, RESOLUTION)
                | flag(self.marks.repeats.is_some(), REPEATS),
        );
        out.extend_from_slice(&self.stamp.0.to_le_bytes());
        put_varint(out, self.dot.seq);
        if own > 0 {
            put_varint(out, self.dot.seq - own);
        }
        if foreign {
            if own > 0 {
                let mut others = context.clone();
                others.remove(self.dot.replica);
                others.encode(out);
            } else {
                context.encode(out);
            }
        }
        if let Some(repeated) = self.marks.repeats {
            debug_assert!(context.covers(repeated), "what is repeated was seen");
            out.extend_from_slice(&repeated.replica.0);
            put_varint(out, repeated.seq);
        }
        put_blob(out, self.key);
        if let Some(value) = self.value {
            put_blob(out, value);
        }
    }
}

/// A 64-bit hash over a replica's own operations in order. Two histories that share a replica id and a seq but not
/// this value are not one history: a directory was copied back or a machine rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(pub u64);

impl Chain {
    /// The chain after one more own operation, whose body has `content_hash`.
    #[must_use]
    pub fn extend(self, op: &Operation, content_hash: u64) -> Self {
        let [seq, stamp] = [op.dot.seq, op.stamp.0].map(u64::to_le_bytes);
        Self(blake3_64([&self.0.to_le_bytes(), &seq, &stamp, &content_hash.to_le_bytes(), &op.key]))
    }
}

/// Reads which operation is repeated: one that the writer had seen.
fn take_repeated(reader: &mut Reader<'_>, context: &VersionVector) -> Result<Dot, DecodeError> {
    let replica = ReplicaId(reader.array("operation repeated")?);
    let repeated = Dot { replica, seq: reader.varint("operation repeated")? };
    match repeated.seq > 0 && context.covers(repeated) {
        true => Ok(repeated),
        false => Err(DecodeError { field: "operation repeated", fault: Fault::Invalid }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    fn replica(id: u8) -> ReplicaId {
        ReplicaId([id; 16])
    }

    pub(crate) fn operations() -> impl Strategy<Value = Operation> {
        let context = proptest::collection::vec((0u8..4, 1u64..1000), 0..4);
        let body = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64));
        let key = proptest::collection::vec(any::<u8>(), 1..32);
        (0u8..4, 1u64..2000, any::<u64>(), context, key, body, any::<[bool; 4]>()).prop_map(
            |(issuer, seq, stamp, context, key, body, [batch_continues, lifted, resolution, repeats])| {
                let seen = context.into_iter().map(|(other, s)| Dot {
                    replica: replica(other),
                    seq: if other == issuer { s.min(seq - 1) } else { s },
                });
                let context: VersionVector = seen.collect();
                let repeats = context.iter().last().filter(|_| repeats);
                Operation {
                    dot: Dot { replica: replica(issuer), seq },
                    stamp: Stamp(stamp),
                    context,
                    key: key.into(),
                    body: body.map_or(Body::Delete, |value| Body::Put(value.into())),
                    marks: Marks { batch_continues, lifted, resolution, repeats },
                }
            },
        )
    }

    #[test]
    fn the_layout_is_pinned() {
        let op = Operation {
            dot: Dot { replica: replica(1), seq: 300 },
            stamp: Stamp(0x0102_0304_0506_0708),
            context: [Dot { replica: replica(1), seq: 299 }, Dot { replica: replica(2), seq: 5 }].into_iter().collect(),
            key: Bytes::from_static(b"k"),
            body: Body::Put(Bytes::from_static(b"vv")),
            marks: Marks::default(),
        };
        let mut out = Vec::new();
        op.encode(&mut out);
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"060807060504030201ac0201010202020202020202020202020202020205016b027676");
    }

    #[test]
    fn the_layout_of_a_repetition_is_pinned() {
        let op = Operation {
            dot: Dot { replica: replica(1), seq: 300 },
            stamp: Stamp(0x0102_0304_0506_0708),
            context: [Dot { replica: replica(2), seq: 5 }].into_iter().collect(),
            key: Bytes::from_static(b"k"),
            body: Body::Put(Bytes::from_static(b"vv")),
            marks: Marks { repeats: Some(Dot { replica: replica(2), seq: 4 }), ..Marks::default() },
        };
        let mut out = Vec::new();
        op.encode(&mut out);
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex, @"440807060504030201ac020102020202020202020202020202020202050202020202020202020202020202020204016b027676");
        for seq in [0, 6] {
            let mut other = out.clone();
            let at = other.len() - 6;
            assert_eq!(other[at], 4);
            other[at] = seq;
            let refused = Operation::decode(&mut Reader::new(&other.into()), op.dot.replica).unwrap_err();
            assert_eq!(refused, DecodeError { field: "operation repeated", fault: Fault::Invalid }, "{seq}");
        }
    }

    fn written(change: impl FnOnce(&mut Vec<u8>)) -> Result<Operation, DecodeError> {
        let op = Operation {
            dot: Dot { replica: replica(1), seq: 3 },
            stamp: Stamp(1),
            context: [Dot { replica: replica(1), seq: 2 }].into_iter().collect(),
            key: Bytes::from_static(b"k"),
            body: Body::Delete,
            marks: Marks::default(),
        };
        let mut out = Vec::new();
        op.encode(&mut out);
        assert_eq!((out[9], out[10]), (3, 1), "seq, and how far back its issuer had seen");
        change(&mut out);
        Operation::decode(&mut Reader::new(&out.into()), replica(1))
    }

    #[test]
    fn an_operation_that_no_encoder_writes_is_refused() {
        assert!(written(|_| {}).is_ok());
        let refused = |change: fn(&mut Vec<u8>)| written(change).unwrap_err().field;
        assert_eq!(refused(|out| out[9] = 0), "operation seq");
        assert_eq!(refused(|out| out[10] = 0), "operation own context", "it has seen itself");
        assert_eq!(refused(|out| out[10] = 3), "operation own context", "it has seen nothing");
        assert_eq!(refused(|out| out[10] = 4), "operation own context", "less than nothing");
        assert_eq!(refused(|out| drop(out.splice(11.., [0]))), "operation key");
        let context_of = |other| {
            move |out: &mut Vec<u8>| {
                let context: VersionVector = [Dot { replica: replica(other), seq: 1 }].into_iter().collect();
                let mut bytes = Vec::new();
                context.encode(&mut bytes);
                out[0] |= FOREIGN_CONTEXT;
                out.splice(11..11, bytes);
            }
        };
        assert!(written(context_of(2)).is_ok());
        let own = written(context_of(1)).unwrap_err();
        assert_eq!(own.field, "operation context", "what it has seen of itself is told apart");
        let none = written(|out| {
            out[0] |= FOREIGN_CONTEXT;
            out.insert(11, 0);
        });
        assert_eq!(none.unwrap_err().field, "operation context", "nothing is not told");
        assert_eq!(refused(|out| out[0] |= 0x80), "operation flags");
    }

    #[test]
    fn what_an_honest_node_issues_is_in_range_up_to_the_last() {
        let op = |seq, seen, stamp| Operation {
            dot: Dot { replica: replica(1), seq },
            stamp: Stamp(stamp),
            context: [Dot { replica: replica(2), seq: seen }].into_iter().collect(),
            key: Bytes::from_static(b"k"),
            body: Body::Delete,
            marks: Marks::default(),
        };
        let limit = Stamp::HORIZON.0 + 5;
        assert!(op(MAX_SEQ, 5, limit).is_in_range() && op(1, MAX_SEQ, 0).is_in_range());
        for op in [op(MAX_SEQ + 1, 5, 0), op(1, MAX_SEQ + 1, 0), op(1, 5, limit + 1)] {
            assert!(!op.is_in_range(), "{op:?}");
        }
    }

    #[test]
    fn a_chain_depends_on_every_operation() {
        let op = |seq, key: &'static str| Operation {
            dot: Dot { replica: replica(1), seq },
            stamp: Stamp(seq),
            context: VersionVector::EMPTY,
            key: Bytes::from_static(key.as_bytes()),
            body: Body::Delete,
            marks: Marks::default(),
        };
        let a = Chain::default().extend(&op(1, "a"), 1).extend(&op(2, "b"), 2);
        let b = Chain::default().extend(&op(1, "x"), 1).extend(&op(2, "b"), 2);
        assert_ne!(a, b);
    }

    proptest! {
        #[test]
        fn operations_round_trip(op in operations()) {
            let mut out = Vec::new();
            op.encode(&mut out);
            let bytes = Bytes::from(out);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Operation::decode(&mut reader, op.dot.replica).unwrap(), op);
            reader.finish("operation").unwrap();
        }

        #[test]
        fn a_cut_operation_is_refused(op in operations(), cut: prop::sample::Index) {
            let mut out = Vec::new();
            op.encode(&mut out);
            out.truncate(cut.index(out.len()));
            let bytes = Bytes::from(out);
            prop_assert!(Operation::decode(&mut Reader::new(&bytes), op.dot.replica).is_err());
        }

        #[test]
        fn garbage_never_panics(garbage: Vec<u8>) {
            let bytes = Bytes::from(garbage);
            // Only the absence of a panic is claimed here; well-formed garbage may decode.
            drop(Operation::decode(&mut Reader::new(&bytes), replica(1)));
        }
    }
}
