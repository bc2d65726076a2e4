//! The client: links to other nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::node::{Node, Peer};
use softadastra_core::time::Now;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::endpoint::{self, PeerId};
use softadastra_core::transport::identity::{NetworkSecret, NodeKey};
use softadastra_core::transport::ticket::Ticket;
use softadastra_core::transport::trust::TrustMode;
use tokio::sync::oneshot;

use super::Client;
use crate::discovery::DiscoveryOptions;
use crate::driver::{Command, StartTransport};
use crate::events;
use crate::model::{PeerInfo, Refusal};
use crate::network::{Content, KnownPeer, PeerSpec, TransportOptions};

/// What the client keeps about links.
#[derive(Default)]
pub(super) struct Network {
    /// Held by whoever changes the book and then tells the node, so that the two do not part.
    pub(super) changing: tokio::sync::Mutex<()>,
    running: Mutex<Option<Running>>,
    /// Whom the options named when the transport was last started, or was to be.
    pub(super) named: Mutex<Vec<KnownPeer>>,
    /// How discovery was started.
    pub(super) discovery: Mutex<Option<DiscoveryOptions>>,
}

/// How a peer came to be named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By a command: it stands above what an earlier one refused.
    ByHand,
    /// By options, which are the same at every start.
    ByOptions,
}

/// How the transport was started.
#[derive(Clone)]
pub(super) struct Running {
    addresses: Vec<SocketAddr>,
    trust: Option<TrustMode>,
    settings: endpoint::Settings,
}

impl Running {
    pub(super) fn mode(&self, content: &Content) -> TrustMode {
        self.trust.unwrap_or_else(|| content.mode())
    }

    fn network(&self, content: &Content) -> softadastra_core::node::Network {
        let Content { identity, secret, .. } = content.clone();
        let trust = content.trust(self.mode(content));
        softadastra_core::node::Network { identity, secret, trust, settings: self.settings }
    }
}

impl Client {
    /// Opens links: listens where the options say, and dials the peers of the options and those that are remembered, for
    /// ever. Gives the addresses it listens at. Local reads and writes do not depend on it, whatever becomes of it.
    ///
    /// A ticket among the options is taken as [`Client::join`] takes it, for good; an address is dialled until the
    /// transport stops. Neither undoes [`Client::disconnect`] and [`Client::forget_peer`].
    ///
    /// # Errors
    /// [`Code::InvalidState`] when it runs already or the client is closed; [`Code::InvalidArgument`] for an option, and
    /// for serving beyond loopback without a rule who may come in; [`Code::TransportError`] when an address cannot be
    /// had, or `network.json` cannot be used.
    pub async fn start_transport(&self, options: TransportOptions) -> Result<Vec<SocketAddr>, Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        if self.transport_running() {
            return Err(Error::new(
                Code::InvalidState,
                "the transport is running already",
                "stop it first to start it with other options",
            ));
        }
        self.inner.book.tell_if_unusable();
        let TransportOptions { listen, peers, insecure, trust, settings } = options;
        settings.validate()?;
        for spec in &peers {
            if let PeerSpec::Ticket(ticket) = spec {
                self.enter_ticket(ticket, Asked::ByOptions).await?;
            }
        }
        let running = Running { addresses: Vec::new(), trust, settings };
        let (network, mut peers) = self.inner.book.read(|content| {
            let named = peers.iter().map(|spec| content.named(spec)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, Error>((running.network(content), named))
        })??;
        *hold(&self.inner.network.named) = peers.clone();
        self.inner.book.read(|content| {
            peers.retain(|peer| !content.holds(peer));
            peers.extend(content.peers.iter().cloned());
        })?;
        let start = Box::new(StartTransport { network, listen, peers, insecure });
        // Before, in case nobody waits for the answer.
        *self.running() = Some(running);
        let (answer, reply) = oneshot::channel();
        let addresses = self.ask(Command::StartTransport { start, answer }, reply).await?;
        if let Some(running) = &mut *self.running() {
            running.addresses.clone_from(&addresses);
        }
        let reached: Vec<&SocketAddr> = addresses.iter().filter(|at| !at.ip().to_canonical().is_loopback()).collect();
        if !reached.is_empty() && self.trust_mode() == Some(TrustMode::Open) {
            events::open_to_anybody(&reached);
        }
        Ok(addresses)
    }

