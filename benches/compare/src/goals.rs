//! What the project has set itself, as ratios within one run.

use std::fmt::Write as _;

use crate::plan::{ASYNC, BLOCKING, Group, LOOP, MAP, RAW};
use crate::table::Results;

/// One goal: our figure has to be at least `least` times the other's.
struct Goal {
    what: &'static str,
    ours: (Group, &'static str, &'static str),
    theirs: (Group, &'static str, &'static str),
    least: f64,
}

const fn goal(
    what: &'static str,
    group: Group,
    row: &'static str,
    column: &'static str,
    other: &'static str,
    least: f64,
) -> Goal {
    Goal { what, ours: (group, row, column), theirs: (group, other, column), least }
}

const GOALS: &[Goal] = &[
    goal("1 client against raw write + fdatasync", Group::Puts, ASYNC, "1", RAW, 0.85),
    goal("1 client against SQLite, 100 B", Group::Puts, ASYNC, "1", "SQLite", 1.05),
    goal("1 client against SQLite, 1 KiB", Group::LargePuts, ASYNC, "1", "SQLite", 1.3),
    goal("8 clients against SQLite", Group::Puts, ASYNC, "8", "SQLite", 8.0),
    goal("8 clients against RocksDB", Group::Puts, ASYNC, "8", "RocksDB", 2.5),
    goal("64 clients against the event loop", Group::Puts, ASYNC, "64", LOOP, 0.75),
    goal("256 clients against the event loop", Group::Puts, ASYNC, "256", LOOP, 0.75),
    goal("64 clients against RocksDB", Group::Puts, ASYNC, "64", "RocksDB", 4.0),
    goal("256 clients against RocksDB", Group::Puts, ASYNC, "256", "RocksDB", 4.0),
    goal("64 clients against SQLite", Group::Puts, ASYNC, "64", "SQLite", 40.0),
    goal("256 clients against SQLite", Group::Puts, ASYNC, "256", "SQLite", 40.0),
    goal("64 blocking threads against RocksDB", Group::Puts, BLOCKING, "64", "RocksDB", 1.5),
    goal("batches of 64 against SQLite", Group::Batches, BLOCKING, "1 writer", "SQLite", 4.0),
    goal("batches of 64 against RocksDB", Group::Batches, BLOCKING, "1 writer", "RocksDB", 1.8),
    goal("unsynced put against fjall", Group::Unsynced, ASYNC, "1 writer", "fjall", 2.0),
    Goal {
        what: "unsynced put, 64 clients, against the ordered map",
        ours: (Group::Unsynced, ASYNC, "64 clients"),
        theirs: (Group::Unsynced, MAP, "1 writer"),
        least: 0.7,
    },
    goal("get beside a writer against LMDB", Group::Gets, BLOCKING, "1 reader, 1 writer", "LMDB", 1.2),
    Goal {
        what: "two readers against one",
        ours: (Group::Gets, BLOCKING, "2 readers"),
        theirs: (Group::Gets, BLOCKING, "1 reader"),
        least: 1.6,
    },
    goal("scan of 100 against LMDB", Group::Scans, BLOCKING, "1 reader", "LMDB", 1.0),
];

/// The table of goals: those whose both cells were measured.
#[must_use]
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from("### Goals\n\n| what | goal | measured | |\n| --- | --- | --- | --- |\n");
    for goal in GOALS {
        let rate = |(group, row, column)| results.rate(group, row, column);
        let (Some(ours), Some(theirs)) = (rate(goal.ours), rate(goal.theirs)) else { continue };
        let verdict = if ours / theirs >= goal.least { "reached" } else { "missed" };
        _ = writeln!(text, "| {} | >= {} x | {:.2} x | {verdict} |", goal.what, goal.least, ours / theirs);
    }
    let at = |row, quantile| results.latency(Group::Puts, row, if row == RAW { "1" } else { "256" }, quantile);
    if let (Some(ours), Some(sync)) = (at(ASYNC, 0.99), at(RAW, 0.5)) {
        let verdict = if ours <= 3.0 * sync { "reached" } else { "missed" };
        _ = writeln!(text, "| p99 at 256 clients, in sync times | <= 3 | {:.1} | {verdict} |", ours / sync);
    }
    if let Some(bytes) = results.device(Group::Puts, ASYNC, "64") {
        let verdict = if bytes <= 270.0 { "reached" } else { "missed" };
        _ = writeln!(text, "| bytes to the device per put, 64 clients | <= 270 | {bytes:.0} | {verdict} |");
    }
    text.push('\n');
    text
}
