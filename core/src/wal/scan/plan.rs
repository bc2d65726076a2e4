//! The order in which files are read, and how segments must join.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use super::ahead::{Ahead, Prepared};
use super::feed::Feed;
use super::files::FoundSegment;
use super::report::{Damage, Leftover, LeftoverKind, SegmentReport, Torn, Unproven};
use super::segment::{Frames, Segment, Walked, walk};
use super::{FoundSnapshot, LOST_REPLICA, Purpose, Replay, Scan, Target};
use crate::codec::{DecodeError, Fault};
use crate::ids::{LogId, Lsn};
use crate::wal::format::{FileName, Frame, FrameSalt, SEGMENT_HEADER_LEN, SegmentHeader, decode_frame};

impl Scan {
    /// What to read after `done`.
    pub(super) fn next_target(&mut self, done: Option<Target>) -> Option<Target> {
        let header = match done {
            None => 0,
            Some(Target::Header(index)) => index + 1,
            Some(Target::Snapshot(index)) => return self.after_snapshot(index),
            Some(Target::Segment(index)) => return self.segment_target(index + 1),
        };
        if header < self.files.segments.len() {
            return Some(Target::Header(header));
        }
        self.report.log = self.commonest_log();
        if self.files.snapshots.is_empty() {
            self.plan(None);
            return self.segment_target(self.base);
        }
        Some(Target::Snapshot(0))
    }

    fn segment_target(&self, index: usize) -> Option<Target> {
        (index < self.files.segments.len()).then_some(Target::Segment(index))
    }

    fn after_snapshot(&mut self, index: usize) -> Option<Target> {
        let salvage = self.purpose == Purpose::Salvage;
        if salvage && !self.head_seen && index + 1 < self.files.snapshots.len() {
            self.decoder = crate::wal::snapshot::Decoder::new();
            return Some(Target::Snapshot(index + 1));
        }
        let at = self.files.snapshots.get(index).map(|found| found.at);
        for (other, found) in self.files.snapshots.iter().enumerate() {
            if other != index {
                let kind = LeftoverKind::OldSnapshot;
                self.report.leftovers.push(Leftover { name: found.name(), len: found.len, kind });
            }
        }
        // What a damaged snapshot lost may still stand in segments that it made superfluous.
        let at = at.filter(|_| !(salvage && self.snapshot_flawed));
        self.promised = self.promised.max(at.unwrap_or_default());
        self.plan(at);
        self.segment_target(self.base)
    }

    /// The log that most segments belong to.
    fn commonest_log(&self) -> Option<LogId> {
        let mut counts: BTreeMap<LogId, usize> = BTreeMap::new();
        for header in self.files.segments.iter().filter_map(FoundSegment::whole_header) {
            *counts.entry(header.log).or_default() += 1;
        }
        counts.into_iter().max_by_key(|&(_, count)| count).map(|(log, _)| log)
    }

    /// Chooses the first segment to read, given the snapshot to go on from.
    fn plan(&mut self, snapshot: Option<Lsn>) {
        if let Some(at) = snapshot {
            let goes_on = |segment: &FoundSegment| {
                segment.whole_header().is_some_and(|header| {
                    header.first_lsn.0 <= at.0.saturating_add(1) && self.report.log.is_none_or(|log| log == header.log)
                })
            };
            self.base = self.files.segments.iter().rposition(goes_on).unwrap_or(0);
            for found in self.files.segments.iter().take(self.base) {
                let kind = LeftoverKind::OldSegment;
                self.report.leftovers.push(Leftover { name: found.name(), len: found.len, kind });
            }
            self.expected = Some(Lsn(at.0.saturating_add(1)));
        }
    }

    pub(super) fn snapshot(&self, target: Target) -> Option<&FoundSnapshot> {
        match target {
            Target::Snapshot(index) => self.files.snapshots.get(index),
            Target::Header(_) | Target::Segment(_) => None,
        }
    }

