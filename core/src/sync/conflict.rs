//! Two writes to one key that had not seen each other: noticed where they meet, recorded with both versions.
//!
//! Which of the two stands is settled by the merge alone (greater stamp, then greater replica id), so every replica
//! agrees without a word. A policy other than last-write-wins makes the replica at which they met write a *resolution*
//! that has seen both. A resolution is never answered by another: two that meet are settled by the merge, so it ends.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::limits::{MAX_KEY_LEN, MAX_VALUE_LEN};
use crate::op::{Body, Marks, Operation};
use crate::store::Entry;
use crate::time::WallTime;

/// The most conflicts kept on record. The oldest go first.
pub const MAX_CONFLICTS: usize = 1000;

/// The most bytes of keys and values kept on record.
pub const MAX_CONFLICT_BYTES: usize = 4 << 20;

/// What to do about a conflict.
#[derive(Clone, Copy, Debug, Default)]
pub enum Policy {
    /// The greater (stamp, replica id) stands. Costs no further message.
    #[default]
    LastWriteWins,
    /// The version that was here before stands: if the other one won, it is written again. One more operation from
    /// each side that would have lost; if both sides keep their own, the later resolution stands.
    KeepLocal,
    /// The version that came in stands: if the one that was here won, the other is written again. Costs as
    /// [`Policy::KeepLocal`].
    ApplyRemote,
    /// The greater one stands, and the conflict stays open, with the other version readable, until somebody resolves
    /// it.
    KeepBoth,
    /// What this function makes of the two stands; `None` leaves the winner. It must depend on nothing but its
    /// argument, and treat both versions alike, or nodes will write different resolutions of one conflict.
    Custom(fn(&Met) -> Option<Body>),
}

impl Policy {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::LastWriteWins => "last_write_wins",
            Self::KeepLocal => "keep_local",
            Self::ApplyRemote => "apply_remote",
            Self::KeepBoth => "keep_both",
            Self::Custom(_) => "custom",
        }
    }
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The operation's name.
    pub dot: Dot,
    /// When it was written.
    pub stamp: Stamp,
    /// What its writer had seen of the key.
    pub context: VersionVector,
    /// What it wrote.
    pub body: Body,
    /// It was written by a policy.
    pub resolution: bool,
}

impl Version {
    fn of(op: &Operation) -> Self {
        let body = op.body.value().map_or(Body::Delete, |value| Body::Put(copied(value)));
        Self { dot: op.dot, stamp: op.stamp, context: op.context.clone(), body, resolution: op.marks.resolution }
    }

    /// The operation as it was issued, apart from marks that only its issuer needs.
    fn operation(&self, key: &Bytes) -> Operation {
        Operation {
            dot: self.dot,
            stamp: self.stamp,
            context: self.context.clone(),
            key: key.clone(),
            body: self.body.clone(),
            marks: Marks { resolution: self.resolution, ..Marks::default() },
        }
    }
}

/// Two concurrent writes, at the moment they meet on one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The key both wrote.
    pub key: Bytes,
    /// The version that was here.
    pub local: Version,
    /// The version that came in.
    pub remote: Version,
}

impl Met {
    /// What `op` meets in `latest`, the entry of its key, if that is a conflict. Equal resolutions that meet are none, nor is
    /// one write that meets itself.
    pub(super) fn before(latest: Option<Entry<'_>>, op: &Operation) -> Option<Self> {
        let entry = latest?;
        let sequential = op.context.covers(entry.dot())
            || entry.known_dots().any(|known| known.replica == op.dot.replica && known.seq >= op.dot.seq);
        let sequential = sequential && !planted!("conflict_invented");
        let lost = (op.stamp, op.dot.replica) < (entry.stamp(), entry.dot().replica);
        if sequential || (lost && planted!("conflict_lost_when_the_winner_was_first")) {
            return None;
        }
        let local = Version::of(&entry.operation());
        let remote = Version::of(op);
        // Equal stamps: one write that has come under two names (see `rename`).
        let alike = local.resolution && remote.resolution || local.stamp == remote.stamp;
        let collapse = alike && local.body == remote.body;
        if collapse {
            covered!("equal_resolutions_collapse");
        }
        (!collapse).then(|| Self { key: copied(&op.key), local, remote })
    }

