//! The engine: facts about links and the log go in here; what peers say is taken in by `receive`, what they are sent is
//! composed by `send`.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::collect::Collecting;
use super::conflict::Outcome;
use super::conflicts::{Meeting, Meetings, Noted};
use super::direct::Hearing;
use super::ending::refusal;
use super::full::Turns;
use super::intake::Named;
use super::lease::Leases;
use super::members::Ahead;
use super::outbox::Outbox;
use super::record::SyncRecord;
use super::session::{FullIn, Phase, Session};
use super::sessions::Sessions;
use super::settle::Settling;
use super::state::State;
use super::{Carried, CloseReason, Effect, Event, Finding, Identity, PeerId, Resolution, Settings, Token};
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::dice::Dice;
use crate::error::{Code, Error};
use crate::ids::{Dot, Lsn, ReplicaId, Seq};
use crate::op::{Body, Chain};
use crate::runs::Runs;
use crate::sink::Sink;
use crate::store::Store;
use crate::time::{Instant, Now, WallTime};

/// Acknowledged cursors are logged no more often than this: what peers hold is heard again with their next hello, so a
/// crash costs no delivery.
pub(super) const ACKNOWLEDGED_EVERY: Duration = Duration::from_secs(1);
/// The same when everything is acknowledged: a writer that goes on meanwhile shall not wait for a sync of its own writes'
/// acknowledgements.
pub(super) const ALL_ACKNOWLEDGED_EVERY: Duration = Duration::from_millis(50);

/// Sync of one replica with all its peers. See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Settings,
    pub(super) me: Identity,
    pub(super) state: State,
    pub(super) named: Named,
    /// The own vector: `state.vector`, and the own operations that are durable.
    pub(super) claims: VersionVector,
    pub(super) own_seq: Seq,
    pub(super) own_written: Seq,
    own_pending: VecDeque<(Lsn, Seq)>,
    pub(super) durable: Lsn,
    pub(super) sessions: Sessions,
    pub(super) applies: VecDeque<Applying>,
    /// Writes that settle conflicts when they are shown, in the order of the log.
    pub(super) settling: VecDeque<Settling>,
    pub(super) outbox: Outbox,
    pub(super) dice: Dice,
    pub(super) leases: Leases,
    next_token: u64,
    pub(super) next_number: u64,
    /// Counts changes of what is known of members; sessions remember how far they have told.
    pub(super) revision: u64,
    pub(super) revisions: BTreeMap<ReplicaId, u64>,
    /// Every open session is to tell of members already.
    pub(super) all_hear_of_members: bool,
    /// What each session said of whom it is heard by when last told: nothing to tell anew where this has not changed.
    pub(super) direct_as_told: Vec<Hearing>,
    pub(super) ahead: Ahead,
    pub(super) acknowledged_logged: Instant,
    pub(super) acknowledged_due: Option<Instant>,
    /// When everybody hears what is claimed now.
    pub(super) announce_due: Option<Instant>,
    /// [`Effect::AllReady`] was said, and not yet asked for whom.
    all_ready: bool,
    pub(super) collect_at: Instant,
    /// Tombstones on their way out.
    pub(super) collecting: Option<Collecting>,
    /// Runs in which peers were met.
    pub(super) runs: BTreeMap<ReplicaId, Runs>,
    /// Whose full exchange is taken in.
    pub(super) turns: Turns,
    /// How often something was dropped in a full exchange, and how often that was made durable.
    pub(super) drops: u64,
    /// Why nothing is exchanged any more.
    pub(super) halted: Option<Finding>,
    pub(super) floor_stamp: Stamp,
    pub(super) divergences: u64,
    /// Who differed when last compared, and has not agreed since.
    pub(super) diverged: BTreeSet<ReplicaId>,
    pub(super) traffic: Traffic,
}

/// Entries that crossed links, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Received, and not here before.
    pub taken: u64,
}

