//! A directory in memory for tests: it carries out [`DiskOp`]s, remembers what is durable and what is not, fails
//! where it is told to, and lets a test damage files.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::dice::Dice;
use crate::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, FileInfo};

/// What a crash keeps or loses as one.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        // A write behind the end leaves a hole that reads as zeros and is as little durable as the rest.
        let from = offset.min(self.data.len());
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[offset..end].copy_from_slice(bytes);
        self.dirty.extend(from / SECTOR..end.div_ceil(SECTOR));
    }

    /// Makes dirty sectors durable, and no others: what an earlier failed sync has dropped stays lost.
    fn sync(&mut self) {
        self.clean(|| true);
    }

    fn crash(&mut self, keep: impl FnMut() -> bool) {
        self.clean(keep);
        self.data.clone_from(&self.durable);
    }

    fn clean(&mut self, mut keep: impl FnMut() -> bool) {
        for sector in core::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.data.len());
            if from < to && keep() {
                self.durable.resize(self.durable.len().max(to), 0);
                self.durable[from..to].copy_from_slice(&self.data[from..to]);
            }
        }
    }
}

/// A change of names that no directory sync has made durable yet.
#[derive(Clone, Debug)]
enum NameChange {
    Add(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Add(name, inode) => drop(names.insert(name.clone(), *inode)),
            // A directory entry holds the file itself: with an earlier change lost, it never comes to name another.
            Self::Rename(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

/// How a planned failure behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing of the operation is done.
    Clean(DiskErrorKind),
    /// Half of the bytes of a write are written, then it fails.
    Half(DiskErrorKind),
    /// Everything is written and stays readable, but the sync fails and the system forgets that it had something to
    /// sync: another sync succeeds and makes nothing durable.
    Sync(DiskErrorKind),
}

/// The directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemDisk {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending: Vec<NameChange>,
    open: BTreeMap<FileId, u64>,
    failures: BTreeMap<usize, Failure>,
    journal: Vec<DiskOp>,
}

impl MemDisk {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Fails the operation of this index, counted from 0 over the life of the directory.
    pub(crate) fn fail(&mut self, index: usize, failure: Failure) {
        self.failures.insert(index, failure);
    }

    /// Every operation asked for so far, failed ones included.
    pub(crate) fn journal(&self) -> &[DiskOp] {
        &self.journal
    }

    /// Names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The bytes of a file as a reader sees them now.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        &self.inodes[&self.names[name]].data
    }

    /// The bytes of a file that would survive losing everything unsynced; `None` when its name would not.
    pub(crate) fn durable_bytes(&self, name: &str) -> Option<&[u8]> {
        self.durable_names.get(name).map(|inode| self.inodes[inode].durable.as_slice())
    }

    /// Puts a file there, durably, replacing one of that name.
    pub(crate) fn place(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let data = bytes.into();
        let inode = self.add_inode(Inode { durable: data.clone(), data, dirty: BTreeSet::new() });
        self.names.insert(name.to_string(), inode);
        self.durable_names.insert(name.to_string(), inode);
    }

    /// Takes a file away, durably.
    pub(crate) fn take(&mut self, name: &str) -> Vec<u8> {
        self.durable_names.remove(name);
        let inode = self.names.remove(name).expect("the test names a file that is there");
        self.inodes[&inode].data.clone()
    }

