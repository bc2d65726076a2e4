//! Numbers by the hash of what they stand for.
//!
//! Hashes decide nothing but where to look: whoever looks compares what is found. They are seeded, so that nobody who may choose
//! keys can choose them to collide, and no order of cells is ever seen.

use alloc::vec::Vec;

/// Cells of the smallest index that has any.
const LEAST: usize = 64;

/// An empty index with more cells than this gives their memory back.
const KEEP: usize = 1 << 14;

/// What stands in a cell without a number.
const EMPTY: u64 = u64::MAX;

/// Numbers in cells of which at least half are empty: the hash above, the number below.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: Vec<u64>,
    len: usize,
}

impl Cells {
    /// How many numbers there are.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The number of this hash that stands for what is looked for.
    pub(crate) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let cell = self.cell(at);
            if cell == EMPTY {
                return None;
            }
            if hash_of(cell) == hash && is_it(cell as u32) {
                return Some(cell as u32);
            }
            at = self.behind(at);
        }
    }

    /// Puts in a number for something that has none.
    pub(crate) fn insert(&mut self, hash: u32, number: u32) {
        if self.len * 2 >= self.cells.len() {
            let grown = alloc::vec![EMPTY; (self.cells.len() * 2).max(LEAST)];
            for cell in core::mem::replace(&mut self.cells, grown) {
                if cell != EMPTY {
                    self.put(cell);
                }
            }
        }
        self.put(cell_of(hash, number));
        self.len += 1;
    }

    /// Puts a number in the place of another of the same hash, which is there.
    pub(crate) fn replace(&mut self, hash: u32, old: u32, new: u32) {
        let at = self.place_of(cell_of(hash, old)).expect("what is replaced is there");
        self.set(at, cell_of(hash, new));
    }

    /// Takes a number out, if it is there.
    pub(crate) fn remove(&mut self, hash: u32, number: u32) {
        let Some(mut hole) = self.place_of(cell_of(hash, number)) else { return };
        self.len -= 1;
        if self.len == 0 && self.cells.len() > KEEP {
            self.cells = Vec::new();
            return;
        }
        // Whoever stands behind the hole and would be found no more moves into it.
        let mut at = hole;
        loop {
            at = self.behind(at);
            let cell = self.cell(at);
            if cell == EMPTY {
                return self.set(hole, EMPTY);
            }
            let home = self.home(hash_of(cell));
            if self.distance(home, at) >= self.distance(hole, at) {
                self.set(hole, cell);
                hole = at;
            }
        }
    }

    /// Takes all numbers out.
    pub(crate) fn clear(&mut self) {
        if self.cells.len() > KEEP {
            self.cells = Vec::new();
        } else if self.len > 0 {
            self.cells.fill(EMPTY);
        }
        self.len = 0;
    }

    fn place_of(&self, wanted: u64) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut at = self.home(hash_of(wanted));
        loop {
            let cell = self.cell(at);
            if cell == wanted || cell == EMPTY {
                return (cell == wanted).then_some(at);
            }
            at = self.behind(at);
        }
    }

    fn put(&mut self, cell: u64) {
        let mut at = self.home(hash_of(cell));
        while self.cell(at) != EMPTY {
            at = self.behind(at);
        }
        self.set(at, cell);
    }

    fn cell(&self, at: usize) -> u64 {
        *self.cells.get(at).expect("places are within the index")
    }

    fn set(&mut self, at: usize, cell: u64) {
        *self.cells.get_mut(at).expect("places are within the index") = cell;
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.cells.len() - 1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    /// How far `to` lies behind `from`, going round.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.cells.len() - 1)
    }
}

fn cell_of(hash: u32, number: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(number)
}

const fn hash_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

/// The hash of a key under a seed.
pub(crate) fn hash(seed: u64, key: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = seed ^ key.len() as u64;
    let mut rest = key;
    while let Some((word, behind)) = rest.split_first_chunk() {
        hash = fold(hash ^ u64::from_le_bytes(*word), seed | 1);
        rest = behind;
    }
    let last = rest.iter().fold(0, |last, byte| last << 8 | u64::from(*byte));
    hash = fold(hash ^ last, ODD);
    // All ones stand for an empty cell.
    (hash as u32 ^ (hash >> 32) as u32) & (u32::MAX >> 1)
}

/// Both halves of the product, so that every bit of it counts.
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Few hashes, all near the end of the smallest index, so that numbers crowd and go round its end.
        #[test]
        fn cells_are_a_map(steps in proptest::collection::vec((0u8..4, 58u32..70, 0u32..40), 1..400)) {
            let mut cells = Cells::default();
            let mut model = BTreeMap::new();
            for (step, hash, number) in steps {
                let present = model.contains_key(&(hash, number));
                match step {
                    0 | 1 if !present => {
                        cells.insert(hash, number);
                        model.insert((hash, number), ());
                    }
                    2 => {
                        cells.remove(hash, number);
                        model.remove(&(hash, number));
                    }
                    3 if present && !model.contains_key(&(hash, number + 100)) => {
                        cells.replace(hash, number, number + 100);
                        model.remove(&(hash, number));
                        model.insert((hash, number + 100), ());
                    }
                    _ => {}
                }
                prop_assert_eq!(cells.len(), model.len());
                for number in [number, number + 100] {
                    let found = cells.find(hash, |found| found == number).is_some();
                    prop_assert_eq!(found, model.contains_key(&(hash, number)));
                }
            }
            for hash in 58..70 {
                for number in 0..140 {
                    let found = cells.find(hash, |found| found == number).is_some();
                    prop_assert_eq!(found, model.contains_key(&(hash, number)));
                }
            }
            cells.clear();
            prop_assert!(cells.len() == 0 && model.keys().all(|(hash, _)| cells.find(*hash, |_| true).is_none()));
        }
    }

    #[test]
    fn what_is_found_has_the_hash_and_is_what_is_looked_for() {
        let mut cells = Cells::default();
        [(3, 1), (3, 2), (4, 5)].into_iter().for_each(|(hash, number)| cells.insert(hash, number));
        assert_eq!(cells.find(3, |number| number == 2), Some(2));
        assert_eq!(cells.find(3, |number| number == 7), None, "the hash alone is not enough");
        assert_eq!(cells.find(3, |number| number == 5), None, "another hash");
    }

    /// As many as make an index of `wanted` cells, none of them in the way of another.
    fn fill(cells: &mut Cells, wanted: usize) {
        (0..=wanted as u32 / 4).for_each(|number| cells.insert(2 * number, number));
        assert_eq!(cells.cells.len(), wanted, "at least half are empty");
    }

    #[test]
    fn an_index_that_was_large_gives_its_memory_back_when_it_is_empty() {
        for (large, kept) in [(2 * KEEP, 0), (KEEP, KEEP), (LEAST, LEAST)] {
            let mut cells = Cells::default();
            fill(&mut cells, large);
            (0..=large as u32 / 4).for_each(|number| cells.remove(2 * number, number));
            assert_eq!((cells.len(), cells.cells.len()), (0, kept), "{large} cells, one by one");
            let mut cells = Cells::default();
            fill(&mut cells, large);
            cells.clear();
            assert_eq!((cells.len(), cells.cells.len()), (0, kept), "{large} cells, at once");
            assert!(cells.cells.capacity() <= kept && cells.cells.iter().all(|cell| *cell == EMPTY));
        }
    }
}
