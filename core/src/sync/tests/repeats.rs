//! A value that was written again because nobody present could tell whether it was deleted, and those who can.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::full::{dot, entry, vector};
use super::harness::World;
use super::stranger::Stranger;
use crate::context::VersionVector;
use crate::ids::Dot;
use crate::sync::message::{Message, Part};
use crate::sync::{Settings, message};

/// Has seen the deletion.
const WITNESS: usize = 0;
/// Has collected other deletions, and knows nothing of the key.
const STRANGER: usize = 1;
/// Was away, and holds the key.
const HOLDER: usize = 2;

fn settings() -> Settings {
    Settings { collect_every: Duration::from_secs(2), ..Settings::default() }
}

fn forget_everybody(world: &mut World, index: usize) {
    world.advance(Duration::from_secs(1));
    let members: Vec<_> = world.replicas[index].engine.state.members.iter().map(|(replica, _)| replica).collect();
    for replica in members {
        let now = world.now(index);
        world.replicas[index].engine.forget(now, replica, &mut vec![]).unwrap();
    }
}

fn collects_something(world: &mut World, index: usize) {
    forget_everybody(world, index);
    let key = alloc::format!("of {index}");
    world.put(index, &key, "v");
    world.delete(index, &key);
    world.settle_for(Duration::from_secs(10));
    assert!(!world.replicas[index].engine.state.floor.is_empty());
}

/// The witnesses have seen "gone" deleted, the first ones have collected that, and nobody can tell the holder.
fn away(seed: u64, witnesses: &[usize], others: usize, collected: bool) -> World {
    let mut world = World::new(3 + others, seed, &settings());
    world.put(HOLDER, "gone", "v");
    for witness in witnesses {
        world.connect(HOLDER, *witness);
    }
    world.settle();
    world.cut_all(HOLDER);
    for pair in witnesses.windows(2) {
        world.connect(pair[0], pair[1]);
    }
    world.delete(WITNESS, "gone");
    world.settle();
    for witness in witnesses {
        world.replicas[*witness].may_collect = collected;
        forget_everybody(&mut world, *witness);
    }
    world.settle_for(Duration::from_secs(10));
    for witness in witnesses {
        assert_eq!(world.replicas[*witness].store.tombstones() == 0, collected);
    }
    for witness in witnesses {
        world.cut_all(*witness);
    }
    world
}

/// The holder meets somebody from above whose floor it does not come, and writes the key again.
fn is_written_again(world: &mut World, stranger: usize) -> Dot {
    collects_something(world, stranger);
    world.connect(HOLDER, stranger);
    world.settle();
    world.cut_all(stranger);
    assert_eq!(world.values("gone")[stranger].as_deref(), Some("v"), "nobody present knows better");
    world.replicas[HOLDER].store.entry(b"gone").unwrap().dot()
}

fn conflicts(world: &World) -> Vec<u64> {
    world.replicas.iter().map(|replica| replica.engine.conflicts().total()).collect()
}

#[test]
fn what_a_third_replica_has_seen_deleted_stays_deleted() {
    for (collected, seed) in [(true, 1), (false, 2)] {
        for first in [STRANGER, HOLDER] {
            let mut world = away(seed, &[WITNESS], 0, collected);
            is_written_again(&mut world, STRANGER);
            let repeats = world.replicas[HOLDER].store.entry(b"gone").unwrap().marks().repeats;
            let holder = world.replicas[HOLDER].identity.replica;
            assert_eq!(repeats, Some(Dot { replica: holder, seq: 1 }));
            world.connect(WITNESS, first);
            world.settle();
            assert_eq!(world.values("gone")[WITNESS], None);
            world.crash(WITNESS);
            world.connect_all();
            world.settle();
            world.replicas.iter_mut().for_each(|replica| replica.may_collect = true);
            world.settle_for(Duration::from_secs(40));
            assert_eq!(world.values("gone"), vec![None; 3], "collected {collected}, by way of {first}");
            assert_eq!(conflicts(&world), [0; 3]);
            world.assert_converged();
        }
    }
}

