//! One error shape for every public face: a stable code for programs, a sentence for people, what became of local
//! state, and what to do next.

use alloc::string::String;
use core::fmt;

/// Stable names of errors. New ones may be added; none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The caller gave something that cannot be accepted.
    InvalidArgument,
    /// The call does not fit the state of the node or client.
    InvalidState,
    /// The thing named does not exist.
    NotFound,
    /// The thing named exists already.
    AlreadyExists,
    /// A conditional write met another version.
    VersionMismatch,
    /// A bound was reached; nothing was taken in.
    Overloaded,
    /// An operation of the file system or of a socket failed.
    IoError,
    /// The disk has no room.
    DiskFull,
    /// The data directory is in use by another process.
    Locked,
    /// Acknowledged bytes of the log or snapshot are damaged.
    WalCorrupt,
    /// The files were written by a newer version of this software.
    FormatTooNew,
    /// An earlier failure of the disk has stopped writes until the node is reopened.
    Degraded,
    /// The node was lost while it worked on the command: whether the write survives is not known.
    Unknown,
    /// The store refused.
    StoreError,
    /// Sync refused or failed.
    SyncError,
    /// The transport refused or failed.
    TransportError,
    /// Discovery refused or failed.
    DiscoveryError,
    /// Metadata could not be read.
    MetadataError,
    /// A fault of this software.
    InternalError,
}

impl Code {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidState => "invalid_state",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::VersionMismatch => "version_mismatch",
            Self::Overloaded => "overloaded",
            Self::IoError => "io_error",
            Self::DiskFull => "disk_full",
            Self::Locked => "locked",
            Self::WalCorrupt => "wal_corrupt",
            Self::FormatTooNew => "format_too_new",
            Self::Degraded => "degraded",
            Self::Unknown => "unknown",
            Self::StoreError => "store_error",
            Self::SyncError => "sync_error",
            Self::TransportError => "transport_error",
            Self::DiscoveryError => "discovery_error",
            Self::MetadataError => "metadata_error",
            Self::InternalError => "internal_error",
        }
    }

    /// The code of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::InvalidArgument,
        Self::InvalidState,
        Self::NotFound,
        Self::AlreadyExists,
        Self::VersionMismatch,
        Self::Overloaded,
        Self::IoError,
        Self::DiskFull,
        Self::Locked,
        Self::WalCorrupt,
        Self::FormatTooNew,
        Self::Degraded,
        Self::Unknown,
        Self::StoreError,
        Self::SyncError,
        Self::TransportError,
        Self::DiscoveryError,
        Self::MetadataError,
        Self::InternalError,
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the node's own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalState {
    /// Nothing changed; everything that was acknowledged is there.
    Valid,
    /// Everything that was acknowledged is there; this write may or may not be after reopening.
    Unknown,
    /// Acknowledged data is damaged on disk; nothing was changed.
    Damaged,
}

impl LocalState {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
        }
    }
}

/// A failure, told so that a person knows what happened, where, what became of the data and what to do next.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    what: String,
    local: LocalState,
    next: &'static str,
}

impl Error {
    /// An error after which local state is valid and unchanged. `next` says what to do.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>, next: &'static str) -> Self {
        Self { code, what: what.into(), local: LocalState::Valid, next }
    }

    /// The same, with another word on local state.
    #[must_use]
    pub fn with_local(self, local: LocalState) -> Self {
        Self { local, ..self }
    }

    /// For programs.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What happened and where.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What became of local data.
    #[must_use]
    pub const fn local(&self) -> LocalState {
        self.local
    }

    /// What to do next, as an imperative sentence; empty when there is nothing to add.
    #[must_use]
    pub const fn next(&self) -> &'static str {
        self.next
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.local {
            LocalState::Valid => {}
            LocalState::Unknown => f.write_str("; whether this write is kept is known only after reopening")?,
            LocalState::Damaged => f.write_str("; acknowledged data on disk is damaged, nothing was changed")?,
        }
        if !self.next.is_empty() {
            write!(f, "; {}", self.next)?;
        }
        Ok(())
    }
}

/// As people read it: a `main` that returns an error prints it so.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{}]", self.code.as_str())
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_of_codes_are_unique_and_found_again() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
        }
        assert_eq!(Code::from_name("no_such_code"), None);
        assert_eq!((Code::DiskFull.as_str(), Code::DiskFull.to_string()), ("disk_full", "disk_full".into()));
        let states = [LocalState::Valid, LocalState::Unknown, LocalState::Damaged].map(LocalState::as_str);
        assert_eq!(states, ["valid", "unknown", "damaged"]);
    }

    #[test]
    fn an_error_says_what_became_of_the_data_and_what_to_do() {
        let error =
            Error::new(Code::Unknown, "sync of wal-1 failed", "reopen the node").with_local(LocalState::Unknown);
        assert_eq!(
            error.to_string(),
            "sync of wal-1 failed; whether this write is kept is known only after reopening; reopen the node"
        );
        assert_eq!(alloc::format!("{error:?}"), alloc::format!("{error} [unknown]"));
        assert_eq!(error.next(), "reopen the node");
        let silent = Error::new(Code::WalCorrupt, "x", "").with_local(LocalState::Damaged);
        assert_eq!(silent.to_string(), "x; acknowledged data on disk is damaged, nothing was changed");
        assert_eq!(Error::new(Code::NotFound, "y", "").to_string(), "y");
    }
}
