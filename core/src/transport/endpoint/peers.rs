//! Whom the node knows, whether it wants a link to them, and when it tries again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::super::address::Address;
use super::super::identity::NodeKey;
use super::super::reason::CloseReason;
use super::settings::Settings;
use super::{LinkId, PeerId};
use crate::dice::Dice;
use crate::ids::NodeId;
use crate::runs::Runs;
use crate::time::Instant;

/// The most addresses kept for one peer.
pub(super) const MAX_ADDRESSES: usize = 16;
/// For so long after a link that was of use has ended, pauses do not grow beyond [`EAGER_PAUSE`]: most cuts are short, and
/// somebody is waiting.
const EAGER_FOR: Duration = Duration::from_secs(60);
const EAGER_PAUSE: Duration = Duration::from_secs(1);

/// Where a peer stands, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// Known, heard of lately, no link.
    Available,
    /// A dial or a handshake is under way.
    Connecting,
    /// A link stands.
    Connected,
    /// Not heard for a while.
    Stale,
    /// Not heard for long.
    Expired,
    /// The last link ended for a reason that somebody has to look at. It is tried again, slowly.
    Faulted,
}

impl PeerState {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::Faulted => "faulted",
        }
    }
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// Unknown for a peer that was given by address alone and has never answered.
    pub(super) key: Option<NodeKey>,
    pub(super) node: Option<NodeId>,
    /// Tried in turn.
    pub(super) addresses: VecDeque<Address>,
    /// The node dials it whenever there is no link.
    pub(super) wanted: bool,
    /// It is wanted because it was found, and for no other reason.
    pub(super) found: bool,
    /// When it was last dialled at once because of what was found.
    pub(super) found_at: Option<Instant>,
    /// The operator disconnected it: its links are refused until he says otherwise.
    pub(super) held: bool,
    /// The link that stands.
    pub(super) link: Option<LinkId>,
    /// The dial under way.
    pub(super) dial: Option<LinkId>,
    pub(super) up_since: Option<Instant>,
    /// When the last link that was of use ended.
    lost_at: Option<Instant>,
    /// Something has come over the link for good.
    pub(super) progressed: bool,
    /// Last heard of, in any way.
    pub(super) seen: Instant,
    pub(super) last_end: Option<CloseReason>,
    pub(super) failures: u32,
    /// Addresses still to be tried before the pause grows.
    pub(super) untried: usize,
    /// When it is dialled; or forgotten, if it is not wanted.
    pub(super) due: Option<Instant>,
    /// The layer above wants no dial before.
    pub(super) not_before: Instant,
    pub(super) runs: Runs,
}

impl Peer {
    pub(super) fn new(key: Option<NodeKey>, now: Instant) -> Self {
        Self {
            key,
            node: None,
            addresses: VecDeque::new(),
            wanted: false,
            found: false,
            found_at: None,
            held: false,
            link: None,
            dial: None,
            up_since: None,
            lost_at: None,
            progressed: false,
            seen: now,
            last_end: None,
            failures: 0,
            untried: 0,
            due: None,
            not_before: Instant(0),
            runs: Runs::default(),
        }
    }

    /// Remembers further addresses, the newest first; the oldest give way.
    pub(super) fn learn(&mut self, addresses: impl IntoIterator<Item = Address>) {
        for address in addresses {
            if !self.addresses.contains(&address) {
                if self.addresses.len() == MAX_ADDRESSES {
                    self.addresses.pop_back();
                }
                self.addresses.push_front(address);
            }
        }
    }

    /// Takes over what is known of another entry that turned out to be the same node.
    pub(super) fn merge(&mut self, other: Self) {
        self.learn(other.addresses.into_iter().rev());
        self.found = (self.found || !self.wanted) && (other.found || !other.wanted) && (self.found || other.found);
        self.wanted |= other.wanted;
        self.held |= other.held;
        self.seen = self.seen.max(other.seen);
    }

    pub(super) fn state(&self, now: Instant, settings: &Settings) -> PeerState {
        if self.link.is_some() {
            PeerState::Connected
        } else if self.dial.is_some() {
            PeerState::Connecting
        } else if self.last_end.as_ref().is_some_and(CloseReason::needs_operator) {
            PeerState::Faulted
        } else if now.since(self.seen) >= settings.expire_after {
            PeerState::Expired
        } else if now.since(self.seen) >= settings.stale_after {
            PeerState::Stale
        } else {
            PeerState::Available
        }
    }

