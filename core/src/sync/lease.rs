//! Whose lease has run out: members that need not have seen a deletion before it is forgotten.
//!
//! Wall clocks leap. A member is taken for gone only if the wall clock says so *and* this node was up for long enough without
//! hearing of it, by its monotonic clock: then a leap ages nobody. Whoever is left out wrongly all the same (a clock that was
//! wrong when the node started, and stayed so) is met with a full exchange, and loses nothing.
//!
//! Times that others say are believed up to [`CLOCKS_APART`] ahead of the own clock as it stood when they came, or when the node
//! started. Else a single clock that was ahead once would hold back collections until all clocks show that time.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::members::Member;
use super::{LeaseClock, Settings};
use crate::ids::ReplicaId;
use crate::limits::MAX_MEMBERS;
use crate::time::{Instant, Now, WallTime};

/// A member that was not heard since the start counts for so long: perhaps it was this node that was away.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// The clocks of two nodes may lie so far apart before one's times are not believed by the other: the shortest lease.
pub(super) const CLOCKS_APART: Duration = Duration::from_secs(3600);

/// Signs of life in this run.
#[derive(Debug)]
pub(super) struct Leases {
    started: Now,
    heard: BTreeMap<ReplicaId, Sign>,
}

/// The latest word of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sign {
    at: Instant,
    /// When the member was heard then, as far as that was believed.
    wall: WallTime,
}

impl Leases {
    pub(super) const fn new(started: Now) -> Self {
        Self { started, heard: BTreeMap::new() }
    }

    /// There was word of a member, from itself or from others: it was `heard` at that time.
    pub(super) fn note(&mut self, now: Now, replica: ReplicaId, heard: WallTime) {
        if self.heard.len() < MAX_MEMBERS || self.heard.contains_key(&replica) {
            let wall = heard.min(later(now.wall, CLOCKS_APART));
            let sign = self.heard.entry(replica).or_insert(Sign { at: now.mono, wall });
            *sign = Sign { at: now.mono, wall: sign.wall.max(wall) };
        }
    }

    /// When a member was last heard, as far as that is believed.
    fn heard(&self, now: Now, replica: ReplicaId, member: &Member) -> WallTime {
        if member.heard <= later(now.wall, CLOCKS_APART) {
            return member.heard;
        }
        let at_start = member.heard.min(later(self.started.wall, CLOCKS_APART));
        self.heard.get(&replica).map_or(at_start, |sign| at_start.max(sign.wall))
    }

