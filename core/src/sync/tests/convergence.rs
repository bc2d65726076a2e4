//! Whatever happens, and in whatever order, all replicas end equal.

use alloc::format;
use core::time::Duration;

use super::harness::World;
use crate::dice::Seed;
use crate::sync::{Policy, Settings};

/// Writes, links that come and go, messages in any order between links, crashes with and without snapshots.
fn disturb(world: &mut World, steps: usize, dice: &mut crate::dice::Dice) {
    let count = world.replicas.len() as u64;
    for step in 0..steps {
        let at = dice.below(count) as usize;
        let other = dice.below(count) as usize;
        match dice.below(28) {
            0..=4 => {
                let key = format!("k{}", dice.below(6));
                world.put(at, &key, &format!("{step}"));
            }
            5 => {
                let key = format!("k{}", dice.below(6));
                world.delete(at, &key);
            }
            6..=8 => world.connect(at, other),
            9 => world.cut(at, other),
            10 => world.crash(at),
            11 => {
                world.replicas[at].auto_commit = false;
            }
            12..=13 => {
                world.replicas[at].auto_commit = true;
                world.route(at);
            }
            14 => {
                world.replicas[at].snapshot();
            }
            15 => world.advance(Duration::from_millis(dice.below(800))),
            24..=25 => {
                let now = world.now(at);
                let replica = &mut world.replicas[at];
                let records = replica.durable() + dice.below(replica.pending() as u64 + 1) as usize;
                replica.commit_through(now, records);
                world.route(at);
            }
            26..=27 => {
                let replica = &mut world.replicas[at];
                let records = replica.durable() + dice.below(replica.pending() as u64 + 1) as usize;
                replica.publish_through(records);
            }
            16 => world.replicas[at].skew_ms = dice.below(20_000) as i64 - 10_000,
            _ => {
                for _ in 0..dice.below(4) {
                    world.deliver_some();
                }
            }
        }
    }
}

fn heal(world: &mut World) {
    for index in 0..world.replicas.len() {
        world.replicas[index].auto_commit = true;
        world.route(index);
    }
    world.connect_all();
    world.settle();
    // Links may have been closed for good reason meanwhile.
    world.connect_all();
    world.settle();
}

fn run(seed: u64, settings: &Settings) -> World {
    let mut dice = Seed::from_number(seed).stream("story");
    let count = 2 + dice.below(4) as usize;
    let mut world = World::new(count, seed, settings);
    world.room = 60 + dice.below(400) as usize;
    disturb(&mut world, 150, &mut dice);
    heal(&mut world);
    world
}

#[test]
fn random_stories_converge() {
    for seed in 0..300 {
        std::println!("seed {seed}");
        run(seed, &Settings::default()).assert_converged();
    }
}

#[test]
fn random_stories_converge_under_every_policy() {
    fn longer(met: &crate::sync::Met) -> Option<crate::op::Body> {
        // Deterministic, and the same whichever side one is on.
        let mut sides = [&met.local.body, &met.remote.body];
        sides.sort_by_key(|body| body.value().cloned());
        Some(sides[1].clone())
    }
    for policy in [Policy::KeepLocal, Policy::ApplyRemote, Policy::KeepBoth, Policy::Custom(longer)] {
        let settings = Settings { conflict_policy: policy, ..Settings::default() };
        for seed in 0..40 {
            std::println!("policy {} seed {seed}", policy.as_str());
            run(seed, &settings).assert_converged();
        }
    }
}

