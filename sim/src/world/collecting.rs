//! Collections of tombstones, shown to the judges when the log takes them: that is when a node decides who counts.

use core::time::Duration;

use softadastra_core::ids::ReplicaId;
use softadastra_core::node::Node;
use softadastra_core::sync::{LeaseClock, Phase, Status};
use softadastra_core::time::WallTime;

use super::Stage;
use super::host::{Host, Machine};
use crate::judges::{Failure, Moment};

/// Nobody need believe a time further ahead of the own clock: the shortest lease.
const CLOCKS_APART: Duration = Duration::from_secs(3600);

impl Host {
    pub(super) fn judge_collection(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let now = self.now(stage);
        let Machine::Up(node) = &self.machine else { return Ok(()) };
        let Some(dots) = node.collecting() else {
            self.collecting = false;
            return Ok(());
        };
        if std::mem::replace(&mut self.collecting, true) || stage.rollbacks {
            return Ok(());
        }
        let Some(witness) = &stage.witness else { return Ok(()) };
        let status = node.sync_status();
        let members = who_counts(node, &status, stage.now, now.wall);
        let goes_on = |phase| matches!(phase, Phase::Open | Phase::FullExchange);
        let sessions = status.peers.iter().filter(|peer| goes_on(peer.phase));
        let linked: Vec<_> = sessions.filter_map(|peer| Some((peer.replica?, peer.vector.clone()))).collect();
        let (members, linked, waits) = (&members[..], &linked[..], status.waiting > 0);
        stage.court.see(stage.now, self.id, &Moment::Collecting { dots, members, linked, waits, witness })
    }
}

/// The members that a node has heard of within its lease, by a clock that shows this, `passed` microseconds after everything began.
fn who_counts(node: &Node, status: &Status, passed: u64, wall: WallTime) -> Vec<ReplicaId> {
    let settings = &node.config().sync;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let lease = settings.member_lease;
    let within = wall.0.saturating_sub(millis(lease))..=wall.0.saturating_add(millis(CLOCKS_APART));
    // No wall clock alone ages anybody where both must agree.
    let nobody_aged = settings.lease_clock == LeaseClock::Steady && Duration::from_micros(passed) < lease;
    let counted = status
        .members
        .iter()
        .filter(|(_, _, heard, _, given_up)| !given_up && (nobody_aged || within.contains(&heard.0)));
    counted.map(|(replica, ..)| *replica).collect()
}
