//! What the log takes on disk while keys are written again and again.

use std::path::Path;

use bytes::Bytes;
use softadastra::{Batch, BlockingClient, ClientOptions};
use softadastra_core::wal::Settings;

use crate::engine::Fault;
use crate::plan::{Cell, Figure, Group};
use crate::work::{Keys, key};

const WRITES: u64 = 1_000_000;
const BATCH: u64 = 1000;
const MIB: f64 = 1024.0 * 1024.0;

/// The figure of the goal: the greatest size of all files, beside what they may have. The segment is the largest there may be,
/// whatever those here have come to.
pub(crate) const OF_BOUND: &str = "most, x (3 x live data + one segment)";
/// Keys of the first scene.
pub(crate) const FEW: &str = "Softadastra, 1,000 keys";
/// Keys of the second scene.
pub(crate) const MANY: &str = "Softadastra, 100,000 keys";

/// The cells. What is measured does not depend on time.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    for (row, keys) in [(FEW, 1000), (MANY, 100_000)] {
        cells.push(
            Cell::scene(Group::LogSize, row, "a million writes", move |dir| overwrite(dir, row, keys)).at_most(1),
        );
    }
}

fn overwrite(dir: &Path, row: &'static str, keys: usize) -> Result<Vec<Figure>, Fault> {
    let dir = dir.join("node");
    let client = BlockingClient::open(ClientOptions::persistent(&dir))?;
    let mut order = Keys::new(3);
    let (mut most, mut tail, mut segment) = (0, 0, 0);
    let greatest_allowed = Settings::default().max_segment as f64;
    for chunk in 0..WRITES / BATCH {
        let mut batch = Batch::new();
        for index in 0..BATCH {
            let mut value = vec![7; 100];
            value[..8].copy_from_slice(&(chunk * BATCH + index).to_le_bytes());
            batch.put(Bytes::copy_from_slice(&key(order.below(keys) as u64)), value);
        }
        client.batch(batch)?;
        if chunk % 10 == 9 {
            let (all, greatest) = sizes(&dir.join("wal"))?;
            (most, segment) = (most.max(all), segment.max(greatest));
            tail = tail.max(client.status()?.wal.map_or(0, |wal| wal.tail_bytes));
        }
    }
    let live = client.status()?.live_bytes as f64;
    client.close()?;
    let bound = 3.0 * live + greatest_allowed;
    Ok(vec![
        Figure::of(row, "live data, MiB", live / MIB),
        Figure::of(row, "greatest segment, MiB", segment as f64 / MIB),
        Figure::of(row, "all files at most, MiB", most as f64 / MIB),
        Figure::of(row, OF_BOUND, most as f64 / bound),
        Figure::of(row, "log behind the latest snapshot at most, MiB", tail as f64 / MIB),
    ])
}

/// The size of all files of a directory, and of the greatest segment.
fn sizes(dir: &Path) -> Result<(u64, u64), Fault> {
    let (mut all, mut greatest) = (0, 0);
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // One may be gone meanwhile.
        let Ok(data) = entry.metadata() else { continue };
        all += data.len();
        if entry.file_name().to_string_lossy().contains(".seg") {
            greatest = greatest.max(data.len());
        }
    }
    Ok((all, greatest))
}
