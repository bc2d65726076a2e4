//! Those who wait for an answer of the node, by the number of what they asked.

use std::collections::{BTreeMap, VecDeque};

use softadastra_core::node::RequestId;

use super::command::Waiting;

/// Who waits. Writes are many, and answered about in the order in which they came; the rest are few, and may take their time.
#[derive(Default)]
pub(super) struct Line {
    /// The number of the first place.
    first: u64,
    /// Writers. The first place is never empty.
    writers: VecDeque<Option<Waiting>>,
    others: BTreeMap<RequestId, Waiting>,
}

impl Line {
    /// Notes who is to be given the answer to a request. Requests of writers come with rising numbers.
    pub(super) fn join(&mut self, request: RequestId, waiting: Waiting) {
        let RequestId(number) = request;
        if !matches!(waiting, Waiting::Write { .. }) {
            let before = self.others.insert(request, waiting);
            assert!(before.is_none(), "a node gives out each request id once");
            return;
        }
        if self.writers.is_empty() {
            self.first = number;
        }
        let next = self.first + self.writers.len() as u64;
        assert!(next <= number, "a node gives out each request id once, and they rise");
        // Those between are of others.
        self.writers.extend((next..number).map(|_| None));
        self.writers.push_back(Some(waiting));
    }

    /// Takes out who waits for the answer to a request.
    pub(super) fn leave(&mut self, request: RequestId) -> Option<Waiting> {
        let place =
            request.0.checked_sub(self.first).and_then(|place| self.writers.get_mut(usize::try_from(place).ok()?));
        let Some(writer) = place.and_then(Option::take) else { return self.others.remove(&request) };
        while self.writers.pop_front_if(|place| place.is_none()).is_some() {
            self.first += 1;
        }
        Some(writer)
    }

    /// The request that waits longest.
    pub(super) fn oldest(&self) -> Option<RequestId> {
        let writer = (!self.writers.is_empty()).then_some(RequestId(self.first));
        writer.into_iter().chain(self.others.keys().next().copied()).min()
    }

    /// How many wait, or a few more: among writers the places of others count, too.
    pub(super) fn len(&self) -> usize {
        self.writers.len() + self.others.len()
    }

    /// Lets all of them go without an answer.
    pub(super) fn clear(&mut self) {
        self.writers.clear();
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    #[test]
    fn whoever_waits_is_found_in_any_order_and_once() {
        let room = Arc::new(Semaphore::new(100));
        let mut line = Line::default();
        let write = |line: &mut Line, number| {
            let (answer, reply) = oneshot::channel();
            let room = room.clone().try_acquire_owned().unwrap();
            line.join(RequestId(number), Waiting::Write { answer, _room: room });
            reply
        };
        let flush = |line: &mut Line, number| {
            let (answer, reply) = oneshot::channel();
            line.join(RequestId(number), Waiting::Flush(answer));
            reply
        };
        let _flushes = [flush(&mut line, 3), flush(&mut line, 6)];
        let mut replies: Vec<_> = [5, 7, 8, 12].into_iter().map(|number| write(&mut line, number)).collect();
        assert_eq!(line.oldest(), Some(RequestId(3)));
        let is_writer = |left: Option<Waiting>| matches!(left, Some(Waiting::Write { .. }));
        assert!(is_writer(line.leave(RequestId(7))) && line.leave(RequestId(7)).is_none());
        assert!(replies[1].try_recv().is_err() && line.leave(RequestId(4)).is_none());
        assert!(matches!(line.leave(RequestId(3)), Some(Waiting::Flush(_))));
        assert_eq!(line.oldest(), Some(RequestId(5)));
        assert!(is_writer(line.leave(RequestId(5))));
        assert_eq!((line.oldest(), line.writers.len()), (Some(RequestId(6)), 5), "places of who has left are given up");
        assert!(line.leave(RequestId(9)).is_none() && is_writer(line.leave(RequestId(12))));
        assert!(is_writer(line.leave(RequestId(8))) && line.writers.is_empty() && line.len() > 0);
        assert!(matches!(line.leave(RequestId(6)), Some(Waiting::Flush(_))) && line.len() == 0);

        replies.push(write(&mut line, 20));
        let _flush = flush(&mut line, 21);
        assert!(line.len() > 0);
        line.clear();
        assert!(line.len() == 0 && line.leave(RequestId(20)).is_none() && line.leave(RequestId(21)).is_none());
    }
}
