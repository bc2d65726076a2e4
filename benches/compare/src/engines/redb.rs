//! redb: a copy-on-write B-tree with one writer at a time.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::engine::{Engine, Fault, Key, Promise};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kv");

struct Redb {
    database: Database,
    durability: Durability,
}

pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    let database = Database::create(dir.join("data.redb"))?;
    let begin = database.begin_write()?;
    begin.open_table(TABLE)?;
    begin.commit()?;
    let durability = match promise {
        Promise::Synced => Durability::Immediate,
        Promise::Unsynced => Durability::None,
    };
    Ok(Arc::new(Redb { database, durability }))
}

impl Redb {
    fn write<'a>(&self, pairs: impl Iterator<Item = (&'a Key, &'a [u8])>) -> Result<(), Fault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in pairs {
                table.insert(key.as_slice(), value)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Engine for Redb {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        self.write(std::iter::once((&key, value)))
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        self.write(pairs.iter().map(|(key, value)| (key, value.as_slice())))
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        Ok(table.get(key.as_slice())?.map(|value| crate::work::touch(value.value())))
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let mut seen = 0;
        for entry in table.range(from.as_slice()..)?.take(count) {
            seen += usize::from(crate::work::touch(entry?.1.value()) > 0);
        }
        Ok(seen)
    }
}
