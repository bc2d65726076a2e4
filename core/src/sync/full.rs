//! Full exchanges, seen from below: what a peer names is compared with what is here, and others do not bring back meanwhile
//! what was found deleted.
//!
//! A peer *has seen* a floor if its vector covered it at its hello: its entries were merged with those deletions, so nothing
//! that it sends can bring one back. Whoever has not seen the floor of the exchange under way waits with its batches until
//! that ends. So that it does not wait for ever, only one exchange at a time has the *turn*, and it loses the turn, and its
//! link, when it does not go on with it while others wait. Then nobody has the turn for as long again.
//!
//! Keys are named at any time, or three replicas in a circle would wait for each other. An exchange whose names were compared,
//! and then somebody who has not seen its floor brought something in, is *spoiled*: when its turn comes, it begins anew.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::engine::{Applying, Engine};
use super::members::Member;
use super::message::Message;
use super::record::SyncRecord;
use super::session::{FullIn, FullOut, SLOWEST_LINE, Session};
use super::state::State;
use super::{CloseReason, Effect, PeerId};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::sink::Sink;
use crate::store::{Entry, Store};
use crate::time::{Instant, Now};

/// A turn lasts so many times `full_timeout` at most, if others wait.
const WHOLE: u32 = 20;

/// Replicas remembered that have lost their turn.
const MAX_LOST: usize = 256;

/// Who has the turn, and since when.
#[derive(Debug)]
struct Turn {
    peer: PeerId,
    began: Instant,
    /// The exchange went on, or it became the peer's to go on with it.
    progress: Instant,
    /// Bytes of the peer that came in since, at most a window.
    heard: u64,
}

/// Whose full exchange is taken in.
#[derive(Debug, Default)]
pub(super) struct Turns {
    present: Option<Turn>,
    /// Nobody has the turn before.
    rest_until: Instant,
    /// How often in a row a replica has lost its turn.
    lost: BTreeMap<ReplicaId, u32>,
}

/// What follows from the keys that a peer named.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) drops: Vec<(Dot, Bytes)>,
    /// What was merged with what is dropped, as far as its names mean the same to all: nothing is left here that tells of it.
    pub(super) forgets: VersionVector,
    pub(super) reissue: Vec<(Bytes, Option<Dot>)>,
    pub(super) bury: Vec<(Dot, Bytes)>,
}

/// A tombstone by which a peer names a key.
pub(super) struct Buried {
    pub(super) dot: Dot,
    /// What was merged there.
    pub(super) known: VersionVector,
    /// Peers of older protocols do not say it.
    pub(super) stamp: Option<Stamp>,
}

impl Buried {
    /// Whether what stands here wins against it, as far as that can be told.
    fn loses_to(&self, entry: &Entry<'_>) -> bool {
        let outranks = |stamp| (entry.stamp(), entry.dot().replica) > (stamp, self.dot.replica);
        !self.known.covers(entry.dot()) && self.stamp.map_or_else(|| entry.known().covers(self.dot), outranks)
    }
}

impl Turns {
    pub(super) fn is_taken(&self) -> bool {
        self.present.is_some()
    }

    /// The turn of a peer ends, if it has it.
    pub(super) fn end(&mut self, peer: PeerId) {
        self.present.take_if(|turn| turn.peer == peer);
    }

    /// A full exchange has come to its end.
    pub(super) fn completed(&mut self, peer: PeerId, replica: Option<ReplicaId>) {
        self.end(peer);
        if let Some(replica) = replica {
            self.lost.remove(&replica);
        }
    }

    pub(super) fn note_progress(&mut self, now: Now, peer: PeerId) {
        if let Some(turn) = self.present.as_mut().filter(|turn| turn.peer == peer) {
            turn.progress = now.mono;
            turn.heard = 0;
        }
    }

    pub(super) fn note_bytes(&mut self, peer: PeerId, bytes: usize, most: u64) {
        if let Some(turn) = self.present.as_mut().filter(|turn| turn.peer == peer) {
            turn.heard = (turn.heard + bytes as u64).min(most);
        }
    }

    fn lost_by(&self, replica: Option<ReplicaId>) -> u32 {
        replica.and_then(|replica| self.lost.get(&replica)).copied().unwrap_or(0)
    }
}

