//! The client for programs without an async runtime.

mod network;

use std::path::Path;

use bytes::Bytes;
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::Lsn;
use softadastra_core::node::Written;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::batch::Batch;
use crate::client::Client;
use crate::events;
use crate::model::{BackupReport, Change, NodeInfo, Page, RecoveryReport, ScanOptions, SnapshotReport, Status, Value};
use crate::options::ClientOptions;
use crate::tools::Inspection;

/// The same as [`Client`], for threads: every call returns when it is done. To be shared between threads by reference;
/// their writes share syncs. Not for use inside an async runtime, where [`Client`] belongs.
///
/// Dropping it closes the node, as [`BlockingClient::close`] does, but tells nobody how that went.
#[derive(Debug)]
pub struct BlockingClient {
    client: Client,
    /// `None` only while dropping.
    runtime: Option<Runtime>,
}

impl BlockingClient {
    /// As [`Client::open`]; starts one thread beside those of the disk.
    ///
    /// # Errors
    /// As [`Client::open`]; [`Code::InvalidState`] inside an async runtime, which cannot be told from a thread of its
    /// `spawn_blocking`: open it there on a `std::thread`, or use [`Client`]; [`Code::IoError`] without threads.
    pub fn open(options: ClientOptions) -> Result<Self, Error> {
        if Handle::try_current().is_ok() {
            return Err(Error::new(
                Code::InvalidState,
                "a blocking client cannot be opened inside an async runtime",
                "use softadastra::Client there",
            ));
        }
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("softadastra").enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::new(
                Code::IoError,
                format!("no thread could be started: {error}"),
                "check the limits of this process",
            )
        })?;
        let client = runtime.block_on(Client::open(options))?;
        Ok(Self { client, runtime: Some(runtime) })
    }

    /// As [`Client::close`].
    ///
    /// # Errors
    /// As [`Client::close`].
    pub fn close(self) -> Result<(), Error> {
        self.wait(self.client.close())
    }

    /// As [`Client::put`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<Written, Error> {
        self.wait(self.client.put(key, value))
    }

    /// As [`Client::put_if_version`].
    ///
    /// # Errors
    /// As [`Client::put_if_version`].
    pub fn put_if_version(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        version: u64,
    ) -> Result<Written, Error> {
        self.wait(self.client.put_if_version(key, value, version))
    }

    /// As [`Client::remove`].
    ///
    /// # Errors
    /// As [`Client::remove`].
    pub fn remove(&self, key: impl Into<Bytes>) -> Result<Written, Error> {
        self.wait(self.client.remove(key))
    }

    /// As [`Client::batch`].
    ///
    /// # Errors
    /// As [`Client::batch`].
    pub fn batch(&self, batch: Batch) -> Result<Vec<Written>, Error> {
        self.wait(self.client.batch(batch))
    }

    /// As [`Client::get`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        self.client.get(key)
    }

    /// As [`Client::get_with`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_with<T>(&self, key: impl AsRef<[u8]>, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Error> {
        self.client.get_with(key, look)
    }

    /// As [`Client::contains`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.client.contains(key)
    }

    /// As [`Client::len`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn len(&self) -> Result<u64, Error> {
        self.client.len()
    }

    /// As [`Client::is_empty`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.client.is_empty()
    }

    /// As [`Client::scan`].
    ///
    /// # Errors
    /// As [`Client::scan`].
    pub fn scan(&self, options: &ScanOptions) -> Result<Page, Error> {
        self.client.scan(options)
    }

    /// As [`Client::scan_with`].
    ///
    /// # Errors
    /// As [`Client::scan`].
    pub fn scan_with(&self, options: &ScanOptions, look: impl FnMut(&[u8], &[u8])) -> Result<Option<Bytes>, Error> {
        self.client.scan_with(options, look)
    }

    /// As [`Client::watch`]: an iterator that waits for each next change and ends when the node has closed.
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub fn watch(&self, prefix: impl Into<Bytes>, after: Lsn) -> Result<impl Iterator<Item = Change> + '_, Error> {
        let mut watch = self.client.watch(prefix, after)?;
        Ok(std::iter::from_fn(move || self.wait(watch.next())))
    }

    /// As [`Client::node_info`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn node_info(&self) -> Result<NodeInfo, Error> {
        self.client.node_info()
    }

    /// As [`Client::status`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn status(&self) -> Result<Status, Error> {
        self.client.status()
    }

    /// As [`Client::recovery_report`].
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        self.client.recovery_report()
    }

    /// As [`Client::snapshot`].
    ///
    /// # Errors
    /// As [`Client::snapshot`].
    pub fn snapshot(&self) -> Result<SnapshotReport, Error> {
        self.wait(self.client.snapshot())
    }

    /// As [`Client::flush`].
    ///
    /// # Errors
    /// As [`Client::flush`].
    pub fn flush(&self) -> Result<Lsn, Error> {
        self.wait(self.client.flush())
    }

    /// As [`Client::backup`].
    ///
    /// # Errors
    /// As [`Client::backup`].
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport, Error> {
        self.wait(self.client.backup(dir))
    }

    /// As [`Client::inspect`].
    ///
    /// # Errors
    /// As [`Client::inspect`].
    pub fn inspect(&self) -> Result<Inspection, Error> {
        self.wait(self.client.inspect())
    }

    /// The async client beneath.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("there until dropped").block_on(future)
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if Handle::try_current().is_ok() {
            // A thread of another runtime must not wait here; what was answered is durable without a clean close.
            return runtime.shutdown_background();
        }
        if let Err(error) = runtime.block_on(self.client.close()) {
            events::tell!(error, events::kinds::CLOSE_FAILED, %error, "a dropped client did not close cleanly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_write_and_read_without_a_runtime() {
        let dir = tempfile::tempdir().unwrap();
        let client = BlockingClient::open(ClientOptions::local(dir.path())).unwrap();
        std::thread::scope(|threads| {
            for thread in 0..8 {
                let client = &client;
                threads.spawn(move || {
                    for n in 0..20 {
                        client.put(format!("{thread}/{n}"), "1").unwrap();
                    }
                });
            }
        });
        assert_eq!(client.len().unwrap(), 160);
        let seen: Vec<Change> = client.watch("3/", Lsn::ZERO).unwrap().take(20).collect();
        assert!(seen.iter().all(|change| change.key.starts_with(b"3/")));
        client.remove("0/0").unwrap();
        client.snapshot().unwrap();
        client.close().unwrap();

        // Dropping closes as well.
        drop(BlockingClient::open(ClientOptions::local(dir.path())).unwrap());
        let client = BlockingClient::open(ClientOptions::durable(dir.path())).unwrap();
        assert!(client.recovery_report().clean);
        assert_eq!(client.len().unwrap(), 159);
    }

    #[tokio::test]
    async fn it_refuses_to_open_inside_a_runtime_and_may_be_dropped_there() {
        let dir = tempfile::tempdir().unwrap();
        let error = BlockingClient::open(ClientOptions::local(dir.path())).unwrap_err();
        assert_eq!(error.code(), Code::InvalidState);
        let path = dir.path().to_owned();
        let client = std::thread::spawn(move || {
            let client = BlockingClient::open(ClientOptions::local(path)).unwrap();
            client.put("a", "1").unwrap();
            client
        });
        let client = client.join().unwrap();
        drop(client);
        let options = ClientOptions::local(dir.path()).lock_wait(std::time::Duration::from_secs(60));
        let client = Client::open(options).await.unwrap();
        assert!(client.contains("a").unwrap());
    }
}
