//! Who else holds the data, and how far each has come.
//!
//! A member's vector is its own durable word, heard from itself or passed on. It decides which own operations are
//! acknowledged and which tombstones everybody has seen.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::record::{take_node_id, take_wall};
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, NodeId, ReplicaId, Seq};
use crate::limits::MAX_MEMBERS;
use crate::time::WallTime;

/// Milliseconds in which a member that says nothing new is passed on as heard: a sixth of the shortest lease.
const HEARD_GRAIN: u64 = 10 * 60 * 1000;

/// The latest time of a giving up that is taken over.
const LATEST: u64 = 1 << 62;

/// Another replica.
///
/// Its times tell in which order it was given up and heard, over all clocks: whoever hears it after it was given up says that he
/// heard it later, whatever his clock shows. So they are passed on as they were said, and joined by the greater, be they ever so
/// far ahead. For how long a member was silent they do not tell: leases do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The operator's name of its node.
    pub node: NodeId,
    /// When anybody last heard it, by his clock.
    pub heard: WallTime,
    /// When it was retired by `peers forget`; it counts for nothing any more, unless it was heard since. 0 if never.
    pub forgotten: WallTime,
    /// What it holds durably, as far as was heard.
    pub vector: VersionVector,
}

impl Member {
    /// Whether it was retired and not heard since.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.0 > 0 && (self.forgotten >= self.heard || planted!("forgotten_for_good"))
    }

    /// Takes over what is newer in another report of the same member. Says whether anything was that others should hear
    /// of: of the time only the [`HEARD_GRAIN`] in which it lies.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let was_forgotten = self.is_forgotten();
        let mut news = self.vector.join(&other.vector);
        if other.heard > self.heard {
            news |= self.node != other.node;
            self.node = other.node.clone();
            news |= self.hear(other.heard);
        }
        self.forgotten = self.forgotten.max(other.forgotten);
        news || self.is_forgotten() != was_forgotten
    }

    /// Times that no clock shows would leave no room for later ones.
    pub(super) fn cap(&mut self) {
        let counts = !self.is_forgotten();
        self.heard = self.heard.min(WallTime(LATEST + u64::from(counts)));
        self.forgotten = self.forgotten.min(WallTime(LATEST));
    }

    /// It was heard at `at`. Says whether others should hear of that.
    pub(super) fn hear(&mut self, at: WallTime) -> bool {
        let before = self.heard;
        self.heard = before.max(at);
        before.0 / HEARD_GRAIN < self.heard.0 / HEARD_GRAIN
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_blob(out, self.node.as_str().as_bytes());
        out.extend_from_slice(&self.heard.0.to_le_bytes());
        out.extend_from_slice(&self.forgotten.0.to_le_bytes());
        self.vector.encode(out);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let node = take_node_id(reader)?;
        let heard = take_wall(reader)?;
        let forgotten = take_wall(reader)?;
        let vector = VersionVector::decode(reader, "member vector")?;
        Ok(Self { node, heard, forgotten, vector })
    }
}

/// Entries of all vectors together: some megabytes. A fleet of 300 nodes that have all written needs 90,000. What goes beyond
/// that is kept in part, or a member that invents replicas could fill memory, log and links of all others.
const MAX_ENTRIES: usize = 1 << 17;

/// Every other replica known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members(BTreeMap<ReplicaId, Member>);

impl Members {
    pub(super) fn get(&self, replica: ReplicaId) -> Option<&Member> {
        self.0.get(&replica)
    }

    pub(super) fn get_mut(&mut self, replica: ReplicaId) -> Option<&mut Member> {
        self.0.get_mut(&replica)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ReplicaId, &Member)> {
        self.0.iter().map(|(replica, member)| (*replica, member))
    }

    /// When a replica is heard that speaks now: it counts again, though it was given up while the clock stood later.
    pub(super) fn heard_at(&self, now: WallTime, replica: ReplicaId) -> WallTime {
        let forgotten = self.0.get(&replica).map_or(0, |member| member.forgotten.0);
        if forgotten == 0 { now } else { WallTime(now.0.max(forgotten.saturating_add(1))) }
    }

    /// Joins a report. Says whether it told anything new. Reports of more members than fit are left aside: a member
    /// that is not counted is met, when it comes, by the floor. Of a vector that does not fit, what is kept of the member
    /// already goes on, and so does what it holds of its own operations and of `own`: what it acknowledges counts, whatever
    /// the number of replicas, and a vector that says too little holds back collections at most.
    pub(super) fn join(&mut self, replica: ReplicaId, report: &Member, own: Option<ReplicaId>) -> bool {
        let fits;
        let report = if self.has_room_for(replica, &report.vector) {
            report
        } else {
            let known = |dot: &Dot| self.0.get(&replica).is_some_and(|member| member.vector.get(dot.replica) > 0);
            let kept = |dot: &Dot| dot.replica == replica || Some(dot.replica) == own || known(dot);
            fits = Member { vector: report.vector.iter().filter(kept).collect(), ..report.clone() };
            &fits
        };
        let has_room = self.0.len() < MAX_MEMBERS;
        match self.0.get_mut(&replica) {
            Some(member) => member.join(report),
            None if has_room => {
                self.0.insert(replica, report.clone());
                true
            }
            None => false,
        }
    }

    /// Whether what a report adds to the vectors fits.
    fn has_room_for(&self, replica: ReplicaId, vector: &VersionVector) -> bool {
        let known = self.0.get(&replica);
        let new = vector.iter().filter(|dot| known.is_none_or(|member| member.vector.get(dot.replica) == 0)).count();
        new == 0 || self.entries() + new <= MAX_ENTRIES
    }

