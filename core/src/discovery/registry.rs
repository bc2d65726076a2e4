//! Who was heard.
//!
//! ```text
//!             heard                stale_after      expire_after      prune_after
//!   (unknown) ------> available ----------> stale ---------> expired ---------> (forgotten)
//!                         ^  ^                |                 |
//!                         |  +---- heard -----+                 |
//!                         +------------- heard: found anew -----+        a goodbye: expired at once
//! ```

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use super::budget::Budget;
use super::fresh::{self, PeerClock, Window};
use super::message::{About, Message};
use super::settings::Settings;
use super::types::{Ignored, NodeState, Sighting};
use crate::identity::NodeKey;
use crate::ids::NodeId;
use crate::time::{Instant, Now};

/// Addresses that are kept of one node.
const MAX_ADDRESSES: usize = 8;
/// Earlier boots that are remembered of one node.
const MAX_PAST: usize = 8;

/// What to make of a datagram that its sender has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is said now.
    Fresh,
    /// It is said now, by a start of the node that another has followed: two are running.
    Clone,
    /// It was said before.
    Replayed,
    /// Only an answer can tell.
    Unproven,
}

/// What a node says of itself in a datagram.
pub(super) struct Heard<'a> {
    pub(super) message: &'a Message,
    pub(super) about: &'a About,
    /// Where it can be dialled.
    pub(super) addresses: &'a [SocketAddr],
    /// It has answered what we asked.
    pub(super) answered: bool,
}

/// What hearing a node has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) news: News,
    /// It has a name that it did not have here.
    pub(super) renamed: bool,
    /// Its clock has begun to be off, by so much, or has ceased to.
    pub(super) skew: Option<Option<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Found,
    Changed,
    Nothing,
}

struct Entry {
    node: NodeId,
    capabilities: Vec<alloc::string::String>,
    interval: Duration,
    /// Each with the moment when it was last heard of.
    addresses: Vec<(SocketAddr, Instant)>,
    boot: u64,
    /// When the first datagram of this boot was heard.
    boot_since: Instant,
    /// It has answered what was asked after another boot was heard: it ran then.
    ran: bool,
    /// The boots before this one, the latest last.
    past: VecDeque<u64>,
    heard: Window,
    clock: PeerClock,
    clock_ahead: i64,
    skewed: bool,
    /// Two running nodes have this key.
    cloned: bool,
    /// The present boot has said goodbye: nothing more comes from it.
    gone: bool,
    /// The layer above was told that it is lost.
    lost: bool,
    first_heard: Instant,
    last_heard: Instant,
    replies: Budget,
    armed: Instant,
}

impl Entry {
    /// Whether an answer is one to what was asked after the present boot was heard.
    fn may_prove(&self, now: Now) -> bool {
        now.mono.since(self.boot_since) >= fresh::ANSWERABLE
    }

    /// What the times of the settings are put off by, for a node that is seldom heard.
    fn grace(&self, settings: &Settings) -> Duration {
        (self.interval * 3).saturating_sub(settings.stale_after)
    }

    fn state(&self, now: Instant, settings: &Settings) -> NodeState {
        let quiet = now.since(self.last_heard).saturating_sub(self.grace(settings));
        if self.gone || quiet >= settings.expire_after {
            NodeState::Expired
        } else if quiet >= settings.stale_after {
            NodeState::Stale
        } else {
            NodeState::Available
        }
    }

    fn deadline(&self, settings: &Settings) -> Instant {
        let after = if self.lost { settings.prune_after } else { settings.expire_after };
        self.last_heard + self.grace(settings) + after
    }

    fn sorted_addresses(&self) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> = self.addresses.iter().map(|(address, _)| *address).collect();
        addresses.sort_unstable();
        addresses
    }

    fn learn_addresses(&mut self, now: Instant, found: &[SocketAddr], settings: &Settings) {
        let keep = settings.expire_after + self.grace(settings);
        self.addresses.retain(|(address, heard)| !found.contains(address) && now.since(*heard) < keep);
        self.addresses.extend(found.iter().take(MAX_ADDRESSES).map(|address| (*address, now)));
        // The latest heard first; of those heard at once, in the order announced.
        self.addresses.sort_by_key(|(_, heard)| Reverse(*heard));
        self.addresses.truncate(MAX_ADDRESSES);
    }

    fn sighting(&self, key: NodeKey, now: Instant, settings: &Settings) -> Sighting {
        Sighting {
            key,
            node: self.node.clone(),
            addresses: self.addresses.iter().map(|(address, _)| *address).collect(),
            capabilities: self.capabilities.clone(),
            state: self.state(now, settings),
            boot: self.boot,
            first_heard: self.first_heard,
            last_heard: self.last_heard,
            clock_ahead: self.clock_ahead,
        }
    }
}

