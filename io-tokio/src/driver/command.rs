//! What clients ask of the loop, and where the answers go.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use softadastra_core::error::Error;
use softadastra_core::ids::{Lsn, NodeId, ReplicaId};
use softadastra_core::node::{Network, Node, Presence, Reply, SnapshotTaken, Write, Written};
use softadastra_core::op::Body;
use softadastra_core::time::{Now, WallTime};
use softadastra_core::wal::Manifest;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::discovery::DiscoveryOptions;
use crate::disk::DynDisk;
use crate::network::KnownPeer;

/// Where an answer goes. Whoever asked may have gone meanwhile.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// A batch of writes, on its way from a client to the node.
pub(crate) struct Writing {
    pub(crate) writes: Vec<Write>,
    pub(crate) answer: Answer<Vec<Written>>,
    /// Its share of what may wait.
    pub(crate) room: OwnedSemaphorePermit,
}

/// What clients ask of the loop.
pub(crate) enum Command {
    Snapshot {
        answer: Answer<SnapshotTaken>,
    },
    Flush {
        answer: Answer<Lsn>,
    },
    Resolve {
        conflict: u64,
        body: Option<Body>,
        answer: Answer<Vec<Written>>,
    },
    StartTransport {
        start: Box<StartTransport>,
        answer: Answer<Vec<SocketAddr>>,
    },
    StopTransport {
        answer: Answer<()>,
    },
    StartDiscovery {
        start: Box<StartDiscovery>,
        answer: Answer<()>,
    },
    StopDiscovery {
        answer: Answer<()>,
    },
    /// Does something that the node answers at once.
    Act(Act),
    /// Runs `job` beside the loop. No file of the log is removed before it ends; closing cuts it short.
    WithFiles {
        job: FilesJob,
    },
    Close {
        answer: Answer<()>,
    },
}

/// Something to do with the node, under the lock: it must be quick.
pub(crate) type Act = Box<dyn FnOnce(&mut Node, Now) + Send>;

/// How to open links.
pub(crate) struct StartTransport {
    /// As whom, with whom.
    pub(crate) network: Network,
    /// `HOST:PORT` each.
    pub(crate) listen: Vec<String>,
    /// To be dialled from then on.
    pub(crate) peers: Vec<KnownPeer>,
    /// Serve beyond loopback without a rule.
    pub(crate) insecure: bool,
}

/// How to find others.
pub(crate) struct StartDiscovery {
    /// As whom, and how. Listeners and targets are found out.
    pub(crate) presence: Presence,
    /// By which sockets.
    pub(crate) options: DiscoveryOptions,
}

/// Works with the files of the log, or learns why it cannot.
pub(crate) type FilesJob = Box<dyn FnOnce(Result<Files, Error>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The files of a log, held in place.
pub(crate) struct Files {
    /// What to read of each for everything up to its durable LSN.
    pub(crate) manifest: Manifest,
    /// Where to read it.
    pub(crate) disk: Arc<dyn DynDisk>,
    /// File ids from here on, 2^32 of them, are free for the job.
    pub(crate) first_id: u64,
    /// Whose log it is.
    pub(crate) node_id: NodeId,
    /// The history that writes it.
    pub(crate) replica: ReplicaId,
    /// When it was pinned.
    pub(crate) at: WallTime,
}

/// Who waits for a reply of the node.
pub(super) enum Waiting {
    Write { answer: Answer<Vec<Written>>, _room: OwnedSemaphorePermit },
    Snapshot(Answer<SnapshotTaken>),
    Flush(Answer<Lsn>),
    Resolve(Answer<Vec<Written>>),
}

impl Waiting {
    /// Passes on what the node replied.
    pub(super) fn answer(self, result: Result<Reply, Error>) {
        match (self, result) {
            (Self::Write { answer, .. }, Ok(Reply::Written(written))) => tell(answer, Ok(written)),
            (Self::Write { answer, .. }, Err(error)) => tell(answer, Err(error)),
            (Self::Snapshot(answer), Ok(Reply::Snapshot(taken))) => tell(answer, Ok(taken)),
            (Self::Snapshot(answer), Err(error)) => tell(answer, Err(error)),
            (Self::Flush(answer), Ok(Reply::Flushed(lsn))) => tell(answer, Ok(lsn)),
            (Self::Flush(answer), Err(error)) => tell(answer, Err(error)),
            (Self::Resolve(answer), Ok(Reply::Written(written))) => tell(answer, Ok(written)),
            (Self::Resolve(answer), Err(error)) => tell(answer, Err(error)),
            (_, Ok(reply)) => unreachable!("the node answered a command with {reply:?}"),
        }
    }
}

/// Answers; whoever asked may have gone.
pub(crate) fn tell<T>(answer: Answer<T>, result: Result<T, Error>) {
    if answer.send(result).is_err() {
        tracing::trace!(step = "answer_unheard", "whoever asked has gone");
    }
}
