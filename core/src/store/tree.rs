//! Handles in key order: a B+tree that holds no keys.
//!
//! A key lives in its slot. A leaf holds handles, and of each key four bytes behind the part that all keys of the leaf
//! share (its *head*), so that a search rarely leaves the leaf. Handle and head are 8 bytes; with the usual slack a key
//! costs about 12. Branches hold the shortest separators of their children, with heads too.
//!
//! Nothing is ever taken out: deletions leave tombstones. Leaves know their successor, so a scan is a walk along them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Bound;

use super::table::Handle;

/// Keys of a full leaf, and children of a full branch. Two of them make 512 bytes: a leaf is eight cache lines.
const FANOUT: usize = 64;

/// Where the tree finds the keys behind its handles.
pub(super) trait Keys {
    /// The key of the slot behind a handle.
    fn key(&self, handle: Handle) -> &[u8];
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    #[expect(clippy::vec_box, reason = "growing the list must not move the leaves, a hundred megabytes of them")]
    leaves: Vec<Box<Leaf>>,
    branches: Vec<Branch>,
    /// A leaf when `height` is 0, else a branch.
    root: u32,
    height: u32,
    last_leaf: u32,
}

#[derive(Debug)]
struct Leaf {
    heads: Heads,
    handles: [Handle; FANOUT],
    /// The leaf after this one; itself for the last.
    next: u32,
}

/// Child `i` holds the keys from `separators[i - 1]` on and below `separators[i]`.
#[derive(Debug)]
struct Branch {
    heads: Heads,
    separators: Vec<Box<[u8]>>,
    children: Vec<u32>,
}

/// Four bytes of each of some sorted keys, behind what all of them share.
#[derive(Clone, Debug)]
struct Heads {
    heads: [u32; FANOUT],
    len: u16,
    /// How many bytes all keys share at least.
    skip: u16,
}

impl Heads {
    const EMPTY: Self = Self { heads: [0; FANOUT], len: 0, skip: 0 };

    fn len(&self) -> usize {
        usize::from(self.len)
    }

    fn as_slice(&self) -> &[u32] {
        self.heads.get(..self.len()).unwrap_or_default()
    }

    /// Builds the heads of `len` sorted keys.
    fn build<'k>(len: usize, key_at: impl Fn(usize) -> &'k [u8]) -> Self {
        let mut heads = Self { len: len as u16, ..Self::EMPTY };
        if len > 1 {
            heads.skip = common_prefix(key_at(0), key_at(len - 1)) as u16;
        }
        for (index, head) in heads.heads.iter_mut().take(len).enumerate() {
            *head = head_of(key_at(index), heads.skip);
        }
        heads
    }

    /// The places whose heads equal that of `key`, provided `key` shares the prefix.
    fn run(&self, key: &[u8]) -> (usize, usize) {
        let head = head_of(key, self.skip);
        let heads = self.as_slice();
        let low = heads.partition_point(|other| *other < head);
        let equal = heads.iter().skip(low).take_while(|other| **other == head).count();
        (low, low + equal)
    }

    /// Where `key` stands, or would stand.
    fn search<'k>(&self, key: &[u8], key_at: impl Fn(usize) -> &'k [u8]) -> Result<usize, usize> {
        if self.len == 0 {
            return Err(0);
        }
        let skip = usize::from(self.skip);
        if skip > 0 {
            let shared = key_at(0).get(..skip).unwrap_or_default();
            match key.get(..skip).unwrap_or(key).cmp(shared) {
                Ordering::Less => return Err(0),
                Ordering::Greater => return Err(self.len()),
                Ordering::Equal => {}
            }
        }
        let (low, high) = self.run(key);
        search_run(low, high, key, key_at)
    }

    /// Makes room at `at` for `key`. All keys, the new one included, are given by `key_at`, as they will stand.
    fn insert<'k>(&mut self, at: usize, key: &[u8], key_at: impl Fn(usize) -> &'k [u8]) {
        let neighbour = if at == 0 { 1 } else { 0 };
        let shared = if self.len == 0 { 0 } else { common_prefix(key, key_at(neighbour)) };
        if shared < usize::from(self.skip) {
            *self = Self::build(self.len() + 1, key_at);
            return;
        }
        self.len += 1;
        let head = head_of(key, self.skip);
        insert_at(&mut self.heads, at, head);
    }
}

impl Leaf {
    const EMPTY: Self = Self { heads: Heads::EMPTY, handles: [0; FANOUT], next: 0 };

