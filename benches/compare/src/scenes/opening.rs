//! What opening reads: a snapshot, a log tail of a million records, and what replaying a log one by one would cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use softadastra::{Batch, BlockingClient, ClientOptions, ScanOptions};

use crate::engine::{Fault, Key};
use crate::plan::{Cell, Figure, Group};
use crate::work::open::MILLISECONDS;
use crate::work::{Keys, key, shuffled};

/// Opened from a snapshot.
pub(crate) const SNAPSHOT: &str = "Softadastra, from a snapshot";
/// Opened from nothing but the log.
pub(crate) const TAIL: &str = "Softadastra, from a log tail of a million records";
/// The baseline: every record of a log put into an ordered map, one by one.
pub(crate) const ONE_BY_ONE: &str = "log replayed one by one into an ordered map (baseline)";

/// The cells.
pub(crate) fn cells(home: &Path, cells: &mut Vec<Cell>) {
    for (row, snapshot) in [(SNAPSHOT, true), (TAIL, false)] {
        let dir = home.join(if snapshot { "from-snapshot" } else { "from-tail" });
        cells.push(Cell::scene(Group::Open, row, "opening", move |_| {
            if !dir.exists() {
                fill(&dir, snapshot)?;
                again(&dir)?;
            }
            Ok(vec![Figure::of(row, MILLISECONDS, again(&dir)?)])
        }));
    }
    let file = home.join("one-by-one");
    cells.push(Cell::scene(Group::Open, ONE_BY_ONE, "replay", move |_| {
        if !file.exists() {
            write_plain_log(&file)?;
        }
        Ok(vec![Figure::of(ONE_BY_ONE, MILLISECONDS, replay(&file)?)])
    }));
}

/// As every node, but no snapshot is taken that nobody asked for.
fn options(dir: &Path) -> ClientOptions {
    ClientOptions::persistent(dir).snapshot_after(1 << 50)
}

fn fill(dir: &Path, snapshot: bool) -> Result<(), Fault> {
    let client = BlockingClient::open(options(dir))?;
    for chunk in shuffled().chunks(1000) {
        let mut batch = Batch::new();
        for number in chunk {
            batch.put(Bytes::copy_from_slice(&key(*number)), vec![*number as u8; 100]);
        }
        client.batch(batch)?;
    }
    if snapshot {
        client.snapshot()?;
    }
    client.close()?;
    Ok(())
}

/// Opens it, reads one key, and closes it; gives the milliseconds until the key was read.
fn again(dir: &Path) -> Result<f64, Fault> {
    let began = Instant::now();
    let client = BlockingClient::open(options(dir))?;
    client.get(key(Keys::SPACE / 2))?.ok_or("a key is gone after the directory was opened again")?;
    let took = began.elapsed();
    let last =
        client.scan(&ScanOptions { prefix: Bytes::from_static(b"key-000000999999"), ..ScanOptions::default() })?;
    if client.len()? != Keys::SPACE || last.items.len() != 1 {
        return Err("not all keys are there after the directory was opened again".into());
    }
    client.close()?;
    Ok(took.as_secs_f64() * 1e3)
}

/// Records of checksum, lengths, key and value, as a simple log would have them.
fn write_plain_log(path: &Path) -> Result<(), Fault> {
    let mut log = Vec::with_capacity(140 << 20);
    for number in shuffled() {
        let at = log.len();
        log.extend_from_slice(&[0; 4]);
        log.extend_from_slice(&16_u32.to_le_bytes());
        log.extend_from_slice(&100_u32.to_le_bytes());
        log.extend_from_slice(&key(number));
        log.extend_from_slice(&[7; 100]);
        let sum = crc32fast::hash(&log[at + 4..]);
        log[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(path, log)?;
    Ok(())
}

/// Reads, checks and inserts; gives the milliseconds.
fn replay(path: &Path) -> Result<f64, Fault> {
    let began = Instant::now();
    let log = std::fs::read(path)?;
    let mut map: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    let mut rest = log.as_slice();
    while let Some((head, body)) = rest.split_first_chunk::<12>() {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (key_len, value_len) = (word(4) as usize, word(8) as usize);
        let (record, after) = rest.split_at(12 + key_len + value_len);
        if crc32fast::hash(&record[4..]) != word(0) {
            return Err("the baseline's own log is damaged".into());
        }
        map.insert(Key::try_from(&body[..key_len])?, body[key_len..key_len + value_len].to_vec());
        rest = after;
    }
    let took = began.elapsed();
    if map.len() as u64 != Keys::SPACE {
        return Err("the baseline's own log is not complete".into());
    }
    Ok(took.as_secs_f64() * 1e3)
}
