//! Published entries: slots by handle, and handles in key order.

use alloc::vec::Vec;
use core::ops::Bound;

use super::index::Index;
use super::slot::Slot;
use super::tree::{Keys, Ordered, Place, Run, Tree};

/// The place of a slot; it never changes as long as the entry is there. Deletions leave tombstones; what is collected
/// frees its place for another key.
pub(super) type Handle = u32;

/// Slots of one piece of memory: growing never moves more than this many.
const CHUNK: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slots,
    tree: Tree,
    /// Places whose entries were taken out.
    vacant: Vec<Handle>,
    /// Finds entries while many come in and `tree` is empty.
    index: Option<Index>,
}

#[derive(Debug, Default)]
struct Slots {
    chunks: Vec<Vec<Line>>,
    len: usize,
}

/// A slot in one cache line rather than parts of two: to fetch it, a reader waits once.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Line(pub(super) Slot);

const _: () = assert!(size_of::<Line>() == 64);

impl Slots {
    fn slot(&self, handle: Handle) -> &Slot {
        let handle = handle as usize;
        let slot = self.chunks.get(handle / CHUNK).and_then(|chunk| chunk.get(handle % CHUNK));
        &slot.expect("handles are given out with their slots").0
    }

    fn next(&self) -> Handle {
        Handle::try_from(self.len).expect("2^32 entries would fill 600 GiB")
    }

    fn push(&mut self, slot: Slot) -> Handle {
        let handle = self.next();
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(Line(slot)),
            // The first piece grows with the store, so that a small one stays small.
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Line(slot));
                self.chunks.push(chunk);
            }
            None => self.chunks.push(alloc::vec![Line(slot)]),
        }
        self.len += 1;
        handle
    }

    fn append(&mut self, lines: Vec<Line>) {
        self.len += lines.len();
        let mut lines = lines.into_iter();
        while lines.len() > 0 {
            match self.chunks.last_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.extend(lines.by_ref().take(CHUNK - chunk.len())),
                Some(_) => self.chunks.push(Vec::with_capacity(CHUNK)),
                // As small as in `push`.
                None => self.chunks.push(Vec::with_capacity(lines.len().min(CHUNK))),
            }
        }
    }
}

impl Keys for Slots {
    fn key(&self, handle: Handle) -> &[u8] {
        self.slot(handle).key()
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len - self.vacant.len()
    }

    /// Many entries are about to come in one by one, in no order: they are found without one until [`Self::settle`]. Does
    /// nothing unless the table is empty.
    pub(super) fn gather(&mut self, seed: u64) {
        if self.slots.len == 0 && self.index.is_none() {
            self.index = Some(Index::new(seed));
        }
    }

    /// Brings what was gathered into order.
    pub(super) fn settle(&mut self) {
        if self.index.take().is_some() {
            self.tree = Tree::build(&self.slots, self.slots.len as Handle);
        }
    }

    /// The handle of `key`, or the place where it belongs.
    pub(super) fn find(&self, key: &[u8]) -> Result<Handle, Place> {
        match &self.index {
            None => self.tree.find(&self.slots, key),
            Some(index) => index.find(&self.slots, key).ok_or(Place::default()),
        }
    }

    /// Looks at the cells of keys that are looked for next; nothing depends on what is read, so the processor fetches all at
    /// once.
    pub(super) fn expect(&self, keys: &mut dyn Iterator<Item = &[u8]>) {
        if let Some(index) = &self.index {
            core::hint::black_box(keys.fold(0, |touched, key| touched ^ index.touch(key)));
        }
    }

    /// As [`Self::find`], for a key that was found to belong to `place` at an earlier time.
    pub(super) fn find_again(&self, key: &[u8], place: Place) -> Result<Handle, Place> {
        self.tree.find_again(&self.slots, key, place)
    }

    pub(super) fn slot(&self, handle: Handle) -> &Slot {
        self.slots.slot(handle)
    }

    pub(super) fn replace(&mut self, handle: Handle, slot: Slot) -> Slot {
        let place = self.place(handle);
        assert!(place.key() == slot.key(), "a slot keeps its key");
        core::mem::replace(place, slot)
    }

