//! The nodes of the demonstration. Each has a runtime of its own, so that it can be killed as a process is: in the
//! middle of whatever it does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::try_join_all;
use softadastra_core::error::Code;
use softadastra_core::ids::{Lsn, NodeId};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{interval, timeout};

use crate::control::Fault;
use crate::control::answer::DemoNode;
use crate::model::{ConflictInfo, OutboxStatus, RecoveryReport};
use crate::{Client, ClientOptions, PeerState, Resolution, ScanOptions, TransportOptions};

/// How long any one thing may take.
const SOON: Duration = Duration::from_secs(20);

/// How often one looks whether something has come about that no watch tells of.
const LOOK: Duration = Duration::from_millis(2);

/// Something did not hold.
pub(super) fn fails(what: impl Into<String>) -> Fault {
    let what = format!("the demonstration failed: {}", what.into());
    Fault::new(Code::InternalError, what, "run it again with -v, and report what it says")
}

/// The three, and the directories they work in.
pub(super) struct Stage {
    pub(super) office: Actor,
    pub(super) till: Actor,
    pub(super) warehouse: Actor,
    dir: TempDir,
}

impl Stage {
    pub(super) fn set() -> Result<Self, Fault> {
        let dir = tempfile::Builder::new()
            .prefix("softadastra-demo-")
            .tempdir()
            .map_err(|error| Fault::io("make a temporary directory", &error))?;
        let actor = |name| Actor { name, dir: dir.path().join(name), life: None, address: None };
        Ok(Self { office: actor("office"), till: actor("till"), warehouse: actor("warehouse"), dir })
    }

    pub(super) fn all(&self) -> [&Actor; 3] {
        [&self.till, &self.office, &self.warehouse]
    }

    pub(super) fn digests(&self) -> Result<Vec<u128>, Fault> {
        self.all().iter().map(|actor| Ok(actor.client()?.status()?.digest)).collect()
    }

    /// Waits until all hold the same.
    pub(super) async fn same_everywhere(&self) -> Result<(), Fault> {
        until("all nodes hold the same", || {
            let digests = self.digests()?;
            Ok(digests.windows(2).all(|pair| matches!(pair, [a, b] if a == b)).then_some(()))
        })
        .await
    }

    /// Closes whoever still runs, and removes the directories.
    pub(super) async fn clear(self) -> Result<(), Fault> {
        for actor in [self.office, self.till, self.warehouse] {
            actor.close().await;
        }
        self.dir.close().map_err(|error| Fault::io("remove the temporary directory", &error))
    }
}

/// One node.
pub(super) struct Actor {
    pub(super) name: &'static str,
    dir: PathBuf,
    life: Option<Life>,
    /// Where it listened first, and will again.
    address: Option<SocketAddr>,
}

/// One run of it.
struct Life {
    runtime: Runtime,
    client: Option<Client>,
}

impl Actor {
    fn client(&self) -> Result<&Client, Fault> {
        let client = self.life.as_ref().and_then(|life| life.client.as_ref());
        client.ok_or_else(|| fails(format!("{} does not run", self.name)))
    }

