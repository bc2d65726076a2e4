//! Softadastra beside other engines on one machine: writes, reads, scans.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Contender, Engine, Fault, Promise};
use crate::engines::{self, SOFTADASTRA, baseline};
use crate::plan::{ASYNC, Absent, BLOCKING, Cell, Group, LOOP, MAP, Plan, RAW};
use crate::work::reads::Reading;
use crate::work::{open, puts, reads};

/// Clients and bytes of a value, and the name of the column.
type Load = ((usize, usize), &'static str);

const SMALL: &[Load] = &[((1, 100), "1"), ((8, 100), "8"), ((64, 100), "64"), ((256, 100), "256")];
const LARGE: &[Load] =
    &[((1, 1024), "1 KiB, 1 client"), ((64, 1024), "1 KiB, 64 clients"), ((1, 64 << 10), "64 KiB, 1 client")];

/// Engines that were filled once and are used by many cells.
type Filled = Arc<Mutex<BTreeMap<&'static str, Arc<dyn Engine>>>>;

/// The engines that can be had.
pub(crate) struct Engines {
    peers: Vec<Contender>,
    absent: Vec<(&'static str, String)>,
    home: PathBuf,
    filled: Filled,
}

impl Engines {
    /// Looks for them; `home` is where they may keep what several cells share.
    #[must_use]
    pub(crate) fn new(home: &Path) -> Self {
        let (peers, absent) = engines::all();
        Self { peers, absent, home: home.to_owned(), filled: Filled::default() }
    }

    /// The cells of a group of theirs.
    pub(crate) fn cells(&self, group: Group, plan: &mut Plan) {
        plan.absent.extend(self.absent.iter().map(|(row, why)| Absent { group, row, why: why.clone() }));
        let cells = &mut plan.cells;
        match group {
            Group::LargePuts => self.puts(cells, group, LARGE),
            Group::Batches => cells.extend(self.everyone().map(|contender| {
                Cell::one(group, row(contender), "1 writer", move |dir, time| puts::batches(contender, dir, 64, time))
            })),
            Group::Unsynced => self.unsynced(cells),
            Group::Gets => self.reads(cells, group, Reading::Get),
            Group::Scans => self.reads(cells, group, Reading::Scan),
            Group::Open => self.open(cells),
            _ => self.puts(cells, group, SMALL),
        }
    }

    /// Those that sync before they answer, if asked to.
    fn everyone(&self) -> impl Iterator<Item = Contender> {
        self.unsynced_too().filter(|contender| contender.syncs)
    }

    fn unsynced_too(&self) -> impl Iterator<Item = Contender> {
        std::iter::once(SOFTADASTRA).chain(self.peers.iter().copied())
    }

    fn puts(&self, cells: &mut Vec<Cell>, group: Group, loads: &'static [Load]) {
        for &((clients, value), column) in loads {
            if column == "1" {
                cells.push(Cell::one(group, RAW, column, baseline::raw));
            }
            cells
                .push(Cell::one(group, LOOP, column, move |dir, time| baseline::event_loop(dir, clients, value, time)));
            let load = (clients, value);
            cells.push(Cell::one(group, ASYNC, column, move |dir, time| puts::tasks(dir, Promise::Synced, load, time)));
            for contender in self.everyone() {
                cells.push(Cell::one(group, row(contender), column, move |dir, time| {
                    puts::blocking(contender, dir, Promise::Synced, load, time)
                }));
            }
        }
    }

    fn unsynced(&self, cells: &mut Vec<Cell>) {
        let (group, column) = (Group::Unsynced, "1 writer");
        cells.push(Cell::one(group, MAP, column, |dir, time| baseline::map(dir, 100, time)));
        for (clients, column) in [(1, "1 writer"), (64, "64 clients")] {
            cells.push(Cell::one(group, ASYNC, column, move |dir, time| {
                puts::tasks(dir, Promise::Unsynced, (clients, 100), time)
            }));
        }
        for contender in self.unsynced_too() {
            cells.push(Cell::one(group, row(contender), column, move |dir, time| {
                puts::blocking(contender, dir, Promise::Unsynced, (1, 100), time)
            }));
        }
    }

    fn reads(&self, cells: &mut Vec<Cell>, group: Group, reading: Reading) {
        for (load, column) in [((1, false), "1 reader"), ((2, false), "2 readers"), ((1, true), "1 reader, 1 writer")] {
            for contender in self.everyone() {
                let (filled, home) = (Arc::clone(&self.filled), self.home.clone());
                cells.push(Cell::one(group, row(contender), column, move |_, time| {
                    let (dir, engine) = once_filled(&filled, contender, &home)?;
                    reads::read(&engine, &dir, reading, load, time)
                }));
            }
        }
    }

    fn open(&self, cells: &mut Vec<Cell>) {
        for contender in self.everyone() {
            let dir = self.home.join(format!("closed-{}", contender.name));
            cells.push(Cell::one(Group::Open, contender.name, open::MILLISECONDS, move |_, _| {
                if !dir.exists() {
                    std::fs::create_dir_all(&dir)?;
                    open::fill(contender, &dir)?;
                    // The first opening may still have to tidy up after the filling; it is not what is measured.
                    open::again(contender, &dir)?;
                }
                open::again(contender, &dir)
            }));
        }
    }
}

fn row(contender: Contender) -> &'static str {
    if contender.name == SOFTADASTRA.name { BLOCKING } else { contender.name }
}

fn once_filled(all: &Filled, contender: Contender, home: &Path) -> Result<(PathBuf, Arc<dyn Engine>), Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_sync_is_measured_beside_what_is_not_synced_only() {
        let engines = Engines::new(Path::new("nowhere"));
        let rows = |group| {
            let mut plan = Plan::default();
            engines.cells(group, &mut plan);
            plan.cells.into_iter().map(|cell| cell.row).collect::<Vec<_>>()
        };
        assert!(rows(Group::Unsynced).contains(&"sled"));
        for group in [Group::Puts, Group::LargePuts, Group::Batches, Group::Gets, Group::Scans, Group::Open] {
            let rows = rows(group);
            assert!(rows.contains(&"SQLite") && !rows.contains(&"sled"), "{group:?}: {rows:?}");
        }
    }

    #[test]
    fn the_page_says_what_each_group_is_measured_beside() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
        let page = std::fs::read_to_string(page).unwrap();
        let engines = Engines::new(Path::new("nowhere"));
        for group in [Group::Puts, Group::LargePuts, Group::Batches, Group::Unsynced] {
            let mut plan = Plan::default();
            engines.cells(group, &mut plan);
            let name = format!("`{}`", group.name());
            let mut lines = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
            let (_, beside) = lines.find(|(groups, _)| groups.contains(&name)).unwrap();
            for (row, words) in [
                (RAW, "a loop of write and `fdatasync`"),
                (LOOP, "an event loop with group commit"),
                (MAP, "an ordered map"),
                ("sled", "sled"),
            ] {
                let measured = plan.rows().any(|(_, other)| other == row);
                assert_eq!(beside.contains(words), measured, "{words} beside {name}");
            }
        }
    }
}
