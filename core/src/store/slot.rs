//! How an entry lies in memory: one slot of 64 bytes and one allocation for key, history and value together.
//!
//! Replica ids are held once, in [`Replicas`], and named by a number. The two vectors of an entry take no memory of
//! their own in the usual cases: a context that names only the writer itself is a distance in the slot, and a
//! `known` that is the context and the dot is not stored at all. Everything else is a list between key and value:
//!
//! ```text
//! key length u16 | key | [if CONTEXT, KNOWN or REPEATS: list length varint | context list | known list | repeated] | value
//! list = count varint, then per replica its number (varint) and seq (varint)
//! repeated = a list of one
//! ```

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::put_varint;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId, Seq};
use crate::op::Marks;

const TOMBSTONE: u32 = 1 << 0;
const BATCH_CONTINUES: u32 = 1 << 1;
const LIFTED: u32 = 1 << 2;
const RESOLUTION: u32 = 1 << 3;
/// The context stands in the allocation, not in the upper bits.
const CONTEXT: u32 = 1 << 4;
/// `known` stands in the allocation: it is more than the context and the dot.
const KNOWN: u32 = 1 << 5;
/// What the operation repeats stands in the allocation.
const REPEATS: u32 = 1 << 6;
/// The upper bits hold `seq - own context seq`, or 0 for an empty context.
const BACK_SHIFT: u32 = 8;
const BACK_MAX: u64 = (1 << (32 - BACK_SHIFT)) - 1;

/// Values longer than this are held apart and shared with readers instead of copied for them. Below it a copy costs
/// less than a second allocation for every key.
const SHARED_FROM: usize = 4096;

/// Every replica id the store has met, each once. Never shrinks: an id takes less memory than the operation that
/// brought it.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    ids: Vec<ReplicaId>,
    numbers: BTreeMap<ReplicaId, u32>,
}

impl Replicas {
    pub(super) fn intern(&mut self, id: ReplicaId) -> u32 {
        if let Some(number) = self.number(id) {
            return number;
        }
        let number = u32::try_from(self.ids.len()).expect("2^32 replica ids would fill 64 GiB");
        self.ids.push(id);
        self.numbers.insert(id, number);
        number
    }

    fn number(&self, id: ReplicaId) -> Option<u32> {
        // Nearly every store has one or few writers, and the first is its own.
        if self.ids.first() == Some(&id) { Some(0) } else { self.numbers.get(&id).copied() }
    }

    /// Whether it is the first that this store heard of, which is its own for most.
    pub(super) fn is_first(&self, id: ReplicaId) -> bool {
        self.ids.first() == Some(&id)
    }

    /// The id of a number, if it was given out.
    pub(super) fn get(&self, number: u32) -> Option<ReplicaId> {
        self.ids.get(number as usize).copied()
    }

    fn id(&self, number: u32) -> ReplicaId {
        self.get(number).expect("a slot names only replicas that were interned")
    }

    /// Takes in all of `others`, in their order. Says whether each has the same number here as there.
    pub(super) fn take_in(&mut self, others: &Self) -> bool {
        (0..).zip(&others.ids).fold(true, |same, (number, id)| (self.intern(*id) == number) & same)
    }
}

/// What a slot is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) key: &'a [u8],
    /// `None` for a tombstone.
    pub(super) value: Option<&'a [u8]>,
    pub(super) content_hash: u64,
    pub(super) dot: Dot,
    pub(super) stamp: Stamp,
    pub(super) marks: Marks,
    pub(super) context: &'a VersionVector,
    /// `None` stands for the context and the dot.
    pub(super) known: Option<&'a VersionVector>,
    pub(super) version: u64,
    pub(super) changed: Lsn,
}

/// One entry at rest.
#[derive(Debug)]
pub(super) struct Slot {
    blob: Blob,
    pub(super) stamp: Stamp,
    pub(super) seq: Seq,
    pub(super) version: u64,
    pub(super) changed: Lsn,
    pub(super) content_hash: u64,
    replica: u32,
    bits: u32,
}

const _: () = assert!(size_of::<Slot>() <= 64);

#[derive(Clone, Debug)]
enum Blob {
    /// All of it.
    Small(Box<[u8]>),
    /// A long value, apart from the rest.
    Large(Box<Large>),
}

#[derive(Clone, Debug)]
struct Large {
    head: Box<[u8]>,
    value: Bytes,
}

