//! Invariant 16: one seed, one trace, in this process and in another.

use std::process::Command;

use sim::plan::{Plan, Shape};
use sim::world;

fn hash(seed: u64) -> u64 {
    world::run(&Plan::draw(seed), false).trace.hash()
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 100..112 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(100), hash(101));
}

#[test]
fn keeping_the_trace_does_not_change_it() {
    let kept = world::run(&Plan::draw(113), true).trace;
    assert_eq!((kept.hash(), kept.len()), (hash(113), kept.lines().len() as u64));
}

#[test]
fn cryptography_that_is_pretended_changes_nothing_of_a_story() {
    for seed in 116..120 {
        let mut plan = Plan::shaped(seed, Shape { nodes: Some(3), operations: Some(100) });
        let [pretended, real] = [true, false].map(|pretends| {
            plan.fleet.climate.pretends = pretends;
            world::run(&plan, false).trace.hash()
        });
        assert_eq!(pretended, real, "seed {seed}");
    }
}

#[test]
fn another_process_tells_the_same_story() {
    for seed in [114, 115] {
        let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["replay", &seed.to_string()]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let expected = format!("trace hash {:016x}", hash(seed));
        assert!(said.contains(&expected), "{said} does not say {expected}");
    }
}
