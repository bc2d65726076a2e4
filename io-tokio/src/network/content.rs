//! What there is to keep.

use std::collections::{BTreeMap, BTreeSet};

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::{Identity, NetworkSecret, NodeKey};
use softadastra_core::transport::trust::{MAX_PINS, Trust, TrustMode};

use super::spec::PeerSpec;

/// The most peers that are remembered; as many as an endpoint knows at once.
const MAX_PEERS: usize = 4096;

/// The most addresses of one peer; as many as a ticket has.
const MAX_ADDRESSES: usize = 16;

/// The most keys that are forgotten.
const MAX_FORGOTTEN: usize = 4096;

/// A peer that is dialled at every start, or refused since it was disconnected by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownPeer {
    /// Which key must answer; `None` takes whoever does, by the rules of trust.
    pub key: Option<NodeKey>,
    /// Where to dial, best first.
    pub addresses: Vec<Address>,
    /// It was disconnected by hand: it is not dialled, and its links are refused, until it is connected again.
    pub held: bool,
}

impl KnownPeer {
    /// One that is dialled.
    pub(crate) const fn dialled(key: Option<NodeKey>, addresses: Vec<Address>) -> Self {
        Self { key, addresses, held: false }
    }

    /// Whether both are one peer: by their keys, else by an address.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self.key, other.key) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.addresses.iter().any(|address| other.addresses.contains(address)),
        }
    }
}

/// Everything that a [`super::Book`] keeps.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) identity: Identity,
    pub(crate) secret: Option<NetworkSecret>,
    /// `None` goes by what is there; see [`Content::mode`].
    pub(crate) chosen_mode: Option<TrustMode>,
    pub(crate) trusted: BTreeSet<NodeKey>,
    pub(crate) pins: BTreeMap<NodeId, NodeKey>,
    pub(crate) peers: Vec<KnownPeer>,
    /// Keys that are refused whatever the mode; never trusted, pinned or remembered at the same time.
    pub(crate) forgotten: BTreeSet<NodeKey>,
}

impl Clone for Content {
    fn clone(&self) -> Self {
        Self {
            identity: Identity::from_seed(&self.identity.seed()),
            secret: self.secret.clone(),
            chosen_mode: self.chosen_mode,
            trusted: self.trusted.clone(),
            pins: self.pins.clone(),
            peers: self.peers.clone(),
            forgotten: self.forgotten.clone(),
        }
    }
}

impl Content {
    /// Whom an option names: a known peer by its key or name, another one by where it is.
    ///
    /// # Errors
    /// [`Code::NotFound`]: it is not known.
    pub(crate) fn named(&self, spec: &PeerSpec) -> Result<KnownPeer, Error> {
        let key = match spec {
            PeerSpec::Ticket(ticket) => {
                return Ok(KnownPeer::dialled(Some(ticket.key), ticket.addresses.clone()));
            }
            PeerSpec::Address(address) => return Ok(KnownPeer::dialled(None, vec![address.clone()])),
            PeerSpec::Key(key) => Some(*key),
            PeerSpec::Node(node) => self.pins.get(node).copied(),
        };
        let known = self.peers.iter().find(|peer| key.is_some() && peer.key == key);
        known.cloned().ok_or_else(|| spec.unknown())
    }

    /// Of a node that knows nobody yet.
    pub(crate) const fn of(identity: Identity) -> Self {
        Self {
            identity,
            secret: None,
            chosen_mode: None,
            trusted: BTreeSet::new(),
            pins: BTreeMap::new(),
            peers: Vec::new(),
            forgotten: BTreeSet::new(),
        }
    }

    /// The rules of trust that apply: those chosen; without a choice the strictest that there is something for, a
    /// network secret, then a list of keys.
    pub(crate) fn mode(&self) -> TrustMode {
        let fitting = match (&self.secret, self.trusted.is_empty()) {
            (Some(_), _) => TrustMode::Network,
            (None, false) => TrustMode::Pinned,
            (None, true) => TrustMode::Open,
        };
        self.chosen_mode.unwrap_or(fitting)
    }

