//! One process at a time on a data directory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use softadastra_core::error::{Code, Error};
use softadastra_core::transport::ticket::Ticket;

use crate::held_dir::{HeldDir, same};

/// Name of the lock file in a data directory.
pub const LOCK_FILE: &str = "LOCK";

/// The most bytes of a holder's text that are believed.
const MAX_TEXT: usize = 512;

/// How often the lock file may be exchanged while it is being locked.
const MAX_EXCHANGES: u32 = 16;

/// The exclusive right to a data directory, held by the kernel's word (`flock`): it ends with the process, however
/// that ends, and a lock file left behind means nothing.
///
/// Locked are the directory itself, which nobody can remove and make anew unseen, and the file in it, which earlier
/// versions ask for, and which holds where a file system locks no directories.
#[derive(Debug)]
pub struct DirLock {
    file: Option<File>,
    dir: Arc<HeldDir>,
    whole: Option<File>,
    /// The text in the file is ours.
    ours: bool,
}

/// Who holds a directory, as the lock file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command line, without tickets.
    pub command: String,
}

impl DirLock {
    /// Takes the lock of `dir`, without waiting, and leaves word in the lock file of who holds it.
    ///
    /// # Errors
    /// [`Code::Locked`] naming the holder; [`Code::IoError`] when the directory or the file cannot be opened or locked.
    pub fn acquire(dir: &Path) -> Result<Self, Error> {
        let held = HeldDir::open(dir).map_err(|error| failed("opening", dir, &error))?;
        let whole = take_whole(&held, FlockOperation::NonBlockingLockExclusive)?;
        let mut file = take_file(&held)?;
        let ours = is_ours_alone(&file);
        if ours {
            let text = format!("{}\n{}\n", std::process::id(), own_command());
            let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
            if let Err(error) = written {
                // The lock holds without it. A full disk must not keep anybody from reading what is there.
                tracing::debug!(%error, dir = %dir.display(), "the lock file does not name its holder");
            }
        }
        Ok(Self { file: Some(file), dir: Arc::new(held), whole, ours })
    }

    /// Keeps others from taking the lock of `dir` while it is only read, and changes nothing there. `None` when there is
    /// no such directory.
    ///
    /// # Errors
    /// [`Code::Locked`] naming the holder; [`Code::IoError`] when the directory or the file cannot be opened or locked.
    pub fn share(dir: &Path) -> Result<Option<Self>, Error> {
        const SHARED: FlockOperation = FlockOperation::NonBlockingLockShared;
        let held = match HeldDir::open(dir) {
            Ok(held) => held,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("opening", dir, &error)),
        };
        let whole = take_whole(&held, SHARED)?;
        let path = dir.join(LOCK_FILE);
        let mut file = match held.open_file(LOCK_FILE, OFlags::RDONLY | OFlags::NOFOLLOW) {
            Ok(file) => Some(file),
            // As in a directory that was never opened.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("opening", &path, &error)),
        };
        match file.as_mut().map(|file| (flock(&*file, SHARED), file)) {
            None | Some((Ok(()), _)) => Ok(Some(Self { file, dir: Arc::new(held), whole, ours: false })),
            Some((Err(Errno::WOULDBLOCK), file)) => Err(locked(dir, read_holder(file).as_ref())),
            Some((Err(error), _)) => Err(failed("locking", &path, &error.into())),
        }
    }

    /// Who holds `dir` at this moment, if anybody. `None` also when that cannot be told.
    #[must_use]
    pub fn holder(dir: &Path) -> Option<Holder> {
        let mut file = open_to_read(dir).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => read_holder(&mut file),
            Ok(()) | Err(_) => None,
        }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Arc<HeldDir> {
        &self.dir
    }
}

fn open_to_read(dir: &Path) -> std::io::Result<File> {
    HeldDir::open(dir)?.open_file(LOCK_FILE, OFlags::RDONLY | OFlags::NOFOLLOW)
}

