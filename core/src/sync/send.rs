//! What a peer is sent, composed at the moment of sending.
//!
//! A session walks the own feed with two cursors. Everything up to `scout` was sent, skipped or *put off*; everything
//! up to `settled` was sent or skipped. What is put off are foreign entries that the peer hears from their own writers:
//! they are skipped once the peer claims them, and sent if it stops hearing the writer.

use alloc::vec::Vec;

use bytes::Bytes;

use super::engine::Engine;
use super::histories::{write_histories, write_own_history};
use super::message::{BATCH, FULL, MAX_PARTS, Message, Part, begin, finish, put_entry};
use super::session::{FullIn, FullOut, Phase, Session};
use super::{Member, PeerId as Peer, Urgency};
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::store::{Entry, Store};
use crate::time::Now;

/// Entries looked at per call at most, so that a long stretch of skipped ones does not hold up everything else.
const STEP: usize = 8192;

/// Put-off entries looked at to find out what may be claimed in spite of them.
const LOOK: usize = 512;

/// Bytes of one message of gossip at most, so that it does not hold up operations.
const GOSSIP: usize = 16 << 10;

/// What to do about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The peer claims every dot merged into it.
    Covered,
    /// The peer hears what it lacks from the writers themselves.
    PutOff,
    Send,
}

