//! The write-ahead log: what was answered survives, in the order it was written.
//!
//! A log is one directory of *segments* (`0000000000000001.seg` …) and at most one *snapshot*. The life of a log has
//! three machines, each in files of its own:
//!
//! - [`scan`] reads a directory and says what stands there, changing nothing;
//! - [`mount`] makes a scanned directory ready for the next append;
//! - [`Wal`] is the running log: it gathers records into frames, has them written and synced, prepares the next
//!   segment, rolls, takes snapshots and removes what they made superfluous.
//!
//! # How to drive a running log
//!
//! Append any number of groups, then call [`Wal::submit`] once the inputs at hand are used up: what was appended in
//! between shares one write and one sync. Every [`Effect::Disk`] goes to the disk; every completion comes back through
//! [`Wal::handle_completion`]; after each batch of completions and timeouts call [`Wal::submit`] again.
//! [`Wal::poll_timeout`] says when to call [`Wal::handle_timeout`].
//!
//! # Order of disk operations
//!
//! All order is made by waiting for completions, never by hoping that two requests stay in order:
//!
//! ```text
//! commit     write frame + sync ------------------------------------------------> Durable
//! roll       spare ready > seal + sync > header + sync > rename > sync dir > first frame of the new segment
//! snapshot   draft written > sync > log durable through what it reaches > read back > rename > sync dir > Done
//! removal    (only after that) remove or set aside one file > sync dir > the next
//! spare      file zero-filled, or one that was set aside: rename > open
//! ```
//!
//! At most one operation of the commit path is in flight. The first one that fails *poisons* the log: nothing more is
//! written, and only scanning the directory anew can tell what became of the records in doubt.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::disk::{DiskError, DiskRequest};
use crate::ids::Lsn;

mod asker;
mod commit;
mod draft;
mod files;
pub mod format;
pub mod mount;
mod pool;
mod resume;
mod roll;
mod running;
pub mod scan;
pub mod snapshot;
mod snapshotting;
mod spare;
mod sweep;

pub use resume::{OlderSegment, Resume, SnapshotFile};
pub use running::Wal;

/// How a log behaves. The defaults suit a device with one small SSD and a person waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When a write is durable. Default [`SyncMode::Always`]: an answer means durable.
    pub sync: SyncMode,
    /// Bytes of the first segment of a log. Default 1 MiB: a log of few writes stays small.
    pub first_segment: u64,
    /// Each segment has twice the bytes of the one before, up to half of `snapshot_min`; beyond that a sixteenth more, up to
    /// this, and beside a snapshot up to a quarter of it. Default 64 MiB: rolling costs nothing any more, and a removed
    /// segment still gives back room in useful portions.
    pub max_segment: u64,
    /// Bytes of records that may gather while the frame before is on its way. Default 64 MiB. A larger group is
    /// accepted when next to nothing else is gathered: a thousandth of that.
    pub gather_limit: usize,
    /// After this long without a write, a mark is written that proves the last frame durable. Default 1 s: long
    /// enough to cost a busy log nothing, short enough that damage to the last write of the day is not taken for a
    /// torn tail.
    pub mark_after: Duration,
    /// No snapshot is wanted before this many bytes were logged since the last. Default 16 MiB: read again within a
    /// tenth of a second or so, and enough that a small store is not most of what a busy node writes.
    pub snapshot_min: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: SyncMode::Always,
            first_segment: 1 << 20,
            max_segment: 64 << 20,
            gather_limit: 64 << 20,
            mark_after: Duration::from_secs(1),
            snapshot_min: 16 << 20,
        }
    }
}

/// When a frame is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// With every frame.
    Always,
    /// At most this long after it was written. A power failure loses what was written since; a crash of the process
    /// alone loses nothing.
    Every(Duration),
}

/// How far the log has come. `accepted >= submitted >= written >= durable`, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last record appended. Goes back only with [`Effect::Refused`].
    pub accepted: Lsn,
    /// The last record handed to the disk.
    pub submitted: Lsn,
    /// The last record that the disk has taken.
    pub written: Lsn,
    /// The last record that survives a power failure.
    pub durable: Lsn,
}

