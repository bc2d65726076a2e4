//! What people do by hand: settle conflicts, give up nodes that live, set clocks.

use bytes::Bytes;
use softadastra_core::ids::{Dot, NodeId};
use softadastra_core::node::{Event, RequestId, Write, Written};
use softadastra_core::op::Body;
use softadastra_core::sync;

use super::host::{Host, Machine};
use super::perform::value_of;
use super::{Stage, World};
use crate::plan::{HostId, Seat};
use crate::tally::Mark;

/// A peer whose clock is off by more is refused by those who refuse at all, in milliseconds.
const LIMIT: i64 = 300_000;
/// What is said of a clock is that old at most when somebody judges by it.
const OLD: i64 = 60_000;

/// How far a wall clock is off.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    skew_ms: i64,
    drift_ppm: i64,
    /// When it was last set, in microseconds.
    set: Option<u64>,
}

impl WallClock {
    pub(super) const fn of(seat: &Seat) -> Self {
        Self { skew_ms: seat.skew_ms, drift_ppm: seat.drift_ppm, set: None }
    }
}

/// A conflict that a client settles.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    conflict: u64,
    key: Bytes,
    winner: Dot,
}

impl Host {
    pub(super) fn note_clock(&self, stage: &mut Stage) {
        let (skew_ms, drift_ppm, set) = (self.skew_ms, self.drift_ppm, Some(stage.now));
        if let Some(clock) = stage.clocks.get_mut(usize::from(self.id.0)) {
            *clock = WallClock { skew_ms, drift_ppm, set };
        }
    }

    /// The operator gives up a node that lives.
    pub(super) fn give_up(&mut self, stage: &mut Stage, who: HostId) {
        let now = self.now(stage);
        // Until a clock that was set back has caught up, what it says of others outlasts what they are heard to say.
        let early = stage.set_back.contains(&self.id) && stage.clocks.len() > 2;
        let Machine::Up(node) = &mut self.machine else { return };
        if early {
            return;
        }
        let name = NodeId::new(format!("n{}", who.0)).ok();
        let members = node.sync_status().members;
        for (replica, node_id, ..) in members {
            if Some(node_id) == name && node.forget_replica(now, replica).is_ok() {
                stage.tally.fault("living node given up");
            }
        }
    }

    /// A client settles one of the conflicts on record.
    pub(super) fn resolve(&mut self, stage: &mut Stage, number: u32, pick: u16, len: u32) {
        let now = self.now(stage);
        let Machine::Up(node) = &mut self.machine else { return };
        let unsettled = |conflict: &&sync::Conflict| conflict.outcome != sync::Outcome::Resolved;
        let unsettled: Vec<&sync::Conflict> = node.conflicts().iter().rev().filter(unsettled).collect();
        let Some(conflict) = usize::from(pick).checked_rem(unsettled.len()).and_then(|pick| unsettled.get(pick)) else {
            return;
        };
        let met = &conflict.met;
        let winner = if met.remote_wins() { &met.remote } else { &met.local };
        // Keys that are written once are held against the end of the run.
        let body = (len > 0 && !stage.rollbacks).then(|| Body::Put(value_of(number, 0, len)));
        let settling = Settling { conflict: conflict.id, key: met.key.clone(), winner: winner.dot };
        let write = match body.clone().unwrap_or_else(|| winner.body.clone()) {
            Body::Put(value) => Write::Put { key: met.key.clone(), value, expect: None, touch: true },
            Body::Delete => Write::Delete { key: met.key.clone(), expect: None },
        };
        if let Ok(request) = node.resolve(now, settling.conflict, body) {
            stage.tally.mark(Mark::SettledByHand);
            stage.tally.batches += 1;
            self.oracle.asked(stage.now, number, request, vec![write]);
            self.settling.insert(request, settling);
        }
    }

    /// What is wrong with the answer to a client who settled a conflict.
    pub(super) fn not_settled(&mut self, stage: &mut Stage, request: RequestId, written: &[Written]) -> Option<String> {
        let Settling { conflict, key, winner } = self.settling.remove(&request)?;
        let lsn = written.first()?.lsn;
        let before = softadastra_core::ids::Lsn(lsn.0.saturating_sub(1));
        let stood = stage.ledger(self.id)?.version_at(&key, before).map(|version| version.op.dot);
        let key = String::from_utf8_lossy(&key);
        if let Some(stood) = stood.filter(|stood| *stood != winner) {
            return Some(format!("conflict {conflict} of {key} was settled over {stood}, and was not about that"));
        }
        let open = |conflict: &sync::Conflict| conflict.outcome != sync::Outcome::Resolved;
        let left = self.node()?.conflicts().get(conflict).is_some_and(open);
        left.then(|| format!("conflict {conflict} of {key} was settled, and is still said not to be"))
    }

    /// Who refuses peers whose clocks are off has a session with nobody else, and refuses nobody without need.
    pub(super) fn misjudged_clock(&self, stage: &Stage, event: &Event) -> Option<String> {
        let (other, opened) = match event {
            Event::Sync(sync::Event::Opened { node, .. }) => (node, true),
            Event::LinkDown { node, cause: Some(sync::CloseReason::ClockSkew), .. } => (node, false),
            _ => return None,
        };
        let number: u8 = other.as_str().strip_prefix('n')?.parse().ok()?;
        let clocks = [self.id, HostId(number)].map(|host| stage.clocks.get(usize::from(host.0)).copied());
        let [Some(mine), Some(theirs)] = clocks else { return None };
        let steady = |clock: &WallClock| clock.set.is_none_or(|at| stage.now > at + OLD as u64 * 1_000);
        if !steady(&mine) || !steady(&theirs) {
            return None;
        }
        let read = |clock: &WallClock| stage.read_clocks(clock.skew_ms, clock.drift_ppm).wall.0 as i64;
        let apart = (read(&mine) - read(&theirs)).abs();
        if opened && self.knobs.exchange.refuse_skew && apart > LIMIT + OLD {
            return Some(format!("{other} is let in, whose clock is {apart} ms off"));
        }
        (!opened && apart < LIMIT - OLD).then(|| format!("{other} is refused, whose clock is {apart} ms off"))
    }
}

impl World {
    /// Where somebody refuses those whose clocks are off, all are set right in the end, or they would never meet.
    pub(super) fn set_clocks_right(&mut self) {
        let refuses = |host: &Host| {
            host.knobs.exchange.refuse_skew || host.next_knobs.is_some_and(|knobs| knobs.exchange.refuse_skew)
        };
        if !self.hosts.iter().any(refuses) {
            return;
        }
        for host in &mut self.hosts {
            (host.skew_ms, host.drift_ppm) = (0, 0);
            host.note_clock(&mut self.stage);
            self.stage.set_back.insert(host.id());
        }
    }
}
