//! What an engine waits for, what it counts, and whom it wakes: one table for each.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::context::VersionVector;
use crate::error::{Code, Error};
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::Chain;
use crate::store::Store;
use crate::sync::engine::Applying;
use crate::sync::message::{Bye, Message};
use crate::sync::session::{FullIn, Phase, Session};
use crate::sync::{Effect, Engine, PeerId, Settings, SyncRecord, Token};
use crate::time::{Instant, Now};

fn world() -> World {
    let settings = Settings {
        stall_after: Duration::from_secs(2),
        collect_every: Duration::from_secs(3600),
        ..Settings::default()
    };
    World::new(1, 1, &settings)
}

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

/// An open session that waits for nothing but its next ping, ten seconds from now.
fn open(now: Now, number: u8) -> Session {
    let ping_at = now.mono + Duration::from_secs(10);
    let mut session = Session::new(now.mono, VersionVector::EMPTY, VersionVector::EMPTY, ping_at);
    session.phase = Phase::Open;
    session.mid_walk = false;
    session.them = Some(Stranger::new(number).hello);
    session
}

fn with_sessions(numbers: &[u8]) -> (World, Now) {
    let mut world = world();
    let now = world.now(0);
    for number in numbers {
        world.replicas[0].engine.sessions.insert(PeerId(u64::from(*number)), open(now, *number));
    }
    (world, now)
}

fn session(engine: &mut Engine, number: u8) -> &mut Session {
    engine.sessions.get_mut(&PeerId(u64::from(number))).unwrap()
}

fn woken(effects: &[Effect]) -> Vec<u64> {
    let peers = effects.iter().filter_map(|effect| match effect {
        Effect::PeerReady(peer) => Some(peer.0),
        _ => None,
    });
    peers.collect()
}

fn applying(token: u64, number: u8, lsn: Option<u64>) -> Applying {
    Applying {
        token: Token(token),
        peer: PeerId(u64::from(number)),
        lsn: lsn.map(Lsn),
        records: vec![],
        met: VersionVector::EMPTY,
        conflicts: crate::sync::conflicts::Meetings::default(),
        through: Lsn::ZERO,
        bytes: 0,
        drops: false,
        ends_naming: false,
        ends_full: false,
    }
}

#[test]
fn an_engine_wants_to_be_called_at_the_first_of_what_it_waits_for() {
    type Change = fn(&mut Session, Instant);
    let cases: [(&str, Option<u64>, Change); 14] = [
        ("the next ping", Some(10), |_, _| {}),
        ("nothing while the transport is to ask", None, |session, _| session.announced = true),
        ("an acknowledgement", Some(3), |session, now| session.ack_at = Some(now + Duration::from_secs(3))),
        ("members", Some(4), |session, now| session.members_at = Some(now + Duration::from_secs(4))),
        ("not what the transport will ask for anyway", None, |session, now| {
            session.ack_at = Some(now + Duration::from_secs(3));
            session.members_at = Some(now + Duration::from_secs(4));
            session.announced = true;
        }),
        ("an answer, even then", Some(15), |session, now| {
            session.ping = Some((1, now));
            session.announced = true;
        }),
        ("a greeting, and no ping before", Some(15), |session, _| session.phase = Phase::Greeting),
        ("nobody who is gone", None, |session, _| session.phase = Phase::Closing),
        ("more of a feed", Some(2), |session, _| session.mid_walk = true),
        ("no feed that is in a full exchange", Some(10), |session, _| {
            session.mid_walk = true;
            session.full_in = Some(FullIn::Named { after: None });
            session.announced = false;
        }),
        ("no feed that has stalled already", Some(10), |session, _| {
            session.mid_walk = true;
            session.stalled = true;
        }),
        ("no feed while it is taken in", Some(10), |session, _| {
            session.mid_walk = true;
            session.applying = 1;
        }),
        ("no feed that is held", Some(10), |session, _| {
            session.mid_walk = true;
            session.held.push_back((Message::Bye(Bye::Leaving), 1));
        }),
        ("no feed of one who has not greeted", Some(15), |session, _| {
            session.mid_walk = true;
            session.phase = Phase::Resuming;
        }),
    ];
    for (what, seconds, change) in cases {
        let (mut world, now) = with_sessions(&[9]);
        let replica = &mut world.replicas[0];
        // A full exchange is to begin at some time that is of no concern here.
        let taken = PeerId(9);
        change(session(&mut replica.engine, 9), now.mono);
        replica.engine.give_turn(now, &mut replica.effects);
        assert!(replica.engine.sessions.contains_key(&taken));
        let expected = seconds.map(|seconds| now.mono + Duration::from_secs(seconds));
        assert_eq!(replica.engine.poll_timeout(&replica.store), expected, "{what}");
    }
}

