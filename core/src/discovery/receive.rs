//! What follows from a datagram.
//!
//! The checks stand in the order of their cost: one hash keeps strangers out, one look-up keeps repetitions out, and only
//! then a signature is checked. Nothing is remembered of a datagram that fails.

use core::net::SocketAddr;
use core::time::Duration;

use super::Discovery;
use super::message::{Body, Message};
use super::reach;
use super::registry::{Heard, News, Standing};
use super::send::Reply;
use super::types::{Effect, Ignored, Loss, Notice, Target};
use crate::identity::NodeKey;
use crate::sink::Sink;
use crate::time::Now;

/// How often the same reason is told again.
const NEWS_PAUSE: Duration = Duration::from_secs(60);

/// A datagram that changes nothing.
pub(super) struct Dropped {
    why: Ignored,
    /// It is too early to trouble the operator with it.
    quiet: bool,
}

impl From<Ignored> for Dropped {
    fn from(why: Ignored) -> Self {
        Self { why, quiet: false }
    }
}

impl Discovery {
    pub(super) fn receive(
        &mut self,
        now: Now,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), Dropped> {
        let opened = self.network.open(bytes)?;
        let key = opened.message.key;
        if key == self.key && (opened.message.boot == self.boot || Some(opened.message.boot) == self.former_boot) {
            return Err(Ignored::Own.into());
        }
        if self.registry.has_heard(&opened.message) {
            covered!("datagram_heard_before");
            return Err(Ignored::Replayed.into());
        }
        if !self.checks.take(now.mono) {
            return Err(Ignored::Overload.into());
        }
        if !opened.is_signed(self.identity.suite()) {
            return Err(Ignored::Forged.into());
        }
        let message = opened.message;
        let answered =
            matches!(&message.body, Body::Reply { answer, .. } if self.questions.is_answered(now.mono, answer));
        let standing = match (key == self.key, answered) {
            (false, _) => self.registry.judge(now, &message, answered, &self.settings),
            // An earlier start of this node cannot know what we ask now.
            (true, true) => Standing::Clone,
            (true, false) => Standing::Unproven,
        };
        // Most nodes whose clock is off answer at once.
        let quiet = standing == Standing::Unproven && !self.asked.is_overdue(now.mono, &key);
        let result = match &message.body {
            Body::Goodbye => self.see_off(&message, standing, out),
            Body::Announce(about) | Body::Probe { about, .. } | Body::Reply { about, .. } => {
                let addresses = reach::addresses(&about.ways, from);
                let heard = Heard { message: &message, about, addresses: &addresses, answered };
                self.meet(now, from, &heard, standing, out)
            }
        };
        result.map_err(|why| Dropped { why, quiet })
    }

    fn meet(
        &mut self,
        now: Now,
        from: SocketAddr,
        heard: &Heard<'_>,
        standing: Standing,
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), Ignored> {
        let message = heard.message;
        let result = match standing {
            Standing::Replayed => return Err(Ignored::Replayed),
            Standing::Unproven => Err(Ignored::Unproven),
            Standing::Fresh | Standing::Clone => {
                self.asked.remove(&message.key);
                let result = if message.key == self.key { Ok(()) } else { self.learn(now, heard, out) };
                if standing == Standing::Clone {
                    self.tell_clone(&message.key, from, out);
                }
                result
            }
        };
        let doubt = standing == Standing::Unproven;
        self.answer(now, from, message, doubt, out);
        if doubt && matches!(message.body, Body::Announce(_)) {
            self.doubt(now, from, message.key, out);
        }
        result
    }

