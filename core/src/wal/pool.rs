//! Superfluous segments that are kept for their room: the next segments are written over them, so that nothing has to be
//! filled with zeros.

use alloc::collections::VecDeque;

use super::format::FileName;

/// A superfluous segment, under the name that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The number that it had.
    pub(super) number: u64,
    /// Bytes of the file.
    pub(super) len: u64,
}

impl Kept {
    pub(super) fn name(self) -> FileName {
        FileName::Kept(self.number)
    }
}

/// The kept segments, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pool {
    kept: VecDeque<Kept>,
    /// Bytes that a segment is to have.
    segment: u64,
    /// Bytes of all of them at most.
    limit: u64,
}

impl Pool {
    /// Sets what is worth keeping beside a snapshot of `snapshot` bytes, with segments of `segment` bytes: with the one that is being
    /// prepared as much as will be logged before the next snapshot, and three of them at least, since a snapshot does not
    /// free the same number every time.
    pub(super) fn aim(&mut self, segment: u64, snapshot: u64) {
        self.segment = segment;
        self.limit = segment.saturating_mul(2).max(snapshot.saturating_sub(segment));
    }

    /// Whether a file of `len` bytes is worth keeping.
    pub(super) fn wants(&self, len: u64) -> bool {
        let fits = self.segment / 2 <= len && len <= self.segment.saturating_mul(2);
        fits && self.bytes() + len <= self.limit
    }

    pub(super) fn put(&mut self, kept: Kept) {
        self.kept.push_back(kept);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// One that is no longer worth keeping.
    pub(super) fn take_excess(&mut self) -> Option<Kept> {
        if self.bytes() > self.limit { self.kept.pop_front() } else { None }
    }

    pub(super) fn take(&mut self) -> Option<Kept> {
        self.kept.pop_front()
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_half_to_twice_the_wanted_length_are_kept_up_to_the_limit() {
        let mut pool = Pool::default();
        pool.aim(100, 1000);
        assert_eq!([49, 50, 200, 201].map(|len| pool.wants(len)), [false, true, true, false]);
        (1..=4).for_each(|number| pool.put(Kept { number, len: 200 }));
        assert_eq!([100, 101].map(|len| pool.wants(len)), [true, false], "of 900 bytes");
        pool.put(Kept { number: 5, len: 100 });
        assert_eq!(pool.take_excess(), None);
        pool.put(Kept { number: 6, len: 1 });
        assert_eq!(pool.take_excess(), Some(Kept { number: 1, len: 200 }));
        assert_eq!((pool.bytes(), pool.take_excess()), (701, None));
    }
}