/// What the log asks for and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To be carried out; the completion is due to [`Wal::handle_completion`].
    Disk(DiskRequest),
    /// Everything up to here has been taken by the operating system. Only with [`SyncMode::Every`]; with
    /// [`SyncMode::Always`] the same is said by [`Effect::Durable`] alone.
    Written(Lsn),
    /// Everything up to here survives a power failure.
    Durable(Lsn),
    /// The first failure. Comes once; afterwards the log writes nothing more.
    Poisoned(Poison),
    /// There is no room for the next segment, or no file can be opened for it. The records from `from` on were never written and never will be: their
    /// LSNs will name other records. The log stays usable; the next append tries again.
    Refused {
        /// The first record that is not kept.
        from: Lsn,
        /// What the disk said.
        error: DiskError,
    },
    /// The next block of the running snapshot is wanted: [`Wal::push_snapshot_block`].
    SnapshotRoom,
    /// The running snapshot is durable.
    SnapshotDone {
        /// It holds everything up to here.
        at: Lsn,
        /// Bytes of the file.
        bytes: u64,
    },
    /// The running snapshot was given up; the log goes on without it.
    SnapshotFailed(DiskError),
    /// Everything asked of the disk has completed; every file is closed, but for those that a failure left open. Comes
    /// once, after [`Wal::close`].
    Closed,
}

/// What is known about the failure that stopped a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// What the log was doing, naming the file.
    pub during: String,
    /// What the disk said.
    pub error: DiskError,
    /// First and last record that were handed to the disk and whose fate is unknown until the directory is scanned.
    pub doubtful: Option<(Lsn, Lsn)>,
    /// The first record that was accepted but never handed to the disk: it and all after it are certainly not kept.
    pub unwritten: Option<Lsn>,
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.during, self.error)
    }
}

/// Why a group was not accepted. Nothing of it was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// An earlier failure has stopped the log; see [`Wal::poison`].
    Poisoned,
    /// As much is gathered as may be; try again after the next completion.
    Full,
    /// The group is larger than any frame may be.
    TooLarge {
        /// Its encoded size in bytes.
        bytes: usize,
    },
    /// The log is being closed or closed.
    Closing,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned => f.write_str("an earlier disk failure has stopped the log"),
            Self::Full => f.write_str("too many writes are waiting for the disk"),
            Self::TooLarge { bytes } => {
                write!(f, "{bytes} bytes in one group exceed the {} that a frame holds", crate::limits::MAX_FRAME_BODY)
            }
            Self::Closing => f.write_str("the log is closing"),
        }
    }
}

impl core::error::Error for AppendError {}

/// Why no snapshot was begun. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotRefused {
    /// One is being written, or what the last one made superfluous is still being removed.
    Busy,
    /// The present snapshot holds everything already.
    Current(SnapshotFile),
    /// No reader takes a head that is longer than [`MAX_PART_BODY`](snapshot::MAX_PART_BODY).
    TooLong,
    /// An earlier failure has stopped the log.
    Poisoned,
    /// The log is being closed or closed.
    Closing,
}

/// One block of a snapshot, composed by whoever owns the data; opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotBlock {
    /// The content.
    pub bytes: Vec<u8>,
    /// How many items it holds.
    pub items: u32,
    /// No block follows.
    pub last: bool,
    /// The greatest LSN whose effect is in this or an earlier block. The snapshot becomes valid only when the log is
    /// durable up to here.
    pub reaches: Lsn,
}

/// The files that together hold everything up to `durable`, and how much of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Snapshot first, then segments in order.
    pub files: Vec<ManifestFile>,
    /// A copy of these files holds everything up to here.
    pub durable: Lsn,
}

/// One file of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its name.
    pub name: String,
    /// Copy this many bytes from its beginning.
    pub len: u64,
}

/// A log as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it accepts writes.
    pub state: State,
    /// Segments on disk, the active one included.
    pub segments: usize,
    /// Bytes of all files, zero-filled room included.
    pub bytes: u64,
    /// Bytes of frames since the present snapshot began.
    pub tail_bytes: u64,
    /// The present snapshot.
    pub snapshot: Option<SnapshotFile>,
    /// A snapshot is being written.
    pub snapshot_running: bool,
    /// A superfluous file could not be removed; tried again after the next snapshot.
    pub removal_failed: Option<DiskError>,
}

/// Whether a log accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Open,
    /// The last group was refused for want of room; the next one tries again.
    NoRoom,
    /// A failure has stopped it for good.
    Poisoned,
    /// It is being closed.
    Closing,
    /// It is closed.
    Closed,
}

#[cfg(test)]
mod tests;
