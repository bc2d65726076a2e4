//! Healing two histories that bear one name: the part of this one that nobody else is known to share gets a new name.
//!
//! Every dot `(from, above + n)` of it becomes `(to, n)`, wherever the store, the log or the state of sync holds it. That
//! keeps what its writer meant: versions overwritten stay overwritten, and what others wrote under the old name comes in as
//! theirs. What both sides hold under two names is one write with one stamp, and no conflict.

use alloc::vec::Vec;

use super::conflict::Met;
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
        let seq = vector.remove(self.from);
        vector.include(Dot { replica: self.from, seq: seq.min(self.above) });
        vector.include(Dot { replica: self.to, seq: seq.saturating_sub(self.above) });
    }

    /// What had lost to another version stands nowhere else.
    fn met(&self, met: &mut Met) {
        for version in [&mut met.local, &mut met.remote] {
            let dot = self.dot(version.dot);
            if dot != version.dot {
                version.dot = dot;
                self.vector(&mut version.context);
            }
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
            // The context of somebody else's operation never changes, and what it has seen stays known.
            if dot != entry.dot() {
                self.vector(&mut context);
            }
            known.join(&context);
            store.rename(&key, dot, &context, &known);
        }
    }

    /// The state of sync under the new name: nothing of it is acknowledged or told.
    #[must_use]
    pub fn rename_state(&self, node: NodeId, state: State) -> State {
        let mut state = state.reborn(self.from, self.above);
        // Claims of the old name above that came from others who know another history under it.
        state.vector.remove(self.from);
        state.vector.include(Dot { replica: self.from, seq: self.above });
        state.former.give_up(self.from, self.above);
        self.vector(&mut state.met);
        state.rename_conflicts(|met| self.met(met));
        state.retiring(self.from, node, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;
    use crate::ids::Lsn;
    use crate::op::{Body, Marks, Operation};
    use crate::sync::{Outcome, Version};
    use bytes::Bytes;

    /// What a peer wrote on top of an own operation has seen it under the old name, for ever.
    #[test]
    fn an_entry_knows_what_its_writer_had_seen_even_when_that_gets_another_name() {
        let [own, other, new] = [1, 2, 3].map(|id| ReplicaId([id; 16]));
        let written = |replica, seq, seen: &[Dot]| Operation {
            dot: Dot { replica, seq },
            stamp: Stamp(seq),
            context: seen.iter().copied().collect(),
            key: Bytes::from_static(b"k"),
            body: Body::Put(Bytes::from_static(b"v")),
            marks: Marks::default(),
        };
        let mut store = Store::new();
        let first = written(own, 3, &[]);
        store.apply(Lsn(1), &first);
        store.apply(Lsn(2), &written(other, 9, &[first.dot]));
        let renaming = Renaming { from: own, above: 1, to: new, at: WallTime(0) };
        for _again in 0..2 {
            renaming.rename(&mut store);
            let entry = store.entry(b"k").unwrap();
            let dots = [(own, 3), (other, 9), (new, 2)].map(|(replica, seq)| Dot { replica, seq });
            assert_eq!(entry.known(), dots.into_iter().collect());
            assert_eq!(entry.context(), [first.dot].into_iter().collect());
        }
        let mut block = Vec::new();
        let walk = store.walk(None, 1000, &mut block);
        assert_eq!(Store::new().load(walk.items, block.into()), Ok(()), "a snapshot of it is read");
    }

    #[test]
    fn only_what_lies_above_the_common_part_gets_the_new_name() {
        let [own, other, new] = [1, 2, 3].map(|id| ReplicaId([id; 16]));
        let mut store = Store::new();
        for (lsn, (key, dot)) in
            [("shared", (own, 5)), ("mine", (own, 6)), ("theirs", (other, 9))].into_iter().enumerate()
        {
            let op = Operation {
                dot: Dot { replica: dot.0, seq: dot.1 },
                stamp: Stamp(dot.1),
                context: VersionVector::EMPTY,
                key: Bytes::from_static(key.as_bytes()),
                body: Body::Delete,
                marks: Marks::default(),
            };
            store.apply(Lsn(lsn as u64 + 1), &op);
        }
        Renaming { from: own, above: 5, to: new, at: WallTime(0) }.rename(&mut store);
        let name = |key: &str| store.entry(key.as_bytes()).map(|entry| (entry.dot().replica, entry.dot().seq));
        assert_eq!(["shared", "mine", "theirs"].map(name), [Some((own, 5)), Some((new, 1)), Some((other, 9))]);
    }

    #[test]
    fn the_last_shared_operation_keeps_its_name_and_the_next_one_is_the_first_of_the_new() {
        let [own, other, new] = [1, 2, 3].map(|id| ReplicaId([id; 16]));
        let renaming = Renaming { from: own, above: 5, to: new, at: WallTime(0) };
        for (dot, renamed) in
            [((own, 4), (own, 4)), ((own, 5), (own, 5)), ((own, 6), (new, 1)), ((other, 6), (other, 6))]
        {
            let [dot, renamed] = [dot, renamed].map(|(replica, seq)| Dot { replica, seq });
            assert_eq!(renaming.dot(dot), renamed);
        }
    }

    /// Whatever becomes of the node later, under the name that it gave up stands what two histories may have named.
    #[test]
    fn a_name_that_was_given_up_stays_ambiguous_above_what_others_share() {
        let [own, new, newest] = [1, 2, 3].map(|id| ReplicaId([id; 16]));
        let node = NodeId::new("n").unwrap();
        let first = Renaming { from: own, above: 5, to: new, at: WallTime(0) };
        let second = Renaming { from: new, above: 0, to: newest, at: WallTime(0) };
        let state = second.rename_state(node.clone(), first.rename_state(node, State::default()));
        let state = state.reborn(newest, 9);
        let names = [(own, 5), (own, 6), (new, 1), (newest, 99)];
        let ambiguous = names.map(|(replica, seq)| state.former.is_ambiguous(Dot { replica, seq }));
        assert_eq!(ambiguous, [false, true, true, false]);
    }

    /// The version that lost stands nowhere else, and whoever decides about it has to find it under the name that it has now.
    #[test]
    fn conflicts_stay_on_record_under_the_names_that_the_versions_have_now() {
        let [own, other, new] = [1, 2, 3].map(|id| ReplicaId([id; 16]));
        let seen: VersionVector = [Dot { replica: own, seq: 7 }].into_iter().collect();
        let version = |replica, seq| Version {
            dot: Dot { replica, seq },
            stamp: Stamp(seq),
            context: if replica == own { VersionVector::EMPTY } else { seen.clone() },
            body: Body::Delete,
            resolution: false,
        };
        let mut state = State::default();
        let sides = [(own, 5, other, 9), (own, 6, other, 9), (other, 9, own, 5), (other, 9, own, 8)];
        for (key, (local, local_seq, remote, remote_seq)) in ["a", "b", "c", "d"].into_iter().zip(sides) {
            let (local, remote) = (version(local, local_seq), version(remote, remote_seq));
            let met = Met { key: Bytes::from_static(key.as_bytes()), local, remote };
            state.conflicts.record(&met, Outcome::Open).unwrap();
        }
        let renaming = Renaming { from: own, above: 5, to: new, at: WallTime(0) };
        let state = renaming.rename_state(NodeId::new("n").unwrap(), state);
        let found: Vec<_> = state.conflicts.iter().map(|one| [one.met.local.dot, one.met.remote.dot]).collect();
        let named = |(local, local_seq, remote, remote_seq)| {
            [Dot { replica: local, seq: local_seq }, Dot { replica: remote, seq: remote_seq }]
        };
        assert_eq!(found, [(own, 5, other, 9), (new, 1, other, 9), (other, 9, own, 5), (other, 9, new, 3)].map(named));
        assert_eq!(state.conflicts.open(), 4);
        let contexts = state.conflicts.iter().flat_map(|one| [&one.met.local, &one.met.remote]);
        for version in contexts.filter(|version| version.dot.replica == other) {
            assert_eq!(version.context, seen, "what somebody else had seen never changes");
        }
    }

    /// An own version had seen earlier ones of its own.
    #[test]
    fn a_version_with_a_new_name_has_seen_its_predecessors_under_theirs() {
        let [own, other, new] = [1, 2, 3].map(|id| ReplicaId([id; 16]));
        let at = |replica, seq| Dot { replica, seq };
        let version = |dot, context: &[Dot]| Version {
            dot,
            stamp: Stamp(1),
            context: context.iter().copied().collect(),
            body: Body::Delete,
            resolution: false,
        };
        let mut met =
            Met { key: "k".into(), local: version(at(own, 8), &[at(own, 7)]), remote: version(at(other, 9), &[]) };
        Renaming { from: own, above: 5, to: new, at: WallTime(0) }.met(&mut met);
        assert_eq!(met.local, version(at(new, 3), &[at(own, 5), at(new, 2)]));
    }
}
