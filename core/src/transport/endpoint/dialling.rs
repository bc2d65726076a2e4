//! When peers are dialled, dialled again, and forgotten.

use super::super::session::Role;
use super::links::Stage;
use super::peers::Peer;
use super::{Effect, Endpoint, PeerId, Timer};
use crate::sink::Sink;
use crate::time::Instant;

impl Endpoint {
    /// A dial has ended or succeeded: the next may begin.
    pub(super) fn dial_waiting(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        while self.links.dials() < self.settings.max_dials
            && let Some(next) = self.waiting.pop_front()
        {
            self.dial_now(now, next, out);
        }
    }

    /// Dials a peer if it is wanted, has no link and no dial, and there is an address.
    pub(super) fn dial_now(&mut self, now: Instant, id: PeerId, out: &mut dyn Sink<Effect>) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if let Some(at) = peer.next_dial.take() {
            self.timers.remove(&(at, Timer::Peer(id)));
        }
        if !self.running || !peer.wanted || peer.held || peer.link.is_some() || peer.dial.is_some() {
            return;
        }
        let Some(address) = peer.addresses.front().cloned() else { return };
        if self.links.dials() >= self.settings.max_dials {
            if !self.waiting.contains(&id) {
                self.waiting.push_back(id);
            }
            return;
        }
        if peer.untried == 0 {
            peer.untried = peer.addresses.len();
        }
        let stage = Stage::Dialling { deadline: now + self.settings.dial_timeout };
        let link = self.links.insert(Role::Initiator, stage, Some(id), None);
        peer.dial = Some(link);
        self.arm_link(link);
        out.push(Effect::Dial { link, peer: id, address });
    }

    /// Registers when a peer without a link is dialled again, or forgotten.
    pub(super) fn arm_peer(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if let Some(at) = peer.next_dial.take() {
            self.timers.remove(&(at, Timer::Peer(id)));
        }
        if peer.link.is_some() || peer.dial.is_some() || peer.held {
            return;
        }
        let at = if !peer.wanted {
            peer.seen + self.settings.expire_after
        } else if self.running && !peer.addresses.is_empty() {
            (now + peer.pause(&self.settings, &mut self.dice)).max(peer.not_before)
        } else {
            return;
        };
        peer.next_dial = Some(at);
        self.timers.insert((at, Timer::Peer(id)));
    }

    pub(super) fn drop_peer(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.remove(id)
            && let Some(at) = peer.next_dial
        {
            self.timers.remove(&(at, Timer::Peer(id)));
        }
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// Forgets the unwanted peer that was not heard for the longest time, if there are too many.
    pub(super) fn make_room_for_peer(&mut self) {
        if self.peers.len() < self.settings.max_peers {
            return;
        }
        let idle =
            |(_, peer): &(PeerId, &Peer)| !peer.wanted && !peer.held && peer.link.is_none() && peer.dial.is_none();
        if let Some((id, _)) = self.peers.iter().filter(idle).min_by_key(|(id, peer)| (peer.seen, *id)) {
            self.drop_peer(id);
        }
    }
}
