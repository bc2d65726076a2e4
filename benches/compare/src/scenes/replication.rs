//! From one node to another over loopback: a stream, what waited during a partition, the link that returns, bytes on
//! the wire.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::Fault;
use crate::net::nodes::{batches, close, delivered, equal, join, key_of, listen, open, puts, runtime, until, windowed};
use crate::net::pair::{self, Answer};
use crate::net::plain::{self, Records};
use crate::net::proxy::Wire;
use crate::net::{automerge, document, iroh, nats, noise, redis, yrs};
use crate::plan::{Cell, Figure, Group, NODE};

/// The row of the baseline.
pub(crate) const PLAIN: &str = "plain TCP + log (limit)";
/// The row of Redis.
pub(crate) const REDIS: &str = "Redis replica, appendfsync always";

/// The row of NATS.
pub(crate) const NATS: &str = "NATS JetStream leaf (not synced)";

/// The row of iroh-docs.
pub(crate) const IROH: &str = "iroh-docs (not synced; 20,000 pending)";

/// The row of Automerge.
const AUTOMERGE: &str = "Automerge 0.12 + log over TCP";
/// The row of yrs.
const YRS: &str = "yrs 0.28 + log over TCP";

/// Writes a second while at most 64 are not yet durable on both sides.
pub(crate) const WINDOW: &str = "64 in flight until durable on both sides, per second";
/// Writes a second of 64 writers who wait for their own side, until all are durable on both.
pub(crate) const STREAM: &str = "64 writers, all durable on both sides, per second";
/// What waited during a partition, a second.
pub(crate) const CATCH_UP: &str = "100,000 pending, per second";
/// The first of it, when somebody mends a wire that was cut for five seconds.
pub(crate) const FIRST: &str = "first operation after a cut of 5 s, ms";
/// Bytes over the connection for each operation of a stream.
pub(crate) const LIVE_BYTES: &str = "wire bytes, live";
/// Bytes over the connection for each operation after a partition.
pub(crate) const LATE_BYTES: &str = "wire bytes, catch-up";
/// The same with values that compress.
pub(crate) const SOFT_BYTES: &str = "wire bytes, catch-up, compressible";

/// Operations of a stream.
pub(crate) const STREAMED: u64 = 20_000;
/// Operations that wait.
pub(crate) const PENDING: u64 = 100_000;

/// The cells.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    let group = Group::Replication;
    for (column, answer) in [(WINDOW, Answer::There), (STREAM, Answer::Here)] {
        cells.push(Cell::scene(group, PLAIN, column, move |dir| {
            let run = pair::stream(dir, Records::default, STREAMED, 64, answer)?;
            let mut figures = vec![Figure::of(PLAIN, column, per_second(STREAMED, run.took))];
            if answer == Answer::Here {
                figures.push(Figure::of(PLAIN, LIVE_BYTES, run.bytes as f64 / STREAMED as f64));
            }
            Ok(figures)
        }));
    }
    cells.push(Cell::scene(group, NODE, "a stream", |dir| runtime()?.block_on(stream(dir))));
    cells.push(Cell::scene(group, PLAIN, CATCH_UP, |dir| {
        let run = plain::catch_up(dir, PENDING)?;
        Ok(vec![
            Figure::of(PLAIN, CATCH_UP, per_second(PENDING, run.took)),
            Figure::of(PLAIN, LATE_BYTES, run.bytes as f64 / PENDING as f64),
        ])
    }));
    cells.push(Cell::scene(group, NODE, CATCH_UP, |dir| runtime()?.block_on(catch_up(dir))));
    cells.push(Cell::scene(group, NODE, "bytes on the wire", |dir| runtime()?.block_on(on_the_wire(dir))).at_most(3));
    cells.push(Cell::scene(group, NODE, FIRST, |dir| runtime()?.block_on(link_returns(dir))).at_most(3));
    cells.push(Cell::scene(group, AUTOMERGE, "a map", |dir| document::measure::<automerge::Replica>(AUTOMERGE, dir)));
    cells.push(Cell::scene(group, YRS, "a map", |dir| document::measure::<yrs::Replica>(YRS, dir)));
    let replica = Cell::scene(group, REDIS, "a replica", |dir| runtime()?.block_on(redis::measure(dir)));
    cells.push(replica.if_there(redis::find));
    let leaf = Cell::scene(group, NATS, "a leaf", |dir| runtime()?.block_on(nats::measure(dir)));
    cells.push(leaf.at_most(3).if_there(nats::find));
    for (what, scene) in [("a stream", iroh::Scene::Live), (CATCH_UP, iroh::Scene::CatchUp)] {
        let nodes = Cell::scene(group, IROH, what, move |dir| iroh::measure(scene, dir));
        cells.push(nodes.at_most(3).if_there(iroh::find));
    }
}

