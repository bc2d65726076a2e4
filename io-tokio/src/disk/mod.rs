//! One directory on disk, as the driver sees it: operations go in, completions come out.

mod crew;
mod fs;
mod keeping;
mod patience;

use std::pin::Pin;

use softadastra_core::disk::{DiskError, DiskOp, DiskResult, Lane};
use softadastra_core::error::LocalState;
use softadastra_core::wal::scan::Crew;

pub use fs::{FsDisk, disk_error};

/// Serves one directory. [`FsDisk`] is the real one; a simulator brings its own.
///
/// The contract is that of [`softadastra_core::disk`]: operations on one file are carried out in the order of the
/// calls, every call gets exactly one completion, and a completion is true.
pub trait Disk: Send + Sync + 'static {
    /// Takes one operation in. Its place in the order is that of the *call*; the future only waits for the completion,
    /// and dropping it does not undo the operation.
    fn submit(&self, lane: Lane, op: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static;

    /// Completes when the disk has found that its directory is not in its place any more. From then on everything that
    /// would change it fails.
    fn lost(&self) -> impl Future<Output = Loss> + Send + 'static {
        std::future::pending()
    }

    /// Whether the task that asks may see to this write of the commit lane by [`Self::carry_out`].
    fn may_be_carried(&self, _write: &DiskOp) -> bool {
        false
    }

    /// Who works out what a log on this disk holds while it is opened, if there is anybody beside the task that opens it.
    fn crew(&self) -> Option<Box<dyn Crew>> {
        None
    }

    /// As [`Self::submit`] to the commit lane, for a file on which nothing is on its way; but the disk may carry the
    /// operation out in the thread that polls the future, which then stands still for as long as that takes.
    fn carry_out(&self, write: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        self.submit(Lane::Commit, write)
    }

    /// Lets go of the directory: completes when everything taken in was carried out, all files are closed and another
    /// process could open it.
    fn finish(self) -> impl Future<Output = ()> + Send;
}

/// A directory that is not in its place any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What everything that would change it is answered with.
    pub error: DiskError,
    /// What became of it: `deleted`, `moved` or `replaced`.
    pub became: &'static str,
    /// What became of the data in it.
    pub local: LocalState,
    /// What to do.
    pub next: &'static str,
}

/// An operation on its way.
pub(crate) type OnItsWay = Pin<Box<dyn Future<Output = DiskResult> + Send>>;

/// A [`Disk`] whose type is not known.
pub(crate) trait DynDisk: Send + Sync {
    /// As [`Disk::submit`].
    fn submit_dyn(&self, lane: Lane, op: DiskOp) -> OnItsWay;

    /// As [`Disk::may_be_carried`].
    fn may_be_carried(&self, write: &DiskOp) -> bool;

    /// As [`Disk::carry_out`].
    fn carry_out_dyn(&self, write: DiskOp) -> OnItsWay;
}

impl<D: Disk> DynDisk for D {
    fn submit_dyn(&self, lane: Lane, op: DiskOp) -> OnItsWay {
        Box::pin(self.submit(lane, op))
    }

    fn may_be_carried(&self, write: &DiskOp) -> bool {
        Disk::may_be_carried(self, write)
    }

    fn carry_out_dyn(&self, write: DiskOp) -> OnItsWay {
        Box::pin(self.carry_out(write))
    }
}
