//! The async client: a handle on an open node.

pub(crate) mod discovery;
mod known;
mod sync;
mod transport;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Node, Start, Write, Written};
use softadastra_core::time::Now;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use self::transport::Network;
use crate::batch::Batch;
use crate::data_dir::{self, Prepared, WAL_DIR};
use crate::disk::{Disk, FsDisk};
use crate::driver::{self, Command, Driver, Files, FilesJob, Reach, Writing, bring_up, closed};
use crate::held_dir::HeldDir;
use crate::measures::Measures;
use crate::model::{
    BackupReport, Copies, Item, NodeInfo, Page, RecoveryReport, ScanOptions, SnapshotReport, Status, Value,
};
use crate::network::Book;
use crate::options::ClientOptions;
use crate::tools::{self, Inspection};
use crate::watch::{Events, Watch};
use crate::world::{Clock, Net, World};
use crate::{backup, events, off_thread};

/// Items of a page for which room is made before any are found.
const LISTED_AT_ONCE: usize = 128;

/// A handle on an open node. Clones share it.
///
/// Reads answer from memory at once. Writes answer when they are as durable as the options ask for; a future that is
/// dropped before that leaves its write to be carried out, or not, like one whose answer was lost.
///
/// A write that finds no other on its way goes to the disk in the thread that polls it, which stands still for as long: for
/// one without a sync while writes take less than 10 ms or so; for one with a sync only in a runtime of several threads,
/// while syncs take less than 2 ms or so, and for one node of the process at a time. What several have written goes there in
/// one frame, up to 64 KiB of it in the same way as long as the node has no links, in the thread that runs the node at that
/// moment. Everything else waits without holding a thread.
///
/// [`Client::close`] ends the node in order. When the last clone is dropped without it, the node finishes what it has
/// accepted and closes in the background, as long as the runtime lives. Nothing that was answered is lost either way.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    reach: Reach,
    /// One permit per byte of writes under way.
    room: Arc<Semaphore>,
    room_bytes: u32,
    data_dir: Option<PathBuf>,
    held: Option<Arc<HeldDir>>,
    report: RecoveryReport,
    book: Book,
    network: Network,
    /// Dropping the runtime stops the loop; dropping the client lets it close by itself.
    tasks: Mutex<JoinSet<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).detach_all();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("data_dir", &self.inner.data_dir).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a node on this machine. Needs a tokio runtime with time enabled, and I/O for links to other nodes.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] (an option, or a path that is not a directory); [`Code::NotFound`] (no directory, or no
    /// data in it, and `create` is off); [`Code::InvalidState`] (another user's directory, or one whose log was lost); [`Code::Locked`] naming the
    /// holder; [`Code::WalCorrupt`] naming file, offset and LSN range; [`Code::FormatTooNew`]; [`Code::DiskFull`];
    /// [`Code::IoError`]. After each of them the directory is as it was, or can be opened again.
    pub async fn open(options: ClientOptions) -> Result<Self, Error> {
        options.validate()?;
        let Some(dir) = options.dir.clone() else {
            return Self::open_with(World::real(None::<FsDisk>)?, options).await;
        };
        let has_run = !options.new_history && data_dir::has_run(&dir);
        let create = options.create && !has_run;
        let opened = match open_disk(dir.clone(), create, options.lock_wait).await {
            Ok((disk, held)) => Self::open_in(World::real(Some(disk))?, options.create(create), Some(held)).await,
            Err(error) => Err(error),
        };
        match opened {
            Err(error) if has_run && error.code() == Code::NotFound => Err(data_dir::lost_log(&dir)),
            opened => opened,
        }
    }

    /// Opens a node in a world of the caller's: a simulated disk, another clock. Of the options, the directory is only
    /// shown, and nothing waits for a lock.
    ///
    /// # Errors
    /// As [`Client::open`], without those about the directory.
    pub async fn open_with<D: Disk, C: Clock, N: Net>(
        world: World<D, C, N>,
        options: ClientOptions,
    ) -> Result<Self, Error> {
        Self::open_in(world, options, None).await
    }

    /// As [`Self::open_with`]; the book of `held` takes the place of the world's.
    async fn open_in<D: Disk, C: Clock, N: Net>(
        world: World<D, C, N>,
        options: ClientOptions,
        held: Option<Arc<HeldDir>>,
    ) -> Result<Self, Error> {
        let World { disk, clock, net, mut book, seed, mut surroundings } = world;
        if disk.is_none() && options.dir.is_some() {
            return Err(Error::new(
                Code::InvalidArgument,
                "the options name a data directory, and the world has no disk",
                "give the world a disk, or use ClientOptions::memory_only",
            ));
        }
        let ClientOptions { dir, create, display_name, config, lock_wait: _, new_history: _ } = options;
        let room_bytes = u32::try_from(config.max_pending_bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let start = if create || dir.is_none() { Start::OpenOrCreate } else { Start::OpenExisting };
        let began = clock.now().mono;
        let mut opened = match bring_up(disk.as_ref(), &clock, seed, config, start).await {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(disk) = disk {
                    disk.finish().await;
                }
                return Err(error);
            }
        };
        // Only now: where there is a book there must have been a log.
        if let Some(dir) = held.clone() {
            book = off_thread(move || Ok(Book::open(dir, &seed))).await?;
        }
        let report = RecoveryReport::new(opened.report.clone(), clock.now().mono.since(began));
        if !display_name.is_empty() {
            surroundings.display_name = display_name;
        }
        opened.node_mut().refresh_metadata(surroundings);
        let info = NodeInfo::of(opened.node(), clock.now(), report.log_id, dir.as_deref());
        let span = events::span(&info.node_id);
        span.in_scope(|| events::started(&info, &report));

        let (driver, reach) = Driver::new(opened, disk, Arc::new(clock), net, book.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run().instrument(span));
        let room = Arc::new(Semaphore::new(room_bytes as usize));
        let tasks = Mutex::new(tasks);
        let network = Network::default();
        let inner = Inner { reach, room, room_bytes, data_dir: dir, held, report, book, network, tasks };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes what was accepted durable, ends the log with a mark of a clean close and lets go of the directory: when this
    /// returns, another process can open it. A running backup is cut short. Closing twice is not an error.
    ///
    /// # Errors
    /// [`Code::Degraded`] when the disk has failed, now or before: what was answered is there, but the next opening will
    /// be a recovery.
    pub async fn close(&self) -> Result<(), Error> {
        let (answer, reply) = oneshot::channel();
        match self.ask(Command::Close { answer }, reply).await {
            // Another call closed it first.
            Err(error) if error.code() == Code::InvalidState => Ok(()),
            result => result,
        }
    }

    /// Completes when the node has closed, whoever closed it, or has stopped.
    pub async fn closed(&self) {
        let mut published = self.inner.reach.published.clone();
        while published.changed().await.is_ok() {}
    }

    /// Sets a value. The one that is there already writes nothing ([`Batch::touch`] writes it again).
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] (key not 1 to 1024 bytes, or the value too long); [`Code::Degraded`] (nothing was
    /// written); [`Code::IoError`] and [`Code::DiskFull`] (nothing was written, unless [`Error::local`] says
    /// [`LocalState::Unknown`](softadastra_core::error::LocalState::Unknown): the disk failed under this very write, and
    /// reopening tells whether it is kept); [`Code::InvalidState`] (closed).
    pub async fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<Written, Error> {
        self.write_one(Write::Put { key: key.into(), value: value.into(), expect: None, touch: false }).await
    }

    /// Sets a value if the key is at `version`, as [`Value::version`] or [`Written::version`] said; 0 means that it must
    /// be absent.
    ///
    /// # Errors
    /// [`Code::VersionMismatch`] when it is not, with nothing written; and those of [`Client::put`].
    pub async fn put_if_version(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        version: u64,
    ) -> Result<Written, Error> {
        self.write_one(Write::Put { key: key.into(), value: value.into(), expect: Some(version), touch: false }).await
    }

    /// Deletes a key. An absent one writes nothing.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn remove(&self, key: impl Into<Bytes>) -> Result<Written, Error> {
        self.write_one(Write::Delete { key: key.into(), expect: None }).await
    }

    /// Carries out a batch, atomically: one answer per write, in order.
    ///
    /// # Errors
    /// As [`Client::put`] and [`Client::put_if_version`]; also [`Code::InvalidArgument`] for a batch that is empty or has
    /// more than 65,536 writes.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Written>, Error> {
        self.write(batch.writes).await
    }

    /// Reads a value. Waits for no disk and no queue.
    ///
    /// # Errors
    /// [`Code::InvalidState`] once closed.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        self.read(|node| node.store().get(key.as_ref()).and_then(|entry| Value::of(&entry)))
    }

    /// What `look` makes of the value of a key where it lies, without a copy; `None` if the key has none.
    ///
    /// `look` must be quick, as writers wait for it, and must not call the client, which may wait for them.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn get_with<T>(&self, key: impl AsRef<[u8]>, look: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, Error> {
        self.read(|node| node.store().get(key.as_ref()).and_then(|entry| entry.value().map(look)))
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.read(|node| node.store().get(key.as_ref()).is_some())
    }

    /// The number of keys that have a value.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn len(&self) -> Result<u64, Error> {
        self.read(|node| node.store().len() as u64)
    }

    /// Whether no key has a value.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.read(|node| node.store().is_empty())
    }

    /// One page of keys, in the order of their bytes. All of a page is read at one instant; between pages writes may
    /// come.
    ///
    /// # Errors
    /// As [`Client::get`]; [`Code::InvalidArgument`] for a limit of 0.
    pub fn scan(&self, options: &ScanOptions) -> Result<Page, Error> {
        options.check()?;
        self.read(|node| {
            let mut listing = options.listing(node.store());
            let mut items = Vec::with_capacity(options.limit.min(LISTED_AT_ONCE));
            let mut copies = Copies::default();
            for entry in listing.by_ref().take(options.limit) {
                items.extend(Item::of(&entry, &mut copies));
            }
            let more = listing.next().is_some();
            let next = items.last().filter(|_| more).map(|item| item.key.clone());
            Page { items, next }
        })
    }

    /// Shows `look` the keys and values of one page where they lie, without a copy; else as [`Client::scan`]. Gives where to
    /// go on, as [`ScanOptions::after`]; `None` at the end.
    ///
    /// `look` must be quick, as writers wait for it, and must not call the client, which may wait for them.
    ///
    /// # Errors
    /// As [`Client::scan`].
    pub fn scan_with(&self, options: &ScanOptions, mut look: impl FnMut(&[u8], &[u8])) -> Result<Option<Bytes>, Error> {
        options.check()?;
        self.read(|node| {
            let mut listing = options.listing(node.store());
            let mut last = None;
            for entry in listing.by_ref().take(options.limit) {
                look(entry.key(), entry.value().unwrap_or_default());
                last = Some(entry.key());
            }
            last.filter(|_| listing.next().is_some()).map(Bytes::copy_from_slice)
        })
    }

    /// Changes of the keys that begin with `prefix`, after position `after`: [`Lsn::ZERO`] begins with all there is,
    /// [`Client::last_lsn`] with what comes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn watch(&self, prefix: impl Into<Bytes>, after: Lsn) -> Result<Watch, Error> {
        self.read(|_| {
            Watch::new(self.inner.reach.shared.clone(), self.inner.reach.published.clone(), prefix.into(), after)
        })
    }

    /// What the node tells its operator from now on, link by link and conflict by conflict. The same is logged.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn events(&self) -> Result<Events, Error> {
        let events = self.inner.reach.events.upgrade().ok_or_else(closed)?;
        Ok(Events::new(events.subscribe()))
    }

    /// Position of the latest visible change.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn last_lsn(&self) -> Result<Lsn, Error> {
        self.read(|node| node.store().last_changed())
    }

    /// Who the node is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn node_info(&self) -> Result<NodeInfo, Error> {
        let Inner { reach, report, data_dir, .. } = &*self.inner;
        let now = reach.shared.now();
        reach.shared.read(|node| NodeInfo::of(node, now, report.log_id, data_dir.as_deref()))
    }

    /// The data directory, wherever its path leads by now. `None` without one, or in a world of the caller's.
    pub(crate) fn held_dir(&self) -> Option<&Arc<HeldDir>> {
        self.inner.held.as_ref()
    }

    /// How the node does.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn status(&self) -> Result<Status, Error> {
        let wal = self.inner.data_dir.as_deref().map(|dir| dir.join(WAL_DIR));
        self.read(|node| Status::of(node, wal))
    }

    /// What the node measures of itself while it runs.
    #[must_use]
    pub fn measures(&self) -> &Measures {
        self.inner.reach.shared.measures()
    }

    /// The time by the node's clocks.
    pub(crate) fn now(&self) -> Now {
        self.inner.reach.shared.now()
    }

    /// Answers when the loop has taken its turn: that it does is what there is to know.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn pulse(&self) -> Result<(), Error> {
        self.act(|_, _| Ok(())).await
    }

    /// What opening found.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.inner.report
    }

    /// Takes a snapshot now, or joins the one that is running; log segments that it makes needless are removed.
    ///
    /// # Errors
    /// [`Code::InvalidState`] in memory-only mode or once closed; [`Code::IoError`] and [`Code::DiskFull`] when it
    /// could not be written: the log still holds everything; [`Code::Degraded`].
    pub async fn snapshot(&self) -> Result<SnapshotReport, Error> {
        let (answer, reply) = oneshot::channel();
        let taken = self.ask(Command::Snapshot { answer }, reply).await?;
        Ok(SnapshotReport { at: taken.at, bytes: taken.bytes })
    }

    /// Makes everything accepted so far durable, and says up to where.
    ///
    /// # Errors
    /// [`Code::InvalidState`] in memory-only mode or once closed; [`Code::Degraded`]; [`Code::IoError`] and [`Code::DiskFull`] when
    /// the sync fails.
    pub async fn flush(&self) -> Result<Lsn, Error> {
        let (answer, reply) = oneshot::channel();
        self.ask(Command::Flush { answer }, reply).await
    }

    /// Copies everything durable at this moment into `dir`, while writes go on: an empty directory (created when it is
    /// missing), or one with an earlier backup of the same log, which is brought up to date and stays restorable until
    /// the new one is whole.
    ///
    /// # Errors
    /// [`Code::InvalidState`] in memory-only mode, once closed, or when the node is closed meanwhile;
    /// [`Code::AlreadyExists`] when `dir` holds something else; [`Code::Locked`] when another backup goes there;
    /// [`Code::DiskFull`]; [`Code::IoError`].
    pub async fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport, Error> {
        let log_id = self.inner.report.log_id.ok_or_else(driver::nothing_on_disk)?;
        // With an interval, what was answered may not be durable yet; it belongs into the backup.
        self.flush().await?;
        let target = Arc::new(backup::open_target(dir.as_ref().to_owned(), self.inner.data_dir.clone()).await?);
        let copying = target.clone();
        let result = self.with_files(move |files| async move { backup::copy(&files?, log_id, &*copying).await }).await;
        // However it ended, nobody else has the target any more: let go of it before saying so.
        if let Some(target) = Arc::into_inner(target) {
            target.finish().await;
        }
        result
    }

    /// Reads the files of the log as they stand, beside the running node: segments, snapshot, damage. A frame that is
    /// being written at this moment may show as an unfinished write at the end.
    ///
    /// # Errors
    /// [`Code::InvalidState`] in memory-only mode, once closed, or when the node is closed meanwhile; [`Code::IoError`].
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let wal = self.inner.data_dir.as_deref().ok_or_else(driver::nothing_on_disk)?.join(WAL_DIR);
        // Else it would be the log of another node that is read.
        if let Some(held) = self.inner.held.clone() {
            off_thread(move || held.in_place()).await?;
        }
        self.with_files(move |files| async move {
            // Held in place until the reading is over.
            let _files = files?;
            tools::inspect_log(wal).await
        })
        .await
    }

    /// Runs `work` beside the loop, with the files of the log held in place.
    async fn with_files<T, F>(&self, work: impl FnOnce(Result<Files, Error>) -> F + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (answer, reply) = oneshot::channel();
        let job: FilesJob = Box::new(move |files| {
            let work = work(files);
            Box::pin(async move { driver::tell(answer, work.await) })
        });
        self.ask(Command::WithFiles { job }, reply).await
    }

    async fn write_one(&self, write: Write) -> Result<Written, Error> {
        let mut written = self.write(vec![write]).await?;
        Ok(written.pop().expect("a batch of one has one answer"))
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, Error> {
        /// What a write costs beyond its key and value.
        const PER_WRITE: usize = 64;
        let began = self.inner.reach.shared.mono();
        let bytes: usize = writes.iter().map(|write| PER_WRITE + write.key().len() + value_len(write)).sum();
        // What is larger than all the room there is waits until it is alone.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.inner.room_bytes);
        let room = self.inner.room.clone().acquire_many_owned(permits).await.map_err(|_| closed())?;
        let (answer, reply) = oneshot::channel();
        if let Some(carrying) = self.inner.reach.shared.hand_in(Writing { writes, answer, room }) {
            carrying.await;
        }
        let written = self.answered(reply).await;
        let measures = self.measures();
        match &written {
            Ok(_) => measures.writes.observe(self.inner.reach.shared.mono().since(began)),
            Err(error) if matches!(error.code(), Code::IoError | Code::DiskFull | Code::Degraded) => {
                measures.failed_writes.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        written
    }

    async fn ask<T>(&self, command: Command, reply: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
        if let Ok(place) = self.inner.reach.commands.reserve().await {
            place.send(command);
            return self.answered(reply).await;
        }
        self.gone().await
    }

    /// Waits for an answer.
    async fn answered<T>(&self, reply: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
        match reply.await {
            Ok(result) => result,
            Err(_) => self.gone().await,
        }
    }

    async fn gone<T>(&self) -> Result<T, Error> {
        // Nobody answers any more. Why, is known when the loop has ended.
        self.closed().await;
        self.read(|_| ())?;
        Err(driver::stopped())
    }

    /// Has the loop do something that the node answers at once.
    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Node, Now) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, reply) = oneshot::channel();
        let act: driver::Act = Box::new(move |node, now| driver::tell(answer, act(node, now)));
        self.ask(Command::Act(act), reply).await
    }

    fn read<T>(&self, look: impl FnOnce(&Node) -> T) -> Result<T, Error> {
        self.inner.reach.shared.read(look)
    }
}

fn value_len(write: &Write) -> usize {
    match write {
        Write::Put { value, .. } => value.len(),
        Write::Delete { .. } => 0,
    }
}

/// Locks a data directory and serves its log, waiting for `lock_wait` for its present holder to let go. Gives the
/// directory as well.
async fn open_disk(dir: PathBuf, create: bool, lock_wait: Duration) -> Result<(FsDisk, Arc<HeldDir>), Error> {
    // The kernel has no wake-up for "lock, but not for longer than this", so it is asked again and again.
    const ASK_AGAIN: Duration = Duration::from_millis(10);
    let give_up = tokio::time::Instant::now() + lock_wait;
    let mut told = false;
    loop {
        let dir = dir.clone();
        let opened = off_thread(move || {
            let Prepared { lock, wal: _, held } = data_dir::prepare(&dir, create)?;
            let above = lock.dir().clone();
            let disk = FsDisk::serve_held(held, Some(lock), false).map_err(|error| data_dir::disk_failed(&error))?;
            Ok((disk, above))
        });
        match opened.await {
            Err(error) if error.code() == Code::Locked && tokio::time::Instant::now() < give_up => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!("{}; waiting up to {} s for it to end", error.what(), lock_wait.as_secs());
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
