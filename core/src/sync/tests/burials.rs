//! When what repeats an operation that was seen deleted here is deleted once more, and how that is stamped.

use alloc::vec;

use super::full::{dot, entry, vector};
use super::harness::{START, World};
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::sync::message::Part;
use crate::sync::{Engine, Settings};
use crate::time::WallTime;

/// A replica that claims (0xcc, 1) and has collected its deletion hears that somebody has written it again.
fn hears_a_repetition(stamp: Stamp, before: impl FnOnce(&mut Engine)) -> World {
    let mut world = World::new(1, 8, &Settings::default());
    let old = dot(0xcc, 1);
    let mut peer = Stranger::new(0xaa);
    peer.greet(&mut world, 0);
    world.replicas[0].engine.state.floor.include(old);
    peer.batch(&mut world, 0, vec![Part::End, Part::Cut(vector(&[old]))]);
    before(&mut world.replicas[0].engine);
    let Part::Entry { mut op, known } = entry(dot(0xcc, 2), "x") else { unreachable!("an entry") };
    (op.context, op.stamp, op.marks.repeats) = (vector(&[old]), stamp, Some(old));
    peer.batch(&mut world, 0, vec![Part::Entry { op, known }]);
    world
}

#[test]
fn what_repeats_an_operation_of_a_name_that_means_two_is_not_buried() {
    let is_buried = |before: fn(&mut Engine)| {
        hears_a_repetition(Stamp::from_wall(WallTime(START + 1)), before).values("x")[0].is_none()
    };
    assert!(is_buried(|_| {}));
    assert!(is_buried(|engine| engine.state.former.give_up(dot(0xcc, 1).replica, 1)), "up to there it means one");
    assert!(!is_buried(|engine| engine.state.former.give_up(dot(0xcc, 1).replica, 0)));
    assert!(!is_buried(|engine| {
        for session in engine.sessions.values_mut() {
            session.parted.insert(dot(0xcc, 1).replica, 0);
        }
    }));
}

#[test]
fn a_burial_of_what_is_stamped_far_ahead_does_not_carry_the_own_clock_there() {
    let far = Stamp::from_wall(WallTime(START + 365 * 24 * 3_600_000));
    let mut world = hears_a_repetition(far, |_| {});
    assert_eq!(world.replicas[0].store.entry(b"x").unwrap().stamp(), far.after());
    world.crash(0);
    world.put(0, "y", "v");
    assert!(world.replicas[0].store.entry(b"y").unwrap().stamp() < far);
}
