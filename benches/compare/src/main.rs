//! Runs the same workloads on Softadastra, on other engines and on the physical limit, in interleaved rounds of one run,
//! and prints medians and ratios. Absolute figures belong to one machine on one day; ratios within a run are what it is for.

mod chart;
mod engine;
mod engines;
mod goals;
mod plan;
mod sample;
mod table;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use engine::Fault;
use plan::Group;
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
}

/// The marks between which `--write` puts the tables.
const MARKS: (&str, &str) = ("<!-- compare: begin -->", "<!-- compare: end -->");

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the comparison ended early: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
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
    for round in 1..=args.rounds {
        for cell in &mut cells {
            bar.set_message(format!("round {round}: {}, {}", cell.row, cell.column));
            let dir = tempfile::tempdir_in(home.path())?;
            let sample = (cell.run)(dir.path(), Duration::from_secs_f64(args.seconds))
                .map_err(|error| format!("{} ({}): {error}", cell.row, cell.column))?;
            results.add(cell.group, cell.row, cell.column, sample);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let mut text = format!("{}\n\n", machine(args));
    if groups.contains(&Group::Puts) {
        text.push_str(&goals::markdown(&results));
    }
    for group in groups {
        text.push_str(&results.markdown(*group));
    }
    match &args.write {
        Some(path) => write(path, groups, &results, &text)?,
        None => print!("{text}"),
    }
    Ok(())
}

/// What the figures were taken on, and how.
fn machine(args: &Args) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("unknown").trim();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions: Vec<_> = engines::peers().iter().map(|peer| format!("{} {}", peer.name, peer.version)).collect();
    format!(
        "{cpu}, {cores} cores, load average {load} at the end; {}. Medians of {} rounds of {} s.",
        versions.join(", "),
        args.rounds,
        args.seconds
    )
}

fn write(path: &Path, groups: &[Group], results: &Results, text: &str) -> Result<(), Fault> {
    let page = std::fs::read_to_string(path)?;
    let (before, rest) = page.split_once(MARKS.0).ok_or_else(|| format!("{} has no {}", path.display(), MARKS.0))?;
    let (_, after) = rest.split_once(MARKS.1).ok_or_else(|| format!("{} has no {}", path.display(), MARKS.1))?;
    let folder = path.with_extension("");
    std::fs::create_dir_all(&folder)?;
    let mut pictures = String::new();
    for group in groups {
        let name = group.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        std::fs::write(folder.join(format!("{name}.svg")), chart::svg(results, *group)?)?;
        let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pictures.push_str(&format!("![{}]({folder}/{name}.svg)\n\n", group.title()));
    }
    let (begin, end) = MARKS;
    std::fs::write(path, format!("{before}{begin}\n\n{text}{pictures}{end}{after}"))?;
    println!("{} now has the tables of this run; the charts are in {}", path.display(), folder.display());
    Ok(())
}
