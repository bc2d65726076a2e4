//! What a run has measured so far, and what there is to say of it.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::plan::Group;
use crate::table::Results;
use crate::{engines, goals};

/// The record of a run.
pub(crate) struct Record {
    /// The groups of which somebody is measured.
    pub(crate) groups: Vec<Group>,
    /// The figures.
    pub(crate) results: Results,
    /// Who has failed, and why.
    pub(crate) failures: Vec<String>,
    versions: Vec<String>,
    began: Instant,
    rounds: u32,
    seconds: f64,
}

impl Record {
    /// That of a run in which nothing has been measured yet; `versions` are those of peers that are no engines.
    #[must_use]
    pub(crate) fn of(args: &Args, groups: Vec<Group>, versions: Vec<String>, began: Instant) -> Self {
        let (results, failures) = (Results::default(), Vec::new());
        Self { groups, results, failures, versions, began, rounds: args.rounds, seconds: args.seconds }
    }

    /// All tables.
    #[must_use]
    pub(crate) fn markdown(&self) -> String {
        let how = in_words(self.rounds, self.seconds, self.began.elapsed());
        let mut text = format!("{}\n\n", machine(&self.versions, &how));
        for failure in &self.failures {
            text.push_str(&format!("{failure}\n\n"));
        }
        text.push_str(&goals::markdown(&self.results, &self.groups));
        for group in &self.groups {
            text.push_str(&self.results.markdown(*group));
        }
        text
    }
}

/// What the figures were taken on, and how.
fn machine(others: &[String], how: &str) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("unknown").trim();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut versions: Vec<_> = engines::peers().iter().map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    versions.extend(others.iter().cloned());
    format!("{cpu}, {cores} cores, load average {load} at the end; {}. {how}", versions.join(", "))
}

/// How much was measured, and how long that took.
fn in_words(rounds: u32, seconds: f64, took: Duration) -> String {
    let rounds = match rounds {
        1 => format!("One round of {seconds} s."),
        _ => format!("Medians of {rounds} rounds of {seconds} s; ratios are taken within each round."),
    };
    match took.as_secs() {
        short @ ..120 => format!("{rounds} The run took {} s.", short.max(1)),
        long => format!("{rounds} The run took {} minutes.", long.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_fitting_words() {
        let of = |rounds, took| in_words(rounds, 0.4, Duration::from_secs(took));
        assert_eq!(of(1, 0), "One round of 0.4 s. The run took 1 s.");
        assert_eq!(of(3, 119), "Medians of 3 rounds of 0.4 s; ratios are taken within each round. The run took 119 s.");
        assert!(of(2, 121).ends_with("The run took 3 minutes."));
    }
}
