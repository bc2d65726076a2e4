//! The store: an ordered map from key to entry, held in memory, with the feed and the digest beside it.
//!
//! A change passes through two stages. [`Store::stage`] merges an accepted operation into what the next write will
//! overwrite; nobody else sees it. Once its record is durable, [`Store::publish`] makes it visible; had the log
//! refused it, [`Store::discard_staged`] would take it back. Replay and nodes without a log use [`Store::apply`],
//! which does both at once.
//!
//! Applying once more any part of a log over a state that holds it changes nothing, not even a version count: that
//! is what makes a fuzzy snapshot plus the log from its beginning equal to the whole log.
//!
//! Memory: about 100 bytes a key beyond key and value, with the allocator's rounding; nothing is kept per staged, lost
//! or overwritten operation.
//!
//! *Invariant:* this module never knows the log. An [`Lsn`] is a number that rises.

mod digest;
mod entry;
mod feed;
mod merge;
mod scan;
mod slot;
mod staging;
mod table;
mod tree;
mod walk;

use core::ops::Bound;

pub use self::digest::Digest;
pub use self::entry::Entry;
pub use self::merge::Merge;
pub use self::walk::Walk;

use self::feed::Feed;
use self::slot::{Replicas, Slot};
use self::staging::Staging;
use self::table::{Handle, Table};
use self::tree::Place;
use crate::ids::Lsn;
use crate::op::Operation;

