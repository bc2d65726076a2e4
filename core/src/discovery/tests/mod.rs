//! Nodes on one network that delivers at once, unless a test says otherwise; time jumps to the next deadline.

mod bytes;
mod clocks;
mod finding;
mod hostile;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use ::bytes::Bytes;

use super::*;
use crate::ids::NodeId;
use crate::time::WallTime;

pub(super) const SECRET: u8 = 9;
pub(super) const GROUP: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(GROUP_V4), DEFAULT_PORT);

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn group() -> Target {
    Target::Multicast { group: GROUP, on: Interface::Any }
}

/// Where a node's own socket is seen.
pub(super) fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 9000))
}

/// Where its transport listens, as seen by others.
pub(super) fn dialled(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 4444))
}

pub(super) fn identity(number: usize) -> Identity {
    Identity::generate(&mut Seed::from_number(number as u64).secrets("identity"))
}

pub(super) fn key(number: usize) -> NodeKey {
    identity(number).key()
}

pub(super) fn described(number: usize) -> Description {
    Description {
        node: NodeId::new(format!("node-{number}")).unwrap(),
        listeners: vec![SocketAddr::from(([0, 0, 0, 0], 4444))],
        capabilities: vec!["store".into(), "relay".into()],
    }
}

pub(super) fn discovery_with(
    number: usize,
    life: u64,
    secret: Option<u8>,
    change: impl FnOnce(&mut Settings),
) -> Discovery {
    let mut settings = Settings::default();
    change(&mut settings);
    let secret = secret.map(|byte| NetworkSecret::from_bytes([byte; 32]));
    let seed = Seed::from_number(1000 * life + number as u64);
    Discovery::new(settings, identity(number), secret.as_ref(), described(number), &seed).unwrap()
}

pub(super) fn discovery(number: usize, life: u64) -> Discovery {
    discovery_with(number, life, Some(SECRET), |_| ())
}

pub(super) struct Node {
    pub(super) discovery: Discovery,
    /// What it told, without what it sent.
    pub(super) told: Vec<Effect>,
    /// Milliseconds by which its clock is ahead.
    pub(super) ahead: i64,
    /// Where its own socket is seen.
    pub(super) address: SocketAddr,
}

impl Node {
    pub(super) fn notices(&self) -> Vec<&Notice> {
        fn notice(effect: &Effect) -> Option<&Notice> {
            if let Effect::Notice(notice) = effect { Some(notice) } else { None }
        }
        self.told.iter().filter_map(notice).collect()
    }

    /// Found, changed and lost, in short.
    pub(super) fn news(&self) -> Vec<(&'static str, &str)> {
        fn short(effect: &Effect) -> Option<(&'static str, &str)> {
            match effect {
                Effect::Found(sighting) => Some(("found", sighting.node.as_str())),
                Effect::Changed(sighting) => Some(("changed", sighting.node.as_str())),
                Effect::Lost { node, why: Loss::Goodbye, .. } => Some(("left", node.as_str())),
                Effect::Lost { node, why: Loss::Silence, .. } => Some(("silent", node.as_str())),
                Effect::Notice(_) | Effect::Send { .. } => None,
            }
        }
        self.told.iter().filter_map(short).collect()
    }

    pub(super) fn ignored(&self, why: Ignored) -> u64 {
        self.discovery.counters.ignored.get(&why).copied().unwrap_or_default()
    }
}

pub(super) struct World {
    pub(super) now: Now,
    pub(super) nodes: Vec<Node>,
    /// Nodes to and from which nothing passes.
    pub(super) cut: BTreeSet<usize>,
    /// Nodes of which only what they send to everybody arrives.
    pub(super) mute: BTreeSet<usize>,
    /// What was sent: when, by whom, where to.
    pub(super) sent: Vec<(Instant, usize, Target, Bytes)>,
    wire: VecDeque<(usize, usize, Bytes)>,
}

