//! The feed: entries by the LSN of their latest change.
//!
//! Every change adds an item (LSN, handle). An item whose entry has changed since is dead, and stays until a sweep
//! comes by: each change pays for looking at two old items, so that the dead never outnumber the living by much and no
//! single change waits for more than one chunk.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use super::table::{Handle, Table};
use crate::ids::Lsn;

/// Items of a full chunk.
const CHUNK: usize = 1024;

/// Old items looked at per new one.
const PACE: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Feed {
    /// By a base LSN that is at most that of the first item.
    chunks: BTreeMap<Lsn, Vec<Item>>,
    /// All items in `chunks`, dead ones included.
    len: usize,
    /// Came with snapshot blocks, in the order of keys; sorted in before anything else is. `chunks` is empty as long
    /// as there are any.
    loose: Vec<(Lsn, Handle)>,
    /// Where the sweep goes on.
    swept: Lsn,
    /// Items that the sweep may look at.
    credit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    /// LSN above the chunk's base.
    offset: u32,
    handle: Handle,
}

impl Feed {
    /// Adds a change. Replay over a loaded snapshot brings LSNs below the greatest; else they rise.
    pub(super) fn push(&mut self, lsn: Lsn, handle: Handle, table: &Table) {
        self.settle();
        self.put(lsn, handle);
        let live = table.len();
        if self.len > live + live / 2 + CHUNK {
            self.credit += PACE;
            if self.credit >= CHUNK {
                self.sweep(table);
            }
        }
    }

    /// Adds a change whose LSN stands in no order to the others.
    pub(super) fn push_loose(&mut self, lsn: Lsn, handle: Handle) {
        assert!(self.chunks.is_empty(), "snapshot blocks are loaded before anything is applied");
        self.loose.push((lsn, handle));
    }

    /// Sorts in what was loaded.
    pub(super) fn settle(&mut self) {
        if self.loose.is_empty() {
            return;
        }
        let loose = order(core::mem::take(&mut self.loose));
        self.len = loose.len();
        let mut rest = loose.as_slice();
        while let Some((base, _)) = rest.first().copied() {
            let fits = |(lsn, _): &(Lsn, Handle)| u32::try_from(lsn.0 - base.0).is_ok();
            let mut end = rest.iter().take(CHUNK).take_while(|item| fits(item)).count();
            // No two chunks have the same base, whatever the file says.
            while rest.get(end).is_some_and(|next| rest.get(end - 1).is_some_and(|last| next.0 == last.0)) {
                end += 1;
            }
            let (chunk, behind) = rest.split_at(end);
            let item = |&(lsn, handle): &(Lsn, Handle)| Item { offset: (lsn.0 - base.0) as u32, handle };
            self.chunks.insert(base, chunk.iter().map(item).collect());
            rest = behind;
        }
    }

    /// Handles of entries that changed after `after`, in the order of their latest change.
    pub(super) fn after<'a>(&'a self, after: Lsn, table: &'a Table) -> impl Iterator<Item = Handle> + 'a {
        let mut loose: Vec<_> = self.loose.iter().copied().filter(|(lsn, _)| *lsn > after).collect();
        loose.sort_unstable();
        // The chunk in which `after` itself falls, and those behind it.
        let first = self.chunks.range(..=after).next_back().map_or(after, |(base, _)| *base);
        let chunks = self.chunks.range((Bound::Included(first), Bound::Unbounded));
        chunks
            .flat_map(move |(base, items)| {
                let start = items.partition_point(|item| item.lsn(*base) <= after);
                items.iter().skip(start).map(|item| (item.lsn(*base), item.handle))
            })
            .filter(|(lsn, handle)| is_live(table, *lsn, *handle))
            .chain(loose)
            .map(|(_, handle)| handle)
    }

