//! Writes that belong together.

use bytes::Bytes;
use softadastra_core::node::Write;

/// Writes that become durable and visible together, or not at all.
///
/// Conditions are judged against the state before the batch; if one fails, nothing is written. Later writes to a key of
/// the same batch see the earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) writes: Vec<Write>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { writes: Vec::new() }
    }

    /// Sets a value. The one that is there already writes nothing.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.push_put(key.into(), value.into(), None, false)
    }

    /// Sets a value, and writes it even if it is there already: it gets a new version and a new stamp.
    pub fn touch(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.push_put(key.into(), value.into(), None, true)
    }

    /// Sets a value if the key is at `version`; 0 means that it must be absent.
    pub fn put_if_version(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>, version: u64) -> &mut Self {
        self.push_put(key.into(), value.into(), Some(version), false)
    }

    /// Deletes a key. An absent one writes nothing.
    pub fn remove(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.writes.push(Write::Delete { key: key.into(), expect: None });
        self
    }

    /// Deletes a key if it is at `version`.
    pub fn remove_if_version(&mut self, key: impl Into<Bytes>, version: u64) -> &mut Self {
        self.writes.push(Write::Delete { key: key.into(), expect: Some(version) });
        self
    }

    fn push_put(&mut self, key: Bytes, value: Bytes, expect: Option<u64>, touch: bool) -> &mut Self {
        self.writes.push(Write::Put { key, value, expect, touch });
        self
    }

    /// The number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}
