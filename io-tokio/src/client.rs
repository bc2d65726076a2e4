//! The async client.

use std::path::Path;

use bytes::Bytes;
use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;

use crate::model::{BackupReport, NodeInfo, Page, RecoveryReport, ScanOptions, SnapshotReport, Status, Value, Written};
use crate::options::ClientOptions;
use crate::watch::Watch;

/// A handle on an open node. Clones share it; the node closes cleanly when the last is dropped.
#[derive(Clone, Debug)]
pub struct Client;

/// Writes that become visible and durable together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch;

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
    /// Sets a value.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        todo!()
    }
    /// Sets a value if the key is at `version` (0: absent).
    pub fn put_if_version(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>, version: u64) -> &mut Self {
        todo!()
    }
    /// Deletes a key.
    pub fn remove(&mut self, key: impl Into<Bytes>) -> &mut Self {
        todo!()
    }
    /// The number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

impl Client {
    /// Opens a node.
    ///
    /// # Errors
    /// See the codes.
    pub async fn open(options: ClientOptions) -> Result<Self, Error> {
        todo!()
    }
    /// Finishes what was accepted, closes the log cleanly and lets go of the directory.
    ///
    /// # Errors
    /// When the last writes or the closing frame could not be made durable.
    pub async fn close(&self) -> Result<(), Error> {
        todo!()
    }
    /// Sets a value. A value equal to the present one writes nothing.
    ///
    /// # Errors
    /// See the codes.
    pub async fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<Written, Error> {
        todo!()
    }
    /// Sets a value if the key is at `version` (0: absent).
    ///
    /// # Errors
    /// `version_mismatch`.
    pub async fn put_if_version(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        version: u64,
    ) -> Result<Written, Error> {
        todo!()
    }
    /// Deletes a key.
    ///
    /// # Errors
    /// See the codes.
    pub async fn remove(&self, key: impl Into<Bytes>) -> Result<Written, Error> {
        todo!()
    }
    /// Carries out a batch, atomically; one answer per write, in order.
    ///
    /// # Errors
    /// See the codes.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Written>, Error> {
        todo!()
    }
    /// Reads a value. Waits for no disk and no queue.
    ///
    /// # Errors
    /// `invalid_state` after closing.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        todo!()
    }
    /// Whether a key has a value.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        todo!()
    }
    /// The number of keys that have a value.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn len(&self) -> Result<u64, Error> {
        todo!()
    }
    /// Whether no key has a value.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        todo!()
    }
    /// One page of keys, in order.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn scan(&self, options: &ScanOptions) -> Result<Page, Error> {
        todo!()
    }
    /// Changes of the keys that begin with `prefix`, after position `after` ([`Lsn::ZERO`]: all there is, then what comes).
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn watch(&self, prefix: impl Into<Bytes>, after: Lsn) -> Result<Watch, Error> {
        todo!()
    }
    /// Position of the latest visible change.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn last_lsn(&self) -> Result<Lsn, Error> {
        todo!()
    }
    /// Who the node is.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn node_info(&self) -> Result<NodeInfo, Error> {
        todo!()
    }
    /// How the node does.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn status(&self) -> Result<Status, Error> {
        todo!()
    }
    /// What opening found.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        todo!()
    }
    /// Writes a snapshot now and removes the segments it makes needless.
    ///
    /// # Errors
    /// See the codes.
    pub async fn snapshot(&self) -> Result<SnapshotReport, Error> {
        todo!()
    }
    /// Makes everything accepted so far durable; says up to where.
    ///
    /// # Errors
    /// See the codes.
    pub async fn flush(&self) -> Result<Lsn, Error> {
        todo!()
    }
    /// Copies the node into an empty directory, or brings an earlier backup of the same log up to date.
    ///
    /// # Errors
    /// See the codes.
    pub async fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport, Error> {
        todo!()
    }
    /// Completes when the node has closed or stopped, whoever closed it.
    pub async fn closed(&self) {
        todo!()
    }
}
