//! Starts, and what they find.

use softadastra_core::dice::Seed;
use softadastra_core::error::Error;
use softadastra_core::ids::{Lsn, NodeId};
use softadastra_core::node::{Node, Opening, OpeningState, RecoveryReport};
use softadastra_core::wal::format::Record;

use super::Stage;
use super::host::{Damage, Host, Machine};
use crate::chance;
use crate::disk::SimDisk;
use crate::judges::{Failure, Moment};
use crate::logview;
use crate::oracle::{Harshness, Oracle, Verdict, state_of};
use crate::tally::Mark;

/// After a failed start the next one is tried this much later, in microseconds.
const RETRY: u64 = 20_000;

impl Host {
    pub(super) fn open(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        if !matches!(self.machine, Machine::Down) {
            return Ok(());
        }
        self.life += 1;
        self.starts += 1;
        stage.follow(self.id, self.life);
        self.struck = false;
        self.broken_links = 0;
        if let Some(knobs) = self.next_knobs.take() {
            (self.knobs, self.config) = (knobs, self.next_config.take());
        }
        self.let_rot(stage);
        stage.note(self.id, format_args!("start {}", self.starts));
        let seed = Seed::from_number(chance::mix(stage.seed, u64::from(self.id.0), u64::from(self.life)));
        let mut config = self.config.clone().unwrap_or_else(|| self.knobs.config());
        if stage.witness.is_some() {
            config.node_id = NodeId::new(format!("n{}", stage.face(self.id).0)).ok();
        }
        let start = match self.start_of() {
            Ok(start) => start,
            Err(what) => return stage.see(self.id, &Moment::Backup { verdict: Err(what) }),
        };
        match Opening::new(config, seed, self.now(stage), start) {
            Ok(opening) => {
                self.machine = Machine::Opening(Box::new(opening));
                Ok(())
            }
            Err(error) => self.not_opened(stage, &error),
        }
    }

    /// Lets the opening go on. Says whether there may be more to carry out at once.
    pub(super) fn advance(&mut self, stage: &mut Stage) -> Result<bool, Failure> {
        let now = self.now(stage);
        let Machine::Opening(opening) = std::mem::replace(&mut self.machine, Machine::Down) else { return Ok(false) };
        match opening.advance(now) {
            OpeningState::Working(mut opening) => {
                let more = opening.poll_output(now);
                self.machine = Machine::Opening(Box::new(opening));
                match more {
                    Some(request) => {
                        if self.effect(stage)? {
                            return Ok(false);
                        }
                        self.ask_disk(stage, request);
                        Ok(true)
                    }
                    None => {
                        if self.flights.is_empty() {
                            stage.see(self.id, &Moment::Stuck("the opening waits for nothing".into()))?;
                        }
                        Ok(false)
                    }
                }
            }
            OpeningState::Ready(node, report) => {
                self.opened(stage, node, &report)?;
                Ok(true)
            }
            OpeningState::Failed(error) => {
                self.not_opened(stage, &error)?;
                Ok(false)
            }
        }
    }

    fn opened(&mut self, stage: &mut Stage, node: Box<Node>, report: &RecoveryReport) -> Result<(), Failure> {
        stage.note(self.id, format_args!("up: {report:?}"));
        let found = state_of(&node);
        let mut verdict = None;
        if let (Some((lost, _)), false) = (self.damage.misdirected, self.damage.followed) {
            if self.harshness == Harshness::Power || lost == Lsn::ZERO {
                // The power loss may have torn the very frame that proves what it overwrote to have been durable.
                verdict = Some(Verdict::Cut(0));
                stage.see(self.id, &Moment::Forgiven(Lsn::ZERO))?;
            } else {
                self.oracle.excuse_from(lost);
                stage.see(self.id, &Moment::Forgiven(lost))?;
            }
        }
        if self.soft && self.harshness == Harshness::Power {
            stage.see(self.id, &Moment::SessionsEnd)?;
        }
        self.soft = !self.knobs.syncs_always();
        let founded = self.judge_founded(stage, &node);
        if founded.is_some() {
            verdict = founded;
        } else if stage.witness.is_some() {
            verdict = Some(self.judge_among_others(stage, &node, report));
        }
        let verdict = verdict.unwrap_or_else(|| self.oracle.judge(&found, self.oracle.floor(self.harshness)));
        let salt = if self.close_look { 0 } else { chance::mix(stage.pace.salt, u64::from(self.life), 5) };
        let moment = Moment::Opened {
            node: &node,
            disk: &self.disk,
            report,
            found: &found,
            verdict: &verdict,
            harshness: self.harshness,
            closed: self.closed.filter(|_| !self.strayed),
            grown: report.last_lsn > self.found,
            damaged: self.damage.any,
            tearable: self.tearable || self.damage.any,
            first: self.fresh || self.damage.may_leave_nothing(),
            salt,
        };
        stage.see(self.id, &moment)?;
        self.count_marks(stage, report);
        if let (Verdict::Cut(cut), None) = (verdict, &stage.witness) {
            let (kept, gone) = self.oracle.undecided(cut);
            if !(kept.is_empty() && gone.is_empty()) {
                stage.note(self.id, format_args!("of the undecided, kept: {kept:?}; gone: {gone:?}"));
            }
            kept.iter().for_each(|_| stage.tally.mark(Mark::UnknownKept));
            gone.iter().for_each(|_| stage.tally.mark(Mark::UnknownGone));
        }
        self.found = report.last_lsn;
        self.closed = Some(report.clean);
        self.tearable = false;
        self.oracle.reopened(found);
        self.own = Some(node.status().replica);
        self.issue_what_stands(stage)?;
        if self.damage.life != self.life {
            self.damage = Damage::default();
        }
        self.pristine = None;
        self.harshness = Harshness::Closed;
        self.fresh = false;
        self.last_refusal = None;
        self.unpublished.clear();
        self.changed = true;
        self.machine = Machine::Up(node);
        self.go_online(stage)
    }

