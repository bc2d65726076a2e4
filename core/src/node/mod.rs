//! The node: log, store, history and metadata composed into the machine that drivers and simulators embed.
//!
//! **Feed a batch of inputs, then call [`Node::poll_output`] until it is empty, then wait for the next input or for
//! [`Node::poll_timeout`].** Commands fed before the first poll share one frame of the log, and so one sync.
//!
//! ```text
//!  write()  --> judge against the latest state --> stage in the store --> gather in the log
//!                                                                             | submit (when outputs are drained)
//!  Reply <-- publish in the store <-- frame durable <-- Input::Disk <-- Output::Disk
//! ```
//!
//! Links are inputs and outputs too: bytes of connections go in and out, [`Output::Link`] asks for connections. What peers
//! send goes through the same log as own writes, and is acknowledged when it is durable. Datagrams of discovery go in and
//! out by [`Input::Datagram`] and [`Output::Datagram`]; whether somebody found is dialled is decided here.
//!
//! A reply is emitted only when what it says is true: after the sync with [`Durability::Always`](crate::config::Durability::Always), after the write with
//! [`Durability::Every`](crate::config::Durability::Every). What was refused at once, by an `Err` of the command itself, has changed nothing.

mod exchange;
mod finding;
mod history;
mod inspection;
mod journal;
mod links;
mod opening;
mod rebirth;
mod rebuild;
mod room;
mod snapshots;
mod status;
mod steps;
mod types;
mod waiting;
mod writes;

use alloc::collections::VecDeque;

pub use self::finding::Presence;
pub use self::inspection::{Inspected, Inspection};
pub use self::links::{Network, Peer};
pub use self::opening::{Opening, OpeningState, Start};
pub use self::rebuild::Rebuilt;
pub use self::status::{Health, RecoveryReport, Status, StoreStatus, TornTail};
pub use self::types::{
    DatagramFact, Degraded, Event, Input, LinkAct, LinkFact, Outcome, Output, Reply, RequestId, SnapshotTaken, Ticked,
    Write, Written,
};

use self::exchange::Exchange;
use self::finding::Finding;
use self::history::{History, Reach};
use self::journal::Journal;
use self::links::Links;
use self::rebirth::Rebirth;
use self::room::Room;
use self::snapshots::Snapshots;
use self::steps::{Step, Steps};
use self::waiting::Answers;
use self::writes::Scratch;
use crate::config::Config;
use crate::dice::{Dice, Seed};
use crate::error::{Code, Error};
use crate::ids::{LogId, Lsn, ReplicaId};
use crate::metadata::{Metadata, NodeInfo, Surroundings};
use crate::store::Store;
use crate::sync::{self, Engine, OutboxStatus};
use crate::time::{Instant, Now};
use crate::wal::{self, Manifest, Wal};

/// One running node. Made by [`Opening`].
///
/// Four kinds of method: getters take `&self`; [`Node::handle`] takes facts from outside and cannot fail; commands
/// return an id that a later [`Output::Reply`] names, or refuse at once; `poll_*` hand out what is to be done.
#[derive(Debug)]
pub struct Node {
    config: Config,
    /// As far as writes were accepted; ahead of `published_reach` while frames are on their way.
    history: History,
    /// As far as the store shows. What the head of a snapshot says.
    published_reach: Reach,
    /// The reach after each accepted own operation that is not yet published, by its LSN.
    accepted: VecDeque<(Lsn, Reach)>,
    store: Store,
    journal: Journal,
    published: Lsn,
    /// What `published` was when the node came up.
    opened_at: Lsn,
    waiting: Answers,
    waiting_bytes: usize,
    scratch: Scratch,
    flushes: VecDeque<(Lsn, RequestId)>,
    snapshots: Snapshots,
    engine: Engine,
    exchange: Exchange,
    links: Links,
    finding: Finding,
    /// This history is not the one that peers know under its name.
    rebirth: Option<Rebirth>,
    /// For new names.
    dice: Dice,
    health: Health,
    room: Room,
    metadata: Metadata,
    steps: Steps,
    outputs: VecDeque<Output>,
    next_request: u64,
}

