//! When the engine wants to be called, and what it does then.

use alloc::vec::Vec;

use super::engine::Engine;
use super::session::Phase;
use super::{CloseReason, Effect, PeerId};
use crate::sink::Sink;
use crate::store::Store;
use crate::time::{Instant, Now};

impl Engine {
    /// Does now what the next write or message would have to do first, for every session that was written to. For when
    /// there is time; nothing depends on it.
    pub fn settle_sessions(&mut self) {
        self.sessions.settle(&self.settings);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&mut self, store: &Store) -> Option<Instant> {
        let collect_at = (store.tombstones() > 0).then_some(self.collect_at);
        let of_sessions = self.sessions.deadline(&self.settings);
        let due = [of_sessions, self.acknowledged_due, self.announce_due, collect_at, self.turn_deadline()];
        due.into_iter().flatten().min()
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Now, store: &Store, out: &mut dyn Sink<Effect>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.mono);
        if due(self.announce_due) {
            self.announce_due = None;
            for session in self.sessions.values_mut().filter(|session| session.is_open()) {
                session.ack_at = Some(session.ack_at.map_or(now.mono, |earlier| earlier.min(now.mono)));
            }
        }
        let ack_timeout = self.settings.ack_timeout;
        let peers: Vec<PeerId> = self.sessions.keys().copied().collect();
        for peer in peers {
            let Some(session) = self.sessions.get(&peer) else { continue };
            if session.phase != Phase::Closing && due(session.suspect_at(ack_timeout)) {
                self.close(peer, CloseReason::Silent, out);
            } else if due(session.ack_at) || due(session.members_at) || due(Some(session.ping_due(ack_timeout))) {
                self.wake(peer, out);
            }
        }
        self.settle_owed(out);
        self.part_from_those_behind(now, out);
        self.check_turn(now, out);
        self.refresh_direct(now, out);
        self.take_held(now, store, out);
        if due(self.acknowledged_due) {
            self.log_acknowledged(now, out);
        }
        if due(Some(self.collect_at)) {
            if !planted!("deadline_never_quiet") {
                self.collect_at = now.mono + self.settings.collect_every;
            }
            out.push(Effect::CollectDue);
        }
    }
}
