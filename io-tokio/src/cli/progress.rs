//! A bar or a counter on stderr while much is moved, for people only.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;

/// Shown while records are moved; drawing stops when it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    records: u64,
}

impl Progress {
    /// `total`: how many of the unit there will be, when that is known.
    pub(super) fn start(out: &Output, verb: &'static str, total: Option<u64>, unit: Unit) -> Self {
        let bar = match (out.shows_progress(), total) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(total)) => ProgressBar::new(total),
            (true, None) => ProgressBar::new_spinner(),
        };
        let place = match (total, unit) {
            (Some(_), Unit::Bytes) => "[{bar:30}] {bytes}/{total_bytes}, ",
            (Some(_), Unit::Records) => "[{bar:30}] ",
            (None, _) => "{spinner} ",
        };
        let style = ProgressStyle::with_template(&format!("{{prefix}} {place}{{msg}}"));
        bar.set_style(style.expect("the template is sound"));
        bar.set_prefix(verb);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, began: Instant::now(), records: 0 }
    }

    /// Where it stands now: `at` of the total, `records` in all.
    pub(super) fn update(&mut self, at: u64, records: u64) {
        self.records = records;
        self.bar.set_position(at);
        self.bar.set_message(format!("{records} records, {}/s", self.per_second()));
    }

    /// Takes the bar away; gives the seconds since the start and the records per second.
    pub(super) fn finish(self) -> (f64, u64) {
        self.bar.finish_and_clear();
        (self.began.elapsed().as_secs_f64(), self.per_second())
    }

    fn per_second(&self) -> u64 {
        // Below a microsecond there is no speed to speak of.
        (self.records as f64 / self.began.elapsed().as_secs_f64().max(1e-6)) as u64
    }
}

/// What a total counts.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Bytes,
    Records,
}
