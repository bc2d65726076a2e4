//! Published entries: slots by handle, and handles in key order.

use alloc::vec::Vec;
use core::ops::Bound;

use super::slot::Slot;
use super::tree::{Keys, Tree};

/// The place of a slot; it never changes, because no entry is ever taken out: deletions leave tombstones.
pub(super) type Handle = u32;

/// Slots of one piece of memory: growing never moves more than this many.
const CHUNK: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Slots,
    tree: Tree,
}

#[derive(Debug, Default)]
struct Slots {
    chunks: Vec<Vec<Slot>>,
    len: usize,
}

impl Slots {
    fn slot(&self, handle: Handle) -> &Slot {
        let handle = handle as usize;
        let slot = self.chunks.get(handle / CHUNK).and_then(|chunk| chunk.get(handle % CHUNK));
        slot.expect("handles are given out with their slots")
    }

    fn push(&mut self, slot: Slot) -> Handle {
        let handle = Handle::try_from(self.len).expect("2^32 entries would fill 600 GiB");
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(slot),
            // The first piece grows with the store, so that a small one stays small.
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push(chunk);
            }
            None => self.chunks.push(alloc::vec![slot]),
        }
        self.len += 1;
        handle
    }
}

impl Keys for Slots {
    fn key(&self, handle: Handle) -> &[u8] {
        self.slot(handle).key()
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<Handle> {
        self.tree.find(&self.slots, key)
    }

    pub(super) fn slot(&self, handle: Handle) -> &Slot {
        self.slots.slot(handle)
    }

    pub(super) fn replace(&mut self, handle: Handle, slot: Slot) -> Slot {
        let at = handle as usize;
        let place = self.slots.chunks.get_mut(at / CHUNK).and_then(|chunk| chunk.get_mut(at % CHUNK));
        let place = place.expect("handles are given out with their slots");
        assert!(place.key() == slot.key(), "a slot keeps its key");
        core::mem::replace(place, slot)
    }

    /// Takes in the entry of a key that is not there yet.
    pub(super) fn insert(&mut self, slot: Slot) -> Handle {
        let handle = self.slots.push(slot);
        self.tree.insert(&self.slots, handle);
        handle
    }

    pub(super) fn last_key(&self) -> Option<&[u8]> {
        self.tree.last().map(|handle| self.slots.key(handle))
    }

    /// Handles in key order.
    pub(super) fn from(&self, start: Bound<&[u8]>) -> impl Iterator<Item = Handle> + use<'_> {
        self.tree.from(&self.slots, start)
    }
}
