//! One direction of a connection.

use std::collections::VecDeque;

use bytes::Bytes;

#[derive(Clone, Debug)]
pub(super) enum What {
    Bytes(Bytes),
    End,
}

/// What was sent and has not arrived, in order.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: VecDeque<(u64, What)>,
    /// Bytes that the system has taken from the sender and not seen acknowledged.
    held: usize,
    /// Bytes that the sender gave and that the system has not taken.
    unwritten: usize,
    /// Bytes that arrived while acknowledgements did not come back.
    unheard: usize,
    /// Bytes that were acknowledged and are not yet taken off `held`.
    heard: usize,
    /// When the last piece is across.
    last: u64,
    count: u64,
    /// The first piece is on its way.
    pub(super) due: bool,
}

impl Lane {
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn unwritten(&self) -> usize {
        self.unwritten
    }

    pub(super) fn push(&mut self, now: u64, crossing: u64, what: What) {
        self.last = self.last.max(now + crossing);
        self.count += 1;
        if let What::Bytes(bytes) = &what {
            self.unwritten += bytes.len();
        }
        self.queue.push_back((self.last, what));
    }

    /// How many more bytes the system takes now, if any.
    pub(super) fn report(&mut self, buffer: usize) -> std::option::IntoIter<usize> {
        let mut taken = 0;
        loop {
            let room = buffer.saturating_sub(self.held).min(self.unwritten);
            self.held += room;
            self.unwritten -= room;
            taken += room;
            // A piece may arrive before all of it was reported as taken.
            let arrived = self.held.min(self.heard);
            self.held -= arrived;
            self.heard -= arrived;
            if room == 0 && arrived == 0 {
                return (taken > 0).then_some(taken).into_iter();
            }
        }
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.front().map(|(at, _)| *at)
    }

    pub(super) fn take(&mut self, now: u64) -> Option<What> {
        self.queue.pop_front_if(|(at, _)| *at <= now).map(|(_, what)| what)
    }

    /// So many bytes have arrived; the sender's system learns of it when the way back is open.
    pub(super) const fn acknowledge(&mut self, arrived: usize, back_open: bool) {
        self.unheard += arrived;
        if back_open {
            self.heard += self.unheard;
            self.unheard = 0;
        }
    }

    /// Everything under way is lost.
    pub(super) fn lose(&mut self) {
        self.queue.clear();
        self.due = false;
    }

    /// Only the end of the stream is still told.
    pub(super) fn keep_only_end(&mut self) {
        self.queue.retain(|(_, what)| matches!(what, What::End));
    }
}
