//! The client for programs without an async runtime.

use std::path::Path;

use bytes::Bytes;
use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;

use crate::client::{Batch, Client};
use crate::model::{BackupReport, SnapshotReport, Written};
use crate::options::ClientOptions;

/// The same as [`Client`], for threads: every call returns when it is done. Reads go through [`Self::client`] or
/// directly: they never wait.
#[derive(Debug)]
pub struct BlockingClient;

impl BlockingClient {
    /// As [`Client::open`].
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open(options: ClientOptions) -> Result<Self, Error> {
        todo!()
    }
    /// As [`Client::close`].
    ///
    /// # Errors
    /// As [`Client::close`].
    pub fn close(self) -> Result<(), Error> {
        todo!()
    }
    /// As [`Client::put`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<Written, Error> {
        todo!()
    }
    /// As [`Client::batch`].
    ///
    /// # Errors
    /// As [`Client::batch`].
    pub fn batch(&self, batch: Batch) -> Result<Vec<Written>, Error> {
        todo!()
    }
    /// As [`Client::snapshot`].
    ///
    /// # Errors
    /// As [`Client::snapshot`].
    pub fn snapshot(&self) -> Result<SnapshotReport, Error> {
        todo!()
    }
    /// As [`Client::flush`].
    ///
    /// # Errors
    /// As [`Client::flush`].
    pub fn flush(&self) -> Result<Lsn, Error> {
        todo!()
    }
    /// As [`Client::backup`].
    ///
    /// # Errors
    /// As [`Client::backup`].
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport, Error> {
        todo!()
    }
    /// The async client beneath, for what does not wait: get, contains, len, scan, `node_info`, status.
    #[must_use]
    pub fn client(&self) -> &Client {
        todo!()
    }
}
