//! Snapshot blocks: entries in key order, as bytes.
//!
//! ```text
//! digest of the block's entries u128
//! per entry:
//!   flags u8 | replica | seq varint | stamp u64 | version varint | changed varint | content hash u64
//!   [if CONTEXT: vector]  [if KNOWN: vector]  [if REPEATS: replica | seq varint]
//!   key length varint | key
//!   [unless TOMBSTONE: value length varint | value]
//! replica = number varint, and the 16 bytes of its id where the number is used for the first time in the block
//! vector = count varint, then per replica, in the order of ids: replica | seq varint
//! ```
//!
//! Numbers are little-endian. Integrity is the business of whoever stores the block: the content hash and the digest
//! are taken as they stand, so that loading hashes nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::Bytes;

use super::digest::Digest;
use super::{Entry, Store};
use crate::codec::{put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Lsn, ReplicaId};

pub(super) const TOMBSTONE: u8 = 1 << 0;
pub(super) const BATCH_CONTINUES: u8 = 1 << 1;
pub(super) const LIFTED: u8 = 1 << 2;
pub(super) const RESOLUTION: u8 = 1 << 3;
pub(super) const CONTEXT: u8 = 1 << 4;
/// `known` is more than the context and the dot.
pub(super) const KNOWN: u8 = 1 << 5;
pub(super) const REPEATS: u8 = 1 << 6;
pub(super) const KNOWN_FLAGS: u8 = TOMBSTONE | BATCH_CONTINUES | LIFTED | RESOLUTION | CONTEXT | KNOWN | REPEATS;

/// One step of a walk over the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Entries in the block.
    pub items: u32,
    /// Where the next step goes on, as its `after`; `None` when this was the last.
    pub next: Option<Bytes>,
    /// The greatest LSN at which an entry of the block changed, or one was taken out that the block may lack: a snapshot
    /// that holds the block may count only once the log is durable up to here. [`Lsn::ZERO`] when there is no such LSN.
    pub newest: Lsn,
}

impl Store {
    /// Appends a block of published entries, tombstones too, in key order from the first key after `after` (from the
    /// beginning for `None`). Stops once the block has reached `room` bytes, and takes at least one entry.
    pub fn walk(&self, after: Option<&[u8]>, room: usize, out: &mut Vec<u8>) -> Walk {
        let start = out.len();
        out.extend_from_slice(&[0; 16]);
        let mut walk = Walk { items: 0, next: None, newest: self.last_removed };
        let mut numbers = Numbers::default();
        let mut digest = Digest::default();
        let mut entries = self.entries_from(after.map_or(Bound::Unbounded, Bound::Excluded)).peekable();
        while let Some(entry) = entries.next() {
            if planted!("tombstones_not_in_snapshot") && entry.is_tombstone() {
                continue;
            }
            encode(entry, &mut numbers, out);
            digest.add(Digest::of(entry));
            walk.items += 1;
            walk.newest = walk.newest.max(entry.changed());
            if out.len() - start >= room && entries.peek().is_some() {
                walk.next = Some(Bytes::copy_from_slice(entry.key()));
                break;
            }
        }
        if let Some(place) = out.get_mut(start..start + 16) {
            place.copy_from_slice(&digest.0.to_le_bytes());
        }
        walk
    }
}

/// Numbers that one block gives to replica ids, in the order of their first use.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<ReplicaId, u64>);

impl Numbers {
    fn put(&mut self, replica: ReplicaId, out: &mut Vec<u8>) {
        let next = self.0.len() as u64;
        let number = *self.0.entry(replica).or_insert(next);
        put_varint(out, number);
        if number == next {
            out.extend_from_slice(&replica.0);
        }
    }

    fn put_vector(&mut self, vector: &VersionVector, out: &mut Vec<u8>) {
        put_varint(out, vector.len() as u64);
        for dot in vector.iter() {
            self.put(dot.replica, out);
            put_varint(out, dot.seq);
        }
    }
}

fn encode(entry: Entry<'_>, numbers: &mut Numbers, out: &mut Vec<u8>) {
    let dot = entry.dot();
    let context = entry.context();
    let known = entry.known();
    let mut derived = context.clone();
    derived.include(dot);
    let with_known = known != derived;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let marks = entry.marks();
    out.push(
        flag(entry.is_tombstone(), TOMBSTONE)
            | flag(marks.batch_continues, BATCH_CONTINUES)
            | flag(marks.lifted, LIFTED)
            | flag(marks.resolution, RESOLUTION)
            | flag(!context.is_empty(), CONTEXT)
            | flag(with_known, KNOWN)
            | flag(marks.repeats.is_some(), REPEATS),
    );
    numbers.put(dot.replica, out);
    put_varint(out, dot.seq);
    out.extend_from_slice(&entry.stamp().0.to_le_bytes());
    put_varint(out, if planted!("version_not_in_snapshot") { 1 } else { entry.version() });
    put_varint(out, entry.changed().0);
    out.extend_from_slice(&entry.content_hash().to_le_bytes());
    if !context.is_empty() {
        numbers.put_vector(&context, out);
    }
    if with_known {
        numbers.put_vector(&known, out);
    }
    if let Some(repeated) = marks.repeats {
        numbers.put(repeated.replica, out);
        put_varint(out, repeated.seq);
    }
    put_blob(out, entry.key());
    if let Some(value) = entry.value() {
        put_blob(out, value);
    }
}
