//! The record of conflicts: what a node keeps of them, and for how long.
//!
//! What is settled is kept for whoever wants to read it, and goes when younger ones need the room. What waits for a
//! decision holds values that exist nowhere else: it stays until it is decided, and is let go only beyond a bound that
//! is far above what somebody could decide about, and then by name.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::conflict::{Conflict, Met, Outcome, encoded_bound, put_version, take_version};
use crate::codec::{DecodeError, Fault, MAX_VARINT_LEN, Reader, put_blob, put_varint};
use crate::ids::Dot;
use crate::limits::{MAX_FRAME_BODY, MAX_KEY_LEN};
use crate::op::Operation;
use crate::time::WallTime;

/// The most settled conflicts kept on record. The oldest go first.
pub const MAX_CONFLICTS: usize = 1000;

/// The most bytes of keys and values of settled conflicts kept on record.
pub const MAX_CONFLICT_BYTES: usize = 4 << 20;

/// The most open conflicts kept on record.
pub const MAX_OPEN_CONFLICTS: usize = 65_536;

/// The most bytes of keys and values of open conflicts kept on record: every snapshot begins with them.
pub const MAX_OPEN_CONFLICT_BYTES: usize = 64 << 20;

/// The most bytes of keys and values of all conflicts kept on record: with them the head of a snapshot fits into one part.
pub(super) const MAX_RECORDED_BYTES: usize = 96 << 20;

const _: () = assert!(MAX_OPEN_CONFLICT_BYTES < MAX_RECORDED_BYTES && MAX_RECORDED_BYTES < MAX_FRAME_BODY / 4 * 3 + 1);

/// The conflicts on record, and how many there were at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    all: BTreeMap<u64, Conflict>,
    of_key: BTreeMap<Bytes, Vec<u64>>,
    settled: Kept,
    open: Kept,
    total: u64,
}

/// Those of one sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    ids: BTreeSet<u64>,
    bytes: usize,
}

/// Conflicts that an application met, until it is durable and they go on record. They are settled as those on record are: a restart
/// reads one record of the log after the other, and must come to the same.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    all: Vec<Meeting>,
    of_key: BTreeMap<Bytes, Vec<usize>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Meeting {
    pub(super) met: Met,
    /// What has become of it by now; what a policy writes comes later.
    pub(super) outcome: Outcome,
}

impl Meetings {
    pub(super) fn of(met: Vec<Met>, keeps_both: bool) -> Self {
        let mut of_key = BTreeMap::<_, Vec<usize>>::new();
        for (place, met) in met.iter().enumerate() {
            of_key.entry(met.key.clone()).or_default().push(place);
        }
        let outcome = Outcome::when_met(keeps_both);
        Self { all: met.into_iter().map(|met| Meeting { met, outcome }).collect(), of_key }
    }

    /// In the order of the log.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Meeting> {
        self.all.iter()
    }

    /// As [`Conflicts::concern`].
    pub(super) fn concern(&self, op: &Operation) -> bool {
        self.of_key.contains_key(&op.key)
    }

    /// As [`Conflicts::settle`].
    pub(super) fn settle(&mut self, op: &Operation, own: bool) {
        for place in self.of_key.get(&op.key).into_iter().flatten() {
            if let Some(meeting) = self.all.get_mut(*place)
                && meeting.outcome.is_resolved_by(op.marks.resolution)
                && meeting.met.is_settled_by(op, own)
            {
                meeting.outcome = Outcome::Resolved;
            }
        }
    }
}

/// What became of the record when a conflict was put on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// The number of the new one.
    pub(super) id: u64,
    /// Those that had to go although nobody has decided about them.
    pub(super) dropped: Vec<(u64, Bytes)>,
}