impl Node {
    fn new(config: Config, rebuilt: Rebuilt, journal: Journal, log: LogId, seed: &Seed, now: Now) -> Self {
        let Rebuilt { history, mut store, last_lsn, state, sound: _ } = rebuilt;
        store.guard(seed.stream("store").next_u64());
        let mut dice = seed.stream("sync");
        let me = sync::Identity {
            replica: history.replica,
            node: history.node.clone(),
            log,
            boot: dice.next_u64(),
            // The handshake has proven that both ends belong to one network.
            network: [0; 16],
        };
        let (settings, seq) = (config.sync.clone(), history.reach.seq);
        let mut first = alloc::vec::Vec::new();
        let engine = Engine::new(settings, me, state, seq, last_lsn, dice, now, &mut first);
        Self {
            engine,
            exchange: Exchange::new(first),
            links: Links::new(seed),
            finding: Finding::new(seed),
            rebirth: None,
            dice: seed.stream("rebirth"),
            config,
            published_reach: history.reach,
            history,
            accepted: VecDeque::new(),
            store,
            journal,
            published: last_lsn,
            opened_at: last_lsn,
            waiting: Answers::default(),
            waiting_bytes: 0,
            scratch: Scratch::default(),
            flushes: VecDeque::new(),
            snapshots: Snapshots::default(),
            health: Health::Ready,
            room: Room::default(),
            metadata: Metadata::new(now),
            steps: Steps::default(),
            outputs: VecDeque::new(),
            next_request: 0,
        }
    }

    /// The store, for reading. It shows what is published: never a write that could still fail.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The log, for looking at its progress; `None` in memory-only mode.
    #[must_use]
    pub fn log(&self) -> Option<&Wal> {
        self.journal.log()
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// [`Status::replica`], without gathering the rest.
    #[must_use]
    pub const fn replica(&self) -> ReplicaId {
        self.history.replica
    }

    /// [`Status::outbox`], without gathering the rest.
    #[must_use]
    pub fn outbox(&self) -> OutboxStatus {
        self.engine.outbox_status()
    }

    /// [`Status::waiting`], without gathering the rest.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.rebirth.as_ref().map_or(0, Rebirth::parked)
    }

