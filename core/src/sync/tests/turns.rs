//! Who has the turn of a full exchange, for how long, and what others hear meanwhile.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::sync::message::{Bye, Message, Part};
use crate::sync::session::{FullIn, FullOut, Phase, Session};
use crate::sync::{CloseReason, Effect, Engine, PeerId, Settings, SyncRecord};
use crate::time::{Instant, Now};

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const C: PeerId = PeerId(3);
const D: PeerId = PeerId(4);

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn open(now: Now, peer: PeerId) -> Session {
    let mut session = Session::new(now.mono, VersionVector::EMPTY, VersionVector::EMPTY, now.mono);
    session.phase = Phase::Open;
    session.mid_walk = false;
    session.them = Some(Stranger::new(peer.0 as u8).hello);
    session
}

fn naming(now: Now, peer: PeerId) -> Session {
    let mut session = open(now, peer);
    session.full_in = Some(FullIn::Named { after: None });
    session
}

fn waiting(now: Now, peer: PeerId) -> Session {
    let mut session = open(now, peer);
    session.held.push_back((Message::Bye(Bye::Leaving), 1));
    session
}

fn world() -> (World, Now) {
    let world = World::new(1, 1, &Settings { full_timeout: Duration::from_secs(30), ..Settings::default() });
    let now = world.now(0);
    (world, now)
}

/// The first names its keys and has the turn; the second waits with what it has sent.
fn with_turn() -> (World, Now) {
    let (mut world, now) = world();
    let replica = &mut world.replicas[0];
    replica.engine.sessions.extend([(A, naming(now, A)), (B, waiting(now, B))]);
    replica.engine.give_turn(now, &mut replica.effects);
    assert!(replica.engine.turns.is_taken() && replica.effects.iter().all(|e| !matches!(e, Effect::Close { .. })));
    (world, now)
}

fn after(now: Now, seconds: u64) -> Instant {
    now.mono + Duration::from_secs(seconds)
}

#[test]
fn without_a_turn_only_an_open_full_exchange_is_waited_for() {
    let (mut world, now) = world();
    let engine = &mut world.replicas[0].engine;
    assert_eq!(engine.turn_deadline(), None);
    engine.sessions.insert(B, waiting(now, B));
    assert_eq!(engine.turn_deadline(), None, "no full exchange");
    let mut early = naming(now, A);
    early.phase = Phase::Resuming;
    engine.sessions.insert(A, early);
    assert_eq!(engine.turn_deadline(), None, "not open");
    engine.sessions.insert(A, naming(now, A));
    assert!(engine.turn_deadline().is_some_and(|at| at <= now.mono), "it may begin at once");
    assert!(!engine.turns.is_taken());
}

/// A turn ends after 30 seconds in which the peer did not go on though it could have, and after 600 whatever it did.
#[test]
fn a_turn_is_lost_early_only_by_whoever_could_go_on() {
    type Change = fn(&mut Engine);
    fn first(engine: &mut Engine) -> &mut Session {
        engine.sessions.get_mut(&A).unwrap()
    }
    let cases: [(&str, Option<u64>, Change); 9] = [
        ("it could go on", Some(30), |_| {}),
        ("nobody waits", None, |engine| engine.sessions.get_mut(&B).unwrap().held.clear()),
        ("only it waits itself", None, |engine| {
            let held = core::mem::take(&mut engine.sessions.get_mut(&B).unwrap().held);
            first(engine).held = held;
        }),
        ("what it sent is being taken in", Some(600), |engine| first(engine).applying = 1),
        ("this side names its keys", Some(600), |engine| {
            first(engine).full_out = Some(FullOut::Naming { after: None });
        }),
        ("this side has named its keys", Some(30), |engine| first(engine).full_out = Some(FullOut::Closing)),
        ("names are on their way to it", Some(600), |engine| first(engine).sent_bytes = 1),
        ("they are, but none that it needs", Some(30), |engine| {
            first(engine).sent_bytes = 1;
            first(engine).full_in = Some(FullIn::Closing { durable: true });
        }),
        ("a message is coming in slowly", Some(34), |engine| engine.turns.note_bytes(A, 4 * 8192, 1 << 20)),
    ];
    for (what, seconds, change) in cases {
        let (mut world, now) = with_turn();
        let engine = &mut world.replicas[0].engine;
        change(engine);
        assert_eq!(engine.turn_deadline(), seconds.map(|seconds| after(now, seconds)), "{what}");
    }
}