#[test]
fn without_peers_only_tombstones_are_waited_for() {
    let deadline = |world: &mut World| {
        let replica = &mut world.replicas[0];
        replica.engine.poll_timeout(&replica.store)
    };
    let mut world = world();
    let began = world.now(0).mono;
    assert_eq!(deadline(&mut world), None);
    world.replicas[0].may_collect = false;
    world.put(0, "k", "v");
    world.delete(0, "k");
    let hour = Duration::from_secs(3600);
    assert_eq!(deadline(&mut world), Some(began + hour));
    world.advance(hour + Duration::from_secs(5));
    let next = world.now(0).mono + hour;
    assert_eq!(deadline(&mut world), Some(next), "and then for the next");
}

#[test]
fn whoever_has_something_due_is_woken_once() {
    type Change = fn(&mut Session, Instant);
    let cases: [(&str, bool, Change); 6] = [
        ("nothing", false, |_, _| {}),
        ("an acknowledgement", true, |session, now| session.ack_at = Some(now)),
        ("members", true, |session, now| session.members_at = Some(now)),
        ("a ping", true, |session, now| session.ping_at = now),
        ("a later acknowledgement", false, |session, now| session.ack_at = Some(now + Duration::from_micros(1))),
        ("what it is asked for already", false, |session, now| {
            session.ack_at = Some(now);
            session.announced = true;
        }),
    ];
    for (what, is_woken, change) in cases {
        let (mut world, now) = with_sessions(&[9]);
        let replica = &mut world.replicas[0];
        // What is told of others was told.
        replica.engine.refresh_direct(now, &mut replica.effects);
        replica.effects.clear();
        change(session(&mut replica.engine, 9), now.mono);
        for _ in 0..2 {
            replica.engine.handle_timeout(now, &replica.store, &mut replica.effects);
        }
        assert_eq!(woken(&replica.effects), if is_woken { vec![9] } else { vec![] }, "{what}");
    }
}

#[test]
fn what_is_durable_wakes_every_open_session_that_is_not_awake() {
    let (mut world, now) = with_sessions(&[1, 2, 3, 4]);
    let replica = &mut world.replicas[0];
    session(&mut replica.engine, 2).announced = true;
    session(&mut replica.engine, 3).phase = Phase::Closing;
    session(&mut replica.engine, 4).phase = Phase::Greeting;
    for lsn in [0, 1] {
        replica.engine.durable(now, Lsn(lsn), &replica.store, &mut replica.effects);
    }
    assert_eq!(replica.effects, [Effect::AllReady], "said once");
    assert_eq!(replica.engine.woken(), [PeerId(1)]);
    assert_eq!(replica.engine.woken(), [], "it was named");
    session(&mut replica.engine, 1).announced = false;
    replica.engine.durable(now, Lsn(1), &replica.store, &mut replica.effects);
    assert_eq!(replica.effects.len(), 2, "and again when it was asked for whom");
}

