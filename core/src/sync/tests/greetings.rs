//! What a greeting says, whom it turns away, and what a pulse tells of a clock.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, NodeId, ReplicaId};
use crate::limits::MAX_MEMBERS;
use crate::runs::Runs;
use crate::sync::chain::Ladder;
use crate::sync::message::{Message, OLDEST_PROTOCOL, PROTOCOL, Pulse};
use crate::sync::pulse::Answer;
use crate::sync::session::{FullIn, Phase, Session};
use crate::sync::{ClockPolicy, CloseReason, Effect, Engine, Event, Finding, Member, PeerId, Settings};
use crate::time::{Now, WallTime};

fn world() -> World {
    let settings = Settings { ping_every: Duration::from_secs(100_000), ..Settings::default() };
    World::new(1, 1, &settings)
}

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn open(now: Now, number: u8) -> Session {
    let mut session = Session::new(now.mono, VersionVector::EMPTY, VersionVector::EMPTY, now.mono);
    session.phase = Phase::Open;
    session.them = Some(Stranger::new(number).hello);
    session
}

fn clones(world: &World) -> usize {
    let is_clone = |event: &&Event| matches!(event, Event::Identity(Finding::Clone(_)));
    world.replicas[0].events.iter().filter(is_clone).count()
}

#[test]
fn protocols_need_one_in_common() {
    let (oldest, newest) = (OLDEST_PROTOCOL, PROTOCOL);
    for (protocols, is_heard) in [
        ((oldest, newest), true),
        ((0, oldest), true),
        ((newest, u8::MAX), true),
        ((0, u8::MAX), true),
        ((0, oldest - 1), false),
        ((newest + 1, newest + 1), false),
        ((newest + 1, u8::MAX), false),
    ] {
        let mut world = world();
        let mut stranger = Stranger::new(9);
        stranger.hello.protocols = protocols;
        stranger.greet(&mut world, 0);
        assert_eq!(stranger.is_heard(&world, 0), is_heard, "{protocols:?}");
        let turned_away = world.replicas[0].closes.contains(&CloseReason::NoCommonProtocol);
        assert_eq!(turned_away, !is_heard, "{protocols:?}");
    }
}

/// A node that restarts has a new run each time. Two nodes under one name go back and forth.
#[test]
fn a_run_that_comes_back_after_another_is_a_clone() {
    let mut world = world();
    let (mut twin, mut other) = (Stranger::new(0xaa), Stranger::new(0xbb));
    let runs = [(1, 0), (1, 0), (2, 0), (3, 0), (2, 1), (2, 1), (3, 2), (1, 3), (4, 3)];
    for (step, (boot, found)) in runs.into_iter().enumerate() {
        twin.hello.boot = boot;
        twin.greet(&mut world, 0);
        // Others that come meanwhile make nobody forgotten.
        other.hello.replica = ReplicaId([step as u8 + 1; 16]);
        other.greet(&mut world, 0);
        assert_eq!(clones(&world), found, "step {step}");
    }
    assert_eq!(world.replicas[0].engine.runs[&twin.hello.replica].seen, [4, 1, 3, 2]);
}

/// A process dies with its greeting under way, and its successor is heard first.
#[test]
fn the_last_word_of_an_earlier_run_is_not_heard() {
    let mut world = world();
    let (mut former, mut latter) = (Stranger::new(0xaa), Stranger::new(0xaa));
    former.greet(&mut world, 0);
    former.open(&mut world, 0);
    latter.peer = PeerId(77);
    latter.hello.boot = 2;
    latter.greet(&mut world, 0);
    assert_eq!(world.replicas[0].closes, [CloseReason::Replaced], "the first link");
    former.say(&mut world, 0, &[Message::Hello(former.hello.clone())]);
    assert!(latter.is_heard(&world, 0) && !former.is_heard(&world, 0));
    assert_eq!(clones(&world), 0);
    // On a link that was begun later it is no last word.
    former.greet(&mut world, 0);
    assert_eq!(clones(&world), 1);
}

#[test]
fn runs_are_remembered_of_so_many_and_a_known_one_forgets_nobody() {
    let mut world = world();
    let many = (0..MAX_MEMBERS as u64).map(|number| {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        let mut runs = Runs::default();
        runs.note(1, 0);
        (ReplicaId(id), runs)
    });
    world.replicas[0].engine.runs = many.collect();
    let mut known = Stranger::new(0);
    known.hello.boot = 2;
    known.greet(&mut world, 0);
    let runs = &world.replicas[0].engine.runs;
    assert_eq!((runs.len(), runs[&ReplicaId([0; 16])].seen.len()), (MAX_MEMBERS, 2));
    Stranger::new(0xaa).greet(&mut world, 0);
    let runs = &world.replicas[0].engine.runs;
    assert!(runs.contains_key(&ReplicaId([0xaa; 16])) && runs.len() == MAX_MEMBERS, "{}", runs.len());
}

