//! The connections of a node: made, taken, read, written, closed. What becomes of them is told to the loop as facts, in
//! the order of each connection.
//!
//! Each connection has one task that reads and one that writes. The reader holds at most one chunk that the node has not
//! taken in, so a busy node slows its peers down and not itself; what waits to be written is bounded by the node, which
//! counts what it has sent and was not told to be written.

mod accept;
mod bind;
mod dial;
mod pipe;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use softadastra_core::node::LinkFact;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::endpoint::LinkId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::Instrument as _;

pub(super) use self::bind::{Bound, bind};
use self::pipe::Pipe;
use super::discovery::RadioFact;
use super::network::Prepared;
use crate::descriptors::share;
use crate::world::{Connection, Net};

/// Facts that may wait for the loop. Readers, dialers and listeners beyond wait to tell theirs.
const QUEUE: usize = 1024;

/// Closed connections that may wait to hear that their last words arrived. A flood of strangers must not keep the file
/// descriptors that the log needs; of few, they keep a sixteenth.
const MOST_LINGERING: usize = 64;

/// What the network has to tell.
pub(super) enum NetFact<N: Net> {
    /// Something about a connection that stands.
    Link { link: LinkId, fact: LinkFact, taken: Taken },
    /// A dial has come to an end.
    Dialled { link: LinkId, result: Result<Connection<N>, String> },
    /// Somebody has opened a connection.
    Arrived { connection: Connection<N>, from: SocketAddr, taken: Taken },
    /// What [`Links::prepare`] was given has come to an end.
    Prepared(Box<Prepared<N>>),
    /// Something about datagrams.
    Radio(RadioFact),
}

/// To be dropped when the fact has been taken in: the next chunk is read then, the next connection accepted. Other facts
/// hold nothing up.
pub(super) type Taken = Option<OwnedSemaphorePermit>;

/// All connections of a node.
pub(super) struct Links<N: Net> {
    net: Arc<N>,
    told: mpsc::Sender<NetFact<N>>,
    open: BTreeMap<LinkId, Open>,
    /// Everything that runs for a connection, until it is closed.
    tasks: JoinSet<()>,
    listening: JoinSet<()>,
    preparing: Option<GiveUp>,
    lingering: Arc<Semaphore>,
}

enum Open {
    Dialling {
        _given_up_when_dropped: GiveUp,
    },
    /// Closed in order when dropped.
    Standing(Pipe),
}

struct GiveUp(AbortHandle);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<N: Net> Links<N> {
    /// No connections yet, and where their facts come out.
    pub(super) fn new(net: Arc<N>) -> (Self, mpsc::Receiver<NetFact<N>>) {
        let (told, facts) = mpsc::channel(QUEUE);
        let links = Self {
            net,
            told,
            open: BTreeMap::new(),
            tasks: JoinSet::new(),
            listening: JoinSet::new(),
            preparing: None,
            lingering: Arc::new(Semaphore::new(share(MOST_LINGERING, 1))),
        };
        (links, facts)
    }

    /// Whether there is no connection, nor one in the making.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn net(&self) -> Arc<N> {
        self.net.clone()
    }

    /// For others who have something to tell.
    pub(super) fn teller(&self) -> mpsc::Sender<NetFact<N>> {
        self.told.clone()
    }

    /// Runs `work` beside the loop; [`NetFact::Prepared`] follows.
    pub(super) fn prepare(&mut self, work: impl Future<Output = Prepared<N>> + Send + 'static) {
        let told = self.told.clone();
        let task = self.spawn(async move { pipe::tell(&told, NetFact::Prepared(Box::new(work.await))).await });
        self.preparing = Some(GiveUp(task));
    }

    /// Takes connections from these until [`Self::stop_listening`].
    pub(super) fn listen(&mut self, listeners: Vec<N::Listener>) {
        for listener in listeners {
            self.listening.spawn(accept::run::<N>(listener, self.told.clone()).in_current_span());
        }
    }

    /// Lets go of the addresses. They are free when the future completes.
    pub(super) fn stop_listening(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let mut listening = std::mem::take(&mut self.listening);
        async move { listening.shutdown().await }
    }

    /// Makes a connection; [`NetFact::Dialled`] follows, unless it is closed before.
    pub(super) fn dial(&mut self, link: LinkId, address: Address) {
        if cfg!(planted = "driver_stops_dialling") && link.0 > 12 {
            return;
        }
        let (net, told) = (self.net.clone(), self.told.clone());
        let task = self.spawn(async move {
            let result = dial::run(&*net, &address).await;
            pipe::tell(&told, NetFact::Dialled { link, result }).await;
        });
        self.open.insert(link, Open::Dialling { _given_up_when_dropped: GiveUp(task) });
    }

    /// Begins to read and write.
    pub(super) fn stand(&mut self, link: LinkId, connection: Connection<N>) {
        let (pipe, reading, writing) = pipe::lay(link, connection, self.told.clone(), self.lingering.clone());
        self.spawn(reading);
        self.spawn(writing);
        self.open.insert(link, Open::Standing(pipe));
    }

    /// Whether the node still speaks of it.
    pub(super) fn is_open(&self, link: LinkId) -> bool {
        self.open.contains_key(&link)
    }

    /// Sends bytes, behind those before. A connection that has ended takes none.
    pub(super) fn send(&self, link: LinkId, bytes: Bytes) {
        if let Some(Open::Standing(pipe)) = self.open.get(&link) {
            pipe.send(bytes);
        }
    }

    /// Gives up a dial, or closes a connection as soon as everything sent is written, at most a second from now.
    pub(super) fn close(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    /// Closes everything; completes when that is done.
    pub(super) async fn finish(mut self) {
        self.preparing = None;
        self.open.clear();
        self.stop_listening().await;
        while self.tasks.join_next().await.is_some() {}
    }

    /// Runs `task` until it ends or all of this is dropped.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task.in_current_span())
    }
}

#[cfg(test)]
mod tests;
