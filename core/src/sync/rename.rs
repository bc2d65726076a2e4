//! Healing two histories that bear one name: the part of this one that nobody else is known to share gets a new name.
//!
//! Every dot `(from, above + n)` of it becomes `(to, n)`, wherever the store, the log or the state of sync holds it. That
//! keeps what its writer meant: versions overwritten stay overwritten, and what others wrote under the old name comes in as
//! theirs. What both sides hold under two names is one write with one stamp, and no conflict.

use alloc::vec::Vec;

use super::members::Member;
use super::state::State;
use crate::context::VersionVector;
use crate::ids::{Dot, NodeId, ReplicaId, Seq};
use crate::store::Store;
use crate::time::WallTime;

/// Which part of which history gets which name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renaming {
    /// The name that is given up.
    pub from: ReplicaId,
    /// Up to here the history is the one that others know.
    pub above: Seq,
    /// The new name.
    pub to: ReplicaId,
    /// When.
    pub at: WallTime,
}

impl Renaming {
    fn dot(&self, dot: Dot) -> Dot {
        match dot.seq.checked_sub(self.above) {
            Some(seq) if seq > 0 && dot.replica == self.from => Dot { replica: self.to, seq },
            _ => dot,
        }
    }

    fn vector(&self, vector: &mut VersionVector) {
        let seq = vector.get(self.from);
        if seq > self.above {
            vector.remove(self.from);
            if self.above > 0 {
                vector.include(Dot { replica: self.from, seq: self.above });
            }
            vector.include(Dot { replica: self.to, seq: seq - self.above });
        }
    }

    /// Renames what the store holds. Doing it again changes nothing.
    ///
    /// # Panics
    /// When something is staged.
    pub fn rename(&self, store: &mut Store) {
        let concerned = store.entries(None).filter(|entry| {
            let mut dots = entry.known_dots();
            dots.any(|dot| dot.replica == self.from && dot.seq > self.above)
        });
        let keys: Vec<Vec<u8>> = concerned.map(|entry| entry.key().to_vec()).collect();
        for key in keys {
            let Some(entry) = store.entry(&key) else { continue };
            let dot = self.dot(entry.dot());
            let (mut context, mut known) = (entry.context(), entry.known());
            self.vector(&mut known);
            // The context of somebody else's operation never changes.
            if dot != entry.dot() {
                self.vector(&mut context);
            }
            store.rename(&key, dot, &context, &known);
        }
    }

    /// The state of sync under the new name: nothing of it is acknowledged or told.
    #[must_use]
    pub fn rename_state(&self, node: NodeId, state: State) -> State {
        let mut state = state.reborn(self.from, self.above);
        // Claims of the old name above that came from others who know another history under it.
        state.vector.remove(self.from);
        if self.above > 0 {
            state.vector.include(Dot { replica: self.from, seq: self.above });
        }
        self.vector(&mut state.met);
        let shared = |dot: Dot| dot.replica != self.from || dot.seq <= self.above;
        state.conflicts.retain(|met| shared(met.local.dot) && shared(met.remote.dot));
        // The old name has no owner any more. Should it be heard all the same, it counts again.
        let vector = state.vector.clone();
        let retired = Member { node, heard: WallTime(0), forgotten: self.at, vector };
        state.members.join(self.from, &retired);
        state
    }
}