/// Operations a second.
#[must_use]
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn stream(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let (from, to) = (open(dir, "from").await?, open(dir, "to").await?);
    let address = listen(&from).await?;
    join(&to, &from, address).await?;
    windowed(&from, &to, 0, 1000, 64).await?;
    delivered(&from).await?;

    let began = Instant::now();
    windowed(&from, &to, 1_000_000, STREAMED, 64).await?;
    let window = began.elapsed();
    delivered(&from).await?;
    let began = Instant::now();
    puts(&from, 2_000_000, STREAMED, noise).await?;
    delivered(&from).await?;
    let streamed = began.elapsed();
    equal(&from, &to).await?;
    close(&[&from, &to]).await?;
    Ok(vec![
        Figure::of(NODE, WINDOW, per_second(STREAMED, window)),
        Figure::of(NODE, STREAM, per_second(STREAMED, streamed)),
    ])
}

async fn catch_up(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let (from, to) = (open(dir, "from").await?, open(dir, "to").await?);
    let address = listen(&from).await?;
    join(&to, &from, address).await?;
    batches(&from, 0, 1000, noise).await?;
    delivered(&from).await?;
    to.stop_transport().await?;
    batches(&from, 1_000_000, PENDING, noise).await?;

    let began = Instant::now();
    to.start_transport(softadastra::TransportOptions::default()).await?;
    delivered(&from).await?;
    let took = began.elapsed();
    equal(&from, &to).await?;
    close(&[&from, &to]).await?;
    Ok(vec![Figure::of(NODE, CATCH_UP, per_second(PENDING, took))])
}

async fn on_the_wire(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let (from, to) = (open(dir, "from").await?, open(dir, "to").await?);
    let wire = Wire::to(listen(&from).await?).await?;
    join(&to, &from, wire.address).await?;
    batches(&from, 0, 1000, noise).await?;
    delivered(&from).await?;

    let before = wire.bytes();
    puts(&from, 1_000_000, STREAMED, noise).await?;
    delivered(&from).await?;
    let live = (wire.bytes() - before) as f64 / STREAMED as f64;
    let mut figures = vec![Figure::of(NODE, LIVE_BYTES, live)];
    let soft: fn(u64, usize) -> Vec<u8> = |number, len| vec![number as u8; len];
    for (first, column, value) in [(2_000_000, LATE_BYTES, noise as fn(_, _) -> _), (3_000_000, SOFT_BYTES, soft)] {
        to.stop_transport().await?;
        batches(&from, first, PENDING, value).await?;
        let before = wire.bytes();
        to.start_transport(softadastra::TransportOptions::default()).await?;
        delivered(&from).await?;
        figures.push(Figure::of(NODE, column, (wire.bytes() - before) as f64 / PENDING as f64));
    }
    close(&[&from, &to]).await?;
    Ok(figures)
}

/// The wire is cut, and mended five seconds later; nobody tells either side.
async fn link_returns(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let (from, to) = (open(dir, "from").await?, open(dir, "to").await?);
    let wire = Wire::to(listen(&from).await?).await?;
    join(&to, &from, wire.address).await?;
    batches(&from, 0, 1000, noise).await?;
    delivered(&from).await?;
    wire.cut().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    batches(&from, 1_000_000, 1000, noise).await?;
    wire.mend();
    let began = Instant::now();
    until("the first operation is there", || Ok(to.contains(key_of(1_000_000))?)).await?;
    let took = began.elapsed();
    close(&[&from, &to]).await?;
    Ok(vec![Figure::of(NODE, FIRST, took.as_secs_f64() * 1e3)])
}