    fn count_marks(&self, stage: &mut Stage, report: &RecoveryReport) {
        let hits = [
            (report.torn.is_some(), Mark::TornTailCut),
            (report.clean, Mark::CleanStart),
            (report.snapshot_at.is_some(), Mark::SnapshotLoaded),
            (self.last_refusal.is_some(), Mark::StartHindered),
        ];
        hits.into_iter().filter(|(hit, _)| *hit).for_each(|(_, mark)| stage.tally.mark(mark));
    }

    /// Every own operation in the log is issued now, whatever its writer was told.
    fn issue_what_stands(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        // Of an inherited log nobody here knows under which names its first records were issued.
        if self.inherited || stage.rollbacks {
            return Ok(());
        }
        let mut own = self.own;
        for view in logview::segments(&self.disk) {
            for (_, frame) in &view.frames {
                let records = match logview::records(frame, &mut own) {
                    Ok(records) => records,
                    Err(what) => return stage.see(self.id, &Moment::Nonsense(what)),
                };
                for (lsn, record) in &records {
                    if let Record::Own(op) = record {
                        stage.issue(self.id, *lsn, op)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn not_opened(&mut self, stage: &mut Stage, error: &Error) -> Result<(), Failure> {
        stage.note(self.id, format_args!("not opened: {error}"));
        let hindered = self.struck || self.disk.is_limited();
        let damaged = self.damage.any;
        stage.see(self.id, &Moment::NotOpened { error, damaged, hindered })?;
        self.last_refusal = Some(error.clone());
        // A cut that failed on the way may show, after a power loss, a tail that an earlier start did not see.
        self.closed = None;
        self.spill(0);
        self.disk.kill();
        if damaged && error.code() == softadastra_core::error::Code::WalCorrupt {
            match self.pristine.take() {
                Some(pristine) => {
                    stage.tally.mark(Mark::RotRefused);
                    stage.note(self.id, format_args!("the operator brings back the bytes as they were"));
                    self.disk.bring_back(pristine);
                }
                None => {
                    stage.tally.mark(Mark::MisdirectRefused);
                    stage.note(self.id, format_args!("the operator starts over with an empty directory"));
                    self.disk.bring_back(SimDisk::new());
                    self.oracle = Oracle::default();
                    stage.see(self.id, &Moment::Forgiven(Lsn::ZERO))?;
                    self.fresh = true;
                    self.closed = Some(false);
                    self.found = Lsn::ZERO;
                    self.own = None;
                }
            }
            self.damage = Damage::default();
        }
        self.harshness = self.harshness.max(Harshness::Kill);
        self.go_down(stage, RETRY);
        Ok(())
    }

    /// Lets one bit rot, in the bytes that the log vouches for.
    fn let_rot(&mut self, stage: &mut Stage) {
        let Some((place, bit)) = self.rot.take() else { return };
        let ranges = logview::vouched(&self.disk);
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        // One damage at a time: no log promises to notice any number of them.
        if total == 0 || self.damage.any {
            return;
        }
        let mut at = u64::from(place) * total / 1_000_000;
        for range in ranges {
            let len = range.end - range.start;
            if at < len {
                let byte = range.start + at;
                self.pristine = Some(self.disk.clone());
                self.disk.rot(&range.name, byte * 8 + u64::from(bit));
                self.damage.any = true;
                stage.tally.fault("bit rot at rest");
                stage.note(self.id, format_args!("bit {bit} of byte {byte} of {} rots", range.name));
                return;
            }
            at -= len;
        }
    }
}
