//! Values that meet a tombstone of somebody who has forgotten another one of the same key.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::full::{dot, entry, from_above, vector, world};
use super::harness::{START, World};
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::sync::message::{Message, OLDEST_PROTOCOL, Origins, PROTOCOL, Part, STAMPS_WHAT_IS_BURIED};
use crate::sync::session::FullOut;
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
fn buried(known: VersionVector, stamp: Option<Stamp>) -> Part {
    Part::Buried { key: "k".into(), dot: TOMBSTONE, known, stamp }
}

/// Meets one that has forgotten tombstones up to some stamp, and names the key by an older one, with its stamp or without; another has
/// brought that before, or it comes then.
fn meet(world: &mut World, at: Stamp, forgets_up_to: Stamp, (is_stamped, is_brought_before): (bool, bool)) {
    let tombstone = deletion(at, VersionVector::EMPTY);
    if is_brought_before {
        let mut other = Stranger::new(0xdd);
        other.greet(world, 0);
        other.batch(world, 0, vec![tombstone.clone(), Part::End]);
    }
    let mut forgetful = from_above(0xaa);
    forgetful.hello.floor_stamp = forgets_up_to;
    forgetful.hello.vector.include(TOMBSTONE);
    forgetful.greet(world, 0);
    let named = vec![buried(vector(&[TOMBSTONE]), is_stamped.then_some(at)), Part::Upto(None)];
    forgetful.say(world, 0, &[Message::Full(Lsn::ZERO, named)]);
    if !is_brought_before {
        forgetful.batch(world, 0, vec![tombstone]);
    }
    let cut = forgetful.hello.vector.clone();
    forgetful.batch(world, 0, vec![Part::End, Part::Cut(cut)]);
}

