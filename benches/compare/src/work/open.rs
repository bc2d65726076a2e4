//! How long an engine takes to be ready again with a million keys, closed properly before, files in the page cache.

use std::path::Path;
use std::time::Instant;

use super::{Keys, key, reads};
use crate::engine::{Contender, Fault, Promise};
use crate::sample::Sample;

/// The column of its figures.
pub(crate) const MILLISECONDS: &str = "milliseconds";

/// Opens the directory again and reads one key; gives the milliseconds that took.
///
/// # Errors
/// Those of the engine; a key that is gone.
pub(crate) fn again(contender: Contender, dir: &Path) -> Result<Sample, Fault> {
    let began = Instant::now();
    let engine = (contender.open)(dir, Promise::Synced)?;
    engine.get(key(Keys::SPACE / 2))?.ok_or("a key is gone after the directory was opened again")?;
    Ok(Sample::of(began.elapsed().as_secs_f64() * 1e3))
}

/// Fills a directory with a million keys and closes it.
///
/// # Errors
/// Those of the engine.
pub(crate) fn fill(contender: Contender, dir: &Path) -> Result<(), Fault> {
    drop(reads::filled(contender, dir, Promise::Unsynced)?);
    Ok(())
}
