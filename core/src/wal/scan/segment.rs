//! Walks the frames of one segment. A pure function over its bytes.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::verdict::{Verdict, judge, own_len, written_len};
use crate::codec::{DecodeError, Fault};
use crate::ids::Lsn;
use crate::wal::format::{Frame, FrameKind, FrameSalt, SEGMENT_HEADER_LEN};

/// One segment and what is known of it from elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    /// The whole file.
    pub(super) bytes: &'a Bytes,
    /// The life of the file, from its header.
    pub(super) salt: FrameSalt,
    /// Behind its frames stands what an earlier life left, not zeros.
    pub(super) recycled: bool,
    /// LSN of its first record.
    pub(super) first_lsn: Lsn,
    /// Segments of higher numbers are there.
    pub(super) has_follower: bool,
    /// The greatest LSN that other files state to have been durable.
    pub(super) promised: Lsn,
    /// Visit frames behind damage, too.
    pub(super) salvage: bool,
}

/// What one segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Whole frames.
    pub(super) frames: u64,
    /// Records in them.
    pub(super) records: u64,
    /// LSN after the last of them.
    pub(super) next_lsn: Lsn,
    /// Where the last whole frame ends.
    pub(super) end: usize,
    /// A seal frame ends the segment.
    pub(super) sealed: bool,
    /// The last frame was written by a clean close.
    pub(super) closed: bool,
    /// The greatest LSN that a frame states to have been durable.
    pub(super) durable_seen: Lsn,
    /// Where the frames begin that no later frame states to be durable.
    pub(super) unproven_from: Option<usize>,
    /// What is wrong.
    pub(super) flaws: Vec<Flaw>,
    /// Where a tail begins that nobody was promised, and its length.
    pub(super) torn: Option<(usize, usize)>,
    /// What a newer version wrote.
    pub(super) too_new: Option<String>,
}

impl Walked {
    /// Nothing stands there, whole or broken.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.frames == 0 && self.torn.is_none() && self.flaws.is_empty()
    }
}

/// One damaged spot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Where.
    pub(super) offset: usize,
    /// The first record that may be lost.
    pub(super) first_lsn: Lsn,
    /// The last record that may be lost, when a frame behind it tells.
    pub(super) last_lsn: Option<Lsn>,
    /// What is wrong.
    pub(super) what: String,
}

/// Reads and takes in the frames of a segment.
pub(super) trait Frames {
    /// What [`decode_frame`] reads at an offset.
    fn read(&mut self, at: usize) -> Result<Frame, DecodeError>;

    /// Takes in the whole frame that was read last.
    fn visit(&mut self, frame: &Frame) -> Result<(), DecodeError>;
}

/// Walks all frames in order and shows the whole ones to `frames`. What it cannot understand becomes a flaw, or the work of a
/// newer version.
pub(super) fn walk(segment: &Segment<'_>, frames: &mut dyn Frames) -> Walked {
    let mut walk = Walk {
        out: Walked { next_lsn: segment.first_lsn, end: SEGMENT_HEADER_LEN, ..Walked::default() },
        unproven: VecDeque::new(),
    };
    let written = (!segment.recycled).then(|| written_len(segment.bytes));
    let mut at = SEGMENT_HEADER_LEN;
    while !walk.out.sealed && walk.out.too_new.is_none() {
        let fault = match frames.read(at) {
            Ok(frame) if frame.first_lsn == walk.out.next_lsn => {
                let wanted = segment.salvage || walk.out.flaws.is_empty();
                if let Err(error) = if wanted { frames.visit(&frame) } else { Ok(()) } {
                    walk.not_understood(at, &frame, error);
                }
                walk.pass(at, &frame);
                at += frame.encoded_len;
                continue;
            }
            Ok(frame) => format!("a frame of LSN {} stands where LSN {} belongs", frame.first_lsn, walk.out.next_lsn),
            Err(error) => format!("{error}"),
        };
        let written = written.unwrap_or_else(|| own_len(segment.bytes, at, segment.salt));
        if written <= at {
            break;
        }
        match walk.judge(segment, at, written, &fault) {
            Some(resume) => at = resume,
            None => break,
        }
    }
    walk.end(segment)
}

struct Walk {
    out: Walked,
    /// Offset and last LSN of frames not yet stated to be durable.
    unproven: VecDeque<(usize, Lsn)>,
}

impl Walk {
    fn pass(&mut self, at: usize, frame: &Frame) {
        self.out.frames += 1;
        self.out.records += u64::from(frame.count);
        self.out.next_lsn = frame.next_lsn();
        self.out.end = at + frame.encoded_len;
        self.out.sealed = frame.kind == FrameKind::Seal;
        // A seal right behind a closing frame is that of a start, which writes nothing of its own.
        self.out.closed = frame.kind == FrameKind::Close || (frame.kind == FrameKind::Seal && self.out.closed);
        self.out.durable_seen = self.out.durable_seen.max(frame.durable);
        while self.unproven.front().is_some_and(|&(_, last)| last <= self.out.durable_seen) {
            self.unproven.pop_front();
        }
        // Nothing states the last frame to be durable, even one without records.
        self.unproven.push_back((at, Lsn(frame.next_lsn().0.saturating_sub(1))));
    }

    fn not_understood(&mut self, at: usize, frame: &Frame, error: DecodeError) {
        if error.fault == Fault::FromTheFuture {
            self.out.too_new = Some(format!("offset {at}: {error}"));
        } else {
            self.out.flaws.push(Flaw {
                offset: at,
                first_lsn: frame.first_lsn,
                last_lsn: Some(Lsn(frame.next_lsn().0.saturating_sub(1))),
                what: format!("the checksum holds, but {error}"),
            });
        }
    }

    /// Notes what the bad spot is, and says where to go on.
    fn judge(&mut self, segment: &Segment<'_>, at: usize, written: usize, fault: &str) -> Option<usize> {
        let lost = self.out.next_lsn;
        match judge(segment.bytes, at, segment.salt, lost, segment.has_follower, segment.promised) {
            Verdict::Torn => {
                self.out.torn = Some((at, written - at));
                self.out.closed = false;
                None
            }
            Verdict::TooNew => {
                self.out.too_new = Some(format!("a frame at offset {at} or behind"));
                None
            }
            Verdict::Damaged { proof, resume } => {
                self.out.closed = false;
                self.out.flaws.push(Flaw {
                    offset: at,
                    first_lsn: lost,
                    last_lsn: resume.map(|(_, first)| Lsn(first.0.saturating_sub(1))),
                    what: format!("{fault}; {proof}"),
                });
                let (offset, first_lsn) = resume?;
                self.out.next_lsn = first_lsn;
                Some(offset)
            }
        }
    }

    fn end(mut self, segment: &Segment<'_>) -> Walked {
        let out = &mut self.out;
        let open_ended = out.flaws.last().is_some_and(|flaw| flaw.last_lsn.is_none());
        if !open_ended && out.too_new.is_none() {
            let what = if segment.has_follower && !out.sealed {
                Some(String::from("no seal ends the segment, although later segments follow"))
            } else if !segment.has_follower && segment.promised >= out.next_lsn {
                Some(format!("the log ends here, although the snapshot says that LSN {} was durable", segment.promised))
            } else {
                None
            };
            if let Some(what) = what {
                let flaw = Flaw { offset: out.end, first_lsn: out.next_lsn, last_lsn: None, what };
                out.flaws.push(flaw);
            }
        }
        out.unproven_from = self.unproven.front().map(|&(at, _)| at);
        self.out
    }
}
