//! In which runs a peer has shown itself: who is started anew is told from two that run under one name.
//!
//! A peer draws a number each time it starts. One that comes back after another was seen means that two run, unless it
//! is only heard late: a process may die with a handshake under way, and its successor's be through before that. What
//! counts is when a link was begun: whoever answers on it was alive since.

use alloc::collections::VecDeque;

/// Runs of one peer that are remembered.
const REMEMBERED: usize = 8;

/// The runs of one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// The latest first.
    pub(crate) seen: VecDeque<u64>,
    /// The last link that was begun, with whomever, before the latest of them showed itself.
    begun: u64,
}

/// What a run is that shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// The one that did last.
    Latest,
    /// One that never did.
    New,
    /// It comes from before another that has shown itself since, on a link begun thereafter: both are alive.
    Former,
    /// Another has shown itself since this link was begun: which of them is alive only a further link can tell.
    Late,
}

impl Runs {
    /// What the run is that shows itself on this link. Links are numbered in the order in which they are begun.
    pub(crate) fn judge(&self, run: u64, link: u64) -> Run {
        match self.seen.front() {
            Some(latest) if *latest == run => Run::Latest,
            Some(_) if link <= self.begun => Run::Late,
            _ if self.seen.contains(&run) => Run::Former,
            _ => Run::New,
        }
    }

    /// A run has shown itself, when links up to this one were begun.
    pub(crate) fn note(&mut self, run: u64, last: u64) {
        if self.seen.front() != Some(&run) {
            self.seen.retain(|seen| *seen != run);
            self.seen.push_front(run);
            self.seen.truncate(REMEMBERED);
            self.begun = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_judged_by_when_its_link_was_begun() {
        let mut runs = Runs::default();
        assert_eq!(runs.judge(1, 0), Run::New);
        runs.note(1, 3);
        assert_eq!((runs.judge(1, 0), runs.judge(1, 4)), (Run::Latest, Run::Latest));
        assert_eq!((runs.judge(2, 3), runs.judge(2, 4)), (Run::Late, Run::New));
        runs.note(2, 7);
        assert_eq!((runs.judge(1, 7), runs.judge(1, 8)), (Run::Late, Run::Former));
        // That the latest shows itself again changes nothing.
        runs.note(2, 9);
        assert_eq!(runs.judge(1, 8), Run::Former);
        runs.note(1, 9);
        assert_eq!((runs.judge(2, 9), runs.judge(2, 10)), (Run::Late, Run::Former));
    }

    #[test]
    fn so_many_runs_are_remembered() {
        let mut runs = Runs::default();
        (0..=REMEMBERED as u64).for_each(|run| runs.note(run, 0));
        assert_eq!((runs.judge(0, 1), runs.judge(1, 1)), (Run::New, Run::Former));
        runs.note(1, 0);
        assert_eq!(runs.seen, [1, 8, 7, 6, 5, 4, 3, 2]);
    }
}
