//! The snapshot part of a scan.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use super::ahead::{Checked, Crew, Foreseen, PartsAhead};
use super::report::{Damage, SnapshotReport};
use super::{Purpose, Replay, Scan, Target};
use crate::codec::{DecodeError, Fault};
use crate::ids::Lsn;
use crate::wal::snapshot::Part;

impl Scan {
    /// Takes the next bytes of a snapshot. Says whether no more of them are wanted.
    pub(super) fn load(&mut self, target: Target, chunk: Bytes, ended: bool, replay: &mut dyn Replay) -> bool {
        self.decoder.push(chunk);
        // Lent to what looks ahead, which does not live as long as this.
        let mut crew = self.crew.take();
        let left = self.take_parts(target, &mut crew, replay);
        self.crew = crew;
        if !left
            && ended
            && let Err(error) = self.decoder.finish()
        {
            self.snapshot_fault(target, self.decoder.offset(), error);
        }
        left
    }

    fn take_parts(&mut self, target: Target, crew: &mut Option<Box<dyn Crew>>, replay: &mut dyn Replay) -> bool {
        let make = if self.feeding() { replay.block_maker() } else { None };
        let mut ahead = PartsAhead::new(crew, make);
        loop {
            let offset = self.decoder.offset();
            let (part, made) = match ahead.take(&self.decoder) {
                Some(Checked { raw, made, .. }) => (self.decoder.take(raw).map(Some), made),
                None => (self.decoder.next_part(), None),
            };
            let problem = match part {
                Ok(Some(part)) => match self.take_part(target, part, made, replay) {
                    Ok(()) => continue,
                    Err(Problem::OtherSnapshot(what)) => {
                        self.snapshot_damaged(target, offset, what);
                        return true;
                    }
                    Err(Problem::NotUnderstood(error)) => error,
                },
                Ok(None) => return false,
                Err(error) => {
                    // What follows may still be good for something.
                    let go_on = self.purpose == Purpose::Salvage && self.decoder.skip_damage();
                    if !go_on {
                        self.snapshot_fault(target, offset, error);
                        return true;
                    }
                    error
                }
            };
            self.snapshot_fault(target, offset, problem);
            if self.purpose == Purpose::Open {
                return true;
            }
        }
    }

    fn take_part(
        &mut self,
        target: Target,
        part: Part,
        made: Option<Foreseen>,
        replay: &mut dyn Replay,
    ) -> Result<(), Problem> {
        let Some(found) = self.snapshot(target).cloned() else { return Ok(()) };
        match part {
            Part::Head { log, at, head } => {
                if at != found.at {
                    return Err(Problem::OtherSnapshot(format!("the name says LSN {}, the content {at}", found.at)));
                }
                if self.report.log.is_some_and(|of_segments| of_segments != log) {
                    return Err(Problem::OtherSnapshot(format!("belongs to another log, {log}")));
                }
                self.report.log = Some(log);
                self.head_seen = true;
                if self.feeding() {
                    self.feed.own = Some(replay.head(at, head)?);
                }
            }
            Part::Block { items, body } => {
                if self.feeding() {
                    match made {
                        Some(made) => replay.foreseen_block(items, body, made)?,
                        None => replay.block(items, body)?,
                    }
                }
            }
            Part::Footer { items, reaches, .. } => {
                self.promised = self.promised.max(reaches);
                self.report.snapshot =
                    Some(SnapshotReport { name: found.name(), at: found.at, reaches, items, bytes: found.len });
                if !self.snapshot_flawed {
                    self.feed.from = found.at;
                }
            }
        }
        Ok(())
    }

    fn snapshot_fault(&mut self, target: Target, offset: u64, error: DecodeError) {
        if error.fault == Fault::FromTheFuture {
            let name = self.name(target);
            self.too_new(&name, format_args!("offset {offset}: {error}"));
        } else {
            self.snapshot_damaged(target, offset, format!("{error}"));
        }
    }

    fn snapshot_damaged(&mut self, target: Target, offset: u64, what: String) {
        self.snapshot_flawed = true;
        let last_lsn = self.snapshot(target).map(|found| found.at);
        self.report.damage.push(Damage { file: self.name(target), offset, first_lsn: Lsn(1), last_lsn, what });
    }
}

/// Why a part was not taken.
enum Problem {
    /// The file is not the snapshot that it should be.
    OtherSnapshot(String),
    /// Its checksum holds, but its content cannot be understood.
    NotUnderstood(DecodeError),
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::NotUnderstood(error)
    }
}
