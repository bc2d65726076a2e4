//! When peers are dialled, dialled again, and forgotten.

use core::time::Duration;

use super::super::session::Role;
use super::links::Stage;
use super::peers::Peer;
use super::{Effect, Endpoint, PeerId, Timer};
use crate::sink::Sink;
use crate::time::Instant;

/// A node that was found is dialled at once no more often than this, whatever it announces.
pub(super) const FOUND_PAUSE: Duration = Duration::from_secs(10);

/// Those who were found are dialled so often at once, and then once more with each of these pauses. What is announced is
/// not proven before the link stands, so a member could have any address dialled by all of its network.
const FOUND_BURST: u32 = 32;
const FOUND_SPACING: Duration = Duration::from_millis(125);

/// How fast those who were found are dialled.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When all that was let through would have come, had it come evenly.
    even: Instant,
}

impl Pace {
    /// Takes one; or says when there is one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let even = self.even.max(now);
        let ahead = even.since(now);
        let most = FOUND_SPACING * (FOUND_BURST - 1);
        if ahead > most {
            return Err(now + (ahead - most));
        }
        self.even = even + FOUND_SPACING;
        Ok(())
    }
}

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
        if !self.peers.get(id).is_some_and(|peer| peer.wanted) {
            return;
        }
        self.disarm_peer(id);
        let Some(peer) = self.peers.get_mut(id) else { return };
        if !self.running || peer.held || peer.link.is_some() || peer.dial.is_some() {
            return;
        }
        let Some(address) = peer.addresses.front().cloned() else { return };
        if self.links.dials() >= self.settings.max_dials {
            if !self.waiting.contains(&id) {
                self.waiting.push_back(id);
            }
            return;
        }
        if peer.found
            && let Err(at) = self.found_pace.take(now)
        {
            if !self.waiting_found.contains(&id) {
                self.waiting_found.push_back(id);
            }
            self.timers.insert((at, Timer::Found));
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

    /// There may be room for one of those who were found: the one that waits for longest.
    pub(super) fn dial_waiting_found(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        for _ in 0..self.waiting_found.len() {
            let Some(next) = self.waiting_found.pop_front() else { return };
            self.dial_now(now, next, out);
            if self.waiting_found.back() == Some(&next) {
                // Not yet: it keeps its place.
                self.waiting_found.rotate_right(1);
                return;
            }
        }
    }

    /// Registers that a peer that was found is dialled then, if nothing does so before.
    pub(super) fn arm_found(&mut self, now: Instant, id: PeerId, then: Instant) {
        self.arm_peer(now, id);
        if self.peers.get(id).and_then(|peer| peer.due).is_some_and(|at| at > then) {
            self.set_due(id, then);
        }
    }

    /// Registers when a peer without a link is dialled again, or forgotten.
    pub(super) fn arm_peer(&mut self, now: Instant, id: PeerId) {
        self.disarm_peer(id);
        let Some(peer) = self.peers.get(id) else { return };
        if peer.link.is_some() || peer.dial.is_some() || peer.held {
            return;
        }
        let at = if !peer.wanted {
            peer.seen + self.settings.expire_after
        } else if self.running && !peer.addresses.is_empty() {
            (now + peer.pause(now, &self.settings, &mut self.dice)).max(peer.not_before)
        } else {
            return;
        };
        self.set_due(id, at);
    }

    fn set_due(&mut self, id: PeerId, at: Instant) {
        self.disarm_peer(id);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.due = Some(at);
            self.timers.insert((at, Timer::Peer(id)));
            if peer.wanted {
                self.resting.insert(id);
            }
        }
    }

    fn disarm_peer(&mut self, id: PeerId) {
        if let Some(at) = self.peers.get_mut(id).and_then(|peer| peer.due.take()) {
            self.timers.remove(&(at, Timer::Peer(id)));
        }
        self.resting.remove(&id);
    }

    pub(super) fn drop_peer(&mut self, id: PeerId) {
        self.disarm_peer(id);
        self.peers.remove(id);
        self.waiting.retain(|waiting| *waiting != id);
        self.waiting_found.retain(|waiting| *waiting != id);
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
