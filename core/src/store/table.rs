//! Published entries: slots by handle, and handles in key order.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use super::slot::Slot;

/// The place of a slot; it never changes, because no entry is ever taken out: deletions leave tombstones.
pub(super) type Handle = u32;

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    order: BTreeMap<Box<[u8]>, Handle>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<Handle> {
        self.order.get(key).copied()
    }

    pub(super) fn slot(&self, handle: Handle) -> &Slot {
        self.slots.get(handle as usize).expect("handles are given out with their slots")
    }

    pub(super) fn replace(&mut self, handle: Handle, slot: Slot) -> Slot {
        let place = self.slots.get_mut(handle as usize).expect("handles are given out with their slots");
        core::mem::replace(place, slot)
    }

    /// Takes in the entry of a key that is not there yet.
    pub(super) fn insert(&mut self, slot: Slot) -> Handle {
        let handle = self.slots.len() as Handle;
        self.order.insert(slot.key().into(), handle);
        self.slots.push(slot);
        handle
    }

    pub(super) fn last_key(&self) -> Option<&[u8]> {
        self.order.last_key_value().map(|(key, _)| &**key)
    }

    pub(super) fn from(&self, start: Bound<&[u8]>) -> impl Iterator<Item = Handle> + '_ {
        self.order.range::<[u8], _>((start, Bound::Unbounded)).map(|(_, handle)| *handle)
    }
}
