//! Finding the other nodes of the network: who is there, and where they can be dialled.
//!
//! It finds; it never connects. It says nothing about data, and its failures touch none. The driver moves datagrams; every
//! decision is taken here. Its contract:
//!
//! - Datagrams of [`Effect::Send`] leave by a socket with a port of its own, because answers come to where a question came
//!   from, and several nodes of one machine share the port of the group. What arrives at that socket, and at the shared one
//!   that has joined the groups, is handed to [`Discovery::handle_datagram`].
//! - A driver may keep datagrams of other networks away by a [`Sieve`]; it tells how many by [`Discovery::handle_dropped`].
//! - A datagram that cannot be sent is told by [`Discovery::handle_send_failed`]; nothing is told of one that was sent.
//! - When [`Discovery::poll_timeout`] is due, [`Discovery::handle_timeout`] is called.
//! - When interfaces come and go, [`Discovery::set_targets`] tells where announcements go now.
//!
//! | module | one idea |
//! | --- | --- |
//! | `message` | what datagrams say, byte by byte |
//! | `seal` | which datagrams are of this network, and of their sender |
//! | `fresh` | said now, or played again |
//! | `reach` | where an announced node can really be reached |
//! | `registry` | who was heard: available, stale, expired, pruned |
//! | `receive`, `send` | what follows from a datagram, and when one is due |

mod budget;
mod fresh;
#[doc(hidden)]
pub mod fuzz;
mod message;
mod reach;
mod receive;
mod registry;
mod seal;
mod send;
mod settings;
#[cfg(test)]
mod tests;
mod types;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use self::budget::Budget;
use self::fresh::{Asked, Questions};
use self::message::{MAX_CAPABILITIES, MAX_WAYS, is_capability};
use self::registry::Registry;
use self::seal::Network;
pub use self::seal::Sieve;
use self::send::{Aim, Replies, Schedule};
pub use self::settings::Settings;
pub use self::types::{
    Counters, DEFAULT_PORT, Description, Effect, GROUP_V4, GROUP_V6, Ignored, Interface, Loss, NodeState, Notice,
    Sighting, Status, Target, TargetStatus,
};
use crate::dice::{Dice, Seed};
use crate::error::{Code, Error};
use crate::identity::{Identity, NetworkSecret, NodeKey};
use crate::sink::Sink;
use crate::time::{Instant, Now};

/// The most targets.
pub const MAX_TARGETS: usize = 32;

/// Finds other nodes, and lets itself be found.
pub struct Discovery {
    settings: Settings,
    identity: Identity,
    key: NodeKey,
    network: Network,
    description: Description,
    dice: Dice,
    running: bool,
    /// Drawn anew at each start, and whenever the listeners change.
    boot: u64,
    former_boot: Option<u64>,
    /// Datagrams of this boot.
    count: u64,
    targets: Vec<Aim>,
    schedule: Schedule,
    replies: Replies,
    questions: Questions,
    asked: Asked,
    registry: Registry,
    checks: Budget,
    answers: Budget,
    /// Questions to senders whose clock is off. Small, because nothing of their size was received.
    doubts: Budget,
    /// Probes that the layer above wants.
    probes: Budget,
    /// Notices of names that several keys go by.
    shared_names: Budget,
    counters: Counters,
    /// When each reason was last told.
    told: BTreeMap<Ignored, Instant>,
    told_of_own_clone: bool,
}

impl Discovery {
    /// Stopped, and without targets.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] when a setting is out of range or the description cannot be announced.
    pub fn new(
        settings: Settings,
        identity: Identity,
        secret: Option<&NetworkSecret>,
        description: Description,
        seed: &Seed,
    ) -> Result<Self, Error> {
        settings.validate()?;
        Ok(Self {
            settings,
            key: identity.key(),
            identity,
            network: Network::new(secret),
            description: checked(description)?,
            dice: seed.stream("discovery"),
            running: false,
            boot: 0,
            former_boot: None,
            count: 0,
            targets: Vec::new(),
            schedule: Schedule::default(),
            replies: Replies::default(),
            questions: Questions::new(&mut seed.secrets("discovery")),
            asked: Asked::default(),
            registry: Registry::default(),
            checks: Budget::new(settings.checks_per_second * 2, settings.checks_per_second),
            answers: Budget::new(settings.replies_per_second * 2, settings.replies_per_second),
            doubts: Budget::new(8, 4),
            probes: Budget::new(4, 1),
            shared_names: Budget::new(8, 1),
            counters: Counters::default(),
            told: BTreeMap::new(),
            told_of_own_clone: false,
        })
    }