    /// Walks one segment that was read whole.
    pub(super) fn replay_segment(&mut self, index: usize, bytes: &Bytes, replay: &mut dyn Replay) {
        let Some(found) = self.files.segments.get(index).cloned() else { return };
        let recycled = found.whole_header().is_some_and(|header| header.recycled);
        let Some((salt, first_lsn)) = self.enter(index, &found, bytes) else {
            self.expected = None;
            return;
        };
        let has_follower = index + 1 < self.files.segments.len();
        let salvage = self.purpose == Purpose::Salvage;
        let segment = Segment { bytes, salt, recycled, first_lsn, has_follower, promised: self.promised, salvage };
        let feeding = self.feeding();
        let from = self.feed.from;
        let ahead = Ahead::new(&mut self.crew, feeding, bytes, salt, SEGMENT_HEADER_LEN, from);
        let feed = &mut self.feed;
        let mut frames = Feeding { segment: &segment, feeding, feed, replay, ahead, prepared: None, tail_bytes: 0 };
        let walked = walk(&segment, &mut frames);
        let tail_bytes = frames.tail_bytes;
        drop(frames);
        self.report.segments.push(SegmentReport {
            number: found.number,
            name: found.name(),
            len: found.len,
            header: found.whole_header().copied(),
            first_lsn,
            next_lsn: walked.next_lsn,
            frames: walked.frames,
            records: walked.records,
            tail_bytes,
            sealed: walked.sealed,
            end: walked.end as u64,
        });
        self.note(index, &found, bytes, walked);
    }

    /// Takes over what the walk found.
    fn note(&mut self, index: usize, found: &FoundSegment, bytes: &Bytes, walked: Walked) {
        let name = found.name();
        self.report.next_lsn = walked.next_lsn;
        self.report.durable_seen = self.report.durable_seen.max(walked.durable_seen);
        self.report.closed_cleanly = walked.closed || (walked.is_empty() && self.report.closed_cleanly);
        self.expected = Some(walked.next_lsn);
        for flaw in walked.flaws {
            if flaw.last_lsn.is_none() {
                self.expected = None;
            }
            let last_lsn = flaw.last_lsn.or_else(|| self.before_follower(index));
            let offset = flaw.offset as u64;
            self.report.damage.push(Damage {
                file: name.clone(),
                offset,
                first_lsn: flaw.first_lsn,
                last_lsn,
                what: flaw.what,
            });
        }
        if let Some(what) = walked.too_new {
            self.expected = None;
            self.too_new(&name, what);
        }
        if let Some((offset, bytes)) = walked.torn {
            let (offset, bytes) = (offset as u64, bytes as u64);
            self.report.torn = Some(Torn { file: name.clone(), offset, bytes, first_lsn: walked.next_lsn });
        }
        if index + 1 == self.files.segments.len()
            && let Some(from) = walked.unproven_from
        {
            // Frames reach no further than the bytes do.
            let bytes = bytes.slice(from..walked.end);
            self.report.unproven = Some(Unproven { file: name, offset: from as u64, bytes });
        }
    }

