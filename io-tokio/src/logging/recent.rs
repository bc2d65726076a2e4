//! The latest log lines, kept in memory for who looks at the console, and counts of all of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Level;

use super::Sink;
use super::record::Record;

/// So many lines are kept.
const MOST_LINES: usize = 400;

/// A line that is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remembered {
    /// Its number, counted up from 1.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// `ERROR`, `WARN`, `INFO`.
    pub level: String,
    /// The name of the event; absent when it has none.
    pub event: Option<String>,
    /// The sentence.
    pub message: String,
    /// Everything else.
    pub fields: Map<String, Value>,
}

/// The latest lines.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Remembered>,
    last: u64,
    counts: [u64; 3],
    held_back: u64,
}

impl Recent {
    /// The lines after this number, oldest first.
    #[must_use]
    pub fn after(&self, seq: u64) -> Vec<Remembered> {
        self.lock().lines.iter().filter(|line| line.seq > seq).cloned().collect()
    }

    /// Lines so far: of errors, of warnings, of everything else; and those that were held back.
    #[must_use]
    pub fn counts(&self) -> ([u64; 3], u64) {
        let kept = self.lock();
        (kept.counts, kept.held_back)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recent {
    fn take(&self, record: &Record) {
        let fields = record.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut kept = self.lock();
        kept.last += 1;
        let [errors, warnings, others] = &mut kept.counts;
        let count = match record.level {
            Level::ERROR => errors,
            Level::WARN => warnings,
            _ => others,
        };
        *count += 1;
        let line = Remembered {
            seq: kept.last,
            at_ms: record.at_ms,
            level: record.level.as_str().to_owned(),
            event: record.event.clone(),
            message: record.message.clone(),
            fields,
        };
        if kept.lines.len() >= MOST_LINES {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
    }

    fn held_back(&self, lines: u64) {
        self.lock().held_back += lines;
    }
}