    /// Whether the version that came in wins the merge.
    #[must_use]
    pub fn remote_wins(&self) -> bool {
        (self.remote.stamp, self.remote.dot.replica) > (self.local.stamp, self.local.dot.replica)
    }

    /// Whether whoever has seen `context` has seen both versions.
    pub(super) fn is_seen_by(&self, context: &VersionVector) -> bool {
        context.covers(self.local.dot) && context.covers(self.remote.dot)
    }

    /// What to write so that `policy` is kept; `None` if the merge has done it.
    pub(super) fn resolution(&self, policy: Policy) -> Option<Body> {
        if self.local.resolution && self.remote.resolution {
            return None;
        }
        let wanted = match policy {
            Policy::LastWriteWins | Policy::KeepBoth => return None,
            Policy::KeepLocal => self.local.body.clone(),
            Policy::ApplyRemote => self.remote.body.clone(),
            Policy::Custom(merge) => merge(self)?,
        };
        let winner = if self.remote_wins() { &self.remote } else { &self.local };
        (winner.body != wanted).then_some(wanted)
    }
}

/// What became of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The merge chose; that stands.
    Merged,
    /// A resolution was written.
    Resolved,
    /// It waits for somebody to resolve it.
    Open,
}

impl Outcome {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Resolved => "resolved",
            Self::Open => "open",
        }
    }
}

/// A conflict on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Counts up from 1 on each node.
    pub id: u64,
    /// The versions.
    pub met: Met,
    /// When they met here.
    pub at: WallTime,
    /// What became of it.
    pub outcome: Outcome,
}

/// The latest conflicts, and how many there were at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    list: VecDeque<Conflict>,
    bytes: usize,
    open: usize,
    total: u64,
}