    /// Whether a member holds back the collection of what it has not seen.
    pub(super) fn holds(&self, now: Now, settings: &Settings, replica: ReplicaId, member: &Member) -> bool {
        if planted!("collected_though_a_member_lacks_it") {
            return false;
        }
        let lease = settings.member_lease;
        let heard = self.heard(now, replica, member);
        let before = |wall: WallTime, time: Duration| heard < ago(wall, time);
        match settings.lease_clock {
            LeaseClock::Wall => ago(now.wall, GRACE) < self.started.wall || !before(now.wall, lease),
            LeaseClock::Steady if planted!("lease_by_the_wall_clock_alone") => !before(now.wall, lease),
            LeaseClock::Steady => {
                let up = now.mono.since(self.started.mono);
                let silent = match self.heard.get(&replica) {
                    Some(sign) => now.mono.since(sign.at) >= lease,
                    // As if the wall clock had not leapt since the start.
                    None => up >= GRACE && before(later(self.started.wall, up), lease),
                };
                !silent || !before(now.wall, lease)
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn ago(wall: WallTime, time: Duration) -> WallTime {
    WallTime(wall.0.saturating_sub(millis(time)))
}

pub(super) fn later(wall: WallTime, time: Duration) -> WallTime {
    WallTime(wall.0.saturating_add(millis(time)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::VersionVector;
    use crate::ids::NodeId;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const STEP: Duration = Duration::from_millis(1);
    const START: u64 = 1_700_000_000_000;

    fn heard(at: WallTime) -> Member {
        let (node, forgotten) = (NodeId::new("n").unwrap(), WallTime(0));
        Member { node, heard: at, forgotten, vector: VersionVector::EMPTY }
    }

    /// So long after the start, by either clock.
    fn after(mono: Duration, wall: Duration) -> Now {
        Now { mono: Instant(7) + mono, wall: later(WallTime(START), wall) }
    }

    fn leases() -> Leases {
        Leases::new(after(Duration::ZERO, Duration::ZERO))
    }

    fn settings(lease_clock: LeaseClock) -> Settings {
        Settings { member_lease: 10 * DAY, lease_clock, ..Settings::default() }
    }

    #[test]
    fn whoever_was_heard_in_this_run_counts_until_both_clocks_say_otherwise() {
        let (id, member) = (ReplicaId([1; 16]), heard(WallTime(START)));
        let mut leases = leases();
        leases.note(after(Duration::ZERO, Duration::ZERO), id, member.heard);
        let lease = 10 * DAY;
        for (mono, wall, holds) in [
            (lease, lease + STEP, false),
            (lease - STEP, lease + STEP, true),
            (lease, lease, true),
            (lease - STEP, 1000 * lease, true),
            (1000 * lease, lease, true),
        ] {
            assert_eq!(
                leases.holds(after(mono, wall), &settings(LeaseClock::Steady), id, &member),
                holds,
                "{mono:?} {wall:?}"
            );
        }
    }

    #[test]
    fn whoever_was_not_heard_since_the_start_counts_for_a_day_and_by_the_clock_of_the_start() {
        let id = ReplicaId([1; 16]);
        let (long_ago, lately) = (heard(ago(WallTime(START), 10 * DAY)), heard(ago(WallTime(START), 5 * DAY)));
        let leases = leases();
        let holds = |mono, wall, member| leases.holds(after(mono, wall), &settings(LeaseClock::Steady), id, member);
        assert!(holds(DAY - STEP, DAY, &long_ago) && !holds(DAY, DAY, &long_ago));
        assert!(holds(DAY, 1000 * DAY, &lately), "the wall clock has leapt");
        assert!(holds(5 * DAY, 5 * DAY + STEP, &lately) && !holds(5 * DAY + STEP, 5 * DAY + STEP, &lately));
        assert!(holds(6 * DAY, DAY, &lately), "the wall clock stands");
    }

    #[test]
    fn by_the_wall_clock_alone_everybody_counts_for_a_day_and_then_by_what_it_shows() {
        let id = ReplicaId([1; 16]);
        let long_ago = heard(ago(WallTime(START), 10 * DAY));
        let holds = |wall| leases().holds(after(Duration::ZERO, wall), &settings(LeaseClock::Wall), id, &long_ago);
        assert!(holds(DAY - STEP) && !holds(DAY));
        let lately = heard(ago(WallTime(START), 5 * DAY));
        let holds = |wall| leases().holds(after(Duration::ZERO, wall), &settings(LeaseClock::Wall), id, &lately);
        assert!(holds(5 * DAY) && !holds(5 * DAY + STEP));
    }

    /// Somebody's clock was a hundred years ahead: the lease runs from when that was heard, or from the start.
    #[test]
    fn a_time_far_ahead_is_taken_for_an_hour_ahead_of_when_it_came() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (id, lease) = (ReplicaId([1; 16]), 10 * DAY);
        let far = heard(later(WallTime(START), 36_500 * DAY));
        let holds = |leases: &Leases, at| leases.holds(after(at, at), &settings(LeaseClock::Steady), id, &far);
        let silent = leases();
        assert!(holds(&silent, lease + HOUR) && !holds(&silent, lease + HOUR + STEP));
        let mut told = leases();
        told.note(after(DAY, DAY), id, far.heard);
        assert!(holds(&told, DAY + lease + HOUR) && !holds(&told, DAY + lease + HOUR + STEP));
        let near = heard(later(WallTime(START), HOUR));
        let at = lease + HOUR;
        assert!(silent.holds(after(at, at), &settings(LeaseClock::Steady), id, &near), "as it was said");
    }

    /// The clock stood in the past when the node started, and was set right: what was said before is as true as ever.
    #[test]
    fn a_clock_that_was_far_behind_at_the_start_ages_nobody() {
        let id = ReplicaId([1; 16]);
        let lately = heard(ago(WallTime(START), DAY));
        let leases = Leases::new(Now { mono: Instant(7), wall: WallTime(0) });
        assert!(leases.holds(after(STEP, STEP), &settings(LeaseClock::Wall), id, &lately));
    }

    #[test]
    fn signs_of_life_are_kept_of_as_many_as_can_be_members() {
        let id = |number: usize| ReplicaId((number as u128).to_be_bytes());
        let mut leases = leases();
        for number in 0..=MAX_MEMBERS {
            leases.note(after(Duration::ZERO, Duration::ZERO), id(number), WallTime(START));
        }
        assert_eq!(leases.heard.len(), MAX_MEMBERS);
        leases.note(after(DAY, DAY), id(0), WallTime(START));
        let again = Sign { at: after(DAY, DAY).mono, wall: WallTime(START) };
        assert_eq!(leases.heard.get(&id(0)), Some(&again), "who is known is heard again");
    }
}
