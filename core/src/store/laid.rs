//! A snapshot block laid out as the store will hold it.
//!
//! That needs nothing but the block's bytes: entries become slots, and slots leaves, under numbers of their own. So it may be
//! done anywhere and in any order. [`Store::take`] puts what came of it behind what is there, and translates the numbers.

use alloc::vec::Vec;

use bytes::Bytes;

use super::digest::Digest;
use super::slot::{Parts, Replicas, Slot};
use super::table::{Handle, Line};
use super::tree::{Keys, Run};
use super::walk::{BATCH_CONTINUES, CONTEXT, KNOWN, KNOWN_FLAGS, LIFTED, REPEATS, RESOLUTION, TOMBSTONE};
use super::{Entry, Store};
use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader};
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::limits::{MAX_KEY_LEN, MAX_REPLICAS, MAX_VALUE_LEN};
use crate::op::Marks;

/// Entries of a block, in key order.
#[derive(Debug)]
pub struct Laid {
    pub(super) lines: Vec<Line>,
    /// By the places in `lines`.
    pub(super) run: Run,
    /// What `lines` call their replicas.
    pub(super) replicas: Replicas,
    pub(super) digest: Digest,
    /// The part of `digest` that tombstones have in it.
    pub(super) dead_digest: Digest,
    pub(super) tally: Tally,
    pub(super) last_changed: Lsn,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) live: usize,
    pub(super) live_bytes: u64,
    pub(super) dead_bytes: u64,
}

impl Tally {
    pub(super) fn count(&mut self, slot: &Slot) {
        match slot.value() {
            Some(value) => {
                self.live += 1;
                self.live_bytes += (slot.key().len() + value.len()) as u64;
            }
            None => self.dead_bytes += slot.key().len() as u64,
        }
    }

    pub(super) fn uncount(&mut self, slot: &Slot) {
        match slot.value() {
            Some(value) => {
                self.live -= 1;
                self.live_bytes -= (slot.key().len() + value.len()) as u64;
            }
            None => self.dead_bytes -= slot.key().len() as u64,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.live += other.live;
        self.live_bytes += other.live_bytes;
        self.dead_bytes += other.dead_bytes;
    }
}

/// About the least that an entry takes in a block.
const LEAST: usize = 24;

impl Laid {
    /// Lays out a block that [`Store::walk`] made.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not `items` well-formed entries whose keys rise.
    pub fn of(items: u32, block: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(block);
        let digest = Digest(u128::from_le_bytes(reader.array("snapshot block digest")?));
        let mut entries = Entries { reader, replicas: Replicas::default() };
        // A count that nothing has checked: no more than there is room for.
        let mut lines: Vec<Line> = Vec::with_capacity((items as usize).min(block.len() / LEAST));
        let (mut tally, mut dead_digest, mut last_changed) = (Tally::default(), Digest::default(), Lsn::ZERO);
        for _ in 0..items {
            let slot = entries.next()?;
            if lines.last().is_some_and(|last| last.0.key() >= slot.key()) {
                return Err(out_of_order());
            }
            tally.count(&slot);
            last_changed = last_changed.max(slot.changed);
            if slot.is_tombstone() {
                dead_digest.add(Digest::of(Entry { slot: &slot, replicas: &entries.replicas }));
            }
            lines.push(Line(slot));
        }
        entries.reader.finish("snapshot block")?;
        let run = Run::over(&lines[..], lines.len() as Handle);
        Ok(Self { lines, run, replicas: entries.replicas, digest, dead_digest, tally, last_changed })
    }
}

impl Keys for [Line] {
    fn key(&self, handle: Handle) -> &[u8] {
        self.get(handle as usize).map_or(&[], |line| line.0.key())
    }
}

impl Store {
    /// Takes in a block that [`Self::walk`] made. Blocks come in key order, before anything is applied.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not `items` well-formed entries whose keys rise and follow all that was
    /// loaded.
    #[expect(clippy::needless_pass_by_value, reason = "blocks are handed over, as log records are")]
    pub fn load(&mut self, items: u32, block: Bytes) -> Result<(), DecodeError> {
        self.take(Laid::of(items, &block)?)
    }

