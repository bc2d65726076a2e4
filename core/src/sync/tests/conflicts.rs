//! Concurrent pairs are reported, others are not, and policies end.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::replica::Replica;
use crate::ids::Lsn;
use crate::sync::{Outcome, Policy, Settings};

fn dots(world: &World, index: usize) -> Vec<(u64, u64)> {
    let conflicts = world.replicas[index].engine.conflicts().iter();
    conflicts
        .map(|conflict| {
            let mut seqs = [&conflict.met.local, &conflict.met.remote].map(|version| version.stamp.0);
            seqs.sort_unstable();
            (seqs[0], seqs[1])
        })
        .collect()
}

#[test]
fn a_conflict_is_recorded_once_on_each_side() {
    for order in 0..2 {
        let mut world = World::new(2, 1, &Settings::default());
        world.put(0, "k", "zero");
        world.advance(Duration::from_millis(7));
        world.put(1, "k", "one");
        world.put(0, "other", "sequential");
        world.connect(0, 1);
        // One side may have merged before the other has sent.
        for _ in 0..40 {
            world.deliver(order, 1 - order);
            if world.on_the_way(order, 1 - order).is_empty() {
                world.deliver(1 - order, order);
            }
        }
        world.settle();
        world.put(1, "other", "sequential too");
        world.settle();
        world.assert_converged();
        assert_eq!(world.values("k"), vec![Some("one".to_string()); 2]);
        for replica in &world.replicas {
            let conflicts: Vec<_> = replica.engine.conflicts().iter().collect();
            assert_eq!(conflicts.len(), 1, "order {order}");
            let met = &conflicts[0].met;
            let mut values = [&met.local, &met.remote].map(|version| version.body.value().unwrap().to_vec());
            values.sort();
            assert_eq!(values, [b"one".to_vec(), b"zero".to_vec()], "both versions are readable");
        }
        assert_eq!(dots(&world, 0), dots(&world, 1));

        world.crash(0);
        assert_eq!(world.replicas[0].engine.conflicts().total(), 1, "also after a restart");
    }
}

#[test]
fn sequential_writes_are_no_conflict_however_they_travel() {
    let mut world = World::new(3, 2, &Settings::default());
    world.put(0, "k", "first");
    world.connect(0, 1);
    world.settle();
    world.put(1, "k", "second");
    world.cut(0, 1);
    // The second arrives before the first, and the first later from another side.
    world.connect(1, 2);
    world.settle();
    world.connect(0, 2);
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
    assert!(world.replicas.iter().all(|replica| replica.engine.conflicts().total() == 0));
}

/// The log takes an operation, and it is shown.
fn settle(replica: &mut Replica, op: &crate::op::Operation) {
    replica.engine.settle_conflicts(Lsn(1), op, false);
    replica.engine.published(Lsn(1), &mut replica.effects);
}

fn contest(policy: Policy) -> World {
    let settings = Settings { conflict_policy: policy, ..Settings::default() };
    let mut world = World::new(2, 3, &settings);
    world.put(0, "k", "zero");
    world.advance(Duration::from_millis(7));
    world.put(1, "k", "one");
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
    world
}

fn writes(world: &World) -> u64 {
    world.replicas.iter().map(|replica| replica.engine.outbox_status().last).sum()
}

#[test]
fn policies_end_with_few_writes() {
    // Both sides keep their own: each may write once, and the later resolution stands.
    let world = contest(Policy::KeepLocal);
    assert!(writes(&world) <= 4, "{} writes", writes(&world));
    let world = contest(Policy::ApplyRemote);
    assert!(writes(&world) <= 4, "{} writes", writes(&world));
    // Both make the same of it: two equal resolutions at most, which are no conflict.
    let world = contest(Policy::Custom(|_| Some(crate::op::Body::Put("merged".into()))));
    assert_eq!(world.values("k"), vec![Some("merged".to_string()); 2]);
    assert!(writes(&world) <= 4);
    assert!(world.replicas.iter().all(|replica| replica.engine.conflicts().total() == 1));
}

