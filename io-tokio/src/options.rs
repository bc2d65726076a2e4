//! How to open a node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use softadastra_core::error::Error;
use softadastra_core::ids::NodeId;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk and synced: it survives a power cut.
    Always,
    /// When the operating system has it; a timer of this length syncs. It survives the end of the process; a power cut
    /// may take the last interval.
    Interval(Duration),
}

/// How to open a node. Start from a preset ([`ClientOptions::local`] when in doubt) and change what you must.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) node_id: Option<NodeId>,
    pub(crate) create: bool,
    pub(crate) durability: Durability,
    pub(crate) max_value_len: usize,
    pub(crate) lock_wait: Duration,
    pub(crate) max_pending_bytes: usize,
}

impl ClientOptions {
    fn in_dir(dir: Option<PathBuf>) -> Self {
        Self {
            dir,
            node_id: None,
            create: true,
            durability: Durability::Always,
            max_value_len: softadastra_core::limits::DEFAULT_VALUE_LEN,
            lock_wait: Duration::ZERO,
            max_pending_bytes: 64 << 20,
        }
    }

    /// A node of one program on this machine: durable, created when missing.
    #[must_use]
    pub fn local(dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(Some(dir.into()))
    }

    /// Nothing on disk: everything is gone when the client is closed, and each opening is a new history.
    #[must_use]
    pub fn memory_only() -> Self {
        Self::in_dir(None)
    }

    /// A node that lives on this disk, as [`Self::local`].
    #[must_use]
    pub fn persistent(dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(Some(dir.into()))
    }

    /// A node whose directory must be there already.
    #[must_use]
    pub fn durable(dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(Some(dir.into())).create(false)
    }

    /// Answers before the sync and syncs every 50 ms.
    #[must_use]
    pub fn fast(dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(Some(dir.into())).durability(Durability::Interval(Duration::from_millis(50)))
    }

    /// The operator's name of the node. Default: the name found in the log, or the machine's name for a new one.
    #[must_use]
    pub fn node_id(self, node_id: NodeId) -> Self {
        Self { node_id: Some(node_id), ..self }
    }

    /// Whether to create the data directory when it is missing.
    #[must_use]
    pub fn create(self, create: bool) -> Self {
        Self { create, ..self }
    }

    /// When a write is answered.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The greatest length of a value in bytes. Default 1 MiB.
    #[must_use]
    pub fn max_value_len(self, bytes: usize) -> Self {
        Self { max_value_len: bytes, ..self }
    }

    /// How long to wait for another process to let go of the directory. Default: zero.
    #[must_use]
    pub fn lock_wait(self, wait: Duration) -> Self {
        Self { lock_wait: wait, ..self }
    }

    /// Bytes of writes under way before a writer must wait. Default 64 MiB.
    #[must_use]
    pub fn max_pending_bytes(self, bytes: usize) -> Self {
        Self { max_pending_bytes: bytes, ..self }
    }

    /// The data directory; `None` when everything is kept in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Checks every option by itself and against the others.
    ///
    /// # Errors
    /// `invalid_argument`, naming the option.
    pub fn validate(&self) -> Result<(), Error> {
        todo!()
    }
}
