//! The real disk: one thread per lane, so that preparing a segment or writing a snapshot never stands before a commit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;
use softadastra_core::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, FileInfo, Lane};
use softadastra_core::wal::format::FileName;
use softadastra_core::wal::scan::Crew;
use tokio::sync::oneshot;

use super::crew::Threads;
use super::keeping::{BUSY, IDLE, Keeping};
use super::patience::Patience;
use super::{Disk, Loss};
use crate::events;
use crate::held_dir::HeldDir;
use crate::lock::DirLock;

/// The most operations waiting in one lane. A node has a handful in flight; more than this is a fault, and is told.
const MAX_WAITING: usize = 1024;

/// A larger write is for the thread of the disk.
const SMALL: usize = 64 << 10;

/// Zeros are written in pieces of this size.
const ZEROS: &[u8] = &[0; 256 << 10];

/// A directory of the file system of this machine. It is held open: all that is done in it is done in that directory,
/// and never in another one that has taken its path. Once its path leads elsewhere, nothing more is written.
#[derive(Debug)]
pub struct FsDisk {
    keeping: Arc<Keeping>,
    commit: LaneHandle,
    background: LaneHandle,
    shared: Weak<Shared>,
}

#[derive(Debug)]
struct LaneHandle {
    jobs: SyncSender<Job>,
    ended: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Job {
    op: DiskOp,
    reply: oneshot::Sender<DiskResult>,
}

/// What both threads work on. Lives until the later of them ends; the lock is let go last.
#[derive(Debug)]
struct Shared {
    dir: Arc<HeldDir>,
    keeping: Arc<Keeping>,
    read_only: bool,
    files: Mutex<BTreeMap<FileId, Arc<OpenFile>>>,
    patience: Patience,
    _lock: Option<DirLock>,
}

#[derive(Debug)]
struct OpenFile {
    name: String,
    file: File,
}

impl FsDisk {
    /// Serves `dir`, which must exist, and holds `lock` until [`Disk::finish`]. Blocks for two system calls.
    ///
    /// # Errors
    /// [`DiskError`] when the directory or a thread cannot be had.
    pub fn open(dir: &Path, lock: Option<DirLock>) -> Result<Self, DiskError> {
        Self::serve(dir, lock, false)
    }

    /// As [`Self::open`], for reading alone: files are opened so that a read-only file system serves as well, and
    /// everything that would change one fails.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read_only(dir: &Path, lock: Option<DirLock>) -> Result<Self, DiskError> {
        Self::serve(dir, lock, true)
    }

    fn serve(dir: &Path, lock: Option<DirLock>, read_only: bool) -> Result<Self, DiskError> {
        let said = |error: &io::Error| disk_error(&format!("opening directory {}", dir.display()), error);
        let held = HeldDir::open(dir).map_err(|error| said(&error))?;
        Self::serve_held(Arc::new(held), lock, read_only)
    }

    /// As [`Self::open`], of a directory that is held already.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn serve_held(dir: Arc<HeldDir>, lock: Option<DirLock>, read_only: bool) -> Result<Self, DiskError> {
        let said = |error: &io::Error| disk_error(&format!("serving directory {}", dir.path().display()), error);
        // The one with the lock as well: a log directory may be a link out of it.
        let above = lock.as_ref().map(|lock| lock.dir().clone());
        let keeping = Arc::new(Keeping::begin(above.into_iter().chain([dir.clone()]).collect())?);
        let shared = Arc::new(Shared {
            dir: dir.clone(),
            keeping: keeping.clone(),
            read_only,
            files: Mutex::new(BTreeMap::new()),
            patience: Patience::default(),
            _lock: lock,
        });
        let commit = LaneHandle::start("sada-commit", shared.clone()).map_err(|error| said(&error))?;
        let weak = Arc::downgrade(&shared);
        let background = LaneHandle::start("sada-background", shared).map_err(|error| said(&error))?;
        Ok(Self { keeping, commit, background, shared: weak })
    }
}

impl Disk for FsDisk {
    fn submit(&self, lane: Lane, op: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        let (reply, completion) = oneshot::channel();
        let lane = match lane {
            Lane::Commit => &self.commit,
            Lane::Background => &self.background,
        };
        let refused = lane.jobs.try_send(Job { op, reply }).err().map(|error| match error {
            TrySendError::Full(_) => format!("more than {MAX_WAITING} disk operations are waiting"),
            TrySendError::Disconnected(_) => "the disk thread has ended".to_owned(),
        });
        async move {
            if let Some(message) = refused {
                return Err(DiskError { kind: DiskErrorKind::Io, message });
            }
            completion.await.unwrap_or_else(|_| {
                Err(DiskError { kind: DiskErrorKind::Io, message: "the disk thread ended in mid-operation".to_owned() })
            })
        }
    }

