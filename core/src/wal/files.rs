//! Which files make up the log, and which of them are superfluous.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::disk::FileId;
use crate::ids::Lsn;

use super::format::{FRAME_HEADER_LEN, FRAMES_END, FileName, FrameSalt, SegmentHeader};
use super::pool::{Kept, Pool};
use super::{Manifest, ManifestFile, OlderSegment, SnapshotFile};

/// Bytes of a frame without records.
pub(super) const EMPTY_FRAME: u64 = FRAME_HEADER_LEN as u64;

/// Every frame with records leaves room for three without: a mark, a closing frame and a seal.
pub(super) const RESERVE: u64 = 3 * EMPTY_FRAME;

/// The segment that frames are written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) header: SegmentHeader,
    pub(super) file: FileId,
    /// Where the next frame goes.
    pub(super) end: u64,
    /// Up to here everything survives a power failure.
    pub(super) durable_end: u64,
}

impl Active {
    pub(super) fn name(&self) -> String {
        FileName::Segment(self.header.number).to_name()
    }

    pub(super) fn salt(&self) -> FrameSalt {
        self.header.frame_salt()
    }

    /// Whether `len` bytes, and `reserve` more, fit in the room that was zero-filled.
    pub(super) const fn has_room(&self, len: u64, reserve: u64) -> bool {
        self.end + len + reserve <= self.header.capacity
    }

    /// Zeros to be written behind what ends at `end`, so that nothing that stood there before follows it.
    pub(super) const fn zeros_behind(&self, end: u64) -> usize {
        if self.header.recycled && end < self.header.capacity { FRAMES_END } else { 0 }
    }

    fn len_on_disk(&self) -> u64 {
        self.header.capacity.max(self.end)
    }
}

/// The files of a running log, without drafts and spares.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) older: VecDeque<OlderSegment>,
    pub(super) active: Active,
    pub(super) snapshot: Option<SnapshotFile>,
    /// Replaced by `snapshot`, not removed yet.
    pub(super) old_snapshots: Vec<SnapshotFile>,
    /// Superfluous segments that are kept for their room.
    pub(super) pool: Pool,
}

impl Files {
    /// Makes `next` the active segment. The present one must be sealed.
    pub(super) fn roll(&mut self, next: Active) -> Active {
        let old = core::mem::replace(&mut self.active, next);
        assert_eq!(self.active.header.number, old.header.number + 1, "segment numbers have no gaps");
        self.older.push_back(OlderSegment {
            number: old.header.number,
            first_lsn: old.header.first_lsn,
            end: old.end,
            len: old.len_on_disk(),
        });
        old
    }

    /// Puts a new snapshot in place of the present one.
    pub(super) fn install(&mut self, snapshot: SnapshotFile) {
        self.old_snapshots.extend(self.snapshot.replace(snapshot));
    }

    /// The next file that the present snapshot makes superfluous: segments wholly below it from the oldest on, so that
    /// the numbers on disk never have a gap, then older snapshots. Never the active segment.
    pub(super) fn superfluous(&self) -> Option<FileName> {
        let at = self.snapshot?.at;
        if let Some(oldest) = self.older.front()
            && (self.end_of_first() <= at || planted!("segment_removed_too_early"))
        {
            return Some(FileName::Segment(oldest.number));
        }
        self.old_snapshots.first().map(|old| FileName::Snapshot(old.at))
    }

    /// What is to become of a superfluous file: the segment as which it is kept, or nothing if it is to be removed.
    pub(super) fn worth_keeping(&self, superfluous: FileName) -> Option<Kept> {
        let FileName::Segment(number) = superfluous else { return None };
        let len = self.older.front().filter(|oldest| oldest.number == number)?.len;
        self.pool.wants(len).then_some(Kept { number, len })
    }

    /// Forgets a removed file.
    pub(super) fn forget(&mut self, removed: FileName) {
        match removed {
            FileName::Segment(number) => {
                let oldest = self.older.pop_front().map(|oldest| oldest.number);
                assert_eq!(oldest, Some(number), "segments go from the oldest on");
            }
            FileName::Snapshot(at) => self.old_snapshots.retain(|old| old.at != at),
            FileName::Spare(_) | FileName::Kept(_) | FileName::SnapshotDraft(_) => {
                unreachable!("not among the files of a log")
            }
        }
    }

    /// The last LSN of the oldest segment, if it is sealed.
    fn end_of_first(&self) -> Lsn {
        let next = self.older.get(1).map_or(self.active.header.first_lsn, |second| second.first_lsn);
        Lsn(next.0.saturating_sub(1))
    }

    /// What to copy for everything up to `durable`.
    pub(super) fn manifest(&self, durable: Lsn) -> Manifest {
        let at = self.snapshot.map_or(Lsn::ZERO, |snapshot| snapshot.at);
        let mut files = Vec::with_capacity(self.older.len() + 2);
        files.extend(
            self.snapshot
                .map(|snapshot| ManifestFile { name: FileName::Snapshot(snapshot.at).to_name(), len: snapshot.bytes }),
        );
        let next_firsts = self.older.iter().skip(1).map(|next| next.first_lsn);
        for (segment, next) in self.older.iter().zip(next_firsts.chain([self.active.header.first_lsn])) {
            // Without a snapshot the first segment is needed even when it is empty: a copy must begin at the beginning.
            if self.snapshot.is_none() || next > at.next() {
                files.push(ManifestFile { name: FileName::Segment(segment.number).to_name(), len: segment.end });
            }
        }
        files.push(ManifestFile { name: self.active.name(), len: self.active.durable_end });
        Manifest { files, durable }
    }

    /// Segments on disk.
    pub(super) fn segments(&self) -> usize {
        self.older.len() + 1
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        let older: u64 = self.older.iter().map(|segment| segment.len).sum();
        let snapshots: u64 = self.snapshot.iter().chain(&self.old_snapshots).map(|snapshot| snapshot.bytes).sum();
        older + self.active.len_on_disk() + snapshots + self.pool.bytes()
    }
}
