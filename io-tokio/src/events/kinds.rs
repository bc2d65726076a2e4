//! Every event that has a name: what it says of local data, whether anything can be tried again, and which fields it has.
//! The table in `docs/operations.md` is checked against this one.

use softadastra_core::error::LocalState;

/// Whether what failed, or is going on, is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing failed.
    NotNeeded,
    /// The node tries again by itself.
    ByItself,
    /// It is of use once somebody has changed something.
    AfterAChange,
    /// It is of use once the node was started again.
    AfterARestart,
}

impl Retry {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::ByItself => "by_itself",
            Self::AfterAChange => "after_a_change",
            Self::AfterARestart => "after_a_restart",
        }
    }
}

/// Which lines of a kind are one line said again, and how many of them are let through before it grows quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// The fields that tell two lines of the kind apart.
    pub by: &'static [&'static str],
    /// So many alike are always written.
    pub free: u64,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name: the field `event`.
    pub name: &'static str,
    /// What became of local data.
    pub local_state: LocalState,
    /// Whether it is tried again.
    pub retry: Retry,
    /// The fields it has besides those of every line.
    pub fields: &'static [&'static str],
    /// Set where a peer, or a disk, may make it happen for ever.
    pub repeats: Option<Repeats>,
}

impl Kind {
    /// The same with another word on local data, where only the moment tells.
    #[must_use]
    pub const fn local(self, local_state: LocalState) -> Self {
        Self { local_state, ..self }
    }

    /// The same with another word on trying again.
    #[must_use]
    pub const fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    const fn alike(self, by: &'static [&'static str], free: u64) -> Self {
        Self { repeats: Some(Repeats { by, free }), ..self }
    }

    /// The kind of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.name == name)
    }
}

