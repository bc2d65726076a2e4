//! Makes a scanned directory ready for the next append.

use crate::dice::Dice;
use crate::disk::{DiskError, DiskRequest, DiskResult, IoToken};
use crate::error::Error;
use crate::ids::{LogId, Lsn};
use crate::sink::Sink;

use super::scan::ScanReport;
use super::{Settings, Wal};

/// What a new log begins with, in case the directory is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Its name, drawn at random.
    pub log: LogId,
    /// The LSN of its first record: 1, except for a log that continues the numbering of another.
    pub first_lsn: Lsn,
}

/// Mounts one scanned directory, one disk operation at a time.
#[derive(Debug)]
pub struct Mount {}

#[expect(clippy::todo, unused_variables, reason = "signatures first; the bodies follow")]
impl Mount {
    /// Plans the mount of what `report` found. Nothing is touched before [`Self::start`].
    ///
    /// # Errors
    /// [`ScanReport::refusal`]: the directory is damaged or of a newer version.
    pub fn new(report: ScanReport, settings: Settings, founding: Founding, dice: Dice) -> Result<Self, Error> {
        todo!()
    }

    /// Begins: pushes the first request.
    pub fn start(&mut self, out: &mut dyn Sink<DiskRequest>) {
        todo!()
    }

    /// Takes the completion of the request that is out, and pushes the next one unless the mount is over.
    pub fn handle_completion(&mut self, token: IoToken, result: DiskResult, out: &mut dyn Sink<DiskRequest>) {
        todo!()
    }

    /// The running log, once; `None` while the mount is going on or after it was taken.
    ///
    /// # Errors
    /// [`DiskError`] when an operation failed. What the directory holds is still whole; scan it anew.
    pub fn take_outcome(&mut self) -> Option<Result<Wal, DiskError>> {
        todo!()
    }
}