impl Conflicts {
    /// The conflicts on record, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Conflict> + ExactSizeIterator {
        self.list.iter()
    }

    /// How many conflicts were ever recorded here, those no longer kept included.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Records a conflict, unless these two versions are on record already, and gives its id.
    pub(super) fn note(&mut self, met: &Met, policy: Policy, at: WallTime) -> Option<u64> {
        let outcome = match (policy, met.resolution(policy)) {
            (Policy::KeepBoth, _) => Outcome::Open,
            (_, Some(_)) => Outcome::Resolved,
            (_, None) => Outcome::Merged,
        };
        self.record(met, outcome, at)
    }

    /// As [`Self::note`], with what has become of it.
    pub(super) fn record(&mut self, met: &Met, outcome: Outcome, at: WallTime) -> Option<u64> {
        let same = |conflict: &&Conflict| {
            let (old, new) = (&conflict.met, met);
            (old.local.dot == new.local.dot && old.remote.dot == new.remote.dot)
                || (old.local.dot == new.remote.dot && old.remote.dot == new.local.dot)
        };
        if self.list.iter().rev().find(same).is_some() {
            return None;
        }
        self.total += 1;
        self.push(Conflict { id: self.total, met: met.clone(), at, outcome });
        while self.list.len() > MAX_CONFLICTS || (self.bytes > MAX_CONFLICT_BYTES && self.list.len() > 1) {
            if let Some(oldest) = self.list.pop_front() {
                self.bytes -= size(&oldest.met);
                self.open -= usize::from(oldest.outcome == Outcome::Open);
            }
        }
        Some(self.total)
    }

    /// Whoever wrote `op` had seen these versions: open conflicts between them are resolved by it; merged ones too, if it
    /// says that this was meant.
    pub(super) fn settle(&mut self, op: &Operation) {
        if self.open == 0 && !op.marks.resolution {
            return;
        }
        for conflict in self.list.iter_mut().filter(|conflict| conflict.met.key == op.key) {
            let settles = match conflict.outcome {
                Outcome::Open => true,
                Outcome::Merged => op.marks.resolution,
                Outcome::Resolved => false,
            };
            if settles && conflict.met.is_seen_by(&op.context) {
                self.open -= usize::from(conflict.outcome == Outcome::Open);
                conflict.outcome = Outcome::Resolved;
            }
        }
    }

    /// Versions of `key` that lost to `winner` and that `vector` does not cover: sent ahead of the winner, they make
    /// the conflict known to the peer too.
    pub(super) fn losers(&self, key: &[u8], winner: Dot, vector: &VersionVector) -> Vec<Operation> {
        let of_key = self.list.iter().map(|conflict| &conflict.met).filter(|met| met.key == key);
        let losers = of_key.filter_map(|met| match (met.local.dot == winner, met.remote.dot == winner) {
            (true, _) => Some(met.remote.operation(&met.key)),
            (_, true) => Some(met.local.operation(&met.key)),
            (false, false) => None,
        });
        losers.filter(|loser| !vector.covers(loser.dot)).collect()
    }

    /// Forgets the conflicts for which `keep` does not hold.
    pub(super) fn retain(&mut self, keep: impl Fn(&Met) -> bool) {
        let all = core::mem::replace(self, Self { total: self.total, ..Self::default() });
        all.list.into_iter().filter(|conflict| keep(&conflict.met)).for_each(|conflict| self.push(conflict));
    }

    fn push(&mut self, conflict: Conflict) {
        self.bytes += size(&conflict.met);
        self.open += usize::from(conflict.outcome == Outcome::Open);
        self.list.push_back(conflict);
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.total);
        put_varint(out, self.list.len() as u64);
        for Conflict { id, met, at, outcome } in &self.list {
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

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut conflicts = Self { total: reader.varint("conflicts")?, ..Self::default() };
        let count = reader.varint("conflicts")?;
        if count > MAX_CONFLICTS as u64 {
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
            let key = copied(&reader.blob(MAX_KEY_LEN, "conflict key")?);
            let local = take_version(reader)?;
            let remote = take_version(reader)?;
            conflicts.push(Conflict { id, met: Met { key, local, remote }, at, outcome });
        }
        Ok(conflicts)
    }
}

fn size(met: &Met) -> usize {
    let body = |version: &Version| version.body.value().map_or(0, Bytes::len);
    met.key.len() + body(&met.local) + body(&met.remote)
}

/// What is kept must not keep the message or block alive that it came in.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn put_version(out: &mut Vec<u8>, version: &Version) {
    out.extend_from_slice(&version.dot.replica.0);
    put_varint(out, version.dot.seq);
    out.extend_from_slice(&version.stamp.0.to_le_bytes());
    version.context.encode(out);
    out.push(u8::from(version.body.value().is_some()) | u8::from(version.resolution) << 1);
    if let Body::Put(value) = &version.body {
        put_blob(out, value);
    }
}

fn take_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let replica = ReplicaId(reader.array("conflict replica")?);
    let seq = reader.varint("conflict seq")?;
    let stamp = Stamp(reader.u64("conflict stamp")?);
    let context = VersionVector::decode(reader, "conflict context")?;
    if seq == 0 || context.get(replica) >= seq {
        return Err(DecodeError { field: "conflict context", fault: Fault::Invalid });
    }
    let flags = reader.u8("conflict flags")?;
    let body = match flags & 1 {
        0 => Body::Delete,
        _ => Body::Put(copied(&reader.blob(MAX_VALUE_LEN, "conflict value")?)),
    };
    Ok(Version { dot: Dot { replica, seq }, stamp, context, body, resolution: flags & 2 != 0 })
}
