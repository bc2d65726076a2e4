//! Carrying out an [`Apply`]: what is staged in the store, and what is logged for it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::conflict::Met;
use super::record::{Contest, SyncRecord};
use super::{Apply, Item};
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::Operation;
use crate::store::{Entry, Store};

/// How many bytes of versions that stood there a group says: what it holds besides may fill half of a frame.
const CONTEST_ROOM: usize = 4 << 20;

/// A record to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged<'a> {
    /// A foreign operation by itself.
    Foreign(&'a Operation),
    /// A record of sync that came with the [`Apply`].
    Given(&'a SyncRecord),
    /// Another record of sync. These are few: in a box, so that a list of operations is a list of addresses.
    Sync(Box<SyncRecord>),
}

/// What carrying out an [`Apply`] came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried<'a> {
    /// To be logged as one group; the first gets the LSN that was given, each further one the next.
    pub logged: Vec<Logged<'a>>,
    /// Conflicts met. For [`super::Engine::applied`].
    pub conflicts: Vec<Met>,
    /// Dots met. For [`super::Engine::applied`].
    pub met: VersionVector,
    /// Replicas under whose name two nodes issue. For [`super::Engine::applied`].
    pub twins: Vec<ReplicaId>,
}

/// Stages the entries and the drops of `apply` from `first` on, the LSN that the log will give next. If the log then refuses the
/// group, or gives it up later, [`Store::discard_staged`] from `first` undoes it all.
pub fn carry_out<'a>(store: &mut Store, first: Lsn, apply: &'a Apply) -> Carried<'a> {
    let mut carried = Carried::default();
    carried.logged.reserve(apply.items.len() + apply.records.len());
    let (mut lsn, mut room) = (first, CONTEST_ROOM);
    for item in &apply.items {
        carried.met.include(item.op.dot);
        carried.met.join(&item.op.context);
        carried.met.join(&item.known);
        let seat = store.seat(&item.op.key);
        let (latest, hash) = (store.seated(seat), item.op.body.content_hash());
        carried.twins.extend(latest.filter(|entry| is_twin(entry, &item.op, hash)).map(|_| item.op.dot.replica));
        let contest = match Met::before(latest, &item.op) {
            _ if item.late => Contest::Late,
            Some(met) => {
                let contest = said(&met, &mut room);
                carried.conflicts.push(met);
                contest
            }
            None => Contest::Unsaid,
        };
        let before = store.staged_len();
        store.stage_at(seat, lsn, &item.op, hash, &item.known);
        if store.staged_len() > before {
            carried.logged.push(logged(item, contest));
            lsn = lsn.next();
        }
    }
    for (dot, key) in &apply.drops {
        if stands(store, *dot, key) && store.stage_removal(lsn, key) {
            let record = SyncRecord::Dropped { dot: *dot, key: key.clone() };
            carried.logged.push(Logged::Sync(Box::new(record)));
            lsn = lsn.next();
        }
    }
    carried.logged.extend(apply.records.iter().map(Logged::Given));
    carried
}

/// One dot with two contents. `hash` is that of the operation's body.
pub(super) fn is_twin(entry: &Entry<'_>, op: &Operation, hash: u64) -> bool {
    entry.dot() == op.dot && (entry.stamp() != op.stamp || entry.content_hash() != hash)
}

/// A write that was accepted since the exchange named the key has made it the writer's again. And while something that is
/// not yet published is being merged with it, nothing can be taken out of the store.
fn stands(store: &Store, dot: Dot, key: &[u8]) -> bool {
    store.entry(key).is_some_and(|entry| entry.dot() == dot)
}

impl Apply {
    /// The versions to be deleted by an own operation, as the store stands now: those that it says, and those to be dropped
    /// with which something is being merged that would be lost.
    pub fn deletions<'a, 's>(&'a self, store: &'s Store) -> impl Iterator<Item = &'a (Dot, Bytes)> + use<'a, 's> {
        self.bury.iter().chain(self.drops.iter().filter(|(_, key)| store.is_staged(key)))
    }
}

fn logged(item: &Item, contest: Contest) -> Logged<'_> {
    if item.known.is_empty() && contest == Contest::Unsaid {
        Logged::Foreign(&item.op)
    } else {
        Logged::Sync(Box::new(SyncRecord::Entry { op: item.op.clone(), known: item.known.clone(), contest }))
    }
}

/// What the log says of a conflict, in the room that is left.
fn said(met: &Met, room: &mut usize) -> Contest {
    let bound = met.local.encoded_bound();
    if bound > *room || planted!("what_stood_there_not_logged") {
        return Contest::WithStanding;
    }
    *room -= bound;
    Contest::With(Box::new(met.local.clone()))
}
