//! Wakes one mutant at a time, and runs what could notice: the tests that reach it, the quickest first; then, if none
//! does, simulated nodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::catalogue::Id;

/// No mutant may take more memory, in KiB.
const MOST_MEMORY: u64 = 4 << 20;
/// Of processor time in a second, as the system counts it for programs.
const TICKS: u64 = 100;
/// Tests in the first run; each further one takes twice as many, up to the last number.
const FIRST_RUN: usize = 6;
const LARGEST_RUN: usize = 60;

/// What a test costs and reaches when no mutant is awake.
#[derive(Debug)]
struct Test {
    name: String,
    took: Duration,
    reaches: Vec<Id>,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// By this test.
    Killed(String),
    /// By no test, but by the simulator.
    Simulated,
    /// This many tests reach it.
    Survived(usize),
}

/// What tries mutants.
pub(crate) struct Court {
    program: PathBuf,
    dir: PathBuf,
    simulator: Option<(PathBuf, u32)>,
    tests: Vec<Test>,
    /// The tests that reach a mutant, in the order in which they are run.
    reached_by: BTreeMap<Id, Vec<usize>>,
}

impl Court {
    /// Runs every test of `program` once, alone, to see which mutants it reaches. Those that need more processor time than
    /// `longest` are left out.
    pub(crate) fn assemble(program: PathBuf, dir: PathBuf, scratch: &Path, longest: Duration) -> Result<Self, Failure> {
        let list = Command::new(&program).arg("--list").current_dir(&dir).output()?;
        let list = String::from_utf8(list.stdout)?;
        let names: Vec<_> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
        let mut court = Self { program, dir, simulator: None, tests: Vec::new(), reached_by: BTreeMap::new() };
        for name in names {
            court.add(name, &scratch.join("reached"), longest)?;
        }
        for tests in court.reached_by.values_mut() {
            // A test that reaches little is about what it reaches.
            tests.sort_by_key(|test| {
                let Some(Test { took, reaches, .. }) = court.tests.get(*test) else { return Duration::MAX };
                *took * (1 + u32::try_from(reaches.len() / 256).unwrap_or(u32::MAX))
            });
        }
        Ok(court)
    }

    /// Survivors of the tests are tried by this many seeds of the simulator, too.
    pub(crate) fn simulate(&mut self, simulator: PathBuf, seeds: u32) {
        self.simulator = Some((simulator, seeds));
    }

    fn add(&mut self, name: &str, file: &Path, longest: Duration) -> Result<(), Failure> {
        if file.exists() {
            std::fs::remove_file(file)?;
        }
        let before = processor_time_of_children()?;
        let mut test = self.command(&self.program, Duration::from_secs(600));
        let good = test.args(["--exact", name]).env("MUTANT_REACHED", file).status()?.success();
        if !good {
            return Err(format!("{name} fails while no mutant is awake").into());
        }
        let reached = if file.exists() { std::fs::read_to_string(file)? } else { String::new() };
        let reaches: Vec<Id> = reached.lines().filter_map(|line| line.parse().ok()).collect();
        let took = processor_time_of_children()?.saturating_sub(before);
        if took > longest {
            return Ok(());
        }
        for id in &reaches {
            self.reached_by.entry(*id).or_default().push(self.tests.len());
        }
        self.tests.push(Test { name: name.into(), took, reaches });
        Ok(())
    }

    /// A run that is ended when it takes too much memory or processor time: a loop without end is noticed, too.
    fn command(&self, program: &Path, cpu: Duration) -> Command {
        // Not every shell takes more than one limit at a time.
        let limits = format!("ulimit -c 0 && ulimit -v {MOST_MEMORY} && ulimit -t {} && ", cpu.as_secs() + 1);
        let limits = limits + "exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", &limits]).arg(program).current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir);
        command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Wakes a mutant, and runs the tests that reach it.
    pub(crate) fn try_by_tests(&self, id: Id) -> Result<Fate, Failure> {
        let reached_by = self.reached_by.get(&id).map(Vec::as_slice).unwrap_or_default();
        let (mut rest, mut count) = (reached_by, FIRST_RUN);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(count.min(rest.len()));
            let tests: Vec<&Test> = now.iter().filter_map(|test| self.tests.get(*test)).collect();
            let patience = tests.iter().map(|test| test.took).sum::<Duration>() * 4 + Duration::from_secs(1);
            let mut run = self.command(&self.program, patience);
            run.args(["--exact", "--test-threads", "1"]).args(tests.iter().map(|test| &test.name));
            let output = run.env("MUTANT", id.to_string()).stdout(Stdio::piped()).output()?;
            if !output.status.success() {
                return Ok(Fate::Killed(first_failure(&String::from_utf8_lossy(&output.stdout))));
            }
            (rest, count) = (later, (count * 2).min(LARGEST_RUN));
        }
        Ok(Fate::Survived(reached_by.len()))
    }

    /// Wakes a mutant that `tests` have not noticed, and runs the seeds of the simulator.
    pub(crate) fn try_by_simulator(&self, id: Id, tests: usize) -> Result<Fate, Failure> {
        let Some((simulator, seeds)) = &self.simulator else { return Ok(Fate::Survived(tests)) };
        let patience = Duration::from_secs(30) + Duration::from_secs(1) * *seeds;
        let mut run = self.command(simulator, patience);
        run.args(["swarm", "--threads", "1", "--from", "1", "--seeds", &seeds.to_string()]);
        let good = run.env("MUTANT", id.to_string()).status()?.success();
        Ok(if good { Fate::Survived(tests) } else { Fate::Simulated })
    }
}

/// Of all that have ended. Unlike the time that has passed, it says the same on a busy machine.
fn processor_time_of_children() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program may hold anything, blanks and brackets, too.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(13).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// The name of the test that failed, in what a run has printed.
fn first_failure(printed: &str) -> String {
    let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    printed.lines().find_map(failed).unwrap_or_else(|| "a run that did not end".into())
}
