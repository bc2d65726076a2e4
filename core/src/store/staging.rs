//! Changes that were accepted and are not yet durable: what the next write overwrites, and nobody else sees.

use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::slot::Slot;
use super::table::Handle;
use super::tree::Place;
use crate::ids::Lsn;

/// Staged entries in the order of their LSNs, and the newest of each key.
#[derive(Debug, Default)]
pub(super) struct Staging {
    queue: VecDeque<Staged>,
    /// The ticket of the front of the queue; the next ones follow without gaps.
    front: u64,
    newest: BTreeMap<Bytes, u64>,
}

#[derive(Debug)]
struct Staged {
    lsn: Lsn,
    key: Bytes,
    /// Where the published entry of this key stands, or would have stood then.
    at: Result<Handle, Place>,
    slot: Slot,
    /// The ticket of the staged entry of this key that this one was made from.
    made_from: Option<u64>,
}

impl Staging {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The ticket of the newest change of a key, and where its published entry stands or stood to be put.
    pub(super) fn newest(&self, key: &[u8]) -> Option<(u64, Result<Handle, Place>)> {
        if self.queue.is_empty() {
            return None;
        }
        let ticket = *self.newest.get(key)?;
        self.staged(ticket).map(|staged| (ticket, staged.at))
    }

    /// The change with a ticket, until it is published or discarded.
    pub(super) fn slot(&self, ticket: u64) -> Option<&Slot> {
        self.staged(ticket).map(|staged| &staged.slot)
    }

    fn staged(&self, ticket: u64) -> Option<&Staged> {
        self.queue.get(usize::try_from(ticket.checked_sub(self.front)?).ok()?)
    }

    /// The number of keys that have a staged change.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.newest.len()
    }

    /// Puts a change behind all others.
    pub(super) fn push(&mut self, lsn: Lsn, key: Bytes, at: Result<Handle, Place>, slot: Slot) {
        assert!(self.queue.back().is_none_or(|last| last.lsn < lsn), "changes are staged in the order of the log");
        let ticket = self.front + self.queue.len() as u64;
        let made_from = self.newest.insert(key.clone(), ticket);
        self.queue.push_back(Staged { lsn, key, at, slot, made_from });
    }

    /// Takes the oldest change out if its LSN is at most `through`.
    pub(super) fn pop_through(&mut self, through: Lsn) -> Option<(Result<Handle, Place>, Slot)> {
        let staged = self.queue.pop_front_if(|first| first.lsn <= through)?;
        if self.newest.get(&staged.key) == Some(&self.front) {
            self.newest.remove(&staged.key);
        }
        self.front += 1;
        Some((staged.at, staged.slot))
    }

    /// Drops every change with an LSN of at least `from`; what they were made from is the newest again.
    pub(super) fn discard(&mut self, from: Lsn) {
        while let Some(staged) = self.queue.pop_back_if(|last| last.lsn >= from) {
            // What has left the front is published, and found there.
            match staged.made_from.filter(|ticket| *ticket >= self.front) {
                Some(ticket) => self.newest.insert(staged.key, ticket),
                None => self.newest.remove(&staged.key),
            };
        }
    }
}
