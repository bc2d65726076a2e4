//! Known bugs, planted one at a time, to prove that the simulator can fail.
//!
//! Each lives in the engine behind `planted!("name")`, next to the line that it breaks. The macro is the constant `false`
//! but in a build with `--cfg planted`, which only this command makes: `cargo run --release -p sim -- planted` builds the
//! simulator once more with all of them, wakes one at a time, and counts the seeds it takes to catch it. With `--story` it tells
//! how each came to light; `replay SEED --planted NAME` plays that seed again.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::child;
use crate::watch::write_error;

/// One known bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The name in `planted!("…")`.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
}

const fn bug(name: &'static str, what: &'static str) -> Bug {
    Bug { name, what }
}

/// The catalogue.
pub const BUGS: &[Bug] = &[
    bug("ack_before_sync", "a frame is answered when it is written, not when it is synced"),
    bug("close_without_sync", "the closing frame is not synced"),
    bug("seal_without_sync", "the seal of a full segment is not synced"),
    bug("watermark_never_moves", "frames do not say how far the log is durable"),
    bug("sync_timer_forgotten", "with a sync every so often, nobody syncs"),
    bug("poison_ignored", "a failed write or sync counts as done"),
    bug("roll_without_dir_sync", "the name of a new segment is not synced before it is used"),
    bug("unproven_not_rewritten", "what a failed sync left in the page cache is believed after a restart"),
    bug("torn_tail_left", "the torn tail is not zeroed"),
    bug("mount_without_sync", "what was found after a kill is shown without being synced"),
    bug("damage_taken_for_torn", "damage in the middle is cut off like a torn tail"),
    bug("snapshot_without_sync", "a snapshot is renamed before its data is synced"),
    bug("snapshot_without_dir_sync", "old segments are removed before the name of the snapshot is synced"),
    bug("snapshot_ahead_of_log", "a snapshot counts before the log is durable up to what it holds"),
    bug("recycled_segment_keeps_its_salt", "all lives of all segments are the same"),
    bug("recycled_segment_passes_for_new", "the header of a recycled segment says that it was filled with zeros"),
    bug("recycled_segment_goes_on", "a start appends to a recycled segment behind whose end old pieces may stand"),
    bug("segment_removed_too_early", "segments are removed that the snapshot does not cover"),
    bug("pin_ignored", "files are removed although they are being copied"),
    bug("tombstones_not_in_snapshot", "a snapshot leaves out deleted keys"),
    bug("version_not_in_snapshot", "a snapshot forgets how often a key has changed"),
    bug("clock_not_in_snapshot", "a snapshot forgets the clock"),
    bug("stamp_not_restored", "the clock is not restored from the log"),
    bug("seq_reused", "after a cut tail the last sequence number is issued again"),
    bug("unchanged_answered_early", "a write that changes nothing is answered before what it found is durable"),
    bug("doubtful_said_failed", "a write whose fate is unknown is said to have failed"),
    bug("overload_unbounded", "any number of writes may wait"),
    bug("claimed_before_the_cut", "the own vector claims what was taken in before the sender's cut"),
    bug("acknowledged_before_durable", "what was taken in is claimed and acknowledged before it is durable"),
    bug("next_hop_acknowledges", "an operation counts as acknowledged once it was sent to somebody"),
    bug("offered_before_durable", "operations are offered to peers before they are durable"),
    bug("outbox_lost_at_restart", "a restart takes all own operations for acknowledged"),
    bug("skipped_by_winner_alone", "an entry is skipped when the peer has the winner, though not all that was merged"),
    bug("known_not_passed_on", "an entry is passed on without the losers that were merged with it"),
    bug("cut_not_held_back", "a cut claims what was put off and what is not durable"),
    bug("checkpoint_over_what_is_put_off", "a peer is told to go on behind entries that were put off"),
    bug("resumed_one_too_far", "a session goes on one record behind where the last one ended"),
    bug("collected_though_a_member_lacks_it", "tombstones are collected though a member has not seen them"),
    bug("lease_by_the_wall_clock_alone", "a leap of the wall clock ages members, though both clocks must agree"),
    bug("collected_unparted", "who has not seen a collection that is on its way goes on sending until it is there"),
    bug(
        "collected_before_the_record",
        "tombstones go as soon as the log has taken the record of it, not when that is shown",
    ),
    bug("floor_ignored", "who has missed collected deletions is met as if nothing had been collected"),
    bug("conflict_lost_when_the_winner_was_first", "a conflict is not recorded when the loser comes second"),
    bug("tie_stays_with_the_first", "of two writes of one stamp, the one that came first stands"),
    bug("window_ignored", "more is sent than the peer's window allows"),
    bug("send_window_ignored", "a link gives the system more than it takes"),
    bug("applied_before_durable", "a write is shown as soon as it is accepted"),
    bug("condition_read_too_early", "a condition is judged without the writes that are on their way"),
    bug("stamped_by_the_clock_alone", "a write is not stamped above the version that it overwrites"),
    bug("context_forgotten", "a write does not say what its writer had seen"),
    bug("duplicate_applied_again", "an operation that comes once more after a reconnect counts once more"),
    bug("tie_broken_by_receiver", "of two writes of one stamp, each store prefers the writer it knew first"),
    bug("full_exchange_resurrects", "a full exchange writes again what the other side has seen deleted"),
    bug("repetition_not_buried", "who has seen a value deleted takes it in when it comes again under another name"),
    bug("not_dropped_again", "what a full exchange has dropped once is not dropped when it begins anew"),
    bug("owed_and_waited_for", "who owes a deletion tells nobody to claim anything who does not claim that"),
    bug("floor_forgotten", "a restart forgets that deletions were collected"),
    bug("cut_before_the_end", "the vector is told before the walk has come to the end of the feed"),
    bug("acknowledgement_counted_twice", "one replica that holds an operation counts as two"),
    bug("retry_counted_while_offline", "a dial that fails counts as a try of what waits"),
    bug("credit_leaks", "some of what was taken in is never given back as credit"),
    bug("silence_ignored", "a link on which nothing is answered is never given up"),
    bug("dialler_gives_up", "after some failed dials nobody dials any more"),
    bug("deadline_never_quiet", "a deadline that has passed is asked for again and again"),
    bug("conflict_invented", "a write that has seen the version it replaces is called a conflict"),
    bug("conflict_with_oneself", "what a replica writes without having seen what it wrote before is called a conflict"),
    bug("called_late", "something that nobody deleted is taken in as if it had been, and is no conflict"),
    bug("outcome_by_todays_policy", "a start goes by the policy of today, not by the one under which two versions met"),
    bug(
        "what_stood_there_not_logged",
        "what a conflict was met with is looked for in the store by every start, a snapshot of later included",
    ),
    bug("settled_over_a_later_write", "a conflict is settled by hand although the key was written since"),
    bug("settled_and_still_open", "a conflict that was settled by hand stays open"),
    bug("skewed_clock_let_in", "a peer whose clock is off is let in though the policy is to refuse it"),
    bug("clock_judged_twice", "a peer is refused whose clock is off by half of what is allowed"),
    bug("forgotten_for_good", "a replica that was given up counts for nothing when it comes back"),
    bug("seq_lost_with_a_refused_resolution", "a resolution by policy that the log refuses leaves a gap"),
    bug("removal_without_dir_sync", "the next file is removed before the name of the last one is durably gone"),
    bug("recycled_header_without_zeros", "behind the header of a segment that is written over the old frames stand"),
    bug("claimed_when_the_log_takes_it", "a cut is claimed when the log takes it, not when it is durable"),
    bug("driver_tells_before_the_disk", "the driver says that a write is done when it hands it to the disk"),
    bug(
        "driver_forgets_after_an_error",
        "after an error of the disk the driver does not do what the node asks for next",
    ),
    bug("driver_answers_the_oldest", "the driver gives every answer to the one who has waited longest"),
    bug(
        "driver_answers_what_it_carries_too_early",
        "a frame that a client carries to the disk is answered before it is there",
    ),
    bug("driver_drops_what_is_carried", "nobody goes on with a frame whose client has gone"),
    bug("driver_stops_dialling", "after so many connections the driver dials no more"),
    bug("driver_loses_the_rest_of_a_short_write", "what a short write leaves of a message is not written"),
];

