//! The node's discovery: whom it finds, and whether it dials them.
//!
//! Discovery finds, and the transport's trust decides whom the node may link with; what joins the two is here. A node that
//! was found is dialled only if the operator wants that, and only while it is heard.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::types::{DatagramFact, Event, Output};
use super::{Health, Node};
use crate::dice::{Secrets, Seed};
use crate::discovery::{self, Description, Discovery, Effect, NodeState, Sighting, Target};
use crate::error::{Code, Error};
use crate::identity::{Identity, NetworkSecret, NodeKey};
use crate::time::{Instant, Now};
use crate::transport::address::Address;
use crate::transport::endpoint::PeerId;

/// As whom a node is there for others, and how it looks for them.
#[derive(Debug)]
pub struct Presence {
    /// The node's key.
    pub identity: Identity,
    /// What the members of the network share: only they are heard.
    pub secret: Option<NetworkSecret>,
    /// Times and bounds.
    pub settings: discovery::Settings,
    /// Where links are taken, as bound or as the operator says that it is reached. At most 16.
    pub listeners: Vec<SocketAddr>,
    /// Where to announce and to ask.
    pub targets: Vec<Target>,
    /// Dial whoever is found, as far as the rules of trust let them in: by the network secret, or by the list of keys. In
    /// mode `open` only listed keys.
    pub auto_connect: bool,
}

/// Discovery, and whom the node dials because of it.
#[derive(Debug)]
pub(super) struct Finding {
    secrets: Secrets,
    discovery: Option<Discovery>,
    auto_connect: bool,
    /// Wanted because they were found, and for no other reason.
    dialled: BTreeSet<NodeKey>,
}

impl Finding {
    pub(super) fn new(seed: &Seed) -> Self {
        Self { secrets: seed.secrets("finding"), discovery: None, auto_connect: false, dialled: BTreeSet::new() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.discovery.as_ref().and_then(Discovery::poll_timeout)
    }

    /// Whether a peer is dialled because it was found.
    pub(super) fn dials(&self, key: &NodeKey) -> bool {
        self.dialled.contains(key)
    }

    fn running(&mut self) -> Result<&mut Discovery, Error> {
        self.discovery.as_mut().filter(|discovery| discovery.is_running()).ok_or_else(not_running)
    }
}

fn not_running() -> Error {
    Error::new(Code::InvalidState, "discovery is not running", "start it first; links and local work go on")
}

impl Node {
    /// Begins to announce this node and to look for others. What was found before is forgotten.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when it runs already or the node closes; [`Code::InvalidArgument`] for settings out of range
    /// and for targets to which nothing can be sent.
    pub fn start_discovery(&mut self, now: Now, presence: Presence) -> Result<(), Error> {
        if self.health == Health::Closing {
            return Err(Error::new(Code::InvalidState, "the node is closing", "open it again first"));
        }
        if self.discovery_running() {
            return Err(Error::new(Code::InvalidState, "discovery runs already", "stop it first"));
        }
        let Presence { identity, secret, settings, listeners, targets, auto_connect } = presence;
        let seed = Seed(self.finding.secrets.key());
        let description = self.description(now, listeners);
        let mut discovery = Discovery::new(settings, identity, secret.as_ref(), description, &seed)?;
        discovery.start(now, targets, &mut self.steps)?;
        self.finding.discovery = Some(discovery);
        self.finding.auto_connect = auto_connect;
        self.release_dialled(now);
        self.route_steps(now);
        Ok(())
    }

    /// Says goodbye and falls silent. Links go on; what was found is kept for [`Node::discovery_status`] and grows old, and
    /// nobody is dialled any more because he was found.
    pub fn stop_discovery(&mut self, now: Now) {
        if let Ok(discovery) = self.finding.running() {
            discovery.stop(now, &mut self.steps);
        }
        self.finding.auto_connect = false;
        self.release_dialled(now);
        self.route_steps(now);
    }

    /// Whether the node announces itself or listens for others.
    #[must_use]
    pub fn discovery_running(&self) -> bool {
        self.finding.discovery.as_ref().is_some_and(Discovery::is_running)
    }

    /// Whether whoever is found is dialled.
    #[must_use]
    pub const fn auto_connects(&self) -> bool {
        self.finding.auto_connect
    }

    /// All that discovery knows, once it was started.
    #[must_use]
    pub fn discovery_status(&self, now: Now) -> Option<discovery::Status> {
        self.finding.discovery.as_ref().map(|discovery| discovery.status(now))
    }