impl Conflicts {
    /// The conflicts on record, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Conflict> + ExactSizeIterator {
        self.all.values()
    }

    /// The conflict of this number, if it is on record.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Conflict> {
        self.all.get(&id)
    }

    /// How many conflicts wait for somebody to resolve them.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.ids.len()
    }

    /// How many conflicts were ever recorded here, those no longer kept included.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The conflicts of one key, oldest first.
    pub(super) fn of_key(&self, key: &[u8]) -> impl DoubleEndedIterator<Item = &Conflict> {
        self.of_key.get(key).into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    /// Records a conflict with what has become of it, unless these two versions are on record already.
    pub(super) fn record(&mut self, met: &Met, outcome: Outcome) -> Option<Noted> {
        let same = |conflict: &Conflict| {
            let (old, new) = (&conflict.met, met);
            (old.local.dot == new.local.dot && old.remote.dot == new.remote.dot)
                || (old.local.dot == new.remote.dot && old.remote.dot == new.local.dot)
        };
        if self.of_key(&met.key).any(same) {
            return None;
        }
        self.total += 1;
        let id = self.total;
        self.insert(Conflict { id, met: met.clone(), at: met.at(), outcome });
        // The newest settled one is kept beyond that: it may be about a long value.
        while let Some(oldest) = self.settled.beyond(MAX_CONFLICTS, MAX_CONFLICT_BYTES).filter(|oldest| *oldest != id) {
            self.remove(oldest);
        }
        let mut dropped = Vec::new();
        while let Some(oldest) = self.open.beyond(MAX_OPEN_CONFLICTS, MAX_OPEN_CONFLICT_BYTES) {
            dropped.extend(self.remove(oldest).map(|conflict| (oldest, conflict.met.key)));
        }
        while self.settled.bytes + self.open.bytes > MAX_RECORDED_BYTES
            && let Some(oldest) = self.settled.ids.first().copied()
        {
            self.remove(oldest);
        }
        Some(Noted { id, dropped })
    }

    /// Whether there is anything that `op` might settle.
    pub(super) fn concern(&self, op: &Operation) -> bool {
        (op.marks.resolution || !self.open.ids.is_empty()) && self.of_key.contains_key(&op.key)
    }

    /// Whoever wrote `op` had seen these versions: open conflicts between them are resolved by it; merged ones too, if it
    /// says that this was meant. `own` says that `op` was written here: then, if it has seen nothing of its key, nothing
    /// was left of it, and all that is on record about it is past.
    pub(super) fn settle(&mut self, op: &Operation, own: bool) {
        if !self.concern(op) {
            return;
        }
        let settles = |conflict: &&Conflict| {
            conflict.outcome.is_resolved_by(op.marks.resolution) && conflict.met.is_settled_by(op, own)
        };
        let ids: Vec<_> = self.of_key(&op.key).filter(settles).map(|conflict| conflict.id).collect();
        for id in ids {
            if let Some(conflict) = self.remove(id) {
                self.insert(Conflict { outcome: Outcome::Resolved, ..conflict });
            }
        }
    }

    /// Versions of `key` that lost to `winner` and that `vector` does not cover: sent ahead of the winner, they make
    /// the conflict known to the peer too.
    pub(super) fn losers(&self, key: &[u8], winner: Dot, covers: impl Fn(Dot) -> bool) -> Vec<Operation> {
        let losers = self.of_key(key).map(|conflict| &conflict.met).filter_map(|met| {
            match (met.local.dot == winner, met.remote.dot == winner) {
                (true, _) => Some(met.remote.operation(&met.key)),
                (_, true) => Some(met.local.operation(&met.key)),
                (false, false) => None,
            }
        });
        losers.filter(|loser| !covers(loser.dot)).collect()
    }

    /// Gives other names to what met.
    pub(super) fn rename(&mut self, rename: impl Fn(&mut Met)) {
        for conflict in self.all.values_mut() {
            rename(&mut conflict.met);
        }
    }

    fn insert(&mut self, conflict: Conflict) {
        let kept = self.sort_of(conflict.outcome);
        kept.ids.insert(conflict.id);
        kept.bytes += conflict.met.bytes();
        let of_key = self.of_key.entry(conflict.met.key.clone()).or_default();
        let at = of_key.partition_point(|id| *id < conflict.id);
        of_key.insert(at, conflict.id);
        self.all.insert(conflict.id, conflict);
    }

    fn remove(&mut self, id: u64) -> Option<Conflict> {
        let conflict = self.all.remove(&id)?;
        let kept = self.sort_of(conflict.outcome);
        kept.ids.remove(&id);
        kept.bytes -= conflict.met.bytes();
        if let Some(of_key) = self.of_key.get_mut(&conflict.met.key) {
            of_key.retain(|other| *other != id);
            if of_key.is_empty() {
                self.of_key.remove(&conflict.met.key);
            }
        }
        Some(conflict)
    }

    const fn sort_of(&mut self, outcome: Outcome) -> &mut Kept {
        match outcome {
            Outcome::Open => &mut self.open,
            Outcome::Merged | Outcome::Resolved => &mut self.settled,
        }
    }

    /// The same, with bytes of its own: see [`Self::decode`].
    pub(super) fn detached(self) -> Self {
        let mut detached = Self { total: self.total, ..Self::default() };
        for conflict in self.all.into_values() {
            detached.insert(Conflict { met: conflict.met.detached(), ..conflict });
        }
        detached
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // At once: growing step by step takes up to three times as much, and there may be much of it.
        let versions = self.all.values().flat_map(|Conflict { met, .. }| [&met.local, &met.remote]);
        let least = 3 * MAX_VARINT_LEN + self.all.len() * (2 * MAX_VARINT_LEN + 9);
        out.reserve(least + self.settled.bytes + self.open.bytes + versions.map(encoded_bound).sum::<usize>());
        put_varint(out, self.total);
        put_varint(out, self.all.len() as u64);
        for Conflict { id, met, at, outcome } in self.all.values() {
            put_varint(out, *id);
            out.extend_from_slice(&at.0.to_le_bytes());
            out.push(match outcome {
                Outcome::Merged => 0,
                Outcome::Resolved => 1,
                Outcome::Open => 2,
            });
            put_blob(out, &met.key);
            put_version(out, &met.local);
            put_version(out, &met.remote);
        }
    }

    /// Keys and values are parts of what is read: who keeps them detaches them.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut conflicts = Self { total: reader.varint("conflicts")?, ..Self::default() };
        let count = reader.varint("conflicts")?;
        if count > (MAX_CONFLICTS + MAX_OPEN_CONFLICTS) as u64 {
            return Err(DecodeError { field: "conflicts", fault: Fault::Invalid });
        }
        for _ in 0..count {
            let id = reader.varint("conflict id")?;
            let at = WallTime(reader.u64("conflict time")?);
            let outcome = match reader.u8("conflict outcome")? {
                0 => Outcome::Merged,
                1 => Outcome::Resolved,
                2 => Outcome::Open,
                _ => return Err(DecodeError { field: "conflict outcome", fault: Fault::FromTheFuture }),
            };
            let key = reader.blob(MAX_KEY_LEN, "conflict key")?;
            let local = take_version(reader)?;
            let remote = take_version(reader)?;
            if conflicts.all.contains_key(&id) {
                return Err(DecodeError { field: "conflict id", fault: Fault::Invalid });
            }
            conflicts.insert(Conflict { id, met: Met { key, local, remote }, at, outcome });
        }
        Ok(conflicts)
    }
}

impl Kept {
    /// The oldest, if there are more than so many, or more than so many bytes.
    fn beyond(&self, most: usize, most_bytes: usize) -> Option<u64> {
        let beyond = self.ids.len() > most || self.bytes > most_bytes;
        self.ids.first().copied().filter(|_| beyond)
    }
}

#[cfg(test)]
mod tests;