    /// Memory of the items.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.chunks.values().map(|items| items.capacity() * size_of::<Item>()).sum()
    }

    fn put(&mut self, lsn: Lsn, handle: Handle) {
        self.len += 1;
        // Nearly always behind all others, in a chunk with room.
        if let Some(mut last) = self.chunks.last_entry()
            && let Some(offset) = lsn.0.checked_sub(last.key().0).and_then(|offset| u32::try_from(offset).ok())
            && last.get().len() < CHUNK
            && last.get().last().is_none_or(|item| item.offset < offset)
        {
            last.get_mut().push(Item { offset, handle });
            return;
        }
        let chunk = self.chunks.range_mut(..=lsn).next_back().and_then(|(base, items)| {
            let offset = u32::try_from(lsn.0 - base.0).ok()?;
            let at = items.partition_point(|item| item.offset < offset);
            (at < items.len() || items.len() < CHUNK).then_some((*base, items, at, offset))
        });
        let Some((base, items, at, offset)) = chunk else {
            let mut items = Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK });
            items.push(Item { offset: 0, handle });
            self.chunks.insert(lsn, items);
            return;
        };
        items.insert(at, Item { offset, handle });
        if items.len() >= 2 * CHUNK {
            let mut upper = items.split_off(CHUNK);
            items.shrink_to_fit();
            let lowest = upper.first().map_or(0, |item| item.offset);
            for item in &mut upper {
                item.offset -= lowest;
            }
            self.chunks.insert(Lsn(base.0 + u64::from(lowest)), upper);
        }
    }

    /// Drops the dead items of the next chunk, and joins what is left to the chunk before if that has room.
    fn sweep(&mut self, table: &Table) {
        let next = (Bound::Excluded(self.swept), Bound::Unbounded);
        let Some((&base, items)) = self.chunks.range_mut::<Lsn, _>(next).next() else {
            self.swept = Lsn::ZERO;
            return;
        };
        let before = items.len();
        self.credit = self.credit.saturating_sub(before);
        items.retain(|item| is_live(table, item.lsn(base), item.handle));
        let left = items.len();
        self.len -= before - left;
        self.swept = base;
        if left == before {
            return;
        }
        if left < CHUNK / 2 && self.join_to_previous(base) {
            self.chunks.remove(&base);
        } else if let Some(items) = self.chunks.get_mut(&base) {
            items.shrink_to_fit();
        }
    }

    fn join_to_previous(&mut self, base: Lsn) -> bool {
        let mut upward = self.chunks.range_mut(..=base).rev();
        let (Some((_, items)), previous) = (upward.next(), upward.next()) else {
            return false;
        };
        if items.is_empty() {
            return true;
        }
        let Some((previous_base, previous)) = previous else {
            return false;
        };
        let distance = base.0 - previous_base.0;
        let last = items.last().map_or(0, |item| u64::from(item.offset)) + distance;
        if previous.len() + items.len() > CHUNK || u32::try_from(last).is_err() {
            return false;
        }
        previous.extend(items.iter().map(|item| Item { offset: item.offset + distance as u32, ..*item }));
        true
    }
}

impl Item {
    fn lsn(self, base: Lsn) -> Lsn {
        Lsn(base.0 + u64::from(self.offset))
    }
}

/// Bits of an LSN that one pass sorts by.
const DIGIT: u32 = 11;

/// Sorts by LSN what stands in the order of handles. LSNs of a store are many and lie close together, which takes two passes
/// for a million rather than twenty comparisons for each.
fn order(mut loose: Vec<(Lsn, Handle)>) -> Vec<(Lsn, Handle)> {
    let least = loose.iter().map(|(lsn, _)| lsn.0).min().unwrap_or_default();
    let most = loose.iter().map(|(lsn, _)| lsn.0).max().unwrap_or_default();
    let bits = u64::BITS - (most - least).leading_zeros();
    if loose.len() < CHUNK || bits > 3 * DIGIT {
        loose.sort_unstable();
        return loose;
    }
    let mut sorted = alloc::vec![(Lsn::ZERO, 0); loose.len()];
    for shift in (0..bits).step_by(DIGIT as usize) {
        let digit = |lsn: Lsn| ((lsn.0 - least) >> shift) as usize & ((1 << DIGIT) - 1);
        let mut places = [0_usize; 1 << DIGIT];
        for (lsn, _) in &loose {
            if let Some(count) = places.get_mut(digit(*lsn)) {
                *count += 1;
            }
        }
        let mut before = 0;
        for place in &mut places {
            before += core::mem::replace(place, before);
        }
        for item in &loose {
            if let Some(place) = places.get_mut(digit(item.0))
                && let Some(to) = sorted.get_mut(*place)
            {
                *to = *item;
                *place += 1;
            }
        }
        core::mem::swap(&mut loose, &mut sorted);
    }
    loose
}

fn is_live(table: &Table, lsn: Lsn, handle: Handle) -> bool {
    table.slot(handle).changed == lsn
}

#[cfg(test)]
mod tests;