/// Whoever is slow and honest comes to an end some time.
#[test]
fn a_turn_lasts_twice_as_long_after_each_that_was_lost_until_one_is_brought_to_its_end() {
    let (mut world, mut now) = with_turn();
    let engine = &mut world.replicas[0].engine;
    for seconds in [600, 1200, 2400] {
        engine.sessions.get_mut(&A).unwrap().applying = 1;
        let end = after(now, seconds);
        assert_eq!(engine.turn_deadline(), Some(end));
        let mut effects = Vec::new();
        let before = Now { mono: Instant(end.0 - 1), ..now };
        engine.check_turn(before, &mut effects);
        assert!(effects.is_empty() && engine.turns.is_taken(), "not before");
        now.mono = end;
        engine.check_turn(now, &mut effects);
        let rest = Duration::from_secs(seconds);
        match &effects[..] {
            [Effect::Close { peer: A, reason: CloseReason::FullStalled, retry_after }] => {
                assert!(*retry_after >= rest, "others have as much time as it had: {retry_after:?}");
            }
            other => panic!("{other:?}"),
        }
        engine.sessions.insert(A, naming(now, A));
        now.mono = now.mono + (rest - Duration::from_micros(1));
        engine.give_turn(now, &mut effects);
        assert!(!engine.turns.is_taken(), "nobody has the turn for as long again");
        now.mono = now.mono + Duration::from_micros(1);
        engine.give_turn(now, &mut effects);
        assert!(engine.turns.is_taken());
    }
    engine.turns.completed(A, Some(ReplicaId([1; 16])));
    engine.sessions.get_mut(&A).unwrap().applying = 1;
    engine.give_turn(now, &mut Vec::new());
    assert_eq!(engine.turn_deadline(), Some(after(now, 600)));
}

/// Saying that there is no more, again and again, brings no exchange to its end.
#[test]
fn a_turn_is_not_prolonged_by_empty_messages() {
    let empty = Message::Batch(Lsn(1), vec![Part::End]);
    let names = Message::Full(Lsn::ZERO, vec![Part::Upto(Some("a".into()))]);
    for (message, end) in [(empty, 30), (names, 50)] {
        let (mut world, now) = with_turn();
        let replica = &mut world.replicas[0];
        let session = replica.engine.sessions.get_mut(&A).unwrap();
        session.them.as_mut().unwrap().floor = vector(&[dot(9, 1)]);
        session.held.push_back((message, 1));
        let later = Now { mono: after(now, 20), ..now };
        replica.engine.take_held(later, &replica.store, &mut replica.effects);
        assert_eq!(replica.engine.turn_deadline(), Some(after(now, end)));
    }
}

/// It would take away what the exchange is about to ask for.
#[test]
fn no_tombstone_goes_during_a_full_exchange() {
    let (mut world, _) = world();
    world.put(0, "k", "v");
    world.delete(0, "k");
    world.advance(Duration::from_secs(1));
    let now = world.now(0);
    let replica = &mut world.replicas[0];
    let is_planned = |engine: &Engine, store: &crate::store::Store| engine.plan_collection(now, store).is_some();
    assert!(is_planned(&replica.engine, &replica.store));
    replica.engine.sessions.insert(A, naming(now, A));
    replica.engine.give_turn(now, &mut replica.effects);
    assert!(!is_planned(&replica.engine, &replica.store));
    replica.engine.turns.end(A);
    assert!(is_planned(&replica.engine, &replica.store));
}

#[test]
fn an_exchange_is_spoiled_by_whoever_has_not_seen_its_floor() {
    let floor = vector(&[dot(9, 1)]);
    for (compared, seen, spoiled) in [(true, false, true), (true, true, false), (false, false, false)] {
        let (mut world, now) = world();
        let engine = &mut world.replicas[0].engine;
        for peer in [A, B] {
            let mut session = naming(now, peer);
            session.full_compared = compared;
            session.them.as_mut().unwrap().floor = floor.clone();
            engine.sessions.insert(peer, session);
        }
        if seen {
            engine.sessions.get_mut(&B).unwrap().them.as_mut().unwrap().vector = floor.clone();
        }
        engine.spoil_others(B);
        let is_spoiled = [A, B].map(|peer| engine.sessions[&peer].full_spoiled);
        assert_eq!(is_spoiled, [spoiled, false], "compared {compared}, seen {seen}");
    }
}

