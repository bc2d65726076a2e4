//! The core alone: a node and its peers in one thread, without disk, network and clock. What the first node needs for
//! each step is timed; the others cost nothing.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use softadastra_core::config::{Config, Durability};
use softadastra_core::dice::Seed;
use softadastra_core::identity::Identity;
use softadastra_core::ids::NodeId;
use softadastra_core::node::{Input, LinkAct, LinkFact, Network, Node, Opening, OpeningState, Output, Start, Write};
use softadastra_core::time::{Instant, Now, WallTime};
use softadastra_core::transport::address::Address;
use softadastra_core::transport::endpoint::{LinkId, Settings};
use softadastra_core::transport::identity::NetworkSecret;
use softadastra_core::transport::trust::{Trust, TrustMode};

use crate::engine::Fault;
use crate::sample::median;
use crate::work::key;

/// The node that is measured.
pub(crate) const HUB: usize = 0;

/// An end of a connection: which node, and how it calls the link.
type End = (usize, LinkId);

/// What the measured node has taken for each step, in nanoseconds.
#[derive(Default)]
pub(crate) struct Ledger {
    /// A put, until it is answered.
    put: Vec<f64>,
    /// A message to a peer with what is new.
    delta: Vec<f64>,
    /// A message from a peer that says what it has; without what is sent to it because of that, which is a delta.
    ack: Vec<f64>,
    /// A round of delivery by hand that finds nothing to do.
    tick: Vec<f64>,
}

/// What it took a node to say everything that it wanted, in nanoseconds.
#[derive(Default)]
struct Drained {
    /// For messages to peers.
    sending: f64,
    /// For all the rest.
    quiet: f64,
    /// How many messages to peers there were.
    sent: usize,
}

/// Some nodes, and the connections between them.
pub(crate) struct Rig {
    nodes: Vec<Option<Box<Node>>>,
    wires: BTreeMap<End, End>,
    moving: VecDeque<(End, Bytes)>,
    /// What is for the measured node stays on its way.
    pub(crate) stalled: bool,
    us: u64,
    born: u64,
}

fn put(number: u64, fill: u64) -> Write {
    let mut value = vec![7; 100];
    value[..8].copy_from_slice(&fill.to_le_bytes());
    Write::Put { key: Bytes::copy_from_slice(&key(number)), value: value.into(), expect: None, touch: false }
}

fn nanoseconds(took: Duration) -> f64 {
    took.as_nanos() as f64
}

