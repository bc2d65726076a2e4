//! Memory: of each key, and of each operation that waits to be delivered.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use softadastra::{Batch, BlockingClient, ClientOptions};

use crate::engine::{Fault, Key};
use crate::parts::{Part, Player, resident, say};
use crate::plan::{Cell, Figure, Group, MAP, NODE};
use crate::work::{key, shuffled};

/// Bytes for each key.
pub(crate) const PER_KEY: &str = "bytes for each key";
/// The same beside the 116 of the data.
pub(crate) const OF_RAW: &str = "x the raw 116 bytes";
/// Bytes for each pending operation on a key that is there anyway.
pub(crate) const PER_PENDING: &str = "bytes for each pending write to a key that is there";

const RAW_BYTES: f64 = 116.0;
const BATCH: u64 = 1000;
const PENDING: u64 = 2_000_000;

/// The cells. Memory varies little: a few rounds are enough.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    for (row, part) in [(NODE, Part::KeysInNode), (MAP, Part::KeysInMap)] {
        let scene = Cell::scene(Group::Memory, row, "a million keys", move |dir| {
            let per_key = Player::start(part, dir)?.number()?;
            Ok(vec![Figure::of(row, PER_KEY, per_key), Figure::of(row, OF_RAW, per_key / RAW_BYTES)])
        });
        cells.push(scene.at_most(3));
    }
    let scene = Cell::scene(Group::Memory, NODE, "pending operations", |dir| {
        Ok(vec![Figure::of(NODE, PER_PENDING, Player::start(Part::Pending, dir)?.number()?)])
    });
    cells.push(scene.at_most(3));
}

/// A million keys in a node that keeps them on disk, too.
pub(crate) fn keys_in_node(dir: &Path) -> Result<(), Fault> {
    let numbers = shuffled();
    let client = BlockingClient::open(ClientOptions::persistent(dir.join("node")))?;
    let before = resident(std::process::id())?;
    for chunk in numbers.chunks(BATCH as usize) {
        let mut batch = Batch::new();
        for number in chunk {
            batch.put(Bytes::copy_from_slice(&key(*number)), vec![*number as u8; 100]);
        }
        client.batch(batch)?;
    }
    let grown = resident(std::process::id())? - before;
    say(grown / client.len()? as f64);
    client.close()?;
    Ok(())
}

/// The same in the ordered map of the standard library.
pub(crate) fn keys_in_map() -> Result<(), Fault> {
    let numbers = shuffled();
    let before = resident(std::process::id())?;
    let mut map: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    for number in &numbers {
        map.insert(key(*number), vec![*number as u8; 100]);
    }
    say((resident(std::process::id())? - before) / map.len() as f64);
    Ok(())
}

/// Overwrites a thousand keys again and again in a node without peers: the store stays as it is, and what is pending
/// grows.
pub(crate) fn pending() -> Result<(), Fault> {
    let client = BlockingClient::open(ClientOptions::memory_only())?;
    let mut written = 0_u64;
    let mut write = |count: u64| -> Result<(), Fault> {
        for _ in 0..count / BATCH {
            let mut batch = Batch::new();
            for number in 0..BATCH {
                written += 1;
                let mut value = vec![7; 100];
                value[..8].copy_from_slice(&written.to_le_bytes());
                batch.put(Bytes::copy_from_slice(&key(number)), value);
            }
            client.batch(batch)?;
        }
        Ok(())
    };
    write(PENDING / 10)?;
    let before = resident(std::process::id())?;
    write(PENDING)?;
    let grown = (resident(std::process::id())? - before).max(0.0);
    let waiting = client.status()?.outbox;
    if waiting < PENDING {
        return Err(format!("only {waiting} operations are pending").into());
    }
    say(grown / PENDING as f64);
    Ok(())
}
