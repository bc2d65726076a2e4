//! A disk that behaves as badly as a real one may, and never worse.
//!
//! It serves one directory. Per file it keeps what a read sees apart from what the platter holds, sector by sector;
//! names have a durability of their own. A crash is either a *kill* (the process dies, the page cache stays) or a
//! *power loss* (of everything not synced, any part may be gone). `docs/simulation.md` says why each fault must be
//! survivable.

mod fault;
mod inode;
mod names;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, FileInfo};

pub use self::fault::{Fault, Harm, OpKind};
pub use self::inode::{Fate, SECTOR};
use self::inode::{Image, Inode};
use self::names::{InodeId, Names};
use crate::chance;

/// What a power loss leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Sectors and lengths of files.
    pub data: Fate,
    /// Creations, renames and removals.
    pub names: Fate,
    /// Space gained without its data shows what a removed file left there, instead of zeros.
    pub stale: bool,
    /// Decides what `Mixed` leaves open.
    pub salt: u64,
}

impl Loss {
    /// Everything that was not synced is gone.
    pub const TOTAL: Self = Self { data: Fate::Lost, names: Fate::Lost, stale: false, salt: 0 };
}

/// One directory on a simulated disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    names: Names,
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: u64,
    open: BTreeMap<FileId, InodeId>,
    faults: Vec<(u64, Fault)>,
    next_fault: u64,
    struck: Vec<(OpKind, Harm)>,
    room: Option<u64>,
    /// What the last removed file held, for [`Loss::stale`].
    graveyard: Image,
}

impl SimDisk {
    /// An empty directory with unlimited room.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a fault wait for its operation, and gives what [`Self::disarm`] takes.
    pub fn arm(&mut self, fault: Fault) -> u64 {
        self.next_fault += 1;
        self.faults.push((self.next_fault, fault));
        self.next_fault
    }

    /// Takes a fault back, if it has not struck.
    pub fn disarm(&mut self, which: u64) {
        self.faults.retain(|(id, _)| *id != which);
    }

    /// Takes back every fault that has not struck.
    pub fn disarm_all(&mut self) {
        self.faults.clear();
    }

