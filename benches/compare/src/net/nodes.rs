//! Nodes of Softadastra over loopback, in this process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use softadastra::{Batch, Client, ClientOptions, NodeId, TransportOptions};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{noise, spread};
use crate::engine::Fault;
use crate::work::key;

/// A node; clones share it.
pub(crate) type Node = Arc<Client>;

/// Writes in one batch.
pub(crate) const BATCH: u64 = 1000;

/// Nothing that is waited for may take longer: a scene that hangs must end the cell.
const PATIENCE: Duration = Duration::from_secs(120);

/// A runtime for the nodes of a scene.
///
/// # Errors
/// When threads cannot be had.
pub(crate) fn runtime() -> Result<Runtime, Fault> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Opens a node whose files lie in a directory of its name.
///
/// # Errors
/// Those of the client.
pub(crate) async fn open(dir: &Path, name: &str) -> Result<Node, Fault> {
    let options = ClientOptions::persistent(dir.join(name)).node_id(NodeId::new(name)?);
    Ok(Arc::new(Client::open(options).await?))
}

/// Opens a node without files.
///
/// # Errors
/// Those of the client.
pub(crate) async fn open_in_memory(name: &str) -> Result<Node, Fault> {
    Ok(Arc::new(Client::open(ClientOptions::memory_only().node_id(NodeId::new(name)?)).await?))
}

/// Founds a network and listens.
///
/// # Errors
/// Those of the client.
pub(crate) async fn listen(node: &Client) -> Result<SocketAddr, Fault> {
    node.ticket(Vec::new()).await?;
    start(node).await
}

/// Listens in the network it is in.
///
/// # Errors
/// Those of the client.
pub(crate) async fn start(node: &Client) -> Result<SocketAddr, Fault> {
    let options = TransportOptions { listen: vec!["127.0.0.1:0".to_owned()], ..TransportOptions::default() };
    Ok(*node.start_transport(options).await?.first().ok_or("a node that listens nowhere")?)
}

/// Lets a node that does not open links yet dial another at an address, and waits for the link.
///
/// # Errors
/// Those of the client.
pub(crate) async fn join(node: &Client, other: &Client, address: SocketAddr) -> Result<(), Fault> {
    node.start_transport(TransportOptions::default()).await?;
    node.connect(&other.ticket(vec![address.into()]).await?.reveal()).await?;
    until("two nodes are linked", || Ok(linked(node)? > 0 && linked(other)? > 0)).await
}

/// Peers with a link over which everything flows.
///
/// # Errors
/// When it is closed.
pub(crate) fn linked(node: &Client) -> Result<usize, Fault> {
    Ok(node.peers()?.iter().filter(|peer| peer.sync.is_some()).count())
}

/// Looks again and again until it holds. What is timed takes long beside the millisecond between two looks.
///
/// # Errors
/// When it does not come to pass in two minutes.
pub(crate) async fn until(what: &str, holds: impl Fn() -> Result<bool, Fault>) -> Result<(), Fault> {
    let began = Instant::now();
    while !holds()? {
        if began.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Waits until a peer has everything that the node has written.
///
/// # Errors
/// When that does not come to pass.
pub(crate) async fn delivered(node: &Client) -> Result<(), Fault> {
    until("everything is delivered", || Ok(node.status()?.outbox == 0)).await
}

/// Waits until two nodes hold the same.
///
/// # Errors
/// When that does not come to pass.
pub(crate) async fn equal(one: &Client, other: &Client) -> Result<(), Fault> {
    until("two nodes hold the same", || Ok(one.status()?.digest == other.status()?.digest)).await
}

/// The key of a number, as the client takes it: numbers in order give keys in no order.
#[must_use]
pub(crate) fn key_of(number: u64) -> Bytes {
    Bytes::copy_from_slice(&key(spread(number)))
}

/// `count` puts by 64 tasks that each wait for their own answer.
///
/// # Errors
/// Those of the client.
pub(crate) async fn puts(node: &Node, first: u64, count: u64, value: fn(u64, usize) -> Vec<u8>) -> Result<(), Fault> {
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let node = Arc::clone(node);
        tasks.spawn(async move {
            for number in (first + task..first + count).step_by(64) {
                node.put(key_of(number), value(number, 100)).await?;
            }
            Ok::<_, Fault>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// The same in batches.
///
/// # Errors
/// Those of the client.
pub(crate) async fn batches(
    node: &Client,
    first: u64,
    count: u64,
    value: fn(u64, usize) -> Vec<u8>,
) -> Result<(), Fault> {
    for start in (first..first + count).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for number in start..(start + BATCH).min(first + count) {
            batch.put(key_of(number), value(number, 100));
        }
        node.batch(batch).await?;
    }
    Ok(())
}

/// `count` puts, at most `window` of them not yet seen on the other side, where what is seen is durable.
///
/// # Errors
/// Those of the client.
pub(crate) async fn windowed(from: &Node, to: &Node, first: u64, count: u64, window: usize) -> Result<(), Fault> {
    let room = Arc::new(Semaphore::new(window));
    let mut seen = to.watch(Bytes::new(), to.last_lsn()?)?;
    let freed = Arc::clone(&room);
    let watching = tokio::spawn(async move {
        for _ in 0..count {
            if seen.next().await.is_none() {
                return Err::<_, Fault>("the other side has closed".into());
            }
            freed.add_permits(1);
        }
        Ok(())
    });
    let mut writes = JoinSet::new();
    for number in first..first + count {
        room.acquire().await?.forget();
        let from = Arc::clone(from);
        writes.spawn(async move { from.put(key_of(number), noise(number, 100)).await.map(drop) });
        while let Some(ended) = writes.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = writes.join_next().await {
        ended??;
    }
    tokio::time::timeout(PATIENCE, watching).await???;
    Ok(())
}

/// Closes nodes.
///
/// # Errors
/// Those of the client.
pub(crate) async fn close(nodes: &[&Client]) -> Result<(), Fault> {
    for node in nodes {
        node.close().await?;
    }
    Ok(())
}
