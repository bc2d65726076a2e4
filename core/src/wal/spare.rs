//! The next segment, prepared ahead of need: zero-filled, or a superfluous one that is to be written over.
//!
//! A sync of a small write into zero-filled room needs no change of file metadata and is a third faster than one that
//! grows the file. The filling goes on in the background in small steps, at a pace set by how full the active segment
//! is, so that it never competes with commits for more than a step's length. A segment that is there already has all of
//! that: blocks of its own, and a length that does not change.
//!
//! ```text
//! Absent -> Creating -----------> Filling (one step in flight at a time) -> taken by a roll
//!   |          |                   ^  |
//!   |          +---- no room ------|--+--> Closing -> Removing -> Absent, starved until a roll needs it
//!   +-> Renaming -> Opening -------+
//! ```

use alloc::format;
use alloc::string::String;

use crate::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, IoToken, Lane};
use crate::sink::Sink;

use super::Effect;
use super::asker::Asker;
use super::format::FileName;
use super::pool::Kept;

/// Bytes zeroed at once in the background: about 0.2 ms of a small SSD.
const STEP: u64 = 256 << 10;
/// Bytes zeroed at once while a roll waits.
const URGENT_STEP: u64 = 4 << 20;
/// Zeroed bytes are synced in portions of this, so that no commit's sync has to carry more.
const SYNC_EVERY: u64 = 4 << 20;
/// A roll takes a spare that has at least this much rather than wait for the rest.
const ENOUGH: u64 = 1 << 20;
/// Files grow in whole blocks.
pub(super) const BLOCK: u64 = 4096;

/// The segment being prepared.
#[derive(Debug)]
pub(super) struct Spare {
    number: u64,
    target: u64,
    goal: u64,
    lane: Lane,
    starved: bool,
    /// What it is made of was a segment before.
    recycled: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Absent,
    Renaming { token: IoToken, len: u64 },
    Opening { token: IoToken, file: FileId, len: u64 },
    Creating { token: IoToken, file: FileId },
    Filling { file: FileId, zeroed: u64, unsynced: u64, step: Option<Step> },
    Closing { token: IoToken },
    Removing { token: IoToken },
}

#[derive(Clone, Copy, Debug)]
struct Step {
    token: IoToken,
    len: u64,
    sync: bool,
}

/// A file that can become a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) file: FileId,
    /// Bytes of it.
    pub(super) capacity: u64,
    /// They are those of an earlier segment, not zeros.
    pub(super) recycled: bool,
}

/// What a completion meant for the spare.
#[derive(Debug)]
pub(super) enum SpareNews {
    /// It came closer to being ready, or is gone as was wanted.
    Advanced,
    /// There is no room for it, or no file can be opened for it at present; what there is of it is being removed.
    NoRoom(DiskError),
    /// The disk failed.
    Failed { during: String, error: DiskError },
}

impl Spare {
    /// A spare that will become segment `number` of `target` bytes; nothing is asked for yet.
    pub(super) fn new(number: u64, target: u64) -> Self {
        let target = target.max(BLOCK);
        Self { number, target, goal: 0, lane: Lane::Background, starved: false, recycled: false, stage: Stage::Absent }
    }

    /// Bytes on disk.
    pub(super) const fn zeroed(&self) -> u64 {
        match self.stage {
            Stage::Filling { zeroed, .. } => zeroed,
            Stage::Renaming { len, .. } | Stage::Opening { len, .. } => len,
            Stage::Absent | Stage::Creating { .. } | Stage::Closing { .. } | Stage::Removing { .. } => 0,
        }
    }

