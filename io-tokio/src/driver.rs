//! The event loop: feeds a node with commands and completions, and does what the node asks for.
//!
//! One task owns the loop and is the only one that changes the node. It holds the write lock while it hands in what is
//! at hand, never across a wait: a reader meets at most one batch of commands, no disk and no queue.
//!
//! Commands that are at hand together go in together, and share one frame and one sync.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use softadastra_core::config::Config;
use softadastra_core::dice::Seed;
use softadastra_core::disk::{DiskError, DiskErrorKind, DiskRequest, DiskResult, IoToken};
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::{Lsn, NodeId, ReplicaId};
use softadastra_core::node::{
    Health, Input, Node, Opening, OpeningState, Output, RecoveryReport, Reply, RequestId, SnapshotTaken, Start, Write,
    Written,
};
use softadastra_core::time::{Instant, Now, WallTime};
use softadastra_core::wal::Manifest;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::disk::{Disk, DynDisk};
use crate::events;
use crate::world::Clock;

/// The most commands handed in under one lock.
const MAX_BATCH: usize = 1024;

/// Commands that may wait for the loop. Writers beyond wait to be let in.
pub(crate) const QUEUE: usize = 2 * MAX_BATCH;

/// Where an answer goes. Whoever asked may have gone meanwhile.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What clients ask of the loop.
pub(crate) enum Command {
    Write {
        writes: Vec<Write>,
        answer: Answer<Vec<Written>>,
        room: OwnedSemaphorePermit,
    },
    Snapshot {
        answer: Answer<SnapshotTaken>,
    },
    Flush {
        answer: Answer<Lsn>,
    },
    /// Runs `job` beside the loop. No file of the log is removed before it ends; closing cuts it short.
    WithFiles {
        job: FilesJob,
    },
    Close {
        answer: Answer<()>,
    },
}

/// Works with the files of the log, or learns why it cannot.
pub(crate) type FilesJob = Box<dyn FnOnce(Result<Files, Error>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The files of a log, held in place.
pub(crate) struct Files {
    /// What to read of each for everything up to its durable LSN.
    pub(crate) manifest: Manifest,
    /// Where to read it.
    pub(crate) disk: Arc<dyn DynDisk>,
    /// File ids from here on, 2^32 of them, are free for the job.
    pub(crate) first_id: u64,
    /// Whose log it is.
    pub(crate) node_id: NodeId,
    /// The history that writes it.
    pub(crate) replica: ReplicaId,
    /// When it was pinned.
    pub(crate) at: WallTime,
}

/// What the loop shares with clients: they read, it writes.
pub(crate) struct Shared {
    /// `None` once closed.
    node: RwLock<Option<Box<Node>>>,
    now: Box<dyn Fn() -> Now + Send + Sync>,
}

impl Shared {
    /// Reads the node under the read lock. `look` must be quick: writers wait for it.
    ///
    /// # Errors
    /// [`Code::InvalidState`] once closed; [`Code::InternalError`] after a fault of the loop.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Node, Now) -> T) -> Result<T, Error> {
        let now = (self.now)();
        match self.node.read() {
            Ok(guard) => guard.as_deref().map(|node| look(node, now)).ok_or_else(closed),
            Err(_) => Err(stopped()),
        }
    }
}

/// The error of every call after the end.
pub(crate) fn closed() -> Error {
    Error::new(Code::InvalidState, "the client is closed", "open it again")
}

/// The error of every call after the loop has stopped without having closed.
pub(crate) fn stopped() -> Error {
    Error::new(
        Code::InternalError,
        "the node has stopped through a fault of the software",
        "open it again and report it",
    )
}

type Completed = Pin<Box<dyn Future<Output = (IoToken, DiskResult)> + Send>>;
/// Disk operations that have not completed.
pub(crate) type InFlight = FuturesUnordered<Completed>;

