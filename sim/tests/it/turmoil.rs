//! The real driver and client on a simulated network. `SEED=… cargo test -p sim turmoil` runs that seed alone.

use std::collections::BTreeMap;
use std::process::Command;

use sim::again;
use sim::turmoil::script::Act;
use sim::turmoil::storm::storm;
use sim::turmoil::{Outcome, Script, play, shorten, stories};

use crate::chosen::{chosen, fresh, tell_kept};

/// Plays a script twice, and demands that no promise is broken and that both runs are one.
fn check(script: &Script) -> Outcome {
    let (story, seed) = (script.story, script.seed);
    let first = play(script, true);
    if let Some(failure) = &first.failure {
        let shortest = shorten(script);
        let acts: Vec<String> = shortest.acts.iter().map(|(at, act)| format!("{at:>6} ms  {act}")).collect();
        let end = first.trace.len().saturating_sub(60) as usize;
        let told: Vec<&str> = first.trace.lines().iter().skip(end).map(String::as_str).collect();
        panic!(
            "{story} {seed}: {failure}\nagain: {}\n\
             of {} things that happen, it takes\n{}\nthe end of the story:\n{}",
            again::with(format_args!("turmoil {seed} {story}")),
            script.acts.len(),
            acts.join("\n"),
            told.join("\n")
        );
    }
    let second = play(script, false);
    assert_eq!(first.trace.hash(), second.trace.hash(), "{story} {seed} tells two stories");
    assert_eq!(first.digest, second.digest, "{story} {seed} does two things");
    println!("{story} {seed}: at rest after {} ms", first.rest_at);
    first
}

/// Plays a story from several seeds, and gives how often what happened.
fn tell(draw: fn(u64) -> Script, seeds: std::ops::Range<u64>) -> BTreeMap<String, u64> {
    let mut marks = BTreeMap::new();
    for seed in chosen().map_or(seeds, |seed| seed..seed + 1) {
        let script = draw(seed);
        let outcome = check(&script);
        if chosen().is_some() {
            tell_kept(seed, &format!("hosts, story {}", script.story));
        }
        outcome.marks.into_iter().for_each(|(mark, count)| *marks.entry(mark).or_default() += count);
    }
    if chosen().is_some() {
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
fn nothing_acknowledged_is_lost_when_clients_carry_their_frames_themselves() {
    let wanted = ["frame carried and cut off by a crash", "frame carried and failed", "stop", "write interrupted"];
    tell_and_reach(stories::carried, 20..28, &wanted);
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
fn random_runs_keep_every_promise_and_reach_what_they_should() {
    let wanted = [
        "conflict",
        "connection cut",
        "crash",
        "degraded",
        "disk full",
        "frame carried",
        "link down: idle_timeout",
        "snapshot",
        "torn tail cut",
        "write interrupted",
        "write refused",
        "write unknown",
    ];
    tell_and_reach(storm, 1..13, &wanted);
}

#[test]
fn a_random_run_that_nobody_has_seen_keeps_every_promise() {
    if chosen().is_none() {
        let seed = fresh(1, "turmoil");
        check(&storm(seed));
    }
}

#[test]
fn a_script_is_shortened_to_what_breaks_the_promise() {
    // Too little time to come to rest when somebody is down until peace; the rest does not matter.
    let mut script = Script::mesh("impatient", 1, 2);
    (script.peace_at, script.patience) = (600, 30);
    for (at, act) in [(50, Act::StepClock(0, 100)), (80, Act::Hold(0, 1)), (300, Act::Kill(1, 5000))] {
        script.at(at, act);
    }
    script.at(200, Act::Mend(0, 1));
    let mut calm = script.clone();
    calm.acts.clear();
    (script.patience..2000).step_by(20).find(|patience| {
        calm.patience = *patience;
        play(&calm, false).failure.is_none()
    });
    script.patience = calm.patience;
    let shortest = shorten(&script);
    assert_eq!(shortest.acts, [(300, Act::Kill(1, 5000))]);
}

#[test]
fn another_process_tells_the_same_story() {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["turmoil", "7"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = format!("storm 7: digest {:016x}", play(&storm(7), false).digest);
    assert!(said.contains(&expected), "{said} does not say {expected}");
}

#[test]
fn one_seed_more_is_another_story() {
    assert_ne!(play(&stories::converge(1), false).digest, play(&stories::converge(2), false).digest);
}
