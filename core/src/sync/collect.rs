//! Collecting tombstones that everybody has seen (causal stability; Baquero et al.).
//!
//! A tombstone may go once every member's vector covers every dot merged into it: from then on nobody can send an older
//! version of the key, and if one is still under way, its dot is covered by the own vector while the key is absent,
//! which says that it was deleted. The greatest dots collected make the *floor*: whoever's vector does not cover it may
//! still hold what was deleted, and is met with a full exchange. The greatest stamp collected is kept too, and own
//! writes are stamped above it, so that a key written anew wins against the tombstone where that is not yet collected.
//!
//! They go when the record of it is published, as everything that a record changes: a log that gives the record up, or a disk
//! that loses it, leaves them there.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use bytes::Bytes;

use super::engine::Engine;
use super::record::SyncRecord;
use super::session::Phase;
use super::{Effect, Event};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::Lsn;
use crate::sink::Sink;
use crate::store::{Entry, Store};
use crate::time::Now;

/// A collection that the log has taken.
#[derive(Debug)]
pub(super) struct Collecting {
    pub(super) lsn: Lsn,
    record: SyncRecord,
    tombstones: usize,
}

impl Engine {
    /// The record that collects every tombstone that may go; to be asked for when nothing is staged. The node logs it
    /// and calls [`Self::collecting`]. `None` when there is none to go.
    #[must_use]
    pub fn plan_collection(&self, now: Now, store: &Store) -> Option<SyncRecord> {
        // What was taken from a peer and is not in the log yet may have been written beside a tombstone, unseen.
        let waits = self.applies.iter().any(|applying| applying.lsn.is_none());
        if store.tombstones() == 0 || store.staged_len() > 0 || waits || self.turns.is_taken() {
            return None;
        }
        let holds = |replica, member: &_| self.leases.holds(now, &self.settings, replica, member);
        let mut stable = self.state.members.stable(self.me.replica, &self.claims, holds);
        // What others say of a peer may come sooner than what it sent before it had merged what it claims now.
        for session in self.sessions.values().filter(|session| session.phase != Phase::Closing) {
            let counts = |replica| {
                self.state.members.get(replica).is_some_and(|member| !member.is_forgotten() && holds(replica, member))
            };
            if session.replica().is_some_and(counts) {
                stable = stable.meet(&session.vector);
            }
        }
        // A tombstone from the future would lift every later write above itself.
        plan(store, &stable, Stamp::from_wall(now.wall))
    }

    /// The log has taken the record of [`Self::plan_collection`], which got `lsn`, and nothing was staged since: stages that
    /// the tombstones go.
    ///
    /// Whoever is below the floor to come is parted from now, not when it is there: what such a peer sends meanwhile stands behind
    /// the record in the log, and would come in beside nothing.
    pub fn collecting(&mut self, lsn: Lsn, record: SyncRecord, store: &mut Store, out: &mut dyn Sink<Effect>) {
        let SyncRecord::Collected { stable, before, stamp, .. } = &record else { return };
        // A write from here on does not see them, and wins against them elsewhere all the same.
        self.floor_stamp = self.floor_stamp.max(*stamp);
        if planted!("collected_before_the_record") {
            sweep(store, stable, *before);
            self.state.apply(&record);
            return;
        }
        let gone = going(store, stable, *before);
        let tombstones = gone.iter().filter(|key| store.stage_removal(lsn, key)).count();
        self.collecting = Some(Collecting { lsn, record, tombstones });
        if !planted!("collected_unparted") {
            self.part_from_those_below_the_floor(out);
        }
    }

    /// The dots that a collection adds to the floor, from when the log has taken it until it is published.
    #[must_use]
    pub fn collecting_dots(&self) -> Option<&VersionVector> {
        match &self.collecting.as_ref()?.record {
            SyncRecord::Collected { dots, .. } => Some(dots),
            _ => None,
        }
    }

    /// The floor, and what a collection that the log has taken will add to it.
    pub(super) fn floor_to_come(&self) -> Cow<'_, VersionVector> {
        let mut floor = Cow::Borrowed(&self.state.floor);
        if let Some(dots) = self.collecting_dots() {
            floor.to_mut().join(dots);
        }
        floor
    }

    /// The store shows everything up to `lsn`.
    pub fn published(&mut self, lsn: Lsn, out: &mut dyn Sink<Effect>) {
        self.settle_through(lsn);
        if let Some(Collecting { record, tombstones, .. }) = self.collecting.take_if(|collecting| collecting.lsn <= lsn)
        {
            self.state.apply(&record);
            self.floor_rose(out);
            out.push(Effect::Event(Event::Collected { tombstones }));
        }
    }
}

fn may_go(entry: &Entry<'_>, stable: &VersionVector, before: Stamp) -> bool {
    entry.is_tombstone() && entry.stamp() < before && entry.known_dots().all(|dot| stable.covers(dot))
}

/// The record of collecting all that may go; `None` if nothing may.
pub(super) fn plan(store: &Store, stable: &VersionVector, before: Stamp) -> Option<SyncRecord> {
    let mut dots = VersionVector::EMPTY;
    let mut stamp = Stamp::default();
    for entry in store.entries(None).filter(|entry| may_go(entry, stable, before)) {
        for dot in entry.known_dots() {
            dots.include(dot);
        }
        stamp = stamp.max(entry.stamp());
    }
    if dots.is_empty() { None } else { Some(SyncRecord::Collected { stable: stable.clone(), before, dots, stamp }) }
}

fn going(store: &Store, stable: &VersionVector, before: Stamp) -> Vec<Bytes> {
    let gone = store.entries(None).filter(|entry| may_go(entry, stable, before));
    gone.map(|entry| Bytes::copy_from_slice(entry.key())).collect()
}

/// Takes out all that may go, as a replay does, and says how many tombstones that were.
pub(super) fn sweep(store: &mut Store, stable: &VersionVector, before: Stamp) -> usize {
    going(store, stable, before).iter().filter(|key| store.remove(key)).count()
}