/// An [`super::Apply`] on its way to durability.
#[derive(Debug)]
pub(super) struct Applying {
    pub(super) token: Token,
    pub(super) peer: PeerId,
    pub(super) lsn: Option<Lsn>,
    pub(super) records: Vec<SyncRecord>,
    pub(super) met: VersionVector,
    pub(super) conflicts: Meetings,
    /// The peer's feed is taken in up to here with it.
    pub(super) through: Lsn,
    pub(super) bytes: u64,
    /// Something is dropped with it.
    pub(super) drops: bool,
    /// With it, all that follows from the keys that the peer named is durable.
    pub(super) ends_naming: bool,
    /// It ends a full exchange.
    pub(super) ends_full: bool,
}

impl Engine {
    /// An engine that goes on from `state`, whose own history has come to `own_seq`, all of it durable, and whose log
    /// ends at `durable`.
    ///
    /// The first effect is a record of the run that begins.
    #[expect(clippy::too_many_arguments, reason = "what a restart knows, and where its first effect goes")]
    pub fn new(
        settings: Settings,
        me: Identity,
        state: State,
        own_seq: Seq,
        durable: Lsn,
        dice: Dice,
        now: Now,
        out: &mut dyn Sink<Effect>,
    ) -> Self {
        let mut claims = state.vector.clone();
        claims.include(Dot { replica: me.replica, seq: own_seq });
        let keeps_both = Some(settings.conflict_policy.keeps_both());
        let boot = SyncRecord::Boot { boot: me.boot, after: durable, keeps_both };
        let mut engine = Self {
            collect_at: now.mono + settings.collect_every,
            collecting: None,
            ahead: Ahead::of(&state.members, me.replica, state.acknowledged),
            acknowledged_logged: now.mono,
            floor_stamp: state.floor_stamp,
            named: Named::of([&claims, &state.met, &state.floor]),
            settings,
            me,
            state,
            claims,
            own_seq,
            own_written: own_seq,
            own_pending: VecDeque::new(),
            durable,
            sessions: Sessions::default(),
            applies: VecDeque::new(),
            settling: VecDeque::new(),
            outbox: Outbox::default(),
            dice,
            leases: Leases::new(now),
            next_token: 0,
            next_number: 0,
            revision: 0,
            revisions: BTreeMap::new(),
            all_hear_of_members: false,
            direct_as_told: Vec::new(),
            acknowledged_due: None,
            announce_due: None,
            all_ready: false,
            runs: BTreeMap::new(),
            turns: Turns::default(),
            drops: 0,
            halted: None,
            divergences: 0,
            diverged: BTreeSet::new(),
            traffic: Traffic::default(),
        };
        let lost = planted!("outbox_lost_at_restart");
        engine.state.acknowledged = if lost { own_seq } else { engine.state.acknowledged };
        for replica in engine.state.members.iter().map(|(replica, _)| replica).collect::<Vec<_>>() {
            engine.member_changed(replica);
            engine.update_acknowledged(now, replica, out);
        }
        engine.persist(boot, out);
        engine
    }

    // Facts about links.

    /// A link to a peer is up: authenticated, ordered, framed.
    pub fn peer_up(&mut self, now: Now, peer: PeerId, out: &mut dyn Sink<Effect>) {
        let spread = self.dice.below(self.settings.ping_every.as_micros() as u64 / 4 + 1);
        let ping_at = now.mono + self.settings.ping_every + Duration::from_micros(spread);
        let mut session = Session::new(now.mono, self.claims.clone(), self.state.floor.clone(), ping_at);
        session.said_owed.clone_from(&self.state.owed);
        session.drops_known = self.drops;
        self.next_number += 1;
        session.number = self.next_number;
        self.sessions.insert(peer, session);
        match self.halted {
            Some(finding) => self.close(peer, CloseReason::Identity(finding), out),
            None => self.wake(peer, out),
        }
    }

