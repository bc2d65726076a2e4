//! Reading and writing whole files through a disk, piece by piece.

use bytes::Bytes;
use softadastra_core::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, Lane};
use softadastra_core::error::{Code, Error};

use crate::data_dir::disk_failed;
use crate::disk::DynDisk;

/// Bytes in one piece: enough to keep a disk streaming, little enough to stand between two preparations of a segment.
const PIECE: usize = 1 << 20;

/// Name of a file that is not whole yet.
pub(super) const DRAFT: &str = "copying";

/// Length and hash of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digested {
    pub(super) bytes: u64,
    pub(super) hash: blake3::Hash,
}

/// A file being read from its beginning.
pub(super) struct Reading<'a> {
    disk: &'a dyn DynDisk,
    id: FileId,
    name: String,
    at: u64,
}

pub(super) async fn run(disk: &dyn DynDisk, op: DiskOp) -> Result<Completion, Error> {
    disk.submit_dyn(Lane::Background, op).await.map_err(|error| disk_failed(&error))
}

impl<'a> Reading<'a> {
    pub(super) async fn open(disk: &'a dyn DynDisk, id: u64, name: &str) -> Result<Self, Error> {
        Self::try_open(disk, id, name).await.map_err(|error| disk_failed(&error))
    }

    /// As [`Self::open`], with the disk's own error.
    pub(super) async fn try_open(disk: &'a dyn DynDisk, id: u64, name: &str) -> Result<Self, DiskError> {
        let id = FileId(id);
        disk.submit_dyn(Lane::Background, DiskOp::Open { file: id, name: name.to_owned() }).await?;
        Ok(Self { disk, id, name: name.to_owned(), at: 0 })
    }

    /// The next piece, at most `most` bytes; empty at the end of the file.
    pub(super) async fn piece(&mut self, most: u64) -> Result<Bytes, Error> {
        let len = usize::try_from(most).unwrap_or(usize::MAX).min(PIECE);
        let op = DiskOp::Read { file: self.id, offset: self.at, len };
        let result: DiskResult = self.disk.submit_dyn(Lane::Background, op).await;
        match result {
            Ok(Completion::Data(data)) => {
                self.at += data.len() as u64;
                Ok(data)
            }
            Ok(other) => Err(disk_failed(&DiskError {
                kind: DiskErrorKind::Io,
                message: format!("reading {} was answered with {other:?}", self.name),
            })),
            Err(error) => Err(disk_failed(&error)),
        }
    }

    /// Length and hash of what is left, up to `most` bytes.
    pub(super) async fn digest(&mut self, most: u64) -> Result<Digested, Error> {
        let mut hasher = blake3::Hasher::new();
        let bytes = self.digest_into(&mut [&mut hasher], most).await?;
        Ok(Digested { bytes, hash: hasher.finalize() })
    }

    /// Hashes what is left, up to `most` bytes, behind what each was given before. Gives its length.
    pub(super) async fn digest_into(&mut self, hashers: &mut [&mut blake3::Hasher], most: u64) -> Result<u64, Error> {
        let mut bytes = 0;
        while bytes < most {
            let piece = self.piece(most - bytes).await?;
            if piece.is_empty() {
                break;
            }
            for hasher in &mut *hashers {
                hasher.update(&piece);
            }
            bytes += piece.len() as u64;
        }
        Ok(bytes)
    }

    /// All that is left, which must not be more than `most` bytes.
    pub(super) async fn bytes(&mut self, most: u64) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        loop {
            let piece = self.piece(u64::MAX).await?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&piece);
            if all.len() as u64 > most {
                return Err(Error::new(
                    Code::WalCorrupt,
                    format!("{} has more than {most} bytes", self.name),
                    "choose another backup",
                ));
            }
        }
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        run(self.disk, DiskOp::Close { file: self.id }).await.map(drop)
    }
}

/// Copies the next `most` bytes of `from` to a new file of `to` that is called [`DRAFT`], durable when this returns.
/// `whole`: hashes them behind what stands before them.
pub(super) async fn copy_to_draft(
    mut from: Reading<'_>,
    most: u64,
    to: &dyn DynDisk,
    id: u64,
    whole: &mut blake3::Hasher,
) -> Result<Digested, Error> {
    remove_draft(to).await?;
    let file = FileId(id);
    run(to, DiskOp::Create { file, name: DRAFT.to_owned() }).await?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    while bytes < most {
        let data = from.piece(most - bytes).await?;
        if data.is_empty() {
            break;
        }
        hasher.update(&data);
        whole.update(&data);
        let len = data.len() as u64;
        run(to, DiskOp::Write { file, offset: bytes, data, sync: false }).await?;
        bytes += len;
    }
    run(to, DiskOp::Sync { file }).await?;
    run(to, DiskOp::Close { file }).await?;
    from.close().await?;
    Ok(Digested { bytes, hash: hasher.finalize() })
}

/// Puts a small file in place, whole or not at all, durable when this returns.
pub(super) async fn put_file(disk: &dyn DynDisk, id: u64, name: &str, data: Bytes) -> Result<(), Error> {
    remove_draft(disk).await?;
    let file = FileId(id);
    run(disk, DiskOp::Create { file, name: DRAFT.to_owned() }).await?;
    run(disk, DiskOp::Write { file, offset: 0, data, sync: true }).await?;
    run(disk, DiskOp::Close { file }).await?;
    run(disk, DiskOp::Rename { from: DRAFT.to_owned(), to: name.to_owned() }).await?;
    run(disk, DiskOp::SyncDir).await.map(drop)
}

async fn remove_draft(disk: &dyn DynDisk) -> Result<(), Error> {
    match disk.submit_dyn(Lane::Background, DiskOp::Remove { name: DRAFT.to_owned() }).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        Err(error) => Err(disk_failed(&error)),
    }
}
