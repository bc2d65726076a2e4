//! `cargo run -p sim -- replay SEED | turmoil SEED | swarm | hunt | planted`: see the usage below.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use sim::plan::{Plan, Shape};
use sim::planted::Bug;
use sim::watch::{self, Watch, write_error};
use sim::{host_stories, planted, swarm, world};

const USAGE: &str = "\
usage: sim replay SEED [--nodes N] [--operations N] [--until STEP] [--trace] [--key KEY] [--planted BUG]
                                            run one seed again; print its story, and how nodes stand at a step
       sim swarm [--minutes N] [--seeds N] [--from SEED] [--threads N] [--nodes N] [--operations N]
                                            run many seeds; stop at the first that fails
       sim turmoil SEED [STORY] [--planted BUG]
                                            tell one seed of the world of hosts; STORY is storm unless said
       sim planted [BUG ...] [--seconds N] [--story]
                                            plant each known bug and see that it is caught; --story tells how
       sim hunt --seconds N [--planted BUG] [--story]
                                            what `planted` runs for each bug: count the seeds from 1 until one fails
       sim hunt-hosts --seconds N [--planted BUG] [--story]
                                            the same in the world of hosts
--nodes is 1 to 9; left out, the seed decides: 1 to 5. --planted wakes a known bug; where this build does not hold it,
`replay` and `turmoil` make one that does.
Ctrl-C ends a swarm with what it has found so far, and the search for a shortest story with the shortest so far.
ends with 0: all went as it should; 1: it did not (a promise was broken; where a bug is planted: nobody noticed it); 2: not understood,
or it could not be done; 130: stopped by Ctrl-C or SIGTERM, and nothing was found until then; 141: nobody read on";

/// How the process ends when nobody reads what it says: what shells say of one that has written into a closed pipe.
const UNREAD: i32 = 141;

/// How the process ends when what it says cannot be written: it could not be done.
const UNSAID: i32 = 2;

/// How something ended that could be done.
enum End {
    /// As it should, or not.
    Went(bool),
    /// Before its time, and well so far.
    Stopped,
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        end_if_unsaid(panic);
        write_error(format_args!("{panic}\n"));
    }));
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(End::Went(true)) => ExitCode::SUCCESS,
        Ok(End::Went(false)) => ExitCode::FAILURE,
        Ok(End::Stopped) => ExitCode::from(watch::STOPPED),
        Err(why) => {
            write_error(format_args!("{why}\n`sim --help` lists all that it knows\n"));
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<End, String> {
    match words {
        ["swarm", rest @ ..] => run_swarm(rest),
        _ => do_one(words).map(End::Went),
    }
}

fn do_one(words: &[&str]) -> Result<bool, String> {
    match words {
        ["replay", seed, rest @ ..] => {
            let mut rest = rest.to_vec();
            let trace = flag(&mut rest, "--trace");
            let bug = planted_bug(&mut rest, false)?;
            let key = value(&mut rest, "--key")?;
            let plan_seed = seed_of("replay", seed)?;
            let given = options("replay", &rest, &["--until", "--nodes", "--operations"])?;
            let plan = Plan::shaped(plan_seed, shape(&given)?);
            wake_or_leave(bug, words)?;
            Ok(match given.get("--until") {
                Some(step) => replay_until(&plan, *step, trace, key),
                None => replay(plan, trace, key)?,
            })
        }
        ["turmoil", seed, rest @ ..] => {
            let mut rest = rest.to_vec();
            let bug = planted_bug(&mut rest, true)?;
            // Its trace is printed in any case.
            flag(&mut rest, "--trace");
            let story = match rest.as_slice() {
                [] => "storm",
                [story] if !story.starts_with("--") => story,
                [story, what, ..] if !story.starts_with("--") => return Err(unknown("turmoil", what)),
                [what, ..] => return Err(unknown("turmoil", what)),
            };
            let seed = seed_of("turmoil", seed)?;
            host_stories::check(story)?;
            wake_or_leave(bug, words)?;
            turmoil(seed, story)
        }
        ["hunt", rest @ ..] => {
            let hunted = Hunted::read(rest, false)?;
            quiet_panics();
            let settings = swarm::Settings {
                first: 1,
                most: u64::MAX,
                time: hunted.time,
                shape: Shape::FREE,
                threads: threads(),
                minimise: hunted.story,
            };
            let report = swarm::run(&settings, &Watch::nobody());
            match &report.found {
                Some(found) => println!("caught {} {} {}", report.seeds, found.seed, found.failure.judge),
                None => println!("escaped {}", report.seeds),
            }
            if let (Some(found), true) = (&report.found, hunted.story) {
                print!("{found}");
            }
            Ok(report.found.is_some() == hunted.planted)
        }
        ["hunt-hosts", rest @ ..] => hunt_hosts(&Hunted::read(rest, true)?),
        ["planted", rest @ ..] => {
            let mut rest = rest.to_vec();
            let story = flag(&mut rest, "--story");
            let time = value(&mut rest, "--seconds")?.map_or(Ok(Duration::from_secs(60)), seconds)?;
            planted::run(&rest, time, story)
        }
        ["replay" | "turmoil"] => Err(format!("{} needs a seed: sim {0} 42", words.concat())),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        [] => Err("say what to do".into()),
        [what, ..] => Err(format!("{what} is not something to do")),
    }
}

fn run_swarm(words: &[&str]) -> Result<End, String> {
    let known = ["--minutes", "--seeds", "--from", "--threads", "--nodes", "--operations"];
    let given = options("swarm", words, &known)?;
    if let Some((name, _)) =
        given.iter().find(|(name, value)| ["--minutes", "--seeds", "--threads"].contains(name) && **value == 0)
    {
        return Err(plays_nothing(name));
    }
    let first = given.get("--from").copied().unwrap_or_else(fresh_seed);
    let seeds = given.get("--seeds").copied();
    let there_are = (u64::MAX - first).saturating_add(1);
    if let Some(seeds) = seeds.filter(|seeds| *seeds > there_are) {
        return Err(format!("there are no {seeds} seeds from {first}: the last one is {}", u64::MAX));
    }
    let minutes = given.get("--minutes").copied().unwrap_or(if seeds.is_some() { 24 * 60 } else { 1 });
    let settings = swarm::Settings {
        first,
        most: seeds.unwrap_or(there_are),
        time: Duration::from_secs(minutes.checked_mul(60).ok_or("so many minutes cannot be counted")?),
        shape: shape(&given)?,
        threads: given.get("--threads").map_or_else(threads, |threads| (*threads).min(64) as usize),
        minimise: true,
    };
    let watch = watch()?;
    quiet_panics();
    // Whoever reads this may stop it from here on.
    println!("from seed {}", settings.first);
    let report = swarm::run(&settings, &watch);
    print!("{report}");
    Ok(if report.stopped && report.found.is_none() { End::Stopped } else { End::Went(report.found.is_none()) })
}

/// Somebody waits for what comes.
fn watch() -> Result<Watch, String> {
    Watch::somebody().map_err(|error| format!("the system does not tell of Ctrl-C: {error}"))
}

fn seed_of(what: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text} is {}: sim {what} 42", no_number("seed", &error)))
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|error| format!("{name} takes a whole number, and {text} is {}", no_number("such number", &error)))
}