    /// A link is down, whoever closed it.
    pub fn peer_down(&mut self, now: Now, peer: PeerId, store: &Store, out: &mut dyn Sink<Effect>) {
        let Some(session) = self.sessions.get(&peer) else { return };
        if session.phase != Phase::Closing {
            self.count_try(peer, "the link broke", out);
        }
        if let Some(session) = self.sessions.remove(&peer)
            && let Some(replica) = session.replica()
            && let Some(member) = self.state.members.get(replica)
        {
            let member = member.clone();
            self.persist(SyncRecord::Member { replica, member }, out);
        }
        self.turns.end(peer);
        self.part_from_those_behind(now, out);
        self.refresh_direct(now, out);
        self.take_held(now, store, out);
    }

    // Facts about the log.

    /// The own operation `seq` was published at `lsn`; `chain` is that of the history up to and including it. In the
    /// order of their seqs.
    ///
    /// # Panics
    /// When the seq does not follow the one before.
    pub fn own_published(&mut self, lsn: Lsn, seq: Seq, chain: Chain) {
        assert!(seq == self.own_written + 1, "own operations have no gaps");
        self.own_written = seq;
        self.own_pending.push_back((lsn, seq));
        self.state.own(Dot { replica: self.me.replica, seq }, chain);
    }

    /// The log has taken the group of an [`Effect::Apply`], whose last record got `lsn`; for a group of no records, the
    /// last record of the log.
    pub fn applied(
        &mut self,
        now: Now,
        token: Token,
        lsn: Lsn,
        carried: Carried<'_>,
        store: &Store,
        out: &mut dyn Sink<Effect>,
    ) {
        for replica in carried.twins {
            out.push(Effect::Event(Event::Identity(Finding::Clone(replica))));
        }
        if let Some(applying) = self.applies.iter_mut().find(|applying| applying.token == token) {
            applying.lsn = Some(lsn);
            applying.met = carried.met;
            applying.conflicts = Meetings::of(carried.conflicts, self.settings.conflict_policy.keeps_both());
            for record in applying.records.iter().filter(|_| planted!("claimed_when_the_log_takes_it")) {
                if let SyncRecord::Cut(vector) = record {
                    self.claims.join(vector);
                }
            }
        }
        if lsn <= self.durable || planted!("acknowledged_before_durable") {
            self.durable(now, lsn, store, out);
        }
    }

    /// Whether an [`Effect::Apply`] is still to be carried out: not if an earlier one of the same peer was refused.
    #[must_use]
    pub fn still_wanted(&self, token: Token) -> bool {
        self.applies.iter().any(|applying| applying.token == token)
    }

    /// The log cannot take the group of an [`Effect::Apply`]. What it held will come again in a later session.
    pub fn apply_refused(&mut self, token: Token, why: &Error, out: &mut dyn Sink<Effect>) {
        if let Some(peer) = self.applies.iter().find(|applying| applying.token == token).map(|applying| applying.peer) {
            self.applies.retain(|applying| applying.peer != peer || applying.lsn.is_some());
            self.close(peer, refusal(why), out);
        }
    }

    /// The log has given up the records from `from` on, which it had taken.
    pub fn taken_back(&mut self, from: Lsn, why: &Error, out: &mut dyn Sink<Effect>) {
        let lost = |applying: &Applying| applying.lsn.is_none_or(|lsn| lsn >= from);
        let peers: Vec<PeerId> = self.applies.iter().filter(|a| lost(a)).map(|a| a.peer).collect();
        self.applies.retain(|applying| !lost(applying));
        self.collecting.take_if(|collecting| collecting.lsn >= from);
        self.settle_no_more_from(from);
        for peer in peers {
            self.close(peer, refusal(why), out);
        }
    }

    /// Everything up to `lsn` is durable, and the store shows it.
    pub fn durable(&mut self, now: Now, lsn: Lsn, store: &Store, out: &mut dyn Sink<Effect>) {
        self.durable = self.durable.max(lsn);
        let mut claims_more = false;
        while let Some(&(at, seq)) = self.own_pending.front()
            && at <= lsn
        {
            self.own_pending.pop_front();
            self.own_seq = seq;
            claims_more |= self.claims.include(Dot { replica: self.me.replica, seq });
        }
        while let Some(applying) = self.applies.pop_front_if(|first| first.lsn.is_some_and(|at| at <= lsn)) {
            claims_more |= self.complete(now, applying, out);
        }
        if claims_more {
            self.announce(now);
        }
        self.take_held(now, store, out);
        self.wake_all(out);
    }

