//! Which mutants of the core nobody notices.
//!
//! `cargo mutants` makes a build for each of its mutants: some five thousand builds of the core, days on a small machine.
//! Here all of them are woven into one build, asleep ([`weave`]); every test is run once to see which it reaches; and
//! each mutant is tried by those tests alone, in a process of its own ([`trial`]).
//!
//! ```sh
//! cargo install cargo-mutants --locked
//! cargo run --release -p mutants                            # all of the core
//! cargo run --release -p mutants -- --only core/src/wal     # a part of it
//! cargo run --release -p mutants -- --seeds 40              # survivors are tried by the simulator, too
//! ```

mod catalogue;
mod report;
mod tree;
mod trial;
mod weave;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::catalogue::{Id, Mutant};
use crate::report::{Explanations, Report};
use crate::tree::{PACKAGE, Tree};
use crate::trial::{Court, Fate};

/// Whatever ends a run early: said once, in full.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Tries every mutant of the core, and lists those that nobody notices. Exit code 1 when there are any.
#[derive(Parser)]
struct Args {
    /// Only mutants in files whose path contains this; may be said several times
    #[arg(long)]
    only: Vec<String>,

    /// How many are tried at a time
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,

    /// Leaves out tests that take more seconds of processor time than this
    #[arg(long, default_value_t = 60.0)]
    longest: f64,

    /// Seeds of the simulator that those who survive the tests are tried by
    #[arg(long, default_value_t = 0)]
    seeds: u32,

    /// Writes the report here as well
    #[arg(long)]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(open) => {
            eprintln!("{open} mutants are noticed by nobody, and not explained in tests/mutants/explained.txt");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Gives how many are left open.
fn run(args: &Args) -> Result<usize, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    let explanations = Explanations::parse(&std::fs::read_to_string(root.join("tests/mutants/explained.txt"))?)?;
    let work = root.join("target/mutants");
    std::fs::create_dir_all(&work)?;

    let asked_for = |file: &str| args.only.is_empty() || args.only.iter().any(|part| file.contains(part));
    let wanted = |mutant: &Mutant| asked_for(&mutant.file) && !mutant.file.ends_with("/fuzz.rs");
    let listed = (1..).zip(catalogue::of(root, PACKAGE)?);
    let all: BTreeMap<Id, Mutant> = listed.filter(|(_, mutant)| wanted(mutant)).collect();
    println!("{} mutants", all.len());

    let tree = Tree::copy(root, &work)?;
    let mut planted = all.clone();
    tree.plant(&mut planted, |left| println!("building with {left} of them"))?;
    let mut court = Court::assemble(tree.tests()?, tree.package(), &work, Duration::try_from_secs_f64(args.longest)?)?;
    let say = |fates: &BTreeMap<Id, Fate>| -> Result<Vec<(Id, usize)>, Failure> {
        let report = Report { all: &all, fates, explanations: &explanations };
        let text = report.text();
        println!("{text}");
        if let Some(path) = &args.report {
            std::fs::write(path, &text)?;
        }
        Ok(report.open().into_iter().map(|(id, _, tests)| (id, tests)).collect())
    };

    let planted: Vec<_> = planted.keys().map(|id| (*id, 0)).collect();
    let mut fates = try_all(&planted, &all, args.jobs, |id, _| court.try_by_tests(id))?;
    let mut open = say(&fates)?;
    if args.seeds > 0 && !open.is_empty() {
        court.simulate(tree.simulator()?, args.seeds);
        fates.extend(try_all(&open, &all, args.jobs, |id, tests| court.try_by_simulator(id, tests))?);
        open = say(&fates)?;
    }
    Ok(open.len())
}

/// Gives each of `mutants` its fate; the numbers beside them are for `judge`.
fn try_all(
    mutants: &[(Id, usize)],
    all: &BTreeMap<Id, Mutant>,
    jobs: usize,
    judge: impl Fn(Id, usize) -> Result<Fate, Failure> + Sync,
) -> Result<BTreeMap<Id, Fate>, Failure> {
    let bar = ProgressBar::new(mutants.len() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}")?);
    let next = AtomicUsize::new(0);
    let fates = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let work = || -> Result<(), Failure> {
            while let Some((id, tests)) = mutants.get(next.fetch_add(1, Relaxed)) {
                let fate = judge(*id, *tests)?;
                if let (Fate::Survived(tests), Some(mutant)) = (&fate, all.get(id)) {
                    bar.suspend(|| println!("unnoticed, reached by {tests} tests: {}", mutant.name));
                }
                let mut fates = fates.lock().map_err(|_| "another worker has failed")?;
                fates.insert(*id, fate);
                let survivors = fates.values().filter(|fate| matches!(fate, Fate::Survived(_))).count();
                bar.set_message(format!("{survivors} unnoticed"));
                bar.inc(1);
            }
            Ok(())
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker has panicked")?)
    })?;
    bar.finish_and_clear();
    Ok(fates.into_inner().map_err(|_| "a worker has panicked")?)
}
