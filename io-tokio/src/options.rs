//! How to open a node: presets that name what survives, and every option with its default and its reason.

use std::path::{Path, PathBuf};
use std::time::Duration;

use softadastra_core::config::{self, Config};
use softadastra_core::error::Error;
use softadastra_core::ids::NodeId;
use softadastra_core::sync;

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk and synced: it survives a power cut.
    Always,
    /// When the operating system has it; a timer of this length (1 ms to 1 h) syncs. It survives the end of the
    /// process, however that ends; a power cut may take the last interval.
    Interval(Duration),
}

/// How to open a node. Start from a preset and change what you must.
///
/// | preset | an answered write survives | a missing directory |
/// | --- | --- | --- |
/// | [`local`](Self::local) | a power cut | is created |
/// | [`persistent`](Self::persistent) | a power cut | is created |
/// | [`durable`](Self::durable) | a power cut | is an error |
/// | [`fast`](Self::fast) | the end of the process | is created |
/// | [`memory_only`](Self::memory_only) | nothing | - |
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) create: bool,
    pub(crate) new_history: bool,
    pub(crate) lock_wait: Duration,
    pub(crate) display_name: String,
    pub(crate) config: Config,
}

impl ClientOptions {
    /// The data of one program on this machine. Every answered write survives a power cut; the directory is created
    /// when it is missing; the log starts at 1 MiB, so that a small program keeps a small footprint.
    ///
    /// When in doubt, take this one.
    #[must_use]
    pub fn local(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Some(dir.into()),
            create: true,
            new_history: false,
            lock_wait: Duration::ZERO,
            display_name: String::new(),
            config: Config::default(),
        }
    }

    /// Nothing on disk: everything is gone when the client is closed, and each opening is a new history. For tests and
    /// caches.
    #[must_use]
    pub fn memory_only() -> Self {
        let mut options = Self::local(PathBuf::new());
        options.dir = None;
        options.config.durability = config::Durability::Memory;
        options
    }

    /// A node with steady traffic. As [`Self::local`], but the log starts at 16 MiB: fewer rolls while it grows.
    #[must_use]
    pub fn persistent(dir: impl Into<PathBuf>) -> Self {
        let mut options = Self::local(dir);
        options.config.log.first_segment = 16 << 20;
        options
    }

    /// A node in service. As [`Self::persistent`], but its data must be there already: a disk that was not mounted must
    /// not look like an empty node.
    #[must_use]
    pub fn durable(dir: impl Into<PathBuf>) -> Self {
        Self::persistent(dir).create(false)
    }

    /// Answers as soon as the operating system has a write, and syncs every 50 ms: about as fast as memory, and a power
    /// cut takes at most that much. For what can be had again.
    #[must_use]
    pub fn fast(dir: impl Into<PathBuf>) -> Self {
        Self::persistent(dir).durability(Durability::Interval(Duration::from_millis(50)))
    }

    /// The operator's name of the node. Default: the name the directory was born with; a new one gets `node-` and eight
    /// hex digits. A name that differs from the one on disk is refused, because it says that this is the wrong
    /// directory.
    #[must_use]
    pub fn node_id(mut self, node_id: NodeId) -> Self {
        self.config.node_id = Some(node_id);
        self
    }

    /// A name for people, shown beside the node id. Default: the node id, because one name is enough for most.
    #[must_use]
    pub fn display_name(self, name: impl Into<String>) -> Self {
        Self { display_name: name.into(), ..self }
    }

    /// Whether to create a missing data directory, or to begin a new history in one without a log. Default: true,
    /// except in [`Self::durable`]: for most programs the first start should just work.
    #[must_use]
    pub fn create(self, create: bool) -> Self {
        Self { create, ..self }
    }

    /// Whether to begin a new history in a directory whose log was lost, known by the `network.json` that is left. The node
    /// keeps its key and its peers, and takes back what these hold. Default: false, because a log that is not there may
    /// be a disk that was not mounted.
    #[must_use]
    pub fn new_history(self, new_history: bool) -> Self {
        Self { new_history, ..self }
    }

    /// When a write is answered. Default: [`Durability::Always`], except in [`Self::fast`]: an answer is a promise.
    /// Without effect in [`Self::memory_only`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        if self.dir.is_some() {
            self.config.durability = match durability {
                Durability::Always => config::Durability::Always,
                Durability::Interval(interval) => config::Durability::Every(interval),
            };
        }
        self
    }

    /// The greatest length of a value in bytes, 1 to 64 MiB. Default 1 MiB: a larger one holds up everything behind it
    /// on a slow link.
    #[must_use]
    pub fn max_value_len(mut self, bytes: usize) -> Self {
        self.config.max_value_len = bytes;
        self
    }

    /// Bytes of writes under way before further writers wait, at least [`Self::max_value_len`]. Default 64 MiB: far
    /// more than any disk keeps busy with, and a bound on what a stalled disk can cost in memory.
    #[must_use]
    pub fn max_pending_bytes(mut self, bytes: usize) -> Self {
        self.config.max_pending_bytes = bytes;
        self
    }

    /// Bytes of the first segment of a new log and of the greatest; each has twice the bytes of the one before.
    /// Between 64 KiB and 1 GiB. Default 1 MiB (16 MiB in [`Self::persistent`] and its kin) and 64 MiB: small for small
    /// nodes, and rolls that cost nothing for busy ones.
    #[must_use]
    pub fn segments(mut self, first: u64, greatest: u64) -> Self {
        self.config.log.first_segment = first;
        self.config.log.max_segment = greatest;
        self
    }

    /// No snapshot is taken before this many bytes were logged since the last. Default 16 MiB: below that, replay is
    /// quicker than anybody notices. Beyond it a snapshot is taken when the log has outgrown the data.
    #[must_use]
    pub fn snapshot_after(mut self, bytes: u64) -> Self {
        self.config.log.snapshot_min = bytes;
        self
    }

    /// How operations are delivered and conflicts settled: see each field of [`sync::Settings`] for its default and the
    /// reason. Default: one acknowledgement, last write wins, delivery by itself.
    #[must_use]
    pub fn sync(mut self, settings: sync::Settings) -> Self {
        self.config.sync = settings;
        self
    }

    /// How long to wait for another process to let go of the directory. Default zero: whoever holds it is likely to
    /// hold it for long, and the error names it.
    #[must_use]
    pub fn lock_wait(self, wait: Duration) -> Self {
        Self { lock_wait: wait, ..self }
    }

    /// The data directory; `None` when everything is kept in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Checks every option by itself and against the others. Opening does this first.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](softadastra_core::error::Code::InvalidArgument), naming the option.
    pub fn validate(&self) -> Result<(), Error> {
        self.config.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use softadastra_core::error::Code;

    #[test]
    fn every_preset_is_valid_and_says_what_survives() {
        let on_disk = [
            ClientOptions::local("d"),
            ClientOptions::persistent("d"),
            ClientOptions::durable("d"),
            ClientOptions::fast("d"),
        ];
        for options in &on_disk {
            options.validate().unwrap();
            assert_eq!(options.dir(), Some(Path::new("d")));
            assert_eq!(options.lock_wait, Duration::ZERO);
        }
        let [local, persistent, durable, fast] = on_disk;
        for options in [&local, &persistent, &durable] {
            assert_eq!(options.config.durability, config::Durability::Always);
        }
        assert_eq!(fast.config.durability, config::Durability::Every(Duration::from_millis(50)));
        assert!(local.create && persistent.create && fast.create && !durable.create);

        let memory = ClientOptions::memory_only().durability(Durability::Always);
        memory.validate().unwrap();
        assert_eq!((memory.dir(), memory.config.durability), (None, config::Durability::Memory));
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        for (name, options) in [
            ("max_value_len", ClientOptions::local("d").max_value_len(0)),
            ("max_pending_bytes", ClientOptions::local("d").max_pending_bytes(1)),
            ("sync interval", ClientOptions::fast("d").durability(Durability::Interval(Duration::ZERO))),
            ("segments", ClientOptions::local("d").segments(1, 2)),
            (
                "required_acks",
                ClientOptions::local("d").sync(sync::Settings { required_acks: 0, ..sync::Settings::default() }),
            ),
        ] {
            let error = options.validate().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.what().contains(name), "{error}");
        }
    }
}
