//! Delivered there, or not yet: the outbox tells the truth.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::replica::Logs;
use super::stranger::Stranger;
use crate::ids::{Dot, Lsn};
use crate::sync::message::Message;
use crate::sync::{CloseReason, Event, Settings, SyncRecord};

#[test]
fn acknowledged_only_when_enough_replicas_have_it_durable() {
    let settings = Settings { required_acks: 2, ..Settings::default() };
    let mut world = World::new(3, 1, &settings);
    world.replicas[1].auto_commit = false;
    world.put(0, "k", "v");
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(1));
    assert_eq!(world.replicas[0].engine.outbox_status().in_flight, 1, "received, not durable");
    let now = world.now(1);
    world.replicas[1].commit(now);
    world.route(1);
    world.settle_for(Duration::from_secs(1));
    assert_eq!(world.replicas[0].engine.outbox_status().acknowledged, 0, "one of two");
    world.connect(0, 2);
    world.settle_for(Duration::from_secs(1));
    let status = world.replicas[0].engine.outbox_status();
    assert_eq!((status.acknowledged, status.size()), (1, 0));
}

#[test]
fn what_was_sent_to_one_peer_is_on_its_way_though_another_was_sent_less() {
    let mut world = World::new(3, 1, &Settings::default());
    for peer in [1, 2] {
        world.replicas[peer].auto_commit = false;
        world.connect(0, peer);
    }
    world.settle_for(Duration::from_secs(1));
    world.put(0, "k", "v");
    world.put(0, "l", "v");
    world.settle_for(Duration::from_secs(1));
    for sent in [[2, 0], [0, 2], [1, 2]] {
        world.replicas[0].engine.sessions.values_mut().zip(sent).for_each(|(session, sent)| session.sent_seq = sent);
        let status = world.replicas[0].engine.outbox_status();
        assert_eq!((status.in_flight, status.queued), (2, 0), "{sent:?}");
    }
}

/// Seed 4977036304169 of five nodes: the log had what the members hold, and not yet what followed from that. They had nothing new to
/// say after the restart.
#[test]
fn what_the_members_hold_is_acknowledged_after_a_crash_though_that_was_not_logged() {
    let mut world = World::new(2, 3, &Settings::default());
    world.put(0, "a", "1");
    world.connect(0, 1);
    world.settle();
    world.cut(0, 1);
    let mut directory = world.replicas[0].directory();
    for record in &mut directory.log {
        if let Logs::Sync(SyncRecord::Acknowledged(seq)) = record {
            *seq = 0;
        }
    }
    world.resume_from(0, directory, 7);
    let status = world.replicas[0].engine.outbox_status();
    assert_eq!((status.acknowledged, status.size()), (1, 0));
}

#[test]
fn the_outbox_is_exact_after_a_crash() {
    let mut world = World::new(2, 2, &Settings::default());
    world.put(0, "a", "1");
    world.connect(0, 1);
    world.settle();
    world.cut(0, 1);
    world.put(0, "b", "2");
    world.put(0, "c", "3");
    let before = world.replicas[0].engine.outbox_status();
    assert_eq!((before.acknowledged, before.queued), (1, 2));
    world.crash(0);
    assert_eq!(world.replicas[0].engine.outbox_status(), before);
}

#[test]
fn being_offline_is_no_failed_try() {
    let mut world = World::new(2, 3, &Settings::default());
    for number in 0..10 {
        world.put(0, &format!("k{number}"), "v");
    }
    for _ in 0..10 {
        world.advance(Duration::from_secs(24 * 3600));
    }
    let status = world.replicas[0].engine.outbox_status();
    assert_eq!((status.queued, status.failed, status.retries), (10, 0, 0));
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
}

#[test]
fn a_link_that_breaks_with_nothing_under_way_is_no_failed_try() {
    let settings = Settings { max_retries: 2, ..Settings::default() };
    let mut world = World::new(2, 3, &settings);
    world.put(0, "k", "v");
    for _ in 0..5 {
        // It breaks before the two have greeted each other.
        world.connect(0, 1);
        world.deliver(0, 1);
        world.cut(0, 1);
    }
    assert_eq!(world.replicas[0].engine.outbox_status().retries, 0);
    world.connect(0, 1);
    world.settle();
    for _ in 0..5 {
        world.cut(0, 1);
        world.connect(0, 1);
        world.settle();
    }
    let status = world.replicas[0].engine.outbox_status();
    assert_eq!((status.retries, status.failed, status.size()), (0, 0, 0));
}

