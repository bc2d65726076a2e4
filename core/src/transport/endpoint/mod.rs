//! All links of a node: who is dialled and when, who may come in, and which link stays when two nodes have two.
//!
//! The driver makes connections and moves bytes; every decision is taken here. Its contract:
//!
//! - [`Effect::Dial`] is answered by one [`Endpoint::handle_connected`] or [`Endpoint::handle_dial_failed`]; a connection
//!   that somebody else opened is announced by [`Endpoint::incoming`].
//! - Bytes of [`Effect::Send`] go out in order; [`Endpoint::handle_written`] tells how many were taken.
//! - At [`Effect::Close`] the connection is closed as soon as what was sent before has been written (or after a second),
//!   and the link is not spoken of again. What arrives for a closed link is ignored.

mod commands;
mod dialling;
mod judge;
mod links;
mod peers;
mod settings;
#[cfg(test)]
mod tests;
mod types;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use self::dialling::Pace;
use self::links::{Group, Links, Stage};
use self::peers::Peers;
pub use self::peers::{PeerState, PeerStatus};
pub use self::settings::Settings;
pub use self::types::{Effect, LinkId, Notice, PeerId, TurnedAway};
use super::identity::{Identity, NetworkSecret, NodeKey};
use super::reason::{CloseReason, Farewell};
use super::session::{self, Local, Role, Session};
use super::trust::Trust;
use crate::dice::{Dice, Secrets, Seed};
use crate::error::Error;
use crate::ids::NodeId;
use crate::sink::Sink;
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Link(LinkId),
    Peer(PeerId),
    /// One of those who were found may be dialled.
    Found,
}

/// All links of a node.
pub struct Endpoint {
    settings: Settings,
    local: Arc<Local>,
    trust: Trust,
    secrets: Secrets,
    dice: Dice,
    running: bool,
    links: Links,
    peers: Peers,
    timers: BTreeSet<(Instant, Timer)>,
    /// Wanted peers that are dialled again after a pause.
    resting: BTreeSet<PeerId>,
    /// Peers whose dial waits for another to end.
    waiting: VecDeque<PeerId>,
    /// Peers whose dial waits because others were found just before.
    waiting_found: VecDeque<PeerId>,
    found_pace: Pace,
    /// Counts this node's decisions to admit; the other side compares them.
    order: u64,
    /// Links with messages queued since the last flush.
    dirty: Vec<LinkId>,
    /// Effects of sessions not yet dealt with, in order.
    pending: VecDeque<(LinkId, session::Effect)>,
}

/// Tags a session's effects with its link.
struct Tagged<'a> {
    link: LinkId,
    queue: &'a mut VecDeque<(LinkId, session::Effect)>,
}

impl Sink<session::Effect> for Tagged<'_> {
    fn push(&mut self, effect: session::Effect) {
        self.queue.push_back((self.link, effect));
    }
}

impl Endpoint {
    /// A stopped endpoint without peers.
    ///
    /// # Errors
    /// [`crate::error::Code::InvalidArgument`] when a setting is out of range.
    pub fn new(
        settings: Settings,
        identity: Identity,
        node: NodeId,
        secret: Option<NetworkSecret>,
        trust: Trust,
        seed: &Seed,
    ) -> Result<Self, Error> {
        settings.validate()?;
        let mut dice = seed.stream("transport");
        let local = Local { identity, node, secret, boot: dice.next_u64(), settings: settings.link };
        Ok(Self {
            settings,
            local: Arc::new(local),
            trust,
            secrets: seed.secrets("transport"),
            dice,
            running: false,
            links: Links::default(),
            peers: Peers::default(),
            timers: BTreeSet::new(),
            resting: BTreeSet::new(),
            waiting: VecDeque::new(),
            waiting_found: VecDeque::new(),
            found_pace: Pace::default(),
            order: 0,
            dirty: Vec::new(),
            pending: VecDeque::new(),
        })
    }

    /// Names no link as one that `before` has named, whose place this one takes.
    pub fn follow(&mut self, before: &Self) {
        self.links.count_from(&before.links);
    }