/// With tombstones collected on the way, and members that are away past their lease.
#[test]
fn random_stories_converge_while_tombstones_are_collected() {
    let settings = Settings {
        collect_every: Duration::from_secs(1),
        member_lease: Duration::from_secs(3600),
        ..Settings::default()
    };
    let mut collected = 0;
    for seed in 0..150 {
        std::println!("seed {seed}");
        let mut dice = Seed::from_number(seed).stream("story");
        let count = 2 + dice.below(4) as usize;
        let mut world = World::new(count, seed, &settings);
        world.room = 60 + dice.below(400) as usize;
        for _ in 0..4 {
            disturb(&mut world, 60, &mut dice);
            if dice.below(2) == 0 {
                // Whoever is alone now is away for long.
                world.advance(Duration::from_secs(2 * 24 * 3600));
                for index in 0..count {
                    world.replicas[index].auto_commit = true;
                    world.route(index);
                }
                world.settle_for(Duration::from_secs(3));
            }
        }
        heal(&mut world);
        // A collection may have made two greet each other anew.
        for _ in 0..12 {
            world.connect_all();
            world.settle_for(Duration::from_secs(2));
        }
        let [first, rest @ ..] = &world.replicas[..] else { unreachable!() };
        for other in rest {
            assert_eq!(first.engine.vector(), other.engine.vector());
            let live = |store: &crate::store::Store| -> alloc::vec::Vec<_> {
                store.scan(..).map(|entry| (entry.key().to_vec(), entry.dot(), entry.value_bytes())).collect()
            };
            assert_eq!(live(&first.store), live(&other.store));
            assert_eq!(first.store.live_digest(), other.store.live_digest());
        }
        for replica in &world.replicas {
            assert_eq!((replica.engine.outbox_status().size(), replica.rebirth), (0, None));
            let diverged = |event: &crate::sync::Event| matches!(event, crate::sync::Event::Diverged { .. });
            assert!(!replica.events.iter().any(diverged));
            let count = |event: &crate::sync::Event| match event {
                crate::sync::Event::Collected { tombstones } => *tombstones,
                _ => 0,
            };
            collected += replica.events.iter().map(count).sum::<usize>();
        }
    }
    assert!(collected > 100, "{collected} tombstones collected");
}

/// A relay carries both ways between two that never meet.
#[test]
fn a_relay_carries_between_two_that_never_meet() {
    let settings = Settings { required_acks: 2, ..Settings::default() };
    let mut world = World::new(3, 4, &settings);
    for number in 0..20 {
        world.put(0, &format!("a{number}"), "from A");
        world.put(2, &format!("c{number}"), "from C");
    }
    for _ in 0..3 {
        world.connect(0, 1);
        world.settle();
        world.cut(0, 1);
        world.connect(1, 2);
        world.settle();
        world.cut(1, 2);
    }
    world.connect(0, 1);
    world.settle();
    // A's operations are on B and C, and A knows it by what B passed on of C's word.
    world.assert_converged();
}

#[test]
fn duplicates_and_replays_change_nothing() {
    let mut world = World::new(2, 5, &Settings::default());
    for number in 0..30 {
        world.put(0, &format!("k{number}"), "v");
    }
    world.connect(0, 1);
    world.deliver(0, 1);
    world.deliver(1, 0);
    world.deliver(0, 1);
    world.deliver(1, 0);
    let batches = world.on_the_way(0, 1);
    assert!(!batches.is_empty());
    world.settle();
    let (digest, carried) = (world.replicas[1].store.digest(), world.replicas[1].carried);
    let changed = world.replicas[1].store.last_changed();
    for batch in &batches {
        world.inject(0, 1, batch);
    }
    world.settle();
    assert_eq!((world.replicas[1].store.digest(), world.replicas[1].carried), (digest, carried));
    assert_eq!(world.replicas[1].store.last_changed(), changed);
    world.assert_converged();

    // The checkpoint forgotten, everything is offered once more; nothing is taken twice.
    world.crash(1);
    world.connect(0, 1);
    world.settle();
    assert_eq!(world.replicas[1].carried, carried);
}

/// In a full mesh an operation goes from its writer to everybody, and is not passed on in circles.
#[test]
fn a_full_mesh_does_not_flood() {
    let mut world = World::new(8, 6, &Settings::default());
    world.room = 4000;
    world.connect_all();
    world.settle();
    let writes = 400;
    let mut dice = Seed::from_number(6).stream("mesh");
    for number in 0..writes {
        world.put(dice.below(8) as usize, &format!("key{number}"), "value");
        for _ in 0..dice.below(60) {
            world.deliver_some();
        }
        if dice.below(4) == 0 {
            world.advance(Duration::from_millis(5));
        }
    }
    world.settle();
    world.assert_converged();
    let sent: u64 = world.replicas.iter().map(|r| r.engine.status(&r.store).traffic.sent).sum();
    assert!(sent * 10 <= writes * 7 * 13, "{sent} entries sent for {writes} writes to 7 others");
}