#[test]
fn records_that_the_log_gave_up_are_heard_again() {
    let mut world = World::new(2, 3, &Settings::default());
    world.replicas[1].auto_commit = false;
    world.put(0, "k", "v");
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(1));
    world.replicas[1].take_back();
    world.route(1);
    assert_eq!(world.replicas[1].closes, [CloseReason::NoRoom]);
    assert_eq!(world.replicas[1].get("k"), None);
    world.replicas[1].auto_commit = true;
    world.route(1);
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
}

#[test]
fn tries_without_progress_fail_and_are_queued_again_when_the_peer_is_heard() {
    let settings = Settings { max_retries: 3, ..Settings::default() };
    let mut world = World::new(2, 4, &settings);
    world.replicas[1].auto_commit = false;
    world.put(0, "k", "v");
    for attempt in 1..=3 {
        world.connect(0, 1);
        world.settle_for(Duration::from_secs(1));
        world.settle_for(Duration::from_secs(20));
        assert!(!world.is_connected(0, 1), "the silent link is closed");
        assert_eq!(world.replicas[0].closes.last(), Some(&CloseReason::Silent));
        let status = world.replicas[0].engine.outbox_status();
        assert_eq!((status.retries, status.failed), (attempt, u64::from(attempt == 3)));
    }
    assert!(world.replicas[0].events.iter().any(|event| matches!(event, Event::Failed { operations: 1, .. })));
    let reason = world.replicas[0].engine.outbox_status().reason;
    assert_eq!(reason.as_deref(), Some("no acknowledgement in time"));
    let pauses = &world.replicas[0].pauses;
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0] / 2), "{pauses:?}");

    world.replicas[1].auto_commit = true;
    world.connect(0, 1);
    world.settle();
    assert_eq!(world.replicas[0].engine.outbox_status().failed, 0);
    world.assert_converged();
}

#[test]
fn what_is_on_its_way_is_given_the_time_of_a_slow_line() {
    let mut world = World::new(2, 4, &Settings::default());
    world.replicas[1].auto_commit = false;
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(1));
    // 64 seconds at 64 kbit/s.
    world.put(0, "k", &"v".repeat(512 << 10));
    world.settle_for(Duration::from_secs(1));
    world.settle_for(Duration::from_secs(60));
    assert!(world.is_connected(0, 1), "{:?}", world.replicas[0].closes);
    world.settle_for(Duration::from_secs(30));
    assert_eq!(world.replicas[0].closes.last(), Some(&CloseReason::Silent));
}

#[test]
fn an_answer_behind_what_is_coming_in_is_waited_for_within_bounds() {
    // A pong would say that nothing is in its way.
    let settings = Settings { ping_every: Duration::from_secs(3600), ..Settings::default() };
    let mut world = World::new(2, 4, &settings);
    world.replicas[1].auto_commit = false;
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(1));
    world.put(0, "k", "v");
    world.settle_for(Duration::from_secs(1));
    let peer = world.replicas[0].engine.peers(&world.replicas[0].store)[0].peer;
    world.replicas[0].engine.sessions.get_mut(&peer).unwrap().pinged = crate::time::Instant(u64::MAX);
    for _ in 0..100 {
        world.replicas[0].engine.heard(peer, 64 << 10);
    }
    // Of all that came in a window counts: 128 seconds.
    world.settle_for(Duration::from_secs(120));
    assert!(world.is_connected(0, 1), "{:?}", world.replicas[0].closes);
    world.settle_for(Duration::from_secs(30));
    assert_eq!(world.replicas[0].closes.last(), Some(&CloseReason::Silent));
}

