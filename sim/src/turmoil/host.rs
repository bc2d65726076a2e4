//! One machine: it opens the node, works with it, is crashed, and opens it again on what its disk has kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use softadastra::network::{Book, PeerSpec};
use softadastra::{Client, ClientOptions, Code, Event, NetworkSecret, NodeId, NodeState, ReplicaId, TransportOptions};
use softadastra::{Error, world::World};
use softadastra_core::dice::Seed;
use softadastra_core::metadata::Surroundings;
use softadastra_core::sync;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::clock::{HostClock, Skew};
use super::disk::{HostDisk, Platter};
use super::memory::{Memory, Seen};
use super::net::{SimNet, Wires};
use super::record::Record;
use super::script::{HostScript, Script, Settings, name};
use super::work;
use crate::chance;

/// Where every host listens.
const PORT: u16 = 7000;

/// How often the operator of a host looks whether its node is well.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The pause before a node that could not be opened, or had to be closed, is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(50);

/// What all hosts share.
#[derive(Debug)]
pub struct Common {
    /// What is to happen.
    pub script: Script,
    /// What has happened.
    pub record: Record,
    /// Names of all hosts.
    pub names: Arc<[String]>,
    /// Every connection between hosts.
    pub wires: Arc<Wires>,
    /// What every program was told, by its name.
    pub memories: Vec<Vec<Mutex<Memory>>>,
}

/// A machine, with all that outlives a crash.
#[derive(Debug)]
pub struct Host {
    /// Which one.
    pub index: usize,
    /// Its name on the network, and that of its node.
    pub name: &'static str,
    /// Its disk.
    pub platter: Platter,
    /// Its clocks.
    pub skew: Arc<Skew>,
    /// What its readers have seen.
    pub seen: Mutex<Seen>,
    /// What it shares with the others.
    pub common: Arc<Common>,
    book: Book,
    starts: AtomicU64,
    /// It is to be closed, for so many milliseconds.
    stop: AtomicU64,
    present: Mutex<Option<(Client, ReplicaId)>>,
}

impl Common {
    /// Of a script that has not begun.
    #[must_use]
    pub fn new(script: Script, keep: bool) -> Arc<Self> {
        let names: Vec<String> = (0..script.hosts.len()).map(|host| name(host).to_owned()).collect();
        let memories = script.hosts.iter().enumerate().map(|(index, host)| {
            let memory = |program| {
                let salt = chance::mix(script.seed, index as u64, program as u64);
                Mutex::new(Memory::new(format!("{}.{program}", name(index)), salt, host.value_len))
            };
            (0..host.programs).map(memory).collect()
        });
        let memories = memories.collect();
        let wires = Arc::new(Wires::new(script.seed, script.settings.pieces));
        Arc::new(Self { script, record: Record::new(keep), names: names.into(), wires, memories })
    }

    /// Whether programs still write.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        now < Duration::from_millis(self.script.peace_at)
    }

    /// What a program was told, by the name that its values bear.
    #[must_use]
    pub fn memory(&self, program: &str) -> Option<MutexGuard<'_, Memory>> {
        let (host, number) = program.split_once('.')?;
        let host = self.names.iter().position(|name| name == host)?;
        self.memories.get(host)?.get(number.parse::<usize>().ok()?).map(hold)
    }
}

impl Host {
    /// A machine with an empty disk.
    #[must_use]
    pub fn new(index: usize, name: &'static str, common: Arc<Common>) -> Arc<Self> {
        let salt = chance::mix(common.script.seed, index as u64, 100);
        let (ahead, fast) = common.script.hosts.get(index).map_or((0, 0), |host| (host.ahead_ms, host.fast_ppm));
        Arc::new(Self {
            index,
            name,
            platter: Platter::new(salt),
            skew: Arc::new(Skew::new(ahead, fast)),
            seen: Mutex::default(),
            common,
            book: Book::in_memory(&Seed::from_number(salt)),
            starts: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            present: Mutex::default(),
        })
    }

    /// Its node and the name of its history, while it is up and on the network.
    #[must_use]
    pub fn present(&self) -> Option<(Client, ReplicaId)> {
        hold(&self.present).clone()
    }

