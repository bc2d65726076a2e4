//! What a node costs that has nothing to do: a million keys, eight linked peers, and nobody writes.

use std::path::Path;
use std::time::{Duration, Instant};

use softadastra::{Batch, BlockingClient, ClientOptions, Ticket, TransportOptions};

use crate::engine::Fault;
use crate::net::nodes::{key_of, linked, open_in_memory, runtime, until};
use crate::parts::{Part, Player, listen as hear, say};
use crate::plan::{Cell, Figure, Group, NODE};
use crate::work::Keys;

/// Share of one core.
pub(crate) const CORE: &str = "% of one core";
/// Bytes that it wrote to files while it was watched.
pub(crate) const WRITTEN: &str = "bytes written to files";

const PEERS: usize = 8;
/// Until what follows from the joining has settled.
const CALM: Duration = Duration::from_secs(15);
/// How long it is watched: longer than any timer that comes again and again in the settings, but for collection.
const WATCHED: Duration = Duration::from_secs(30);

/// The cells: one round, because it takes long.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    cells.push(Cell::scene(Group::Idle, NODE, "a million keys, 8 idle peers", measure).at_most(1));
}

fn measure(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let mut node = Player::start(Part::IdleNode, dir)?;
    let ticket = node.hear()?;
    let mut peers = Player::start(Part::IdlePeers, dir)?;
    peers.tell(&ticket)?;
    if peers.hear()? != "all are here" {
        return Err("the idle peers did not get what there is".into());
    }
    std::thread::sleep(CALM);
    let (before, began) = (Usage::of(node.id())?, Instant::now());
    std::thread::sleep(WATCHED);
    let (after, took) = (Usage::of(node.id())?, began.elapsed().as_secs_f64());
    node.tell("end")?;
    peers.tell("end")?;
    Ok(vec![
        Figure::of(NODE, CORE, (after.seconds - before.seconds) / took * 100.0),
        Figure::of(NODE, WRITTEN, after.written - before.written),
        Figure::of(NODE, "wake-ups per second", (after.wakes - before.wakes) / took),
    ])
}

/// What a process has used so far.
struct Usage {
    seconds: f64,
    written: f64,
    wakes: f64,
}

impl Usage {
    fn of(process: u32) -> Result<Self, Fault> {
        let io = std::fs::read_to_string(format!("/proc/{process}/io"))?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("no write_bytes")?;
        let (mut nanoseconds, mut wakes) = (0.0, 0.0);
        for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?.path();
            // Nanoseconds on a processor, nanoseconds of waiting for one, time slices. The clock ticks of `stat` are too coarse.
            let line = std::fs::read_to_string(thread.join("schedstat"))?;
            let first = line.split_whitespace().next().ok_or("an empty schedstat")?;
            nanoseconds += first.parse::<f64>()?;
            let status = std::fs::read_to_string(thread.join("status"))?;
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            wakes += switches.ok_or("no count of switches")?.trim().parse::<f64>()?;
        }
        Ok(Self { seconds: nanoseconds / 1e9, written: written.parse()?, wakes })
    }
}

/// The node: fills itself, listens, and has nothing to do.
pub(crate) fn node(dir: &Path) -> Result<(), Fault> {
    let client = BlockingClient::open(ClientOptions::persistent(dir.join("node")))?;
    for first in (0..Keys::SPACE).step_by(1000) {
        let mut batch = Batch::new();
        for number in first..first + 1000 {
            batch.put(key_of(number), vec![number as u8; 100]);
        }
        client.batch(batch)?;
    }
    let runtime = runtime()?;
    let options = TransportOptions { listen: vec!["127.0.0.1:0".to_owned()], ..TransportOptions::default() };
    runtime.block_on(client.client().ticket(Vec::new()))?;
    runtime.block_on(client.client().start_transport(options))?;
    say(runtime.block_on(client.client().ticket(Vec::new()))?.reveal().as_str());
    hear();
    client.close()?;
    Ok(())
}

/// The peers: without files, each with everything.
pub(crate) fn peers() -> Result<(), Fault> {
    let ticket: Ticket = hear().ok_or("no ticket")?.parse()?;
    runtime()?.block_on(async {
        let mut nodes = Vec::new();
        for number in 0..PEERS {
            let node = open_in_memory(&format!("idle{number}")).await?;
            node.join(&ticket).await?;
            node.start_transport(TransportOptions::default()).await?;
            until("an idle peer has everything", || Ok(node.len()? == Keys::SPACE && linked(&node)? == 1)).await?;
            nodes.push(node);
        }
        say("all are here");
        // It ends with the process that has started it, which says so by closing the pipe.
        tokio::task::spawn_blocking(hear).await?;
        for node in nodes {
            node.close().await?;
        }
        Ok(())
    })
}
