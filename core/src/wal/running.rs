//! The running log: its state, its commands, and who takes which completion. What a commit is stands in `commit`, what a
//! roll is in `roll`, what a snapshot is in `snapshotting`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dice::Dice;
use crate::disk::{DiskError, DiskOp, DiskResult, IoToken, Lane};
use crate::ids::Lsn;
use crate::limits::MAX_FRAME_BODY;
use crate::sink::Sink;
use crate::time::Instant;

use super::asker::Asker;
use super::commit::{Stated, Step};
use super::draft::{Draft, closing};
use super::files::Files;
use super::format::{FrameBuilder, Loggable};
use super::roll::Incoming;
use super::spare::Spare;
use super::sweep::Sweep;
use super::{AppendError, Effect, Poison, Progress, Settings, State, Status};

/// A log that accepts records.
#[derive(Debug)]
pub struct Wal {
    /// The latest time heard of.
    pub(super) now: Instant,
    pub(super) settings: Settings,
    pub(super) asker: Asker,
    pub(super) dice: Dice,
    pub(super) files: Files,
    pub(super) progress: Progress,
    /// Records appended since the last frame was closed.
    pub(super) gathering: FrameBuilder,
    /// A closed frame that waits for the next segment.
    pub(super) waiting: Option<FrameBuilder>,
    /// The next segment, from the seal of the present one until it is in place.
    pub(super) incoming: Option<Incoming>,
    /// Memory of frames that were written, for frames to come.
    pub(super) buffers: Vec<Vec<u8>>,
    /// The one operation of the commit path.
    pub(super) flight: Option<(IoToken, Step)>,
    pub(super) stated: Stated,
    pub(super) mark_at: Option<Instant>,
    pub(super) sync_at: Option<Instant>,
    /// Up to here records are to be synced without waiting for the timer.
    pub(super) sync_through: Lsn,
    pub(super) no_room: Option<DiskError>,
    pub(super) spare: Spare,
    /// Bytes of frames written, ever, as this run counts them.
    pub(super) logged: u64,
    /// What `logged` was when the present snapshot began.
    pub(super) snapshot_base: u64,
    /// No snapshot is wanted before `logged` is beyond this.
    pub(super) snapshot_not_before: u64,
    pub(super) draft: Option<(Draft, u64)>,
    pub(super) sweep: Sweep,
    /// Segments being closed.
    pub(super) closing: Vec<(IoToken, String)>,
    /// A kept segment is being removed.
    pub(super) shedding: Option<IoToken>,
    pub(super) active_closed: bool,
    pub(super) life: Life,
    pub(super) poison: Option<Poison>,
}

/// Where a log is between opening and closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Records are accepted.
    Running,
    /// What is gathered is written, then a closing frame.
    Draining,
    /// The files are tidied up and closed.
    Leaving,
    Closed,
}

impl Wal {
    /// Takes in one atomic group: after a crash either all of it is there or nothing. Gives the LSN of its last
    /// record. Nothing reaches the disk before [`Wal::submit`].
    ///
    /// # Errors
    /// [`AppendError`]; nothing was taken in.
    pub fn append<R: Loggable>(&mut self, group: &[R]) -> Result<Lsn, AppendError> {
        if self.poison.is_some() {
            return Err(AppendError::Poisoned);
        }
        if self.life != Life::Running {
            return Err(AppendError::Closing);
        }
        let (count, len) = (self.gathering.count(), self.gathering.body_len());
        for record in group {
            self.gathering.push(record);
        }
        let bytes = self.gathering.body_len() - len;
        let held = len + self.waiting.as_ref().map_or(0, FrameBuilder::body_len);
        // A few records of the node's own may go ahead of a large group.
        let is_alone = held <= self.settings.gather_limit / 1024;
        let limit = if is_alone { MAX_FRAME_BODY } else { self.settings.gather_limit.min(MAX_FRAME_BODY) };
        if held + bytes > limit {
            self.gathering.rewind(count, len);
            return Err(if bytes > MAX_FRAME_BODY { AppendError::TooLarge { bytes } } else { AppendError::Full });
        }
        let accepted = Lsn(self.progress.accepted.0 + u64::from(self.gathering.count() - count));
        self.advance(Progress { accepted, ..self.progress });
        Ok(accepted)
    }

    /// Has everything gathered written as one frame, unless a frame is on its way already. To be called after each
    /// batch of appends, completions and timeouts.
    pub fn submit(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.hear(now);
        self.pump(out);
    }

    /// Takes the outcome of one [`Effect::Disk`]. Does not submit the next frame: that is [`Wal::submit`]'s, so that
    /// whoever is answered by this completion may still join it.
    ///
    /// # Panics
    /// When `token` names no operation of this log that is still to be completed.
    pub fn handle_completion(&mut self, now: Instant, token: IoToken, result: DiskResult, out: &mut dyn Sink<Effect>) {
        self.hear(now);
        self.asker.completed();
        if self.poison.is_some() {
            // Whatever it says, nothing may be built on it any more.
        } else if let Some((_, step)) = self.flight.take_if(|(awaited, _)| *awaited == token) {
            self.step_completed(step, result, out);
        } else if self.spare.awaits(token) {
            let news = self.spare.handle_completion(result, &mut self.asker, out);
            self.reuse_kept(out);
            self.spare_news(news, out);
        } else if let Some((draft, _)) = self.draft.as_mut().filter(|(draft, _)| draft.awaits(token)) {
            let news = draft.handle_completion(result, self.progress.durable, &mut self.asker, out);
            self.draft_news(news, out);
        } else if self.sweep.awaits(token) {
            if let Err((during, error)) = self.sweep.handle_completion(result, &mut self.files, &mut self.asker, out) {
                self.stop(during, error, out);
            }
            self.reuse_kept(out);
        } else if self.shedding.take_if(|awaited| *awaited == token).is_some() {
            // What is not removed now is removed at the next start.
            if let Err(error) = result {
                self.sweep.note_failure(error);
            }
            self.shed(out);
        } else {
            let at = self.closing.iter().position(|(awaited, _)| *awaited == token);
            let (_, name) = self.closing.swap_remove(at.expect("a completion names an operation that was asked for"));
            if let Err(error) = result {
                self.stop(format!("closing {name}"), error, out);
            }
        }
        if self.life != Life::Running {
            self.pump(out);
            self.leave(out);
        }
    }