impl Engine {
    /// Appends the next message for a peer to `out`, and says how urgent it is. A bulk message has about `room` bytes at
    /// most, unless one entry is larger; without room there is none. Gives `None` and appends nothing when there is
    /// nothing to say, or the peer's window is used up; then [`super::Effect::PeerReady`] comes when that changes.
    ///
    /// Urgent messages keep their order among themselves, and so do bulk ones; urgent ones may overtake bulk ones.
    pub fn write_batch(
        &mut self,
        now: Now,
        peer: Peer,
        room: usize,
        store: &Store,
        out: &mut Vec<u8>,
    ) -> Option<Urgency> {
        if self.write_control(now, peer, store, out) || self.write_gossip(now, peer, out) {
            return Some(Urgency::Urgent);
        }
        if room > 0 && self.write_repair_or_data(now, peer, room, store, out) {
            return Some(Urgency::Bulk);
        }
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.announced = false;
        }
        None
    }

    fn write_control(&mut self, now: Now, peer: Peer, store: &Store, out: &mut Vec<u8>) -> bool {
        let message = self.control(now, peer, store);
        match (message, self.sessions.get_mut(&peer)) {
            (Some(message), Some(session)) => {
                message.encode(&mut session.origins_out, out);
                true
            }
            _ => false,
        }
    }

    fn control(&mut self, now: Now, peer: Peer, store: &Store) -> Option<Message> {
        let claims = &self.claims;
        let session = self.sessions.get_mut(&peer)?;
        if session.phase == Phase::Closing {
            return session.bye.take().map(Message::Bye);
        }
        if core::mem::take(&mut session.hello_due) {
            return self.hello(now, peer);
        }
        if core::mem::take(&mut session.resume_due) {
            return self.resume(peer);
        }
        if !session.is_open() {
            return None;
        }
        if let Some(number) = session.pong_due.take() {
            return Some(Message::Pong(self.pulse(now, peer, number, store)));
        }
        if core::mem::take(&mut session.direct_due) {
            return Some(Message::Direct(session.direct_told.clone()));
        }
        if session.ack_at.take_if(|at| *at <= now.mono).is_some() {
            let taken = (session.taken_lsn, session.taken_bytes);
            let vector = claims.beyond(&session.claims_told);
            if taken != session.acked_told || !vector.is_empty() {
                session.acked_told = taken;
                session.claims_told.join(&vector);
                return Some(Message::Ack { lsn: taken.0, bytes: taken.1, vector });
            }
        }
        if session.ping_due(self.settings.ack_timeout) <= now.mono {
            return self.ping(now, peer, store);
        }
        if !session.ranges_out.is_empty() {
            let count = session.ranges_out.len().min(super::message::MAX_RANGES);
            return Some(Message::Ranges(session.ranges_out.drain(..count).collect()));
        }
        None
    }

    fn write_repair_or_data(&mut self, now: Now, peer: Peer, room: usize, store: &Store, out: &mut Vec<u8>) -> bool {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.is_open()) else { return false };
        if !session.repairs_out.is_empty() {
            return self.write_repair(peer, room, store, out);
        }
        if session.in_flight() > 0 && session.credit() == 0 {
            return false;
        }
        let room = room.min(usize::try_from(session.credit()).unwrap_or(usize::MAX));
        let start = out.len();
        let written = match (&session.full_out, &session.full_in) {
            (Some(FullOut::Naming { .. }), _) => {
                self.turns.note_progress(now, peer);
                self.write_names(peer, room, store, out)
            }
            // Until what others have deleted is gone from here, nothing of it is passed on.
            (_, Some(FullIn::Named { .. } | FullIn::Closing { durable: false })) => false,
            (_, Some(FullIn::Closing { durable: true }) | None) => self.write_feed(peer, room, store, out),
        };
        if written && let Some(session) = self.sessions.get_mut(&peer) {
            session.sent_bytes += (out.len() - start) as u64;
            session.waiting.get_or_insert(now.mono);
        }
        written
    }

    /// Names the own keys, and what is buried in tombstones, so that the peer can tell what was deleted.
    fn write_names(&mut self, peer: Peer, room: usize, store: &Store, out: &mut Vec<u8>) -> bool {
        let Some(session) = self.sessions.get_mut(&peer) else { return false };
        let Some(FullOut::Naming { after }) = session.full_out.clone() else { return false };
        let start = begin(out, FULL);
        out.extend_from_slice(&[0; 8]);
        let (mut parts, mut last) = (0, None);
        // One history at least: no name may overtake them, however little room there is.
        let full = |len: usize, parts: usize| parts > 0 && (len - start >= room || parts >= MAX_PARTS / 2);
        while !full(out.len(), parts)
            && let Some(replica) = session.histories_due.pop_first()
        {
            let pairs = self.state.pairs.get(&replica).cloned().unwrap_or_default();
            Part::History { replica, pairs }.encode(&mut session.origins_out, out);
            parts += 1;
        }
        if full(out.len(), parts) {
            finish(out, start);
            return true;
        }
        let (mut more, stamps) = (false, session.stamps_what_is_buried());
        for (count, entry) in store.entries(after.as_deref()).enumerate() {
            if count + parts >= MAX_PARTS - 2 || out.len() - start >= room && last.is_some() {
                more = true;
                break;
            }
            let key = Bytes::copy_from_slice(entry.key());
            let named = if entry.is_tombstone() {
                let stamp = stamps.then(|| entry.stamp());
                Part::Buried { key: key.clone(), dot: entry.dot(), known: entry.known(), stamp }
            } else {
                Part::Present(key.clone())
            };
            named.encode(&mut session.origins_out, out);
            last = Some(key);
        }
        let upto = if more { last } else { None };
        Part::Upto(upto.clone()).encode(&mut session.origins_out, out);
        finish(out, start);
        session.full_out = Some(match upto {
            Some(_) => FullOut::Naming { after: upto },
            None => FullOut::Closing,
        });
        true
    }

    fn write_feed(&mut self, peer: Peer, room: usize, store: &Store, out: &mut Vec<u8>) -> bool {
        let (me, durable) = (self.me.replica, self.durable);
        let may_cut = self.sessions.get(&peer).is_some_and(|session| self.may_cut(session));
        let Some(session) = self.sessions.get_mut(&peer) else { return false };
        let may_put_off = session.full_out.is_none();
        settle(session, me, store);

        let message = out.len();
        let start = begin(out, BATCH);
        out.extend_from_slice(&[0; 8]);
        let (mut parts, mut sent) = (0, 0);
        let mut at_end = true;
        for (count, entry) in store.feed(session.scout).enumerate() {
            if entry.changed() > durable && !planted!("offered_before_durable") {
                break;
            }
            if count >= STEP || parts >= MAX_PARTS / 2 || (parts > 0 && out.len() - start >= room) {
                at_end = false;
                break;
            }
            let class = classify(session, me, &entry, may_put_off);
            if class == Class::Send {
                if let Some(known) = entry.known_beyond().filter(|_| !planted!("known_not_passed_on")) {
                    for loser in self.state.conflicts.losers(entry.key(), entry.dot(), |dot| session.vector.covers(dot))
                    {
                        covered!("loser_of_a_conflict_passed_on");
                        let part = Part::Entry { op: loser, known: VersionVector::EMPTY };
                        part.encode(&mut session.origins_out, out);
                        parts += 1;
                    }
                    put_entry(&session.telling(&entry), &known, &mut session.origins_out, out);
                } else {
                    let known = VersionVector::EMPTY;
                    put_entry(&session.telling(&entry), &known, &mut session.origins_out, out);
                }
                parts += 1;
                sent += 1;
                if entry.dot().replica == me {
                    session.sent_seq = session.sent_seq.max(entry.dot().seq);
                }
            }
            if class != Class::PutOff && session.settled == session.scout {
                session.settled = entry.changed();
            }
            session.scout = entry.changed();
        }
        // What is not durable may have superseded what was durable below the cursor, and a crash would bring that back
        // there: a peer may remember only a point at which nothing was in the air.
        let through = if store.last_changed() <= durable { session.settled } else { session.told };
        let through = if planted!("checkpoint_over_what_is_put_off") { session.scout } else { through };
        let mut due = parts > 0 || !at_end || through.0 >= session.told.0 + STEP as u64;
        if at_end || planted!("cut_before_the_end") {
            session.sent_seq = session.sent_seq.max(self.own_seq);
            let cut = if may_cut { cut(&self.claims, session, me, store, durable) } else { VersionVector::EMPTY };
            let closes_full = matches!(session.full_out, Some(FullOut::Closing));
            let complete = store.last_changed() <= durable;
            if closes_full && complete && may_cut {
                write_own_history(&self.state.ladder, session, self.own_seq, out);
                write_histories(&self.state.pairs, session, &self.claims, out);
                Part::Cut(self.claims.clone()).encode(&mut session.origins_out, out);
                session.cut.join(&self.claims);
                session.full_out = None;
                due = true;
            } else if !closes_full && !cut.is_empty() {
                if cut.get(me) == self.own_seq {
                    write_own_history(&self.state.ladder, session, self.own_seq, out);
                }
                write_histories(&self.state.pairs, session, &cut, out);
                session.cut.join(&cut);
                Part::Cut(cut).encode(&mut session.origins_out, out);
                due = true;
            }
            due |= !session.end_told;
            Part::End.encode(&mut session.origins_out, out);
        }
        if !due {
            out.truncate(message);
            return false;
        }
        session.end_told = at_end;
        self.traffic.sent += sent;
        session.told = through;
        if let Some(place) = out.get_mut(start..start + 8) {
            place.copy_from_slice(&through.0.to_le_bytes());
        }
        finish(out, start);
        true
    }

    /// Word of other replicas, as far as the peer has not heard it.
    fn write_gossip(&mut self, now: Now, peer: Peer, out: &mut Vec<u8>) -> bool {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.is_open()) else { return false };
        if session.members_at.is_none_or(|at| at > now.mono) {
            return false;
        }
        let mut news: Vec<(u64, ReplicaId)> = self
            .revisions
            .iter()
            .filter(|(_, revision)| **revision > session.members_told)
            .map(|(replica, revision)| (*revision, *replica))
            .collect();
        news.sort_unstable();
        let mut members: Vec<(ReplicaId, Member)> = Vec::new();
        let mut size = 0;
        session.members_at = None;
        self.all_hear_of_members = false;
        for (revision, replica) in news {
            if size >= GOSSIP {
                session.members_at = Some(now.mono);
                break;
            }
            session.members_told = revision;
            let Some(member) = self.state.members.get(replica) else { continue };
            // What the peer hears of itself or at first hand need not be passed on, unless it has forgotten what it said of itself.
            let tells = if session.replica() == Some(replica) {
                !session.vector.covers_all(&member.vector)
            } else {
                !session.direct.contains(&replica) || member.is_forgotten()
            };
            if tells {
                size += 64 + 26 * member.vector.len();
                members.push((replica, member.clone()));
            }
        }
        if members.is_empty() {
            return false;
        }
        Message::Members(members).encode(&mut session.origins_out, out);
        true
    }
}

