//! Which seeds run: the one that `SEED` says, or some that nobody has seen.

use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::sync::OnceLock;

/// The seed that `SEED` says. If it says none, all tests end at once: each of them would say the same.
pub(crate) fn chosen() -> Option<u64> {
    static ASKED: OnceLock<Option<u64>> = OnceLock::new();
    *ASKED.get_or_init(|| {
        let seed = std::env::var_os("SEED")?;
        Some(read(&seed).unwrap_or_else(|why| {
            std::io::stderr().write_all(format!("{why}\n").as_bytes()).expect("somebody reads");
            std::process::exit(2)
        }))
    })
}

fn read(seed: &OsStr) -> Result<u64, String> {
    seed.to_str().and_then(|seed| seed.trim().parse().ok()).ok_or_else(|| {
        format!("SEED={} is no seed: say a number, such as SEED=42 cargo test -p sim seeds", seed.display())
    })
}

/// The first of so many new seeds. They are told past what `cargo test` keeps to itself, so that they can be run again.
pub(crate) fn fresh(count: u64, tests: &str) -> u64 {
    let first = std::hash::RandomState::new().build_hasher().finish() >> 16;
    std::io::stderr().write_all(how_again(first, count, tests).as_bytes()).expect("somebody reads");
    first
}

/// The chosen seed has kept every promise: told like fresh seeds, for else nothing says that it was played.
pub(crate) fn tell_kept(seed: u64, world: &str) {
    let told = format!("SEED={seed}: every promise was kept in the world of {world}\n");
    std::io::stderr().write_all(told.as_bytes()).expect("somebody reads");
}

fn how_again(first: u64, count: u64, tests: &str) -> String {
    let one = format!("SEED={first} cargo test -p sim {tests}");
    if count == 1 {
        return format!("fresh seed {first}; again: {one}\n");
    }
    let last = first + count - 1;
    let all = format!("cargo run -p sim -- swarm --from {first} --seeds {count}");
    format!("fresh seeds {first} to {last}; all again: {all}; the first alone, and the others likewise: {one}\n")
}

#[test]
fn every_fresh_seed_can_be_run_again_by_what_is_told() {
    assert_eq!(how_again(7, 1, "turmoil"), "fresh seed 7; again: SEED=7 cargo test -p sim turmoil\n");
    let told = how_again(7, 8, "seeds");
    for words in ["fresh seeds 7 to 14;", "all again: cargo run -p sim -- swarm --from 7 --seeds 8;", "alone"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn what_is_no_seed_is_refused_by_name() {
    assert_eq!(read(OsStr::new("42")), Ok(42));
    for wrong in ["abc", "", "-1", "18446744073709551616"] {
        let why = read(OsStr::new(wrong)).unwrap_err();
        assert!(why.starts_with(&format!("SEED={wrong} is no seed")) && why.contains("SEED=42"), "{why}");
    }
}