    /// A link that stood has ended.
    pub(super) fn ended(&mut self, now: Instant, settings: &Settings) {
        self.link = None;
        self.seen = now;
        let stood = self.up_since.take().map_or(Duration::ZERO, |since| now.since(since));
        let worth = core::mem::take(&mut self.progressed) || stood >= settings.steady_after;
        self.failures = if worth { 0 } else { self.failures.saturating_add(1) };
        self.lost_at = if worth { Some(now) } else { self.lost_at };
        self.untried = self.addresses.len();
    }

    /// A dial has failed: the next address is tried soon, and after the last of them the pause grows.
    pub(super) fn dial_failed(&mut self) {
        self.addresses.rotate_left(usize::from(!self.addresses.is_empty()));
        self.untried = self.untried.saturating_sub(1);
        if self.untried == 0 {
            self.failures = self.failures.saturating_add(1);
            self.untried = self.addresses.len();
        }
    }

    /// The pause before the next dial: doubled with each failure up to the longest, then cut by up to a half at random,
    /// so that nodes that lost each other together do not all come back together. It stays short while the link was there
    /// just before.
    pub(super) fn pause(&self, now: Instant, settings: &Settings, dice: &mut Dice) -> Duration {
        let eager = self.lost_at.is_some_and(|at| now.since(at) < EAGER_FOR);
        let longest = if eager { EAGER_PAUSE.max(settings.first_pause) } else { settings.longest_pause };
        let whole = if self.last_end.as_ref().is_some_and(CloseReason::needs_operator) {
            settings.longest_pause
        } else {
            if planted!("dialler_gives_up") && self.failures > 8 {
                return settings.longest_pause.saturating_mul(1000);
            }
            let doublings = self.failures.saturating_sub(1).min(20);
            settings.first_pause.saturating_mul(1 << doublings).min(longest.min(settings.longest_pause))
        };
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - dice.below(micros / 2 + 1))
    }
}

/// A peer, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Names it in commands.
    pub id: PeerId,
    /// Its key, once known.
    pub key: Option<NodeKey>,
    /// Its name, once known.
    pub node: Option<NodeId>,
    /// Where it is dialled, the next one first.
    pub addresses: Vec<Address>,
    /// Where it stands.
    pub state: PeerState,
    /// Whether the node dials it.
    pub wanted: bool,
    /// Whether the operator disconnected it.
    pub held: bool,
    /// How long the link has stood.
    pub up_for: Option<Duration>,
    /// Time since anything was heard of it.
    pub silent_for: Duration,
    /// The latest round trip.
    pub round_trip: Option<Duration>,
    /// Why the last link or dial ended.
    pub last_end: Option<CloseReason>,
    /// Failed dials, and short links that brought nothing, in a row.
    pub failures: u32,
    /// Time to the next dial.
    pub next_dial_in: Option<Duration>,
}

/// All peers, by number and by key.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_id: BTreeMap<PeerId, Peer>,
    by_key: BTreeMap<NodeKey, PeerId>,
    last: u64,
}

impl Peers {
    pub(super) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn of_key(&self, key: &NodeKey) -> Option<PeerId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn with_address(&self, address: &Address) -> Option<PeerId> {
        self.by_id.iter().find(|(_, peer)| peer.addresses.contains(address)).map(|(id, _)| *id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.by_id.iter().map(|(id, peer)| (*id, peer))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn insert(&mut self, peer: Peer) -> PeerId {
        self.last += 1;
        let id = PeerId(self.last);
        if let Some(key) = peer.key {
            self.by_key.insert(key, id);
        }
        self.by_id.insert(id, peer);
        id
    }

    pub(super) fn remove(&mut self, id: PeerId) -> Option<Peer> {
        let peer = self.by_id.remove(&id)?;
        if let Some(key) = &peer.key
            && self.by_key.get(key) == Some(&id)
        {
            self.by_key.remove(key);
        }
        Some(peer)
    }

    /// Says which key a peer has. If another entry has it already, the two become one; gives the one that remains.
    pub(super) fn identify(&mut self, id: PeerId, key: NodeKey) -> PeerId {
        match self.of_key(&key) {
            Some(known) if known == id => id,
            Some(known) => {
                if let (Some(other), Some(_)) = (self.remove(id), self.by_id.get(&known))
                    && let Some(peer) = self.by_id.get_mut(&known)
                {
                    peer.merge(other);
                }
                known
            }
            None => {
                if let Some(peer) = self.by_id.get_mut(&id) {
                    peer.key = Some(key);
                    self.by_key.insert(key, id);
                }
                id
            }
        }
    }
}
