//! `status --watch` and `top`: on a terminal, and where there is none.

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;

use crate::network::shows;
use crate::support::Place;
use crate::terminal::Typist;

/// What takes the page, and what gives it back.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

#[test]
fn a_terminal_shows_what_happens_and_is_given_back_at_ctrl_c() {
    let place = Place::new();
    let _node = place.start();
    for (args, shown) in
        [(&["top", "--interval", "1"][..], "Stored     1 key,"), (&["status", "--watch"], "Keys            1")]
    {
        let mut typist = Typist::at(&place, args);
        typist.waits_for(ENTER);
        place.run(&["store", "put", "seen", "v"]).ok();
        typist.waits_for(shown);
        assert!(!tcgetattr(&typist.terminal).unwrap().local_modes.contains(LocalModes::ECHO), "keys are not shown");
        typist.signal(Signal::INT);
        typist.waits_for(LEAVE);
        assert_eq!(typist.ended(), 0);
        assert!(tcgetattr(&typist.terminal).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
    }
}

#[test]
fn who_ends_it_from_outside_finds_the_terminal_as_it_was() {
    let place = Place::new();
    let _node = place.start();
    let mut typist = Typist::at(&place, &["top"]);
    typist.waits_for("No peers are known.");
    typist.signal(Signal::TERM);
    typist.waits_for(LEAVE);
    assert_eq!(typist.ended(), 0);
    assert!(tcgetattr(&typist.terminal).unwrap().local_modes.contains(LocalModes::ECHO));
}

#[test]
fn on_a_terminal_a_node_that_goes_away_is_waited_for() {
    let place = Place::new();
    let node = place.start();
    let mut typist = Typist::at(&place, &["top", "--interval", "1"]);
    typist.waits_for("till-1");
    node.stop();
    typist.waits_for("Waiting for the node.");
    let _again = place.start();
    typist.waits_for("till-1");
    typist.signal(Signal::INT);
    typist.waits_for(LEAVE);
    assert_eq!(typist.ended(), 0);
}

#[test]
fn the_last_of_so_many_looks_stays_on_the_terminal() {
    let place = Place::new();
    let _node = place.start();
    for (args, shown) in [
        (&["top", "--count", "1"][..], "No peers are known."),
        (&["status", "--watch", "--count", "1"], "Keys            0"),
    ] {
        let mut typist = Typist::at(&place, args);
        typist.waits_for(LEAVE);
        typist.waits_for(shown);
        assert_eq!(typist.ended(), 0);
    }
}

#[test]
fn in_a_session_it_ends_and_the_session_goes_on() {
    let place = Place::new();
    let _node = place.start();
    let mut typist = Typist::in_a_session(&place);
    typist.types("top\r", "No peers are known.");
    typist.signal(Signal::INT);
    typist.waits_for(LEAVE);
    typist.types("store size\r", "\r\n0\r\n");
    typist.leaves();
}

#[test]
fn without_a_terminal_one_look_follows_the_other() {
    let place = Place::new();
    let node = place.start();
    let ran = place.run(&["status", "--watch", "--interval", "1", "--count", "2"]).ok();
    assert!(!ran.contains('\x1b') && ran.matches("State           ready\n").count() == 2, "{ran}");
    place.run(&["store", "put", "k", "v"]).ok();
    let ran = place.run(&["top", "--json", "--interval", "1", "--count", "2"]);
    let looks: Vec<Value> = ran.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(looks.len(), 2);
    assert_eq!(
        (&looks[0]["schema"], &looks[0]["data"]["writes_per_second"]),
        (&"softadastra.top/1".into(), &Value::Null)
    );
    assert_eq!((&looks[1]["data"]["writes_per_second"], &looks[1]["data"]["outbox"]), (&0.0.into(), &1.into()));
    assert!(looks[1]["data"]["free_bytes"].as_u64().unwrap() > 0);
    node.stop();
    for args in [&["top"][..], &["status", "--watch"]] {
        let ran = place.run(&[args, &["--json"]].concat());
        assert_eq!((ran.code, &ran.error()["code"]), (1, &"invalid_state".into()));
    }
    assert_eq!(place.run(&["status", "--count", "1"]).code, 2, "it needs --watch");
}

#[test]
fn the_lag_of_each_peer_is_shown() {
    let (a, b) = (Place::of("till"), Place::of("desk"));
    let _till = a.start_with(&["--listen", "127.0.0.1:0"]);
    let _desk = b.start();
    b.run(&["join", a.run(&["ticket"]).ok().trim()]).ok();
    shows(&a, &["top", "--count", "1"], "softadastra.top/1", "the desk is there", |data| {
        let peer = &data["peers"][0];
        peer["peer"] == "desk" && peer["state"] == "connected" && peer["lag"] == 0 && peer["round_trip_us"].is_u64()
    });
}
