//! Two writes to one key that had not seen each other: noticed where they meet, recorded with both versions.
//!
//! Which of the two stands is settled by the merge alone (greater stamp, then greater replica id), so every replica
//! agrees without a word. A policy other than last-write-wins makes the replica at which they met write a *resolution*
//! that has seen both. A resolution is never answered by another: two that meet are settled by the merge, so it ends.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, MAX_VARINT_LEN, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::limits::MAX_VALUE_LEN;
use crate::op::{Body, Marks, Operation};
use crate::store::Entry;
use crate::time::WallTime;

/// Replica, seq, stamp, length of the context, flags, length of the value.
const FIXED_BOUND: usize = 16 + 8 + 1 + 4 * MAX_VARINT_LEN;
/// Replica and seq of one entry of a context.
const CONTEXT_BOUND: usize = 16 + MAX_VARINT_LEN;

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
    /// Whether conflicts stay open until somebody resolves them.
    pub(super) const fn keeps_both(&self) -> bool {
        matches!(self, Self::KeepBoth)
    }

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

    /// The same, with bytes of its own.
    fn detached(self) -> Self {
        let body = self.body.value().map_or(Body::Delete, |value| Body::Put(copied(value)));
        Self { body, ..self }
    }

    /// The greatest length of [`put_version`].
    pub(super) fn encoded_bound(&self) -> usize {
        encoded_bound(self) + self.body.value().map_or(0, Bytes::len)
    }

    /// The operation as it was issued, apart from marks that only its issuer needs.
    pub(super) fn operation(&self, key: &Bytes) -> Operation {
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
        // What a replica writes comes after all that it has written, also where its context has lost that with a tombstone, or a drop.
        let own = entry.dot().replica == op.dot.replica && !planted!("conflict_with_oneself");
        let sequential = own
            || op.context.covers(entry.dot())
            || entry.known_dots().any(|known| known.replica == op.dot.replica && known.seq >= op.dot.seq);
        let sequential = sequential && !planted!("conflict_invented");
        let lost = (op.stamp, op.dot.replica) < (entry.stamp(), entry.dot().replica);
        if sequential
            || repeats_what_is_settled(&entry, op, lost)
            || (lost && planted!("conflict_lost_when_the_winner_was_first"))
        {
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

    /// What `op` met, with bytes of its own.
    pub(super) fn of(local: &Version, op: &Operation) -> Self {
        Self { key: copied(&op.key), local: local.clone().detached(), remote: Version::of(op) }
    }

    /// The same, with bytes of its own.
    pub(super) fn detached(self) -> Self {
        Self { key: copied(&self.key), local: self.local.detached(), remote: self.remote.detached() }
    }

    /// Whether the version that came in wins the merge.
    #[must_use]
    pub fn remote_wins(&self) -> bool {
        (self.remote.stamp, self.remote.dot.replica) > (self.local.stamp, self.local.dot.replica)
    }

    /// When the later of the two was written.
    pub(super) fn at(&self) -> WallTime {
        self.local.stamp.max(self.remote.stamp).wall()
    }

    /// Bytes of the key and of both values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = |version: &Version| version.body.value().map_or(0, Bytes::len);
        self.key.len() + body(&self.local) + body(&self.remote)
    }

    /// Whether whoever has seen `context` has seen both versions.
    pub(super) fn is_seen_by(&self, context: &VersionVector) -> bool {
        context.covers(self.local.dot) && context.covers(self.remote.dot)
    }

    /// Whether whoever wrote `op` had seen both versions, or, here, that nothing was left of them.
    pub(super) fn is_settled_by(&self, op: &Operation, own: bool) -> bool {
        self.is_seen_by(&op.context) || (own && op.context.is_empty())
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

/// Whether `op` and what stands here meet only because sync has written one of them again, and nothing that anybody meant is
/// lost by it; `lost` says that `op` does lose.
fn repeats_what_is_settled(entry: &Entry<'_>, op: &Operation, lost: bool) -> bool {
    let (here, there) = (entry.marks().repeats, op.marks.repeats);
    if here.is_none() && there.is_none() {
        return false;
    }
    let dead = [entry.is_tombstone(), op.body.value().is_none()];
    if dead == [true, true] {
        return true;
    }
    let seen = |by_here, repeated| if by_here { entry.known().covers(repeated) } else { op.context.covers(repeated) };
    let (winner, loser, loser_is_deletion) = if lost { (here, there, dead[1]) } else { (there, here, dead[0]) };
    // A lost burial takes nothing with it; what had seen the operation repeated, and wins over the repetition, neither; and
    // what had seen it and deleted it will do so again.
    match (winner, loser) {
        (_, Some(repeated)) => loser_is_deletion || seen(lost, repeated),
        (Some(repeated), None) => loser_is_deletion && seen(!lost, repeated),
        (None, None) => false,
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
    /// Of two versions that have just met.
    pub(super) const fn when_met(keeps_both: bool) -> Self {
        if keeps_both { Self::Open } else { Self::Merged }
    }

    /// Whether a write that had seen both versions resolves it; `resolution` says that this was meant.
    pub(super) const fn is_resolved_by(self, resolution: bool) -> bool {
        match self {
            Self::Open => true,
            Self::Merged => resolution,
            Self::Resolved => false,
        }
    }

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
    /// When the later of the two was written, by its stamp: the same on every node, and after every restart.
    pub at: WallTime,
    /// What became of it.
    pub outcome: Outcome,
}

/// The greatest length of [`put_version`], without the value.
pub(super) fn encoded_bound(version: &Version) -> usize {
    FIXED_BOUND + version.context.len() * CONTEXT_BOUND
}

/// What is kept must not keep the message or block alive that it came in.
pub(super) fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn put_version(out: &mut Vec<u8>, version: &Version) {
    out.extend_from_slice(&version.dot.replica.0);
    put_varint(out, version.dot.seq);
    out.extend_from_slice(&version.stamp.0.to_le_bytes());
    version.context.encode(out);
    out.push(u8::from(version.body.value().is_some()) | u8::from(version.resolution) << 1);
    if let Body::Put(value) = &version.body {
        put_blob(out, value);
    }
}

pub(super) fn take_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
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
        _ => Body::Put(reader.blob(MAX_VALUE_LEN, "conflict value")?),
    };
    Ok(Version { dot: Dot { replica, seq }, stamp, context, body, resolution: flags & 2 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Lsn;
    use crate::store::Store;
    use alloc::vec;

    const LOCAL: ReplicaId = ReplicaId([1; 16]);
    const REMOTE: ReplicaId = ReplicaId([2; 16]);

    fn version(replica: ReplicaId, stamp: u64, value: Option<&'static str>, resolution: bool) -> Version {
        let body = value.map_or(Body::Delete, |value| Body::Put(Bytes::from_static(value.as_bytes())));
        let dot = Dot { replica, seq: 1 };
        Version { dot, stamp: Stamp(stamp), context: VersionVector::EMPTY, body, resolution }
    }

    fn key() -> Bytes {
        Bytes::from_static(b"k")
    }

    fn meet(local: &Version, remote: &Version) -> Option<Met> {
        let mut store = Store::new();
        store.apply(Lsn(1), &local.operation(&key()));
        Met::before(store.latest(b"k"), &remote.operation(&key()))
    }

    fn met(local: Version, remote: Version) -> Met {
        Met { key: key(), local, remote }
    }

    #[test]
    fn only_equal_resolutions_and_one_write_under_two_names_collapse() {
        for (resolutions, stamps, values, is_conflict) in [
            ((false, false), (5, 6), ("a", "a"), true),
            ((true, false), (5, 6), ("a", "a"), true),
            ((false, true), (5, 6), ("a", "a"), true),
            ((true, true), (5, 6), ("a", "a"), false),
            ((true, true), (5, 6), ("a", "b"), true),
            ((false, false), (5, 5), ("a", "a"), false),
            ((false, false), (5, 5), ("a", "b"), true),
        ] {
            let local = version(LOCAL, stamps.0, Some(values.0), resolutions.0);
            let remote = version(REMOTE, stamps.1, Some(values.1), resolutions.1);
            let found = meet(&local, &remote);
            assert_eq!(found, is_conflict.then(|| met(local, remote)), "{resolutions:?} {stamps:?} {values:?}");
        }
    }

    #[test]
    fn no_replica_is_in_conflict_with_itself() {
        for (stands, comes) in [(1, 2), (2, 1)] {
            let numbered = |seq, stamp, value| {
                let dot = Dot { replica: LOCAL, seq };
                Version { dot, ..version(LOCAL, stamp, value, false) }
            };
            let (first, second) = (numbered(1, 5, Some("a")), numbered(2, 6, None));
            let [stands, comes] = [stands, comes].map(|seq| if seq == 1 { &first } else { &second });
            assert_eq!(meet(stands, comes), None);
        }
    }

    #[test]
    fn whoever_has_seen_one_side_only_has_not_seen_the_conflict() {
        let met = met(version(LOCAL, 5, None, false), version(REMOTE, 6, None, false));
        let seen = |replicas: &[ReplicaId]| {
            let dots = replicas.iter().map(|replica| Dot { replica: *replica, seq: 1 });
            met.is_seen_by(&dots.collect())
        };
        assert_eq!([seen(&[]), seen(&[LOCAL]), seen(&[REMOTE]), seen(&[LOCAL, REMOTE])], [false, false, false, true]);
    }

    #[test]
    fn the_greater_stamp_wins_then_the_greater_replica_and_the_later_is_when_it_was() {
        let stamp = |ms| Stamp::from_wall(WallTime(ms)).0;
        for (local, remote, wins, at) in [(5, 6, true, 6), (6, 5, false, 6), (5, 5, true, 5)] {
            let met = met(version(LOCAL, stamp(local), None, false), version(REMOTE, stamp(remote), None, false));
            assert_eq!((met.remote_wins(), met.at()), (wins, WallTime(at)), "{local} {remote}");
        }
        let higher = met(version(REMOTE, 5, None, false), version(LOCAL, 5, None, false));
        assert!(!higher.remote_wins());
    }

    #[test]
    fn a_policy_answers_a_resolution_but_two_resolutions_are_left_to_the_merge() {
        for (local, remote, wanted) in
            [(false, false, true), (true, false, true), (false, true, true), (true, true, false)]
        {
            let met = met(version(LOCAL, 5, Some("a"), local), version(REMOTE, 6, Some("b"), remote));
            assert_eq!(met.resolution(Policy::KeepLocal).is_some(), wanted, "{local} {remote}");
            assert_eq!(met.resolution(Policy::ApplyRemote), None, "it has won");
        }
    }

    /// What sync wrote again is nobody's word. What somebody has meant is, unless he had seen what is repeated.
    #[test]
    fn a_value_is_lost_to_a_repetition_and_a_repetition_only_to_who_has_not_seen_what_it_repeats() {
        const OLD: Dot = Dot { replica: ReplicaId([7; 16]), seq: 5 };
        let written = |value, repeats, seen: &[Dot]| {
            let context: VersionVector = seen.iter().copied().collect();
            let mut op = Version { context, ..version(LOCAL, 0, value, false) }.operation(&key());
            op.marks.repeats = repeats;
            op
        };
        let meant = |value, seen: &[Dot]| written(value, None, seen);
        let again = |value| written(value, Some(OLD), &[OLD]);
        let repetition = || again(Some("v"));
        let burial = || again(None);
        let mut cases = vec![
            (repetition(), repetition(), false),
            (burial(), repetition(), false),
            (meant(Some("w"), &[]), burial(), false),
            (meant(Some("w"), &[OLD]), burial(), false),
            (burial(), meant(None, &[]), false),
            (meant(None, &[]), burial(), false),
            (burial(), meant(Some("w"), &[]), true),
            (burial(), meant(Some("w"), &[OLD]), true),
            (meant(Some("w"), &[]), meant(None, &[]), true),
        ];
        let (earlier, later) = (Dot { seq: 4, ..OLD }, Dot { seq: 6, ..OLD });
        let elsewhere = Dot { replica: ReplicaId([8; 16]), seq: 9 };
        for (seen, has_seen) in
            [(vec![OLD], true), (vec![later], true), (vec![], false), (vec![earlier], false), (vec![elsewhere], false)]
        {
            for value in [Some("w"), None] {
                cases.push((meant(value, &seen), repetition(), !has_seen));
            }
            cases.push((repetition(), meant(None, &seen), !has_seen));
            cases.push((repetition(), meant(Some("w"), &seen), true));
        }
        for (winner, loser, is_conflict) in cases {
            let named = |op: &Operation, number: u8, stamp| {
                let dot = Dot { replica: ReplicaId([number; 16]), seq: 1 };
                Operation { dot, stamp: Stamp(stamp), ..op.clone() }
            };
            for (first, second) in
                [(named(&winner, 1, 6), named(&loser, 2, 5)), (named(&loser, 1, 5), named(&winner, 2, 6))]
            {
                let mut store = Store::new();
                store.apply(Lsn(1), &first);
                let met = Met::before(store.latest(b"k"), &second);
                assert_eq!(met.is_some(), is_conflict, "{second:?} comes to {first:?}");
            }
        }
    }

    #[test]
    fn a_version_is_read_back_and_stays_within_its_bound() {
        let wide: VersionVector =
            (0..300u128).map(|n| Dot { replica: ReplicaId((n << 64).to_be_bytes()), seq: u64::MAX >> 1 }).collect();
        for (value, resolution) in [(None, false), (None, true), (Some("v"), false), (Some("v"), true)] {
            for context in [VersionVector::EMPTY, wide.clone()] {
                let dot = Dot { replica: LOCAL, seq: u64::MAX };
                let version = Version { dot, context, ..version(LOCAL, u64::MAX, value, resolution) };
                let mut out = Vec::new();
                put_version(&mut out, &version);
                assert!(out.len() <= encoded_bound(&version) + value.map_or(0, str::len));
                assert_eq!(take_version(&mut Reader::new(&out.into())), Ok(version));
            }
        }
    }

    #[test]
    fn a_version_that_has_seen_itself_or_has_no_number_is_not_read() {
        for (seq, seen) in [(0, 0), (3, 3), (3, 4)] {
            let context = [Dot { replica: LOCAL, seq: seen }].into_iter().collect();
            let version = Version { dot: Dot { replica: LOCAL, seq }, context, ..version(LOCAL, 1, None, false) };
            let mut out = vec![];
            put_version(&mut out, &version);
            assert!(take_version(&mut Reader::new(&out.into())).is_err(), "{seq} has seen {seen}");
        }
    }

    #[test]
    fn policies_and_outcomes_have_stable_names() {
        let policies =
            [Policy::LastWriteWins, Policy::KeepLocal, Policy::ApplyRemote, Policy::KeepBoth, Policy::Custom(|_| None)];
        assert_eq!(
            policies.map(|policy| policy.as_str()),
            ["last_write_wins", "keep_local", "apply_remote", "keep_both", "custom",]
        );
        let outcomes = [Outcome::Merged, Outcome::Resolved, Outcome::Open].map(Outcome::as_str);
        assert_eq!(outcomes, ["merged", "resolved", "open"]);
    }
}
