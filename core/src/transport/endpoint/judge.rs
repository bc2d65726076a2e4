//! Who may come in, and which link stays when two nodes have two.
//!
//! Each node counts its own decisions to admit. A dialler sends its count with the message that names it, the dialled side
//! with its consent. A node that has a link never asks for a second one (rule 1). So of two links to one start of one
//! peer:
//!
//! 1. **Dialling, and a link stands or another dial has asked:** the dial is given up before this node is named.
//! 2. **Dialled, and this node has asked on a dial of its own:** both asked at once. The dial of the smaller key stays;
//!    both ends see it so, because each decides while its own question is open.
//! 3. **Dialled, and a link stands:** if the peer's count in the request is higher than its count on the standing link, the
//!    peer asked after that link stood for it, hence it has lost it, by rule 1: the new one takes its place. If it is
//!    lower, the request is older than the link: refused.
//!
//! A different boot nonce means that the peer was started anew: the new link takes the place of the old one. A boot nonce
//! that was already followed by another, and comes back while the other is linked, belongs to a second running copy. Both
//! only on a link that was begun after the other boot nonce had shown itself; on an earlier one it may be the last word
//! of a dead process, and whoever is alive dials again.

use alloc::vec::Vec;

use super::super::identity::NodeKey;
use super::super::reason::{CloseReason, Farewell};
use super::super::session::{Introduction, LinkInfo, Role};
use super::super::trust::{Distrust, TrustMode, Verdict};
use super::links::{Link, Stage, take};
use super::peers::Peer;
use super::{Effect, Endpoint, LinkId, Notice, PeerId};
use crate::ids::NodeId;
use crate::runs::Run;
use crate::sink::Sink;
use crate::time::Instant;

impl Endpoint {
    /// The other side of a link has proven its key: it stays or goes.
    pub(super) fn judge(&mut self, now: Instant, id: LinkId, who: Introduction, out: &mut dyn Sink<Effect>) {
        let verdict = self.weigh(id, &who, out);
        match verdict {
            Err(reason) => {
                // The node that answered at this address is known and linked: the address is one more of its own.
                if let Some(dialled) = self.links.get(id).and_then(|link| link.peer)
                    && reason == CloseReason::Local(Farewell::Duplicate)
                {
                    self.identify(now, id, dialled, &who);
                }
                self.end(now, id, reason);
            }
            Ok(pin) => self.admit(now, id, who, pin),
        }
    }

    /// Whether the link may stay; `Ok(true)` if its name is to be pinned.
    fn weigh(&mut self, id: LinkId, who: &Introduction, out: &mut dyn Sink<Effect>) -> Result<bool, CloseReason> {
        let local = |farewell| Err(CloseReason::Local(farewell));
        if who.key == self.key() {
            if who.boot == self.boot() {
                return local(Farewell::SelfLink);
            }
            out.push(Effect::Notice(Notice::IdentityClone { key: who.key }));
            return local(Farewell::IdentityClone);
        }
        let Some(link) = self.links.get(id) else { return local(Farewell::Bye) };
        let dialled = link.peer.and_then(|peer| self.peers.get(peer));
        if dialled.and_then(|peer| peer.key).is_some_and(|expected| expected != who.key) {
            return Err(CloseReason::WrongPeer);
        }
        let pin = match self.judge_name(who) {
            Verdict::Admit { pin } => pin,
            Verdict::Refuse(why) => {
                out.push(Effect::Notice(Notice::Distrusted { node: who.node.clone(), key: who.key, why }));
                return local(match why {
                    Distrust::Unlisted => Farewell::Untrusted,
                    Distrust::KeyChanged { .. } => Farewell::KeyChanged,
                    Distrust::PinsFull => Farewell::Busy,
                    Distrust::Forgotten => Farewell::Forgotten,
                });
            }
        };
        let known = self.peers.of_key(&who.key);
        if let Some(peer) = known.and_then(|known| self.peers.get(known)) {
            if peer.held {
                return local(Farewell::Disconnected);
            }
            self.weigh_against_others(id, link.role, who, peer, out)?;
        } else if known.is_none() && dialled.is_none() && !self.has_room_for_peer() {
            return local(Farewell::Busy);
        }
        Ok(pin)
    }

    /// As the rules of trust say. In a network the own name belongs to the own key, as if it were pinned.
    fn judge_name(&self, who: &Introduction) -> Verdict {
        let poses = who.node == self.local.node && self.trust.mode() == TrustMode::Network;
        if poses && !self.trust.lists(&who.key) {
            return Verdict::Refuse(Distrust::KeyChanged { pinned: self.key() });
        }
        self.trust.judge(&who.node, &who.key)
    }

    fn weigh_against_others(
        &self,
        id: LinkId,
        role: Role,
        who: &Introduction,
        peer: &Peer,
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), CloseReason> {
        let duplicate = Err(CloseReason::Local(Farewell::Duplicate));
        let run = peer.runs.judge(who.boot, id.0);
        if run == Run::Late {
            return duplicate;
        }
        let standing = peer.link.and_then(|link| self.links.get(link)).and_then(|link| link.who.as_ref());
        if let Some(standing) = standing {
            if run == Run::Former {
                out.push(Effect::Notice(Notice::IdentityClone { key: who.key }));
                return Err(CloseReason::Local(Farewell::IdentityClone));
            }
            if run == Run::New {
                return Ok(());
            }
            if role == Role::Initiator || who.order <= standing.order {
                return duplicate;
            }
            return Ok(());
        }
        let asked = self.asking(who).any(|(link, _)| link != id);
        if asked && (role == Role::Initiator || self.key() < who.key) { duplicate } else { Ok(()) }
    }

