//! Softadastra itself: through the blocking client beside the other blocking engines, and through the async client,
//! which is what a program with many writers would use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use softadastra::{Batch, BlockingClient, Client, ClientOptions, Durability, ScanOptions};

use crate::engine::{Engine, Fault, Key, Promise};

fn options(dir: &Path, promise: Promise) -> ClientOptions {
    let durability = match promise {
        Promise::Synced => Durability::Always,
        Promise::Unsynced => Durability::Interval(Duration::from_secs(1)),
    };
    ClientOptions::persistent(dir).durability(durability)
}

struct Blocking(BlockingClient);

pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    Ok(Arc::new(Blocking(BlockingClient::open(options(dir, promise))?)))
}

/// Opens the async client; the caller runs it on a runtime of its own.
///
/// # Errors
/// Those of the client.
pub(crate) async fn open_async(dir: &Path, promise: Promise) -> Result<Client, Fault> {
    Ok(Client::open(options(dir, promise)).await?)
}

impl Engine for Blocking {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        self.0.put(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(value))?;
        Ok(())
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        let mut batch = Batch::default();
        for (key, value) in pairs {
            batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        }
        self.0.batch(batch)?;
        Ok(())
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        Ok(self.0.get_with(key, crate::work::touch)?)
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        let options = ScanOptions { from: Some(Bytes::copy_from_slice(&from)), limit: count, ..ScanOptions::default() };
        let mut seen = 0;
        self.0.scan_with(&options, |_, value| seen += usize::from(crate::work::touch(value) > 0))?;
        Ok(seen)
    }
}
