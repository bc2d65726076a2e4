//! Two nodes and the link between them, for what it costs to send operations on and to take them in.

#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "there are two; a bench may panic")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use softadastra_core::config::{Config, Durability};
use softadastra_core::dice::Seed;
use softadastra_core::identity::Identity;
use softadastra_core::ids::NodeId;
use softadastra_core::node::{Input, LinkAct, LinkFact, Network, Node, Opening, OpeningState, Output, Start, Write};
use softadastra_core::transport::endpoint::{LinkId, Settings};
use softadastra_core::transport::identity::NetworkSecret;
use softadastra_core::transport::trust::{Trust, TrustMode};

use crate::NOW;

/// What something costs: carries it out once, and says how much that took.
pub type Meter = fn(&mut dyn FnMut()) -> u64;

/// Two nodes in memory, and the link between them. The first one dials.
pub struct Pair {
    /// The nodes.
    pub nodes: [Box<Node>; 2],
    /// How each calls the link, once there is one.
    links: [Option<LinkId>; 2],
    moving: VecDeque<(usize, Bytes)>,
    meter: Meter,
    /// What each has cost since somebody last set it to nothing.
    pub costs: [u64; 2],
}

fn identity(number: u8) -> Identity {
    Identity::from_seed(&[number; 32])
}

fn born(number: u8) -> Box<Node> {
    let node_id = Some(NodeId::new(format!("n{number}")).expect("a good name"));
    let config = Config { node_id, durability: Durability::Memory, ..Config::default() };
    let opening =
        Opening::new(config, Seed::from_number(number.into()), NOW, Start::OpenOrCreate).expect("a good config");
    let OpeningState::Ready(mut node, _) = opening.advance(NOW) else { panic!("a node without a disk is up at once") };
    let network = Network {
        identity: identity(number),
        secret: Some(NetworkSecret::from_bytes([9; 32])),
        trust: Trust::new(TrustMode::Network, [], BTreeMap::new()),
        settings: Settings::default(),
    };
    node.start_transport(NOW, network).expect("it was not started before");
    node
}

impl Pair {
    /// Two nodes that have just linked.
    ///
    /// # Panics
    /// When they do not, which would make any figure worthless.
    #[must_use]
    pub fn linked(meter: Meter) -> Self {
        let nodes = [born(1), born(2)];
        let mut pair = Self { nodes, links: [None, None], moving: VecDeque::new(), meter, costs: [0, 0] };
        let address = "10.0.0.2:4000".parse().expect("an address");
        pair.nodes[0].add_peer(NOW, Some(identity(2).key()), vec![address]).expect("room for a peer");
        pair.settle();
        assert!(pair.links.iter().all(Option::is_some), "the nodes are linked");
        pair
    }

    fn handle(&mut self, index: usize, fact: LinkFact) {
        let link = self.links[index].expect("there is a link");
        let input = Input::Link { link, fact };
        let (node, mut input) = (&mut self.nodes[index], Some(input));
        self.costs[index] += (self.meter)(&mut || input.take().into_iter().for_each(|input| node.handle(NOW, input)));
    }

    fn drain(&mut self, index: usize) {
        loop {
            let mut output = None;
            let node = &mut self.nodes[index];
            self.costs[index] += (self.meter)(&mut || output = node.poll_output(NOW));
            let Some(output) = output else { return };
            let Output::Link { link, act } = output else { continue };
            match act {
                LinkAct::Dial { .. } => {
                    self.links[index] = Some(link);
                    let source = ([10, 0, 0, 1], 50_000).into();
                    self.links[1 - index] = Some(self.nodes[1 - index].incoming(NOW, source).expect("room for a link"));
                    self.handle(index, LinkFact::Connected);
                }
                LinkAct::Send(bytes) => {
                    let len = bytes.len();
                    self.moving.push_back((1 - index, bytes));
                    self.handle(index, LinkFact::Written(len));
                }
                LinkAct::Close(reason) => panic!("a link ended: {reason:?}"),
            }
        }
    }

    /// Hands writes to one of them.
    ///
    /// # Panics
    /// When it refuses them.
    pub fn write(&mut self, index: usize, writes: Vec<Write>) {
        let (node, mut writes) = (&mut self.nodes[index], Some(writes));
        self.costs[index] += (self.meter)(&mut || {
            let taken = node.write(NOW, writes.take().unwrap_or_default());
            taken.map(drop).expect("a healthy node takes writes");
        });
    }

    /// Until nothing moves any more.
    ///
    /// # Panics
    /// When the link ends.
    pub fn settle(&mut self) {
        loop {
            self.drain(0);
            self.drain(1);
            let Some((to, bytes)) = self.moving.pop_front() else { return };
            self.handle(to, LinkFact::Bytes(bytes));
        }
    }
}
