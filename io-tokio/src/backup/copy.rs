//! Making a backup.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use softadastra_core::disk::{Completion, DiskOp};
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::LogId;
use softadastra_core::wal::format::FileName;

use super::MANIFEST_FILE;
use super::files::{DRAFT, Digested, Reading, copy_to_draft, run};
use super::manifest::{Manifest, ManifestFile};
use crate::data_dir::{self, disk_failed};
use crate::disk::{DynDisk, FsDisk};
use crate::driver::Files;
use crate::lock::{DirLock, LOCK_FILE};
use crate::model::BackupReport;
use crate::off_thread;

/// With more parts than this a file is copied anew, as one.
const MOST_TAILS: usize = 32;

const NEXT: &str = "choose an empty directory, or one with an earlier backup of this node";

/// Creates a backup directory when it is missing, and locks it. It may not be in the data directory of the node, nor that
/// in it.
///
/// # Errors
/// [`Code::InvalidArgument`] when it is not a directory, or not apart from `data_dir`; [`Code::AlreadyExists`] when it holds something else;
/// [`Code::Locked`]; [`Code::IoError`].
pub(crate) async fn open_target(dir: PathBuf, data_dir: Option<PathBuf>) -> Result<FsDisk, Error> {
    off_thread(move || {
        if let Some(data_dir) = &data_dir {
            keep_apart(&dir, data_dir)?;
        }
        if !data_dir::make_dir(&dir)?.is_dir() {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("{} is not a directory", dir.display()),
                "choose another path for the backup",
            ));
        }
        // Before anything is written there, be it a lock file.
        if let Some(stranger) = data_dir::names(&dir)?.iter().find(|name| !is_ours(name)) {
            return Err(Error::new(
                Code::AlreadyExists,
                format!("{} holds {stranger}, which is not a backup's", dir.display()),
                NEXT,
            ));
        }
        let lock = DirLock::acquire(&dir)?;
        FsDisk::open(&dir, Some(lock)).map_err(|error| disk_failed(&error))
    })
    .await
}

/// What becomes of one of the two must not become of the other.
fn keep_apart(dir: &Path, data_dir: &Path) -> Result<(), Error> {
    let looked = |path: &Path| std::fs::metadata(path).map_err(|error| data_dir::failed("looking at", path, &error));
    let refused = |how: &str| {
        Err(Error::new(
            Code::InvalidArgument,
            format!("{} {how} the data directory {}", dir.display(), data_dir.display()),
            "choose a directory for the backup that is apart from it, best on another disk",
        ))
    };
    if data_dir::lies_in(dir, &looked(data_dir)?)? {
        return refused("is, or lies in,");
    }
    if data_dir::exists(dir)? && data_dir::lies_in(data_dir, &looked(dir)?)? {
        return refused("holds");
    }
    Ok(())
}

/// Copies pinned files into a backup directory that is empty or holds an earlier backup of the same log.
///
/// # Errors
/// [`Code::AlreadyExists`] when it holds the backup of another log, or of what this log has lost; [`Code::DiskFull`];
/// [`Code::IoError`].
pub(crate) async fn copy(files: &Files, log_id: LogId, target: &dyn DynDisk) -> Result<BackupReport, Error> {
    let log_id = log_id.to_string();
    let (earlier, there) = look_at(target, &log_id).await?;
    if let Some(earlier) = &earlier
        && earlier.durable_lsn > files.manifest.durable.0
    {
        let (backed_up, here) = (earlier.durable_lsn, files.manifest.durable.0);
        return Err(rolled_back(&format!("the backup there reaches LSN {backed_up}, and the log ends at {here}")));
    }
    let mut copying =
        Copying { files, target, earlier: &earlier, there: &there, ids: 0, copied_files: 0, copied_bytes: 0 };
    let mut stored = Vec::new();
    for file in &files.manifest.files {
        stored.push(copying.one(&file.name, file.len).await?);
    }
    // The names must be durable before the manifest relies on them.
    run(target, DiskOp::SyncDir).await?;
    let manifest = Manifest::new(stored, &log_id, files);
    copying.ids += 1;
    manifest.write(target, copying.ids).await?;

    let parts = manifest.files.iter().filter_map(ManifestFile::parts).flatten();
    let kept: BTreeSet<&str> = parts.map(|part| part.stored_as).collect();
    for name in there.iter().filter(|name| is_stored(name) && !kept.contains(name.as_str())) {
        run(target, DiskOp::Remove { name: name.clone() }).await?;
    }
    run(target, DiskOp::SyncDir).await?;
    let Copying { copied_files, copied_bytes, .. } = copying;
    Ok(BackupReport { copied_files, copied_bytes, ..manifest.report() })
}

/// The log is an earlier one, brought back: what the backup holds beyond it is nowhere else.
fn rolled_back(how: &str) -> Error {
    Error::new(
        Code::AlreadyExists,
        format!("the data directory was rolled back since the backup that is there: {how}; nothing of it was changed"),
        "choose another directory for this backup; the one there holds writes that this node has lost: restore it \
         elsewhere and export them",
    )
}

