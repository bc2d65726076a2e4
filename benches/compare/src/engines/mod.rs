//! The engines that are compared, each behind the same few calls.

pub(crate) mod baseline;
mod fjall;
mod lmdb;
mod redb;
mod rocksdb;
pub(crate) mod softadastra;
mod sqlite;

use crate::engine::Contender;

/// Softadastra through its blocking client.
pub(crate) const SOFTADASTRA: Contender =
    Contender { name: "Softadastra", version: env!("CARGO_PKG_VERSION"), open: softadastra::open };

/// The engines that can be had on this machine besides Softadastra.
#[must_use]
pub(crate) fn peers() -> Vec<Contender> {
    let mut peers = vec![
        Contender { name: "SQLite", version: rusqlite::version(), open: sqlite::open },
        Contender { name: "LMDB", version: "0.9 (heed 0.22)", open: lmdb::open },
        Contender { name: "redb", version: "4.5", open: redb::open },
        Contender { name: "fjall", version: "3.1", open: fjall::open },
    ];
    match rocksdb::find() {
        Ok(version) => peers.push(Contender { name: "RocksDB", version, open: rocksdb::open }),
        Err(why) => eprintln!("RocksDB is left out: {why}"),
    }
    peers
}
