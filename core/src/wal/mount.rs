//! Makes a scanned directory ready for the next append.
//!
//! ```text
//! a log there   last segment: unproven frames written again, torn tail zeroed, what was cut off filled with zeros
//!               > sync > sync dir > leftovers removed > sync dir > (sealed or recycled: next segment, as below) > Wal
//! nothing there leftovers removed > sync dir > segment zero-filled > header + sync
//!               > (recycled segment before: seal + sync) > rename > sync dir > Wal
//! ```
//!
//! Nothing is appended to a recycled segment that was read, unless there is no room for another: pieces of frames that
//! nobody was promised may stand behind its end, and they have the life of those to come. In other segments they are zeroed;
//! here they could not be told from what is older, so everything behind the end would have to be.
//!
//! Names are synced before anything is removed: after a kill the rename that made a file superfluous may be readable
//! and not durable. A mount that is interrupted anywhere leaves a directory that scans as before.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::dice::Dice;
use crate::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskRequest, DiskResult, FileId, IoToken, Lane};
use crate::error::Error;
use crate::ids::{LogId, Lsn};
use crate::sink::Sink;

use super::files::EMPTY_FRAME;
use super::format::{FileName, FrameBuilder, FrameKind, SEGMENT_HEADER_LEN, SegmentHeader};
use super::roll::next_capacity;
use super::scan::{ScanReport, SegmentReport, Torn};
use super::{OlderSegment, Resume, Settings, SnapshotFile, Wal};

/// What a new log begins with, in case the directory is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Its name, drawn at random.
    pub log: LogId,
    /// The LSN of its first record: 1, except for a log that continues the numbering of another.
    pub first_lsn: Lsn,
}

/// Mounts one scanned directory, one disk operation at a time.
#[derive(Debug)]
pub struct Mount {
    steps: VecDeque<Step>,
    /// The step that is out.
    out: Option<Step>,
    next_token: u64,
    resume: Option<Resume>,
    /// What to go on in if there is no room for a new segment.
    instead: Option<Instead>,
    outcome: Option<Result<Wal, DiskError>>,
}

/// The last segment, recycled and not sealed.
#[derive(Debug)]
struct Instead {
    header: SegmentHeader,
    file: FileId,
    end: u64,
}

#[derive(Debug)]
enum Step {
    Do(DiskOp),
    /// Create the file of the new segment.
    Create(DiskOp),
    /// Fill the new segment with zeros. Without room for them it is born small.
    Fill,
    /// Give a segment that something has cut the length it had. Without room it stays short.
    Refill(DiskOp),
    /// Write and sync the header of the new segment, last of all, so that it never stands before unprepared room.
    Head,
}

