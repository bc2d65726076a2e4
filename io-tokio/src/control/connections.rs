//! The connections of the control socket: how many there may be, and which of them gives way to a new one.
//!
//! A connection is *busy* from the moment a request's head has been read until its answer has been handed over, a watch
//! as long as it lasts; otherwise it is *idle*. When all places are taken a connection gives way that has not been used
//! at all, the oldest of those; if there is none, the one that has been idle for longest. So callers who hold
//! connections without using them keep nobody out, and do not get in the way of one that pauses between requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Who is connected.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Counts what happens, so that "idle for longest" needs no clock.
    turn: u64,
    slots: BTreeMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    requests: Arc<AtomicUsize>,
    /// The turn at which its last request ended; 0 when there was none.
    idle_since: u64,
    give_way: CancellationToken,
}

impl Table {
    fn turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

impl Connections {
    /// A place for a new connection. With `most` of them taken, another one gives way; `None` when all are busy.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let full = self.lock().slots.len() >= most;
        if full && !self.make_way() {
            return None;
        }
        let (requests, give_way) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let mut table = self.lock();
        let turn = table.turn();
        table.slots.insert(turn, Slot { requests: requests.clone(), idle_since: 0, give_way: give_way.clone() });
        Some(Place { connections: self.clone(), id: turn, requests, give_way })
    }

    /// Tells the connection that is the least used to end; says whether there was one.
    pub(super) fn make_way(&self) -> bool {
        let mut table = self.lock();
        let idle = table.slots.iter().filter(|(_, slot)| slot.requests.load(Ordering::Relaxed) == 0);
        let Some(id) = idle.min_by_key(|(id, slot)| (slot.idle_since, **id)).map(|(id, _)| *id) else { return false };
        if let Some(slot) = table.slots.remove(&id) {
            slot.give_way.cancel();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic runs under this lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    requests: Arc<AtomicUsize>,
    /// Cancelled when it is to end.
    pub(super) give_way: CancellationToken,
}

impl Place {
    /// A request has come; it is being answered until this is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        // Under the lock, so that nobody is told to give way at the same moment.
        let _table = self.connections.lock();
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().slots.remove(&self.id);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut table = self.0.connections.lock();
        let turn = table.turn();
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(slot) = table.slots.get_mut(&self.0.id) {
            slot.idle_since = turn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_used_least_gives_way_and_who_is_busy_never_does() {
        let connections = Arc::new(Connections::default());
        let enter = || connections.enter(3).map(Arc::new);
        let [a, b, c] = [(); 3].map(|()| enter().unwrap());
        let gone = || [&a, &b, &c].map(|place| place.give_way.is_cancelled());
        drop(c.busy());
        drop(a.busy());
        let d = enter().unwrap();
        assert_eq!(gone(), [false, true, false], "b was never used");
        let e = enter().unwrap();
        assert!(d.give_way.is_cancelled(), "it was never used, and all others were");
        let busy = [&a, &c, &e].map(Place::busy);
        assert!(enter().is_none(), "all are busy");
        drop(busy);
        let f = enter().unwrap();
        assert_eq!(gone(), [true, true, false], "the request of a ended first");
        drop(c);
        assert!(enter().is_some() && !e.give_way.is_cancelled() && !f.give_way.is_cancelled(), "there was a place");
    }
}
