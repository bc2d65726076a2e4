//! Who else holds the data, and how far each has come.
//!
//! A member's vector is its own durable word, heard from itself or passed on. It decides which own operations are
//! acknowledged and which tombstones everybody has seen.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::record::{take_node_id, take_wall};
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{NodeId, ReplicaId, Seq};
use crate::limits::MAX_MEMBERS;
use crate::time::WallTime;

/// Milliseconds in which a member that says nothing new is passed on as heard: a sixth of the shortest lease.
const HEARD_GRAIN: u64 = 10 * 60 * 1000;

/// Another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The operator's name of its node.
    pub node: NodeId,
    /// When anybody last heard it.
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

    /// What somebody says of times to come is taken for now. Who was heard last stays heard last.
    pub(super) fn clamp(&mut self, now: WallTime) {
        let counts = !self.is_forgotten();
        self.heard = self.heard.min(now);
        self.forgotten = self.forgotten.min(if counts { WallTime(now.0.saturating_sub(1)) } else { now });
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

/// Entries of all vectors together: some megabytes. A fleet of 300 nodes that have all written needs 90,000. Rumours beyond
/// that are left aside, or a member that invents replicas could fill memory, log and links of all others.
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
        if forgotten == 0 { now } else { WallTime(now.0.max(forgotten + 1)) }
    }

    /// Joins a report. Says whether it told anything new. Reports of more members than fit are left aside: a member
    /// that is not counted is met, when it comes, by the floor.
    pub(super) fn join(&mut self, replica: ReplicaId, report: &Member) -> bool {
        let known = self.0.get(&replica).map_or(0, |member| member.vector.len());
        if report.vector.len() > known && self.entries() + report.vector.len() > MAX_ENTRIES {
            return false;
        }
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

    /// Entries of all vectors together.
    fn entries(&self) -> usize {
        self.0.values().map(|member| member.vector.len()).sum()
    }

    /// The greatest own seq that at least `required` members hold.
    pub(super) fn acknowledged(&self, own: ReplicaId, required: usize) -> Seq {
        let counted = self.0.iter().filter(|(replica, member)| **replica != own && !member.is_forgotten());
        let mut held: Vec<Seq> = counted.map(|(_, member)| member.vector.get(own)).collect();
        if planted!("acknowledgement_counted_twice") {
            held.extend_from_within(..);
        }
        held.sort_unstable_by(|a, b| b.cmp(a));
        required.checked_sub(1).and_then(|index| held.get(index)).copied().unwrap_or(0)
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