impl Engine {
    /// Gives the turn to the next full exchange, if nobody has it: first to those that have not lost it before.
    pub(super) fn give_turn(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        while self.turns.present.is_none() && now.mono >= self.turns.rest_until {
            let naming = self.sessions.naming(&self.settings).clone();
            let waiting = naming.iter().filter_map(|peer| Some((peer, self.sessions.get(peer)?)));
            let next = waiting.min_by_key(|(peer, session)| (self.turns.lost_by(session.replica()), **peer));
            let Some((peer, spoiled)) = next.map(|(peer, session)| (*peer, session.full_spoiled)) else { return };
            if spoiled {
                covered!("full_exchange_spoiled");
                self.close(peer, CloseReason::FullSpoiled, out);
            } else {
                self.turns.present = Some(Turn { peer, began: now.mono, progress: now.mono, heard: 0 });
            }
        }
    }

    /// When the present turn ends, if nothing happens, or the next can begin.
    pub(super) fn turn_deadline(&mut self) -> Option<Instant> {
        let Some(turn) = &self.turns.present else {
            let waits = !self.sessions.naming(&self.settings).is_empty();
            return waits.then_some(self.turns.rest_until);
        };
        let others_wait = self.sessions.holding(&self.settings).iter().any(|peer| *peer != turn.peer);
        if !others_wait {
            return None;
        }
        let session = self.sessions.get(&turn.peer)?;
        let whole = turn.began + self.whole_turn(session);
        let naming = matches!(session.full_out, Some(FullOut::Naming { .. }));
        let heard_names = session.in_flight() == 0 || !session.owes_names();
        let is_theirs = session.is_idle() && heard_names && !naming;
        let slow = Duration::from_secs(turn.heard / SLOWEST_LINE);
        let stalled = is_theirs.then(|| turn.progress + self.settings.full_timeout + slow);
        Some(stalled.map_or(whole, |stalled| whole.min(stalled)))
    }

    /// Twice as long after each turn lost: whoever is slow and honest comes to an end some time.
    fn whole_turn(&self, session: &Session) -> Duration {
        let lost = self.turns.lost_by(session.replica()).min(10);
        self.settings.full_timeout.saturating_mul(WHOLE << lost)
    }

    /// Takes the turn from whoever did not go on. Others have as much time as it had.
    pub(super) fn check_turn(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        let overdue = self.turn_deadline().is_some_and(|at| at <= now.mono);
        let Some(turn) = self.turns.present.as_ref().filter(|_| overdue) else { return };
        let (peer, had) = (turn.peer, now.mono.since(turn.began));
        let Some(session) = self.sessions.get(&peer) else { return };
        let rest = had.min(self.whole_turn(session));
        if let Some(replica) = session.replica() {
            if self.turns.lost.len() >= MAX_LOST {
                self.turns.lost.pop_first();
            }
            *self.turns.lost.entry(replica).or_default() += 1;
        }
        covered!("full_exchange_lost_its_turn");
        self.turns.rest_until = now.mono + rest;
        self.close_for(peer, CloseReason::FullStalled, rest, out);
    }

    /// Whether the oldest message of a peer that is held may be taken in now.
    pub(super) fn may_take(&self, peer: PeerId, message: &Message) -> bool {
        let Some(session) = self.sessions.get(&peer) else { return false };
        if matches!(message, Message::Full(..)) {
            // What is on its way into the store from others cannot be compared.
            let mut applies = self.applies.iter();
            return applies.all(|applying| applying.peer == peer || self.has_seen_floor_of(applying.peer, session));
        }
        if self.must_wait_for_an_end(peer, session) {
            covered!("waits_for_the_end_of_an_exchange");
            return false;
        }
        if self.is_behind_a_drop(session) {
            return false;
        }
        match &self.turns.present {
            Some(turn) if turn.peer == peer => true,
            _ if session.full_in.is_some() => false,
            Some(turn) => self.sessions.get(&turn.peer).is_none_or(|only| self.has_seen_floor_of(peer, only)),
            None => true,
        }
    }

    /// Whether the end of another's full exchange is on its way to the disk, and this peer has not seen its floor: what it brings would
    /// stand behind that in the log, and be judged by what is claimed before. That peer may be gone already, and its turn with it.
    fn must_wait_for_an_end(&self, peer: PeerId, session: &Session) -> bool {
        let unseen = |dots: &VersionVector| !session.them.as_ref().is_some_and(|them| them.vector.covers_all(dots));
        let ends = |applying: &&Applying| applying.ends_full && applying.peer != peer;
        self.applies.iter().filter(ends).flat_map(|applying| &applying.records).any(|record| match record {
            SyncRecord::Floor { dots, .. } | SyncRecord::Owed { dots, .. } => unseen(dots),
            _ => false,
        })
    }

