//! The tray beside the desk: clients put their writes down here, and whoever comes to the desk hands in all that lies here.
//!
//! So nobody waits for the desk to be free, and many writes cost one visit. Nothing is forgotten: whoever leaves the desk
//! looks at the tray once more, and who has put something down while nobody stood at the desk goes there or calls the loop.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::command::Writing;

/// Writes that are to be handed in, in the order in which they were put down.
#[derive(Default)]
pub(super) struct Tray {
    content: Mutex<Content>,
    /// How many lie here.
    count: AtomicUsize,
    /// How many were ever put down.
    put_down: AtomicU64,
    /// Somebody stands at the desk who looks here when he has left.
    watched: AtomicBool,
}

#[derive(Default)]
struct Content {
    writes: Vec<Writing>,
    closed: bool,
}

impl Tray {
    /// Puts a write down. Once closed, it is dropped, and with it its answer.
    pub(super) fn put(&self, writing: Writing) {
        let mut content = self.content();
        if !content.closed {
            content.writes.push(writing);
            self.put_down.fetch_add(1, Ordering::Relaxed);
            // In one order with `watched` for all: either who leaves the desk sees this, or this one sees that he has left.
            self.count.store(content.writes.len(), Ordering::SeqCst);
        }
    }

    /// Takes all that lies here; `into` must be empty, and its memory stays here for the next ones.
    pub(super) fn take(&self, into: &mut Vec<Writing>) {
        assert!(into.is_empty(), "what was taken before has been handed in");
        if !self.is_empty() {
            let mut content = self.content();
            std::mem::swap(&mut content.writes, into);
            self.count.store(0, Ordering::SeqCst);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    pub(super) fn put_down(&self) -> u64 {
        self.put_down.load(Ordering::Relaxed)
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    pub(super) fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::SeqCst);
    }

    /// Takes nothing more, and drops what lies here.
    pub(super) fn close(&self) {
        let dropped = {
            let mut content = self.content();
            content.closed = true;
            self.count.store(0, Ordering::SeqCst);
            std::mem::take(&mut content.writes)
        };
        drop(dropped);
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing that can panic runs under this lock.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    #[test]
    fn what_is_put_down_is_taken_in_order_and_once_closed_nothing_lies_there() {
        let room = Arc::new(Semaphore::new(10));
        let tray = Tray::default();
        let put = || {
            let (answer, reply) = oneshot::channel();
            tray.put(Writing { writes: Vec::new(), answer, room: room.clone().try_acquire_owned().unwrap() });
            reply
        };
        let mut replies = vec![put(), put()];
        let mut taken = Vec::new();
        tray.take(&mut taken);
        assert!(tray.is_empty() && taken.len() == 2);
        taken.remove(0).answer.send(Ok(Vec::new())).unwrap();
        assert!(replies.remove(0).try_recv().is_ok());
        assert!(replies.remove(0).try_recv().is_err());
        taken.clear();

        let mut lying = put();
        tray.close();
        assert_eq!(lying.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert_eq!(put().try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(tray.is_empty());
        assert_eq!((tray.put_down(), room.available_permits()), (3, 10));
    }
}
