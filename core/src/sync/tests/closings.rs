//! Histories that nobody claims any more, word of members that is behind, and peers who hear others first hand no longer.

use alloc::vec;
use core::time::Duration;

use super::full::{dot, vector};
use super::harness::World;
use super::stranger::Stranger;
use crate::context::VersionVector;
use crate::ids::{Lsn, NodeId};
use crate::sync::message::Message;
use crate::sync::session::{Phase, Session};
use crate::sync::{Member, PeerId, Settings};
use crate::time::{Now, WallTime};

fn world() -> World {
    let settings = Settings { ping_every: Duration::from_secs(100_000), ..Settings::default() };
    World::new(1, 1, &settings)
}

fn open(now: Now, number: u8) -> Session {
    let mut session = Session::new(now.mono, VersionVector::EMPTY, VersionVector::EMPTY, now.mono);
    session.phase = Phase::Open;
    session.them = Some(Stranger::new(number).hello);
    session
}

fn member(claims: VersionVector, heard: u64, forgotten: u64) -> Member {
    let node = NodeId::new("m").unwrap();
    Member { node, heard: WallTime(heard), forgotten: WallTime(forgotten), vector: claims }
}

/// What is left of 7, who was given up, may be claimed by 9, who lives. What others say of 9 may be old; 9 itself says what
/// it claims by now, as long as its session is open.
#[test]
fn what_is_left_of_a_history_is_closed_when_whoever_claimed_it_says_less() {
    let left = dot(7, 3);
    let (all, none) = (vector(&[left]), VersionVector::EMPTY);
    // What 9 was said to claim, who has a session, how far that is, what it says there; whether that closes it, and for good.
    for (claims, session, closed, for_good) in [
        (&none, None, true, true),
        (&none, Some((9, Phase::Open, &none)), true, true),
        (&all, None, false, false),
        (&all, Some((9, Phase::Open, &none)), true, false),
        (&all, Some((9, Phase::Open, &all)), false, false),
        (&all, Some((9, Phase::Closing, &none)), false, false),
        (&all, Some((8, Phase::Open, &none)), false, false),
    ] {
        let mut world = world();
        let now = world.now(0);
        let engine = &mut world.replicas[0].engine;
        engine.state.members.join(left.replica, &member(none.clone(), 0, 5), None);
        engine.state.members.join(dot(9, 1).replica, &member(claims.clone(), 5, 0), None);
        engine.state.met.include(left);
        if let Some((number, phase, says)) = session {
            let mut session = open(now, number);
            (session.phase, session.vector) = (phase, says.clone());
            engine.sessions.insert(PeerId(1), session);
        }
        let found = (engine.closed().covers(left), engine.closed_for_good().covers(left));
        assert_eq!(found, (closed, for_good), "claims {claims:?}, {session:?}");
    }
}

#[test]
fn whoever_says_that_somebody_is_given_up_who_was_heard_since_is_told_better() {
    let mut world = world();
    let now = world.now(0);
    let replica = &mut world.replicas[0];
    let seven = dot(7, 1).replica;
    replica.engine.state.members.join(seven, &member(VersionVector::EMPTY, 10, 0), None);
    let wrong = member(VersionVector::EMPTY, 3, 5);
    let mut hear = |report: &Member| {
        let before = replica.engine.revision;
        replica.engine.report(now, seven, report, &mut replica.effects);
        replica.engine.revision - before
    };
    assert_eq!(hear(&wrong), 1, "it is told that 7 was heard since");
    assert_eq!(hear(&wrong), 1, "as often as it says so");
    assert_eq!(hear(&member(VersionVector::EMPTY, 3, 0)), 0, "old word is not wrong");
}

/// What was put off for the peer, because it hears the writer itself, is looked at again as soon as it does not.
#[test]
fn who_hears_a_writer_no_longer_is_looked_at_again_from_where_nothing_was_put_off() {
    let (six, seven) = (dot(6, 1).replica, dot(7, 1).replica);
    for (told, again) in [(vec![six, seven], false), (vec![seven], true), (vec![six, seven, dot(8, 1).replica], false)]
    {
        let mut world = world();
        let mut stranger = Stranger::new(9);
        stranger.greet(&mut world, 0);
        let peer = *world.replicas[0].engine.sessions.iter().next().unwrap().0;
        let session = world.replicas[0].engine.sessions.get_mut(&peer).unwrap();
        (session.settled, session.scout) = (Lsn(5), Lsn(7));
        session.direct = [six, seven].into();
        stranger.say(&mut world, 0, &[Message::Direct(told.iter().copied().collect())]);
        let session = &world.replicas[0].engine.sessions[&peer];
        assert_eq!(session.direct, told.iter().copied().collect());
        assert_eq!(session.scout, if again { Lsn(5) } else { Lsn(7) }, "told {told:?}");
    }
}
