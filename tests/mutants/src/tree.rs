//! A copy of the repository in which the core holds its mutants, and what cargo makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Failure;
use crate::catalogue::{Id, Mutant};
use crate::weave::weave;

/// The package whose mutants are tried.
pub(crate) const PACKAGE: &str = "softadastra-core";
/// What the simulator needs of it: mutants there have to be Rust, too.
const FEATURES: &str = "pretend,marks";
const SWITCH: &str = include_str!("switch.rs.in");

/// Overflows and recursions without end are what some mutants are about.
const FLAGS: &str = "-Awarnings -Aarithmetic_overflow -Aunconditional_panic -Aunconditional_recursion";

/// The copy.
pub(crate) struct Tree {
    /// What is copied.
    root: PathBuf,
    /// Where to.
    copy: PathBuf,
    built: PathBuf,
}

impl Tree {
    /// Copies what git knows of below `root`, under `work`.
    pub(crate) fn copy(root: &Path, work: &Path) -> Result<Self, Failure> {
        let list = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
        let copy = work.join("tree");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        for name in String::from_utf8(list.stdout)?.split_terminator('\0') {
            let to = copy.join(name);
            fs::create_dir_all(to.parent().unwrap_or(&copy))?;
            if root.join(name).is_file() {
                fs::copy(root.join(name), to)?;
            }
        }
        Ok(Self { root: root.into(), copy, built: work.join("build") })
    }

    /// Where tests of the core run.
    pub(crate) fn package(&self) -> PathBuf {
        self.copy.join("core")
    }

    /// Puts into the core what compiles of `mutants`; those are left in the map. Says after each try how many are left.
    pub(crate) fn plant(&self, mutants: &mut BTreeMap<Id, Mutant>, say: impl Fn(usize)) -> Result<(), Failure> {
        let mut needed = BTreeSet::new();
        loop {
            self.weave(mutants, &needed)?;
            say(mutants.len());
            let known = needed.len();
            let faulty = self.faulty(&mut needed)?;
            if faulty.is_empty() && needed.len() == known {
                return Ok(());
            }
            mutants.retain(|id, _| !faulty.contains(id));
        }
    }

    fn weave(&self, mutants: &mut BTreeMap<Id, Mutant>, needed: &BTreeSet<String>) -> Result<(), Failure> {
        let mut by_file: BTreeMap<&str, Vec<(Id, &Mutant)>> = BTreeMap::new();
        for (id, mutant) in &*mutants {
            by_file.entry(&mutant.file).or_default().push((*id, mutant));
        }
        let mut inside = BTreeSet::new();
        for (file, mutants) in by_file {
            let woven = weave(&fs::read_to_string(self.root.join(file))?, &mutants, needed)?;
            fs::write(self.copy.join(file), woven.text)?;
            inside.extend(woven.inside);
        }
        let count = mutants.keys().next_back().map_or(0, |last| last + 1);
        fs::write(self.package().join("src/mutant.rs"), SWITCH.replace("COUNT", &count.to_string()))?;
        let lib = fs::read_to_string(self.root.join("core/src/lib.rs"))?;
        let lib = lib.replacen("\npub mod ", "\n#[doc(hidden)]\npub mod mutant;\npub mod ", 1);
        fs::write(self.package().join("src/lib.rs"), lib)?;
        mutants.retain(|id, _| inside.contains(id));
        Ok(())
    }

    /// Those of which the compiler says that they are not Rust. Adds to `needed` the functions that must stay constant.
    fn faulty(&self, needed: &mut BTreeSet<String>) -> Result<BTreeSet<Id>, Failure> {
        let mut faulty = BTreeSet::new();
        let mut strange = Vec::new();
        for message in self.cargo(&["check", "--package", PACKAGE, "--lib", "--features", FEATURES])?.1 {
            let Some(message) = message.message.filter(|message| message.level == "error") else { continue };
            if let Some(name) = not_constant(&message.message) {
                needed.insert(name.to_owned());
                continue;
            }
            let Some(span) = message.spans.iter().find(|span| span.is_primary) else { continue };
            let text = fs::read_to_string(self.copy.join(&span.file_name))?;
            let lines: Vec<_> = text.lines().collect();
            let near = |margin: usize| {
                let from = span.line_start.saturating_sub(1 + margin);
                let to = (span.line_end + margin).min(lines.len());
                lines.get(from..to).unwrap_or_default().iter().flat_map(|line| marks(line)).collect::<BTreeSet<_>>()
            };
            // A match that lacks an arm begins where that is not to be seen.
            let margin = [0, 1, 12].into_iter().find(|margin| !near(*margin).is_empty());
            match margin {
                Some(margin) => faulty.extend(near(margin)),
                None => strange.push(format!("{}:{}: {}", span.file_name, span.line_start, message.message)),
            }
        }
        if faulty.is_empty() && !strange.is_empty() {
            return Err(format!("it does not compile, and no mutant is the reason:\n{}", strange.join("\n")).into());
        }
        Ok(faulty)
    }

    /// Builds the unit tests of the core.
    pub(crate) fn tests(&self) -> Result<PathBuf, Failure> {
        self.executable(&["test", "--no-run", "--package", PACKAGE, "--lib"])
    }

    /// Builds the simulator.
    pub(crate) fn simulator(&self) -> Result<PathBuf, Failure> {
        self.executable(&["build", "--package", "sim", "--bin", "sim"])
    }

    fn executable(&self, what: &[&str]) -> Result<PathBuf, Failure> {
        let (good, messages) = self.cargo(what)?;
        let executable = messages.into_iter().rev().find_map(|message| message.executable);
        executable
            .filter(|_| good)
            .ok_or_else(|| format!("`cargo {}` fails in {}", what.join(" "), self.copy.display()).into())
    }

    fn cargo(&self, what: &[&str]) -> Result<(bool, Vec<Message>), Failure> {
        let output = Command::new("cargo")
            .args(what)
            .args(["--locked", "--message-format", "json", "--config", "profile.dev.opt-level=1"])
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.built)
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTFLAGS", FLAGS)
            .stderr(Stdio::null())
            .output()?;
        let lines = String::from_utf8(output.stdout)?;
        let messages = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok((output.status.success(), messages))
    }
}

/// The name of the function of which the compiler says that a constant needs it.
fn not_constant(message: &str) -> Option<&str> {
    let path = message.strip_prefix("cannot call non-const ")?.split('`').nth(1)?;
    path.rsplit("::").next()
}

/// The numbers in a line's comments.
fn marks(line: &str) -> Vec<Id> {
    line.split("/*m").skip(1).filter_map(|rest| rest.split("*/").next()?.parse().ok()).collect()
}

#[derive(Deserialize)]
struct Message {
    message: Option<Complaint>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Complaint {
    message: String,
    level: String,
    spans: Vec<Spot>,
}

#[derive(Deserialize)]
struct Spot {
    file_name: String,
    line_start: usize,
    line_end: usize,
    is_primary: bool,
}
