//! Endpoints joined by a network that delivers in any order the seed says; time jumps to the next deadline.

mod dialling;
mod found;
mod pairs;
mod strangers;
mod wanted;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::super::address::Address;
use super::super::reason::Farewell;
use super::super::session::{Lane, SendRefused};
use super::super::trust::{Distrust, TrustMode};
use super::*;

pub(super) const SECRET: u8 = 9;

pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    pub(super) up: BTreeMap<NodeKey, LinkId>,
    pub(super) downs: Vec<(NodeKey, CloseReason)>,
    pub(super) ups: usize,
    pub(super) messages: Vec<(NodeKey, Bytes)>,
    pub(super) dialled: Vec<(Instant, Address)>,
    pub(super) closed: Vec<(LinkId, CloseReason)>,
    pub(super) notices: Vec<Notice>,
    pub(super) pins: Vec<(NodeId, NodeKey)>,
    /// Whether others can reach it.
    pub(super) reachable: bool,
}

/// One connection: for each end its node and link, and what is on its way to it.
struct Wire {
    ends: [(usize, LinkId); 2],
    to: [VecDeque<Event>; 2],
    /// Nothing passes, and nobody is told.
    dead: bool,
}

enum Event {
    Bytes(Bytes),
    End,
}

enum Step {
    Dial { node: usize, link: LinkId, address: Address },
    Deliver { wire: usize, end: usize },
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    wires: Vec<Wire>,
    dials: Vec<(usize, LinkId, Address)>,
    dice: Dice,
    /// All that every node ever asked for, for comparison.
    pub(super) trace: Vec<(usize, Effect)>,
}

pub(super) fn address(node: usize) -> Address {
    format!("node-{node}:7").parse().unwrap()
}

pub(super) fn endpoint(number: usize, life: u64, change: impl FnOnce(&mut Settings)) -> Endpoint {
    endpoint_with(number, life, Some(SECRET), Trust::new(TrustMode::Network, [], []), change)
}

pub(super) fn endpoint_with(
    number: usize,
    life: u64,
    secret: Option<u8>,
    trust: Trust,
    change: impl FnOnce(&mut Settings),
) -> Endpoint {
    let identity = Identity::generate(&mut Seed::from_number(number as u64).secrets("identity"));
    let mut settings = Settings::default();
    change(&mut settings);
    let secret = secret.map(|byte| NetworkSecret::from_bytes([byte; 32]));
    let name = NodeId::new(format!("node-{number}")).unwrap();
    let seed = Seed::from_number(1000 * life + number as u64);
    Endpoint::new(settings, identity, name, secret, trust, &seed).unwrap()
}

impl Node {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            up: BTreeMap::new(),
            downs: vec![],
            ups: 0,
            messages: vec![],
            dialled: vec![],
            closed: vec![],
            notices: vec![],
            pins: vec![],
            reachable: true,
        }
    }

    pub(super) fn why(&self) -> Vec<&'static str> {
        self.closed.iter().map(|(_, reason)| reason.as_str()).collect()
    }
}

impl World {
    pub(super) fn new(count: usize, seed: u64) -> Self {
        Self::of((0..count).map(|number| endpoint(number, 1, |_| {})).collect(), seed)
    }

    pub(super) fn of(endpoints: Vec<Endpoint>, seed: u64) -> Self {
        let mut world = Self {
            now: Instant(1_000_000),
            nodes: endpoints.into_iter().map(Node::new).collect(),
            wires: vec![],
            dials: vec![],
            dice: Seed::from_number(seed).stream("network"),
            trace: vec![],
        };
        for node in 0..world.nodes.len() {
            world.act(node, |endpoint, now, out| endpoint.start(now, out));
        }
        world
    }

    pub(super) fn key(&self, node: usize) -> NodeKey {
        self.nodes[node].endpoint.key()
    }