    async fn open(&mut self) -> Result<(), Fault> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(self.name).enable_all().build();
        let runtime = runtime.map_err(|error| Fault::io("start a thread", &error))?;
        let name = NodeId::new(self.name).map_err(|error| fails(error.to_string()))?;
        // One that was killed lets go of its directory when its last thread has ended.
        let options = ClientOptions::local(&self.dir).node_id(name).lock_wait(SOON);
        let opening = runtime.spawn(Client::open(options));
        let life = self.life.insert(Life { runtime, client: None });
        let opened = opening.await.map_err(|error| fails(error.to_string()))?;
        life.client = Some(opened?);
        Ok(())
    }

    /// Starts, founds a network, and gives the ticket to it.
    pub(super) async fn found_network(&mut self) -> Result<String, Fault> {
        self.open().await?;
        // Before links are opened, so that nobody comes in without the secret.
        self.client()?.ticket(Vec::new()).await?;
        self.open_links().await?;
        let ticket = self.client()?.ticket(Vec::new()).await?;
        Ok(ticket.reveal().to_string())
    }

    /// Starts, and joins by a ticket.
    pub(super) async fn join(&mut self, ticket: &str) -> Result<(), Fault> {
        self.open().await?;
        let ticket = ticket.parse().map_err(|error| fails(format!("{error}")))?;
        self.client()?.join(&ticket).await?;
        self.open_links().await
    }

    /// Opens links: the office listens, at the same address each time; all dial whom they know.
    pub(super) async fn open_links(&mut self) -> Result<(), Fault> {
        let mut options = TransportOptions::default();
        if self.name == "office" {
            let address = self.address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
            options.listen.push(address);
        }
        // On one machine there is no reason to be patient.
        options.settings.first_pause = Duration::from_millis(20);
        options.settings.longest_pause = Duration::from_millis(200);
        let addresses = self.client()?.start_transport(options).await?;
        self.address = addresses.first().copied();
        Ok(())
    }

    pub(super) fn listening(&self) -> Result<SocketAddr, Fault> {
        self.address.ok_or_else(|| fails(format!("{} listens nowhere", self.name)))
    }

    /// Ends all links and takes no new ones.
    pub(super) async fn cut_off(&self) -> Result<(), Fault> {
        Ok(self.client()?.stop_transport().await?)
    }

    /// Ends it at once, in the middle of whatever it does: nothing is closed, nothing is said to anybody.
    pub(super) async fn kill(&mut self) -> Result<(), Fault> {
        let Life { runtime, client } = self.life.take().ok_or_else(|| fails(format!("{} does not run", self.name)))?;
        end(runtime).await;
        // Only now: a loop that still ran would take it for a wish to close in order.
        drop(client);
        Ok(())
    }

    /// Starts again on what the disk holds, and gives what was found there.
    pub(super) async fn come_back(&mut self) -> Result<RecoveryReport, Fault> {
        self.open().await?;
        self.open_links().await?;
        Ok(self.client()?.recovery_report().clone())
    }

    async fn close(self) {
        let Some(Life { runtime, client }) = self.life else { return };
        if let Some(client) = client
            && let Err(error) = client.close().await
        {
            tracing::warn!(%error, node = self.name, "not closed in order");
        }
        end(runtime).await;
    }

    pub(super) async fn put(&self, key: &str, value: &str) -> Result<(), Fault> {
        self.client()?.put(key.to_owned(), value.to_owned()).await?;
        Ok(())
    }

    /// Many writes at once, which share their way to the disk.
    pub(super) async fn put_many(&self, what: &str, count: u64) -> Result<(), Fault> {
        let client = self.client()?;
        try_join_all((1..=count).map(|n| client.put(format!("{what}/{n:03}"), "1"))).await?;
        Ok(())
    }

    pub(super) async fn resolve(&self, conflict: u64, resolution: Resolution) -> Result<(), Fault> {
        self.client()?.resolve(conflict, resolution).await?;
        Ok(())
    }

    pub(super) fn outbox(&self) -> Result<OutboxStatus, Fault> {
        Ok(self.client()?.sync_state()?.outbox)
    }

    /// How many values it holds, each of which must have been written once, but for `key`.
    pub(super) fn written_once(&self, key: &str) -> Result<u64, Fault> {
        let page = self.client()?.scan(&ScanOptions { limit: usize::MAX, ..ScanOptions::default() })?;
        match page.items.iter().find(|item| item.key != key && item.value.version != 1) {
            Some(item) => Err(fails(format!("{} has version {} of {:?}", self.name, item.value.version, item.key))),
            None => Ok(page.items.len() as u64),
        }
    }

    pub(super) fn summary(&self) -> Result<DemoNode, Fault> {
        let (status, sync) = (self.client()?.status()?, self.client()?.sync_state()?);
        Ok(DemoNode {
            node_id: self.name.to_owned(),
            keys: status.keys,
            digest: format!("{:032x}", status.digest),
            acknowledged: sync.outbox.acknowledged,
            outbox: sync.outbox.size(),
            conflicts: sync.conflicts,
        })
    }

    /// Waits until it shows this value.
    pub(super) async fn shows(&self, key: &str, value: &str) -> Result<(), Fault> {
        let client = self.client()?;
        let mut watch = client.watch(key.to_owned(), Lsn::ZERO)?;
        let seen = async {
            loop {
                let change = watch.next().await.ok_or_else(|| fails(format!("{} has ended", self.name)))?;
                if change.key == key && change.value.as_deref() == Some(value.as_bytes()) {
                    return Ok(());
                }
            }
        };
        let late = |_| fails(format!("{} does not show {key} = {value} after {SOON:?}", self.name));
        timeout(SOON, seen).await.map_err(late)?
    }

    /// Waits until it has a link to a node of this name.
    pub(super) async fn linked_to(&self, name: &str) -> Result<(), Fault> {
        until(&format!("{} is linked to {name}", self.name), || {
            let peers = self.client()?.peers()?;
            let linked = peers.iter().any(|peer| {
                peer.state == PeerState::Connected && peer.node.as_ref().is_some_and(|node| node.as_str() == name)
            });
            Ok(linked.then_some(()))
        })
        .await
    }

    /// Waits until another node holds all that was accepted here.
    pub(super) async fn delivered(&self) -> Result<(), Fault> {
        until(&format!("all of {} is delivered", self.name), || Ok((self.outbox()?.size() == 0).then_some(()))).await
    }

    /// Waits until a conflict about a key is on record, and gives it.
    pub(super) async fn knows_conflict(&self, key: &str) -> Result<ConflictInfo, Fault> {
        until(&format!("{} knows of the conflict", self.name), || {
            Ok(self.client()?.conflicts()?.into_iter().find(|conflict| conflict.key == key))
        })
        .await
    }
}

/// Ends everything that runs there, wherever it is, and waits until it has ended.
async fn end(runtime: Runtime) {
    let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(SOON)).await;
    if let Err(error) = ended {
        tracing::warn!(%error, "a thread has panicked");
    }
}

/// Looks until there is something to see, in bounded time.
async fn until<T>(what: &str, look: impl Fn() -> Result<Option<T>, Fault>) -> Result<T, Fault> {
    let mut looks = interval(LOOK);
    let seen = async {
        loop {
            looks.tick().await;
            if let Some(seen) = look()? {
                return Ok(seen);
            }
        }
    };
    timeout(SOON, seen).await.map_err(|_elapsed| fails(format!("{what}: not after {SOON:?}")))?
}
