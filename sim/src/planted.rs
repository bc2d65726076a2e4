//! Known bugs, planted one at a time, to prove that the simulator can fail.
//!
//! Each lives in the engine behind `#[cfg(planted = "name")]`, next to the line that it breaks, and is in no build
//! that does not
//! name it. `cargo run -p sim -- planted` builds the simulator once for each and counts the seeds it takes to catch it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One known bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The name in `cfg(planted = "…")`.
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
    bug("floor_ignored", "who has missed collected deletions is met as if nothing had been collected"),
    bug("conflict_lost_when_the_winner_was_first", "a conflict is not recorded when the loser comes second"),
    bug("tie_stays_with_the_first", "of two writes of one stamp, the one that came first stands"),
    bug("window_ignored", "more is sent than the peer's window allows"),
    bug("send_window_ignored", "a link gives the system more than it takes"),
    bug("driver_tells_before_the_disk", "the driver says that a write is done when it hands it to the disk"),
    bug(
        "driver_forgets_after_an_error",
        "after an error of the disk the driver does not do what the node asks for next",
    ),
    bug("driver_answers_the_oldest", "the driver gives every answer to the one who has waited longest"),
    bug("driver_stops_dialling", "after so many connections the driver dials no more"),
    bug("driver_loses_the_rest_of_a_short_write", "what a short write leaves of a message is not written"),
];

impl Bug {
    /// Whether only the world of hosts can see it.
    fn is_in_the_driver(self) -> bool {
        self.name.starts_with("driver_")
    }
}

/// Builds and runs the swarm on each bug named, or on all. Says whether all were caught.
///
/// # Errors
/// A sentence, when a name is unknown or a build fails.
pub fn run(names: &[&str], time: Duration) -> Result<bool, String> {
    if let Some(unknown) = names.iter().find(|name| BUGS.iter().all(|bug| bug.name != **name)) {
        return Err(format!("no bug is called {unknown}"));
    }
    let mut all = true;
    println!("{:<34} {:>7} {:>8}  caught by", "bug", "seeds", "seconds");
    for bug in BUGS.iter().filter(|bug| names.is_empty() || names.contains(&bug.name)) {
        let caught = hunt(bug, time)?;
        all &= caught;
    }
    Ok(all)
}

fn hunt(bug: &Bug, time: Duration) -> Result<bool, String> {
    let binary = build(bug)?;
    let begun = Instant::now();
    let seconds = time.as_secs().to_string();
    let hunt = if bug.is_in_the_driver() { "hunt-hosts" } else { "hunt" };
    let output = Command::new(binary)
        .args([hunt, "--seconds", &seconds])
        .output()
        .map_err(|error| format!("the simulator does not run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut words = said.trim().splitn(3, ' ');
    let (verdict, seeds, by) = (words.next(), words.next().unwrap_or("?"), words.next().unwrap_or("?"));
    let caught = verdict == Some("caught");
    let by = if caught { by } else { "NOT CAUGHT" };
    println!("{:<34} {seeds:>7} {:>8.1}  {by}", bug.name, begun.elapsed().as_secs_f64());
    Ok(caught)
}

/// Builds the simulator with one bug in it. The flag goes to the packages of this workspace alone, through a wrapper
/// of its own
/// for each bug: what they depend on is built once for all.
fn build(bug: &Bug) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the package lies in a workspace")?;
    let target = root.join("target").join("planted");
    let wrapper = target.join("wrappers").join(bug.name);
    let script = format!("#!/bin/sh\nexec \"$@\" --cfg 'planted=\"{}\"'\n", bug.name);
    let failed = |error: std::io::Error| format!("{} cannot be prepared: {error}", wrapper.display());
    fs::create_dir_all(target.join("wrappers")).map_err(failed)?;
    fs::write(&wrapper, script).map_err(failed)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let output = Command::new(env!("CARGO"))
        .args(["build", "-q", "-p", "sim", "--bin", "sim"])
        .args(if bug.is_in_the_driver() { ["--features", "turmoil"].as_slice() } else { &[] })
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        return Err(format!("{} does not build:\n{}", bug.name, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target.join("debug").join("sim"))
}