fn classify(session: &Session, me: ReplicaId, entry: &Entry<'_>, may_put_off: bool) -> Class {
    let mut class = Class::Covered;
    for dot in entry.known_dots() {
        if session.claims(dot) || (planted!("skipped_by_winner_alone") && dot != entry.dot()) {
            continue;
        }
        if session.vector.covers(dot) {
            // It claims another operation of that name, and will never claim this one.
            return Class::Send;
        }
        let first_hand = session.direct.contains(&dot.replica) || session.will_claim(dot);
        if !may_put_off || dot.replica == me || !first_hand {
            return Class::Send;
        }
        covered!("entry_put_off");
        class = Class::PutOff;
    }
    class
}

/// Moves `settled` over what is put off no longer: the peer has come to claim it.
fn settle(session: &mut Session, me: ReplicaId, store: &Store) {
    let scout = session.scout;
    for (count, entry) in store.feed(session.settled).take_while(|entry| entry.changed() <= scout).enumerate() {
        if count == STEP || classify(session, me, &entry, true) == Class::PutOff {
            return;
        }
        session.settled = entry.changed();
    }
    session.settled = scout;
}

/// What the peer may claim, now that the walk has come to its end: everything claimed here, except what depends on
/// entries put off or not yet durable. Only what is new to the peer.
fn cut(claims: &VersionVector, session: &Session, me: ReplicaId, store: &Store, durable: Lsn) -> VersionVector {
    let mut cut = claims.clone();
    if !planted!("cut_not_held_back") {
        for (count, entry) in store.feed(session.settled).enumerate() {
            if count == LOOK {
                // Entries that are put off hold no own dots that the peer lacks.
                let own = Dot { replica: me, seq: claims.get(me) };
                cut = if store.last_changed() <= durable {
                    core::iter::once(own).collect()
                } else {
                    VersionVector::EMPTY
                };
                break;
            }
            if entry.changed() > durable || classify(session, me, &entry, true) == Class::PutOff {
                hold_back(&mut cut, session, &entry);
            }
        }
    }
    cut.beyond(&session.cut).beyond(&session.vector)
}

/// Leaves out of a cut what cannot be claimed without `entry`.
fn hold_back(cut: &mut VersionVector, session: &Session, entry: &Entry<'_>) {
    let winner = entry.dot();
    let context = entry.context();
    for dot in entry.known_dots().filter(|dot| !session.vector.covers(*dot)) {
        // The winner's writer had written the key before only up to its context: if the peer claims that, the winner is
        // the first of its dots that the peer cannot claim.
        let only_winner = dot == winner && session.vector.get(dot.replica) >= context.get(dot.replica);
        let most = if only_winner { dot.seq - 1 } else { session.vector.get(dot.replica) };
        let seq = cut.remove(dot.replica).min(most);
        cut.include(Dot { seq, ..dot });
    }
}

#[cfg(test)]
mod tests;
