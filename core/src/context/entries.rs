//! Where the entries of a version vector lie. Most contexts name one replica alone: that takes no memory of its own.

use alloc::vec::Vec;
use core::slice;

use crate::ids::{ReplicaId, Seq};

type Entry = (ReplicaId, Seq);

#[derive(Clone)]
pub(super) enum Entries {
    One(Entry),
    /// None or several; one, where there were several.
    Several(Vec<Entry>),
}

impl Entries {
    pub(super) const NONE: Self = Self::Several(Vec::new());

    /// None yet, with room for so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        if count > 1 { Self::Several(Vec::with_capacity(count)) } else { Self::NONE }
    }

    pub(super) fn get(&self) -> &[Entry] {
        match self {
            Self::One(entry) => slice::from_ref(entry),
            Self::Several(entries) => entries,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut [Entry] {
        match self {
            Self::One(entry) => slice::from_mut(entry),
            Self::Several(entries) => entries,
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.insert(self.get().len(), entry);
    }

    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
        match self {
            Self::One(other) => *self = Self::Several(if at == 0 { [entry, *other] } else { [*other, entry] }.into()),
            Self::Several(entries) if entries.capacity() == 0 => *self = Self::One(entry),
            Self::Several(entries) => entries.insert(at, entry),
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> Entry {
        match self {
            Self::One(entry) => {
                let entry = *entry;
                *self = Self::NONE;
                entry
            }
            Self::Several(entries) => entries.remove(at),
        }
    }

    /// Brings entries that came in any order into that of replicas, and keeps the greatest seq of each.
    pub(super) fn settle(&mut self) {
        if let Self::Several(entries) = self {
            entries.sort_unstable_by(|a, b| (a.0, b.1).cmp(&(b.0, a.1)));
            entries.dedup_by_key(|(replica, _)| *replica);
        }
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Entries {}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut entries = entries.into_iter();
        match (entries.next(), entries.next()) {
            (None, _) => Self::NONE,
            (Some(one), None) => Self::One(one),
            (Some(first), Some(second)) => {
                let mut several = Vec::with_capacity(4.max(entries.size_hint().0 + 2));
                several.extend([first, second]);
                entries.for_each(|entry| several.push(entry));
                Self::Several(several)
            }
        }
    }
}
