//! What a running log starts from.

use alloc::vec::Vec;

use crate::dice::Dice;
use crate::disk::{FileId, IoToken};
use crate::ids::Lsn;

use super::Settings;
use super::format::SegmentHeader;

/// Everything a running log must know about a directory that was scanned and made ready.
///
/// What the one who makes it ready owes: the active segment is open, unsealed, all zero from `end` on, and it and its
/// directory entry were *synced after it was read* (a process that was killed leaves readable frames that no power
/// failure would have spared).
#[derive(Clone, Debug)]
pub struct Resume {
    /// How to go on.
    pub settings: Settings,
    /// Header of the active segment; names the log, too.
    pub active: SegmentHeader,
    /// The open active segment.
    pub file: FileId,
    /// Where its next frame goes, in bytes from its beginning.
    pub end: u64,
    /// The LSN of the next record.
    pub next_lsn: Lsn,
    /// The greatest durable LSN that a frame on disk states. Below `next_lsn - 1`, a mark will be written.
    pub stated_durable: Lsn,
    /// The sealed segments before the active one, by rising number.
    pub older: Vec<OlderSegment>,
    /// The present snapshot.
    pub snapshot: Option<SnapshotFile>,
    /// Bytes of all frames that hold a record beyond the snapshot's LSN.
    pub tail_bytes: u64,
    /// For salts of new segments.
    pub dice: Dice,
    /// The first token not used on this disk yet.
    pub next_token: IoToken,
    /// The first file id not used on this disk yet.
    pub next_file: FileId,
}

/// One sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderSegment {
    /// Its number.
    pub number: u64,
    /// LSN of its first record.
    pub first_lsn: Lsn,
    /// Where its seal frame ends, in bytes from its beginning.
    pub end: u64,
    /// Length of the file in bytes.
    pub len: u64,
}

/// One snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// It holds everything up to here.
    pub at: Lsn,
    /// Length of the file in bytes.
    pub bytes: u64,
}