    fn of(keys: &impl Keys, from: &[Handle], next: u32) -> Self {
        let mut leaf = Self { next, ..Self::EMPTY };
        for (place, handle) in leaf.handles.iter_mut().zip(from) {
            *place = *handle;
        }
        leaf.heads = Heads::build(from.len(), |index| keys.key(leaf.handle(index)));
        leaf
    }

    fn handle(&self, index: usize) -> Handle {
        *self.handles.get(index).expect("within the leaf")
    }

    fn handles(&self) -> &[Handle] {
        self.handles.get(..self.heads.len()).unwrap_or_default()
    }

    fn insert(&mut self, keys: &impl Keys, at: usize, handle: Handle) {
        insert_at(&mut self.handles, at, handle);
        let handles = &self.handles;
        let key_at = |index: usize| keys.key(*handles.get(index).expect("within the leaf"));
        self.heads.insert(at, keys.key(handle), key_at);
    }
}

impl Branch {
    fn of(separators: Vec<Box<[u8]>>, children: Vec<u32>) -> Self {
        let heads = Heads::build(separators.len(), |index| separator(&separators, index));
        Self { heads, separators, children }
    }

    /// The index of the child that `key` belongs to.
    fn child_of(&self, key: &[u8]) -> usize {
        match self.heads.search(key, |index| separator(&self.separators, index)) {
            Ok(index) => index + 1,
            Err(index) => index,
        }
    }

    fn child(&self, index: usize) -> u32 {
        *self.children.get(index).expect("a branch has one child more than separators")
    }
}

impl Tree {
    /// The handle of `key`.
    pub(super) fn find(&self, keys: &impl Keys, key: &[u8]) -> Option<Handle> {
        let leaf = self.leaves.get(self.leaf_of(key) as usize)?;
        // No look at the shared prefix: a key without it differs from any that the heads lead to.
        key.get(usize::from(leaf.heads.skip)..)?;
        let (low, high) = leaf.heads.run(key);
        let found = search_run(low, high, key, |index| keys.key(leaf.handle(index))).ok()?;
        Some(leaf.handle(found))
    }

    /// The handle of the greatest key.
    pub(super) fn last(&self) -> Option<Handle> {
        self.leaves.get(self.last_leaf as usize)?.handles().last().copied()
    }