    /// Does what has come due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.hear(now);
        if self.sync_at.take_if(|at| *at <= now).is_some() {
            self.sync_through = self.progress.accepted;
        }
        self.pump(out);
        if self.mark_at.take_if(|at| *at <= now).is_some() {
            self.mark(out);
        }
    }

    /// When to call [`Wal::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.mark_at.into_iter().chain(self.sync_at).min()
    }

    /// Asks that everything accepted becomes durable as soon as can be; [`Effect::Durable`] tells. Changes something with
    /// [`SyncMode::Every`](super::SyncMode::Every) only.
    pub fn flush(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.hear(now);
        self.sync_through = self.progress.accepted;
        self.pump(out);
    }

    /// How far the log has come.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether an operation of the commit path is on its way: its completion is the time to submit what gathers.
    #[must_use]
    pub const fn is_committing(&self) -> bool {
        self.flight.is_some()
    }

    /// The log as an operator sees it.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = match self.life {
            Life::Closed => State::Closed,
            _ if self.poison.is_some() => State::Poisoned,
            Life::Draining | Life::Leaving => State::Closing,
            Life::Running if self.no_room.is_some() => State::NoRoom,
            Life::Running => State::Open,
        };
        let draft = self.draft.as_ref().map_or(0, |(draft, _)| draft.bytes());
        Status {
            state,
            segments: self.files.segments(),
            bytes: self.files.bytes() + self.spare.zeroed() + draft,
            tail_bytes: self.tail_bytes(),
            snapshot: self.files.snapshot,
            snapshot_running: self.draft.is_some(),
            removal_failed: self.sweep.failed().cloned(),
        }
    }

    /// The failure that stopped the log.
    #[must_use]
    pub const fn poison(&self) -> Option<&Poison> {
        self.poison.as_ref()
    }

    /// Accepts nothing more, writes what is gathered and a closing frame, closes the files; [`Effect::Closed`] tells.
    /// A running snapshot is given up.
    pub fn close(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.hear(now);
        if self.life != Life::Running {
            return;
        }
        self.life = Life::Draining;
        self.sweep.stop();
        if self.poison.is_none() {
            if let Some((draft, _)) = &mut self.draft {
                draft.give_up(closing(), &mut self.asker, out);
            }
            self.pump(out);
        }
        self.leave(out);
    }

    /// The directory is not in its place any more: stops the log, as a failed write does.
    pub fn lose(&mut self, error: DiskError, out: &mut dyn Sink<Effect>) {
        if self.life == Life::Running {
            self.stop("keeping the log in its place".into(), error, out);
        }
    }

    /// Time as the log knows it never goes back.
    pub(super) fn hear(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Moves the cursors; they never go back but where records are refused.
    pub(super) fn advance(&mut self, to: Progress) {
        let from = self.progress;
        assert!(
            from.submitted <= to.submitted && from.written <= to.written && from.durable <= to.durable,
            "the log only goes forward: {from:?} to {to:?}"
        );
        assert!(
            to.accepted >= to.submitted && to.submitted >= to.written && to.written >= to.durable,
            "each cursor is behind the one before: {to:?}"
        );
        self.progress = to;
    }

    /// The first failure: from here on nothing is written.
    pub(super) fn stop(&mut self, during: String, error: DiskError, out: &mut dyn Sink<Effect>) {
        if self.poison.is_some() {
            return;
        }
        let Progress { accepted, submitted, durable, .. } = self.progress;
        let poison = Poison {
            during,
            error: error.clone(),
            doubtful: (durable < submitted).then(|| (durable.next(), submitted)),
            unwritten: (submitted < accepted).then(|| submitted.next()),
        };
        self.poison = Some(poison.clone());
        self.flight = None;
        self.waiting = None;
        self.incoming = None;
        self.gathering = FrameBuilder::default();
        self.buffers = Vec::new();
        self.mark_at = None;
        self.sync_at = None;
        self.sweep.stop();
        out.push(Effect::Poisoned(poison));
        if self.draft.take().is_some() {
            out.push(Effect::SnapshotFailed(error));
        }
    }

    /// The last steps of closing, as soon as nothing is to be written any more.
    fn leave(&mut self, out: &mut dyn Sink<Effect>) {
        if self.poison.is_some() {
            self.life = Life::Leaving;
        } else if self.life == Life::Leaving && !self.active_closed {
            self.spare.discard(&mut self.asker, out);
            self.shed(out);
            if self.asker.is_quiet() {
                self.active_closed = true;
                let (file, name) = (self.files.active.file, self.files.active.name());
                let token = self.asker.ask(Lane::Commit, DiskOp::Close { file }, out);
                self.closing.push((token, name));
            }
            return;
        }
        if self.life == Life::Leaving && self.asker.is_quiet() {
            self.life = Life::Closed;
            out.push(Effect::Closed);
        }
    }
}
