//! Three processes that work for a long time through everything that may happen to them: kills, restarts, cut and torn lines, a full
//! disk. They must be equal whenever they are let rest, and take no more memory and descriptors than in the beginning.
//!
//! A few seconds of it belong to every run of the tests. By hand: `SOAK=1200 cargo test -p tests soak -- --nocapture`. Then
//! memory is judged as well, and what may grow up to a bound is first brought to it: the record of conflicts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use softadastra_core::sync::MAX_CONFLICTS;

use super::peer::Peer;
use super::proxy::{Proxy, Weather};
use super::records::Dice;
use super::small_disk::SmallDisk;
use super::{until, until_agreed};
use crate::support::Place;

/// Without a word in the environment.
const SHORT: u64 = 5;

/// What happens between two rests.
const TROUBLES: usize = 12;

/// So many keys are written again and again, so that data stays as much as it is.
const KEYS: usize = 400;

/// Memory that may be gained between the first and the last third of a long run, in KiB, and as a part of what there was.
/// In twenty minutes that finds a loss of 16 bytes at each write, or of 500 at each link that ends.
const GAINED: (u64, f64) = (1024, 0.02);

/// Descriptors that a node at rest may have more than at its first rest: of commands that have just ended.
const SOME: usize = 4;

/// Three nodes, each with a line to both others.
struct World {
    peers: Vec<Peer>,
    lines: Vec<Proxy>,
    disk: Option<SmallDisk>,
    dice: Dice,
    counts: BTreeMap<&'static str, u32>,
    writes: u32,
}

/// What the node that is never ended takes, at rest: memory of its own, in KiB.
#[derive(Clone, Copy, Debug)]
struct Taken {
    descriptors: usize,
    memory: u64,
}

