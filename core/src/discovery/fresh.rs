//! Is this datagram said now, or said once and played again?
//!
//! Three things speak for now: a count that was not heard before in this life of the sender; a clock that runs along with
//! ours; and, where clocks disagree, the answer to a question that only now could be known.

use alloc::collections::BTreeMap;
use core::time::Duration;

use zeroize::Zeroizing;

use super::message::Nonce;
use crate::dice::Secrets;
use crate::identity::NodeKey;
use crate::time::{Instant, Now, WallTime};

/// How long a question stays the same. Its answer is taken as long again.
const EPOCH: Duration = Duration::from_secs(10);
/// An answer that is taken was asked for within this time.
pub(super) const ANSWERABLE: Duration = Duration::from_secs(2 * EPOCH.as_secs());

/// The questions of this node. They are computed, not remembered: whoever is asked, it costs no memory.
pub(super) struct Questions(Zeroizing<[u8; 32]>);

impl Questions {
    pub(super) fn new(secrets: &mut Secrets) -> Self {
        Self(Zeroizing::new(secrets.key()))
    }

    /// The question of this moment.
    pub(super) fn ask(&self, now: Instant) -> Nonce {
        self.of_epoch(epoch(now))
    }

    /// Whether `answer` is the question of this moment or of the epoch before.
    pub(super) fn is_answered(&self, now: Instant, answer: &Nonce) -> bool {
        let epoch = epoch(now);
        *answer == self.of_epoch(epoch) || epoch.checked_sub(1).is_some_and(|before| *answer == self.of_epoch(before))
    }

    fn of_epoch(&self, epoch: u64) -> Nonce {
        let hash = blake3::keyed_hash(&self.0, &epoch.to_le_bytes());
        let (nonce, _) = hash.as_bytes().split_first_chunk().expect("32 bytes hold 16");
        *nonce
    }
}

const fn epoch(now: Instant) -> u64 {
    now.0 / (EPOCH.as_secs() * 1_000_000)
}

/// How long a node has to answer before it is asked again.
const PATIENCE: Duration = EPOCH;
/// Nodes of which it is remembered that they were asked.
const MAX_ASKED: usize = 256;

/// Whom we have asked, and who has not answered.
#[derive(Default)]
pub(super) struct Asked(BTreeMap<NodeKey, (Instant, Instant)>);

impl Asked {
    /// Whether this node may be asked now.
    pub(super) fn may_ask(&self, now: Instant, key: &NodeKey) -> bool {
        self.0.get(key).is_none_or(|(_, last)| now >= *last + PATIENCE)
    }

    pub(super) fn insert(&mut self, now: Instant, key: NodeKey) {
        if self.0.len() >= MAX_ASKED
            && !self.0.contains_key(&key)
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(key, (_, last))| (*last, **key))
        {
            let oldest = *oldest;
            self.0.remove(&oldest);
        }
        self.0.entry(key).or_insert((now, now)).1 = now;
    }

    pub(super) fn remove(&mut self, key: &NodeKey) {
        self.0.remove(key);
    }

    /// Whether this node has had time to answer, and has not.
    pub(super) fn is_overdue(&self, now: Instant, key: &NodeKey) -> bool {
        self.0.get(key).is_some_and(|(first, _)| now >= *first + PATIENCE)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Which counts of one life were heard: the highest, and the 127 before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    /// Bit n: `highest - n` was heard.
    heard: u128,
}

impl Window {
    pub(super) const fn starting_with(count: u64) -> Self {
        Self { highest: count, heard: 1 }
    }

    /// Whether `count` was heard, or is too old to tell.
    pub(super) const fn holds(&self, count: u64) -> bool {
        if count > self.highest {
            return false;
        }
        let age = self.highest - count;
        age >= u128::BITS as u64 || self.heard >> age & 1 == 1
    }

    pub(super) const fn insert(&mut self, count: u64) {
        if count > self.highest {
            let step = count - self.highest;
            self.heard = if step < u128::BITS as u64 { self.heard << step | 1 } else { 1 };
            self.highest = count;
        } else if self.highest - count < u128::BITS as u64 {
            self.heard |= 1 << (self.highest - count);
        }
    }
}

/// How another node's wall clock relates to our monotonic one, since the last proof. Our own wall clock may then jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerClock {
    /// Its wall clock minus our monotonic clock, in milliseconds.
    offset: i64,
    /// The latest time it was heard to say.
    latest: WallTime,
}

impl PeerClock {
    pub(super) fn learnt(now: Now, said: WallTime) -> Self {
        Self { offset: difference(said, WallTime(now.mono.0 / 1000)), latest: said }
    }

    pub(super) fn hear(&mut self, said: WallTime) {
        self.latest = self.latest.max(said);
    }

    pub(super) const fn latest(&self) -> WallTime {
        self.latest
    }

    /// Whether it would say `said` by now, give or take `window`.
    pub(super) fn runs_along(&self, now: Now, said: WallTime, window: Duration) -> bool {
        let error = difference(said, WallTime(now.mono.0 / 1000)).saturating_sub(self.offset);
        u128::from(error.unsigned_abs()) <= window.as_millis()
    }
}

/// Milliseconds by which `a` is ahead of `b`.
pub(super) fn difference(a: WallTime, b: WallTime) -> i64 {
    let clamp = |wall: WallTime| i64::try_from(wall.0).unwrap_or(i64::MAX);
    clamp(a).saturating_sub(clamp(b))
}

