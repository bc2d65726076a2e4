//! A node as its documentation sets one up: an endpoint, contents, gossip and documents behind one router. Its socket is bound
//! to loopback, and nobody is looked for but at an address that is given.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, RelayMode};
use iroh_blobs::store::fs::FsStore;
use iroh_blobs::{BlobsProtocol, Hash};
use iroh_docs::Capability;
use iroh_docs::api::Doc;
use iroh_docs::api::protocol::{AddrInfoOptions, ShareMode};
use iroh_docs::engine::LiveEvent;
use iroh_docs::protocol::Docs;
use iroh_docs::store::Query;
use iroh_gossip::net::Gossip;
use tokio::sync::watch;

/// Contents that have not come after that do not come any more.
const STALLED: Duration = Duration::from_secs(10);

/// A node with its stores in a directory of its own.
pub(crate) struct Node {
    /// Its documents.
    pub(crate) docs: Docs,
    blobs: FsStore,
    router: Router,
}

impl Node {
    /// Opens one.
    pub(crate) async fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")?
            .bind()
            .await?;
        let blobs = FsStore::load(dir.join("blobs")).await?;
        let gossip = Gossip::builder().spawn(endpoint.clone());
        let docs = Docs::persistent(dir.to_owned()).spawn(endpoint.clone(), (*blobs).clone(), gossip.clone()).await?;
        let router = Router::builder(endpoint)
            .accept(iroh_blobs::ALPN, BlobsProtocol::new(&blobs, None))
            .accept(iroh_gossip::ALPN, gossip)
            .accept(iroh_docs::ALPN, docs.clone())
            .spawn();
        Ok(Self { docs, blobs, router })
    }

    /// Where it is to be dialled.
    pub(crate) fn address(&self) -> Result<EndpointAddr> {
        let endpoint = self.router.endpoint();
        let socket = endpoint.bound_sockets().into_iter().next().context("an endpoint without a socket")?;
        Ok(EndpointAddr::new(endpoint.id()).with_ip_addr(socket))
    }

    /// What lets another node write to a document, too.
    pub(crate) async fn capability(&self, doc: &Doc) -> Result<Capability> {
        Ok(doc.share(ShareMode::Write, AddrInfoOptions::Id).await?.capability)
    }

    /// The entries of a document, each of whose contents is here.
    pub(crate) async fn entries(&self, doc: &Doc) -> Result<BTreeMap<Vec<u8>, Hash>> {
        let entries = doc.get_many(Query::all()).await?;
        let entries: BTreeMap<_, _> =
            entries.map_ok(|entry| (entry.key().to_vec(), entry.content_hash())).try_collect().await?;
        for hash in entries.values() {
            if !self.blobs.blobs().has(*hash).await? {
                bail!("an entry without its content");
            }
        }
        Ok(entries)
    }

    /// Bytes that it has sent in datagrams: what QUIC makes of them, without the heads of IP and UDP.
    pub(crate) fn sent(&self) -> u64 {
        self.router.endpoint().metrics().socket.send_ipv4.get()
    }

    /// Ends it.
    pub(crate) async fn close(&self) -> Result<()> {
        Ok(self.router.shutdown().await?)
    }
}

/// What has arrived of a document.
pub(crate) struct Arrivals {
    contents: watch::Receiver<u64>,
    neighbours: watch::Receiver<u64>,
}

impl Arrivals {
    /// Counts from now on.
    pub(crate) async fn of(doc: &Doc) -> Result<Self> {
        let mut events = doc.subscribe().await?;
        let (content, contents) = watch::channel(0);
        let (neighbour, neighbours) = watch::channel(0);
        tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                match event {
                    // The entry came before; its content had to be asked for.
                    LiveEvent::ContentReady { .. } => content.send_modify(|count| *count += 1),
                    LiveEvent::NeighborUp(_) => neighbour.send_modify(|count| *count += 1),
                    _ => {}
                }
            }
        });
        Ok(Self { contents, neighbours })
    }

    /// How many contents are there.
    pub(crate) fn count(&self) -> u64 {
        *self.contents.borrow()
    }

    /// Waits until so many contents are there; gives how many there are.
    pub(crate) async fn reach(&self, count: u64) -> Result<u64> {
        let mut contents = self.contents.clone();
        loop {
            let there = *contents.borrow_and_update();
            if there >= count {
                return Ok(there);
            }
            match tokio::time::timeout(STALLED, contents.changed()).await {
                Ok(more) => more.context("no more is told of the document")?,
                Err(_) => bail!("stalled with {there} contents of {count}"),
            }
        }
    }

    /// Waits until there is another side.
    pub(crate) async fn neighbour(&self) -> Result<()> {
        let mut neighbours = self.neighbours.clone();
        let met = tokio::time::timeout(STALLED, neighbours.wait_for(|count| *count > 0)).await;
        met.context("the two do not meet")?.context("no more is told of the document")?;
        Ok(())
    }
}
