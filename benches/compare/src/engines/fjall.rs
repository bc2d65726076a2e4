//! fjall: a log-structured merge tree. It has no group commit of its own; every writer syncs for itself.

use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::engine::{Engine, Fault, Key, Promise};

struct Fjall {
    database: Database,
    items: Keyspace,
    promise: Promise,
}

pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    let database = Database::builder(dir.join("fjall")).open()?;
    let items = database.keyspace("kv", KeyspaceCreateOptions::default)?;
    Ok(Arc::new(Fjall { database, items, promise }))
}

impl Fjall {
    fn persist(&self) -> Result<(), Fault> {
        if self.promise == Promise::Synced {
            self.database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Engine for Fjall {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        self.items.insert(key, value)?;
        self.persist()
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        let mut batch = self.database.batch();
        for (key, value) in pairs {
            batch.insert(&self.items, *key, value.as_slice());
        }
        batch.commit()?;
        self.persist()
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        Ok(self.items.get(key)?.map(|value| crate::work::touch(&value)))
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        let mut seen = 0;
        for entry in self.items.range(from..).take(count) {
            seen += usize::from(crate::work::touch(&entry.value()?) > 0);
        }
        Ok(seen)
    }
}
