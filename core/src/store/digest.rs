//! A 128-bit digest of the whole state, indifferent to order and maintained with every change.

use core::fmt;

use super::entry::Entry;
use crate::hash::blake3_128;

/// The wrapping sum, modulo 2^128, of BLAKE3-128 over each entry's winner: dot, stamp, content hash, whether it is a
/// tombstone, and key. Two stores with equal digests hold the same winners. `known`, version counts and LSNs, which
/// differ between replicas, are not in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// One entry's part.
    pub(super) fn of(entry: Entry<'_>) -> Self {
        let dot = entry.dot();
        // Fields of fixed length first, so that the key needs no length: keys up to 23 bytes take one BLAKE3 block.
        let [seq, stamp, content] = [dot.seq, entry.stamp().0, entry.content_hash()].map(u64::to_le_bytes);
        let dead = [u8::from(entry.is_tombstone())];
        Self(blake3_128([&dot.replica.0, &seq, &stamp, &content, &dead, entry.key()]))
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