    /// Checks that a segment is the one that must come here. Gives its salt and first LSN; `None` when its frames
    /// cannot be told.
    fn enter(&mut self, index: usize, found: &FoundSegment, bytes: &Bytes) -> Option<(FrameSalt, Lsn)> {
        let before = index.checked_sub(1).filter(|_| index > self.base);
        let before = before.and_then(|before| self.files.segments.get(before)).map(|before| before.number);
        let joins = match before {
            Some(before) => before.checked_add(1) == Some(found.number),
            // Beside a snapshot the first segment is judged by its LSN alone.
            None => self.expected.is_some() || found.number == 1,
        };
        if !joins {
            let missing = before.map_or(1, |before| before.saturating_add(1));
            let last_lsn = found.whole_header().map(|header| Lsn(header.first_lsn.0.saturating_sub(1)));
            let first_lsn = self.expected.unwrap_or(Lsn(1));
            self.missing(missing, found.number - 1, first_lsn, last_lsn);
            self.expected = None;
        }
        let header = match found.header {
            Some(Ok(header)) => header,
            Some(Err(error)) if error.fault == Fault::FromTheFuture => {
                self.too_new(&found.name(), error);
                return None;
            }
            Some(Err(error)) => {
                self.damaged_header(index, found, format!("{error}"));
                return self.guess(found, bytes);
            }
            None => {
                self.damaged_header(index, found, String::from("the header cannot be read"));
                return self.guess(found, bytes);
            }
        };
        if self.report.log.is_some_and(|log| log != header.log) {
            self.damaged_header(index, found, format!("belongs to another log, {}", header.log));
            return None;
        }
        if header.number != found.number {
            self.damaged_header(index, found, format!("is segment {} under another name", header.number));
            return None;
        }
        let first_lsn = header.first_lsn;
        let continues = match self.expected {
            Some(expected) if before.is_none() => first_lsn <= expected,
            Some(expected) => first_lsn == expected,
            None => true,
        };
        if !continues {
            let expected = self.expected.unwrap_or_default();
            self.report.damage.push(Damage {
                file: found.name(),
                offset: 0,
                first_lsn: expected,
                last_lsn: Some(Lsn(first_lsn.0.saturating_sub(1))),
                what: format!("begins with LSN {first_lsn}, but LSN {expected} comes next"),
            });
        }
        Some((header.frame_salt(), first_lsn))
    }

    fn missing(&mut self, from: u64, to: u64, first_lsn: Lsn, last_lsn: Option<Lsn>) {
        let what = if from == to {
            String::from("the segment is missing")
        } else {
            format!("the segments from this to {} are missing", FileName::Segment(to).to_name())
        };
        let file = FileName::Segment(from).to_name();
        self.report.damage.push(Damage { file, offset: 0, first_lsn, last_lsn, what });
    }

    fn damaged_header(&mut self, index: usize, found: &FoundSegment, what: String) {
        let first_lsn = self.expected.unwrap_or(Lsn(1));
        let last_lsn = self.before_follower(index);
        self.report.damage.push(Damage { file: found.name(), offset: 0, first_lsn, last_lsn, what });
    }

    /// The last LSN that can stand in a segment, when its follower tells.
    fn before_follower(&self, index: usize) -> Option<Lsn> {
        let header = self.files.segments.get(index + 1)?.whole_header()?;
        Some(Lsn(header.first_lsn.0.saturating_sub(1)))
    }

    /// Salvage only: life and first LSN of a segment whose header is damaged.
    fn guess(&self, found: &FoundSegment, bytes: &Bytes) -> Option<(FrameSalt, Lsn)> {
        if self.purpose == Purpose::Open {
            return None;
        }
        let word = |offset: usize| {
            let word = bytes.get(offset..offset + 4).and_then(|word| word.try_into().ok());
            word.map(u32::from_le_bytes)
        };
        let header = SegmentHeader {
            log: self.report.log.unwrap_or(LogId([0; 16])),
            number: found.number,
            first_lsn: Lsn::ZERO,
            capacity: 0,
            salt: word(12)?,
            recycled: false,
        };
        // Every frame names its life, and the first one stands right behind the header.
        let named = FrameSalt(word(SEGMENT_HEADER_LEN + 32).unwrap_or_default());
        let first = |salt| decode_frame(bytes, SEGMENT_HEADER_LEN, salt).ok();
        let (salt, frame) = match first(named) {
            Some(frame) => (named, Some(frame)),
            None => (header.frame_salt(), None),
        };
        let first_lsn = frame.map(|frame| frame.first_lsn).or(self.expected).unwrap_or(Lsn(1));
        Some((salt, first_lsn))
    }