    /// Whether something was dropped since the peer greeted of which it has not heard: what it has on its way may have lost to that.
    /// It is about to greet anew ([`Self::part_from_those_behind`]).
    fn is_behind_a_drop(&self, session: &Session) -> bool {
        session.drops_known != self.drops && !self.may_cut(session)
    }

    fn has_seen_floor_of(&self, peer: PeerId, other: &Session) -> bool {
        let vector = self.sessions.get(&peer).and_then(|session| session.them.as_ref()).map(|them| &them.vector);
        vector.is_some_and(|vector| other.has_seen_their_floor(vector))
    }

    /// A peer brings something in: exchanges whose floor it has not seen have compared what is no longer so.
    pub(super) fn spoil_others(&mut self, peer: PeerId) {
        let concerned = |(other, session): (&PeerId, &Session)| {
            (*other != peer && session.full_compared && !self.has_seen_floor_of(peer, session)).then_some(*other)
        };
        let spoiled: Vec<PeerId> = self.sessions.iter().filter_map(concerned).collect();
        for other in spoiled {
            if let Some(session) = self.sessions.get_mut(&other) {
                session.full_spoiled = true;
            }
        }
    }

    /// Compares the keys that a peer named, up to `upto`, with what is here. `None` if there is no such peer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn compare(
        &mut self,
        peer: PeerId,
        present: &BTreeMap<Bytes, Option<Buried>>,
        upto: Option<Option<Bytes>>,
        store: &Store,
    ) -> Result<Option<Compared>, CloseReason> {
        let wrong = |what: &str| Err(CloseReason::Protocol(what.to_string()));
        let (me, state) = (self.me.replica, &self.state);
        let Some(session) = self.sessions.get_mut(&peer) else { return Ok(None) };
        let (Some(FullIn::Named { after }), Some(upto), Some(them)) = (&session.full_in, upto, &session.them) else {
            return wrong("a full exchange that was not asked for");
        };
        if upto.is_some() && upto <= *after {
            return wrong("a full exchange that does not go on");
        }
        if !session.full_compared {
            session.full_compared = true;
            session.full_from = store.last_changed();
        }
        // The peer may mean another operation of that name.
        let is_ambiguous = |dot: Dot| session.is_parted(dot) || state.former.is_ambiguous(dot);
        let forget = |compared: &mut Compared, entry: &Entry<'_>| {
            let known: VersionVector = entry.known().iter().filter(|dot| !is_ambiguous(*dot)).collect();
            compared.forgets.join(&known);
            if them.owed.covers(entry.dot()) {
                covered!("dropped_what_the_peer_owes");
            }
        };
        // What it has dropped in an exchange that is not over is gone there as what it has collected.
        let has_forgotten = |dot: Dot| them.floor.covers(dot) || them.owed.covers(dot);
        let is_retired = |dot: Dot| state.members.get(dot.replica).is_some_and(Member::is_forgotten);
        let mut compared = Compared::default();
        let range = store.entries(after.as_deref());
        for entry in range.take_while(|entry| upto.as_ref().is_none_or(|end| entry.key() <= &end[..])) {
            let key = Bytes::copy_from_slice(entry.key());
            match present.get(entry.key()) {
                Some(Some(tombstone)) => {
                    // It claims what stands here, and does not know it: it has forgotten a tombstone, and merged an older
                    // one since. What stands there alive is newer than all that it has forgotten, and wins here as well.
                    let collected = them.vector.covers(entry.dot()) && has_forgotten(entry.dot());
                    let forgotten = collected && !tombstone.known.covers(entry.dot()) && !is_ambiguous(entry.dot());
                    if !entry.is_tombstone() && forgotten {
                        if entry.known().covers(tombstone.dot) {
                            compared.bury.push((entry.dot(), key));
                        } else {
                            compared.drops.push((entry.dot(), key));
                            forget(&mut compared, &entry);
                        }
                    } else if tombstone.loses_to(&entry) {
                        compared.reissue.extend(stands_in_doubt(session, state, me, &entry));
                    }
                    continue;
                }
                Some(None) => continue,
                None => {}
            }
            let claims = them.vector.covers(entry.dot());
            // What it has collected is below its floor. Anything else that it claims and does not hold is hidden from it by
            // another operation of that name. Under a name of its own everybody takes in what stands here.
            let collected = has_forgotten(entry.dot());
            let hidden = !collected && is_retired(entry.dot());
            let ambiguous = claims && (hidden || is_ambiguous(entry.dot()));
            let in_doubt = is_in_doubt(session, me, &entry) || ambiguous;
            // A tombstone that has merged what the peer lacks is no news there but for that.
            if entry.is_tombstone() && !them.vector.covers_all(&entry.known()) {
                continue;
            }
            let resurrects = claims && planted!("full_exchange_resurrects");
            if claims && !ambiguous && !resurrects {
                // A name that is still in use is given up as soon as its owner learns of the other history.
                let again = planted!("not_dropped_again") && state.owed.covers(entry.dot());
                if collected && !again {
                    covered!("full_exchange_drops");
                    compared.drops.push((entry.dot(), key));
                    forget(&mut compared, &entry);
                }
            } else if !entry.is_tombstone() && in_doubt {
                covered!("full_exchange_writes_again");
                let repeats = Some(entry.origin()).filter(|origin| !ambiguous && !resurrects && !is_ambiguous(*origin));
                compared.reissue.push((key, repeats));
            }
        }
        // What is on its way to the disk was stamped before this side heard what the peer has forgotten, if its stamp is no greater.
        let begins = |entry: &Entry<'_>| after.as_ref().is_none_or(|after| entry.key() > &after[..]);
        let in_range = |entry: &Entry<'_>| begins(entry) && upto.as_ref().is_none_or(|end| entry.key() <= &end[..]);
        let own = store.staged_entries().filter(|entry| entry.dot().replica == me && in_range(entry));
        let wins = own.filter(|entry| match present.get(entry.key()) {
            Some(None) => false,
            Some(Some(tombstone)) => tombstone.loses_to(entry),
            None => true,
        });
        let again: Vec<_> = wins.filter_map(|entry| stands_in_doubt(session, state, me, &entry)).collect();
        if !again.is_empty() {
            let known: BTreeSet<Bytes> = compared.reissue.iter().map(|(key, _)| key.clone()).collect();
            compared.reissue.extend(again.into_iter().filter(|(key, _)| !known.contains(key)));
        }
        session.full_in = Some(match upto {
            Some(_) => FullIn::Named { after: upto },
            None => FullIn::Closing { durable: false },
        });
        Ok(Some(compared))
    }

    /// What the peer has forgotten as deleted is dropped here, and what it has dropped itself. If the deletions are claimed already,
    /// they are forgotten here too, from the same frame on, or somebody who still holds what was dropped would be told to claim
    /// them. If not, less is shown than the vector says, and the floor is *owed* until they are claimed. With it goes all that what
    /// was dropped `forgets`: the peer may never have heard of it, and somebody may hold it still. `None` if they do not fit in.
    pub(super) fn owe_floor(&mut self, peer: PeerId, forgets: &VersionVector) -> Option<SyncRecord> {
        if !self.floor_fits(peer) {
            return None;
        }
        let them = self.sessions.get(&peer)?.them.as_ref()?;
        let (mut dots, stamp) = (them.floor.clone(), them.floor_stamp);
        dots.join(&them.owed);
        dots.join(forgets);
        let is_claimed = self.claims.covers_all(&dots);
        let record = if is_claimed { SyncRecord::Floor { dots, stamp } } else { SyncRecord::Owed { dots, stamp } };
        self.state.apply(&record);
        Some(record)
    }

    /// Something is dropped, or what was dropped is durable now: until then it stood here, and may have been named.
    pub(super) fn note_drops(&mut self, exchange: PeerId) {
        let before = self.drops;
        self.drops += 1;
        if let Some(session) = self.sessions.get_mut(&exchange).filter(|session| session.drops_known == before) {
            session.drops_known = self.drops;
        }
    }

    /// Whether a peer may be told to claim what is claimed here: not if it may hold what a full exchange has dropped, or would not
    /// know that it owes what is owed here.
    pub(super) fn may_cut(&self, session: &Session) -> bool {
        let (floor, owed) = (&self.state.floor, &self.state.owed);
        if planted!("owed_and_waited_for") {
            return owed.iter().all(|dot| session.vector.covers(dot) || session.said_floor.covers(dot));
        }
        if session.drops_known == self.drops {
            return owed.iter().all(|dot| session.hears_of(dot));
        }
        session.vector.covers_all(floor) && session.vector.covers_all(owed)
    }

    /// Whoever may not be told to claim anything greets anew, and is told which keys there are, once nobody is just telling here what else
    /// is to be dropped.
    pub(super) fn part_from_those_behind(&mut self, now: Now, out: &mut dyn Sink<Effect>) {
        let goes_on = |session: &Session| {
            let names = matches!(session.full_in, Some(FullIn::Named { .. } | FullIn::Closing { durable: false }));
            names && session.is_open() && now.mono.since(session.last_batch) < self.settings.full_timeout
        };
        let nothing_dropped = self.drops == 0 && self.state.owed.is_empty();
        if nothing_dropped || planted!("owed_and_waited_for") || self.sessions.values().any(goes_on) {
            return;
        }
        // Who speaks an older protocol cannot hear of what is owed: it is behind only what was dropped.
        let can_hear = |session: &Session| session.passes_owed_on() || session.drops_known != self.drops;
        let behind = |session: &Session| session.is_open() && can_hear(session) && !self.may_cut(session);
        let behind: Vec<PeerId> =
            self.sessions.iter().filter(|(_, session)| behind(session)).map(|(peer, _)| *peer).collect();
        for peer in behind {
            covered!("behind_what_was_dropped");
            self.close(peer, CloseReason::FloorRose, out);
        }
    }

    /// A floor that is owed becomes the own one when the deletions are claimed, or when nobody is left who could claim them.
    pub(super) fn settle_owed(&mut self, out: &mut dyn Sink<Effect>) {
        if self.state.owed.is_empty() {
            return;
        }
        let closed = self.closed_for_good();
        if self.state.owed.iter().all(|dot| self.claims.covers(dot) || closed.covers(dot)) {
            covered!("owed_floor_settled");
            let record = SyncRecord::Floor { dots: self.state.owed.clone(), stamp: self.state.floor_stamp };
            self.persist(record, out);
            self.floor_rose(out);
        }
    }

    /// Keys were dropped that others may have been named: whoever has not seen their deletion greets anew if the floor `rose`
    /// with it, and whoever is just told the keys that there are, and has not heard of what is owed.
    pub(super) fn part_from_those_below(&mut self, exchange: PeerId, rose: bool, out: &mut dyn Sink<Effect>) {
        let (floor, owed) = (&self.state.floor, &self.state.owed);
        let below = |(peer, session): (&PeerId, &Session)| {
            let unseen = rose && !session.vector.covers_all(floor);
            let unheard = session.full_out.is_some() && !owed.iter().all(|dot| session.hears_of(dot));
            (*peer != exchange && session.is_open() && (unseen || unheard)).then_some(*peer)
        };
        let below: Vec<PeerId> = self.sessions.iter().filter_map(below).collect();
        for peer in below {
            covered!("dropped_what_another_may_hold");
            self.close(peer, CloseReason::FloorRose, out);
        }
    }

    /// Whether a peer whose floor says this, and what it owes, may make that the floor here.
    pub(super) fn floor_fits(&mut self, peer: PeerId) -> bool {
        let them = self.sessions.get(&peer).and_then(|session| session.them.as_ref());
        let mut floor = them.map(|them| them.floor.clone()).unwrap_or_default();
        floor.join(them.map_or(&VersionVector::EMPTY, |them| &them.owed));
        self.admit_vector(&floor)
    }
}

