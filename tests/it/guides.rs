//! The guides, typed: every command in their console blocks is run, on nodes of its own, and what they show is there.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Node, Place, Ran};

/// How long what a guide shows may take to come about.
const SOON: Duration = Duration::from_secs(30);

/// One command of a guide, and the lines shown below it.
struct Typed {
    machine: String,
    command: String,
    shown: Vec<String>,
}

fn typed(guide: &str) -> Vec<Typed> {
    let path = format!("{}/../docs/guides/{guide}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut found: Vec<Typed> = Vec::new();
    for block in text.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.split_once("$ ") {
                Some((machine, command))
                    if machine.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) =>
                {
                    found.push(Typed { machine: machine.into(), command: command.into(), shown: Vec::new() });
                }
                _ => found.last_mut().unwrap().shown.push(line.to_owned()),
            }
        }
    }
    assert!(found.len() > 10, "{guide} has console blocks");
    found
}

/// The words of a command; double quotes hold words together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// Whether an output has a line like this one, up to blanks and to where it is cut short.
fn has(output: &str, shown: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (wanted, whole) = match shown.split_once('…') {
        Some((start, _)) => (squeezed(start), false),
        None => (squeezed(shown), true),
    };
    output.lines().map(squeezed).any(|line| if whole { line == wanted } else { line.starts_with(&wanted) })
}

/// A world for one guide: its machines, and what stands in it for addresses and tickets.
struct World {
    machines: BTreeMap<String, (Place, Option<Node>)>,
    address: String,
    ticket: String,
    /// Where `/backup` is.
    backup: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            machines: BTreeMap::new(),
            address: free.to_string(),
            ticket: String::new(),
            backup: tempfile::tempdir().unwrap(),
        }
    }

    /// A text of the guide with the addresses of this world.
    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for address in ["192.0.2.10:4444", "relay.example:4444", "0.0.0.0:4444"] {
            text = text.replace(address, &self.address);
        }
        text.replace("/backup", self.backup.path().to_str().unwrap())
    }

    fn type_in(&mut self, typed: &Typed) {
        let Typed { machine, command, shown } = typed;
        let command = self.here(command).replace("sadticket…", &self.ticket);
        let shown: Vec<String> = shown.iter().filter(|line| !line.is_empty()).map(|line| self.here(line)).collect();
        let (place, node) = self.machines.entry(machine.clone()).or_insert_with(|| (Place::empty(), None));
        if command == "^C" {
            assert_eq!(node.take().unwrap().stop().code, 0);
            return;
        }
        let words = words(&command);
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = args.strip_prefix(&["softadastra"]).unwrap_or_else(|| panic!("{command} is another program"));
        if let Some(further) = args.strip_prefix(&["node", "start"]) {
            assert!(node.is_none() && shown.is_empty(), "{command}");
            *node = Some(place.start_with(further));
            return;
        }
        let is_question = matches!(args[0], "status" | "peers" | "sync" | "conflicts" | "doctor")
            && !matches!(args.get(1), Some(&"resolve" | &"forget"))
            || args.get(1) == Some(&"get");
        let began = Instant::now();
        loop {
            let ran = place.run(args);
            if ran.code == 0 && shown.iter().all(|line| has(&ran.out(), line)) {
                self.keep_ticket(&ran);
                return;
            }
            assert!(is_question && began.elapsed() < SOON, "{machine}$ {command} shows {shown:#?}, not {ran:?}");
        }
    }

    fn keep_ticket(&mut self, ran: &Ran) {
        if ran.out().starts_with("sadticket") {
            self.ticket = ran.out().trim().to_owned();
        }
    }
}

fn follow(guide: &str) {
    let mut world = World::new();
    for typed in typed(guide) {
        world.type_in(&typed);
    }
}

#[test]
fn two_machines() {
    follow("two-machines");
}

#[test]
fn relay() {
    follow("relay");
}

#[test]
fn run_a_node() {
    follow("run-a-node");
}

#[test]
fn production() {
    follow("production");
}

#[test]
fn what_is_shown_is_compared() {
    assert!(has("a   b\nc", "a b") && has("a b c", "a b…") && has("x", "…"));
    assert!(!has("a b c", "a b") && !has("a", "b…"));
    assert_eq!(words("put k \"a b\" c"), ["put", "k", "a b", "c"]);
}