impl World {
    pub(super) fn of(nodes: Vec<Discovery>) -> Self {
        let now = Now { mono: Instant(1_000_000), wall: WallTime(1_700_000_000_000) };
        let node = |(number, discovery)| Node { discovery, told: vec![], ahead: 0, address: address(number) };
        let nodes = nodes.into_iter().enumerate().map(node).collect();
        Self { now, nodes, cut: BTreeSet::new(), mute: BTreeSet::new(), sent: vec![], wire: VecDeque::new() }
    }

    /// As many nodes, started and acquainted.
    pub(super) fn running(count: usize) -> Self {
        let mut world = Self::of((0..count).map(|number| discovery(number, 0)).collect());
        world.start_all();
        world.run(seconds(1));
        for node in &mut world.nodes {
            assert_eq!(node.discovery.status(world.now).nodes.len(), count - 1);
            node.told.clear();
        }
        world.sent.clear();
        world
    }

    pub(super) fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
    }

    pub(super) fn start(&mut self, node: usize) {
        self.act(node, |discovery, now, out| discovery.start(now, vec![group()], out).unwrap());
    }

    pub(super) fn now_of(&self, node: usize) -> Now {
        Now { wall: WallTime(self.now.wall.0.saturating_add_signed(self.nodes[node].ahead)), ..self.now }
    }

    pub(super) fn act<T>(&mut self, node: usize, act: impl FnOnce(&mut Discovery, Now, &mut Vec<Effect>) -> T) -> T {
        let now = self.now_of(node);
        let mut effects = Vec::new();
        let result = act(&mut self.nodes[node].discovery, now, &mut effects);
        for effect in effects {
            if let Effect::Send { to, bytes } = effect {
                assert!(bytes.len() <= message::MAX_LEN);
                self.sent.push((self.now.mono, node, to, bytes.clone()));
                self.put_on_wire(node, to, &bytes);
            } else {
                self.nodes[node].told.push(effect);
            }
        }
        result
    }

    fn put_on_wire(&mut self, from: usize, to: Target, bytes: &Bytes) {
        for other in 0..self.nodes.len() {
            let reached = match to {
                Target::Unicast(to) => to == self.nodes[other].address && !self.mute.contains(&from),
                // Also the sender itself hears it.
                Target::Multicast { .. } | Target::Broadcast(_) => true,
            };
            if reached {
                self.wire.push_back((from, other, bytes.clone()));
            }
        }
    }

    /// Hands a node a datagram from anywhere.
    pub(super) fn inject(&mut self, to: usize, from: SocketAddr, bytes: &[u8]) {
        self.act(to, |discovery, now, out| discovery.handle_datagram(now, from, bytes, out));
    }

    pub(super) fn deliver(&mut self) {
        while let Some((from, to, bytes)) = self.wire.pop_front() {
            if !self.cut.contains(&from) && !self.cut.contains(&to) {
                self.inject(to, self.nodes[from].address, &bytes);
            }
        }
    }

    pub(super) fn run(&mut self, length: Duration) {
        let end = self.now.mono + length;
        self.deliver();
        loop {
            let next = self.nodes.iter().filter_map(|node| node.discovery.poll_timeout()).min();
            let at = next.map_or(end, |next| next.min(end).max(self.now.mono));
            let passed = at.since(self.now.mono);
            self.now.wall.0 += (at.0 / 1000) - (self.now.mono.0 / 1000);
            self.now.mono = at;
            if next.is_none_or(|next| next > end) {
                return;
            }
            assert!(passed > Duration::ZERO || next.is_some_and(|next| next <= at), "time stands still");
            for node in 0..self.nodes.len() {
                self.act(node, |discovery, now, out| {
                    discovery.handle_timeout(now, out);
                    assert!(discovery.poll_timeout().is_none_or(|next| next > now.mono));
                });
            }
            self.deliver();
        }
    }

    pub(super) fn sighting(&self, of: usize, by: usize) -> Option<Sighting> {
        self.nodes[by].discovery.sighting(self.now_of(by), &key(of))
    }

    pub(super) fn state(&self, of: usize, by: usize) -> &'static str {
        self.sighting(of, by).map_or("unknown", |sighting| sighting.state.as_str())
    }
}
