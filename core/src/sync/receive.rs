//! What peers say, taken in.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use super::carry::is_twin;
use super::conflicts::Meetings;
use super::engine::{Applying, Engine};
use super::full::{Buried, Compared};
use super::intake;
use super::message::{Message, Part};
use super::pulse::Answer;
use super::record::{Checkpoint, SyncRecord};
use super::session::{FullIn, Phase};
use super::{Apply, CloseReason, Effect, Event, Finding, Item, PeerId};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::limits::MAX_REPLICAS;
use crate::op::Operation;
use crate::sink::Sink;
use crate::store::{Entry, Store};
use crate::time::{Now, WallTime};

/// A batch, sorted out.
#[derive(Default)]
struct Sorted {
    items: Vec<Item>,
    /// Keys that the peer has: those that it has as tombstones with what is buried there.
    present: BTreeMap<Bytes, Option<Buried>>,
    cut: VersionVector,
    pairs: Option<super::Pairs>,
    /// Which histories of others the peer claims.
    histories: Vec<(ReplicaId, super::Pairs)>,
    end: bool,
    upto: Option<Option<Bytes>>,
}

/// The session has ended over what came.
struct Over;

impl Engine {
    /// Bytes of a peer have come in, be it only a part of a message. What it was asked for may be behind them.
    pub fn heard(&mut self, peer: PeerId, bytes: usize) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            let asked = session.waiting.is_some() || session.ping.is_some();
            let ahead = if asked { session.ahead_of_answer + bytes as u64 } else { 0 };
            session.ahead_of_answer = ahead.min(self.settings.window);
        }
        self.turns.note_bytes(peer, bytes, self.settings.window);
    }

    /// Takes messages of a peer: any number of whole ones. Whatever the bytes are, nothing but this session suffers.
    pub fn handle_message(&mut self, now: Now, peer: PeerId, bytes: &Bytes, store: &Store, out: &mut dyn Sink<Effect>) {
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let Some(session) = self.sessions.get_mut(&peer).filter(|session| session.phase != Phase::Closing) else {
                break;
            };
            match Message::take(&mut rest, &mut session.origins_in) {
                Ok((message, len)) => self.take_message(now, peer, message, len, store, out),
                Err(error) => self.close(peer, CloseReason::Protocol(error.to_string()), out),
            }
        }
        self.take_held(now, store, out);
    }

    fn take_message(
        &mut self,
        now: Now,
        peer: PeerId,
        message: Message,
        len: u64,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let phase = session.phase;
        match (phase, message) {
            (_, Message::Bye(bye)) => self.close(peer, CloseReason::Told(bye), out),
            (Phase::Greeting, Message::Hello(hello)) => self.take_hello(now, peer, hello, out),
            (Phase::Resuming, Message::Resume { lsn, boot, pairs, direct }) => {
                self.take_resume(now, peer, (lsn, boot, pairs, direct), store, out);
            }
            (Phase::Open, message @ (Message::Batch(..) | Message::Full(..))) => {
                // The last message within a window may reach beyond it.
                if session.received_bytes - session.taken_bytes >= self.settings.window {
                    return self.close(peer, CloseReason::Protocol("more than its window".to_string()), out);
                }
                session.received_bytes += len;
                session.held.push_back((message, len));
            }
            (Phase::Open, Message::Ack { lsn, bytes, vector }) => self.take_ack(now, peer, lsn, bytes, &vector, out),
            (Phase::Open, Message::Ping(pulse)) => {
                session.pong_due = Some(pulse.number);
                self.take_pulse(now, peer, pulse, Answer::default(), store, out);
            }
            (Phase::Open, Message::Pong(pulse)) => {
                // Pings that arrive together are answered by one pong, to the last.
                let asked =
                    session.ping.take_if(|(number, _)| *number <= pulse.number).map(|(_, at)| now.mono.since(at));
                if asked.is_some() {
                    session.round_trip = asked;
                    session.ahead_of_answer = 0;
                    session.remind(&pulse.vector);
                }
                let answer = Answer { after: asked, is_alive: pulse.number > session.gone_since };
                self.take_pulse(now, peer, pulse, answer, store, out);
            }
            (Phase::Open, Message::Direct(direct)) => {
                if !direct.is_superset(&session.direct) {
                    // What was put off for a replica that is no longer there is looked at again.
                    covered!("put_off_and_no_longer_heard_first_hand");
                    session.scout = session.settled;
                }
                session.direct = direct;
                self.wake(peer, out);
            }
            (Phase::Open, Message::Members(members)) => {
                for (replica, mut member) in members {
                    member.cap();
                    let told = member.vector.get(self.me.replica);
                    if told > self.own_written {
                        return self.halt(self.rolled_back(told), out);
                    }
                    if replica == self.me.replica
                        && let Some(finding) = self.never_lost(peer, &member.vector)
                    {
                        return self.halt(finding, out);
                    }
                    self.report(now, replica, &member, out);
                }
            }
            (Phase::Open, Message::Ranges(ranges)) => self.take_ranges(peer, ranges, store, out),
            (Phase::Open, Message::Repair(parts)) => self.take_repair(peer, parts, out),
            (Phase::Greeting | Phase::Resuming | Phase::Open, other) => {
                let what = alloc::format!("message {} in the phase {phase:?}", other.kind());
                self.close(peer, CloseReason::Protocol(what), out);
            }
            (Phase::Closing, _) => {}
        }
    }

    /// Takes in batches of every peer that may be taken from (see `full`).
    pub(super) fn take_held(&mut self, now: Now, store: &Store, out: &mut dyn Sink<Effect>) {
        self.give_turn(now, out);
        for peer in self.sessions.holding(&self.settings).clone() {
            while let Some((message, len)) = self.next_held(peer) {
                match message {
                    Message::Batch(through, parts) => {
                        self.take_batch(now, peer, through, parts, len, false, store, out);
                    }
                    Message::Full(_, parts) => self.take_batch(now, peer, Lsn::ZERO, parts, len, true, store, out),
                    _ => unreachable!("only batches are held"),
                }
            }
        }
    }

    fn next_held(&mut self, peer: PeerId) -> Option<(Message, u64)> {
        let (first, _) = self.sessions.get(&peer)?.held.front()?;
        if !self.may_take(peer, first) {
            return None;
        }
        self.sessions.get_mut(&peer)?.held.pop_front()
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    fn take_batch(
        &mut self,
        now: Now,
        peer: PeerId,
        through: Lsn,
        parts: Vec<Part>,
        len: u64,
        is_full: bool,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) {
        let Some(sorted) = self.sort(now, peer, parts, store, out) else { return };
        let names = sorted.upto.is_some() || sorted.histories.is_empty();
        let learnt = self.take_histories(peer, &sorted.histories, &sorted.cut);
        let compared =
            if is_full && names { self.compare(peer, &sorted.present, sorted.upto, store) } else { Ok(None) };
        let compared = match compared {
            Ok(compared) => compared,
            Err(reason) => return self.close(peer, reason, out),
        };
        let Compared { drops, forgets, reissue, bury } = compared.unwrap_or_default();
        if !sorted.items.is_empty() {
            self.spoil_others(peer);
        }
        if self.sessions.get(&peer).is_some_and(|session| session.ends_full(is_full, &sorted.cut))
            && !self.floor_fits(peer)
        {
            return self.close(peer, CloseReason::TooManyReplicas, out);
        }
        let mut records = Vec::new();
        if !drops.is_empty() {
            match self.owe_floor(peer, &forgets) {
                Some(record) => {
                    self.note_drops(peer);
                    self.part_from_those_below(peer, matches!(record, SyncRecord::Floor { .. }), out);
                    records.push(record);
                }
                None => return self.close(peer, CloseReason::TooManyReplicas, out),
            }
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let Some(them) = session.them.as_ref() else { return };
        session.last_batch = now.mono;
        session.mid_walk = !sorted.end;
        // Nobody tells others to claim what it does not claim itself.
        session.vector.join(&sorted.cut);
        session.unreported.join(&sorted.cut);
        let replica = them.replica;

        let raises = !self.claims.covers_all(&sorted.cut);
        let ends_naming = is_full && matches!(session.full_in, Some(FullIn::Closing { .. }));
        let ends_full = session.ends_full(is_full, &sorted.cut);
        if through > session.taken_lsn {
            let at = Checkpoint { log: them.log, boot: them.boot, lsn: through };
            records.push(SyncRecord::Checkpoint { replica, at });
        }
        if raises {
            records.push(SyncRecord::Cut(sorted.cut.clone()));
        }
        if ends_full {
            records.push(SyncRecord::Floor { dots: them.floor.clone(), stamp: them.floor_stamp });
            let is_claimed = |dot| self.claims.covers(dot) || sorted.cut.covers(dot);
            if !them.owed.iter().all(is_claimed) {
                covered!("owed_what_the_peer_owes");
                records.push(SyncRecord::Owed { dots: them.owed.clone(), stamp: them.floor_stamp });
            }
        }
        let idle = sorted.items.is_empty() && drops.is_empty() && reissue.is_empty() && bury.is_empty() && !raises;
        // What is told of a history is told once.
        let known = self.state.pairs.get(&replica);
        let tells = |pairs: &super::Pairs| known.map_or(!pairs.is_empty(), |known| known.with(pairs).is_some());
        let idle = idle && learnt.is_empty() && !sorted.pairs.as_ref().is_some_and(tells);
        let idle = idle && !ends_naming && !ends_full;
        if !idle || is_full {
            self.turns.note_progress(now, peer);
        }
        if idle {
            // Nothing to be made durable but the checkpoint, which can wait: without it a later walk skips the same
            // entries again.
            match self.applies.iter_mut().rev().find(|applying| applying.peer == peer) {
                Some(last) => {
                    covered!("checkpoint_rides_on_what_is_on_its_way");
                    last.through = last.through.max(through);
                    last.bytes += len;
                }
                None => {
                    for record in &records {
                        self.state.apply(record);
                    }
                    session.taken_lsn = session.taken_lsn.max(through);
                    session.taken_bytes += len;
                    session.ack_at.get_or_insert(now.mono + self.settings.announce_delay);
                }
            }
            return;
        }
        if let Some(pairs) = sorted.pairs {
            records.push(SyncRecord::Pairs { replica, pairs });
        }
        records.extend(learnt);
        session.applying += 1;
        let token = self.new_token();
        self.applies.push_back(Applying {
            token,
            peer,
            lsn: None,
            records: records.clone(),
            met: VersionVector::EMPTY,
            conflicts: Meetings::default(),
            through,
            bytes: len,
            drops: !drops.is_empty(),
            ends_naming,
            ends_full,
        });
        let items = sorted.items;
        let burials = self.burials(peer, &items, store);
        out.push(Effect::Apply(Apply { token, peer, items, drops, reissue, bury, burials, records }));
    }

    /// Sorts the parts of a batch, and leaves out what is here already. `None` if the session ended over it.
    fn sort(
        &mut self,
        now: Now,
        peer: PeerId,
        parts: Vec<Part>,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) -> Option<Sorted> {
        let mut sorted = Sorted::default();
        let mut over = false;
        // Nearly all of it is entries, and nearly all of them are new: they are collected where the parts lie.
        let items = parts.into_iter().filter_map(|part| match over {
            false => self.sort_part(now, peer, part, &mut sorted, store, out).unwrap_or_else(|Over| {
                over = true;
                None
            }),
            true => None,
        });
        let items = items.collect();
        if over {
            return None;
        }
        sorted.items = items;
        let own = Dot { replica: self.me.replica, seq: self.own_written + 1 };
        if sorted.cut.covers(own) {
            let finding = self.rolled_back(sorted.cut.get(own.replica));
            self.halt(finding, out);
            return None;
        }
        if !self.admit_vector(&sorted.cut) {
            self.close(peer, CloseReason::TooManyReplicas, out);
            return None;
        }
        Some(sorted)
    }

    /// Sorts one part, and gives the entry if it is one that is not here already.
    fn sort_part(
        &mut self,
        now: Now,
        peer: PeerId,
        part: Part,
        sorted: &mut Sorted,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) -> Result<Option<Item>, Over> {
        match part {
            Part::Entry { op, known } => {
                if let Some(reason) = intake::refusal(&op, &known) {
                    self.close(peer, reason, out);
                    return Err(Over);
                }
                if let Some(finding) = self.never_issued(&op, &known) {
                    self.halt(finding, out);
                    return Err(Over);
                }
                if !self.admit_entry(&op, &known) {
                    self.close(peer, CloseReason::TooManyReplicas, out);
                    return Err(Over);
                }
                self.traffic.received += 1;
                self.watch_stamp(now, peer, op.stamp, out);
                let parted = self.sessions.get(&peer).is_some_and(|session| session.is_parted(op.dot));
                if parted || !self.has(&op, &known, store) {
                    self.traffic.taken += 1;
                    let late = !parted && self.was_deleted(&op, store) || planted!("called_late");
                    return Ok(Some(Item { op, known, late }));
                }
                // Of what is taken in, carrying it out tells (`carry`): it looks at the entry anyway.
                self.watch_twin(&op, store, out);
            }
            Part::Present(key) => {
                sorted.present.insert(key, None);
            }
            Part::Buried { key, dot, known, stamp } => {
                sorted.present.insert(key, Some(Buried { dot, known, stamp }));
            }
            Part::End => sorted.end = true,
            Part::Cut(cut) => {
                sorted.cut.join(&cut);
            }
            Part::Pairs(pairs) => sorted.pairs = Some(pairs),
            Part::History { replica, pairs } => {
                if replica == self.me.replica
                    && let Some(told) = self.state.ladder.contradicted_by(&pairs)
                {
                    let common = self.state.ladder.shared_with(&pairs).min(self.own_written);
                    self.halt(Finding::Rollback { own: self.own_written, told, common }, out);
                    return Err(Over);
                }
                sorted.histories.push((replica, pairs));
            }
            Part::Upto(upto) => sorted.upto = Some(upto),
        }
        Ok(None)
    }

    /// What it means if an entry names an own operation beyond those there are, be it only as seen by its writer: the
    /// next own write to the key would have seen itself.
    pub(super) fn never_issued(&self, op: &Operation, known: &VersionVector) -> Option<Finding> {
        let own = self.me.replica;
        let written = if op.dot.replica == own { op.dot.seq } else { 0 };
        let told = written.max(op.context.get(own)).max(known.get(own));
        (told > self.own_written).then(|| self.rolled_back(told))
    }

    /// What it means if this node once claimed more than it does: it tells of nothing that is not durable, and nothing that is
    /// durable is lost but with the directory.
    fn never_lost(&self, peer: PeerId, told: &VersionVector) -> Option<Finding> {
        let lost = told.beyond(&self.claims).iter().next()?;
        covered!("claimed_less_than_it_had_told");
        let (of, own) = (lost.replica, self.claims.get(lost.replica));
        let common = self.sessions.get(&peer).map_or(0, |session| session.common);
        Some(Finding::ClaimRollback { of, own, told: lost.seq, common })
    }

    /// Whether an operation and all that was merged with it is in the own state already.
    fn has(&self, op: &Operation, known: &VersionVector, store: &Store) -> bool {
        if !self.claims.covers(op.dot) {
            return false;
        }
        let was_deleted = self.was_deleted(op, store);
        if was_deleted {
            covered!("came_after_its_deletion_was_collected");
        }
        // What is deleted is taken in if something newer stands there: that takes over what lost to it, and is the only one that tells of
        // it. A tombstone is taken in once more if others have merged with it what is not claimed here.
        let outranks = |entry: &Entry<'_>| (entry.stamp(), entry.dot().replica) > (op.stamp, op.dot.replica);
        let is_told = was_deleted && !store.latest(&op.key).as_ref().is_some_and(outranks);
        is_told || (self.claims.covers_all(&op.context) && self.claims.covers_all(known))
    }

    /// Whether a value is claimed and yet stands nowhere here: its tombstone was collected.
    fn was_deleted(&self, op: &Operation, store: &Store) -> bool {
        let stands = || store.latest(&op.key).is_some_and(|entry| entry.known().covers(op.dot));
        op.body.value().is_some() && self.claims.covers(op.dot) && !stands()
    }

    /// Looks whether two nodes issue under one replica id. The merge takes the greater operation everywhere.
    fn watch_twin(&self, op: &Operation, store: &Store, out: &mut dyn Sink<Effect>) {
        if store.latest(&op.key).is_some_and(|entry| is_twin(&entry, op, op.body.content_hash())) {
            out.push(Effect::Event(Event::Identity(Finding::Clone(op.dot.replica))));
        }
    }

    fn watch_stamp(&mut self, now: Now, peer: PeerId, stamp: Stamp, out: &mut dyn Sink<Effect>) {
        let limit = u64::try_from(self.settings.max_clock_skew.as_millis()).unwrap_or(u64::MAX);
        if stamp <= Stamp::from_wall(WallTime(now.wall.0.saturating_add(limit))) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&peer)
            && !session.skew_reported
        {
            session.skew_reported = true;
            let ahead_ms = i64::try_from(stamp.wall().0.saturating_sub(now.wall.0)).unwrap_or(i64::MAX);
            out.push(Effect::Event(Event::ClockSkew { peer, ahead_ms }));
        }
    }

    fn take_ack(
        &mut self,
        now: Now,
        peer: PeerId,
        lsn: Lsn,
        bytes: u64,
        vector: &VersionVector,
        out: &mut dyn Sink<Effect>,
    ) {
        let own = self.me.replica;
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if bytes > session.sent_bytes || bytes < session.acked_bytes || vector.get(own) > self.own_written {
            let what = "an acknowledgement of what was never sent".to_string();
            return self.close(peer, CloseReason::Protocol(what), out);
        }
        let before = session.vector.get(own);
        if bytes > session.acked_bytes {
            session.acked_bytes = bytes;
            session.waiting = (session.in_flight() > 0).then_some(now.mono);
            session.ahead_of_answer = 0;
            if session.owes_names() {
                self.turns.note_progress(now, peer);
            }
        }
        session.acked_lsn = session.acked_lsn.max(lsn);
        session.vector.join(vector);
        session.unreported.join(vector);
        if session.vector.len() > MAX_REPLICAS {
            return self.close(peer, CloseReason::TooManyReplicas, out);
        }
        let Some(replica) = session.replica() else { return };
        if session.vector.get(own) > before {
            session.progressed = true;
            self.outbox.tries.remove(&replica);
            self.note_advance(peer, out);
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if self.state.members.get(replica).is_some() {
            let told = core::mem::take(&mut session.unreported);
            self.hear(now, replica, told, false, out);
        }
        self.wake(peer, out);
    }
}
