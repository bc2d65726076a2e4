//! Shows a backup as the log directory that it was copied from.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use softadastra_core::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, FileInfo, Lane};

use super::manifest::{Manifest, ManifestFile};
use crate::disk::{Disk, FsDisk};

/// Parts are opened under ids of their own, far beyond those that a log gives.
const FIRST_PART: u64 = 1 << 40;

/// A log that is only read. A file that is stored in parts is one file.
pub(super) struct AsLog {
    manifest: Manifest,
    disk: FsDisk,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// The parts of each open file, in order, and the length of each.
    files: BTreeMap<FileId, Vec<(FileId, u64)>>,
    parts: u64,
}

type Pending = std::pin::Pin<Box<dyn Future<Output = DiskResult> + Send>>;

impl AsLog {
    pub(super) fn new(manifest: Manifest, disk: FsDisk) -> Self {
        Self { manifest, disk, open: Mutex::default() }
    }

    fn ask(&self, lane: Lane, op: DiskOp) -> Pending {
        Box::pin(self.disk.submit(lane, op))
    }

    /// Opens every part of a file.
    fn open(&self, lane: Lane, file: FileId, stored: &ManifestFile) -> Vec<Pending> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = Vec::new();
        let mut opening = Vec::new();
        for part in stored.parts().into_iter().flatten() {
            let id = FileId(FIRST_PART + open.parts);
            open.parts += 1;
            parts.push((id, part.bytes));
            opening.push(self.ask(lane, DiskOp::Open { file: id, name: part.stored_as.to_owned() }));
        }
        open.files.insert(file, parts);
        opening
    }

    /// Reads from every part that a range touches.
    fn read(&self, lane: Lane, file: FileId, offset: u64, len: usize) -> Vec<Pending> {
        let (mut from, mut left) = (offset, len as u64);
        let mut reading = Vec::new();
        for (id, bytes) in self.parts_of(file) {
            let here = bytes.saturating_sub(from).min(left);
            if here > 0 {
                // Not more than was asked for, which was a length.
                let len = usize::try_from(here).unwrap_or(usize::MAX);
                reading.push(self.ask(lane, DiskOp::Read { file: id, offset: from, len }));
            }
            from = from.saturating_sub(bytes);
            left -= here;
        }
        reading
    }

    fn parts_of(&self, file: FileId) -> Vec<(FileId, u64)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).files.get(&file).cloned().unwrap_or_default()
    }

    fn close(&self, lane: Lane, file: FileId) -> Vec<Pending> {
        let parts = self.open.lock().unwrap_or_else(PoisonError::into_inner).files.remove(&file).unwrap_or_default();
        parts.into_iter().map(|(id, _)| self.ask(lane, DiskOp::Close { file: id })).collect()
    }

    /// What a file is stored as, if the manifest names it.
    fn stored(&self, name: &str) -> Option<&ManifestFile> {
        self.manifest.files.iter().find(|stored| stored.name == name)
    }

    fn listing(&self) -> Completion {
        let info = |file: &ManifestFile| FileInfo { name: file.name.clone(), len: file.bytes };
        Completion::Listing(self.manifest.files.iter().map(info).collect())
    }
}

/// The answers of all parts, as one.
enum Answer {
    Is(DiskResult),
    /// Opened, with this length in all.
    Opened(Vec<Pending>, u64),
    Closed(Vec<Pending>),
    Data(Vec<Pending>),
}

impl Disk for AsLog {
    fn submit(&self, lane: Lane, op: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        let answer = match op {
            DiskOp::List => Answer::Is(Ok(self.listing())),
            DiskOp::Open { file, name } => match self.stored(&name) {
                Some(stored) => Answer::Opened(self.open(lane, file, stored), stored.bytes),
                None => Answer::Is(Err(missing(&name))),
            },
            DiskOp::Read { file, offset, len } => Answer::Data(self.read(lane, file, offset, len)),
            DiskOp::Close { file } => Answer::Closed(self.close(lane, file)),
            other => Answer::Is(Err(DiskError {
                kind: DiskErrorKind::Denied,
                message: format!("a backup is only read: {other:?}"),
            })),
        };
        answer.whole()
    }

    async fn finish(self) {
        self.disk.finish().await;
    }
}

impl Answer {
    async fn whole(self) -> DiskResult {
        match self {
            Self::Is(result) => result,
            Self::Opened(parts, len) => {
                for part in parts {
                    part.await?;
                }
                Ok(Completion::Opened { len })
            }
            Self::Closed(parts) => {
                for part in parts {
                    part.await?;
                }
                Ok(Completion::Done)
            }
            Self::Data(parts) => join(parts).await,
        }
    }
}

async fn join(parts: Vec<Pending>) -> DiskResult {
    let mut all: Vec<Bytes> = Vec::new();
    for part in parts {
        match part.await? {
            Completion::Data(data) => all.push(data),
            other => {
                let message = format!("reading a backup was answered with {other:?}");
                return Err(DiskError { kind: DiskErrorKind::Io, message });
            }
        }
    }
    if let [only] = all.as_slice() {
        return Ok(Completion::Data(only.clone()));
    }
    let mut data = BytesMut::new();
    all.iter().for_each(|part| data.extend_from_slice(part));
    Ok(Completion::Data(data.freeze()))
}

fn missing(name: &str) -> DiskError {
    DiskError { kind: DiskErrorKind::NotFound, message: format!("the backup holds no {name}") }
}
