//! A model of the store, simple enough to be believed: a map, and what a batch does to it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Outcome, Write};
use softadastra_core::store::Store;

use crate::chance;

/// One key: its value and how often it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// `None`: deleted.
    pub value: Option<Bytes>,
    /// Counts changes, deletions included.
    pub version: u64,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => {
                let hash = chance::name(&String::from_utf8_lossy(value)) as u16;
                write!(f, "{} bytes ~{hash:04x} in version {}", value.len(), self.version)
            }
            None => write!(f, "deleted in version {}", self.version),
        }
    }
}

/// Every key that was ever written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State(BTreeMap<Bytes, Cell>);

impl State {
    /// What a store shows.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        let mut state = BTreeMap::new();
        for entry in store.feed(Lsn::ZERO) {
            let cell = Cell { value: entry.value_bytes(), version: entry.version() };
            state.insert(Bytes::copy_from_slice(entry.key()), cell);
        }
        Self(state)
    }

    /// One key, deleted ones included.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Cell> {
        self.0.get(key)
    }

    /// Every key, deleted ones included.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.0.keys()
    }

    /// Live keys and their values, in order.
    pub fn live(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter().filter_map(|(key, cell)| Some((key, cell.value.as_ref()?)))
    }

    /// Carries out a batch: all of it, or nothing when a condition fails.
    ///
    /// # Errors
    /// The first key whose condition fails.
    pub fn apply(&mut self, writes: &[Write]) -> Result<Vec<(Outcome, u64)>, Bytes> {
        for write in writes {
            let (Write::Put { key, expect, .. } | Write::Delete { key, expect }) = write;
            let there = self.0.get(key).filter(|cell| cell.value.is_some()).map_or(0, |cell| cell.version);
            if expect.is_some_and(|expected| expected != there) {
                return Err(key.clone());
            }
        }
        Ok(writes.iter().map(|write| self.apply_one(write)).collect())
    }

    fn apply_one(&mut self, write: &Write) -> (Outcome, u64) {
        let before = self.0.get(write.key()).cloned().unwrap_or_default();
        let (outcome, value) = match write {
            Write::Put { value, touch, .. } => match &before.value {
                None => (Outcome::Created, Some(value.clone())),
                Some(old) if old == value && !touch => (Outcome::Unchanged, None),
                Some(_) => (Outcome::Updated, Some(value.clone())),
            },
            Write::Delete { .. } if before.value.is_none() => (Outcome::Absent, None),
            Write::Delete { .. } => (Outcome::Deleted, None),
        };
        if !changes(outcome) {
            return (outcome, before.version);
        }
        let version = before.version + 1;
        self.0.insert(write.key().clone(), Cell { value, version });
        (outcome, version)
    }
}

/// Whether an outcome is one that writes.
#[must_use]
pub(super) const fn changes(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Created | Outcome::Updated | Outcome::Deleted => true,
        Outcome::Unchanged | Outcome::Absent => false,
    }
}
