//! When datagrams are due, and composing them at that moment.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::net::SocketAddr;
use core::time::Duration;

use super::Discovery;
use super::message::{About, Body, Message, Nonce};
use super::reach;
use super::settings::Settings;
use super::types::{Effect, Notice, Target, TargetStatus};
use crate::dice::Dice;
use crate::sink::Sink;
use crate::time::{Instant, Now};

/// Over how long the answers to a probe of many are spread, so that they do not all arrive at once.
const SPREAD: Duration = Duration::from_millis(500);
/// Answers that wait for their moment.
const MAX_REPLIES: usize = 256;

/// A target, and how it goes with it.
pub(super) struct Aim {
    pub(super) target: Target,
    error: Option<String>,
    /// It has failed since the last announcement.
    failed_lately: bool,
}

impl Aim {
    pub(super) const fn new(target: Target) -> Self {
        Self { target, error: None, failed_lately: false }
    }

    /// True when it had worked before.
    pub(super) fn fail(&mut self, error: String) -> bool {
        self.failed_lately = true;
        self.error.replace(error).is_none()
    }

    /// Another announcement is due. True when the one before went out, for the first time since a failure.
    fn turn(&mut self) -> bool {
        let recovered = !self.failed_lately && self.error.is_some();
        self.failed_lately = false;
        if recovered {
            self.error = None;
        }
        recovered
    }

    pub(super) fn status(&self) -> TargetStatus {
        TargetStatus { target: self.target, error: self.error.clone() }
    }
}

/// When the next announcement is due: soon after a start, then more and more seldom.
#[derive(Default)]
pub(super) struct Schedule {
    next: Option<Instant>,
    pause: Duration,
}

impl Schedule {
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Begins anew with short pauses.
    pub(super) fn hurry(&mut self, now: Instant, settings: &Settings, dice: &mut Dice) {
        self.pause = settings.first_interval;
        self.next = Some(now + jittered(self.pause, dice));
    }

    /// An announcement was made.
    pub(super) fn pass(&mut self, now: Instant, settings: &Settings, dice: &mut Dice) {
        self.pause = (self.pause * 2).min(settings.interval);
        self.next = Some(now + jittered(self.pause, dice));
    }

    pub(super) const fn cease(&mut self) {
        self.next = None;
    }
}

/// The pause give or take a quarter, so that nodes do not fall into step.
fn jittered(pause: Duration, dice: &mut Dice) -> Duration {
    let half = u64::try_from((pause / 2).as_micros()).unwrap_or(u64::MAX);
    pause * 3 / 4 + Duration::from_micros(dice.below(half))
}

/// An answer that is owed.
pub(super) struct Reply {
    pub(super) to: SocketAddr,
    pub(super) answer: Nonce,
    /// Whether the other's clock is off, so that it must prove that it is there.
    pub(super) doubt: bool,
}

/// Answers that wait for their moment.
#[derive(Default)]
pub(super) struct Replies {
    waiting: BTreeMap<(Instant, u64), Reply>,
    order: u64,
}

impl Replies {
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// False when too many wait already.
    pub(super) fn push(&mut self, at: Instant, reply: Reply) -> bool {
        if self.waiting.len() >= MAX_REPLIES {
            return false;
        }
        self.order += 1;
        self.waiting.insert((at, self.order), reply);
        true
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Reply> {
        self.waiting.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Discovery {
    /// Says to all targets that this node is here.
    pub(super) fn announce(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        for aim in &mut self.targets {
            if aim.turn() {
                out.push(Effect::Notice(Notice::TargetWorks { target: aim.target }));
            }
        }
        self.send_to_all(now, out, |about, _| Body::Announce(about));
    }

    /// Asks all targets who is there.
    pub(super) fn ask_all(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        let question = self.questions.ask(now.mono);
        self.send_to_all(now, out, |about, target| Body::Probe { question, spread: spread(target), about });
    }

    /// Asks one host, or one group, who is there.
    pub(super) fn ask(&mut self, now: Now, to: Target, out: &mut dyn Sink<Effect>) {
        let about = self.about(to.stays_here());
        let body = Body::Probe { question: self.questions.ask(now.mono), spread: spread(&to), about };
        self.send(now, to, body, out);
    }

    pub(super) fn send_reply(&mut self, now: Now, reply: &Reply, out: &mut dyn Sink<Effect>) {
        let to = Target::Unicast(reply.to);
        let question = reply.doubt.then(|| self.questions.ask(now.mono));
        let body = Body::Reply { answer: reply.answer, question, about: self.about(to.stays_here()) };
        self.send(now, to, body, out);
    }

    pub(super) fn say_goodbye(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        self.send_to_all(now, out, |_, _| Body::Goodbye);
    }

    fn send_to_all(&mut self, now: Now, out: &mut dyn Sink<Effect>, compose: impl Fn(About, &Target) -> Body) {
        for at in 0..self.targets.len() {
            let Some(target) = self.targets.get(at).map(|aim| aim.target) else { continue };
            let body = compose(self.about(target.stays_here()), &target);
            self.send(now, target, body, out);
        }
    }

    fn about(&self, same_machine: bool) -> About {
        About {
            node: self.description.node.clone(),
            interval: self.settings.interval,
            ways: reach::ways(&self.description.listeners, same_machine),
            capabilities: self.description.capabilities.clone(),
        }
    }

    /// Each datagram has a count of its own, also where one thing is said to several targets: from each of them something
    /// may be learnt.
    fn send(&mut self, now: Now, to: Target, body: Body, out: &mut dyn Sink<Effect>) {
        if self.settings.silent {
            return;
        }
        self.count += 1;
        self.counters.sent += 1;
        let message = Message { key: self.key, boot: self.boot, count: self.count, wall: now.wall, body };
        out.push(Effect::Send { to, bytes: self.network.seal(&self.identity, &message) });
    }
}

const fn spread(target: &Target) -> Duration {
    match target {
        Target::Multicast { .. } | Target::Broadcast(_) => SPREAD,
        Target::Unicast(_) => Duration::ZERO,
    }
}
