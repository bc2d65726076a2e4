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
    /// Tells every peer whom else this replica hears at first hand, where that has changed.
    pub(super) fn refresh_direct(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        let stall_after = self.settings.stall_after;
        let stalls =
            |session: &Session| session.mid_walk && session.is_idle() && now.mono >= session.last_batch + stall_after;
        let changed = self.sessions.iter().filter(|(_, session)| session.stalled != stalls(session));
        for peer in changed.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.stalled = !session.stalled;
            }
        }
        let hearing = |(peer, session): (&PeerId, &Session)| {
            (*peer, session.replica(), session.is_relied_on(), session.is_open(), session.full_in.is_none())
        };
        if self.sessions.iter().map(hearing).eq(self.direct_as_told.iter().copied()) {
            return;
        }
        self.direct_as_told = self.sessions.iter().map(hearing).collect();
        let relied: Vec<(PeerId, ReplicaId)> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_relied_on())
            .filter_map(|(peer, session)| Some((*peer, session.replica()?)))
            .collect();
        for (peer, session) in self.sessions.iter_mut() {
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
