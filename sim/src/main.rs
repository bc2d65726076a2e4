//! `cargo run -p sim -- replay SEED | turmoil SEED | swarm | hunt | planted`: see the usage below.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use sim::plan::{Plan, Shape};
use sim::{planted, swarm, world};

const USAGE: &str = "\
usage: sim replay SEED [--nodes N] [--operations N] [--until STEP] [--trace]
                                            run one seed again; print its story, and how nodes stand at a step
       sim swarm [--minutes N] [--seeds N] [--from SEED] [--threads N] [--nodes N] [--operations N]
                                            run many seeds; stop at the first that fails
       sim turmoil SEED [STORY]              tell one seed of the world of hosts; STORY is storm unless said
       sim hunt --seconds N                 count the seeds until one fails
       sim hunt-hosts --seconds N           the same in the world of hosts
       sim planted [NAME ...] [--seconds N] plant each known bug and see that it is caught";

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        end_if_nobody_reads(panic);
        eprintln!("{panic}");
    }));
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<bool, String> {
    match words {
        ["replay", seed, rest @ ..] => {
            let trace = rest.contains(&"--trace");
            let rest: Vec<&str> = rest.iter().copied().filter(|word| *word != "--trace").collect();
            let given = options(&rest, &["--until", "--nodes", "--operations"])?;
            let plan = Plan::shaped(number(seed)?, shape(&given)?);
            Ok(match given.get("--until") {
                Some(step) => replay_until(&plan, *step, trace),
                None => replay(plan, trace),
            })
        }
        ["turmoil", seed, rest @ ..] => {
            let story = match rest {
                [] => "storm",
                [story] => story,
                _ => return Err(format!("turmoil does not know {rest:?}")),
            };
            turmoil(number(seed)?, story)
        }
        ["swarm", rest @ ..] => {
            let known = ["--minutes", "--seeds", "--from", "--threads", "--nodes", "--operations"];
            let given = options(rest, &known)?;
            let seeds = given.get("--seeds").copied();
            let minutes = given.get("--minutes").copied().unwrap_or(if seeds.is_some() { 24 * 60 } else { 1 });
            let settings = swarm::Settings {
                first: given.get("--from").copied().unwrap_or_else(fresh_seed),
                most: seeds.unwrap_or(u64::MAX),
                time: Duration::from_secs(minutes.checked_mul(60).ok_or("so many minutes cannot be counted")?),
                shape: shape(&given)?,
                threads: given.get("--threads").map_or_else(threads, |threads| (*threads).clamp(1, 64) as usize),
                minimise: true,
            };
            println!("from seed {}", settings.first);
            quiet_panics();
            let report = swarm::run(&settings);
            print!("{report}");
            Ok(report.found.is_none())
        }
        ["hunt", "--seconds", seconds, rest @ ..] => {
            match rest {
                [] => {}
                ["--planted", bug] => planted::wake(bug)?,
                _ => return Err(format!("hunt does not know {rest:?}")),
            }
            quiet_panics();
            let report = swarm::run(&swarm::Settings {
                first: 1,
                most: u64::MAX,
                time: Duration::from_secs(number(seconds)?),
                shape: Shape::FREE,
                threads: threads(),
                minimise: false,
            });
            match &report.found {
                Some(found) => println!("caught {} {}", report.seeds, found.failure.judge),
                None => println!("escaped {}", report.seeds),
            }
            Ok(report.found.is_some())
        }
        ["hunt-hosts", "--seconds", seconds] => hunt_hosts(Duration::from_secs(number(seconds)?)),
        ["planted", rest @ ..] => {
            let (names, seconds) = match rest {
                [names @ .., "--seconds", seconds] => (names, number(seconds)?),
                names => (names, 60),
            };
            planted::run(names, Duration::from_secs(seconds))
        }
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        [] => Err("say what to do".into()),
        [what, ..] => Err(format!("{what} is not something to do")),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

/// Reads pairs of a name and a number.
fn options<'a>(words: &[&'a str], known: &[&str]) -> Result<BTreeMap<&'a str, u64>, String> {
    let mut given = BTreeMap::new();
    let mut rest = words;
    while let [name, more @ ..] = rest {
        let [value, more @ ..] = more else { return Err(format!("{name} lacks a number")) };
        if !known.contains(name) {
            return Err(format!("{name} is not known here"));
        }
        given.insert(*name, number(value)?);
        rest = more;
    }
    Ok(given)
}