    fn lost(&self) -> impl Future<Output = Loss> + Send + 'static {
        self.keeping.lost()
    }

    fn crew(&self) -> Option<Box<dyn Crew>> {
        Threads::of_this_machine().map(|threads| Box::new(threads) as _)
    }

    fn may_be_carried(&self, write: &DiskOp) -> bool {
        let DiskOp::Write { data, sync, .. } = write else { return false };
        data.len() <= SMALL && self.shared.upgrade().is_some_and(|shared| shared.patience.lasts(*sync))
    }

    fn carry_out(&self, write: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
        let shared = self.shared.upgrade();
        async move {
            // The threads have it as long as there is somebody to ask.
            let Some(shared) = shared else { return Err(fault("the disk threads have ended".to_owned())) };
            let sync = matches!(write, DiskOp::Write { sync: true, .. });
            shared.patience.wait_for(sync, || shared.carry_out(write))
        }
    }

    async fn finish(self) {
        let Self { keeping: _, commit, background, shared: _ } = self;
        for LaneHandle { jobs, ended } in [commit, background] {
            drop(jobs);
            // An error means that the thread is gone, which is what is waited for.
            ended.await.unwrap_or(());
        }
    }
}

impl LaneHandle {
    fn start(name: &str, shared: Arc<Shared>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(MAX_WAITING);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            serve(&shared, &queue);
            drop(shared);
            drop(end);
        })?;
        Ok(Self { jobs, ended })
    }
}

fn serve(shared: &Shared, queue: &Receiver<Job>) {
    loop {
        let Job { op, reply } = match queue.recv_timeout(IDLE) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                shared.look_around();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let result = shared.carry_out(op);
        if let Err(Err(error)) = reply.send(result) {
            events::tell!(warn, events::kinds::DISK_ERROR_UNHEARD, %error, "a disk operation failed and nobody waited for it");
        }
    }
}

impl Shared {
    fn carry_out(&self, op: DiskOp) -> DiskResult {
        let reads = matches!(op, DiskOp::List | DiskOp::Open { .. } | DiskOp::Read { .. } | DiskOp::Close { .. });
        if self.read_only && !reads {
            let message = format!("{} was opened for reading alone", self.dir.path().display());
            return Err(DiskError { kind: DiskErrorKind::Denied, message });
        }
        match op {
            _ if reads => {}
            DiskOp::Create { .. } | DiskOp::Rename { .. } | DiskOp::Remove { .. } | DiskOp::SyncDir => {
                self.keeping.look()?;
            }
            _ => self.keeping.look_every(BUSY)?,
        }
        match op {
            DiskOp::List => self.list(),
            DiskOp::Create { file, name } => {
                self.open_file(file, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, "creating")
            }
            DiskOp::Open { file, name } => {
                // Who would write must not be led out of the directory by a link.
                let how = if self.read_only { OFlags::RDONLY } else { OFlags::RDWR | OFlags::NOFOLLOW };
                self.open_file(file, name, how, "opening")
            }
            DiskOp::Read { file, offset, len } => self.file(file)?.read(offset, len).map(Completion::Data),
            DiskOp::Write { file, offset, data, sync } => {
                let open = self.file(file)?;
                open.has_a_name()?;
                open.file.write_all_at(&data, offset).map_err(|error| {
                    disk_error(&format!("writing {} bytes at {offset} of {}", data.len(), open.name), &error)
                })?;
                open.sync_if(sync)
            }
            DiskOp::Zero { file, offset, len, sync } => {
                let open = self.file(file)?;
                open.has_a_name()?;
                open.zero(offset, len).map_err(|error| {
                    disk_error(&format!("writing {len} zeros at {offset} of {}", open.name), &error)
                })?;
                open.sync_if(sync)
            }
            DiskOp::Sync { file } => self.file(file)?.sync_if(true),
            DiskOp::Close { file } => match self.lock_files().remove(&file) {
                Some(_) => Ok(Completion::Done),
                None => Err(not_open(file)),
            },
            DiskOp::Rename { from, to } => {
                let result = self.dir.rename(plain(&from)?, plain(&to)?);
                done(result, || format!("renaming {from} to {to}"))
            }
            DiskOp::Remove { name } => done(self.dir.remove(plain(&name)?), || format!("removing {name}")),
            DiskOp::SyncDir => done(self.dir.sync(), || format!("syncing directory {}", self.dir.path().display())),
        }
    }

    fn list(&self) -> DiskResult {
        let read = || -> io::Result<Vec<FileInfo>> {
            let mut files = Vec::new();
            for name in self.dir.names()? {
                let found = self.dir.look(&name)?;
                if found.kind.is_file() {
                    files.push(FileInfo { name, len: found.len });
                } else if FileName::parse(&name).is_some() {
                    // Passing it over would make the log end before it.
                    return Err(io::Error::other(format!("{name} is a link, a directory or a device, not a file")));
                }
            }
            files.sort();
            Ok(files)
        };
        let listing = read().map_err(|error| disk_error(&format!("listing {}", self.dir.path().display()), &error))?;
        Ok(Completion::Listing(listing))
    }

