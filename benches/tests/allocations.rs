//! How often the hot paths ask for memory: a figure that no load of the machine changes. A guard, not a measure: a bound is a
//! little above what stands there today, so whoever adds an allocation to each operation is told.

#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};

use allocation_counter::measure;
use benches::{NOW, filled, key};
use bytes::Bytes;
use softadastra::{Batch, Client, ClientOptions, ScanOptions};
use softadastra_core::config::{Config, Durability};
use softadastra_core::dice::Seed;
use softadastra_core::disk::{Completion, DiskOp};
use softadastra_core::identity::Identity;
use softadastra_core::ids::NodeId;
use softadastra_core::node::{Input, LinkAct, LinkFact, Network, Node, Opening, OpeningState, Output, Start, Write};
use softadastra_core::transport::endpoint::{LinkId, Settings};
use softadastra_core::transport::identity::NetworkSecret;
use softadastra_core::transport::trust::{Trust, TrustMode};

/// Operations that share a frame, and a message.
const BATCH: u64 = 64;
/// Batches before counting begins, so that buffers have grown to what they need, and batches counted.
const ROUNDS: u64 = 40;

fn put(number: u64) -> Write {
    Write::Put { key: key(number), value: vec![7; 100].into(), expect: None, touch: false }
}

fn batch(first: u64) -> Vec<Write> {
    (first..first + BATCH).map(put).collect()
}

/// Hands in writes; gives how often the node allocated meanwhile.
fn write(node: &mut Node, writes: Vec<Write>) -> u64 {
    measure(|| node.write(NOW, writes).map(drop).expect("a healthy node takes writes")).count_total
}

/// Carries out what the log asks for, as a disk that costs nothing; gives how often the node allocated meanwhile.
fn log(node: &mut Node) -> u64 {
    let mut count = 0;
    loop {
        let mut output = None;
        count += measure(|| output = node.poll_output(NOW)).count_total;
        match output {
            None => return count,
            Some(Output::Disk(request)) => {
                let result = Ok(match request.op {
                    DiskOp::Create { .. } | DiskOp::Open { .. } => Completion::Opened { len: 0 },
                    _ => Completion::Done,
                });
                let done = Input::Disk { token: request.token, result };
                count += measure(|| node.handle(NOW, done)).count_total;
            }
            Some(_) => {}
        }
    }
}

/// Two nodes in memory, and the link between them. The first one dials.
struct Pair {
    nodes: [Box<Node>; 2],
    /// How each calls the link, once there is one.
    links: [Option<LinkId>; 2],
    moving: VecDeque<(usize, Bytes)>,
    /// How often each has allocated.
    counts: [u64; 2],
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
    fn linked() -> Self {
        let nodes = [born(1), born(2)];
        let mut pair = Self { nodes, links: [None, None], moving: VecDeque::new(), counts: [0, 0] };
        let address = "10.0.0.2:4000".parse().expect("an address");
        pair.nodes[0].add_peer(NOW, Some(identity(2).key()), vec![address]).expect("room for a peer");
        pair.settle();
        assert!(pair.links.iter().all(Option::is_some), "the nodes are linked");
        pair
    }

    fn handle(&mut self, index: usize, fact: LinkFact) {
        let link = self.links[index].expect("there is a link");
        let input = Input::Link { link, fact };
        self.counts[index] += measure(|| self.nodes[index].handle(NOW, input)).count_total;
    }

