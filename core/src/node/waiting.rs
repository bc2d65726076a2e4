//! Answers that are not yet true, in the order in which they become so.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::types::{RequestId, Written};
use crate::error::Error;
use crate::ids::Lsn;

/// An answer that is not yet true.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) result: Result<Vec<Written>, Error>,
    pub(super) bytes: usize,
}

/// When an answer becomes true, and whose it is.
type Turn = (Lsn, RequestId);

/// Answers that become true when everything up to their LSN is published.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Those that came in order, as nearly all do.
    queue: VecDeque<(Turn, Waiting)>,
    /// Those that came behind others, but speak of an earlier state.
    earlier: BTreeMap<Turn, Waiting>,
}

impl Answers {
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.earlier.len()
    }

    pub(super) fn insert(&mut self, lsn: Lsn, request: RequestId, waiting: Waiting) {
        let turn = (lsn, request);
        if self.queue.back().is_none_or(|(last, _)| *last < turn) {
            self.queue.push_back((turn, waiting));
        } else {
            self.earlier.insert(turn, waiting);
        }
    }

    /// Takes the first answer out if it is true when everything up to `through` is published.
    pub(super) fn pop_through(&mut self, through: Lsn) -> Option<(RequestId, Waiting)> {
        let earlier = self.earlier.first_key_value().map(|(turn, _)| *turn);
        let in_order =
            self.queue.front().map(|(turn, _)| *turn).filter(|turn| earlier.is_none_or(|earlier| *turn < earlier));
        let (lsn, request) = in_order.or(earlier)?;
        if lsn > through {
            return None;
        }
        let waiting = match in_order {
            Some(_) => self.queue.pop_front().map(|(_, waiting)| waiting),
            None => self.earlier.pop_first().map(|(_, waiting)| waiting),
        };
        waiting.map(|waiting| (request, waiting))
    }

    /// Takes out all that wait for `from` or what follows, in order.
    pub(super) fn split_off(&mut self, from: Lsn) -> impl Iterator<Item = (Turn, Waiting)> + use<> {
        let at = self.queue.partition_point(|((lsn, _), _)| *lsn < from);
        let mut all: Vec<_> = self.queue.split_off(at).into_iter().collect();
        all.extend(self.earlier.split_off(&(from, RequestId(0))));
        all.sort_unstable_by_key(|(turn, _)| *turn);
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waiting(bytes: usize) -> Waiting {
        Waiting { result: Ok(Vec::new()), bytes }
    }

    proptest! {
        #[test]
        fn answers_come_as_from_an_ordered_map(
            steps in proptest::collection::vec((0u8..6, 0u64..20), 1..100),
        ) {
            let mut answers = Answers::default();
            let mut model = BTreeMap::new();
            for (request, (step, lsn)) in (1u64..).zip(steps) {
                let turn = (Lsn(lsn), RequestId(request));
                match step {
                    0..=3 => {
                        answers.insert(turn.0, turn.1, waiting(request as usize));
                        model.insert(turn, request as usize);
                    }
                    4 => {
                        while let Some((request, waiting)) = answers.pop_through(Lsn(lsn)) {
                            let first = model.pop_first().map(|((_, request), bytes)| (request, bytes));
                            prop_assert_eq!(first, Some((request, waiting.bytes)));
                        }
                        prop_assert!(model.keys().all(|(left, _)| left.0 > lsn));
                    }
                    _ => {
                        let off: Vec<_> = answers.split_off(Lsn(lsn)).map(|(turn, off)| (turn, off.bytes)).collect();
                        let expected: Vec<_> = model.split_off(&(Lsn(lsn), RequestId(0))).into_iter().collect();
                        prop_assert_eq!(off, expected);
                    }
                }
                prop_assert_eq!(answers.len(), model.len());
            }
        }
    }
}