    /// An [`Effect::Apply`] is durable. Says whether more is claimed now.
    fn complete(&mut self, now: Now, applying: Applying, out: &mut dyn Sink<Effect>) -> bool {
        let mut claims_more = false;
        for record in &applying.records {
            self.state.apply(record);
            if let SyncRecord::Cut(vector) = record {
                claims_more |= self.claims.join(vector);
            }
        }
        claims_more |= planted!("claimed_before_the_cut") && self.claims.join(&applying.met);
        self.state.met.join(&applying.met);
        for meeting in applying.conflicts.iter() {
            self.note_conflict(meeting, out);
        }
        if let Some(session) = self.sessions.get_mut(&applying.peer) {
            session.applying -= 1;
            session.taken_lsn = session.taken_lsn.max(applying.through);
            session.taken_bytes +=
                if planted!("credit_leaks") { applying.bytes - applying.bytes / 8 } else { applying.bytes };
            session.ack_at = Some(now.mono);
            if applying.ends_naming {
                session.full_in = Some(FullIn::Closing { durable: true });
            }
            if applying.ends_full {
                session.full_in = None;
                session.full_compared = false;
                let replica = session.replica();
                self.turns.completed(applying.peer, replica);
            }
        }
        self.turns.note_progress(now, applying.peer);
        self.note_advance(applying.peer, out);
        if applying.ends_full {
            self.floor_rose(out);
            self.refresh_direct(now, out);
        }
        if applying.drops {
            self.note_drops(applying.peer);
        }
        self.settle_owed(out);
        self.part_from_those_behind(now, out);
        claims_more
    }

    fn note_conflict(&mut self, meeting: &Meeting, out: &mut dyn Sink<Effect>) {
        let (policy, met) = (self.settings.conflict_policy, &meeting.met);
        let noted = self.state.conflicts.record(met, meeting.outcome);
        let Some(Noted { id, dropped }) = noted else { return };
        out.push(Effect::Event(Event::Conflict { id, key: met.key.clone() }));
        for (id, key) in dropped {
            out.push(Effect::Event(Event::ConflictDropped { id, key }));
        }
        if let Some(body) = met.resolution(policy) {
            let winner = if met.remote_wins() { met.remote.dot } else { met.local.dot };
            out.push(Effect::Resolve(Resolution { conflict: id, key: met.key.clone(), winner, body }));
        }
    }

    // Time.

    /// After [`Effect::AllReady`], and once for each: every peer that may have something to be sent, but for those of
    /// whom [`Effect::PeerReady`] has told.
    pub fn woken(&mut self) -> Vec<PeerId> {
        self.all_ready = false;
        let quiet = self.sessions.iter().filter(|(_, session)| session.is_open() && !session.announced);
        let woken: Vec<PeerId> = quiet.map(|(peer, _)| *peer).collect();
        for peer in &woken {
            if let Some(session) = self.sessions.get_mut(peer) {
                session.announced = true;
            }
        }
        woken
    }

    // Commands.

    /// Queues again what has failed, and says how many operations that were.
    pub fn retry(&mut self) -> u64 {
        let failed = self.outbox.failed_of(self.state.acknowledged, self.own_seq);
        self.outbox.requeue();
        failed
    }

    /// Gives up the bookkeeping of what is acknowledged, and says of how many operations. Nothing else is ever pruned.
    pub fn prune(&mut self, out: &mut dyn Sink<Effect>) -> u64 {
        let pruned = self.state.acknowledged - self.state.pruned;
        if pruned > 0 {
            self.persist(SyncRecord::Pruned(self.state.acknowledged), out);
        }
        pruned
    }