    /// Puts what is believed into the registry.
    fn learn(&mut self, now: Now, heard: &Heard<'_>, out: &mut dyn Sink<Effect>) -> Result<(), Ignored> {
        let (key, node) = (heard.message.key, &heard.about.node);
        let outcome = self.registry.hear(now, heard, &self.settings)?;
        if let Some(sighting) = self.registry.get(now.mono, &key, &self.settings) {
            match outcome.news {
                News::Found => out.push(Effect::Found(sighting.into())),
                News::Changed => out.push(Effect::Changed(sighting.into())),
                News::Nothing => {}
            }
        }
        if outcome.renamed {
            let own = (*node == self.description.node).then_some(self.key);
            let others = self.registry.namesakes(now.mono, &key, &self.settings);
            let mut all = own.into_iter().chain(others);
            if let Some(other) = all.next()
                && self.shared_names.take(now.mono)
            {
                let others = 1 + all.count();
                out.push(Effect::Notice(Notice::SharedName { node: node.clone(), key, other, others }));
            }
        }
        if let Some(ahead) = outcome.skew {
            out.push(Effect::Notice(Notice::ClockSkew { key, node: node.clone(), ahead }));
        }
        Ok(())
    }

    /// Answers a question. It is as long as a datagram may be, so no answer is longer; and answers are counted.
    fn answer(&mut self, now: Now, from: SocketAddr, message: &Message, doubt: bool, out: &mut dyn Sink<Effect>) {
        let Some(question) = message.body.question() else { return };
        if !self.registry.may_answer(now.mono, &message.key) || !self.answers.take(now.mono) {
            self.counters.unanswered += 1;
            return;
        }
        if doubt {
            self.asked.insert(now.mono, message.key);
        }
        let reply = Reply { to: from, answer: question, doubt };
        let spread = match &message.body {
            Body::Probe { spread, .. } => u64::try_from(spread.as_micros()).unwrap_or(0),
            Body::Announce(_) | Body::Reply { .. } | Body::Goodbye => 0,
        };
        if spread == 0 {
            self.send_reply(now, &reply, out);
            return;
        }
        let at = now.mono + Duration::from_micros(self.dice.below(spread) + 1);
        if !self.replies.push(at, reply) {
            self.counters.unanswered += 1;
        }
    }

    /// Asks the sender of an announcement whether it is there, because its clock does not say so.
    fn doubt(&mut self, now: Now, from: SocketAddr, key: NodeKey, out: &mut dyn Sink<Effect>) {
        if self.asked.may_ask(now.mono, &key) && self.doubts.take(now.mono) {
            covered!("node_of_another_time_is_asked_back");
            self.asked.insert(now.mono, key);
            self.ask(now, Target::Unicast(from), out);
        }
    }

    fn see_off(&mut self, message: &Message, standing: Standing, out: &mut dyn Sink<Effect>) -> Result<(), Ignored> {
        match standing {
            Standing::Fresh => {
                if let Some(node) = self.registry.depart(message, &self.settings) {
                    out.push(Effect::Lost { key: message.key, node, why: Loss::Goodbye });
                }
                Ok(())
            }
            // Of two with one key, the other goes on.
            Standing::Clone | Standing::Replayed => Err(Ignored::Replayed),
            Standing::Unproven => Err(Ignored::Unproven),
        }
    }

    fn tell_clone(&mut self, key: &NodeKey, from: SocketAddr, out: &mut dyn Sink<Effect>) {
        let first = if *key == self.key {
            !core::mem::replace(&mut self.told_of_own_clone, true)
        } else {
            self.registry.mark_cloned(key)
        };
        if first {
            out.push(Effect::Notice(Notice::IdentityClone { key: *key, from }));
        }
    }

    /// Counts datagrams that were dropped, and tells the operator now and then.
    pub(super) fn ignore(
        &mut self,
        now: Now,
        from: SocketAddr,
        dropped: &Dropped,
        count: u64,
        out: &mut dyn Sink<Effect>,
    ) {
        let why = dropped.why;
        *self.counters.ignored.entry(why).or_default() += count;
        let told_lately = self.told.get(&why).is_some_and(|last| now.mono < *last + NEWS_PAUSE);
        if why.is_news() && !dropped.quiet && !told_lately {
            self.told.insert(why, now.mono);
            out.push(Effect::Notice(Notice::Ignored { why, from }));
        }
    }
}
