//! What the machines ask of one directory on disk, and what they are told.
//!
//! The driver's contract is three lines:
//! 1. operations on one file are carried out in the order they were asked for;
//! 2. every token gets exactly one completion, failed or not;
//! 3. an operation is complete only when what its documentation says is true.
//!
//! The *order between* files, and between a file and its directory, is decided here, by waiting for completions.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// Names one asked-for operation until its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoToken(pub u64);

/// Names one open file. Chosen by the machine that opens it; never reused within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// Who waits for an operation. A driver may serve the two from different threads; one file has never operations of
/// both in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A client waits.
    Commit,
    /// Preparation and snapshots: nobody waits.
    Background,
}

/// One operation on the directory. Names are plain file names, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// List the files. Completes with [`Completion::Listing`].
    List,
    /// Create a new, empty file (failing if the name exists) and open it for reading and writing.
    Create {
        /// What to call the open file.
        file: FileId,
        /// Its name.
        name: String,
    },
    /// Open an existing file for reading and writing. Completes with [`Completion::Opened`].
    Open {
        /// What to call the open file.
        file: FileId,
        /// Its name.
        name: String,
    },
    /// Read `len` bytes at `offset`, or fewer only where the file ends. Completes with [`Completion::Data`].
    Read {
        /// An open file.
        file: FileId,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
    /// Write all of `data` at `offset`; with `sync`, then make data and length durable (`fdatasync`).
    Write {
        /// An open file.
        file: FileId,
        /// Where, in bytes.
        offset: u64,
        /// What.
        data: Bytes,
        /// Complete only when durable.
        sync: bool,
    },
    /// Write `len` zero bytes at `offset`; with `sync`, then make them durable.
    Zero {
        /// An open file.
        file: FileId,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// Complete only when durable.
        sync: bool,
    },
    /// Make data and length of the file durable.
    Sync {
        /// An open file.
        file: FileId,
    },
    /// Close the file. Nothing is implied about durability.
    Close {
        /// An open file.
        file: FileId,
    },
    /// Rename, replacing a file of the new name. Open files stay open.
    Rename {
        /// The present name.
        from: String,
        /// The new name.
        to: String,
    },
    /// Remove a name.
    Remove {
        /// The name.
        name: String,
    },
    /// Make creations, renames and removals in the directory durable.
    SyncDir,
}

/// What a carried-out operation answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Done; nothing else to say.
    Done,
    /// The file is open and has this many bytes.
    Opened {
        /// Its length.
        len: u64,
    },
    /// The bytes read.
    Data(Bytes),
    /// The files of the directory, in any order.
    Listing(Vec<FileInfo>),
}

/// One file of a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileInfo {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No room (`ENOSPC`, `EDQUOT`).
    NoSpace,
    /// No further file can be opened at present (`EMFILE`, `ENFILE`). Nothing was done; it may succeed later.
    TooManyFiles,
    /// No such file.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Not permitted, or a read-only file system.
    Denied,
    /// Anything else, `EIO` above all.
    Io,
}

/// An operation that failed. After a failed write or sync nothing is known about what reached the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// Sort of failure.
    pub kind: DiskErrorKind,
    /// What the system said, naming the file.
    pub message: String,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for DiskError {}

/// How an operation ended.
pub type DiskResult = Result<Completion, DiskError>;

/// One operation on its way to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRequest {
    /// To be given back with the completion.
    pub token: IoToken,
    /// Who waits.
    pub lane: Lane,
    /// What to do.
    pub op: DiskOp,
}
