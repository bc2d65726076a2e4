//! Softadastra driver.
pub mod backup;
pub mod blocking;
pub mod cli;
pub mod client;
pub mod control;
mod data_dir;
pub mod disk;
mod driver;
mod events;
mod founding;
pub mod lock;
pub mod model;
pub mod ndjson;
pub mod options;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod tools;
pub mod watch;
pub mod world;

pub use backup::restore;
pub use blocking::BlockingClient;
pub use client::{Batch, Client};
pub use model::{
    BackupReport, Change, Item, NodeInfo, NodeState, Outcome, Page, RecoveryReport, RestoreReport, ScanOptions,
    SnapshotReport, Status, Value, WalStatus, Written,
};
pub use options::{ClientOptions, Durability};
pub use softadastra_core::error::{Code, Error, LocalState};
pub use softadastra_core::ids::{LogId, Lsn, NodeId, ReplicaId};
pub use watch::Watch;

/// Runs a few blocking calls off the async threads.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(driver::stopped()))
}