#[test]
fn a_second_link_of_one_replica_replaces_the_first_and_no_other() {
    let mut world = world();
    let (mut first, mut other) = (Stranger::new(0xaa), Stranger::new(0xbb));
    other.greet(&mut world, 0);
    first.greet(&mut world, 0);
    assert_eq!(world.replicas[0].closes, []);
    first.greet(&mut world, 0);
    assert_eq!(world.replicas[0].closes, [CloseReason::Replaced]);
    assert!(first.is_heard(&world, 0) && other.is_heard(&world, 0));
    first.greet(&mut world, 0);
    assert_eq!(world.replicas[0].closes, [CloseReason::Replaced, CloseReason::Replaced], "each is closed once");
}

/// What is said in the greeting of whom is heard at first hand.
#[test]
fn a_resume_names_the_others_that_are_heard() {
    let direct = |change: fn(&mut Engine)| -> Vec<u8> {
        let mut world = world();
        let now = world.now(0);
        let engine = &mut world.replicas[0].engine;
        for number in [1, 2, 3] {
            engine.sessions.insert(PeerId(u64::from(number)), open(now, number));
        }
        engine.sessions.get_mut(&PeerId(1)).unwrap().phase = Phase::Resuming;
        change(engine);
        let Some(Message::Resume { direct, .. }) = engine.resume(PeerId(1)) else { panic!("no resume") };
        direct.iter().map(|replica| replica.0[0]).collect()
    };
    fn with(engine: &mut Engine, number: u64) -> &mut Session {
        engine.sessions.get_mut(&PeerId(number)).unwrap()
    }
    assert_eq!(direct(|_| {}), [2, 3]);
    assert_eq!(direct(|engine| with(engine, 1).phase = Phase::Open), [2, 3], "never the peer itself");
    assert_eq!(direct(|engine| with(engine, 2).phase = Phase::Resuming), [3]);
    assert_eq!(direct(|engine| with(engine, 2).full_in = Some(FullIn::Named { after: None })), [3]);
    assert_eq!(direct(|engine| with(engine, 3).stalled = true), [2]);
    let from_below = |engine: &mut Engine| with(engine, 1).them.as_mut().unwrap().floor = vector(&[dot(9, 1)]);
    assert_eq!(direct(from_below), [], "in a full exchange everything is to come from it");
}

/// Deletions are forgotten here, or are to be, between the hello and the resume of a peer that may not have seen them.
#[test]
fn a_floor_that_rises_during_a_greeting_ends_it_for_those_below() {
    let floor = vector(&[dot(0xcc, 1)]);
    let cases = [(true, false, false), (true, true, true), (false, false, true)];
    for (owed, (rises, seen, is_heard)) in
        cases.map(|case| (false, case)).into_iter().chain(cases.map(|case| (true, case)))
    {
        let mut world = world();
        let risen = |engine: &mut Engine| {
            let state = &mut engine.state;
            if owed { &mut state.owed } else { &mut state.floor }.clone_from(&floor);
        };
        if owed {
            world.replicas[0].engine.state.floor = floor.clone();
        }
        if !rises {
            risen(&mut world.replicas[0].engine);
        }
        let mut stranger = Stranger::new(9);
        if seen {
            stranger.hello.vector = floor.clone();
        }
        let peer = PeerId(1);
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.peer_up(now, peer, &mut replica.effects);
        risen(&mut replica.engine);
        replica.engine.take_hello(now, peer, stranger.hello.clone(), &mut replica.effects);
        let resume = (Lsn::ZERO, 0, Ladder::default().pairs(0, 0), BTreeSet::new());
        replica.engine.take_resume(now, peer, resume, &replica.store, &mut replica.effects);
        let phase = replica.engine.sessions[&peer].phase;
        assert_eq!(phase == Phase::Open, is_heard, "owed {owed}, rises {rises}, seen {seen}: {phase:?}");
        let rose = |effect: &Effect| matches!(effect, Effect::Close { reason: CloseReason::FloorRose, .. });
        assert_eq!(replica.effects.iter().any(rose), !is_heard);
    }
}