    /// What is to be written to settle a conflict: its winner again, or another body. The node writes it as a
    /// resolution.
    ///
    /// # Errors
    /// [`Code::NotFound`] when no such conflict is on record.
    pub fn resolution(&self, id: u64, body: Option<Body>) -> Result<Resolution, Error> {
        let Some(conflict) = self.state.conflicts.get(id) else {
            let what = format!("no conflict {id} is on record");
            return Err(Error::new(Code::NotFound, what, "list the conflicts to see their numbers"));
        };
        if conflict.outcome == Outcome::Resolved {
            let what = format!("conflict {id} is resolved already");
            return Err(Error::new(
                Code::InvalidState,
                what,
                "read the key, and write it if it is not as it should be",
            ));
        }
        let met = &conflict.met;
        let winner = if met.remote_wins() { &met.remote } else { &met.local };
        let body = body.unwrap_or_else(|| winner.body.clone());
        Ok(Resolution { conflict: id, key: met.key.clone(), winner: winner.dot, body })
    }

    /// Entries that crossed links, since the start.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    // Reading.

    /// Own writes are stamped above this too: it is the greatest stamp of a tombstone that somebody has collected.
    #[must_use]
    pub fn stamp_floor(&self) -> Stamp {
        // A peer may say anything.
        self.floor_stamp.min(Stamp::from_wall(WallTime(u64::MAX)))
    }

    /// The log of this replica.
    #[must_use]
    pub const fn log(&self) -> crate::ids::LogId {
        self.me.log
    }

    /// What this replica claims: its own operations and others' of which it holds the effect, durably.
    #[must_use]
    pub const fn vector(&self) -> &VersionVector {
        &self.claims
    }

    /// The state as of what is published, for the head of a snapshot. Applications that the log has taken up to `at`
    /// are in it.
    #[must_use]
    pub fn state_at(&self, at: Lsn) -> Cow<'_, State> {
        let mut state = Cow::Borrowed(&self.state);
        for applying in self.applies.iter().filter(|applying| applying.lsn.is_some_and(|lsn| lsn <= at)) {
            state.to_mut().met.join(&applying.met);
            for meeting in applying.conflicts.iter() {
                // Whatever this drops is told when it is durable.
                drop(state.to_mut().conflicts.record(&meeting.met, meeting.outcome));
            }
            for record in &applying.records {
                state.to_mut().apply(record);
            }
        }
        state
    }

    /// Groups of foreign entries on their way to durability.
    #[must_use]
    pub fn applying(&self) -> usize {
        self.applies.len()
    }

    /// Whether nothing is here that the vector does not claim, but for what is left of histories that are closed.
    #[must_use]
    pub fn is_exact(&self, store: &Store) -> bool {
        self.is_exact_with(&self.closed(), store)
    }

    /// Conflicts on record.
    #[must_use]
    pub const fn conflicts(&self) -> &super::Conflicts {
        &self.state.conflicts
    }

    // Shared by the other files.

    pub(super) fn new_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    pub(super) fn persist(&mut self, record: SyncRecord, out: &mut dyn Sink<Effect>) {
        self.state.apply(&record);
        out.push(Effect::Persist(record));
    }

    pub(super) fn wake(&mut self, peer: PeerId, out: &mut dyn Sink<Effect>) {
        if let Some(session) = self.sessions.get_mut(&peer)
            && !session.announced
        {
            session.announced = true;
            out.push(Effect::PeerReady(peer));
        }
    }

    pub(super) fn wake_all(&mut self, out: &mut dyn Sink<Effect>) {
        if !self.sessions.is_empty() && !core::mem::replace(&mut self.all_ready, true) {
            out.push(Effect::AllReady);
        }
    }

    pub(super) fn note_advance(&mut self, peer: PeerId, out: &mut dyn Sink<Effect>) {
        if let Some(session) = self.sessions.get_mut(&peer)
            && !core::mem::replace(&mut session.advanced, true)
        {
            out.push(Effect::Progressed(peer));
        }
    }

    /// More is claimed than before: everybody hears of it soon.
    pub(super) fn announce(&mut self, now: Now) {
        if !self.sessions.is_empty() {
            self.announce_due.get_or_insert(now.mono + self.settings.announce_delay);
        }
    }
}
