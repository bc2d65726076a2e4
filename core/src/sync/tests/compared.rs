//! What follows in a full exchange from the keys that a peer names, and from its claims and its floor.

use alloc::vec;

use super::full::{dot, entry, from_above, vector, world};
use super::harness::START;
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::limits::MAX_REPLICAS;
use crate::sync::CloseReason;
use crate::sync::message::{Message, Part};
use crate::time::WallTime;

/// The peer has the key as an older tombstone, and claims what stands here or has a floor above it, or both.
#[test]
fn behind_a_tombstone_only_what_is_claimed_and_was_collected_is_taken_for_deleted() {
    for (claimed, collected) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = world(1, 7);
        let (held, older) = (dot(0xcc, 1), dot(0xdd, 1));
        let mut holder = Stranger::new(0xee);
        holder.greet(&mut world, 0);
        holder.batch(&mut world, 0, vec![entry(held, "x"), Part::End]);
        let mut other = from_above(0xaa);
        if claimed {
            other.hello.vector.include(held);
        }
        if collected {
            other.hello.floor.include(held);
        }
        other.greet(&mut world, 0);
        let buried = Part::Buried { key: "x".into(), dot: older, known: vector(&[older]), stamp: None };
        other.say(&mut world, 0, &[Message::Full(Lsn::ZERO, vec![buried, Part::Upto(None)])]);
        assert_eq!(world.replicas[0].get("x").is_none(), claimed && collected, "{claimed} {collected}");
    }
}

/// The peer names nothing, claims none of it, and has collected later deletions than what stands here.
#[test]
fn what_may_have_been_deleted_is_written_again_unless_it_came_from_one_who_knows() {
    for (own, meanwhile, given_up, again) in [
        (false, false, false, true),
        (false, false, true, true),
        (false, true, false, false),
        (true, false, false, true),
        (true, true, false, true),
    ] {
        let mut world = world(1, 10);
        let (held, seen) = (dot(0xcc, 1), dot(0xaa, 1));
        if given_up {
            world.replicas[0].engine.state.former.give_up(held.replica, 0);
        }
        // It has seen the floor, so it need not wait.
        let mut holder = Stranger::new(0xee);
        holder.hello.vector = vector(&[seen]);
        holder.greet(&mut world, 0);
        let mut other = from_above(0xaa);
        other.hello.floor_stamp = Stamp::from_wall(WallTime(START + 100_000));
        world.replicas[0].auto_commit = !own || !meanwhile;
        if own {
            world.put(0, "x", "v");
        } else if !meanwhile {
            holder.batch(&mut world, 0, vec![entry(held, "x"), Part::End]);
        }
        other.greet(&mut world, 0);
        other.name(&mut world, 0, &[], Some("a"));
        if !own && meanwhile {
            holder.batch(&mut world, 0, vec![entry(held, "x"), Part::End]);
        }
        // An own write that was accepted before, and is shown only now.
        let now = world.now(0);
        world.replicas[0].commit(now);
        world.replicas[0].auto_commit = true;
        other.name(&mut world, 0, &[], None);
        let replica = &world.replicas[0];
        let case = (own, meanwhile, given_up);
        let written = replica.engine.vector().get(replica.identity.replica);
        assert_eq!(written, u64::from(own) + u64::from(again), "{case:?}");
        let origin = if own { Dot { replica: replica.identity.replica, seq: 1 } } else { held };
        let repeats = replica.store.entry(b"x").unwrap().marks().repeats;
        assert_eq!(repeats, (again && !given_up).then_some(origin), "{case:?}");
    }
}

/// Vectors that go into a snapshot must be read from it again.
#[test]
fn a_floor_of_too_many_replicas_is_not_taken_over() {
    for drops in [false, true] {
        for (named, fits) in [(MAX_REPLICAS - 64, true), (MAX_REPLICAS - 63, false)] {
            let mut world = world(1, 11);
            let held = dot(0xcc, 1);
            if drops {
                let mut holder = Stranger::new(0xee);
                holder.greet(&mut world, 0);
                holder.batch(&mut world, 0, vec![entry(held, "x"), Part::End]);
                holder.leave(&mut world, 0);
            }
            let mut other = from_above(0xaa);
            other.hello.floor = vector(&[dot(0xaa, 1), held]);
            let invented = (1..=named as u128 - 2).map(|number| ReplicaId(number.to_be_bytes()));
            other.hello.floor.join(&invented.map(|replica| Dot { replica, seq: 1 }).collect());
            other.hello.vector = other.hello.floor.clone();
            other.greet(&mut world, 0);
            other.name(&mut world, 0, &[], None);
            if !drops {
                other.batch(&mut world, 0, vec![Part::End, Part::Cut(vector(&[dot(0xaa, 1)]))]);
            }
            let replica = &world.replicas[0];
            let closes = if fits { vec![] } else { vec![CloseReason::TooManyReplicas] };
            assert_eq!(replica.closes, closes, "drops: {drops}");
            let known = replica.engine.state.floor.len() + replica.engine.state.owed.len();
            assert_eq!(known, if fits { named } else { 0 }, "drops: {drops}");
        }
    }
}