    /// The rules in this mode, with all that was learnt under them.
    pub(crate) fn trust(&self, mode: TrustMode) -> Trust {
        let pins = self.pins.iter().map(|(node, key)| (node.clone(), *key));
        Trust::new(mode, self.trusted.iter().copied(), pins).without(self.forgotten.iter().copied())
    }

    /// Takes on the secret of a network.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the node has another one.
    pub(crate) fn join_network(&mut self, secret: &NetworkSecret) -> Result<(), Error> {
        match &self.secret {
            Some(own) if own != secret => Err(Error::new(
                Code::InvalidState,
                "this node belongs to another network than the ticket: their secrets differ",
                "take a ticket of this node's network, or leave it for the other one: `softadastra join --leave`",
            )),
            _ => {
                self.secret = Some(secret.clone());
                Ok(())
            }
        }
    }

    /// Remembers a peer, or adds to what is known of it; whether it is held is as this says.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when there are too many.
    pub(crate) fn remember(&mut self, peer: KnownPeer) -> Result<(), Error> {
        if let Some(known) = self.peers.iter_mut().find(|known| known.is(&peer)) {
            known.key = known.key.or(peer.key);
            known.held = peer.held;
            let older = std::mem::replace(&mut known.addresses, peer.addresses);
            for address in older {
                if !known.addresses.contains(&address) {
                    known.addresses.push(address);
                }
            }
            known.addresses.truncate(MAX_ADDRESSES);
            return Ok(());
        }
        if self.peers.len() >= MAX_PEERS {
            return Err(Error::new(
                Code::Overloaded,
                format!("{MAX_PEERS} peers are remembered already"),
                "forget some that are not needed",
            ));
        }
        self.peers.push(peer);
        Ok(())
    }

    /// Whether a peer, as it may be known here, was disconnected by hand.
    pub(crate) fn holds(&self, peer: &KnownPeer) -> bool {
        self.peers.iter().any(|known| known.held && known.is(peer))
    }

    /// The name that belongs to a key.
    pub(crate) fn name_of(&self, key: &NodeKey) -> Option<&NodeId> {
        self.pins.iter().find(|(_, pinned)| *pinned == key).map(|(node, _)| node)
    }

    /// Trusts a key by hand. Gives whether that is new.
    pub(crate) fn trust_key(&mut self, key: NodeKey) -> bool {
        self.forgotten.remove(&key);
        self.trusted.insert(key)
    }

    /// Forgets all that is known of a key and refuses it from now on, if anything is known of it: here, or elsewhere as
    /// the caller says. Gives whether that is so.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when there are too many.
    pub(crate) fn refuse(&mut self, key: NodeKey, known_elsewhere: bool) -> Result<bool, Error> {
        let remembered = self.peers.iter().any(|peer| peer.key == Some(key));
        self.peers.retain(|peer| peer.key != Some(key));
        let known = self.forget_key(&key) || remembered || known_elsewhere;
        if known && self.forgotten.insert(key) && self.forgotten.len() > MAX_FORGOTTEN {
            return Err(Error::new(
                Code::Overloaded,
                format!("{MAX_FORGOTTEN} keys are forgotten already"),
                "change the network secret, which keeps out all who do not join again",
            ));
        }
        Ok(known)
    }

    /// Ties a name to a key. In excess of what an endpoint pins, nothing is.
    pub(crate) fn pin(&mut self, node: NodeId, key: NodeKey) {
        if self.pins.len() < MAX_PINS || self.pins.contains_key(&node) {
            self.pins.insert(node, key);
        }
    }

