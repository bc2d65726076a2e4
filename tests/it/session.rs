//! `softadastra` without a command: lines from a file, and lines typed on a terminal.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::support::Place;
use crate::terminal::Typist;

#[test]
fn commands_are_read_line_by_line_and_go_on_after_a_failure() {
    let place = Place::new();
    let script = "# a comment\n\nstore put greeting 'hello  world'\nsoftadastra store get greeting\n\
                  store get absent\nnonsense\nstore put two 'one\ntwo'\nstore get two # and this\nstore size";
    let ran = place.run_with(&[], script.as_bytes());
    assert_eq!(ran.out(), "greeting: version 1, created\nhello  world\ntwo: version 1, created\none\ntwo\n2\n");
    assert_eq!(ran.code, 1, "that of the first failure: {ran:?}");
    assert!(ran.stderr.contains("line 5: Key not found: absent"), "{ran:?}");
    assert!(ran.stderr.contains("error: line 6: unrecognized subcommand 'nonsense'"), "{ran:?}");
    assert_eq!(place.run_with(&[], b"nonsense\nstore get absent\n").code, 2);
    assert_eq!(place.run_with(&[], b"").ok(), "");
}

#[test]
fn a_session_hands_its_options_to_its_commands() {
    let place = Place::new();
    let ran = place.run_with(&["--json"], b"store put k v\nstore size --color never\nstore get absent\n");
    let lines: Vec<serde_json::Value> = ran.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["schema"], &lines[1]["data"]["keys"]), (&"softadastra.put/1".into(), &1.into()));
    assert_eq!(ran.error()["code"], "not_found");
    let mistaken = place.run_with(&["--json"], b"\nstore get --nonsense\n").error()["message"].clone();
    assert!(mistaken.as_str().unwrap().starts_with("line 2: unexpected argument '--nonsense'"), "{mistaken}");
    let other = Place::of("other");
    let elsewhere = format!("--data-dir {} node info\n", other.data().display());
    assert!(place.run_with(&[], elsewhere.as_bytes()).ok().starts_with("Node            other\n"));
}

#[test]
fn a_session_ends_at_exit_and_what_is_open_is_a_mistake() {
    let place = Place::new();
    for leave in ["exit", "quit"] {
        assert_eq!(place.run_with(&[], format!("store size\n{leave}\nnonsense\n").as_bytes()).ok(), "0\n");
    }
    let ran = place.run_with(&["--json"], b"store size\nstore put k 'v\n");
    assert_eq!(ran.code, 2);
    assert!(ran.error()["message"].as_str().unwrap().starts_with("line 2: a quote is still open"), "{ran:?}");
}

#[test]
fn a_line_that_is_no_text_fails_alone_and_no_error_is_endless() {
    let place = Place::new();
    let ran = place.run_with(&[], b"store put a 1\nstore put \xff\xfe 1\nstore size\n");
    assert_eq!((ran.code, ran.out().lines().last()), (2, Some("1")), "{ran:?}");
    assert!(ran.stderr.contains("line 2: it is not text in UTF-8"), "{ran:?}");
    for (begun, left_out) in [("store get ", false), ("", true)] {
        let ran = place.run_with(&[], format!("{begun}{}\n", "x".repeat(1 << 20)).as_bytes());
        assert!(ran.code != 0 && ran.stderr.len() < 6000, "{} bytes", ran.stderr.len());
        assert_eq!(ran.stderr.contains(" bytes left out "), left_out, "{ran:?}");
    }
}

#[test]
fn standard_input_of_a_session_is_no_value() {
    let place = Place::new();
    for command in ["store put k -", "store import", "join -"] {
        let ran = place.run_with(&[], format!("{command}\nstore size\n").as_bytes());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("standard input holds the commands") && ran.out() == "0\n", "{ran:?}");
    }
}

#[test]
fn a_node_may_come_and_go_between_two_commands() {
    let place = Place::new();
    let mut typist = Typist::in_a_session(&place);
    typist.types("store put k 1\r", "k: version 1, created");
    let node = place.start();
    typist.types("node info\r", "yes, process");
    node.stop();
    typist.types("store put k 2\r", "k: version 2, updated");
    typist.leaves();
}

#[test]
fn lines_are_edited_completed_and_remembered() {
    let place = Place::new();
    place.run(&["store", "put", "order/17", "2 x tea"]).ok();
    let mut typist = Typist::in_a_session(&place);
    typist.types("store get ord\t", "order/");
    typist.types("\t", "17");
    typist.types("\r", "2 x tea");
    typist.waits_for("softadastra> ");
    typist.types("stat\t", "status");
    // Ctrl-C gives the line up, and nothing else.
    typist.types("\x03", "softadastra> ");
    typist.types("nonsense\r", "unrecognized subcommand");
    typist.waits_for("softadastra> ");
    typist.types("store put two 'one\r", "");
    typist.types("two'\r", "two: version 1, created");
    typist.types("join sadticketabcdefghijk\r", "error:");
    typist.leaves();
    let history = typist.home.join(".local/state/softadastra/history");
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&history).unwrap();
    assert!(text.contains("store get order/17") && !text.contains("sadticket"), "{text}");

    // In the next session the arrow upwards brings the lines back; one of them has two.
    let mut typist = Typist::in_a_session(&place);
    typist.types("\x1b[A\x1b[A\x1b[A\x1b[A\r", "2 x tea");
    typist.waits_for("softadastra> ");
    typist.types("exit\r", "");
    assert_eq!(typist.ended(), 0);
}

#[test]
fn an_interrupt_ends_a_command_and_not_the_session() {
    let place = Place::new();
    let node = place.start();
    let mut typist = Typist::in_a_session(&place);
    typist.types("store watch --from 0\r", "");
    place.run(&["store", "put", "seen", "v"]).ok();
    typist.waits_for("seen");
    typist.signal(Signal::INT);
    // Its only end, so nothing is wrong.
    typist.waits_for("softadastra> ");
    typist.types("store size\r", "\r\n1\r\n");
    typist.leaves();
    node.stop();
}

#[test]
fn who_ends_a_session_from_outside_finds_the_terminal_as_it_was() {
    let place = Place::new();
    let mut typist = Typist::in_a_session(&place);
    let raw = rustix::termios::tcgetattr(&typist.terminal).unwrap();
    assert!(!raw.local_modes.contains(rustix::termios::LocalModes::ICANON), "it edits");
    typist.signal(Signal::TERM);
    assert_eq!(typist.ended(), 128 + 15);
    let after = rustix::termios::tcgetattr(&typist.terminal).unwrap();
    assert!(after.local_modes.contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO));
}
