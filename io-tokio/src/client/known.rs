//! The client: the peers that are remembered.

use std::collections::BTreeSet;

use softadastra_core::error::Error;
use softadastra_core::ids::NodeId;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::endpoint::PeerId;
use softadastra_core::transport::identity::NodeKey;

use super::Client;
use super::transport::hold;
use crate::network::{Content, KnownPeer};

impl Client {
    /// The peers that are dialled at every start, and those that were disconnected by hand, with the names that belong to
    /// their keys.
    ///
    /// # Errors
    /// [`Code::TransportError`](crate::Code::TransportError) when `network.json` cannot be used.
    pub fn remembered_peers(&self) -> Result<Vec<(Option<NodeId>, KnownPeer)>, Error> {
        self.inner.book.read(|content| {
            let name_of = |key: Option<NodeKey>| key.and_then(|key| content.name_of(&key)).cloned();
            content.peers.iter().map(|peer| (name_of(peer.key), peer.clone())).collect()
        })
    }

    /// Whom the options named when the transport was last to be started, besides those that are remembered.
    pub(crate) fn named_peers(&self) -> Vec<KnownPeer> {
        let mut named = hold(&self.inner.network.named).clone();
        let forget_known = |content: &Content| named.retain(|peer| !content.peers.iter().any(|known| known.is(peer)));
        // Without a book nobody is remembered.
        self.inner.book.read(forget_known).unwrap_or_default();
        named
    }

    /// The key that a name belongs to, if one was ever seen with it.
    ///
    /// # Errors
    /// [`Code::TransportError`](crate::Code::TransportError) when `network.json` cannot be used.
    pub fn key_of(&self, node: &NodeId) -> Result<Option<NodeKey>, Error> {
        self.inner.book.read(|content| content.pins.get(node).copied())
    }

    /// The keys of all that go by a name: the one it belongs to, and those of peers that had it before.
    ///
    /// # Errors
    /// [`Code::TransportError`](crate::Code::TransportError) when `network.json` cannot be used.
    pub fn keys_of(&self, node: &NodeId) -> Result<BTreeSet<NodeKey>, Error> {
        let peers = self.peers()?.into_iter().filter(|peer| peer.node.as_ref() == Some(node));
        Ok(peers.filter_map(|peer| peer.key).chain(self.key_of(node)?).collect())
    }

    /// Replaces the secret of the network by a new one, or founds a network: as [`Client::set_network_secret`].
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn renew_network(&self) -> Result<(), Error> {
        self.set_network_secret(self.inner.book.new_secret()).await
    }

    /// The keys that were forgotten by hand: they are refused until they are trusted, connected or joined again.
    ///
    /// # Errors
    /// [`Code::TransportError`](crate::Code::TransportError) when `network.json` cannot be used.
    pub fn forgotten_keys(&self) -> Result<Vec<NodeKey>, Error> {
        self.inner.book.read(|content| content.forgotten.iter().copied().collect())
    }

    /// Ends the link to the peer at an address, and dials it no more. Gives the keys of those that were remembered
    /// there; `None` when nobody was.
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn forget_address(&self, address: &Address) -> Result<Option<Vec<NodeKey>>, Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let at = address.clone();
        let there = self.inner.book.change(move |content| {
            let (there, kept) = content.peers.drain(..).partition(|peer| peer.addresses.contains(&at));
            content.peers = kept;
            Ok::<Vec<KnownPeer>, _>(there)
        });
        let there = there.await?;
        let mut dialled = false;
        if self.transport_running() {
            let at = address.clone();
            let removed = self.act(move |node, now| {
                let there: Vec<PeerId> = node
                    .peers(now)
                    .into_iter()
                    .filter_map(|peer| peer.link.addresses.contains(&at).then_some(peer.link.id))
                    .collect();
                there.iter().try_for_each(|id| node.remove_peer(now, *id))?;
                Ok(!there.is_empty())
            });
            dialled = removed.await?;
        }
        let known = dialled || !there.is_empty();
        Ok(known.then(|| there.into_iter().filter_map(|peer| peer.key).collect()))
    }

    /// Forgets a key: its links end, it is dialled no more, what trust was given to it is taken away, and it is refused,
    /// also after a restart, until [`Client::trust`], [`Client::connect`] or [`Client::join`] says otherwise. Gives
    /// whether anything was known of it; if nothing was, nothing is changed.
    ///
    /// # Errors
    /// [`Code::Overloaded`](crate::Code::Overloaded) when too many are forgotten; those of writing `network.json`.
    pub async fn forget_peer(&self, key: NodeKey) -> Result<bool, Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let mut linked = false;
        if self.transport_running() {
            // What the node has pinned until then is noted in the book before the loop comes to the next command.
            let find = self.act(move |node, now| Ok(node.peers(now).iter().any(|peer| peer.link.key == Some(key))));
            linked = find.await?;
        }
        let known = self.inner.book.change(move |content| content.refuse(key, linked)).await?;
        if known && self.transport_running() {
            self.act(move |node, now| node.refuse_key(now, key)).await?;
            // One that was pinned meanwhile.
            self.act(|_, _| Ok(())).await?;
            self.inner.book.change(move |content| content.refuse(key, true)).await?;
        }
        Ok(known)
    }
}