    /// The whole state at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            node_id: self.history.node.clone(),
            replica: self.replica(),
            health: self.health.clone(),
            store: StoreStatus {
                keys: self.store.len(),
                tombstones: self.store.tombstones(),
                live_bytes: self.store.live_bytes(),
                digest: self.store.live_digest(),
            },
            log: self.journal.log().map(Wal::status),
            published: self.published,
            outbox: self.outbox(),
            conflicts: self.engine.conflicts().total(),
            connected: self.links.connected(),
            halted: self.rebirth.as_ref().map(|rebirth| rebirth.finding),
            diverged: self.engine.diverged(),
            waiting: self.waiting(),
        }
    }

    /// What the node says about itself; of what it can do, what is at work now.
    #[must_use]
    pub fn info(&self, now: Now) -> NodeInfo {
        let mut info = self.metadata.info(now, &self.history.node, self.history.replica);
        info.capabilities.retain(|name| match name.as_str() {
            "wal" => matches!(self.journal, Journal::Log(_)),
            "transport" => self.transport_running(),
            "discovery" => self.discovery_running(),
            _ => true,
        });
        info
    }

    /// Takes over what the driver found out about its surroundings.
    pub fn refresh_metadata(&mut self, surroundings: Surroundings) {
        self.metadata.refresh(surroundings);
    }

    /// Takes a fact from outside. Infallible: a bad disk becomes [`Health::Degraded`], not an error of this call.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Disk { token, result } => {
                if let Journal::Log(log) = &mut self.journal {
                    log.handle_completion(now.mono, token, result, &mut self.steps);
                }
            }
            Input::DiskLost(error) => {
                if let Journal::Log(log) = &mut self.journal {
                    log.lose(error, &mut self.steps);
                }
            }
            Input::Link { link, fact } => self.link_fact(now, link, fact),
            Input::Datagram(fact) => self.datagram_fact(now, fact),
            Input::Timeout => {
                if let Journal::Log(log) = &mut self.journal {
                    log.handle_timeout(now.mono, &mut self.steps);
                }
                if self.engine.poll_timeout(&self.store).is_some_and(|at| at <= now.mono) {
                    self.engine.handle_timeout(now, &self.store, &mut self.steps);
                }
                self.links_timeout(now);
                self.discovery_timeout(now);
                self.settle_room(now);
            }
        }
        self.route_steps(now);
    }

    /// Asks for everything accepted so far to be durable; answered by [`Reply::Flushed`]. With
    /// [`Durability::Always`](crate::config::Durability::Always) that is as soon as the present frames are through.
    ///
    /// # Errors
    /// As [`Node::write`] when the node takes no writes.
    pub fn flush(&mut self, now: Now) -> Result<RequestId, Error> {
        self.check_health()?;
        let request = self.new_request();
        match &mut self.journal {
            Journal::Log(log) => {
                let through = log.progress().accepted;
                self.flushes.push_back((through, request));
                log.submit(now.mono, &mut self.steps);
                log.flush(now.mono, &mut self.steps);
                let durable = log.progress().durable;
                self.route_steps(now);
                self.answer_flushes(durable);
            }
            Journal::Memory { .. } => {
                return Err(Error::new(
                    Code::InvalidState,
                    "a memory-only node has no disk to flush to",
                    "open it on a data directory to keep its data",
                ));
            }
        }
        Ok(request)
    }

    /// Forbids the removal of log files until [`Node::unpin_files`], and says which files, up to which length, hold
    /// everything durable at this moment. Copying just those makes a consistent backup.
    ///
    /// # Errors
    /// [`Code::InvalidState`] in memory-only mode.
    pub fn pin_files(&mut self) -> Result<Manifest, Error> {
        match &mut self.journal {
            Journal::Log(log) => Ok(log.pin()),
            Journal::Memory { .. } => Err(Error::new(
                Code::InvalidState,
                "a memory-only node has no files",
                "open it on a data directory to be able to back it up",
            )),
        }
    }

    /// Ends a [`Node::pin_files`]. Pins are counted.
    pub fn unpin_files(&mut self, now: Now) {
        if let Journal::Log(log) = &mut self.journal {
            log.unpin(&mut self.steps);
        }
        self.route_steps(now);
    }

    /// Begins the clean close: what was accepted becomes durable, then comes [`Output::Closed`]. Commands are refused
    /// from here on.
    pub fn close(&mut self, now: Now) {
        if self.health == Health::Closing {
            return;
        }
        self.stop_discovery(now);
        self.stop_transport(now);
        if matches!(self.health, Health::Ready | Health::DiskFull) {
            self.health = Health::Closing;
        }
        self.engine.closing(now, &mut self.steps);
        self.route_steps(now);
        match &mut self.journal {
            Journal::Log(log) => log.close(now.mono, &mut self.steps),
            Journal::Memory { .. } => self.outputs.push_back(Output::Closed),
        }
        self.route_steps(now);
    }

    /// The next thing to be done; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            self.try_rebirth(now);
            // Only now, when every answer is out, does the next frame leave: clients that were answered can join it.
            self.begin_due_snapshot(now);
            self.pump(now);
            if let Journal::Log(log) = &mut self.journal {
                log.submit(now.mono, &mut self.steps);
            }
            if self.steps.is_empty() {
                // A rebirth that cannot be leaves answers behind, and no steps.
                return self.outputs.pop_front();
            }
            self.route_steps(now);
        }
    }

    /// As [`Node::poll_output`], but `None` before the next frame of the log leaves: only what is ready by itself. A
    /// driver that hands out these answers first, and what they lead to in, lets more writes share that frame.
    pub fn poll_ready(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] wants to be handed in.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let log = self.journal.log().and_then(Wal::poll_timeout);
        let sync = self.engine.poll_timeout(&self.store);
        [log, sync, self.links.poll_timeout(), self.finding.poll_timeout(), self.room_due()].into_iter().flatten().min()
    }

    fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn reply(&mut self, request: RequestId, result: Result<Reply, Error>) {
        self.outputs.push_back(Output::Reply { request, result });
    }

    fn route_steps(&mut self, now: Now) {
        while let Some(step) = self.steps.next() {
            match step {
                Step::Log(effect) => self.log_effect(now, effect),
                Step::Sync(effect) => self.sync_effect(now, effect),
                Step::Link(effect) => self.link_effect(now, effect),
                Step::Discovery(effect) => self.discovery_effect(now, effect),
            }
        }
    }

    fn log_effect(&mut self, now: Now, effect: wal::Effect) {
        match effect {
            wal::Effect::Disk(request) => self.outputs.push_back(Output::Disk(request)),
            wal::Effect::Written(through) => {
                self.publish(through);
                self.note_written(now, through);
            }
            wal::Effect::Durable(through) => {
                self.publish(through);
                self.note_written(now, through);
                self.answer_flushes(through);
                self.now_durable(now, through);
            }
            wal::Effect::Poisoned(poison) => self.degrade(&poison),
            wal::Effect::Refused { from, error } => {
                self.note_no_room(now, from, &error);
                self.take_back(from, &error);
            }
            wal::Effect::SnapshotRoom => self.write_snapshot_block(now),
            wal::Effect::SnapshotDone { at, bytes } => self.finish_snapshot(SnapshotTaken { at, bytes }),
            wal::Effect::SnapshotFailed(error) => self.fail_snapshot(now, &error),
            wal::Effect::Closed => self.outputs.push_back(Output::Closed),
        }
    }

    fn answer_flushes(&mut self, durable: Lsn) {
        while let Some(&(through, request)) = self.flushes.front()
            && through <= durable
        {
            self.flushes.pop_front();
            self.reply(request, Ok(Reply::Flushed(durable)));
        }
    }
}

#[cfg(test)]
mod tests;