/// What is owed counts like what is forgotten, but not for those who know of no such thing.
#[test]
fn what_comes_to_be_owed_during_a_greeting_ends_it_for_those_that_would_be_told_of_it() {
    let (forgotten, dropped) = (dot(0xcc, 1), dot(0xdd, 1));
    for (protocol, seen, is_heard) in [
        (4, vec![forgotten], false),
        (4, vec![forgotten, dropped], true),
        (4, vec![dropped], false),
        (3, vec![forgotten], true),
        (3, vec![dropped], false),
    ] {
        let mut world = world();
        let mut stranger = Stranger::new(9);
        (stranger.hello.protocols, stranger.hello.vector) = ((1, protocol), vector(&seen));
        let peer = PeerId(1);
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.state.floor = vector(&[forgotten]);
        replica.engine.peer_up(now, peer, &mut replica.effects);
        replica.engine.state.owed = vector(&[dropped]);
        replica.engine.take_hello(now, peer, stranger.hello.clone(), &mut replica.effects);
        let resume = (Lsn::ZERO, 0, Ladder::default().pairs(0, 0), BTreeSet::new());
        replica.engine.take_resume(now, peer, resume, &replica.store, &mut replica.effects);
        let phase = replica.engine.sessions[&peer].phase;
        assert_eq!(phase == Phase::Open, is_heard, "protocol {protocol}, {seen:?} seen: {phase:?}");
    }
}

#[test]
fn histories_are_told_only_to_those_that_are_named_keys() {
    for below in [false, true] {
        let mut world = world();
        let history = Ladder::default().pairs(0, 0);
        let engine = &mut world.replicas[0].engine;
        engine.state.pairs.insert(ReplicaId([0xdd; 16]), history);
        if below {
            engine.state.floor = vector(&[dot(0xcc, 1)]);
        }
        let peer = PeerId(1);
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.peer_up(now, peer, &mut replica.effects);
        replica.engine.take_hello(now, peer, Stranger::new(9).hello, &mut replica.effects);
        let resume = (Lsn::ZERO, 0, Ladder::default().pairs(0, 0), BTreeSet::new());
        replica.engine.take_resume(now, peer, resume, &replica.store, &mut replica.effects);
        let session = &replica.engine.sessions[&peer];
        assert_eq!((session.full_out.is_some(), session.histories_due.len()), (below, usize::from(below)));
    }
}

/// Own writes go above what a peer has forgotten, though not above all that can be said.
#[test]
fn own_stamps_rise_above_the_deletions_a_peer_has_forgotten() {
    let most = Stamp::from_wall(WallTime(u64::MAX));
    let later = Stamp::from_wall(WallTime(super::harness::START + 5000));
    for (said, floor) in [(Stamp::default(), Stamp::default()), (later, later), (Stamp(u64::MAX), most)] {
        let mut world = world();
        let mut stranger = Stranger::new(9);
        stranger.hello.floor = vector(&[dot(9, 1)]);
        stranger.hello.vector = stranger.hello.floor.clone();
        stranger.hello.floor_stamp = said;
        stranger.greet(&mut world, 0);
        assert!(stranger.is_heard(&world, 0));
        assert_eq!(world.replicas[0].engine.stamp_floor(), floor);
    }
}

#[test]
fn whoever_leaves_says_so_on_every_link() {
    let mut world = world();
    let (mut first, mut other) = (Stranger::new(0xaa), Stranger::new(0xbb));
    first.greet(&mut world, 0);
    other.greet(&mut world, 0);
    let replica = &mut world.replicas[0];
    replica.engine.leave(&mut replica.effects);
    let sessions = || replica.engine.sessions.values();
    assert!(sessions().all(|session| session.phase == Phase::Closing));
    assert!(sessions().all(|session| session.bye == Some(crate::sync::Bye::Leaving)));
    let closed = replica.effects.iter().filter(|effect| matches!(effect, Effect::Close { .. }));
    assert_eq!(closed.count(), 2);
}

#[test]
fn a_clock_is_too_far_off_beyond_the_limit_and_told_of_once() {
    let limit = Settings::default().max_clock_skew.as_millis() as i64;
    for (policy, ahead_ms, is_off) in [
        (ClockPolicy::Refuse, 0, false),
        (ClockPolicy::Refuse, limit, false),
        (ClockPolicy::Refuse, -limit, false),
        (ClockPolicy::Refuse, limit + 1, true),
        (ClockPolicy::Refuse, -limit - 1, true),
        (ClockPolicy::Warn, limit, false),
        (ClockPolicy::Warn, limit + 1, true),
    ] {
        let mut world = World::new(1, 1, &Settings { clock_policy: policy, ..Settings::default() });
        let now = world.now(0);
        let engine = &mut world.replicas[0].engine;
        engine.sessions.insert(PeerId(1), open(now, 9));
        let mut effects = Vec::new();
        let refused = is_off && policy == ClockPolicy::Refuse;
        for _ in 0..2 {
            assert_eq!(engine.bears_clock(PeerId(1), ahead_ms, &mut effects), !refused, "{policy:?} {ahead_ms}");
        }
        let told = effects.iter().filter(|effect| matches!(effect, Effect::Event(Event::ClockSkew { .. })));
        assert_eq!(told.count(), usize::from(is_off), "{policy:?} {ahead_ms}");
    }
}

