//! A 128-bit digest of the whole state, indifferent to order and maintained with every change.

use core::fmt;

use super::entry::Entry;
use crate::op::winner_hash;

/// The wrapping sum, modulo 2^128, of the [`winner_hash`] of each entry. Two stores with equal digests hold the same winners.
/// `known`, version counts and LSNs, which
/// differ between replicas, are not in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// One entry's part.
    pub(super) fn of(entry: Entry<'_>) -> Self {
        let tombstone = entry.is_tombstone();
        Self(winner_hash(entry.dot(), entry.stamp(), entry.content_hash(), tombstone, entry.key()))
    }

    pub(super) fn add(&mut self, part: Self) {
        self.0 = self.0.wrapping_add(part.0);
    }

    pub(super) fn remove(&mut self, part: Self) {
        self.0 = self.0.wrapping_sub(part.0);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
