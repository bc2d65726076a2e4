//! Reads a log directory, changing nothing: replays what is whole, tells a torn tail from damage, and reports.

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::disk::{DiskError, DiskRequest, DiskResult, IoToken};
use crate::ids::{Lsn, ReplicaId};
use crate::sink::Sink;
use crate::wal::format::Record;

mod report;

pub use report::{Damage, Leftover, LeftoverKind, ScanReport, SegmentReport, SnapshotReport, Torn, Unproven};

/// Why a directory is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To open it. After the first damage nothing more is replayed, because nothing of it may be used.
    Open,
    /// To save what can be saved: whatever is whole is replayed, before and after damage.
    Salvage,
}

/// Takes what a scan finds: the head of the snapshot, its blocks in order, then every record beyond it in order.
///
/// An error says that bytes whose checksum held cannot be understood. It is reported as damage, or as the work of a
/// newer version when the fault is [`Fault::FromTheFuture`](crate::codec::Fault::FromTheFuture).
pub trait Replay {
    /// The head of the snapshot that holds everything up to `at`. Gives the replica whose history was going on at
    /// `at`, which is needed to read the records after it.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn head(&mut self, at: Lsn, head: Bytes) -> Result<ReplicaId, DecodeError>;

    /// One block of the snapshot, `items` entries.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn block(&mut self, items: u32, body: Bytes) -> Result<(), DecodeError>;

    /// One record. It shares memory with a whole segment: what is kept must be copied.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn record(&mut self, lsn: Lsn, record: Record) -> Result<(), DecodeError>;
}

/// Scans one directory, one disk operation at a time.
#[derive(Debug)]
pub struct Scan {
    purpose: Purpose,
}

#[expect(clippy::todo, unused_variables, reason = "signatures first; the bodies follow")]
impl Scan {
    /// A scan that has not begun.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        Self { purpose }
    }

    /// Begins: pushes the first request.
    pub fn start(&mut self, out: &mut dyn Sink<DiskRequest>) {
        todo!()
    }

    /// Takes the completion of the request that is out, and pushes the next one unless the scan is over.
    pub fn handle_completion(
        &mut self,
        token: IoToken,
        result: DiskResult,
        replay: &mut dyn Replay,
        out: &mut dyn Sink<DiskRequest>,
    ) {
        todo!()
    }

    /// The outcome, once; `None` while the scan is going on or after it was taken.
    ///
    /// # Errors
    /// [`DiskError`] when the directory could not be read.
    pub fn take_outcome(&mut self) -> Option<Result<ScanReport, DiskError>> {
        todo!()
    }
}
