//! Entries by key while there is no order: what a log brings in at a start is found by hash, and ordered when all of it is
//! there.
//!
//! Hashes decide nothing but where to look, and what is looked for is compared. They are seeded, so that nobody who may choose
//! keys can choose them to collide.

use alloc::vec::Vec;

use super::table::Handle;
use super::tree::Keys;

/// Cells of an empty index.
const LEAST: usize = 1024;

/// What stands in a cell without an entry.
const EMPTY: u64 = u64::MAX;

/// Handles by key, in cells of which at least half are empty: the hash above, the handle below.
#[derive(Debug)]
pub(super) struct Index {
    cells: Vec<u64>,
    len: usize,
    seed: u64,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        // Not 0, which would leave keys as they are.
        Self { cells: alloc::vec![EMPTY; LEAST], len: 0, seed: seed ^ 0x243f_6a88_85a3_08d3 }
    }

    pub(super) fn find(&self, keys: &impl Keys, key: &[u8]) -> Option<Handle> {
        let hash = self.hash(key);
        let mut at = self.home(hash);
        loop {
            let cell = self.cell(at);
            if cell == EMPTY {
                return None;
            }
            let handle = cell as Handle;
            if (cell >> 32) as u32 == hash && keys.key(handle) == key {
                return Some(handle);
            }
            at = self.behind(at);
        }
    }

    /// The cell where the search for a key begins.
    pub(super) fn touch(&self, key: &[u8]) -> u64 {
        self.cell(self.home(self.hash(key)))
    }

    /// Puts in an entry that is not there.
    pub(super) fn insert(&mut self, key: &[u8], handle: Handle) {
        if self.len * 2 >= self.cells.len() {
            let grown = alloc::vec![EMPTY; self.cells.len() * 2];
            for cell in core::mem::replace(&mut self.cells, grown) {
                if cell != EMPTY {
                    self.place(cell);
                }
            }
        }
        let hash = self.hash(key);
        self.place(u64::from(hash) << 32 | u64::from(handle));
        self.len += 1;
    }

    fn place(&mut self, cell: u64) {
        let mut at = self.home((cell >> 32) as u32);
        while self.cell(at) != EMPTY {
            at = self.behind(at);
        }
        if let Some(place) = self.cells.get_mut(at) {
            *place = cell;
        }
    }

    fn cell(&self, at: usize) -> u64 {
        *self.cells.get(at).expect("places are within the index")
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.cells.len() - 1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    fn hash(&self, key: &[u8]) -> u32 {
        crate::cells::hash(self.seed, key)
    }
}

#[cfg(test)]
mod tests;
