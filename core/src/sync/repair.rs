//! Finding and mending a difference that must not exist: range-based set reconciliation (Meyer 2023).
//!
//! Ranges of keys are compared by count and digest. One that differs is split in sixteen, or, when it is small, its
//! entries are exchanged both ways and merged like any others.

use alloc::vec::Vec;

use bytes::Bytes;

use super::conflicts::Meetings;
use super::engine::{Applying, Engine};
use super::intake;
use super::message::{Part, REPAIR, Range, begin, finish, put_entry};
use super::session::Repair;
use super::{Apply, CloseReason, Effect, Item, PeerId};
use crate::context::VersionVector;
use crate::ids::Lsn;
use crate::sink::Sink;
use crate::store::Store;

/// A range with no more entries than this is not split.
const SMALL: u64 = 64;

/// A range is split in so many.
const SPLIT: u64 = 16;

/// Ranges that wait to be sent or answered at most; what does not fit is found again by the next pulse.
const MAX_WAITING: usize = 4096;

/// Messages of one peer that may be on their way to durability.
const REPAIRS: usize = 8;

impl Engine {
    pub(super) fn begin_repair(&mut self, peer: PeerId, store: &Store) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.ranges_out.is_empty() && session.repairs_out.is_empty() {
            session.ranges_out.push_back(range(store, None, None));
        }
    }

    pub(super) fn take_ranges(&mut self, peer: PeerId, ranges: Vec<Range>, store: &Store, out: &mut dyn Sink<Effect>) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        for theirs in ranges {
            if session.ranges_out.len() >= MAX_WAITING || session.repairs_out.len() >= MAX_WAITING {
                break;
            }
            let repair = Repair { after: theirs.after.clone(), end: theirs.end.clone() };
            if theirs.entries == Range::ASK {
                session.repairs_out.push_back(repair);
                continue;
            }
            let ours = range(store, theirs.after.clone(), theirs.end.clone());
            if ours == theirs {
                continue;
            }
            if ours.entries <= SMALL || theirs.entries <= SMALL {
                session.repairs_out.push_back(repair);
                session.ranges_out.push_back(Range { entries: Range::ASK, ..ours });
            } else {
                split(store, &ours, |part| session.ranges_out.push_back(part));
            }
        }
        self.wake(peer, out);
    }

    /// Composes entries of ranges that differ. Says whether there were any.
    pub(super) fn write_repair(&mut self, peer: PeerId, room: usize, store: &Store, out: &mut Vec<u8>) -> bool {
        let Some(session) = self.sessions.get_mut(&peer) else { return false };
        let Some(mut repair) = session.repairs_out.pop_front() else { return false };
        let start = begin(out, REPAIR);
        let end = repair.end.clone();
        let after = repair.after.take();
        let entries = store.entries(after.as_deref());
        let mut more = false;
        for entry in entries.take_while(|entry| end.as_ref().is_none_or(|end| entry.key() <= &end[..])) {
            if out.len() - start >= room {
                more = true;
                break;
            }
            let known = entry.known_beyond().unwrap_or_default();
            // What is not durable here is not offered; it will come with the feed.
            if entry.changed() <= self.durable {
                put_entry(&session.telling(&entry), &known, &mut session.origins_out, out);
            }
            repair.after = Some(Bytes::copy_from_slice(entry.key()));
        }
        finish(out, start);
        if more {
            session.repairs_out.push_front(repair);
        }
        true
    }

    /// Takes in entries that make up a difference. They are not bound by the window, so few messages of them may wait for
    /// the disk; what is left out is still a difference, and comes again with a later pulse.
    pub(super) fn take_repair(&mut self, peer: PeerId, parts: Vec<Part>, out: &mut dyn Sink<Effect>) {
        let entries = parts.into_iter().filter_map(|part| match part {
            Part::Entry { op, known } => Some(Item { op, known, late: false }),
            _ => None,
        });
        let items: Vec<Item> = entries.collect();
        let under_way = self.applies.iter().filter(|applying| applying.peer == peer && applying.bytes == 0).count();
        // What a full exchange finds deleted is brought back by nobody.
        let compares = self.sessions.values().any(|session| session.full_in.is_some())
            || self.applies.iter().any(|applying| applying.ends_full);
        if items.is_empty() || under_way >= REPAIRS || compares {
            return;
        }
        if let Some(reason) = items.iter().find_map(|item| intake::refusal(&item.op, &item.known)) {
            return self.close(peer, reason, out);
        }
        if let Some(finding) = items.iter().find_map(|item| self.never_issued(&item.op, &item.known)) {
            return self.halt(finding, out);
        }
        if !items.iter().all(|item| self.admit_entry(&item.op, &item.known)) {
            return self.close(peer, CloseReason::TooManyReplicas, out);
        }
        let token = self.new_token();
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.applying += 1;
        }
        self.applies.push_back(Applying {
            token,
            peer,
            lsn: None,
            records: Vec::new(),
            met: VersionVector::EMPTY,
            conflicts: Meetings::default(),
            through: Lsn::ZERO,
            bytes: 0,
            drops: false,
            ends_naming: false,
            ends_full: false,
        });
        let (drops, reissue, bury, burials, records) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        out.push(Effect::Apply(Apply { token, peer, items, drops, reissue, bury, burials, records }));
    }
}

fn range(store: &Store, after: Option<Bytes>, end: Option<Bytes>) -> Range {
    let (entries, digest) = store.range_digest(after.as_deref(), end.as_deref());
    Range { after, end, entries, digest: digest.0 }
}

/// Cuts a range into parts of about as many entries each.
fn split(store: &Store, whole: &Range, mut each: impl FnMut(Range)) {
    let share = whole.entries.div_ceil(SPLIT);
    let mut after = whole.after.clone();
    let mut count = 0;
    let live = store.entries(whole.after.as_deref()).filter(|entry| !entry.is_tombstone());
    for entry in live.take_while(|entry| whole.end.as_ref().is_none_or(|end| entry.key() <= &end[..])) {
        count += 1;
        if count == share {
            let end = Some(Bytes::copy_from_slice(entry.key()));
            each(range(store, after, end.clone()));
            after = end;
            count = 0;
        }
    }
    each(range(store, after, whole.end.clone()));
}