/// One after which local data is valid.
const fn kind(name: &'static str, retry: Retry, fields: &'static [&'static str]) -> Kind {
    Kind { name, local_state: LocalState::Valid, retry, fields, repeats: None }
}

macro_rules! kinds {
    ($($constant:ident = $kind:expr;)+) => {
        $(pub(crate) const $constant: Kind = $kind;)+

        /// All of them.
        pub const ALL: &[Kind] = &[$($constant),+];
    };
}

use Retry::{AfterAChange, AfterARestart, ByItself, NotNeeded};

kinds! {
    RECOVERY = kind("recovery", NotNeeded, &["created", "clean", "records", "snapshot_lsn", "snapshot_entries", "last_lsn", "keys", "took_ms"]);
    TORN_TAIL_CUT = kind("torn_tail_cut", NotNeeded, &["bytes"]);
    LOG_IN_DOUBT = kind("log_in_doubt", AfterAChange, &["doubt"]).local(LocalState::Unknown);
    STRANGER = kind("stranger_in_log_directory", NotNeeded, &["file"]);
    RUNTIME_STARTED = kind("runtime_started", NotNeeded, &["replica", "dir"]);
    OPEN_FAILED = kind("open_failed", AfterAChange, &["dir", "code", "error"]);
    READY = kind("ready", NotNeeded, &["pid"]);
    SIGNAL = kind("signal", NotNeeded, &["name"]);
    RUNTIME_STOPPED = kind("runtime_stopped", NotNeeded, &["clean"]);
    FAREWELL_CUT_SHORT = kind("farewell_cut_short", NotNeeded, &[]);
    NOT_CLOSED_CLEANLY = kind("not_closed_cleanly", NotNeeded, &["error"]);
    LOG_APPEND_FAILED = kind("log_append_failed", AfterARestart, &["what", "doubtful_from", "doubtful_to"]);
    DEGRADED = kind("degraded", AfterARestart, &[]);
    DIRECTORY_LOST = kind("directory_lost", AfterARestart, &["error", "became", "next"]);
    DISK_FULL = kind("disk_full", ByItself, &["error"]).alike(&[], 1);
    DISK_ROOM = kind("disk_room", NotNeeded, &[]).alike(&[], 1);
    SNAPSHOT_DONE = kind("snapshot_done", NotNeeded, &["at", "bytes"]);
    SNAPSHOT_FAILED = kind("snapshot_failed", ByItself, &["error"]).alike(&["error"], 1);
    BACKUP_DONE = kind("backup_done", NotNeeded, &["dir", "durable_lsn", "files", "bytes", "copied_bytes"]);
    BACKUP_FAILED = kind("backup_failed", AfterAChange, &["dir", "code", "error"]);
    LOG_REPAIRED = kind("log_repaired", NotNeeded, &["kept_aside", "damage", "keys"]);
    REPAIR_FINISHED = kind("repair_finished", NotNeeded, &["dir"]);
    DISK_ERROR_UNHEARD = kind("disk_error_unheard", NotNeeded, &["error"]);
    CLOSE_FAILED = kind("close_failed", NotNeeded, &["error"]);
    CONTROL_ACCEPT_FAILED = kind("control_accept_failed", ByItself, &["error", "makes_way"]).alike(&["error"], 1);
    SERVICE_MANAGER_UNHEARD = kind("service_manager_unheard", AfterAChange, &["error"]).alike(&["error"], 1);
    HTTP_STARTED = kind("http_started", NotNeeded, &["address"]);
    HTTP_FAILED = kind("http_failed", ByItself, &["address", "error"]).alike(&["error"], 1);
    IDENTITY_CREATED = kind("identity_created", NotNeeded, &["key"]);
    NETWORK_BOOK_UNUSABLE = kind("network_book_unusable", AfterARestart, &["error"]);
    NETWORK_BOOK_NOT_WRITTEN = kind("network_book_not_written", ByItself, &["error"]).alike(&["error"], 1);
    TRANSPORT_STARTED = kind("transport_started", NotNeeded, &["key", "listening"]);
    OPEN_TO_ANYBODY = kind("open_to_anybody", AfterAChange, &["listening"]);
    TRANSPORT_FAILED = kind("transport_failed", ByItself, &["error"]).alike(&["error"], 1);
    TRANSPORT_STOPPED = kind("transport_stopped", NotNeeded, &[]);
    ACCEPT_FAILED = kind("accept_failed", ByItself, &["error"]).alike(&["error"], 1);
    ACCEPTING_AGAIN = kind("accepting_again", NotNeeded, &[]).alike(&[], 1);
    LINK_UP = kind("link_up", NotNeeded, &["peer", "key"]).alike(&["peer", "key"], 4);
    LINK_DOWN = kind("link_down", ByItself, &["peer", "key", "reason", "detail"]).alike(&["peer", "key", "reason"], 4);
    LINK_FAILED = kind("link_failed", ByItself, &["peer", "reason", "detail"]).alike(&["peer", "reason"], 1);
    PEER_PINNED = kind("peer_pinned", NotNeeded, &["peer", "key"]);
    PEER_DISTRUSTED = kind("peer_distrusted", AfterAChange, &["peer", "key", "reason", "why"]).alike(&["reason"], 4);
    PEER_KEY_CHANGED = kind("peer_key_changed", AfterAChange, &["peer", "key", "why"]).alike(&["peer", "key"], 1);
    IDENTITY_CLONE = kind("identity_clone", AfterAChange, &["finding"]).alike(&["finding"], 1);
    IDENTITY_ROLLBACK = kind("identity_rollback", AfterAChange, &["finding"]).alike(&["finding"], 1);
    REBORN = kind("reborn", NotNeeded, &["from", "to", "finding"]);
    SYNC_OPENED = kind("sync_opened", NotNeeded, &["peer", "replica"]).alike(&["peer", "replica"], 4);
    SYNC_TICK = kind("sync_tick", NotNeeded, &["batch", "sent", "connected", "retried", "pruned"]);
    CONFLICT = kind("conflict", NotNeeded, &["id", "key"]).alike(&[], 32);
    CONFLICT_DROPPED = kind("conflict_dropped", AfterAChange, &["id", "key"]).alike(&[], 32);
    CLOCK_SKEW = kind("clock_skew", AfterAChange, &["peer", "ahead_ms"]).alike(&["peer"], 1);
    DIVERGED = kind("diverged", ByItself, &["peer"]).alike(&["peer"], 4);
    DELIVERY_FAILED = kind("delivery_failed", ByItself, &["operations", "reason"]).alike(&["reason"], 1);
    TOMBSTONES_COLLECTED = kind("tombstones_collected", NotNeeded, &["tombstones"]).alike(&[], 4);
    DISCOVERY_STARTED = kind("discovery_started", NotNeeded, &["key", "mode", "port", "auto_connect"]);
    DISCOVERY_FAILED = kind("discovery_failed", ByItself, &["code", "error", "next"]).alike(&["code", "error"], 1);
    DISCOVERY_WORKS = kind("discovery_works", NotNeeded, &[]).alike(&[], 1);
    DISCOVERY_NOT_ANNOUNCED = kind("discovery_not_announced", AfterAChange, &["error"]);
    DISCOVERY_STOPPED = kind("discovery_stopped", NotNeeded, &[]);
    NODE_FOUND = kind("node_found", NotNeeded, &["peer", "key", "addresses"]).alike(&["key"], 4);
    NODE_CHANGED = kind("node_changed", NotNeeded, &["peer", "key", "addresses"]).alike(&["key"], 4);
    NODE_LOST = kind("node_lost", ByItself, &["peer", "key", "why"]).alike(&["key", "why"], 4);
    DATAGRAMS_DROPPED = kind("datagrams_dropped", NotNeeded, &["reason", "from"]).alike(&["reason"], 1);
    DISCOVERED_CLOCK_SKEWED = kind("discovered_clock_skewed", AfterAChange, &["peer", "key", "ahead_ms"]).alike(&["key"], 1);
    DISCOVERED_CLOCK_MENDED = kind("discovered_clock_mended", NotNeeded, &["peer", "key"]).alike(&["key"], 1);
    DISCOVERED_CLONE = kind("discovered_clone", AfterAChange, &["key", "from"]).alike(&["key"], 1);
    DISCOVERED_NAME_SHARED = kind("discovered_name_shared", AfterAChange, &["peer", "key", "other", "others"]).alike(&["peer"], 1);
    DISCOVERY_TARGET_FAILING = kind("discovery_target_failing", ByItself, &["target", "error"]).alike(&["target"], 1);
    DISCOVERY_TARGET_WORKS = kind("discovery_target_works", NotNeeded, &["target"]).alike(&["target"], 1);
    FEW_DESCRIPTORS = kind("few_descriptors", AfterARestart, &["limit"]);
    LOG_LINES_DROPPED = kind("log_lines_dropped", NotNeeded, &["lines"]).alike(&[], 1);
    MDNS_LISTED = kind("mdns_listed", NotNeeded, &["service", "port"]);
    MDNS_FAILED = kind("mdns_failed", AfterARestart, &["error"]).alike(&["error"], 1);
    IMPORTED = kind("imported", NotNeeded, &["records", "bytes"]);
}
