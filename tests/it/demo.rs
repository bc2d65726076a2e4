//! The demonstration: it shows what it says, in time, and leaves nothing behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, run};

fn demo(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(&[&["demo"], args].concat());
    command.env("TMPDIR", place.path());
    command
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn three_nodes_come_together_in_time_and_leave_nothing_behind() {
    let place = Place::empty();
    let ran = run(demo(&place, &["--json"]), b"");
    let data = ran.data("softadastra.demo/1");
    assert_eq!((ran.code, &ran.stderr[..]), (0, ""));
    let nodes = data["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert_eq!((&node["digest"], &node["keys"]), (&nodes[0]["digest"], &nodes[0]["keys"]), "{data}");
        assert_eq!(node["outbox"], 0, "{data}");
        assert!(node["conflicts"].as_u64().unwrap() > 0, "{data}");
    }
    assert_eq!(data["steps"].as_array().unwrap().len(), 6);
    assert!(data["took_ms"].as_u64().unwrap() < 20_000, "{data}");
    assert!(is_empty(place.path()), "nothing is left behind");
}

#[test]
fn it_is_told_step_by_step() {
    let place = Place::empty();
    let text = run(demo(&place, &[]), b"").ok();
    for line in
        ["1. They start", "4. The office is killed", "conflict on stock/apples", "NODE       KEYS", "Everything held"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// A text without its blanks and without the words that are other ones each time: numbers, ids and tickets.
fn masked(text: &str) -> Vec<String> {
    let mask = |word| {
        let varies = str::starts_with(word, "sadticket") || word.bytes().any(|byte| byte.is_ascii_digit());
        if varies { "#" } else { word }
    };
    text.trim().lines().map(|line| line.split_whitespace().map(mask).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_readme_shows_what_it_prints() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let picture = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let text = run(demo(&Place::empty(), &[]), b"").ok();
    assert_eq!(masked(picture), masked(&text));
}

#[test]
fn ended_in_the_middle_it_leaves_nothing_behind() {
    let place = Place::empty();
    let mut child = demo(&place, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("1. They start") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    let done = child.wait_with_output().unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{rest}{errors}");
    assert!(errors.contains("ended by SIGINT"), "{errors}");
    assert!(is_empty(place.path()), "nothing is left behind");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let place = Place::empty();
    let mut child = demo(&place, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), &done.stderr[..]), (Some(0), &b""[..]));
    assert!(is_empty(place.path()), "nothing is left behind");
}
