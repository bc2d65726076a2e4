//! Holds back lines that only say again what was said.
//!
//! ```text
//! occurrence   1 … free, then at 2, 4, 8, 16 … times free    written
//!              in between                                    counted
//!              10 minutes after the last one written         written
//! not heard for 10 minutes                                   what was counted is written, and it starts anew
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use super::record::Record;
use crate::events::kinds::Kind;

/// A line that goes on being true is written at least so often, and forgotten after so long a silence.
const PERIOD_MS: u64 = 10 * 60 * 1000;

/// The most lines that are remembered. Peers choose their names: beyond it, the one that was heard longest ago goes.
const MOST_KNOWN: usize = 512;

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
    swept_ms: u64,
}

#[derive(Debug)]
struct Known {
    count: u64,
    held: u64,
    next: u64,
    written_ms: u64,
    last: Record,
}

impl Repeats {
    /// Decides about a record by its own time.
    pub(super) fn judge(&mut self, record: Record) -> Passed {
        let mut passed = self.sweep(record.at_ms);
        let repeats = record.event.as_deref().and_then(Kind::find).and_then(|kind| kind.repeats);
        let Some(repeats) = repeats else {
            passed.records.push(record);
            return passed;
        };
        let mut name = record.event.clone().unwrap_or_default();
        // Several nodes of one process are told apart as well.
        for field in repeats.by.iter().chain(&["node"]) {
            name.push('\0');
            name.push_str(&record.field(field).map(Value::to_string).unwrap_or_default());
        }
        if !self.known.contains_key(&name) && self.known.len() >= MOST_KNOWN {
            passed.records.extend(self.forget_oldest());
        }
        let now = record.at_ms;
        let known = self.known.entry(name).or_insert_with(|| Known {
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
        passed.records.push(known.say());
        passed
    }

    /// Forgets what was not heard for a while, and says what was still held back of it.
    fn sweep(&mut self, now: u64) -> Passed {
        if now.saturating_sub(self.swept_ms) < PERIOD_MS / 10 {
            return Passed::default();
        }
        self.swept_ms = now;
        let silent = |known: &Known| now.saturating_sub(known.last.at_ms) >= PERIOD_MS;
        let gone = self.known.extract_if(.., |_, known| silent(known));
        let records = gone.filter_map(|(_, mut known)| (known.held > 0).then(|| known.say())).collect();
        Passed { records, held_back: 0 }
    }

    fn forget_oldest(&mut self) -> Option<Record> {
        let oldest = self.known.iter().min_by_key(|(_, known)| known.last.at_ms).map(|(name, _)| name.clone())?;
        let mut known = self.known.remove(&oldest)?;
        (known.held > 0).then(|| known.say())
    }
}

impl Known {
    /// The latest of them, with how many were held back before it.
    fn say(&mut self) -> Record {
        let mut record = self.last.clone();
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            record.fields.push(("held_back", held.into()));
        }
        record
    }
}
