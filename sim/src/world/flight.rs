//! Disk operations on their way: when they begin, are settled, and are reported.

use std::fmt;

use softadastra_core::disk::{DiskErrorKind, DiskOp, DiskRequest, DiskResult, FileId, IoToken};
use softadastra_core::ids::Lsn;
use softadastra_core::node::Input;
use softadastra_core::wal::format::{FileName, Frame, FrameKind};

use super::host::{Host, Machine};
use super::{Kind, Stage};
use crate::chance;
use crate::disk::{Harm, syncs_after};
use crate::judges::{Failure, Moment};
use crate::logview;
use crate::tally::Mark;

/// One operation that was asked for and not yet reported.
pub(super) struct Flight {
    pub(super) request: DiskRequest,
    pub(super) begun: bool,
    result: Option<DiskResult>,
    /// Up to where the frame that it writes and syncs says that the log is durable, if it writes one.
    states: Option<Lsn>,
}

impl Host {
    pub(super) fn ask_disk(&mut self, stage: &mut Stage, request: DiskRequest) {
        let token = request.token;
        let op = &request.op;
        let file = file_of(op);
        let free = file.and_then(|file| self.busy.get(&file).copied()).unwrap_or(0).max(stage.now);
        let pace = stage.pace;
        let most = match op {
            DiskOp::Write { .. } | DiskOp::Zero { .. } | DiskOp::Read { .. } => pace.io,
            DiskOp::Sync { .. } => pace.sync,
            DiskOp::SyncDir => pace.dirs,
            DiskOp::List
            | DiskOp::Create { .. }
            | DiskOp::Open { .. }
            | DiskOp::Close { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Remove { .. } => pace.names,
        };
        let name = u64::from(self.life) << 32 | token.0;
        let delay = |most: u64, what: u64| {
            let least = most / 10 + 1;
            least + chance::below(chance::mix(pace.salt, name, what), most.saturating_sub(least) + 1)
        };
        let begin = free + self.stall + delay(most, 0);
        stage.schedule(begin - stage.now, self.id, Some(self.life), Kind::Begin(token));
        if let Some(file) = file {
            let settled = begin + if syncs_after(op) { delay(pace.sync, 1) } else { 0 };
            self.busy.insert(file, settled);
        }
        self.flights.insert(token, Flight { request, begun: false, result: None, states: None });
    }

    pub(super) fn begin(&mut self, stage: &mut Stage, token: IoToken) -> Result<(), Failure> {
        if self.effect(stage)? {
            return Ok(());
        }
        let Some(flight) = self.flights.get_mut(&token) else { return Ok(()) };
        flight.begun = true;
        let op = flight.request.op.clone();
        let again = self.writes_what_is_there(&op);
        let frame = if again { None } else { self.look_at_write(stage, &op)? };
        let result = self.disk.begin(&op);
        stage.tally.disk_ops += 1;
        stage.note(self.id, format_args!("disk {} -> {}", describe(&op), word(&result)));
        self.look_at_faults(stage, &result, frame.as_ref(), again);
        if result.is_ok() {
            self.look_at_names(stage, &op);
        }
        let (life, pace) = (self.life, stage.pace);
        let name = u64::from(life) << 32 | token.0;
        if let Some(flight) = self.flights.get_mut(&token) {
            flight.states = frame.map(|frame| frame.durable).filter(|_| syncs_after(&op));
            let synced = syncs_after(&op) && result.is_ok();
            flight.result = Some(result);
            if synced {
                let settled = file_of(&op).and_then(|file| self.busy.get(&file).copied()).unwrap_or(stage.now);
                let least = pace.sync / 10 + 1;
                let most = pace.sync.saturating_sub(least) + 1;
                let delay = least + chance::below(chance::mix(pace.salt, name, 1), most);
                let delay = delay.min(settled.saturating_sub(stage.now).max(1));
                stage.schedule(delay, self.id, Some(life), Kind::Settle(token));
            } else {
                let delay = chance::below(chance::mix(pace.salt, name, 2), pace.report + 1);
                stage.schedule(delay, self.id, Some(life), Kind::Report(token));
            }
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, stage: &mut Stage, token: IoToken) -> Result<(), Failure> {
        if self.effect(stage)? {
            return Ok(());
        }
        let Some(flight) = self.flights.get_mut(&token) else { return Ok(()) };
        let op = flight.request.op.clone();
        let result = self.disk.settle(&op);
        flight.result = Some(result.clone());
        stage.note(self.id, format_args!("disk settled {} -> {}", describe(&op), word(&result)));
        self.look_at_faults(stage, &result, None, false);
        let name = u64::from(self.life) << 32 | token.0;
        let delay = chance::below(chance::mix(stage.pace.salt, name, 2), stage.pace.report + 1);
        stage.schedule(delay, self.id, Some(self.life), Kind::Report(token));
        Ok(())
    }

    pub(super) fn report(&mut self, stage: &mut Stage, token: IoToken) -> Result<(), Failure> {
        if self.effect(stage)? {
            return Ok(());
        }
        let Some(Flight { result: Some(result), states, .. }) = self.flights.remove(&token) else { return Ok(()) };
        let lost = self.damage.misdirected;
        if result.is_ok() && states.is_some_and(|states| lost.is_some_and(|(_, last)| states >= last)) {
            self.damage.followed = true;
        }
        let now = self.now(stage);
        match &mut self.machine {
            Machine::Down => {}
            Machine::Opening(opening) => opening.handle(now, token, result),
            Machine::Up(node) => node.handle(now, Input::Disk { token, result }),
        }
        Ok(())
    }

    /// A mount writes the end of the log once more, so that a sync makes it durable: no news.
    fn writes_what_is_there(&self, op: &DiskOp) -> bool {
        let DiskOp::Write { file, offset, data, .. } = op else { return false };
        let there = self.disk.name_of(*file).and_then(|name| self.disk.file(name));
        there.and_then(|there| there.get(*offset as usize..)).is_some_and(|there| there.starts_with(data))
    }

    /// Reads the frame that a write carries, and remembers its records until they are visible.
    fn look_at_write(&mut self, stage: &mut Stage, op: &DiskOp) -> Result<Option<Frame>, Failure> {
        let DiskOp::Write { file, data, .. } = op else { return Ok(None) };
        let Some(name) = self.disk.name_of(*file) else { return Ok(None) };
        if !matches!(FileName::parse(name), Some(FileName::Segment(_))) {
            return Ok(None);
        }
        let segment = self.disk.file(name).unwrap_or_default();
        let Some(frame) = logview::frame_in(segment, data) else { return Ok(None) };
        // What a start seals is as cleanly closed as it was.
        let seals_what_it_found = frame.kind == FrameKind::Seal && matches!(self.machine, Machine::Opening(_));
        if !seals_what_it_found {
            self.closed = if frame.kind == FrameKind::Close { None } else { Some(false) };
        }
        if frame.kind == FrameKind::Mark {
            stage.tally.mark(Mark::MarkWritten);
        }
        let mut batches = 0;
        match logview::records(&frame, &mut self.own) {
            Ok(records) => {
                for (_, record) in &records {
                    if let softadastra_core::wal::format::Record::Own(op) = record {
                        batches += u32::from(!op.marks.batch_continues);
                    }
                }
                self.enter(stage, &records)?;
                self.unpublished.extend(records);
            }
            Err(what) => stage.see(self.id, &Moment::Nonsense(what))?,
        }
        if batches > 1 {
            stage.tally.mark(Mark::GroupCommit);
        }
        Ok(Some(frame))
    }

    /// A crash comes, and what was asked for may still be carried out.
    pub(super) fn look_at_what_is_on_its_way(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        if stage.witness.is_none() {
            return Ok(());
        }
        let waiting = self.flights.values().filter(|flight| !flight.begun).map(|flight| flight.request.op.clone());
        for op in waiting.collect::<Vec<_>>() {
            if !self.writes_what_is_there(&op) {
                self.look_at_write(stage, &op)?;
            }
        }
        Ok(())
    }

    fn look_at_faults(&mut self, stage: &mut Stage, result: &DiskResult, frame: Option<&Frame>, again: bool) {
        if result.as_ref().is_err_and(|error| error.kind == DiskErrorKind::NoSpace) {
            stage.tally.mark(Mark::DiskFull);
            (self.struck, self.tearable) = (true, true);
        }
        for (kind, harm) in self.disk.take_struck() {
            stage.note(self.id, format_args!("fault struck: {harm:?} on {kind:?}"));
            stage.tally.fault(format!("{} on {kind:?}", harm.name()));
            (self.struck, self.tearable) = (true, true);
            match harm {
                // Answers given before a sync promise less once the sync has failed.
                Harm::DropPages(_) => {
                    self.harshness = crate::oracle::Harshness::Power;
                }
                Harm::Misdirect(_) => {
                    self.damage.any = true;
                    self.strayed = true;
                    self.damage.followed = false;
                    self.damage.life = self.life;
                    let lost = |frame: &Frame| (frame.durable.next(), Lsn(frame.next_lsn().0.saturating_sub(1)));
                    // A mount that writes old frames once more, and elsewhere, may leave no proof of any of them.
                    self.damage.misdirected = if again { Some((Lsn::ZERO, Lsn(u64::MAX))) } else { frame.map(lost) };
                }
                Harm::Error(_) | Harm::Short(..) | Harm::DoneButFailed => {}
            }
        }
    }

    fn look_at_names(&self, stage: &mut Stage, op: &DiskOp) {
        if let DiskOp::Rename { to, .. } = op
            && matches!(FileName::parse(to), Some(FileName::Segment(number)) if number > 1)
        {
            stage.tally.mark(Mark::Roll);
        }
    }
}

/// The file that an operation is queued behind.
pub(super) const fn file_of(op: &DiskOp) -> Option<FileId> {
    match op {
        DiskOp::Create { file, .. }
        | DiskOp::Open { file, .. }
        | DiskOp::Read { file, .. }
        | DiskOp::Write { file, .. }
        | DiskOp::Zero { file, .. }
        | DiskOp::Sync { file }
        | DiskOp::Close { file } => Some(*file),
        DiskOp::List | DiskOp::Rename { .. } | DiskOp::Remove { .. } | DiskOp::SyncDir => None,
    }
}

fn word(result: &DiskResult) -> &str {
    match result {
        Ok(_) => "ok",
        Err(error) => &error.message,
    }
}

/// In words, which are made only for a trace that takes notes.
fn describe(op: &DiskOp) -> impl fmt::Display {
    fmt::from_fn(move |f| match op {
        DiskOp::List => f.write_str("list"),
        DiskOp::Create { file, name } => write!(f, "create {name} as {}", file.0),
        DiskOp::Open { file, name } => write!(f, "open {name} as {}", file.0),
        DiskOp::Read { file, offset, len } => write!(f, "read {}@{offset}+{len}", file.0),
        DiskOp::Write { file, offset, data, sync } => {
            write!(f, "write {}@{offset}+{}{}", file.0, data.len(), if *sync { " and sync" } else { "" })
        }
        DiskOp::Zero { file, offset, len, sync } => {
            write!(f, "zero {}@{offset}+{len}{}", file.0, if *sync { " and sync" } else { "" })
        }
        DiskOp::Sync { file } => write!(f, "sync {}", file.0),
        DiskOp::Close { file } => write!(f, "close {}", file.0),
        DiskOp::Rename { from, to } => write!(f, "rename {from} {to}"),
        DiskOp::Remove { name } => write!(f, "remove {name}"),
        DiskOp::SyncDir => f.write_str("sync directory"),
    })
}
