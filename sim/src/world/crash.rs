//! The process dies, or the power goes.

use std::collections::BTreeSet;

use bytes::Bytes;
use softadastra_core::wal::format::{FileName, SEGMENT_HEADER_LEN, SegmentHeader};

use super::flight::file_of;
use super::host::{Host, Machine};
use super::{Kind, Stage};
use crate::chance;
use crate::disk::Fate;
use crate::judges::{Failure, Moment};
use crate::oracle::Harshness;
use crate::plan::Crash;
use crate::tally::Mark;

/// A crash that falls when so many more effects were carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doom {
    pub(super) crash: Crash,
    pub(super) left: u16,
    pub(super) down: u64,
}

impl Host {
    /// One more effect is about to be carried out. Says whether the crash fell before it.
    pub(super) fn effect(&mut self, stage: &mut Stage) -> Result<bool, Failure> {
        match &mut self.doom {
            Some(Doom { left: 0, .. }) => {
                if let Some(doom) = self.doom.take() {
                    self.crash(stage, doom)?;
                }
                Ok(true)
            }
            Some(doom) => {
                doom.left -= 1;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    pub(super) fn crash(&mut self, stage: &mut Stage, doom: Doom) -> Result<(), Failure> {
        if matches!(self.machine, Machine::Down) {
            if let Crash::Power(loss) = doom.crash {
                stage.note(self.id, format_args!("POWER LOSS while down: {loss:?}"));
                stage.tally.fault("power loss while down");
                self.tearable |= loss.data != Fate::Lost || self.disk.shows_what_was_dropped();
                self.disk.lose_power(loss);
                self.harshness = Harshness::Power;
            }
            return Ok(());
        }
        if matches!(self.machine, Machine::Opening(_)) {
            stage.tally.mark(Mark::CrashInRecovery);
        }
        let draft = |(name, _): (&str, &[u8])| matches!(FileName::parse(name), Some(FileName::SnapshotDraft(_)));
        if self.disk.files().any(draft) {
            stage.tally.mark(Mark::SnapshotInterrupted);
        }
        let salt = match doom.crash {
            Crash::Kill { salt, .. } => salt,
            Crash::Power(loss) => loss.salt,
        };
        if !self.flights.is_empty() {
            self.closed = None;
        }
        self.look_at_what_is_on_its_way(stage)?;
        // The last effect may have told others of it.
        self.note_what_is_durable(stage)?;
        self.spill(salt);
        let (sectors, names) = self.disk.unsynced();
        stage.note(self.id, format_args!("CRASH {:?}; unsynced: {sectors} sectors, {names} names", doom.crash));
        self.promise_by_age(stage);
        self.tearable |= match doom.crash {
            Crash::Kill { evict, .. } => !self.flights.is_empty() || evict && self.disk.shows_what_was_dropped(),
            Crash::Power(loss) => loss.data != Fate::Lost || self.disk.shows_what_was_dropped(),
        };
        match doom.crash {
            Crash::Kill { evict, .. } => {
                stage.tally.fault(if evict { "kill, pages evicted" } else { "kill" });
                self.disk.kill();
                if evict {
                    self.disk.evict();
                }
                self.harshness = self.harshness.max(Harshness::Kill);
            }
            Crash::Power(loss) => {
                stage.tally.fault("power loss");
                self.disk.lose_power(loss);
                self.harshness = Harshness::Power;
            }
        }
        self.see_what_is_left(stage)?;
        let due = stage.network.host_ended(stage.now, self.id, matches!(doom.crash, Crash::Power(_)));
        stage.expect(due);
        self.go_down(stage, doom.down);
        Ok(())
    }

    /// What a running node leaves. A start removes at once what it finds superfluous.
    fn see_what_is_left(&self, stage: &mut Stage) -> Result<(), Failure> {
        if !matches!(self.machine, Machine::Up(_)) || self.damage.any {
            return Ok(());
        }
        let segment = |(name, content): (&str, &[u8])| match FileName::parse(name) {
            Some(FileName::Segment(number)) => {
                let header = content.get(..SEGMENT_HEADER_LEN).map(Bytes::copy_from_slice);
                let header = header.and_then(|header| SegmentHeader::decode(&header).ok());
                Some((number, header.map(|header| header.number)))
            }
            _ => None,
        };
        let mut segments: Vec<_> = self.disk.files().filter_map(segment).collect();
        segments.sort_unstable();
        stage.see(self.id, &Moment::Left { segments: &segments })
    }

    /// The process is gone, and starts again after `down` microseconds.
    pub(super) fn go_down(&mut self, stage: &mut Stage, down: u64) {
        let due = stage.network.host_ended(stage.now, self.id, false);
        stage.expect(due);
        self.machine = Machine::Down;
        self.life += 1;
        stage.follow(self.id, self.life);
        self.flights.clear();
        self.busy.clear();
        self.chores.clear();
        self.settling.clear();
        self.unpublished.clear();
        self.doom = None;
        self.closing = None;
        self.backup = None;
        stage.schedule(down, self.id, Some(self.life), Kind::Open);
    }

    /// What was on its way to the disk when the process died: of each file, nothing or some first operations, the last
    /// of
    /// them in part.
    pub(super) fn spill(&mut self, salt: u64) {
        let mut stopped = BTreeSet::new();
        let waiting = self.flights.iter().filter(|(_, flight)| !flight.begun);
        let waiting: Vec<_> = waiting.map(|(token, flight)| (token.0, flight.request.op.clone())).collect();
        for (token, op) in waiting {
            if file_of(&op).is_some_and(|file| stopped.contains(&file)) {
                continue;
            }
            let bits = chance::mix(salt, token, 9);
            let how = chance::below(bits, 4);
            if how == 3 {
                // Nobody is left to be told how it ended, and no fault waits for it.
                let _result = self.disk.carry_out_unharmed(&op);
            } else {
                if how == 2 {
                    self.disk.carry_out_part(&op, (bits % 101) as u8);
                }
                stopped.extend(file_of(&op));
            }
        }
    }

    /// With a sync every so often, an answer older than that is durable, unless something stood in the way.
    fn promise_by_age(&mut self, stage: &Stage) {
        let hindered = self.struck || self.disk.is_limited();
        if !self.knobs.syncs_always() && !hindered && matches!(self.machine, Machine::Up(_)) {
            let pace = stage.pace;
            let slack = 40 * (pace.io + pace.sync + pace.dirs + pace.names + pace.report) + 1_000;
            let at = stage.now.checked_sub(self.knobs.sync_every + slack);
            if let Some(at) = at.filter(|_| stage.now > self.late_until + self.knobs.sync_every + slack) {
                self.oracle.durable_since(at);
            }
        }
    }

    /// The node says that its clean close has ended.
    pub(super) fn closed(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let waiting = self.oracle.waiting();
        stage.note(self.id, format_args!("closed"));
        if waiting > 0 {
            stage.see(self.id, &Moment::Stuck(format!("closed, but {waiting} batches were never answered")))?;
        }
        // Without room for a closing frame, a close goes without; after a failure on the way out, it may be there or
        // not.
        if self.closed.is_none() && self.node().is_some_and(closing) {
            self.closed = Some(true);
        }
        if self.node().is_some_and(closing) {
            self.oracle.closed();
        }
        self.disk.kill();
        let down = self.closing.unwrap_or(0);
        self.go_down(stage, down);
        Ok(())
    }

    /// The end of all faults: what stands in the way is taken away, and a degraded node is restarted.
    pub(super) fn heal(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        self.disk.disarm_all();
        self.disk.set_room(None);
        self.stall = 0;
        self.doom = None;
        self.rot = None;
        self.refusing = 0;
        self.offline = 0;
        let degraded = |node: &softadastra_core::node::Node| {
            matches!(node.status().health, softadastra_core::node::Health::Degraded(_))
        };
        if self.node().is_some_and(degraded) {
            let crash = Crash::Kill { salt: 0, evict: false };
            self.crash(stage, Doom { crash, left: 0, down: 1 })?;
        }
        Ok(())
    }
}

fn closing(node: &softadastra_core::node::Node) -> bool {
    node.status().health == softadastra_core::node::Health::Closing
}
