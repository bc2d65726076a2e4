//! All links of a node: who is dialled and when, who may come in, and which link stays when two nodes have two.
//!
//! The driver makes connections and moves bytes; every decision is taken here. Its contract:
//!
//! - [`Effect::Dial`] is answered by one [`Endpoint::handle_connected`] or [`Endpoint::handle_dial_failed`]; a connection
//!   that somebody else opened is announced by [`Endpoint::incoming`].
//! - Bytes of [`Effect::Send`] go out in order; [`Endpoint::handle_written`] tells how many were taken.
//! - At [`Effect::Close`] the connection is closed as soon as what was sent before has been written (or after a second),
//!   and the link is not spoken of again. What arrives for a closed link is ignored.

mod judge;
mod links;
mod peers;
mod settings;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use bytes::Bytes;

use self::links::{Group, Links, Stage};
use self::peers::{Peer, Peers};
pub use self::peers::{PeerState, PeerStatus};
pub use self::settings::Settings;
use super::address::Address;
use super::identity::{Identity, NetworkSecret, NodeKey};
use super::reason::{CloseReason, Farewell};
use super::session::{self, Lane, LinkInfo, Local, Role, SendRefused, Session};
use super::trust::{Distrust, Trust};
use crate::dice::{Dice, Secrets, Seed};
use crate::error::Error;
use crate::ids::NodeId;
use crate::sink::Sink;
use crate::time::Instant;

/// Names one connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names one entry of the list of peers. Two entries that turn out to be one node become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What an endpoint wants from the world, and tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a connection.
    Dial {
        /// Its name from now on.
        link: LinkId,
        /// For whom.
        peer: PeerId,
        /// Where to.
        address: Address,
    },
    /// Bytes for a connection.
    Send {
        /// Which.
        link: LinkId,
        /// What.
        bytes: Bytes,
    },
    /// Close a connection, or give up making it.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// There is a link to this peer now. At most one at any time.
    PeerUp {
        /// Who.
        peer: NodeKey,
        /// Over which connection.
        link: LinkId,
        /// What was agreed.
        info: LinkInfo,
    },
    /// The link to this peer has ended. What was sent and not answered may or may not have arrived.
    PeerDown {
        /// Who.
        peer: NodeKey,
        /// Why.
        reason: CloseReason,
    },
    /// A message has arrived.
    Message {
        /// From whom.
        peer: NodeKey,
        /// On which lane.
        lane: Lane,
        /// What.
        bytes: Bytes,
    },
    /// The bulk queue to this peer is half empty again.
    Room {
        /// Whose.
        peer: NodeKey,
    },
    /// This name was pinned to this key: keep it.
    Pin {
        /// The name.
        node: NodeId,
        /// The key.
        key: NodeKey,
    },
    /// Something an operator wants to read.
    Notice(Notice),
}

/// Something an operator wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A link ended before it stood.
    Failed {
        /// Which.
        link: LinkId,
        /// For whom it was dialled.
        peer: Option<PeerId>,
        /// Why.
        reason: CloseReason,
    },
    /// A proven key was not let in. A changed key is the loud one.
    Distrusted {
        /// The name it gave.
        node: NodeId,
        /// The key.
        key: NodeKey,
        /// Why.
        why: Distrust,
    },
    /// Another running node has the same key as this peer, or as this node itself: a directory was copied.
    IdentityClone {
        /// The key.
        key: NodeKey,
    },
}

/// Why a connection is turned away before its first byte; the driver closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The endpoint is stopped.
    Stopped,
    /// There are as many links as there may be.
    Full,
    /// There are as many links from that address as there may be.
    TooManyFromAddress,
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "the transport is stopped",
            Self::Full => "too many links",
            Self::TooManyFromAddress => "too many links from that address",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Link(LinkId),
    Peer(PeerId),
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
    /// Peers whose dial waits for another to end.
    waiting: VecDeque<PeerId>,
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
            waiting: VecDeque::new(),
            order: 0,
            dirty: Vec::new(),
            pending: VecDeque::new(),
        })
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

    /// Says goodbye on all links and dials no more. What was queued is not sent: the layer above resumes from its own
    /// marks.
    pub fn stop(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        self.running = false;
        self.waiting.clear();
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
        let identity = Identity::from_seed(&before.identity.seed());
        let (node, boot, settings) = (before.node.clone(), before.boot, before.settings);
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

    /// Wants a link to a peer and tries at once, whatever failed before. Gives whether there is such a peer.
    pub fn connect(&mut self, now: Instant, id: PeerId, out: &mut dyn Sink<Effect>) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        peer.wanted = true;
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
        self.end_links_of(now, id, Farewell::Disconnected);
        self.settle(now, out);
        true
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

    /// Ends the link to a peer for a reason of the layer above. It is dialled again, after a pause, if it is wanted.
    pub fn close_peer(&mut self, now: Instant, peer: &NodeKey, farewell: Farewell, out: &mut dyn Sink<Effect>) {
        if let Some(link) = self.link_of(peer) {
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
                next_dial_in: peer.next_dial.map(|at| at.since(now)),
            }
        })
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
            self.end(now, link, CloseReason::Lost { error });
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
                                CloseReason::Lost { error: "the connection was not made in time".into() },
                            );
                        }
                    }
                    self.with_session(link, |session, out| session.handle_timeout(now, out));
                    self.arm_link(link);
                }
                Timer::Peer(id) => {
                    if let Some(peer) = self.peers.get_mut(id) {
                        peer.next_dial = None;
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

    fn peer_of_standing(&self, link: LinkId) -> Option<NodeKey> {
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

    /// A dial has ended or succeeded: the next may begin.
    fn dial_waiting(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        while self.links.dials() < self.settings.max_dials
            && let Some(next) = self.waiting.pop_front()
        {
            self.dial_now(now, next, out);
        }
    }

    /// Dials a peer if it is wanted, has no link and no dial, and there is an address.
    fn dial_now(&mut self, now: Instant, id: PeerId, out: &mut dyn Sink<Effect>) {
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

    /// Registers when a peer without a link is dialled again, or forgotten.
    fn arm_peer(&mut self, now: Instant, id: PeerId) {
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
            now + peer.pause(&self.settings, &mut self.dice)
        } else {
            return;
        };
        peer.next_dial = Some(at);
        self.timers.insert((at, Timer::Peer(id)));
    }

    fn drop_peer(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.remove(id)
            && let Some(at) = peer.next_dial
        {
            self.timers.remove(&(at, Timer::Peer(id)));
        }
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// Forgets the unwanted peer that was not heard for the longest time, if there are too many.
    fn make_room_for_peer(&mut self) {
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

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (links, half_open) = self.count_links();
        write!(f, "Endpoint({}, {links} links, {half_open} half open, {} peers)", self.key(), self.peers.len())
    }
}