impl Slot {
    /// Lays out an entry. Key and value are copied: what they were cut from is not kept alive.
    ///
    /// Every replica named must have been interned.
    pub(super) fn new(replicas: &Replicas, parts: &Parts<'_>) -> Self {
        let Parts { key, value, content_hash, dot, stamp, marks, context, known, version, changed } = *parts;
        let known = known.filter(|known| !is_context_and_dot(known, context, dot));
        let own = context.get(dot.replica);
        let back = if own == 0 { 0 } else { dot.seq.saturating_sub(own) };
        let inline = context.len() == usize::from(own > 0) && back <= BACK_MAX && (own == 0 || back > 0);

        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        let bits = flag(value.is_none(), TOMBSTONE)
            | flag(marks.batch_continues, BATCH_CONTINUES)
            | flag(marks.lifted, LIFTED)
            | flag(marks.resolution, RESOLUTION)
            | flag(!inline, CONTEXT)
            | flag(known.is_some(), KNOWN)
            | flag(marks.repeats.is_some(), REPEATS)
            | if inline { (back as u32) << BACK_SHIFT } else { 0 };

        let mut lists = Vec::new();
        if !inline {
            put_list(&mut lists, replicas, context);
        }
        if let Some(known) = known {
            put_list(&mut lists, replicas, known);
        }
        if let Some(repeated) = marks.repeats {
            put_list(&mut lists, replicas, &core::iter::once(repeated).collect());
        }
        let blob = Blob::new(key, &lists, value.unwrap_or_default());
        let replica = replicas.number(dot.replica).expect("interned by the caller");
        Self { blob, stamp, seq: dot.seq, version, changed, content_hash, replica, bits }
    }

    /// What stands in the place of an entry that was taken out. Its LSN is that of no record, so that the feed passes
    /// it by.
    pub(super) fn vacant() -> Self {
        Self {
            blob: Blob::Small(Box::default()),
            stamp: Stamp::default(),
            seq: 0,
            version: 0,
            changed: Lsn::ZERO,
            content_hash: 0,
            replica: 0,
            bits: TOMBSTONE,
        }
    }

    /// The same entry among `replicas`, which hold all that it names by their numbers among `others`.
    pub(super) fn translated(self, others: &Replicas, replicas: &Replicas) -> Self {
        let replica = replicas.number(others.id(self.replica)).expect("interned by the caller");
        if self.bits & (CONTEXT | KNOWN | REPEATS) == 0 {
            return Self { replica, ..self };
        }
        let context = self.context(others).collect();
        let known = self.has_known().then(|| self.known(others).collect());
        self.with_names(replicas, self.dot(others), self.marks(others), &context, known.as_ref())
    }

    /// The same content with these names in it, which `replicas` hold.
    fn with_names(
        &self,
        replicas: &Replicas,
        dot: Dot,
        marks: Marks,
        context: &VersionVector,
        known: Option<&VersionVector>,
    ) -> Self {
        Self::new(
            replicas,
            &Parts {
                key: self.key(),
                value: self.value(),
                content_hash: self.content_hash,
                dot,
                stamp: self.stamp,
                marks,
                context,
                known,
                version: self.version,
                changed: self.changed,
            },
        )
    }

    /// The same winner, with another `known`, changed at `changed`.
    pub(super) fn with_known(&self, replicas: &Replicas, known: &VersionVector, changed: Lsn) -> Self {
        let context = self.context(replicas).collect();
        Self { changed, ..self.renamed(replicas, self.dot(replicas), &context, known) }
    }

    /// The same content under another dot.
    pub(super) fn renamed(
        &self,
        replicas: &Replicas,
        dot: Dot,
        context: &VersionVector,
        known: &VersionVector,
    ) -> Self {
        // What got another name together with its repetition was not seen by others under that name.
        let marks = self.marks(replicas);
        let marks = Marks { repeats: marks.repeats.filter(|repeated| context.covers(*repeated)), ..marks };
        self.with_names(replicas, dot, marks, context, Some(known))
    }

    pub(super) fn key(&self) -> &[u8] {
        let head = self.blob.head();
        let (len, rest) = head.split_first_chunk().expect("a key length stands first");
        rest.get(..usize::from(u16::from_le_bytes(*len))).expect("the key follows its length")
    }

    /// Looks at the first and the last byte of what a reader of the entry will look at, so that the processor fetches both.
    pub(super) fn touch(&self) -> usize {
        let head = self.blob.head();
        let end = |byte: Option<&u8>| byte.copied().map_or(0, usize::from);
        end(head.first()) + end(head.last())
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.bits & TOMBSTONE != 0
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        if self.is_tombstone() {
            return None;
        }
        match &self.blob {
            Blob::Small(_) => Some(self.split_lists().1),
            Blob::Large(large) => Some(&large.value),
        }
    }

    /// The value as shared bytes; empty for a tombstone. Never keeps more than the value itself alive.
    pub(super) fn share_value(&self) -> Bytes {
        match &self.blob {
            Blob::Small(_) => Bytes::copy_from_slice(self.value().unwrap_or_default()),
            Blob::Large(large) => large.value.clone(),
        }
    }

    pub(super) fn dot(&self, replicas: &Replicas) -> Dot {
        Dot { replica: replicas.id(self.replica), seq: self.seq }
    }

    pub(super) fn marks(&self, replicas: &Replicas) -> Marks {
        Marks {
            batch_continues: self.bits & BATCH_CONTINUES != 0,
            lifted: self.bits & LIFTED != 0,
            resolution: self.bits & RESOLUTION != 0,
            repeats: self.repeated(replicas),
        }
    }

    fn repeated(&self, replicas: &Replicas) -> Option<Dot> {
        if self.bits & REPEATS == 0 {
            return None;
        }
        let mut lists = self.split_lists().0;
        for bit in [CONTEXT, KNOWN] {
            if self.bits & bit != 0 {
                skip_list(&mut lists);
            }
        }
        Dots::of_list(replicas, lists).next()
    }

