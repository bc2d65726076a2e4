//! How long a peer is waited for, how much it is sent meanwhile, and what is shown of it.

use alloc::format;
use alloc::vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::sync::message::Message;
use crate::sync::session::{FullIn, Phase as SessionPhase, Session};
use crate::sync::{CloseReason, PeerId, Settings};
use crate::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(15);

fn at(seconds: u64) -> Instant {
    Instant(seconds * 1_000_000)
}

fn open() -> Session {
    let mut session = Session::new(at(100), VersionVector::EMPTY, VersionVector::EMPTY, at(110));
    session.phase = SessionPhase::Open;
    session.them = Some(Stranger::new(9).hello);
    session
}

#[test]
fn a_greeting_has_as_much_time_as_an_answer() {
    let session = Session::new(at(100), VersionVector::EMPTY, VersionVector::EMPTY, at(110));
    assert_eq!(session.suspect_at(TIMEOUT), Some(at(115)));
}

#[test]
fn a_peer_is_suspect_when_the_oldest_question_is_overdue_on_the_slowest_line() {
    let mut session = open();
    assert_eq!(session.suspect_at(TIMEOUT), None, "it was asked for nothing");
    session.ping = Some((1, at(103)));
    assert_eq!(session.suspect_at(TIMEOUT), Some(at(118)));
    session.waiting = Some(at(101));
    assert_eq!(session.suspect_at(TIMEOUT), Some(at(116)));
    session.waiting = Some(at(105));
    assert_eq!(session.suspect_at(TIMEOUT), Some(at(118)));
    (session.sent_bytes, session.acked_bytes, session.ahead_of_answer) = (50_000, 50_000 - 3 * 8192, 2 * 8192);
    assert_eq!(session.suspect_at(TIMEOUT), Some(at(118 + 5)), "eight kibibytes a second");
}

#[test]
fn a_peer_that_says_it_cannot_take_more_is_waited_for_an_hour() {
    let mut session = open();
    session.note_waits(at(100), true);
    assert_eq!(session.waiting, None, "it was sent nothing");
    session.waiting = Some(at(100));
    for (now, waits, waiting) in [
        (200, true, 200),
        (3699, true, 3699),
        (3700, true, 3699),
        (9000, true, 3699),
        (9010, false, 3699),
        (9020, true, 9020),
        (9020 + 3599, true, 9020 + 3599),
        (9020 + 3600, true, 9020 + 3599),
    ] {
        session.note_waits(at(now), waits);
        assert_eq!(session.waiting, Some(at(waiting)), "{waits} at {now}");
    }
}

#[test]
fn a_peer_that_answers_nothing_is_asked_early_and_once_whether_it_waits() {
    let mut session = open();
    session.ping_at = at(130);
    assert_eq!(session.ping_due(TIMEOUT), at(130), "it was sent nothing");
    session.waiting = Some(at(100));
    let half = TIMEOUT / 2;
    assert_eq!(session.ping_due(TIMEOUT), at(100) + half);
    session.ping_at = at(103);
    assert_eq!(session.ping_due(TIMEOUT), at(103), "it is asked anyway");
    (session.pinged, session.ping_at, session.ping) = (at(107), at(130), Some((1, at(107))));
    assert_eq!(session.ping_due(TIMEOUT), at(130), "it was asked");
    session.note_waits(at(108), true);
    assert_eq!(session.ping_due(TIMEOUT), at(108) + half, "it has answered that it waits");
}

/// The question may have overtaken what it was sent: then the answer says nothing about that.
#[test]
fn a_peer_that_has_answered_and_not_acknowledged_is_asked_once_more() {
    let mut session = open();
    (session.waiting, session.pinged, session.ping_at) = (Some(at(100)), at(101), at(130));
    assert_eq!(session.ping_due(TIMEOUT), at(101) + TIMEOUT / 2);
    (session.ping, session.waiting) = (Some((1, at(101))), Some(at(101)));
    assert_eq!(
        session.ping_due(TIMEOUT),
        at(101) + TIMEOUT / 2,
        "what it was sent just then may be behind the question"
    );
    (session.ping, session.waiting) = (None, Some(at(100)));
    assert!(session.ping_due(TIMEOUT) < session.suspect_at(TIMEOUT).unwrap());
}

