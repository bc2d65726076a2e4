//! Watching changes and events.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;
pub use softadastra_core::node::Event;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::driver::Shared;
use crate::model::Change;

/// The most entries looked at under one lock.
const STRIDE: usize = 1024;

/// The most bytes of values kept ready, give or take one value: what waits for a slow reader must not pin memory.
const READY_BYTES: usize = 1 << 20;

/// A cursor over the changes of a node. Made by [`Client::watch`](crate::Client::watch).
///
/// It is a position, not a queue: a slow reader costs no memory and holds nothing up. A version that was overwritten
/// before the reader came to it is skipped; the latest one of every key is always seen.
pub struct Watch {
    shared: Arc<Shared>,
    published: watch::Receiver<Lsn>,
    prefix: Bytes,
    /// Everything up to here was looked at.
    looked: Lsn,
    /// Everything up to here was handed out, or is not ours.
    position: Lsn,
    ready: VecDeque<Change>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("prefix", &self.prefix).field("position", &self.position).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) const fn new(shared: Arc<Shared>, published: watch::Receiver<Lsn>, prefix: Bytes, after: Lsn) -> Self {
        Self { shared, published, prefix, looked: after, position: after, ready: VecDeque::new() }
    }

    /// The next change, as soon as there is one; `None` when the node has closed. May be dropped in mid-wait without
    /// losing anything.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            // Marked as seen before looking: a change that comes while we look wakes us again.
            self.published.borrow_and_update();
            let end = self.look().ok()?;
            if let Some(change) = self.take() {
                return Some(change);
            }
            if end {
                self.published.changed().await.ok()?;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The changes that are there already, at most `limit`, without waiting.
    ///
    /// # Errors
    /// [`Code::InvalidState`](softadastra_core::error::Code::InvalidState) when the node has closed.
    pub fn ready(&mut self, limit: usize) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        while changes.len() < limit {
            let end = self.look()?;
            match self.take() {
                Some(change) => changes.push(change),
                None if end => break,
                None => {}
            }
        }
        Ok(changes)
    }

    /// Every change up to here was handed out: a later watch may go on after it.
    #[must_use]
    pub const fn position(&self) -> Lsn {
        self.position
    }

    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.ready.iter().filter_map(|change| change.value.as_ref()).map(Bytes::len).sum()
    }

    fn take(&mut self) -> Option<Change> {
        let change = self.ready.pop_front()?;
        self.position = if self.ready.is_empty() { self.looked } else { change.lsn };
        Some(change)
    }

    /// Looks further if nothing is ready; says whether the end of the feed was reached.
    fn look(&mut self) -> Result<bool, Error> {
        if !self.ready.is_empty() {
            return Ok(false);
        }
        let Self { shared, prefix, looked, ready, .. } = self;
        let end = shared.read(|node| {
            let mut bytes = 0;
            let mut left = STRIDE;
            for entry in node.store().feed(*looked) {
                if left == 0 || bytes >= READY_BYTES {
                    return false;
                }
                left -= 1;
                *looked = entry.changed();
                if entry.key().starts_with(prefix) {
                    bytes += entry.value().map_or(0, <[u8]>::len);
                    ready.push_back(Change {
                        key: Bytes::copy_from_slice(entry.key()),
                        value: entry.value_bytes(),
                        version: entry.version(),
                        lsn: entry.changed(),
                    });
                }
            }
            true
        })?;
        if ready.is_empty() {
            self.position = self.looked;
        }
        Ok(end)
    }
}

/// What a node tells its operator. Made by [`Client::events`](crate::Client::events).
///
/// A listener that is more than 1,024 events behind misses the oldest ones; what they were about stands in the status,
/// the peers and the conflicts.
#[derive(Debug)]
pub struct Events {
    told: broadcast::Receiver<Event>,
}

impl Events {
    pub(crate) const fn new(told: broadcast::Receiver<Event>) -> Self {
        Self { told }
    }

    /// The next event, as soon as there is one; `None` when the node has closed. May be dropped in mid-wait without
    /// losing anything.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.told.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
