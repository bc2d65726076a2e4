//! Pulses: is the peer there, and does it agree?

use core::time::Duration;

use super::engine::Engine;
use super::message::{Message, Pulse};
use super::session::Session;
use super::{ClockPolicy, CloseReason, Effect, Event, PeerId};
use crate::context::VersionVector;
use crate::sink::Sink;
use crate::store::Store;
use crate::time::{Now, WallTime};

/// What is known of a pulse because it answers a ping.
#[derive(Clone, Copy, Default)]
pub(super) struct Answer {
    /// How long that took; `None` when nobody waited for it any more, or it answers nothing.
    pub(super) after: Option<Duration>,
    /// The peer said this after it was learnt here that it is given up, if it ever was.
    pub(super) is_alive: bool,
}

impl Engine {
    pub(super) fn pulse(&self, now: Now, peer: PeerId, number: u64, store: &Store) -> Pulse {
        let session = self.sessions.get(&peer);
        let (feed, waits) = session.map(Session::taken).unwrap_or_default();
        let (exact, vector) = self.comparable(session, store);
        Pulse { number, wall: now.wall, feed, exact, waits, digest: store.live_digest().0, vector }
    }

    /// Whether the state can be compared with that of a peer, and by what it is named. What is left of closed histories is
    /// not claimed, so the same name may stand for different parts of them, as long as they are on their way.
    fn comparable(&self, session: Option<&Session>, store: &Store) -> (bool, VersionVector) {
        let closed = self.closed();
        let quiet = closed.is_empty() || session.is_some_and(|session| session.is_quiet(store.last_changed()));
        if quiet && !closed.is_empty() {
            covered!("closed_history_compared");
        }
        let exact = quiet && self.is_exact_with(&closed, store);
        let mut vector = self.claims.clone();
        vector.join(&closed);
        (exact, vector)
    }

    pub(super) fn ping(&mut self, now: Now, peer: PeerId, store: &Store) -> Option<Message> {
        self.next_number += 1;
        let number = self.next_number;
        let pulse = self.pulse(now, peer, number, store);
        let session = self.sessions.get_mut(&peer)?;
        if session.ping.is_none() {
            session.ping = Some((number, now.mono));
            session.met_at_ping = session.replica().map_or(0, |replica| self.state.met.get(replica));
        }
        session.pinged = now.mono;
        session.ping_at = now.mono + self.settings.ping_every;
        Some(Message::Ping(pulse))
    }

    /// Whether a link may stand, the peer's clock being so far ahead, in milliseconds. When that becomes too far, it is told.
    pub(super) fn bears_clock(&mut self, peer: PeerId, ahead_ms: i64, out: &mut dyn Sink<Effect>) -> bool {
        let limit = u64::try_from(self.settings.max_clock_skew.as_millis()).unwrap_or(u64::MAX);
        let limit = if planted!("clock_judged_twice") { limit / 2 } else { limit };
        let Some(session) = self.sessions.get_mut(&peer) else { return false };
        session.ahead_ms = ahead_ms;
        let was_off = core::mem::replace(&mut session.clock_off, ahead_ms.unsigned_abs() > limit);
        if !session.clock_off {
            return true;
        }
        if !was_off {
            out.push(Effect::Event(Event::ClockSkew { peer, ahead_ms }));
        }
        let refused = self.settings.clock_policy == ClockPolicy::Refuse && !planted!("skewed_clock_let_in");
        if refused {
            self.close(peer, CloseReason::ClockSkew, out);
        }
        !refused
    }

    /// What a pulse tells of the peer's clock. Nobody knows how long it was under way, but at least its clock stands no
    /// later than it says. One that answers was under way no longer than the answer took.
    fn told_ahead(now: Now, said: WallTime, asked: Option<Duration>) -> Option<i64> {
        let least = ahead(said, now.wall);
        let Some(asked) = asked else { return (least > 0).then_some(least) };
        let most = least.saturating_add(i64::try_from(asked.as_millis()).unwrap_or(i64::MAX));
        Some(if least > 0 { least } else { most.min(0) })
    }

    /// Two replicas that claim the same and hold nothing beyond it must hold the same.
    pub(super) fn take_pulse(
        &mut self,
        now: Now,
        peer: PeerId,
        pulse: Pulse,
        answer: Answer,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) {
        if let Some(ahead_ms) = Self::told_ahead(now, pulse.wall, answer.after)
            && !self.bears_clock(peer, ahead_ms, out)
        {
            return;
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.acked_lsn = session.acked_lsn.max(pulse.feed);
        session.note_waits(now.mono, pulse.waits);
        let replica = session.replica();
        if let Some(replica) = replica {
            self.leases.note(now, replica, now.wall);
        }
        let (exact, vector) = self.comparable(self.sessions.get(&peer), store);
        let comparable = pulse.exact && exact && pulse.vector == vector;
        if comparable && pulse.digest != store.live_digest().0 {
            self.divergences += 1;
            self.diverged.extend(replica);
            out.push(Effect::Event(Event::Diverged { peer }));
            self.begin_repair(peer, store);
        } else if comparable && let Some(replica) = replica {
            self.diverged.remove(&replica);
        }
        if let Some(replica) = replica {
            self.hear(now, replica, VersionVector::EMPTY, answer.is_alive, out);
        }
        self.wake(peer, out);
    }
}

/// Milliseconds by which one clock is ahead of another.
pub(super) fn ahead(clock: WallTime, of: WallTime) -> i64 {
    let ahead = i128::from(clock.0) - i128::from(of.0);
    ahead.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
