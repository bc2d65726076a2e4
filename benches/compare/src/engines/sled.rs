//! sled: a tree in memory beside a log of its changes, which a thread of its own writes and syncs twice a second. `flush` writes what
//! has gathered and waits until the device has it (`sync_file_range`), but syncs nothing: what it answers may be lost in a power cut,
//! and no other call promises more.

use std::path::Path;
use std::sync::Arc;

use sled::{Batch, Config, Db};

use crate::engine::{Engine, Fault, Key, Promise};

struct Sled(Db);

pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    if promise == Promise::Synced {
        return Err("sled has no mode in which an answer would survive a power cut".into());
    }
    Ok(Arc::new(Sled(Config::new().path(dir.join("sled")).open()?)))
}

impl Engine for Sled {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        self.0.insert(key, value)?;
        Ok(())
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        let mut batch = Batch::default();
        for (key, value) in pairs {
            batch.insert(key, value.as_slice());
        }
        Ok(self.0.apply_batch(batch)?)
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        Ok(self.0.get(key)?.map(|value| crate::work::touch(&value)))
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        let mut seen = 0;
        for entry in self.0.range(from..).take(count) {
            seen += usize::from(crate::work::touch(&entry?.1) > 0);
        }
        Ok(seen)
    }
}