    /// As [`Self::load`], of a block that is laid out already.
    ///
    /// # Errors
    /// [`DecodeError`] when its keys do not follow all that was loaded.
    pub fn take(&mut self, mut laid: Laid) -> Result<(), DecodeError> {
        let first = laid.lines.first().map(|line| line.0.key());
        if first.is_some_and(|first| self.table.last_key().is_some_and(|last| last >= first)) {
            return Err(out_of_order());
        }
        if !self.replicas.take_in(&laid.replicas) {
            for line in &mut laid.lines {
                let slot = core::mem::replace(&mut line.0, Slot::vacant());
                line.0 = slot.translated(&laid.replicas, &self.replicas);
            }
        }
        self.digest.add(laid.digest);
        self.dead_digest.add(laid.dead_digest);
        self.tally.add(laid.tally);
        self.last_changed = self.last_changed.max(laid.last_changed);
        let first = self.table.next_handle();
        for (handle, line) in (first..).zip(&laid.lines) {
            self.feed.push_loose(line.0.changed, handle);
        }
        self.table.append(laid.lines, laid.run);
        Ok(())
    }
}

fn out_of_order() -> DecodeError {
    DecodeError { field: "snapshot entry key", fault: Fault::Invalid }
}

/// Reads the entries of a block.
struct Entries<'a> {
    reader: Reader<'a>,
    /// Numbered as the block does.
    replicas: Replicas,
}

impl Entries<'_> {
    fn next(&mut self) -> Result<Slot, DecodeError> {
        let invalid = |field| DecodeError { field, fault: Fault::Invalid };
        let flags = self.reader.u8("snapshot entry flags")?;
        if flags & !KNOWN_FLAGS != 0 {
            return Err(DecodeError { field: "snapshot entry flags", fault: Fault::FromTheFuture });
        }
        let replica = self.replica()?;
        let dot = Dot { replica, seq: self.reader.varint("snapshot entry seq")? };
        let stamp = Stamp(self.reader.u64("snapshot entry stamp")?);
        let version = self.reader.varint("snapshot entry version")?;
        let changed = Lsn(self.reader.varint("snapshot entry LSN")?);
        let content_hash = self.reader.u64("snapshot entry content hash")?;
        if dot.seq == 0 || version == 0 || changed == Lsn::ZERO {
            return Err(invalid("snapshot entry"));
        }
        let context = if flags & CONTEXT == 0 { VersionVector::EMPTY } else { self.vector()? };
        if context.covers(dot) {
            return Err(invalid("snapshot entry context"));
        }
        let known = if flags & KNOWN == 0 { None } else { Some(self.vector()?) };
        if known.as_ref().is_some_and(|known| !known.covers(dot) || !known.covers_all(&context)) {
            return Err(invalid("snapshot entry known"));
        }
        let repeats = if flags & REPEATS == 0 {
            None
        } else {
            let replica = self.replica()?;
            Some(Dot { replica, seq: self.reader.varint("snapshot entry repeated")? })
        };
        if repeats.is_some_and(|repeated| repeated.seq == 0 || !context.covers(repeated)) {
            return Err(invalid("snapshot entry repeated"));
        }
        let key = self.reader.slice(MAX_KEY_LEN, "snapshot entry key")?;
        if key.is_empty() {
            return Err(invalid("snapshot entry key"));
        }
        let value = match flags & TOMBSTONE {
            0 => Some(self.reader.slice(MAX_VALUE_LEN, "snapshot entry value")?),
            _ => None,
        };
        let marks = Marks {
            batch_continues: flags & BATCH_CONTINUES != 0,
            lifted: flags & LIFTED != 0,
            resolution: flags & RESOLUTION != 0,
            repeats,
        };
        let context = &context;
        let known = known.as_ref();
        let parts = Parts { key, value, content_hash, dot, stamp, marks, context, known, version, changed };
        Ok(Slot::new(&self.replicas, &parts))
    }

    fn replica(&mut self) -> Result<ReplicaId, DecodeError> {
        let field = "snapshot entry replica";
        let number = u32::try_from(self.reader.varint(field)?).unwrap_or(u32::MAX);
        if let Some(id) = self.replicas.get(number) {
            return Ok(id);
        }
        let id = ReplicaId(self.reader.array(field)?);
        // A block names a replica once, and numbers in the order of these names.
        if self.replicas.intern(id) == number { Ok(id) } else { Err(DecodeError { field, fault: Fault::Invalid }) }
    }

    fn vector(&mut self) -> Result<VersionVector, DecodeError> {
        let field = "snapshot entry vector";
        let invalid = DecodeError { field, fault: Fault::Invalid };
        let count = self.reader.varint(field)?;
        if count == 0 || count > MAX_REPLICAS as u64 {
            return Err(invalid);
        }
        let mut vector = VersionVector::EMPTY;
        let mut previous = None;
        for _ in 0..count {
            let dot = Dot { replica: self.replica()?, seq: self.reader.varint(field)? };
            if previous.is_some_and(|before| before >= dot.replica) || !vector.include(dot) {
                return Err(invalid);
            }
            previous = Some(dot.replica);
        }
        Ok(vector)
    }
}
