//! The node's links: whom it speaks with, and the commands of an operator about them.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::types::{Event, LinkAct, LinkFact, Output};
use super::{Health, Node};
use crate::dice::{Secrets, Seed};
use crate::error::{Code, Error};
use crate::sync::{self, Urgency};
use crate::time::Now;
use crate::transport::address::Address;
use crate::transport::endpoint::{self, Effect, Endpoint, LinkId, Notice, PeerId, PeerStatus, TurnedAway};
use crate::transport::identity::{Identity, NetworkSecret, NodeKey};
use crate::transport::reason::{CloseReason, Farewell};
use crate::transport::session::Lane;
use crate::transport::trust::Trust;

/// Bytes of one bulk message, about: large enough that the peer syncs seldom, small enough that the next cut is near.
const MESSAGE: usize = 256 << 10;

/// So many sessions that are over can still be spoken of.
const MOST_PARTED: usize = 32;

/// What a link is told when sync ends it: the farewell of sync, which has gone ahead and may not have been taken in yet
/// when the link is gone.
const fn farewell_of(reason: &sync::CloseReason) -> Farewell {
    Farewell::Above(reason.bye().code() | 0x80)
}

/// What sync at the other end had against a link, as far as the end of the link tells.
const fn told_by(reason: &CloseReason) -> Option<sync::CloseReason> {
    match reason {
        CloseReason::Peer(Farewell::Above(byte)) => Some(sync::CloseReason::Told(sync::Bye::from_code(*byte & 0x7f))),
        _ => None,
    }
}

/// As whom a node links, and with whom.
#[derive(Debug)]
pub struct Network {
    /// The node's key.
    pub identity: Identity,
    /// What the members of the network share.
    pub secret: Option<NetworkSecret>,
    /// Whose key may stay, with the pins kept from earlier runs.
    pub trust: Trust,
    /// How links behave.
    pub settings: endpoint::Settings,
}

/// A peer: its link, and what flows over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The peer and its link.
    pub link: PeerStatus,
    /// What flows; `None` without a link.
    pub sync: Option<sync::PeerStatus>,
    /// What sync had against the last link, if it was sync that ended it.
    pub cause: Option<sync::CloseReason>,
    /// It is dialled because discovery has found it, and only while it is there.
    pub found: bool,
}

/// Links, and by which number sync knows the peer at the other end.
#[derive(Debug)]
pub(super) struct Links {
    secrets: Secrets,
    endpoint: Option<Endpoint>,
    sessions: BTreeMap<NodeKey, sync::PeerId>,
    keys: BTreeMap<sync::PeerId, NodeKey>,
    causes: BTreeMap<NodeKey, sync::CloseReason>,
    /// Sync has something to say to them, or their link has room again.
    ready: BTreeSet<sync::PeerId>,
    /// The same for all that sync names when it is asked.
    all_ready: bool,
    /// Operations for them wait for a tick, perhaps.
    held_back: BTreeSet<sync::PeerId>,
    last_session: u64,
    /// Sessions that ended last: an event may speak of one that is over when it is told.
    parted: VecDeque<(sync::PeerId, NodeKey)>,
}

