//! What every engine has to offer to be compared.

use std::path::Path;
use std::sync::Arc;

/// A key of 16 bytes.
pub(crate) type Key = [u8; 16];

/// Anything that goes wrong ends the comparison: figures of an engine that failed would be worthless.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// When it would survive a power cut.
    Synced,
    /// When it would survive the end of the process, or as near to that as the engine has a mode for.
    Unsynced,
}

/// A key-value engine, open on a directory of its own. Calls block the calling thread; all may come from several
/// threads at once.
pub(crate) trait Engine: Send + Sync {
    /// Writes one value; kept as the promise says when this returns.
    ///
    /// # Errors
    /// Those of the engine.
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault>;

    /// Writes some values in one commit.
    ///
    /// # Errors
    /// Those of the engine.
    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault>;

    /// The length of the value of `key`, read to its last byte; `None` when there is none.
    ///
    /// # Errors
    /// Those of the engine.
    fn get(&self, key: Key) -> Result<Option<usize>, Fault>;

    /// How many of the `count` entries from `from` on there are; each was read.
    ///
    /// # Errors
    /// Those of the engine.
    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault>;
}

/// Opens an engine on a directory, empty or left by itself.
pub(crate) type Open = fn(&Path, Promise) -> Result<Arc<dyn Engine>, Fault>;

/// An engine as it can be chosen and opened.
#[derive(Clone, Copy)]
pub(crate) struct Contender {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// The version that is measured, as far as it is known.
    pub(crate) version: &'static str,
    /// Whether it has a mode in which what it answers survives a power cut. One that has none is measured beside puts that
    /// nobody has synced, and nowhere else.
    pub(crate) syncs: bool,
    /// Opens it on a directory, empty or left by itself.
    pub(crate) open: Open,
}