/// It has to know before it gives up the link, however seldom it asks otherwise.
#[test]
fn whoever_waits_for_others_is_not_taken_for_silent() {
    let exchange = |ack_timeout| Settings { ack_timeout, ping_every: Duration::from_secs(600), ..Settings::default() };
    let mut world = World::new(1, 4, &exchange(Duration::from_secs(600)));
    world.add(1, &exchange(Duration::from_millis(500)));
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(1));
    let mut stranger = super::full::from_above(0xaa);
    stranger.greet(&mut world, 0);
    stranger.name(&mut world, 0, &["a"], Some("a"));
    world.put(1, "k", "v");
    world.settle_for(Duration::from_secs(25));
    assert_eq!(world.replicas[0].get("k"), None, "it waits for the end of the exchange");
    assert!(world.is_connected(0, 1), "{:?}", world.replicas[1].closes);
    stranger.leave(&mut world, 0);
    world.settle_for(Duration::from_secs(5));
    assert_eq!(world.values("k"), vec![Some("v".into()); 2]);
    assert!(world.is_connected(0, 1), "{:?}", world.replicas[1].closes);
}

#[test]
fn no_more_goes_out_than_the_window_holds() {
    let mut session = open();
    session.them.as_mut().unwrap().window = 1000;
    assert_eq!((session.in_flight(), session.credit()), (0, 1000));
    (session.sent_bytes, session.acked_bytes) = (5400, 5000);
    assert_eq!((session.in_flight(), session.credit()), (400, 600));
    session.sent_bytes = 7000;
    assert_eq!((session.in_flight(), session.credit()), (2000, 0), "the last message went beyond");
}

#[test]
fn a_session_is_quiet_when_nothing_is_under_way_in_either_direction() {
    let quiet = || {
        let mut session = open();
        (session.mid_walk, session.settled) = (false, Lsn(7));
        session
    };
    assert!(quiet().is_quiet(Lsn(7)) && quiet().is_quiet(Lsn(6)) && !quiet().is_quiet(Lsn(8)));
    type Change = fn(&mut Session);
    let changes: [Change; 5] = [
        |session| session.phase = SessionPhase::Closing,
        |session| session.applying = 1,
        |session| session.held.push_back((Message::Bye(crate::sync::Bye::Leaving), 1)),
        |session| session.mid_walk = true,
        |session| session.sent_bytes = 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut session = quiet();
        change(&mut session);
        assert!(!session.is_quiet(Lsn(7)), "change {number}");
    }
}

/// A peer claims its own operations in a moment, so nobody sends it those; unless it turns out not to know them.
#[test]
fn a_peer_that_has_forgotten_its_own_operations_is_sent_them_once() {
    for (claims, came_here, was_sent, is_sent) in
        [(2, 3, 0, true), (3, 3, 0, false), (4, 3, 0, false), (2, 3, 3, false), (2, 4, 3, true), (0, 0, 0, false)]
    {
        let mut session = open();
        (session.settled, session.scout) = (Lsn(5), Lsn(7));
        (session.met_at_ping, session.forgotten_by_itself) = (came_here, was_sent);
        session.remind(&[Dot { replica: ReplicaId([9; 16]), seq: claims }].into_iter().collect());
        let case = (claims, came_here, was_sent);
        assert_eq!(session.scout, if is_sent { Lsn(5) } else { Lsn(7) }, "claims, came here, was sent: {case:?}");
        assert_eq!(session.forgotten_by_itself, if is_sent { came_here } else { was_sent }, "{case:?}");
    }
}

