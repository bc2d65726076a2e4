//! SQLite in WAL mode, `synchronous=FULL` where synced: one connection for each thread would only add lock waits for
//! writers, so writers share one; readers have their own.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension};

use crate::engine::{Engine, Fault, Key, Promise};

struct Sqlite {
    path: PathBuf,
    writer: Mutex<Connection>,
}

thread_local! {
    static READER: RefCell<Option<(PathBuf, Connection)>> = const { RefCell::new(None) };
}

fn connect(path: &Path, promise: Promise) -> Result<Connection, Fault> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match promise {
        Promise::Synced => "FULL",
        Promise::Unsynced => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -262_144)?;
    connection.set_prepared_statement_cache_capacity(8);
    Ok(connection)
}

pub(super) fn open(dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    let path = dir.join("data.sqlite");
    let writer = connect(&path, promise)?;
    writer.execute("CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID", [])?;
    Ok(Arc::new(Sqlite { path, writer: Mutex::new(writer) }))
}

const PUT: &str = "INSERT INTO kv (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v";

impl Sqlite {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, Fault> {
        READER.with_borrow_mut(|reader| {
            if reader.as_ref().is_none_or(|(path, _)| *path != self.path) {
                *reader = Some((self.path.clone(), connect(&self.path, Promise::Unsynced)?));
            }
            let (_, connection) = reader.as_ref().ok_or("no connection")?;
            Ok(read(connection)?)
        })
    }
}

impl Engine for Sqlite {
    fn put(&self, key: Key, value: &[u8]) -> Result<(), Fault> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.prepare_cached(PUT)?.execute((key, value))?;
        Ok(())
    }

    fn put_all(&self, pairs: &[(Key, Vec<u8>)]) -> Result<(), Fault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer.transaction()?;
        {
            let mut statement = transaction.prepare_cached(PUT)?;
            for (key, value) in pairs {
                statement.execute((key, value))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn get(&self, key: Key) -> Result<Option<usize>, Fault> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT v FROM kv WHERE k = ?1")?
                .query_row([key], |row| Ok(crate::work::touch(row.get_ref(0)?.as_blob()?)))
                .optional()
        })
    }

    fn scan(&self, from: Key, count: usize) -> Result<usize, Fault> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT k, v FROM kv WHERE k >= ?1 ORDER BY k LIMIT ?2")?;
            let mut rows = statement.query((from, i64::try_from(count).unwrap_or(i64::MAX)))?;
            let mut seen = 0;
            while let Some(row) = rows.next()? {
                seen += usize::from(crate::work::touch(row.get_ref(1)?.as_blob()?) > 0);
            }
            Ok(seen)
        })
    }
}