impl World {
    fn new(seed: u32) -> Self {
        let small = ["--set", "first_segment=1MiB", "--set", "max_segment=1MiB", "--set", "snapshot_after=1MiB"];
        let options = [&small[..], &["--set", "ack_timeout=2s"]].concat();
        let disk = SmallDisk::of(24, "a disk that is full, in the long run");
        let third = disk.as_ref().map_or_else(Place::empty, |disk| Place::with_data_in(disk.path()));
        let mut peers = vec![Peer::with("a", &options), Peer::with("b", &options), Peer::at(third, "c", &options)];
        peers.iter_mut().for_each(Peer::up);
        let mut lines = Vec::new();
        for (from, to) in [(1, 0), (2, 0), (2, 1)] {
            let line = Proxy::to(peers[to].address());
            peers[from].join_at(&peers[to], Some(&line.address()));
            lines.push(line);
        }
        Self { peers, lines, disk, dice: Dice::of(seed), counts: BTreeMap::new(), writes: 0 }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn records(&mut self, count: usize) -> String {
        let record = |_| {
            self.writes += 1;
            let (key, len) = (self.dice.below(KEYS), self.dice.below(2000));
            format!("{{\"key\":\"k/{key:03}\",\"value\":\"{} {}\"}}\n", self.writes, "x".repeat(len))
        };
        (0..count).map(record).collect()
    }

    /// Brings the record of conflicts to its bound: everybody writes the same keys without seeing the others.
    fn fill_the_record(&mut self) {
        let recorded = |peer: &Peer| peer.ask("/v1/status")["conflicts"].as_u64().unwrap();
        while recorded(&self.peers[0]) < 2 * MAX_CONFLICTS as u64 {
            self.lines.iter().for_each(|line| line.set(Weather::Cut));
            for at in 0..self.peers.len() {
                let records = self.records(2 * KEYS);
                self.peers[at].import(&records);
            }
            self.rest(None);
        }
    }

    /// Some writes on one node. One without room may refuse them, by name.
    fn write(&mut self) {
        let at = self.dice.below(self.peers.len());
        let records = self.records(20);
        let ran = self.peers[at].run_with(&["--json", "store", "import"], records.as_bytes());
        assert!(ran.code == 0 || at == 2 && ran.error()["code"] == "disk_full", "{ran:?}");
        let key = format!("k/{:03}", self.dice.below(KEYS));
        let ran = self.peers[at].run(&["--json", "store", "remove", &key]);
        let told = |code: &str| ran.error()["code"] == code;
        assert!(ran.code == 0 || told("not_found") || at == 2 && told("disk_full"), "{ran:?}");
    }

    /// Something happens.
    fn trouble(&mut self) {
        match self.dice.below(8) {
            0 | 1 => {
                self.count("kills");
                let at = 1 + self.dice.below(2);
                self.peers[at].kill();
                self.up(at);
            }
            2 => {
                self.count("restarts");
                let at = 1 + self.dice.below(2);
                self.give_room();
                self.peers[at].stop();
                self.up(at);
            }
            3 if self.disk.is_some() => {
                self.count("full disks");
                self.give_room();
                self.disk.as_ref().unwrap().fill();
            }
            4 => {
                self.count("snapshots");
                self.peers[0].run(&["snapshot"]).ok();
            }
            _ => {
                self.count("bad lines");
                let weather = [
                    Weather::Cut,
                    Weather::Hole,
                    Weather::Slow(64 << 10),
                    Weather::Torn(20_000),
                    Weather::Late(Duration::from_millis(20)),
                    Weather::Clear,
                ];
                let (at, which) = (self.dice.below(self.lines.len()), self.dice.below(weather.len()));
                self.lines[at].set(weather[which]);
            }
        }
    }

    fn up(&mut self, at: usize) {
        self.give_room();
        self.peers[at].up();
    }

    fn give_room(&self) {
        if let Some(disk) = self.disk.as_ref().filter(|disk| disk.is_full()) {
            disk.empty();
        }
    }

    /// The troubles end, and all must become equal.
    fn rest(&mut self, first: Option<Taken>) -> Taken {
        self.give_room();
        self.lines.iter().for_each(|line| line.set(Weather::Clear));
        until_agreed(&self.peers.iter().collect::<Vec<_>>());
        let all: Vec<Vec<u8>> = self.peers.iter().map(Peer::export).collect();
        assert!(all[0] == all[1] && all[1] == all[2], "they hold something else");
        let steady = self.peers[0].node();
        if let Some(first) = first {
            until("the descriptors are given back", || steady.descriptors().len() <= first.descriptors + SOME);
        }
        Taken { descriptors: steady.descriptors().len(), memory: memory_of(steady.pid()) }
    }
}

/// Memory that a process has for itself, in KiB: without the program, of which more is read the more it is used.
fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn middle(of: &[Taken]) -> u64 {
    let mut all: Vec<u64> = of.iter().map(|taken| taken.memory).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Memory of the last third of the rests against that of the first; the first tenth is left out. Says both.
fn judge_memory(rests: &[Taken]) -> Result<String, String> {
    let rests = &rests[rests.len() / 10..];
    let third = rests.len() / 3;
    let (first, last) = (middle(&rests[..third]), middle(&rests[2 * third..]));
    let told = format!("{first} KiB in the first third, {last} KiB in the last");
    let most = first + GAINED.0 + (first as f64 * GAINED.1) as u64;
    if last <= most { Ok(told) } else { Err(told) }
}

#[test]
fn soak() {
    let told = std::env::var("SOAK").ok();
    let seconds = told.as_ref().map_or(SHORT, |text| text.parse().expect("SOAK is a number of seconds"));
    let seed = std::process::id();
    let mut world = World::new(seed);
    let mut rests = vec![world.rest(None)];
    if told.is_some() {
        world.fill_the_record();
        rests = vec![world.rest(None)];
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) || rests.len() < 2 {
        for _ in 0..TROUBLES {
            world.write();
            world.trouble();
        }
        rests.push(world.rest(rests.first().copied()));
        if told.is_some() {
            let (taken, counts) = (rests.last().unwrap(), &world.counts);
            println!("{:5} s: {} writes, {counts:?}, {taken:?}", begun.elapsed().as_secs(), world.writes);
        }
    }
    for peer in &mut world.peers {
        peer.stop();
        peer.run(&["wal", "verify"]).ok();
    }
    if told.is_some() {
        match judge_memory(&rests) {
            Ok(told) => println!("memory is flat: {told}"),
            Err(told) => panic!("memory grows: {told}: {rests:?}"),
        }
    }
}

#[test]
fn memory_that_grows_is_found() {
    let rests = |memory: &dyn Fn(u64) -> u64| -> Vec<Taken> {
        (0..600).map(|rest| Taken { descriptors: 10, memory: memory(rest) }).collect()
    };
    let flat: [&dyn Fn(u64) -> u64; 3] =
        [&|_| 20_000, &|rest| 20_000 + rest % 7 * 1000, &|rest| if rest < 50 { 8_000 } else { 23_000 }];
    let grows: [&dyn Fn(u64) -> u64; 3] =
        [&|rest| 20_000 + rest * 6, &|rest| 20_000 + rest / 100 * 1000, &|rest| 9_000 + rest * 5 + rest % 5 * 500];
    assert!(flat.into_iter().all(|memory| judge_memory(&rests(memory)).is_ok()));
    assert!(grows.into_iter().all(|memory| judge_memory(&rests(memory)).is_err()));
}
