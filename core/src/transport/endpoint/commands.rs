//! What the operator and the layer above ask of an endpoint.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::super::address::Address;
use super::super::identity::{NetworkSecret, NodeKey};
use super::super::reason::{CloseReason, Farewell};
use super::super::session::{Lane, Local, SendRefused, Session};
use super::super::trust::{TrustMode, Verdict};
use super::dialling::FOUND_PAUSE;
use super::peers::{Peer, PeerStatus};
use super::{Effect, Endpoint, PeerId};
use crate::ids::NodeId;
use crate::sink::Sink;
use crate::time::Instant;

impl Endpoint {
    /// Begins to dial and to answer.
    pub fn start(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.running = true;
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.failures = 0;
            }
            self.dial_now(now, id, out);
        }
    }

    /// Dials at once whoever waits to be dialled again.
    pub fn dial_again(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        for id in core::mem::take(&mut self.resting) {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.failures = 0;
            }
            self.dial_now(now, id, out);
        }
    }

    /// Says goodbye on all links and dials no more. What was queued is not sent: the layer above resumes from its own
    /// marks.
    pub fn stop(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.running = false;
        self.waiting.clear();
        self.waiting_found.clear();
        for link in self.links.ids().collect::<Vec<_>>() {
            self.end(now, link, CloseReason::Local(Farewell::Bye));
        }
        self.settle(now, out);
    }

    /// Replaces the network secret: links of the old network end.
    pub fn set_secret(&mut self, now: Instant, secret: Option<NetworkSecret>, out: &mut dyn Sink<Effect>) {
        let before = &self.local;
        if before.secret == secret {
            return;
        }
        let (identity, node) = (before.identity.clone(), before.node.clone());
        let (boot, settings) = (before.boot, before.settings);
        self.local = Arc::new(Local { identity, node, secret, boot, settings });
        for link in self.links.ids().collect::<Vec<_>>() {
            self.end(now, link, CloseReason::Local(Farewell::Bye));
        }
        self.settle(now, out);
    }

    /// Wants a link to a peer, known by its key, its addresses or both, and dials it from now on whenever there is none.
    /// An entry with that key, or without one but with one of these addresses, is added to.
    pub fn add_peer(
        &mut self,
        now: Instant,
        key: Option<NodeKey>,
        addresses: Vec<Address>,
        out: &mut dyn Sink<Effect>,
    ) -> PeerId {
        let id = self.learn_peer(now, key, None, addresses);
        self.connect(now, id, out);
        id
    }

    /// Remembers what was found out about a peer, without wanting a link to it.
    pub fn learn_peer(
        &mut self,
        now: Instant,
        key: Option<NodeKey>,
        node: Option<NodeId>,
        addresses: Vec<Address>,
    ) -> PeerId {
        let known = match &key {
            Some(key) => self.peers.of_key(key),
            None => addresses.iter().find_map(|address| self.peers.with_address(address)),
        };
        let id = known.unwrap_or_else(|| {
            self.make_room_for_peer();
            self.peers.insert(Peer::new(key, now))
        });
        if let Some(peer) = self.peers.get_mut(id) {
            peer.learn(addresses.into_iter().rev());
            peer.seen = now;
            peer.node = node.or(peer.node.take());
        }
        self.arm_peer(now, id);
        id
    }

    /// Wants a link to a node that was found at these addresses, and dials it at once; so does the next call if ten seconds
    /// have passed, else it is dialled when they have. All who were found are dialled at a bounded pace. The rules of
    /// trust must let it in by its name; one that was disconnected by hand is left alone. Gives whether it is
    /// wanted because of this call: then [`Self::release_found`] ends it.
    pub fn want_found(
        &mut self,
        now: Instant,
        key: NodeKey,
        node: &NodeId,
        addresses: Vec<Address>,
        out: &mut dyn Sink<Effect>,
    ) -> bool {
        let known = self.peers.of_key(&key);
        let held = known.and_then(|id| self.peers.get(id)).is_some_and(|peer| peer.held);
        let welcome = match self.trust.judge(node, &key) {
            Verdict::Admit { .. } => self.trust.mode() != TrustMode::Open || self.trust.lists(&key),
            Verdict::Refuse(_) => false,
        };
        self.make_room_for_peer();
        let room = known.is_some() || self.peers.len() < self.settings.max_peers;
        if held || !welcome || !room || addresses.is_empty() {
            return false;
        }
        let id = self.learn_peer(now, Some(key), None, addresses);
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let new = !core::mem::replace(&mut peer.wanted, true);
        peer.found |= new;
        let soonest = peer.found_at.map_or(now, |at| at + FOUND_PAUSE).max(peer.not_before);
        if soonest <= now {
            peer.found_at = Some(now);
            self.dial_now(now, id, out);
        } else {
            self.arm_found(now, id, soonest);
        }
        new
    }

    /// A node that was wanted because it was found is gone: it is dialled no more. A link that stands is kept.
    pub fn release_found(&mut self, now: Instant, key: &NodeKey) {
        let Some(id) = self.peers.of_key(key) else { return };
        if let Some(peer) = self.peers.get_mut(id) {
            peer.wanted = false;
            peer.found = false;
        }
        self.waiting.retain(|waiting| *waiting != id);
        self.waiting_found.retain(|waiting| *waiting != id);
        self.arm_peer(now, id);
    }

    /// Wants a link to a peer and tries at once, whatever failed before. Gives whether there is such a peer.
    pub fn connect(&mut self, now: Instant, id: PeerId, out: &mut dyn Sink<Effect>) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        peer.wanted = true;
        peer.found = false;
        peer.held = false;
        peer.failures = 0;
        self.dial_now(now, id, out);
        true
    }

    /// Ends the link to a peer and refuses others until [`Self::connect`]. Gives whether there is such a peer.
    pub fn disconnect(&mut self, now: Instant, id: PeerId, out: &mut dyn Sink<Effect>) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        peer.wanted = false;
        peer.held = true;
        // It is not to expire.
        self.arm_peer(now, id);
        self.end_links_of(now, id, Farewell::Disconnected);
        self.settle(now, out);
        true
    }

    /// Knows a peer that was disconnected in an earlier run, as [`Self::add_peer`] says, and refuses its links until
    /// [`Self::connect`].
    pub fn hold_peer(
        &mut self,
        now: Instant,
        key: Option<NodeKey>,
        addresses: Vec<Address>,
        out: &mut dyn Sink<Effect>,
    ) -> PeerId {
        let id = self.learn_peer(now, key, None, addresses);
        self.disconnect(now, id, out);
        id
    }

    /// Forgets a peer and ends its links. Its key stays trusted or pinned. Gives whether there was such a peer.
    pub fn remove_peer(&mut self, now: Instant, id: PeerId, out: &mut dyn Sink<Effect>) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        peer.wanted = false;
        self.end_links_of(now, id, Farewell::Disconnected);
        self.settle(now, out);
        self.drop_peer(id);
        true
    }

    /// Trusts a key by hand, and tries again where it was missing. Gives whether it is new.
    pub fn trust_key(&mut self, now: Instant, key: NodeKey, out: &mut dyn Sink<Effect>) -> bool {
        let new = self.trust.trust(key);
        let faulted = |(_, peer): &(PeerId, &Peer)| peer.last_end.as_ref().is_some_and(CloseReason::needs_operator);
        for id in self.peers.iter().filter(faulted).map(|(id, _)| id).collect::<Vec<_>>() {
            self.dial_now(now, id, out);
        }
        new
    }

    /// Takes a key off the list, forgets the names pinned to it, and ends its links. Gives whether anything changed.
    pub fn forget_key(&mut self, now: Instant, key: &NodeKey, out: &mut dyn Sink<Effect>) -> bool {
        let changed = self.trust.forget(key);
        if let Some(id) = self.peers.of_key(key) {
            self.end_links_of(now, id, Farewell::Untrusted);
            self.settle(now, out);
        }
        changed
    }

    /// Forgets a peer, and refuses its key from now on until [`Self::trust_key`] or [`Self::pardon_key`]. Gives whether
    /// there was anything to forget.
    pub fn refuse_key(&mut self, now: Instant, key: NodeKey, out: &mut dyn Sink<Effect>) -> bool {
        let trusted = self.trust.forget(&key);
        self.trust.refuse(key);
        let Some(id) = self.peers.of_key(&key) else { return trusted };
        if let Some(peer) = self.peers.get_mut(id) {
            peer.wanted = false;
        }
        self.end_links_of(now, id, Farewell::Forgotten);
        self.settle(now, out);
        self.drop_peer(id);
        true
    }

    /// Refuses a key no longer. Gives whether it was refused.
    pub fn pardon_key(&mut self, key: &NodeKey) -> bool {
        self.trust.pardon(key)
    }

    /// Queues a message for a peer; [`Self::flush`] sends it.
    ///
    /// # Errors
    /// [`SendRefused`]; nothing was queued.
    pub fn send(&mut self, peer: &NodeKey, lane: Lane, message: Bytes) -> Result<(), SendRefused> {
        let id = self.link_of(peer).ok_or(SendRefused::NotUp)?;
        let link = self.links.get_mut(id).ok_or(SendRefused::NotUp)?;
        link.stage.session_mut().ok_or(SendRefused::NotUp)?.send(lane, message)?;
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(id);
        }
        Ok(())
    }

    /// Seals and sends what was queued. Call it when the queue of inputs is drained: messages queued together share
    /// records.
    pub fn flush(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        for link in core::mem::take(&mut self.dirty) {
            if let Some(state) = self.links.get_mut(link) {
                state.dirty = false;
            }
            self.with_session(link, |session, out| session.flush(now, out));
        }
        self.settle(now, out);
    }

    /// Bytes of bulk messages that can be queued for a peer now; 0 without a link.
    #[must_use]
    pub fn room(&self, peer: &NodeKey) -> usize {
        let session = self.link_of(peer).and_then(|id| self.links.get(id)).and_then(|link| link.stage.session());
        session.map_or(0, Session::room)
    }

    /// The link to a peer was worth making: should it end soon, the next is dialled as after one that stood long.
    pub fn note_progress(&mut self, peer: &NodeKey) {
        let linked = self.peers.of_key(peer).and_then(|id| self.peers.get_mut(id)).filter(|peer| peer.link.is_some());
        if let Some(peer) = linked {
            peer.progressed = true;
        }
    }

    /// Ends the link to a peer for a reason of the layer above. If it is wanted it is dialled again, after the usual
    /// pause and not before `pause` has passed.
    pub fn close_peer(
        &mut self,
        now: Instant,
        peer: &NodeKey,
        farewell: Farewell,
        pause: Duration,
        out: &mut dyn Sink<Effect>,
    ) {
        if let Some(link) = self.link_of(peer) {
            if let Some(peer) = self.peers.of_key(peer).and_then(|id| self.peers.get_mut(id)) {
                peer.not_before = now + pause;
            }
            self.end(now, link, CloseReason::Local(farewell));
            self.settle(now, out);
        }
    }

    /// All peers, in order of their numbers.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerStatus> {
        self.peers.iter().map(move |(id, peer)| {
            let session = peer.link.and_then(|link| self.links.get(link)).and_then(|link| link.stage.session());
            PeerStatus {
                id,
                key: peer.key,
                node: peer.node.clone(),
                addresses: peer.addresses.iter().cloned().collect(),
                state: peer.state(now, &self.settings),
                wanted: peer.wanted,
                held: peer.held,
                up_for: peer.up_since.map(|since| now.since(since)),
                silent_for: now.since(session.map_or(peer.seen, Session::heard)),
                round_trip: session.and_then(Session::round_trip),
                last_end: peer.last_end.clone(),
                failures: peer.failures,
                next_dial_in: peer.due.filter(|_| peer.wanted).map(|at| at.since(now)),
            }
        })
    }
}
