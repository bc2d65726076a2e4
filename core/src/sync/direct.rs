//! Whom this replica hears at first hand, and that its peers know.

use alloc::vec::Vec;

use super::engine::Engine;
use super::session::Session;
use super::{Effect, PeerId};
use crate::ids::ReplicaId;
use crate::sink::Sink;
use crate::time::Now;

/// What decides whether others are told that a session's peer is heard at first hand, and what it is told itself: which
/// session, with whom, relied on, open, not in a full exchange.
pub(super) type Hearing = (PeerId, Option<ReplicaId>, bool, bool, bool);

impl Engine {
    /// Whether a peer is relied on to send its own operations itself.
    pub(super) fn is_relied_on(&self, session: &Session) -> bool {
        session.is_open() && session.full_in.is_none() && !session.stalled
    }

    /// Tells every peer whom else this replica hears at first hand, where that has changed.
    pub(super) fn refresh_direct(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        for session in self.sessions.values_mut() {
            session.stalled =
                session.mid_walk && session.is_idle() && now.mono >= session.last_batch + self.settings.stall_after;
        }
        let hearing = |(peer, session): (&PeerId, &Session)| {
            (*peer, session.replica(), self.is_relied_on(session), session.is_open(), session.full_in.is_none())
        };
        if self.sessions.iter().map(hearing).eq(self.direct_as_told.iter().copied()) {
            return;
        }
        self.direct_as_told = self.sessions.iter().map(hearing).collect();
        let relied: Vec<(PeerId, ReplicaId)> = self
            .sessions
            .iter()
            .filter(|(_, session)| self.is_relied_on(session))
            .filter_map(|(peer, session)| Some((*peer, session.replica()?)))
            .collect();
        for (peer, session) in &mut self.sessions {
            if !session.is_open() {
                continue;
            }
            let others = relied.iter().filter(|(other, _)| other != peer && session.full_in.is_none());
            let direct = others.map(|(_, replica)| *replica).collect();
            if direct != session.direct_told {
                session.direct_told = direct;
                session.direct_due = true;
                if !session.announced {
                    session.announced = true;
                    out.push(Effect::PeerReady(*peer));
                }
            }
        }
    }
}
