//! Opening a copy of a directory on the side, at once and without faults.

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::dice::Seed;
use softadastra_core::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId};
use softadastra_core::error::Error;
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Inspected, Inspection, Node, Opening, OpeningState, Output, Rebuilt, Start};
use softadastra_core::store::{Digest, Store};
use softadastra_core::time::Now;

use crate::chance;
use crate::disk::SimDisk;
use crate::plan::Knobs;

/// Everything about a store that two replays of one log must share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The store's own digest.
    pub digest: Digest,
    /// Entries, deleted ones included.
    pub entries: usize,
    /// A hash over the snapshot encoding of all entries.
    pub bytes: u64,
}

/// The fingerprint of a store.
#[must_use]
pub fn fingerprint(store: &Store) -> Fingerprint {
    let mut bytes = 0;
    let mut after = None;
    loop {
        let mut block = Vec::new();
        let walk = store.walk(after.as_deref(), 1 << 20, &mut block);
        bytes = chance::digest(bytes, &block);
        match walk.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Fingerprint { digest: store.digest(), entries: store.feed(Lsn::ZERO).count(), bytes }
}

/// Reads the log of a copy of this directory without changing it.
///
/// # Errors
/// A sentence, when it does not read.
pub fn read(disk: &SimDisk) -> Result<Fingerprint, String> {
    let inspected = inspect(disk)?;
    let empty = Store::new();
    Ok(fingerprint(inspected.content.as_ref().map_or(&empty, |content| content.store())))
}

/// A directory that can only be read.
struct Reader<'a> {
    disk: &'a SimDisk,
    open: BTreeMap<FileId, Bytes>,
}

impl Reader<'_> {
    fn execute(&mut self, op: &DiskOp) -> Result<DiskResult, String> {
        let missing = |what: &str| Err(DiskError { kind: DiskErrorKind::NotFound, message: format!("no {what}") });
        Ok(match op {
            DiskOp::List => Ok(Completion::Listing(self.disk.listing())),
            DiskOp::Open { file, name } => match self.disk.file_bytes(name) {
                Some(content) => {
                    let len = content.len() as u64;
                    self.open.insert(*file, content);
                    Ok(Completion::Opened { len })
                }
                None => missing(name),
            },
            DiskOp::Read { file, offset, len } => match self.open.get(file) {
                Some(content) => {
                    let start = content.len().min(*offset as usize);
                    let end = content.len().min(start.saturating_add(*len));
                    Ok(Completion::Data(content.slice(start..end)))
                }
                None => missing("open file"),
            },
            DiskOp::Close { file } => match self.open.remove(file) {
                Some(_) => Ok(Completion::Done),
                None => missing("open file"),
            },
            DiskOp::Create { .. }
            | DiskOp::Write { .. }
            | DiskOp::Zero { .. }
            | DiskOp::Sync { .. }
            | DiskOp::Rename { .. }
            | DiskOp::Remove { .. }
            | DiskOp::SyncDir => return Err(format!("a reading asked for {op:?}, which is more than reading")),
        })
    }
}

/// What the log of this directory holds.
///
/// # Errors
/// A sentence, when it does not read, or holds no history.
pub fn content(disk: &SimDisk) -> Result<Rebuilt, String> {
    inspect(disk)?.content.ok_or_else(|| "no history".to_owned())
}

fn inspect(disk: &SimDisk) -> Result<Inspected, String> {
    let mut reader = Reader { disk, open: BTreeMap::new() };
    let mut inspection = Inspection::new();
    while let Some(request) = inspection.poll_output() {
        let result = reader.execute(&request.op)?;
        inspection.handle(request.token, result);
    }
    let outcome = inspection.take_outcome().ok_or("the reading does not end")?;
    let inspected = outcome.map_err(|error| error.to_string())?;
    match inspected.report.damage.first() {
        Some(damage) => Err(format!("{damage:?}")),
        None => Ok(inspected),
    }
}

/// Opens a node on a disk and carries out everything at once.
///
/// # Errors
/// As the opening says.
pub fn open(disk: &mut SimDisk, knobs: &Knobs, now: Now, seed: u64) -> Result<Box<Node>, Error> {
    let mut opening = Opening::new(knobs.config(), Seed::from_number(seed), now, Start::OpenOrCreate)?;
    let mut node = loop {
        while let Some(request) = opening.poll_output(now) {
            let result = disk.execute(&request.op);
            opening.handle(now, request.token, result);
        }
        match opening.advance(now) {
            OpeningState::Working(working) => opening = working,
            OpeningState::Ready(node, _) => break node,
            OpeningState::Failed(error) => return Err(error),
        }
    };
    drain(&mut node, disk, now);
    Ok(node)
}

/// Carries out at once whatever a node wants, and gives what it said besides.
pub fn drain(node: &mut Node, disk: &mut SimDisk, now: Now) -> Vec<Output> {
    let mut said = Vec::new();
    while let Some(output) = node.poll_output(now) {
        match output {
            Output::Disk(request) => {
                let result = disk.execute(&request.op);
                node.handle(now, softadastra_core::node::Input::Disk { token: request.token, result });
            }
            other => said.push(other),
        }
    }
    said
}
