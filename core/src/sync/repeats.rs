//! Values that were written again because of a doubt, and those who know better.
//!
//! In a full exchange a value that the peer neither names nor claims is written again: nobody present can tell whether it
//! was deleted. Somebody who is out of reach may know. So such a write says which operation it *repeats*, and whoever has
//! seen that one deleted, and has nothing of the key but a tombstone at most, deletes it once more, before it is ever shown
//! there. That *burial* is stamped right above the repetition: it makes a deletion of it and wins over nothing else, least
//! of all over a write that somebody has meant. Burials of one repetition bear one stamp and one content, so they are no
//! conflict, and nobody answers a burial: it ends.

use alloc::vec::Vec;

use bytes::Bytes;

use super::engine::Engine;
use super::session::Session;
use super::{Item, PeerId};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::Dot;
use crate::op::{Marks, View};
use crate::store::{Entry, Store};

/// A deletion to be written over a repetition that is about to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burial {
    /// The repetition.
    pub repetition: Dot,
    /// Its key.
    pub key: Bytes,
    /// Its stamp.
    pub stamp: Stamp,
    /// What it repeats.
    pub repeats: Dot,
    /// That was seen deleted here when the repetition came in. Else it is deleted only if a deletion of it has come in between.
    pub deleted: bool,
    /// The repetition, and all that was merged with it.
    pub seen: VersionVector,
}

impl Burial {
    /// With which stamp and context to delete the key, of which `latest` stands here; `None` if that is no longer due.
    #[must_use]
    pub fn over(&self, latest: Option<&Entry<'_>>) -> Option<(Stamp, VersionVector)> {
        let is_deleted = |latest: &Entry<'_>| latest.is_tombstone() && latest.known().covers(self.repeats);
        if !self.deleted && !latest.is_some_and(is_deleted) {
            return None;
        }
        let mut context = self.seen.clone();
        if let Some(latest) = latest {
            let outranks = (self.stamp, self.repetition.replica) > (latest.stamp(), latest.dot().replica);
            let known = latest.known();
            if !latest.is_tombstone() || !outranks || known.covers(self.repetition) {
                return None;
            }
            context.join(&known);
        }
        Some((self.stamp.after(), context))
    }

    /// The marks of that deletion. Its stamp says nothing about the own clock.
    #[must_use]
    pub fn marks(&self) -> Marks {
        Marks { lifted: true, repeats: Some(self.repeats), ..Marks::default() }
    }
}

impl Engine {
    /// Which of these entries repeat what was seen deleted here, or is deleted perhaps before the log has room for them.
    pub(super) fn burials(&self, peer: PeerId, items: &[Item], store: &Store) -> Vec<Burial> {
        let Some(session) = self.sessions.get(&peer) else { return Vec::new() };
        let burials = items.iter().filter_map(|item| {
            let Item { op, known, .. } = item;
            let repeats = op.marks.repeats.filter(|_| op.body.value().is_some())?;
            // Here that name may mean another operation.
            if planted!("repetition_not_buried")
                || session.is_parted(repeats)
                || self.state.former.is_ambiguous(repeats)
            {
                return None;
            }
            let latest = store.latest(&op.key);
            let judged = latest.as_ref().is_some_and(|entry| entry.known().covers(repeats));
            let forgotten = self.state.floor.covers(repeats) || self.state.owed.covers(repeats);
            let is_seen = judged || self.claims.covers(repeats) && forgotten;
            if self.claims.covers(op.dot) {
                return None;
            }
            let mut seen = op.context.clone();
            seen.include(op.dot);
            seen.join(known);
            if is_seen {
                covered!("repetition_buried");
            }
            Some(Burial { repetition: op.dot, key: op.key.clone(), stamp: op.stamp, repeats, deleted: is_seen, seen })
        });
        burials.collect()
    }
}

impl Session {
    /// The operation of an entry, as the peer understands it.
    pub(super) fn telling<'a>(&self, entry: &Entry<'a>) -> View<'a, VersionVector> {
        let mut op = entry.view();
        if !self.tells_repeats() {
            op.marks.repeats = None;
        }
        op
    }
}