impl Links {
    pub(super) fn new(seed: &Seed) -> Self {
        Self {
            secrets: seed.secrets("links"),
            endpoint: None,
            sessions: BTreeMap::new(),
            keys: BTreeMap::new(),
            causes: BTreeMap::new(),
            ready: BTreeSet::new(),
            all_ready: false,
            held_back: BTreeSet::new(),
            last_session: 0,
            parted: VecDeque::new(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<crate::time::Instant> {
        self.endpoint.as_ref().and_then(Endpoint::poll_timeout)
    }

    pub(super) fn mark_ready(&mut self, session: sync::PeerId) {
        self.ready.insert(session);
    }

    pub(super) fn mark_all_ready(&mut self) {
        self.all_ready = true;
    }

    pub(super) fn note_progress(&mut self, session: sync::PeerId) {
        if let (Some(key), Some(endpoint)) = (self.keys.get(&session), &mut self.endpoint) {
            endpoint.note_progress(key);
        }
    }

    pub(super) fn connected(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn running(&mut self) -> Result<&mut Endpoint, Error> {
        self.endpoint.as_mut().filter(|endpoint| endpoint.is_running()).ok_or_else(not_running)
    }
}

fn not_running() -> Error {
    Error::new(Code::InvalidState, "the transport is not running", "start it first; local reads and writes go on")
}

fn no_such_peer() -> Error {
    Error::new(Code::NotFound, "there is no such peer", "list the peers to see which there are")
}

impl Node {
    /// Begins to dial and to answer. What the node holds and accepts does not depend on it.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when it runs already or the node closes; [`Code::InvalidArgument`] for settings out of
    /// range and for rules of trust that let nobody in.
    pub fn start_transport(&mut self, now: Now, network: Network) -> Result<(), Error> {
        if self.health == Health::Closing {
            return Err(Error::new(Code::InvalidState, "the node is closing", "open it again first"));
        }
        if self.transport_running() {
            return Err(Error::new(Code::InvalidState, "the transport runs already", "stop it first"));
        }
        let Network { identity, secret, trust, settings } = network;
        trust.check(secret.is_some(), false, false)?;
        let seed = Seed(self.links.secrets.key());
        let mut endpoint = Endpoint::new(settings, identity, self.history.node.clone(), secret, trust, &seed)?;
        if let Some(before) = &self.links.endpoint {
            endpoint.follow(before);
        }
        endpoint.start(now.mono, &mut self.steps);
        self.links.endpoint = Some(endpoint);
        self.route_steps(now);
        self.dial_again_whom_was_found(now);
        Ok(())
    }

    /// Says goodbye on all links, dials no more and turns everybody away. Local reads and writes go on, and what has not
    /// been delivered waits.
    pub fn stop_transport(&mut self, now: Now) {
        self.engine.leave(&mut self.steps);
        self.route_steps(now);
        if let Ok(endpoint) = self.links.running() {
            endpoint.stop(now.mono, &mut self.steps);
        }
        self.route_steps(now);
    }

    /// Whether the node dials and answers.
    #[must_use]
    pub fn transport_running(&self) -> bool {
        self.links.endpoint.as_ref().is_some_and(Endpoint::is_running)
    }

    /// The key of the node, once its transport was started.
    #[must_use]
    pub fn key(&self) -> Option<NodeKey> {
        self.links.endpoint.as_ref().map(Endpoint::key)
    }

    /// How many other replicas must hold an own operation before it counts as acknowledged.
    #[must_use]
    pub const fn required_acks(&self) -> usize {
        self.config.sync.required_acks
    }

    /// The rules of trust, with what was pinned, once the transport was started.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        self.links.endpoint.as_ref().map(Endpoint::trust)
    }

    /// Links of all kinds, and how many of them are incoming ones that do not stand yet.
    #[must_use]
    pub fn count_links(&self) -> (usize, usize) {
        self.links.endpoint.as_ref().map_or((0, 0), Endpoint::count_links)
    }

    /// Somebody has opened a connection to this node.
    ///
    /// # Errors
    /// [`TurnedAway`]: close it.
    pub fn incoming(&mut self, now: Now, from: SocketAddr) -> Result<LinkId, TurnedAway> {
        let Some(endpoint) = &mut self.links.endpoint else { return Err(TurnedAway::Stopped) };
        let link = endpoint.incoming(now.mono, from, &mut self.steps);
        self.route_steps(now);
        link
    }

    /// Replaces the network secret: links of the old network end.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn set_secret(&mut self, now: Now, secret: Option<NetworkSecret>) -> Result<(), Error> {
        self.links.running()?.set_secret(now.mono, secret, &mut self.steps);
        self.route_steps(now);
        Ok(())
    }

    /// Wants a link to a peer, known by its key, its addresses or both, and dials it from now on whenever there is none.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn add_peer(&mut self, now: Now, key: Option<NodeKey>, addresses: Vec<Address>) -> Result<PeerId, Error> {
        let peer = self.links.running()?.add_peer(now.mono, key, addresses, &mut self.steps);
        self.keep_dialling(now, peer);
        self.route_steps(now);
        Ok(peer)
    }

    /// Wants a link to a peer and tries at once, whatever failed before.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run, [`Code::NotFound`].
    pub fn connect(&mut self, now: Now, peer: PeerId) -> Result<(), Error> {
        let known = self.links.running()?.connect(now.mono, peer, &mut self.steps);
        self.keep_dialling(now, peer);
        self.route_steps(now);
        known.then_some(()).ok_or_else(no_such_peer)
    }

    /// Ends the link to a peer and refuses others until [`Self::connect`].
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn disconnect(&mut self, now: Now, peer: PeerId) -> Result<(), Error> {
        let known = self.links.running()?.disconnect(now.mono, peer, &mut self.steps);
        self.route_steps(now);
        known.then_some(()).ok_or_else(no_such_peer)
    }

    /// Forgets where a peer is, and ends its link. Its key stays trusted or pinned, its history known.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn remove_peer(&mut self, now: Now, peer: PeerId) -> Result<(), Error> {
        let known = self.links.running()?.remove_peer(now.mono, peer, &mut self.steps);
        self.route_steps(now);
        known.then_some(()).ok_or_else(no_such_peer)
    }

