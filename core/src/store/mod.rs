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
mod index;
mod laid;
mod merge;
mod scan;
mod slot;
mod staging;
mod table;
mod tree;
mod walk;

use core::ops::Bound;

use bytes::Bytes;

pub use self::digest::Digest;
pub use self::entry::Entry;
pub use self::laid::Laid;
pub use self::merge::Merge;
pub use self::walk::Walk;

use self::feed::Feed;
use self::laid::Tally;
use self::slot::{Replicas, Slot};
use self::staging::{Change, Staging};
use self::table::{Handle, Table};
use self::tree::Place;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn};
use crate::op::{Hashes, Operation};

/// Where the latest entry of a key stands, or that there is none: what one search has found, for all steps of a write.
/// Good until something is staged for this key, published or discarded.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// The ticket of the newest staged entry.
    staged: Option<u64>,
    /// The published entry, or the place for one.
    at: Result<Handle, Place>,
    /// Of the key.
    hash: u32,
}

impl Seat {
    /// A hash of the key; the same for all seats of a key in a store.
    pub(crate) const fn hash(self) -> u32 {
        self.hash
    }
}

/// Every entry of a node. See the documentation of [the module](self).
#[derive(Debug, Default)]
pub struct Store {
    replicas: Replicas,
    table: Table,
    staging: Staging,
    feed: Feed,
    digest: Digest,
    /// The part of `digest` that tombstones have in it.
    dead_digest: Digest,
    tally: Tally,
    last_changed: Lsn,
    /// Of the latest removal that was staged and published.
    last_removed: Lsn,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has staged keys found by a hash under this seed, which guards against keys that were chosen to be slow.
    ///
    /// # Panics
    /// When something is staged.
    pub fn guard(&mut self, seed: u64) {
        self.staging.reseed(seed);
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
        self.seated(self.seat(key))
    }

    /// Where [`Self::latest`] of a key stands.
    #[must_use]
    pub fn seat(&self, key: &[u8]) -> Seat {
        let hash = self.staging.hash(key);
        match self.staging.newest(key, hash) {
            Some((ticket, at)) => Seat { staged: Some(ticket), at, hash },
            None => Seat { staged: None, at: self.table.find(key), hash },
        }
    }