    /// Says goodbye on all links, dials no more and gives its addresses free. What has not been delivered waits.
    /// Stopping what does not run is no error.
    ///
    /// # Errors
    /// [`Code::InvalidState`] once closed.
    pub async fn stop_transport(&self) -> Result<(), Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let (answer, reply) = oneshot::channel();
        self.ask(Command::StopTransport { answer }, reply).await?;
        *self.running() = None;
        Ok(())
    }

    /// Whether links are opened and taken.
    #[must_use]
    pub fn transport_running(&self) -> bool {
        self.read(Node::transport_running).unwrap_or(false)
    }

    /// Where the node listens; empty when it does not.
    #[must_use]
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.present().map(|running| running.addresses).unwrap_or_default()
    }

    /// Whom the node lets in, as the options or what it has joined say; `None` while no links are opened.
    #[must_use]
    pub fn trust_mode(&self) -> Option<TrustMode> {
        let running = self.present()?;
        self.inner.book.read(|content| running.mode(content)).ok()
    }

    /// The public key of the node.
    ///
    /// # Errors
    /// [`Code::TransportError`] when `network.json` cannot be used.
    pub fn key(&self) -> Result<NodeKey, Error> {
        self.inner.book.key()
    }

    /// All peers: those that are dialled, and those that have come by themselves. Empty while no links are opened.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn peers(&self) -> Result<Vec<PeerInfo>, Error> {
        let now = self.inner.reach.shared.now();
        let mut peers: Vec<PeerInfo> = self.read(|node| node.peers(now).into_iter().map(PeerInfo::of).collect())?;
        // Not linked since the start, they have not said their names yet.
        let nameless = peers.iter_mut().filter(|peer| peer.node.is_none());
        let named = self.inner.book.read(|content| {
            nameless.for_each(|peer| peer.node = peer.key.and_then(|key| content.name_of(&key)).cloned());
        });
        // Without a book there are no links, and so no peers.
        named.unwrap_or_default();
        Ok(peers)
    }

    /// Links of others that were refused lately, the latest first; a bounded number of addresses and reasons.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.inner.reach.shared.refusals.latest()
    }

    /// Wants a link to a peer from now on and after every restart, and tries at once: a peer named by address or ticket
    /// (as [`Client::join`]), or one that is known, named by its node id or public key. This takes back
    /// [`Client::disconnect`], and named by key or ticket [`Client::forget_peer`]. It answers before there is a link;
    /// [`Client::peers`] tells what became of it.
    ///
    /// # Errors
    /// [`Code::InvalidState`] while no links are opened; [`Code::InvalidArgument`] for what names no peer;
    /// [`Code::NotFound`] for a name or key that nobody has; those of writing `network.json`.
    pub async fn connect(&self, spec: &str) -> Result<(), Error> {
        let spec: PeerSpec = spec.parse()?;
        if !self.transport_running() {
            return Err(not_running());
        }
        match spec {
            PeerSpec::Ticket(ticket) => self.join(&ticket).await,
            PeerSpec::Address(address) => {
                let _one_at_a_time = self.inner.network.changing.lock().await;
                let peer = KnownPeer::dialled(None, vec![address]);
                let kept = peer.clone();
                self.inner.book.change(move |content| content.remember(kept)).await?;
                self.act(move |node, now| node.add_peer(now, peer.key, peer.addresses).map(drop)).await
            }
            PeerSpec::Key(key) if self.inner.book.read(|content| content.forgotten.contains(&key))? => {
                let _one_at_a_time = self.inner.network.changing.lock().await;
                let pardoned = self.inner.book.change(move |content| {
                    content.forgotten.remove(&key);
                    content.remember(KnownPeer::dialled(Some(key), Vec::new()))
                });
                pardoned.await?;
                self.act(move |node, now| {
                    node.pardon_key(&key)?;
                    node.add_peer(now, Some(key), Vec::new()).map(drop)
                })
                .await
            }
            PeerSpec::Key(_) | PeerSpec::Node(_) => {
                let _one_at_a_time = self.inner.network.changing.lock().await;
                let (id, peer) = self.find(spec).await?;
                let kept = KnownPeer { held: false, ..peer };
                self.inner.book.change(move |content| content.remember(kept)).await?;
                self.act(move |node, now| node.connect(now, id)).await
            }
        }
    }

    /// Ends the link to a peer, does not dial it and refuses its links, also after a restart, until [`Client::connect`].
    /// Where it is stays known.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn disconnect(&self, spec: &str) -> Result<(), Error> {
        let spec = spec.parse()?;
        if !self.transport_running() {
            return Err(not_running());
        }
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let (id, peer) = self.find(spec).await?;
        let kept = KnownPeer { held: true, ..peer };
        self.inner.book.change(move |content| content.remember(kept)).await?;
        self.act(move |node, now| node.disconnect(now, id)).await
    }

    /// The peer that is meant, and what is known of it.
    async fn find(&self, spec: PeerSpec) -> Result<(PeerId, KnownPeer), Error> {
        let names = self.inner.book.read(|content| content.pins.clone())?;
        self.act(move |node, now| find(node, now, &names, &spec)).await
    }

    /// Takes a ticket: enters its network if this node is in none, trusts the key that it names, even one that was
    /// forgotten or disconnected by hand, and dials that node from now on and after every restart. While no links are
    /// opened it is only remembered.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when this node is in another network, and for its own ticket; those of writing
    /// `network.json`.
    pub async fn join(&self, ticket: &Ticket) -> Result<(), Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let entered = self.enter_ticket(ticket, Asked::ByHand).await?;
        let running = self.present();
        if entered {
            self.renew(running.as_ref()).await?;
        }
        if running.is_none() {
            return Ok(());
        }
        let (key, addresses) = (ticket.key, ticket.addresses.clone());
        self.act(move |node, now| {
            node.trust_key(now, key)?;
            node.add_peer(now, Some(key), addresses).map(drop)
        })
        .await
    }

    /// A ticket with which others join: they dial these addresses, or those the node listens at when there are none
    /// here, expect its key, and enter its network. The first ticket of a node that is in no network founds one; in
    /// trust mode `pinned` and `open` it holds no secret. Keep its text like a key.
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn ticket(&self, addresses: Vec<Address>) -> Result<Ticket, Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let running = self.present();
        let chosen = running.as_ref().and_then(|running| running.trust);
        let fresh = self.inner.book.new_secret();
        let (ticket, founded) = self
            .inner
            .book
            .change(move |content| {
                let chosen = chosen.or(content.chosen_mode);
                let found = content.secret.is_none()
                    && match chosen {
                        Some(mode) => mode == TrustMode::Network,
                        None => content.trusted.is_empty(),
                    };
                if found {
                    content.secret = Some(fresh);
                }
                let key = content.identity.key();
                Ok((Ticket { key, secret: content.secret.clone(), addresses }, found))
            })
            .await?;
        if founded {
            self.renew(running.as_ref()).await?;
        }
        if !ticket.addresses.is_empty() {
            return Ok(ticket);
        }
        let reachable = self.listening().into_iter().filter(|address| !address.ip().is_unspecified());
        Ok(Ticket { addresses: reachable.map(Address::from).collect(), ..ticket })
    }

    /// Replaces the network secret, or founds a network: links end, and only who has the new one comes back. This is how
    /// a former member is kept out; give the others new tickets.
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn set_network_secret(&self, secret: NetworkSecret) -> Result<(), Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let kept = self.inner.book.change(move |content| {
            content.secret = Some(secret);
            Ok(())
        });
        kept.await?;
        self.renew(self.present().as_ref()).await
    }

    /// Trusts a key by hand: it is let in whatever the mode, even if it was forgotten, and takes over the name it gives;
    /// the link of an untrusted key with that name ends. Gives whether that is new.
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn trust(&self, key: NodeKey) -> Result<bool, Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        let new = self.inner.book.change(move |content| Ok(content.trust_key(key))).await?;
        if self.transport_running() {
            self.act(move |node, now| node.trust_key(now, key)).await?;
        }
        Ok(new)
    }

    /// Takes a key off the list of those trusted by hand, forgets the names that belong to it, and ends its links.
    /// Gives whether anything changed. In a network it can come back with the secret: see
    /// [`Client::set_network_secret`].
    ///
    /// # Errors
    /// Those of writing `network.json`.
    pub async fn distrust(&self, key: NodeKey) -> Result<bool, Error> {
        let _one_at_a_time = self.inner.network.changing.lock().await;
        if self.transport_running() {
            self.act(move |node, now| node.forget_key(now, &key)).await?;
            // What the node had pinned until then is noted in the book before the loop comes to the next command.
            self.act(|_, _| Ok(())).await?;
        }
        self.inner.book.change(move |content| Ok(content.forget_key(&key))).await
    }

    /// Writes down what a ticket says. Gives whether the node has entered a network by it.
    async fn enter_ticket(&self, ticket: &Ticket, asked: Asked) -> Result<bool, Error> {
        let Ticket { key, secret, addresses } = ticket.clone();
        self.inner
            .book
            .change(move |content| {
                if content.identity.key() == key {
                    return Err(Error::new(
                        Code::InvalidState,
                        "this is the node's own ticket",
                        "give it to the node that is to join",
                    ));
                }
                let before = (content.secret.is_some(), content.mode());
                if let Some(secret) = &secret {
                    content.join_network(secret)?;
                }
                let mut peer = KnownPeer::dialled(Some(key), addresses);
                peer.held = asked == Asked::ByOptions && content.holds(&peer);
                if asked == Asked::ByHand || !content.forgotten.contains(&key) {
                    content.trust_key(key);
                    content.remember(peer)?;
                }
                Ok(before != (content.secret.is_some(), content.mode()))
            })
            .await
    }

    /// Goes on under the rules that the book has now, with the same peers at the same addresses; discovery, too.
    async fn renew(&self, running: Option<&Running>) -> Result<(), Error> {
        if let Some(running) = running {
            self.renew_links(running).await?;
        }
        self.renew_discovery().await
    }

    async fn renew_links(&self, running: &Running) -> Result<(), Error> {
        let network = self.inner.book.read(|content| running.network(content))?;
        self.act(move |node, now| {
            let by_hand = |peer: &Peer| (peer.link.wanted && !peer.found) || peer.link.held;
            let before: Vec<Peer> = node.peers(now).into_iter().filter(by_hand).collect();
            node.stop_transport(now);
            node.start_transport(now, network)?;
            for Peer { link, .. } in before {
                match link.held {
                    true => node.hold_peer(now, link.key, link.addresses)?,
                    false => node.add_peer(now, link.key, link.addresses)?,
                };
            }
            Ok(())
        })
        .await
    }

    /// How the transport was started, while it runs.
    pub(super) fn present(&self) -> Option<Running> {
        let running = self.transport_running();
        self.running().clone().filter(|_| running)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        hold(&self.inner.network.running)
    }
}

