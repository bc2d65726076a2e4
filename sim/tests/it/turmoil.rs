//! The real driver and client on a simulated network. `SEED=… cargo test -p sim turmoil` runs that seed alone.

use std::collections::BTreeMap;
use std::process::Command;

use sim::turmoil::{Script, play, stories};

/// Plays a story from several seeds, each twice, and gives how often what happened.
fn tell(draw: fn(u64) -> Script, seeds: std::ops::Range<u64>) -> BTreeMap<String, u64> {
    let chosen = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().expect("SEED is a number"));
    let seeds = chosen.map_or(seeds, |seed| seed..seed + 1);
    let mut marks = BTreeMap::new();
    for seed in seeds {
        let script = draw(seed);
        let first = play(&script, true);
        if let Some(failure) = &first.failure {
            let end = first.trace.len().saturating_sub(60) as usize;
            let story: Vec<&str> = first.trace.lines().iter().skip(end).map(String::as_str).collect();
            panic!(
                "{failure}\nsee `cargo run -p sim -- turmoil {seed} {}`; the end of it:\n{}",
                script.story,
                story.join("\n")
            );
        }
        let second = play(&script, false);
        assert_eq!(first.trace.hash(), second.trace.hash(), "{} {seed} tells two stories", script.story);
        assert_eq!(first.digest, second.digest, "{} {seed} does two things", script.story);
        println!("{} {seed}: at rest after {} ms", script.story, first.rest_at);
        first.marks.into_iter().for_each(|(mark, count)| *marks.entry(mark).or_default() += count);
    }
    if chosen.is_some() {
        // What a single seed reaches is its own affair.
        return BTreeMap::new();
    }
    println!("{marks:#?}");
    marks
}

/// Plays a story and demands that its seeds reach what it is about.
fn tell_and_reach(draw: fn(u64) -> Script, seeds: std::ops::Range<u64>, wanted: &[&str]) {
    let marks = tell(draw, seeds);
    let missed: Vec<_> = wanted.iter().filter(|mark| !marks.is_empty() && !marks.contains_key(**mark)).collect();
    assert!(missed.is_empty(), "no seed reaches {missed:?}: {marks:#?}");
}

#[test]
fn three_nodes_converge() {
    tell_and_reach(stories::converge, 1..3, &["write acknowledged", "conflict"]);
}

#[test]
fn what_is_parted_or_held_up_comes_together_again() {
    tell_and_reach(stories::partition, 1..3, &["link down: idle_timeout"]);
}

#[test]
fn a_link_that_is_deaf_on_one_side_is_noticed() {
    tell_and_reach(stories::one_way, 1..3, &["link down: idle_timeout"]);
}

#[test]
fn nothing_acknowledged_is_lost_when_hosts_crash_in_mid_transfer() {
    let wanted = ["crash", "restart", "write interrupted", "link down: connection_lost"];
    tell_and_reach(stories::crashes, 5..8, &wanted);
}

#[test]
fn a_full_disk_holds_up_one_node_and_no_other() {
    tell_and_reach(stories::full_disk, 1..3, &["disk full", "room again", "write refused"]);
}

#[test]
fn a_node_whose_disk_fails_says_so_and_goes_on_when_reopened() {
    tell_and_reach(stories::sick_disk, 1..4, &["degraded", "restart"]);
}

#[test]
fn a_node_that_is_crashed_again_and_again_loses_nothing() {
    tell_and_reach(stories::restart_loop, 1..3, &["restart", "stop", "write interrupted"]);
}

#[test]
fn a_late_joiner_gets_everything() {
    tell_and_reach(stories::late_joiner, 1..3, &["crash"]);
}

#[test]
fn wrong_clocks_change_nothing_that_was_promised() {
    tell(stories::wrong_clocks, 1..3);
}

#[test]
fn storms_end() {
    tell(stories::storm, 1..3);
}

#[test]
fn another_process_tells_the_same_story() {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["turmoil", "7"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = format!("storm 7: digest {:016x}", play(&stories::storm(7), false).digest);
    assert!(said.contains(&expected), "{said} does not say {expected}");
}

#[test]
fn two_seeds_tell_two_stories() {
    assert_ne!(play(&stories::converge(1), false).digest, play(&stories::converge(2), false).digest);
}