/// Locks the directory itself; `None` where the file system locks files only.
fn take_whole(held: &HeldDir, how: FlockOperation) -> Result<Option<File>, Error> {
    let whole = held.reopen().map_err(|error| failed("opening", held.path(), &error))?;
    match flock(&whole, how) {
        Ok(()) => Ok(Some(whole)),
        Err(Errno::WOULDBLOCK) => {
            let holder = open_to_read(held.path()).ok().and_then(|mut file| read_holder(&mut file));
            Err(locked(held.path(), holder.as_ref()))
        }
        Err(error) => {
            tracing::debug!(%error, dir = %held.path().display(), "the lock file alone keeps others out");
            Ok(None)
        }
    }
}

/// Locks the lock file, made if it is missing. A link is not followed, and the name must still be that of the file that
/// was locked.
fn take_file(held: &HeldDir) -> Result<File, Error> {
    let path = held.path().join(LOCK_FILE);
    let how = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
    for _ in 0..MAX_EXCHANGES {
        // Not truncated here: until the lock is ours, the text is another's.
        let mut file = held.open_file(LOCK_FILE, how).map_err(|error| failed("opening", &path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(locked(held.path(), read_holder(&mut file).as_ref())),
            Err(error) => return Err(failed("locking", &path, &error.into())),
        }
        let named = held.open_file(LOCK_FILE, how).and_then(|named| same_file(&named, &file));
        if named.map_err(|error| failed("opening", &path, &error))? {
            return Ok(file);
        }
    }
    Err(locked(held.path(), None))
}

fn same_file(one: &File, other: &File) -> std::io::Result<bool> {
    Ok(same(&one.metadata()?, &other.metadata()?))
}

/// Whether the file is this user's and has no other name: only then is anything written to it.
fn is_ours_alone(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.uid() == rustix::process::geteuid().as_raw() && meta.nlink() == 1)
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Best effort: an old text misleads nobody, because only a held lock makes anybody read it.
        if self.ours
            && let Some(file) = &self.file
        {
            file.set_len(0).unwrap_or(());
        }
        // Closing the files would do, but for a child that is just being started: it holds all files of this process until it
        // has become another program. Where that fails, closing still does.
        for file in [&self.file, &self.whole].into_iter().flatten() {
            flock(file, FlockOperation::Unlock).unwrap_or(());
        }
    }
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Code::IoError,
        format!("{doing} {}: {error}", path.display()),
        "check that this user may write to the data directory and that its file system supports flock",
    )
}

fn locked(dir: &Path, holder: Option<&Holder>) -> Error {
    let who = match holder {
        Some(Holder { pid, command }) if *pid == std::process::id() => format!("this process ({pid}: {command})"),
        Some(Holder { pid, command }) => format!("process {pid} ({command})"),
        None => "another process".to_owned(),
    };
    Error::new(
        Code::Locked,
        format!("data directory {} is in use by {who}", dir.display()),
        "wait for that process or stop it, or choose another directory; a node that runs there is reached over its \
         control.sock",
    )
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.take(MAX_TEXT as u64).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (pid, command) = text.split_once('\n')?;
    // Earlier versions left word with the tickets in it.
    let command = Ticket::hide_in(&printable(command.lines().next().unwrap_or_default())).into_owned();
    Some(Holder { pid: pid.parse().ok()?, command })
}

fn own_command() -> String {
    told(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))
}

/// A command line as others may read it: a ticket in it holds the secret of a network.
fn told(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|word| Ticket::hide_in(&joined(&word)).into_owned()).collect();
    let mut line = printable(&words.join(" "));
    while line.len() > MAX_TEXT - 32 {
        line.pop();
    }
    line
}

/// A word in which a ticket was broken over lines, in one piece; any other as it is.
fn joined(word: &str) -> String {
    match Ticket::hide_in(word) {
        Cow::Owned(_) => word.split_whitespace().collect(),
        Cow::Borrowed(_) => word.to_owned(),
    }
}

