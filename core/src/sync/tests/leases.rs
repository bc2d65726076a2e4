//! What counts as a sign of life of a member.

use core::time::Duration;

use super::full::{dot, vector};
use super::harness::World;
use crate::context::VersionVector;
use crate::ids::NodeId;
use crate::sync::{Member, Settings};
use crate::time::WallTime;

/// Else two who repeat to each other what they know would keep a member that is gone, and its tombstones, for ever.
#[test]
fn word_of_a_member_is_a_sign_of_life_only_if_it_says_more_or_that_it_was_heard_later() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const HEARD: u64 = 1000;
    let member = |heard, vector| Member {
        node: NodeId::new("n").unwrap(),
        heard: WallTime(heard),
        forgotten: WallTime(0),
        vector,
    };
    for (heard, says_more, is_alive) in
        [(HEARD - 1, false, false), (HEARD, false, false), (HEARD + 1, false, true), (HEARD - 1, true, true)]
    {
        let mut world = World::new(1, 1, &Settings { member_lease: 30 * DAY, ..Settings::default() });
        let id = dot(9, 1).replica;
        let tell = |world: &mut World, report| {
            let now = world.now(0);
            let replica = &mut world.replicas[0];
            replica.engine.report(now, id, &report, &mut replica.effects);
        };
        tell(&mut world, member(HEARD, VersionVector::EMPTY));
        world.advance(20 * DAY);
        let more = if says_more { vector(&[dot(9, 1)]) } else { VersionVector::EMPTY };
        tell(&mut world, member(heard, more));
        world.advance(20 * DAY);
        let engine = &world.replicas[0].engine;
        let known = engine.state.members.get(id).unwrap();
        let holds = engine.leases.holds(world.now(0), &engine.settings, id, known);
        assert_eq!(holds, is_alive, "heard at {heard}, says more: {says_more}");
    }
}
