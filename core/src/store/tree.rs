//! Handles in key order: a B+tree that holds no keys.
//!
//! A key lives in its slot. A leaf holds handles, and of each key four bytes behind the part that all keys of the leaf
//! share (its *head*), so that a search rarely leaves the leaf. Head and handle are one number of 8 bytes; with the
//! usual slack a key costs about 12. Branches hold the shortest separators of their children, with heads too.
//!
//! What a search costs is waiting for memory. So heads are counted through rather than bisected, one of each cache line and then those
//! of one line: eight lines that are fetched at once take less time than three that each name the next. And the part that all keys share, as far as it is
//! short, stands beside them: whether a key has it is known without a look at any of the others.
//!
//! Only collected tombstones are taken out. Leaves are never joined: one that runs empty stays and fills again. Leaves
//! know their successor, so a scan is a walk along them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Bound;

use super::table::Handle;

mod bulk;

pub(super) use bulk::Run;

/// Keys of a full leaf, and children of a full branch.
const FANOUT: usize = 64;

/// Items of a node in one cache line, about.
const LINE: usize = 8;

const _: () = assert!(FANOUT.is_multiple_of(LINE));

/// Of what the keys of a node share, so many bytes stand in the node.
const NEAR: usize = 16;

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
    keys: Heads,
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

/// Sorted keys by their heads, each with a number that stands for the key.
#[derive(Clone, Debug)]
struct Heads {
    /// The head above, the number below; all ones where there is nothing.
    items: [u64; FANOUT],
    len: u16,
    /// How many bytes all keys share at least.
    skip: u16,
    /// The first of those.
    shared: [u8; NEAR],
}

impl Heads {
    const EMPTY: Self = Self { items: [u64::MAX; FANOUT], len: 0, skip: 0, shared: [0; NEAR] };

    fn len(&self) -> usize {
        usize::from(self.len)
    }

    fn items(&self) -> &[u64] {
        self.items.get(..self.len()).unwrap_or_default()
    }

    /// The number at a place.
    fn number(&self, at: usize) -> u32 {
        *self.items().get(at).expect("within the node") as u32
    }

