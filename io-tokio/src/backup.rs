//! Backups: made by [`Client::backup`](crate::Client::backup), checked and restored here.

use std::path::Path;

use softadastra_core::error::Error;
use softadastra_core::ids::NodeId;

use crate::model::{BackupReport, RestoreReport};

/// Reads a whole backup and compares every file with the manifest.
///
/// # Errors
/// `not_found` without a manifest, `wal_corrupt` when a file differs, `io_error` when one cannot be read.
pub async fn verify(backup: &Path) -> Result<BackupReport, Error> {
    todo!()
}

/// Builds a new data directory from a backup. The node starts a new history: a new replica id and a new log.
/// `node_id`: its name; `None` keeps the name in the backup.
///
/// # Errors
/// `already_exists` when `data_dir` is there and not empty, and those of [`verify`].
pub async fn restore(backup: &Path, data_dir: &Path, node_id: Option<NodeId>) -> Result<RestoreReport, Error> {
    todo!()
}
