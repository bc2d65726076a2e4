//! Group commit: what gathers while one frame is on its way makes up the next one.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult, Lane};
use crate::ids::Lsn;
use crate::sink::Sink;

use super::files::{EMPTY_FRAME, RESERVE};
use super::format::{FrameBuilder, FrameKind};
use super::running::{Life, Wal};
use super::{Effect, Progress, SyncMode};

/// Memory of a frame larger than this is given back: a rare huge frame must not stay for ever.
const KEEP_BUFFER: usize = 8 << 20;
/// One is being written while another gathers.
const KEEP_BUFFERS: usize = 2;

/// The one operation of the commit path that is on its way.
#[derive(Debug)]
pub(super) enum Step {
    /// A frame is being written.
    Frame(Flight),
    /// What was written is being synced.
    Sync,
    /// The header of the next segment is being written.
    Header,
    /// The next segment gets its name.
    Rename,
    /// Its name is being made durable.
    SyncDir,
}

/// A frame being written.
#[derive(Debug)]
pub(super) struct Flight {
    kind: FrameKind,
    offset: u64,
    /// Bytes of the frame; the data may have zeros behind it.
    len: u64,
    data: Bytes,
    sync: bool,
    /// The last record up to this frame.
    through: Lsn,
    /// The durable LSN it states.
    states: Lsn,
}

/// Which durable LSN the frames on disk state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated {
    /// The last frame written.
    pub(super) written: Lsn,
    /// The last frame that is durable.
    pub(super) durable: Lsn,
}

impl Wal {
    /// Starts the next operation of the commit path, if none is on its way and there is something to do.
    pub(super) fn pump(&mut self, out: &mut dyn Sink<Effect>) {
        let stopped = self.poison.is_some() || matches!(self.life, Life::Leaving | Life::Closed);
        if stopped || self.flight.is_some() {
            return;
        }
        if let Some(frame) = self.next_frame() {
            if self.files.active.has_room(frame.encoded_len() as u64, RESERVE) {
                self.no_room = None;
                let sync = self.settings.sync == SyncMode::Always || self.sync_is_due();
                self.write_frame(FrameKind::Data, frame, sync, out);
            } else {
                covered!("frame_waits_for_a_segment");
                self.waiting = Some(frame);
                self.roll(out);
            }
        } else if self.life == Life::Draining {
            self.write_closing_frame(out);
        }
        if self.flight.is_none() && self.sync_is_due() && self.progress.durable < self.progress.written {
            let token = self.asker.ask(Lane::Commit, DiskOp::Sync { file: self.files.active.file }, out);
            self.flight = Some((token, Step::Sync));
        }
    }

    /// Writes a mark, if nothing else is going on and it is worth one.
    pub(super) fn mark(&mut self, out: &mut dyn Sink<Effect>) {
        let idle = self.flight.is_none() && self.waiting.is_none() && self.gathering.count() == 0;
        let running = self.life == Life::Running && self.poison.is_none();
        if idle && running && self.wants_mark() && self.files.active.has_room(EMPTY_FRAME, RESERVE - EMPTY_FRAME) {
            self.write_frame(FrameKind::Mark, FrameBuilder::default(), true, out);
        }
    }

    /// Writes the closing frame, with nothing undurable before it if there may be no room for it.
    fn write_closing_frame(&mut self, out: &mut dyn Sink<Effect>) {
        if self.files.active.has_room(EMPTY_FRAME, 0) || self.progress.durable == self.progress.written {
            self.write_frame(FrameKind::Close, FrameBuilder::default(), !planted!("close_without_sync"), out);
        } else {
            self.sync_through = self.progress.written;
        }
    }

    /// Hands a frame to the disk.
    pub(super) fn write_frame(&mut self, kind: FrameKind, frame: FrameBuilder, sync: bool, out: &mut dyn Sink<Effect>) {
        assert!(self.flight.is_none(), "one frame is on its way at most");
        let Progress { submitted, durable, .. } = self.progress;
        let through = Lsn(submitted.0 + u64::from(frame.count()));
        let active = &mut self.files.active;
        let durable = if planted!("watermark_never_moves") { Lsn::ZERO } else { durable };
        let mut data = frame.seal(kind, submitted.next(), durable, active.salt());
        let (offset, len) = (active.end, data.len() as u64);
        active.end += len;
        data.resize(data.len() + active.zeros_behind(active.end), 0);
        let data = Bytes::from(data);
        let syncs = sync && !planted!("ack_before_sync");
        let op = DiskOp::Write { file: active.file, offset, data: data.clone(), sync: syncs };
        let token = self.asker.ask(Lane::Commit, op, out);
        self.flight = Some((token, Step::Frame(Flight { kind, offset, len, data, sync, through, states: durable })));
        self.advance(Progress { submitted: through, ..self.progress });
        self.mark_at = None;
    }

