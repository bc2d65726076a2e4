//! The engines that are compared, each behind the same few calls.

pub(crate) mod baseline;
mod fjall;
mod lmdb;
mod redb;
mod rocksdb;
mod sled;
pub(crate) mod softadastra;
mod sqlite;

use crate::engine::Contender;

/// Softadastra through its blocking client.
pub(crate) const SOFTADASTRA: Contender =
    Contender { name: "Softadastra", version: env!("CARGO_PKG_VERSION"), syncs: true, open: softadastra::open };

const ROCKSDB: &str = "RocksDB";

/// The engines that can be had on this machine besides Softadastra.
#[must_use]
pub(crate) fn peers() -> Vec<Contender> {
    all().0
}

/// Those that can be had, and those that cannot: their names, and why.
#[must_use]
pub(crate) fn all() -> (Vec<Contender>, Vec<(&'static str, String)>) {
    let mut peers = vec![
        Contender { name: "SQLite", version: rusqlite::version(), syncs: true, open: sqlite::open },
        Contender { name: "LMDB", version: "0.9 (heed 0.22)", syncs: true, open: lmdb::open },
        Contender { name: "redb", version: "4.5", syncs: true, open: redb::open },
        Contender { name: "fjall", version: "3.1", syncs: true, open: fjall::open },
        Contender { name: "sled", version: "0.34", syncs: false, open: sled::open },
    ];
    let mut absent = Vec::new();
    match rocksdb::find() {
        Ok(version) => peers.push(Contender { name: ROCKSDB, version, syncs: true, open: rocksdb::open }),
        Err(why) => absent.push((ROCKSDB, why)),
    }
    (peers, absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Promise;
    use crate::work::key;

    /// Keys and values as they are measured, in one commit and one by one, of every engine that is here.
    #[test]
    fn every_engine_gives_back_what_it_was_given() {
        for contender in std::iter::once(SOFTADASTRA).chain(peers()) {
            for promise in [Promise::Synced, Promise::Unsynced] {
                let dir = tempfile::tempdir().unwrap();
                let opened = (contender.open)(dir.path(), promise);
                if promise == Promise::Synced && !contender.syncs {
                    assert!(opened.is_err(), "{} is not passed off as what syncs", contender.name);
                    continue;
                }
                let engine = opened.unwrap();
                let pairs: Vec<_> = (0..200).map(|number| (key(number), vec![1; number as usize + 1])).collect();
                engine.put_all(&pairs).unwrap();
                engine.put(key(7), &[2; 100]).unwrap();
                assert_eq!(engine.get(key(7)).unwrap(), Some(100), "{}", contender.name);
                assert_eq!(engine.get(key(8)).unwrap(), Some(9), "{}", contender.name);
                assert_eq!(engine.get(key(200)).unwrap(), None, "{}", contender.name);
                assert_eq!(engine.scan(key(50), 100).unwrap(), 100, "{}", contender.name);
                assert_eq!(engine.scan(key(150), 100).unwrap(), 50, "{}", contender.name);
            }
        }
    }
}