#[test]
fn two_who_have_seen_it_bury_one_thing() {
    let mut world = away(3, &[WITNESS, 3], 1, true);
    is_written_again(&mut world, STRANGER);
    world.connect(WITNESS, STRANGER);
    world.connect(3, HOLDER);
    world.settle();
    let stamps = [WITNESS, 3].map(|index| world.replicas[index].store.entry(b"gone").unwrap().stamp());
    assert_eq!(stamps[0], stamps[1]);
    world.connect_all();
    world.settle();
    assert_eq!(world.values("gone"), vec![None; 4]);
    assert_eq!(conflicts(&world), [0; 4]);
    world.settle_for(Duration::from_secs(40));
    world.assert_converged();
}

/// What is repeated twice is still what it was.
#[test]
fn a_repetition_of_a_repetition_says_what_the_first_one_repeats() {
    let mut world = away(4, &[WITNESS], 1, true);
    let first = is_written_again(&mut world, STRANGER);
    let second = is_written_again(&mut world, 3);
    assert!(first < second);
    world.connect(WITNESS, 3);
    world.settle();
    world.connect_all();
    world.settle_for(Duration::from_secs(40));
    assert_eq!(world.values("gone"), vec![None; 4]);
    world.assert_converged();
}

/// A burial wins over nothing but the repetition.
#[test]
fn what_was_meant_stands_beside_a_burial() {
    let mut world = away(5, &[WITNESS, 3], 1, true);
    is_written_again(&mut world, STRANGER);
    world.put(3, "gone", "anew");
    world.settle();
    for _again in 0..2 {
        world.connect(WITNESS, STRANGER);
        world.settle();
    }
    assert_eq!(world.values("gone")[STRANGER], None);
    world.connect_all();
    world.settle();
    assert_eq!(world.values("gone"), vec![Some("anew".to_string()); 4]);
    assert_eq!(conflicts(&world), [0; 4]);
    let digest = world.replicas[WITNESS].store.live_digest();
    assert!(world.replicas.iter().all(|replica| replica.store.live_digest() == digest));
}

/// Who knows nothing of repetitions is told of a value like any other.
#[test]
fn an_older_protocol_is_told_of_no_repetition() {
    for (newest, told) in [(2, false), (message::PROTOCOL, true)] {
        let mut world = away(7, &[WITNESS], 0, true);
        is_written_again(&mut world, STRANGER);
        let mut peer = Stranger::new(0xaa);
        peer.hello.protocols = (1, newest);
        peer.greet(&mut world, HOLDER);
        let heard = peer.hear(&mut world, HOLDER).concat();
        let parts = message::read(&heard.into()).unwrap().into_iter().flat_map(|message| match message {
            Message::Batch(_, parts) => parts,
            _ => vec![],
        });
        let marks = parts.filter_map(|part| match part {
            Part::Entry { op, .. } if &op.key[..] == b"gone" => Some(op.marks.repeats.is_some()),
            _ => None,
        });
        assert_eq!(marks.collect::<Vec<_>>(), [told], "up to protocol {newest}");
    }
}

/// A claim of another history of that name says nothing about what is repeated.
#[test]
fn what_is_repeated_must_be_claimed_and_gone() {
    for (claimed, stands, buried) in [(true, false, true), (false, false, false), (true, true, false)] {
        let mut world = World::new(1, 8, &settings());
        let mut peer = Stranger::new(0xaa);
        peer.greet(&mut world, 0);
        let old = dot(0xcc, 1);
        let mut parts = vec![];
        world.replicas[0].engine.state.floor.include(old);
        if stands {
            parts.push(entry(old, "x"));
        }
        let cut = if claimed { vector(&[old]) } else { VersionVector::EMPTY };
        parts.extend([Part::End, Part::Cut(cut)]);
        peer.batch(&mut world, 0, parts);
        let Part::Entry { mut op, known } = entry(dot(0xcc, 2), "x") else { unreachable!("an entry") };
        op.context = vector(&[old]);
        op.stamp = op.stamp.after();
        op.marks.repeats = Some(old);
        peer.batch(&mut world, 0, vec![Part::Entry { op: op.clone(), known }]);
        assert_eq!(world.values("x")[0].is_none(), buried, "claimed {claimed}, stands {stands}");
        let entry = world.replicas[0].store.entry(b"x").unwrap();
        assert!(entry.known().covers(op.dot));
        if buried {
            assert_eq!((entry.stamp(), entry.marks().repeats), (op.stamp.after(), Some(old)));
            assert!(entry.operation().is_in_range());
        }
    }
}
