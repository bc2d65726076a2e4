//! A cluster in memory: engines with stores and logs that crash, on links that break.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::replica::{Directory, Logs, Replica};
use crate::context::VersionVector;
use crate::dice::{Dice, Seed};
use crate::ids::{Dot, LogId, NodeId, ReplicaId};
use crate::op::Body;
use crate::sync::message::{Message, Origins};
use crate::sync::{Effect, Event, Identity, PeerId, Settings};
use crate::time::{Instant, Now, WallTime};

#[derive(Default)]
struct Link {
    /// Peer ids by which either end knows the link.
    ends: [u64; 2],
    /// Messages on their way to either end.
    to: [VecDeque<Bytes>; 2],
}

pub(super) struct World {
    pub(super) replicas: Vec<Replica>,
    links: BTreeMap<(usize, usize), Link>,
    now: Instant,
    wall: u64,
    next_peer: u64,
    next_boot: u64,
    pub(super) dice: Dice,
    pub(super) room: usize,
    /// What was said to strangers.
    pub(super) strays: Vec<Vec<u8>>,
    /// Who speaks an older protocol, and which.
    pub(super) old: BTreeMap<usize, u8>,
}

pub(super) const START: u64 = 1_700_000_000_000;

fn id(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(number + 1).to_be_bytes());
    bytes
}

impl World {
    pub(super) fn new(count: usize, seed: u64, settings: &Settings) -> Self {
        let dice = Seed::from_number(seed).stream("world");
        let mut world = Self {
            replicas: Vec::new(),
            links: BTreeMap::new(),
            now: Instant(1_000_000),
            wall: START,
            next_peer: 0,
            next_boot: 100,
            dice,
            room: 1000,
            strays: Vec::new(),
            old: BTreeMap::new(),
        };
        for number in 0..count {
            world.add(number as u64, settings);
        }
        world
    }

    pub(super) fn add(&mut self, number: u64, settings: &Settings) -> usize {
        self.next_boot += 1;
        let identity = Identity {
            replica: ReplicaId(id(number)),
            node: NodeId::new(format!("n{number}")).unwrap(),
            log: LogId(id(1000 + number)),
            boot: self.next_boot,
            network: [7; 16],
        };
        let dice = Seed::from_number(number).stream("sync");
        let replica = Replica::new(identity, settings.clone(), dice, self.time(0));
        self.replicas.push(replica);
        let index = self.replicas.len() - 1;
        self.route(index);
        index
    }

    fn time(&self, skew_ms: i64) -> Now {
        Now { mono: self.now, wall: WallTime(self.wall.saturating_add_signed(skew_ms)) }
    }

    pub(super) fn now(&self, index: usize) -> Now {
        self.time(self.replicas[index].skew_ms)
    }

    pub(super) fn write(&mut self, index: usize, key: &str, value: Option<&str>) {
        let now = self.now(index);
        let body = value.map_or(Body::Delete, |value| Body::Put(Bytes::copy_from_slice(value.as_bytes())));
        let replica = &mut self.replicas[index];
        replica.own(now.wall, &Bytes::copy_from_slice(key.as_bytes()), body, false);
        self.route(index);
    }

    pub(super) fn put(&mut self, index: usize, key: &str, value: &str) {
        self.write(index, key, Some(value));
    }

    pub(super) fn delete(&mut self, index: usize, key: &str) {
        self.write(index, key, None);
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if a == b || self.links.contains_key(&pair) {
            return;
        }
        let ends = [self.next_peer, self.next_peer + 1];
        self.next_peer += 2;
        self.links.insert(pair, Link { ends, ..Link::default() });
        for (end, index) in [pair.0, pair.1].into_iter().enumerate() {
            let now = self.now(index);
            let replica = &mut self.replicas[index];
            replica.engine.peer_up(now, PeerId(ends[end]), &mut replica.effects);
        }
        self.route(pair.0);
        self.route(pair.1);
    }

