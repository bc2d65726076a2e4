//! Values that meet a tombstone of somebody who has forgotten another one of the same key.

use alloc::vec;
use core::time::Duration;

use super::full::{dot, entry, from_above, vector, world};
use super::harness::{START, World};
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::sync::message::{Message, Part};
use crate::time::WallTime;

const TOMBSTONE: Dot = Dot { replica: ReplicaId([0xdd; 16]), seq: 1 };

fn stamp(ms: i64) -> Stamp {
    Stamp::from_wall(WallTime(START.saturating_add_signed(ms)))
}

fn deletion(stamp: Stamp, context: VersionVector) -> Part {
    let op = Operation { dot: TOMBSTONE, stamp, context, key: "k".into(), body: Body::Delete, marks: Marks::default() };
    Part::Entry { op, known: VersionVector::EMPTY }
}

/// The key is named as a tombstone that has merged this.
fn buried(known: VersionVector) -> Part {
    Part::Buried { key: "k".into(), dot: TOMBSTONE, known }
}

/// One that has forgotten tombstones up to an hour ahead, and has an older one of the key. It is met after another has brought
/// that tombstone, or brings it itself.
fn meet(world: &mut World, tombstone: Part, is_brought_before: bool, forgets_up_to: Stamp) -> Stranger {
    if is_brought_before {
        let mut other = Stranger::new(0xdd);
        other.greet(world, 0);
        other.batch(world, 0, vec![tombstone.clone(), Part::End]);
    }
    let mut forgetful = from_above(0xaa);
    forgetful.hello.floor_stamp = forgets_up_to;
    forgetful.hello.vector.include(TOMBSTONE);
    forgetful.greet(world, 0);
    let named = vec![buried(vector(&[TOMBSTONE])), Part::Upto(None)];
    forgetful.say(world, 0, &[Message::Full(Lsn::ZERO, named)]);
    if !is_brought_before {
        forgetful.batch(world, 0, vec![tombstone]);
    }
    let cut = forgetful.hello.vector.clone();
    forgetful.batch(world, 0, vec![Part::End, Part::Cut(cut)]);
    forgetful
}

#[test]
fn a_value_that_wins_against_a_tombstone_beside_one_that_is_forgotten_is_written_again_above_that() {
    let hour = stamp(3_600_000);
    // Stamp of the tombstone, up to where it forgets, whether the value is written again.
    for (tombstone, forgets_up_to, again) in
        [(stamp(-1), hour, true), (stamp(-1), stamp(-1), false), (hour, hour, false)]
    {
        for is_brought_before in [false, true] {
            let what = alloc::format!("{tombstone:?}, forgets up to {forgets_up_to:?}, before: {is_brought_before}");
            let mut world = world(1, 11);
            world.put(0, "k", "v");
            let writer = world.replicas[0].identity.replica;
            meet(&mut world, deletion(tombstone, VersionVector::EMPTY), is_brought_before, forgets_up_to);
            let replica = &world.replicas[0];
            let entry = replica.store.entry(b"k").unwrap();
            assert_eq!(replica.get("k").is_some(), tombstone < hour, "{what}");
            assert_eq!(replica.engine.vector().get(writer), 1 + u64::from(again), "{what}");
            assert!(entry.known().covers(TOMBSTONE), "{what}");
            if again {
                assert!(entry.stamp() > forgets_up_to && entry.dot().replica == writer, "{what}");
                assert_eq!(entry.origin(), Dot { replica: writer, seq: 1 }, "{what}");
            }
        }
    }
}

#[test]
fn what_the_other_claims_or_its_tombstone_has_seen_is_not_written_again() {
    let hour = stamp(3_600_000);
    for is_seen in [true, false] {
        let mut world = world(1, 12);
        world.advance(Duration::from_secs(1));
        let (value, known) = (dot(0xbb, 1), vector(&[dot(0xbb, 1)]));
        let mut writer = Stranger::new(0xbb);
        writer.greet(&mut world, 0);
        writer.batch(&mut world, 0, vec![entry(value, "k"), Part::End, Part::Cut(known.clone())]);
        let own = world.replicas[0].identity.replica;
        let mut forgetful = from_above(0xaa);
        forgetful.hello.floor_stamp = hour;
        forgetful.hello.vector.include(TOMBSTONE);
        if !is_seen {
            forgetful.hello.vector.include(value);
        }
        forgetful.greet(&mut world, 0);
        let merged = if is_seen { vector(&[TOMBSTONE, value]) } else { vector(&[TOMBSTONE]) };
        forgetful.say(&mut world, 0, &[Message::Full(Lsn::ZERO, vec![buried(merged), Part::Upto(None)])]);
        let context = if is_seen { known } else { VersionVector::EMPTY };
        let cut = forgetful.hello.vector.clone();
        forgetful.batch(&mut world, 0, vec![deletion(stamp(-1), context), Part::End, Part::Cut(cut)]);
        let replica = &world.replicas[0];
        assert_eq!(replica.engine.vector().get(own), 0, "seen: {is_seen}");
        assert_eq!(replica.get("k").is_some(), !is_seen);
    }
}