impl Mount {
    /// Plans the mount of what `report` found. Nothing is touched before [`Self::start`].
    ///
    /// # Errors
    /// [`ScanReport::refusal`]: the directory is damaged or of a newer version.
    pub fn new(report: ScanReport, settings: Settings, founding: Founding, mut dice: Dice) -> Result<Self, Error> {
        if let Some(error) = report.refusal() {
            return Err(error);
        }
        let ScanReport { segments, snapshot, torn, unproven, leftovers, next_lsn, .. } = report;
        let snapshot = snapshot.map(|snapshot| SnapshotFile { at: snapshot.at, bytes: snapshot.bytes });
        let mut steps: VecDeque<Step> = VecDeque::new();
        let last = segments.last();
        let file = report.next_file;
        let to_be_sealed = last.filter(|last| last.goes_on_in_another());
        if let Some(last) = last {
            steps.push_back(Step::Do(DiskOp::Open { file, name: last.name.clone() }));
            if let Some(unproven) = unproven.filter(|_| !planted!("unproven_not_rewritten")) {
                covered!("unproven_end_written_again");
                let op = DiskOp::Write { file, offset: unproven.offset, data: unproven.bytes, sync: false };
                steps.push_back(Step::Do(op));
            }
            if let Some(torn) = torn.as_ref().filter(|_| to_be_sealed.is_none() && !planted!("torn_tail_left")) {
                steps.extend(cut(file, torn).into_iter().map(Step::Do));
            }
            if let Some(capacity) = last.cut_from().filter(|_| to_be_sealed.is_none()) {
                let len = capacity - last.len;
                steps.push_back(Step::Refill(DiskOp::Zero { file, offset: last.len, len, sync: false }));
            }
            if !planted!("mount_without_sync") {
                steps.push_back(Step::Do(DiskOp::Sync { file }));
                steps.push_back(Step::Do(DiskOp::SyncDir));
            }
        }
        if !leftovers.is_empty() {
            steps.extend(leftovers.into_iter().map(|leftover| Step::Do(DiskOp::Remove { name: leftover.name })));
            steps.push_back(Step::Do(DiskOp::SyncDir));
        }
        let unsealed = last.filter(|last| !last.sealed).and_then(|last| Some((last.header?, file, last.end)));
        let to_be_sealed = to_be_sealed.filter(|_| !planted!("recycled_segment_goes_on")).and(unsealed);
        let mut next_file = FileId(file.0 + 1);
        let (active, file, end) = unsealed.filter(|_| to_be_sealed.is_none()).unwrap_or_else(|| {
            let header = new_segment(last, snapshot, next_lsn, &settings, founding, &mut dice);
            let before = file;
            let file = next_file;
            next_file = FileId(file.0 + 1);
            let [created, fill, head] = preparation(file, header.number);
            steps.extend([created, fill, head]);
            if let Some((sealed, file, offset)) = to_be_sealed {
                covered!("recycled_segment_sealed_at_a_start");
                let seal =
                    FrameBuilder::default().seal(FrameKind::Seal, next_lsn, report.durable_seen, sealed.frame_salt());
                steps.push_back(Step::Do(DiskOp::Write { file, offset, data: Bytes::from(seal), sync: true }));
            }
            steps.extend(naming(header.number));
            if last.is_some() {
                steps.push_back(Step::Do(DiskOp::Close { file: before }));
            }
            (header, file, SEGMENT_HEADER_LEN as u64)
        });
        let instead = to_be_sealed.map(|(header, file, end)| Instead { header, file, end });
        let tail_bytes = segments.iter().map(|segment| segment.tail_bytes).sum();
        let older = segments.iter().filter(|segment| segment.number != active.number).map(older).collect();
        let resume = Resume {
            settings,
            active,
            file,
            end,
            next_lsn: if segments.is_empty() { founding.first_lsn } else { next_lsn },
            stated_durable: report.durable_seen,
            older,
            snapshot,
            tail_bytes,
            dice,
            next_token: report.next_token,
            next_file,
        };
        Ok(Self { steps, out: None, next_token: report.next_token.0, resume: Some(resume), instead, outcome: None })
    }

    /// Begins: pushes the first request.
    pub fn start(&mut self, out: &mut dyn Sink<DiskRequest>) {
        self.next(out);
    }

    /// Takes the completion of the request that is out, and pushes the next one unless the mount is over.
    ///
    /// # Panics
    /// When `token` is not that of the request that is out.
    pub fn handle_completion(&mut self, token: IoToken, result: DiskResult, out: &mut dyn Sink<DiskRequest>) {
        let step = self.out.take().filter(|_| token.0 + 1 == self.next_token);
        let step = step.expect("one operation is out at a time");
        match (step, result) {
            (step @ (Step::Create(_) | Step::Fill | Step::Head), Err(error))
                if error.kind == DiskErrorKind::NoSpace && self.instead.is_some() =>
            {
                self.go_on_in_the_last(matches!(step, Step::Create(_)));
                self.next(out);
            }
            (Step::Fill, Err(error)) if error.kind == DiskErrorKind::NoSpace => {
                if let Some(resume) = &mut self.resume {
                    covered!("first_segment_without_room");
                    resume.active.capacity = SEGMENT_HEADER_LEN as u64;
                }
                self.next(out);
            }
            (Step::Refill(_), Err(error)) if error.kind == DiskErrorKind::NoSpace => {
                covered!("cut_segment_not_filled_up");
                self.next(out);
            }
            (_, Err(error)) => {
                self.steps.clear();
                self.outcome = Some(Err(error));
            }
            (_, Ok(Completion::Done | Completion::Opened { .. } | Completion::Data(_) | Completion::Listing(_))) => {
                self.next(out);
            }
        }
    }

