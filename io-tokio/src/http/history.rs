//! The last minutes, in small steps, for the charts of the console.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::Local;
use crate::measures::Durations;

/// How often is looked.
const STEP: Duration = Duration::from_secs(2);

/// How many looks are kept: ten minutes.
const MOST: usize = 300;

/// How the node did at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Milliseconds since 1970.
    at_ms: u64,
    /// Writes since the moment before, for each second.
    writes: f64,
    /// Changes taken from peers since then, for each second.
    taken: f64,
    /// Mean time of those writes, in microseconds; absent without any.
    write_us: Option<u64>,
    /// Own operations that are not acknowledged.
    outbox: u64,
    /// Changes that the peer furthest behind lacks.
    lag: u64,
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

/// Counts at the look before.
#[derive(Clone, Copy, Default)]
struct Before {
    at_ms: u64,
    writes: Durations,
    taken: u64,
}

impl History {
    /// The samples after this moment, oldest first.
    pub(super) fn after(&self, at_ms: u64) -> Vec<Sample> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|sample| sample.at_ms > at_ms).cloned().collect()
    }

    /// Looks again and again, until the node has closed.
    pub(super) async fn sample(&self, local: Local) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            ticks.tick().await;
            let Ok((now, sample)) = look(&local, before) else { return };
            if before.replace(now).is_some() {
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= MOST {
                    kept.pop_front();
                }
                kept.push_back(sample);
            }
        }
    }
}

fn look(local: &Local, before: Option<Before>) -> Result<(Before, Sample), crate::Error> {
    let client = local.client();
    let (sync, at_ms) = (client.sync_state()?, client.now().wall.0);
    let lags = client.peers().unwrap_or_default().into_iter().filter_map(|peer| peer.sync.map(|sync| sync.lag));
    let now = Before { at_ms, writes: client.measures().writes.read(), taken: sync.traffic.taken };
    let before = before.unwrap_or(now);
    let rate = |more: u64| {
        let ms = now.at_ms.saturating_sub(before.at_ms).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a picture needs no more")]
        let rate = more as f64 * 1000.0 / ms as f64;
        (rate * 10.0).round() / 10.0
    };
    let sample = Sample {
        at_ms,
        writes: rate(now.writes.count().saturating_sub(before.writes.count())),
        taken: rate(now.taken.saturating_sub(before.taken)),
        write_us: now.writes.mean_us_since(&before.writes),
        outbox: sync.outbox.size(),
        lag: lags.max().unwrap_or(0),
    };
    Ok((now, sample))
}
