//! Runs the same workloads on Softadastra, on other engines and on the physical limit, in interleaved rounds of one run,
//! and prints medians and ratios. Absolute figures belong to one machine on one day; ratios within a run are what it is for.

mod args;
mod aside;
mod chart;
mod ending;
mod engine;
mod engines;
mod goals;
mod net;
mod page;
mod parts;
mod plan;
mod sample;
mod scenes;
mod table;
mod values;
mod work;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressStyle};

use args::Args;
use aside::aside;
use ending::{Home, undisturbed};
use engine::Fault;
use page::Page;
use plan::{Cell, Group};
use table::Results;

fn main() -> ExitCode {
    let args = Args::read();
    let done = match args.part {
        Some(part) => part.play(&args.dir),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            aside(&error);
            if error.is::<clap::Error>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    let started = Instant::now();
    let page = args.write.as_deref().map(Page::open).transpose()?;
    ending::by_signals()?;
    let home = Home::within(&args.dir)?;
    let groups = args.groups();
    let mut cells = plan::cells(groups, home.path());
    cells.retain(|cell| args.wants(cell.row));
    let in_vain = args.in_vain(&cells, || {
        // To look at the program it would have to be built.
        let others: Vec<_> = Group::value_variants().iter().copied().filter(|group| *group != Group::Binary).collect();
        plan::cells(&others, home.path())
    });
    if cells.is_empty() {
        return Err(args::refusal(ErrorKind::InvalidValue, &in_vain.join("; ")).into());
    }
    for name in in_vain {
        eprintln!("{name}");
    }
    let measured: Vec<_> =
        groups.iter().copied().filter(|group| cells.iter().any(|cell| cell.group == *group)).collect();
    let bar = ProgressBar::new(u64::from(args.rounds) * cells.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {eta} left  {msg}")?);
    let mut results = Results::default();
    let mut failures = Vec::new();
    for round in 1..=args.rounds {
        cells.retain_mut(|cell| {
            bar.set_message(format!("round {round}: {}, {}", cell.row, cell.what));
            let name = format!("{} ({})", cell.row, cell.what);
            ending::at_work(&name);
            let done = measure(cell, home.path(), round, args, &mut results);
            // What fails while the run is being ended says nothing.
            undisturbed(|| bar.inc(1));
            match done {
                Ok(()) => true,
                // Its other rounds would fail as well; what it has measured stands, and the failure beside it.
                Err(error) => {
                    let failure = format!("{name} failed in round {round}: {error}");
                    bar.println(&failure);
                    failures.push(failure);
                    false
                }
            }
        });
    }
    bar.finish_and_clear();
    let mut text = format!("{}\n\n", machine(args, started.elapsed()));
    for failure in failures {
        text.push_str(&format!("{failure}\n\n"));
    }
    text.push_str(&goals::markdown(&results, &measured));
    for group in &measured {
        text.push_str(&results.markdown(*group));
    }
    hand_over(page.as_ref(), &measured, &results, &text, &mut std::io::stdout())
}

/// Puts the tables where they are wanted; on `out` if that is nowhere, or if they cannot be put there after all.
fn hand_over(
    page: Option<&Page>,
    groups: &[Group],
    results: &Results,
    text: &str,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let written = match page {
        Some(page) => undisturbed(|| page.write(groups, results, text)).map(|()| true),
        None => Ok(false),
    };
    if !matches!(written, Ok(true)) {
        out.write_all(text.as_bytes())?;
    }
    written.map(|_| ())
}

/// One round of a cell, in a directory of its own.
fn measure(cell: &mut Cell, home: &Path, round: u32, args: &Args, results: &mut Results) -> Result<(), Fault> {
    if round > cell.rounds {
        return Ok(());
    }
    let dir = tempfile::tempdir_in(home)?;
    for figure in (cell.run)(dir.path(), Duration::from_secs_f64(args.seconds))? {
        results.add(cell.group, round, figure);
    }
    Ok(())
}

/// What the figures were taken on, and how.
fn machine(args: &Args, took: Duration) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("unknown").trim();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut versions: Vec<_> = engines::peers().iter().map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    versions.extend(net::iroh::find());
    let how = in_words(args.rounds, args.seconds, took);
    format!("{cpu}, {cores} cores, load average {load} at the end; {}. {how}", versions.join(", "))
}

/// How much was measured, and how long that took.
fn in_words(rounds: u32, seconds: f64, took: Duration) -> String {
    let rounds = match rounds {
        1 => format!("One round of {seconds} s."),
        _ => format!("Medians of {rounds} rounds of {seconds} s; ratios are taken within each round."),
    };
    match took.as_secs() {
        short @ ..120 => format!("{rounds} The run took {} s.", short.max(1)),
        long => format!("{rounds} The run took {} minutes.", long.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_nobody_can_write_down_are_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        std::fs::write(&path, "<!-- compare: begin --><!-- compare: end -->").unwrap();
        let page = Page::open(&path).unwrap();
        let printed = |page| {
            let mut out = Vec::new();
            let done = hand_over(page, &[], &Results::default(), "tables", &mut out);
            (done.is_ok(), String::from_utf8(out).unwrap())
        };
        assert_eq!(printed(Some(&page)), (true, String::new()));
        assert_eq!(printed(None), (true, "tables".to_owned()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(printed(Some(&page)), (false, "tables".to_owned()));
    }

    #[test]
    fn a_run_is_told_in_fitting_words() {
        let of = |rounds, took| in_words(rounds, 0.4, Duration::from_secs(took));
        assert_eq!(of(1, 0), "One round of 0.4 s. The run took 1 s.");
        assert_eq!(of(3, 119), "Medians of 3 rounds of 0.4 s; ratios are taken within each round. The run took 119 s.");
        assert!(of(2, 121).ends_with("The run took 3 minutes."));
    }
}