    /// Nothing has been begun.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.stage, Stage::Absent)
    }

    /// It is about to be made of a superfluous segment.
    pub(super) const fn is_reused(&self) -> bool {
        matches!(self.stage, Stage::Renaming { .. })
    }

    /// Makes it of a superfluous segment.
    pub(super) fn reuse(&mut self, kept: Kept, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        let op = DiskOp::Rename { from: kept.name().to_name(), to: self.name() };
        let token = asker.ask(self.lane, op, out);
        (self.target, self.starved) = (kept.len, false);
        self.stage = Stage::Renaming { token, len: kept.len };
    }

    /// Keeps ahead of an active segment of which `used` bytes of `capacity` are used: twice as far.
    pub(super) fn pace(&mut self, used: u64, capacity: u64, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        if self.starved {
            return;
        }
        let ahead = u128::from(self.target) * 2 * u128::from(used) / u128::from(capacity.max(1));
        let ahead = u64::try_from(ahead).unwrap_or(u64::MAX);
        let goal = if ahead >= self.target { self.target } else { ahead - ahead % STEP };
        self.goal = self.goal.max(goal);
        self.drive(asker, out);
    }

    /// A roll needs `need` bytes. Gives the open file if that has enough; else hurries, and is to be asked again after the
    /// next news.
    pub(super) fn take(&mut self, need: u64, asker: &mut Asker, out: &mut dyn Sink<Effect>) -> Option<Ready> {
        let wanted = need.next_multiple_of(BLOCK).max(self.target.min(ENOUGH));
        if let Stage::Filling { file, zeroed, step: None, .. } = self.stage
            && zeroed >= wanted
        {
            self.stage = Stage::Absent;
            self.goal = 0;
            return Some(Ready { file, capacity: zeroed, recycled: self.recycled });
        }
        self.lane = Lane::Commit;
        if matches!(self.stage, Stage::Closing { .. } | Stage::Removing { .. }) {
            return None;
        }
        self.goal = self.goal.max(wanted);
        self.starved = false;
        self.drive(asker, out);
        None
    }

    /// Removes what there is, as soon as no step is on its way.
    pub(super) fn discard(&mut self, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        self.goal = 0;
        self.starved = true;
        self.lane = Lane::Background;
        if let Stage::Filling { file, step: None, .. } = self.stage {
            self.close(file, asker, out);
        }
    }

    pub(super) fn awaits(&self, token: IoToken) -> bool {
        let awaited = match &self.stage {
            Stage::Absent => None,
            Stage::Renaming { token, .. }
            | Stage::Opening { token, .. }
            | Stage::Creating { token, .. }
            | Stage::Closing { token }
            | Stage::Removing { token } => Some(*token),
            Stage::Filling { step, .. } => step.map(|step| step.token),
        };
        awaited == Some(token)
    }

    /// Takes the outcome of the operation it waits for.
    pub(super) fn handle_completion(
        &mut self,
        result: DiskResult,
        asker: &mut Asker,
        out: &mut dyn Sink<Effect>,
    ) -> SpareNews {
        let error = result.err();
        let news = match (&mut self.stage, error) {
            (Stage::Renaming { len, .. }, None) => {
                let (file, len) = (asker.new_file(), *len);
                let token = asker.ask(self.lane, DiskOp::Open { file, name: self.name() }, out);
                self.stage = Stage::Opening { token, file, len };
                SpareNews::Advanced
            }
            // Somebody else has removed it: there are other ways to come by a segment.
            (Stage::Renaming { .. }, Some(DiskError { kind: DiskErrorKind::NotFound, .. })) => {
                self.stage = Stage::Absent;
                SpareNews::Advanced
            }
            (Stage::Renaming { .. }, Some(error)) => self.fail("setting up", error),
            (Stage::Opening { file, len, .. }, None) => {
                covered!("segment_written_over");
                self.recycled = true;
                self.stage = Stage::Filling { file: *file, zeroed: *len, unsynced: 0, step: None };
                SpareNews::Advanced
            }
            (Stage::Opening { .. }, Some(error)) => {
                let news = self.fall_short("opening", error);
                if matches!(news, SpareNews::NoRoom(_)) {
                    self.remove(asker, out);
                }
                news
            }
            (Stage::Creating { file, .. }, None) => {
                self.recycled = false;
                self.stage = Stage::Filling { file: *file, zeroed: 0, unsynced: 0, step: None };
                SpareNews::Advanced
            }
            (Stage::Creating { .. }, Some(error)) => {
                self.stage = Stage::Absent;
                self.fall_short("creating", error)
            }
            (Stage::Filling { zeroed, unsynced, step, .. }, None) => {
                let step = step.take().expect("a completion answers a step");
                *zeroed += step.len;
                *unsynced = if step.sync { 0 } else { *unsynced + step.len };
                SpareNews::Advanced
            }
            (Stage::Filling { file, step, .. }, Some(error)) => {
                *step = None;
                let file = *file;
                let news = self.fall_short("zero-filling", error);
                if matches!(news, SpareNews::NoRoom(_)) {
                    self.close(file, asker, out);
                }
                news
            }
            (Stage::Closing { .. }, None) => {
                self.remove(asker, out);
                SpareNews::Advanced
            }
            (Stage::Removing { .. }, None) => {
                self.stage = Stage::Absent;
                SpareNews::Advanced
            }
            // Without knowing that the name is free, no other spare could be made: as bad as a failed write.
            (Stage::Closing { .. }, Some(error)) => self.fail("closing", error),
            (Stage::Removing { .. }, Some(error)) => self.fail("removing", error),
            (Stage::Absent, _) => unreachable!("nothing was asked for"),
        };
        if matches!(news, SpareNews::Advanced) {
            self.drive(asker, out);
        }
        news
    }

    fn drive(&mut self, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        match &mut self.stage {
            Stage::Absent if self.goal > 0 && !self.starved => {
                let file = asker.new_file();
                let token = asker.ask(self.lane, DiskOp::Create { file, name: self.name() }, out);
                self.stage = Stage::Creating { token, file };
            }
            Stage::Filling { file, zeroed, unsynced, step: step @ None } if *zeroed < self.goal => {
                let urgent = self.lane == Lane::Commit;
                let end = if urgent { self.goal } else { self.target };
                let len = if urgent { URGENT_STEP } else { STEP }.min(end - *zeroed);
                // A roll syncs the file together with its header: no need to do it twice when one waits.
                let sync = !urgent && (*unsynced + len >= SYNC_EVERY || *zeroed + len == end);
                let token = asker.ask(self.lane, DiskOp::Zero { file: *file, offset: *zeroed, len, sync }, out);
                *step = Some(Step { token, len, sync });
            }
            Stage::Absent
            | Stage::Renaming { .. }
            | Stage::Opening { .. }
            | Stage::Creating { .. }
            | Stage::Filling { .. }
            | Stage::Closing { .. }
            | Stage::Removing { .. } => {}
        }
    }

    fn remove(&mut self, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        let token = asker.ask(self.lane, DiskOp::Remove { name: self.name() }, out);
        self.stage = Stage::Removing { token };
    }

    fn close(&mut self, file: FileId, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        let token = asker.ask(self.lane, DiskOp::Close { file }, out);
        self.stage = Stage::Closing { token };
    }

    fn fall_short(&mut self, doing: &str, error: DiskError) -> SpareNews {
        if !matches!(error.kind, DiskErrorKind::NoSpace | DiskErrorKind::TooManyFiles) {
            return self.fail(doing, error);
        }
        self.goal = 0;
        self.starved = true;
        self.lane = Lane::Background;
        SpareNews::NoRoom(error)
    }

    fn fail(&self, doing: &str, error: DiskError) -> SpareNews {
        SpareNews::Failed { during: format!("{doing} {}", self.name()), error }
    }

    fn name(&self) -> String {
        FileName::Spare(self.number).to_name()
    }
}
