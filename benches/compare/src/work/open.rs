//! How long an engine takes to be ready again with a million keys, closed properly before, files in the page cache.

use std::path::Path;
use std::time::Instant;

use super::{Keys, key, reads};
use crate::engine::{Contender, Fault, Promise};
use crate::sample::{Sample, latencies};

/// Opens the directory again and reads one key. The rate is that of openings; the latency says the same in microseconds.
///
/// # Errors
/// Those of the engine; a key that is gone.
pub(crate) fn again(contender: Contender, dir: &Path) -> Result<Sample, Fault> {
    let began = Instant::now();
    let engine = (contender.open)(dir, Promise::Synced)?;
    engine.get(key(Keys::SPACE / 2))?.ok_or("a key is gone after the directory was opened again")?;
    let took = began.elapsed();
    let mut latency = latencies();
    latency.saturating_record(took.as_micros().max(1) as u64);
    Ok(Sample { rate: 1.0 / took.as_secs_f64(), latency, device: None, cpu: 0.0 })
}

/// Fills a directory with a million keys and closes it.
///
/// # Errors
/// Those of the engine.
pub(crate) fn fill(contender: Contender, dir: &Path) -> Result<(), Fault> {
    drop(reads::filled(contender, dir, Promise::Unsynced)?);
    Ok(())
}