/// Whether it may have been deleted by a tombstone that the peer has forgotten. A greater stamp wins against any of those; and what
/// others have brought since the exchange began was merged with them where it comes from.
fn is_in_doubt(session: &Session, me: ReplicaId, entry: &Entry<'_>) -> bool {
    let floor_stamp = session.them.as_ref().map_or(Stamp::default(), |them| them.floor_stamp);
    // What came before and was merged with something since is no less in doubt.
    let came_before = entry.changed() <= session.full_from || entry.known_beyond().is_some();
    entry.stamp() <= floor_stamp && (entry.dot().replica == me || came_before)
}

/// A value that wins against the tombstone that the peer has of its key, and does not know: it is to be written again if another one
/// may have deleted it, with what it repeats.
fn stands_in_doubt(session: &Session, state: &State, me: ReplicaId, entry: &Entry<'_>) -> Option<(Bytes, Option<Dot>)> {
    let is_ambiguous = |dot: Dot| session.is_parted(dot) || state.former.is_ambiguous(dot);
    let claims = session.them.as_ref().is_none_or(|them| them.vector.covers(entry.dot()));
    // What it claims may be another operation of that name: this one it would never take in under it.
    let is_due = if claims { is_ambiguous(entry.dot()) } else { is_in_doubt(session, me, entry) };
    if entry.is_tombstone() || !is_due {
        return None;
    }
    covered!("written_again_beside_a_tombstone");
    Some((Bytes::copy_from_slice(entry.key()), Some(entry.origin()).filter(|origin| !is_ambiguous(*origin))))
}