impl Bug {
    /// The bug of this name.
    ///
    /// # Errors
    /// A sentence, when there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let bug = BUGS.iter().find(|bug| bug.name == name);
        bug.copied().ok_or_else(|| format!("no bug is called {name}; docs/simulation.md lists them"))
    }

    /// Refuses a bug that nothing of what is to be played runs through: the world of hosts has the bugs of the driver, the world of
    /// nodes those of the engine.
    ///
    /// # Errors
    /// A sentence that says what plays it.
    pub fn check_world(self, hosts: bool) -> Result<(), String> {
        let (of, play, hunt) = match (self.is_in_the_driver(), hosts) {
            (true, false) => ("driver, which only the world of hosts has", "turmoil", "hunt-hosts"),
            (false, true) => ("engine, which are hunted in the world of nodes", "replay", "hunt"),
            (true, true) | (false, false) => return Ok(()),
        };
        Err(format!(
            "{0} is one of the bugs of the {of}: sim {play} SEED --planted {0}; `sim planted {0}` has {hunt} look for a seed",
            self.name
        ))
    }

    /// Whether only the world of hosts can see it.
    fn is_in_the_driver(self) -> bool {
        self.name.starts_with("driver_")
    }

    /// Whether this build holds it.
    #[must_use]
    pub fn is_here(self) -> bool {
        in_this_driver(self.name).unwrap_or(cfg!(planted))
    }

    /// The words that play a seed again with this bug awake.
    fn replay(self, seed: &str) -> String {
        let what = if self.is_in_the_driver() { "turmoil" } else { "replay" };
        crate::again::with(format_args!("{what} {seed} --planted {}", self.name))
    }
}

