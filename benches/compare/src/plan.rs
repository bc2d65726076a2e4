//! Which cells a run measures: every engine under every workload, as closures that the runner calls round by round.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;

use crate::engine::Fault;
use crate::sample::Sample;
use crate::scenes;

/// Workloads that belong together: one table, one chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Group {
    /// Durable writes of 16 + 100 bytes; each client commits for itself.
    Puts,
    /// Durable writes of larger values; each client commits for itself.
    LargePuts,
    /// Durable writes of 16 + 100 bytes; the application gathers 64 for each commit.
    Batches,
    /// Writes of 16 + 100 bytes that are answered before they are synced.
    Unsynced,
    /// Random reads among a million keys, beside a writer at full speed or not.
    Gets,
    /// Scans of 100 entries among a million.
    Scans,
    /// Opening a directory of a million records again.
    Open,
    /// Memory for each key, and for each operation that waits to be delivered.
    Memory,
    /// What the log takes on disk while a few keys are written again and again.
    LogSize,
    /// From one node to another: streams, what waited during a partition, bytes on the wire.
    Replication,
    /// From a put on one node until it is visible on another.
    Visible,
    /// Many nodes: how often an operation crosses a link.
    Fleet,
    /// The work for each step beside the number of keys.
    GrowthKeys,
    /// The work for each step beside the number of operations that wait for a peer.
    GrowthPending,
    /// The work for each step beside the number of other replicas ever heard of.
    GrowthReplicas,
    /// The work for each step beside the number of linked peers.
    GrowthPeers,
    /// A node that has nothing to do. Takes two minutes.
    Idle,
    /// The size and the start of the program.
    Binary,
}

/// What the figures of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Operations a second: the more the better, with latencies and device bytes if they are of interest.
    Rates {
        /// Show latencies.
        latency: bool,
        /// Show bytes that reached the device.
        device: bool,
    },
    /// Whatever the columns say.
    Figures,
    /// A curve for each row: the columns are what grows.
    Curves,
}

impl Group {
    /// What it is called on the command line.
    #[must_use]
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The heading of its table.
    #[must_use]
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Puts => "Durable put, 16 + 100 bytes, each client commits for itself (per second)",
            Self::LargePuts => "Durable put of larger values, each client commits for itself (per second)",
            Self::Batches => {
                "Durable put, 16 + 100 bytes, the application gathers 64 for each commit (puts per second)"
            }
            Self::Unsynced => "Put of 16 + 100 bytes, answered before it is synced (per second)",
            Self::Gets => "Random get among a million keys of 16 + 100 bytes (per second)",
            Self::Scans => "Scan of 100 entries among a million (per second)",
            Self::Open => "Open a directory of a million records of 16 + 100 bytes again, files in the page cache",
            Self::Memory => "Resident memory, 16 + 100 bytes each",
            Self::LogSize => "Files of the log while a few keys are written again and again, a million writes",
            Self::Replication => "From one node to another over loopback, 16 + 100 bytes, values that do not compress",
            Self::Visible => "From a put on one node until it is visible on another, nothing else going on",
            Self::Fleet => "Many nodes, 20,000 writes spread over all that write",
            Self::GrowthKeys => "Nanoseconds of the core for each step, by keys",
            Self::GrowthPending => "Nanoseconds of the core for each step, by operations that wait for a silent peer",
            Self::GrowthReplicas => "Nanoseconds of the core for each step, by other replicas known",
            Self::GrowthPeers => "Nanoseconds of the core for each step, by linked peers",
            Self::Idle => "A node with a million keys and 8 linked peers, nobody writes, watched for 30 s",
            Self::Binary => "The program as it is released",
        }
    }

    /// What its figures are.
    #[must_use]
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Puts | Self::LargePuts => Kind::Rates { latency: true, device: true },
            Self::Gets | Self::Scans => Kind::Rates { latency: true, device: false },
            Self::Batches | Self::Unsynced => Kind::Rates { latency: false, device: false },
            Self::GrowthKeys | Self::GrowthPending | Self::GrowthReplicas | Self::GrowthPeers => Kind::Curves,
            Self::Open
            | Self::Memory
            | Self::LogSize
            | Self::Replication
            | Self::Visible
            | Self::Fleet
            | Self::Idle
            | Self::Binary => Kind::Figures,
        }
    }
}

