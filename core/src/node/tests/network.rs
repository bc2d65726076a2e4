//! Whole nodes, each with its log on a disk in memory, on connections that deliver, stall and break.

use super::*;
use crate::discovery::Target;
use crate::sync;
use crate::transport::address::Address;
use crate::transport::endpoint::{self, LinkId};
use crate::transport::identity::{Identity, NetworkSecret, NodeKey};
use crate::transport::trust::{Trust, TrustMode};
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::SocketAddr;

mod clocks;
mod conflicts;
mod exchange;
mod finding;
mod operators;
mod rebirth;

/// A connection end: which host, and by which name its node knows it.
type End = (usize, LinkId);

struct Host {
    node: Box<Node>,
    disk: MemDisk,
    asked: VecDeque<DiskRequest>,
    pins: BTreeMap<NodeId, NodeKey>,
    events: Vec<Event>,
    replies: BTreeMap<RequestId, Result<Reply, Error>>,
    /// Disk operations are carried out at once.
    prompt: bool,
    full: bool,
    skew_ms: i64,
    starts: u64,
}

/// Some hosts, and the connections between them.
struct Network {
    hosts: Vec<Host>,
    wires: BTreeMap<End, End>,
    /// Bytes on their way to an end.
    moving: VecDeque<(End, Bytes)>,
    /// Datagrams on their way, and from whom.
    air: VecDeque<(usize, Target, Bytes)>,
    /// Pairs that cannot reach each other.
    cut: Vec<(usize, usize)>,
    config: Config,
    ms: u64,
}

impl Network {
    fn of(count: usize) -> Self {
        Self::with(count, Config::default())
    }

    fn with(count: usize, config: Config) -> Self {
        let (moving, air) = (VecDeque::new(), VecDeque::new());
        let mut network =
            Self { hosts: Vec::new(), wires: BTreeMap::new(), moving, air, cut: Vec::new(), config, ms: 1 };
        for number in 0..count {
            let host = network.boot(number, MemDisk::new(), BTreeMap::new(), 0);
            network.hosts.push(host);
        }
        network
    }

    fn boot(&self, number: usize, mut disk: MemDisk, pins: BTreeMap<NodeId, NodeKey>, starts: u64) -> Host {
        let name = NodeId::new(format!("n{number}")).unwrap();
        let config = Config { node_id: Some(name), ..self.config.clone() };
        let seed = 1000 * (number as u64 + 1) + starts;
        let (node, _) = open(&mut disk, config, seed, Start::OpenOrCreate).expect("the directory opens");
        Host {
            node,
            disk,
            asked: VecDeque::new(),
            pins,
            events: Vec::new(),
            replies: BTreeMap::new(),
            prompt: true,
            full: false,
            skew_ms: 0,
            starts: starts + 1,
        }
    }

    fn now(&self, host: usize) -> Now {
        let Now { mono, wall } = at(self.ms);
        Now { mono, wall: WallTime(wall.0.saturating_add_signed(self.hosts[host].skew_ms)) }
    }

    fn identity(number: usize) -> Identity {
        Identity::from_seed(&[number as u8 + 1; 32])
    }

    fn start(&mut self, host: usize) {
        let now = self.now(host);
        let pins = self.hosts[host].pins.clone();
        let network = super::super::Network {
            identity: Self::identity(host),
            secret: Some(NetworkSecret::from_bytes([9; 32])),
            trust: Trust::new(TrustMode::Network, [], pins),
            settings: endpoint::Settings::default(),
        };
        self.hosts[host].node.start_transport(now, network).unwrap();
    }

    /// Lets `from` want a link to `to`.
    fn join(&mut self, from: usize, to: usize) {
        let now = self.now(from);
        let address: Address = format!("10.0.0.{}:4000", to + 1).parse().unwrap();
        self.hosts[from].node.add_peer(now, Some(Self::identity(to).key()), vec![address]).unwrap();
    }

    fn mesh(count: usize) -> Self {
        let mut network = Self::of(count);
        for host in 0..count {
            network.start(host);
        }
        for from in 0..count {
            for to in 0..from {
                network.join(from, to);
            }
        }
        network.settle();
        network
    }

