//! What a command may ask of the node, whoever carries it out.

use std::path::Path;

use bytes::Bytes;

use super::Fault;
use super::answer::{
    Backup, Batch, Change, Conflict, Conflicts, Connecting, Console, Contains, Disconnected, Discovered, Discovery,
    Forgotten, Joined, Log, Node, Outbox, Page, Peers, Put, Record, Removed, Resolved, Retried, Size, Snapshot, Status,
    SyncStatus, Ticked, Ticket, Trusted,
};
use crate::discovery::DiscoveryMode;
use crate::model::Resolution;

/// The greatest number of records in one page of a listing.
pub const PAGE_RECORDS: usize = 1000;

/// A page of a listing ends with the record that reaches this many bytes, so that pages of great values stay small.
pub const PAGE_BYTES: usize = 1 << 20;

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Only keys that begin with this.
    pub prefix: Bytes,
    /// Only keys after this one.
    pub after: Option<Bytes>,
    /// The most records wanted; a page may hold fewer and say that there are more.
    pub limit: usize,
}

/// Whoever carries out commands. Each method fails with what the node says, or with what kept it from being asked.
#[expect(async_fn_in_trait, reason = "both implementations are used by name; nobody needs their futures to be Send")]
pub trait Backend: Peering + Discovering + Delivering {
    /// A running watch.
    type Watch: Changes;

    /// Sets a value, if the key is at `if_version` when that is given (0: absent).
    async fn put(&mut self, key: Bytes, value: Bytes, if_version: Option<u64>) -> Result<Put, Fault>;

    /// Reads a value. A key without one is the fault `not_found`.
    async fn get(&mut self, key: Bytes) -> Result<Record, Fault>;

    /// Removes a value. A key without one is the fault `not_found`.
    async fn remove(&mut self, key: Bytes) -> Result<Removed, Fault>;

    /// Whether a key has a value.
    async fn contains(&mut self, key: Bytes) -> Result<Contains, Fault>;

    /// One page of records: at most [`PAGE_RECORDS`], about [`PAGE_BYTES`].
    async fn scan(&mut self, scan: &Scan) -> Result<Page, Fault>;

    /// How much is stored.
    async fn size(&mut self) -> Result<Size, Fault>;

    /// Sets all these values, in order, or none. Cheap to repeat after a refusal: the records are shared.
    async fn batch(&mut self, records: &[(Bytes, Bytes)]) -> Result<Batch, Fault>;

    /// Changes of the keys that begin with `prefix`, after position `from`; without `from`, those from now on.
    async fn watch(&mut self, prefix: Bytes, from: Option<u64>) -> Result<Self::Watch, Fault>;

    /// How the node does.
    async fn status(&mut self) -> Result<Status, Fault>;

    /// Who the node is.
    async fn node(&mut self) -> Result<Node, Fault>;

    /// Where the console is.
    async fn console(&mut self) -> Result<Console, Fault>;

    /// Writes a snapshot.
    async fn snapshot(&mut self) -> Result<Snapshot, Fault>;

    /// Makes a backup in this directory, given as an absolute path.
    async fn backup(&mut self, dir: &Path) -> Result<Backup, Fault>;

    /// What the log on disk consists of.
    async fn log(&mut self) -> Result<Log, Fault>;

    /// Ends the work; what was opened for it is closed cleanly.
    async fn close(self) -> Result<(), Fault>;
}

/// What a command may ask about links and peers.
#[expect(async_fn_in_trait, reason = "as for Backend")]
pub trait Peering {
    /// The links, and the peers at their other ends.
    async fn peers(&mut self) -> Result<Peers, Fault>;

    /// A ticket with these addresses; without any, with those at which the node listens. The secret of the network is
    /// replaced before if `new_secret` says so.
    async fn ticket(&mut self, addresses: &[String], new_secret: bool) -> Result<Ticket, Fault>;

    /// Takes a ticket; that of another network only if `leave` says so.
    async fn join(&mut self, ticket: &str, leave: bool) -> Result<Joined, Fault>;

    /// Wants a link to a peer.
    async fn connect(&mut self, spec: &str) -> Result<Connecting, Fault>;

    /// Wants none.
    async fn disconnect(&mut self, spec: &str) -> Result<Disconnected, Fault>;

    /// Lets a key in, whatever the rules.
    async fn trust(&mut self, key: &str) -> Result<Trusted, Fault>;

    /// Forgets a node, a key or a history.
    async fn forget(&mut self, name: &str) -> Result<Forgotten, Fault>;
}

/// What a command may ask about finding other nodes.
#[expect(async_fn_in_trait, reason = "as for Backend")]
pub trait Discovering {
    /// How discovery does.
    async fn discovery(&mut self) -> Result<Discovery, Fault>;

    /// The nodes that were found.
    async fn discovered(&mut self) -> Result<Discovered, Fault>;

    /// Looks for nodes as configured, unless something else is said here.
    async fn start_discovery(&mut self, mode: Option<DiscoveryMode>, auto_connect: bool) -> Result<Discovery, Fault>;

    /// Looks for nobody any more.
    async fn stop_discovery(&mut self) -> Result<Discovery, Fault>;
}

/// What a command may ask about delivery and conflicts.
#[expect(async_fn_in_trait, reason = "as for Backend")]
pub trait Delivering {
    /// How far everything got.
    async fn sync_status(&mut self) -> Result<SyncStatus, Fault>;

    /// Own operations by their state, and who holds them.
    async fn outbox(&mut self) -> Result<Outbox, Fault>;

    /// One round of delivery by hand.
    async fn tick(&mut self, prune: bool) -> Result<Ticked, Fault>;

    /// Queues again what has failed.
    async fn retry(&mut self) -> Result<Retried, Fault>;

    /// The conflicts on record.
    async fn conflicts(&mut self) -> Result<Conflicts, Fault>;

    /// One of them.
    async fn conflict(&mut self, id: u64) -> Result<Conflict, Fault>;

    /// Settles one.
    async fn resolve(&mut self, id: u64, resolution: Resolution) -> Result<Resolved, Fault>;
}

/// The changes of a watch.
#[expect(async_fn_in_trait, reason = "as for Backend")]
pub trait Changes {
    /// The next change, as soon as there is one. A fault ends the watch.
    async fn next(&mut self) -> Result<Change, Fault>;
}
