//! The data directory: what must be true of it before a node opens there, said by name when it is not.
//!
//! ```text
//! <dir>/LOCK               one process at a time
//! <dir>/wal/               the log: the one directory that a disk serves
//! <dir>/network.json       who the node is to others; made when the log was founded, so never without one
//! <dir>/wal.damaged-<n>/   logs set aside by a repair
//! <dir>/wal.new/           a log that a repair is building
//! ```

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use softadastra_core::disk::{DiskError, DiskErrorKind};
use softadastra_core::error::{Code, Error, LocalState};

use crate::events;
use crate::held_dir::{HeldDir, same};
use crate::lock::DirLock;
use crate::network;

/// Name of the log directory.
pub(crate) const WAL_DIR: &str = "wal";
/// Name of the log directory that a repair is building.
pub(crate) const NEW_WAL_DIR: &str = "wal.new";
/// What names of logs set aside begin with.
pub(crate) const DAMAGED_PREFIX: &str = "wal.damaged-";

/// A data directory that is ours, locked, with its log directory in place.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The lock, to be held as long as anything is open.
    pub(crate) lock: DirLock,
    /// The log directory, which exists.
    pub(crate) wal: PathBuf,
    /// The same, held open.
    pub(crate) held: Arc<HeldDir>,
}

/// Checks `dir`, creates what is missing when `create`, locks it, and finishes a repair that was cut short between its
/// two renames. Blocks; call it off the async threads.
///
/// # Errors
/// [`Code::NotFound`] when it, or a log in it, is missing and `create` is off; [`Code::InvalidArgument`] when it is not
/// a directory; [`Code::InvalidState`] when it is another user's, or its log was taken away; [`Code::IoError`] when it
/// cannot be read or written; [`Code::DiskFull`]; [`Code::Locked`].
pub(crate) fn prepare(dir: &Path, create: bool) -> Result<Prepared, Error> {
    let meta = match std::fs::metadata(dir) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => make_dir(dir)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::new(
                Code::NotFound,
                format!("data directory {} does not exist", dir.display()),
                "check the path, or create it with `softadastra init` or by opening with `create`",
            ));
        }
        Err(error) => return Err(failed("looking at", dir, &error)),
    };
    check_owner(dir, &meta, rustix::process::geteuid().as_raw())?;
    let lock = DirLock::acquire(dir)?;
    let wal = dir.join(WAL_DIR);
    if !exists(&wal)? {
        if !adopt_repaired(dir, &wal)? {
            if !create {
                return Err(Error::new(
                    Code::NotFound,
                    format!("data directory {} holds no log", dir.display()),
                    "check the path, or start a new node there with `softadastra init` or by opening with `create`",
                ));
            }
            make_dir(&wal)?;
        }
    } else if !std::fs::metadata(&wal).map_err(|error| failed("looking at", &wal, &error))?.is_dir() {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("{} is not a directory", wal.display()),
            "move it away, or choose another data directory",
        ));
    }
    let held = lock.dir().open_dir(WAL_DIR).map_err(|error| failed("opening", &wal, &error))?;
    Ok(Prepared { lock, wal, held: Arc::new(held) })
}

/// Whether a node has come up in `dir` before: it left its book there. A `dir` that cannot be looked at is for
/// [`prepare`] to judge.
pub(crate) fn has_run(dir: &Path) -> bool {
    exists(&dir.join(network::FILE_NAME)).unwrap_or(false)
}

/// Why a directory in which a node has run is not opened without its log.
pub(crate) fn lost_log(dir: &Path) -> Error {
    Error::new(
        Code::InvalidState,
        format!(
            "a node has run in {}, which holds its {}, but its log in {WAL_DIR}/ is missing or empty",
            dir.display(),
            network::FILE_NAME
        ),
        "if a volume was not mounted, mount it; else restore a backup into another directory and put network.json there, \
         or have the node begin anew with `softadastra init --new-history --node-id NAME`: it keeps its key, and takes \
         back what its peers hold",
    )
    .with_local(LocalState::Damaged)
}