    /// Takes a key off the list and forgets the names pinned to it. Gives whether anything changed.
    pub(crate) fn forget_key(&mut self, key: &NodeKey) -> bool {
        let before = self.pins.len();
        self.pins.retain(|_, pinned| pinned != key);
        self.trusted.remove(key) || self.pins.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use softadastra_core::dice::Seed;

    fn content() -> Content {
        Content::of(Identity::generate(&mut Seed::from_number(1).secrets("test")))
    }

    fn peer(key: Option<u8>, addresses: &[&str]) -> KnownPeer {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        KnownPeer::dialled(key.map(|byte| NodeKey([byte; 32])), addresses)
    }

    #[test]
    fn a_peer_is_remembered_once_by_key_or_address() {
        let mut content = content();
        content.remember(peer(None, &["a:1", "b:1"])).unwrap();
        content.remember(peer(Some(7), &["b:1"])).unwrap();
        assert_eq!(content.peers, [peer(Some(7), &["b:1", "a:1"])]);
        content.remember(peer(Some(7), &["c:1"])).unwrap();
        assert_eq!(content.peers, [peer(Some(7), &["c:1", "b:1", "a:1"])]);
        content.remember(peer(Some(8), &["c:1"])).unwrap();
        assert_eq!(content.peers.len(), 2, "another key is another peer, wherever it answers");
        let held = KnownPeer { held: true, ..peer(Some(7), &[]) };
        content.remember(held.clone()).unwrap();
        assert!(content.holds(&peer(Some(7), &[])) && content.holds(&peer(None, &["b:1"])));
        assert!(!content.holds(&peer(Some(8), &["c:1"])));
        assert_eq!(content.peers[0], KnownPeer { held: true, ..peer(Some(7), &["c:1", "b:1", "a:1"]) });
        content.remember(peer(Some(7), &[])).unwrap();
        assert!(!content.peers[0].held);
        assert!(content.refuse(NodeKey([7; 32]), false).unwrap() && !content.refuse(NodeKey([7; 32]), false).unwrap());
        assert_eq!(content.peers, [peer(Some(8), &["c:1"])]);
        assert!(content.forgotten.contains(&NodeKey([7; 32])));
        assert!(content.trust_key(NodeKey([7; 32])) && content.forgotten.is_empty());
        for n in 0..40 {
            content.remember(peer(Some(8), &[&format!("h{n}:1")])).unwrap();
        }
        assert_eq!(content.peers[0].addresses.len(), MAX_ADDRESSES);
        assert_eq!(content.peers[0].addresses[0].as_str(), "h39:1");
    }

    #[test]
    fn peers_stop_at_the_bound() {
        let mut content = content();
        for n in 0..MAX_PEERS {
            content.remember(peer(None, &[&format!("h{n}:1")])).unwrap();
        }
        assert_eq!(content.remember(peer(None, &["new:1"])).unwrap_err().code(), Code::Overloaded);
        content.remember(peer(Some(1), &["h7:1"])).unwrap();
    }

    #[test]
    fn the_rules_follow_what_is_there_unless_chosen() {
        let mut content = content();
        assert_eq!(content.mode(), TrustMode::Open);
        content.trusted.insert(NodeKey([1; 32]));
        assert_eq!(content.mode(), TrustMode::Pinned);
        content.join_network(&NetworkSecret::from_bytes([1; 32])).unwrap();
        content.join_network(&NetworkSecret::from_bytes([1; 32])).unwrap();
        assert_eq!(content.mode(), TrustMode::Network);
        content.chosen_mode = Some(TrustMode::Pinned);
        assert_eq!(content.mode(), TrustMode::Pinned);
        let other = content.join_network(&NetworkSecret::from_bytes([2; 32])).unwrap_err();
        assert_eq!(other.code(), Code::InvalidState);
        assert_eq!(content.secret, Some(NetworkSecret::from_bytes([1; 32])));
    }

    #[test]
    fn forgetting_a_key_frees_its_names() {
        let mut content = content();
        let (a, b) = (NodeKey([1; 32]), NodeKey([2; 32]));
        content.pin(NodeId::new("till").unwrap(), a);
        content.pin(NodeId::new("desk").unwrap(), b);
        content.trusted.insert(b);
        assert!(content.forget_key(&a) && !content.forget_key(&a));
        assert_eq!(content.pins.len(), 1);
        assert!(content.forget_key(&b));
        assert!(content.pins.is_empty() && content.trusted.is_empty());
    }
}
