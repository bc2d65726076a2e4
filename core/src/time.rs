//! Time as the machines see it: handed in by the driver, never read.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Monotonic time in microseconds since an origin the driver chose. For deadlines only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time in milliseconds since 1970-01-01 UTC. It may jump either way: for stamps and display only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(pub u64);

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Both clocks, read by the driver once per input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock.
    pub wall: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn times_are_added_and_told_apart_and_never_wrap() {
        let at = Instant(2_000_000);
        assert_eq!(at + Duration::from_millis(5), Instant(2_005_000));
        assert_eq!(
            (at + Duration::MAX, Instant(u64::MAX).since(Instant(0))),
            (Instant(u64::MAX), Duration::from_micros(u64::MAX))
        );
        assert_eq!((at.since(Instant(500_000)), Instant(0).since(at)), (Duration::from_millis(1500), Duration::ZERO));
        assert_eq!(WallTime(1_700_000_000_042).to_string(), "1700000000.042");
    }
}