    /// Trusts a key by hand, and tries again where it was missing. Gives whether it is new.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn trust_key(&mut self, now: Now, key: NodeKey) -> Result<bool, Error> {
        let new = self.links.running()?.trust_key(now.mono, key, &mut self.steps);
        self.route_steps(now);
        self.dial_whom_was_found(now);
        Ok(new)
    }

    /// Takes a key off the list, forgets the names pinned to it, and ends its links. Gives whether anything changed.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn forget_key(&mut self, now: Now, key: &NodeKey) -> Result<bool, Error> {
        let changed = self.links.running()?.forget_key(now.mono, key, &mut self.steps);
        self.route_steps(now);
        Ok(changed)
    }

    /// Knows a peer that was disconnected in an earlier run, and refuses its links until [`Self::connect`].
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn hold_peer(&mut self, now: Now, key: Option<NodeKey>, addresses: Vec<Address>) -> Result<PeerId, Error> {
        let peer = self.links.running()?.hold_peer(now.mono, key, addresses, &mut self.steps);
        self.route_steps(now);
        Ok(peer)
    }

    /// Forgets a peer and refuses its key until [`Self::trust_key`] or [`Self::pardon_key`]. Gives whether there was
    /// anything to forget.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn refuse_key(&mut self, now: Now, key: NodeKey) -> Result<bool, Error> {
        let known = self.links.running()?.refuse_key(now.mono, key, &mut self.steps);
        self.route_steps(now);
        Ok(known)
    }

    /// Refuses a key no longer, without trusting it. Gives whether it was refused.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when the transport does not run.
    pub fn pardon_key(&mut self, key: &NodeKey) -> Result<bool, Error> {
        Ok(self.links.running()?.pardon_key(key))
    }

    /// All peers, in the order in which they became known. Counting lags looks at the feed: not for every message.
    #[must_use]
    pub fn peers(&self, now: Now) -> Vec<Peer> {
        let Some(endpoint) = &self.links.endpoint else { return Vec::new() };
        let mut sessions = self.engine.peers(&self.store);
        let peers = endpoint.peers(now.mono).map(|link| {
            let session = link.key.and_then(|key| self.links.sessions.get(&key));
            let at = session.and_then(|id| sessions.iter().position(|status| status.peer == *id));
            let cause = link.key.and_then(|key| self.links.causes.get(&key)).cloned();
            let found = link.key.is_some_and(|key| self.finding.dials(&key));
            Peer { link, found, sync: at.map(|at| sessions.swap_remove(at)), cause }
        });
        peers.collect()
    }

    /// One peer and its link, by the number that events give.
    #[must_use]
    pub fn peer_link(&self, now: Now, peer: PeerId) -> Option<PeerStatus> {
        self.links.endpoint.as_ref()?.peers(now.mono).find(|status| status.id == peer)
    }

    /// The peer of a session, by the number that events of sync give. `None` when the session ended long ago.
    #[must_use]
    pub fn session_link(&self, now: Now, session: sync::PeerId) -> Option<PeerStatus> {
        let parted = || self.links.parted.iter().find(|(id, _)| *id == session).map(|(_, key)| key);
        let key = self.links.keys.get(&session).or_else(parted)?;
        self.links.endpoint.as_ref()?.peers(now.mono).find(|status| status.key == Some(*key))
    }

    pub(super) fn link_fact(&mut self, now: Now, link: LinkId, fact: LinkFact) {
        let Some(endpoint) = &mut self.links.endpoint else { return };
        let (at, out) = (now.mono, &mut self.steps);
        if let LinkFact::Bytes(bytes) = &fact
            && let Some(peer) = endpoint.peer_of_standing(link)
            && let Some(session) = self.links.sessions.get(&peer)
        {
            self.engine.heard(*session, bytes.len());
        }
        match fact {
            LinkFact::Connected => endpoint.handle_connected(at, link, out),
            LinkFact::DialFailed { error } => endpoint.handle_dial_failed(at, link, error, out),
            LinkFact::Bytes(bytes) => endpoint.handle_bytes(at, link, &bytes, out),
            LinkFact::Written(count) => endpoint.handle_written(at, link, count, out),
            LinkFact::Ended { error } => endpoint.handle_end(at, link, error, out),
        }
    }

    pub(super) fn links_timeout(&mut self, now: Now) {
        if let Some(endpoint) = &mut self.links.endpoint {
            endpoint.handle_timeout(now.mono, &mut self.steps);
        }
    }

    /// Does what the links ask for, and tells sync what it has to know.
    pub(super) fn link_effect(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Dial { link, peer: _, address } => {
                self.outputs.push_back(Output::Link { link, act: LinkAct::Dial { address } });
            }
            Effect::Send { link, bytes } => self.outputs.push_back(Output::Link { link, act: LinkAct::Send(bytes) }),
            Effect::Close { link, reason } => {
                self.outputs.push_back(Output::Link { link, act: LinkAct::Close(reason) });
            }
            Effect::PeerUp { peer, link: _, info } => {
                self.links.last_session += 1;
                let session = sync::PeerId(self.links.last_session);
                self.links.sessions.insert(peer, session);
                self.links.keys.insert(session, peer);
                self.links.causes.remove(&peer);
                self.outputs.push_back(Output::Event(Event::LinkUp { node: info.peer.node, key: peer }));
                // If the log takes nothing now, nothing that this run says can be held against a later one.
                let _logged_later = self.begin_run(now);
                self.engine.peer_up(now, session, &mut self.steps);
            }
            Effect::PeerDown { peer, reason } => {
                let Some(session) = self.links.sessions.remove(&peer) else { return };
                self.links.keys.remove(&session);
                self.links.parted.truncate(MOST_PARTED - 1);
                self.links.parted.push_front((session, peer));
                self.links.ready.remove(&session);
                self.links.held_back.remove(&session);
                // The name of the handshake: sync may not have come to names yet.
                let endpoint = self.links.endpoint.as_ref();
                let status = endpoint.and_then(|it| it.peers(now.mono).find(|status| status.key == Some(peer)));
                let named = self.engine.name_of(session).or_else(|| status.and_then(|status| status.node));
                let node = named.unwrap_or_else(|| self.history.node.clone());
                if let Some(told) = told_by(&reason) {
                    self.links.causes.entry(peer).or_insert(told);
                }
                let cause = self.links.causes.get(&peer).cloned();
                self.outputs.push_back(Output::Event(Event::LinkDown { node, key: peer, reason, cause }));
                self.engine.peer_down(now, session, &self.store, &mut self.steps);
            }
            Effect::Message { peer, lane: _, bytes } => {
                if let Some(session) = self.links.sessions.get(&peer) {
                    self.engine.handle_message(now, *session, &bytes, &self.store, &mut self.steps);
                }
            }
            Effect::Room { peer } => {
                if let Some(session) = self.links.sessions.get(&peer) {
                    self.links.ready.insert(*session);
                }
            }
            Effect::Pin { node, key } => self.outputs.push_back(Output::Pin { node, key }),
            Effect::Notice(_) if planted!("retry_counted_while_offline") => self.engine.count_tries_offline(),
            Effect::Notice(notice) => self.outputs.push_back(Output::Event(match notice {
                Notice::Failed { link, peer, reason } => Event::LinkFailed { link, peer, reason },
                Notice::Distrusted { node, key, why } => Event::Distrusted { node, key, why },
                Notice::IdentityClone { key } => Event::KeyCloned { key },
            })),
        }
    }

    /// Sync ends a session: its last word goes out, then the link ends.
    pub(super) fn end_session(&mut self, now: Now, session: sync::PeerId, reason: sync::CloseReason, pause: Duration) {
        let Some(key) = self.links.keys.get(&session).copied() else { return };
        let farewell = farewell_of(&reason);
        self.links.causes.insert(key, reason);
        self.write_to(now, session, 0);
        if let Some(endpoint) = &mut self.links.endpoint {
            endpoint.flush(now.mono, &mut self.steps);
            endpoint.close_peer(now.mono, &key, farewell, pause, &mut self.steps);
        }
    }

    /// Ends every link, for the next ones to begin with another hello.
    pub(super) fn end_all_sessions(&mut self, now: Now, farewell: Farewell) {
        if let Some(endpoint) = &mut self.links.endpoint {
            for key in self.links.sessions.keys() {
                endpoint.close_peer(now.mono, key, farewell, self.config.sync.backoff_first, &mut self.steps);
            }
        }
    }

    /// Lets sync write to every peer that it has something for, as far as their links have room.
    pub(super) fn pump(&mut self, now: Now) {
        let bulk = self.config.sync.auto_tick;
        if core::mem::take(&mut self.links.all_ready) {
            self.links.ready.extend(self.engine.woken());
        }
        for session in core::mem::take(&mut self.links.ready) {
            self.write_to(now, session, if bulk { MESSAGE } else { 0 });
            if !bulk {
                self.links.held_back.insert(session);
            }
        }
        if let Some(endpoint) = &mut self.links.endpoint {
            endpoint.flush(now.mono, &mut self.steps);
        }
        self.engine.settle_sessions();
    }

    /// Lets sync write to one peer, in messages of at most about `room` bytes.
    fn write_to(&mut self, now: Now, session: sync::PeerId, room: usize) {
        let Some(key) = self.links.keys.get(&session).copied() else { return };
        let Some(endpoint) = &mut self.links.endpoint else { return };
        loop {
            let mut message = Vec::new();
            let room = room.min(endpoint.room(&key));
            let Some(urgency) = self.engine.write_batch(now, session, room, &self.store, &mut message) else { return };
            let lane = match urgency {
                Urgency::Urgent => Lane::Control,
                Urgency::Bulk => Lane::Bulk,
            };
            // What sync has written it takes for sent, so a message that cannot go ends the link: the next one resumes.
            if endpoint.send(&key, lane, Bytes::from(message)).is_err() {
                let pause = self.config.sync.backoff_first;
                endpoint.close_peer(now.mono, &key, Farewell::Busy, pause, &mut self.steps);
                return;
            }
        }
    }

    /// Dials every wanted peer without a link at once.
    pub(super) fn dial_again(&mut self, now: Now) {
        if let Ok(endpoint) = self.links.running() {
            endpoint.dial_again(now.mono, &mut self.steps);
        }
        self.route_steps(now);
    }

    /// Lets sync write whatever it has to every peer, once: to those that were not written to by themselves.
    pub(super) fn push_all(&mut self, now: Now) {
        self.pump(now);
        for session in core::mem::take(&mut self.links.held_back) {
            self.write_to(now, session, MESSAGE);
        }
        self.pump(now);
        self.route_steps(now);
    }
}
