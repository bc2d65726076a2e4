//! Members that mean harm: what they say is taken in as far as it can be, and otherwise ends their link by name.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::harness::{START, World};
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::limits::MAX_SEQ;
use crate::op::{Body, Marks, Operation};
use crate::sync::message::{Message, Part};
use crate::sync::{CloseReason, Settings};
use crate::time::WallTime;

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn op(dot: Dot, key: &str, stamp: Stamp, context: VersionVector) -> Operation {
    let body = Body::Put("hostile".into());
    Operation { dot, stamp, context, key: key.as_bytes().to_vec().into(), body, marks: Marks::default() }
}

fn entry(op: Operation) -> Vec<Part> {
    vec![Part::Entry { op, known: VersionVector::EMPTY }, Part::End]
}

/// Nothing that is taken in freezes a key: everybody can write to it again, and everybody takes that in.
#[test]
fn a_key_stamped_as_high_as_can_be_is_overwritten_by_everybody() {
    let mut world = World::new(2, 1, &Settings::default());
    let mut stranger = Stranger::new(0xaa);
    stranger.greet(&mut world, 0);
    let context: VersionVector = (1..9).map(|number| dot(0xb0 + number, MAX_SEQ)).collect();
    let stamp = Operation::stamp_limit(&context);
    stranger.batch(&mut world, 0, entry(op(dot(0xaa, 1), "k", stamp, context)));
    assert_eq!(world.replicas[0].get("k").as_deref(), Some("hostile"));
    world.connect(0, 1);
    world.settle();
    for round in 0..20 {
        let writer = round % 2;
        world.put(writer, "k", &round.to_string());
        world.settle();
        assert_eq!(world.values("k"), vec![Some(round.to_string()); 2]);
        let latest = world.replicas[writer].store.latest(b"k").map(|entry| entry.operation()).unwrap();
        assert!(latest.is_in_range() && latest.stamp > stamp, "what a node writes is in range");
    }
    assert!(world.is_connected(0, 1));
}

#[test]
fn what_no_clock_can_have_stamped_ends_the_link_by_name() {
    let far = |context: &VersionVector| Stamp(Operation::stamp_limit(context).0 + 1);
    let seen: VersionVector = [dot(3, 7)].into_iter().collect();
    let beyond: VersionVector = [dot(3, MAX_SEQ + 1)].into_iter().collect();
    let cases = [
        op(dot(0xaa, 1), "k", Stamp(u64::MAX), VersionVector::EMPTY),
        op(dot(0xaa, 1), "k", far(&VersionVector::EMPTY), VersionVector::EMPTY),
        op(dot(0xaa, 1), "k", far(&seen), seen.clone()),
        op(dot(0xaa, 1), "k", Stamp::from_wall(WallTime(START)), beyond),
        op(dot(0xaa, MAX_SEQ + 1), "k", Stamp::from_wall(WallTime(START)), VersionVector::EMPTY),
    ];
    for refused in cases {
        for by_repair in [false, true] {
            let mut world = World::new(1, 1, &Settings::default());
            let mut stranger = Stranger::new(0xaa);
            stranger.greet(&mut world, 0);
            match by_repair {
                false => stranger.batch(&mut world, 0, entry(refused.clone())),
                true => stranger.say(&mut world, 0, &[Message::Repair(entry(refused.clone()))]),
            }
            assert_eq!(world.replicas[0].closes, [CloseReason::StampOutOfRange], "{refused:?}");
            assert_eq!(world.replicas[0].get("k"), None);
            world.put(0, "k", "mine");
            assert_eq!(world.replicas[0].get("k").as_deref(), Some("mine"));
        }
    }
}

/// A clock at the end of time is an honest one: what it stamps is taken in, and so is what overwrites it.
#[test]
fn a_clock_at_the_end_of_time_stays_in_range() {
    let mut world = World::new(2, 2, &Settings::default());
    world.replicas[0].skew_ms = i64::MAX / 2;
    world.connect(0, 1);
    world.settle();
    for round in 0..30 {
        world.put(round % 2, "k", &round.to_string());
        world.put(0, &alloc::format!("own{round}"), "v");
        world.settle();
    }
    assert_eq!(world.values("k"), vec![Some("29".into()); 2]);
    world.assert_converged();
}

/// Whatever members claim and send, the vectors that go into a snapshot can be read from it again.
#[test]
fn more_replicas_than_there_can_be_end_the_link_by_name() {
    let invented = |salt: u16, count: u32| -> VersionVector {
        let id = |number: u32| ((u128::from(salt) << 112) | (u128::from(number) + 1)).to_be_bytes();
        (0..count).map(|number| Dot { replica: ReplicaId(id(number)), seq: 1 }).collect()
    };
    let far = Stamp::from_wall(WallTime(START));
    let by_cut = |salt: u16| vec![Part::End, Part::Cut(invented(salt, 30_000))];
    let by_context = |salt: u16| {
        let key = salt.to_string();
        entry(op(dot(0xaa, u64::from(salt) + 1), &key, far, invented(salt, 30_000)))
    };
    let ways: [&dyn Fn(u16) -> Vec<Part>; 2] = [&by_cut, &by_context];
    for way in ways {
        let mut world = World::new(1, 3, &Settings { window: 1 << 30, ..Settings::default() });
        let mut stranger = Stranger::new(0xaa);
        stranger.greet(&mut world, 0);
        for salt in 0..2 {
            stranger.batch(&mut world, 0, way(salt));
        }
        assert_eq!(world.replicas[0].closes, [], "so many there can be");
        stranger.batch(&mut world, 0, way(2));
        assert_eq!(world.replicas[0].closes, [CloseReason::TooManyReplicas]);
        world.put(0, "k", "v");
        world.replicas[0].snapshot();
        world.crash(0);
        assert_eq!(world.replicas[0].get("k").as_deref(), Some("v"));
    }
    // A vector that grows with each acknowledgement is bounded as well.
    let mut world = World::new(1, 4, &Settings::default());
    let mut stranger = Stranger::new(0xaa);
    stranger.greet(&mut world, 0);
    for salt in 0..3 {
        let ack = Message::Ack { lsn: crate::ids::Lsn::ZERO, bytes: 0, vector: invented(salt, 30_000) };
        stranger.say(&mut world, 0, &[ack]);
    }
    assert_eq!(world.replicas[0].closes, [CloseReason::TooManyReplicas]);
}