    /// Builds the heads of the sorted keys that `numbers` stand for.
    fn build<'k>(numbers: impl ExactSizeIterator<Item = u32>, key_of: impl Fn(u32) -> &'k [u8]) -> Self {
        let mut heads = Self { len: numbers.len() as u16, ..Self::EMPTY };
        for (item, number) in heads.items.iter_mut().zip(numbers) {
            *item = u64::from(number);
        }
        if let [first, .., last] = heads.items() {
            let first = key_of(*first as u32);
            heads.share(first, common_prefix(first, key_of(*last as u32)));
        }
        let (len, skip) = (heads.len(), heads.skip);
        for item in heads.items.iter_mut().take(len) {
            *item = item_of(key_of(*item as u32), skip, *item as u32);
        }
        heads
    }

    /// The heads of some neighbours among these. Where they share no more than all do, none between the first and the last is
    /// looked at.
    fn part<'k>(&self, items: &[u64], key_of: impl Fn(u32) -> &'k [u8]) -> Self {
        if let [first, .., last] = items
            && common_prefix(key_of(*first as u32), key_of(*last as u32)) == usize::from(self.skip)
        {
            let mut part = Self { len: items.len() as u16, skip: self.skip, shared: self.shared, ..Self::EMPTY };
            for (place, item) in part.items.iter_mut().zip(items) {
                *place = *item;
            }
            return part;
        }
        Self::build(items.iter().map(|item| *item as u32), key_of)
    }

    /// All keys begin with the first `skip` bytes of `key`.
    fn share(&mut self, key: &[u8], skip: usize) {
        self.skip = skip as u16;
        for (near, byte) in self.shared.iter_mut().zip(key.iter().take(skip)) {
            *near = *byte;
        }
    }

    /// The places whose heads equal that of `key`, provided `key` shares the prefix.
    fn run(&self, key: &[u8]) -> (usize, usize) {
        let head = head_of(key, self.skip);
        let is_below = |item: &u64| usize::from(((*item >> 32) as u32) < head);
        // The last of each cache line, all fetched at once, tell in which line the place is.
        let (lines, _) = self.items.as_chunks::<LINE>();
        let before: usize = lines.iter().map(|[.., last]| is_below(last)).sum();
        let low = before * LINE + lines.get(before).map_or(0, |line| line.iter().map(is_below).sum());
        let equal = self.items().iter().skip(low).take_while(|item| (**item >> 32) as u32 == head).count();
        (low, low + equal)
    }

    /// The place of `key` by its head alone; wrong when `key` does not share the prefix.
    fn guess<'k>(&self, key: &[u8], key_of: impl Fn(u32) -> &'k [u8]) -> Result<usize, usize> {
        let (mut low, mut high) = self.run(key);
        while low < high {
            let middle = low.midpoint(high);
            match key_of(self.number(middle)).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Where `key` stands, or would stand.
    fn search<'k>(&self, key: &[u8], key_of: impl Fn(u32) -> &'k [u8]) -> Result<usize, usize> {
        match self.compare_prefix(key, &key_of) {
            Ordering::Less => Err(0),
            Ordering::Greater => Err(self.len()),
            Ordering::Equal => self.guess(key, key_of),
        }
    }

    /// How `key` stands to what all keys share.
    fn compare_prefix<'k>(&self, key: &[u8], key_of: impl Fn(u32) -> &'k [u8]) -> Ordering {
        let skip = usize::from(self.skip);
        let near = self.shared.get(..skip).unwrap_or(&self.shared);
        let order = key.get(..near.len()).unwrap_or(key).cmp(near);
        if order.is_ne() || skip <= NEAR {
            return order;
        }
        let shared = key_of(self.number(0)).get(..skip).unwrap_or_default();
        key.get(..skip).unwrap_or(key).cmp(shared)
    }

    /// Puts the key that `number` stands for at `at`. There is room.
    fn insert<'k>(&mut self, at: usize, number: u32, key_of: impl Fn(u32) -> &'k [u8]) {
        let key = key_of(number);
        if let Some(first) = self.items().first().map(|item| *item as u32)
            && self.compare_prefix(key, &key_of).is_ne()
        {
            self.shorten(common_prefix(key, key_of(first)) as u16, key_of);
        }
        let item = item_of(key, self.skip, number);
        if let Some(tail) = self.items.get_mut(at..) {
            tail.copy_within(..tail.len() - 1, 1);
            if let Some(place) = tail.first_mut() {
                *place = item;
            }
        }
        self.len += 1;
    }

    fn shorten<'k>(&mut self, skip: u16, key_of: impl Fn(u32) -> &'k [u8]) {
        self.skip = skip;
        let len = self.len();
        for item in self.items.iter_mut().take(len) {
            *item = item_of(key_of(*item as u32), skip, *item as u32);
        }
    }

    /// Takes out the key at a place.
    fn remove(&mut self, at: usize) {
        let len = self.len();
        if let Some(tail) = self.items.get_mut(at..len) {
            tail.rotate_left(1);
            if let Some(last) = tail.last_mut() {
                *last = u64::MAX;
            }
        }
        self.len -= 1;
        if self.len == 0 {
            self.skip = 0;
        }
    }
}

impl Branch {
    fn of(separators: Vec<Box<[u8]>>, children: Vec<u32>) -> Self {
        let heads = Heads::build(0..separators.len() as u32, |index| separator(&separators, index));
        Self { heads, separators, children }
    }

    /// The index of the child that `key` belongs to.
    fn child_of(&self, key: &[u8]) -> usize {
        after_equal(self.heads.search(key, |index| separator(&self.separators, index)))
    }

    /// The same, by heads alone.
    fn guess_child_of(&self, key: &[u8]) -> usize {
        after_equal(self.heads.guess(key, |index| separator(&self.separators, index)))
    }

    fn child(&self, index: usize) -> u32 {
        *self.children.get(index).expect("a branch has one child more than separators")
    }
}