#[test]
fn a_value_that_wins_against_a_tombstone_beside_one_that_is_forgotten_is_written_again_above_that() {
    let hour = stamp(3_600_000);
    // Stamp of the tombstone, up to where it forgets, whether the value is in doubt.
    for (at, forgets_up_to, doubt) in [(stamp(-1), hour, true), (stamp(-1), stamp(-1), false), (hour, hour, false)] {
        for how in [(true, true), (true, false), (false, true), (false, false)] {
            let what = alloc::format!("{at:?}, forgets up to {forgets_up_to:?}, stamped and brought before: {how:?}");
            let mut world = world(1, 11);
            world.put(0, "k", "v");
            let writer = world.replicas[0].identity.replica;
            meet(&mut world, at, forgets_up_to, how);
            let replica = &world.replicas[0];
            let entry = replica.store.entry(b"k").unwrap();
            assert_eq!(replica.get("k").is_some(), at < hour, "{what}");
            // Of a tombstone that is neither here nor stamped nobody knows who wins.
            let again = doubt && how != (false, false);
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
fn what_is_written_again_says_what_it_repeats_unless_that_name_means_two() {
    for means_two in [false, true] {
        let mut world = world(1, 15);
        let value = dot(0xbb, 1);
        let mut writer = Stranger::new(0xbb);
        writer.greet(&mut world, 0);
        writer.batch(&mut world, 0, vec![entry(value, "k"), Part::End, Part::Cut(vector(&[value]))]);
        if means_two {
            world.replicas[0].engine.state.former.give_up(value.replica, 0);
        }
        meet(&mut world, stamp(-1), stamp(3_600_000), (true, false));
        let replica = &world.replicas[0];
        let entry = replica.store.entry(b"k").unwrap();
        assert_eq!(entry.dot().replica, replica.identity.replica, "written again");
        assert_eq!(entry.origin(), if means_two { entry.dot() } else { value });
    }
}

/// Else what was written again might not be there before the value itself, and be lost on the way.
#[test]
fn nothing_of_a_value_in_doubt_is_passed_on_before_it_is_written_again() {
    let mut world = world(1, 13);
    world.put(0, "k", "v");
    let mut forgetful = from_above(0xaa);
    forgetful.hello.floor_stamp = stamp(3_600_000);
    forgetful.hello.vector.include(TOMBSTONE);
    forgetful.greet(&mut world, 0);
    world.strays.clear();
    let named = vec![buried(vector(&[TOMBSTONE]), Some(stamp(-1))), Part::Upto(None)];
    forgetful.say(&mut world, 0, &[Message::Full(Lsn::ZERO, named)]);
    let mut origins = Origins::default();
    let mut values = Vec::new();
    for bytes in forgetful.hear(&mut world, 0) {
        if let Message::Batch(_, parts) = Message::take(&mut bytes.into(), &mut origins).unwrap().0 {
            let ops = parts.into_iter().filter_map(|part| match part {
                Part::Entry { op, .. } => Some(op),
                _ => None,
            });
            values.extend(ops.filter(|op| op.body.value().is_some()));
        }
    }
    assert!(!values.is_empty() && values.iter().all(|op| op.stamp > stamp(3_600_000)), "{values:?}");
}

#[test]
fn tombstones_are_named_with_their_stamps_to_those_who_know_what_that_is() {
    for (newest, stamped) in [(PROTOCOL, true), (STAMPS_WHAT_IS_BURIED, true), (STAMPS_WHAT_IS_BURIED - 1, false)] {
        let mut world = world(1, 14);
        world.put(0, "k", "v");
        world.delete(0, "k");
        let mut stranger = Stranger::new(9);
        stranger.hello.protocols = (OLDEST_PROTOCOL, newest);
        stranger.greet(&mut world, 0);
        let mut heard = stranger.hear_by(&mut world, 0, 0, 0);
        world.replicas[0].engine.sessions.values_mut().next().unwrap().full_out = Some(FullOut::Naming { after: None });
        heard.extend(stranger.hear(&mut world, 0));
        let mut origins = Origins::default();
        let parts =
            heard.into_iter().flat_map(|bytes| match Message::take(&mut bytes.into(), &mut origins).unwrap().0 {
                Message::Full(_, parts) => parts,
                _ => Vec::new(),
            });
        let stamps: Vec<_> =
            parts.filter_map(|part| if let Part::Buried { stamp, .. } = part { Some(stamp) } else { None }).collect();
        let at = world.replicas[0].store.entry(b"k").unwrap().stamp();
        assert_eq!(stamps, [stamped.then_some(at)], "up to protocol {newest}");
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
        forgetful.say(
            &mut world,
            0,
            &[Message::Full(Lsn::ZERO, vec![buried(merged, Some(stamp(-1))), Part::Upto(None)])],
        );
        let context = if is_seen { known } else { VersionVector::EMPTY };
        let cut = forgetful.hello.vector.clone();
        forgetful.batch(&mut world, 0, vec![deletion(stamp(-1), context), Part::End, Part::Cut(cut)]);
        let replica = &world.replicas[0];
        assert_eq!(replica.engine.vector().get(own), 0, "seen: {is_seen}");
        assert_eq!(replica.get("k").is_some(), !is_seen);
    }
}

/// What the log has taken and nobody is shown yet stands nowhere where names are compared, and was stamped before anybody had heard
/// of what is forgotten.
#[test]
fn a_value_that_is_on_its_way_to_the_disk_when_keys_are_named_is_written_again_too() {
    for is_named in [false, true] {
        let mut world = world(1, 15);
        world.replicas[0].auto_commit = false;
        world.put(0, "k", "v");
        let mut forgetful = from_above(0xaa);
        forgetful.hello.floor_stamp = stamp(3_600_000);
        forgetful.hello.vector.include(TOMBSTONE);
        forgetful.greet(&mut world, 0);
        let mut named = vec![Part::Upto(None)];
        if is_named {
            named.insert(0, buried(vector(&[TOMBSTONE]), Some(stamp(-1))));
        }
        forgetful.say(&mut world, 0, &[Message::Full(Lsn::ZERO, named)]);
        world.replicas[0].auto_commit = true;
        world.route(0);
        let cut = forgetful.hello.vector.clone();
        forgetful.batch(&mut world, 0, vec![Part::End, Part::Cut(cut)]);
        world.settle_for(Duration::from_secs(1));
        let replica = &world.replicas[0];
        let entry = replica.store.entry(b"k").unwrap();
        assert_eq!(replica.get("k").as_deref(), Some("v"));
        assert!(entry.stamp() > stamp(3_600_000), "named: {is_named}, {:?}", entry.stamp());
    }
}

/// Each message of names speaks of the keys between its end and that of the one before, and of no others.
#[test]
fn what_is_on_its_way_to_the_disk_is_looked_at_with_the_names_of_its_range() {
    for (first, second, written_again) in [
        (vec!["b"], vec![], vec!["z"]),
        (vec!["b"], vec!["z"], vec![]),
        (vec![], vec!["z"], vec!["b"]),
        (vec![], vec![], vec!["b", "z"]),
    ] {
        let mut world = world(1, 15);
        world.replicas[0].auto_commit = false;
        world.put(0, "b", "v");
        world.put(0, "z", "v");
        let mut forgetful = from_above(0xaa);
        forgetful.hello.floor_stamp = stamp(3_600_000);
        forgetful.greet(&mut world, 0);
        forgetful.name(&mut world, 0, &first, Some("b"));
        forgetful.name(&mut world, 0, &second, None);
        world.replicas[0].auto_commit = true;
        world.route(0);
        let is_again = |key: &&str| world.replicas[0].store.entry(key.as_bytes()).unwrap().stamp() > stamp(3_600_000);
        let again: Vec<&str> = ["b", "z"].into_iter().filter(is_again).collect();
        assert_eq!(again, written_again, "named {first:?} up to b, and {second:?}");
    }
}

/// What the peer claims may be another operation of a name that was given up here: it never takes this one in under that name.
#[test]
fn a_value_under_a_name_that_was_given_up_is_written_again_beside_a_tombstone_that_has_not_seen_it() {
    for (is_collected, is_older) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = world(1, 16);
        world.advance(Duration::from_secs(1));
        let value = dot(0xbb, 1);
        let mut writer = Stranger::new(0xbb);
        writer.greet(&mut world, 0);
        writer.batch(&mut world, 0, vec![entry(value, "k"), Part::End, Part::Cut(vector(&[value]))]);
        world.replicas[0].engine.state.former.give_up(value.replica, 0);
        let own = world.replicas[0].identity.replica;
        let mut forgetful = from_above(0xaa);
        forgetful.hello.vector.include(TOMBSTONE);
        forgetful.hello.vector.include(value);
        if is_collected {
            forgetful.hello.floor.include(value);
        }
        forgetful.greet(&mut world, 0);
        let at = stamp(if is_older { -1 } else { 1 });
        let named = vec![buried(vector(&[TOMBSTONE]), Some(at)), Part::Upto(None)];
        forgetful.say(&mut world, 0, &[Message::Full(Lsn::ZERO, named)]);
        let cut = forgetful.hello.vector.clone();
        forgetful.batch(&mut world, 0, vec![deletion(at, VersionVector::EMPTY), Part::End, Part::Cut(cut)]);
        let what = alloc::format!("collected: {is_collected}, the tombstone is older: {is_older}");
        let replica = &world.replicas[0];
        assert_eq!(replica.get("k").is_some(), is_older, "{what}");
        assert_eq!(replica.engine.vector().get(own), u64::from(is_older), "{what}");
    }
}

/// A peer may say anything of what it has forgotten: above what a clock can say there is always a stamp.
#[test]
fn a_value_in_doubt_is_written_again_once_whatever_the_peer_says_of_its_floor() {
    for most in [stamp(3_600_000), Stamp::HORIZON, Stamp(u64::MAX)] {
        let mut world = world(1, 17);
        world.put(0, "k", "v");
        let own = world.replicas[0].identity.replica;
        let mut forgetful = from_above(0xaa);
        forgetful.hello.floor_stamp = most;
        for _ in 0..5 {
            forgetful.greet(&mut world, 0);
            forgetful.name(&mut world, 0, &[], None);
            forgetful.leave(&mut world, 0);
        }
        assert_eq!(world.replicas[0].engine.vector().get(own), 2, "{most:?}");
    }
}

/// That something was merged with it since does not say that it came since.
#[test]
fn a_foreign_value_stays_in_doubt_though_a_tombstone_that_loses_to_it_is_brought_meanwhile() {
    for is_named in [true, false] {
        let mut world = world(1, 18);
        world.advance(Duration::from_secs(1));
        let value = dot(0xbb, 1);
        let mut writer = Stranger::new(0xbb);
        writer.greet(&mut world, 0);
        writer.batch(&mut world, 0, vec![entry(value, "k"), Part::End, Part::Cut(vector(&[value]))]);
        let own = world.replicas[0].identity.replica;
        let mut forgetful = from_above(0xaa);
        forgetful.hello.floor_stamp = stamp(3_600_000);
        forgetful.hello.vector.include(TOMBSTONE);
        // It has seen that floor.
        let mut other = Stranger::new(0xdd);
        other.hello.vector = forgetful.hello.vector.clone();
        other.greet(&mut world, 0);
        forgetful.greet(&mut world, 0);
        forgetful.name(&mut world, 0, &["a"], Some("b"));
        other.batch(&mut world, 0, vec![deletion(stamp(-1), VersionVector::EMPTY), Part::End]);
        assert!(world.replicas[0].store.entry(b"k").unwrap().known().covers(TOMBSTONE));
        let mut named = vec![Part::Upto(None)];
        if is_named {
            named.insert(0, buried(vector(&[TOMBSTONE]), Some(stamp(-1))));
        }
        forgetful.say(&mut world, 0, &[Message::Full(Lsn::ZERO, named)]);
        assert_eq!(world.replicas[0].engine.vector().get(own), 1, "named: {is_named}");
    }
}