/// Whether `said` is the time by our own wall clock, give or take `window`.
pub(super) fn is_near(now: Now, said: WallTime, window: Duration) -> bool {
    u128::from(difference(said, now.wall).unsigned_abs()) <= window.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Seed;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_taken_for_one_epoch_more() {
        let questions = Questions::new(&mut Seed::from_number(1).secrets("q"));
        let others = Questions::new(&mut Seed::from_number(2).secrets("q"));
        let at = |seconds: u64| Instant(seconds * 1_000_000);
        let asked = questions.ask(at(19));
        assert!(questions.is_answered(at(19), &asked) && questions.is_answered(at(29), &asked));
        assert!(!questions.is_answered(at(30), &asked), "too late");
        assert!(!questions.is_answered(at(9), &asked), "too early");
        assert!(!others.is_answered(at(19), &asked));
    }

    #[test]
    fn a_peers_clock_is_followed_by_our_monotonic_one() {
        let now = |seconds: u64, wall: u64| Now { mono: Instant(seconds * 1_000_000), wall: WallTime(wall) };
        let clock = PeerClock::learnt(now(10, 5), WallTime(1_000_000));
        let window = Duration::from_secs(120);
        assert!(
            clock.runs_along(now(70, 99_999_999), WallTime(1_060_000), window),
            "our own wall clock does not matter"
        );
        assert!(clock.runs_along(now(70, 0), WallTime(1_060_000 + 120_000), window));
        assert!(!clock.runs_along(now(70, 0), WallTime(1_060_000 + 120_001), window));
        assert!(!clock.runs_along(now(70, 0), WallTime(1_060_000 - 120_001), window));
        assert_eq!(difference(WallTime(u64::MAX), WallTime(0)), i64::MAX);
    }

    #[test]
    fn whoever_does_not_answer_is_asked_again_after_a_while_and_is_overdue_since_the_first_time() {
        let at = |seconds: u64| Instant(seconds * 1_000_000);
        let mut asked = Asked::default();
        let key = NodeKey([1; 32]);
        assert!(asked.may_ask(at(0), &key) && !asked.is_overdue(at(100), &key), "nobody asked it");
        asked.insert(at(0), key);
        assert!(!asked.may_ask(at(9), &key) && asked.may_ask(at(10), &key));
        assert!(!asked.is_overdue(at(9), &key) && asked.is_overdue(at(10), &key));
        asked.insert(at(12), key);
        assert!(!asked.may_ask(at(21), &key) && asked.may_ask(at(22), &key));
        assert!(asked.is_overdue(at(13), &key));
        asked.remove(&key);
        assert!(asked.may_ask(at(13), &key) && !asked.is_overdue(at(100), &key), "it has answered");
    }

    #[test]
    fn of_too_many_who_were_asked_the_one_asked_longest_ago_is_forgotten() {
        let key = |number: usize| NodeKey([number as u8; 32]);
        let mut asked = Asked::default();
        for number in 0..MAX_ASKED {
            asked.insert(Instant(number as u64), key(number));
        }
        asked.insert(Instant(1000), key(0));
        assert_eq!(asked.len(), MAX_ASKED, "it was among them");
        asked.insert(Instant(1001), NodeKey(core::array::from_fn(|at| at as u8)));
        assert_eq!(asked.len(), MAX_ASKED);
        assert!(asked.may_ask(Instant(1001), &key(1)) && !asked.may_ask(Instant(1001), &key(0)));
        assert!(!asked.may_ask(Instant(1001), &key(2)));
    }

    #[test]
    fn a_count_far_ahead_leaves_nothing_of_the_window_but_what_it_still_spans() {
        for step in [1, 127, 128, 129, 1 << 40] {
            let mut window = Window::starting_with(1000);
            window.insert(1000 + step);
            assert!(window.holds(1000) && window.holds(1000 + step), "{step} ahead");
            let between = (1000 + step.saturating_sub(127).max(1)..1000 + step).find(|count| window.holds(*count));
            assert_eq!(between, None, "{step} ahead");
        }
    }

    #[test]
    fn the_latest_time_that_a_peer_said_stays_the_latest() {
        let now = Now { mono: Instant(0), wall: WallTime(0) };
        let mut clock = PeerClock::learnt(now, WallTime(500));
        clock.hear(WallTime(900));
        clock.hear(WallTime(700));
        assert_eq!(clock.latest(), WallTime(900));
    }

    proptest! {
        #[test]
        fn the_window_remembers_what_a_set_remembers(steps in proptest::collection::vec((0_u64..400, any::<bool>()), 1..200)) {
            let (first, rest) = steps.split_first().unwrap();
            let mut window = Window::starting_with(first.0);
            let mut model = BTreeSet::from([first.0]);
            for (count, insert) in rest {
                let highest = *model.last().unwrap();
                let old = highest.saturating_sub(*count) >= 128 && *count < highest;
                prop_assert_eq!(window.holds(*count), model.contains(count) || old);
                if *insert {
                    window.insert(*count);
                    model.insert(*count);
                }
            }
        }

        #[test]
        fn the_window_bears_the_ends_of_the_numbers(counts: Vec<u64>) {
            let mut window = Window::starting_with(u64::MAX);
            for count in counts {
                window.insert(count);
                prop_assert!(window.holds(count));
            }
        }
    }
}
