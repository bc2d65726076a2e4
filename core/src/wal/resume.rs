//! What a running log starts from.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::dice::Dice;
use crate::disk::{FileId, IoToken};
use crate::ids::Lsn;
use crate::time::Instant;

use super::asker::Asker;
use super::commit::Stated;
use super::files::{Active, Files};
use super::format::{FrameBuilder, SegmentHeader};
use super::pool::Pool;
use super::roll::next_capacity;
use super::running::{Life, Wal};
use super::spare::Spare;
use super::sweep::Sweep;
use super::{Progress, Settings};

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

impl Wal {
    /// Goes on where a scanned and mounted directory ends.
    ///
    /// # Panics
    /// When the parts of `from` contradict each other.
    #[must_use]
    pub fn resume(from: Resume) -> Self {
        let last = Lsn(from.next_lsn.0.checked_sub(1).expect("LSNs begin at 1"));
        assert!(from.active.first_lsn <= from.next_lsn, "the active segment does not begin in the future");
        assert!(from.stated_durable <= last, "what is stated to be durable exists");
        assert!(from.snapshot.is_none_or(|snapshot| snapshot.at <= last), "a snapshot does not reach into the future");
        let numbers = from.older.iter().map(|older| older.number).chain([from.active.number]);
        let firsts = from.older.iter().map(|older| older.first_lsn).chain([from.active.first_lsn]);
        assert!(numbers.clone().zip(numbers.skip(1)).all(|(a, b)| a + 1 == b), "segment numbers have no gaps");
        assert!(firsts.clone().zip(firsts.skip(1)).all(|(a, b)| a <= b), "segments are in order");

        let active = Active { header: from.active, file: from.file, end: from.end, durable_end: from.end };
        let capacity = next_capacity(&from.settings, active.header.capacity, from.snapshot);
        let spare = Spare::new(active.header.number + 1, capacity);
        let snapshot_base = 0;
        Self {
            now: Instant::default(),
            asker: Asker::new(from.next_token, from.next_file),
            dice: from.dice,
            files: Files {
                older: VecDeque::from(from.older),
                active,
                snapshot: from.snapshot,
                old_snapshots: Vec::new(),
                pool: Pool::default(),
            },
            progress: Progress { accepted: last, submitted: last, written: last, durable: last },
            gathering: FrameBuilder::default(),
            waiting: None,
            incoming: None,
            buffers: Vec::new(),
            flight: None,
            stated: Stated { written: from.stated_durable, durable: from.stated_durable },
            // Due at the first timeout: what was recovered may have nothing after it that proves it durable.
            mark_at: (from.stated_durable < last).then_some(Instant(0)),
            sync_at: None,
            sync_through: last,
            no_room: None,
            spare,
            logged: from.tail_bytes,
            snapshot_base,
            snapshot_not_before: snapshot_base,
            draft: None,
            sweep: Sweep::default(),
            closing: Vec::new(),
            shedding: None,
            active_closed: false,
            life: Life::Running,
            poison: None,
            settings: from.settings,
        }
    }
}