/// What a text is that does not stand for a number.
fn no_number(wanted: &str, error: &std::num::ParseIntError) -> String {
    match error.kind() {
        std::num::IntErrorKind::PosOverflow => format!("too large: {} at most", u64::MAX),
        _ => format!("no {wanted}"),
    }
}

/// For so long it is to go on: at all.
fn seconds(text: &str) -> Result<Duration, String> {
    match number("--seconds", text)? {
        0 => Err(plays_nothing("--seconds")),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

fn plays_nothing(name: &str) -> String {
    format!("{name} 0 plays nothing: say 1 or more, or leave it out")
}

fn unknown(what: &str, word: &str) -> String {
    format!("{what} does not know {word}")
}

/// Takes a word out, and says whether it was there.
fn flag(words: &mut Vec<&str>, name: &str) -> bool {
    let before = words.len();
    words.retain(|word| *word != name);
    words.len() < before
}

/// Takes a word out with the one behind it, and gives that.
fn value<'a>(words: &mut Vec<&'a str>, name: &str) -> Result<Option<&'a str>, String> {
    let Some(at) = words.iter().position(|word| *word == name) else { return Ok(None) };
    words.remove(at);
    if at == words.len() {
        return Err(format!("{name} lacks what it is to be"));
    }
    let value = words.remove(at);
    if words.contains(&name) { Err(twice(name)) } else { Ok(Some(value)) }
}

/// The bug that is to be awake: one of those that the world of hosts can see, or the world of nodes.
fn planted_bug(words: &mut Vec<&str>, hosts: bool) -> Result<Option<Bug>, String> {
    let bug = value(words, "--planted")?.map(Bug::named).transpose()?;
    bug.map_or(Ok(()), |bug| bug.check_world(hosts))?;
    Ok(bug)
}

/// Wakes the bug; where this build does not hold it, gives way to one that does and carries out these words.
fn wake_or_leave(bug: Option<Bug>, words: &[&str]) -> Result<(), String> {
    match bug {
        Some(bug) if !bug.is_here() => match planted::in_its_own_build(bug, words)? {},
        bug => bug.map_or(Ok(()), planted::wake),
    }
}

/// What a hunt is told.
struct Hunted {
    time: Duration,
    /// A bug is awake: it is to be found.
    planted: bool,
    /// Whether to tell how it came to light.
    story: bool,
}

impl Hunted {
    fn read(words: &[&str], hosts: bool) -> Result<Self, String> {
        let mut rest = words.to_vec();
        let story = flag(&mut rest, "--story");
        let bug = planted_bug(&mut rest, hosts)?;
        let time = seconds(value(&mut rest, "--seconds")?.ok_or("a hunt needs --seconds N")?)?;
        if let [what, ..] = rest.as_slice() {
            return Err(unknown("a hunt", what));
        }
        bug.map_or(Ok(()), planted::wake)?;
        Ok(Self { time, planted: bug.is_some(), story })
    }
}

