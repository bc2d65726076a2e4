//! What clients were told, and which states of a node are therefore true.
//!
//! The oracle never asks the engine what it holds. It keeps what clients asked for, in order, computes itself what each
//! batch does, and remembers the answers. A log is one sequence, so the state after a crash must be what
//! *some beginning* of the batches leaves behind, failed ones left out: one that reaches at least to the last batch
//! whose
//! survival was promised. That covers single keys, batches and the order of writes at once.

pub mod ledger;
mod model;
pub mod witness;

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::error::{Code, Error, LocalState};
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Node, RequestId, Write, Written};

pub use self::model::{Cell, State};

/// What a client knows about its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing yet.
    Waiting,
    /// It was carried out.
    Done,
    /// It was not, and never will be.
    Failed,
    /// Only reopening tells.
    Unknown,
}

/// One batch since the node was last opened.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its number in the plan.
    pub number: u32,
    writes: Vec<Write>,
    told: Told,
    /// When it was asked for, in microseconds.
    since: u64,
    /// When the answer came, in microseconds.
    at: u64,
    /// LSN of its last record, once it was answered.
    lsn: Option<Lsn>,
}

/// What a crash took, as far as promises go. Greater is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harshness {
    /// Nothing: the node was closed.
    Closed,
    /// The process.
    Kill,
    /// Everything that was not synced.
    Power,
}

/// What a state found after reopening means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what the first so many batches leave behind.
    Cut(usize),
    /// Something that was promised is gone.
    Lost(String),
    /// Something is there that was said to have failed, or that nobody wrote.
    Ghost(String),
}

/// The oracle of one node.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// What was there when the node was last opened.
    base: State,
    asked: Vec<Asked>,
    by_request: BTreeMap<RequestId, usize>,
    /// What a reader must see now.
    shown: State,
    /// The first so many batches survive a kill …
    kill_floor: usize,
    /// … and the first so many a power loss.
    power_floor: usize,
}

impl Oracle {
    /// A client asked for a batch, and the node took it.
    pub fn asked(&mut self, since: u64, number: u32, request: RequestId, writes: Vec<Write>) {
        self.by_request.insert(request, self.asked.len());
        self.asked.push(Asked { number, writes, told: Told::Waiting, since, at: 0, lsn: None });
    }

    /// The node answered. Gives the number of the batch.
    ///
    /// # Errors
    /// A sentence, when the answer is not what the batch does.
    pub fn answered(
        &mut self,
        at: u64,
        request: RequestId,
        result: Result<&[Written], &Error>,
        synced: bool,
    ) -> Result<(u32, Told), String> {
        let unasked = || format!("an answer to {request:?}, which nobody waits for");
        let index = self.by_request.remove(&request).ok_or_else(unasked)?;
        let writes_nothing = |written: &[Written]| !written.iter().any(|w| model::changes(w.outcome));
        // An answer that writes nothing speaks of a state that may become visible with it, and be answered for after
        // it.
        let spoken_of = match result {
            Ok(written) if !writes_nothing(written) => None,
            Ok(_) | Err(_) => Some(self.state_before(index)),
        };
        let asked = self.asked.get_mut(index).ok_or_else(unasked)?;
        asked.at = at;
        let number = asked.number;
        match result {
            Ok(written) => {
                asked.told = Told::Done;
                let mut spoken_of = spoken_of;
                let state = spoken_of.as_mut().unwrap_or(&mut self.shown);
                let effects = state.apply(&asked.writes).map_err(|key| {
                    format!("batch #{number} was carried out although its condition on {} fails", show(&key))
                })?;
                let said: Vec<_> = written.iter().map(|w| (w.outcome, w.version)).collect();
                if said != effects {
                    return Err(format!("batch #{number} was answered {said:?}, but what it does is {effects:?}"));
                }
                if !writes_nothing(written) {
                    asked.lsn = written.iter().map(|w| w.lsn).max();
                    self.kill_floor = self.kill_floor.max(index + 1);
                    if synced {
                        self.power_floor = self.power_floor.max(index + 1);
                    }
                }
                Ok((number, Told::Done))
            }
            Err(error) => {
                let told = match error.local() {
                    LocalState::Valid => Told::Failed,
                    LocalState::Unknown | LocalState::Damaged => Told::Unknown,
                };
                asked.told = told;
                let holds = spoken_of.is_some_and(|mut state| state.apply(&asked.writes).is_ok());
                if error.code() == Code::VersionMismatch && holds {
                    return Err(format!("batch #{number} was refused although its conditions hold: {error}"));
                }
                Ok((number, told))
            }
        }
    }

