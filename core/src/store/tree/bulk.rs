//! A tree made of all its keys at once: sorted, then cut into full leaves, then into full branches.
//!
//! What is sorted is the eight bytes of each key behind what all of them share. They tell most keys apart, and hold the heads
//! of most leaves, so that hardly any key is looked at twice: looking at keys that lie anywhere is what takes the time.
//!
//! Keys that rise anyway are made into a run of leaves, and runs are put together.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Branch, FANOUT, Handle, Heads, Keys, Leaf, Tree, common_prefix};

/// Bytes of a key that are sorted by.
const SORTED: usize = 8;

/// A key: its bytes behind what all share, and its handle.
type Item = (u64, Handle);

impl Tree {
    /// The tree over the keys of the handles below `count`, which all differ.
    pub(in crate::store) fn build(keys: &impl Keys, count: Handle) -> Self {
        let mut tree = Self::default();
        let shared = shared_prefix(keys, count);
        let mut items: Vec<Item> = (0..count).map(|handle| (bytes_behind(keys.key(handle), shared), handle)).collect();
        if !items.is_sorted_by(|a, b| in_order(keys, a, b).is_lt()) {
            items.sort_unstable_by(|a, b| in_order(keys, a, b));
        }
        let mut separators = Vec::new();
        for chunk in items.chunks(FANOUT) {
            let number = tree.leaves.len() as u32;
            if let Some(last) = tree.leaves.last_mut()
                && let (Some(below), Some((_, above))) = (last.keys.items().last(), chunk.first())
            {
                last.next = number;
                separators.push(separator(keys.key(*below as Handle), keys.key(*above)));
            }
            tree.leaves.push(Box::new(Leaf { keys: heads(keys, chunk, shared), next: number }));
            tree.last_leaf = number;
        }
        let mut children: Vec<u32> = (0..tree.leaves.len() as u32).collect();
        while children.len() > 1 {
            (children, separators) = tree.branches_over(&children, separators);
            tree.height += 1;
        }
        tree.root = children.first().copied().unwrap_or_default();
        tree
    }

    /// Branches over nodes of one height, with the separators between those nodes. Gives the same of the branches.
    fn branches_over(&mut self, children: &[u32], separators: Vec<Box<[u8]>>) -> (Vec<u32>, Vec<Box<[u8]>>) {
        let (mut numbers, mut between) = (Vec::new(), Vec::new());
        let mut separators = separators.into_iter();
        for group in children.chunks(FANOUT) {
            numbers.push(self.branches.len() as u32);
            let inner = separators.by_ref().take(group.len() - 1).collect();
            self.branches.push(Branch::of(inner, group.to_vec()));
            between.extend(separators.next());
        }
        (numbers, between)
    }
}

/// Leaves over keys that rise, by the places of the keys: made anywhere, put behind a tree by [`Tree::append`].
#[derive(Debug)]
pub(in crate::store) struct Run {
    #[expect(clippy::vec_box, reason = "they become leaves of the tree as they are")]
    pub(super) leaves: Vec<Box<Leaf>>,
    /// Between neighbours.
    separators: Vec<Box<[u8]>>,
}

impl Run {
    /// Over the keys of the places below `count`, as few leaves as can hold them, all about equally full.
    pub(in crate::store) fn over<K: Keys + ?Sized>(keys: &K, count: Handle) -> Self {
        let wanted = (count as usize).div_ceil(FANOUT);
        let (mut leaves, mut separators) = (Vec::with_capacity(wanted), Vec::with_capacity(wanted));
        let mut from = 0;
        for left in (1..=wanted).rev() {
            let to = from + (count - from).div_ceil(left as u32);
            if from > 0 {
                separators.push(separator(keys.key(from - 1), keys.key(from)));
            }
            leaves.push(Box::new(Leaf { keys: Heads::build(from..to, |place| keys.key(place)), next: 0 }));
            from = to;
        }
        Self { leaves, separators }
    }
}