/// The name of the async client's row.
pub(crate) const ASYNC: &str = "Softadastra, async client";
/// The name of the blocking client's row.
pub(crate) const BLOCKING: &str = "Softadastra, blocking client";
/// The name of the rows of a whole node.
pub(crate) const NODE: &str = "Softadastra";
/// The name of the group-commit baseline's row.
pub(crate) const LOOP: &str = "event-loop group commit (limit)";
/// The name of the raw baseline's row.
pub(crate) const RAW: &str = "raw write + fdatasync (limit)";
/// The name of the ordered map's row.
pub(crate) const MAP: &str = "ordered map alone (limit)";

/// One figure that a round of a cell gave.
pub(crate) struct Figure {
    /// Its row: an engine.
    pub(crate) row: &'static str,
    /// Its column: how many clients, or what was measured.
    pub(crate) column: &'static str,
    /// What was measured.
    pub(crate) sample: Sample,
}

impl Figure {
    /// A plain number.
    #[must_use]
    pub(crate) fn of(row: &'static str, column: &'static str, value: f64) -> Self {
        Self { row, column, sample: Sample::of(value) }
    }
}

type Run = Box<dyn FnMut(&Path, Duration) -> Result<Vec<Figure>, Fault>>;

/// Looks whether somebody is there, and says of which versions if that is to be known.
pub(crate) type Look = fn() -> Result<Option<String>, Fault>;

/// One engine under one workload.
pub(crate) struct Cell {
    /// Whose table it is in.
    pub(crate) group: Group,
    /// Who is measured.
    pub(crate) row: &'static str,
    /// What is measured, in a word, for whoever waits.
    pub(crate) what: &'static str,
    /// It is measured in no more rounds than these: what takes long and varies little.
    pub(crate) rounds: u32,
    /// Measures one round in an empty directory.
    pub(crate) run: Run,
    /// Who may not be there, and has to be asked before anything is measured: a program of somebody else.
    look: Option<Look>,
}

impl Cell {
    /// A cell of one figure.
    #[must_use]
    pub(crate) fn one(
        group: Group,
        row: &'static str,
        column: &'static str,
        mut run: impl FnMut(&Path, Duration) -> Result<Sample, Fault> + 'static,
    ) -> Self {
        let run: Run = Box::new(move |dir, time| Ok(vec![Figure { row, column, sample: run(dir, time)? }]));
        Self { group, row, what: column, rounds: u32::MAX, run, look: None }
    }

    /// A scene that gives several figures.
    #[must_use]
    pub(crate) fn scene(
        group: Group,
        row: &'static str,
        what: &'static str,
        mut run: impl FnMut(&Path) -> Result<Vec<Figure>, Fault> + 'static,
    ) -> Self {
        Self { group, row, what, rounds: u32::MAX, run: Box::new(move |dir, _| run(dir)), look: None }
    }

    /// The same in at most so many rounds.
    #[must_use]
    pub(crate) fn at_most(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }

    /// The same, if who is measured is there.
    #[must_use]
    pub(crate) fn if_there(self, look: Look) -> Self {
        Self { look: Some(look), ..self }
    }
}

/// Who would be measured, but cannot be had on this machine.
pub(crate) struct Absent {
    /// Whose table it would be in.
    pub(crate) group: Group,
    /// Who.
    pub(crate) row: &'static str,
    /// What it lacks.
    pub(crate) why: String,
}

