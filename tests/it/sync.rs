//! Nodes that bring each other to one state: real processes, real sockets, real interruptions.
//!
//! Sizes are small enough for every run of the tests. With `FULL_SIZE=1` in the environment they are those of a day in
//! the field: 60,000 records between two nodes, 20,000 writes in a mesh of eight.

mod conflicts;
mod full_disk;
mod mesh;
mod peer;
mod proxy;
mod records;
mod relay;
mod restarts;
mod small_disk;
#[cfg(target_os = "linux")]
mod soak;
mod strangers;
mod transfer;
mod weather;

use std::time::{Duration, Instant};

use self::peer::Peer;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// `small`, or `full` when the environment asks for it.
fn sized(small: u32, full: u32) -> u32 {
    if std::env::var_os("FULL_SIZE").is_some_and(|value| value == "1") { full } else { small }
}

/// Waits for a state of processes that no event tells, asking again and again.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until all hold the same, claim all of it, and know that everything they wrote is held elsewhere.
#[track_caller]
fn until_agreed(peers: &[&Peer]) {
    let begun = Instant::now();
    loop {
        let states: Vec<_> = peers.iter().map(|peer| peer.state()).collect();
        let first = states.first().expect("somebody has to agree");
        let agreed = |state: &peer::State| {
            state.digest == first.digest && state.vector == first.vector && state.exact && state.pending() == 0
        };
        if states.iter().all(agreed) {
            return;
        }
        if begun.elapsed() > PATIENCE {
            let logs: String = peers.iter().map(|peer| format!("--- {}\n{}", peer.name(), peer.log())).collect();
            panic!("they do not agree: {states:#?}\n{logs}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