    /// The key that is announced.
    #[must_use]
    pub const fn key(&self) -> NodeKey {
        self.key
    }

    /// Whether it announces and listens.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// Begins to announce to these targets, and asks there who is present. If it runs already, it goes on with them.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] when there are too many targets or nothing can be sent to one; nothing has changed.
    pub fn start(&mut self, now: Now, targets: Vec<Target>, out: &mut dyn Sink<Effect>) -> Result<(), Error> {
        check_targets(&targets)?;
        if !self.running {
            self.running = true;
            self.begin_life();
        }
        self.aim(now, targets, out);
        Ok(())
    }

    /// Announces to these targets from now on. Interfaces or addresses have changed, or the operator's wish.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when it is stopped, [`Code::InvalidArgument`] as for [`Self::start`]; nothing has changed.
    pub fn set_targets(&mut self, now: Now, targets: Vec<Target>, out: &mut dyn Sink<Effect>) -> Result<(), Error> {
        self.check_running()?;
        check_targets(&targets)?;
        self.aim(now, targets, out);
        Ok(())
    }

    /// Announces this from now on.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] when it cannot be announced; nothing has changed.
    pub fn set_description(
        &mut self,
        now: Now,
        description: Description,
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), Error> {
        let description = checked(description)?;
        if description == self.description {
            return Ok(());
        }
        // Others drop the addresses of an earlier boot.
        let moved = description.listeners != self.description.listeners;
        self.description = description;
        if self.running {
            if moved {
                self.begin_life();
            }
            self.announce(now, out);
            self.schedule.hurry(now.mono, &self.settings, &mut self.dice);
        }
        Ok(())
    }

    /// Asks who is there: at all targets, or at one address. Answers come as [`Effect::Found`] and [`Effect::Changed`], or
    /// not at all when nothing is new.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when it is stopped; [`Code::Overloaded`] when it was asked for too often.
    pub fn probe(&mut self, now: Now, at: Option<SocketAddr>, out: &mut dyn Sink<Effect>) -> Result<(), Error> {
        self.check_running()?;
        if !self.probes.take(now.mono) {
            let what = "discovery was asked to probe more than once a second";
            return Err(Error::new(Code::Overloaded, what, "try again in a second"));
        }
        match at {
            Some(at) => self.ask(now, Target::Unicast(at), out),
            None => self.ask_all(now, out),
        }
        Ok(())
    }

    /// Says goodbye and falls silent. What was found is kept, and grows old.
    pub fn stop(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        if self.running {
            self.say_goodbye(now, out);
            self.running = false;
            self.schedule.cease();
            self.replies.clear();
            self.targets.clear();
        }
    }

    /// A datagram has arrived. `from` is the address as the socket gives it.
    pub fn handle_datagram(&mut self, now: Now, from: SocketAddr, bytes: &[u8], out: &mut dyn Sink<Effect>) {
        if !self.running {
            return;
        }
        self.counters.received += 1;
        match self.receive(now, from, bytes, out) {
            Ok(()) => self.counters.believed += 1,
            Err(dropped) => self.ignore(now, from, &dropped, 1, out),
        }
    }

    /// So many datagrams were dropped before they came here, the latest of them from there.
    pub fn handle_dropped(&mut self, now: Now, from: SocketAddr, why: Ignored, count: u64, out: &mut dyn Sink<Effect>) {
        if self.running {
            self.counters.received += count;
            self.ignore(now, from, &why.into(), count, out);
        }
    }

