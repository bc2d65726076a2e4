//! Looking at a data directory, checking it and, when told to, repairing it. No node may be running on it.

use std::path::{Path, PathBuf};

use softadastra_core::error::Error;
use softadastra_core::ids::{LogId, Lsn, ReplicaId};

/// What a data directory's log consists of.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Where the log is.
    pub path: PathBuf,
    /// What reading it found.
    pub report: ScanReport,
}

/// What reading a log found.
#[derive(Clone, Debug, Default)]
pub struct ScanReport {
    /// The log's name; `None` for an empty directory.
    pub log: Option<LogId>,
    /// Segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The snapshot that recovery starts from.
    pub snapshot: Option<SnapshotFile>,
    /// Damage to acknowledged data.
    pub damage: Vec<Damage>,
    /// An unfinished write at the end that nobody was promised.
    pub torn: Option<Torn>,
    /// LSN of the next record.
    pub next_lsn: Lsn,
    /// Whether the log ended with a clean close.
    pub closed_cleanly: bool,
    /// Files that are not the log's.
    pub strangers: Vec<String>,
    /// The file written by a newer version.
    pub too_new: Option<String>,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub name: String,
    /// Bytes of the file.
    pub len: u64,
    /// First record it may hold.
    pub first_lsn: Lsn,
    /// The record after its last.
    pub next_lsn: Lsn,
    /// Frames.
    pub frames: u64,
    /// Records.
    pub records: u64,
    /// Whether it is full and sealed.
    pub sealed: bool,
}

/// One snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// Its file.
    pub name: String,
    /// Where it began.
    pub at: Lsn,
    /// Entries.
    pub items: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Damage to acknowledged data.
#[derive(Clone, Debug)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// First record lost.
    pub first_lsn: Lsn,
    /// Last record lost; `None` when not known.
    pub last_lsn: Option<Lsn>,
    /// What is wrong.
    pub what: String,
}

/// An unfinished write.
#[derive(Clone, Debug)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a repair did.
#[derive(Clone, Debug)]
pub struct RepairReport {
    /// Where the damaged log is kept.
    pub kept_aside: PathBuf,
    /// What was wrong.
    pub damage: Vec<Damage>,
    /// Keys salvaged.
    pub keys: u64,
    /// Records salvaged.
    pub records: u64,
    /// The new history.
    pub replica_id: ReplicaId,
}

/// Reads headers and frames and says what is there.
///
/// # Errors
/// `not_found`, `locked`, `io_error`.
pub async fn inspect(data_dir: &Path) -> Result<Inspection, Error> {
    todo!()
}

/// As [`inspect`], and damage is an error.
///
/// # Errors
/// `wal_corrupt` naming file, offset and LSN range, and those of [`inspect`].
pub async fn verify(data_dir: &Path) -> Result<Inspection, Error> {
    todo!()
}

/// Sets a damaged log aside as `wal.damaged-<n>` and founds a new one, under a new replica id, from what could be
/// salvaged. A log without damage is left alone (`invalid_state`).
///
/// # Errors
/// `not_found`, `locked`, `io_error`, `disk_full`, `invalid_state`.
pub async fn repair(data_dir: &Path) -> Result<RepairReport, Error> {
    todo!()
}