impl Rig {
    /// The measured node alone.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) fn new() -> Result<Self, Fault> {
        let (wires, moving) = (BTreeMap::new(), VecDeque::new());
        let mut rig = Self { nodes: Vec::new(), wires, moving, stalled: false, us: 1, born: 0 };
        rig.birth()?;
        Ok(rig)
    }

    fn now(&self) -> Now {
        Now { mono: Instant(self.us), wall: WallTime(1_700_000_000_000 + self.us / 1000) }
    }

    fn node(&mut self, index: usize) -> Result<&mut Node, Fault> {
        Ok(self.nodes.get_mut(index).and_then(Option::as_deref_mut).ok_or("a node that is gone")?)
    }

    /// Another node; gives its number.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) fn birth(&mut self) -> Result<usize, Fault> {
        self.born += 1;
        let config = Config {
            node_id: Some(NodeId::new(format!("n{}", self.born))?),
            durability: Durability::Memory,
            ..Config::default()
        };
        let now = self.now();
        let opening = Opening::new(config, Seed::from_number(self.born), now, Start::OpenOrCreate)?;
        let OpeningState::Ready(mut node, _) = opening.advance(now) else {
            return Err("a node without a disk is up at once".into());
        };
        node.start_transport(
            now,
            Network {
                identity: identity(self.born),
                secret: Some(NetworkSecret::from_bytes([9; 32])),
                trust: Trust::new(TrustMode::Network, [], BTreeMap::new()),
                settings: Settings { max_links: 4096, ..Settings::default() },
            },
        )?;
        self.nodes.push(Some(node));
        Ok(self.nodes.len() - 1)
    }

    /// Lets a node dial the measured one, when things move again.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn dial(&mut self, from: usize) -> Result<(), Fault> {
        let (now, address): (_, Address) = (self.now(), "10.0.0.1:4000".parse()?);
        self.node(from)?.add_peer(now, Some(identity(1).key()), vec![address])?;
        Ok(())
    }

    /// Ends the links of a node, and the node.
    ///
    /// # Errors
    /// When a node is gone.
    pub(crate) fn death(&mut self, index: usize) -> Result<(), Fault> {
        let ends: Vec<(End, End)> = self.wires.iter().map(|(one, other)| (*one, *other)).collect();
        for (one, other) in ends.into_iter().filter(|(one, _)| one.0 == index) {
            self.wires.remove(&one);
            self.wires.remove(&other);
            self.moving.retain(|(end, _)| *end != one && *end != other);
            self.fact(other, LinkFact::Ended { error: None })?;
        }
        if let Some(node) = self.nodes.get_mut(index) {
            *node = None;
        }
        self.drain(HUB)?;
        Ok(())
    }

    fn fact(&mut self, (index, link): End, fact: LinkFact) -> Result<(), Fault> {
        let now = self.now();
        self.node(index)?.handle(now, Input::Link { link, fact });
        Ok(())
    }

    fn carry_out(&mut self, from: usize, output: Output) -> Result<(), Fault> {
        let Output::Link { link, act } = output else { return Ok(()) };
        let end = (from, link);
        match act {
            LinkAct::Dial { .. } => {
                let source = SocketAddr::from(([10, 1, (from >> 8) as u8, from as u8], 50_000));
                let now = self.now();
                let there = self.node(HUB)?.incoming(now, source).map_err(|_| "the measured node takes no link")?;
                self.wires.insert(end, (HUB, there));
                self.wires.insert((HUB, there), end);
                self.fact(end, LinkFact::Connected)
            }
            LinkAct::Send(bytes) => {
                let count = bytes.len();
                if let Some(other) = self.wires.get(&end) {
                    self.moving.push_back((*other, bytes));
                }
                self.fact(end, LinkFact::Written(count))
            }
            LinkAct::Close(_) => {
                if let Some(other) = self.wires.remove(&end) {
                    self.wires.remove(&other);
                    self.moving.retain(|(at, _)| *at != other);
                    self.fact(other, LinkFact::Ended { error: None })?;
                }
                Ok(())
            }
        }
    }

    /// Everything that a node wants; gives what it took to say.
    fn drain(&mut self, index: usize) -> Result<Drained, Fault> {
        let mut drained = Drained::default();
        loop {
            let now = self.now();
            let node = self.node(index)?;
            let began = Clock::now();
            let output = node.poll_output(now);
            let took = nanoseconds(began.elapsed());
            let Some(output) = output else {
                drained.quiet += took;
                return Ok(drained);
            };
            if matches!(output, Output::Link { act: LinkAct::Send(_), .. }) {
                drained.sending += took;
                drained.sent += 1;
            } else {
                drained.quiet += took;
            }
            self.carry_out(index, output)?;
        }
    }

    /// Lets one message arrive, if there is one; if it is for the measured node, gives what that took.
    fn deliver(&mut self) -> Result<Option<Option<f64>>, Fault> {
        let stalled = self.stalled;
        let Some(at) = self.moving.iter().position(|(end, _)| !stalled || end.0 != HUB) else { return Ok(None) };
        let Some((end, bytes)) = self.moving.remove(at) else { return Ok(None) };
        let now = self.now();
        let node = self.node(end.0)?;
        let began = Clock::now();
        node.handle(now, Input::Link { link: end.1, fact: LinkFact::Bytes(bytes) });
        let handled = nanoseconds(began.elapsed());
        let drained = self.drain(end.0)?;
        Ok(Some((end.0 == HUB).then_some(handled + drained.quiet)))
    }

    /// As [`Self::settle`]; gives what each message to the measured node took.
    ///
    /// # Errors
    /// When a node is gone.
    pub(crate) fn answers(&mut self) -> Result<Vec<f64>, Fault> {
        let mut answers = Vec::new();
        for _ in 0..4 {
            while let Some(answer) = self.deliver()? {
                answers.extend(answer);
            }
            self.pass(50)?;
        }
        Ok(answers)
    }

    /// Everything that is on its way arrives, and what follows from it; deadlines pass when nothing else is left.
    ///
    /// # Errors
    /// When a node is gone.
    pub(crate) fn settle(&mut self) -> Result<(), Fault> {
        for _ in 0..4 {
            for index in 0..self.nodes.len() {
                if self.nodes.get(index).is_some_and(Option::is_some) {
                    self.drain(index)?;
                }
            }
            while self.deliver()?.is_some() {}
            self.pass(50)?;
        }
        Ok(())
    }

    /// Time passes.
    fn pass(&mut self, ms: u64) -> Result<(), Fault> {
        self.us += ms * 1000;
        let now = self.now();
        for index in 0..self.nodes.len() {
            let Some(Some(node)) = self.nodes.get_mut(index) else { continue };
            if node.poll_timeout().is_some_and(|at| at <= now.mono) {
                node.handle(now, Input::Timeout);
                self.drain(index)?;
            }
        }
        Ok(())
    }

    /// Writes keys on a node, in batches.
    ///
    /// # Errors
    /// Those of the node.
    pub(crate) fn fill(&mut self, index: usize, first: u64, count: u64) -> Result<(), Fault> {
        for start in (first..first + count).step_by(1000) {
            let now = self.now();
            let batch = (start..(start + 1000).min(first + count)).map(|number| put(number, 0)).collect();
            self.node(index)?.write(now, batch)?;
            self.drain(index)?;
            self.us += 1;
        }
        Ok(())
    }

    /// Two puts, their way to all peers, and what they say to it. The second put is timed: what the first one finds in the
    /// caches of the processor is what hundreds of other nodes, which are in this thread only here, left there.
    ///
    /// # Errors
    /// Those of the node.
    pub(crate) fn round(&mut self, numbers: [u64; 2], fill: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        self.us += 1000;
        let (now, [first, write]) = (self.now(), numbers.map(|number| put(number, fill)));
        let node = self.node(HUB)?;
        node.write(now, vec![first])?;
        while let Some(output) = node.poll_ready() {
            // Answers, and word of what is published: nothing goes to a peer yet.
            debug_assert!(!matches!(output, Output::Link { .. }), "links are told when there is time");
        }
        let began = Clock::now();
        node.write(now, vec![write])?;
        // In memory it is published at once, and the answer is the first thing to come out.
        let first = node.poll_ready();
        ledger.put.push(nanoseconds(began.elapsed()));
        if let Some(output) = first {
            self.carry_out(HUB, output)?;
        }
        let drained = self.drain(HUB)?;
        if drained.sent > 0 {
            ledger.delta.push((drained.quiet + drained.sending) / drained.sent as f64);
        }
        while let Some(answer) = self.deliver()? {
            ledger.ack.extend(answer);
        }
        Ok(())
    }

    /// Two rounds of delivery by hand. The second is timed, as in [`Self::round`].
    ///
    /// # Errors
    /// When the node is gone.
    pub(crate) fn tick(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        let now = self.now();
        self.node(HUB)?.tick(now, false);
        self.drain(HUB)?;
        let node = self.node(HUB)?;
        let began = Clock::now();
        node.tick(now, false);
        let ticked = nanoseconds(began.elapsed());
        let drained = self.drain(HUB)?;
        ledger.tick.push(ticked + drained.quiet + drained.sending);
        while self.deliver()?.is_some() {}
        Ok(())
    }

    /// Nanoseconds of one read.
    ///
    /// # Errors
    /// When the key is not there.
    pub(crate) fn get(&mut self, number: u64) -> Result<f64, Fault> {
        let key = key(number);
        let node = self.node(HUB)?;
        let began = Clock::now();
        let found = node.store().get(&key).and_then(|entry| entry.value_bytes());
        let took = nanoseconds(began.elapsed());
        if found.is_none() {
            return Err("a key is gone".into());
        }
        Ok(took)
    }

    /// Own operations of the measured node that no peer has acknowledged.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn pending(&mut self) -> Result<u64, Fault> {
        Ok(self.node(HUB)?.status().outbox.size())
    }

    /// Other replicas that the measured node has heard of, and links it has.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn known(&mut self) -> Result<(usize, usize), Fault> {
        let status = self.node(HUB)?.sync_status();
        Ok((status.members.len(), status.peers.len()))
    }
}

fn identity(number: u64) -> Identity {
    let mut seed = [3; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    Identity::from_seed(&seed)
}

impl Ledger {
    /// The medians, in nanoseconds, by their names; what did not happen is left out.
    #[must_use]
    pub(crate) fn medians(self) -> Vec<(&'static str, f64)> {
        let all = [("put", self.put), ("delta", self.delta), ("ack", self.ack), ("tick", self.tick)];
        all.into_iter().filter(|(_, times)| !times.is_empty()).map(|(name, times)| (name, median(times))).collect()
    }
}