    /// Judges the directory as a whole and hands out the report.
    pub(super) fn finish(&mut self) {
        if let Some(lsn) = self.feed.orphan {
            self.report.damage.push(Damage {
                file: self.report.segments.first().map(|segment| segment.name.clone()).unwrap_or_default(),
                offset: SEGMENT_HEADER_LEN as u64,
                first_lsn: lsn,
                last_lsn: Some(Lsn(lsn.0.saturating_sub(1))),
                what: format!("the birth of the replica is lost; its operations were read as those of {LOST_REPLICA}"),
            });
        }
        let Some(last) = self.files.segments.last().map(|segment| segment.number) else {
            return self.finish_without_segments();
        };
        // A segment is prepared only when the one before it stands durably under its name.
        if let Some(spare) = self.files.spare.filter(|&spare| spare > last.saturating_add(1)) {
            self.missing(last.saturating_add(1), spare - 1, self.report.next_lsn, None);
        }
        self.hand_out();
    }

    fn finish_without_segments(&mut self) {
        let leftovers = &self.files.leftovers;
        let of_kind = |kind| leftovers.iter().any(|leftover| leftover.kind == kind);
        let (draft, kept) = (of_kind(LeftoverKind::Draft), of_kind(LeftoverKind::OldSegment));
        let needs = match (self.files.snapshots.first(), self.files.spare) {
            (Some(snapshot), _) => Some((snapshot.name(), Lsn(snapshot.at.0.saturating_add(1)))),
            (None, Some(spare)) if spare > 1 => Some((FileName::Spare(spare).to_name(), Lsn(1))),
            (None, _) if draft => Some((String::from("a snapshot being written"), Lsn(1))),
            (None, _) if kept => Some((String::from("a segment that a snapshot made superfluous"), Lsn(1))),
            (None, _) => None,
        };
        if let Some((because, first_lsn)) = needs {
            self.report.next_lsn = first_lsn;
            self.report.damage.push(Damage {
                file: FileName::Segment(1).to_name(),
                offset: 0,
                first_lsn,
                last_lsn: None,
                what: format!("no segment is there, but {because} is"),
            });
        }
        self.hand_out();
    }

    fn hand_out(&mut self) {
        let files = core::mem::take(&mut self.files);
        let mut report = core::mem::replace(&mut self.report, super::ScanReport::empty());
        report.leftovers.extend(files.leftovers);
        report.strangers = files.strangers;
        report.durable_seen = report.durable_seen.max(self.promised);
        report.closed_cleanly &= report.damage.is_empty() && report.too_new.is_none();
        report.next_token = crate::disk::IoToken(self.next_token);
        report.next_file = crate::disk::FileId(self.next_file);
        self.outcome = Some(Ok(report));
    }
}

/// Hands the frames of a segment on to the replay.
struct Feeding<'a> {
    segment: &'a Segment<'a>,
    feeding: bool,
    feed: &'a mut Feed,
    replay: &'a mut dyn Replay,
    ahead: Ahead<'a>,
    /// The frame that was read last, if it was prepared.
    prepared: Option<Prepared>,
    /// Bytes of frames that are not in the snapshot.
    tail_bytes: u64,
}

impl Frames for Feeding<'_> {
    fn read(&mut self, at: usize) -> Result<Frame, DecodeError> {
        self.prepared = self.ahead.take(at, self.feed.own);
        match &self.prepared {
            Some(prepared) => Ok(prepared.frame.clone()),
            None => decode_frame(self.segment.bytes, at, self.segment.salt),
        }
    }

    fn visit(&mut self, frame: &Frame) -> Result<(), DecodeError> {
        if frame.next_lsn().0 > self.feed.from.0.saturating_add(1) {
            self.tail_bytes += frame.encoded_len as u64;
        }
        let prepared = self.prepared.take();
        if self.feeding { self.feed.frame(frame, prepared, self.replay) } else { Ok(()) }
    }
}