/// Queues a request at once, so that the order is that of the calls.
pub(crate) fn submit<D: Disk>(disk: Option<&D>, request: DiskRequest, in_flight: &InFlight) {
    let DiskRequest { token, lane, op } = request;
    match disk.map(|disk| disk.submit(lane, op)) {
        Some(completion) => in_flight.push(Box::pin(async move { (token, completion.await) })),
        None => {
            let error = DiskError { kind: DiskErrorKind::Io, message: "there is no disk".to_owned() };
            in_flight.push(Box::pin(std::future::ready((token, Err(error)))));
        }
    }
}

/// A node that is up, and what it has asked of its disk already.
pub(crate) struct Opened {
    node: Box<Node>,
    pub(crate) report: RecoveryReport,
    in_flight: InFlight,
}

impl Opened {
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// Brings a node up. On failure everything asked of the disk has been waited for.
///
/// # Errors
/// Those of [`Opening`].
pub(crate) async fn bring_up<D: Disk, C: Clock>(
    disk: Option<&D>,
    clock: &C,
    seed: Seed,
    config: Config,
    start: Start,
) -> Result<Opened, Error> {
    let mut in_flight = InFlight::new();
    let mut opening = Opening::new(config, seed, clock.now(), start)?;
    loop {
        let mut asked = false;
        while let Some(request) = opening.poll_output(clock.now()) {
            submit(disk, request, &in_flight);
            asked = true;
        }
        match opening.advance(clock.now()) {
            OpeningState::Ready(node, report) => return Ok(Opened { node, report, in_flight }),
            OpeningState::Failed(error) => {
                while in_flight.next().await.is_some() {}
                return Err(error);
            }
            OpeningState::Working(working) => opening = working,
        }
        if asked || !in_flight.is_empty() {
            if let Some((token, result)) = in_flight.next().await {
                opening.handle(clock.now(), token, result);
            }
        } else if let Some(request) = opening.poll_output(clock.now()) {
            submit(disk, request, &in_flight);
        } else {
            return Err(Error::new(
                Code::InternalError,
                "opening the node came to a halt without an outcome",
                "report this as a fault of the software",
            ));
        }
    }
}

/// The loop and all it owns.
pub(crate) struct Driver<D, C> {
    shared: Arc<Shared>,
    disk: Option<Arc<D>>,
    clock: Arc<C>,
    commands: mpsc::Receiver<Command>,
    published: watch::Sender<Lsn>,
    in_flight: InFlight,
    waiting: BTreeMap<RequestId, Waiting>,
    jobs: JoinSet<()>,
    jobs_begun: u64,
    closers: Vec<Answer<()>>,
    timer: Timer,
    clients_gone: bool,
    closing: bool,
    ended: bool,
    outputs: Vec<Output>,
}

/// Who waits for a reply of the node.
enum Waiting {
    Write { answer: Answer<Vec<Written>>, _room: OwnedSemaphorePermit },
    Snapshot(Answer<SnapshotTaken>),
    Flush(Answer<Lsn>),
}

/// What there is to hand in.
enum Fact {
    Completion(IoToken, DiskResult),
    /// They stand in the batch.
    Commands,
    ClientsGone,
    JobEnded,
    Timeout,
}

impl<D: Disk, C: Clock> Driver<D, C> {
    /// A loop around `opened`, to be run by [`Driver::run`], and what clients need to reach it.
    pub(crate) fn new(
        opened: Opened,
        disk: Option<D>,
        clock: Arc<C>,
    ) -> (Self, Arc<Shared>, mpsc::Sender<Command>, watch::Receiver<Lsn>) {
        let Opened { node, report: _, in_flight } = opened;
        let (sender, commands) = mpsc::channel(QUEUE);
        let (published, seen) = watch::channel(node.status().published);
        let reading = clock.clone();
        let shared = Arc::new(Shared { node: RwLock::new(Some(node)), now: Box::new(move || reading.now()) });
        let driver = Self {
            shared: shared.clone(),
            disk: disk.map(Arc::new),
            clock,
            commands,
            published,
            in_flight,
            waiting: BTreeMap::new(),
            jobs: JoinSet::new(),
            jobs_begun: 0,
            closers: Vec::new(),
            timer: Timer::default(),
            clients_gone: false,
            closing: false,
            ended: false,
            outputs: Vec::new(),
        };
        (driver, shared, sender, seen)
    }