    pub(super) fn act<R>(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut Endpoint, Instant, &mut dyn Sink<Effect>) -> R,
    ) -> R {
        let mut effects = Vec::new();
        let result = act(&mut self.nodes[node].endpoint, self.now, &mut effects);
        for effect in effects {
            self.trace.push((node, effect.clone()));
            self.carry_out(node, effect);
        }
        result
    }

    fn carry_out(&mut self, number: usize, effect: Effect) {
        let now = self.now;
        let node = &mut self.nodes[number];
        match effect {
            Effect::Dial { link, address, .. } => {
                node.dialled.push((now, address.clone()));
                self.dials.push((number, link, address));
            }
            Effect::Send { link, bytes } => {
                let len = bytes.len();
                if let Some((wire, end)) = self.wire_of(number, link) {
                    self.wires[wire].to[1 - end].push_back(Event::Bytes(bytes));
                    if self.wires[wire].dead {
                        return;
                    }
                }
                self.act(number, |endpoint, now, out| endpoint.handle_written(now, link, len, out));
            }
            Effect::Close { link, reason } => {
                node.closed.push((link, reason));
                self.dials.retain(|dial| (dial.0, dial.1) != (number, link));
                if let Some((wire, end)) = self.wire_of(number, link) {
                    self.wires[wire].to[1 - end].push_back(Event::End);
                    self.wires[wire].to[end].clear();
                }
            }
            Effect::PeerUp { peer, link, .. } => {
                node.ups += 1;
                assert_eq!(node.up.insert(peer, link), None, "a second link to one peer");
            }
            Effect::PeerDown { peer, reason } => {
                assert!(node.up.remove(&peer).is_some(), "down without up");
                node.downs.push((peer, reason));
            }
            Effect::Message { peer, bytes, .. } => {
                assert!(node.up.contains_key(&peer), "a message from a peer that is not up");
                node.messages.push((peer, bytes));
            }
            Effect::Room { .. } => {}
            Effect::Pin { node: name, key } => node.pins.push((name, key)),
            Effect::Notice(notice) => node.notices.push(notice),
        }
    }

    fn wire_of(&self, node: usize, link: LinkId) -> Option<(usize, usize)> {
        let find = |(number, wire): (usize, &Wire)| {
            wire.ends.iter().position(|end| *end == (node, link)).map(|end| (number, end))
        };
        self.wires.iter().enumerate().find_map(find)
    }

    fn steps(&self) -> Vec<Step> {
        let dials = self.dials.iter().map(|(node, link, address)| Step::Dial {
            node: *node,
            link: *link,
            address: address.clone(),
        });
        let deliveries = self.wires.iter().enumerate().filter(|(_, wire)| !wire.dead).flat_map(|(number, wire)| {
            let ends = (0..2).filter(|end| !wire.to[*end].is_empty());
            ends.map(move |end| Step::Deliver { wire: number, end })
        });
        dials.chain(deliveries).collect()
    }

    /// Carries out one thing that waits on the network, chosen by the dice. Gives whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let mut steps = self.steps();
        if steps.is_empty() {
            return false;
        }
        let chosen = self.dice.below(steps.len() as u64) as usize;
        self.pass(steps.swap_remove(chosen));
        true
    }

    /// Carries out all that waits on the network, but nothing that follows from it. Gives whether there was anything.
    pub(super) fn round(&mut self) -> bool {
        let steps = self.steps();
        let any = !steps.is_empty();
        steps.into_iter().for_each(|step| self.pass(step));
        any
    }

    fn pass(&mut self, step: Step) {
        match step {
            Step::Dial { node, link, address } => {
                self.dials.retain(|dial| (dial.0, dial.1) != (node, link));
                let target = (0..self.nodes.len())
                    .find(|n| address.as_str().starts_with(&format!("node-{n}:")) && self.nodes[*n].reachable);
                let from = format!("10.0.0.{}:999", node + 1).parse().unwrap();
                let answered = target.and_then(|target| {
                    let answer = self.act(target, |endpoint, now, out| endpoint.incoming(now, from, out));
                    Some((target, answer.ok()?))
                });
                match answered {
                    Some(answered) => {
                        let ends = [(node, link), answered];
                        self.wires.push(Wire { ends, to: Default::default(), dead: false });
                        self.act(node, |endpoint, now, out| endpoint.handle_connected(now, link, out));
                    }
                    None => self.act(node, |endpoint, now, out| {
                        endpoint.handle_dial_failed(now, link, "refused".to_string(), out);
                    }),
                }
            }
            Step::Deliver { wire, end } => {
                let (node, link) = self.wires[wire].ends[end];
                match self.wires[wire].to[end].pop_front() {
                    Some(Event::Bytes(bytes)) => {
                        self.act(node, |endpoint, now, out| endpoint.handle_bytes(now, link, &bytes, out));
                    }
                    Some(Event::End) => {
                        self.act(node, |endpoint, now, out| endpoint.handle_end(now, link, None, out));
                    }
                    None => {}
                }
            }
        }
    }

    pub(super) fn run(&mut self) {
        for steps in 0.. {
            assert!(steps < 100_000, "the network never falls silent");
            if !self.step() {
                return;
            }
        }
    }

    /// Lives until `duration` has passed: all deadlines are served, all bytes delivered.
    pub(super) fn live(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run();
        for jumps in 0.. {
            assert!(jumps < 100_000, "time does not pass");
            let next = self.nodes.iter().filter_map(|node| node.endpoint.poll_timeout()).min();
            self.now = next.unwrap_or(end).min(end).max(self.now);
            if next.is_none_or(|next| next > end) {
                return;
            }
            for node in 0..self.nodes.len() {
                self.act(node, |endpoint, now, out| endpoint.handle_timeout(now, out));
            }
            self.run();
        }
    }

    /// The connections between two nodes go silent; nobody is told.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        for wire in &mut self.wires {
            let [(x, _), (y, _)] = wire.ends;
            wire.dead |= (x, y) == (a, b) || (x, y) == (b, a);
        }
    }

    /// The end of one node's links comes as an error, the other side is not told.
    pub(super) fn break_links_of(&mut self, node: usize) {
        let links: Vec<LinkId> = self.nodes[node].up.values().copied().collect();
        for link in links {
            if let Some((wire, _)) = self.wire_of(node, link) {
                self.wires[wire].dead = true;
            }
            self.act(node, |endpoint, now, out| endpoint.handle_end(now, link, Some("reset".to_string()), out));
        }
    }

    /// What the former self of a node had sent, and nobody has received yet, arrives after all.
    pub(super) fn deliver_last_words_of(&mut self, number: usize) {
        for wire in &mut self.wires {
            wire.dead &= !wire.ends.contains(&(number, LinkId(u64::MAX)));
        }
        self.run();
    }

    /// Replaces a node by another start of it; its connections vanish without a word.
    pub(super) fn restart(&mut self, number: usize, endpoint: Endpoint) {
        for wire in &mut self.wires {
            wire.dead |= wire.ends.iter().any(|(node, _)| *node == number);
        }
        self.dials.retain(|dial| dial.0 != number);
        // Links of the new start count from one again: old wires must not be mistaken for theirs.
        self.wires.iter_mut().for_each(|wire| {
            wire.ends.iter_mut().filter(|end| end.0 == number).for_each(|end| end.1 = LinkId(u64::MAX));
        });
        self.nodes[number] = Node::new(endpoint);
        self.act(number, |endpoint, now, out| endpoint.start(now, out));
    }

    pub(super) fn add(&mut self, from: usize, to: usize) -> PeerId {
        self.act(from, |endpoint, now, out| endpoint.add_peer(now, None, vec![address(to)], out))
    }

    pub(super) fn send(&mut self, from: usize, to: usize, text: &'static str) {
        let key = self.key(to);
        self.nodes[from].endpoint.send(&key, Lane::Control, Bytes::from_static(text.as_bytes())).unwrap();
        self.act(from, |endpoint, now, out| endpoint.flush(now, out));
    }

    /// Both ends of a pair are up over one and the same connection, and a message passes each way.
    pub(super) fn assert_linked(&mut self, a: usize, b: usize) {
        let (key_a, key_b) = (self.key(a), self.key(b));
        let link =
            |node: usize, peer| self.nodes[node].up.get(&peer).copied().unwrap_or_else(|| panic!("{node} is down"));
        let (ours, theirs) = (link(a, key_b), link(b, key_a));
        assert_eq!(self.wire_of(a, ours).unwrap().0, self.wire_of(b, theirs).unwrap().0, "two different connections");
        for (from, to) in [(a, b), (b, a)] {
            self.nodes[to].messages.clear();
            self.send(from, to, "hello");
            self.run();
            assert_eq!(self.nodes[to].messages, [(self.key(from), Bytes::from("hello"))]);
        }
    }

    pub(super) fn states(&self, node: usize) -> Vec<PeerState> {
        self.nodes[node].endpoint.peers(self.now).map(|peer| peer.state).collect()
    }
}
