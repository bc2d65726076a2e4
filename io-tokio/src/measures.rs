//! Times and counts that a node takes of its own work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets of a [`Histogram`], in microseconds; one more takes what is beyond them.
pub const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// How long something took, over all times it was done.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What a [`Histogram`] held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many fell into each bucket, none of them counted twice; the last one has no bound.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What it holds now.
    #[must_use]
    pub fn read(&self) -> Durations {
        let buckets = std::array::from_fn(|at| self.buckets.get(at).map_or(0, |count| count.load(Ordering::Relaxed)));
        Durations { buckets, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

impl Durations {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean of those since an earlier moment, in microseconds; `None` when there were none.
    #[must_use]
    pub fn mean_us_since(&self, earlier: &Self) -> Option<u64> {
        let count = self.count().saturating_sub(earlier.count());
        self.sum_us.saturating_sub(earlier.sum_us).checked_div(count)
    }
}

/// What a node measures while it runs.
#[derive(Debug, Default)]
pub struct Measures {
    /// Writes, from the call to the answer: as long as whoever wrote had to wait.
    pub writes: Histogram,
    /// Writes and syncs of the log, from the moment they were handed to the disk.
    pub syncs: Histogram,
    /// Writes that were answered with an error of the disk.
    pub(crate) failed_writes: AtomicU64,
}

impl Measures {
    /// Writes that were answered with an error of the disk.
    #[must_use]
    pub fn failed_writes(&self) -> u64 {
        self.failed_writes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_one_bucket() {
        let histogram = Histogram::default();
        for us in [0, 50, 51, 999, 1_000, 10_000_000, 10_000_001, 90_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let read = histogram.read();
        assert_eq!((read.count(), read.buckets[0], read.buckets[1], read.buckets[16]), (8, 2, 1, 2));
        assert_eq!(read.buckets[4], 2, "a bound belongs to the bucket below it");
        assert_eq!(read.sum_us, 110_002_101);
        histogram.observe(Duration::from_micros(30));
        assert_eq!(histogram.read().mean_us_since(&read), Some(30));
        assert_eq!(read.mean_us_since(&read), None);
    }
}