    /// Announces to these targets from now on: interfaces or their addresses have changed.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when discovery does not run; [`Code::InvalidArgument`] for targets to which nothing can be
    /// sent.
    pub fn aim_discovery(&mut self, now: Now, targets: Vec<Target>) -> Result<(), Error> {
        self.finding.running()?.set_targets(now, targets, &mut self.steps)?;
        self.route_steps(now);
        Ok(())
    }

    /// Announces from now on that links are taken here.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when discovery does not run; [`Code::InvalidArgument`] for more than 16.
    pub fn announce_listeners(&mut self, now: Now, listeners: Vec<SocketAddr>) -> Result<(), Error> {
        let description = self.description(now, listeners);
        self.finding.running()?.set_description(now, description, &mut self.steps)?;
        self.route_steps(now);
        Ok(())
    }

    /// Asks who is there: at all targets, or at one address.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when discovery does not run; [`Code::Overloaded`] when it is asked more than once a second.
    pub fn probe(&mut self, now: Now, at: Option<SocketAddr>) -> Result<(), Error> {
        self.finding.running()?.probe(now, at, &mut self.steps)?;
        self.route_steps(now);
        Ok(())
    }

    fn description(&self, now: Now, listeners: Vec<SocketAddr>) -> Description {
        // What it can do does not change while it is announced.
        let capabilities = self.metadata.info(now, &self.history.node, self.history.replica).capabilities;
        Description { node: self.history.node.clone(), listeners, capabilities }
    }

    pub(super) fn datagram_fact(&mut self, now: Now, fact: DatagramFact) {
        let Some(discovery) = &mut self.finding.discovery else { return };
        match fact {
            DatagramFact::Arrived { from, bytes } => discovery.handle_datagram(now, from, &bytes, &mut self.steps),
            DatagramFact::Dropped { from, why, count } => {
                discovery.handle_dropped(now, from, why, count, &mut self.steps);
            }
            DatagramFact::NotSent { to, error } => discovery.handle_send_failed(to, error, &mut self.steps),
        }
    }

    pub(super) fn discovery_timeout(&mut self, now: Now) {
        if let Some(discovery) = &mut self.finding.discovery {
            discovery.handle_timeout(now, &mut self.steps);
        }
    }

    pub(super) fn discovery_effect(&mut self, now: Now, effect: Effect) {
        let event = match effect {
            Effect::Send { to, bytes } => return self.outputs.push_back(Output::Datagram { to, bytes }),
            Effect::Found(sighting) => {
                self.dial_found(now, &sighting);
                Event::NodeFound(sighting)
            }
            Effect::Changed(sighting) => {
                self.dial_found(now, &sighting);
                Event::NodeChanged(sighting)
            }
            Effect::Lost { key, node, why } => {
                if self.finding.dialled.remove(&key)
                    && let Ok(endpoint) = self.links.running()
                {
                    endpoint.release_found(now.mono, &key);
                }
                Event::NodeLost { key, node, why }
            }
            Effect::Notice(notice) => Event::Discovery(notice),
        };
        self.outputs.push_back(Output::Event(event));
    }

    fn dial_found(&mut self, now: Now, found: &Sighting) {
        if !self.finding.auto_connect {
            return;
        }
        let Ok(endpoint) = self.links.running() else { return };
        let addresses = found.addresses.iter().copied().map(Address::from).collect();
        if endpoint.want_found(now.mono, found.key, &found.node, addresses, &mut self.steps) {
            self.finding.dialled.insert(found.key);
        }
    }

    /// Dials everybody who is there, because the rules of trust have changed.
    pub(super) fn dial_whom_was_found(&mut self, now: Now) {
        let status = self.discovery_status(now).filter(|_| self.finding.auto_connect);
        for sighting in status.into_iter().flat_map(|status| status.nodes) {
            if sighting.state != NodeState::Expired {
                self.dial_found(now, &sighting);
            }
        }
        self.route_steps(now);
    }

    /// Links are opened anew, and nobody is dialled yet.
    pub(super) fn dial_again_whom_was_found(&mut self, now: Now) {
        self.finding.dialled.clear();
        self.dial_whom_was_found(now);
    }

    /// The operator wants a link to this peer, whether it was found or not.
    pub(super) fn keep_dialling(&mut self, now: Now, peer: PeerId) {
        if !self.finding.dialled.is_empty()
            && let Some(key) = self.peer_link(now, peer).and_then(|status| status.key)
        {
            self.finding.dialled.remove(&key);
        }
    }

    fn release_dialled(&mut self, now: Now) {
        let dialled = core::mem::take(&mut self.finding.dialled);
        if let Ok(endpoint) = self.links.running() {
            for key in &dialled {
                endpoint.release_found(now.mono, key);
            }
        }
    }
}
