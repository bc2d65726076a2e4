//! The project's own rules, checked over the tracked files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace").to_path_buf()
}

/// Source files of the project, relative to its root, with their text. Build output and hidden folders are passed over.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> =
            std::fs::read_dir(dir).expect("folders are readable").map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !matches!(name.as_str(), "target" | "corpus" | "artifacts" | "fixtures") {
                    walk(&path, found);
                }
            } else {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("sources are text");
            (path.strip_prefix(&root).expect("found below the root").to_string_lossy().into_owned(), text)
        })
        .collect()
}

fn is_test_code(path: &str) -> bool {
    path.starts_with("tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.ends_with("testing.rs")
}

/// The lines before the tests of a file, numbered from 1, without comments.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

fn assert_none(rule: &str, offences: &[String]) {
    let mut report = String::new();
    for offence in offences {
        writeln!(report, "  {offence}").expect("writing to a String cannot fail");
    }
    assert!(offences.is_empty(), "{rule}:\n{report}");
}

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    let long: Vec<_> = files(&["rs"])
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_none("files of more than 600 lines; split them by idea", &long);
}

#[test]
fn the_core_is_pure() {
    let banned =
        ["std::", "tokio", "HashMap", "HashSet", "Instant::now", "SystemTime", "getrandom", "thread_rng", "OsRng"];
    let mut offences = Vec::new();
    for (path, text) in files(&["rs"]) {
        // Empty but in the simulator's builds: each of its threads counts the rare paths that it has taken.
        let only_simulated = path == "core/src/marks.rs";
        if !path.starts_with("core/src/") || is_test_code(&path) || only_simulated {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for word in banned {
                if line.contains(word) {
                    offences.push(format!("{path}:{number}: {word}"));
                }
            }
        }
    }
    assert_none("the core may not touch the world or depend on hash order", &offences);
}

#[test]
fn siblings_in_the_core_do_not_know_each_other() {
    let forbidden = [
        ("core/src/store", &["wal", "node", "transport", "sync", "discovery"][..]),
        ("core/src/wal", &["store", "node", "transport", "sync", "discovery"]),
        ("core/src/sync", &["wal", "node", "transport", "discovery"]),
        ("core/src/transport", &["wal", "node", "store", "sync", "discovery"]),
        ("core/src/discovery", &["wal", "node", "store", "sync", "transport"]),
    ];
    let mut offences = Vec::new();
    for (path, text) in files(&["rs"]) {
        for (folder, strangers) in forbidden {
            if !path.starts_with(folder) || is_test_code(&path) {
                continue;
            }
            for (number, line) in code_lines(&text) {
                for stranger in strangers {
                    if line.contains(&format!("crate::{stranger}::"))
                        || line.contains(&format!("use crate::{stranger};"))
                    {
                        offences.push(format!("{path}:{number}: knows {stranger}"));
                    }
                }
            }
        }
    }
    assert_none("arrows only point inward", &offences);
}

#[test]
fn nothing_is_left_unfinished_in_silence() {
    // Spelled in parts, so that this file does not offend itself.
    let marks = [concat!("todo", "!("), concat!("unimpl", "emented!("), concat!("FIX", "ME"), concat!("#[ig", "nore")];
    let mut offences = Vec::new();
    for (path, text) in files(&["rs", "toml", "md"]) {
        for (index, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                offences.push(format!("{path}:{}", index + 1));
            }
        }
    }
    assert_none("marks of unfinished work", &offences);
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<_> = files(&["rs"])
        .into_iter()
        .filter(|(path, text)| !path.starts_with("fuzz/") && !path.ends_with("/tests.rs") && !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert_none("files without a first line that says what they are", &silent);
}

#[test]
fn the_gate_runs_the_test_command_of_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let gate = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let command = "cargo test --locked";
    assert!(readme.lines().any(|line| line.trim() == command), "README.md gives `{command}`");
    assert!(gate.lines().any(|line| line.trim() == format!("step {command}")), ".ci/run runs `{command}`");
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in files(&["md"]) {
        let folder = root().join(&path).parent().expect("files lie in folders").to_path_buf();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            if !folder.join(file).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert_none("links to files that do not exist", &broken);
}

/// The routes in the sources of the server, and those of the table in `docs/json.md`, as `METHOD /path`.
#[test]
fn every_route_is_in_the_table() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let server = "io-tokio/src/control/server";
    let sources = [format!("{server}.rs"), format!("{server}/network.rs"), format!("{server}/discovery.rs")];
    let mut there = BTreeSet::new();
    for source in sources.map(|path| read(&path)) {
        for route in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, methods) = route.split_once("\", ").unwrap();
            let methods = ["get", "put", "post", "delete"].into_iter().filter(|method| {
                methods.starts_with(&format!("{method}(")) || methods.contains(&format!(".{method}("))
            });
            there.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
    }
    assert!(there.contains("DELETE /v1/store/value"), "routes are found: {there:?}");
    let told = read("docs/json.md");
    let cells = told.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let routes = cells.flat_map(|cell| cell.split(", ")).map(|route| route.trim_matches('`').to_owned());
    let told: BTreeSet<String> = routes.filter(|route| route.contains(" /v1/")).collect();
    assert_eq!(told, there, "told, and there");
}