#[test]
fn a_conflict_stays_open_under_keep_both_until_it_is_resolved() {
    let mut world = contest(Policy::KeepBoth);
    let replica = &mut world.replicas[0];
    let open: Vec<_> = replica.engine.conflicts().iter().filter(|c| c.outcome == Outcome::Open).cloned().collect();
    assert_eq!(open.len(), 1);
    let resolution = replica.engine.resolution(open[0].id, Some(crate::op::Body::Put("chosen".into()))).unwrap();
    assert_eq!(resolution.winner, replica.store.entry(b"k").unwrap().dot());
    let entry = replica.store.entry(b"k").unwrap();
    let unseen = crate::op::Operation { context: crate::context::VersionVector::EMPTY, ..entry.operation() };
    let seen = crate::op::Operation { context: entry.known(), ..entry.operation() };
    settle(replica, &unseen);
    assert!(replica.engine.conflicts().iter().any(|conflict| conflict.outcome == Outcome::Open));
    settle(replica, &seen);
    assert!(replica.engine.conflicts().iter().all(|conflict| conflict.outcome == Outcome::Resolved));
    assert!(replica.engine.resolution(99, None).is_err());
}

#[test]
fn a_conflict_that_the_merge_has_settled_is_resolved_by_who_says_so() {
    let mut world = contest(Policy::LastWriteWins);
    let replica = &mut world.replicas[0];
    let entry = replica.store.entry(b"k").unwrap();
    let plain = crate::op::Operation { context: entry.known(), ..entry.operation() };
    let marks = crate::op::Marks { resolution: true, ..plain.marks };
    let meant = crate::op::Operation { marks, ..plain.clone() };
    let outcomes =
        |replica: &Replica| replica.engine.conflicts().iter().map(|conflict| conflict.outcome).collect::<Vec<_>>();
    settle(replica, &plain);
    assert_eq!(outcomes(replica), [Outcome::Merged], "a later write is no word about the conflict");
    settle(replica, &meant);
    assert_eq!(outcomes(replica), [Outcome::Resolved]);
}

/// What is on its way to the disk ahead of what is given up goes on.
#[test]
fn what_the_log_gives_up_settles_nothing_and_what_it_keeps_does() {
    for (from, open) in [(Lsn(4), 1), (Lsn(5), 1), (Lsn(6), 0)] {
        let mut world = contest(Policy::KeepBoth);
        let Replica { engine, store, effects, .. } = &mut world.replicas[0];
        let entry = store.entry(b"k").unwrap();
        let seen = crate::op::Operation { context: entry.known(), ..entry.operation() };
        engine.settle_conflicts(Lsn(5), &seen, false);
        let error = crate::error::Error::new(crate::error::Code::DiskFull, "no room", "make room");
        engine.taken_back(from, &error, effects);
        engine.published(Lsn(9), effects);
        assert_eq!(engine.conflicts().open(), open, "given up from {from} on");
    }
}

/// It has seen nothing, as if nothing were left; but it was there before.
#[test]
fn an_own_version_that_comes_back_leaves_the_conflict_open() {
    let mut world = contest(Policy::KeepBoth);
    for replica in &mut world.replicas {
        let conflict = replica.engine.conflicts().iter().next().unwrap().clone();
        for version in [&conflict.met.local, &conflict.met.remote] {
            settle(replica, &version.operation(&conflict.met.key));
        }
        assert_eq!(replica.engine.conflicts().open(), 1);
    }
}