    /// Runs until the node is closed, by a client or because none is left.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut fact = None;
        loop {
            self.hand_in(fact, &mut batch);
            if self.ended {
                break;
            }
            fact = Some(self.next_fact(&mut batch).await);
        }
        self.end().await;
    }

    /// Waits for something to hand in. Completions first: they free the disk for the next frame and clients from their
    /// wait.
    async fn next_fact(&mut self, batch: &mut Vec<Command>) -> Fact {
        let Self { in_flight, jobs, commands, timer, clients_gone, .. } = self;
        tokio::select! {
            biased;
            Some((token, result)) = in_flight.next(), if !in_flight.is_empty() => Fact::Completion(token, result),
            Some(_) = jobs.join_next(), if !jobs.is_empty() => Fact::JobEnded,
            count = commands.recv_many(batch, MAX_BATCH), if !*clients_gone => {
                if count == 0 { Fact::ClientsGone } else { Fact::Commands }
            }
            () = timer.ring() => Fact::Timeout,
        }
    }

    /// Hands in what is at hand under one lock, then does what the node asks for.
    fn hand_in(&mut self, fact: Option<Fact>, batch: &mut Vec<Command>) {
        let shared = self.shared.clone();
        // Poisoned only by a panic of this very task, which then does not come here again.
        let mut guard = shared.node.write().unwrap_or_else(PoisonError::into_inner);
        let Some(node) = guard.as_deref_mut() else { return };
        let now = self.clock.now();
        match fact {
            Some(Fact::Completion(token, result)) => node.handle(now, Input::Disk { token, result }),
            Some(Fact::Commands) => batch.drain(..).for_each(|command| self.command(node, now, command)),
            Some(Fact::Timeout) if node.poll_timeout().is_some_and(|at| at <= now.mono) => {
                node.handle(now, Input::Timeout);
            }
            Some(Fact::JobEnded) => node.unpin_files(now),
            Some(Fact::ClientsGone) => {
                self.clients_gone = true;
                self.begin_close(node, now);
            }
            // The alarm was set for a deadline that has moved on since.
            Some(Fact::Timeout) | None => {}
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        while let Some(output) = node.poll_output(now) {
            outputs.push(output);
        }
        self.timer.set(node.poll_timeout(), &*self.clock);
        drop(guard);
        outputs.drain(..).for_each(|output| self.act(output));
        self.outputs = outputs;
    }

    fn command(&mut self, node: &mut Node, now: Now, command: Command) {
        match command {
            Command::Write { writes, answer, room } => match node.write(now, writes) {
                Ok(request) => self.wait(request, Waiting::Write { answer, _room: room }),
                Err(error) => tell(answer, Err(error)),
            },
            Command::Snapshot { answer } => match node.snapshot(now) {
                Ok(request) => self.wait(request, Waiting::Snapshot(answer)),
                Err(error) => tell(answer, Err(error)),
            },
            Command::Flush { answer } => match node.flush(now) {
                Ok(request) => self.wait(request, Waiting::Flush(answer)),
                Err(error) => tell(answer, Err(error)),
            },
            Command::WithFiles { job } => self.begin_job(node, now, job),
            Command::Close { answer } => {
                self.closers.push(answer);
                self.begin_close(node, now);
            }
        }
    }

    fn wait(&mut self, request: RequestId, waiting: Waiting) {
        let before = self.waiting.insert(request, waiting);
        assert!(before.is_none(), "a node gives out each request id once");
    }

    fn begin_job(&mut self, node: &mut Node, now: Now, job: FilesJob) {
        /// The log counts its file ids from 0; this many are out of its reach.
        const BEYOND_THE_LOG: u64 = 1 << 63;
        let files = self.disk.clone().ok_or_else(nothing_on_disk).and_then(|disk| {
            let manifest = node.pin_files()?;
            self.jobs_begun += 1;
            let status = node.status();
            Ok(Files {
                manifest,
                disk,
                first_id: BEYOND_THE_LOG | (self.jobs_begun << 32),
                node_id: status.node_id,
                replica: status.replica,
                at: now.wall,
            })
        });
        let pinned = files.is_ok();
        let work = job(files);
        if pinned {
            self.jobs.spawn(work);
        } else {
            // Only has bad news to pass on.
            work.now_or_never();
        }
    }

    fn begin_close(&mut self, node: &mut Node, now: Now) {
        if !self.closing {
            self.closing = true;
            // A backup cut short leaves the one before it whole.
            self.jobs.abort_all();
            node.close(now);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Disk(request) => submit(self.disk.as_deref(), request, &self.in_flight),
            Output::Reply { request, result } => self.answer(request, result),
            Output::Published(lsn) => drop(self.published.send_replace(lsn)),
            Output::Event(event) => events::told(&event),
            Output::Closed => self.ended = true,
        }
    }

    fn answer(&mut self, request: RequestId, result: Result<Reply, Error>) {
        let Some(waiting) = self.waiting.remove(&request) else { return };
        match (waiting, result) {
            (Waiting::Write { answer, .. }, Ok(Reply::Written(written))) => tell(answer, Ok(written)),
            (Waiting::Write { answer, .. }, Err(error)) => tell(answer, Err(error)),
            (Waiting::Snapshot(answer), Ok(Reply::Snapshot(taken))) => tell(answer, Ok(taken)),
            (Waiting::Snapshot(answer), Err(error)) => tell(answer, Err(error)),
            (Waiting::Flush(answer), Ok(Reply::Flushed(lsn))) => tell(answer, Ok(lsn)),
            (Waiting::Flush(answer), Err(error)) => tell(answer, Err(error)),
            (_, Ok(reply)) => unreachable!("the node answered a command with {reply:?}"),
        }
    }

    /// Lets go of everything, and only then answers those who asked for it: whoever opens next finds it free.
    async fn end(mut self) {
        self.jobs.shutdown().await;
        while self.in_flight.next().await.is_some() {}
        let node = self.shared.node.write().unwrap_or_else(PoisonError::into_inner).take();
        let failure = node.as_deref().and_then(|node| match node.status().health {
            Health::Degraded(degraded) => Some(degraded.what),
            Health::Ready | Health::DiskFull | Health::Closing => None,
        });
        // Commands still in the queue are dropped, and with them their answers: their clients learn that it is closed.
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
        self.waiting.clear();
        if let Some(disk) = self.disk.take().and_then(Arc::into_inner) {
            disk.finish().await;
        }
        events::stopped(failure.is_none());
        for answer in self.closers.drain(..) {
            tell(answer, failure.as_ref().map_or(Ok(()), |what| Err(closed_degraded(what))));
        }
    }
}

/// The error of what only works on files.
pub(crate) fn nothing_on_disk() -> Error {
    Error::new(
        Code::InvalidState,
        "this node keeps everything in memory and has no files",
        "open it on a data directory to be able to back it up",
    )
}

fn closed_degraded(what: &str) -> Error {
    Error::new(
        Code::Degraded,
        format!("the node is closed, but not cleanly: {what}"),
        "see to the disk and open it again; every write that was answered is there",
    )
}

/// Answers; whoever asked may have gone.
pub(crate) fn tell<T>(answer: Answer<T>, result: Result<T, Error>) {
    if answer.send(result).is_err() {
        tracing::trace!(event = "answer_unheard", "whoever asked has gone");
    }
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One alarm. Set again with every step of a busy node, so a later deadline does not touch it: it rings early then, and
/// is set anew.
#[derive(Default)]
struct Timer {
    set: Option<(Instant, Sleep)>,
}

impl Timer {
    fn set<C: Clock>(&mut self, wanted: Option<Instant>, clock: &C) {
        match (wanted, &self.set) {
            (None, _) => self.set = None,
            (Some(at), Some((earlier, _))) if *earlier <= at => {}
            (Some(at), _) => self.set = Some((at, Box::pin(clock.sleep_until(at)))),
        }
    }

    /// Completes when the alarm rings, and clears it; never without one.
    async fn ring(&mut self) {
        match &mut self.set {
            Some((_, sleep)) => {
                sleep.await;
                self.set = None;
            }
            None => std::future::pending().await,
        }
    }
}
