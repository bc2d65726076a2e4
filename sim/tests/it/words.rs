//! What `sim` says to words it does not know, and to readers who leave.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

fn sim(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(words).output().expect("the program is there");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (words, named) in [
        (&["bogus"][..], "bogus"),
        (&["replay"], "replay needs a seed: sim replay 42"),
        (&["turmoil"], "turmoil needs a seed: sim turmoil 42"),
        (&["replay", "x"], "x is no seed: sim replay 42"),
        (&["replay", "--trace"], "--trace is no seed"),
        (&["replay", "42", "--bogus"], "replay does not know --bogus"),
        (&["replay", "42", "--bogus", "7"], "replay does not know --bogus"),
        (&["replay", "42", "--until"], "--until lacks a number"),
        (&["replay", "42", "--until", "1", "--until", "2"], "--until is given twice"),
        (&["replay", "42", "--planted", "a", "--planted", "b"], "--planted is given twice"),
        (&["swarm", "--minute", "1"], "swarm does not know --minute"),
        (&["replay", "1", "--nodes", "10"], "10 nodes"),
        (&["replay", "1", "--operations", "0"], "0 operations"),
        (&["replay", "1", "--operations", "4294967297"], "4294967297 operations"),
        (&["replay", "1", "--planted", "nobody"], "no bug is called nobody"),
        (&["replay", "1", "--planted"], "--planted lacks"),
        (&["planted", "nobody", "--story"], "no bug is called nobody"),
        (&["replay", "1", "--planted", "driver_stops_dialling"], "sim turmoil SEED --planted driver_stops_dialling"),
        (&["turmoil", "1", "--planted", "ack_before_sync"], "sim replay SEED --planted ack_before_sync"),
        (&["hunt", "--seconds", "1", "--planted", "driver_stops_dialling"], "has hunt-hosts look for a seed"),
        (&["planted", "--seconds", "0"], "--seconds 0 plays nothing"),
        (&["hunt"], "--seconds"),
        (&["hunt", "--seconds", "0"], "--seconds 0 plays nothing"),
        (&["hunt-hosts", "--seconds", "0"], "--seconds 0 plays nothing"),
        (&["hunt", "--seconds", "1", "--bogus"], "a hunt does not know --bogus"),
        (&["hunt", "--seconds", "1", "--planted", "ack_before_sync"], "ack_before_sync is not in this build"),
        (&["hunt-hosts", "--seconds", "1", "--planted", "driver_stops_dialling"], "is not in this build"),
        (&["turmoil", "1", "nothing"], "no story is called nothing; there are storm"),
        (&["turmoil", "1", "--bogus"], "turmoil does not know --bogus"),
        (&["turmoil", "1", "storm", "--bogus"], "turmoil does not know --bogus"),
        (&["swarm", "--seeds", "1", "--minutes", "18446744073709551615"], "minutes"),
        (&["swarm", "--minutes", "0"], "--minutes 0 plays nothing"),
        (&["swarm", "--seeds", "0"], "--seeds 0 plays nothing"),
        (&["swarm", "--from", "18446744073709551615", "--seeds", "2"], "no 2 seeds from 18446744073709551615"),
    ] {
        let (code, said) = sim(words);
        assert_eq!(code, Some(2), "{words:?}");
        assert!(said.contains(named), "{words:?}: {said}");
        assert!(said.contains("--help") && said.lines().count() == 2, "{said}");
    }
    assert_eq!(sim(&["--help"]).0, Some(0));
}

#[test]
fn a_hunt_that_finds_nothing_where_nothing_is_planted_went_as_it_should() {
    for hunt in ["hunt", "hunt-hosts"] {
        assert_eq!(sim(&[hunt, "--seconds", "1"]), (Some(0), String::new()), "{hunt}");
    }
}

#[test]
fn a_reader_who_leaves_ends_it_without_a_word() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["replay", "42", "--trace"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe holds less than what is to be said.
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(141), ""));
}

#[test]
fn the_trace_that_turmoil_prints_in_any_case_can_be_asked_for() {
    assert_eq!(sim(&["turmoil", "42", "--trace"]), (Some(0), String::new()));
}

#[test]
fn a_step_behind_the_end_of_a_run_is_said_to_be_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["replay", "42", "--until", "1000000000"]).output();
    let said = String::from_utf8(output.expect("the program is there").stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with("seed 42, after step ")).expect("it says how nodes stand");
    let step = line.split([' ', ';']).nth(4).expect("a number");
    assert_eq!(line, format!("seed 42, after step {step}; the run ended at step {step}:"));
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["replay", "42", "--until", "9"]).output();
    let said = String::from_utf8(output.expect("the program is there").stdout).unwrap();
    assert!(said.contains("seed 42, after step 9:"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_takes_no_words_changes_no_verdict() {
    let full = || std::fs::File::create("/dev/full").expect("Linux has it");
    let mut nonsense = Command::new(env!("CARGO_BIN_EXE_sim"));
    let status = nonsense.arg("bogus").stderr(full()).status().expect("the program is there");
    assert_eq!(status.code(), Some(2), "nobody reads why, and it is as wrong as before");
    let mut replay = Command::new(env!("CARGO_BIN_EXE_sim"));
    let output = replay.args(["replay", "42"]).stdout(full()).output().expect("the program is there");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("what there is to say cannot be written: No space left") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn a_chosen_seed_is_said_to_be_played() {
    let mut tests = Command::new(std::env::current_exe().expect("it runs"));
    let output = tests.arg("seeds::").env("SEED", "42").output().expect("it runs again");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "SEED=42: every promise was kept in the world of nodes\n");
}

/// `words`, stopped by Ctrl-C as soon as it says something: how it ends, and all that it says.
fn stopped(words: &[&str]) -> (Option<i32>, String) {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    let mut child = sim.args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program is there");
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    output.read_line(&mut said).expect("it says something");
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("there is such a command");
    assert!(told.success());
    output.read_to_string(&mut said).expect("it goes on to its end");
    (child.wait().expect("it ends").code(), said)
}

#[test]
fn a_swarm_that_is_stopped_says_what_it_has_come_to() {
    let (code, said) = stopped(&["swarm", "--from", "1", "--seeds", "1000000", "--threads", "1"]);
    assert_eq!(code, Some(130), "{said}");
    for words in ["stopped: ", "faults:", "marks:", "rare paths of the engine:"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
}