    /// Whether the room is limited at present.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.room.is_some()
    }

    /// Faults that have struck since this was last asked.
    pub fn take_struck(&mut self) -> Vec<(OpKind, Harm)> {
        std::mem::take(&mut self.struck)
    }

    /// Limits the room: at most `bytes` for all files together. `None` lifts the limit. What is there stays.
    pub fn set_room(&mut self, bytes: Option<u64>) {
        self.room = bytes;
    }

    /// Bytes taken by all files, in whole sectors. A removed file counts while it is open.
    #[must_use]
    pub fn used(&self) -> u64 {
        let mut live: Vec<InodeId> = self.names.iter().map(|(_, inode)| inode).collect();
        live.extend(self.open.values());
        live.sort_unstable();
        live.dedup();
        let sector = SECTOR as u64;
        live.iter().filter_map(|id| self.inodes.get(id)).map(|inode| inode.len().next_multiple_of(sector)).sum()
    }

    /// Replaces the content of the directory by that of another; limits and faults stay.
    pub fn bring_back(&mut self, content: Self) {
        let Self { names, inodes, next_inode, graveyard, .. } = content;
        self.open.clear();
        (self.names, self.inodes, self.next_inode, self.graveyard) = (names, inodes, next_inode, graveyard);
    }

    /// Carries out a whole operation.
    ///
    /// # Errors
    /// As the operation's documentation says, or as an armed fault demands.
    pub fn execute(&mut self, op: &DiskOp) -> DiskResult {
        let done = self.begin(op)?;
        if syncs_after(op) { self.settle(op) } else { Ok(done) }
    }

    /// Carries out the first half of an operation: all of it, but for the sync of a write or zeroing that syncs.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn begin(&mut self, op: &DiskOp) -> DiskResult {
        let kind = OpKind::of(op);
        match self.strike(kind) {
            None => self.carry_out(op, 0),
            Some(Harm::Error(error)) => Err(failed(error, op)),
            Some(Harm::Short(share, error)) => {
                self.carry_out_part(op, share);
                Err(failed(error, op))
            }
            Some(Harm::DropPages(fate)) => {
                if let DiskOp::Sync { file } = op
                    && let Some(inode) = self.inode_of(*file)
                {
                    inode.drop_pages(fate, file.0);
                }
                Err(failed(DiskErrorKind::Io, op))
            }
            Some(Harm::Misdirect(sectors)) => self.carry_out(op, sectors),
            Some(Harm::DoneButFailed) => {
                self.carry_out(op, 0)?;
                Err(failed(DiskErrorKind::Io, op))
            }
        }
    }

    /// Carries out the second half of a write or zeroing that syncs.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn settle(&mut self, op: &DiskOp) -> DiskResult {
        match op {
            DiskOp::Write { file, .. } | DiskOp::Zero { file, .. } => self.begin(&DiskOp::Sync { file: *file }),
            DiskOp::List
            | DiskOp::Create { .. }
            | DiskOp::Open { .. }
            | DiskOp::Read { .. }
            | DiskOp::Sync { .. }
            | DiskOp::Close { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Remove { .. }
            | DiskOp::SyncDir => Ok(Completion::Done),
        }
    }

    /// Carries out the first half of an operation past all armed faults.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn carry_out_unharmed(&mut self, op: &DiskOp) -> DiskResult {
        self.carry_out(op, 0)
    }

    /// The process dies in the middle of a write: `share` percent of it is in the page cache.
    pub fn carry_out_part(&mut self, op: &DiskOp, share: u8) {
        let part = |len: u64| len * u64::from(share.min(100)) / 100;
        if let DiskOp::Write { file, offset, data, .. } = op {
            let data = data.slice(..part(data.len() as u64) as usize);
            let _room = self.write(*file, *offset, &data);
        } else if let DiskOp::Zero { file, offset, len, .. } = op {
            let _room = self.write(*file, *offset, &zeros(part(*len)));
        }
    }

    /// The process dies; the machine goes on. Files are closed, the page cache stays.
    pub fn kill(&mut self) {
        self.open.clear();
        self.bury();
    }

    /// The power goes. Files are closed; what was not synced is kept or lost as `loss` says.
    pub fn lose_power(&mut self, loss: Loss) {
        self.open.clear();
        self.names.lose_power(loss.names, loss.salt);
        let stale: &[u8] = if loss.stale { &self.graveyard } else { &[] };
        for (id, inode) in &mut self.inodes {
            inode.lose_power(loss.data, chance::mix(loss.salt, id.0, 0), stale);
        }
        self.bury();
    }

    /// Memory pressure drops every clean page; what a failed sync left in the cache only is gone from sight.
    pub fn evict(&mut self) {
        self.inodes.values_mut().for_each(Inode::evict);
    }

    /// Whether reads see what a failed sync has dropped, and will not after a power loss or [`Self::evict`].
    #[must_use]
    pub fn shows_what_was_dropped(&self) -> bool {
        self.inodes.values().any(Inode::shows_what_was_dropped)
    }

    /// Bit rot: flips one bit of a file, wherever it lies. Says whether there is such a bit.
    pub fn rot(&mut self, name: &str, bit: u64) -> bool {
        let inode = self.names.get(name).and_then(|id| self.inodes.get_mut(&id));
        inode.is_some_and(|inode| inode.flip(bit))
    }

    /// Names and contents as a read sees them, in the order of names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names.iter().filter_map(|(name, id)| Some((name, self.inodes.get(&id)?.bytes())))
    }

    /// Names and lengths. "In any order": the same one in every run, and never the order of names.
    #[must_use]
    pub fn listing(&self) -> Vec<FileInfo> {
        let info = |(name, content): (&str, &[u8])| FileInfo { name: name.into(), len: content.len() as u64 };
        let mut listing: Vec<FileInfo> = self.files().map(info).collect();
        listing.sort_by_key(|info| chance::name(&info.name));
        listing
    }

    /// What a read sees of one file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).and_then(|id| self.inodes.get(&id)).map(Inode::bytes)
    }

    /// The same, to be kept: no copy is made before somebody writes to the file.
    #[must_use]
    pub fn file_bytes(&self, name: &str) -> Option<Bytes> {
        self.image(name).cloned().map(Bytes::from_owner)
    }

    /// What the platter holds of one file, for certain.
    #[must_use]
    pub fn durable_file(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).and_then(|id| self.inodes.get(&id)).map(Inode::durable)
    }

    /// Puts a file there, durable, replacing one of that name: for tests and for copies of another disk.
    pub fn put_file(&mut self, name: &str, content: &[u8]) {
        self.put_image(name, content.to_vec().into());
    }

    /// A directory with the same files, all durable.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut copy = Self::new();
        for (name, id) in self.names.iter() {
            if let Some(inode) = self.inodes.get(&id) {
                copy.put_image(name, inode.image().clone());
            }
        }
        copy
    }

    fn put_image(&mut self, name: &str, content: Image) {
        let id = self.new_inode();
        self.inodes.insert(id, Inode::durably(content));
        self.names.link(name, id);
        self.names.sync();
        self.bury();
    }

    fn image(&self, name: &str) -> Option<&Image> {
        self.names.get(name).and_then(|id| self.inodes.get(&id)).map(Inode::image)
    }

    /// The name of an open file, if it has one.
    #[must_use]
    pub fn name_of(&self, file: FileId) -> Option<&str> {
        let inode = self.open.get(&file)?;
        self.names.iter().find(|(_, id)| id == inode).map(|(name, _)| name)
    }

    /// Sectors and names that a power loss could take, for traces.
    #[must_use]
    pub fn unsynced(&self) -> (usize, usize) {
        (self.inodes.values().map(Inode::unsynced_sectors).sum(), self.names.unsynced())
    }

    fn strike(&mut self, kind: OpKind) -> Option<Harm> {
        let mut hit = None;
        for (index, (_, fault)) in self.faults.iter_mut().enumerate() {
            if fault.on.is_none_or(|on| on == kind) {
                match fault.after.checked_sub(1) {
                    Some(left) => fault.after = left,
                    None => hit = hit.or(Some(index)),
                }
            }
        }
        let harm = self.faults.remove(hit?).1.what;
        self.struck.push((kind, harm));
        Some(harm)
    }

    fn carry_out(&mut self, op: &DiskOp, misdirected: i8) -> DiskResult {
        match op {
            DiskOp::List => Ok(Completion::Listing(self.listing())),
            DiskOp::Create { file, name } => {
                if self.names.get(name).is_some() {
                    return Err(failed(DiskErrorKind::AlreadyExists, op));
                }
                let id = self.new_inode();
                self.names.link(name, id);
                self.open_as(*file, id);
                Ok(Completion::Done)
            }
            DiskOp::Open { file, name } => {
                let id = self.names.get(name).ok_or_else(|| failed(DiskErrorKind::NotFound, op))?;
                self.open_as(*file, id);
                Ok(Completion::Opened { len: self.inodes.get(&id).map_or(0, Inode::len) })
            }
            DiskOp::Read { file, offset, len } => match self.inode_of(*file) {
                Some(inode) => Ok(Completion::Data(inode.read(*offset, *len))),
                None => Err(failed(DiskErrorKind::Io, op)),
            },
            DiskOp::Write { file, offset, data, .. } => {
                let offset = offset.saturating_add_signed(i64::from(misdirected) * SECTOR as i64);
                self.write(*file, offset, data).map_err(|kind| failed(kind, op))
            }
            DiskOp::Zero { file, offset, len, .. } => {
                self.write(*file, *offset, &zeros(*len)).map_err(|kind| failed(kind, op))
            }
            DiskOp::Sync { file } => match self.inode_of(*file) {
                Some(inode) => {
                    inode.sync();
                    Ok(Completion::Done)
                }
                None => Err(failed(DiskErrorKind::Io, op)),
            },
            DiskOp::Close { file } => {
                self.open.remove(file).ok_or_else(|| failed(DiskErrorKind::Io, op))?;
                self.bury();
                Ok(Completion::Done)
            }
            DiskOp::Rename { from, to } => {
                self.names.get(from).ok_or_else(|| failed(DiskErrorKind::NotFound, op))?;
                self.names.rename(from, to);
                self.bury();
                Ok(Completion::Done)
            }
            DiskOp::Remove { name } => {
                self.names.get(name).ok_or_else(|| failed(DiskErrorKind::NotFound, op))?;
                self.graveyard = self.image(name).cloned().unwrap_or_default();
                self.names.unlink(name);
                self.bury();
                Ok(Completion::Done)
            }
            DiskOp::SyncDir => {
                self.names.sync();
                self.bury();
                Ok(Completion::Done)
            }
        }
    }

    fn write(&mut self, file: FileId, offset: u64, data: &[u8]) -> Result<Completion, DiskErrorKind> {
        let free = self.room.map(|room| room.saturating_sub(self.used()));
        let inode = self.inode_of(file).ok_or(DiskErrorKind::Io)?;
        let allocated = inode.len().next_multiple_of(SECTOR as u64);
        let end = offset.checked_add(data.len() as u64).ok_or(DiskErrorKind::Io)?;
        match free {
            Some(free) if end > allocated.saturating_add(free) => {
                // What fits is written, as the system call does.
                let fits = allocated.saturating_add(free).saturating_sub(offset) as usize;
                inode.write(offset, data.get(..fits).unwrap_or_default());
                Err(DiskErrorKind::NoSpace)
            }
            Some(_) | None => {
                inode.write(offset, data);
                Ok(Completion::Done)
            }
        }
    }

    fn inode_of(&mut self, file: FileId) -> Option<&mut Inode> {
        self.inodes.get_mut(self.open.get(&file)?)
    }

    fn open_as(&mut self, file: FileId, id: InodeId) {
        let before = self.open.insert(file, id);
        assert!(before.is_none(), "{file:?} is chosen by the machine and never reused within a run");
    }

    fn new_inode(&mut self) -> InodeId {
        let id = InodeId(self.next_inode);
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        id
    }

    /// Forgets files that nothing stands for any more.
    fn bury(&mut self) {
        let mut alive: Vec<InodeId> = self.names.reachable().chain(self.open.values().copied()).collect();
        alive.sort_unstable();
        self.inodes.retain(|id, _| alive.binary_search(id).is_ok());
    }
}