#[test]
fn an_exchange_is_spoiled_by_entries_and_not_by_empty_messages() {
    let entry = super::full::entry(dot(7, 1), "k");
    for (parts, spoiled) in [(vec![entry, Part::End], true), (vec![Part::End], false)] {
        let (mut world, now) = world();
        let replica = &mut world.replicas[0];
        let (mut brings, mut compared) = (naming(now, A), naming(now, B));
        brings.held.push_back((Message::Batch(Lsn(1), parts), 1));
        compared.full_compared = true;
        compared.them.as_mut().unwrap().floor = vector(&[dot(9, 1)]);
        replica.engine.sessions.extend([(A, brings), (B, compared)]);
        replica.engine.take_held(now, &replica.store, &mut replica.effects);
        assert_eq!(replica.engine.sessions[&B].full_spoiled, spoiled);
    }
}

/// Who may be told to claim all that is claimed here, though something is owed.
#[test]
fn only_who_has_seen_what_was_dropped_or_heard_of_it_is_told_to_claim_it() {
    let (deleted, other) = (dot(9, 1), dot(8, 1));
    type Change = fn(&mut Session);
    let cases: [(&str, bool, Change); 12] = [
        ("nothing", false, |_| {}),
        ("another deletion", false, |session| session.vector = vector(&[dot(8, 1)])),
        ("the deletion", true, |session| session.vector = vector(&[dot(9, 1)])),
        ("the deletion, of late", true, |session| {
            (session.vector, session.drops_known) = (vector(&[dot(9, 1), dot(8, 1)]), 6);
        }),
        ("the deletion, but not what is forgotten here", false, |session| {
            (session.vector, session.drops_known) = (vector(&[dot(9, 1)]), 6);
        }),
        ("told of the floor", true, |session| session.said_floor = vector(&[dot(9, 1)])),
        ("told of what is owed", true, |session| session.said_owed = vector(&[dot(9, 1)])),
        ("told of what was owed before more was dropped", false, |session| {
            (session.said_owed, session.drops_known) = (vector(&[dot(9, 1)]), 6);
        }),
        ("forgotten there", true, |session| session.them.as_mut().unwrap().floor = vector(&[dot(9, 1)])),
        ("owed there", true, |session| session.them.as_mut().unwrap().owed = vector(&[dot(9, 1)])),
        ("told of what is owed, in an older protocol", false, |session| {
            session.said_owed = vector(&[dot(9, 1)]);
            session.them.as_mut().unwrap().protocols.1 = 3;
        }),
        ("owed there, in an older protocol", false, |session| {
            let them = session.them.as_mut().unwrap();
            (them.owed, them.protocols.1) = (vector(&[dot(9, 1)]), 3);
        }),
    ];
    for (what, may, change) in cases {
        let (mut world, now) = world();
        let engine = &mut world.replicas[0].engine;
        engine.state.owed = vector(&[deleted]);
        engine.state.floor = vector(&[other]);
        engine.drops = 7;
        let mut session = Session { drops_known: 7, ..open(now, A) };
        change(&mut session);
        assert_eq!(engine.may_cut(&session), may, "{what}");
        engine.state.owed = VersionVector::EMPTY;
        let fresh = session.drops_known == 7;
        assert_eq!(engine.may_cut(&session), fresh || session.vector.covers(other), "{what}, and nothing is owed");
    }
}

/// Whoever was named keys before more was dropped greets anew: not while somebody is still telling what else is to be dropped, unless he
/// has said nothing for too long.
#[test]
fn whoever_is_behind_is_parted_from_when_nobody_tells_more() {
    let named = Some(FullIn::Named { after: None });
    let durable = |durable| Some(FullIn::Closing { durable });
    for (full_in, silent, parts) in [
        (named.clone(), 0, false),
        (named, 30, true),
        (durable(false), 29, false),
        (durable(true), 0, true),
        (None, 0, true),
    ] {
        let (mut world, mut now) = world();
        let engine = &mut world.replicas[0].engine;
        engine.sessions.extend([
            (A, Session { full_in: full_in.clone(), ..open(now, A) }),
            (B, open(now, B)),
            (C, open(now, C)),
        ]);
        engine.sessions.get_mut(&C).unwrap().vector = vector(&[dot(9, 1)]);
        let mut effects = Vec::new();
        engine.part_from_those_behind(now, &mut effects);
        assert!(effects.is_empty(), "nothing was dropped");
        engine.note_drops(A);
        engine.state.floor = vector(&[dot(9, 1)]);
        now.mono = now.mono + Duration::from_secs(silent);
        engine.part_from_those_behind(now, &mut effects);
        let parted = matches!(effects[..], [Effect::Close { peer: B, reason: CloseReason::FloorRose, .. }]);
        assert_eq!(parted, parts, "{full_in:?}, silent for {silent} s: {effects:?}");
        assert_eq!(effects.is_empty(), !parts);
    }
}

