//! Changes that were accepted and are not yet durable: what the next write overwrites, and nobody else sees.

use alloc::collections::VecDeque;

use bytes::Bytes;

use super::Seat;
use super::slot::Slot;
use super::table::Handle;
use super::tree::Place;
use crate::cells::{self, Cells};
use crate::ids::Lsn;

/// Staged entries in the order of their LSNs, and the newest of each key.
#[derive(Debug, Default)]
pub(super) struct Staging {
    queue: VecDeque<Staged>,
    /// The ticket of the front of the queue; the next ones follow without gaps.
    front: u64,
    /// The lower half of the ticket of each key's newest change.
    newest: Cells,
    /// Guards against keys that were chosen to be slow.
    seed: u64,
}

#[derive(Debug)]
struct Staged {
    lsn: Lsn,
    /// Of the key.
    hash: u32,
    /// Where the published entry of this key stands, or would have stood then. Behind a removal, a place in any case.
    at: Result<Handle, Place>,
    change: Change,
    /// The ticket of the staged change of this key that this one was made from.
    made_from: Option<u64>,
}

/// What becomes of a key.
#[derive(Debug)]
pub(super) enum Change {
    /// This is its entry from here on.
    Entry(Slot),
    /// It has none from here on.
    Removal(Bytes),
}

impl Change {
    fn key(&self) -> &[u8] {
        match self {
            Self::Entry(slot) => slot.key(),
            Self::Removal(key) => key,
        }
    }
}

impl Staging {
    /// Has keys found by another hash.
    ///
    /// # Panics
    /// When something is staged.
    pub(super) fn reseed(&mut self, seed: u64) {
        assert!(self.queue.is_empty(), "what is staged was put down by another hash");
        self.seed = seed;
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        cells::hash(self.seed, key)
    }

    /// The ticket of the newest change of a key, and where its published entry stands or stood to be put.
    pub(super) fn newest(&self, key: &[u8], hash: u32) -> Option<(u64, Result<Handle, Place>)> {
        let is_it = |number| self.staged(self.ticket(number)).is_some_and(|staged| staged.change.key() == key);
        let ticket = self.ticket(self.newest.find(hash, is_it)?);
        self.staged(ticket).map(|staged| (ticket, staged.at))
    }

    /// The entry that the change with a ticket makes, until it is published or discarded. `None` for a removal.
    pub(super) fn slot(&self, ticket: u64) -> Option<&Slot> {
        match &self.staged(ticket)?.change {
            Change::Entry(slot) => Some(slot),
            Change::Removal(_) => None,
        }
    }

    /// The newest change of each key, where it makes an entry.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.queue.iter().zip(self.front..).filter_map(|(staged, ticket)| match &staged.change {
            Change::Entry(slot) => {
                let newest = self.newest(slot.key(), staged.hash).is_some_and(|(newest, _)| newest == ticket);
                newest.then_some(slot)
            }
            Change::Removal(_) => None,
        })
    }

    fn staged(&self, ticket: u64) -> Option<&Staged> {
        self.queue.get(usize::try_from(ticket.checked_sub(self.front)?).ok()?)
    }

    /// The ticket of a change in the queue whose lower half is `number`.
    fn ticket(&self, number: u32) -> u64 {
        self.front + u64::from(number.wrapping_sub(self.front as u32))
    }

    /// The number of keys that have a staged change.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.newest.len()
    }

    /// Puts a change behind all others. Nothing was staged for its key since `seat` was found.
    pub(super) fn push(&mut self, lsn: Lsn, seat: Seat, change: Change) {
        // One record may take out many.
        let is_removal = |change: &Change| matches!(change, Change::Removal(_));
        let one_record = |last: &Staged| last.lsn == lsn && is_removal(&last.change) && is_removal(&change);
        let follows = self.queue.back().is_none_or(|last| last.lsn < lsn || one_record(last));
        assert!(follows, "changes are staged in the order of the log");
        let Seat { staged: made_from, at, hash } = seat;
        debug_assert_eq!(self.newest(change.key(), hash).map(|(ticket, _)| ticket), made_from, "the seat is good");
        let ticket = self.front + self.queue.len() as u64;
        match made_from {
            Some(before) => self.newest.replace(hash, before as u32, ticket as u32),
            None => self.newest.insert(hash, ticket as u32),
        }
        self.queue.push_back(Staged { lsn, hash, at, change, made_from });
    }

    /// Takes the oldest change out if its LSN is at most `through`.
    pub(super) fn pop_through(&mut self, through: Lsn) -> Option<(Lsn, Result<Handle, Place>, Change)> {
        let staged = self.queue.pop_front_if(|first| first.lsn <= through)?;
        // If the key was staged again since, its newest change has another ticket.
        self.newest.remove(staged.hash, self.front as u32);
        self.front += 1;
        Some((staged.lsn, staged.at, staged.change))
    }

    /// Drops every change with an LSN of at least `from`; what they were made from is the newest again.
    pub(super) fn discard(&mut self, from: Lsn) {
        while let Some(staged) = self.queue.pop_back_if(|last| last.lsn >= from) {
            let ticket = self.front + self.queue.len() as u64;
            // What has left the front is published, and found there.
            match staged.made_from.filter(|before| *before >= self.front) {
                Some(before) => self.newest.replace(staged.hash, ticket as u32, before as u32),
                None => self.newest.remove(staged.hash, ticket as u32),
            }
        }
    }
}
