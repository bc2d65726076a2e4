//! An embedder's own settings, workload and invariant in the world of nodes: `cargo run -p sim --example embedder`.
//!
//! Each till writes its sales, and their number, in one batch. Whatever crashes, a till never shows another number than it
//! has sales. `docs/simulation.md` says what else a world can be told.

use std::time::Duration;

use sim::chance;
use sim::disk::{Fate, Loss};
use sim::judges::{Failure, Judge, Moment};
use sim::plan::{Crash, Fleet, HostId, Knobs, Pace, Plan, What};
use sim::world::{self, Outcome, World};
use softadastra_core::config::{Config, Durability};
use softadastra_core::node::{Node, Write};

/// The settings of the embedder's product: any that are valid, but for nodes without a log.
fn settings() -> Config {
    let mut config = Config { durability: Durability::Every(Duration::from_millis(20)), ..Config::default() };
    // Small enough for snapshots to be taken in so short a run.
    (config.log.first_segment, config.log.max_segment, config.log.snapshot_min) = (64 << 10, 64 << 10, 64 << 10);
    config.sync.ping_every = Duration::from_secs(1);
    config
}

fn put(key: String, value: String) -> Write {
    Write::Put { key: key.into(), value: value.into(), expect: None, touch: false }
}

/// The embedder's invariant: the total of a till is the number of its sales.
struct TotalsAddUp;

impl TotalsAddUp {
    fn check(till: HostId, node: &Node) -> Result<(), String> {
        let sales = node.store().scan_prefix(format!("till/{}/sale/", till.0).as_bytes(), None).count();
        let total = node.store().get(format!("till/{}/total", till.0).as_bytes());
        let total = total.and_then(|entry| String::from_utf8_lossy(entry.value()?).parse().ok()).unwrap_or(0);
        if sales == total { Ok(()) } else { Err(format!("{sales} sales, and a total of {total}")) }
    }
}

impl Judge for TotalsAddUp {
    fn name(&self) -> &'static str {
        "totals add up"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Stepped { node, changed: true, .. } | Moment::Opened { node, .. } => Self::check(host, node),
            _ => Ok(()),
        }
    }
}

/// How a till writes a sale: its batches.
type Sale = fn(till: HostId, number: u32) -> Vec<Vec<Write>>;

fn in_one_batch(till: HostId, number: u32) -> Vec<Vec<Write>> {
    let sale = put(format!("till/{}/sale/{number:04}", till.0), "x".repeat(2_000));
    vec![vec![sale, put(format!("till/{}/total", till.0), number.to_string())]]
}

/// Two tills on a day on which power is lost now and then: the seed says when, and what that takes.
fn day(seed: u64, sale: Sale) -> Outcome {
    let mut world = World::with(seed, &Fleet::of(2, Knobs::SMALL), Pace::QUICK, true);
    world.judged_by(Box::new(TotalsAddUp));
    let broken = sell(&mut world, seed, sale).err();
    world.end(broken)
}

fn sell(world: &mut World, seed: u64, sale: Sale) -> Result<(), Failure> {
    let tills = [HostId(0), HostId(1)];
    for till in tills {
        world.configure(till, settings()).expect("the settings are valid");
    }
    world.rest()?;
    let mut sold = [0_u32; 2];
    let mut batch = 0;
    for step in 0..120 {
        for (till, sold) in tills.into_iter().zip(&mut sold) {
            let luck = chance::mix(seed, step, u64::from(till.0));
            if chance::percent(luck, 4) {
                let loss = Loss { data: Fate::Mixed(50), names: Fate::Mixed(50), stale: true, salt: luck };
                let crash = Crash::Power(loss);
                world.schedule(world.now(), till, What::Crash { crash, after: (luck % 7) as u16, down: 5_000 });
            }
            if world.health(till).is_none() {
                continue;
            }
            // What a power loss has taken is sold anew: settings that sync by a timer allow that.
            *sold = world
                .read(till, format!("till/{}/total", till.0).as_bytes())
                .map_or(0, |(total, _)| String::from_utf8_lossy(&total).parse().expect("totals are numbers"))
                + 1;
            for writes in sale(till, *sold) {
                batch += 1;
                world.send(till, batch, writes)?;
            }
        }
        world.run_for(10_000)?;
    }
    // Faults stop: all must come to the same, be written to, close and open again.
    world.heal()?;
    world.finish()
}

/// The world's own workload and faults, drawn from a seed, under the embedder's settings and judge.
fn storm(plan: &Plan) -> Outcome {
    world::run_with(plan, false, |world| {
        world.judged_by(Box::new(TotalsAddUp));
        for host in 0..plan.fleet.size() {
            world.configure(HostId(host as u8), settings()).expect("the settings are valid");
        }
    })
}

fn main() {
    for seed in 1..=20 {
        let outcome = day(seed, in_one_batch);
        println!("seed {seed}: {} steps, trace {:016x}", outcome.tally.steps, outcome.trace.hash());
        if let Some(failure) = outcome.failure {
            println!("{}\n{failure}", outcome.trace.lines().join("\n"));
            std::process::exit(1);
        }
    }
    for seed in 1..=20 {
        let plan = Plan::draw(seed);
        if let Some(failure) = storm(&plan).failure {
            let same = |plan: &Plan| storm(plan).failure.is_some_and(|found| found.judge == failure.judge);
            println!("{failure}\n{}", sim::shorten::shortest(plan, same));
            std::process::exit(1);
        }
    }
    println!("every promise was kept");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_up_whatever_crashes() {
        for seed in 1..4 {
            let outcome = day(seed, in_one_batch);
            assert_eq!(outcome.failure, None, "seed {seed}\n{}", outcome.trace.lines().join("\n"));
            assert!(outcome.tally.faults.keys().any(|fault| fault.contains("power")), "{:?}", outcome.tally.faults);
        }
    }

    #[test]
    fn one_seed_tells_one_story() {
        assert_eq!(day(1, in_one_batch).trace.hash(), day(1, in_one_batch).trace.hash());
        assert_ne!(day(1, in_one_batch).trace.hash(), day(2, in_one_batch).trace.hash());
    }

    #[test]
    fn the_judge_is_awake() {
        let in_two = |till, number| in_one_batch(till, number).remove(0).into_iter().map(|write| vec![write]).collect();
        let failure = day(1, in_two).failure.expect("a sale is shown before the total");
        assert_eq!(failure.judge, "totals add up");
    }

    #[test]
    fn the_worlds_own_plans_run_under_these_settings() {
        for seed in 1..6 {
            assert_eq!(storm(&Plan::draw(seed)).failure, None, "seed {seed}");
        }
    }
}