/// What a run measures, and who is left out of it.
#[derive(Default)]
pub(crate) struct Plan {
    /// Who is measured, in an order that changes the engine from cell to cell.
    pub(crate) cells: Vec<Cell>,
    /// Who cannot be had.
    pub(crate) absent: Vec<Absent>,
}

impl Plan {
    /// The groups and rows that it has, those that are left out among them.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Group, &'static str)> {
        let cells = self.cells.iter().map(|cell| (cell.group, cell.row));
        cells.chain(self.absent.iter().map(|absent| (absent.group, absent.row)))
    }

    /// Keeps only these rows.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.cells.retain(|cell| wanted(cell.row));
        self.absent.retain(|absent| wanted(absent.row));
    }

    /// Asks everybody in it who may not be there, once, and leaves out who is not. Gives the versions of the others.
    pub(crate) fn look(&mut self) -> Vec<String> {
        let (mut asked, mut versions) = (BTreeMap::new(), Vec::new());
        let absent = &mut self.absent;
        self.cells.retain(|cell| {
            let Some(look) = cell.look else { return true };
            let there = asked
                .entry(cell.row)
                .or_insert_with(|| look().map(|version| versions.extend(version)).map_err(|error| error.to_string()));
            if let Err(why) = there {
                absent.push(Absent { group: cell.group, row: cell.row, why: why.clone() });
            }
            there.is_ok()
        });
        versions
    }

    /// Who is left out and why, each once.
    #[must_use]
    pub(crate) fn left_out(&self) -> Vec<String> {
        let mut all = Vec::new();
        for absent in &self.absent {
            let line = format!("{} is left out: {}", absent.row, absent.why);
            if !all.contains(&line) {
                all.push(line);
            }
        }
        all
    }
}

/// All that these groups have.
#[must_use]
pub(crate) fn of(groups: &[Group], home: &Path) -> Plan {
    let engines = scenes::engines::Engines::new(home);
    let mut plan = Plan::default();
    for group in groups {
        match group {
            Group::Puts | Group::LargePuts | Group::Batches | Group::Unsynced | Group::Gets | Group::Scans => {
                engines.cells(*group, &mut plan);
            }
            Group::Open => {
                engines.cells(*group, &mut plan);
                scenes::opening::cells(home, &mut plan.cells);
            }
            Group::Memory => scenes::memory::cells(&mut plan.cells),
            Group::LogSize => scenes::log_size::cells(&mut plan.cells),
            Group::Replication => scenes::replication::cells(&mut plan.cells),
            Group::Visible => scenes::visible::cells(&mut plan.cells),
            Group::Fleet => scenes::fleet::cells(&mut plan.cells),
            Group::GrowthKeys | Group::GrowthPending | Group::GrowthReplicas | Group::GrowthPeers => {
                scenes::growth::cells(*group, &mut plan.cells);
            }
            Group::Idle => scenes::idle::cells(&mut plan.cells),
            Group::Binary => scenes::binary::cells(&mut plan.cells),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_measured_is_asked_whether_they_are_there() {
        let mut plan = of(&[Group::Replication], Path::new("/nonexistent"));
        assert!(plan.absent.is_empty(), "nobody has been asked yet");
        plan.retain(|row| row.contains("limit"));
        for cell in &mut plan.cells {
            cell.look = Some(|| Ok(Some("1.0".to_owned())));
        }
        let cell = |row, look: Look| Cell::scene(Group::Replication, row, "", |_| Ok(Vec::new())).if_there(look);
        for _ in 0..2 {
            plan.cells.push(cell("nobody", || Err("it is not there".into())));
        }
        assert!(plan.rows().any(|(_, row)| row == "nobody"));
        assert_eq!(plan.look(), ["1.0"], "each is asked once");
        assert_eq!(plan.left_out(), ["nobody is left out: it is not there"]);
        assert!(!plan.cells.is_empty() && plan.cells.iter().all(|cell| cell.row != "nobody"));
    }
}
