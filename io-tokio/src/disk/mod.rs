//! One directory on disk, as the driver sees it: operations go in, completions come out.

mod fs;
mod keeping;

use std::pin::Pin;

use softadastra_core::disk::{DiskError, DiskOp, DiskResult, Lane};
use softadastra_core::error::LocalState;

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

    /// Carries out a write of the commit lane in the calling thread, which blocks; `None` from a disk that has to be asked
    /// by [`Self::submit`]. Only for a file on which nothing is on its way.
    fn carry_out(&self, _write: &DiskOp) -> Option<DiskResult> {
        None
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

/// A [`Disk`] whose type is not known.
pub(crate) trait DynDisk: Send + Sync {
    /// As [`Disk::submit`].
    fn submit_dyn(&self, lane: Lane, op: DiskOp) -> Pin<Box<dyn Future<Output = DiskResult> + Send>>;

    /// As [`Disk::carry_out`].
    fn carry_out(&self, write: &DiskOp) -> Option<DiskResult>;
}

impl<D: Disk> DynDisk for D {
    fn submit_dyn(&self, lane: Lane, op: DiskOp) -> Pin<Box<dyn Future<Output = DiskResult> + Send>> {
        Box::pin(self.submit(lane, op))
    }

    fn carry_out(&self, write: &DiskOp) -> Option<DiskResult> {
        Disk::carry_out(self, write)
    }
}
