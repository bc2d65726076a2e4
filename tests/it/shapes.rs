//! What commands print for people, as a whole: the transcripts in `shapes/` are typed again, and compared line by line.
//!
//! What differs from run to run is masked; how wide columns are is for the tests beside the code that draws them. With
//! `SHAPES=write` in the environment the transcripts are written anew.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::network::shows;
use crate::support::{Place, Ran};

/// A transcript as it is being typed.
struct Transcript {
    name: &'static str,
    text: String,
}

impl Transcript {
    fn of(name: &'static str) -> Self {
        Self { name, text: String::new() }
    }

    /// Types a command on the machine of this place.
    fn type_in(&mut self, machine: &str, place: &Place, args: &[&str]) -> Ran {
        let ran = place.run(args);
        self.text.push_str(&format!("{machine}$ softadastra {}\n", args.join(" ")));
        for line in ran.out().lines().chain(ran.stderr.lines()) {
            self.text.push_str(masked(line, place).trim_end());
            self.text.push('\n');
        }
        if ran.code != 0 {
            self.text.push_str(&format!("[{}]\n", ran.code));
        }
        self.text.push('\n');
        ran
    }

    #[track_caller]
    fn stays_the_same(self) {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/shapes");
        let path = dir.join(self.name).with_extension("txt");
        if std::env::var_os("SHAPES").is_some_and(|what| what == "write") {
            std::fs::write(&path, &self.text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(self.text, kept, "{} differs; SHAPES=write takes it on", path.display());
    }
}

/// A line without what differs from run to run; blanks in a row count as two.
fn masked(line: &str, place: &Place) -> String {
    let line = line.replace(place.data().to_str().unwrap(), "<dir>").replace(env!("CARGO_PKG_VERSION"), "<version>");
    let vary = ["Host", "System", "Last LSN", "Durable LSN", "Log bytes", "Disk"];
    if let Some(name) = vary.iter().find(|name| line.starts_with(&format!("{name}  "))) {
        return format!("{name}  <…>");
    }
    let columns: Vec<String> =
        line.split("  ").map(str::trim).filter(|column| !column.is_empty()).map(column).collect();
    columns.join("  ")
}

fn column(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let masked = words.iter().enumerate().map(|(at, word)| {
        let next = words.get(at + 1).copied().unwrap_or_default();
        word_of(word, at.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default(), next)
    });
    masked.collect::<Vec<_>>().join(" ")
}

fn word_of(word: &str, before: &str, next: &str) -> String {
    let is_number = word.parse::<f64>().is_ok();
    let all = |wanted: fn(char) -> bool| word.chars().all(wanted);
    if word.len() == 32 && all(|c| c.is_ascii_hexdigit()) {
        return "<id>".to_owned();
    }
    if word.len() == 52 && all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return "<key>".to_owned();
    }
    if let Some((_, rest)) = word.split_once("127.0.0.1:") {
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        return format!("127.0.0.1:<port>{behind}");
    }
    if word.ends_with('Z') && word.matches(':').count() == 2 {
        return "<time>".to_owned();
    }
    if word.len() == 10 && word.matches('-').count() == 2 && all(|c| c.is_ascii_digit() || c == '-') {
        return "<date>".to_owned();
    }
    let is_time = matches!(next, "ms" | "s" | "min" | "h" | "d");
    if is_number && (is_time || before == "process") {
        return "<n>".to_owned();
    }
    word.to_owned()
}

#[test]
fn one_node_by_itself() {
    let place = Place::empty();
    let mut transcript = Transcript::of("one-node");
    for line in [
        "init --node-id till",
        "status",
        "node info",
        "store put greeting hello",
        "store put greeting hello",
        "store put greeting hi",
        "store get greeting",
        "store get missing",
        "store list",
        "sync status",
        "sync tick",
        "sync outbox",
        "peers",
        "discovery status",
        "connect shop",
    ] {
        transcript.type_in("till", &place, &line.split(' ').collect::<Vec<_>>());
    }
    transcript.stays_the_same();
}

#[test]
fn two_nodes_and_the_four_ends_of_a_tick() {
    let (shop, till) = (Place::of("shop"), Place::of("till"));
    let by_hand = ["--listen", "127.0.0.1:0", "--set", "auto_tick=false"];
    let at_shop = shop.start_with(&by_hand);
    let ticket = shop.run(&["ticket"]).ok();
    till.run(&["join", ticket.trim()]).ok();
    let at_till = till.start_with(&by_hand);
    let open = |place: &Place| {
        shows(place, &["peers"], "softadastra.peers/1", "the link is open", |data| {
            let peer = &data["peers"][0];
            peer["sync"]["phase"] == "open" && peer["round_trip_us"].is_u64()
        });
    };
    open(&till);
    let mut transcript = Transcript::of("two-nodes");
    let mut type_in = |args: &[&str]| transcript.type_in("till", &till, args);
    type_in(&["node", "info"]);
    type_in(&["sync", "tick"]);
    type_in(&["store", "put", "tea", "2.40"]);
    type_in(&["sync", "outbox"]);
    type_in(&["sync", "tick"]);
    shows(&till, &["status"], "softadastra.status/1", "it is delivered", |data| data["outbox"] == 0);
    type_in(&["status"]);
    type_in(&["sync", "status"]);
    type_in(&["peers"]);
    // A peer that takes nothing any more: what it may be sent is soon used up.
    at_shop.signal(Signal::STOP);
    let large = till.path().join("large");
    std::fs::write(&large, vec![b'x'; 1 << 20]).unwrap();
    let mut ticks = 0;
    loop {
        till.run(&["store", "put", &format!("large/{ticks}"), "--file", large.to_str().unwrap()]).ok();
        let told = till.run(&["sync", "tick", "--json"]).data("softadastra.tick/1");
        if told["outcome"] == "nothing_sent" {
            break;
        }
        ticks += 1;
        assert!(ticks < 64, "it is sent more and more: {told}");
    }
    let told = till.run(&["sync", "tick"]).ok();
    assert!(told.ends_with(" while the peer goes on with what came before.\n"), "{told}");
    at_shop.signal(Signal::CONT);
    at_shop.stop();
    shows(&till, &["status"], "softadastra.status/1", "the shop is gone", |data| data["connected"] == 0);
    till.run(&["store", "put", "tea", "2.60"]).ok();
    let told = till.run(&["sync", "tick"]).ok();
    assert!(told.starts_with("No peer is connected: ") && told.ends_with(" operations wait for one.\n"), "{told}");
    at_till.stop();
    transcript.stays_the_same();
}

#[test]
fn what_is_masked_is_what_differs() {
    let masked = |text: &str| column(text);
    assert_eq!(masked("yes, process 4711"), "yes, process <n>");
    assert_eq!(masked("connected 5 s"), "connected <n> s");
    assert_eq!(masked("1.0 MiB, 5 B"), "1.0 MiB, 5 B");
    assert_eq!(masked("taken at 127.0.0.1:4444, 127.0.0.1:1"), "taken at 127.0.0.1:<port>, 127.0.0.1:<port>");
    assert_eq!(masked("2025-11-21 09:32:54Z"), "<date> <time>");
    assert_eq!(masked(&"ab".repeat(16)), "<id>");
}