    /// A datagram of [`Effect::Send`] could not be sent.
    pub fn handle_send_failed(&mut self, to: Target, error: String, out: &mut dyn Sink<Effect>) {
        self.counters.failed += 1;
        if let Some(aim) = self.targets.iter_mut().find(|aim| aim.target == to)
            && aim.fail(error.clone())
        {
            out.push(Effect::Notice(Notice::TargetFailing { target: to, error }));
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.schedule.next(), self.replies.next(), self.registry.poll_timeout()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        while let Some((key, node)) = self.registry.expire(now.mono, &self.settings) {
            out.push(Effect::Lost { key, node, why: Loss::Silence });
        }
        while let Some(reply) = self.replies.pop(now.mono) {
            self.send_reply(now, &reply, out);
        }
        if self.schedule.next().is_some_and(|at| at <= now.mono) {
            self.announce(now, out);
            self.schedule.pass(now.mono, &self.settings, &mut self.dice);
        }
    }

    /// What is known of a node.
    #[must_use]
    pub fn sighting(&self, now: Now, key: &NodeKey) -> Option<Sighting> {
        self.registry.get(now.mono, key, &self.settings)
    }

    /// All that discovery knows.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        Status {
            running: self.running,
            targets: self.targets.iter().map(Aim::status).collect(),
            next_announcement: self.schedule.next().map(|at| at.since(now.mono)),
            nodes: self.registry.sightings(now.mono, &self.settings),
            counters: self.counters.clone(),
        }
    }

    fn check_running(&self) -> Result<(), Error> {
        if self.running {
            return Ok(());
        }
        Err(Error::new(Code::InvalidState, "discovery is stopped", "start it first"))
    }

    fn begin_life(&mut self) {
        self.former_boot = Some(self.boot);
        self.boot = self.dice.next_u64();
        self.count = 0;
    }

    fn aim(&mut self, now: Now, targets: Vec<Target>, out: &mut dyn Sink<Effect>) {
        let mut before = core::mem::take(&mut self.targets);
        for target in targets {
            if !self.targets.iter().any(|aim| aim.target == target) {
                let known = before.iter().position(|aim| aim.target == target);
                self.targets.push(known.map_or_else(|| Aim::new(target), |at| before.swap_remove(at)));
            }
        }
        self.ask_all(now, out);
        self.schedule.hurry(now.mono, &self.settings, &mut self.dice);
    }
}

/// A description that can be announced, in the order in which it is.
fn checked(mut description: Description) -> Result<Description, Error> {
    let refuse = |what: String| Err(Error::new(Code::InvalidArgument, what, "correct what is announced"));
    if description.listeners.len() > MAX_WAYS {
        return refuse(format!(
            "{} listeners are more than the {MAX_WAYS} that are announced",
            description.listeners.len()
        ));
    }
    description.capabilities.sort_unstable();
    description.capabilities.dedup();
    if description.capabilities.len() > MAX_CAPABILITIES {
        let count = description.capabilities.len();
        return refuse(format!("{count} capabilities are more than the {MAX_CAPABILITIES} that are announced"));
    }
    match description.capabilities.iter().find(|word| !is_capability(word)) {
        Some(word) => refuse(format!("the capability {word:?} is not 1 to 32 characters of [a-z0-9._-]")),
        None => Ok(description),
    }
}

fn check_targets(targets: &[Target]) -> Result<(), Error> {
    let next = "correct the targets of discovery";
    if targets.len() > MAX_TARGETS {
        let what = format!("{} targets of discovery are more than {MAX_TARGETS}", targets.len());
        return Err(Error::new(Code::InvalidArgument, what, next));
    }
    let fits = |target: &&Target| {
        let (address, ip) = (target.address(), target.address().ip());
        let kind = match target {
            Target::Multicast { .. } => ip.is_multicast(),
            Target::Broadcast(_) => ip.is_ipv4() && !ip.is_multicast(),
            Target::Unicast(_) => !reach::is_for_many(ip),
        };
        kind && !ip.is_unspecified() && address.port() != 0
    };
    match targets.iter().find(|target| !fits(target)) {
        Some(target) => {
            let what = format!("nothing can be sent to {target}");
            Err(Error::new(Code::InvalidArgument, what, next))
        }
        None => Ok(()),
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Discovery({}, {} targets, {} nodes)", self.key, self.targets.len(), self.registry.len())
    }
}
