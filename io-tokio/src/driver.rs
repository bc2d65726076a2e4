//! The event loop: feeds a node with commands and completions, and does what the node asks for.
//!
//! One task owns the loop and is the only one that changes the node. It holds the write lock while it hands in what is
//! at hand, never across a wait: a reader meets at most one batch of commands, no disk and no queue.
//!
//! Commands that are at hand together go in together, and share one frame and one sync.

mod command;
mod commands;
mod desk;
mod direct;
mod discovery;
mod line;
mod links;
mod network;
mod refusals;
mod shared;
mod start;
mod timer;
mod tray;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use softadastra_core::disk::{DiskOp, DiskRequest, DiskResult, IoToken, Lane};
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Event, Health, Input, Node, Output};
use softadastra_core::sync;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use self::command::{Act, Answer, Command, Files, FilesJob, StartDiscovery, StartTransport, Writing, tell};
pub(crate) use self::discovery::Standing;
pub(crate) use self::shared::{Shared, closed, nothing_on_disk, stopped};
pub(crate) use self::start::{InFlight, Opened, Way, bring_up, submit};

use self::desk::{Answered, Desk};
use self::direct::{may_be_carried, tell_published};
use self::discovery::Discovery;
use self::links::{Links, NetFact};
use self::network::Transport;
use self::refusals::Arrivals;
use self::timer::Timer;
use crate::disk::{Disk, DynDisk, Loss};
use crate::events;
use crate::network::Book;
use crate::world::{Clock, Net};

/// The most commands, and the most facts of the network, handed in under one lock.
const MAX_BATCH: usize = 1024;

/// Among up to this many callers, those who were just answered are waited for with the next frame. More of them take longer to fill
/// a frame than a quick disk to sync one: then some had better write while others wait for the disk.
const JOIN_MOST: usize = 100;

/// So often those who were just answered get their turn, as long as more of them come.
const JOIN_ROUNDS: usize = 4;

/// Commands that may wait for the loop. Writers beyond wait to be let in.
const QUEUE: usize = 2 * MAX_BATCH;

/// Events kept for a slow listener.
const EVENTS: usize = 1024;

/// What clients need to reach the loop.
pub(crate) struct Reach {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) published: watch::Receiver<Lsn>,
    /// Weak, so that listeners learn of the end.
    pub(crate) events: broadcast::WeakSender<Event>,
}

/// The loop and all it owns.
pub(crate) struct Driver<D, C, N: Net> {
    shared: Arc<Shared>,
    disk: Option<Arc<D>>,
    /// Completes when the disk has lost its directory.
    losing: Pin<Box<dyn Future<Output = Loss> + Send>>,
    loss: Option<Loss>,
    clock: Arc<C>,
    commands: mpsc::Receiver<Command>,
    links: Links<N>,
    net_facts: mpsc::Receiver<NetFact<N>>,
    transport: Transport,
    arrivals: Arrivals,
    /// Where links are taken.
    listening: Vec<SocketAddr>,
    discovery: Discovery,
    book: Book,
    published: Arc<watch::Sender<Lsn>>,
    told: broadcast::Sender<Event>,
    in_flight: InFlight,
    jobs: JoinSet<()>,
    jobs_begun: u64,
    closers: Vec<Answer<()>>,
    timer: Timer,
    clients_gone: bool,
    closing: bool,
    ended: bool,
    outputs: Vec<Output>,
    answers: Vec<Answered>,
    _departure: Departure,
}

/// Lets those who wait know when the loop goes without having closed the node.
struct Departure(Arc<Shared>);

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// What to do after handing in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Wait for the next fact.
    Wait,
    /// Give those who were just answered the chance to join the next frame.
    LetJoin,
}

/// What there is to hand in, beside what is [`AtHand`].
enum Fact {
    Completion(IoToken, DiskResult),
    DiskLost(Loss),
    /// Only what is at hand.
    Gathered,
    ClientsGone,
    JobEnded,
    Timeout,
}