    /// The key of this node.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        self.local.identity.key()
    }

    /// The number drawn at this start.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.local.boot
    }

    /// The rules of trust, with what was pinned.
    #[must_use]
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether it dials and answers.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// Links of all kinds, and how many of them are incoming ones that do not stand yet.
    #[must_use]
    pub fn count_links(&self) -> (usize, usize) {
        (self.links.len(), self.links.half_open())
    }

    /// Somebody has opened a connection to this node.
    ///
    /// # Errors
    /// [`TurnedAway`]: close it.
    pub fn incoming(
        &mut self,
        now: Instant,
        from: SocketAddr,
        out: &mut dyn Sink<Effect>,
    ) -> Result<LinkId, TurnedAway> {
        if !self.running {
            return Err(TurnedAway::Stopped);
        }
        let group = Group::of(from.ip());
        if self.links.in_group(group) >= self.settings.max_links_per_address {
            return Err(TurnedAway::TooManyFromAddress);
        }
        if self.links.len() >= self.settings.max_links {
            return Err(TurnedAway::Full);
        }
        let (of_group, oldest_of_group) = self.links.oldest_half_open(Some(group));
        let shed = if of_group >= self.settings.max_half_open / 4 {
            oldest_of_group
        } else if self.links.half_open() >= self.settings.max_half_open {
            self.links.oldest_half_open(None).1
        } else {
            None
        };
        if let Some(oldest) = shed {
            self.end(now, oldest, CloseReason::HalfOpenShed);
        }
        let session = Session::answer(&self.local, self.secrets.split(), now);
        let link = self.links.insert(Role::Responder, Stage::Shaking(session), None, Some(group));
        self.arm_link(link);
        self.settle(now, out);
        Ok(link)
    }

    /// The connection of [`Effect::Dial`] is made.
    pub fn handle_connected(&mut self, now: Instant, link: LinkId, out: &mut dyn Sink<Effect>) {
        if let Some(state) = self.links.get_mut(link)
            && matches!(state.stage, Stage::Dialling { .. })
        {
            let mut tagged = Tagged { link, queue: &mut self.pending };
            state.stage = Stage::Shaking(Session::dial(&self.local, self.secrets.split(), now, &mut tagged));
        }
        self.arm_link(link);
        self.settle(now, out);
    }

    /// The connection of [`Effect::Dial`] could not be made.
    pub fn handle_dial_failed(&mut self, now: Instant, link: LinkId, error: String, out: &mut dyn Sink<Effect>) {
        if self.links.get(link).is_some_and(|state| matches!(state.stage, Stage::Dialling { .. })) {
            self.end(now, link, CloseReason::NotReached { error });
            self.settle(now, out);
        }
    }

    /// Bytes have arrived.
    pub fn handle_bytes(&mut self, now: Instant, link: LinkId, bytes: &[u8], out: &mut dyn Sink<Effect>) {
        self.with_session(link, |session, out| session.handle_bytes(now, bytes, out));
        self.settle(now, out);
    }

    /// A connection has taken `count` more bytes.
    pub fn handle_written(&mut self, now: Instant, link: LinkId, count: usize, out: &mut dyn Sink<Effect>) {
        self.with_session(link, |session, out| session.handle_written(now, count, out));
        self.settle(now, out);
    }

    /// A connection has ended: at its end (`None`) or by a failure.
    pub fn handle_end(&mut self, now: Instant, link: LinkId, error: Option<String>, out: &mut dyn Sink<Effect>) {
        self.with_session(link, |session, out| session.handle_end(now, error, out));
        self.settle(now, out);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Link(link) => {
                    if let Some(state) = self.links.get_mut(link) {
                        state.armed = None;
                        if matches!(state.stage, Stage::Dialling { deadline } if deadline <= now) {
                            self.end(
                                now,
                                link,
                                CloseReason::NotReached { error: "the connection was not made in time".into() },
                            );
                        }
                    }
                    self.with_session(link, |session, out| session.handle_timeout(now, out));
                    self.arm_link(link);
                }
                Timer::Found => self.dial_waiting_found(now, out),
                Timer::Peer(id) => {
                    if let Some(peer) = self.peers.get_mut(id) {
                        peer.due = None;
                        self.resting.remove(&id);
                        if peer.wanted {
                            self.dial_now(now, id, out);
                        } else if peer.state(now, &self.settings) == PeerState::Expired {
                            self.drop_peer(id);
                        } else {
                            self.arm_peer(now, id);
                        }
                    }
                }
            }
            self.settle(now, out);
        }
    }

    fn link_of(&self, peer: &NodeKey) -> Option<LinkId> {
        self.peers.get(self.peers.of_key(peer)?)?.link
    }

    /// Lets `act` have a session, and registers its deadline.
    fn with_session(&mut self, link: LinkId, act: impl FnOnce(&mut Session, &mut dyn Sink<session::Effect>)) {
        if let Some(session) = self.links.get_mut(link).and_then(|state| state.stage.session_mut()) {
            act(session, &mut Tagged { link, queue: &mut self.pending });
        }
        self.arm_link(link);
    }

    /// Ends a link in any stage.
    fn end(&mut self, now: Instant, link: LinkId, reason: CloseReason) {
        let Some(state) = self.links.get_mut(link) else { return };
        let mut tagged = Tagged { link, queue: &mut self.pending };
        match state.stage.session_mut() {
            Some(session) => session.end(now, reason, &mut tagged),
            None => tagged.push(session::Effect::Closed(reason)),
        }
    }

    fn end_links_of(&mut self, now: Instant, id: PeerId, farewell: Farewell) {
        let of_peer = self.links.iter().filter(|(_, link)| link.peer == Some(id));
        for link in of_peer.map(|(link, _)| link).collect::<Vec<_>>() {
            self.end(now, link, CloseReason::Local(farewell));
        }
    }

    /// Deals with the effects of sessions until none is left.
    fn settle(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        while let Some((link, effect)) = self.pending.pop_front() {
            match effect {
                session::Effect::Send(bytes) => out.push(Effect::Send { link, bytes }),
                session::Effect::Introduced(who) => self.judge(now, link, who, out),
                session::Effect::Up(info) => self.stand(now, link, info, out),
                session::Effect::Message { lane, bytes } => {
                    if let Some(peer) = self.peer_of_standing(link) {
                        out.push(Effect::Message { peer, lane, bytes });
                    }
                }
                session::Effect::Room => {
                    if let Some(peer) = self.peer_of_standing(link) {
                        out.push(Effect::Room { peer });
                    }
                }
                session::Effect::Closed(reason) => self.closed(now, link, reason, out),
            }
        }
    }

    /// Whom a link leads to, once it stands and while it is the one in use.
    #[must_use]
    pub fn peer_of_standing(&self, link: LinkId) -> Option<NodeKey> {
        let peer = self.peers.get(self.links.get(link)?.peer?)?;
        (peer.link == Some(link)).then_some(peer.key).flatten()
    }

    /// A session has ended, or a connection that had none yet.
    fn closed(&mut self, now: Instant, id: LinkId, reason: CloseReason, out: &mut dyn Sink<Effect>) {
        let Some(link) = self.links.remove(id) else { return };
        if let Some(at) = link.armed {
            self.timers.remove(&(at, Timer::Link(id)));
        }
        out.push(Effect::Close { link: id, reason: reason.clone() });
        let duplicate =
            matches!(reason, CloseReason::Local(Farewell::Duplicate) | CloseReason::Refused(Farewell::Duplicate));
        if !link.stage.is_up() && !duplicate {
            out.push(Effect::Notice(Notice::Failed { link: id, peer: link.peer, reason: reason.clone() }));
        }
        if let Some(peer_id) = link.peer
            && let Some(peer) = self.peers.get_mut(peer_id)
        {
            if peer.link == Some(id) {
                peer.ended(now, &self.settings);
                peer.last_end = Some(reason.clone());
                if let Some(key) = peer.key {
                    out.push(Effect::PeerDown { peer: key, reason });
                }
            } else if peer.dial == Some(id) {
                peer.dial = None;
                if !duplicate {
                    peer.dial_failed();
                    peer.last_end = Some(reason);
                }
            }
            self.arm_peer(now, peer_id);
        }
        self.dial_waiting(now, out);
    }

    /// Registers a link's deadline. One that moves back is noticed when the old one comes.
    fn arm_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        let wants = match &link.stage {
            Stage::Dialling { deadline } => Some(*deadline),
            Stage::Shaking(session) | Stage::Asking(session) | Stage::Up(session) => session.poll_timeout(),
        };
        if let Some(at) = wants
            && link.armed.is_none_or(|armed| at < armed)
        {
            if let Some(armed) = link.armed.replace(at) {
                self.timers.remove(&(armed, Timer::Link(id)));
            }
            self.timers.insert((at, Timer::Link(id)));
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (links, half_open) = self.count_links();
        write!(f, "Endpoint({}, {links} links, {half_open} half open, {} peers)", self.key(), self.peers.len())
    }
}