    /// Entries of all vectors together.
    fn entries(&self) -> usize {
        self.0.values().map(|member| member.vector.len()).sum()
    }

    /// The own seq that a member holds, if it counts.
    fn held(&self, own: ReplicaId, replica: ReplicaId) -> Option<Seq> {
        let member = self.0.get(&replica).filter(|member| replica != own && !member.is_forgotten())?;
        Some(member.vector.get(own))
    }

    /// What every member holds, this replica with `own_vector` included, as far as it holds back what others have seen.
    pub(super) fn stable(
        &self,
        own: ReplicaId,
        own_vector: &VersionVector,
        holds: impl Fn(ReplicaId, &Member) -> bool,
    ) -> VersionVector {
        let counted = self
            .0
            .iter()
            .filter(|(replica, member)| **replica != own && !member.is_forgotten() && holds(**replica, member))
            .map(|(_, member)| &member.vector);
        counted.fold(own_vector.clone(), |stable, vector| stable.meet(vector))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (replica, member) in &self.0 {
            out.extend_from_slice(&replica.0);
            member.encode(out);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.varint("members")?;
        if count > MAX_MEMBERS as u64 {
            return Err(DecodeError { field: "members", fault: Fault::Invalid });
        }
        let mut members = Self::default();
        for _ in 0..count {
            let replica = ReplicaId(reader.array("member replica")?);
            members.0.insert(replica, Member::decode(reader)?);
        }
        Ok(members)
    }
}

/// The members that hold more own operations than are acknowledged: fewer than are required for that, however many members
/// there are. So a report is judged without a look at all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead(BTreeSet<ReplicaId>);

impl Ahead {
    /// Those of `members` that are ahead of what is acknowledged.
    pub(super) fn of(members: &Members, own: ReplicaId, acknowledged: Seq) -> Self {
        let ahead = |replica: &ReplicaId| members.held(own, *replica).is_some_and(|held| held > acknowledged);
        Self(members.0.keys().copied().filter(ahead).collect())
    }

    /// Something new is known of a member: the greatest own seq that at least `required` members hold, `acknowledged` if that
    /// is greater. `last` is the last own operation.
    pub(super) fn acknowledged(
        &mut self,
        members: &Members,
        own: ReplicaId,
        reported: ReplicaId,
        (required, acknowledged, last): (usize, Seq, Seq),
    ) -> Seq {
        self.0.insert(reported);
        let mut held: Vec<Seq> = self.0.iter().filter_map(|replica| members.held(own, *replica)).collect();
        if planted!("acknowledgement_counted_twice") {
            held.extend_from_within(..);
        }
        held.sort_unstable_by(|a, b| b.cmp(a));
        let raised = required.checked_sub(1).and_then(|index| held.get(index)).copied().unwrap_or(0).min(last);
        let raised = raised.max(acknowledged);
        self.0.retain(|replica| members.held(own, *replica).is_some_and(|held| held > raised));
        raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u32) -> ReplicaId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ReplicaId(id)
    }

    fn heard(at: u64, dots: impl IntoIterator<Item = (u32, Seq)>) -> Member {
        let vector = dots.into_iter().map(|(replica, seq)| Dot { replica: id(replica), seq }).collect();
        Member { node: NodeId::new("n").unwrap(), heard: WallTime(at), forgotten: WallTime(0), vector }
    }

    proptest! {
        #[test]
        fn what_is_acknowledged_follows_from_the_members_as_they_stand(
            required in 1usize..4,
            steps in proptest::collection::vec((1u32..6, 0u64..20, any::<bool>()), 1..60),
        ) {
            const LAST: Seq = 15;
            let own = id(0);
            let (mut members, mut acknowledged) = (Members::default(), 0);
            let mut ahead = Ahead::of(&members, own, acknowledged);
            for (at, (member, seq, forget)) in (1u64..).zip(steps) {
                let member = id(member);
                members.join(member, &heard(at, [(0, seq)]), None);
                if forget && let Some(member) = members.get_mut(member) {
                    member.forgotten = WallTime(at);
                }
                let counting = members.iter().filter(|(_, member)| !member.is_forgotten());
                let mut held: Vec<Seq> = counting.map(|(_, member)| member.vector.get(own)).collect();
                held.sort_unstable();
                let plainly = held.iter().rev().nth(required - 1).copied().unwrap_or(0).min(LAST).max(acknowledged);
                acknowledged = ahead.acknowledged(&members, own, member, (required, acknowledged, LAST));
                prop_assert_eq!(acknowledged, plainly);
                prop_assert!(acknowledged == LAST || ahead.0.len() < required);
            }
        }
    }

    #[test]
    fn of_more_replicas_than_fit_every_member_is_still_known_by_what_it_acknowledges() {
        const FLEET: u32 = 1000;
        let own = Some(id(0));
        let mut members = Members::default();
        for at in 1..=2 {
            for member in 1..FLEET {
                members.join(id(member), &heard(at, (0..FLEET).map(|other| (other, at))), own);
            }
        }
        assert_eq!(members.0.len(), FLEET as usize - 1);
        assert!(members.entries() <= MAX_ENTRIES + 2 * FLEET as usize, "{}", members.entries());
        for member in 1..FLEET {
            assert_eq!(members.held(id(0), id(member)), Some(2), "{member}");
        }
        let stable = members.stable(id(0), &heard(1, (0..FLEET).map(|other| (other, 9))).vector, |_, _| true);
        assert_eq!(stable.iter().map(|dot| dot.replica).collect::<Vec<_>>(), [id(0)], "the rest is not known of all");
    }
}
