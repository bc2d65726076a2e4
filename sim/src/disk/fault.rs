//! What can go wrong with one operation, decided by the plan and never by chance.

use softadastra_core::disk::{DiskErrorKind, DiskOp};

use super::inode::Fate;

/// Sorts of disk operation, as faults select them. A write or zeroing with `sync` counts as a `Write` or `Zero` and
/// then as a `Sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the operation of the same name")]
pub enum OpKind {
    List,
    Create,
    Open,
    Read,
    Write,
    Zero,
    Sync,
    Close,
    Rename,
    Remove,
    SyncDir,
}

impl OpKind {
    /// Every sort.
    pub const ALL: [Self; 11] = [
        Self::List,
        Self::Create,
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Zero,
        Self::Sync,
        Self::Close,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
    ];

    /// The sort of an operation (of its first half, when it syncs as well).
    #[must_use]
    pub const fn of(op: &DiskOp) -> Self {
        match op {
            DiskOp::List => Self::List,
            DiskOp::Create { .. } => Self::Create,
            DiskOp::Open { .. } => Self::Open,
            DiskOp::Read { .. } => Self::Read,
            DiskOp::Write { .. } => Self::Write,
            DiskOp::Zero { .. } => Self::Zero,
            DiskOp::Sync { .. } => Self::Sync,
            DiskOp::Close { .. } => Self::Close,
            DiskOp::Rename { .. } => Self::Rename,
            DiskOp::Remove { .. } => Self::Remove,
            DiskOp::SyncDir => Self::SyncDir,
        }
    }
}

/// One fault that waits for its operation, strikes once and is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which sort of operation; `None` for any.
    pub on: Option<OpKind>,
    /// How many such operations pass unharmed before.
    pub after: u32,
    /// What happens.
    pub what: Harm,
}

/// What a fault does to its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It fails and nothing was done. On a sync: nothing more reached the disk, and the pages stay dirty.
    Error(DiskErrorKind),
    /// A write or zeroing stops after this many percent of its bytes, and fails. Others just fail.
    Short(u8, DiskErrorKind),
    /// A sync fails; of the unsynced pages this much reaches the platter, and the rest is marked clean and never
    /// written (what Linux does). Others just fail with an I/O error.
    DropPages(Fate),
    /// A write lands this many sectors further on (or back) in the same file, and reports success. Others are
    /// spared.
    Misdirect(i8),
    /// It is carried out, and reports an I/O error all the same.
    DoneButFailed,
}

impl Harm {
    /// A short name, for counting.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Error(DiskErrorKind::NoSpace) => "no space",
            Self::Error(_) => "error",
            Self::Short(..) => "short write",
            Self::DropPages(_) => "dropped pages",
            Self::Misdirect(_) => "misdirected",
            Self::DoneButFailed => "done but failed",
        }
    }
}