/// Every entry of a node. See the documentation of [the module](self).
#[derive(Debug, Default)]
pub struct Store {
    replicas: Replicas,
    table: Table,
    staging: Staging,
    feed: Feed,
    digest: Digest,
    live: usize,
    live_bytes: u64,
    dead_bytes: u64,
    last_changed: Lsn,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The published entry of a key that has a value.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.entry(key).filter(|entry| !entry.is_tombstone())
    }

    /// The published entry of a key, be it a tombstone.
    #[must_use]
    pub fn entry(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.published(key).1.map(|slot| self.view(slot))
    }

    /// What the next write to a key overwrites: the newest staged entry, else the published one; be it a tombstone.
    #[must_use]
    pub fn latest(&self, key: &[u8]) -> Option<Entry<'_>> {
        match self.staging.newest(key) {
            Some((_, slot)) => Some(self.view(slot)),
            None => self.entry(key),
        }
    }

    /// Merges `op`, whose record got `lsn`, into [`Self::latest`]. Published state stays as it is.
    ///
    /// # Panics
    /// When `lsn` is not above everything staged.
    pub fn stage(&mut self, lsn: Lsn, op: &Operation) -> Merge {
        self.intern(op);
        let (at, old) = match self.staging.newest(&op.key) {
            Some((at, slot)) => (at, Some(slot)),
            None => {
                let (at, old) = self.published(&op.key);
                (at.ok(), old)
            }
        };
        let (merge, slot) = merge::merge(&self.replicas, old, lsn, op);
        if let Some(slot) = slot {
            self.staging.push(lsn, op.key.clone(), at, slot);
        }
        merge
    }

    /// Makes everything staged up to and including `through` visible.
    pub fn publish(&mut self, through: Lsn) {
        while let Some((at, slot)) = self.staging.pop_through(through) {
            let at = at.map_or_else(|| self.table.find(slot.key()), Ok);
            self.install(at, slot);
        }
    }

    /// Drops everything staged from `from` on, as if it had never been accepted.
    pub fn discard_staged(&mut self, from: Lsn) {
        self.staging.discard(from);
    }

    /// The number of changes staged and not yet published.
    #[must_use]
    pub fn staged_len(&self) -> usize {
        self.staging.len()
    }

    /// Merges `op` and makes the result visible at once.
    ///
    /// # Panics
    /// When something is staged: it would be overtaken.
    pub fn apply(&mut self, lsn: Lsn, op: &Operation) -> Merge {
        assert!(self.staging.len() == 0, "what is staged comes first");
        self.intern(op);
        let (at, old) = self.published(&op.key);
        let (merge, slot) = merge::merge(&self.replicas, old, lsn, op);
        if let Some(slot) = slot {
            self.install(at, slot);
        }
        merge
    }

    /// Ends the loading of snapshot blocks. The feed of a loaded store is right without it, and slow until it is
    /// called or something is applied.
    pub fn finish_load(&mut self) {
        self.feed.settle();
    }

    /// The number of published keys that have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no published key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The number of published tombstones.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.table.len() - self.live
    }

    /// Bytes of the keys and values of published, live entries.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// About how many bytes a snapshot of the published state takes, tombstones included.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        const PER_ENTRY: u64 = 36;
        self.live_bytes + self.dead_bytes + PER_ENTRY * self.table.len() as u64
    }

    /// The digest of the published state.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest computed anew over every published entry, values included: it differs from [`Self::digest`] only if
    /// memory or a snapshot was damaged.
    #[must_use]
    pub fn recomputed_digest(&self) -> Option<Digest> {
        let mut digest = Digest::default();
        for entry in self.entries_from(Bound::Unbounded) {
            if entry.body().content_hash() != entry.content_hash() {
                return None;
            }
            digest.add(Digest::of(entry));
        }
        Some(digest)
    }

    /// Published entries that changed after `after`, in the order of their latest change, each once; tombstones
    /// included, superseded versions skipped.
    pub fn feed(&self, after: Lsn) -> impl Iterator<Item = Entry<'_>> {
        self.feed.after(after, &self.table).map(|handle| self.view(self.table.slot(handle)))
    }

    /// The greatest LSN at which a published entry changed; [`Lsn::ZERO`] when there is none.
    #[must_use]
    pub fn last_changed(&self) -> Lsn {
        self.last_changed
    }

    fn entries_from<'a>(&'a self, start: Bound<&'a [u8]>) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.table.slots_from(start).map(|slot| self.view(slot))
    }

    fn published(&self, key: &[u8]) -> (Result<Handle, Place>, Option<&Slot>) {
        let at = self.table.find(key);
        (at, at.ok().map(|handle| self.table.slot(handle)))
    }

    fn last_key(&self) -> Option<&[u8]> {
        self.table.last_key()
    }

    fn view<'a>(&'a self, slot: &'a Slot) -> Entry<'a> {
        Entry { slot, replicas: &self.replicas }
    }

    fn intern(&mut self, op: &Operation) {
        self.replicas.intern(op.dot.replica);
        for dot in op.context.iter() {
            self.replicas.intern(dot.replica);
        }
    }

    /// Puts an entry made from the published one in its place, `at`.
    fn install(&mut self, at: Result<Handle, Place>, slot: Slot) {
        let changed = slot.changed;
        self.last_changed = self.last_changed.max(changed);
        self.count(&slot);
        let handle = match at {
            Ok(handle) => {
                let old = self.table.replace(handle, slot);
                self.uncount(&old);
                self.change_digest(&old, handle);
                handle
            }
            Err(place) => {
                let handle = self.table.insert(place, slot);
                let part = Digest::of(self.view(self.table.slot(handle)));
                self.digest.add(part);
                handle
            }
        };
        self.feed.push(changed, handle, &self.table);
    }

    fn change_digest(&mut self, old: &Slot, handle: Handle) {
        let (old, new) = (self.view(old), self.view(self.table.slot(handle)));
        if old.dot() != new.dot() {
            let (old, new) = (Digest::of(old), Digest::of(new));
            self.digest.remove(old);
            self.digest.add(new);
        }
    }

    /// Takes in an entry behind all others, its part of the digest apart.
    fn take_loaded(&mut self, slot: Slot) {
        let changed = slot.changed;
        self.last_changed = self.last_changed.max(changed);
        self.count(&slot);
        let handle = self.table.push_last(slot);
        self.feed.push_loose(changed, handle);
    }

    fn count(&mut self, slot: &Slot) {
        match slot.value() {
            Some(value) => {
                self.live += 1;
                self.live_bytes += (slot.key().len() + value.len()) as u64;
            }
            None => self.dead_bytes += slot.key().len() as u64,
        }
    }

    fn uncount(&mut self, slot: &Slot) {
        match slot.value() {
            Some(value) => {
                self.live -= 1;
                self.live_bytes -= (slot.key().len() + value.len()) as u64;
            }
            None => self.dead_bytes -= slot.key().len() as u64,
        }
    }
}

#[cfg(test)]
mod tests;
