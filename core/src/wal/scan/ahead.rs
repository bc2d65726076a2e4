//! Frames and blocks worked out before the walk comes to them.
//!
//! To check a frame, to read its records and to hash them needs nothing but its bytes. So pieces of a segment are given to a
//! [`Crew`], which may work them out on other processors while the records before them are replayed. The walk takes what
//! comes of it where it fits, and else does the same by itself: nothing depends on a crew but how long it takes. The same
//! goes for the parts of a snapshot.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::ids::{Lsn, ReplicaId};
use crate::op::Hashes;
use crate::wal::format::{Frame, FrameSalt, Record, Records, decode_frame, passed_by};

mod parts;

pub use parts::{BlockMaker, Foreseen};
pub(super) use parts::{Checked, PartsAhead};

/// Bytes that are worked out as one piece, at least.
const PIECE: usize = if cfg!(test) { 256 } else { 128 << 10 };

/// The most pieces that are waited for.
const AHEAD: usize = if cfg!(test) { 3 } else { 8 };

/// Works pieces out, each by [`Piece::work`], anywhere and in any order.
pub trait Crew: fmt::Debug + Send {
    /// Takes in a piece.
    fn begin(&mut self, piece: Piece);

    /// What came of the oldest piece that was taken in and not handed out; waits for it. `None` when it cannot be had.
    fn end(&mut self) -> Option<Worked>;
}

/// Some frames of a segment, or some parts of a snapshot, one behind the other.
#[derive(Debug)]
pub struct Piece(Work);

#[derive(Debug)]
enum Work {
    Frames(Stretch),
    Parts(parts::Stretch),
}

/// Some frames of a segment.
#[derive(Debug)]
struct Stretch {
    bytes: Bytes,
    /// Where they begin in the segment.
    offset: usize,
    salt: FrameSalt,
    own: Option<ReplicaId>,
}

/// What came of a piece.
#[derive(Debug)]
pub struct Worked(Outcome);

#[derive(Debug)]
enum Outcome {
    Frames(VecDeque<Prepared>),
    Parts(VecDeque<Checked>),
}

/// A frame whose records were read.
#[derive(Debug)]
pub(super) struct Prepared {
    offset: usize,
    pub(super) frame: Frame,
    /// The replica named by the latest birth before it.
    pub(super) own: Option<ReplicaId>,
    pub(super) records: Vec<(Record, Option<Hashes>)>,
}

impl Piece {
    /// Works it out, as far as its frames are whole and understood.
    #[must_use]
    pub fn work(self) -> Worked {
        Worked(match self.0 {
            Work::Frames(stretch) => Outcome::Frames(stretch.work()),
            Work::Parts(stretch) => Outcome::Parts(stretch.work()),
        })
    }
}

impl Stretch {
    fn work(self) -> VecDeque<Prepared> {
        let Self { bytes, offset, salt, mut own } = self;
        // A copy: what shares memory is counted, and processors that count at one place wait for each other.
        let bytes = Bytes::copy_from_slice(&bytes);
        let mut frames = VecDeque::new();
        let mut at = 0;
        while let Ok(frame) = decode_frame(&bytes, at, salt) {
            let before = own;
            let Ok(records) = read(&frame, &mut own) else { break };
            at += frame.encoded_len;
            frames.push_back(Prepared { offset: offset + at - frame.encoded_len, frame, own: before, records });
        }
        frames
    }
}

fn read(frame: &Frame, own: &mut Option<ReplicaId>) -> Result<Vec<(Record, Option<Hashes>)>, DecodeError> {
    let mut records = Records::of(frame);
    // A count from bytes whose checksum holds; still, no more than there is room for.
    let mut all = Vec::with_capacity((frame.count as usize).min(frame.records.len() / 5));
    while let Some((_, record)) = records.next(*own)? {
        let hashes = match &record {
            Record::Own(op) | Record::Foreign(op) => Some(op.hashes()),
            Record::Birth { replica, .. } => {
                *own = Some(*replica);
                None
            }
            Record::Sync(_) => None,
        };
        all.push((record, hashes));
    }
    Ok(all)
}

