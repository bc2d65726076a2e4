//! The blocking client: links, peers, and how far operations got.

use std::net::SocketAddr;

use softadastra_core::error::Error;
use softadastra_core::ids::ReplicaId;
use softadastra_core::node::{Ticked, Written};
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::{NetworkSecret, NodeKey};
use softadastra_core::transport::ticket::Ticket;

use super::BlockingClient;
#[cfg(doc)]
use crate::client::Client;
use crate::discovery::DiscoveryOptions;
use crate::model::{ConflictInfo, DiscoveryState, FoundNode, PeerInfo, Resolution, SyncState};
use crate::network::TransportOptions;
use crate::watch::Event;

impl BlockingClient {
    /// As [`Client::start_transport`].
    ///
    /// # Errors
    /// As [`Client::start_transport`].
    pub fn start_transport(&self, options: TransportOptions) -> Result<Vec<SocketAddr>, Error> {
        self.wait(self.client.start_transport(options))
    }

    /// As [`Client::stop_transport`].
    ///
    /// # Errors
    /// As [`Client::stop_transport`].
    pub fn stop_transport(&self) -> Result<(), Error> {
        self.wait(self.client.stop_transport())
    }

    /// As [`Client::transport_running`].
    #[must_use]
    pub fn transport_running(&self) -> bool {
        self.client.transport_running()
    }

    /// As [`Client::listening`].
    #[must_use]
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.client.listening()
    }

    /// As [`Client::key`].
    ///
    /// # Errors
    /// As [`Client::key`].
    pub fn key(&self) -> Result<NodeKey, Error> {
        self.client.key()
    }

    /// As [`Client::peers`].
    ///
    /// # Errors
    /// As [`Client::peers`].
    pub fn peers(&self) -> Result<Vec<PeerInfo>, Error> {
        self.client.peers()
    }

    /// As [`Client::start_discovery`].
    ///
    /// # Errors
    /// As [`Client::start_discovery`].
    pub fn start_discovery(&self, options: DiscoveryOptions) -> Result<(), Error> {
        self.wait(self.client.start_discovery(options))
    }

    /// As [`Client::stop_discovery`].
    ///
    /// # Errors
    /// As [`Client::stop_discovery`].
    pub fn stop_discovery(&self) -> Result<(), Error> {
        self.wait(self.client.stop_discovery())
    }

    /// As [`Client::discovery_running`].
    #[must_use]
    pub fn discovery_running(&self) -> bool {
        self.client.discovery_running()
    }

    /// As [`Client::discovery_state`].
    ///
    /// # Errors
    /// As [`Client::discovery_state`].
    pub fn discovery_state(&self) -> Result<DiscoveryState, Error> {
        self.client.discovery_state()
    }

    /// As [`Client::discovered`].
    ///
    /// # Errors
    /// As [`Client::discovered`].
    pub fn discovered(&self) -> Result<Vec<FoundNode>, Error> {
        self.client.discovered()
    }

    /// As [`Client::connect`].
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect(&self, spec: &str) -> Result<(), Error> {
        self.wait(self.client.connect(spec))
    }

    /// As [`Client::disconnect`].
    ///
    /// # Errors
    /// As [`Client::disconnect`].
    pub fn disconnect(&self, spec: &str) -> Result<(), Error> {
        self.wait(self.client.disconnect(spec))
    }

    /// As [`Client::join`].
    ///
    /// # Errors
    /// As [`Client::join`].
    pub fn join(&self, ticket: &Ticket) -> Result<(), Error> {
        self.wait(self.client.join(ticket))
    }

    /// As [`Client::ticket`].
    ///
    /// # Errors
    /// As [`Client::ticket`].
    pub fn ticket(&self, addresses: Vec<Address>) -> Result<Ticket, Error> {
        self.wait(self.client.ticket(addresses))
    }

    /// As [`Client::set_network_secret`].
    ///
    /// # Errors
    /// As [`Client::set_network_secret`].
    pub fn set_network_secret(&self, secret: NetworkSecret) -> Result<(), Error> {
        self.wait(self.client.set_network_secret(secret))
    }

    /// As [`Client::trust`].
    ///
    /// # Errors
    /// As [`Client::trust`].
    pub fn trust(&self, key: NodeKey) -> Result<bool, Error> {
        self.wait(self.client.trust(key))
    }

    /// As [`Client::distrust`].
    ///
    /// # Errors
    /// As [`Client::distrust`].
    pub fn distrust(&self, key: NodeKey) -> Result<bool, Error> {
        self.wait(self.client.distrust(key))
    }

    /// As [`Client::sync_state`].
    ///
    /// # Errors
    /// As [`Client::sync_state`].
    pub fn sync_state(&self) -> Result<SyncState, Error> {
        self.client.sync_state()
    }

    /// As [`Client::tick`].
    ///
    /// # Errors
    /// As [`Client::tick`].
    pub fn tick(&self, prune: bool) -> Result<Ticked, Error> {
        self.wait(self.client.tick(prune))
    }

    /// As [`Client::retry`].
    ///
    /// # Errors
    /// As [`Client::retry`].
    pub fn retry(&self) -> Result<u64, Error> {
        self.wait(self.client.retry())
    }

    /// As [`Client::prune`].
    ///
    /// # Errors
    /// As [`Client::prune`].
    pub fn prune(&self) -> Result<u64, Error> {
        self.wait(self.client.prune())
    }

    /// As [`Client::conflicts`].
    ///
    /// # Errors
    /// As [`Client::conflicts`].
    pub fn conflicts(&self) -> Result<Vec<ConflictInfo>, Error> {
        self.client.conflicts()
    }

    /// As [`Client::resolve`].
    ///
    /// # Errors
    /// As [`Client::resolve`].
    pub fn resolve(&self, id: u64, resolution: Resolution) -> Result<Written, Error> {
        self.wait(self.client.resolve(id, resolution))
    }

    /// As [`Client::forget`].
    ///
    /// # Errors
    /// As [`Client::forget`].
    pub fn forget(&self, name: &str) -> Result<Vec<ReplicaId>, Error> {
        self.wait(self.client.forget(name))
    }

    /// As [`Client::events`]: an iterator that waits for each next event and ends when the node has closed.
    ///
    /// # Errors
    /// As [`Client::events`].
    pub fn events(&self) -> Result<impl Iterator<Item = Event> + '_, Error> {
        let mut events = self.client.events()?;
        Ok(std::iter::from_fn(move || self.wait(events.next())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ClientOptions;

    #[test]
    fn two_nodes_meet_without_a_runtime_of_their_owner() {
        let (a, b) = (ClientOptions::memory_only(), ClientOptions::memory_only());
        let (a, b) = (BlockingClient::open(a).unwrap(), BlockingClient::open(b).unwrap());
        a.ticket(Vec::new()).unwrap();
        let options = || TransportOptions { listen: vec!["127.0.0.1:0".to_owned()], ..TransportOptions::default() };
        a.start_transport(options()).unwrap();
        b.start_transport(options()).unwrap();
        let mut ups = b.events().unwrap().filter(|event| matches!(event, Event::LinkUp { .. }));
        b.connect(&a.ticket(Vec::new()).unwrap().reveal()).unwrap();
        ups.next().unwrap();
        a.put("k", "1").unwrap();
        let change = b.watch("k", crate::Lsn::ZERO).unwrap().next().unwrap();
        assert_eq!(change.value.as_deref(), Some(&b"1"[..]));
        a.close().unwrap();
        b.stop_transport().unwrap();
        assert!(b.listening().is_empty() && !b.transport_running());
    }
}