/// Whether the driver of this build has the bug of this name; `None` for bugs of the engine.
fn in_this_driver(name: &str) -> Option<bool> {
    macro_rules! driver {
        ($($bug:tt)*) => {
            match name {
                $($bug => Some(cfg!(planted = $bug)),)*
                _ => None,
            }
        };
    }
    driver! {
        "driver_tells_before_the_disk"
        "driver_forgets_after_an_error"
        "driver_answers_the_oldest"
        "driver_answers_what_it_carries_too_early"
        "driver_drops_what_is_carried"
        "driver_stops_dialling"
        "driver_loses_the_rest_of_a_short_write"
    }
}

/// How long the swarm is let run on the build without a bug awake: it must find nothing.
const CONTROL: Duration = Duration::from_secs(10);

/// Builds, and runs the swarm on each bug named, or on all; with `story`, tells how each was caught. Says whether all were.
///
/// # Errors
/// A sentence, when a name is unknown or the build fails.
pub fn run(names: &[&str], time: Duration, story: bool) -> Result<bool, String> {
    let named: Vec<Bug> = names.iter().map(|name| Bug::named(name)).collect::<Result<_, _>>()?;
    let chosen = if named.is_empty() { BUGS } else { &named };
    write_error(format_args!("building the simulator with its known bugs{}\n", patience()));
    let binary = build(None)?;
    println!("{:<38} {:>7} {:>8}  caught by", "bug", "seeds", "seconds");
    if hunt(&binary, None, CONTROL, false)? {
        return Err("the swarm finds something although no bug is awake: see to that first".into());
    }
    let mut escaped = Vec::new();
    for bug in chosen {
        let binary = if bug.is_in_the_driver() { build(Some(*bug))? } else { binary.clone() };
        if !hunt(&binary, Some(*bug), time, story)? {
            escaped.push(bug.name);
        }
    }
    if !escaped.is_empty() {
        println!("{} escaped: {}", escaped.len(), escaped.join(", "));
    }
    Ok(escaped.is_empty())
}

/// Runs the swarm with a bug awake, or none; prints what became of it, and says whether a promise was found broken.
fn hunt(binary: &Path, bug: Option<Bug>, time: Duration, story: bool) -> Result<bool, String> {
    let begun = Instant::now();
    let hunt = if bug.is_some_and(Bug::is_in_the_driver) { "hunt-hosts" } else { "hunt" };
    let mut command = Command::new(binary);
    command.args([hunt, "--seconds", &time.as_secs().to_string()]);
    command.args(bug.iter().flat_map(|bug| ["--planted", bug.name]));
    command.args(story.then_some("--story"));
    let output = child::output(&mut command).map_err(|error| format!("the simulator does not run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (verdict, story) = said.split_once('\n').unwrap_or((&said, ""));
    let Some(verdict) = Verdict::read(verdict) else {
        return Err(format!(
            "the hunt ended with {} and said {said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    };
    let row = bug.map_or("(none)", |bug| bug.name);
    let by = match (&verdict.caught, bug) {
        (Some((_, by)), _) => by,
        (None, Some(_)) => "NOT CAUGHT",
        (None, None) => "nothing, as it should be",
    };
    println!("{row:<38} {:>7} {:>8.1}  {by}", verdict.seeds, begun.elapsed().as_secs_f64());
    if let (Some((seed, _)), Some(bug)) = (&verdict.caught, bug) {
        println!("    again: {}", bug.replay(seed));
    }
    for line in story.lines() {
        println!("    {line}");
    }
    Ok(verdict.caught.is_some())
}

/// What a hunt says in its first line.
struct Verdict<'a> {
    seeds: &'a str,
    /// The seed that failed, and the promise that it broke.
    caught: Option<(&'a str, &'a str)>,
}

impl<'a> Verdict<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["caught", seeds, seed, by] => Some(Self { seeds, caught: Some((seed, by)) }),
            ["escaped", seeds] => Some(Self { seeds, caught: None }),
            _ => None,
        }
    }
}

/// Builds the simulator with this bug in it, which takes the place of this process and does what these words say.
///
/// # Errors
/// A sentence, when it does not build or run.
pub fn in_its_own_build(bug: Bug, words: &[&str]) -> Result<Infallible, String> {
    let name = bug.name;
    write_error(format_args!("building the simulator with its known bugs{}; {name} will be awake\n", patience()));
    let binary = build(bug.is_in_the_driver().then_some(bug))?;
    Err(format!("it does not run: {}", Command::new(binary).args(words).exec()))
}

/// What to say of how long a build takes.
fn patience() -> &'static str {
    if target().join("release").join("sim").exists() { "" } else { ", which takes minutes the first time" }
}