    /// Takes in the entry of a key that is not there yet, at the place that [`Self::find`] gave.
    pub(super) fn insert(&mut self, place: Place, slot: Slot) -> Handle {
        let handle = match self.vacant.pop() {
            Some(handle) => {
                *self.place(handle) = slot;
                handle
            }
            None => self.slots.push(slot),
        };
        match &mut self.index {
            None => self.tree.insert(&self.slots, place, handle),
            Some(index) => index.insert(self.slots.key(handle), handle),
        }
        handle
    }

    /// Where the next entries go that [`Self::append`] takes in.
    pub(super) fn next_handle(&self) -> Handle {
        self.slots.next()
    }

    /// Takes in entries of keys that rise and are greater than all others. `run` holds them in this order.
    pub(super) fn append(&mut self, lines: Vec<Line>, run: Run) {
        let (last, first) = (self.tree.last(), self.slots.next());
        self.slots.append(lines);
        self.tree.append(&self.slots, last, run, first);
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, handle: Handle) -> Slot {
        self.settle();
        self.tree.remove(&self.slots, self.slots.key(handle));
        self.vacant.push(handle);
        core::mem::replace(self.place(handle), Slot::vacant())
    }

    fn place(&mut self, handle: Handle) -> &mut Slot {
        let at = handle as usize;
        let place = self.slots.chunks.get_mut(at / CHUNK).and_then(|chunk| chunk.get_mut(at % CHUNK));
        &mut place.expect("handles are given out with their slots").0
    }

    pub(super) fn last_key(&self) -> Option<&[u8]> {
        self.tree.last().map(|handle| self.slots.key(handle))
    }

    /// Memory of slots and order, without keys and values.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.slots.chunks.iter().map(|chunk| chunk.capacity() * size_of::<Line>()).sum::<usize>() + self.tree.bytes()
    }

    /// Slots in key order.
    ///
    /// # Panics
    /// When what was gathered is not in order yet.
    pub(super) fn slots_from(&self, start: Bound<&[u8]>) -> Ahead<'_> {
        assert!(self.index.is_none(), "what was gathered is settled before anybody asks for its order");
        Ahead { slots: &self.slots, handles: self.tree.from(&self.slots, start), batch: [None; AHEAD], at: 0, len: 0 }
    }
}

/// The most slots that a walk fetches before they are asked for.
const AHEAD: usize = 32;

/// The fewest: so many are fetched in hardly more time than one.
const AT_FIRST: usize = 4;

/// Walks slots a few at a time. Neighbours in key order lie anywhere in memory, and a walk that waited for each slot,
/// and then for its key, would do nothing but wait. Touching those of a batch one after the other, with nothing that
/// depends on what is read, lets the processor fetch them all at once.
#[derive(Debug)]
pub(super) struct Ahead<'a> {
    slots: &'a Slots,
    handles: Ordered<'a>,
    batch: [Option<&'a Slot>; AHEAD],
    at: usize,
    len: usize,
}

impl Ahead<'_> {
    fn refill(&mut self) {
        // Twice as many as before, so that whoever wants a few entries does not pay for many.
        let want = (self.len * 2).clamp(AT_FIRST, AHEAD);
        self.len = 0;
        self.at = 0;
        let mut touched = 0;
        for (place, handle) in self.batch.iter_mut().zip(self.handles.by_ref().take(want)) {
            let slot = self.slots.slot(handle);
            touched ^= slot.seq;
            *place = Some(slot);
            self.len += 1;
        }
        core::hint::black_box(touched);
        let ends: usize = self.batch.iter().take(self.len).flatten().map(|slot| slot.touch()).sum();
        core::hint::black_box(ends);
    }
}

impl<'a> Iterator for Ahead<'a> {
    type Item = &'a Slot;

    #[inline]
    fn next(&mut self) -> Option<&'a Slot> {
        if self.at == self.len {
            self.refill();
            if self.len == 0 {
                return None;
            }
        }
        let slot = *self.batch.get(self.at)?;
        self.at += 1;
        slot
    }
}