/// A write that follows on what is not durable yet is known before the conflict is on record.
#[test]
fn a_write_that_had_seen_both_resolves_what_was_not_yet_on_record() {
    let settings = Settings { conflict_policy: Policy::KeepBoth, ..Settings::default() };
    let mut world = World::new(2, 3, &settings);
    world.put(0, "k", "zero");
    world.put(1, "k", "one");
    world.replicas[0].auto_commit = false;
    world.connect(0, 1);
    world.settle();
    let last = world.replicas[0].log.len();
    world.put(0, "k", "both");
    let now = world.now(0);
    world.replicas[0].commit_through(now, last);
    let outcomes = |world: &World| -> Vec<Outcome> {
        world.replicas[0].engine.conflicts().iter().map(|conflict| conflict.outcome).collect()
    };
    assert_eq!(outcomes(&world), [Outcome::Open], "it is not shown yet");
    world.replicas[0].commit(now);
    assert_eq!(outcomes(&world), [Outcome::Resolved]);
    world.crash(0);
    assert_eq!(outcomes(&world), [Outcome::Resolved]);
}

/// What the log has taken it may still give up, for want of room; and a snapshot that is written meanwhile may outlast it.
#[test]
fn a_conflict_is_open_until_the_write_that_resolves_it_is_shown() {
    let settings = Settings { conflict_policy: Policy::KeepBoth, ..Settings::default() };
    for pending in [false, true] {
        let mut world = World::new(2, 3, &settings);
        world.put(0, "k", "zero");
        world.put(1, "k", "one");
        // Where it is pending, the conflict is not on record yet.
        world.replicas[0].auto_commit = !pending;
        world.connect(0, 1);
        world.settle();
        world.replicas[0].auto_commit = false;
        let met = world.replicas[0].log.len();
        world.put(0, "k", "both");
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        let open = |state: &crate::sync::State| state.conflicts().open();
        replica.commit_through(now, met);
        assert_eq!((replica.engine.conflicts().open(), open(&replica.engine.state_at(Lsn(met as u64)))), (1, 1));
        let again = replica.engine.conflicts().iter().next().unwrap().id;
        assert!(replica.engine.resolution(again, None).is_ok(), "it is still to be resolved");
        replica.take_back();
        world.put(0, "other", "v");
        let replica = &mut world.replicas[0];
        replica.commit(now);
        assert_eq!(replica.engine.conflicts().open(), 1, "nobody has resolved it");
        world.put(0, "k", "both");
        let replica = &mut world.replicas[0];
        replica.publish_through(replica.log.len());
        assert_eq!(replica.engine.conflicts().open(), 0);
    }
}

/// A snapshot may be taken of what is shown before it is durable; what stands before it in the log is not read again.
#[test]
fn a_snapshot_holds_the_conflicts_of_what_it_shows() {
    let mut world = World::new(2, 3, &Settings::default());
    world.put(0, "k", "zero");
    world.put(1, "k", "one");
    world.replicas[0].auto_commit = false;
    world.connect(0, 1);
    world.settle();
    let replica = &mut world.replicas[0];
    let last = replica.log.len();
    replica.publish_through(last);
    assert_eq!(replica.engine.conflicts().total(), 0, "it is not durable");
    assert_eq!(replica.engine.state_at(Lsn(last as u64)).conflicts().total(), 1);
    assert_eq!(replica.engine.state_at(Lsn::ZERO).conflicts().total(), 0);
}

/// The winner reached the loser's side before the loser got out: the loser is sent along, so that the conflict is known
/// on the winner's side too.
#[test]
fn a_conflict_is_recorded_even_where_only_the_winner_was() {
    let mut world = World::new(2, 4, &Settings::default());
    world.put(0, "k", "zero");
    world.advance(Duration::from_millis(7));
    world.put(1, "k", "one");
    world.connect(0, 1);
    for _ in 0..2 {
        world.deliver(0, 1);
        world.deliver(1, 0);
    }
    while world.replicas[0].get("k").as_deref() == Some("zero") {
        assert!(world.deliver(1, 0));
    }
    world.cut(0, 1);
    let count = |world: &World| -> Vec<usize> {
        world.replicas.iter().map(|replica| replica.engine.conflicts().iter().len()).collect()
    };
    assert_eq!(count(&world), [1, 0]);
    world.connect(0, 1);
    world.settle();
    assert_eq!(count(&world), [1, 1]);
    assert_eq!(dots(&world, 0), dots(&world, 1));
    world.assert_converged();
}