impl Tree {
    /// Puts a run behind all keys, of which `last` is the greatest. The key of its place `n` has the handle `first + n`.
    pub(in crate::store) fn append(&mut self, keys: &impl Keys, last: Option<Handle>, run: Run, first: Handle) {
        if run.leaves.is_empty() {
            return;
        }
        let below = last.map_or(&[][..], |last| keys.key(last));
        let separators = core::iter::once(separator(below, keys.key(first))).chain(run.separators);
        for (mut leaf, separator) in run.leaves.into_iter().zip(separators) {
            let number = self.leaves.len() as u32;
            let len = leaf.keys.len();
            for item in leaf.keys.items.iter_mut().take(len) {
                *item += u64::from(first);
            }
            leaf.next = number;
            if let Some(before) = self.leaves.get_mut(self.last_leaf as usize) {
                before.next = number;
            }
            self.leaves.push(leaf);
            self.last_leaf = number;
            if number > 0 {
                let split = self.append_below(self.root, self.height, separator, number);
                self.grow(split);
            }
        }
    }

    /// Makes `right` the last leaf below a node on the right edge. As [`Self::insert_below`] otherwise.
    fn append_below(&mut self, node: u32, height: u32, separator: Box<[u8]>, right: u32) -> Option<(Box<[u8]>, u32)> {
        if height == 0 {
            return Some((separator, right));
        }
        let branch = self.branches.get(node as usize).expect("children are nodes of the tree");
        let at = branch.children.len() - 1;
        let (separator, right) = self.append_below(branch.child(at), height - 1, separator, right)?;
        self.insert_in_branch(node, at, separator, right)
    }
}

/// How many bytes all keys share at least.
fn shared_prefix(keys: &impl Keys, count: Handle) -> usize {
    if count == 0 {
        return 0;
    }
    let first = keys.key(0);
    (1..count).fold(first.len(), |shared, handle| {
        let key = keys.key(handle);
        match first.get(..shared).is_some_and(|shared| key.starts_with(shared)) {
            true => shared,
            false => common_prefix(first, key),
        }
    })
}

/// As a number that orders as they do, filled up with zeros.
fn bytes_behind(key: &[u8], shared: usize) -> u64 {
    let rest = key.get(shared..).unwrap_or_default();
    match rest.first_chunk::<SORTED>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => rest.iter().chain([0; SORTED].iter()).take(SORTED).fold(0, |all, byte| all << 8 | u64::from(*byte)),
    }
}

fn in_order(keys: &impl Keys, a: &Item, b: &Item) -> core::cmp::Ordering {
    a.0.cmp(&b.0).then_with(|| keys.key(a.1).cmp(keys.key(b.1)))
}

/// The heads of a leaf, from what was sorted where that holds them.
fn heads(keys: &impl Keys, items: &[Item], shared: usize) -> Heads {
    let (Some((_, first)), Some((_, last))) = (items.first(), items.last()) else { return Heads::EMPTY };
    let skip = if items.len() > 1 { common_prefix(keys.key(*first), keys.key(*last)) } else { 0 };
    let Some(behind) = skip.checked_sub(shared).filter(|behind| behind + 4 <= SORTED) else {
        return Heads::build(items.iter().map(|(_, handle)| *handle), |handle| keys.key(handle));
    };
    let mut heads = Heads { len: items.len() as u16, ..Heads::EMPTY };
    heads.share(keys.key(*first), skip);
    for (place, (bytes, handle)) in heads.items.iter_mut().zip(items) {
        *place = bytes << (8 * behind) >> 32 << 32 | u64::from(*handle);
    }
    heads
}

/// The shortest key that parts two.
fn separator(below: &[u8], above: &[u8]) -> Box<[u8]> {
    above.get(..=common_prefix(below, above)).expect("the greater key is not a prefix of the other").into()
}