    /// The entry in a seat; `None` where there was none.
    #[must_use]
    pub fn seated(&self, seat: Seat) -> Option<Entry<'_>> {
        self.seated_slot(seat).map(|slot| self.view(slot))
    }

    /// Merges `op`, whose record got `lsn`, into [`Self::latest`]. Published state stays as it is.
    ///
    /// # Panics
    /// When `lsn` is not above everything staged.
    pub fn stage(&mut self, lsn: Lsn, op: &Operation) -> Merge {
        self.stage_entry(lsn, op, &VersionVector::EMPTY)
    }

    /// As [`Self::stage`], for an operation that was passed on together with what else had been merged with it.
    ///
    /// # Panics
    /// When `lsn` is not above everything staged.
    pub fn stage_entry(&mut self, lsn: Lsn, op: &Operation, also_known: &VersionVector) -> Merge {
        self.stage_at(self.seat(&op.key), lsn, op, op.body.content_hash(), also_known)
    }

    /// As [`Self::stage_entry`], where the [`Seat`] of the key and the [content hash](crate::op::Body::content_hash) are known.
    ///
    /// # Panics
    /// When `lsn` is not above everything staged.
    pub fn stage_at(&mut self, seat: Seat, lsn: Lsn, op: &Operation, hash: u64, also_known: &VersionVector) -> Merge {
        self.intern(op, also_known);
        let (merge, slot) = merge::merge(&self.replicas, self.seated_slot(seat), lsn, op, hash, also_known);
        if let Some(slot) = slot {
            self.staging.push(lsn, seat, Change::Entry(slot));
        }
        merge
    }

    /// Stages that the published entry of a key is taken out, without a trace: no tombstone stays, and [`Self::latest`] has
    /// nothing of it from here on. For what a full exchange found deleted, and tombstones that everybody has seen. Does nothing, and says so, when the key has no
    /// entry, or a change of it is staged.
    ///
    /// # Panics
    /// When `lsn` is not above everything staged, but for other removals: one record may take out many.
    pub fn stage_removal(&mut self, lsn: Lsn, key: &Bytes) -> bool {
        let seat = self.seat(key);
        let stands = seat.staged.is_none() && seat.at.is_ok();
        if stands {
            // Whoever comes next to this key looks for its place anew.
            let seat = Seat { at: Err(Place::default()), ..seat };
            self.staging.push(lsn, seat, Change::Removal(key.clone()));
        }
        stands
    }

    fn seated_slot(&self, seat: Seat) -> Option<&Slot> {
        match seat.staged {
            Some(ticket) => self.staging.slot(ticket),
            None => seat.at.ok().map(|handle| self.table.slot(handle)),
        }
    }

    /// Makes everything staged up to and including `through` visible.
    pub fn publish(&mut self, through: Lsn) {
        while let Some((lsn, at, change)) = self.staging.pop_through(through) {
            match change {
                Change::Entry(slot) => {
                    let at = at.or_else(|place| self.table.find_again(slot.key(), place));
                    self.install(at, slot, None);
                }
                Change::Removal(key) => {
                    self.last_removed = lsn;
                    self.take_out(&key);
                }
            }
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

    /// Whether a change of a key is staged and not yet published.
    #[must_use]
    pub fn is_staged(&self, key: &[u8]) -> bool {
        self.staging.newest(key, self.staging.hash(key)).is_some()
    }

    /// Of each key that has a staged change, what will stand there, in no order.
    pub fn staged_entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.staging.slots().map(|slot| self.view(slot))
    }

    /// Merges `op` and makes the result visible at once.
    ///
    /// # Panics
    /// When something is staged: it would be overtaken.
    pub fn apply(&mut self, lsn: Lsn, op: &Operation) -> Merge {
        self.apply_entry(lsn, op, &VersionVector::EMPTY)
    }

    /// As [`Self::apply`], for an operation that was passed on together with what else had been merged with it.
    ///
    /// # Panics
    /// When something is staged: it would be overtaken.
    pub fn apply_entry(&mut self, lsn: Lsn, op: &Operation, also_known: &VersionVector) -> Merge {
        self.apply_hashed(lsn, op, op.hashes(), also_known)
    }

    /// As [`Self::apply_entry`], where the [hashes](Operation::hashes) are known.
    ///
    /// # Panics
    /// When something is staged.
    pub fn apply_hashed(&mut self, lsn: Lsn, op: &Operation, hashes: Hashes, also_known: &VersionVector) -> Merge {
        assert!(self.staging.len() == 0, "what is staged comes first");
        self.intern(op, also_known);
        let (at, old) = self.published(&op.key);
        let (merge, slot) = merge::merge(&self.replicas, old, lsn, op, hashes.content, also_known);
        if let Some(slot) = slot {
            let part = matches!(merge, Merge::Applied { .. }).then_some(Digest(hashes.winner));
            self.install(at, slot, part);
        }
        merge
    }

    /// Many operations are about to be applied to an empty store, as when a log is replayed: until [`Self::finish_load`] the
    /// order of keys is left aside, and must not be asked for. `seed` guards against keys that were chosen to be slow. A store
    /// that holds something goes on as it is.
    pub fn begin_replay(&mut self, seed: u64) {
        self.table.gather(seed);
    }

    /// During a replay: these keys come next. Fetches what is looked at to find them, all at once.
    pub fn expect(&self, keys: &mut dyn Iterator<Item = &[u8]>) {
        self.table.expect(keys);
    }

    /// Ends a replay, and the loading of snapshot blocks. The feed of a loaded store is right without it, and slow until it is
    /// called or something is applied.
    pub fn finish_load(&mut self) {
        self.table.settle();
        self.feed.settle();
    }

    /// Takes the published entry of a key out, without a trace: no tombstone stays. Does nothing, and says so, when a
    /// change of the key is staged. For replay.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        !self.is_staged(key) && self.take_out(key)
    }

    fn take_out(&mut self, key: &[u8]) -> bool {
        let Ok(handle) = self.table.find(key) else {
            return false;
        };
        let slot = self.table.remove(handle);
        let part = Digest::of(self.view(&slot));
        self.digest.remove(part);
        if slot.is_tombstone() {
            self.dead_digest.remove(part);
        }
        self.tally.uncount(&slot);
        true
    }

    /// Gives the published entry of a key another dot, context and `known`. Content, stamp, version count and LSN stay.
    ///
    /// # Panics
    /// When something is staged.
    pub fn rename(&mut self, key: &[u8], dot: Dot, context: &VersionVector, known: &VersionVector) {
        assert!(self.staging.len() == 0, "what is staged comes first");
        self.replicas.intern(dot.replica);
        for dot in context.iter().chain(known.iter()) {
            self.replicas.intern(dot.replica);
        }
        let Ok(handle) = self.table.find(key) else { return };
        let slot = self.table.slot(handle).renamed(&self.replicas, dot, context, known);
        let old = self.table.replace(handle, slot);
        self.change_digest(&old, handle, None);
    }

    /// The number of published keys that have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tally.live
    }

    /// Whether no published key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tally.live == 0
    }

    /// The number of published tombstones.
    #[must_use]
    pub fn tombstones(&self) -> usize {
        self.table.len() - self.tally.live
    }

    /// Bytes of the keys and values of published, live entries.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.tally.live_bytes
    }

    /// About how many bytes a snapshot of the published state takes, tombstones included.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        const PER_ENTRY: u64 = 36;
        self.tally.live_bytes + self.tally.dead_bytes + PER_ENTRY * self.table.len() as u64
    }

    /// The digest of the published state.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of the published entries that have a value. Tombstones are left out, because replicas do not collect
    /// them at the same moment.
    #[must_use]
    pub fn live_digest(&self) -> Digest {
        let mut digest = self.digest;
        digest.remove(self.dead_digest);
        digest
    }

    /// How many published entries with a value lie behind `after` and up to `end`, and the sum of their digests. `None`
    /// stands for the beginning and the end of all keys.
    #[must_use]
    pub fn range_digest(&self, after: Option<&[u8]>, end: Option<&[u8]>) -> (u64, Digest) {
        let mut count = 0;
        let mut digest = Digest::default();
        let range = self.entries(after).take_while(|entry| end.is_none_or(|end| entry.key() <= end));
        for entry in range.filter(|entry| !entry.is_tombstone()) {
            count += 1;
            digest.add(Digest::of(entry));
        }
        (count, digest)
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

    /// Published entries in key order, tombstones included, from the first key after `after` (from the beginning for
    /// `None`).
    pub fn entries<'a>(&'a self, after: Option<&'a [u8]>) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.entries_from(after.map_or(Bound::Unbounded, Bound::Excluded))
    }

    fn entries_from<'a>(&'a self, start: Bound<&'a [u8]>) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.table.slots_from(start).map(|slot| self.view(slot))
    }

    fn published(&self, key: &[u8]) -> (Result<Handle, Place>, Option<&Slot>) {
        let at = self.table.find(key);
        (at, at.ok().map(|handle| self.table.slot(handle)))
    }

    fn view<'a>(&'a self, slot: &'a Slot) -> Entry<'a> {
        Entry { slot, replicas: &self.replicas }
    }

    fn intern(&mut self, op: &Operation, also_known: &VersionVector) {
        self.replicas.intern(op.dot.replica);
        for dot in op.context.iter().chain(also_known.iter()) {
            self.replicas.intern(dot.replica);
        }
    }

    /// Puts an entry made from the published one in its place, `at`. `part` is its part of the digest, if that is known.
    fn install(&mut self, at: Result<Handle, Place>, slot: Slot, part: Option<Digest>) {
        let changed = slot.changed;
        self.last_changed = self.last_changed.max(changed);
        self.tally.count(&slot);
        let handle = match at {
            Ok(handle) => {
                let old = self.table.replace(handle, slot);
                self.tally.uncount(&old);
                self.change_digest(&old, handle, part);
                handle
            }
            Err(place) => {
                let handle = self.table.insert(place, slot);
                let slot = self.table.slot(handle);
                let dead = slot.is_tombstone();
                let part = part.unwrap_or_else(|| Digest::of(self.view(slot)));
                self.digest.add(part);
                if dead {
                    self.dead_digest.add(part);
                }
                handle
            }
        };
        self.feed.push(changed, handle, &self.table);
    }

    fn change_digest(&mut self, old: &Slot, handle: Handle, part: Option<Digest>) {
        let (old, new) = (self.view(old), self.view(self.table.slot(handle)));
        if (old.dot(), old.stamp(), old.content_hash()) == (new.dot(), new.stamp(), new.content_hash()) {
            return;
        }
        let (was_dead, is_dead) = (old.is_tombstone(), new.is_tombstone());
        let (old, new) = (Digest::of(old), part.unwrap_or_else(|| Digest::of(new)));
        self.digest.remove(old);
        self.digest.add(new);
        if was_dead {
            self.dead_digest.remove(old);
        }
        if is_dead {
            self.dead_digest.add(new);
        }
    }
}

#[cfg(test)]
mod tests;
