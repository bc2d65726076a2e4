//! Walks over live entries in key order.

use core::ops::{Bound, RangeBounds};

use super::{Entry, Store};

enum End<'a> {
    Bound(Bound<&'a [u8]>),
    Prefix(&'a [u8]),
}

impl End<'_> {
    fn admits(&self, key: &[u8]) -> bool {
        match self {
            Self::Bound(Bound::Unbounded) => true,
            Self::Bound(Bound::Included(last)) => key <= *last,
            Self::Bound(Bound::Excluded(end)) => key < *end,
            Self::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

impl Store {
    /// Published, live entries of a range of keys, in key order. A range that ends before it begins is empty.
    pub fn scan<'a>(&'a self, range: impl RangeBounds<&'a [u8]>) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.live_from(range.start_bound().cloned(), End::Bound(range.end_bound().cloned()))
    }

    /// Published, live entries whose key begins with `prefix`, in key order; only those after the key `after`, where
    /// an earlier scan stopped.
    pub fn scan_prefix<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
    ) -> impl Iterator<Item = Entry<'a>> + 'a {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        self.live_from(start, End::Prefix(prefix))
    }

    fn live_from<'a>(&'a self, start: Bound<&'a [u8]>, end: End<'a>) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.entries_from(start).take_while(move |entry| end.admits(entry.key())).filter(|entry| !entry.is_tombstone())
    }
}