    /// Handles in the order of their keys.
    pub(super) fn from(&self, keys: &impl Keys, start: Bound<&[u8]>) -> Ordered<'_> {
        let (leaf, at) = match start {
            Bound::Unbounded => (self.leaf_of(&[]), 0),
            Bound::Included(key) | Bound::Excluded(key) => {
                let number = self.leaf_of(key);
                let found = self
                    .leaves
                    .get(number as usize)
                    .map_or(Err(0), |leaf| leaf.heads.search(key, |index| keys.key(leaf.handle(index))));
                match (found, start) {
                    (Ok(at), Bound::Excluded(_)) => (number, at + 1),
                    (Ok(at) | Err(at), _) => (number, at),
                }
            }
        };
        Ordered { tree: self, leaf, at }
    }

    /// Puts in a handle whose key is not there yet.
    pub(super) fn insert(&mut self, keys: &impl Keys, handle: Handle) {
        let key = keys.key(handle);
        if self.leaves.is_empty() {
            self.leaves.push(Box::new(Leaf::EMPTY));
        }
        if let Some((separator, right)) = self.insert_below(keys, self.root, self.height, key, handle) {
            let root = self.branches.len() as u32;
            self.branches.push(Branch::of(alloc::vec![separator], alloc::vec![self.root, right]));
            self.root = root;
            self.height += 1;
        }
    }

    fn leaf_of(&self, key: &[u8]) -> u32 {
        let mut node = self.root;
        for _ in 0..self.height {
            let branch = self.branches.get(node as usize).expect("children are nodes of the tree");
            node = branch.child(branch.child_of(key));
        }
        node
    }

    /// Inserts below a node; when it had to split, gives its new right neighbour and the separator between them.
    fn insert_below(
        &mut self,
        keys: &impl Keys,
        node: u32,
        height: u32,
        key: &[u8],
        handle: Handle,
    ) -> Option<(Box<[u8]>, u32)> {
        if height == 0 {
            return self.insert_in_leaf(keys, node, key, handle);
        }
        let branch = self.branches.get(node as usize).expect("children are nodes of the tree");
        let at = branch.child_of(key);
        let child = branch.child(at);
        let (separator, right) = self.insert_below(keys, child, height - 1, key, handle)?;
        self.insert_in_branch(node, at, separator, right)
    }

    fn insert_in_leaf(
        &mut self,
        keys: &impl Keys,
        number: u32,
        key: &[u8],
        handle: Handle,
    ) -> Option<(Box<[u8]>, u32)> {
        let right = self.leaves.len() as u32;
        let leaf = self.leaves.get_mut(number as usize).expect("children are nodes of the tree");
        let at = match leaf.heads.search(key, |index| keys.key(leaf.handle(index))) {
            Ok(at) | Err(at) => at,
        };
        if leaf.heads.len() < FANOUT {
            leaf.insert(keys, at, handle);
            return None;
        }
        // Keys that come in order leave full leaves behind, and nearly full ones where others follow already.
        let is_last = number == self.last_leaf;
        let middle = match (at == FANOUT, is_last) {
            (true, true) => FANOUT,
            (true, false) => FANOUT / 8 * 7,
            (false, _) => FANOUT / 2,
        };
        let (low, high) = leaf.handles().split_at(middle);
        let next = if is_last { right } else { leaf.next };
        let mut upper = Leaf::of(keys, high, next);
        let mut lower = Leaf::of(keys, low, right);
        if at > middle || middle == FANOUT {
            upper.insert(keys, at - middle, handle);
        } else {
            lower.insert(keys, at, handle);
        }
        let below = keys.key(*lower.handles().last().expect("half a leaf is not empty"));
        let above = keys.key(*upper.handles().first().expect("half a leaf is not empty"));
        let separator =
            above.get(..=common_prefix(below, above)).expect("the greater key is not a prefix of the other");
        let separator = separator.into();
        **leaf = lower;
        self.leaves.push(Box::new(upper));
        if is_last {
            self.last_leaf = right;
        }
        Some((separator, right))
    }

    fn insert_in_branch(&mut self, node: u32, at: usize, new: Box<[u8]>, right: u32) -> Option<(Box<[u8]>, u32)> {
        let number = self.branches.len() as u32;
        let branch = self.branches.get_mut(node as usize).expect("children are nodes of the tree");
        branch.separators.insert(at, new);
        branch.children.insert(at + 1, right);
        if branch.children.len() <= FANOUT {
            let separators = &branch.separators;
            branch.heads.insert(at, separator(separators, at), |index| separator(separators, index));
            return None;
        }
        // Like leaves, branches on the right edge stay full when keys come in order.
        let middle = if at + 1 == branch.separators.len() { FANOUT - 1 } else { FANOUT / 2 };
        let upper = branch.separators.split_off(middle + 1);
        let between = branch.separators.pop().expect("the middle separator");
        let upper_children = branch.children.split_off(middle + 1);
        *branch = Branch::of(core::mem::take(&mut branch.separators), core::mem::take(&mut branch.children));
        self.branches.push(Branch::of(upper, upper_children));
        Some((between, number))
    }
}

/// Handles from some key on, in key order.
#[derive(Clone, Debug)]
pub(super) struct Ordered<'a> {
    tree: &'a Tree,
    leaf: u32,
    at: usize,
}

impl Iterator for Ordered<'_> {
    type Item = Handle;

    fn next(&mut self) -> Option<Handle> {
        loop {
            let leaf = self.tree.leaves.get(self.leaf as usize)?;
            if let Some(handle) = leaf.handles().get(self.at) {
                self.at += 1;
                return Some(*handle);
            }
            if self.leaf == self.tree.last_leaf {
                return None;
            }
            self.leaf = leaf.next;
            self.at = 0;
        }
    }
}

/// Searches the sorted places `low..high`.
fn search_run<'k>(
    mut low: usize,
    mut high: usize,
    key: &[u8],
    key_at: impl Fn(usize) -> &'k [u8],
) -> Result<usize, usize> {
    while low < high {
        let middle = low.midpoint(high);
        match key_at(middle).cmp(key) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(middle),
        }
    }
    Err(low)
}

fn separator(separators: &[Box<[u8]>], index: usize) -> &[u8] {
    separators.get(index).expect("one head per separator")
}

/// The four bytes behind `skip`, filled up with zeros, as a number that orders as they do.
fn head_of(key: &[u8], skip: u16) -> u32 {
    let rest = key.get(usize::from(skip)..).unwrap_or_default();
    match rest.first_chunk() {
        Some(chunk) => u32::from_be_bytes(*chunk),
        None => rest.iter().chain([0; 4].iter()).take(4).fold(0, |head, byte| head << 8 | u32::from(*byte)),
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Shifts what stands from `at` on by one place; the last one falls out.
fn insert_at<T: Copy>(array: &mut [T], at: usize, value: T) {
    if let Some(tail) = array.get_mut(at..) {
        tail.rotate_right(1);
        if let Some(place) = tail.first_mut() {
            *place = value;
        }
    }
}

#[cfg(test)]
mod tests;