    /// The greatest dot per replica of the winner's context.
    pub(super) fn context<'a>(&'a self, replicas: &'a Replicas) -> Dots<'a> {
        if self.bits & CONTEXT != 0 {
            return Dots::of_list(replicas, self.split_lists().0);
        }
        let back = u64::from(self.bits >> BACK_SHIFT);
        let own = Dot { replica: replicas.id(self.replica), seq: self.seq.saturating_sub(back) };
        Dots { replicas, list: &[], left: 0, extra: (back > 0).then_some(own) }
    }

    /// Dots that together stand for `known`; one replica may come twice, and the greater counts.
    pub(super) fn known<'a>(&'a self, replicas: &'a Replicas) -> Dots<'a> {
        if self.bits & KNOWN != 0 {
            let mut lists = self.split_lists().0;
            if self.bits & CONTEXT != 0 {
                skip_list(&mut lists);
            }
            return Dots::of_list(replicas, lists);
        }
        // The dot is above the writer's own part of its context, so it stands for that too.
        Dots { extra: Some(self.dot(replicas)), ..self.context(replicas) }
    }

    /// Whether `known` is more than the context and the dot.
    pub(super) fn has_known(&self) -> bool {
        self.bits & KNOWN != 0
    }

    /// Whether `dot` was merged here.
    pub(super) fn knows(&self, replicas: &Replicas, dot: Dot) -> bool {
        self.known(replicas).any(|known| known.replica == dot.replica && known.seq >= dot.seq)
    }

    /// Lists and value; without the value for a long one.
    fn split_lists(&self) -> (&[u8], &[u8]) {
        let mut rest = self.blob.head().get(2 + self.key().len()..).expect("the key was read");
        if self.bits & (CONTEXT | KNOWN | REPEATS) == 0 {
            return (&[], rest);
        }
        let len = take_varint(&mut rest) as usize;
        rest.split_at_checked(len).expect("the lists follow their length")
    }
}

impl Blob {
    fn new(key: &[u8], lists: &[u8], value: &[u8]) -> Self {
        let apart = value.len() >= SHARED_FROM;
        let inside = if apart { 0 } else { value.len() };
        // Exactly sized, so that turning it into a box does not copy it once more.
        let lists_len = if lists.is_empty() { 0 } else { crate::codec::varint_len(lists.len() as u64) + lists.len() };
        let mut head = Vec::with_capacity(2 + key.len() + lists_len + inside);
        let key_len = u16::try_from(key.len()).expect("keys are at most MAX_KEY_LEN long");
        head.extend_from_slice(&key_len.to_le_bytes());
        head.extend_from_slice(key);
        if !lists.is_empty() {
            put_varint(&mut head, lists.len() as u64);
            head.extend_from_slice(lists);
        }
        if apart {
            let value = Bytes::copy_from_slice(value);
            Self::Large(Box::new(Large { head: head.into_boxed_slice(), value }))
        } else {
            head.extend_from_slice(value);
            Self::Small(head.into_boxed_slice())
        }
    }

    fn head(&self) -> &[u8] {
        match self {
            Self::Small(all) => all,
            Self::Large(large) => &large.head,
        }
    }
}

/// Dots of a stored vector.
#[derive(Clone, Debug)]
pub(super) struct Dots<'a> {
    replicas: &'a Replicas,
    list: &'a [u8],
    left: u64,
    extra: Option<Dot>,
}

impl<'a> Dots<'a> {
    fn of_list(replicas: &'a Replicas, mut list: &'a [u8]) -> Self {
        let left = take_varint(&mut list);
        Self { replicas, list, left, extra: None }
    }
}

impl Iterator for Dots<'_> {
    type Item = Dot;

    fn next(&mut self) -> Option<Dot> {
        if self.left == 0 {
            return self.extra.take();
        }
        self.left -= 1;
        let replica = self.replicas.id(take_varint(&mut self.list) as u32);
        Some(Dot { replica, seq: take_varint(&mut self.list) })
    }
}

fn is_context_and_dot(known: &VersionVector, context: &VersionVector, dot: Dot) -> bool {
    let expected = context.len() + usize::from(context.get(dot.replica) == 0);
    known.len() == expected
        && known.get(dot.replica) == dot.seq.max(context.get(dot.replica))
        && context.iter().all(|other| other.replica == dot.replica || known.get(other.replica) == other.seq)
}

fn put_list(out: &mut Vec<u8>, replicas: &Replicas, vector: &VersionVector) {
    put_varint(out, vector.len() as u64);
    for dot in vector.iter() {
        put_varint(out, u64::from(replicas.number(dot.replica).expect("interned by the caller")));
        put_varint(out, dot.seq);
    }
}

fn skip_list(list: &mut &[u8]) {
    for _ in 0..take_varint(list).saturating_mul(2) {
        take_varint(list);
    }
}

/// Reads a varint that [`put_varint`] wrote into our own memory.
fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (byte, rest) = bytes.split_first().expect("our own varints are whole");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}