#[test]
fn a_full_exchange_ends_with_the_first_cut_behind_the_names() {
    let cut: VersionVector = [Dot { replica: ReplicaId([1; 16]), seq: 1 }].into_iter().collect();
    let mut session = open();
    assert!(!session.ends_full(false, &cut), "there is none");
    session.full_in = Some(FullIn::Named { after: None });
    assert!(!session.ends_full(false, &cut), "not all is named");
    assert!(session.owes_names());
    session.full_in = Some(FullIn::Closing { durable: true });
    assert!(!session.ends_full(true, &cut) && !session.ends_full(false, &VersionVector::EMPTY));
    assert!(session.ends_full(false, &cut) && !session.owes_names());
}

#[test]
fn the_pause_doubles_with_every_link_that_brings_nothing_up_to_the_longest() {
    let settings = Settings { ping_every: Duration::from_secs(100_000), ..Settings::default() };
    let mut world = World::new(1, 1, &settings);
    world.put(0, "k", "v");
    let mut stranger = Stranger::new(9);
    for seconds in [1, 2, 4, 8, 16, 32, 60] {
        stranger.greet(&mut world, 0);
        drop(stranger.hear(&mut world, 0));
        let hello = Message::Hello(stranger.hello.clone());
        stranger.say(&mut world, 0, &[hello]);
        stranger.leave(&mut world, 0);
        let pause = world.replicas[0].pauses.last().copied().unwrap();
        let most = Duration::from_secs(seconds);
        assert!(pause >= most / 2 && pause <= most, "{pause:?}, not about {most:?}");
    }
    assert!(world.replicas[0].closes.iter().all(|reason| matches!(reason, CloseReason::Protocol(_))));
}

/// All who lost one node would else come back to it at one moment.
#[test]
fn half_of_a_pause_is_drawn_at_random() {
    let longest = Duration::from_secs(60);
    let mut world = World::new(1, 1, &Settings { backoff_first: longest, backoff_max: longest, ..Settings::default() });
    let mut stranger = Stranger::new(9);
    for _ in 0..40 {
        stranger.greet(&mut world, 0);
        let hello = Message::Hello(stranger.hello.clone());
        stranger.say(&mut world, 0, &[hello]);
    }
    let seconds = world.replicas[0].pauses.iter().map(Duration::as_secs);
    assert!(seconds.clone().all(|seconds| (30..=60).contains(&seconds)));
    for tenth in [30..33, 33..36, 36..39, 39..42, 42..45, 45..48, 48..51, 51..54, 54..57, 57..61] {
        assert!(seconds.clone().any(|seconds| tenth.contains(&seconds)), "none of {tenth:?} seconds");
    }
}

#[test]
fn status_shows_what_is_under_way_and_how_the_clocks_stand() {
    let mut world = World::new(2, 2, &Settings::default());
    world.replicas[1].skew_ms = 60_000;
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(30));
    let peer = |world: &World, index: usize| {
        let replica = &world.replicas[index];
        replica.engine.peers(&replica.store).remove(0)
    };
    assert_eq!([0, 1].map(|index| peer(&world, index).clock_ahead_ms), [60_000, -60_000]);
    assert!(peer(&world, 0).round_trip.is_some_and(|time| time < Duration::from_secs(1)));
    assert_eq!(world.replicas[0].engine.name_of(PeerId(0)).unwrap().as_str(), "n1");
    assert_eq!(world.replicas[0].engine.name_of(PeerId(99)), None);
    world.replicas[1].auto_commit = false;
    for number in 0..3 {
        world.put(0, &format!("k{number}"), "v");
    }
    world.settle_for(Duration::from_millis(500));
    let shown = peer(&world, 0);
    assert!((3, true) == (shown.lag, shown.in_flight > 0), "{shown:?}");
    assert_eq!(world.replicas[0].engine.load().most_in_flight, shown.in_flight);
    let now = world.now(1);
    world.replicas[1].commit(now);
    world.route(1);
    world.settle_for(Duration::from_secs(1));
    let shown = peer(&world, 0);
    assert_eq!((shown.lag, shown.in_flight, shown.acknowledged >= Lsn(3)), (0, 0, true));
}
