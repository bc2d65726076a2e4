//! What the loop shares with clients: they read, it writes.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard, TryLockError, Weak};

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::Lsn;
use softadastra_core::node::Node;
use softadastra_core::time::{Instant, Now};
use tokio::sync::{Notify, watch};

use super::desk::Desk;
use super::discovery::Standing;
use super::refusals::Refusals;
use super::tray::Tray;
use crate::measures::Measures;
use crate::world::Clock;

/// A node that many read and one changes.
pub(crate) struct Shared {
    /// `None` once closed.
    desk: RwLock<Option<Desk>>,
    now: Box<dyn Fn() -> Now + Send + Sync>,
    mono: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Links of others that were refused.
    pub(crate) refusals: Refusals,
    /// While discovery is wanted.
    discovery: Mutex<Option<Standing>>,
    measures: Measures,
    pub(super) tray: Tray,
    /// Wakes the loop.
    bell: Notify,
    /// Ends with the loop.
    pub(super) published: Weak<watch::Sender<Lsn>>,
}

/// So often a client looks again at a desk at which somebody reads, before it calls the loop: about as long as a read takes.
const LOOKS: usize = 64;

/// What somebody finds who comes to the desk.
pub(super) enum Turn<'a> {
    Ours(AtDesk<'a>),
    /// Whoever stands there hands in what lies in the tray, too.
    Watched,
    /// Others read, or somebody left it in a panic.
    Taken,
}

/// The desk in the hands of somebody who may change it, and looks at the tray when he has left.
pub(super) struct AtDesk<'a> {
    shared: &'a Shared,
    guard: RwLockWriteGuard<'a, Option<Desk>>,
}

impl<'a> AtDesk<'a> {
    fn new(shared: &'a Shared, guard: RwLockWriteGuard<'a, Option<Desk>>) -> Self {
        shared.tray.watch(true);
        Self { shared, guard }
    }
}

impl Deref for AtDesk<'_> {
    type Target = Option<Desk>;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl DerefMut for AtDesk<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}

impl Drop for AtDesk<'_> {
    fn drop(&mut self) {
        // Before the desk is free: from then on it is another who watches.
        self.shared.tray.watch(false);
        if std::thread::panicking() {
            // The loop finds the desk as it was left, and says so to all who wait.
            self.shared.call();
        }
    }
}

impl Shared {
    pub(super) fn new<C: Clock>(desk: Desk, published: Weak<watch::Sender<Lsn>>, clock: std::sync::Arc<C>) -> Self {
        Self {
            desk: RwLock::new(Some(desk)),
            mono: Box::new({
                let clock = clock.clone();
                move || clock.mono()
            }),
            now: Box::new(move || clock.now()),
            refusals: Refusals::default(),
            discovery: Mutex::new(None),
            measures: Measures::default(),
            tray: Tray::default(),
            bell: Notify::new(),
            published,
        }
    }

    /// How it stands with the sockets of discovery; `None` while it is not wanted.
    pub(crate) fn discovery(&self) -> Option<Standing> {
        self.discovery.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_discovery(&self, standing: Option<Standing>) {
        *self.discovery.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    pub(super) fn change_discovery<T>(&self, change: impl FnOnce(&mut Standing) -> T) -> Option<T> {
        self.discovery.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(change)
    }

    /// The time by the node's clocks.
    pub(crate) fn now(&self) -> Now {
        (self.now)()
    }

    /// The time by the monotonic clock alone.
    pub(crate) fn mono(&self) -> Instant {
        (self.mono)()
    }

    /// What the node measures of itself.
    pub(crate) const fn measures(&self) -> &Measures {
        &self.measures
    }

    /// Reads the node under the read lock. `look` must be quick: writers wait for it.
    ///
    /// # Errors
    /// [`Code::InvalidState`] once closed; [`Code::InternalError`] after a fault of the loop.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> Result<T, Error> {
        match self.desk.read() {
            Ok(guard) => guard.as_ref().map(|desk| look(&desk.node)).ok_or_else(closed),
            Err(_) => Err(stopped()),
        }
    }

    /// The desk, for the loop and for who brings it news. Never kept across a wait; whoever leaves it looks at the tray.
    ///
    /// # Panics
    /// After a panic of whoever had it: nobody goes on with a node that may be half updated.
    pub(super) fn write(&self) -> AtDesk<'_> {
        AtDesk::new(self, self.desk.write().expect("a fault of the software stops the node"))
    }

    /// What is left to do when the loop is gone, however it went.
    pub(super) fn abandon(&self) {
        let mut guard = self.desk.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = guard.as_mut() {
            desk.abandon();
        }
        drop(guard);
        self.tray.close();
    }

    /// The desk, unless somebody left it in a panic.
    pub(super) fn desk_if_whole(&self) -> Option<RwLockWriteGuard<'_, Option<Desk>>> {
        self.desk.write().ok()
    }

    /// The desk, if it is free now or in a moment.
    pub(super) fn try_desk(&self) -> Turn<'_> {
        for _ in 0..LOOKS {
            match self.desk.try_write() {
                Ok(guard) => return Turn::Ours(AtDesk::new(self, guard)),
                Err(TryLockError::Poisoned(_)) => return Turn::Taken,
                Err(TryLockError::WouldBlock) if self.tray.is_watched() => return Turn::Watched,
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        Turn::Taken
    }

    /// Calls the loop to the desk.
    pub(super) fn call(&self) {
        self.bell.notify_one();
    }

    /// Completes when the loop is called.
    pub(super) async fn called(&self) {
        self.bell.notified().await;
    }
}

/// The error of every call after the end.
pub(crate) fn closed() -> Error {
    Error::new(Code::InvalidState, "the client is closed", "open it again")
}

/// The error of every call after the loop has stopped without having closed.
pub(crate) fn stopped() -> Error {
    Error::new(
        Code::InternalError,
        "the node has stopped through a fault of the software",
        "open it again and report it",
    )
}

/// The error of what only works on files.
pub(crate) fn nothing_on_disk() -> Error {
    Error::new(
        Code::InvalidState,
        "this node keeps everything in memory and has no files",
        "open it on a data directory to be able to back it up",
    )
}