/// It may be the end of a link, or time alone, after which nobody tells more.
#[test]
fn whoever_is_behind_is_parted_from_when_the_one_that_tells_more_is_gone_or_silent() {
    for (leaves, silent, parts) in [(true, 0, true), (false, 30, true), (false, 29, false)] {
        let (mut world, mut now) = world();
        let replica = &mut world.replicas[0];
        replica.engine.sessions.extend([(A, naming(now, A)), (B, open(now, B))]);
        replica.engine.note_drops(A);
        replica.engine.state.floor = vector(&[dot(9, 1)]);
        now.mono = after(now, silent);
        if leaves {
            replica.engine.peer_down(now, A, &replica.store, &mut replica.effects);
        } else {
            replica.engine.handle_timeout(now, &replica.store, &mut replica.effects);
        }
        let parted = |effect: &Effect| matches!(effect, Effect::Close { peer: B, reason: CloseReason::FloorRose, .. });
        assert_eq!(replica.effects.iter().any(parted), parts, "leaves: {leaves}, silent for {silent} s");
    }
}

#[test]
fn a_floor_that_is_owed_becomes_the_own_one_with_the_last_claim() {
    let owed = [dot(8, 1), dot(9, 1)];
    for (claims, settled) in [(vec![], false), (vec![owed[0]], false), (owed.to_vec(), true)] {
        let (mut world, _) = world();
        let engine = &mut world.replicas[0].engine;
        engine.state.owed = vector(&owed);
        engine.claims.join(&vector(&claims));
        let mut effects = Vec::new();
        engine.settle_owed(&mut effects);
        let floors = effects.iter().filter(|effect| matches!(effect, Effect::Persist(SyncRecord::Floor { .. })));
        assert_eq!(floors.count(), usize::from(settled), "{claims:?} claimed");
        assert_eq!(engine.state.floor.covers_all(&vector(&owed)), settled);
        assert_eq!(engine.state.owed.is_empty(), settled);
    }
}

#[test]
fn only_open_sessions_below_the_floor_are_parted_from() {
    let floor = vector(&[dot(9, 1)]);
    let (mut world, now) = world();
    let engine = &mut world.replicas[0].engine;
    engine.state.floor = floor.clone();
    engine.sessions.extend([(A, open(now, A)), (B, open(now, B)), (C, open(now, C))]);
    engine.sessions.get_mut(&C).unwrap().vector = floor;
    let mut greeting = open(now, PeerId(4));
    greeting.phase = Phase::Greeting;
    engine.sessions.insert(PeerId(4), greeting);
    let mut effects = Vec::new();
    engine.part_from_those_below(A, true, &mut effects);
    assert!(
        matches!(effects[..], [Effect::Close { peer: B, reason: CloseReason::FloorRose, .. }]),
        "whose exchange it is, who has seen it, and who is only greeting, stay: {effects:?}"
    );
}

#[test]
fn whoever_is_told_the_keys_hears_first_what_is_owed() {
    let owed = vector(&[dot(9, 1)]);
    let (mut world, now) = world();
    let engine = &mut world.replicas[0].engine;
    engine.state.owed = owed.clone();
    let named = |peer| Session { full_out: Some(FullOut::Naming { after: None }), ..open(now, peer) };
    engine.sessions.extend([
        (A, named(A)),
        (B, named(B)),
        (C, open(now, C)),
        (D, Session { said_owed: owed, ..named(D) }),
    ]);
    let mut effects = Vec::new();
    engine.part_from_those_below(A, false, &mut effects);
    assert!(
        matches!(effects[..], [Effect::Close { peer: B, reason: CloseReason::FloorRose, .. }]),
        "whose exchange it is, who is not told any keys, and who has heard of it, stay: {effects:?}"
    );
}