fn shape(given: &BTreeMap<&str, u64>) -> Result<Shape, String> {
    let nodes = match given.get("--nodes") {
        Some(nodes @ 1..=9) => Some(*nodes as u8),
        Some(nodes) => return Err(format!("{nodes} nodes are too many or too few: 1 to 9")),
        None => None,
    };
    let operations = match given.get("--operations") {
        Some(count @ 1..=1_000_000) => Some(*count as u32),
        Some(count) => return Err(format!("{count} operations are too many or too few: 1 to 1,000,000")),
        None => None,
    };
    Ok(Shape { nodes, operations })
}

/// One for each core.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn replay_until(plan: &Plan, step: u64, trace: bool) -> bool {
    let (outcome, standing) = world::run_until(plan, step);
    let lines = outcome.trace.lines();
    for line in lines.iter().skip(if trace { 0 } else { lines.len().saturating_sub(40) }) {
        println!("{line}");
    }
    println!("seed {}{}, after step {step}, or at the end if that comes first:", plan.seed, plan.shape);
    for host in standing {
        println!("{host}");
    }
    match outcome.failure {
        None => true,
        Some(failure) => {
            println!("{failure}");
            false
        }
    }
}

fn replay(plan: Plan, trace: bool) -> bool {
    let seed = plan.seed;
    let outcome = world::run(&plan, trace);
    for line in outcome.trace.lines() {
        println!("{line}");
    }
    println!("seed {seed}: {} items, trace hash {:016x}", plan.items.len(), outcome.trace.hash());
    match outcome.failure {
        None => {
            println!("every promise was kept");
            true
        }
        Some(failure) => {
            quiet_panics();
            println!("{failure}");
            print!("{}", swarm::shortest(plan, &failure));
            false
        }
    }
}

#[cfg(feature = "turmoil")]
fn turmoil(seed: u64, story: &str) -> Result<bool, String> {
    use sim::turmoil::{play, shorten, stories::STORIES};
    let names = || STORIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let draw = STORIES.iter().find(|(name, _)| *name == story);
    let (_, draw) = draw.ok_or_else(|| format!("no story is called {story}; there are {}", names()))?;
    let script = draw(seed);
    let outcome = play(&script, true);
    for line in outcome.trace.lines() {
        println!("{line}");
    }
    for (mark, count) in &outcome.marks {
        println!("{count:>6} {mark}");
    }
    println!("{story} {seed}: digest {:016x}", outcome.digest);
    match &outcome.failure {
        None => println!("every promise was kept; at rest after {} ms", outcome.rest_at),
        Some(failure) => {
            println!("BROKEN {failure}");
            quiet_panics();
            println!("of {} things that happen, it takes", script.acts.len());
            for (at, act) in shorten(&script).acts {
                println!("{at:>6} ms  {act}");
            }
        }
    }
    Ok(outcome.failure.is_none())
}

/// Counts the random runs of hosts until one fails.
#[cfg(feature = "turmoil")]
fn hunt_hosts(time: Duration) -> Result<bool, String> {
    use sim::turmoil::{play, storm::storm};
    quiet_panics();
    let begun = std::time::Instant::now();
    for seed in 1.. {
        if begun.elapsed() > time {
            println!("escaped {}", seed - 1);
            break;
        }
        if let Some(failure) = play(&storm(seed), false).failure {
            println!("caught {seed} {failure}");
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(not(feature = "turmoil"))]
fn hunt_hosts(_: Duration) -> Result<bool, String> {
    Err("this was built without the driver: add --features turmoil".into())
}

/// This was built without the driver: builds it in, and lets that tell the story.
#[cfg(not(feature = "turmoil"))]
fn turmoil(seed: u64, story: &str) -> Result<bool, String> {
    let status = std::process::Command::new(env!("CARGO"))
        .args(["run", "-q", "-p", "sim", "--features", "turmoil", "--", "turmoil", &seed.to_string(), story])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(format!("what tells it ended with {status}")),
    }
}

/// The minimiser runs a failing plan many times; one panic message is enough.
fn quiet_panics() {
    std::panic::set_hook(Box::new(end_if_nobody_reads));
}

/// Whoever was to read the output has gone: nothing is left to be said, and no promise was broken.
fn end_if_nobody_reads(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
    if text.starts_with("failed printing to stdout") {
        std::process::exit(1);
    }
}

/// A seed that nobody has chosen. It is printed, so that the run can be repeated.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() >> 16
}
