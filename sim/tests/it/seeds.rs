//! Random runs. `SEED=… cargo test -p sim` runs that seed alone.

use sim::swarm;
use sim::tally::Tally;
use sim::world;

use crate::chosen::{chosen, fresh, tell_kept};

/// The same ones in every run of the tests.
const FIXED: std::ops::Range<u64> = 1..80;
/// Besides, one in which a node stays up for long enough to say that its disk has room again.
const ROOM_AGAIN: u64 = 578;
/// New ones in every run; printed, so that they can be replayed.
const FRESH: u64 = 8;

fn fail(seed: u64) {
    if let Some(found) = swarm::check(seed) {
        panic!("{found}");
    }
}

#[test]
fn fixed_seeds_keep_every_promise_and_reach_every_mark() {
    if let Some(seed) = chosen() {
        fail(seed);
        tell_kept(seed, "nodes");
        return;
    }
    let mut tally = Tally::default();
    for seed in FIXED.chain([ROOM_AGAIN]) {
        let outcome = world::run(&sim::plan::Plan::draw(seed), false);
        tally.add(&outcome.tally);
        if outcome.failure.is_some() {
            fail(seed);
        }
    }
    println!("{tally}");
    let missed = tally.missed();
    assert!(missed.is_empty(), "the simulator does not reach {missed:?}\n{tally}");
    let missed = tally.missed_paths();
    assert!(missed.is_empty(), "no seed takes {missed:?}\n{tally}");
}

#[test]
fn fresh_seeds_keep_every_promise() {
    if chosen().is_some() {
        return;
    }
    let first = fresh(FRESH, "seeds");
    for seed in first..first + FRESH {
        fail(seed);
    }
}