    /// Lets its operator close the node in order, and open it again after so many milliseconds.
    pub fn stop(&self, down_for: u64) {
        self.stop.store(down_for, Ordering::Relaxed);
    }

    /// It was crashed: nobody has its node any more.
    pub fn crashed(&self) {
        *hold(&self.present) = None;
    }

    /// What was told to its programs.
    pub fn memories(&self) -> impl Iterator<Item = MutexGuard<'_, Memory>> {
        self.common.memories.get(self.index).into_iter().flatten().map(hold)
    }

    /// Everything from power on until the machine is crashed or the simulation ends.
    ///
    /// # Errors
    /// None; it is what the simulation wants.
    pub async fn live(self: Arc<Self>) -> turmoil::Result {
        let Some(script) = self.common.script.hosts.get(self.index).cloned() else { return Ok(()) };
        let now = turmoil::sim_elapsed().unwrap_or_default();
        sleep(Duration::from_millis(script.starts_at).saturating_sub(now)).await;
        self.interrupt();
        loop {
            match self.open().await {
                Ok(client) => self.work(&script, client).await,
                Err(error) if matches!(error.code(), Code::IoError | Code::DiskFull) => {
                    self.common.record.mark("opening failed");
                    self.note(format_args!("cannot open: {error}"));
                }
                Err(error) => self.broken(format_args!("the node does not open: {error}")),
            }
            sleep(REOPEN_AFTER + Duration::from_millis(self.stop.swap(0, Ordering::Relaxed))).await;
        }
    }

    async fn open(&self) -> Result<Client, Error> {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let seed = chance::mix(self.common.script.seed, self.index as u64, 200 + start);
        let world = World {
            disk: Some(HostDisk::mount(&self.platter)),
            clock: HostClock::start(self.skew.clone()),
            net: SimNet::new(self.index, self.common.names.clone(), self.common.wires.clone()),
            book: self.book.clone(),
            seed: Seed::from_number(seed),
            surroundings: Surroundings::default(),
        };
        let client = Client::open_with(world, options(self.name, &self.common.script.settings)).await?;
        let report = client.recovery_report();
        if report.torn_bytes > 0 {
            self.common.record.mark("torn tail cut");
        }
        self.common.record.mark(if start == 0 { "first start" } else { "restart" });
        self.note(format_args!(
            "up: {} records, {} torn bytes, {}",
            report.records,
            report.torn_bytes,
            if report.clean { "clean" } else { "recovered" }
        ));
        Ok(client)
    }

    async fn work(self: &Arc<Self>, script: &HostScript, client: Client) {
        if let Err(error) = work::read(self, &client, true) {
            self.broken(format_args!("after opening, {error}"));
        }
        if let Err(error) = self.join_network(script, &client).await {
            self.broken(format_args!("no links: {error}"));
        }
        *hold(&self.present) = client.node_info().ok().map(|info| (client.clone(), info.replica_id));
        // Dropped with everything else when the machine is crashed.
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(self.clone(), client.clone()));
        tasks.spawn(work::readers(self.clone(), client.clone()));
        for program in 0..script.programs {
            tasks.spawn(work::program(self.clone(), client.clone(), program));
        }
        let why = self.until_it_fails(&client).await;
        self.note(format_args!("to be reopened: {why}"));
        *hold(&self.present) = None;
        tasks.shutdown().await;
        self.interrupt();
        if let Err(error) = client.close().await {
            self.note(format_args!("closed: {error}"));
        }
    }

    fn interrupt(&self) {
        let waiting = self.memories().filter_map(|mut memory| memory.interrupted().then_some(())).count();
        (0..waiting).for_each(|_| self.common.record.mark("write interrupted"));
    }

    async fn join_network(&self, script: &HostScript, client: &Client) -> Result<(), Error> {
        let Seed(secret) = Seed::from_number(self.common.script.seed);
        client.set_network_secret(NetworkSecret::from_bytes(secret)).await?;
        let name = |peer: &usize| self.common.names.get(*peer);
        let peer = |name: &String| format!("{name}:{PORT}").parse::<PeerSpec>();
        let peers = script.dials.iter().filter_map(name).map(peer).collect::<Result<_, _>>()?;
        client.start_transport(TransportOptions { peers, ..transport() }).await?;
        Ok(())
    }

    async fn until_it_fails(&self, client: &Client) -> String {
        loop {
            if self.stop.load(Ordering::Relaxed) > 0 {
                self.common.record.mark("stop");
                return "its operator wants it so".to_owned();
            }
            match client.status().map(|status| status.state) {
                Ok(NodeState::Degraded(why)) => {
                    self.common.record.mark("degraded");
                    return why;
                }
                Ok(NodeState::Ready | NodeState::NoRoom | NodeState::Closing) => {}
                Err(error) => {
                    self.broken(format_args!("the node has stopped: {error}"));
                    return error.to_string();
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Adds a line to the story.
    pub fn note(&self, line: std::fmt::Arguments<'_>) {
        self.common.record.note(self.name, line);
    }

    /// A promise was broken here.
    pub fn broken(&self, what: std::fmt::Arguments<'_>) {
        self.common.record.broken(self.name, what);
    }
}

/// Timeouts short enough for a short run.
fn options(name: &str, settings: &Settings) -> ClientOptions {
    let name = NodeId::new(name).expect("a letter is a node id");
    let millis = Duration::from_millis;
    let first = settings.first_segment;
    let options = ClientOptions::local("simulated").node_id(name).segments(first, 4 * first);
    options.snapshot_after(settings.snapshot_after).sync(sync::Settings {
        required_acks: settings.required_acks,
        window: settings.window,
        max_retries: settings.max_retries,
        ack_timeout: millis(1500),
        backoff_first: millis(50),
        backoff_max: millis(400),
        ping_every: millis(400),
        gossip_delay: millis(100),
        stall_after: millis(800),
        ..sync::Settings::default()
    })
}

fn transport() -> TransportOptions {
    let millis = Duration::from_millis;
    let mut options = TransportOptions { listen: vec![format!("0.0.0.0:{PORT}")], ..TransportOptions::default() };
    options.settings.dial_timeout = millis(600);
    options.settings.first_pause = millis(50);
    options.settings.longest_pause = millis(400);
    options.settings.steady_after = millis(500);
    options.settings.link.handshake_timeout = millis(800);
    options.settings.link.idle_timeout = millis(1200);
    options.settings.link.keep_alive = millis(400);
    options.settings.link.write_timeout = millis(1000);
    options
}

/// Writes down what the node tells its operator.
async fn listen(host: Arc<Host>, client: Client) {
    let Ok(mut events) = client.events() else { return };
    while let Some(event) = events.next().await {
        match event {
            Event::LinkUp { node, .. } => {
                host.common.record.mark("link up");
                host.note(format_args!("link to {node}"));
            }
            Event::LinkDown { node, reason, cause, .. } => {
                host.common.record.mark(format!("link down: {}", reason.as_str()));
                host.note(format_args!("link to {node} ended: {reason} {cause:?}"));
            }
            Event::LinkFailed { reason, .. } => {
                host.common.record.mark(format!("no link: {}", reason.as_str()));
                host.note(format_args!("no link: {reason}"));
            }
            Event::DiskFull { error } => {
                host.common.record.mark("disk full");
                host.note(format_args!("no room: {error}"));
            }
            Event::DiskRoom => host.common.record.mark("room again"),
            Event::SnapshotDone(_) => host.common.record.mark("snapshot"),
            Event::Sync(sync::Event::Conflict { key, .. }) => {
                host.common.record.mark("conflict");
                if !key.starts_with(work::SHARED) {
                    host.broken(format_args!("a conflict about {key:?}, which only one program writes"));
                }
            }
            Event::Reborn { .. }
            | Event::KeyCloned { .. }
            | Event::Distrusted { .. }
            | Event::Sync(sync::Event::Diverged { .. } | sync::Event::Identity(_)) => {
                host.broken(format_args!("nothing has given reason to say {event:?}"));
            }
            Event::Degraded(_)
            | Event::SnapshotFailed { .. }
            | Event::Sync(_)
            | Event::NodeFound(_)
            | Event::NodeChanged(_)
            | Event::NodeLost { .. }
            | Event::Discovery(_) => host.note(format_args!("{event:?}")),
        }
    }
}

/// Nothing panics under these locks that would not end the run.
pub(super) fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