#[test]
fn a_full_disk_there_leaves_everything_queued_here() {
    let mut world = World::new(2, 5, &Settings::default());
    world.connect(0, 1);
    world.settle();
    world.replicas[1].disk_full = true;
    world.put(0, "k", "v");
    world.settle();
    assert!(!world.is_connected(0, 1));
    assert_eq!(world.replicas[1].closes, [CloseReason::NoRoom]);
    assert_eq!(world.replicas[0].closes, [CloseReason::Told(crate::sync::Bye::NoRoom)]);
    assert_eq!(world.replicas[0].engine.outbox_status().queued, 1);
    world.replicas[1].disk_full = false;
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let settings = Settings { window: 4096, ..Settings::default() };
    let mut world = World::new(2, 6, &settings);
    world.replicas[1].auto_commit = false;
    let value = "x".repeat(200);
    for number in 0..200 {
        world.put(0, &format!("k{number}"), &value);
    }
    world.connect(0, 1);
    world.settle_for(Duration::from_secs(1));
    let in_flight = world.replicas[0].engine.status(&world.replicas[0].store).peers[0].in_flight;
    assert!((4096..4096 + 2000).contains(&in_flight), "{in_flight}");
    world.replicas[1].auto_commit = true;
    world.route(1);
    world.settle();
    world.assert_converged();
}

/// It is given up, by its name on a link that stands, while the clock stands an hour later than when it is heard again.
#[test]
fn a_replica_that_was_given_up_counts_again_when_it_is_heard_whatever_the_clock_says() {
    for meets_again in [false, true] {
        let mut world = World::new(2, 9, &Settings::default());
        world.connect(0, 1);
        world.settle();
        let gone = world.replicas[1].identity.replica;
        world.replicas[0].skew_ms = 3_600_000;
        let (now, mut effects) = (world.now(0), core::mem::take(&mut world.replicas[0].effects));
        world.replicas[0].engine.forget(now, gone, &mut effects).unwrap();
        world.replicas[0].effects = effects;
        world.route(0);
        world.replicas[0].skew_ms = 0;
        if meets_again {
            world.cut(0, 1);
        }
        world.put(0, "k", "v");
        world.connect(0, 1);
        world.settle();
        assert_eq!(world.replicas[0].engine.outbox_status().size(), 0, "meets again: {meets_again}");
    }
}

/// Seed 42818703426280: C holds the operation and has said so to B, where word that C is given up comes in a moment later.
/// Nothing is written any more, so all that C says from then on is that it is there.
#[test]
fn a_replica_that_was_given_up_counts_again_though_it_has_nothing_new_to_say() {
    const A: usize = 0;
    const B: usize = 1;
    const C: usize = 2;
    for late_clock_ms in [0, 400_000] {
        let mut world = World::new(3, 23, &Settings { required_acks: 2, ..Settings::default() });
        world.replicas[B].skew_ms = -late_clock_ms;
        world.connect(A, B);
        world.connect(B, C);
        world.settle();
        world.put(A, "k", "v");
        world.settle_for(Duration::from_millis(100));
        assert_eq!(world.replicas[C].get("k").as_deref(), Some("v"));
        assert_eq!(world.replicas[A].engine.outbox_status().size(), 1, "nobody has passed on what C holds");
        let (now, given_up) = (world.now(A), world.replicas[C].identity.replica);
        let mut effects = core::mem::take(&mut world.replicas[A].effects);
        world.replicas[A].engine.forget(now, given_up, &mut effects).unwrap();
        world.replicas[A].effects = effects;
        world.route(A);
        world.settle_for(Duration::from_secs(30));
        assert_eq!(world.replicas[A].engine.outbox_status().size(), 0, "a clock is late by {late_clock_ms} ms");
    }
}

