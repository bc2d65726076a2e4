//! Clocks that disagree: each host has a wall clock of its own, ahead or behind, fast or slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use softadastra::world::Clock;
use softadastra_core::time::{Instant, Now, WallTime};

/// When simulations begin: 1 January 2026.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

const MILLION: i128 = 1_000_000;

/// What is wrong with the clock of a host. It outlives crashes.
#[derive(Debug, Default)]
pub struct Skew {
    ahead_ms: AtomicI64,
    fast_ppm: i64,
}

impl Skew {
    /// A wall clock that is this far ahead at the beginning, and both clocks so many millionths too fast.
    #[must_use]
    pub const fn new(ahead_ms: i64, fast_ppm: i64) -> Self {
        Self { ahead_ms: AtomicI64::new(ahead_ms), fast_ppm }
    }

    /// Somebody sets the wall clock.
    pub fn step(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    fn shown(&self, really: Duration) -> u64 {
        let micros = really.as_micros() as i128;
        u64::try_from(micros + micros * i128::from(self.fast_ppm) / MILLION).unwrap_or(0)
    }

    /// A time at which at least this much is shown.
    fn really(&self, shown: u64) -> Option<Duration> {
        let micros = i128::from(shown) * MILLION / (MILLION + i128::from(self.fast_ppm)) + 1;
        u64::try_from(micros).ok().map(Duration::from_micros)
    }
}

/// The clocks of a host from one start to its end.
#[derive(Debug)]
pub struct HostClock {
    skew: Arc<Skew>,
    origin: tokio::time::Instant,
    /// How old the simulation was then.
    began: Duration,
}

impl HostClock {
    /// Starts the clocks of the host that is running. The monotonic one begins at zero, as after any boot.
    #[must_use]
    pub fn start(skew: Arc<Skew>) -> Self {
        Self { skew, origin: tokio::time::Instant::now(), began: turmoil::sim_elapsed().unwrap_or_default() }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Now {
        let up = self.origin.elapsed();
        let wall = EPOCH.as_millis() as i64 + (self.skew.shown(self.began + up) / 1000) as i64;
        let wall = wall.saturating_add(self.skew.ahead_ms.load(Ordering::Relaxed));
        Now { mono: Instant(self.skew.shown(up)), wall: WallTime(u64::try_from(wall).unwrap_or(0)) }
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        let deadline = self.skew.really(at.0).and_then(|after| self.origin.checked_add(after));
        async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_off_still_wakes_when_it_shows_the_deadline() {
        for fast in [-500, 0, 500] {
            let skew = Arc::new(Skew::new(-5000, fast));
            let clock = HostClock::start(skew.clone());
            let before = clock.now();
            let deadline = before.mono + Duration::from_secs(100);
            clock.sleep_until(deadline).await;
            let now = clock.now();
            let late = now.mono.since(deadline);
            assert!(now.mono >= deadline && late < Duration::from_millis(5), "{fast}: {late:?}");
            skew.step(60_000);
            assert_eq!(clock.now().wall.0, now.wall.0 + 60_000);
            assert_eq!(clock.now().mono, now.mono);
        }
    }
}
