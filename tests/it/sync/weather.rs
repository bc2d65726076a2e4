//! Links that are cut, frozen, slow and torn. Local writes never wait for them, and everything arrives in the end.

use std::time::Duration;

use super::peer::Peer;
use super::proxy::{Proxy, Weather};
use super::records::{Dice, records};
use super::{until, until_agreed};

/// Far more than a local write takes on a busy machine, and less than any timeout of a link.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Two nodes with a line between them, linked.
fn pair(options: &[&str]) -> (Peer, Peer, Proxy) {
    let (mut a, mut b) = (Peer::with("a", options), Peer::with("b", options));
    a.up();
    b.up();
    let line = Proxy::to(a.address());
    b.join_at(&a, Some(&line.address()));
    b.until_peer("a", "connected");
    a.until_peer("b", "connected");
    (a, b, line)
}

#[test]
fn what_is_written_on_both_sides_of_a_cut_meets_when_it_is_mended() {
    let (a, b, line) = pair(&[]);
    for round in 0..3_u32 {
        line.set(Weather::Cut);
        until("both know that they are apart", || {
            [(&a, "b"), (&b, "a")]
                .iter()
                .all(|(peer, other)| peer.peer(other).is_none_or(|it| it["state"] != "connected"))
        });
        a.import(&records("a", round * 100..round * 100 + 100));
        b.import(&records("b", round * 100..round * 100 + 100));
        assert_eq!((a.state().rest, b.state().rest), ((100, 0, 0), (100, 0, 0)), "queued, and not called failed");
        line.set(Weather::Clear);
        until_agreed(&[&a, &b]);
        assert_eq!(a.keys(), (round + 1) * 200);
    }
    assert!(a.export() == b.export());
}

#[test]
fn a_transfer_is_cut_again_and_again_and_nothing_is_sent_twice_for_good() {
    let (a, b, line) = pair(&[]);
    // Slow enough to be cut in the middle.
    line.set(Weather::Slow(1 << 20));
    a.import(&records("a", 0..2000));
    for goal in [200, 900, 1500] {
        until("more arrives", || b.keys() >= goal);
        line.set(Weather::Cut);
        line.set(Weather::Slow(2 << 20));
    }
    until_agreed(&[&a, &b]);
    assert!(a.export() == b.export());
    assert_eq!(b.state().taken, 2000);
}

#[test]
fn a_frozen_peer_is_given_up_in_time_and_goes_on_when_it_thaws() {
    let (a, b, _line) = pair(&["--set", "ack_timeout=1s"]);
    a.import(&records("a", 0..200));
    until_agreed(&[&a, &b]);
    b.freeze(true);
    let slowest = (0..10).map(|n| a.put("while it is frozen", &n.to_string())).max().unwrap();
    assert!(slowest < AT_ONCE, "a local write took {slowest:?} because a peer was frozen");
    a.until_logged("no acknowledgement in time");
    a.import(&records("a", 200..400));
    let state = a.state();
    assert_eq!((state.accepted, state.acknowledged, state.rest), (410, 200, (210, 0, 0)));
    b.freeze(false);
    until_agreed(&[&a, &b]);
    assert_eq!(b.get("while it is frozen").as_deref(), Some("9"));
    assert!(a.export() == b.export());
}

#[test]
fn a_silent_line_is_found_out_by_both_sides() {
    let (a, b, line) = pair(&["--set", "ack_timeout=1s"]);
    line.set(Weather::Hole);
    a.put("from", "a");
    b.put("of", "b");
    a.until_logged("no acknowledgement in time");
    b.until_logged("no acknowledgement in time");
    // New connections are swallowed, too, until it ends.
    line.set(Weather::Clear);
    until_agreed(&[&a, &b]);
    assert_eq!((a.get("of").as_deref(), b.get("from").as_deref()), (Some("b"), Some("a")));
}

#[test]
fn a_slow_line_delays_peers_and_nobody_else() {
    let (a, b, line) = pair(&[]);
    line.set(Weather::Slow(64 << 10));
    a.import(&records("a", 0..600));
    let slowest = (0..10).map(|n| a.put("now", &n.to_string())).max().unwrap();
    assert!(slowest < AT_ONCE, "a local write took {slowest:?} because the line is slow");
    assert!(a.state().pending() > 0, "the line was not slow");
    // The other direction is not held up by what fills this one.
    b.put("urgent", "from b");
    until("the small write came across", || a.get("urgent").is_some());
    line.set(Weather::Late(Duration::from_millis(50)));
    until_agreed(&[&a, &b]);
    assert!(a.export() == b.export());
}

#[test]
fn a_value_that_takes_longer_than_the_patience_for_an_answer_arrives() {
    let (a, b, line) = pair(&["--set", "ack_timeout=1s"]);
    line.set(Weather::Slow(200 << 10));
    let mut dice = Dice::of(7);
    // Nothing that could be compressed.
    let great: Vec<u8> = (0..1 << 20).map(|_| dice.next() as u8).collect();
    assert_eq!(a.run_with(&["store", "put", "great", "-"], &great).code, 0);
    // Its acknowledgement comes behind what fills the other direction.
    b.put("small", "from b");
    until_agreed(&[&a, &b]);
    assert_eq!(b.run(&["store", "get", "great", "--raw"]).stdout, great);
    for peer in [&a, &b] {
        assert!(!peer.log().contains("link_down"), "a slow link was taken for a dead one: {}", peer.log());
    }
}

#[test]
fn a_line_that_resets_every_connection_delivers_everything_all_the_same() {
    let (a, b, line) = pair(&[]);
    line.set(Weather::Torn(400_000));
    a.import(&records("a", 0..2500));
    b.import(&records("b", 0..100));
    until_agreed(&[&a, &b]);
    assert!(line.resets() >= 2, "the line was torn only {} times", line.resets());
    assert!(a.export() == b.export());
    let (a, b) = (a.state(), b.state());
    assert_eq!((a.taken, b.taken, a.divergences, b.divergences), (100, 2500, 0, 0));
}
