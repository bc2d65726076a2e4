//! What the project has set itself: ratios within one run, and a few plain figures.

use std::fmt::Write as _;

use crate::plan::{ASYNC, BLOCKING, Group, Kind, LOOP, MAP, NODE, RAW};
use crate::scenes::{binary, fleet, growth, idle, log_size, memory, opening, replication, visible};
use crate::table::{At, Results, Take, figure};
use crate::work::open::MILLISECONDS;

/// One goal.
struct Goal {
    what: &'static str,
    ours: (At, Take),
    /// What ours is divided by in each round; `None` for a plain figure.
    theirs: Option<(At, Take)>,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Our rate has to be at least `least` times that of another row of the same column.
const fn faster(
    what: &'static str,
    group: Group,
    ours: &'static str,
    column: &'static str,
    other: &'static str,
    least: f64,
) -> Goal {
    let theirs = Some(((group, other, column), Take::Value));
    Goal { what, ours: ((group, ours, column), Take::Value), theirs, bound: Bound::AtLeast(least) }
}

/// A figure has to be at most `most`.
const fn at_most(what: &'static str, at: At, take: Take, most: f64) -> Goal {
    Goal { what, ours: (at, take), theirs: None, bound: Bound::AtMost(most) }
}

const GOALS: &[Goal] = &[
    faster("1 client against raw write + fdatasync", Group::Puts, ASYNC, "1", RAW, 0.85),
    faster("1 client against SQLite, 100 B", Group::Puts, ASYNC, "1", "SQLite", 1.05),
    faster("1 client against SQLite, 1 KiB", Group::LargePuts, ASYNC, "1 KiB, 1 client", "SQLite", 1.3),
    faster("8 clients against SQLite", Group::Puts, ASYNC, "8", "SQLite", 8.0),
    faster("8 clients against RocksDB", Group::Puts, ASYNC, "8", "RocksDB", 2.5),
    faster("64 clients against the event loop", Group::Puts, ASYNC, "64", LOOP, 0.75),
    faster("256 clients against the event loop", Group::Puts, ASYNC, "256", LOOP, 0.75),
    faster("64 clients against RocksDB", Group::Puts, ASYNC, "64", "RocksDB", 4.0),
    faster("256 clients against RocksDB", Group::Puts, ASYNC, "256", "RocksDB", 4.0),
    faster("64 clients against SQLite", Group::Puts, ASYNC, "64", "SQLite", 40.0),
    faster("256 clients against SQLite", Group::Puts, ASYNC, "256", "SQLite", 40.0),
    faster("64 blocking threads against RocksDB", Group::Puts, BLOCKING, "64", "RocksDB", 1.5),
    Goal {
        what: "p99 at 256 clients, in sync times",
        ours: ((Group::Puts, ASYNC, "256"), Take::Latency(0.99)),
        theirs: Some(((Group::Puts, RAW, "1"), Take::Latency(0.5))),
        bound: Bound::AtMost(3.0),
    },
    at_most("bytes to the device per put, 64 clients", (Group::Puts, ASYNC, "64"), Take::Device, 270.0),
    faster("batches of 64 against SQLite", Group::Batches, BLOCKING, "1 writer", "SQLite", 4.0),
    faster("batches of 64 against RocksDB", Group::Batches, BLOCKING, "1 writer", "RocksDB", 1.8),
    faster("unsynced put against fjall", Group::Unsynced, ASYNC, "1 writer", "fjall", 2.0),
    Goal {
        what: "unsynced put, 64 clients, against the ordered map",
        ours: ((Group::Unsynced, ASYNC, "64 clients"), Take::Value),
        theirs: Some(((Group::Unsynced, MAP, "1 writer"), Take::Value)),
        bound: Bound::AtLeast(0.7),
    },
    faster("get beside a writer against LMDB", Group::Gets, BLOCKING, "1 reader, 1 writer", "LMDB", 1.2),
    Goal {
        what: "two readers against one",
        ours: ((Group::Gets, BLOCKING, "2 readers"), Take::Value),
        theirs: Some(((Group::Gets, BLOCKING, "1 reader"), Take::Value)),
        bound: Bound::AtLeast(1.6),
    },
    Goal {
        what: "get beside a writer, p99.9 in sync times: no sync blocks it",
        ours: ((Group::Gets, BLOCKING, "1 reader, 1 writer"), Take::Latency(0.999)),
        theirs: Some(((Group::Puts, RAW, "1"), Take::Latency(0.5))),
        bound: Bound::AtMost(1.0),
    },
    faster("scan of 100 against LMDB", Group::Scans, BLOCKING, "1 reader", "LMDB", 1.0),
    at_most(
        "open a million records from the snapshot, ms",
        (Group::Open, opening::SNAPSHOT, MILLISECONDS),
        Take::Value,
        130.0,
    ),
    at_most("open a log tail of a million records, ms", (Group::Open, opening::TAIL, MILLISECONDS), Take::Value, 250.0),
    Goal {
        what: "replay one by one against opening that log tail",
        ours: ((Group::Open, opening::ONE_BY_ONE, MILLISECONDS), Take::Value),
        theirs: Some(((Group::Open, opening::TAIL, MILLISECONDS), Take::Value)),
        bound: Bound::AtLeast(4.0),
    },
    at_most("memory per key, x the raw 116 bytes", (Group::Memory, NODE, memory::OF_RAW), Take::Value, 1.9),
    at_most("bytes of memory per pending operation", (Group::Memory, NODE, memory::PER_PENDING), Take::Value, 4.0),
    at_most(
        "log files, x (3 x live data + one segment), 1,000 keys",
        (Group::LogSize, log_size::FEW, log_size::OF_BOUND),
        Take::Value,
        1.0,
    ),
    at_most("the same, 100,000 keys", (Group::LogSize, log_size::MANY, log_size::OF_BOUND), Take::Value, 1.0),
    faster(
        "one-way replication, 64 in flight, against TCP + log",
        Group::Replication,
        NODE,
        replication::WINDOW,
        replication::PLAIN,
        0.6,
    ),
    faster(
        "64 writers, until durable on both sides, against TCP + log",
        Group::Replication,
        NODE,
        replication::STREAM,
        replication::PLAIN,
        0.6,
    ),
    faster(
        "catch-up of 100,000 against TCP + log",
        Group::Replication,
        NODE,
        replication::CATCH_UP,
        replication::PLAIN,
        0.6,
    ),
    faster(
        "catch-up of 100,000 against Redis",
        Group::Replication,
        NODE,
        replication::CATCH_UP,
        replication::REDIS,
        1.0,
    ),
    at_most(
        "first operation after the link returns, ms",
        (Group::Replication, NODE, replication::FIRST),
        Take::Value,
        1000.0,
    ),
    at_most(
        "wire bytes per operation of 116 bytes, live",
        (Group::Replication, NODE, replication::LIVE_BYTES),
        Take::Value,
        150.0,
    ),
    at_most(
        "wire bytes per operation, catch-up",
        (Group::Replication, NODE, replication::LATE_BYTES),
        Take::Value,
        132.0,
    ),
    at_most(
        "wire bytes per operation, compressible values",
        (Group::Replication, NODE, replication::SOFT_BYTES),
        Take::Value,
        131.0,
    ),
    at_most(
        "visible on the other node: (p99 - 300 us) in sync times",
        (Group::Visible, NODE, visible::IN_SYNCS),
        Take::Value,
        2.0,
    ),
    at_most(
        "links crossed per operation in a mesh of 8, x (N - 1)",
        (Group::Fleet, fleet::MESH, fleet::CROSSED),
        Take::Value,
        1.3,
    ),
    at_most(
        "links crossed per operation in a star of 64, x (N - 1)",
        (Group::Fleet, fleet::STAR, fleet::CROSSED),
        Take::Value,
        1.3,
    ),
    at_most(
        "the relay's growth, x (data + 2 windows of 1 MiB per link)",
        (Group::Fleet, fleet::STAR, fleet::OF_BOUND),
        Take::Value,
        1.0,
    ),
    at_most("idle with a million keys and 8 peers, % of one core", (Group::Idle, NODE, idle::CORE), Take::Value, 0.5),
    at_most("the same, bytes written to files", (Group::Idle, NODE, idle::WRITTEN), Take::Value, 0.0),
    at_most("the released program, MB", (Group::Binary, binary::PROGRAM, binary::SIZE), Take::Value, 15.0),
    at_most(
        "its start with an empty directory, ms",
        (Group::Binary, binary::PROGRAM, binary::START),
        Take::Value,
        30.0,
    ),
];

/// Over three decades a logarithm grows by half, and caches that no longer hold everything do the rest; what is linear
/// grows by hundreds.
const GROWTH: f64 = 10.0;

/// How a step grows from the first column of a group to the last.
fn grown(results: &Results, group: Group, step: &'static str) -> Option<f64> {
    let columns = results.columns(group);
    let at = |column: &&'static str| ((group, step, *column), Take::Value);
    results.ratio(at(columns.last()?), at(columns.first()?))
}

/// The table of goals of these groups, if they have any; what was not measured says so.
#[must_use]
pub(crate) fn markdown(results: &Results, groups: &[Group]) -> String {
    let mut text = String::new();
    for goal in GOALS.iter().filter(|goal| groups.contains(&goal.ours.0.0)) {
        let (found, unit) = match goal.theirs {
            Some(theirs) => (results.ratio(goal.ours, theirs), " x"),
            None => (results.median(goal.ours.0, goal.ours.1), ""),
        };
        let (sign, bound) = match goal.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        let verdict = found.map(|found| match goal.bound {
            Bound::AtLeast(least) => found >= least,
            Bound::AtMost(most) => found <= most,
        });
        let verdict = match verdict {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        };
        let found = found.map_or_else(|| "not measured".to_owned(), |found| format!("{}{unit}", figure(found)));
        _ = writeln!(text, "| {} | {sign} {bound}{unit} | {found} | {verdict} |", goal.what);
    }
    for group in groups.iter().filter(|group| group.kind() == Kind::Curves) {
        for step in growth::STEPS {
            let Some(found) = grown(results, *group, step) else { continue };
            let of_a_map = (step == growth::GET).then(|| grown(results, *group, growth::MAP_GET)).flatten();
            let bound = of_a_map.map_or(GROWTH, |map| map.max(GROWTH));
            let verdict = if found <= bound { "reached" } else { "**missed**" };
            let what = group.title().trim_start_matches("Nanoseconds of the core for each step, ");
            let (found, bound) = (figure(found), figure(bound));
            let or = if of_a_map.is_some() { ", or as an ordered map" } else { "" };
            _ = writeln!(
                text,
                "| growth of {step} {what}, from the first column to the last | <= {bound} x{or} | {found} x | {verdict} |"
            );
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("### Goals\n\n| what | goal | measured | |\n| --- | --- | --- | --- |\n{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_tables_of_nothing() {
        let results = Results::default();
        assert_eq!(markdown(&results, &[]), "");
        assert_eq!(results.markdown(Group::Puts), "");
        assert!(markdown(&results, &[Group::Puts]).contains("not measured"), "a goal that should have been");
    }
}
