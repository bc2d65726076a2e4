//! Small cases in every order there is, not in some.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::World;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::store::Store;
use crate::sync::{Policy, Settings};

/// Runs `story` once for every sequence of choices it can make, and says how often that was. A choice is asked for with the
/// number of ways there are.
fn every_way(mut story: impl FnMut(&mut dyn FnMut(usize) -> usize)) -> usize {
    // The choices of this run, and how many ways there were at each.
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut runs = 0;
    loop {
        let mut at = 0;
        story(&mut |ways| {
            assert!(ways > 0);
            if at == taken.len() {
                taken.push((0, ways));
            }
            let (choice, known) = taken[at];
            assert_eq!(known, ways, "the same choices lead to the same place");
            at += 1;
            choice
        });
        runs += 1;
        assert!(runs < 500_000, "too many ways to try them all");
        while taken.last().is_some_and(|(choice, ways)| choice + 1 == *ways) {
            taken.pop();
        }
        match taken.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return runs,
        }
    }
}

/// Delivers messages in an order that `choose` decides, up to `most`; the rest follows in some order.
fn deliver_by(world: &mut World, most: usize, choose: &mut dyn FnMut(usize) -> usize) {
    for _ in 0..most {
        let waiting = world.waiting();
        if waiting.is_empty() {
            return;
        }
        let (from, to) = waiting[if waiting.len() == 1 { 0 } else { choose(waiting.len()) }];
        world.deliver(from, to);
    }
}

#[test]
fn two_replicas_that_wrote_apart_converge_in_every_order_of_messages_and_under_every_policy() {
    fn joined(met: &crate::sync::Met) -> Option<Body> {
        let mut values: Vec<Bytes> = [&met.local, &met.remote].iter().filter_map(|v| v.body.value().cloned()).collect();
        values.sort();
        values.dedup();
        Some(Body::Put(values.concat().into()))
    }
    let policies =
        [Policy::LastWriteWins, Policy::KeepLocal, Policy::ApplyRemote, Policy::KeepBoth, Policy::Custom(joined)];
    for policy in policies {
        let settings = Settings { conflict_policy: policy, ..Settings::default() };
        let runs = every_way(|choose| {
            let mut world = World::new(2, 1, &settings);
            world.put(0, "k", "zero");
            world.put(1, "k", "one");
            world.delete(1, "k");
            world.put(0, "l", "zero");
            world.connect(0, 1);
            deliver_by(&mut world, 8, choose);
            world.settle();
            world.assert_converged();
            assert!(world.replicas.iter().all(|replica| replica.engine.conflicts().total() > 0), "{policy:?}");
        });
        assert!(runs > 20, "{runs} orders under {policy:?}");
    }
}

#[test]
fn three_replicas_converge_in_every_order_of_their_first_messages() {
    let runs = every_way(|choose| {
        let mut world = World::new(3, 1, &Settings::default());
        for index in 0..3 {
            world.put(index, "k", &format!("{index}"));
        }
        world.connect_all();
        deliver_by(&mut world, 4, choose);
        world.put(1, "k", "later");
        deliver_by(&mut world, 1, choose);
        world.settle();
        world.assert_converged();
    });
    assert!(runs > 500, "{runs} orders");
}

/// Operations of three writers on one key, each with what its writer had seen.
fn history(see: impl Fn(usize, usize) -> bool) -> Vec<Operation> {
    let mut ops: Vec<Operation> = Vec::new();
    for number in 0..6_usize {
        let replica = ReplicaId([number as u8 % 3 + 1; 16]);
        let mut context = VersionVector::EMPTY;
        let mut above = Stamp(0);
        for (earlier, op) in ops.iter().enumerate() {
            if op.dot.replica == replica || see(earlier, number) {
                context.join(&op.context);
                context.include(op.dot);
            }
        }
        for op in &ops {
            if context.covers(op.dot) {
                above = above.max(op.stamp);
            }
        }
        let seq = ops.iter().filter(|op| op.dot.replica == replica).count() as u64 + 1;
        // Clocks stand still: stamps rise only by what was seen, so that ties are many.
        let stamp = Stamp(above.0 + 1);
        let body = if number == 4 { Body::Delete } else { Body::Put(format!("{number}").into()) };
        let dot = Dot { replica, seq };
        ops.push(Operation { dot, stamp, context, key: "k".into(), body, marks: Marks::default() });
    }
    ops
}

#[test]
fn operations_merge_to_the_same_entry_in_every_order() {
    // Which of the 15 pairs have seen each other: every 499th of all ways.
    for ways in (0..1_u32 << 15).step_by(499) {
        let pair = |a: usize, b: usize| b * (b - 1) / 2 + a;
        let ops = history(|earlier, later| ways >> pair(earlier, later) & 1 == 1);
        let mut outcome = None;
        let runs = every_way(|choose| {
            let mut left: Vec<usize> = (0..ops.len()).collect();
            let mut store = Store::new();
            let mut lsn = 0;
            while !left.is_empty() {
                let at = if left.len() == 1 { 0 } else { choose(left.len()) };
                lsn += 1;
                store.apply(Lsn(lsn), &ops[left.remove(at)]);
            }
            let entry = store.entry(b"k").unwrap();
            let found = (entry.dot(), entry.stamp(), entry.body(), entry.known(), store.digest());
            assert_eq!(outcome.get_or_insert_with(|| found.clone()), &found, "{ops:?}");
        });
        assert_eq!(runs, 720);
    }
}

#[test]
fn every_way_is_tried_once() {
    let mut seen = Vec::new();
    let runs = every_way(|choose| {
        let first = choose(2);
        seen.push(vec![first, if first == 0 { choose(3) } else { 9 }]);
    });
    assert_eq!(runs, 4);
    assert_eq!(seen, [vec![0, 0], vec![0, 1], vec![0, 2], vec![1, 9]]);
}
