//! Runs the same workloads on Softadastra, on other engines and on the physical limit, in interleaved rounds of one run,
//! and prints medians and ratios. Absolute figures belong to one machine on one day; ratios within a run are what it is for.

mod chart;
mod engine;
mod engines;
mod goals;
mod net;
mod parts;
mod plan;
mod sample;
mod scenes;
mod table;
mod values;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use engine::Fault;
use parts::Part;
use plan::{Cell, Group, Kind};
use table::Results;

/// Compare Softadastra with other engines and with the physical limit of this machine.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Only these workloads [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    group: Vec<Group>,
    /// Only engines whose name contains one of these [default: all]
    #[arg(long, value_delimiter = ',')]
    engine: Vec<String>,
    /// Rounds; every engine has its turn in each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds that each engine has in each round of each workload
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Where the engines keep their data meanwhile: a directory on the disk that is to be measured
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Write the tables into this Markdown file, between its two marks, and the charts beside it
    #[arg(long)]
    write: Option<PathBuf>,
    /// For the program itself, which starts processes of its own
    #[arg(long, value_enum, hide = true)]
    part: Option<Part>,
}

/// The marks between which `--write` puts the tables.
const MARKS: (&str, &str) = ("<!-- compare: begin -->", "<!-- compare: end -->");

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.part {
        Some(part) => part.play(&args.dir),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the comparison ended early: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    let started = Instant::now();
    if !(0.01..=600.0).contains(&args.seconds) {
        return Err("--seconds wants a number from 0.01 to 600".into());
    }
    let groups = if args.group.is_empty() { Group::value_variants() } else { &args.group };
    let home = tempfile::Builder::new().prefix("compare-").tempdir_in(&args.dir)?;
    let mut cells = plan::cells(groups, home.path());
    let wanted: Vec<_> = args.engine.iter().map(|name| name.to_lowercase()).collect();
    cells.retain(|cell| wanted.is_empty() || wanted.iter().any(|name| cell.row.to_lowercase().contains(name)));
    if cells.is_empty() {
        return Err(format!("no engine is called {}", args.engine.join(" or ")).into());
    }
    let bar = ProgressBar::new(u64::from(args.rounds) * cells.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {eta} left  {msg}")?);
    let mut results = Results::default();
    let mut failures = Vec::new();
    for round in 1..=args.rounds {
        cells.retain_mut(|cell| {
            bar.set_message(format!("round {round}: {}, {}", cell.row, cell.what));
            let kept = match measure(cell, home.path(), round, args, &mut results) {
                Ok(()) => true,
                // Its other rounds would fail as well; what it has measured stands, and the failure beside it.
                Err(error) => {
                    let failure = format!("{} ({}) failed in round {round}: {error}", cell.row, cell.what);
                    bar.println(&failure);
                    failures.push(failure);
                    false
                }
            };
            bar.inc(1);
            kept
        });
    }
    bar.finish_and_clear();
    let mut text = format!("{}\n\n", machine(args, started));
    for failure in failures {
        text.push_str(&format!("{failure}\n\n"));
    }
    text.push_str(&goals::markdown(&results, groups));
    for group in groups {
        text.push_str(&results.markdown(*group));
    }
    match &args.write {
        Some(path) => write(path, groups, &results, &text)?,
        None => print!("{text}"),
    }
    Ok(())
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
fn machine(args: &Args, started: Instant) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("unknown").trim();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut versions: Vec<_> = engines::peers().iter().map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    versions.extend(net::iroh::find());
    format!(
        "{cpu}, {cores} cores, load average {load} at the end; {}. Medians of {} rounds of {} s; ratios are taken \
         within each round. The run took {} minutes.",
        versions.join(", "),
        args.rounds,
        args.seconds,
        started.elapsed().as_secs().div_ceil(60)
    )
}

fn write(path: &Path, groups: &[Group], results: &Results, text: &str) -> Result<(), Fault> {
    let page = std::fs::read_to_string(path)?;
    let (before, rest) = page.split_once(MARKS.0).ok_or_else(|| format!("{} has no {}", path.display(), MARKS.0))?;
    let (_, after) = rest.split_once(MARKS.1).ok_or_else(|| format!("{} has no {}", path.display(), MARKS.1))?;
    let folder = path.with_extension("");
    std::fs::create_dir_all(&folder)?;
    let mut pictures = String::new();
    for group in groups.iter().filter(|group| group.kind() != Kind::Figures) {
        let name = group.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let picture = match group.kind() {
            Kind::Curves => chart::curves(results, *group)?,
            _ => chart::bars(results, *group)?,
        };
        std::fs::write(folder.join(format!("{name}.svg")), picture)?;
        let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pictures.push_str(&format!("![{}]({folder}/{name}.svg)\n\n", group.title()));
    }
    let (begin, end) = MARKS;
    std::fs::write(path, format!("{before}{begin}\n\n{text}{pictures}{end}{after}"))?;
    println!("{} now has the tables of this run; the charts are in {}", path.display(), folder.display());
    Ok(())
}
