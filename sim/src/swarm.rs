//! Many seeds, one after the other, and the story of the first that fails.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::again;
use crate::judges::Failure;
use crate::plan::{Plan, Shape};
use crate::planted;
use crate::shorten;
use crate::tally::Tally;
use crate::watch::Watch;
use crate::world;

/// What a swarm came to.
#[derive(Debug)]
pub struct Report {
    /// How many seeds were run.
    pub seeds: u64,
    /// In what time.
    pub elapsed: Duration,
    /// What they met.
    pub tally: Tally,
    /// The first that failed.
    pub found: Option<Found>,
    /// Somebody stopped it before its time.
    pub stopped: bool,
}

/// A seed that fails, in its shortest form.
#[derive(Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// The promise that it breaks.
    pub of_seed: Failure,
    /// The same promise, as the shortest form breaks it.
    pub failure: Failure,
    /// What it takes.
    pub plan: Plan,
    /// How many items the plan had at first.
    pub items: usize,
    /// What happened in the shortest form, line by line.
    pub trace: Vec<String>,
    /// How the nodes stood at the end of it.
    pub standing: Vec<String>,
    /// What each node had in turn of the key that it is about.
    pub of_key: Vec<String>,
    /// How many runs were spent on making it shorter.
    pub runs: usize,
    /// Somebody stopped that before its end.
    pub stopped: bool,
}

/// Which seeds a swarm runs, and how.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The first; the others follow it.
    pub first: u64,
    /// How many at most.
    pub most: u64,
    /// For how long at most.
    pub time: Duration,
    /// What plans are held to.
    pub shape: Shape,
    /// How many run side by side.
    pub threads: usize,
    /// Whether to look for the shortest form of a failure.
    pub minimise: bool,
}

/// Runs seeds until one fails, as long as the settings say, or until whoever watches says that it is enough.
#[must_use]
pub fn run(settings: &Settings, watch: &Watch) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let limit = AtomicU64::new(settings.most);
    let all = Mutex::new((0, Tally::default(), None::<(Plan, Failure)>));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= limit.load(Ordering::Relaxed) || begun.elapsed() >= settings.time || watch.is_stopped() {
                return;
            }
            let plan = Plan::shaped(settings.first.wrapping_add(number), settings.shape);
            let outcome = world::judge(&plan);
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            let (seeds, tally, found) = &mut *all;
            *seeds += 1;
            tally.add(&outcome.tally);
            let seconds = begun.elapsed().as_secs_f64();
            let (rate, faults) = (*seeds as f64 / seconds.max(0.001), tally.faults.values().sum::<u64>());
            watch.show(format_args!("{seeds} seeds in {seconds:.0} s, {rate:.1} a second; {faults} faults"));
            if let Some(failure) = outcome.failure {
                // Seeds before this one that are still under way are let finish: the first to fail is told.
                limit.fetch_min(number, Ordering::Relaxed);
                let first = found.as_ref().is_none_or(|(earlier, _)| plan.seed < earlier.seed);
                if first {
                    *found = Some((plan, failure));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..settings.threads {
            scope.spawn(work);
        }
        work();
    });
    let elapsed = begun.elapsed();
    let (seeds, tally, found) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Whoever stops the search for the shortest story has let the seeds end.
    let stopped = watch.is_stopped();
    let minimise = settings.minimise;
    let found =
        found.map(|(plan, failure)| if minimise { shortest(plan, &failure, watch) } else { as_it_is(plan, failure) });
    watch.clear();
    Report { seeds, elapsed, tally, found, stopped }
}

/// Runs one seed and tells the whole story if it fails.
#[must_use]
pub fn check(seed: u64) -> Option<Found> {
    let plan = Plan::draw(seed);
    let failure = world::judge(&plan).failure?;
    Some(shortest(plan, &failure, &Watch::nobody()))
}

fn as_it_is(plan: Plan, failure: Failure) -> Found {
    let (seed, of_seed, items) = (plan.seed, failure.clone(), plan.items.len());
    Found {
        seed,
        of_seed,
        failure,
        items,
        plan,
        trace: Vec::new(),
        standing: Vec::new(),
        of_key: Vec::new(),
        runs: 0,
        stopped: false,
    }
}

