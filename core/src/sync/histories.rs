//! Which history it is that a claim is of.
//!
//! A directory that was copied back names operations a second time, until it learns of the first ones; and it may be backed
//! up, or lost, before it does. What it has told others under its old name then stands beside what that name meant before.
//! So whoever passes claims on says which history they are of, by a few pairs (seq, chain). If those contradict what is known
//! here, the name is *parted* in this session: behind the point up to which both are one, a claim of the peer says nothing
//! about what stands here under that name.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::PeerId;
use super::chain::{Ladder, Pairs};
use super::engine::Engine;
use super::message::Part;
use super::record::SyncRecord;
use super::session::Session;
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId, Seq};

/// Says which own history it is that a cut claims up to `seq`.
pub(super) fn write_own_history(ladder: &Ladder, session: &mut Session, seq: Seq, out: &mut Vec<u8>) {
    let told = core::mem::replace(&mut session.chain_told, seq);
    Part::Pairs(ladder.pairs(told, seq)).encode(&mut session.origins_out, out);
}

/// Says which histories of others it is that a cut claims, as far as the peer does not claim them already.
pub(super) fn write_histories(
    told: &BTreeMap<ReplicaId, Pairs>,
    session: &mut Session,
    cut: &VersionVector,
    out: &mut Vec<u8>,
) {
    if !session.tells_histories() {
        return;
    }
    for Dot { replica, seq } in cut.iter() {
        let claimed = session.vector.get(replica).max(session.cut.get(replica));
        let pairs = told.get(&replica).map(|pairs| pairs.part(claimed, seq));
        if let Some(pairs) = pairs.filter(|pairs| claimed < seq && !pairs.is_empty()) {
            Part::History { replica, pairs }.encode(&mut session.origins_out, out);
        }
    }
}

impl Engine {
    /// Compares the histories that a peer claims with those known here. Gives what is learnt of those that `cut` claims.
    pub(super) fn take_histories(
        &mut self,
        peer: PeerId,
        told: &[(ReplicaId, Pairs)],
        cut: &VersionVector,
    ) -> Vec<SyncRecord> {
        let Some(session) = self.sessions.get_mut(&peer) else { return Vec::new() };
        let mut learnt = Vec::new();
        for (replica, pairs) in told {
            if *replica == self.me.replica || session.replica() == Some(*replica) {
                continue;
            }
            let known = self.state.pairs.get(replica);
            if let Some(shared) = known.and_then(|known| known.part_from(pairs)) {
                covered!("two_histories_under_one_name");
                session.parted.insert(*replica, shared);
            } else if let Some(pairs) = known.unwrap_or(&Pairs::default()).with(&pairs.part(0, cut.get(*replica))) {
                learnt.push(SyncRecord::Pairs { replica: *replica, pairs });
            }
        }
        learnt
    }
}
