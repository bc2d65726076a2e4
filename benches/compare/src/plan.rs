//! Which cells a run measures: every engine under every workload, as closures that the runner calls round by round.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;

use crate::engine::{Contender, Engine, Fault, Promise};
use crate::engines::{SOFTADASTRA, baseline, peers};
use crate::sample::Sample;
use crate::work::reads::Reading;
use crate::work::{open, puts, reads};

/// Workloads that belong together: one table, one chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Group {
    /// Durable writes of 16 + 100 bytes; each client commits for itself.
    Puts,
    /// Durable writes of 16 + 1024 bytes; each client commits for itself.
    LargePuts,
    /// Durable writes of 16 + 100 bytes; the application gathers 64 for each commit.
    Batches,
    /// Writes of 16 + 100 bytes that are answered before they are synced.
    Unsynced,
    /// Random reads among a million keys, beside a writer at full speed or not.
    Gets,
    /// Scans of 100 entries among a million.
    Scans,
    /// Opening a directory of a million keys again.
    Open,
}

impl Group {
    /// The heading of its table.
    #[must_use]
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Puts => "Durable put, 16 + 100 bytes, each client commits for itself (per second)",
            Self::LargePuts => "Durable put, 16 + 1024 bytes, each client commits for itself (per second)",
            Self::Batches => {
                "Durable put, 16 + 100 bytes, the application gathers 64 for each commit (puts per second)"
            }
            Self::Unsynced => "Put of 16 + 100 bytes, answered before it is synced (per second)",
            Self::Gets => "Random get among a million keys of 16 + 100 bytes (per second)",
            Self::Scans => "Scan of 100 entries among a million (per second)",
            Self::Open => "Open a directory of a million keys again (per second)",
        }
    }
}

/// The name of the async client's row.
pub(crate) const ASYNC: &str = "Softadastra, async client";
/// The name of the blocking client's row.
pub(crate) const BLOCKING: &str = "Softadastra, blocking client";
/// The name of the group-commit baseline's row.
pub(crate) const LOOP: &str = "event-loop group commit (limit)";
/// The name of the raw baseline's row.
pub(crate) const RAW: &str = "raw write + fdatasync (limit)";
/// The name of the ordered map's row.
pub(crate) const MAP: &str = "ordered map alone (limit)";

type Run = Box<dyn FnMut(&Path, Duration) -> Result<Sample, Fault>>;

/// One engine under one workload.
pub(crate) struct Cell {
    /// Whose table it is in.
    pub(crate) group: Group,
    /// Its row: an engine.
    pub(crate) row: &'static str,
    /// Its column: how many clients, say.
    pub(crate) column: &'static str,
    /// Measures one round in an empty directory.
    pub(crate) run: Run,
}

/// All cells of these groups, in an order that changes the engine from cell to cell.
#[must_use]
pub(crate) fn cells(groups: &[Group], home: &Path) -> Vec<Cell> {
    let peers = peers();
    let mut cells = Vec::new();
    for group in groups {
        match group {
            Group::Puts => put_cells(&mut cells, &peers, *group, 100, &[(1, "1"), (8, "8"), (64, "64"), (256, "256")]),
            Group::LargePuts => put_cells(&mut cells, &peers, *group, 1024, &[(1, "1"), (64, "64")]),
            Group::Batches => {
                for contender in everyone(&peers) {
                    cells.push(Cell {
                        group: *group,
                        row: row(contender),
                        column: "1 writer",
                        run: Box::new(move |dir, time| puts::batches(contender, dir, 64, time)),
                    });
                }
            }
            Group::Unsynced => unsynced_cells(&mut cells, &peers),
            Group::Gets => read_cells(&mut cells, &peers, home, *group, Reading::Get),
            Group::Scans => read_cells(&mut cells, &peers, home, *group, Reading::Scan),
            Group::Open => open_cells(&mut cells, &peers, home),
        }
    }
    cells
}

