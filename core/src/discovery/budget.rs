//! So many at once, so many a second.

use crate::time::Instant;

const UNIT: u64 = 1_000_000;

/// A token bucket that starts full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    burst: u32,
    per_second: u32,
    /// In millionths.
    level: u64,
    at: Instant,
}

impl Budget {
    pub(super) const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second, level: burst as u64 * UNIT, at: Instant(0) }
    }

    /// Takes one if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let grown = self.level.saturating_add(passed.saturating_mul(u64::from(self.per_second)));
        self.level = grown.min(u64::from(self.burst) * UNIT);
        self.at = self.at.max(now);
        if self.level < UNIT {
            return false;
        }
        self.level -= UNIT;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, at: Instant) -> usize {
        (0..100).filter(|_| budget.take(at)).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut budget = Budget::new(5, 2);
        let start = Instant(7_000_000);
        assert_eq!(taken(&mut budget, start), 5);
        assert_eq!(taken(&mut budget, Instant(start.0 + 499_999)), 0);
        assert_eq!(taken(&mut budget, Instant(start.0 + 1_500_000)), 3);
        assert_eq!(taken(&mut budget, Instant(u64::MAX)), 5, "it never holds more than the burst");
        assert_eq!(taken(&mut budget, start), 0, "time that goes back gives nothing");
    }
}
