//! Deadlines. Nothing here waits: time jumps to where the sessions ask for it.

use super::*;

#[test]
fn a_silent_stranger_is_dropped_at_the_deadline() {
    let mut pair = Pair::of(local(1, None), local(2, None));
    let start = pair.now;
    pair.a.wire.clear();
    pair.jump();
    assert_eq!(pair.why(), ("handshake_timeout", "handshake_timeout"));
    assert_eq!(pair.now.since(start), Settings::default().handshake_timeout);
}

#[test]
fn a_drip_of_bytes_does_not_move_the_deadline() {
    let mut pair = Pair::of(local(1, None), local(2, None));
    let start = pair.now;
    let bytes: Vec<u8> = pair.a.wire.drain(..).collect();
    for byte in bytes {
        pair.now = pair.now + Duration::from_secs(1);
        let now = pair.now;
        pair.b.act(now, |session, out| session.handle_timeout(now, out));
        pair.b.hear(now, &[byte]);
        if pair.b.session.is_closed() {
            break;
        }
    }
    assert_eq!(pair.b.why(), "handshake_timeout");
    assert_eq!(pair.now.since(start), Settings::default().handshake_timeout);
}

#[test]
fn an_idle_link_lives_on_pings_and_knows_its_round_trip() {
    let mut pair = Pair::up();
    let start = pair.now;
    while pair.now.since(start) < Duration::from_secs(3600) {
        pair.jump();
        pair.now = pair.now + Duration::from_millis(20);
        pair.run();
    }
    assert_eq!(pair.why(), ("open", "open"));
    assert_eq!(pair.a.session.round_trip(), Some(Duration::from_millis(20)));
    let records = pair.a.cuts.len();
    assert!(records < 2 * 361 + 10, "{records} records in an idle hour");
}

#[test]
fn a_dead_link_is_noticed_after_the_idle_timeout() {
    let mut pair = Pair::up();
    let start = pair.now;
    while pair.why() == ("open", "open") {
        pair.jump();
        // The bytes of both go nowhere.
        pair.a.wire.clear();
        pair.b.wire.clear();
    }
    assert_eq!(pair.why(), ("idle_timeout", "idle_timeout"));
    assert_eq!(pair.now.since(start), Settings::default().idle_timeout);
}

#[test]
fn a_connection_that_takes_nothing_is_given_up() {
    let mut pair = Pair::up();
    pair.a.writable = false;
    let start = pair.now;
    pair.send(Side::A, Lane::Bulk, vec![0; 1 << 20]);
    while pair.a.why() == "open" {
        // B goes on talking: the link is not idle.
        pair.send(Side::B, Lane::Control, "still here");
        pair.run();
        pair.jump();
    }
    assert_eq!(pair.a.why(), "write_timeout");
    assert_eq!(pair.now.since(start), Settings::default().write_timeout);
}

#[test]
fn slow_progress_is_progress() {
    let mut pair = Pair::up();
    pair.a.writable = false;
    pair.send(Side::A, Lane::Bulk, vec![0; 1 << 20]);
    for _ in 0..20 {
        pair.now = pair.now + Duration::from_secs(20);
        let now = pair.now;
        pair.a.act(now, |session, out| {
            session.handle_written(now, 100, out);
            session.handle_timeout(now, out);
        });
        pair.send(Side::B, Lane::Control, "still here");
        pair.run();
    }
    assert_eq!(pair.a.why(), "open");
}

#[test]
fn the_patience_of_the_other_side_sets_the_pace_of_pings() {
    let (a, mut b) = (local(1, None), local(2, None));
    b.settings.idle_timeout = Duration::from_secs(3);
    let mut pair = Pair::of(a, b);
    pair.run();
    let start = pair.now;
    while pair.now.since(start) < Duration::from_secs(60) {
        pair.jump();
        pair.run();
    }
    assert_eq!(pair.why(), ("open", "open"));
    // An absurd patience is not served beyond reason.
    let (a, mut b) = (local(1, None), local(2, None));
    b.settings.idle_timeout = Duration::ZERO;
    let mut pair = Pair::of(a, b);
    pair.run();
    assert!(pair.a.session.ping_every >= MIN_KEEP_ALIVE);
}

#[test]
fn a_full_window_does_not_spin() {
    let mut pair = Pair::up();
    pair.a.writable = false;
    pair.send(Side::A, Lane::Bulk, vec![0; 1 << 20]);
    let before = pair.now;
    pair.now = pair.now + Settings::default().keep_alive + Duration::from_secs(1);
    let now = pair.now;
    pair.a.act(now, |session, out| session.handle_timeout(now, out));
    let next = pair.a.session.poll_timeout().unwrap();
    assert!(next > now && next.since(before) == Settings::default().idle_timeout, "{next:?}");
}