/// Without control characters: the text ends up on somebody's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Path of the lock file of a data directory.
#[must_use]
pub fn lock_path(dir: &Path) -> PathBuf {
    dir.join(LOCK_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that is being started holds what this process has open until it has become the other program.
    #[test]
    fn who_lets_go_of_the_lock_frees_it_whoever_else_holds_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        let inherited = [&lock.file, &lock.whole].map(|file| file.as_ref().unwrap().try_clone().unwrap());
        drop(lock);
        let again = DirLock::acquire(dir.path()).unwrap();
        drop(inherited);
        assert_eq!(DirLock::acquire(dir.path()).unwrap_err().code(), Code::Locked);
        drop(again);
    }

    #[test]
    fn the_second_is_refused_by_name_and_admitted_after_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        let error = DirLock::acquire(dir.path()).unwrap_err();
        assert_eq!(error.code(), Code::Locked);
        let pid = std::process::id();
        assert!(error.what().contains(&format!("this process ({pid}: ")), "{error}");
        let holder = DirLock::holder(dir.path()).unwrap();
        assert_eq!(holder.pid, pid);
        assert!(holder.command.contains("softadastra"), "{holder:?}");
        drop(first);
        DirLock::acquire(dir.path()).unwrap();
        assert_eq!(DirLock::holder(dir.path()), None);
    }

    #[test]
    fn a_lock_file_that_is_removed_or_exchanged_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(dir.path()).unwrap();
        std::fs::remove_file(lock_path(dir.path())).unwrap();
        assert_eq!(DirLock::acquire(dir.path()).unwrap_err().code(), Code::Locked);
        std::fs::write(lock_path(dir.path()), "").unwrap();
        assert_eq!(DirLock::acquire(dir.path()).unwrap_err().code(), Code::Locked);
        assert_eq!(DirLock::share(dir.path()).unwrap_err().code(), Code::Locked);
        drop(first);
        let reader = DirLock::share(dir.path()).unwrap();
        assert!(reader.is_some());
        std::fs::remove_file(lock_path(dir.path())).unwrap();
        assert_eq!(DirLock::acquire(dir.path()).unwrap_err().code(), Code::Locked);
        drop(reader);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_lock_file_that_is_a_link_or_has_two_names_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "do not touch").unwrap();
        std::os::unix::fs::symlink(&precious, lock_path(dir.path())).unwrap();
        assert_eq!(DirLock::acquire(dir.path()).unwrap_err().code(), Code::IoError);
        std::fs::remove_file(lock_path(dir.path())).unwrap();
        std::fs::hard_link(&precious, lock_path(dir.path())).unwrap();
        drop(DirLock::acquire(dir.path()).unwrap());
        assert_eq!(std::fs::read(&precious).unwrap(), b"do not touch");
    }

    #[test]
    fn another_process_is_named_with_its_command() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(lock_path(dir.path()), "").unwrap();
        // flock(1) holds the lock and tells when it has it.
        let mut child = std::process::Command::new("flock")
            .arg(lock_path(dir.path()))
            .args(["sh", "-c", "printf '%s\\nsome\\033command\\n' $PPID > \"$0\"; echo held; read _"])
            .arg(lock_path(dir.path()))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        let error = DirLock::acquire(dir.path()).unwrap_err();
        assert!(error.what().ends_with(&format!("is in use by process {} (some command)", child.id())), "{error}");
        drop(child.stdin.take());
        child.wait().unwrap();
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn no_ticket_is_told() {
        let words = ["softadastra", "--set", "peers=SADticketabc,b:1", "join", " sadticketabc\ndef "];
        let line = told(words.iter().map(ToString::to_string));
        assert_eq!(line, "softadastra --set peers=SADticket…,b:1 join sadticket…");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(lock_path(dir.path()), "7\nnode start --peer sadticketaearkj3v --json\n").unwrap();
        let mut left = File::open(lock_path(dir.path())).unwrap();
        assert_eq!(read_holder(&mut left).unwrap().command, "node start --peer sadticket… --json");
    }

    #[test]
    fn a_lock_file_left_behind_means_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(lock_path(dir.path()), "1\ninit\n").unwrap();
        assert_eq!(DirLock::holder(dir.path()), None);
        let lock = DirLock::acquire(dir.path()).unwrap();
        assert_eq!(DirLock::holder(dir.path()).map(|holder| holder.pid), Some(std::process::id()));
        drop(lock);
    }
}
