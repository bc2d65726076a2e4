//! Two nodes over loopback, both durable on the same disk. Everything is set beside a figure of the same run: quote the
//! ratio.
//!
//! Plain timing, each scene once: what is measured takes seconds, and ends when a peer has it on its disk. Without
//! `--bench` every scene is played with a few operations, to see that it can be.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::key;
use bytes::{Bytes, BytesMut};
use softadastra::{Batch, Client, ClientOptions, NodeId, TransportOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const BATCH: u64 = 1000;

/// How many operations each scene has.
struct Counts {
    streamed: u64,
    pending: u64,
    single: u64,
}

fn main() {
    let counts = if std::env::args().any(|argument| argument == "--bench") {
        Counts { streamed: 20_000, pending: 100_000, single: 500 }
    } else {
        Counts { streamed: 100, pending: 2000, single: 10 }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be had");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory is writable");
    runtime.block_on(async {
        println!("One-way replication over loopback, 64 writers, 16-byte keys, values that do not compress");
        for len in [100, 1024] {
            one_way(dir.path(), len, counts.streamed).await;
        }
        println!("\nAfter a partition, values of 100 bytes");
        after_a_partition(dir.path(), counts.pending).await;
        println!("\nBytes on the wire, both directions, per operation of 16 + 100 bytes");
        on_the_wire(dir.path(), &counts).await;
        println!("\nMemory of what is pending, in a node without a disk");
        in_memory(counts.pending).await;
    });
}

/// A value without a pattern.
fn value(number: u64, len: usize) -> Bytes {
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.take(len).collect::<Vec<u8>>().into()
}

async fn open(dir: &Path, name: &str) -> Arc<Client> {
    let node = NodeId::new(name).expect("a good name");
    Arc::new(Client::open(ClientOptions::local(dir.join(name)).node_id(node)).await.expect("an empty directory opens"))
}

/// A node that listens.
async fn listen(client: &Client) -> SocketAddr {
    client.ticket(Vec::new()).await.expect("a secret can be kept");
    let options = TransportOptions { listen: vec!["127.0.0.1:0".to_owned()], ..TransportOptions::default() };
    let bound = client.start_transport(options).await.expect("a port is free");
    *bound.first().expect("one address was asked for")
}

/// Dials the other node at this address, and waits for the link.
async fn join(client: &Client, other: &Client, address: SocketAddr) {
    let ticket = other.ticket(vec![address.into()]).await.expect("it listens");
    client.start_transport(TransportOptions::default()).await.expect("it does not run yet");
    client.connect(&ticket.reveal()).await.expect("a good ticket");
    while client.status().expect("it is open").outbox > 0 || !linked(client) || !linked(other) {
        pause().await;
    }
}

fn linked(client: &Client) -> bool {
    client.sync_state().expect("it is open").connected > 0
}

/// Short beside all that is measured.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

async fn delivered(client: &Client) {
    while client.status().expect("it is open").outbox > 0 {
        pause().await;
    }
}

/// `count` puts by 64 tasks that each wait for their own answer.
async fn puts(client: &Arc<Client>, first: u64, count: u64, len: usize) -> Duration {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let client = Arc::clone(client);
        tasks.spawn(async move {
            for index in (first + task..first + count).step_by(64) {
                client.put(key(index), value(index, len)).await.expect("the node takes writes");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no writer panics");
    }
    began.elapsed()
}

async fn batches(client: &Client, first: u64, count: u64) -> Duration {
    let began = Instant::now();
    for start in (first..first + count).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for index in start..start + BATCH {
            batch.put(key(index), value(index, 100));
        }
        client.batch(batch).await.expect("the node takes writes");
    }
    began.elapsed()
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn one_way(dir: &Path, len: usize, count: u64) {
    let dir = dir.join(format!("one-way-{len}"));
    let (from, to) = (open(&dir, "from").await, open(&dir, "to").await);
    puts(&from, 0, count / 10, len).await;
    let alone = per_second(count, puts(&from, 10_000_000, count, len).await);
    let address = listen(&from).await;
    join(&to, &from, address).await;
    delivered(&from).await;

    let began = Instant::now();
    let answered = per_second(count, puts(&from, 20_000_000, count, len).await);
    delivered(&from).await;
    let durable_there = per_second(count, began.elapsed());
    assert_eq!(from.status().expect("open").digest, to.status().expect("open").digest);
    println!(
        "{len:>5} bytes: {alone:.0}/s alone; with a peer {answered:.0}/s answered ({:.2}), {durable_there:.0}/s durable \
         on both sides ({:.2})",
        answered / alone,
        durable_there / alone
    );
    close(&[&from, &to]).await;
}

async fn after_a_partition(dir: &Path, count: u64) {
    let dir = dir.join("partition");
    let (from, to) = (open(&dir, "from").await, open(&dir, "to").await);
    let address = listen(&from).await;
    join(&to, &from, address).await;
    batches(&from, 0, BATCH).await;
    delivered(&from).await;
    for both in [false, true] {
        to.stop_transport().await.expect("it runs");
        let first = 10_000_000 * (1 + u64::from(both));
        let local = batches(&from, first, count).await;
        if both {
            batches(&to, first + 5_000_000, count).await;
        }
        let began = Instant::now();
        to.start_transport(TransportOptions::default()).await.expect("it was stopped");
        let differ = || from.status().expect("open").digest != to.status().expect("open").digest;
        while differ() {
            pause().await;
        }
        let equal = began.elapsed();
        delivered(&from).await;
        delivered(&to).await;
        let acknowledged = began.elapsed();
        println!(
            "{count} pending on {}: equal after {:.2} s, all acknowledged after {:.2} s; writing {count} in batches of \
             {BATCH} took {:.2} s ({:.1} times as long)",
            if both { "both sides" } else { "one side" },
            equal.as_secs_f64(),
            acknowledged.as_secs_f64(),
            local.as_secs_f64(),
            equal.as_secs_f64() / local.as_secs_f64(),
        );
    }
    close(&[&from, &to]).await;
}

async fn on_the_wire(dir: &Path, counts: &Counts) {
    let dir = dir.join("wire");
    let (from, to) = (open(&dir, "from").await, open(&dir, "to").await);
    let address = listen(&from).await;
    let bytes = Arc::new(AtomicU64::new(0));
    let counted = counting_proxy(address, Arc::clone(&bytes)).await;
    join(&to, &from, counted).await;
    let show = |what: &str, count: u64, sent: u64| println!("{what}: {:.1}", sent as f64 / count as f64);

    let before = bytes.load(Ordering::Relaxed);
    for index in 0..counts.single {
        from.put(key(index), value(index, 100)).await.expect("the node takes writes");
        delivered(&from).await;
    }
    show("one at a time, each acknowledged before the next", counts.single, bytes.load(Ordering::Relaxed) - before);

    let before = bytes.load(Ordering::Relaxed);
    puts(&from, 10_000_000, counts.streamed, 100).await;
    delivered(&from).await;
    show("a stream of 64 writers", counts.streamed, bytes.load(Ordering::Relaxed) - before);

    to.stop_transport().await.expect("it runs");
    batches(&from, 20_000_000, counts.pending).await;
    let before = bytes.load(Ordering::Relaxed);
    to.start_transport(TransportOptions::default()).await.expect("it was stopped");
    delivered(&from).await;
    show("catching up after a partition", counts.pending, bytes.load(Ordering::Relaxed) - before);
    close(&[&from, &to]).await;
}

/// Passes connections on, and counts what crosses them in both directions.
async fn counting_proxy(to: SocketAddr, bytes: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            let Ok(there) = TcpStream::connect(to).await else { continue };
            let (here_in, here_out) = here.into_split();
            let (there_in, there_out) = there.into_split();
            for (mut from, mut to) in [(here_in, there_out), (there_in, here_out)] {
                let bytes = Arc::clone(&bytes);
                tokio::spawn(async move {
                    let mut piece = BytesMut::with_capacity(64 << 10);
                    while let Ok(count @ 1..) = from.read_buf(&mut piece).await {
                        bytes.fetch_add(count as u64, Ordering::Relaxed);
                        if to.write_all_buf(&mut piece).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    address
}

/// The same few keys are written again and again, so that the store stays as it is and only what is pending grows.
async fn in_memory(count: u64) {
    let client = Client::open(ClientOptions::memory_only()).await.expect("it needs nothing");
    let mut written = 0;
    let mut write = async |rounds: u64| {
        for _ in 0..rounds {
            written += 1;
            let mut batch = Batch::new();
            for index in 0..BATCH {
                batch.put(key(index), value(index + written, 100));
            }
            client.batch(batch).await.expect("the node takes writes");
        }
    };
    write(20).await;
    let before = resident();
    write(count / BATCH).await;
    let after = resident();
    let pending = client.status().expect("it is open").outbox;
    match before.zip(after) {
        Some((before, after)) => {
            let grown = after.saturating_sub(before);
            println!(
                "{pending} pending on {BATCH} keys: {:.2} bytes each ({grown} in all)",
                grown as f64 / count as f64
            );
        }
        None => println!("{pending} pending; this system does not say how much memory that takes"),
    }
    client.close().await.expect("it closes");
}

/// Memory of this process, where the system says it.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

async fn close(clients: &[&Client]) {
    for client in clients {
        client.close().await.expect("a node closes");
    }
}
