//! The event loop: feeds a node with commands and completions, and does what the node asks for.
//!
//! One task owns the loop and is the only one that changes the node. It holds the write lock while it hands in what is
//! at hand, never across a wait: a reader meets at most one batch of commands, no disk and no queue.
//!
//! Commands that are at hand together go in together, and share one frame and one sync.

mod command;
mod shared;
mod start;
mod timer;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use softadastra_core::disk::{DiskResult, IoToken};
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Health, Input, Node, Output, RequestId};
use softadastra_core::time::Now;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use self::command::{Answer, Command, Files, FilesJob, tell};
pub(crate) use self::shared::{Shared, closed, nothing_on_disk, stopped};
pub(crate) use self::start::{InFlight, Opened, bring_up, submit};

use self::command::Waiting;
use self::timer::Timer;
use crate::disk::Disk;
use crate::events;
use crate::world::Clock;

/// The most commands handed in under one lock.
const MAX_BATCH: usize = 1024;

/// Up to this many answers are given before the next frame leaves. With more, there is enough for that frame already,
/// and the disk had better not wait.
const JOIN_MOST: usize = 128;

/// So often those who were just answered get their turn, as long as more of them come.
const JOIN_ROUNDS: usize = 4;

/// Commands that may wait for the loop. Writers beyond wait to be let in.
const QUEUE: usize = 2 * MAX_BATCH;

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

/// What to do after handing in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Wait for the next fact.
    Wait,
    /// Give those who were just answered the chance to join the next frame.
    LetJoin,
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
        let shared = Arc::new(Shared::new(node, clock.clone()));
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
        let mut fact = Fact::Commands;
        loop {
            if self.hand_in(fact, &mut batch) == Then::LetJoin {
                self.let_join(&mut batch).await;
                fact = Fact::Commands;
                continue;
            }
            if self.ended {
                break;
            }
            fact = self.next_fact(&mut batch).await;
        }
        self.end().await;
    }

    /// Clients that were just answered are likely to write again. Let them, so that they share the frame that is about to
    /// leave: without this, many clients fall into two groups that take turns, and pay twice the syncs.
    async fn let_join(&mut self, batch: &mut Vec<Command>) {
        for _ in 0..JOIN_ROUNDS {
            tokio::task::yield_now().await;
            let before = batch.len();
            while batch.len() < MAX_BATCH
                && let Ok(command) = self.commands.try_recv()
            {
                batch.push(command);
            }
            if batch.len() == before {
                break;
            }
        }
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
    fn hand_in(&mut self, fact: Fact, batch: &mut Vec<Command>) -> Then {
        let shared = self.shared.clone();
        let mut guard = shared.write();
        let Some(node) = guard.as_deref_mut() else { return Then::Wait };
        let now = self.clock.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut then = Then::Wait;
        match fact {
            Fact::Completion(token, result) => {
                node.handle(now, Input::Disk { token, result });
                while let Some(output) = node.poll_ready() {
                    outputs.push(output);
                }
                let answers = outputs.iter().filter(|output| matches!(output, Output::Reply { .. })).count();
                if (1..=JOIN_MOST).contains(&answers) {
                    then = Then::LetJoin;
                }
            }
            Fact::Commands => batch.drain(..).for_each(|command| self.command(node, now, command)),
            Fact::Timeout if node.poll_timeout().is_some_and(|at| at <= now.mono) => {
                node.handle(now, Input::Timeout);
            }
            Fact::JobEnded => node.unpin_files(now),
            Fact::ClientsGone => {
                self.clients_gone = true;
                self.begin_close(node, now);
            }
            // The alarm was set for a deadline that has moved on since.
            Fact::Timeout => {}
        }
        if then == Then::Wait {
            while let Some(output) = node.poll_output(now) {
                outputs.push(output);
            }
            self.timer.set(node.poll_timeout(), &*self.clock);
        }
        drop(guard);
        // The disk first: it works while many are being answered.
        for output in outputs.extract_if(.., |output| matches!(output, Output::Disk(_))) {
            self.act(output);
        }
        outputs.drain(..).for_each(|output| self.act(output));
        self.outputs = outputs;
        then
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
            if self.closing {
                return Err(closed());
            }
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
            node.close(now);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Disk(request) => submit(self.disk.as_deref(), request, &self.in_flight),
            Output::Reply { request, result } => {
                if let Some(waiting) = self.waiting.remove(&request) {
                    waiting.answer(result);
                }
            }
            Output::Published(lsn) => drop(self.published.send_replace(lsn)),
            Output::Event(event) => events::told(&event),
            Output::Link { .. } | Output::Pin { .. } => unreachable!("no client starts the transport"),
            Output::Closed => self.ended = true,
        }
    }

    /// Lets go of everything, and only then answers those who asked for it: whoever opens next finds it free.
    async fn end(mut self) {
        // A backup that is cut short leaves the one before it whole.
        self.jobs.shutdown().await;
        while self.in_flight.next().await.is_some() {}
        let node = self.shared.write().take();
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

fn closed_degraded(what: &str) -> Error {
    Error::new(
        Code::Degraded,
        format!("the node is closed, but not cleanly: {what}"),
        "see to the disk and open it again; every write that was answered is there",
    )
}