/// A pair whose pings are far apart, quiet for a while.
fn quiet(write_timeout: Duration) -> Pair {
    let mut pair = Pair::up_with(|settings| {
        settings.idle_timeout = Duration::from_secs(3000);
        settings.keep_alive = Duration::from_secs(900);
        settings.write_timeout = write_timeout;
    });
    pair.jump();
    pair.run();
    pair.now = pair.now + Duration::from_secs(100);
    pair
}

fn time_passes(pair: &mut Pair, seconds: u64) {
    pair.now = pair.now + Duration::from_secs(seconds);
    let now = pair.now;
    pair.a.act(now, |session, out| session.handle_timeout(now, out));
}

#[test]
fn only_bytes_on_their_way_are_waited_for_since_the_connection_took_some_or_had_none() {
    let mut pair = quiet(Duration::from_secs(30));
    assert!(pair.a.session.poll_timeout().unwrap().since(pair.now) > Duration::from_secs(500), "nothing is on its way");
    time_passes(&mut pair, 1);
    assert_eq!(pair.a.why(), "open");
    pair.a.writable = false;
    let start = pair.now;
    pair.send(Side::A, Lane::Control, "first");
    assert_eq!(pair.a.session.poll_timeout(), Some(start + Duration::from_secs(30)));
    for _ in 0..5 {
        time_passes(&mut pair, 5);
        assert_eq!(pair.a.why(), "open");
        pair.send(Side::A, Lane::Control, "more of it");
    }
    time_passes(&mut pair, 5);
    assert_eq!(pair.a.why(), "write_timeout");
}

#[test]
fn nothing_is_sent_before_it_is_due() {
    let mut pair = quiet(Duration::from_secs(30));
    let before = pair.a.cuts.len();
    time_passes(&mut pair, 1);
    assert_eq!(pair.a.cuts.len(), before);
}

#[test]
fn when_a_link_was_heard_is_known() {
    let mut pair = quiet(Duration::from_secs(30));
    pair.send(Side::A, Lane::Control, "hello");
    pair.run();
    let at = pair.now;
    time_passes(&mut pair, 7);
    assert_eq!((pair.b.session.heard(), pair.now.since(at)), (at, Duration::from_secs(7)));
}

#[test]
fn a_late_answer_to_an_earlier_ping_is_no_round_trip_of_the_latest() {
    let mut pair = Pair::up();
    pair.jump();
    let answer = |pair: &mut Pair| {
        let ping: Vec<u8> = pair.a.wire.drain(..).collect();
        let now = pair.now;
        pair.b.hear(now, &ping);
        pair.b.wire.drain(..).collect::<Vec<u8>>()
    };
    let late = answer(&mut pair);
    while pair.a.wire.is_empty() {
        pair.jump();
    }
    pair.b.wire.clear();
    let now = pair.now + Duration::from_millis(20);
    pair.a.hear(now, &late);
    assert_eq!((pair.a.why(), pair.a.session.round_trip()), ("open", None));
}

#[test]
fn a_window_that_is_full_to_the_byte_is_full() {
    let mut pair = Pair::up();
    pair.run();
    let full = Settings::default().send_window;
    pair.a.session.in_flight = full;
    pair.now = pair.now + Settings::default().keep_alive + Duration::from_secs(1);
    let now = pair.now;
    assert!(pair.a.session.poll_timeout().unwrap() > now);
    let before = pair.a.cuts.len();
    pair.a.act(now, |session, out| session.handle_timeout(now, out));
    pair.send(Side::A, Lane::Control, "waits");
    assert_eq!((pair.a.session.in_flight, pair.a.cuts.len()), (full, before));
}

#[test]
fn a_round_trip_does_not_count_the_time_in_which_no_ping_could_leave() {
    let mut pair = Pair::up();
    let full = Settings::default().send_window;
    pair.a.session.in_flight = full;
    time_passes(&mut pair, 11);
    time_passes(&mut pair, 5);
    let now = pair.now;
    pair.a.act(now, |session, out| {
        session.handle_written(now, full, out);
        session.handle_timeout(now, out);
    });
    pair.now = pair.now + Duration::from_millis(20);
    pair.run();
    assert_eq!((pair.a.why(), pair.a.session.round_trip()), ("open", Some(Duration::from_millis(20))));
}