    /// Own dials that have asked the same start of the same node.
    fn asking<'a>(&'a self, who: &'a Introduction) -> impl Iterator<Item = (LinkId, &'a Link)> {
        self.links.iter().filter(|(_, link)| {
            let same = link.who.as_ref().is_some_and(|other| other.key == who.key && other.boot == who.boot);
            same && link.role == Role::Initiator && matches!(link.stage, Stage::Asking(_))
        })
    }

    fn has_room_for_peer(&self) -> bool {
        self.peers.len() < self.settings.max_peers
            || self
                .peers
                .iter()
                .any(|(_, peer)| !peer.wanted && !peer.held && peer.link.is_none() && peer.dial.is_none())
    }

    fn admit(&mut self, now: Instant, id: LinkId, who: Introduction, pin: bool) {
        let dialled = self.links.get(id).and_then(|link| link.peer);
        let peer = match dialled.or_else(|| self.peers.of_key(&who.key)) {
            Some(peer) => peer,
            None => {
                self.make_room_for_peer();
                self.peers.insert(Peer::new(Some(who.key), now))
            }
        };
        let peer = self.identify(now, id, peer, &who);
        // By rule 2 the own question loses where this side consents.
        let role = self.links.get(id).map(|link| link.role);
        if role == Some(Role::Responder) {
            for link in self.asking(&who).map(|(link, _)| link).collect::<Vec<_>>() {
                self.end(now, link, CloseReason::Local(Farewell::Duplicate));
            }
        }
        self.order += 1;
        let order = self.order;
        if let Some(link) = self.links.get_mut(id) {
            link.peer = Some(peer);
            link.pin = pin;
            link.who = Some(who);
            if link.role == Role::Initiator {
                take(&mut link.stage, |stage| match stage {
                    Stage::Shaking(session) => Stage::Asking(session),
                    other => other,
                });
            }
        }
        self.with_session(id, |session, out| session.admit(now, order, out));
    }

    /// Says which key the peer of a link has; its entry may turn out to be one that is known already.
    fn identify(&mut self, now: Instant, link: LinkId, peer: PeerId, who: &Introduction) -> PeerId {
        let dial = self.peers.get_mut(peer).and_then(|peer| peer.dial);
        let kept = self.peers.identify(peer, who.key);
        if kept != peer {
            // The other entry is gone; its dial goes on for the one that remains.
            let moved = self.links.iter().filter(|(_, link)| link.peer == Some(peer));
            for id in moved.map(|(id, _)| id).collect::<Vec<_>>() {
                if let Some(link) = self.links.get_mut(id) {
                    link.peer = Some(kept);
                }
            }
            if let Some(entry) = self.peers.get_mut(kept)
                && dial == Some(link)
                && entry.dial.is_none()
            {
                entry.dial = dial;
            }
        }
        if let Some(entry) = self.peers.get_mut(kept) {
            entry.seen = now;
        }
        kept
    }

    /// A link stands: it becomes the one link of its peer.
    pub(super) fn stand(&mut self, now: Instant, id: LinkId, info: LinkInfo, out: &mut dyn Sink<Effect>) {
        self.links.stand(id);
        let Some(link) = self.links.get_mut(id) else { return };
        let (pin, Some(peer_id)) = (core::mem::take(&mut link.pin), link.peer) else { return };
        // Its order is now that of the consent, where this side dialled.
        link.who = Some(info.peer.clone());
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        let before = peer.link.filter(|before| *before != id);
        let dial = peer.dial.take().filter(|dial| *dial != id);
        for other in [before, dial].into_iter().flatten() {
            let farewell = if before == Some(other) { Farewell::Replaced } else { Farewell::Duplicate };
            self.end(now, other, CloseReason::Local(farewell));
        }
        // The end of the old link is told before the new one is.
        self.hand_over(now, peer_id, before, out);
        let begun = self.links.last();
        let Some(peer) = self.peers.get_mut(peer_id) else { return };
        peer.link = Some(id);
        peer.node = Some(info.peer.node.clone());
        peer.runs.note(info.peer.boot, begun.0);
        peer.up_since = Some(now);
        peer.seen = now;
        peer.last_end = None;
        peer.untried = 0;
        self.arm_peer(now, peer_id);
        if pin {
            self.trust.pin(info.peer.node.clone(), info.peer.key);
            self.end_former_holders_of(now, peer_id, &info.peer.node);
            out.push(Effect::Pin { node: info.peer.node.clone(), key: info.peer.key });
        }
        out.push(Effect::PeerUp { peer: info.peer.key, link: id, info });
        self.dial_waiting(now, out);
    }

    /// A name has gone over to another key: who had it may come in no more, so his link does not stay either.
    fn end_former_holders_of(&mut self, now: Instant, holder: PeerId, name: &NodeId) {
        let refused = |key: &NodeKey| matches!(self.trust.judge(name, key), Verdict::Refuse(_));
        let former = self.peers.iter().filter(|(id, peer)| {
            *id != holder && peer.node.as_ref() == Some(name) && peer.key.as_ref().is_some_and(refused)
        });
        for id in former.map(|(id, _)| id).collect::<Vec<_>>() {
            self.end_links_of(now, id, Farewell::KeyChanged);
        }
    }

    /// Deals with the end of a peer's old link ahead of what else is pending.
    fn hand_over(&mut self, now: Instant, peer: PeerId, before: Option<LinkId>, out: &mut dyn Sink<Effect>) {
        let Some(before) = before else { return };
        let (old, rest): (Vec<_>, _) =
            core::mem::take(&mut self.pending).into_iter().partition(|(link, _)| *link == before);
        self.pending.extend(old);
        self.settle(now, out);
        self.pending.extend::<Vec<_>>(rest);
        debug_assert!(self.peers.get(peer).is_none_or(|peer| peer.link.is_none()));
    }
}
