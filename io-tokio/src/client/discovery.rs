//! The client: finding other nodes.

use std::sync::{MutexGuard, PoisonError};

use softadastra_core::discovery;
use softadastra_core::error::{Code, Error};
use softadastra_core::node::{Node, Presence};
use softadastra_core::transport::trust::TrustMode;
use tokio::sync::oneshot;

use super::Client;
use crate::discovery::{DiscoveryMode, DiscoveryOptions};
use crate::driver::{Command, StartDiscovery};
use crate::model::{DiscoveryState, FoundNode};

impl Client {
    /// Looks for the other nodes of the network, and lets itself be found, from now on until it is stopped. It answers
    /// before anything was sent: sockets that cannot be had are tried again and again, and [`Client::discovery_state`] tells
    /// of it. Links and local reads and writes do not depend on it, whatever becomes of it.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when it runs already or the client is closed; [`Code::InvalidArgument`] for an option, and
    /// for `auto_connect` without a rule whom to link with; [`Code::TransportError`] when `network.json` cannot be used.
    pub async fn start_discovery(&self, options: DiscoveryOptions) -> Result<(), Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        if self.discovery_running() {
            return Err(Error::new(
                Code::InvalidState,
                "discovery is running already",
                "stop it first to start it with other options",
            ));
        }
        self.begin_discovery(options).await
    }

    /// Says goodbye, listens no more and gives the port free. What was found stays listed and grows old; links go on, and
    /// nobody is dialled any more because he was found. Stopping what does not run is no error.
    ///
    /// # Errors
    /// [`Code::InvalidState`] once closed.
    pub async fn stop_discovery(&self) -> Result<(), Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        self.end_discovery().await?;
        *self.discovery_options() = None;
        Ok(())
    }

    /// Whether other nodes are looked for.
    #[must_use]
    pub fn discovery_running(&self) -> bool {
        self.read(Node::discovery_running).unwrap_or(false)
    }

    /// The nodes that were found, by their keys; those that are lost for a while yet. It says nothing about data.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn discovered(&self) -> Result<Vec<FoundNode>, Error> {
        let now = self.inner.reach.shared.now();
        self.read(|node| {
            let peers = node.peers(now);
            let connected = |key| peers.iter().any(|peer| peer.link.key == Some(key) && peer.link.up_for.is_some());
            let nodes = node.discovery_status(now).map(|status| status.nodes).unwrap_or_default();
            nodes
                .into_iter()
                .map(|found| (connected(found.key), found))
                .map(|(up, it)| FoundNode::of(it, now, up))
                .collect()
        })
    }

    /// How discovery does, and what keeps it from working.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn discovery_state(&self) -> Result<DiscoveryState, Error> {
        let shared = &self.inner.reach.shared;
        let (now, standing) = (shared.now(), shared.discovery());
        self.read(|node| DiscoveryState::of(node, now, standing))
    }

    /// Goes on under the secret that the book has now, if it runs.
    pub(super) async fn renew_discovery(&self) -> Result<(), Error> {
        let options = self.discovery_options().clone().filter(|_| self.discovery_running());
        let Some(options) = options else { return Ok(()) };
        self.end_discovery().await?;
        self.begin_discovery(options).await
    }

    async fn begin_discovery(&self, options: DiscoveryOptions) -> Result<(), Error> {
        options.validate()?;
        let running = self.present();
        let (mode, identity, secret) = self.inner.book.read(|content| {
            let mode = running.map_or_else(|| content.mode(), |running| running.mode(content));
            let content = content.clone();
            (mode, content.identity, content.secret)
        })?;
        if options.auto_connect && mode == TrustMode::Open {
            return Err(nobody_to_trust());
        }
        let silent = options.mode == DiscoveryMode::Listen;
        let presence = Presence {
            identity,
            secret,
            settings: discovery::Settings { silent, ..options.settings },
            // Both are found out beside.
            listeners: Vec::new(),
            targets: Vec::new(),
            auto_connect: options.auto_connect,
        };
        // Before, in case nobody waits for the answer.
        *self.discovery_options() = Some(options.clone());
        let (answer, reply) = oneshot::channel();
        let start = Box::new(StartDiscovery { presence, options });
        self.ask(Command::StartDiscovery { start, answer }, reply).await
    }

    async fn end_discovery(&self) -> Result<(), Error> {
        let (answer, reply) = oneshot::channel();
        self.ask(Command::StopDiscovery { answer }, reply).await
    }

    fn discovery_options(&self) -> MutexGuard<'_, Option<DiscoveryOptions>> {
        self.inner.network.discovery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is found is to be dialled, and there is no rule who that may be.
pub(crate) fn nobody_to_trust() -> Error {
    Error::new(
        Code::InvalidArgument,
        "auto_connect would dial whoever happens to be found: this node has no rule whom to link with",
        "join a network by a ticket, or trust keys by hand (`softadastra peers trust`), or leave it out and connect by hand",
    )
}
