//! The feed: entries by the LSN of their latest change.

use alloc::collections::BTreeMap;

use super::table::{Handle, Table};
use crate::ids::Lsn;

#[derive(Debug, Default)]
pub(super) struct Feed {
    items: BTreeMap<Lsn, Handle>,
}

impl Feed {
    pub(super) fn push(&mut self, lsn: Lsn, handle: Handle, _table: &Table) {
        self.items.insert(lsn, handle);
    }

    pub(super) fn after<'a>(&'a self, after: Lsn, table: &'a Table) -> impl Iterator<Item = Handle> + 'a {
        self.items
            .range((core::ops::Bound::Excluded(after), core::ops::Bound::Unbounded))
            .filter(|(lsn, handle)| table.slot(**handle).changed == **lsn)
            .map(|(_, handle)| *handle)
    }
}
