//! Collecting tombstones that everybody has seen (causal stability; Baquero et al.).
//!
//! A tombstone may go once every member's vector covers every dot merged into it: from then on nobody can send an older
//! version of the key, and if one is still under way, its dot is covered by the own vector while the key is absent,
//! which says that it was deleted. The greatest dots collected make the *floor*: whoever's vector does not cover it may
//! still hold what was deleted, and is met with a full exchange. The greatest stamp collected is kept too, and own
//! writes are stamped above it, so that a key written anew wins against the tombstone where that is not yet collected.

use alloc::vec::Vec;

use bytes::Bytes;

use super::record::SyncRecord;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::store::{Entry, Store};

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

/// Takes out all that may go, and says how many tombstones that were.
pub(super) fn sweep(store: &mut Store, stable: &VersionVector, before: Stamp) -> usize {
    let keys: Vec<Bytes> = store
        .entries(None)
        .filter(|entry| may_go(entry, stable, before))
        .map(|entry| Bytes::copy_from_slice(entry.key()))
        .collect();
    keys.iter().filter(|key| store.remove(key)).count()
}
