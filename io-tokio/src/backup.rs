//! Backups: copied while writes go on, checked by hash, restored as a new history.
//!
//! ```text
//! <backup>/backup.json                          the manifest: written last, so that it names only what is whole
//! <backup>/0000000000000003.seg.5f1c…           a file of the log and the first 16 hex digits of its BLAKE3
//! <backup>/0000000000000003.seg+4096.77e0…      what it had grown by at a later backup, from that offset on
//! <backup>/LOCK                                 one backup at a time
//! ```
//!
//! Files are named by their content, so that bringing a backup up to date touches nothing that the earlier manifest
//! names: at every moment there is one whole backup.

mod as_log;
mod copy;
mod files;
mod manifest;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use softadastra_core::config::Config;
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::node::Rebuilt;

pub(crate) use copy::{copy, open_target};
pub use manifest::{Manifest, ManifestFile, Tail};

use self::as_log::AsLog;
use self::files::{Digested, Reading};
use crate::data_dir::{self, WAL_DIR, disk_failed};
use crate::disk::{Disk as _, FsDisk};
use crate::founding::{check_equal, found, inspect_disk};
use crate::held_dir::same;
use crate::lock::{DirLock, LOCK_FILE};
use crate::model::{BackupReport, RestoreReport};
use crate::off_thread;

/// Name of the manifest in a backup directory.
pub const MANIFEST_FILE: &str = "backup.json";

/// Reads a whole backup and compares every file with the manifest.
///
/// # Errors
/// [`Code::NotFound`] without a manifest; [`Code::WalCorrupt`] when a file is missing, longer, shorter or different;
/// [`Code::FormatTooNew`]; [`Code::Locked`] while a backup goes there; [`Code::IoError`].
pub async fn verify(backup: &Path) -> Result<BackupReport, Error> {
    let opened = Opened::open(backup).await?;
    let result = opened.check().await;
    opened.disk.finish().await;
    result?;
    Ok(opened.manifest.report())
}

/// Builds a new data directory from a backup, which is checked first. The node starts a new history: a new replica id
/// and a new log, because the old history may have gone on elsewhere after the backup.
///
/// It is built in `<data_dir>.partial`, read back, compared, and renamed when it is whole. `node_id`: its name; `None`
/// keeps the one in the backup.
///
/// # Errors
/// [`Code::AlreadyExists`] when `data_dir` is there and not empty, or `<data_dir>.partial` is not a restore's;
/// [`Code::InvalidArgument`] when nothing can be renamed to `data_dir`, or it lies in the backup; [`Code::DiskFull`]; and
/// those of [`verify`]. What was built is removed again.
pub async fn restore(backup: &Path, data_dir: &Path, node_id: Option<NodeId>) -> Result<RestoreReport, Error> {
    let place = off_thread({
        let (backup, data_dir) = (backup.to_owned(), data_dir.to_owned());
        move || Place::find(&backup, &data_dir)
    })
    .await?;
    let opened = Opened::open(backup).await?;
    if let Err(error) = opened.check().await {
        opened.disk.finish().await;
        return Err(error);
    }
    let Opened { manifest, disk } = opened;
    let disk = AsLog::new(manifest, disk);
    let inspected = inspect_disk(&disk).await;
    disk.finish().await;
    let inspected = inspected?;
    if let Some(refusal) = inspected.report.refusal() {
        // Of the backup it is said, not of anything that lives.
        let what = format!("the backup holds a log that cannot be read: {}", refusal.what());
        let next = if refusal.code() == Code::WalCorrupt { "choose another backup" } else { refusal.next() };
        return Err(Error::new(refusal.code(), what, next));
    }
    let content = inspected.content.ok_or_else(|| {
        Error::new(Code::WalCorrupt, "the backup holds the history of no node", "choose another backup")
    })?;

    let site = off_thread(move || place.clear()).await?;
    match site.build(content, node_id).await {
        Ok(report) => {
            off_thread(move || site.finish()).await?;
            Ok(report)
        }
        Err(error) => {
            let error = building(&site.place.partial, &error);
            off_thread(move || {
                site.give_up();
                Ok(())
            })
            .await?;
            Err(error)
        }
    }
}

/// A failure of the new log, in the words of a restore.
fn building(partial: &Path, error: &Error) -> Error {
    let next = match error.code() {
        Code::DiskFull => "free some room where it is restored to, or restore to another disk; the backup is whole",
        _ => "see to the disk that it is restored to, or restore to another one; the backup is whole",
    };
    Error::new(error.code(), format!("building {}: {}", partial.display(), error.what()), next)
}

/// Where a restore goes.
struct Place {
    /// Where it goes when it is whole.
    target: PathBuf,
    partial: PathBuf,
}

/// Where a restore builds.
struct Site {
    place: Place,
    lock: DirLock,
}

fn taken(path: &Path, why: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("{} {why}", path.display()), "choose another directory, or move it away")
}

