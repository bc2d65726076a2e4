//! Hybrid logical clock: Kulkarni et al., "Logical Physical Clocks" (2014), packed into 64 bits.
//!
//! A [`Stamp`] carries 48 bits of wall milliseconds and a 16-bit counter. Packing them into one integer lets a
//! counter overflow carry into the milliseconds, so that a clock can tick any number of times in one millisecond.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::WallTime;

const COUNTER_BITS: u32 = 16;
/// Half of what a stamp can say: however far ahead a clock is, there are stamps above its own.
const MAX_WALL_MS: u64 = (1 << (63 - COUNTER_BITS)) - 1;

/// A point of hybrid logical time: the milliseconds in the upper 48 bits, the counter in the lower 16.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(pub u64);

impl Stamp {
    /// No clock comes here, be it at the end of time and ticking through 2^40 writes. Only writes over versions that stand
    /// here already are stamped higher, each by one (see [`crate::op::Operation::stamp_limit`]).
    pub const HORIZON: Self = Self((MAX_WALL_MS << COUNTER_BITS) + (1 << 40));

    /// The first stamp of a millisecond. Times past the year 6429 are held at the greatest one.
    #[must_use]
    pub fn from_wall(wall: WallTime) -> Self {
        Self(wall.0.min(MAX_WALL_MS) << COUNTER_BITS)
    }

    /// The wall-clock part.
    #[must_use]
    pub const fn wall(self) -> WallTime {
        WallTime(self.0 >> COUNTER_BITS)
    }

    /// The counter within the millisecond.
    #[must_use]
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The next one.
    #[must_use]
    pub const fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.wall(), self.counter())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A stamp for a new operation, and how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The stamp itself.
    pub stamp: Stamp,
    /// The overwritten version stood ahead of the own clock, and the stamp was lifted above it. Such a stamp says
    /// nothing about the own clock, so it is not adopted on replay.
    pub lifted: bool,
}

/// A replica's own clock. It never goes back, whatever the wall clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hlc {
    last: Stamp,
}

impl Hlc {
    /// A clock that has already shown `last`.
    #[must_use]
    pub const fn starting_at(last: Stamp) -> Self {
        Self { last }
    }

    /// The greatest stamp this clock has shown or adopted.
    #[must_use]
    pub const fn last(&self) -> Stamp {
        self.last
    }

    /// Ticks, and stamps a new operation above both this clock and the version it overwrites.
    pub fn issue(&mut self, wall: WallTime, overwritten: Option<Stamp>) -> Issued {
        self.last = self.last.after().max(Stamp::from_wall(wall));
        match overwritten {
            Some(above) if above >= self.last => Issued { stamp: above.after(), lifted: true },
            Some(_) | None => Issued { stamp: self.last, lifted: false },
        }
    }

    /// Takes over an own stamp found in the log, so that the clock does not go back across a restart.
    pub fn restore(&mut self, own: Stamp) {
        self.last = self.last.max(own);
    }

    /// Adopts a stamp heard from elsewhere, but no further than `max_drift` beyond the wall clock: a node whose
    /// clock stands a year ahead must not drag the others along.
    pub fn adopt(&mut self, heard: Stamp, wall: WallTime, max_drift: Duration) {
        let drift_ms = u64::try_from(max_drift.as_millis()).unwrap_or(u64::MAX);
        let bound = Stamp::from_wall(WallTime(wall.0.saturating_add(drift_ms)));
        self.last = self.last.max(heard.min(bound));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clock_ticks_within_one_millisecond() {
        let mut clock = Hlc::default();
        let a = clock.issue(WallTime(1000), None).stamp;
        let b = clock.issue(WallTime(1000), None).stamp;
        assert!(a < b);
        assert_eq!((b.wall(), b.counter()), (WallTime(1000), 1));
    }

    #[test]
    fn a_counter_overflow_carries_into_the_milliseconds() {
        let mut clock = Hlc::starting_at(Stamp(Stamp::from_wall(WallTime(7)).0 | 0xffff));
        assert_eq!(clock.issue(WallTime(7), None).stamp, Stamp::from_wall(WallTime(8)));
    }

    #[test]
    fn a_version_from_the_future_is_overwritten_without_dragging_the_clock() {
        let mut clock = Hlc::default();
        let year_ahead = Stamp::from_wall(WallTime(31_536_000_000));
        let issued = clock.issue(WallTime(1000), Some(year_ahead));
        assert!(issued.lifted && issued.stamp > year_ahead);
        assert_eq!(clock.last().wall(), WallTime(1000));
    }

    #[test]
    fn what_stands_where_the_clock_stands_is_overwritten_above_it() {
        let now = Stamp::from_wall(WallTime(1000));
        for (overwritten, stamp, lifted) in
            [(now.0 - 1, now.0, false), (now.0, now.0 + 1, true), (now.0 + 1, now.0 + 2, true)]
        {
            let issued = Hlc::default().issue(WallTime(1000), Some(Stamp(overwritten)));
            assert_eq!(issued, Issued { stamp: Stamp(stamp), lifted }, "over {overwritten}");
        }
    }

    #[test]
    fn a_clock_adopts_what_it_hears_within_the_drift_and_goes_on_from_its_own_stamps() {
        let at = |ms| Stamp::from_wall(WallTime(ms));
        let mut clock = Hlc::default();
        clock.adopt(at(1050), WallTime(1000), Duration::from_millis(100));
        assert_eq!(clock.last(), at(1050));
        clock.adopt(at(9999), WallTime(1000), Duration::from_millis(100));
        assert_eq!(clock.last(), at(1100), "no further");
        clock.restore(Stamp(at(2000).0 + 3));
        assert_eq!(clock.issue(WallTime(1000), None).stamp, Stamp(at(2000).0 + 4));
    }

    #[test]
    fn no_clock_comes_to_the_horizon() {
        let last = Stamp::from_wall(WallTime(u64::MAX));
        assert!(last < Stamp::HORIZON && Stamp::HORIZON.0 - last.0 == 1 << 40);
        assert!(last.0 > u64::MAX / 2 - (1 << 16), "half of what a stamp can say");
        assert_eq!(alloc::format!("{} {last:?}", Stamp(5 << 16 | 3)), alloc::format!("0.005+3 {last}"));
    }

    proptest! {
        #[test]
        fn the_clock_never_goes_back(steps in proptest::collection::vec((0u64..5000, 0u64..10_000, 0u8..3), 1..200)) {
            let mut clock = Hlc::default();
            let mut before = clock.last();
            for (wall, other, what) in steps {
                let wall = WallTime(wall);
                let other = Stamp::from_wall(WallTime(other));
                match what {
                    0 => {
                        let issued = clock.issue(wall, None);
                        prop_assert!(issued.stamp > before);
                    }
                    1 => {
                        let issued = clock.issue(wall, Some(other));
                        prop_assert!(issued.stamp > other && issued.stamp > before);
                    }
                    _ => {
                        clock.adopt(other, wall, Duration::from_millis(100));
                        prop_assert!(clock.last() <= before.max(Stamp::from_wall(WallTime(wall.0 + 100))));
                    }
                }
                prop_assert!(clock.last() >= before);
                before = clock.last();
            }
        }
    }
}