/// Where builds with bugs in them lie.
fn target() -> PathBuf {
    root().join("target").join("planted")
}

/// Of the workspace.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Builds the simulator with all bugs of the engine in it, asleep, or with one of the driver. The flag goes to the packages
/// of this workspace alone: what they depend on is as it always is.
fn build(driver: Option<Bug>) -> Result<PathBuf, String> {
    let target = target();
    let flag = driver.map_or("planted".to_owned(), |bug| format!("'planted=\"{}\"'", bug.name));
    let wrapper = target.join("wrappers").join(driver.map_or("engine", |bug| bug.name));
    let failed = |error: std::io::Error| format!("{} cannot be prepared: {error}", wrapper.display());
    fs::create_dir_all(target.join("wrappers")).map_err(failed)?;
    fs::write(&wrapper, format!("#!/bin/sh\nexec \"$@\" --cfg {flag}\n")).map_err(failed)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "-q", "--release", "-p", "sim", "--bin", "sim"])
        .args(if driver.is_some() { ["--features", "turmoil"].as_slice() } else { &[] })
        .current_dir(root())
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    let output = child::output(&mut cargo).map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        return Err(format!("it does not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target.join("release").join("sim"))
}

static AWAKE: OnceLock<&'static str> = OnceLock::new();

/// The bug that is awake in this process.
#[must_use]
pub fn awake() -> Option<&'static str> {
    AWAKE.get().copied()
}

/// Wakes a bug in this process; in a build without bugs there is none to wake.
///
/// # Errors
/// A sentence, when this build does not hold it.
pub fn wake(bug: Bug) -> Result<(), String> {
    if !bug.is_here() {
        return Err(format!("{} is not in this build; `planted` makes one that holds it", bug.name));
    }
    #[cfg(planted)]
    softadastra_core::planted::choose(bug.name);
    AWAKE.get_or_init(|| bug.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_of_the_driver_can_be_told_in_a_build() {
        for bug in BUGS {
            assert_eq!(in_this_driver(bug.name).is_some(), bug.is_in_the_driver(), "{}", bug.name);
        }
    }

    #[test]
    fn what_a_hunt_says_is_read_as_it_is_written() {
        let caught = Verdict::read("caught 12 7 claims are true").expect("it is one");
        assert_eq!((caught.seeds, caught.caught), ("12", Some(("7", "claims are true"))));
        assert!(Verdict::read("escaped 3").is_some_and(|verdict| verdict.caught.is_none()));
        assert!(Verdict::read("usage: sim").is_none());
    }

    #[test]
    fn the_line_that_plays_a_bug_again_names_seed_and_bug() {
        let bug = |name| Bug::named(name).unwrap();
        assert!(bug("ack_before_sync").replay("2").ends_with("-p sim -- replay 2 --planted ack_before_sync"));
        assert!(bug("driver_stops_dialling").replay("2").ends_with("-- turmoil 2 --planted driver_stops_dialling"));
        assert!(Bug::named("nobody").unwrap_err().contains("no bug is called nobody"));
    }

    #[test]
    fn no_bug_is_in_a_build_that_did_not_ask_for_it() {
        assert!(BUGS.iter().all(|bug| bug.is_here() == cfg!(planted)));
    }
}