impl Place {
    /// Makes sure that `data_dir` is missing or empty, that it can be renamed to, and that it is not in the backup.
    /// Changes nothing. Blocks.
    fn find(backup: &Path, data_dir: &Path) -> Result<Self, Error> {
        let there = data_dir::exists(data_dir)?;
        if there && !is_empty_dir(data_dir)? {
            return Err(taken(data_dir, "is there already and not an empty directory"));
        }
        // The name of what is there, so that `.`, a trailing slash and a link mean the directory itself.
        let target = if there {
            data_dir.canonicalize().map_err(|error| data_dir::failed("resolving", data_dir, &error))?
        } else {
            data_dir.components().collect()
        };
        let Some(name) = target.file_name() else {
            return Err(taken(data_dir, "has no name of its own to restore to"));
        };
        if there && is_mounted(&target)? {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("{} is where a volume is mounted, and nothing can be renamed to that", target.display()),
                "restore to a directory below it, and have the node use that one",
            ));
        }
        if let Ok(source) = std::fs::metadata(backup)
            && data_dir::lies_in(data_dir, &source)?
        {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("{} lies in the backup {}", data_dir.display(), backup.display()),
                "choose a directory outside of the backup",
            ));
        }
        let mut partial = name.to_owned();
        partial.push(".partial");
        let partial = target.with_file_name(partial);
        Ok(Self { target, partial })
    }

    /// Makes an empty log directory beside the target. Blocks.
    fn clear(self) -> Result<Site, Error> {
        let partial = &self.partial;
        data_dir::make_dir(partial)?;
        let looked = |error| data_dir::failed("looking at", partial, &error);
        // Of the name itself: a link would lead to a directory of somebody else, to be emptied.
        let named = std::fs::symlink_metadata(partial).map_err(looked)?;
        data_dir::check_owner(partial, &named, rustix::process::geteuid().as_raw())?;
        let lock = DirLock::acquire(partial)?;
        if !same(&named, &lock.dir().metadata().map_err(looked)?) {
            return Err(taken(partial, "was exchanged by somebody at this moment"));
        }
        // Left behind by a restore that was cut short; anything else is somebody's.
        for name in data_dir::names(partial)? {
            if name != LOCK_FILE && name != WAL_DIR {
                return Err(taken(partial, &format!("holds {name}, which no restore has put there")));
            }
        }
        data_dir::make_empty_dir(&partial.join(WAL_DIR))?;
        Ok(Site { place: self, lock })
    }
}

impl Site {
    /// Founds the new log and reads it back.
    async fn build(&self, content: Rebuilt, node_id: Option<NodeId>) -> Result<RestoreReport, Error> {
        let (old_replica_id, wanted) = (content.replica(), content.content_hash());
        let config = Config { node_id, ..Config::default() };
        let wal = self.place.partial.join(WAL_DIR);
        found(&wal, config, content).await?;
        let built = check_equal(&wal, wanted).await?;
        Ok(RestoreReport {
            node_id: built.node_id().clone(),
            replica_id: built.replica(),
            old_replica_id,
            keys: built.store().len() as u64,
            live_bytes: built.store().live_bytes(),
        })
    }

    /// Gives it its name. Blocks.
    fn finish(self) -> Result<(), Error> {
        let Place { target, partial } = &self.place;
        match std::fs::rename(partial, target) {
            Ok(()) => data_dir::sync_parent(target),
            Err(error) => {
                let error = data_dir::failed("renaming to", target, &error);
                self.give_up();
                Err(error)
            }
        }
    }

    /// Removes what was built: it would only take room. Blocks.
    fn give_up(self) {
        let Self { place: Place { partial, .. }, lock } = self;
        let removed = std::fs::remove_dir_all(partial.join(WAL_DIR)).and_then(|()| lock.dir().remove(LOCK_FILE));
        drop(lock);
        if let Err(error) = removed.and_then(|()| std::fs::remove_dir(&partial)) {
            tracing::debug!(%error, partial = %partial.display(), "left behind; the next restore replaces it");
        }
    }
}

/// Whether a volume is mounted at a directory.
fn is_mounted(dir: &Path) -> Result<bool, Error> {
    let device = |path: &Path| {
        std::fs::metadata(path).map(|meta| meta.dev()).map_err(|error| data_dir::failed("looking at", path, &error))
    };
    let above = dir.parent().map(device).transpose()?;
    Ok(above.is_some_and(|above| Some(above) != device(dir).ok()))
}

fn is_empty_dir(path: &Path) -> Result<bool, Error> {
    let is_dir = std::fs::metadata(path).map_err(|error| data_dir::failed("looking at", path, &error))?.is_dir();
    Ok(is_dir && data_dir::names(path)?.is_empty())
}

/// A backup and what its manifest says.
struct Opened {
    manifest: Manifest,
    disk: FsDisk,
}

impl Opened {
    async fn open(backup: &Path) -> Result<Self, Error> {
        let path = backup.to_owned();
        let disk = off_thread(move || {
            let lock = DirLock::share(&path)?;
            if !data_dir::exists(&path.join(MANIFEST_FILE))? {
                return Err(Error::new(
                    Code::NotFound,
                    format!("{} holds no backup: there is no {MANIFEST_FILE}", path.display()),
                    "check the path; a backup that was cut short before its end has none",
                ));
            }
            FsDisk::open_read_only(&path, lock).map_err(|error| disk_failed(&error))
        })
        .await?;
        match Manifest::read(&disk).await {
            Ok(Some(manifest)) => Ok(Self { manifest, disk }),
            Ok(None) => Err(Error::new(Code::NotFound, "the manifest went away", "check the path")),
            Err(error) => {
                disk.finish().await;
                Err(error)
            }
        }
    }

    async fn check(&self) -> Result<(), Error> {
        let mut id = 0;
        for file in &self.manifest.files {
            let (mut whole, mut bytes) = (blake3::Hasher::new(), 0);
            for part in file.parts().into_iter().flatten() {
                id += 1;
                let mut reading = Reading::open(&self.disk, id, part.stored_as).await.map_err(|error| {
                    Error::new(Code::WalCorrupt, format!("the backup is not whole: {error}"), "choose another backup")
                })?;
                let mut hasher = blake3::Hasher::new();
                let found = reading.digest_into(&mut [&mut hasher, &mut whole], u64::MAX).await?;
                reading.close().await?;
                // Names the very part; the hash of the whole file is longer, and tells of an exchange of parts.
                part.compare(&Digested { bytes: found, hash: hasher.finalize() })?;
                bytes += found;
            }
            file.compare(&Digested { bytes, hash: whole.finalize() })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