/// C goes on under another name, and gives up the one it had. What it said to B under that one comes after the word of A: nobody
/// bears that name any more, so nobody would give it up again.
#[test]
fn what_comes_late_of_a_name_that_was_given_up_does_not_bring_it_back() {
    const A: usize = 0;
    const B: usize = 1;
    const C: usize = 2;
    for lives in [false, true] {
        let mut world = World::new(3, 29, &Settings::default());
        world.connect(A, B);
        world.connect(B, C);
        world.settle();
        world.advance(Settings::default().ping_every * 2);
        while world.deliver(B, C) {}
        assert!(!world.on_the_way(C, B).is_empty(), "C pings, and answers");
        let (now, given_up) = (world.now(A), world.replicas[C].identity.replica);
        let mut effects = core::mem::take(&mut world.replicas[A].effects);
        world.replicas[A].engine.forget(now, given_up, &mut effects).unwrap();
        world.replicas[A].effects = effects;
        world.route(A);
        world.advance(Duration::from_secs(1));
        while world.deliver(A, B) {}
        let counts = |world: &World| {
            let status = world.replicas[B].engine.status(&world.replicas[B].store);
            status.members.iter().any(|(replica, .., gone)| *replica == given_up && !gone)
        };
        assert!(!counts(&world), "B has heard of it");
        while world.deliver(C, B) {}
        assert!(!counts(&world), "all that C had said until then");
        if !lives {
            world.cut(B, C);
        }
        world.settle_for(Duration::from_secs(1));
        assert_eq!(counts(&world), lives, "it is asked at once");
    }
}

#[test]
fn what_is_acknowledged_altogether_is_remembered_at_once() {
    let mut world = World::new(2, 21, &Settings::default());
    world.connect(0, 1);
    world.settle();
    world.put(0, "k", "v");
    world.settle_for(Duration::from_millis(100));
    world.put(0, "l", "v");
    world.settle_for(Duration::from_millis(100));
    world.crash(0);
    assert_eq!(world.replicas[0].engine.outbox_status().size(), 0);
}

/// The acknowledged cursors in the log of the first replica.
fn logged(world: &World) -> Vec<u64> {
    let seq = |record: &Logs| match record {
        Logs::Sync(SyncRecord::Acknowledged(seq)) => Some(*seq),
        _ => None,
    };
    world.replicas[0].log.iter().filter_map(seq).collect()
}

/// A replica with own operations, and a stranger who has heard nothing of them.
fn world_with_pending(count: u64) -> (World, Stranger) {
    let mut world = World::new(1, 22, &Settings::default());
    for number in 0..count {
        world.put(0, &format!("k{number}"), "v");
    }
    let mut stranger = Stranger::new(9);
    stranger.greet(&mut world, 0);
    world.settle_for(Duration::from_secs(2));
    (world, stranger)
}

#[test]
fn a_writer_whose_every_write_is_acknowledged_at_once_does_not_pay_a_sync_for_each() {
    let (mut world, mut stranger) = world_with_pending(0);
    let replica = world.replicas[0].identity.replica;
    for seq in 1..=40 {
        world.put(0, &format!("k{seq}"), "v");
        let vector = [Dot { replica, seq }].into_iter().collect();
        stranger.say(&mut world, 0, &[Message::Ack { lsn: Lsn::ZERO, bytes: 0, vector }]);
        world.advance(Duration::from_millis(2));
    }
    assert_eq!(world.replicas[0].engine.outbox_status().size(), 0);
    world.advance(Duration::from_millis(100));
    let logged = logged(&world);
    assert!((2..=4).contains(&logged.len()) && logged.last() == Some(&40), "{logged:?}");
}

#[test]
fn a_stream_of_acknowledgements_is_logged_once_a_second() {
    let (mut world, mut stranger) = world_with_pending(100);
    let replica = world.replicas[0].identity.replica;
    for seq in 1..=90 {
        let vector = [Dot { replica, seq }].into_iter().collect();
        stranger.say(&mut world, 0, &[Message::Ack { lsn: Lsn::ZERO, bytes: 0, vector }]);
        world.advance(Duration::from_millis(5));
    }
    assert_eq!(logged(&world), [1], "the first after a while, and none within a second");
    world.advance(Duration::from_millis(600));
    assert_eq!(logged(&world), [1, 90]);
    world.advance(Duration::from_secs(2));
    assert_eq!(logged(&world), [1, 90]);
}

#[test]
fn word_of_what_a_third_replica_holds_is_passed_on_within_seconds() {
    let settings = Settings { required_acks: 2, ..Settings::default() };
    let mut world = World::new(3, 23, &settings);
    world.connect(0, 1);
    world.connect(1, 2);
    world.settle();
    world.put(0, "k", "v");
    world.settle_for(Duration::from_secs(2));
    assert_eq!(world.replicas[0].engine.outbox_status().size(), 0);
}
