//! What flows between this node and others: foreign operations are taken in here, through the same log as own ones, and
//! what sync wants kept is logged.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use super::history::Reach;
use super::journal::Journal;
use super::types::{Event, Output, RequestId, Ticked, Write};
use super::writes::{is_stuck, refusal};
use super::{Health, Node};
use crate::error::{Code, Error};
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::sync::{self, Apply, Burial, Effect, Logged, Resolution, SyncRecord, carry_out};
use crate::time::Now;
use crate::wal::AppendError;
use crate::wal::format::{Loggable, Record, put_foreign, put_sync};

/// What sync wants written.
enum Again<'a> {
    /// The present value, and what it repeats.
    Value(&'a Bytes, Option<Dot>),
    /// A deletion of this version: it was deleted before, so this one is to win over nothing else.
    Deleted(&'a Bytes, Dot),
    /// A deletion over what is about to come in.
    Burial(&'a Burial),
}

impl Again<'_> {
    const fn key(&self) -> &Bytes {
        match self {
            Self::Value(key, _) | Self::Deleted(key, _) => key,
            Self::Burial(burial) => &burial.key,
        }
    }
}

/// Bytes written again in one group, about.
const WRITTEN_AGAIN: usize = 4 << 20;

/// What sync waits for.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What tells this run from others. It is logged ahead of the first other record, so that a run which only reads
    /// leaves the disk alone.
    run: Vec<Record>,
    /// Where `run` was logged. It is kept until it is durable, for a log without room gives up what it had taken.
    run_at: Option<Lsn>,
    /// Foreign operations that wait for room in the log.
    held: VecDeque<Apply>,
    collect_due: bool,
}

impl Exchange {
    /// Begins with what the engine asked for when it was made.
    pub(super) fn new(first: Vec<Effect>) -> Self {
        Self { run: records(first), run_at: None, held: VecDeque::new(), collect_due: false }
    }

    /// The same for a new engine, with what has to be logged ahead of that.
    pub(super) fn begin_anew(&mut self, ahead: Vec<Record>, first: Vec<Effect>) {
        *self = Self { run: ahead, ..Self::new(Vec::new()) };
        self.run.extend(records(first));
    }
}

fn records(effects: Vec<Effect>) -> Vec<Record> {
    let records = effects.iter().filter_map(|effect| match effect {
        Effect::Persist(record) => Some(sync_record(record)),
        _ => None,
    });
    records.collect()
}

pub(super) fn sync_record(record: &SyncRecord) -> Record {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    Record::Sync(bytes.into())
}

impl Node {
    /// Sync as a whole. Counting lags looks at the feed: not for every message.
    #[must_use]
    pub fn sync_status(&self) -> sync::Status {
        self.engine.status(&self.store)
    }

    /// What is under way to peers, at a glance.
    #[must_use]
    pub fn load(&self) -> sync::Load {
        self.engine.load()
    }

    /// What this node claims to hold durably: operations, or what superseded them.
    #[must_use]
    pub const fn claims(&self) -> &crate::context::VersionVector {
        self.engine.vector()
    }

    /// What goes for good with the collection that is on its way into the log: the dots merged into its tombstones.
    #[must_use]
    pub fn collecting(&self) -> Option<&crate::context::VersionVector> {
        self.engine.collecting_dots()
    }

    /// The conflicts on record.
    #[must_use]
    pub const fn conflicts(&self) -> &sync::Conflicts {
        self.engine.conflicts()
    }

    /// Settles a conflict: with its winner as it stands, or with another body. Answered by
    /// [`super::Reply::Written`].
    ///
    /// # Errors
    /// [`Code::NotFound`] when no such conflict is on record, [`Code::InvalidState`] when the key was written since,
    /// and those of [`Node::write`].
    pub fn resolve(&mut self, now: Now, id: u64, body: Option<Body>) -> Result<RequestId, Error> {
        self.check_health()?;
        let resolution = self.engine.resolution(id, body)?;
        match self.winner_of(&resolution) {
            Some(winner) if winner == resolution.winner || planted!("settled_over_a_later_write") => {}
            // The winner was a removal, and everybody has seen it: nothing is left of the key.
            None => {}
            Some(winner) => return Err(self.not_the_last_word(id, &resolution, winner)),
        }
        let request = self.write_marked(now, alloc::vec![write_of(&resolution)], true)?;
        Ok(request)
    }