#[test]
fn a_floor_that_rises_ends_only_open_sessions_of_those_who_may_hold_what_is_forgotten() {
    let floor = vector(&[dot(9, 1)]);
    let (mut world, now) = world();
    let engine = &mut world.replicas[0].engine;
    engine.state.floor = floor.clone();
    let below = |phase| Session { phase, ..open(now, A) };
    let cases = [
        (below(Phase::Open), true),
        (below(Phase::Resuming), false),
        (Session { vector: floor.clone(), ..below(Phase::Open) }, false),
        (Session { said_floor: floor, ..below(Phase::Open) }, false),
    ];
    for (session, ends) in cases {
        let what = alloc::format!("{session:?}");
        engine.sessions.insert(A, session);
        let mut effects = Vec::new();
        engine.floor_rose(&mut effects);
        let ended = matches!(effects[..], [Effect::Close { peer: A, reason: CloseReason::FloorRose, .. }]);
        assert_eq!((ended, effects.len()), (ends, usize::from(ends)), "{what}");
    }
}

#[test]
fn a_peer_is_relied_on_if_it_is_open_in_no_full_exchange_and_goes_on() {
    let (_, now) = world();
    assert!(open(now, A).is_relied_on());
    assert!(!naming(now, A).is_relied_on());
    assert!(!(Session { stalled: true, ..open(now, A) }).is_relied_on());
    assert!(!(Session { phase: Phase::Resuming, ..open(now, A) }).is_relied_on());
}

#[test]
fn a_feed_stalls_when_what_came_last_is_taken_in_and_old() {
    for (mid_walk, applying, micros, stalled) in [
        (true, 0, 0, true),
        (true, 0, -1, false),
        (true, 0, 1, true),
        (false, 0, 0, false),
        (true, 1, 0, false),
        (false, 1, 0, false),
    ] {
        let (mut world, now) = world();
        let replica = &mut world.replicas[0];
        let session = Session { mid_walk, applying, ..open(now, A) };
        replica.engine.sessions.insert(A, session);
        let at = now.mono.0 + replica.settings.stall_after.as_micros() as u64;
        let now = Now { mono: Instant(at.saturating_add_signed(micros)), ..now };
        replica.engine.refresh_direct(now, &mut replica.effects);
        let case = (mid_walk, applying, micros);
        assert_eq!(replica.engine.sessions[&A].stalled, stalled, "mid-walk, applying, microseconds past: {case:?}");
    }
}

/// Whoever is told of too many is not sent what nobody sends it; whoever is told of too few hears everything twice.
#[test]
fn each_peer_is_told_of_the_others_that_are_heard_and_woken_once() {
    let (mut world, now) = world();
    let engine = &mut world.replicas[0].engine;
    engine.sessions.extend([(A, open(now, A)), (B, open(now, B)), (C, open(now, C))]);
    engine.sessions.get_mut(&C).unwrap().announced = true;
    let told = |engine: &Engine| -> Vec<Vec<u8>> {
        let numbers = |set: &BTreeSet<ReplicaId>| set.iter().map(|replica| replica.0[0]).collect();
        engine.sessions.values().map(|session| numbers(&session.direct_told)).collect()
    };
    let mut effects = Vec::new();
    engine.refresh_direct(now, &mut effects);
    assert_eq!(told(engine), [[2, 3], [1, 3], [1, 2]]);
    assert!(matches!(effects[..], [Effect::PeerReady(A), Effect::PeerReady(B)]), "{effects:?}");
    engine.refresh_direct(now, &mut effects);
    assert_eq!(effects.len(), 2, "nothing has changed");
    engine.sessions.get_mut(&A).unwrap().full_in = Some(FullIn::Named { after: None });
    engine.refresh_direct(now, &mut effects);
    assert_eq!(told(engine), [vec![], vec![3], vec![2]], "nor does it hear of any in a full exchange");
}

#[test]
fn full_exchanges_are_counted_in_either_direction() {
    let (mut world, now) = world();
    let engine = &mut world.replicas[0].engine;
    let names = Session { full_out: Some(FullOut::Naming { after: None }), ..open(now, B) };
    engine.sessions.extend([(A, naming(now, A)), (B, names), (C, open(now, C))]);
    assert_eq!(engine.load().full_exchanges, 2);
}