    fn put(&mut self, host: usize, key: &str, value: &str) -> RequestId {
        let now = self.now(host);
        self.hosts[host].node.write(now, vec![put(key, value)]).unwrap()
    }

    fn value(&self, host: usize, key: &str) -> Option<String> {
        let entry = self.hosts[host].node.store().get(key.as_bytes())?;
        entry.value().map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    fn fact(&mut self, (host, link): End, fact: LinkFact) {
        let now = self.now(host);
        self.hosts[host].node.handle(now, Input::Link { link, fact });
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn dial(&mut self, from: End, address: &Address) {
        let number: usize = address.as_str()["10.0.0.".len()..].split(':').next().unwrap().parse().unwrap();
        let to = number - 1;
        let source: SocketAddr = format!("10.0.0.{}:50000", from.0 + 1).parse().unwrap();
        let now = self.now(to);
        let refused = || LinkFact::DialFailed { error: "connection refused".into() };
        if self.is_cut(from.0, to) {
            return self.fact(from, refused());
        }
        match self.hosts[to].node.incoming(now, source) {
            Ok(link) => {
                self.wires.insert(from, (to, link));
                self.wires.insert((to, link), from);
                self.fact(from, LinkFact::Connected);
            }
            Err(_) => self.fact(from, refused()),
        }
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        match output {
            Output::Disk(request) => self.hosts[host].asked.push_back(request),
            Output::Reply { request, result } => drop(self.hosts[host].replies.insert(request, result)),
            Output::Event(event) => self.hosts[host].events.push(event),
            Output::Pin { node, key } => drop(self.hosts[host].pins.insert(node, key)),
            Output::Link { link, act } => match act {
                LinkAct::Dial { address } => self.dial((host, link), &address),
                LinkAct::Send(bytes) => {
                    let count = bytes.len();
                    if let Some(other) = self.wires.get(&(host, link)) {
                        self.moving.push_back((*other, bytes));
                    }
                    self.fact((host, link), LinkFact::Written(count));
                }
                LinkAct::Close(_) => {
                    if let Some(other) = self.wires.remove(&(host, link)) {
                        // What is on its way still arrives.
                        let (mine, rest) = self.moving.drain(..).partition(|(end, _)| *end == other);
                        self.moving = rest;
                        let mine: VecDeque<(End, Bytes)> = mine;
                        // All at once, as a connection gives it to a reader who comes late.
                        let bytes: Vec<u8> = mine.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
                        if !bytes.is_empty() {
                            self.fact(other, LinkFact::Bytes(bytes.into()));
                        }
                        self.wires.remove(&other);
                        self.fact(other, LinkFact::Ended { error: None });
                    }
                }
            },
            Output::Datagram { to, bytes } => self.air.push_back((host, to, bytes)),
            Output::Published(_) | Output::Closed => {}
        }
    }

    fn poll(&mut self, host: usize) -> bool {
        let mut any = false;
        loop {
            let now = self.now(host);
            let Some(output) = self.hosts[host].node.poll_output(now) else { return any };
            any = true;
            self.carry_out(host, output);
        }
    }

    fn step(&mut self) -> bool {
        let mut any = false;
        for host in 0..self.hosts.len() {
            any |= self.poll(host);
            if self.hosts[host].prompt
                && let Some(DiskRequest { token, op, .. }) = self.hosts[host].asked.pop_front()
            {
                let spare = matches!(&op, DiskOp::Create { name, .. } if name.ends_with(".seg.new"));
                let result = if self.hosts[host].full && (spare || matches!(op, DiskOp::Zero { .. })) {
                    Err(DiskError { kind: DiskErrorKind::NoSpace, message: "no space left".to_string() })
                } else {
                    self.hosts[host].disk.run(&op)
                };
                let now = self.now(host);
                self.hosts[host].node.handle(now, Input::Disk { token, result });
                any = true;
            }
        }
        any |= self.deliver();
        if let Some((end, bytes)) = self.moving.pop_front() {
            self.fact(end, LinkFact::Bytes(bytes));
            any = true;
        }
        any
    }

    fn advance(&mut self, ms: u64) {
        self.ms += ms;
        for host in 0..self.hosts.len() {
            let now = self.now(host);
            if self.hosts[host].node.poll_timeout().is_some_and(|at| at <= now.mono) {
                self.hosts[host].node.handle(now, Input::Timeout);
            }
        }
    }

    /// Lets `ms` pass, and everything happen in them.
    fn live(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(20) {
            while self.step() {}
            self.advance(20);
        }
        while self.step() {}
    }

    fn settle(&mut self) {
        self.live(3000);
    }

    /// The connections between two hosts break, and no new ones are made until [`Self::mend`].
    fn part(&mut self, a: usize, b: usize) {
        self.cut.push((a.min(b), a.max(b)));
        let ends: Vec<(End, End)> = self.wires.iter().map(|(a, b)| (*a, *b)).collect();
        for (one, other) in ends {
            if (one.0, other.0) == (a, b) {
                self.snap(one, other);
            }
        }
    }

    fn snap(&mut self, one: End, other: End) {
        self.wires.remove(&one);
        self.wires.remove(&other);
        self.moving.retain(|(end, _)| *end != one && *end != other);
        for end in [one, other] {
            self.fact(end, LinkFact::Ended { error: Some("reset".into()) });
        }
    }

    fn mend(&mut self, a: usize, b: usize) {
        self.cut.retain(|pair| *pair != (a.min(b), a.max(b)));
    }

    /// The process ends between two effects, the power goes, and the node starts again.
    fn crash(&mut self, host: usize) {
        let ends: Vec<(End, End)> = self.wires.iter().filter(|(end, _)| end.0 == host).map(|(a, b)| (*a, *b)).collect();
        for (one, other) in ends {
            self.wires.remove(&one);
            self.wires.remove(&other);
            self.moving.retain(|(end, _)| *end != one && *end != other);
            self.fact(other, LinkFact::Ended { error: Some("reset".into()) });
        }
        let dead = core::mem::replace(&mut self.hosts[host].disk, MemDisk::new());
        let (pins, starts) = (self.hosts[host].pins.clone(), self.hosts[host].starts);
        self.restart_on(host, dead, pins, starts);
    }

    fn restart_on(&mut self, host: usize, mut disk: MemDisk, pins: BTreeMap<NodeId, NodeKey>, starts: u64) {
        disk.crash();
        self.hosts[host] = self.boot(host, disk, pins, starts);
        self.start(host);
    }

    fn replica(&self, host: usize) -> crate::ids::ReplicaId {
        self.hosts[host].node.status().replica
    }

    fn assert_converged(&self) {
        let first = &self.hosts[0].node;
        for (number, host) in self.hosts.iter().enumerate() {
            let node = &host.node;
            assert_eq!(node.store().digest(), first.store().digest(), "digest of n{number}");
            let status = node.sync_status();
            assert_eq!(status.vector, first.sync_status().vector, "vector of n{number}");
            assert!(status.exact, "n{number} is exact");
            assert_eq!(status.outbox.size(), 0, "outbox of n{number}: {:?}", status.outbox);
            assert_eq!(status.divergences, 0);
        }
    }
}

#[test]
fn what_is_written_on_one_node_reaches_the_other() {
    let mut network = Network::mesh(2);
    network.put(0, "till", "open");
    network.put(1, "desk", "closed");
    network.settle();
    assert_eq!(
        (network.value(1, "till").as_deref(), network.value(0, "desk").as_deref()),
        (Some("open"), Some("closed"))
    );
    network.assert_converged();
    assert_eq!(network.hosts[0].node.status().connected, 1);
    assert_eq!(network.hosts[0].pins.len(), 1, "the peer's key is pinned");
}

#[test]
fn what_was_written_apart_meets_and_everything_survives_a_power_loss() {
    let mut network = Network::mesh(3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        network.part(a, b);
    }
    for host in 0..3 {
        for n in 0..50 {
            network.put(host, &format!("n{host}/{n}"), "x");
        }
        network.put(host, "contested", &format!("by {host}"));
        network.live(20);
    }
    network.settle();
    assert_eq!(network.hosts[1].node.status().outbox.queued, 51);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        network.mend(a, b);
    }
    network.live(5000);
    network.assert_converged();
    assert_eq!(network.value(0, "contested").as_deref(), Some("by 2"));
    for host in 0..3 {
        assert!(network.hosts[host].node.status().conflicts >= 1, "n{host} knows of the conflict");
        let loser = network.hosts[host].node.conflicts().iter().any(|conflict| {
            [&conflict.met.local, &conflict.met.remote]
                .iter()
                .any(|version| version.body.value() == Some(&"by 0".into()))
        });
        assert!(loser, "n{host} keeps the version that lost");
    }
    for host in 0..3 {
        network.crash(host);
    }
    for (from, to) in [(1, 0), (2, 0), (2, 1)] {
        network.join(from, to);
    }
    network.settle();
    network.assert_converged();
    assert_eq!(network.value(2, "n0/49").as_deref(), Some("x"));
    assert_eq!(network.hosts[0].node.status().outbox.acknowledged, 51, "acknowledgements survive");
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable_at_the_peer() {
    let mut network = Network::mesh(2);
    network.hosts[1].prompt = false;
    network.put(0, "k", "v");
    network.live(500);
    let outbox = network.hosts[0].node.status().outbox;
    assert_eq!((outbox.acknowledged, outbox.in_flight), (0, 1));
    assert_eq!(network.value(1, "k"), None, "not shown before it is durable");
    network.hosts[1].prompt = true;
    network.settle();
    assert_eq!(network.hosts[0].node.status().outbox.acknowledged, 1);
    network.assert_converged();
}

#[test]
fn a_crash_at_any_moment_of_a_transfer_loses_nothing() {
    for steps in [1, 5, 10, 20, 40, 80, 120, 160, 200, 240] {
        let mut network = Network::of(2);
        network.start(0);
        network.start(1);
        for n in 0..300 {
            network.put(0, &format!("k{n}"), &"v".repeat(2000));
        }
        network.settle();
        network.join(1, 0);
        for _ in 0..steps {
            network.step();
        }
        network.crash(1);
        network.join(1, 0);
        network.settle();
        network.crash(0);
        network.join(1, 0);
        network.live(5000);
        network.assert_converged();
        assert_eq!(network.hosts[1].node.store().len(), 300);
    }
}

#[test]
fn a_node_between_two_others_carries_for_both() {
    let mut network = Network::of(3);
    (0..3).for_each(|host| network.start(host));
    network.join(0, 1);
    network.join(2, 1);
    network.part(1, 2);
    network.put(0, "from 0", "a");
    network.settle();
    network.part(0, 1);
    network.mend(1, 2);
    network.put(2, "from 2", "c");
    network.live(5000);
    assert_eq!(network.value(2, "from 0").as_deref(), Some("a"));
    network.part(1, 2);
    network.mend(0, 1);
    network.live(5000);
    assert_eq!(network.value(0, "from 2").as_deref(), Some("c"));
    network.mend(1, 2);
    network.live(5000);
    network.assert_converged();
}

#[test]
fn a_peer_without_room_refuses_by_name_and_goes_on_when_there_is_room() {
    let mut config = Config::default();
    config.log.first_segment = 64 << 10;
    config.log.max_segment = 64 << 10;
    let mut network = Network::with(2, config);
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.settle();
    network.hosts[1].full = true;
    for n in 0..100 {
        network.put(0, &format!("k{n}"), &"v".repeat(4000));
        network.live(40);
    }
    network.settle();
    let full = |event: &Event| matches!(event, Event::DiskFull { .. });
    assert!(network.hosts[1].events.iter().any(full), "{:?}", network.hosts[1].events);
    let outbox = network.hosts[0].node.status().outbox;
    assert!(outbox.size() > 0, "kept here: {outbox:?}");
    assert!(outbox.retries > 0);
    let refused = |event: &Event| {
        matches!(event, Event::LinkDown { cause: Some(sync::CloseReason::Told(sync::Bye::NoRoom)), .. })
    };
    assert!(network.hosts[0].events.iter().any(refused), "{:?}", network.hosts[0].events);
    let unexplained = |event: &Event| matches!(event, Event::LinkDown { cause: None, .. });
    assert!(!network.hosts[0].events.iter().any(unexplained), "{:?}", network.hosts[0].events);
    network.put(0, "local", "still works");
    network.hosts[1].full = false;
    network.live(90_000);
    network.assert_converged();
    assert_eq!(network.value(1, "local").as_deref(), Some("still works"));
}

#[test]
fn by_hand_nothing_is_sent_before_a_tick() {
    let mut config = Config::default();
    config.sync.auto_tick = false;
    let mut network = Network::with(2, config);
    network.start(0);
    let now = network.now(0);
    assert_eq!(network.hosts[0].node.tick(now, false), Ticked::default(), "nothing ready");
    network.put(0, "k", "v");
    network.settle();
    let ticked = network.hosts[0].node.tick(now, false);
    assert_eq!((ticked.batch, ticked.sent, ticked.connected), (1, 0, 0), "no connected peer");
    network.start(1);
    network.join(0, 1);
    network.settle();
    assert_eq!(network.value(1, "k"), None);
    let now = network.now(0);
    let ticked = network.hosts[0].node.tick(now, true);
    assert_eq!((ticked.batch, ticked.sent, ticked.connected), (1, 1, 1));
    network.settle();
    assert_eq!(network.value(1, "k").as_deref(), Some("v"));
    let now = network.now(0);
    assert_eq!(network.hosts[0].node.tick(now, true).pruned, 1);
    assert_eq!(network.hosts[0].node.status().outbox.pruned, 1);
    network.put(0, "again", "v");
    network.settle();
    assert_eq!(network.value(1, "again"), None);
    let now = network.now(0);
    assert_eq!(network.hosts[0].node.tick(now, false).sent, 1, "the one that was held back");
    assert_eq!(network.hosts[0].node.tick(now, false).sent, 0);
    network.settle();
    assert_eq!(network.value(1, "again").as_deref(), Some("v"));
}

/// 0 gets a part of what 1 has, and 1 is gone for good: nobody can ever say what is missing.
#[test]
fn forgetting_a_replica_closes_its_history() {
    let mut network = Network::of(2);
    network.start(0);
    network.start(1);
    for n in 0..300 {
        network.put(1, &format!("k{n}"), &"v".repeat(4000));
    }
    network.settle();
    network.join(0, 1);
    while network.hosts[0].node.store().is_empty() {
        network.step();
    }
    network.part(0, 1);
    network.settle();
    assert!(!network.hosts[0].node.sync_status().exact, "the transfer was cut");
    let gone = network.replica(1);
    let now = network.now(0);
    network.hosts[0].node.forget_replica(now, gone).unwrap();
    network.settle();
    assert!(network.hosts[0].node.sync_status().exact);
    network.crash(0);
    assert!(network.hosts[0].node.sync_status().exact, "also after a restart");
    // It comes back all the same, and still sends what was left out.
    network.mend(0, 1);
    network.join(0, 1);
    network.live(60_000);
    let diverged = |event: &Event| matches!(event, Event::Sync(sync::Event::Diverged { .. }));
    assert!(!network.hosts.iter().any(|host| host.events.iter().any(diverged)));
    assert_eq!(network.hosts[0].node.store().len(), 300);
    assert_eq!(network.hosts[0].node.store().digest(), network.hosts[1].node.store().digest());
}

#[test]
fn stopping_the_transport_leaves_local_work_alone_and_starting_resumes() {
    let mut network = Network::mesh(2);
    let now = network.now(0);
    network.hosts[0].node.stop_transport(now);
    network.settle();
    assert_eq!(network.hosts[0].node.status().connected, 0);
    assert!(!network.hosts[0].node.transport_running());
    network.put(0, "k", "v");
    network.settle();
    assert_eq!(network.value(0, "k").as_deref(), Some("v"));
    network.start(0);
    network.live(20_000);
    network.assert_converged();
    assert_eq!(network.value(1, "k").as_deref(), Some("v"));
}

#[test]
fn the_same_inputs_give_the_same_outputs_with_links_too() {
    let run = || {
        let mut network = Network::mesh(3);
        for n in 0..40 {
            network.put(n % 3, &format!("k{}", n % 7), &format!("{n}"));
            if n % 5 == 0 {
                network.step();
            }
        }
        network.settle();
        let journals: Vec<String> = network.hosts.iter().map(|host| format!("{:?}", host.disk.journal())).collect();
        (journals, network.hosts[0].node.sync_status())
    };
    assert_eq!(run(), run());
}