    /// Why conflict `id` cannot be resolved while `winner` stands, which it knows nothing of.
    fn not_the_last_word(&self, id: u64, resolution: &Resolution, winner: Dot) -> Error {
        let above = self.engine.conflicts().iter().rev().find(|conflict| {
            let (local, remote) = (conflict.met.local.dot, conflict.met.remote.dot);
            conflict.met.key == resolution.key && conflict.id != id && (local == winner || remote == winner)
        });
        match above {
            Some(above) => Error::new(
                Code::InvalidState,
                alloc::format!("conflict {} of the same key stands above conflict {id}", above.id),
                "resolve that one: it settles the others of this key",
            ),
            None => Error::new(
                Code::InvalidState,
                alloc::format!("the key of conflict {id} was written since, by somebody who had seen it"),
                "read the key, and write it if it is not as it should be",
            ),
        }
    }

    /// Queues again what has failed, dials every wanted peer at once, and says how many operations were queued.
    pub fn retry(&mut self, now: Now) -> u64 {
        let retried = self.engine.retry();
        self.dial_again(now);
        retried
    }

    /// Gives up the bookkeeping of acknowledged operations, and says of how many.
    pub fn prune(&mut self, now: Now) -> u64 {
        let pruned = self.engine.prune(&mut self.steps);
        self.route_steps(now);
        pruned
    }

    /// One round of delivery by hand: queues again what has failed, prunes if asked to, and sends what is ready over the
    /// links there are.
    pub fn tick(&mut self, now: Now, prune: bool) -> Ticked {
        let retried = self.retry(now);
        let pruned = if prune { self.prune(now) } else { 0 };
        let batch = self.engine.outbox_status().queued;
        let before = self.engine.traffic().sent;
        self.push_all(now);
        let sent = self.engine.traffic().sent - before;
        Ticked { retried, pruned, batch, sent, connected: self.links.connected() }
    }

    /// Retires a replica: it no longer counts for acknowledgements, nor holds back the collection of tombstones.
    ///
    /// # Errors
    /// [`Code::NotFound`] when no such replica is known.
    pub fn forget_replica(&mut self, now: Now, replica: ReplicaId) -> Result<(), Error> {
        self.engine.forget(now, replica, &mut self.steps)?;
        self.route_steps(now);
        Ok(())
    }