    fn open_file(&self, id: FileId, name: String, how: OFlags, verb: &str) -> DiskResult {
        let opened = self.dir.open_file(plain(&name)?, how).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = opened.map_err(|error| disk_error(&format!("{verb} {name}"), &error))?;
        if self.lock_files().insert(id, Arc::new(OpenFile { name, file })).is_some() {
            return Err(fault(format!("file id {} was in use", id.0)));
        }
        Ok(Completion::Opened { len })
    }

    fn file(&self, id: FileId) -> Result<Arc<OpenFile>, DiskError> {
        self.lock_files().get(&id).cloned().ok_or_else(|| not_open(id))
    }

    fn lock_files(&self) -> std::sync::MutexGuard<'_, BTreeMap<FileId, Arc<OpenFile>>> {
        // Nothing that can panic runs under this lock; were it ever poisoned, the map would still be whole.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is told what was lost learns of it; nobody else waits here.
    fn look_around(&self) {
        if !self.read_only
            && let Err(error) = self.keeping.look_every(IDLE)
        {
            tracing::debug!(%error, "a directory is served that its path does not lead to");
        }
    }
}

/// A name that stays in its directory.
fn plain(name: &str) -> Result<&str, DiskError> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if plain { Ok(name) } else { Err(fault(format!("{name:?} is not a plain file name"))) }
}

impl OpenFile {
    fn read(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let read = || -> io::Result<Vec<u8>> {
            // Bounded by what is there, so that a length from damaged bytes cannot ask for memory.
            let there = self.file.metadata()?.len().saturating_sub(offset);
            let mut buffer = vec![0; len.min(usize::try_from(there).unwrap_or(usize::MAX))];
            let mut filled = 0;
            while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
                match self.file.read_at(room, offset + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buffer.truncate(filled);
            Ok(buffer)
        };
        read()
            .map(Bytes::from)
            .map_err(|error| disk_error(&format!("reading {len} bytes at {offset} of {}", self.name), &error))
    }

    /// Refuses a file that somebody has removed: what is written to it would be found by nobody. A log writes to none of
    /// those that it removes itself.
    fn has_a_name(&self) -> Result<(), DiskError> {
        let names =
            count_names(&self.file).map_err(|error| disk_error(&format!("looking at {}", self.name), &error))?;
        if names == 0 { Err(fault(format!("{} was removed by somebody", self.name))) } else { Ok(()) }
    }

    fn zero(&self, mut offset: u64, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let piece = ZEROS.get(..usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or(ZEROS);
            self.file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
            len -= piece.len() as u64;
        }
        Ok(())
    }

    fn sync_if(&self, sync: bool) -> DiskResult {
        if sync {
            self.file.sync_data().map_err(|error| disk_error(&format!("syncing {}", self.name), &error))?;
        }
        Ok(Completion::Done)
    }
}

/// How many names a file has, and nothing else: since Linux 6.13 whoever asks for its times has the next write change them to
/// the nanosecond, and where they change every sync has them to write, too.
#[cfg(target_os = "linux")]
fn count_names(file: &File) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(found) if found.stx_mask & StatxFlags::NLINK.bits() != 0 => Ok(u64::from(found.stx_nlink)),
        // A system without this call, or a place that does not allow it.
        _ => file.metadata().map(|meta| meta.nlink()),
    }
}

#[cfg(not(target_os = "linux"))]
fn count_names(file: &File) -> io::Result<u64> {
    file.metadata().map(|meta| meta.nlink())
}

fn done(result: io::Result<()>, doing: impl FnOnce() -> String) -> DiskResult {
    result.map(|()| Completion::Done).map_err(|error| disk_error(&doing(), &error))
}

fn not_open(file: FileId) -> DiskError {
    fault(format!("file id {} is not open", file.0))
}

/// A breach of the contract by the caller.
fn fault(message: String) -> DiskError {
    DiskError { kind: DiskErrorKind::Io, message }
}

/// What the system said while `doing` something, e.g. "syncing 0000000000000001.seg".
#[must_use]
pub fn disk_error(doing: &str, error: &io::Error) -> DiskError {
    use io::ErrorKind as K;
    let too_many_files = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let kind = match error.kind() {
        _ if error.raw_os_error().is_some_and(|code| too_many_files.contains(&code)) => DiskErrorKind::TooManyFiles,
        // A limit of this process on files (`ulimit -f`, `LimitFSIZE=`): as a full disk, more room mends it.
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => DiskErrorKind::NoSpace,
        K::NotFound => DiskErrorKind::NotFound,
        K::AlreadyExists => DiskErrorKind::AlreadyExists,
        K::PermissionDenied | K::ReadOnlyFilesystem => DiskErrorKind::Denied,
        _ => DiskErrorKind::Io,
    };
    let hint =
        if error.kind() == K::FileTooLarge { ", the file size limit of this process or file system" } else { "" };
    DiskError { kind, message: format!("{doing}: {error}{hint}") }
}

#[cfg(test)]
mod tests;
