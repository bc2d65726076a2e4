//! Many nodes: how often an operation crosses a link, and what a relay needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use softadastra::{BlockingClient, ClientOptions, Ticket, TransportOptions};

use super::replication::per_second;
use crate::engine::Fault;
use crate::net::nodes::{Node, close, linked, listen, open, open_in_memory, puts, runtime, start, until};
use crate::net::noise;
use crate::parts::{Part, Player, listen as hear, resident, say};
use crate::plan::{Cell, Figure, Group};

/// Eight nodes, each linked to each.
pub(crate) const MESH: &str = "mesh of 8 nodes";
/// Sixty-three nodes, each linked to one relay only.
pub(crate) const STAR: &str = "star of 64 nodes";
/// Entries received by all nodes, for each operation and each other node.
pub(crate) const CROSSED: &str = "links crossed, x (N - 1)";
/// What the relay has grown by, beside its data and the two windows of each link: one for each direction.
pub(crate) const OF_BOUND: &str = "relay's growth, x (data + 2 windows per link)";

const WRITES: u64 = 20_000;
const LEAVES: usize = 63;
/// Bytes that may be on their way from each peer (the default of the settings).
const WINDOW: f64 = 1024.0 * 1024.0;
/// Bytes that a node takes for a key of 16 and a value of 100.
const PER_KEY: f64 = 220.0;
const MIB: f64 = 1024.0 * 1024.0;

/// The cells. The counts vary little.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    let group = Group::Fleet;
    cells.push(Cell::scene(group, MESH, "20,000 writes", |dir| runtime()?.block_on(mesh(dir))).at_most(3));
    cells.push(Cell::scene(group, STAR, "20,000 writes", |dir| runtime()?.block_on(star(dir))).at_most(2));
}

/// Entries that a node has taken from links, those it had already included.
fn received(nodes: &[Node]) -> Result<u64, Fault> {
    let counts = nodes.iter().map(|node| Ok(node.sync_state()?.traffic.received));
    counts.sum::<Result<u64, Fault>>()
}

/// Each node writes its share; gives the seconds until all hold all.
async fn write_everywhere(nodes: &[Node], all: u64) -> Result<f64, Fault> {
    let began = Instant::now();
    let share = WRITES / nodes.len() as u64;
    let mut writers = tokio::task::JoinSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let extra = if index == 0 { WRITES - share * nodes.len() as u64 } else { 0 };
        let (node, first) = (Arc::clone(node), 100_000 * index as u64);
        writers.spawn(async move { puts(&node, first, share + extra, noise).await });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    until("all nodes hold all", || {
        let lens = nodes.iter().map(|node| Ok(node.len()?)).collect::<Result<Vec<u64>, Fault>>()?;
        Ok(lens.iter().all(|len| *len == all))
    })
    .await?;
    Ok(began.elapsed().as_secs_f64())
}

async fn mesh(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let mut nodes = Vec::new();
    for number in 0..8 {
        nodes.push(open(dir, &format!("n{number}")).await?);
    }
    let first = nodes.first().ok_or("a mesh without nodes")?;
    listen(first).await?;
    let ticket = first.ticket(Vec::new()).await?;
    for node in &nodes[1..] {
        node.join(&ticket).await?;
        start(node).await?;
    }
    for (index, node) in nodes.iter().enumerate().skip(1) {
        for other in &nodes[1..index] {
            node.connect(&other.ticket(Vec::new()).await?.reveal()).await?;
        }
    }
    until("the mesh is linked", || {
        let counts = nodes.iter().map(|node| linked(node)).collect::<Result<Vec<_>, _>>()?;
        Ok(counts.iter().all(|count| *count == 7))
    })
    .await?;
    let before = received(&nodes)?;
    let took = write_everywhere(&nodes, WRITES).await?;
    let crossed = (received(&nodes)? - before) as f64 / (WRITES * 7) as f64;
    for node in &nodes {
        close(&[node]).await?;
    }
    Ok(vec![
        Figure::of(MESH, CROSSED, crossed),
        Figure::of(
            MESH,
            "operations per second, everywhere",
            per_second(WRITES, std::time::Duration::from_secs_f64(took)),
        ),
    ])
}

async fn star(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let mut relay = Player::start(Part::Relay, dir)?;
    let ticket: Ticket = relay.hear()?.parse()?;
    let mut leaves = Vec::new();
    for number in 0..LEAVES {
        let leaf = open_in_memory(&format!("leaf{number}")).await?;
        leaf.join(&ticket).await?;
        leaf.start_transport(TransportOptions::default()).await?;
        leaves.push(leaf);
    }
    until("the star is linked", || {
        let counts = leaves.iter().map(|leaf| linked(leaf)).collect::<Result<Vec<_>, _>>()?;
        Ok(counts.iter().all(|count| *count == 1))
    })
    .await?;
    let (before, at_rest) = (received(&leaves)?, resident(relay.id())?);
    relay.tell("received")?;
    let relayed = relay.number()?;
    let took = write_everywhere(&leaves, WRITES).await?;
    let grown = peak(relay.id())? - at_rest;
    relay.tell("received")?;
    let crossed = (received(&leaves)? - before) as f64 + relay.number()? - relayed;
    for leaf in &leaves {
        close(&[leaf]).await?;
    }
    relay.tell("end")?;
    let bound = WRITES as f64 * PER_KEY + LEAVES as f64 * 2.0 * WINDOW;
    Ok(vec![
        Figure::of(STAR, CROSSED, crossed / (WRITES as f64 * LEAVES as f64)),
        Figure::of(STAR, "operations per second, everywhere", WRITES as f64 / took),
        Figure::of(STAR, "relay's growth at most, MiB", grown / MIB),
        Figure::of(STAR, OF_BOUND, grown / bound),
    ])
}

/// The relay: a node in a process of its own, which only passes on.
pub(crate) fn relay(dir: &Path) -> Result<(), Fault> {
    let client = BlockingClient::open(ClientOptions::persistent(dir.join("relay")))?;
    let runtime = runtime()?;
    let options = TransportOptions { listen: vec!["127.0.0.1:0".to_owned()], ..TransportOptions::default() };
    runtime.block_on(client.client().ticket(Vec::new()))?;
    runtime.block_on(client.client().start_transport(options))?;
    say(runtime.block_on(client.client().ticket(Vec::new()))?.reveal().as_str());
    while hear().is_some_and(|line| line == "received") {
        say(client.client().sync_state()?.traffic.received);
    }
    client.close()?;
    Ok(())
}

/// The most memory that a process has had resident, in bytes.
fn peak(process: u32) -> Result<f64, Fault> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak of resident memory")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024.0)
}
