//! What happened, line by line, and one number that stands for all of it.

use std::fmt::{self, Write as _};

/// The story of one run. Every line goes into the hash; the lines themselves are kept only on demand.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: Fnv,
    lines: u64,
    kept: Option<Vec<String>>,
    asides: Vec<String>,
    muted: bool,
    step: u64,
}

impl Trace {
    /// An empty trace that keeps its lines, or only their hash.
    #[must_use]
    pub const fn new(keep: bool) -> Self {
        let kept = if keep { Some(Vec::new()) } else { None };
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), lines: 0, kept, asides: Vec::new(), muted: false, step: 0 }
    }

    /// A trace that takes no notes: writing lines takes a third of a run that nobody will compare with another.
    #[must_use]
    pub const fn muted() -> Self {
        let mut trace = Self::new(false);
        trace.muted = true;
        trace
    }

    /// Lines noted from here on belong to this step of the world: what `replay --until` counts.
    pub const fn begin_step(&mut self, step: u64) {
        self.step = step;
    }

    /// The step that it has come to.
    #[must_use]
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// Adds one line: `note(at, format_args!(..))`, `at` in microseconds of simulated time.
    pub fn note(&mut self, at: u64, line: fmt::Arguments<'_>) {
        if self.muted {
            return;
        }
        self.lines += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(line_of(self.step, at, line));
        }
        writeln!(self.hash, "{at} {line}").expect("hashing does not fail");
    }

    /// Adds a line that only somebody who asked for it is told: it is no part of the story.
    pub fn aside(&mut self, at: u64, line: fmt::Arguments<'_>) {
        let line = line_of(self.step, at, line);
        if let Some(kept) = &mut self.kept {
            kept.push(line.clone());
        }
        self.asides.push(line);
    }

    /// The lines that only somebody who asked for them is told; among [`Self::lines`], too.
    #[must_use]
    pub fn asides(&self) -> &[String] {
        &self.asides
    }

    /// The number that two runs share exactly when they told the same story.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash.0
    }

    /// How many lines were noted.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.lines
    }

    /// Whether nothing was noted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.kept.as_deref().unwrap_or_default()
    }
}

fn line_of(step: u64, at: u64, line: fmt::Arguments<'_>) -> String {
    format!("{step:>6} {:>10}.{:03} {line}", at / 1000, at % 1000)
}

#[derive(Clone, Debug)]
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_stories_apart_and_does_not_depend_on_keeping_them() {
        let story = |keep, lines: &[(u64, &str)]| {
            let mut trace = Trace::new(keep);
            lines.iter().for_each(|(at, line)| trace.note(*at, format_args!("{line}")));
            trace
        };
        let mut one = story(true, &[(1, "a"), (2, "b")]);
        assert_eq!(one.hash(), story(false, &[(1, "a"), (2, "b")]).hash());
        assert_eq!((one.len(), one.lines().len()), (2, 2));
        one.aside(2, format_args!("by the way"));
        assert_eq!((one.hash(), one.len()), (story(false, &[(1, "a"), (2, "b")]).hash(), 2));
        assert_eq!((one.asides().len(), one.lines().len()), (1, 3));
        for other in [&[(1, "a")][..], &[(2, "b"), (1, "a")], &[(1, "a"), (3, "b")], &[(1, "a"), (2, "c")]] {
            assert_ne!(one.hash(), story(false, other).hash());
        }
    }
}