/// Reads pairs of a name and a number: what `what` was told.
fn options<'a>(what: &str, words: &[&'a str], known: &[&str]) -> Result<BTreeMap<&'a str, u64>, String> {
    let mut given = BTreeMap::new();
    let mut rest = words;
    while let [name, more @ ..] = rest {
        if !known.contains(name) {
            return Err(unknown(what, name));
        }
        let [value, more @ ..] = more else { return Err(format!("{name} lacks a number")) };
        if given.insert(*name, number(name, value)?).is_some() {
            return Err(twice(name));
        }
        rest = more;
    }
    Ok(given)
}

fn twice(name: &str) -> String {
    format!("{name} is given twice")
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

fn replay_until(plan: &Plan, step: u64, trace: bool, key: Option<&str>) -> bool {
    let outcome = world::run_until(plan, step, |world| key.into_iter().for_each(|key| world.watch(key)));
    let lines = outcome.trace.lines();
    for line in lines.iter().skip(if trace { 0 } else { lines.len().saturating_sub(40) }) {
        println!("{line}");
    }
    let last = outcome.trace.step();
    let ended = if last <= step { format!("; the run ended at step {last}") } else { String::new() };
    println!("seed {}{}, after step {}{ended}:", plan.seed, plan.shape, step.min(last));
    for host in outcome.standing {
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

fn replay(plan: Plan, trace: bool, key: Option<&str>) -> Result<bool, String> {
    let seed = plan.seed;
    let outcome = world::run_with(&plan, trace, |world| key.into_iter().for_each(|key| world.watch(key)));
    for line in if trace { outcome.trace.lines() } else { outcome.trace.asides() } {
        println!("{line}");
    }
    println!("seed {seed}: {} items, trace hash {:016x}", plan.items.len(), outcome.trace.hash());
    let Some(failure) = outcome.failure else {
        println!("every promise was kept");
        return Ok(true);
    };
    quiet_panics();
    println!("{failure}");
    print!("{}", swarm::shortest(plan, &failure, &watch()?));
    Ok(false)
}

#[cfg(feature = "turmoil")]
fn turmoil(seed: u64, story: &str) -> Result<bool, String> {
    use sim::turmoil::{play, stories::STORIES};
    let (_, draw) = STORIES.iter().find(|(name, _)| *name == story).ok_or("the story has gone")?;
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
            print_shortest(&script);
        }
    }
    Ok(outcome.failure.is_none())
}

#[cfg(feature = "turmoil")]
fn print_shortest(script: &sim::turmoil::Script) {
    println!("of {} things that happen, it takes", script.acts.len());
    for (at, act) in sim::turmoil::shorten(script).acts {
        println!("{at:>6} ms  {act}");
    }
}

/// Counts the random runs of hosts until one fails.
#[cfg(feature = "turmoil")]
fn hunt_hosts(hunted: &Hunted) -> Result<bool, String> {
    use sim::turmoil::{play, storm::storm};
    quiet_panics();
    let begun = std::time::Instant::now();
    for seed in 1.. {
        if begun.elapsed() > hunted.time {
            println!("escaped {}", seed - 1);
            break;
        }
        let script = storm(seed);
        if let Some(failure) = play(&script, false).failure {
            println!("caught {seed} {seed} {failure}");
            if hunted.story {
                print_shortest(&script);
            }
            return Ok(hunted.planted);
        }
    }
    Ok(!hunted.planted)
}

#[cfg(not(feature = "turmoil"))]
fn hunt_hosts(_: &Hunted) -> Result<bool, String> {
    Err("this was built without the driver: add --features turmoil".into())
}

/// This was built without the driver: builds it in, in the same profile, and gives way to that, which tells the story.
#[cfg(not(feature = "turmoil"))]
fn turmoil(seed: u64, story: &str) -> Result<bool, String> {
    write_error(format_args!(
        "this was built without the driver: building it in, which takes about three minutes the first time\n"
    ));
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo
        .arg("run")
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .args(["-p", "sim", "--features", "turmoil", "--", "turmoil", &seed.to_string(), story])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    Err(format!("cargo does not run: {}", std::os::unix::process::CommandExt::exec(&mut cargo)))
}

/// The minimiser runs a failing plan many times; one panic message is enough.
fn quiet_panics() {
    std::panic::set_hook(Box::new(end_if_unsaid));
}

/// The output does not go out, and no promise was broken. If whoever was to read it has gone, nothing is left to be said.
fn end_if_unsaid(panic: &std::panic::PanicHookInfo<'_>) {
    let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
    if let Some(why) = text.strip_prefix("failed printing to stdout: ") {
        if why.starts_with("Broken pipe") {
            std::process::exit(UNREAD);
        }
        write_error(format_args!("what there is to say cannot be written: {why}\n"));
        std::process::exit(UNSAID);
    }
}

/// A seed that nobody has chosen. It is printed, so that the run can be repeated.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() >> 16
}