/// The fewest nodes and the fewest and simplest items that break the same promise; as far as it has come, if it is stopped.
#[must_use]
pub fn shortest(plan: Plan, failure: &Failure, watch: &Watch) -> Found {
    let total = plan.items.len();
    watch.say(format_args!(
        "seed {}{} fails: {failure}\nlooking for its shortest story (Ctrl-C: the shortest so far)",
        plan.seed, plan.shape
    ));
    let (mut runs, mut left) = (0, (plan.fleet.size(), total));
    let plan = shorten::shortest(plan, |plan| {
        if watch.is_stopped() {
            return false;
        }
        runs += 1;
        watch.show(format_args!("run {runs}: {} nodes and {} of {total} items are left", left.0, left.1));
        let fails = world::judge(plan).failure.is_some_and(|found| found.judge == failure.judge);
        if fails {
            left = (plan.fleet.size(), plan.items.len());
        }
        fails
    });
    let outcome = world::run(&plan, true);
    let key = outcome.failure.as_ref().and_then(|failure| failure.key()).map(String::from);
    let outcome = key.map_or(outcome, |key| world::run_with(&plan, true, |world| world.watch(&key)));
    let of_seed = failure.clone();
    let failure = outcome.failure.unwrap_or_else(|| failure.clone());
    watch.clear();
    let (standing, stopped) = (outcome.standing, watch.is_stopped());
    let (trace, of_key) = (outcome.trace.lines().to_vec(), outcome.trace.asides().to_vec());
    Found { seed: plan.seed, of_seed, failure, plan, items: total, trace, standing, of_key, runs, stopped }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails: {}", self.seed, self.of_seed)?;
        let planted = planted::awake().map_or(String::new(), |bug| format!(" --planted {bug}"));
        let words = format_args!("replay {}{}{planted} --trace", self.seed, self.plan.shape);
        let replay = again::with(words);
        writeln!(f, "replay: {replay}")?;
        let stopped = if self.stopped { ", and was stopped" } else { "" };
        let took = if self.runs > 0 { format!("; that took {} runs{stopped}", self.runs) } else { String::new() };
        writeln!(f, "shortest story: {} of {} items{took}", self.plan.items.len(), self.items)?;
        if self.runs > 0 {
            writeln!(f, "it fails so: {}", self.failure)?;
        }
        write!(f, "{}", self.plan)?;
        if let Some(key) = self.failure.key() {
            write_end(f, &format!("{key}, whenever a node has something else of it"), &self.of_key)?;
        }
        write_end(f, "trace", &self.trace)?;
        self.standing.iter().try_for_each(|host| writeln!(f, "{host}"))?;
        if self.trace.is_empty() {
            return Ok(());
        }
        // The beginning is pages above by now.
        writeln!(f, "seed {}{} fails: {}", self.seed, self.plan.shape, self.of_seed)?;
        writeln!(f, "replay: {replay}")
    }
}

/// The last lines of many; before them, what they are.
fn write_end(f: &mut fmt::Formatter<'_>, what: &str, lines: &[String]) -> fmt::Result {
    let last = lines.len().min(60);
    let cut = if last < lines.len() { format!(", its last {last} lines of {}", lines.len()) } else { String::new() };
    writeln!(f, "{what}{cut}:")?;
    lines.iter().skip(lines.len() - last).try_for_each(|line| writeln!(f, "{line}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.seeds as f64 / seconds.max(0.001);
        let stopped = if self.stopped { "stopped: " } else { "" };
        writeln!(f, "{stopped}{} seeds in {seconds:.1} s: {rate:.1} a second", self.seeds)?;
        let each = |count: u64| count as f64 / self.seeds.max(1) as f64;
        let faults = self.tally.faults.values().sum();
        write!(f, "each seed, on average: {:.0} operations of clients, ", each(self.tally.operations()))?;
        writeln!(
            f,
            "{:.0} faults that struck ({} and {} at least)",
            each(faults),
            self.tally.fewest.0,
            self.tally.fewest.1
        )?;
        write!(f, "{}", self.tally)?;
        if let Some(found) = &self.found {
            return write!(f, "{found}");
        }
        writeln!(f, "every promise was kept; what is MISSED no seed of this run came to")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_failure_say_again_which_seed_it_is_and_how_to_play_it() {
        let failure = Failure { judge: "all converge", invariant: 7, what: "no".into(), at: 1, also: Vec::new() };
        let mut found = as_it_is(Plan::draw(7), failure);
        found.trace = vec!["it began".into()];
        found.standing = vec!["n0 is ready".into()];
        let report =
            Report { seeds: 1, elapsed: Duration::ZERO, tally: Tally::default(), found: Some(found), stopped: false };
        let said = report.to_string();
        let mut lines = said.lines().rev();
        assert!(
            lines.next().is_some_and(|line| line.starts_with("replay: ") && line.ends_with("replay 7 --trace")),
            "{said}"
        );
        assert!(lines.next().is_some_and(|line| line.starts_with("seed 7 fails: all converge")), "{said}");
        let well = Report { found: None, ..report }.to_string();
        assert!(well.lines().last().is_some_and(|line| line.starts_with("every promise was kept")), "{well}");
    }

    #[test]
    fn how_often_a_node_has_started_is_what_its_trace_says() {
        let outcome = world::run(&Plan::draw(42), true);
        let told = outcome.trace.lines();
        for (number, host) in outcome.standing.iter().enumerate() {
            let starts = told.iter().filter(|line| line.contains(&format!(" n{number} start "))).count();
            assert!(starts > 0 && host.contains(&format!(", start {starts}, ")), "{starts} starts: {host}");
        }
    }
}