#[derive(Default)]
pub(super) struct Registry {
    nodes: BTreeMap<NodeKey, Entry>,
    timers: BTreeSet<(Instant, NodeKey)>,
}

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the very same datagram was heard, or its sender has taken leave. To be asked before the costly check.
    pub(super) fn has_heard(&self, message: &Message) -> bool {
        self.nodes
            .get(&message.key)
            .is_some_and(|entry| entry.boot == message.boot && (entry.gone || entry.heard.holds(message.count)))
    }

    /// What to make of a signed datagram that was not heard before.
    pub(super) fn judge(&self, now: Now, message: &Message, answered: bool, settings: &Settings) -> Standing {
        let decide = |fresh| if fresh { Standing::Fresh } else { Standing::Unproven };
        let Some(entry) = self.nodes.get(&message.key) else {
            return decide(answered || fresh::is_near(now, message.wall, settings.freshness));
        };
        let in_time = entry.clock.runs_along(now, message.wall, settings.freshness);
        if message.boot == entry.boot {
            return decide(answered || in_time);
        }
        let latest = entry.clock.latest();
        // Whatever an earlier start has said may come late, an answer too. Only one to a question of later proves that its
        // start goes on beside the present one, or has followed it.
        let proven = answered && entry.may_prove(now);
        if entry.past.contains(&message.boot) {
            return match (answered, in_time) {
                (true, _) if proven && entry.ran => Standing::Clone,
                // What followed was a late announcement of an even earlier start, as far as anybody knows.
                (true, _) if proven => Standing::Fresh,
                (true, _) => Standing::Replayed,
                (false, true) if message.wall <= latest => Standing::Replayed,
                (false, _) => Standing::Unproven,
            };
        }
        // A later start has later datagrams. Earlier ones may be played again at any time.
        decide(proven || in_time && message.wall >= latest)
    }

    /// Takes in what a node says of itself, which is known to be said now.
    pub(super) fn hear(&mut self, now: Now, heard: &Heard<'_>, settings: &Settings) -> Result<Outcome, Ignored> {
        let Heard { message, about, addresses, answered } = *heard;
        let key = message.key;
        if !self.nodes.contains_key(&key) {
            self.make_room(now.mono, settings)?;
        }
        let is_new = !self.nodes.contains_key(&key);
        let entry = self.nodes.entry(key).or_insert_with(|| Entry {
            node: about.node.clone(),
            capabilities: Vec::new(),
            interval: about.interval,
            addresses: Vec::new(),
            boot: message.boot,
            boot_since: now.mono,
            ran: true,
            past: VecDeque::new(),
            heard: Window::starting_with(message.count),
            clock: PeerClock::learnt(now, message.wall),
            clock_ahead: 0,
            skewed: false,
            cloned: false,
            gone: false,
            lost: true,
            first_heard: now.mono,
            last_heard: now.mono,
            replies: Budget::new(16, 2),
            armed: Instant(u64::MAX),
        });
        let before = (entry.sorted_addresses(), entry.boot);
        let restarted = entry.boot != message.boot;
        if restarted {
            entry.past.retain(|boot| *boot != message.boot);
            entry.past.push_back(entry.boot);
            if entry.past.len() > MAX_PAST {
                entry.past.pop_front();
            }
            entry.ran = answered && entry.may_prove(now);
            entry.boot = message.boot;
            entry.boot_since = now.mono;
            entry.heard = Window::starting_with(message.count);
            entry.gone = false;
            entry.addresses.clear();
        }
        if restarted || answered {
            entry.clock = PeerClock::learnt(now, message.wall);
        }
        entry.heard.insert(message.count);
        entry.clock.hear(message.wall);
        let renamed = is_new || entry.node != about.node;
        let recast = renamed || entry.capabilities != about.capabilities;
        if recast {
            entry.node = about.node.clone();
            entry.capabilities.clone_from(&about.capabilities);
        }
        entry.interval = about.interval;
        entry.last_heard = now.mono;
        entry.learn_addresses(now.mono, addresses, settings);
        entry.clock_ahead = fresh::difference(message.wall, now.wall);
        let skewed = !fresh::is_near(now, message.wall, settings.freshness);
        let skew = (skewed != entry.skewed).then(|| skewed.then_some(entry.clock_ahead));
        entry.skewed = skewed;
        // Of two with one key, each in turn seems to be started anew; that was told once.
        let moved = (entry.sorted_addresses(), entry.boot) != before && !(restarted && entry.cloned);
        let news = if core::mem::take(&mut entry.lost) {
            News::Found
        } else if recast || moved {
            News::Changed
        } else {
            News::Nothing
        };
        self.arm(key, settings);
        Ok(Outcome { news, renamed, skew })
    }

    /// Remembers that two nodes have this key. True for the first time.
    pub(super) fn mark_cloned(&mut self, key: &NodeKey) -> bool {
        self.nodes.get_mut(key).is_some_and(|entry| !core::mem::replace(&mut entry.cloned, true))
    }

    /// A node says goodbye. Its name, if it was not lost before.
    pub(super) fn depart(&mut self, message: &Message, settings: &Settings) -> Option<NodeId> {
        let entry = self.nodes.get_mut(&message.key).filter(|entry| entry.boot == message.boot)?;
        entry.gone = true;
        let told = core::mem::replace(&mut entry.lost, true);
        let node = entry.node.clone();
        self.arm(message.key, settings);
        (!told).then_some(node)
    }

    /// Whether a probe of this node may be answered.
    pub(super) fn may_answer(&mut self, now: Instant, key: &NodeKey) -> bool {
        self.nodes.get_mut(key).is_none_or(|entry| entry.replies.take(now))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Lets time pass. Gives a node that is lost now, as long as there is one.
    pub(super) fn expire(&mut self, now: Instant, settings: &Settings) -> Option<(NodeKey, NodeId)> {
        while let Some((at, key)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let Some(entry) = self.nodes.get_mut(&key) else { continue };
            entry.armed = Instant(u64::MAX);
            if entry.deadline(settings) > now {
                self.arm(key, settings);
            } else if entry.lost {
                self.nodes.remove(&key);
            } else {
                entry.lost = true;
                let node = entry.node.clone();
                self.arm(key, settings);
                return Some((key, node));
            }
        }
        None
    }

    /// Other nodes of this name that are not expired.
    pub(super) fn namesakes(&self, now: Instant, key: &NodeKey, settings: &Settings) -> Vec<NodeKey> {
        let Some(node) = self.nodes.get(key).map(|entry| &entry.node) else { return Vec::new() };
        let same = |(other, entry): &(&NodeKey, &Entry)| {
            *other != key && entry.node == *node && entry.state(now, settings) != NodeState::Expired
        };
        self.nodes.iter().filter(same).map(|(other, _)| *other).collect()
    }

    pub(super) fn get(&self, now: Instant, key: &NodeKey, settings: &Settings) -> Option<Sighting> {
        self.nodes.get(key).map(|entry| entry.sighting(*key, now, settings))
    }

    pub(super) fn sightings(&self, now: Instant, settings: &Settings) -> Vec<Sighting> {
        self.nodes.iter().map(|(key, entry)| entry.sighting(*key, now, settings)).collect()
    }

    /// Forgets the expired node that was not heard for the longest time, if the registry is full.
    fn make_room(&mut self, now: Instant, settings: &Settings) -> Result<(), Ignored> {
        if self.nodes.len() < settings.max_nodes {
            return Ok(());
        }
        let expired = self.nodes.iter().filter(|(_, entry)| entry.state(now, settings) == NodeState::Expired);
        let oldest = expired.min_by_key(|(key, entry)| (entry.last_heard, **key)).map(|(key, _)| *key);
        let entry = oldest.and_then(|key| self.nodes.remove_entry(&key));
        let (key, entry) = entry.ok_or(Ignored::Full)?;
        self.timers.remove(&(entry.armed, key));
        Ok(())
    }

    /// Registers a node's deadline. One that moves back is noticed when the old one comes.
    fn arm(&mut self, key: NodeKey, settings: &Settings) {
        let Some(entry) = self.nodes.get_mut(&key) else { return };
        let at = entry.deadline(settings);
        if at < entry.armed {
            self.timers.remove(&(entry.armed, key));
            entry.armed = at;
            self.timers.insert((at, key));
        }
    }
}
