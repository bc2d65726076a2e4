//! Whether a thread that has other things to do may stand still for a write.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

/// A sync that takes longer is not waited for in a thread that has other things to do.
const QUICK_SYNC: Duration = Duration::from_millis(2);

/// Nor is a write without a sync that takes longer than this. Hardly any does, but where the system makes writers wait: too
/// much is unwritten, or the file system is across a network.
const QUICK_WRITE: Duration = Duration::from_millis(10);

/// After a write that was not quick, so many are left to the thread of the disk.
const PAUSE: u32 = 32;

/// Somebody in this process stands still for a sync. Where there are several nodes, the others leave theirs to the threads of
/// their disks: a runtime whose threads all stand still serves nobody.
static STANDING: AtomicBool = AtomicBool::new(false);

/// How writes have been of late.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// So many more are left to the thread of the disk.
    left: AtomicU32,
}

impl Patience {
    /// Whether the calling thread may stand still for as long as a write takes. For one that is not synced: if writes have been
    /// quick of late. For a sync, besides: if others of its runtime go on meanwhile, or it waits for this one thing anyway; and
    /// if nobody else in this process stands still.
    pub(super) fn lasts(&self, sync: bool) -> bool {
        if sync && (!others_go_on() || STANDING.load(Ordering::Relaxed)) {
            return false;
        }
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    /// Stands still for a write. It may come to wait although it was told that it may not: others asked at the same time.
    pub(super) fn wait_for<T>(&self, sync: bool, write: impl FnOnce() -> T) -> T {
        let _standing = sync.then(Standing::begin);
        let began = Instant::now();
        let result = write();
        if began.elapsed() > if sync { QUICK_SYNC } else { QUICK_WRITE } {
            self.left.store(PAUSE, Ordering::Relaxed);
        }
        result
    }
}

fn others_go_on() -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    runtime.runtime_flavor() == RuntimeFlavor::MultiThread
        && (runtime.metrics().num_workers() > 1 || tokio::task::try_id().is_none())
}

/// Says that somebody stands still, as long as it lives.
struct Standing;

impl Standing {
    fn begin() -> Self {
        STANDING.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        STANDING.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_slow_write_others_are_left_to_the_disk_for_a_while() {
        let patience = Patience::default();
        assert!(patience.lasts(false));
        assert_eq!(patience.wait_for(false, || 7), 7);
        patience.wait_for(false, || std::thread::sleep(2 * QUICK_WRITE));
        assert_eq!((0..=PAUSE).filter(|_| !patience.lasts(false)).count(), PAUSE as usize);
        assert!(patience.lasts(false));
        assert!(!patience.lasts(true), "there is no runtime whose other threads go on");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_stands_still_for_a_sync_at_a_time() {
        let (one, other) = (Patience::default(), Patience::default());
        assert!(!one.wait_for(true, || other.lasts(true)));
        assert!(one.wait_for(true, || other.lasts(false)), "what needs no sync is not waited for");
    }
}
