//! The end of a session: farewell, the pause before the next, and what counts as a failed try.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::engine::Engine;
use super::message::Bye;
use super::session::Phase;
use super::{CloseReason, Effect, Event, Finding, PeerId};
use crate::error::{Code, Error};
use crate::sink::Sink;

impl Engine {
    /// Closes every session with a word of farewell: the node shuts down.
    pub fn leave(&mut self, out: &mut dyn Sink<Effect>) {
        let peers: Vec<PeerId> = self.sessions.keys().copied().collect();
        for peer in peers {
            self.say_bye(peer, Bye::Leaving, CloseReason::Told(Bye::Leaving), Duration::ZERO, out);
        }
    }

    /// Deletions are forgotten here. Peers that may not have seen them must not be told to claim them.
    pub(super) fn floor_rose(&mut self, out: &mut dyn Sink<Effect>) {
        self.floor_stamp = self.floor_stamp.max(self.state.floor_stamp);
        self.part_from_those_below_the_floor(out);
    }

    /// Ends open sessions with peers that were told a lower floor, or will have been when the one to come is there.
    pub(super) fn part_from_those_below_the_floor(&mut self, out: &mut dyn Sink<Effect>) {
        let floor = self.floor_to_come();
        let below = self.sessions.iter().filter(|(_, session)| {
            session.is_open() && session.said_floor != *floor && !session.vector.covers_all(&floor)
        });
        let below: Vec<PeerId> = below.map(|(peer, _)| *peer).collect();
        for peer in below {
            covered!("floor_rose_in_a_session");
            self.close(peer, CloseReason::FloorRose, out);
        }
    }

    pub(super) fn close(&mut self, peer: PeerId, reason: CloseReason, out: &mut dyn Sink<Effect>) {
        self.close_for(peer, reason, Duration::ZERO, out);
    }

    /// As [`Self::close`], for this long at least.
    pub(super) fn close_for(&mut self, peer: PeerId, reason: CloseReason, least: Duration, out: &mut dyn Sink<Effect>) {
        self.say_bye(peer, reason.bye(), reason, least, out);
    }

    fn say_bye(&mut self, peer: PeerId, bye: Bye, reason: CloseReason, least: Duration, out: &mut dyn Sink<Effect>) {
        if self.sessions.get(&peer).is_none_or(|session| session.phase == Phase::Closing) {
            return;
        }
        let retry_after = self.count_try(peer, &reason.to_string(), out).max(least);
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.phase = Phase::Closing;
            session.bye = (!matches!(reason, CloseReason::Told(_)) || bye == Bye::Leaving).then_some(bye);
            session.held.clear();
        }
        self.turns.end(peer);
        out.push(Effect::Close { peer, reason, retry_after });
    }

    /// A session ends: if own operations were under way on it and none arrived, that was a failed try. Gives the pause
    /// before the next.
    pub(super) fn count_try(&mut self, peer: PeerId, why: &str, out: &mut dyn Sink<Effect>) -> Duration {
        let Some(session) = self.sessions.get(&peer) else { return Duration::ZERO };
        let Some(replica) = session.replica() else { return self.pause(1) };
        let under_way = session.is_open() && session.sent_seq > self.state.acknowledged;
        if under_way && !session.progressed {
            let failed = self.outbox.broke(replica, session.sent_seq, why, self.settings.max_retries);
            if failed {
                let operations = self.outbox_status().failed;
                out.push(Effect::Event(Event::Failed { operations, reason: why.to_string() }));
            }
        }
        self.pause(self.outbox.tries_of(replica))
    }

    /// A planted bug: a dial that failed counts as a try for everybody.
    pub(crate) fn count_tries_offline(&mut self) {
        let sent = self.own_seq;
        for replica in self.state.members.iter().map(|(replica, _)| replica).collect::<Vec<_>>() {
            self.outbox.broke(replica, sent, "offline", self.settings.max_retries);
        }
    }

    fn pause(&mut self, tries: u32) -> Duration {
        let doubled = self.settings.backoff_first.saturating_mul(1 << tries.min(20));
        let pause = doubled.min(self.settings.backoff_max);
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + self.dice.below(micros / 2 + 1))
    }

    /// Somebody knows more of this history than it holds; how much they share is not known.
    pub(super) fn rolled_back(&self, told: crate::ids::Seq) -> Finding {
        Finding::Rollback { own: self.own_written, told, common: 0 }
    }

    /// Two histories bear one name, and one of them is this one: nothing is exchanged from here on.
    pub(super) fn halt(&mut self, finding: Finding, out: &mut dyn Sink<Effect>) {
        if self.halted.is_some() {
            return;
        }
        self.halted = Some(finding);
        out.push(Effect::Event(Event::Identity(finding)));
        out.push(Effect::Rebirth(finding));
        let peers: Vec<PeerId> = self.sessions.keys().copied().collect();
        for peer in peers {
            self.close(peer, CloseReason::Identity(finding), out);
        }
        // What the log has taken stays to be told of when it is durable: a restart would find it.
        self.applies.retain(|applying| applying.lsn.is_some());
    }
}

pub(super) fn refusal(why: &Error) -> CloseReason {
    match why.code() {
        Code::DiskFull | Code::Overloaded => CloseReason::NoRoom,
        _ => CloseReason::Degraded,
    }
}