    pub(super) fn sync_effect(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::PeerReady(peer) => self.links.mark_ready(peer),
            Effect::AllReady => self.links.mark_all_ready(),
            Effect::Progressed(peer) => self.links.note_progress(peer),
            Effect::Apply(apply) => {
                self.exchange.held.push_back(apply);
                self.take_in(now);
            }
            Effect::Persist(record) => {
                if self.append_sync(now, &record).is_some() {
                    self.settle_memory(now);
                }
            }
            Effect::CollectDue => {
                self.exchange.collect_due = true;
                self.collect(now);
            }
            Effect::Close { peer, reason, retry_after } => self.end_session(now, peer, reason, retry_after),
            Effect::Resolve(resolution) => {
                if self.winner_of(&resolution) == Some(resolution.winner) && self.check_health().is_ok() {
                    self.write_resolution(now, &resolution);
                }
            }
            Effect::Rebirth(finding) => self.begin_rebirth(finding),
            Effect::Event(event) => self.outputs.push_back(Output::Event(Event::Sync(event))),
        }
    }

    /// Logs what makes this run known, if that has not been done. Nothing else may be logged before.
    pub(super) fn begin_run(&mut self, now: Now) -> Result<(), AppendError> {
        if self.exchange.run.is_empty() || self.exchange.run_at.is_some() {
            return Ok(());
        }
        self.exchange.run_at = Some(self.journal.append(&self.exchange.run)?);
        self.settle_memory(now);
        Ok(())
    }

    /// Hands a record of sync to the log. Nothing waits for it: if the log takes none now, it will be said again or is
    /// not needed.
    fn append_sync(&mut self, now: Now, record: &SyncRecord) -> Option<Lsn> {
        self.begin_run(now).ok()?;
        self.journal.append(core::slice::from_ref(&sync_record(record))).ok()
    }

    /// Without a log everything is as durable as it gets at once.
    pub(super) fn settle_memory(&mut self, now: Now) {
        if let Journal::Memory { last } = self.journal {
            self.publish(last);
            self.engine.durable(now, last, &self.store, &mut self.steps);
        }
    }

    /// Everything up to `through` is durable.
    pub(super) fn now_durable(&mut self, now: Now, through: Lsn) {
        if self.exchange.run_at.is_some_and(|at| at <= through) {
            self.exchange.run.clear();
        }
        self.engine.durable(now, through, &self.store, &mut self.steps);
        self.take_in(now);
        self.collect(now);
    }

    /// Takes in the foreign operations that wait, as far as the log has room.
    fn take_in(&mut self, now: Now) {
        while let Some(mut apply) = self.exchange.held.pop_front() {
            if !self.engine.still_wanted(apply.token) {
                continue;
            }
            if let Err(error) = self.check_health() {
                self.engine.apply_refused(apply.token, &error, &mut self.steps);
                continue;
            }
            match self.apply(now, &mut apply) {
                Ok(()) => {}
                Err(AppendError::Full) => {
                    self.exchange.held.push_front(apply);
                    return;
                }
                Err(error) => self.engine.apply_refused(apply.token, &refusal(&error), &mut self.steps),
            }
        }
    }

    /// Stages foreign operations and gathers them in the log as one group. On refusal everything is as before, but for what
    /// was written again: that need not be any more.
    pub(super) fn apply(&mut self, now: Now, apply: &mut Apply) -> Result<(), AppendError> {
        self.begin_run(now)?;
        self.write_again(now, apply)?;
        let first = self.journal.accepted().next();
        for item in &apply.items {
            self.history.clock.adopt(item.op.stamp, now.wall, self.config.max_clock_drift);
        }
        let carried = carry_out(&mut self.store, first, apply);
        let group = &carried.logged;
        let is_logged = !group.is_empty();
        let last = if is_logged { self.journal.append(group) } else { Ok(self.journal.accepted()) };
        match last {
            Ok(last) => {
                self.engine.applied(now, apply.token, last, carried, &self.store, &mut self.steps);
                for item in apply.items.iter().filter(|_| is_logged) {
                    self.engine.settle_conflicts(last, &item.op, false);
                }
                self.settle_memory(now);
                Ok(())
            }
            Err(error) => {
                self.store.discard_staged(first);
                Err(error)
            }
        }
    }

    /// Writes the present values of some keys again, and deletes others, as own operations. Where the log has no room for all of
    /// them, the rest is to be tried once more: values that were written are asked for no longer, or they would be written anew
    /// each time, and take the room of the rest for ever. Of deletions only those that are still due are written anyway.
    pub(super) fn write_again(&mut self, now: Now, apply: &mut Apply) -> Result<(), AppendError> {
        let mut done = 0;
        let written = self.write_as_many_again(now, apply, &mut done);
        apply.reissue.drain(..done.min(apply.reissue.len()));
        written
    }

    /// Counts in `done` what was written, or need not be.
    fn write_as_many_again(&mut self, now: Now, apply: &Apply, done: &mut usize) -> Result<(), AppendError> {
        let again = apply.reissue.iter().map(|(key, repeats)| Again::Value(key, *repeats));
        let deleted: Vec<Again<'_>> =
            apply.deletions(&self.store).map(|(dot, key)| Again::Deleted(key, *dot)).collect();
        let mut all = again.chain(deleted).chain(apply.burials.iter().map(Again::Burial));
        loop {
            let first = self.journal.accepted().next();
            let before = self.history.reach;
            let (mut group, mut reaches, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut tried = *done;
            while bytes < WRITTEN_AGAIN
                && let Some(again) = all.next()
            {
                tried += 1;
                let lsn = Lsn(first.0 + group.len() as u64);
                let Some(op) = self.issue_again(now, lsn, &again) else { continue };
                bytes += op.key.len() + op.body.value().map_or(0, Bytes::len);
                reaches.push((lsn, self.history.reach));
                group.push(Record::Own(op));
            }
            if group.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.journal.append(&group) {
                self.store.discard_staged(first);
                self.history.reach = before;
                return Err(error);
            }
            *done = tried;
            self.accepted.extend(reaches);
            self.note_settled(first, &group);
        }
    }

    /// Issues and stages one of them; `None` if there is nothing to write any more.
    fn issue_again(&mut self, now: Now, lsn: Lsn, again: &Again<'_>) -> Option<Operation> {
        let seat = self.store.seat(again.key());
        let latest = self.store.seated(seat);
        let (stamp, context, marks) = match again {
            Again::Value(key, repeats) => {
                // A deletion that came in between leaves no doubt.
                let latest = latest.filter(|latest| !latest.is_tombstone())?;
                let repeats = repeats.filter(|repeats| latest.origin() == *repeats);
                let write = write((*key).clone(), latest.body());
                return Some(self.issue(now, lsn, write, seat, Marks { repeats, ..Marks::default() }).0);
            }
            Again::Deleted(_, dot) => {
                let latest = latest.filter(|latest| latest.dot() == *dot && !latest.is_tombstone())?;
                (latest.stamp().after(), latest.known(), Marks { lifted: true, ..Marks::default() })
            }
            Again::Burial(burial) => {
                let (stamp, context) = burial.over(latest.as_ref())?;
                (stamp, context, burial.marks())
            }
        };
        let (dot, key) = (self.history.next_dot(), again.key().clone());
        let op = Operation { dot, stamp, context, key, body: Body::Delete, marks };
        self.stage_own(lsn, seat, &op);
        Some(op)
    }

    /// The log has taken these records from `first` on: what is own among them may settle conflicts.
    pub(super) fn note_settled(&mut self, first: Lsn, group: &[Record]) {
        for (lsn, record) in (first.0..).map(Lsn).zip(group) {
            if let Record::Own(op) = record {
                self.engine.settle_conflicts(lsn, op, true);
            }
        }
    }

    /// The log has given up the records from `from` on.
    pub(super) fn sync_taken_back(&mut self, from: Lsn, why: &Error) {
        if self.exchange.run_at.is_some_and(|at| at >= from) {
            self.exchange.run_at = None;
        }
        self.engine.taken_back(from, why, &mut self.steps);
    }

    /// Collects tombstones, if that is due and nothing is on its way.
    fn collect(&mut self, now: Now) {
        if !self.exchange.collect_due || self.store.staged_len() > 0 || self.health != Health::Ready {
            return;
        }
        self.exchange.collect_due = false;
        let Some(record) = self.engine.plan_collection(now, &self.store) else { return };
        if let Some(lsn) = self.append_sync(now, &record) {
            self.engine.collecting(lsn, record, &mut self.store, &mut self.steps);
            self.settle_memory(now);
        }
    }

    fn winner_of(&self, resolution: &Resolution) -> Option<Dot> {
        self.store.latest(&resolution.key).map(|entry| entry.dot())
    }

    /// Writes what a policy wants. Should the log not take it, the conflict stands as the merge has settled it.
    fn write_resolution(&mut self, now: Now, resolution: &Resolution) {
        let seat = self.store.seat(&resolution.key);
        let stuck = self.store.seated(seat).is_some_and(|entry| is_stuck(&entry));
        if stuck || self.begin_run(now).is_err() {
            return;
        }
        let before: Reach = self.history.reach;
        let first = self.journal.accepted().next();
        let marks = Marks { resolution: true, ..Marks::default() };
        let (op, _) = self.issue(now, first, write_of(resolution), seat, marks);
        let group = [Record::Own(op)];
        match self.journal.append(&group) {
            Ok(lsn) => {
                self.note_settled(first, &group);
                self.accepted.push_back((lsn, self.history.reach));
                self.settle_memory(now);
            }
            Err(_) => {
                self.store.discard_staged(first);
                if !planted!("seq_lost_with_a_refused_resolution") {
                    self.history.reach = before;
                }
            }
        }
    }
}

impl Loggable for Logged<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Foreign(op) => put_foreign(out, op),
            Self::Given(record) => put_sync(out, |out| record.encode(out)),
            Self::Sync(record) => put_sync(out, |out| record.encode(out)),
        }
    }
}

fn write_of(resolution: &Resolution) -> Write {
    write(resolution.key.clone(), resolution.body.clone())
}

fn write(key: Bytes, body: Body) -> Write {
    match body {
        Body::Put(value) => Write::Put { key, value, expect: None, touch: true },
        Body::Delete => Write::Delete { key, expect: None },
    }
}