    /// The node answered a batch, and what it says is judged elsewhere. Gives the number of the batch, its writes, and
    /// what the client knows now.
    ///
    /// # Errors
    /// A sentence, when nobody asked.
    pub fn told(&mut self, request: RequestId, error: Option<&Error>) -> Result<(u32, Vec<Write>, Told), String> {
        let unasked = || format!("an answer to {request:?}, which nobody waits for");
        let index = self.by_request.remove(&request).ok_or_else(unasked)?;
        let asked = self.asked.get_mut(index).ok_or_else(unasked)?;
        asked.told = match error.map(Error::local) {
            None => Told::Done,
            Some(LocalState::Valid) => Told::Failed,
            Some(LocalState::Unknown | LocalState::Damaged) => Told::Unknown,
        };
        Ok((asked.number, asked.writes.clone(), asked.told))
    }

    /// Whether somebody asked for this value of a key, `None` for its deletion, and was not refused.
    #[must_use]
    pub fn wrote(&self, key: &Bytes, value: Option<&Bytes>) -> bool {
        self.asked.iter().any(|asked| asked.told != Told::Failed && writes_value(asked, key, value))
    }

    /// Whether somebody asked for it, and everybody who did was refused.
    #[must_use]
    pub fn asked_and_refused(&self, key: &Bytes, value: Option<&Bytes>) -> bool {
        self.asked.iter().any(|asked| writes_value(asked, key, value)) && !self.wrote(key, value)
    }

    /// What was asked for in the batch of this number, the latest if there are several.
    #[must_use]
    pub fn writes_of(&self, number: u32) -> &[Write] {
        self.asked.iter().rfind(|asked| asked.number == number).map_or(&[], |asked| &asked.writes)
    }

    /// When the batch that has waited longest was asked for.
    #[must_use]
    pub fn waiting_since(&self) -> Option<u64> {
        self.by_request.values().filter_map(|index| self.asked.get(*index)).map(|asked| asked.since).min()
    }

    /// The value that a batch not yet answered gives a key, if one does.
    #[must_use]
    pub fn waiting_value(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let waiting = self.asked.iter().rev().filter(|asked| asked.told == Told::Waiting);
        waiting.flat_map(|asked| asked.writes.iter().rev()).find(|write| write.key() == key).map(|write| match write {
            Write::Put { value, .. } => Some(value.clone()),
            Write::Delete { .. } => None,
        })
    }

    /// The node is up again, and what it shows is judged elsewhere.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// What a batch found: everything visible, and what was accepted before it and not yet answered.
    fn state_before(&self, index: usize) -> State {
        let mut state = self.shown.clone();
        for asked in self.asked.iter().take(index).filter(|asked| asked.told == Told::Waiting) {
            let _mismatch = state.apply(&asked.writes);
        }
        state
    }

    /// The node says that everything up to here survives a power loss.
    pub fn durable_through(&mut self, lsn: Lsn) {
        let through = self.asked.iter().rposition(|asked| asked.lsn.is_some_and(|at| at <= lsn));
        self.power_floor = self.power_floor.max(through.map_or(0, |index| index + 1));
    }

    /// What was answered up to `at` survives a power loss, because the sync interval has passed since.
    pub fn durable_since(&mut self, at: u64) {
        let old = |asked: &Asked| asked.told == Told::Done && asked.lsn.is_some() && asked.at <= at;
        self.power_floor = self.power_floor.max(self.asked.iter().rposition(old).map_or(0, |index| index + 1));
    }

    /// A clean close has ended: everything answered survives a power loss.
    pub fn closed(&mut self) {
        self.power_floor = self.kill_floor;
    }

    /// The undetectable has happened to everything from here on: promises about it are void.
    pub fn excuse_from(&mut self, lsn: Lsn) {
        let first = self.asked.iter().position(|asked| asked.lsn.is_some_and(|at| at >= lsn));
        let floor = first.unwrap_or(self.asked.len());
        self.kill_floor = self.kill_floor.min(floor);
        self.power_floor = self.power_floor.min(floor);
    }

    /// The value that a key will have when everything accepted is answered: what a write that is to change nothing must
    /// repeat.
    #[must_use]
    pub fn value_to_come(&self, key: &[u8]) -> Option<Bytes> {
        let shown = || self.shown.get(key).and_then(|cell| cell.value.clone());
        self.waiting_value(key).unwrap_or_else(shown)
    }

    /// What a reader must see now.
    #[must_use]
    pub const fn shown(&self) -> &State {
        &self.shown
    }