/// Nothing panics under these locks.
pub(super) fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The peer that is meant, and what is known of it.
fn find(
    node: &Node,
    now: Now,
    names: &BTreeMap<NodeId, NodeKey>,
    spec: &PeerSpec,
) -> Result<(PeerId, KnownPeer), Error> {
    let is_meant = |peer: &Peer| match (spec, &peer.link.node) {
        (PeerSpec::Ticket(ticket), _) => peer.link.key == Some(ticket.key),
        (PeerSpec::Address(address), _) => peer.link.addresses.contains(address),
        (PeerSpec::Key(key), _) => peer.link.key == Some(*key),
        (PeerSpec::Node(wanted), Some(name)) => name == wanted,
        // It has not said since the start.
        (PeerSpec::Node(wanted), None) => peer.link.key.is_some() && names.get(wanted).copied() == peer.link.key,
    };
    let mut meant = node.peers(now).into_iter().filter(is_meant).map(|peer| peer.link);
    match (meant.next(), meant.next()) {
        (Some(link), None) => Ok((link.id, KnownPeer { key: link.key, addresses: link.addresses, held: link.held })),
        (Some(_), Some(_)) => Err(Error::new(
            Code::InvalidArgument,
            format!("more than one peer is known as {spec}"),
            "name it by its public key",
        )),
        (None, _) => Err(Error::new(
            Code::NotFound,
            format!("no peer is known as {spec}"),
            "list the peers to see which there are, or name it by HOST:PORT or by a ticket",
        )),
    }
}

fn not_running() -> Error {
    Error::new(Code::InvalidState, "no links are opened at present", "start the transport first")
}
