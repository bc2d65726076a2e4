//! A directory that is held open: what is done by name in it reaches that very directory, wherever it was moved to, and
//! never another one that has taken its path.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat};
use softadastra_core::error::{Code, Error, LocalState};

/// A directory, and the path by which it was found.
#[derive(Debug)]
pub(crate) struct HeldDir {
    path: PathBuf,
    dir: File,
}

/// Why the path of a directory does not lead to it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The directory was removed.
    Deleted,
    /// There is nothing at the path.
    Moved,
    /// There is another directory at the path: that of somebody else, or of a volume that was mounted.
    Replaced,
}

/// What a name in a directory stands for; a link stands for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) kind: FileType,
    pub(crate) len: u64,
}

impl HeldDir {
    /// Holds the directory that `path` names now.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let dir = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path: path.to_owned(), dir: dir.into() })
    }

    /// Holds a directory in this one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn open_dir(&self, name: &str) -> io::Result<Self> {
        let dir = openat(&self.dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path: self.path.join(name), dir: dir.into() })
    }

    /// The path by which it was found.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory it is.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.dir.metadata()
    }

    /// Opens a file, for its owner alone if that creates it. Anything but a file is refused, and waited for by nobody: a
    /// pipe would have its opener wait for the other end.
    ///
    /// # Errors
    /// Those of the operating system, and [`io::ErrorKind::InvalidInput`] for what is no file.
    pub(crate) fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?);
        only_a_file(&file.metadata()?)?;
        Ok(file)
    }

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.dir, from, &self.dir, to)?)
    }

    /// Removes a name of a file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    /// Makes a name its owner's alone to use.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn restrict(&self, name: &str) -> io::Result<()> {
        Ok(chmodat(&self.dir, name, Mode::RUSR | Mode::WUSR, AtFlags::empty())?)
    }

    /// What there is of this name.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn look(&self, name: &str) -> io::Result<Found> {
        let stat = statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Found { kind: FileType::from_raw_mode(stat.st_mode), len: u64::try_from(stat.st_size).unwrap_or(0) })
    }

    /// All names. Those that are not Unicode come out mangled.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.dir.sync_all()
    }

    /// The directory under a descriptor of its own, for a lock that ends with it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        Ok(self.open_dir(".")?.dir)
    }

    /// What became of the directory's path, if it no longer leads here. A path that cannot be looked at tells nothing.
    pub(crate) fn lost(&self) -> Option<Lost> {
        let here = self.dir.metadata().ok()?;
        if here.nlink() == 0 {
            return Some(Lost::Deleted);
        }
        match std::fs::metadata(&self.path) {
            Ok(there) if same(&here, &there) => None,
            Ok(_) => Some(Lost::Replaced),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Some(Lost::Moved)
            }
            Err(_) => None,
        }
    }

    /// Refuses when the directory's path does not lead here any more.
    ///
    /// # Errors
    /// [`Code::IoError`] saying what became of it.
    pub(crate) fn in_place(&self) -> Result<(), Error> {
        match self.lost() {
            None => Ok(()),
            Some(lost) => Err(Error::new(Code::IoError, format!("{} {lost}", self.path.display()), lost.next())
                .with_local(lost.local())),
        }
    }
}

/// Whether both are the same file or directory.
pub(crate) fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Refuses what is a directory, a pipe, a socket or a device.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`].
pub(crate) fn only_a_file(meta: &Metadata) -> io::Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file, but a directory, a pipe, a socket or a device"))
}

impl Lost {
    /// The stable name, as programs see it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Moved => "moved",
            Self::Replaced => "replaced",
        }
    }

    /// What became of the data in it.
    pub(crate) const fn local(self) -> LocalState {
        match self {
            Self::Deleted => LocalState::Damaged,
            Self::Moved | Self::Replaced => LocalState::Valid,
        }
    }

    /// What whoever sees to it should do.
    pub(crate) const fn next(self) -> &'static str {
        match self {
            Self::Deleted => {
                "what this node holds is in its memory alone: fetch it over its HTTP port or from its peers before it is \
                 stopped, else restore a backup"
            }
            Self::Moved | Self::Replaced => {
                "everything answered is whole in the directory that this node holds, wherever it was moved to or under \
                 whatever was mounted: stop this node, then start it where that directory is, or on the one that is here \
                 now"
            }
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "was deleted",
            Self::Moved => "is not there any more",
            Self::Replaced => {
                "is another directory now: this one was moved and another put in its place, or a volume was mounted over it"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_by_name_follows_the_directory_and_not_its_path() {
        let top = tempfile::tempdir().unwrap();
        let (path, moved) = (top.path().join("d"), top.path().join("d.old"));
        std::fs::create_dir(&path).unwrap();
        let held = HeldDir::open(&path).unwrap();
        assert_eq!(held.lost(), None);
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(held.lost(), Some(Lost::Moved));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("theirs"), "x").unwrap();
        assert_eq!(held.lost(), Some(Lost::Replaced));
        drop(held.open_file("ours", OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL).unwrap());
        assert_eq!(held.names().unwrap(), ["ours"]);
        held.rename("ours", "mine").unwrap();
        assert!(moved.join("mine").exists() && !path.join("mine").exists());
        assert!(held.remove("theirs").is_err() && path.join("theirs").exists());
        held.remove("mine").unwrap();
        std::fs::remove_dir(&moved).unwrap();
        assert_eq!(held.lost(), Some(Lost::Deleted));
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let top = tempfile::tempdir().unwrap();
        assert!(std::process::Command::new("mkfifo").arg(top.path().join("pipe")).status().unwrap().success());
        let held = HeldDir::open(top.path()).unwrap();
        for flags in [OFlags::RDONLY, OFlags::RDWR] {
            assert_eq!(held.open_file("pipe", flags).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
