//! What the loop shares with clients: they read, it writes.

use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};

use softadastra_core::error::{Code, Error};
use softadastra_core::node::Node;
use softadastra_core::time::Now;

use super::discovery::Standing;
use super::refusals::Refusals;
use crate::measures::Measures;
use crate::world::Clock;

/// A node that many read and one changes.
pub(crate) struct Shared {
    /// `None` once closed.
    node: RwLock<Option<Box<Node>>>,
    now: Box<dyn Fn() -> Now + Send + Sync>,
    /// Links of others that were refused.
    pub(crate) refusals: Refusals,
    /// While discovery is wanted.
    discovery: Mutex<Option<Standing>>,
    measures: Measures,
}

impl Shared {
    pub(super) fn new<C: Clock>(node: Box<Node>, clock: std::sync::Arc<C>) -> Self {
        Self {
            node: RwLock::new(Some(node)),
            now: Box::new(move || clock.now()),
            refusals: Refusals::default(),
            discovery: Mutex::new(None),
            measures: Measures::default(),
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

    /// What the node measures of itself.
    pub(crate) const fn measures(&self) -> &Measures {
        &self.measures
    }

    /// Reads the node under the read lock. `look` must be quick: writers wait for it.
    ///
    /// # Errors
    /// [`Code::InvalidState`] once closed; [`Code::InternalError`] after a fault of the loop.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> Result<T, Error> {
        match self.node.read() {
            Ok(guard) => guard.as_deref().map(look).ok_or_else(closed),
            Err(_) => Err(stopped()),
        }
    }

    /// For the loop alone, which never keeps it across a wait.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Option<Box<Node>>> {
        // Poisoned only by a panic of the loop, which then does not come here again.
        self.node.write().unwrap_or_else(PoisonError::into_inner)
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
