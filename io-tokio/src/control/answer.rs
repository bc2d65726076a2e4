//! What commands answer, as it crosses the control socket and as `--json` prints it: `docs/json.md` is the reference.
//! Within a schema number fields are only added. LSNs, versions, counts and bytes are numbers (none can reach 2^53 on a
//! real disk); hashes, ids and stamps are strings.

mod config;
mod conflicts;
mod demo;
mod discovery;
mod doctor;
mod log;
mod network;
mod node;
mod store;
mod sync;
mod top;

use serde::{Deserialize, Serialize};

pub use self::config::*;
pub use self::conflicts::*;
pub use self::demo::*;
pub use self::discovery::*;
pub use self::doctor::*;
pub use self::log::*;
pub use self::network::*;
pub use self::node::*;
pub use self::store::*;
pub use self::sync::*;
pub use self::top::*;

/// A document with the name and version of its schema.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// `softadastra.<what>/<version>`.
    pub schema: String,
    /// The answer itself.
    pub data: T,
}

/// The document of an error, on stderr and on the control socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorEnvelope {
    /// `softadastra.error/1`.
    pub schema: String,
    /// The failure.
    pub error: super::Fault,
}

impl ErrorEnvelope {
    /// The document of this failure.
    #[must_use]
    pub fn new(error: super::Fault) -> Self {
        Self { schema: "softadastra.error/1".to_owned(), error }
    }
}

/// An answer that is a document of its own.
pub trait Answer: Serialize {
    /// The schema without its prefix, such as `put/1`.
    const SCHEMA: &'static str;

    /// The answer as a document.
    fn envelope(&self) -> Envelope<&Self> {
        Envelope { schema: format!("softadastra.{}", Self::SCHEMA), data: self }
    }
}

macro_rules! answers {
    ($($name:ident = $schema:literal),+ $(,)?) => {
        $(impl Answer for $name { const SCHEMA: &'static str = $schema; })+

        /// The schemas of all answers. `store list` writes page after page into one document of its own, `list/1`.
        pub const SCHEMAS: &[&str] = &[$($schema),+, "list/1"];
    };
}

answers! {
    Put = "put/1",
    Removed = "remove/1",
    Record = "value/1",
    Contains = "contains/1",
    Size = "size/1",
    Page = "page/1",
    Batch = "batch/1",
    Change = "change/1",
    Status = "status/1",
    Node = "node/1",
    Snapshot = "snapshot/1",
    Backup = "backup/1",
    Restored = "restore/1",
    Log = "wal/1",
    Repaired = "repair/1",
    Console = "console/1",
    Init = "init/1",
    Imported = "import/1",
    Exported = "export/1",
    Version = "version/1",
    Manual = "man/1",
    Peers = "peers/1",
    Ticket = "ticket/1",
    Joined = "join/1",
    Connecting = "connect/1",
    Disconnected = "disconnect/1",
    Trusted = "trust/1",
    Forgotten = "forget/1",
    SyncStatus = "sync/1",
    Outbox = "outbox/1",
    Ticked = "tick/1",
    Retried = "retry/1",
    Conflicts = "conflicts/1",
    Conflict = "conflict/1",
    Resolved = "resolve/1",
    Demo = "demo/1",
    Doctor = "doctor/1",
    Top = "top/1",
    Discovery = "discovery/1",
    Discovered = "discovered/1",
    Config = "config/1",
    ConfigChecked = "config_check/1",
    ConfigWritten = "config_init/1",
}