/// What was gathered to be handed in together.
struct AtHand<N: Net> {
    commands: Vec<Command>,
    net: Vec<NetFact<N>>,
}

impl<D: Disk, C: Clock, N: Net> Driver<D, C, N> {
    /// A loop around `opened`, to be run by [`Driver::run`], and what clients need to reach it.
    pub(crate) fn new(opened: Opened, disk: Option<D>, clock: Arc<C>, net: N, book: Book) -> (Self, Reach) {
        let Opened { node, report: _, in_flight } = opened;
        let (sender, commands) = mpsc::channel(QUEUE);
        let (links, net_facts) = Links::new(Arc::new(net));
        let (published, seen) = watch::channel(node.status().published);
        let (told, _) = broadcast::channel(EVENTS);
        let losing: Pin<Box<dyn Future<Output = Loss> + Send>> = match &disk {
            Some(disk) => Box::pin(disk.lost()),
            None => Box::pin(std::future::pending()),
        };
        let disk = disk.map(Arc::new);
        let published = Arc::new(published);
        let desk = Desk::new(node, disk.clone().map(|disk| disk as Arc<dyn DynDisk>));
        let shared = Arc::new(Shared::new(desk, Arc::downgrade(&published), clock.clone()));
        let driver = Self {
            shared: shared.clone(),
            disk,
            losing,
            loss: None,
            clock,
            commands,
            links,
            net_facts,
            transport: Transport::Stopped,
            arrivals: Arrivals::default(),
            listening: Vec::new(),
            discovery: Discovery::default(),
            book,
            published,
            told,
            in_flight,
            jobs: JoinSet::new(),
            jobs_begun: 0,
            closers: Vec::new(),
            timer: Timer::default(),
            clients_gone: false,
            closing: false,
            ended: false,
            outputs: Vec::new(),
            answers: Vec::new(),
            _departure: Departure(shared.clone()),
        };
        let events = driver.told.downgrade();
        (driver, Reach { shared, commands: sender, published: seen, events })
    }

    /// Runs until the node is closed, by a client or because none is left.
    pub(crate) async fn run(mut self) {
        let mut at_hand = AtHand { commands: Vec::with_capacity(MAX_BATCH), net: Vec::new() };
        let mut fact = Fact::Gathered;
        loop {
            if self.hand_in(fact, &mut at_hand) == Then::LetJoin {
                self.let_join(&mut at_hand.commands).await;
                fact = Fact::Gathered;
                continue;
            }
            if self.ended {
                break;
            }
            fact = self.next_fact(&mut at_hand).await;
        }
        self.end().await;
    }

    /// Clients that were just answered are likely to write again. Let them, so that they share the frame that is about to
    /// leave: without this, many clients fall into two groups that take turns, and pay twice the syncs.
    async fn let_join(&mut self, batch: &mut Vec<Command>) {
        let mut before = self.shared.tray.put_down();
        for _ in 0..JOIN_ROUNDS {
            tokio::task::yield_now().await;
            gather(&mut self.commands, batch);
            let now = self.shared.tray.put_down() + batch.len() as u64;
            if now == before {
                break;
            }
            before = now;
        }
    }

    /// Waits for something to hand in, and takes with it whatever else is at hand. Completions first: they free the disk for the next
    /// frame and clients from their wait.
    async fn next_fact(&mut self, at_hand: &mut AtHand<N>) -> Fact {
        let Self { shared, in_flight, jobs, commands, net_facts, timer, clients_gone, losing, loss, .. } = self;
        let fact = tokio::select! {
            biased;
            Some((token, result)) = in_flight.next(), if !in_flight.is_empty() => Fact::Completion(token, result),
            lost = losing.as_mut(), if loss.is_none() => Fact::DiskLost(lost),
            () = shared.called() => Fact::Gathered,
            Some(_) = jobs.join_next(), if !jobs.is_empty() => Fact::JobEnded,
            count = commands.recv_many(&mut at_hand.commands, MAX_BATCH), if !*clients_gone => {
                if count == 0 { Fact::ClientsGone } else { Fact::Gathered }
            }
            1.. = net_facts.recv_many(&mut at_hand.net, MAX_BATCH) => Fact::Gathered,
            () = timer.ring() => Fact::Timeout,
        };
        gather(commands, &mut at_hand.commands);
        gather(net_facts, &mut at_hand.net);
        fact
    }