/// Where a key that is not there belongs. Good until the tree changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    leaf: u32,
    at: u32,
}

impl Tree {
    /// The handle of `key`, or the place where it belongs.
    pub(super) fn find(&self, keys: &impl Keys, key: &[u8]) -> Result<Handle, Place> {
        self.handle_at(self.seek(keys, key))
    }

    /// As [`Self::find`], for a key that belonged to `place` at an earlier time: most likely it still does, or has come there.
    pub(super) fn find_again(&self, keys: &impl Keys, key: &[u8], place: Place) -> Result<Handle, Place> {
        self.handle_at(self.seek_in(place.leaf, keys, key))
    }

    fn handle_at(&self, found: Result<Place, Place>) -> Result<Handle, Place> {
        let place = found?;
        let leaf = self.leaf(place.leaf).expect("places are in leaves");
        Ok(leaf.keys.number(place.at as usize))
    }

    /// The place of `key`, or the one where it belongs.
    fn seek(&self, keys: &impl Keys, key: &[u8]) -> Result<Place, Place> {
        // Without a look at what the keys of a node share, which is one wait for memory less a level. If that goes
        // astray, the leaf cannot tell, and a careful search has the last word.
        self.seek_in(self.leaf_by(key, Branch::guess_child_of), keys, key)
    }

    /// As [`Self::seek`], beginning with a leaf.
    fn seek_in(&self, number: u32, keys: &impl Keys, key: &[u8]) -> Result<Place, Place> {
        if let Some(leaf) = self.leaf(number) {
            match leaf.keys.guess(key, |handle| keys.key(handle)) {
                Ok(at) => return Ok(Place { leaf: number, at: at as u32 }),
                // Between two keys of a leaf there is no place in another.
                Err(at)
                    if 0 < at
                        && at < leaf.keys.len()
                        && leaf.keys.compare_prefix(key, |handle| keys.key(handle)).is_eq() =>
                {
                    return Err(Place { leaf: number, at: at as u32 });
                }
                Err(_) => {}
            }
        }
        self.seek_carefully(keys, key)
    }

    fn seek_carefully(&self, keys: &impl Keys, key: &[u8]) -> Result<Place, Place> {
        let number = self.leaf_of(key);
        let Some(leaf) = self.leaf(number) else {
            return Err(Place { leaf: 0, at: 0 });
        };
        let place = |at: usize| Place { leaf: number, at: at as u32 };
        leaf.keys.search(key, |handle| keys.key(handle)).map(place).map_err(place)
    }

    /// The handle of the greatest key.
    pub(super) fn last(&self) -> Option<Handle> {
        self.leaf(self.last_leaf)?.keys.items().last().map(|item| *item as Handle)
    }