    fn drain(&mut self, index: usize) {
        loop {
            let mut output = None;
            self.counts[index] += measure(|| output = self.nodes[index].poll_output(NOW)).count_total;
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

    /// Until nothing moves any more.
    fn settle(&mut self) {
        loop {
            self.drain(0);
            self.drain(1);
            let Some((to, bytes)) = self.moving.pop_front() else { return };
            self.handle(to, LinkFact::Bytes(bytes));
        }
    }
}

/// `count` in this many operations is at most `bound` for each.
#[track_caller]
fn at_most(bound: f64, count: u64, operations: u64) {
    let each = count as f64 / operations as f64;
    println!("{each:.2} allocations for each operation; {bound} are allowed");
    assert!(each <= bound, "{each:.2} allocations for each operation; {bound} are allowed");
    assert!(each > bound * 0.6, "{each:.2} allocations for each operation: lower the bound of {bound}");
}

#[test]
fn a_read_allocates_its_copy_of_the_value_alone() {
    let (node, _) = filled(1000);
    let mut found = None;
    let wanted = key(500);
    let info = measure(|| found = node.store().get(&wanted).and_then(|entry| entry.value_bytes()));
    assert!(found.is_some());
    assert_eq!(info.count_total, 1);
    let info = measure(|| assert!(node.store().get(&wanted).is_some_and(|entry| entry.value().is_some())));
    assert_eq!(info.count_total, 0, "who looks at a value where it is needs no copy");
}

#[test]
fn a_scan_allocates_nothing_for_each_entry() {
    let (node, _) = filled(1000);
    let mut seen = 0;
    let info = measure(|| seen = node.store().scan(..).filter(|entry| entry.value().is_some()).count());
    assert_eq!(seen, 1000);
    assert!(info.count_total <= 2, "{} allocations", info.count_total);
}

#[test]
fn a_page_shares_its_allocations_and_looking_in_place_needs_none() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(Client::open(ClientOptions::memory_only())).expect("a node in memory");
    let mut batch = Batch::new();
    for number in 0..1000 {
        batch.put(key(number), vec![7; 100]);
    }
    runtime.block_on(client.batch(batch)).expect("a healthy node takes writes");
    let options = ScanOptions { limit: 100, ..ScanOptions::default() };
    let mut page = None;
    let info = measure(|| page = client.scan(&options).ok());
    assert_eq!(page.map_or(0, |page| page.items.len()), 100);
    at_most(0.15, info.count_total, 100);

    let mut bytes = 0;
    let info = measure(|| _ = client.scan_with(&options, |key, value| bytes += key.len() + value.len()));
    assert_eq!(bytes, 100 * 116);
    assert!(info.count_total <= 2, "{} allocations beside that of the cursor", info.count_total);
    let info = measure(|| bytes = client.get_with(key(500), <[u8]>::len).ok().flatten().unwrap_or_default());
    assert_eq!(bytes, 100);
    assert!(info.count_total <= 2, "{} allocations beside those of the key", info.count_total);
}

#[test]
fn a_batch_of_puts_shares_its_allocations() {
    let (mut node, _) = filled(1000);
    let (mut count, mut next) = (0, 1_000_000);
    for round in 0..2 * ROUNDS {
        let allocated = write(&mut node, batch(next)) + log(&mut node);
        next += BATCH;
        count += if round < ROUNDS { 0 } else { allocated };
    }
    at_most(1.4, count, ROUNDS * BATCH);
}

#[test]
fn puts_that_share_a_frame_allocate_little_beside_their_entries() {
    let (mut node, _) = filled(1000);
    let (mut count, mut next) = (0, 1_000_000);
    for round in 0..2 * ROUNDS {
        let written: u64 = (next..next + BATCH).map(|number| write(&mut node, vec![put(number)])).sum();
        let allocated = written + log(&mut node);
        next += BATCH;
        count += if round < ROUNDS { 0 } else { allocated };
    }
    at_most(2.5, count, ROUNDS * BATCH);
}

#[test]
fn sending_and_applying_a_batch_shares_its_allocations() {
    let mut pair = Pair::linked();
    let mut next = 0;
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            pair.counts = [0, 0];
        }
        pair.counts[0] += write(&mut pair.nodes[0], batch(next));
        next += BATCH;
        pair.settle();
    }
    let keys = pair.nodes[1].store().len() as u64;
    assert_eq!(keys, next, "everything has arrived");
    at_most(4.2, pair.counts[0], ROUNDS * BATCH);
    at_most(2.7, pair.counts[1], ROUNDS * BATCH);
}
