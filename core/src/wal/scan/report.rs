//! What a scan found.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::disk::{FileId, IoToken};
use crate::error::{Code, Error, LocalState};
use crate::ids::{LogId, Lsn};
use crate::wal::format::{FileName, SegmentHeader};

/// What stands in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanReport {
    /// Which log it is; `None` when no segment and no snapshot is there, or none whose header is whole.
    pub log: Option<LogId>,
    /// The segments that were read, by rising number. Those superfluous beside the snapshot are not among them.
    pub segments: Vec<SegmentReport>,
    /// The snapshot in force.
    pub snapshot: Option<SnapshotReport>,
    /// Acknowledged data that is not there as it was written. Not empty: the directory must not be mounted.
    pub damage: Vec<Damage>,
    /// Bytes at the end of the last segment that nobody was promised.
    pub torn: Option<Torn>,
    /// LSN of the next record to come.
    pub next_lsn: Lsn,
    /// The greatest LSN that a frame or the snapshot states to have been durable; [`Lsn::ZERO`] when none does.
    pub durable_seen: Lsn,
    /// The last frame was written by a clean close.
    pub closed_cleanly: bool,
    /// Frames at the end of the last segment that are whole but that nothing on disk states to be durable.
    pub unproven: Option<Unproven>,
    /// Files of the log that nothing needs any more.
    pub leftovers: Vec<Leftover>,
    /// Files that are not the log's, by name. They are left alone.
    pub strangers: Vec<String>,
    /// What was written by a newer version of this software. Not `None`: the directory must not be mounted.
    pub too_new: Option<String>,
    /// The first token that was not used yet.
    pub next_token: IoToken,
    /// The first file id that was not used yet.
    pub next_file: FileId,
}

impl ScanReport {
    /// Of a directory where nothing is.
    pub(super) const fn empty() -> Self {
        Self {
            log: None,
            segments: Vec::new(),
            snapshot: None,
            damage: Vec::new(),
            torn: None,
            next_lsn: Lsn(1),
            durable_seen: Lsn::ZERO,
            closed_cleanly: false,
            unproven: None,
            leftovers: Vec::new(),
            strangers: Vec::new(),
            too_new: None,
            next_token: IoToken(0),
            next_file: FileId(0),
        }
    }

    /// Why the directory must not be mounted; `None` when it may be.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        if let Some(what) = &self.too_new {
            return Some(Error::new(
                Code::FormatTooNew,
                format!("the log was written by a newer version: {what}"),
                "open it with that version",
            ));
        }
        let first = self.damage.first()?;
        let more = match self.damage.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let error = Error::new(
            Code::WalCorrupt,
            format!("{first}{more}"),
            "look with `softadastra wal verify`, then restore a backup or run `softadastra wal repair`",
        );
        Some(error.with_local(LocalState::Damaged))
    }

    /// Signs of somebody else at work that prove no loss, and cannot exclude one.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let Some(last) = self.segments.last() else { return doubts };
        if let Some(capacity) = last.cut_from() {
            doubts.push(format!(
                "{} has {} bytes and once had {capacity}: something cut it, and what may have stood there is lost",
                last.name, last.len
            ));
        }
        let next = last.number.saturating_add(1);
        let spare = FileName::Spare(next).to_name();
        if last.sealed && !self.leftovers.iter().any(|leftover| leftover.name == spare) {
            doubts.push(format!(
                "{} is full and sealed, and {} is not there: a power failure at that moment leaves it so, or somebody \
                 removed it with what stood in it",
                last.name,
                FileName::Segment(next).to_name()
            ));
        }
        doubts
    }

    /// Bytes of all files of the log that are in force.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.len).sum();
        segments.saturating_add(self.snapshot.as_ref().map_or(0, |snapshot| snapshot.bytes))
    }
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// Its file name.
    pub name: String,
    /// Length of the file in bytes.
    pub len: u64,
    /// Its header; `None` when that is damaged.
    pub header: Option<SegmentHeader>,
    /// LSN of the first record that it may hold.
    pub first_lsn: Lsn,
    /// LSN after its last record.
    pub next_lsn: Lsn,
    /// Whole frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of the frames that hold a record beyond the snapshot.
    pub tail_bytes: u64,
    /// A seal frame ends it.
    pub sealed: bool,
    /// Where its last whole frame ends, in bytes from the beginning.
    pub end: u64,
}

impl SegmentReport {
    /// Whether, as the last one, it has to be sealed before anything is written: it has no seal, and was written over an
    /// older one.
    #[must_use]
    pub fn goes_on_in_another(&self) -> bool {
        !self.sealed && self.header.is_some_and(|header| header.recycled)
    }

    /// The length that the file had from its birth on, if it has less now.
    #[must_use]
    pub fn cut_from(&self) -> Option<u64> {
        self.header.map(|header| header.capacity).filter(|&capacity| self.len < capacity)
    }
}

/// The snapshot in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Its file name.
    pub name: String,
    /// It holds everything up to here.
    pub at: Lsn,
    /// The greatest LSN whose effect is in it.
    pub reaches: Lsn,
    /// Entries.
    pub items: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// Acknowledged data that is not there as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where, in bytes from its beginning.
    pub offset: u64,
    /// The first record that may be lost.
    pub first_lsn: Lsn,
    /// The last record that may be lost; `None` when nothing after the damage says where it ends. The LSN before
    /// `first_lsn` when no record is lost.
    pub last_lsn: Option<Lsn>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.file, self.offset)?;
        match self.last_lsn {
            Some(last) if last < self.first_lsn => f.write_str(", no stored data lost")?,
            Some(last) if last == self.first_lsn => write!(f, ", LSN {last}")?,
            Some(last) => write!(f, ", LSN {} to {last}", self.first_lsn)?,
            None => write!(f, ", LSN {} and after", self.first_lsn)?,
        }
        write!(f, ": {}", self.what)
    }
}

/// A tail that nobody was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file: the last segment.
    pub file: String,
    /// Where the tail begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// Its length, up to its last byte that is not zero; in a recycled segment, up to the last piece of a frame of its life.
    pub bytes: u64,
    /// The record that would have come first.
    pub first_lsn: Lsn,
}

/// Whole frames that only the page cache may hold: after a failed sync a system reads back what never reached the
/// disk, and a second sync claims success. Writing the same bytes again makes sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// The file: the last segment.
    pub file: String,
    /// Where the first such frame begins.
    pub offset: u64,
    /// From there to the end of the last whole frame.
    pub bytes: Bytes,
}

/// A file of the log that nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// What it was.
    pub kind: LeftoverKind,
}

/// What a superfluous file was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftoverKind {
    /// A segment that was being prepared.
    Spare,
    /// A snapshot that was being written.
    Draft,
    /// A segment whose records are all in the snapshot.
    OldSegment,
    /// A snapshot older than the one in force.
    OldSnapshot,
}