/// The earlier backup, if any, and the names that are there.
async fn look_at(target: &dyn DynDisk, log_id: &str) -> Result<(Option<Manifest>, BTreeSet<String>), Error> {
    let Completion::Listing(listing) = run(target, DiskOp::List).await? else {
        return Err(Error::new(Code::InternalError, "a listing was not answered with one", "report this"));
    };
    let there: BTreeSet<String> = listing.into_iter().map(|file| file.name).collect();
    let earlier = Manifest::read(target).await?;
    match &earlier {
        Some(manifest) if manifest.log_id != log_id => Err(Error::new(
            Code::AlreadyExists,
            format!("the directory holds a backup of another log ({}, of node {})", manifest.log_id, manifest.node_id),
            NEXT,
        )),
        Some(_) | None => Ok((earlier, there)),
    }
}

/// Whether a file may be in a backup directory.
fn is_ours(name: &str) -> bool {
    [LOCK_FILE, MANIFEST_FILE, DRAFT].contains(&name) || is_stored(name)
}

/// Whether a name is that of a log file, or of what it grew by from an offset on, with a part of its hash behind it.
fn is_stored(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(part, hash)| {
        let (file, offset) = part.split_once('+').unwrap_or((part, "0"));
        FileName::parse(file).is_some()
            && offset.bytes().all(|b| b.is_ascii_digit())
            && hash.len() == 16
            && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

struct Copying<'a> {
    files: &'a Files,
    target: &'a dyn DynDisk,
    earlier: &'a Option<Manifest>,
    there: &'a BTreeSet<String>,
    /// File ids used so far, on either side.
    ids: u64,
    copied_files: u64,
    copied_bytes: u64,
}

impl<'a> Copying<'a> {
    /// Sees to it that the first `len` bytes of a log file are in the backup.
    async fn one(&mut self, name: &str, len: u64) -> Result<ManifestFile, Error> {
        if let Some(kept) = self.kept(name, len).await? {
            return Ok(kept);
        }
        let source = self.source(name).await?;
        let copied = self.copy(source, name, len, &mut blake3::Hasher::new()).await?;
        let file = ManifestFile::new(name.to_owned(), &copied);
        run(self.target, DiskOp::Rename { from: DRAFT.to_owned(), to: file.stored_as.clone() }).await?;
        Ok(file)
    }

    /// Copies the next `len` bytes to a draft.
    async fn copy(
        &mut self,
        source: Reading<'_>,
        name: &str,
        len: u64,
        whole: &mut blake3::Hasher,
    ) -> Result<Digested, Error> {
        self.ids += 1;
        let digest = copy_to_draft(source, len, self.target, self.ids, whole).await?;
        expect_len(name, len, digest.bytes)?;
        self.copied_files += 1;
        self.copied_bytes += len;
        Ok(digest)
    }

    /// The file of the earlier backup, if it is the same as the log's today or its beginning, and still whole; what the
    /// log's has grown by is copied. Both are read: a copy that has rotted is made again, and a log that was rolled back is
    /// refused, because only the backup holds what it has lost.
    async fn kept(&mut self, name: &str, len: u64) -> Result<Option<ManifestFile>, Error> {
        let earlier: &'a Option<Manifest> = self.earlier;
        let mut files = earlier.iter().flat_map(|manifest| &manifest.files);
        let Some(file) = files.find(|file| file.name == name) else { return Ok(None) };
        if file.bytes > len {
            return Err(rolled_back(&format!("of {name} it holds {} bytes, and the log has {len}", file.bytes)));
        }
        let mut source = self.source(name).await?;
        let mut whole = blake3::Hasher::new();
        let bytes = source.digest_into(&mut [&mut whole], file.bytes).await?;
        expect_len(name, file.bytes, bytes)?;
        // What a log holds up to its durable end never changes.
        if file.compare(&Digested { bytes, hash: whole.finalize() }).is_err() {
            return Err(rolled_back(&format!("{name} has another content now, by that or by damage")));
        }
        let too_many = file.bytes < len && file.tails.len() >= MOST_TAILS;
        if too_many || !self.is_whole(file).await? {
            source.close().await?;
            return Ok(None);
        }
        if file.bytes == len {
            source.close().await?;
            return Ok(Some(file.clone()));
        }
        let tail = self.copy(source, name, len - file.bytes, &mut whole).await?;
        let grown = file.clone().grown(&tail, &whole);
        if let Some(tail) = grown.tails.last() {
            run(self.target, DiskOp::Rename { from: DRAFT.to_owned(), to: tail.stored_as.clone() }).await?;
        }
        Ok(Some(grown))
    }

    /// Whether every part of a file is still what was written.
    async fn is_whole(&mut self, file: &ManifestFile) -> Result<bool, Error> {
        for part in file.parts().into_iter().flatten() {
            if !self.there.contains(part.stored_as) {
                return Ok(false);
            }
            self.ids += 1;
            let mut stored = Reading::open(self.target, self.ids, part.stored_as).await?;
            let digest = stored.digest(u64::MAX).await?;
            stored.close().await?;
            if part.compare(&digest).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn source(&mut self, name: &str) -> Result<Reading<'a>, Error> {
        self.ids += 1;
        let files: &'a Files = self.files;
        Reading::open(&*files.disk, self.files.first_id + self.ids, name).await
    }
}

fn expect_len(name: &str, len: u64, found: u64) -> Result<(), Error> {
    if found == len {
        return Ok(());
    }
    Err(Error::new(
        Code::WalCorrupt,
        format!("{name} ends at {found} where the log has {len} bytes"),
        "check the log with `softadastra wal verify`",
    ))
}
