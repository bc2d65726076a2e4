//! Sorts the files of a directory.

use alloc::string::String;
use alloc::vec::Vec;

use super::report::{Leftover, LeftoverKind};
use crate::codec::DecodeError;
use crate::disk::FileInfo;
use crate::ids::Lsn;
use crate::wal::format::{FileName, SegmentHeader};

/// A segment by its name, and later its header.
#[derive(Clone, Debug)]
pub(super) struct FoundSegment {
    pub(super) number: u64,
    pub(super) len: u64,
    /// `None` until it was read.
    pub(super) header: Option<Result<SegmentHeader, DecodeError>>,
}

impl FoundSegment {
    pub(super) fn name(&self) -> String {
        FileName::Segment(self.number).to_name()
    }

    pub(super) fn whole_header(&self) -> Option<&SegmentHeader> {
        self.header.as_ref().and_then(|header| header.as_ref().ok())
    }
}

/// A snapshot by its name.
#[derive(Clone, Debug)]
pub(super) struct FoundSnapshot {
    pub(super) at: Lsn,
    pub(super) len: u64,
}

impl FoundSnapshot {
    pub(super) fn name(&self) -> String {
        FileName::Snapshot(self.at).to_name()
    }
}

/// The files of a directory, sorted.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By rising number.
    pub(super) segments: Vec<FoundSegment>,
    /// The newest first.
    pub(super) snapshots: Vec<FoundSnapshot>,
    /// Spares, drafts, and segments kept for their room.
    pub(super) leftovers: Vec<Leftover>,
    pub(super) strangers: Vec<String>,
    /// The greatest number of a segment that was being prepared.
    pub(super) spare: Option<u64>,
}

impl Files {
    pub(super) fn sort(mut listing: Vec<FileInfo>) -> Self {
        listing.sort();
        let mut files = Self::default();
        for FileInfo { name, len } in listing {
            match FileName::parse(&name) {
                // Numbers begin with 1.
                Some(FileName::Segment(0) | FileName::Spare(0) | FileName::Kept(0)) | None => {
                    files.strangers.push(name)
                }
                Some(FileName::Segment(number)) => {
                    files.segments.push(FoundSegment { number, len, header: None });
                }
                Some(FileName::Snapshot(at)) => files.snapshots.push(FoundSnapshot { at, len }),
                Some(FileName::Spare(number)) => {
                    files.spare = files.spare.max(Some(number));
                    files.leftovers.push(Leftover { name, len, kind: LeftoverKind::Spare });
                }
                Some(FileName::Kept(_)) => {
                    files.leftovers.push(Leftover { name, len, kind: LeftoverKind::OldSegment });
                }
                Some(FileName::SnapshotDraft(_)) => {
                    files.leftovers.push(Leftover { name, len, kind: LeftoverKind::Draft });
                }
            }
        }
        files.snapshots.reverse();
        files
    }
}
