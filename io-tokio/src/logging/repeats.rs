//! Holds back lines that only say again what was said.
//!
//! ```text
//! occurrence   1 … free, then at 2, 4, 8, 16 … times free    written
//!              in between                                    counted
//!              10 minutes after the last one written         written
//! not heard for 10 minutes                                   what was counted is written, and it starts anew
//! ```
//!
//! Names, keys and reasons are chosen by others, who can have as many as they like. So all lines of one kind together
//! are bounded as well: a burst, then so many a second; the next that is written says how many were not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::record::Record;
use crate::events::kinds::Kind;

/// A line that goes on being true is written at least so often, and forgotten after so long a silence.
const PERIOD_MS: u64 = 10 * 60 * 1000;

/// The most lines that are remembered. Peers choose their names: beyond it, the one that was heard longest ago goes.
const MOST_KNOWN: usize = 512;

/// So many lines of one kind are written at once, and then one more with each of these pauses.
const BURST: u64 = 64;
const PAUSE_MS: u64 = 500;

/// What became of a record.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// To be written, in this order.
    pub(super) records: Vec<Record>,
    /// Lines that were held back.
    pub(super) held_back: u64,
}

/// The lines that are known.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: BTreeMap<String, Known>,
    kinds: BTreeMap<&'static str, Pace>,
    swept_ms: u64,
}

#[derive(Debug)]
struct Known {
    kind: &'static str,
    count: u64,
    held: u64,
    next: u64,
    written_ms: u64,
    last: Record,
}

/// How fast the lines of one kind come.
#[derive(Debug)]
struct Pace {
    /// In milliseconds, of which each line takes [`PAUSE_MS`].
    level: u64,
    at_ms: u64,
    held: u64,
}

impl Repeats {
    /// Decides about a record by its own time.
    pub(super) fn judge(&mut self, record: Record) -> Passed {
        let mut passed = self.sweep(record.at_ms);
        let kind = record.event.as_deref().and_then(Kind::find);
        let Some((kind, repeats)) = kind.and_then(|kind| Some((kind.name, kind.repeats?))) else {
            passed.records.push(record);
            return passed;
        };
        let mut name = kind.to_owned();
        // Several nodes of one process are told apart as well.
        for field in repeats.by.iter().chain(&["node"]) {
            name.push('\0');
            name.push_str(&record.field(field).map(Value::to_string).unwrap_or_default());
        }
        if !self.known.contains_key(&name) && self.known.len() >= MOST_KNOWN {
            self.forget_oldest();
        }
        let now = record.at_ms;
        let known = self.known.entry(name).or_insert_with(|| Known {
            kind,
            count: 0,
            held: 0,
            next: repeats.free * 2,
            written_ms: now,
            last: record.clone(),
        });
        known.count += 1;
        known.last = record;
        if known.count >= known.next || now.saturating_sub(known.written_ms) >= PERIOD_MS {
            while known.next <= known.count {
                known.next *= 2;
            }
        } else if known.count > repeats.free {
            known.held += 1;
            passed.held_back += 1;
            return passed;
        }
        known.written_ms = now;
        let pace = self.kinds.entry(kind).or_insert_with(|| Pace::new(now));
        match known.say(now, pace) {
            Some(record) => passed.records.push(record),
            None => passed.held_back += 1,
        }
        passed
    }

    /// Forgets what was not heard for a while, and says what was still held back of it.
    fn sweep(&mut self, now: u64) -> Passed {
        if now.saturating_sub(self.swept_ms) < PERIOD_MS / 10 {
            return Passed::default();
        }
        self.swept_ms = now;
        let mut passed = Passed::default();
        let silent = |known: &Known| now.saturating_sub(known.last.at_ms) >= PERIOD_MS;
        for (_, mut known) in self.known.extract_if(.., |_, known| silent(known)) {
            let pace = self.kinds.entry(known.kind).or_insert_with(|| Pace::new(now));
            // One that was just forgotten may speak for others of its kind, too.
            if known.held + pace.held > 0 {
                passed.records.extend(known.say_again(now, pace));
            }
        }
        passed
    }

    fn forget_oldest(&mut self) {
        let oldest = self.known.iter().min_by_key(|(_, known)| known.last.at_ms).map(|(name, _)| name.clone());
        if let Some(known) = oldest.and_then(|name| self.known.remove(&name))
            && let Some(pace) = self.kinds.get_mut(known.kind)
        {
            pace.held += known.held;
        }
    }
}

impl Known {
    /// The latest of them, with how many were held back before it; unless too many of its kind come.
    fn say(&mut self, now: u64, pace: &mut Pace) -> Option<Record> {
        let said = self.say_again(now, pace);
        if said.is_none() {
            pace.held += 1;
        }
        said
    }

    /// The same for one that counts as held back already.
    fn say_again(&mut self, now: u64, pace: &mut Pace) -> Option<Record> {
        pace.held += std::mem::take(&mut self.held);
        if !pace.has_room(now) {
            return None;
        }
        let mut record = self.last.clone();
        let held = std::mem::take(&mut pace.held);
        if held > 0 {
            record.fields.push(("held_back", held.into()));
        }
        Some(record)
    }
}

impl Pace {
    const fn new(now: u64) -> Self {
        Self { level: BURST * PAUSE_MS, at_ms: now, held: 0 }
    }

    /// Takes room for one line, if there is any.
    fn has_room(&mut self, now: u64) -> bool {
        let passed = now.saturating_sub(self.at_ms);
        self.at_ms = now;
        self.level = self.level.saturating_add(passed).min(BURST * PAUSE_MS);
        if self.level < PAUSE_MS {
            return false;
        }
        self.level -= PAUSE_MS;
        true
    }
}