#[test]
fn a_link_is_said_to_have_been_worth_making_once() {
    let (mut world, _) = with_sessions(&[1, 2]);
    let mut effects = Vec::new();
    for peer in [1, 1, 2, 1, 2, 7] {
        world.replicas[0].engine.note_advance(PeerId(peer), &mut effects);
    }
    let told = effects.iter().map(|effect| match effect {
        Effect::Progressed(peer) => peer.0,
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [1, 2]);
}

/// Everybody hears soon of what is claimed here, be it written here or taken in from somebody else.
#[test]
fn more_claims_are_announced_to_all_after_a_short_delay() {
    let soon = Duration::from_millis(20);
    let (mut world, now) = with_sessions(&[1, 2]);
    let store = Store::new();
    let engine = &mut world.replicas[0].engine;
    let mut effects = Vec::new();
    engine.durable(now, Lsn(1), &store, &mut effects);
    assert_eq!(engine.announce_due, None, "nothing more is claimed");
    engine.own_published(Lsn(2), 1, Chain::default());
    engine.durable(now, Lsn(2), &store, &mut effects);
    let later = Now { mono: now.mono + soon, ..now };
    assert_eq!(engine.announce_due, Some(later.mono));
    assert_eq!(engine.poll_timeout(&store), Some(later.mono));
    engine.own_published(Lsn(2), 2, Chain::default());
    engine.durable(Now { mono: now.mono + soon / 2, ..now }, Lsn(2), &store, &mut effects);
    assert_eq!(engine.announce_due, Some(later.mono), "what comes meanwhile is said with it");
    session(engine, 2).phase = Phase::Greeting;
    effects.clear();
    engine.handle_timeout(later, &store, &mut effects);
    assert_eq!([1, 2].map(|number| session(engine, number).ack_at), [Some(later.mono), None]);
    assert_eq!((woken(&effects), engine.announce_due), (vec![1], None));

    session(engine, 1).ack_at = None;
    session(engine, 2).phase = Phase::Open;
    session(engine, 1).applying = 2;
    let news: VersionVector = [dot(1, 1)].into_iter().collect();
    let cut = Applying { records: vec![SyncRecord::Cut(news.clone())], ..applying(1, 1, Some(3)) };
    engine.applies.extend([cut, applying(2, 1, Some(4))]);
    engine.durable(now, Lsn(3), &store, &mut effects);
    assert!(engine.vector().covers_all(&news));
    assert_eq!(session(engine, 1).ack_at, Some(now.mono), "who brought it hears at once");
    assert_eq!((session(engine, 2).ack_at, engine.announce_due), (None, Some(now.mono + soon)));
    assert_eq!(session(engine, 1).applying, 1, "one of two is durable");
    engine.durable(now, Lsn(4), &store, &mut effects);
    assert_eq!((session(engine, 1).applying, engine.applying()), (0, 0));
}

#[test]
fn what_follows_a_refused_group_of_the_same_peer_is_not_wanted() {
    let (mut world, _) = with_sessions(&[1, 2]);
    let engine = &mut world.replicas[0].engine;
    engine.applies.extend([
        applying(1, 1, Some(5)),
        applying(2, 1, None),
        applying(3, 2, None),
        applying(4, 1, None),
        applying(5, 2, Some(6)),
    ]);
    assert_eq!(engine.applying(), 5);
    assert!((1..=5).all(|token| engine.still_wanted(Token(token))) && !engine.still_wanted(Token(6)));
    let mut effects = Vec::new();
    let error = Error::new(Code::DiskFull, "no room", "make room");
    engine.apply_refused(Token(9), &error, &mut effects);
    assert!(effects.is_empty() && engine.applying() == 5, "nobody knows of that one");
    engine.apply_refused(Token(2), &error, &mut effects);
    let wanted: Vec<u64> = (1..=5).filter(|token| engine.still_wanted(Token(*token))).collect();
    assert_eq!(wanted, [1, 3, 5], "what the log has taken stays, and what is of others");
    assert_eq!(engine.applying(), 3);
    assert!(matches!(effects[..], [Effect::Close { peer: PeerId(1), .. }]), "{effects:?}");
}

#[test]
fn a_snapshot_holds_what_the_log_had_taken_by_then() {
    let (mut world, _) = with_sessions(&[1]);
    let engine = &mut world.replicas[0].engine;
    let met = |number| [dot(number, 1)].into_iter().collect::<VersionVector>();
    engine.applies.extend([
        Applying { met: met(5), records: vec![SyncRecord::Cut(met(5))], ..applying(1, 1, Some(5)) },
        Applying { met: met(7), records: vec![SyncRecord::Cut(met(7))], ..applying(2, 1, Some(7)) },
        Applying { met: met(9), records: vec![SyncRecord::Cut(met(9))], ..applying(3, 1, None) },
    ]);
    for (at, numbers) in [(4, vec![]), (5, vec![5]), (6, vec![5]), (7, vec![5, 7]), (u64::MAX, vec![5, 7])] {
        let state = engine.state_at(Lsn(at));
        let expected: VersionVector = numbers.iter().map(|number| dot(*number, 1)).collect();
        assert_eq!((&state.met, &state.vector), (&expected, &expected), "at {at}");
    }
}

#[test]
fn bookkeeping_is_given_up_once() {
    let (mut world, _) = with_sessions(&[]);
    let engine = &mut world.replicas[0].engine;
    for (acknowledged, pruned, records) in [(0, 0, 0), (5, 5, 1), (5, 0, 0), (7, 2, 1)] {
        engine.state.acknowledged = acknowledged;
        let mut effects = Vec::new();
        assert_eq!((engine.prune(&mut effects), effects.len()), (pruned, records), "{acknowledged} acknowledged");
    }
}

#[test]
fn no_tombstone_goes_while_anything_is_staged() {
    let mut world = world();
    let is_planned = |world: &World| {
        let replica = &world.replicas[0];
        replica.engine.plan_collection(world.now(0), &replica.store).is_some()
    };
    world.put(0, "k", "v");
    assert!(!is_planned(&world), "there is none");
    world.delete(0, "k");
    world.advance(Duration::from_secs(1));
    assert!(is_planned(&world));
    world.replicas[0].auto_commit = false;
    world.put(0, "l", "v");
    assert_eq!(world.replicas[0].store.staged_len(), 1);
    assert!(!is_planned(&world));
    let now = world.now(0);
    world.replicas[0].commit(now);
    assert!(is_planned(&world));
}

/// All links of a node that comes back would else be asked at one moment, for ever.
#[test]
fn first_pings_are_spread_over_a_quarter_of_their_interval() {
    let mut world = world();
    let now = world.now(0);
    let replica = &mut world.replicas[0];
    let every = replica.settings.ping_every;
    for peer in 0..100 {
        replica.engine.peer_up(now, PeerId(peer), &mut replica.effects);
    }
    let spread: Vec<Duration> =
        replica.engine.sessions.values().map(|session| session.ping_at.since(now.mono + every)).collect();
    assert!(spread.iter().all(|spread| *spread <= every / 4));
    for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        let part = every * from / 16..every * to / 16;
        assert!(spread.iter().any(|spread| part.contains(spread)), "none in {part:?}");
    }
}
