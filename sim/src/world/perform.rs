//! Items of a plan, carried out.

use bytes::Bytes;
use softadastra_core::limits::MAX_KEY_LEN;
use softadastra_core::node::Write;

use super::crash::Doom;
use super::host::{Host, Machine};
use super::{Kind, Stage};
use crate::chance;
use crate::judges::{Failure, Moment};
use crate::oracle;
use crate::plan::{Change, Expect, PlannedWrite, What};
use crate::tally::Mark;

/// A crash that waits for effects falls after this long at the latest, in microseconds.
const DOOM: u64 = 30_000;
/// A version that no key reaches.
const IMPOSSIBLE: u64 = u64::MAX;

impl Host {
    pub(super) fn perform(&mut self, stage: &mut Stage, what: What) -> Result<(), Failure> {
        if matches!(self.machine, Machine::Up(_)) || !matches!(what, What::Write { .. } | What::Read { .. }) {
            stage.note(self.id, format_args!("{what}"));
        }
        match what {
            What::Write { number, writes } => return self.ask(stage, number, &writes),
            What::Read { client, key } => return self.read(stage, client, &key_of(key)),
            What::Snapshot => self.chore(stage, "snapshot"),
            What::Flush => self.chore(stage, "flush"),
            What::Backup => self.begin_backup(stage),
            What::Close { down } => {
                let now = self.now(stage);
                if let Machine::Up(node) = &mut self.machine
                    && self.closing.is_none()
                {
                    self.closing = Some(down);
                    node.close(now);
                }
            }
            What::Crash { crash, after, down } => {
                if after == 0 {
                    return self.crash(stage, Doom { crash, left: 0, down });
                }
                self.doom = Some(Doom { crash, left: after, down });
                stage.schedule(DOOM, self.id, Some(self.life), Kind::Doom);
            }
            What::Fault { fault, window } => {
                let id = self.disk.arm(fault);
                stage.schedule(window, self.id, None, Kind::Disarm(id));
            }
            What::Full { room, window } => {
                self.disk.set_room(Some(self.disk.used() + room));
                stage.schedule(window, self.id, None, Kind::RoomBack);
            }
            What::Rot { place, bit } => self.rot = Some((place, bit)),
            What::Clock(ms) => {
                self.skew_ms += ms;
                self.note_clock(stage);
                if ms < 0 {
                    stage.tally.mark(Mark::ClockSetBack);
                    stage.set_back.insert(self.id);
                }
                stage.tally.fault("clock jump");
            }
            What::Stall { extra, window } => {
                self.stall = extra;
                self.late_until = self.late_until.max(stage.now + window + 3 * extra);
                stage.tally.fault("slow disk");
                stage.schedule(window, self.id, None, Kind::StallEnds);
            }
            What::Replace { down } => self.replace(stage, down)?,
            What::Restore { down } => self.restore(stage, down)?,
            What::Retire => self.retire(stage),
            What::GiveUp { who } => self.give_up(stage, who),
            What::Resolve { number, pick, len } => self.resolve(stage, number, pick, len),
            What::Copy if matches!(self.machine, Machine::Up(_)) => self.copied = Some(self.disk.copy()),
            What::Copy => {}
            What::CopyBack { down } => self.copy_back(stage, down)?,
            What::Configure(knobs) => (self.next_knobs, self.next_config) = (Some(knobs), None),
            What::Block { .. }
            | What::Slow { .. }
            | What::Cut { .. }
            | What::Refuse { .. }
            | What::Offline { .. }
            | What::Tick { .. } => self.quarrel(stage, &what),
        }
        Ok(())
    }

    fn chore(&mut self, stage: &Stage, chore: &'static str) {
        let now = self.now(stage);
        let Machine::Up(node) = &mut self.machine else { return };
        let asked = if chore == "flush" { node.flush(now) } else { node.snapshot(now) };
        if let Ok(request) = asked {
            self.chores.insert(request, chore);
        }
    }

    /// A client sends a batch, if there is a node to take it.
    fn ask(&mut self, stage: &mut Stage, number: u32, planned: &[PlannedWrite]) -> Result<(), Failure> {
        let Machine::Up(node) = &self.machine else { return Ok(()) };
        let mut writes = Vec::with_capacity(planned.len());
        for (index, plan) in planned.iter().enumerate() {
            let key = key_of(plan.key);
            let expect = match plan.expect {
                Expect::Any => None,
                Expect::Absent => Some(0),
                Expect::Seen => Some(node.store().get(&key).map_or(0, |entry| entry.version())),
                Expect::Never => Some(IMPOSSIBLE),
            };
            let value = |value, touch| Write::Put { key: key.clone(), value, expect, touch };
            writes.push(match plan.change {
                Change::Put(len) => value(value_of(number, index, len), false),
                Change::Repeat(touch) => value(self.value_to_come(stage, &key).unwrap_or_default(), touch),
                Change::Delete => Write::Delete { key: key.clone(), expect },
            });
        }
        self.send(stage, number, writes)
    }

    /// A client sends these writes as one batch.
    pub(super) fn send(&mut self, stage: &mut Stage, number: u32, writes: Vec<Write>) -> Result<(), Failure> {
        let now = self.now(stage);
        let Machine::Up(node) = &mut self.machine else { return Ok(()) };
        stage.tally.batches += 1;
        match node.write(now, writes.clone()) {
            Ok(request) => {
                self.oracle.asked(stage.now, number, request, writes);
                Ok(())
            }
            Err(error) => {
                stage.note(self.id, format_args!("#{number} refused: {error}"));
                if error.code() == softadastra_core::error::Code::Overloaded {
                    stage.tally.mark(Mark::Overloaded);
                }
                self.told.insert(number, oracle::Told::Failed);
                self.changed = true;
                let bytes = writes.iter().map(oracle::size).sum();
                let longest = self.config.as_ref().map_or(self.knobs.config().max_value_len, |own| own.max_value_len);
                let allowed = !writes.is_empty() && writes.iter().all(|write| is_allowed(write, longest));
                let (error, oracle, knobs) = (&error, &self.oracle, &self.knobs);
                stage.see(self.id, &Moment::Refused { error, node, bytes, allowed, oracle, knobs })
            }
        }
    }
}

fn is_allowed(write: &Write, longest_value: usize) -> bool {
    let value = match write {
        Write::Put { value, .. } => value.len(),
        Write::Delete { .. } => 0,
    };
    (1..=MAX_KEY_LEN).contains(&write.key().len()) && value <= longest_value
}

/// The key of a number.
#[must_use]
pub(super) fn key_of(number: u16) -> Bytes {
    format!("k{number}").into()
}

/// The value that a batch writes in one place: its own, so that a read tells who wrote it.
pub(super) fn value_of(number: u32, index: usize, len: u32) -> Bytes {
    let mut value = Vec::with_capacity(len as usize + 8);
    let mut word = 0;
    while value.len() < len as usize {
        value.extend_from_slice(&chance::mix(u64::from(number), index as u64, word).to_le_bytes());
        word += 1;
    }
    value.truncate(len as usize);
    value.into()
}
