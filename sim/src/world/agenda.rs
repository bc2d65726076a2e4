//! What is to happen, in the order of its times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things to come. Of those of one time, the first to be put down comes first.
pub(super) struct Agenda<T> {
    /// When, which number it has, and where it lies.
    times: BinaryHeap<Reverse<(u64, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    last: u64,
}

impl<T> Agenda<T> {
    pub(super) const fn new() -> Self {
        Self { times: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), last: 0 }
    }

    pub(super) fn put(&mut self, at: u64, thing: T) {
        self.last += 1;
        let place = self.free.pop().unwrap_or(self.things.len());
        match self.things.get_mut(place) {
            Some(free) => *free = Some(thing),
            None => self.things.push(Some(thing)),
        }
        self.times.push(Reverse((at, self.last, place)));
    }

    /// When the first of them comes.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.times.peek().map(|Reverse((at, ..))| *at)
    }

    /// The first of them, if its time has come.
    pub(super) fn take(&mut self, now: u64) -> Option<T> {
        self.next_at().filter(|at| *at <= now)?;
        let Reverse((_, _, place)) = self.times.pop()?;
        self.free.push(place);
        self.things.get_mut(place)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_taken_first_and_of_one_time_in_the_order_in_which_it_was_put_down() {
        let mut agenda = Agenda::new();
        [(3, 'a'), (5, 'c'), (5, 'd'), (3, 'b')].into_iter().for_each(|(at, thing)| agenda.put(at, thing));
        assert_eq!((agenda.take(2), agenda.next_at()), (None, Some(3)));
        assert_eq!([agenda.take(3), agenda.take(3), agenda.take(4)], [Some('a'), Some('b'), None]);
        // What lies where something else has lain comes in its own turn: the last of all where the first was.
        agenda.put(4, 'x');
        agenda.put(5, 'e');
        let rest = std::iter::from_fn(|| agenda.take(9)).collect::<String>();
        assert_eq!((rest.as_str(), agenda.next_at()), ("xcde", None));
    }
}