fn pulse(now: Now, ahead_ms: i64) -> Pulse {
    Pulse {
        number: 1,
        wall: WallTime(now.wall.0.saturating_add_signed(ahead_ms)),
        feed: Lsn::ZERO,
        exact: false,
        waits: false,
        digest: Default::default(),
        vector: VersionVector::EMPTY,
    }
}

/// A pulse was under way for nobody knows how long: without a question it tells only of a clock that is ahead.
#[test]
fn a_pulse_tells_of_a_clock_no_more_than_it_can() {
    let before = 7;
    for (said, asked_ms, told) in [
        (5, None, 5),
        (1, None, 1),
        (0, None, before),
        (-5, None, before),
        (5, Some(100), 5),
        (0, Some(100), 0),
        (-50, Some(100), 0),
        (-150, Some(100), -50),
    ] {
        let mut world = world();
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.sessions.insert(PeerId(1), Session { ahead_ms: before, ..open(now, 9) });
        let answer = Answer { after: asked_ms.map(Duration::from_millis), ..Answer::default() };
        replica.engine.take_pulse(now, PeerId(1), pulse(now, said), answer, &replica.store, &mut replica.effects);
        assert_eq!(replica.engine.sessions[&PeerId(1)].ahead_ms, told, "{said} said, {asked_ms:?} asked");
    }
}

#[test]
fn every_difference_is_counted_and_told() {
    let mut world = world();
    let now = world.now(0);
    let replica = &mut world.replicas[0];
    replica.engine.sessions.insert(PeerId(1), Session { mid_walk: false, ..open(now, 9) });
    let same = replica.engine.pulse(now, PeerId(1), 1, &replica.store);
    assert!(same.exact);
    let differs = Pulse { digest: same.digest ^ 1, ..same.clone() };
    for (pulse, count) in [(&same, 0), (&differs, 1), (&same, 1), (&differs, 2), (&differs, 3)] {
        replica.engine.take_pulse(
            now,
            PeerId(1),
            pulse.clone(),
            Answer::default(),
            &replica.store,
            &mut replica.effects,
        );
        assert_eq!(replica.engine.divergences, count);
        let told = replica.effects.iter().filter(|effect| matches!(effect, Effect::Event(Event::Diverged { .. })));
        assert_eq!(told.count() as u64, count);
    }
}

#[test]
fn a_pulse_does_not_name_what_is_published_and_not_durable() {
    let mut world = world();
    world.replicas[0].auto_commit = false;
    world.put(0, "k", "v");
    let replica = &mut world.replicas[0];
    replica.publish_through(replica.log.len());
    let me = replica.identity.replica;
    let now = Now { mono: crate::time::Instant(0), wall: WallTime(0) };
    replica.engine.sessions.insert(PeerId(1), open(now, 9));
    let pulse = |replica: &super::replica::Replica| replica.engine.pulse(now, PeerId(1), 1, &replica.store);
    assert_eq!((pulse(replica).exact, pulse(replica).vector.get(me)), (false, 0));
    replica.commit(now);
    assert_eq!((pulse(replica).exact, pulse(replica).vector.get(me)), (true, 1));
}

/// What is left of a closed history is not claimed: two may hold different parts of it as long as they are on their way.
#[test]
fn states_are_compared_unless_what_is_left_of_a_history_is_on_its_way() {
    for (closed, mid_walk, is_compared) in
        [(false, false, true), (false, true, true), (true, false, true), (true, true, false)]
    {
        let mut world = world();
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.sessions.insert(PeerId(1), Session { mid_walk, ..open(now, 9) });
        let left = dot(7, 3);
        if closed {
            let (node, forgotten) = (NodeId::new("gone").unwrap(), now.wall);
            let member = Member { node, heard: WallTime(0), forgotten, vector: VersionVector::EMPTY };
            replica.engine.state.members.join(left.replica, &member, None);
            replica.engine.state.met.include(left);
        }
        let pulse = replica.engine.pulse(now, PeerId(1), 1, &replica.store);
        assert_eq!((pulse.exact, pulse.vector.covers(left)), (is_compared, closed), "closed {closed}, {mid_walk}");
    }
}