    /// Handles in the order of their keys.
    pub(super) fn from(&self, keys: &impl Keys, start: Bound<&[u8]>) -> Ordered<'_> {
        let (leaf, at) = match start {
            Bound::Unbounded => (self.leaf_of(&[]), 0),
            Bound::Included(key) | Bound::Excluded(key) => match (self.seek(keys, key), start) {
                (Ok(place), Bound::Excluded(_)) => (place.leaf, place.at as usize + 1),
                (Ok(place) | Err(place), _) => (place.leaf, place.at as usize),
            },
        };
        Ordered { tree: self, leaf, at }
    }

    /// Puts in a handle at the place that [`Self::find`] gave for its key.
    pub(super) fn insert(&mut self, keys: &impl Keys, place: Place, handle: Handle) {
        if self.leaves.is_empty() {
            self.leaves.push(Box::new(Leaf { keys: Heads::EMPTY, next: 0 }));
        }
        let leaf = self.leaves.get_mut(place.leaf as usize).expect("places are in leaves");
        if leaf.keys.len() < FANOUT {
            leaf.keys.insert(place.at as usize, handle, |handle| keys.key(handle));
        } else {
            self.insert_and_split(keys, handle);
        }
    }

    /// Puts in a handle whose key is greater than all others.
    #[cfg(test)]
    pub(super) fn push_last(&mut self, keys: &impl Keys, handle: Handle) {
        let at = self.leaf(self.last_leaf).map_or(0, |leaf| leaf.keys.len());
        self.insert(keys, Place { leaf: self.last_leaf, at: at as u32 }, handle);
    }

    /// Memory of the leaves and branches, without the separators'.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.leaves.len() * size_of::<Leaf>() + self.branches.len() * (size_of::<Branch>() + FANOUT * 20)
    }

    fn insert_and_split(&mut self, keys: &impl Keys, handle: Handle) {
        let key = keys.key(handle);
        let split = self.insert_below(keys, self.root, self.height, key, handle);
        self.grow(split);
    }

    /// Puts a root above the old one and its new right neighbour, if it got one.
    fn grow(&mut self, split: Option<(Box<[u8]>, u32)>) {
        if let Some((separator, right)) = split {
            let root = self.branches.len() as u32;
            self.branches.push(Branch::of(alloc::vec![separator], alloc::vec![self.root, right]));
            self.root = root;
            self.height += 1;
        }
    }

    fn leaf(&self, number: u32) -> Option<&Leaf> {
        self.leaves.get(number as usize).map(|leaf| &**leaf)
    }

    /// Takes out the handle of `key`.
    pub(super) fn remove(&mut self, keys: &impl Keys, key: &[u8]) {
        let number = self.leaf_of(key);
        if let Some(leaf) = self.leaves.get_mut(number as usize)
            && let Ok(at) = leaf.keys.search(key, |handle| keys.key(handle))
        {
            leaf.keys.remove(at);
        }
    }

    fn leaf_of(&self, key: &[u8]) -> u32 {
        self.leaf_by(key, Branch::child_of)
    }

    fn leaf_by(&self, key: &[u8], child_of: impl Fn(&Branch, &[u8]) -> usize) -> u32 {
        let mut node = self.root;
        for _ in 0..self.height {
            let branch = self.branches.get(node as usize).expect("children are nodes of the tree");
            node = branch.child(child_of(branch, key));
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
        let key_of = |handle| keys.key(handle);
        let at = match leaf.keys.search(key, key_of) {
            Ok(at) | Err(at) => at,
        };
        // Keys that come in order leave full leaves behind, and nearly full ones where others follow already.
        let is_last = number == self.last_leaf;
        let middle = match (at == leaf.keys.len(), is_last) {
            (true, true) => FANOUT,
            (true, false) => FANOUT / 8 * 7,
            (false, _) => FANOUT / 2,
        };
        let (low, high) = leaf.keys.items().split_at(middle);
        let part = |items: &[u64], next| Leaf { keys: leaf.keys.part(items, key_of), next };
        let mut upper = part(high, if is_last { right } else { leaf.next });
        let mut lower = part(low, right);
        if at > middle || middle == FANOUT {
            upper.keys.insert(at - middle, handle, key_of);
        } else {
            lower.keys.insert(at, handle, key_of);
        }
        let below = keys.key(lower.keys.number(lower.keys.len() - 1));
        let above = keys.key(upper.keys.number(0));
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
            *branch = Branch::of(core::mem::take(&mut branch.separators), core::mem::take(&mut branch.children));
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
            let leaf = self.tree.leaf(self.leaf)?;
            if let Some(item) = leaf.keys.items().get(self.at) {
                self.at += 1;
                return Some(*item as Handle);
            }
            if self.leaf == self.tree.last_leaf {
                return None;
            }
            self.leaf = leaf.next;
            self.at = 0;
        }
    }
}

fn separator(separators: &[Box<[u8]>], index: u32) -> &[u8] {
    separators.get(index as usize).expect("one head per separator")
}

fn after_equal(found: Result<usize, usize>) -> usize {
    match found {
        Ok(at) => at + 1,
        Err(at) => at,
    }
}

/// The four bytes behind `skip`, filled up with zeros, as a number that orders as they do; and the number below.
fn item_of(key: &[u8], skip: u16, number: u32) -> u64 {
    u64::from(head_of(key, skip)) << 32 | u64::from(number)
}

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

#[cfg(test)]
mod tests;
