//! Whether a thread that has other things to do may stand still for a sync.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

/// A sync that takes longer is not waited for in a thread that has other things to do.
const QUICK: Duration = Duration::from_millis(2);

/// After a sync that was not quick, so many are left to the thread of the disk.
const PAUSE: u32 = 32;

/// How syncs have been of late.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// So many more are left to the thread of the disk.
    left: AtomicU32,
}

impl Patience {
    /// Whether the calling thread may stand still for as long as a sync takes: others of its runtime go on meanwhile, or it
    /// waits for this one thing anyway; and syncs have been quick of late.
    pub(super) fn lasts(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        let others_go_on = runtime.metrics().num_workers() > 1 || tokio::task::try_id().is_none();
        let quick = self.left.load(Ordering::Relaxed) == 0;
        if !quick {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread && others_go_on && quick
    }

    /// A sync began then and has just ended.
    pub(super) fn waited_since(&self, began: Instant) {
        if began.elapsed() > QUICK {
            self.left.store(PAUSE, Ordering::Relaxed);
        }
    }
}
