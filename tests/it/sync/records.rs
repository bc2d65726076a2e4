//! Records like those of a package index: some hundred bytes of text, now and then four kilobytes. The same at every run.

use std::fmt::Write as _;
use std::ops::Range;

const WORDS: [&str; 32] = [
    "library",
    "shared",
    "runtime",
    "headers",
    "development",
    "files",
    "for",
    "the",
    "tool",
    "command",
    "line",
    "and",
    "utilities",
    "documentation",
    "common",
    "data",
    "architecture",
    "independent",
    "provides",
    "support",
    "of",
    "python",
    "module",
    "network",
    "server",
    "client",
    "font",
    "transitional",
    "package",
    "debugging",
    "symbols",
    "version",
];

/// Record `n` of a set, with its key under `prefix`, as a line of `store import`.
fn record(text: &mut String, prefix: &str, n: u32) {
    let mut dice = Dice::of(n);
    // Half of them are short, one in eight is long.
    let most = [300, 300, 300, 300, 700, 700, 1500, 4000][dice.below(8)];
    let length = 100 + dice.below(most - 99);
    write!(text, "{{\"key\":\"{prefix}/lib{}-{n:06}\",\"value\":\"", WORDS[dice.below(WORDS.len())]).unwrap();
    let begun = text.len();
    while text.len() < begun + length {
        write!(text, "{} {:x} ", WORDS[dice.below(WORDS.len())], dice.next()).unwrap();
    }
    text.truncate(begun + length);
    text.push_str("\"}\n");
}

/// The records of a range, as `store import` takes them.
pub(super) fn records(prefix: &str, range: Range<u32>) -> String {
    range.fold(String::new(), |mut text, n| {
        record(&mut text, prefix, n);
        text
    })
}

/// Numbers that look random and are the same at every run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u32) -> Self {
        Self((u64::from(seed) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(super) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}