fn everyone(peers: &[Contender]) -> impl Iterator<Item = Contender> {
    std::iter::once(SOFTADASTRA).chain(peers.iter().copied())
}

fn row(contender: Contender) -> &'static str {
    if contender.name == SOFTADASTRA.name { BLOCKING } else { contender.name }
}

fn put_cells(
    cells: &mut Vec<Cell>,
    peers: &[Contender],
    group: Group,
    value: usize,
    clients: &[(usize, &'static str)],
) {
    for &(count, column) in clients {
        if count == 1 {
            cells.push(Cell { group, row: RAW, column, run: Box::new(baseline::raw) });
        }
        let run: Run = Box::new(move |dir, time| baseline::event_loop(dir, count, value, time));
        cells.push(Cell { group, row: LOOP, column, run });
        let run: Run = Box::new(move |dir, time| puts::tasks(dir, Promise::Synced, (count, value), time));
        cells.push(Cell { group, row: ASYNC, column, run });
        for contender in everyone(peers) {
            let run: Run =
                Box::new(move |dir, time| puts::blocking(contender, dir, Promise::Synced, (count, value), time));
            cells.push(Cell { group, row: row(contender), column, run });
        }
    }
}

fn unsynced_cells(cells: &mut Vec<Cell>, peers: &[Contender]) {
    let (group, column) = (Group::Unsynced, "1 writer");
    cells.push(Cell { group, row: MAP, column, run: Box::new(|dir, time| baseline::map(dir, 100, time)) });
    for (count, column) in [(1, "1 writer"), (64, "64 clients")] {
        let run: Run = Box::new(move |dir, time| puts::tasks(dir, Promise::Unsynced, (count, 100), time));
        cells.push(Cell { group, row: ASYNC, column, run });
    }
    for contender in everyone(peers) {
        let run: Run = Box::new(move |dir, time| puts::blocking(contender, dir, Promise::Unsynced, (1, 100), time));
        cells.push(Cell { group, row: row(contender), column, run });
    }
}

/// Engines that were filled once and are used by many cells.
type Filled = Arc<Mutex<BTreeMap<&'static str, Arc<dyn Engine>>>>;

fn filled(all: &Filled, contender: Contender, home: &Path) -> Result<(PathBuf, Arc<dyn Engine>), Fault> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = home.join(format!("filled-{}", contender.name));
    if let Some(engine) = all.get(contender.name) {
        return Ok((dir, Arc::clone(engine)));
    }
    std::fs::create_dir_all(&dir)?;
    let engine = reads::filled(contender, &dir, Promise::Synced)?;
    all.insert(contender.name, Arc::clone(&engine));
    Ok((dir, engine))
}

fn read_cells(cells: &mut Vec<Cell>, peers: &[Contender], home: &Path, group: Group, reading: Reading) {
    let all = Filled::default();
    for (load, column) in [((1, false), "1 reader"), ((2, false), "2 readers"), ((1, true), "1 reader, 1 writer")] {
        for contender in everyone(peers) {
            let (all, home) = (Arc::clone(&all), home.to_path_buf());
            let run: Run = Box::new(move |_, time| {
                let (dir, engine) = filled(&all, contender, &home)?;
                reads::read(&engine, &dir, reading, load, time)
            });
            cells.push(Cell { group, row: row(contender), column, run });
        }
    }
}

fn open_cells(cells: &mut Vec<Cell>, peers: &[Contender], home: &Path) {
    for contender in everyone(peers) {
        let dir = home.join(format!("closed-{}", contender.name));
        let run: Run = Box::new(move |_, _| {
            if !dir.exists() {
                std::fs::create_dir_all(&dir)?;
                open::fill(contender, &dir)?;
                // The first opening may still have to tidy up after the filling; it is not what is measured.
                open::again(contender, &dir)?;
            }
            open::again(contender, &dir)
        });
        cells.push(Cell { group: Group::Open, row: row(contender), column: "1 M keys", run });
    }
}