/// Refuses what is not a directory, and what belongs to another user than `me`: files made there now could not be
/// read by the node of that user, or would be at that user's mercy.
pub(crate) fn check_owner(dir: &Path, meta: &Metadata, me: u32) -> Result<(), Error> {
    if !meta.is_dir() {
        return Err(Error::new(
            Code::InvalidArgument,
            format!("data directory {} is not a directory", dir.display()),
            "choose another path, or move that file away",
        ));
    }
    if meta.uid() != me {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "data directory {} belongs to the user with id {}, and this process runs as the one with id {me}",
                dir.display(),
                meta.uid()
            ),
            "run as the owner, or give the directory and all in it to this user with chown",
        ));
    }
    Ok(())
}

/// Creates `dir` and the missing ones above it, for this user alone, so that they survive a crash.
pub(crate) fn make_dir(dir: &Path) -> Result<Metadata, Error> {
    let mut missing = Vec::new();
    let mut at = Some(dir);
    while let Some(path) = at {
        // The parent of a relative path of one part is the empty path: the working directory, which exists.
        if path.as_os_str().is_empty() || exists(path)? {
            break;
        }
        missing.push(path);
        at = path.parent();
    }
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("creating", path, &error)),
        }
        sync_parent(path)?;
    }
    std::fs::metadata(dir).map_err(|error| failed("looking at", dir, &error))
}

/// An empty directory in the place of whatever a former attempt left at `dir`.
///
/// # Errors
/// [`Code::IoError`]; [`Code::DiskFull`].
pub(crate) fn make_empty_dir(dir: &Path) -> Result<(), Error> {
    if exists(dir)? {
        std::fs::remove_dir_all(dir).map_err(|error| failed("removing", dir, &error))?;
    }
    make_dir(dir).map(drop)
}

/// Makes the name of `path` in its directory durable.
///
/// # Errors
/// [`Code::IoError`].
pub(crate) fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| failed("syncing", parent, &error))
}

/// A repair renames the damaged log away and then the new one, which is complete by then, into its place. If it was
/// cut short in between, finish it; a damaged log with nothing to replace it must never lead to an empty node.
fn adopt_repaired(dir: &Path, wal: &Path) -> Result<bool, Error> {
    let aside = set_aside(dir)?;
    let Some(latest) = aside.last() else { return Ok(false) };
    let built = dir.join(NEW_WAL_DIR);
    if !exists(&built)? {
        return Err(Error::new(
            Code::InvalidState,
            format!("data directory {} holds {DAMAGED_PREFIX}{latest} but no log", dir.display()),
            "restore a backup into another directory, or rename the one set aside back to `wal` and repair it again",
        ));
    }
    std::fs::rename(&built, wal).map_err(|error| failed("renaming", &built, &error))?;
    sync_parent(wal)?;
    events::tell!(info, events::kinds::REPAIR_FINISHED, dir = %dir.display(), "finished a repair that was cut short");
    Ok(true)
}

/// Numbers of the logs set aside by repairs, rising.
///
/// # Errors
/// [`Code::IoError`].
pub(crate) fn set_aside(dir: &Path) -> Result<Vec<u64>, Error> {
    let names = names(dir)?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_prefix(DAMAGED_PREFIX)?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a directory holds. Names that are not Unicode come out mangled.
///
/// # Errors
/// [`Code::IoError`].
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let read = || -> io::Result<Vec<String>> {
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    read().map_err(|error| failed("listing", dir, &error))
}

/// Whether there is anything of this name.
///
/// # Errors
/// [`Code::IoError`] when that cannot be told.
pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => Ok(false),
        Err(error) => Err(failed("looking at", path, &error)),
    }
}

