//! The directory: names now, names that are durable, and the changes between the two.

use std::collections::BTreeMap;

use super::inode::Fate;
use crate::chance;

/// Names one file for as long as the disk lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(pub(super) u64);

/// One change of the directory.
#[derive(Clone, Debug)]
enum Change {
    Link {
        name: String,
        inode: InodeId,
    },
    Unlink {
        name: String,
    },
    /// One step of the file system's journal: both names change or neither does.
    Rename {
        from: String,
        to: String,
    },
}

impl Change {
    fn names(&self) -> [&str; 2] {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => [name, name],
            Self::Rename { from, to } => [from, to],
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, InodeId>) {
        match self {
            Self::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// The names of one directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<String, InodeId>,
    durable: BTreeMap<String, InodeId>,
    unsynced: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<InodeId> {
        self.now.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, InodeId)> {
        self.now.iter().map(|(name, inode)| (name.as_str(), *inode))
    }

    /// Every file that some name stands for, or may stand for again after a power loss.
    pub(super) fn reachable(&self) -> impl Iterator<Item = InodeId> {
        let linked = self.unsynced.iter().filter_map(|change| match change {
            Change::Link { inode, .. } => Some(*inode),
            Change::Unlink { .. } | Change::Rename { .. } => None,
        });
        self.now.values().chain(self.durable.values()).copied().chain(linked)
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub(super) fn link(&mut self, name: &str, inode: InodeId) {
        self.change(Change::Link { name: name.into(), inode });
    }

    pub(super) fn unlink(&mut self, name: &str) {
        self.change(Change::Unlink { name: name.into() });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.change(Change::Rename { from: from.into(), to: to.into() });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.unsynced.clear();
    }

    /// The power goes. A change is kept only if every earlier one that touches one of its names is: a name cannot be
    /// renamed before it exists. Changes of unrelated names are kept or lost each for itself, as on file systems
    /// that do not journal the directory in order.
    pub(super) fn lose_power(&mut self, fate: Fate, salt: u64) {
        let mut lost: Vec<Change> = Vec::new();
        for (index, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            let orphaned = lost.iter().any(|gone| gone.names().iter().any(|name| change.names().contains(name)));
            if orphaned || !fate.spares(chance::mix(salt, index as u64, 4)) {
                lost.push(change);
            } else {
                change.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }
}
