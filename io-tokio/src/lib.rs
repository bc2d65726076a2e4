//! Softadastra is an embeddable, local-first key-value engine: a program writes locally, durably, at once, with no
//! network.
//!
//! This crate drives the pure machines of [`softadastra_core`] with tokio, real files and real clocks, and holds the
//! `softadastra` binary. Programs use [`Client`]; those without an async runtime use [`BlockingClient`].
//!
//! ```
//! use softadastra::{Batch, Client, ClientOptions, Code, ScanOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), softadastra::Error> {
//! # let top = tempfile::tempdir().expect("a temporary directory");
//! # let dir = top.path().join("data");
//! let client = Client::open(ClientOptions::local(&dir)).await?;
//!
//! // Answered means durable: this survives a power cut.
//! let written = client.put("order/17", "2 x tea").await?;
//!
//! // Reads wait for no disk and no queue.
//! let order = client.get("order/17")?.expect("just written");
//! assert_eq!((&order.bytes[..], order.version), (&b"2 x tea"[..], written.version));
//!
//! // Conditions and batches: all of it or nothing.
//! let mut batch = Batch::new();
//! batch.put_if_version("order/17", "3 x tea", order.version).put("order/18", "1 x cake");
//! client.batch(batch).await?;
//! let late = client.put_if_version("order/17", "4 x tea", order.version).await;
//! assert_eq!(late.unwrap_err().code(), Code::VersionMismatch);
//!
//! let page = client.scan(&ScanOptions { prefix: "order/".into(), ..ScanOptions::default() })?;
//! assert_eq!(page.items.len(), 2);
//!
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Two nodes bring each other to the same state, whenever there is a link between them:
//!
//! ```
//! use softadastra::{Client, ClientOptions, Lsn, TransportOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), softadastra::Error> {
//! # let top = tempfile::tempdir().expect("a temporary directory");
//! let shop = Client::open(ClientOptions::local(top.path().join("shop"))).await?;
//! let till = Client::open(ClientOptions::local(top.path().join("till"))).await?;
//! till.put("sale/1", "2 x tea").await?;
//!
//! // The ticket says where the shop is and which key must answer, and holds the secret of its network.
//! shop.start_transport(TransportOptions { listen: vec!["127.0.0.1:0".into()], ..Default::default() }).await?;
//! let ticket = shop.ticket(Vec::new()).await?;
//! till.start_transport(TransportOptions::default()).await?;
//! till.join(&ticket).await?;
//!
//! let sale = shop.watch("sale/", Lsn::ZERO)?.next().await.expect("the shop is open");
//! assert_eq!(sale.value.as_deref(), Some(&b"2 x tea"[..]));
//! # till.close().await?;
//! # shop.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it is built
//!
//! One task owns the node and feeds it what is at hand (`driver`); the order of everything on disk is decided in the
//! core, and carried out by a [`disk::Disk`]. Clients read the node under a read lock, which the loop takes from them
//! only while it hands in a batch. [`world::World`] holds all that comes from outside, so that the same loop runs on this
//! machine and inside a simulation: [`Client::open_with`].
//!
//! Every error is an [`Error`] with a stable [`Code`], a sentence that says what happened and where, what became of
//! local data, and what to do next.

pub mod backup;
mod batch;
pub mod blocking;
pub mod cli;
pub mod client;
pub mod control;
mod data_dir;
mod descriptors;
pub mod discovery;
pub mod disk;
mod driver;
pub mod events;
mod founding;
mod held_dir;
pub mod http;
mod link_end;
pub mod lock;
pub mod logging;
pub mod measures;
pub mod model;
pub mod ndjson;
pub mod network;
pub mod options;
pub mod settings;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod tools;
pub mod watch;
pub mod world;

pub use backup::restore;
pub use batch::Batch;
pub use blocking::BlockingClient;
pub use client::Client;
pub use discovery::{DiscoveryMode, DiscoveryOptions, TargetSpec};
pub use model::{
    BackupReport, Change, ConflictInfo, DiscoveryState, FoundNode, FoundState, Item, NodeInfo, NodeState, Outcome,
    Page, PeerInfo, PeerState, RecoveryReport, Refusal, Resolution, RestoreReport, ScanOptions, SnapshotReport, Status,
    SyncState, Value, WalStatus, Written,
};
pub use network::{PeerSpec, TransportOptions};
pub use options::{ClientOptions, Durability};
pub use softadastra_core::error::{Code, Error, LocalState};
pub use softadastra_core::ids::{LogId, Lsn, NodeId, ReplicaId};
pub use softadastra_core::node::Ticked;
pub use softadastra_core::transport::address::Address;
pub use softadastra_core::transport::identity::{NetworkSecret, NodeKey};
pub use softadastra_core::transport::ticket::Ticket;
pub use softadastra_core::transport::trust::TrustMode;
pub use watch::{Event, Events, Watch};

/// Runs a few blocking calls off the async threads.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(driver::stopped()))
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles and runs the examples of the guide for programmers.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/local-first-app.md")]
struct LocalFirstApp;
