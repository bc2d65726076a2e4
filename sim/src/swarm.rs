//! Many seeds, one after the other, and the story of the first that fails.

use std::fmt;
use std::time::{Duration, Instant};

use crate::judges::Failure;
use crate::plan::{Change, Crash, Expect, Item, Plan, What};
use crate::shrink;
use crate::tally::Tally;
use crate::world;

/// Runs that the minimiser may spend on one failure.
const BUDGET: usize = 3_000;

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
}

/// A seed that fails, in its shortest form.
#[derive(Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// The promise that was broken, in the shortest form.
    pub failure: Failure,
    /// What it takes.
    pub plan: Plan,
    /// How many items the plan had at first.
    pub items: usize,
    /// What happened in the shortest form, line by line.
    pub trace: Vec<String>,
}

/// Runs seeds from `first` on until one fails, `most` were run or the time is over.
#[must_use]
pub fn run(first: u64, most: u64, time: Duration, minimise: bool) -> Report {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut seeds = 0;
    let mut found = None;
    while seeds < most && begun.elapsed() < time {
        let seed = first.wrapping_add(seeds);
        seeds += 1;
        let plan = Plan::draw(seed);
        let outcome = world::run(&plan, false);
        tally.add(&outcome.tally);
        if let Some(failure) = outcome.failure {
            found = Some(if minimise { shortest(plan, &failure) } else { as_it_is(plan, failure) });
            break;
        }
    }
    Report { seeds, elapsed: begun.elapsed(), tally, found }
}

/// Runs one seed and tells the whole story if it fails.
#[must_use]
pub fn check(seed: u64) -> Option<Found> {
    let plan = Plan::draw(seed);
    let failure = world::run(&plan, false).failure?;
    Some(shortest(plan, &failure))
}

fn as_it_is(plan: Plan, failure: Failure) -> Found {
    Found { seed: plan.seed, failure, items: plan.items.len(), plan, trace: Vec::new() }
}

/// The fewest and simplest items that break the same promise.
#[must_use]
pub fn shortest(plan: Plan, failure: &Failure) -> Found {
    let total = plan.items.len();
    let with = |items: &[Item]| Plan { items: items.to_vec(), ..plan.clone() };
    let fails = |items: &[Item]| world::run(&with(items), false).failure.is_some_and(|f| f.judge == failure.judge);
    let mut items = shrink::minimise(&plan.items, BUDGET, fails);
    let mut index = 0;
    while let Some(item) = items.get(index).cloned() {
        let simpler = simpler(&item).into_iter().find(|simpler| {
            let mut candidate = items.clone();
            if let Some(place) = candidate.get_mut(index) {
                place.clone_from(simpler);
            }
            fails(&candidate)
        });
        match (simpler, items.get_mut(index)) {
            (Some(simpler), Some(place)) => *place = simpler,
            (None, _) | (_, None) => index += 1,
        }
    }
    let plan = with(&items);
    let outcome = world::run(&plan, true);
    let failure = outcome.failure.unwrap_or_else(|| failure.clone());
    Found { seed: plan.seed, failure, plan, items: total, trace: outcome.trace.lines().to_vec() }
}

/// Items that do a little less.
fn simpler(item: &Item) -> Vec<Item> {
    let with = |what| Item { what, ..item.clone() };
    match &item.what {
        What::Write { number, writes } => {
            let with = |writes| with(What::Write { number: *number, writes });
            let mut all: Vec<Item> = Vec::new();
            if writes.len() > 1 {
                for left_out in 0..writes.len() {
                    let fewer = writes.iter().enumerate().filter(|(index, _)| *index != left_out);
                    all.push(with(fewer.map(|(_, write)| *write).collect()));
                }
            }
            for (index, write) in writes.iter().enumerate() {
                let mut change = |simpler| {
                    let mut writes = writes.clone();
                    if let Some(place) = writes.get_mut(index)
                        && *place != simpler
                    {
                        *place = simpler;
                        all.push(with(writes));
                    }
                };
                change(crate::plan::PlannedWrite { expect: Expect::Any, ..*write });
                if !matches!(write.change, Change::Put(0..=9)) {
                    change(crate::plan::PlannedWrite { change: Change::Put(9), ..*write });
                }
            }
            all
        }
        What::Crash { crash, after, down } if *after > 0 => {
            vec![
                with(What::Crash { crash: *crash, after: 0, down: *down }),
                with(What::Crash { crash: *crash, after: after - 1, down: *down }),
            ]
        }
        What::Crash { crash: Crash::Kill { salt, evict: true }, after, down } => {
            vec![with(What::Crash { crash: Crash::Kill { salt: *salt, evict: false }, after: *after, down: *down })]
        }
        What::Snapshot
        | What::Flush
        | What::Backup
        | What::Close { .. }
        | What::Crash { .. }
        | What::Fault { .. }
        | What::Full { .. }
        | What::Rot { .. }
        | What::Clock(_)
        | What::Stall { .. }
        | What::Configure(_)
        | What::Block { .. }
        | What::Slow { .. }
        | What::Cut { .. }
        | What::Refuse { .. }
        | What::Offline { .. }
        | What::Tick { .. } => Vec::new(),
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails: {}", self.seed, self.failure)?;
        writeln!(f, "replay: cargo run -p sim -- replay {} --trace", self.seed)?;
        writeln!(f, "shortest story: {} of {} items", self.plan.items.len(), self.items)?;
        write!(f, "{}", self.plan)?;
        let last = 60;
        if self.trace.len() > last {
            writeln!(f, "trace, its last {last} lines of {}:", self.trace.len())?;
        }
        for line in self.trace.iter().skip(self.trace.len().saturating_sub(last)) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = self.seeds as f64 / seconds.max(0.001);
        writeln!(f, "{} seeds in {seconds:.1} s: {rate:.1} a second", self.seeds)?;
        write!(f, "{}", self.tally)?;
        if let Some(found) = &self.found {
            write!(f, "{found}")?;
        }
        Ok(())
    }
}
