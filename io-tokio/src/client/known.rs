//! The client: the peers that are remembered.

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::NodeKey;

use super::Client;
use crate::network::KnownPeer;

impl Client {
    /// The peers that are dialled at every start, with the names that belong to their keys.
    ///
    /// # Errors
    /// [`Code::TransportError`] when `network.json` cannot be used.
    pub fn remembered_peers(&self) -> Result<Vec<(Option<NodeId>, KnownPeer)>, Error> {
        self.inner.book.read(|content| {
            let name_of = |key| content.pins.iter().find(|(_, pinned)| Some(**pinned) == key).map(|(node, _)| node);
            content.peers.iter().map(|peer| (name_of(peer.key).cloned(), peer.clone())).collect()
        })
    }

    /// The key that a name belongs to, if one was ever seen with it.
    ///
    /// # Errors
    /// [`Code::TransportError`] when `network.json` cannot be used.
    pub fn key_of(&self, node: &NodeId) -> Result<Option<NodeKey>, Error> {
        self.inner.book.read(|content| content.pins.get(node).copied())
    }

    /// Replaces the secret of the network by a new one, or founds a network: as [`Client::set_network_secret`].
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn renew_network(&self) -> Result<(), Error> {
        self.set_network_secret(self.inner.book.new_secret()).await
    }

    /// Ends the link to the peer at an address, and dials it no more. Gives the keys of those that were remembered
    /// there; `None` when nobody was.
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn forget_address(&self, address: &Address) -> Result<Option<Vec<NodeKey>>, Error> {
        let peers = self.remembered_peers()?;
        let there: Vec<KnownPeer> =
            peers.into_iter().map(|(_, peer)| peer).filter(|peer| peer.addresses.contains(address)).collect();
        let dialled = match self.transport_running() {
            true => match self.disconnect(address.as_str()).await {
                Ok(()) => true,
                Err(error) if error.code() == Code::NotFound => false,
                Err(error) => return Err(error),
            },
            false => false,
        };
        let gone = there.clone();
        let dropped = self.inner.book.change(move |content| {
            content.peers.retain(|peer| !gone.contains(peer));
            Ok(())
        });
        dropped.await?;
        let known = dialled || !there.is_empty();
        Ok(known.then(|| there.into_iter().filter_map(|peer| peer.key).collect()))
    }

    /// Ends the links of a key, dials it no more, and takes away what trust was given to it. Gives whether anything was
    /// known of it. In a network it can come back with the secret: see [`Client::set_network_secret`].
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn forget_peer(&self, key: NodeKey) -> Result<bool, Error> {
        let had_link = match self.transport_running() {
            true => match self.disconnect(&key.to_string()).await {
                Ok(()) => true,
                Err(error) if error.code() == Code::NotFound => false,
                Err(error) => return Err(error),
            },
            false => false,
        };
        let remembered = self.remembered_peers()?.iter().any(|(_, peer)| peer.key == Some(key));
        self.inner
            .book
            .change(move |content| {
                content.peers.retain(|peer| peer.key != Some(key));
                Ok(())
            })
            .await?;
        Ok(self.distrust(key).await? || had_link || remembered)
    }
}