    /// Takes the outcome of the operation of the commit path.
    pub(super) fn step_completed(&mut self, step: Step, result: DiskResult, out: &mut dyn Sink<Effect>) {
        if let Err(error) = result
            && !planted!("poison_ignored")
        {
            if self.ends_without_closing_frame(&step, &error) {
                covered!("close_without_room_for_its_frame");
                self.life = Life::Leaving;
                return;
            }
            let name = self.files.active.name();
            let during = match step {
                Step::Frame(flight) => format!("writing {} bytes at {} of {name}", flight.data.len(), flight.offset),
                Step::Sync => format!("syncing {name}"),
                Step::Header | Step::Rename | Step::SyncDir => self.name_roll_step(&step),
            };
            return self.stop(during, error, out);
        }
        match step {
            Step::Frame(flight) => self.frame_completed(flight, out),
            Step::Sync => {
                self.files.active.durable_end = self.files.active.end;
                self.stated.durable = self.stated.written;
                self.became_durable(out);
            }
            Step::Header => self.header_completed(out),
            Step::Rename => self.rename_completed(out),
            Step::SyncDir => self.roll_completed(out),
        }
    }

    /// A closing frame that would have to extend the file, and for which there is no room, is done without: it proves a
    /// clean end, and carries nothing that could be lost.
    fn ends_without_closing_frame(&self, step: &Step, error: &DiskError) -> bool {
        let Step::Frame(Flight { kind: FrameKind::Close, .. }) = step else { return false };
        let Progress { submitted, durable, .. } = self.progress;
        let extends = !self.files.active.has_room(0, 0);
        extends && submitted == durable && error.kind == DiskErrorKind::NoSpace
    }

    fn frame_completed(&mut self, flight: Flight, out: &mut dyn Sink<Effect>) {
        let len = flight.len;
        self.logged += len;
        self.stated.written = flight.states;
        if self.progress.written < flight.through {
            self.advance(Progress { written: flight.through, ..self.progress });
            if self.settings.sync != SyncMode::Always {
                out.push(Effect::Written(flight.through));
            }
        }
        self.recycle(flight.data);
        if flight.sync {
            self.files.active.durable_end = flight.offset + len;
            self.stated.durable = flight.states;
            self.became_durable(out);
        } else if let SyncMode::Every(interval) = self.settings.sync
            && !planted!("sync_timer_forgotten")
        {
            self.sync_at.get_or_insert(self.now + interval);
        }
        match flight.kind {
            FrameKind::Data => self.pace_spare(out),
            FrameKind::Mark => {}
            FrameKind::Seal => self.seal_completed(out),
            FrameKind::Close => self.life = Life::Leaving,
        }
    }

    /// A sync has completed: everything written before it is durable, and nothing was written since.
    fn became_durable(&mut self, out: &mut dyn Sink<Effect>) {
        let written = self.progress.written;
        self.sync_at = None;
        if self.progress.durable < written {
            self.advance(Progress { durable: written, ..self.progress });
            out.push(Effect::Durable(written));
            self.tell_draft(out);
        }
        self.mark_at = self.wants_mark().then(|| self.now + self.settings.mark_after);
    }

    /// Whether something durable is not stated to be so by any durable frame.
    fn wants_mark(&self) -> bool {
        self.stated.durable < self.progress.durable
    }

    fn sync_is_due(&self) -> bool {
        self.progress.durable < self.sync_through
    }

    /// The frame to be written next.
    fn next_frame(&mut self) -> Option<FrameBuilder> {
        self.waiting.take().or_else(|| {
            (self.gathering.count() > 0).then(|| {
                let buffer = self.buffers.pop().unwrap_or_default();
                core::mem::replace(&mut self.gathering, FrameBuilder::reusing(buffer))
            })
        })
    }

    /// Keeps the memory of a written frame, if the disk has let go of it.
    fn recycle(&mut self, data: Bytes) {
        if data.is_unique() && self.buffers.len() < KEEP_BUFFERS {
            let buffer = Vec::from(data);
            if buffer.capacity() <= KEEP_BUFFER {
                self.buffers.push(buffer);
            }
        }
    }
}