/// A crew with pieces of one file.
#[derive(Debug)]
struct Lent<'a> {
    /// `None` too once it has left.
    crew: &'a mut Option<Box<dyn Crew>>,
    /// Pieces that are waited for.
    out: usize,
}

impl<'a> Lent<'a> {
    fn to(crew: &'a mut Option<Box<dyn Crew>>) -> Self {
        Self { crew, out: 0 }
    }

    /// Whether it may be given another piece.
    fn has_room(&self) -> bool {
        self.crew.is_some() && self.out < AHEAD
    }

    fn begin(&mut self, work: Work) {
        if let Some(crew) = self.crew.as_mut() {
            crew.begin(Piece(work));
            self.out += 1;
        }
    }

    /// What came of the oldest piece; waits for it. `None` when nothing more is to come.
    fn end(&mut self) -> Option<Outcome> {
        self.out = self.out.checked_sub(1)?;
        let worked = self.crew.as_mut().and_then(|crew| crew.end());
        if worked.is_none() {
            (*self.crew, self.out) = (None, 0);
        }
        worked.map(|Worked(outcome)| outcome)
    }
}

impl Drop for Lent<'_> {
    /// What is with the crew is of this file alone.
    fn drop(&mut self) {
        while self.end().is_some() {}
    }
}

/// One segment, parts of which are with a crew.
#[derive(Debug)]
pub(super) struct Ahead<'a> {
    lent: Lent<'a>,
    /// Where nothing is to be worked out ahead.
    idle: bool,
    bytes: &'a Bytes,
    salt: FrameSalt,
    /// Where the next piece begins.
    next: usize,
    prepared: VecDeque<Prepared>,
}

impl<'a> Ahead<'a> {
    /// Begins at the first frame that reaches beyond `from`. Not worth it for less than a piece.
    pub(super) fn new(
        crew: &'a mut Option<Box<dyn Crew>>,
        wanted: bool,
        bytes: &'a Bytes,
        salt: FrameSalt,
        mut next: usize,
        from: Lsn,
    ) -> Self {
        while let Some((len, _)) = passed_by(bytes, next, salt).filter(|(_, last)| *last <= from) {
            next += len;
        }
        let idle = !wanted || crew.is_none() || piece_end(bytes, next, salt) - next < PIECE;
        Self { lent: Lent::to(crew), idle, bytes, salt, next, prepared: VecDeque::new() }
    }

    /// The frame at an offset, if it was worked out. `own` is the replica named by the latest birth.
    pub(super) fn take(&mut self, offset: usize, own: Option<ReplicaId>) -> Option<Prepared> {
        loop {
            self.begin(own);
            while self.prepared.pop_front_if(|frame| frame.offset < offset).is_some() {}
            if let Some(first) = self.prepared.front() {
                return if first.offset == offset { self.prepared.pop_front() } else { None };
            }
            if let Outcome::Frames(frames) = self.lent.end()? {
                self.prepared.extend(frames);
            }
        }
    }

    fn begin(&mut self, own: Option<ReplicaId>) {
        while !self.idle && self.lent.has_room() {
            let (offset, end) = (self.next, piece_end(self.bytes, self.next, self.salt));
            if offset == end {
                return;
            }
            let stretch = Stretch { bytes: self.bytes.slice(offset..end), offset, salt: self.salt, own };
            self.lent.begin(Work::Frames(stretch));
            self.next = end;
        }
    }
}

/// Where a piece that begins at `offset` ends.
fn piece_end(bytes: &[u8], offset: usize, salt: FrameSalt) -> usize {
    let mut end = offset;
    while end - offset < PIECE
        && let Some((len, _)) = passed_by(bytes, end, salt)
    {
        end += len;
    }
    end
}

#[cfg(test)]
mod tests;
