//! All named stories together: each is listed, each is the same when it is told again, here and in another process, and
//! has its place in the table of the manual.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use sim::told;

use crate::{exchange, field, fleets, io_errors, links, operators, protocols, regressions, returns, stories};

type Stories = &'static [(&'static str, fn())];

/// Files of stories, with their text.
const FILES: [(&str, Stories, &str); 10] = [
    ("exchange", exchange::STORIES, include_str!("exchange.rs")),
    ("field", field::STORIES, include_str!("field.rs")),
    ("fleets", fleets::STORIES, include_str!("fleets.rs")),
    ("links", links::STORIES, include_str!("links.rs")),
    ("operators", operators::STORIES, include_str!("operators.rs")),
    ("regressions", regressions::STORIES, include_str!("regressions.rs")),
    ("returns", returns::STORIES, include_str!("returns.rs")),
    ("stories", stories::STORIES, include_str!("stories.rs")),
    ("protocols", protocols::STORIES, include_str!("protocols.rs")),
    ("io_errors", io_errors::STORIES, include_str!("io_errors.rs")),
];

/// Loops of hundreds of short runs each: told once here and once elsewhere, for the sake of time.
const LOOPS: [&str; 2] = ["protocols", "io_errors"];

/// Set for the other process.
const TELL: &str = "SIM_TELL_ALL_STORIES";

/// The names of the tests in a source file.
fn tests_in(source: &str) -> Vec<&str> {
    let mut lines = source.lines();
    let mut names = Vec::new();
    while let Some(line) = lines.next() {
        if line == "#[test]" {
            let name = lines.next().and_then(|line| line.strip_prefix("fn ")).and_then(|line| line.split_once('('));
            names.extend(name.map(|(name, _)| name));
        }
    }
    names
}

/// Tells a story, and gives the trace hashes of all its runs.
fn hashes(tell: fn()) -> Vec<u64> {
    drop(told::take());
    tell();
    let told = told::take();
    assert!(!told.is_empty(), "a story without a run");
    told
}

#[test]
fn every_story_is_listed() {
    for (file, listed, source) in FILES {
        let listed: Vec<&str> = listed.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, tests_in(source), "{file}.rs: its list of stories is not that of its tests");
    }
}

/// What stands in backquotes in the table of stories.
fn stories_of_the_manual() -> BTreeSet<&'static str> {
    let manual = include_str!("../../../docs/simulation.md");
    let (_, from) = manual.split_once("\n## Stories\n").expect("a section about stories");
    let (section, _) = from.split_once("\n## ").expect("a section behind it");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_manual_names_every_story_and_no_other() {
    let named = stories_of_the_manual();
    let told: BTreeSet<&str> = FILES.iter().flat_map(|(.., source)| tests_in(source)).collect();
    let played = [include_str!("turmoil.rs"), include_str!("seeds.rs")].into_iter().flat_map(tests_in);
    let all: BTreeSet<&str> = told.iter().copied().chain(played).collect();
    let unknown: Vec<_> = named.difference(&all).collect();
    assert!(unknown.is_empty(), "the table names stories that nobody tells: {unknown:?}");
    let regressions: BTreeSet<&str> = tests_in(include_str!("regressions.rs")).into_iter().collect();
    let missing: Vec<_> = told.iter().filter(|name| !named.contains(*name) && !regressions.contains(*name)).collect();
    assert!(missing.is_empty(), "the table lacks {missing:?}");
}

#[test]
fn every_story_is_the_same_when_told_again_and_in_another_process() {
    if std::env::var_os(TELL).is_some() {
        for (file, stories, _) in FILES {
            for (name, tell) in stories {
                println!("\ntold {file}::{name} {:x?}", hashes(*tell));
            }
        }
        return;
    }
    let this = std::env::current_exe().unwrap();
    let test = "every::every_story_is_the_same_when_told_again_and_in_another_process";
    let mut elsewhere = Command::new(this);
    elsewhere.args([test, "--exact", "--nocapture"]).env(TELL, "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let elsewhere = elsewhere.spawn().unwrap();
    let mut here = BTreeMap::new();
    for (file, stories, _) in FILES {
        for (name, tell) in stories {
            let first = hashes(*tell);
            if !LOOPS.contains(&file) {
                assert_eq!(first, hashes(*tell), "{file}::{name} is another story when it is told again");
            }
            here.insert(format!("{file}::{name}"), format!("{first:x?}"));
        }
    }
    let output = elsewhere.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let told = said.lines().filter_map(|line| line.strip_prefix("told ")?.split_once(' '));
    let there: BTreeMap<String, String> = told.map(|(name, hashes)| (name.to_owned(), hashes.to_owned())).collect();
    let mut differ = String::new();
    for (name, hashes) in &here {
        if there.get(name) != Some(hashes) {
            writeln!(differ, "{name}").unwrap();
        }
    }
    assert!(differ.is_empty(), "told otherwise in another process:\n{differ}");
    assert_eq!(here.len(), there.len());
}
