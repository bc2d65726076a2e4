//! LMDB: a memory-mapped B-tree with one writer at a time and readers that wait for nobody.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use crate::engine::{Engine, Fault, Key, Promise};

/// More than any run here writes.
const MAP: usize = 8 << 30;

struct Lmdb {
    env: Env,
    items: Database<Bytes, Bytes>,
}

#[allow(
    unsafe_code,
    reason = "opening is unsafe because nobody else may change the file: it lies in our own directory"
)]
pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    let dir = dir.join("lmdb");
    std::fs::create_dir_all(&dir)?;
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP).max_readers(512);
    if promise == Promise::Unsynced {
        // SAFETY: what a crash of the machine may lose is what "unsynced" says.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: the directory was made by this program and nobody else opens it.
    let env = unsafe { options.open(&dir)? };
    let mut transaction = env.write_txn()?;
    let items = env.create_database(&mut transaction, None)?;
    transaction.commit()?;
    Ok(Arc::new(Lmdb { env, items }))
}

impl Engine for Lmdb {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        let mut transaction = self.env.write_txn()?;
        self.items.put(&mut transaction, &key, value)?;
        transaction.commit()?;
        Ok(())
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in pairs {
            self.items.put(&mut transaction, key, value)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        let transaction = self.env.read_txn()?;
        Ok(self.items.get(&transaction, &key)?.map(crate::work::touch))
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        let transaction = self.env.read_txn()?;
        let mut seen = 0;
        for entry in self.items.range(&transaction, &(Bound::Included(from.as_slice()), Bound::Unbounded))?.take(count)
        {
            seen += usize::from(crate::work::touch(entry?.1) > 0);
        }
        Ok(seen)
    }
}