    /// There is no room for a segment behind the recycled one: everything behind its end is zeroed, whatever stands there, and
    /// appended to.
    fn go_on_in_the_last(&mut self, nothing_created: bool) {
        let (Some(Instead { header, file, end }), Some(resume)) = (self.instead.take(), &mut self.resume) else {
            return;
        };
        covered!("recycled_segment_goes_on_without_room");
        self.steps.clear();
        if !nothing_created {
            let name = FileName::Spare(resume.active.number).to_name();
            let gone = [DiskOp::Close { file: resume.file }, DiskOp::Remove { name }, DiskOp::SyncDir];
            self.steps.extend(gone.map(Step::Do));
        }
        if let Some(len @ 1..) = header.capacity.checked_sub(end) {
            self.steps.push_back(Step::Do(DiskOp::Zero { file, offset: end, len, sync: true }));
        }
        resume.older.pop();
        (resume.active, resume.file, resume.end) = (header, file, end);
    }

    /// The running log, once; `None` while the mount is going on or after it was taken.
    ///
    /// # Errors
    /// [`DiskError`] when an operation failed. What the directory holds is still whole; scan it anew.
    pub fn take_outcome(&mut self) -> Option<Result<Wal, DiskError>> {
        self.outcome.take()
    }

    fn next(&mut self, out: &mut dyn Sink<DiskRequest>) {
        let Some(step) = self.steps.pop_front() else {
            let resume = self.resume.take().map(|resume| Resume { next_token: IoToken(self.next_token), ..resume });
            self.outcome = resume.map(|resume| Ok(Wal::resume(resume)));
            return;
        };
        let Some(resume) = &self.resume else { return };
        let (file, active) = (resume.file, &resume.active);
        let op = match &step {
            Step::Do(op) | Step::Create(op) | Step::Refill(op) => op.clone(),
            Step::Fill => DiskOp::Zero { file, offset: 0, len: active.capacity, sync: true },
            Step::Head => DiskOp::Write { file, offset: 0, data: Bytes::copy_from_slice(&active.encode()), sync: true },
        };
        self.out = Some(step);
        let token = IoToken(self.next_token);
        self.next_token += 1;
        out.push(DiskRequest { token, lane: Lane::Commit, op });
    }
}

/// The header of the first segment of a log, or of the one after a sealed `last`.
fn new_segment(
    last: Option<&SegmentReport>,
    snapshot: Option<SnapshotFile>,
    next_lsn: Lsn,
    settings: &Settings,
    founding: Founding,
    dice: &mut Dice,
) -> SegmentHeader {
    let salt = dice.next_u64() as u32;
    let least = SEGMENT_HEADER_LEN as u64;
    match last.and_then(|last| Some((last, last.header?))) {
        Some((last, header)) => SegmentHeader {
            log: header.log,
            number: last.number.saturating_add(1),
            first_lsn: next_lsn,
            // One that is not full makes way for a small one, so that an opening need not wait for many zeros.
            capacity: if last.sealed {
                next_capacity(settings, header.capacity, snapshot)
            } else {
                settings.first_segment
            }
            .max(least),
            salt,
            recycled: false,
        },
        None => SegmentHeader {
            log: founding.log,
            number: 1,
            first_lsn: founding.first_lsn,
            capacity: settings.first_segment.max(least),
            salt,
            recycled: false,
        },
    }
}

/// Zeroes a torn tail in two steps, so that a sync that fails never makes the tail invisible to the next scan while the
/// disk still has it: that scan would take the room for clean, and a power failure would bring back old frames behind
/// new ones. Until all between them is durably zero, the first and the last byte of the tail stand as they are; alone
/// they can be no frame.
fn cut(file: FileId, torn: &Torn) -> Vec<DiskOp> {
    let Torn { offset, bytes, .. } = *torn;
    let all = DiskOp::Zero { file, offset, len: bytes, sync: true };
    match bytes.checked_sub(2) {
        Some(inside @ 1..) => alloc::vec![DiskOp::Zero { file, offset: offset + 1, len: inside, sync: true }, all],
        Some(0) | None => alloc::vec![all],
    }
}

fn preparation(file: FileId, number: u64) -> [Step; 3] {
    [Step::Create(DiskOp::Create { file, name: FileName::Spare(number).to_name() }), Step::Fill, Step::Head]
}

fn naming(number: u64) -> [Step; 2] {
    let (from, to) = (FileName::Spare(number).to_name(), FileName::Segment(number).to_name());
    [Step::Do(DiskOp::Rename { from, to }), Step::Do(DiskOp::SyncDir)]
}

fn older(segment: &SegmentReport) -> OlderSegment {
    let end = if segment.goes_on_in_another() { segment.end + EMPTY_FRAME } else { segment.end };
    OlderSegment { number: segment.number, first_lsn: segment.first_lsn, end, len: segment.len.max(end) }
}

#[cfg(test)]
mod tests;
