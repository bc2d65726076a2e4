//! Softadastra driver.
pub mod backup;
pub mod blocking;
pub mod cli;
pub mod client;
pub mod control;
mod data_dir;
pub mod disk;
pub mod lock;
pub mod model;
pub mod ndjson;
pub mod options;
pub mod settings;
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