/// Whether `path`, or as much of it as there is, is `dir` or lies in it, whatever links and mounts lead there.
///
/// # Errors
/// [`Code::IoError`] when that cannot be told.
pub(crate) fn lies_in(path: &Path, dir: &Metadata) -> Result<bool, Error> {
    let full = std::path::absolute(path).map_err(|error| failed("finding", path, &error))?;
    let mut there = full.as_path();
    let found = loop {
        match (there.canonicalize(), there.parent()) {
            (Ok(found), _) => break found,
            (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => there = above,
            (Err(error), _) => return Err(failed("resolving", there, &error)),
        }
    };
    for above in found.ancestors() {
        if same(&std::fs::metadata(above).map_err(|error| failed("looking at", above, &error))?, dir) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Room on the disk of `dir` for who is not root, in bytes.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(dir).ok()?;
    Some(room.f_bavail * room.f_frsize)
}

/// A failure of the file system, in words for people.
pub(crate) fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind as K;
    let (code, next) = match error.kind() {
        K::StorageFull | K::QuotaExceeded => (Code::DiskFull, "free some room and try again"),
        K::PermissionDenied => {
            (Code::IoError, "give this user the right to read and write there, or choose another directory")
        }
        K::ReadOnlyFilesystem => (Code::IoError, "mount it for writing, or choose another directory"),
        K::ResourceBusy => (Code::IoError, "something uses it, or is mounted there; choose another, or one below it"),
        K::NotADirectory => (Code::InvalidArgument, "choose another path: a part of this one is a file"),
        _ => (Code::IoError, "check the file system and the kernel log"),
    };
    Error::new(code, format!("{doing} {}: {error}", path.display()), next)
}

/// A failure of a disk, in words for people.
pub(crate) fn disk_failed(error: &DiskError) -> Error {
    let (code, next) = match error.kind {
        DiskErrorKind::NoSpace => (Code::DiskFull, "free some room and try again"),
        DiskErrorKind::TooManyFiles => (Code::IoError, "close files or raise the limit on open files, and try again"),
        DiskErrorKind::Denied => (Code::IoError, "give this user the right to read and write there"),
        DiskErrorKind::NotFound | DiskErrorKind::AlreadyExists | DiskErrorKind::Io => {
            (Code::IoError, "check the file system and the kernel log")
        }
    };
    Error::new(code, error.message.clone(), next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn code(result: Result<Prepared, Error>) -> Code {
        let error = result.unwrap_err();
        assert!(!error.next().is_empty(), "{error} does not say what to do");
        error.code()
    }

    #[test]
    fn a_missing_directory_is_created_private_or_refused() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a/b/c");
        assert_eq!(code(prepare(&dir, false)), Code::NotFound);
        assert!(!top.path().join("a").exists(), "a refusal must leave nothing behind");
        let prepared = prepare(&dir, true).unwrap();
        assert_eq!(prepared.wal, dir.join("wal"));
        for path in [dir.clone(), dir.join("wal"), top.path().join("a")] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "{path:?}");
        }
        assert_eq!(code(prepare(&dir, true)), Code::Locked);
        drop(prepared);
        prepare(&dir, false).unwrap();
    }

    #[test]
    fn a_directory_without_a_log_is_not_a_node() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(code(prepare(dir.path(), false)), Code::NotFound);
        assert!(!dir.path().join("wal").exists());
    }

    #[test]
    fn what_is_not_a_directory_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(code(prepare(&file, true)), Code::InvalidArgument);
        assert_eq!(code(prepare(&file.join("below"), true)), Code::InvalidArgument);
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
        let dir = top.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("wal"), "").unwrap();
        assert_eq!(code(prepare(&dir, true)), Code::InvalidArgument);
    }

    #[test]
    fn another_users_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let meta = std::fs::metadata(dir.path()).unwrap();
        check_owner(dir.path(), &meta, meta.uid()).unwrap();
        let error = check_owner(dir.path(), &meta, meta.uid() + 1).unwrap_err();
        assert_eq!(error.code(), Code::InvalidState);
        assert!(error.what().contains(&format!("user with id {}", meta.uid())), "{error}");
    }

    #[test]
    fn an_unwritable_place_is_refused_with_what_to_do() {
        // Not even root may create a directory here.
        let error = prepare(Path::new("/proc/self/softadastra"), true).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::IoError);
        assert!(error.what().starts_with("creating /proc/self/softadastra: "), "{error}");
        let denied = failed("opening", Path::new("/x"), &io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(denied.next().contains("right to read and write"), "{denied}");
        assert_eq!(failed("x", Path::new("/x"), &io::Error::from(io::ErrorKind::StorageFull)).code(), Code::DiskFull);
    }

    #[test]
    fn a_repair_cut_short_is_finished_and_never_replaced_by_an_empty_log() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("wal.damaged-2")).unwrap();
        std::fs::create_dir(dir.path().join("wal.damaged-10")).unwrap();
        let error = prepare(dir.path(), true).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidState);
        assert!(error.what().contains("wal.damaged-10"), "{error}");
        let built = dir.path().join("wal.new");
        std::fs::create_dir(&built).unwrap();
        std::fs::write(built.join("marker"), "").unwrap();
        let prepared = prepare(dir.path(), false).unwrap();
        assert!(prepared.wal.join("marker").exists() && !built.exists());
    }
}