    /// Hands in what is at hand under one lock, then does what the node asks for.
    fn hand_in(&mut self, fact: Fact, at_hand: &mut AtHand<N>) -> Then {
        let shared = self.shared.clone();
        let mut guard = shared.write();
        let Some(desk) = guard.as_mut() else { return Then::Wait };
        let now = self.clock.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut answers = std::mem::take(&mut self.answers);
        desk.take_left(&mut outputs);
        if let Some((token, on_its_way)) = desk.take_on_its_way() {
            self.in_flight.push(Box::pin(async move { (token, on_its_way.await) }));
        }
        // Ahead of the commands: who writes and then asks for a flush means both.
        desk.clear(&shared.tray, now, &mut answers);
        let mut then = Then::Wait;
        let failed = matches!(fact, Fact::Completion(_, Err(_)));
        match fact {
            Fact::Completion(token, result) => {
                desk.node.handle(now, Input::Disk { token, result });
                while let Some(output) = desk.node.poll_ready() {
                    desk.sort(output, &mut outputs, &mut answers);
                }
                // One who is alone is joined by nobody, and carries the next frame to the disk by itself.
                let callers = answers.len() + desk.awaited();
                if !answers.is_empty() && (2..=JOIN_MOST).contains(&callers) {
                    then = Then::LetJoin;
                }
            }
            Fact::DiskLost(loss) => {
                events::directory_lost(&loss);
                desk.node.handle(now, Input::DiskLost(loss.error.clone()));
                self.loss = Some(loss);
            }
            Fact::Gathered => {}
            Fact::JobEnded => desk.node.unpin_files(now),
            Fact::ClientsGone => {
                self.clients_gone = true;
                self.begin_close(&mut desk.node, now);
            }
            Fact::Timeout => {}
        }
        // Whatever came first, the others are not left behind: where the loop carries frames, one may be through whenever it
        // looks.
        if then == Then::Wait {
            while self.jobs.try_join_next().is_some() {
                desk.node.unpin_files(now);
            }
            at_hand.net.drain(..).for_each(|fact| self.net_fact(&mut desk.node, now, fact));
            at_hand.commands.drain(..).for_each(|command| self.command(desk, now, command));
        }
        // Nor is time. An alarm may also ring for a deadline that has moved on since.
        if desk.node.poll_timeout().is_some_and(|at| at <= now.mono) {
            desk.node.handle(now, Input::Timeout);
        }
        if then == Then::Wait {
            while let Some(output) = desk.node.poll_output(now) {
                desk.sort(output, &mut outputs, &mut answers);
            }
            self.timer.set(desk.node.poll_timeout(), &*self.clock);
        }
        desk.leave(then == Then::LetJoin, self.timer.rings_at());
        drop(guard);
        if then == Then::Wait && !shared.tray.is_empty() {
            shared.call();
        }
        if cfg!(planted = "driver_forgets_after_an_error") && failed {
            outputs.clear();
            answers.clear();
        }
        // The disk first: it works while many are being answered.
        for output in outputs.extract_if(.., |output| matches!(output, Output::Disk(_))) {
            self.act(output);
        }
        answers.drain(..).for_each(Answered::tell);
        outputs.drain(..).for_each(|output| self.act(output));
        self.outputs = outputs;
        self.answers = answers;
        self.end_parting();
        then
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Disk(request) => {
                let measured = is_sync_of_the_log(&request).then_some(&self.shared);
                let way = if self.may_carry(&request) { Way::Carried } else { Way::Submitted };
                submit(self.disk.as_deref(), request, way, &self.in_flight, measured);
            }
            // The desk keeps who waits for it.
            Output::Reply { .. } => {}
            Output::Published(lsn) => tell_published(&self.published, lsn),
            Output::Link { link, act } => self.link_act(link, act),
            Output::Datagram { to, bytes } => self.discovery.send(to, bytes),
            Output::Pin { node, key } => self.keep_pin(node, key),
            Output::Event(event) => {
                self.log(&event);
                if let Event::LinkFailed { link, reason, .. } = &event {
                    self.arrivals.failed(*link, reason, self.clock.now().wall, &self.shared.refusals);
                }
                // Nobody may be listening.
                drop(self.told.send(event));
            }
            Output::Closed => self.ended = true,
        }
    }

    /// Whether this is a frame that the loop carries to the disk in its own thread. Handing it to the thread of the disk and
    /// being woken by that costs as long as a quick sync, and so does waking a thread for each client whom a second
    /// one could serve meanwhile. With peers the loop has better things to do: what they send is opened and sorted
    /// out while the disk works.
    fn may_carry(&self, request: &DiskRequest) -> bool {
        self.links.is_empty() && self.disk.as_deref().is_some_and(|disk| may_be_carried(request, disk))
    }

    /// Logs an event. Of some peers the event has only the number.
    fn log(&self, event: &Event) {
        let now = self.clock.now();
        let look = |node: &Node| match event {
            Event::LinkFailed { peer: Some(id), .. } => node.peer_link(now, *id),
            Event::Sync(sync::Event::ClockSkew { peer, .. } | sync::Event::Diverged { peer }) => {
                node.session_link(now, *peer)
            }
            _ => None,
        };
        let peer = self.shared.read(look).ok().flatten();
        let leaving = self.shared.read(|node| !node.transport_running()).unwrap_or(true);
        events::told(event, peer.as_ref(), leaving);
    }

    /// Lets go of everything, and only then answers those who asked for it: whoever opens next finds it free.
    async fn end(mut self) {
        // A backup that is cut short leaves the one before it whole.
        self.jobs.shutdown().await;
        self.discovery = Discovery::default();
        // What still waits to be told is dropped, and with it who waits to tell it.
        drop(self.net_facts);
        self.links.finish().await;
        while self.in_flight.next().await.is_some() {}
        let desk = self.shared.write().take();
        self.shared.tray.close();
        let failure = desk.and_then(|desk| match desk.node.status().health {
            Health::Degraded(degraded) => Some(degraded.what),
            Health::Ready | Health::DiskFull | Health::Closing => None,
        });
        // Commands still in the queue are dropped, and with them their answers: their clients learn that it is closed.
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
        if let Some(disk) = self.disk.take().and_then(Arc::into_inner) {
            disk.finish().await;
        }
        events::stopped(failure.is_none());
        for answer in self.closers.drain(..) {
            tell(answer, failure.as_ref().map_or(Ok(()), |what| Err(closed_degraded(what, self.loss.as_ref()))));
        }
    }
}

/// Whether writers wait for it.
const fn is_sync_of_the_log(request: &DiskRequest) -> bool {
    matches!(request.lane, Lane::Commit) && matches!(request.op, DiskOp::Write { sync: true, .. } | DiskOp::Sync { .. })
}

/// Takes what is there without waiting for more.
fn gather<T>(from: &mut mpsc::Receiver<T>, into: &mut Vec<T>) {
    while into.len() < MAX_BATCH
        && let Ok(item) = from.try_recv()
    {
        into.push(item);
    }
}

fn closed_degraded(what: &str, loss: Option<&Loss>) -> Error {
    let what = format!("the node is closed, but not cleanly: {what}");
    match loss {
        Some(loss) => Error::new(Code::Degraded, what, loss.next).with_local(loss.local),
        None => Error::new(
            Code::Degraded,
            what,
            "see to the disk and open it again; every write that was answered is there",
        ),
    }
}
