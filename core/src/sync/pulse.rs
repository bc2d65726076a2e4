//! Pulses: is the peer there, and does it agree?

use super::engine::Engine;
use super::message::{Message, Pulse};
use super::{Effect, Event, PeerId};
use crate::ids::Lsn;
use crate::sink::Sink;
use crate::store::Store;
use crate::time::Now;

impl Engine {
    pub(super) fn pulse(&self, now: Now, number: u64, (feed, waits): (Lsn, bool), store: &Store) -> Pulse {
        Pulse {
            number,
            wall: now.wall,
            feed,
            exact: self.is_exact(store),
            waits,
            digest: store.live_digest().0,
            vector: self.claims.clone(),
        }
    }

    pub(super) fn ping(&mut self, now: Now, peer: PeerId, store: &Store) -> Option<Message> {
        self.next_number += 1;
        let number = self.next_number;
        let taken = self.sessions.get(&peer)?.taken();
        let pulse = self.pulse(now, number, taken, store);
        let session = self.sessions.get_mut(&peer)?;
        session.ping.get_or_insert((number, now.mono));
        session.ping_at = now.mono + self.settings.ping_every;
        Some(Message::Ping(pulse))
    }

    /// Two replicas that claim the same and hold nothing beyond it must hold the same.
    pub(super) fn take_pulse(
        &mut self,
        now: Now,
        peer: PeerId,
        pulse: Pulse,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.acked_lsn = session.acked_lsn.max(pulse.feed);
        session.note_waits(now.mono, pulse.waits);
        let replica = session.replica();
        if session.is_idle() && !session.mid_walk {
            self.adopt(now, out);
        }
        let comparable = pulse.exact && pulse.vector == self.claims && self.is_exact(store);
        if comparable && pulse.digest != store.live_digest().0 {
            self.divergences += 1;
            self.diverged.extend(replica);
            out.push(Effect::Event(Event::Diverged { peer }));
            self.begin_repair(peer, store);
        } else if comparable && let Some(replica) = replica {
            self.diverged.remove(&replica);
        }
        if let Some(replica) = replica
            && let Some(member) = self.state.members.get_mut(replica).filter(|member| !member.is_forgotten())
            && member.hear(now.wall)
        {
            self.member_changed(replica);
            self.spread_members(now);
        }
        self.wake(peer, out);
    }
}