    /// Batches not yet answered.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.by_request.len()
    }

    /// Bytes of keys and values in batches not yet answered.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        let batches = self.by_request.values().filter_map(|index| self.asked.get(*index));
        batches.flat_map(|asked| &asked.writes).map(size).sum()
    }

    /// How many batches there must be at least in what is found after a crash of this harshness.
    #[must_use]
    pub const fn floor(&self, harshness: Harshness) -> usize {
        match harshness {
            Harshness::Closed | Harshness::Kill => self.kill_floor,
            Harshness::Power => self.power_floor,
        }
    }

    /// Judges the state found in a copy or after reopening: at least the first `floor` batches must be in it.
    #[must_use]
    pub fn judge(&self, found: &State, floor: usize) -> Verdict {
        let mut state = self.base.clone();
        for cut in 0..=self.asked.len() {
            if cut >= floor && state == *found {
                return Verdict::Cut(cut);
            }
            if let Some(asked) = self.asked.get(cut)
                && asked.told != Told::Failed
            {
                // A condition that fails makes the whole batch nothing, in the log too.
                let _mismatch = state.apply(&asked.writes);
            }
        }
        self.explain(found, floor)
    }

    /// The batches after the cut that a reopened node shows, and those it does not: how the unknown ended.
    #[must_use]
    pub fn undecided(&self, cut: usize) -> (Vec<u32>, Vec<u32>) {
        let open = |asked: &&Asked| matches!(asked.told, Told::Waiting | Told::Unknown);
        let (kept, gone) = self.asked.split_at(cut.min(self.asked.len()));
        let numbers = |half: &[Asked]| half.iter().filter(open).map(|asked| asked.number).collect();
        (numbers(kept), numbers(gone))
    }

    /// The node is up again and shows `found`: from here on that is what must survive.
    pub fn reopened(&mut self, found: State) {
        *self = Self { base: found.clone(), shown: found, ..Self::default() };
    }

    /// A word on what is wrong with a state that no beginning of the batches leaves behind.
    fn explain(&self, found: &State, floor: usize) -> Verdict {
        let mut state = self.base.clone();
        for asked in self.asked.iter().take(floor).filter(|asked| asked.told != Told::Failed) {
            let _mismatch = state.apply(&asked.writes);
        }
        let keys: std::collections::BTreeSet<&Bytes> = state.keys().chain(found.keys()).collect();
        for key in keys {
            let (promised, there) = (state.get(key), found.get(key));
            let later: Vec<&Asked> = self.asked.iter().skip(floor).filter(|asked| touches(asked, key)).collect();
            let value = there.and_then(|cell| cell.value.as_ref());
            let writer = self.asked.iter().rfind(|asked| value.is_some() && writes_value(asked, key, value));
            let name = show(key);
            if let Some(writer) = writer
                && writer.told == Told::Failed
            {
                return Verdict::Ghost(format!("{name} shows batch #{}, which was said to have failed", writer.number));
            }
            if promised == there {
                continue;
            }
            if later.is_empty() || !later.iter().any(|asked| writes_value(asked, key, value)) {
                let last = self.asked.iter().take(floor).rfind(|asked| touches(asked, key) && asked.told == Told::Done);
                let from = last.map_or_else(
                    || "what was found when the node was last opened".to_owned(),
                    |last| format!("batch #{}, which was answered at {} us", last.number, last.at),
                );
                let is = |cell: Option<&Cell>| cell.map_or_else(|| "absent".to_owned(), ToString::to_string);
                return Verdict::Lost(format!("{name} must show {from} ({}), but is {}", is(promised), is(there)));
            }
        }
        Verdict::Ghost("the state is not what any beginning of the batches leaves behind".into())
    }
}

fn touches(asked: &Asked, key: &Bytes) -> bool {
    asked.writes.iter().any(|write| write.key() == key)
}

fn writes_value(asked: &Asked, key: &Bytes, value: Option<&Bytes>) -> bool {
    asked.writes.iter().any(|write| match write {
        Write::Put { key: k, value: v, .. } => k == key && Some(v) == value,
        Write::Delete { key: k, .. } => k == key && value.is_none(),
    })
}

/// Bytes that a write counts against the bound on waiting writes.
#[must_use]
pub fn size(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => key.len() + value.len(),
        Write::Delete { key, .. } => key.len(),
    }
}

fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// What a node shows.
#[must_use]
pub fn state_of(node: &Node) -> State {
    State::of(node.store())
}

#[cfg(test)]
mod tests;