/// Whether an operation has a second half: see [`SimDisk::settle`].
#[must_use]
pub const fn syncs_after(op: &DiskOp) -> bool {
    matches!(op, DiskOp::Write { sync: true, .. } | DiskOp::Zero { sync: true, .. })
}

/// So many zeros.
fn zeros(len: u64) -> Cow<'static, [u8]> {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    let len = len as usize;
    ZEROS.get(..len).map_or_else(|| Cow::Owned(vec![0; len]), Cow::Borrowed)
}

fn failed(kind: DiskErrorKind, op: &DiskOp) -> DiskError {
    let what = match op {
        DiskOp::List => "list".into(),
        DiskOp::Create { name, .. } => format!("create {name}"),
        DiskOp::Open { name, .. } => format!("open {name}"),
        DiskOp::Read { file, offset, len } => format!("read of {len} bytes at {offset} of file {}", file.0),
        DiskOp::Write { file, offset, data, .. } => {
            format!("write of {} bytes at {offset} of file {}", data.len(), file.0)
        }
        DiskOp::Zero { file, offset, len, .. } => format!("zeroing of {len} bytes at {offset} of file {}", file.0),
        DiskOp::Sync { file } => format!("sync of file {}", file.0),
        DiskOp::Close { file } => format!("close of file {}", file.0),
        DiskOp::Rename { from, to } => format!("rename {from} to {to}"),
        DiskOp::Remove { name } => format!("remove {name}"),
        DiskOp::SyncDir => "sync of the directory".into(),
    };
    let why = match kind {
        DiskErrorKind::NoSpace => "no space left on device",
        DiskErrorKind::TooManyFiles => "too many open files",
        DiskErrorKind::NotFound => "no such file",
        DiskErrorKind::AlreadyExists => "file exists",
        DiskErrorKind::Denied => "permission denied",
        DiskErrorKind::Io => "input/output error",
    };
    DiskError { kind, message: format!("{what}: {why}") }
}

#[cfg(test)]
mod tests;