    pub(super) fn connect_all(&mut self) {
        for a in 0..self.replicas.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    pub(super) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&(a.min(b), a.max(b)))
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        let Some(link) = self.links.remove(&pair) else { return };
        for (end, index) in [pair.0, pair.1].into_iter().enumerate() {
            let now = self.now(index);
            let replica = &mut self.replicas[index];
            replica.engine.peer_down(now, PeerId(link.ends[end]), &replica.store, &mut replica.effects);
            self.route(index);
        }
    }

    pub(super) fn cut_all(&mut self, index: usize) {
        for other in 0..self.replicas.len() {
            self.cut(index, other);
        }
    }

    /// Loses what is not durable, and starts again.
    pub(super) fn crash(&mut self, index: usize) {
        let directory = self.replicas[index].directory();
        self.restart_from(index, directory);
    }

    pub(super) fn restart_from(&mut self, index: usize, directory: Directory) {
        self.next_boot += 1;
        self.resume_from(index, directory, self.next_boot);
    }

    /// As [`Self::restart_from`], under a given boot nonce.
    pub(super) fn resume_from(&mut self, index: usize, directory: Directory, boot: u64) {
        // The process is gone before its links are noticed to be.
        self.replicas[index].effects.clear();
        let pairs: Vec<_> = self.links.keys().copied().filter(|(a, b)| *a == index || *b == index).collect();
        for pair in pairs {
            let link = self.links.remove(&pair).unwrap();
            let (end, other) = if pair.0 == index { (1, pair.1) } else { (0, pair.0) };
            let now = self.now(other);
            let replica = &mut self.replicas[other];
            replica.engine.peer_down(now, PeerId(link.ends[end]), &replica.store, &mut replica.effects);
            self.route(other);
        }
        let dice = Seed::from_number(boot).stream("sync");
        let now = self.now(index);
        self.replicas[index].reopen(directory, boot, dice, now);
        self.route(index);
    }

    /// Delivers the oldest message from `a` to `b`.
    pub(super) fn deliver(&mut self, a: usize, b: usize) -> bool {
        let pair = (a.min(b), a.max(b));
        let Some(link) = self.links.get_mut(&pair) else { return false };
        let end = usize::from(pair.1 == b);
        let Some(bytes) = link.to[end].pop_front() else { return false };
        let peer = PeerId(link.ends[end]);
        let bytes = self.as_spoken_between(a, b, bytes);
        let now = self.now(b);
        let replica = &mut self.replicas[b];
        replica.engine.handle_message(now, peer, &bytes, &replica.store, &mut replica.effects);
        self.route(b);
        true
    }

    /// Each end of a link hears in the hello of the other that no more is spoken than the older of the two knows.
    fn as_spoken_between(&self, a: usize, b: usize, bytes: Bytes) -> Bytes {
        let Some(newest) = [a, b].iter().filter_map(|at| self.old.get(at)).min().copied() else { return bytes };
        let mut rest = bytes.clone();
        // What a hello says depends on nothing that was said before; other messages need not be read.
        let Ok((Message::Hello(mut hello), _)) = Message::take(&mut rest, &mut Origins::default()) else {
            return bytes;
        };
        hello.protocols.1 = newest;
        let mut spoken = Vec::new();
        Message::Hello(hello).encode(&mut Origins::default(), &mut spoken);
        spoken.extend_from_slice(&rest);
        spoken.into()
    }

    pub(super) fn inject(&mut self, a: usize, b: usize, bytes: &Bytes) {
        let pair = (a.min(b), a.max(b));
        let end = usize::from(pair.1 == b);
        self.links.get_mut(&pair).unwrap().to[end].push_back(bytes.clone());
    }

    pub(super) fn on_the_way(&self, a: usize, b: usize) -> Vec<Bytes> {
        let pair = (a.min(b), a.max(b));
        let end = usize::from(pair.1 == b);
        self.links.get(&pair).map(|link| link.to[end].iter().cloned().collect()).unwrap_or_default()
    }

    fn directions(&self) -> Vec<(usize, usize)> {
        self.links.keys().flat_map(|&(a, b)| [(a, b), (b, a)]).collect()
    }

    /// Directions in which a message waits.
    pub(super) fn waiting(&self) -> Vec<(usize, usize)> {
        self.directions().into_iter().filter(|&(a, b)| !self.on_the_way(a, b).is_empty()).collect()
    }

    /// Delivers one message on some link.
    pub(super) fn deliver_some(&mut self) -> bool {
        let mut directions = self.directions();
        while !directions.is_empty() {
            let (a, b) = directions.swap_remove(self.dice.below(directions.len() as u64) as usize);
            if self.deliver(a, b) {
                return true;
            }
        }
        false
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.wall += by.as_millis() as u64;
        for index in 0..self.replicas.len() {
            let now = self.now(index);
            let replica = &mut self.replicas[index];
            if replica.engine.poll_timeout(&replica.store).is_some_and(|at| at <= now.mono) {
                replica.engine.handle_timeout(now, &replica.store, &mut replica.effects);
            }
            self.route(index);
        }
    }

    /// Lets everything happen that is due within some seconds.
    pub(super) fn settle(&mut self) {
        self.settle_for(Duration::from_secs(4));
    }

    pub(super) fn settle_for(&mut self, quiet: Duration) {
        let mut left = quiet.as_millis() / 50;
        for _ in 0..2_000_000 {
            if self.deliver_some() {
                continue;
            }
            if left == 0 {
                return;
            }
            left -= 1;
            self.advance(Duration::from_millis(50));
        }
        for replica in &self.replicas {
            let last = replica.events.iter().rev().take(3).collect::<Vec<_>>();
            std::println!("{:?} {:?} {} {last:?}", replica.engine.outbox_status(), replica.closes, replica.log.len());
            std::println!("{:?}", replica.engine.status(&replica.store));
        }
        panic!("it never comes to rest");
    }

    /// Routes the effects of a replica.
    pub(super) fn route(&mut self, index: usize) {
        loop {
            if self.replicas[index].auto_commit && !self.replicas[index].disk_full {
                let now = self.now(index);
                let replica = &mut self.replicas[index];
                if replica.pending() > 0 {
                    replica.commit(now);
                }
            }
            let effects = core::mem::take(&mut self.replicas[index].effects);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry(index, effect);
            }
        }
    }

    fn carry(&mut self, index: usize, effect: Effect) {
        let now = self.now(index);
        let room = self.room;
        let replica = &mut self.replicas[index];
        match effect {
            Effect::PeerReady(peer) => self.pull(index, peer, room),
            Effect::AllReady => {
                for peer in replica.engine.woken() {
                    self.pull(index, peer, room);
                }
            }
            Effect::Apply(apply) => replica.carry(now, &apply),
            Effect::Progressed(_) => {}
            Effect::Persist(record) => replica.log.push(Logs::Sync(record)),
            Effect::CollectDue => {
                if replica.may_collect
                    && let Some(record) = replica.engine.plan_collection(now, &replica.store)
                {
                    let lsn = replica.next_lsn();
                    replica.log.push(Logs::Sync(record.clone()));
                    replica.engine.collecting(lsn, record, &mut replica.store, &mut replica.effects);
                }
            }
            Effect::Close { peer, reason, retry_after } => {
                replica.closes.push(reason);
                replica.pauses.push(retry_after);
                self.pull(index, peer, room);
                let found = self.links.iter().find(|(_, link)| link.ends.contains(&peer.0));
                if let Some((&(a, b), _)) = found {
                    // What is under way still arrives, the farewell above all.
                    let other = if a == index { b } else { a };
                    while self.links.get(&(a, b)).is_some_and(|link| link.ends.contains(&peer.0))
                        && self.deliver(index, other)
                    {}
                    if self.links.get(&(a, b)).is_some_and(|link| link.ends.contains(&peer.0)) {
                        self.cut(a, b);
                    }
                }
            }
            Effect::Resolve(resolution) => {
                let latest = replica.store.latest(&resolution.key).map(|entry| entry.dot());
                if latest == Some(resolution.winner) {
                    replica.own(now.wall, &resolution.key, resolution.body, true);
                }
            }
            Effect::Rebirth(finding) => replica.rebirth = Some(finding),
            Effect::Event(event) => replica.events.push(event),
        }
    }

    fn pull(&mut self, index: usize, peer: PeerId, room: usize) {
        let now = self.now(index);
        loop {
            let replica = &mut self.replicas[index];
            let mut bytes = Vec::new();
            if replica.engine.write_batch(now, peer, room, &replica.store, &mut bytes).is_none() {
                assert!(bytes.is_empty(), "nothing to say, and yet bytes");
                return;
            }
            assert!(!bytes.is_empty(), "something to say, and no bytes");
            let Some((_, link)) = self.links.iter_mut().find(|(_, link)| link.ends.contains(&peer.0)) else {
                self.strays.push(bytes);
                return;
            };
            let end = usize::from(link.ends[0] == peer.0);
            link.to[end].push_back(bytes.into());
        }
    }

    /// What is asserted at the end of every story: equal values, tombstones, vectors, `known`, and empty outboxes.
    pub(super) fn assert_converged(&self) {
        let [first, rest @ ..] = &self.replicas[..] else { return };
        let keys = |replica: &Replica| -> Vec<(Vec<u8>, Dot, Box<VersionVector>)> {
            let entries = replica.store.entries(None);
            entries.map(|entry| (entry.key().to_vec(), entry.dot(), Box::new(entry.known()))).collect()
        };
        for other in rest {
            assert_eq!(first.engine.vector(), other.engine.vector(), "vectors");
            assert_eq!(keys(first), keys(other), "keys, winners, known");
            assert_eq!(first.store.digest(), other.store.digest(), "digests");
        }
        for replica in &self.replicas {
            let name = replica.identity.node.to_string();
            assert_eq!(replica.engine.outbox_status().size(), 0, "outbox of {name}");
            assert!(replica.engine.is_exact(&replica.store), "{name} is exact");
            assert_eq!(Some(replica.store.digest()), replica.store.recomputed_digest());
            assert!(!replica.events.iter().any(|event| matches!(event, Event::Diverged { .. })), "{name} diverged");
            assert_eq!(replica.rebirth, None, "{name}");
        }
    }

    pub(super) fn values(&self, key: &str) -> Vec<Option<String>> {
        self.replicas.iter().map(|replica| replica.get(key)).collect()
    }
}