    /// Changes the bytes of a file, durably.
    pub(crate) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = self.inodes.get_mut(&self.names[name]).expect("a named file has bytes");
        change(&mut inode.data);
        inode.durable.clone_from(&inode.data);
        inode.dirty.clear();
    }

    /// Flips one bit of a file, durably.
    pub(crate) fn flip(&mut self, name: &str, byte: usize, bit: u8) {
        self.edit(name, |data| data[byte] ^= 1 << bit);
    }

    /// Cuts a file to `len` bytes, durably.
    pub(crate) fn cut(&mut self, name: &str, len: usize) {
        self.edit(name, |data| data.truncate(len));
    }

    /// Power fails: everything not synced is lost, names too.
    pub(crate) fn crash(&mut self) {
        self.crash_where(|| false);
    }

    /// Power fails: every unsynced sector and every unsynced change of names is kept or lost by its own throw.
    pub(crate) fn crash_by(&mut self, dice: &mut Dice) {
        self.crash_where(|| dice.below(2) == 1);
    }

    fn crash_where(&mut self, mut keep: impl FnMut() -> bool) {
        for inode in self.inodes.values_mut() {
            inode.crash(&mut keep);
        }
        for change in core::mem::take(&mut self.pending) {
            if keep() {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        self.stop();
    }

    /// The process ends: what was written stays readable, durable or not.
    pub(crate) fn stop(&mut self) {
        self.stop_files();
        self.failures.clear();
    }

    /// The process ends and another begins; planned failures stay.
    pub(crate) fn stop_files(&mut self) {
        self.open.clear();
    }

    /// Carries out one operation.
    pub(crate) fn run(&mut self, op: &DiskOp) -> DiskResult {
        let failure = self.failures.get(&self.journal.len()).copied();
        self.journal.push(op.clone());
        match failure {
            None => self.carry_out(op),
            Some(Failure::Clean(kind)) => Err(error(kind, "planned failure")),
            Some(Failure::Half(kind)) => {
                self.carry_out_half(op);
                Err(error(kind, "planned failure half way"))
            }
            Some(Failure::Sync(kind)) => {
                self.forget_sync(op);
                Err(error(kind, "planned failure of the sync"))
            }
        }
    }

    fn carry_out(&mut self, op: &DiskOp) -> DiskResult {
        match op {
            DiskOp::List => {
                let info = |(name, inode): (&String, &u64)| FileInfo {
                    name: name.clone(),
                    len: self.inodes[inode].data.len() as u64,
                };
                // In the wrong order, because no order is promised.
                return Ok(Completion::Listing(self.names.iter().rev().map(info).collect()));
            }
            DiskOp::Create { file, name } => {
                if self.names.contains_key(name) {
                    return Err(error(DiskErrorKind::AlreadyExists, name));
                }
                let inode = self.add_inode(Inode::default());
                self.change(NameChange::Add(name.clone(), inode));
                assert!(self.open.insert(*file, inode).is_none(), "{file:?} is open already");
            }
            DiskOp::Open { file, name } => {
                let inode = *self.names.get(name).ok_or_else(|| error(DiskErrorKind::NotFound, name))?;
                assert!(self.open.insert(*file, inode).is_none(), "{file:?} is open already");
                return Ok(Completion::Opened { len: self.inodes[&inode].data.len() as u64 });
            }
            DiskOp::Read { file, offset, len } => {
                let data = &self.inode(*file).data;
                let from = (*offset as usize).min(data.len());
                let to = from.saturating_add(*len).min(data.len());
                return Ok(Completion::Data(Bytes::copy_from_slice(&data[from..to])));
            }
            DiskOp::Write { file, offset, data, sync } => self.write(*file, *offset, data, *sync),
            DiskOp::Zero { file, offset, len, sync } => {
                self.write(*file, *offset, &alloc::vec![0; *len as usize], *sync);
            }
            DiskOp::Sync { file } => self.inode(*file).sync(),
            DiskOp::Close { file } => drop(self.open.remove(file).expect("only open files are closed")),
            DiskOp::Rename { from, to } => {
                let Some(inode) = self.names.get(from).copied() else {
                    return Err(error(DiskErrorKind::NotFound, from));
                };
                self.change(NameChange::Rename(from.clone(), to.clone(), inode));
            }
            DiskOp::Remove { name } => {
                if !self.names.contains_key(name) {
                    return Err(error(DiskErrorKind::NotFound, name));
                }
                self.change(NameChange::Remove(name.clone()));
            }
            DiskOp::SyncDir => {
                self.pending.clear();
                self.durable_names = self.names.clone();
            }
        }
        Ok(Completion::Done)
    }

    fn carry_out_half(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Write { file, offset, data, .. } => self.write(*file, *offset, &data[..data.len() / 2], false),
            DiskOp::Zero { file, offset, len, .. } => {
                self.write(*file, *offset, &alloc::vec![0; *len as usize / 2], false);
            }
            _ => {}
        }
    }

    fn forget_sync(&mut self, op: &DiskOp) {
        let file = match op {
            DiskOp::Write { file, offset, data, .. } => {
                self.write(*file, *offset, data, false);
                file
            }
            DiskOp::Zero { file, offset, len, .. } => {
                self.write(*file, *offset, &alloc::vec![0; *len as usize], false);
                file
            }
            DiskOp::Sync { file } => file,
            _ => return,
        };
        self.inode(*file).clean(|| false);
    }

    fn write(&mut self, file: FileId, offset: u64, data: &[u8], sync: bool) {
        let inode = self.inode(file);
        inode.write(offset as usize, data);
        if sync {
            inode.sync();
        }
    }

    fn inode(&mut self, file: FileId) -> &mut Inode {
        let inode = self.open.get(&file).expect("only open files are used");
        self.inodes.get_mut(inode).expect("an open file has bytes")
    }

    fn add_inode(&mut self, inode: Inode) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, inode);
        self.next_inode
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }
}

fn error(kind: DiskErrorKind, what: &str) -> DiskError {
    DiskError { kind, message: alloc::format!("{what}: {kind:?}") }
}

/// Sixteen bytes to a line, with offsets and the printable characters, for golden files.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        write!(out, "{:04x} ", line * 16).expect("writing to a string");
        for index in 0..16 {
            match chunk.get(index) {
                Some(byte) => write!(out, " {byte:02x}").expect("writing to a string"),
                None => out.push_str("   "),
            }
        }
        out.push_str("  ");
        out.extend(chunk.iter().map(|&b| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' }));
        out.push('\n');
    }
    out
}
