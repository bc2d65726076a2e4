//! The write path: judge, stage, gather, and later publish, take back or degrade.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::history::Reach;
use super::journal::Journal;
use super::types::{Degraded, Event, Outcome, Output, Reply, RequestId, Write, Written};
use super::waiting::Waiting;
use super::{Health, Node};
use crate::cells::Cells;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::disk::{DiskError, DiskErrorKind};
use crate::error::{Code, Error, LocalState};
use crate::ids::Lsn;
use crate::limits::{MAX_BATCH_OPS, MAX_KEY_LEN};
use crate::op::{Body, Marks, Operation};
use crate::store::{Entry, Merge, Seat};
use crate::time::Now;
use crate::wal::format::Record;
use crate::wal::{AppendError, Poison};

/// What a key looks like to the next write: the latest state, with earlier writes of the same batch on top.
struct View<'a> {
    value: Option<&'a [u8]>,
    version: u64,
    changed: Lsn,
}

impl<'a> View<'a> {
    fn of(entry: Option<Entry<'a>>) -> Self {
        match entry {
            Some(entry) => Self { value: entry.value(), version: entry.version(), changed: entry.changed() },
            None => Self { value: None, version: 0, changed: Lsn::ZERO },
        }
    }

    /// The version a condition is compared with: an absent key has version 0.
    const fn visible_version(&self) -> u64 {
        if self.value.is_some() { self.version } else { 0 }
    }
}

/// Memory that every write uses anew.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    seats: Vec<Seat>,
    effects: Vec<Effect>,
    group: Vec<Record>,
    ahead: Cells,
}

impl Scratch {
    /// A rare huge batch must not keep its memory for ever.
    const KEEP: usize = 1024;

    fn cleared(mut self) -> Self {
        if self.seats.capacity() > Self::KEEP {
            return Self::default();
        }
        self.seats.clear();
        self.effects.clear();
        self.group.clear();
        self.ahead.clear();
        self
    }
}

/// What one write of a batch does.
#[derive(Clone, Copy, Debug)]
struct Effect {
    /// It writes something.
    changes: bool,
    /// The batch has written its key before.
    again: bool,
}

impl Node {
    /// Writes a batch, all of it or nothing. The reply names what happened to each key, in order.
    ///
    /// Conditions are judged against the state before the batch; if one fails, nothing is written and the reply is
    /// [`Code::VersionMismatch`]. A put of the value that is there already writes nothing unless `touch` is set. Even
    /// an answer that writes nothing waits until the state it speaks of is durable.
    ///
    /// # Errors
    /// Refused at once, with nothing changed: [`Code::InvalidArgument`] (empty or oversize key, oversize value, empty
    /// or oversize batch), [`Code::Overloaded`], [`Code::DiskFull`], [`Code::Degraded`], [`Code::InvalidState`] when
    /// closing.
    pub fn write(&mut self, now: Now, writes: Vec<Write>) -> Result<RequestId, Error> {
        self.write_marked(now, writes, false)
    }

    /// As [`Self::write`]; `resolution` marks operations that settle a conflict.
    pub(super) fn write_marked(&mut self, now: Now, writes: Vec<Write>, resolution: bool) -> Result<RequestId, Error> {
        let bytes = self.check_arguments(&writes)?;
        self.check_health()?;
        let full = self.waiting_bytes > 0 && self.waiting_bytes + bytes > self.config.max_pending_bytes;
        if full && !planted!("overload_unbounded") {
            return Err(Error::new(
                Code::Overloaded,
                format!("{} bytes of writes wait for the disk already", self.waiting_bytes),
                "retry when earlier writes are answered",
            ));
        }
        match self.park(writes, resolution, bytes) {
            Ok(request) => Ok(request),
            Err(writes) => {
                let request = self.new_request();
                self.admit(now, request, writes, resolution, bytes)?;
                Ok(request)
            }
        }
    }

    /// Judges and accepts a batch whose arguments are good; `request` will be answered.
    pub(super) fn admit(
        &mut self,
        now: Now,
        request: RequestId,
        writes: Vec<Write>,
        resolution: bool,
        bytes: usize,
    ) -> Result<(), Error> {
        let mut scratch = core::mem::take(&mut self.scratch);
        let judged = self.judge_and_accept(now, writes, resolution, &mut scratch);
        self.scratch = scratch.cleared();
        let (lsn, result) = judged?;
        self.waiting.insert(lsn, request, Waiting { result, bytes });
        self.waiting_bytes += bytes;
        match &self.journal {
            Journal::Log(_) => self.answer_through(self.published),
            Journal::Memory { .. } => {
                self.settle_memory(now);
                self.answer_through(self.published);
                self.route_steps(now);
            }
        }
        Ok(())
    }

    /// Gives the LSN that must be published before the answer is true, and the answer.
    fn judge_and_accept(
        &mut self,
        now: Now,
        writes: Vec<Write>,
        resolution: bool,
        scratch: &mut Scratch,
    ) -> Result<(Lsn, Result<Vec<Written>, Error>), Error> {
        scratch.seats.extend(writes.iter().map(|write| self.store.seat(write.key())));
        let (settled, verdict) = self.judge(&writes, &scratch.seats);
        let settled = if planted!("unchanged_answered_early") { Lsn::ZERO } else { settled };
        if let Err(mismatch) = verdict {
            return Ok((settled, Err(mismatch)));
        }
        let (lsn, written) = self.accept(now, writes, resolution, scratch)?;
        Ok((settled.max(lsn), Ok(written)))
    }

    fn check_arguments(&self, writes: &[Write]) -> Result<usize, Error> {
        let refuse = |what: String| Err(Error::new(Code::InvalidArgument, what, "correct the argument"));
        if writes.is_empty() {
            return refuse("the batch is empty".to_string());
        }
        if writes.len() > MAX_BATCH_OPS {
            return refuse(format!("the batch has {} writes, more than {MAX_BATCH_OPS}", writes.len()));
        }
        for write in writes {
            let key = write.key().len();
            if key == 0 {
                return refuse("the key is empty".to_string());
            }
            if key > MAX_KEY_LEN {
                return refuse(format!("the key has {key} bytes, more than {MAX_KEY_LEN}"));
            }
            if let Write::Put { value, .. } = write
                && value.len() > self.config.max_value_len
            {
                let most = self.config.max_value_len;
                return Err(Error::new(
                    Code::InvalidArgument,
                    format!("the value has {} bytes, more than the {most} that this node takes", value.len()),
                    "store it in parts, or open the node with a greater max_value_len",
                ));
            }
        }
        Ok(writes.iter().map(Write::size).sum())
    }

    pub(super) fn check_health(&self) -> Result<(), Error> {
        match &self.health {
            // A full disk is tried again with every write, so that room is noticed at once.
            Health::Ready | Health::DiskFull => Ok(()),
            Health::Degraded(degraded) => Err(Error::new(
                Code::Degraded,
                format!("writes are refused since {}", degraded.what),
                "reopen the node; reads go on",
            )),
            Health::Closing => {
                Err(Error::new(Code::InvalidState, "the node is closing", "open it again to write to it"))
            }
        }
    }

    /// Judges the conditions, and says up to which LSN the state spoken of must be published before an answer is true.
    fn judge(&self, writes: &[Write], seats: &[Seat]) -> (Lsn, Result<(), Error>) {
        let mut settled = Lsn::ZERO;
        let mut verdict = Ok(());
        for (write, seat) in writes.iter().zip(seats) {
            let found = match planted!("condition_read_too_early") {
                true => self.store.entry(write.key()),
                false => self.store.seated(*seat),
            };
            let view = View::of(found);
            settled = settled.max(view.changed);
            let found = view.visible_version();
            if let Some(expected) = write.expect()
                && expected != found
                && verdict.is_ok()
            {
                let key = String::from_utf8_lossy(write.key());
                verdict = Err(Error::new(
                    Code::VersionMismatch,
                    format!("key {key} has version {found}, not the expected {expected}; nothing was written"),
                    "read the key and decide again",
                ));
            }
        }
        (settled, verdict)
    }

    /// For each write, what it does: later writes of a batch see the earlier ones. A resolution is written even if it is what
    /// stands already: others learn by it that somebody has seen both versions.
    fn effects(
        &self,
        writes: &[Write],
        seats: &[Seat],
        resolution: bool,
        effects: &mut Vec<Effect>,
        ahead: &mut Cells,
    ) {
        let alone = writes.len() == 1;
        for (number, (write, seat)) in (0..).zip(writes.iter().zip(seats)) {
            let write_at = |number: u32| writes.get(number as usize);
            let has_this_key = |number| write_at(number).is_some_and(|other| other.key() == write.key());
            let earlier = if alone { None } else { ahead.find(seat.hash(), has_this_key) };
            let value = match earlier.and_then(write_at) {
                Some(earlier) => earlier.value(),
                None => self.store.seated(*seat).and_then(|entry| entry.value()),
            };
            let changes = match write {
                Write::Put { value: new, touch, .. } => *touch || value != Some(&new[..]),
                Write::Delete { .. } => value.is_some(),
            };
            match earlier {
                _ if alone => {}
                Some(earlier) => ahead.replace(seat.hash(), earlier, number),
                None => ahead.insert(seat.hash(), number),
            }
            effects.push(Effect { changes: changes || resolution, again: earlier.is_some() });
        }
    }

    /// What peers would refuse is not written. Only a version that was taken in before entries were judged can stand so far
    /// ahead.
    fn check_stamps(&self, writes: &[Write], seats: &[Seat], effects: &[Effect]) -> Result<(), Error> {
        let is_stuck = |seat| self.store.seated(seat).is_some_and(|entry| is_stuck(&entry));
        let mut all = writes.iter().zip(seats).zip(effects);
        let stuck = all.find(|((_, seat), effect)| effect.changes && is_stuck(**seat)).map(|((write, _), _)| write);
        match stuck {
            None => Ok(()),
            Some(write) => Err(Error::new(
                Code::StoreError,
                format!("stamp_out_of_range: key {} stands beyond all clocks", String::from_utf8_lossy(write.key())),
                "use another key, and find out who wrote this one: no clock shows such a stamp",
            )),
        }
    }

    /// Issues, stages and gathers what the batch changes. On refusal everything is as before.
    fn accept(
        &mut self,
        now: Now,
        writes: Vec<Write>,
        resolution: bool,
        Scratch { seats, effects, group, ahead }: &mut Scratch,
    ) -> Result<(Lsn, Vec<Written>), Error> {
        self.effects(&writes, seats, resolution, effects, ahead);
        self.check_stamps(&writes, seats, effects)?;
        let last_effective = effects.iter().rposition(|effect| effect.changes);
        if last_effective.is_some() {
            self.begin_run(now).map_err(|error| refusal(&error))?;
        }
        let first = self.journal.accepted().next();
        let before = self.history.reach;

        let accepted_before = self.accepted.len();
        let mut written = Vec::with_capacity(writes.len());
        let mut lsn = self.journal.accepted();
        for (index, ((write, seat), effect)) in writes.into_iter().zip(&*seats).zip(&*effects).enumerate() {
            let seat = if effect.again { self.store.seat(write.key()) } else { *seat };
            if effect.changes {
                lsn = lsn.next();
                let batch_continues = last_effective != Some(index);
                let marks = Marks { batch_continues, resolution, ..Marks::default() };
                let (op, done) = self.issue(now, lsn, write, seat, marks);
                written.push(done);
                self.accepted.push_back((lsn, self.history.reach));
                group.push(Record::Own(op));
            } else {
                let view = View::of(self.store.seated(seat));
                let outcome = match write {
                    Write::Put { .. } => Outcome::Unchanged,
                    Write::Delete { .. } => Outcome::Absent,
                };
                written.push(Written { outcome, version: view.version, lsn: view.changed });
            }
        }
        if group.is_empty() {
            return Ok((Lsn::ZERO, written));
        }
        match self.journal.append(group) {
            Ok(last) => {
                if planted!("applied_before_durable") {
                    self.store.publish(last);
                }
                debug_assert_eq!(last, lsn, "the log counts as the node does");
                self.note_settled(first, group);
                Ok((last, written))
            }
            Err(error) => {
                self.store.discard_staged(first);
                self.accepted.truncate(accepted_before);
                self.history.reach = before;
                Err(refusal(&error))
            }
        }
    }

    /// Gives a write its dot, its stamp above what it overwrites and above every tombstone that is gone, and its
    /// context, and stages it.
    pub(super) fn issue(&mut self, now: Now, lsn: Lsn, write: Write, seat: Seat, marks: Marks) -> (Operation, Written) {
        let latest = self.store.seated(seat);
        let above = latest.as_ref().map(Entry::stamp).max(Some(self.engine.stamp_floor()));
        let above = if planted!("stamped_by_the_clock_alone") { None } else { above };
        let issued = self.history.clock.issue(now.wall, above);
        let seen = latest.as_ref().filter(|_| !planted!("context_forgotten"));
        let context = seen.map(Entry::known).unwrap_or_default();
        let (key, body) = match write {
            Write::Put { key, value, .. } => (key, Body::Put(value)),
            Write::Delete { key, .. } => (key, Body::Delete),
        };
        let op = Operation {
            dot: self.history.next_dot(),
            stamp: issued.stamp,
            context,
            key,
            body,
            marks: Marks { lifted: issued.lifted, ..marks },
        };
        let written = self.stage_own(lsn, seat, &op);
        (op, written)
    }

    /// Stages an operation that comes next in the own history, and has seen all that it overwrites.
    pub(super) fn stage_own(&mut self, lsn: Lsn, seat: Seat, op: &Operation) -> Written {
        let Reach { seq, chain } = self.history.reach;
        let content_hash = op.body.content_hash();
        self.history.reach = Reach { seq: seq + 1, chain: chain.extend(op, content_hash) };
        match (self.store.stage_at(seat, lsn, op, content_hash, &VersionVector::EMPTY), &op.body) {
            (Merge::Applied { version, .. }, Body::Delete) => Written { outcome: Outcome::Deleted, version, lsn },
            (Merge::Applied { version, created: true, .. }, _) => Written { outcome: Outcome::Created, version, lsn },
            (Merge::Applied { version, .. }, _) => Written { outcome: Outcome::Updated, version, lsn },
            (Merge::Superseded | Merge::Duplicate, _) => {
                unreachable!("a new own operation has seen all it overwrites")
            }
        }
    }

    /// The log says that everything up to `through` is accepted for good: shows it and answers for it.
    pub(super) fn publish(&mut self, through: Lsn) {
        if through > self.published {
            self.store.publish(through);
            self.published = through;
            while let Some(&(lsn, reach)) = self.accepted.front()
                && lsn <= through
            {
                self.accepted.pop_front();
                self.published_reach = reach;
                self.engine.own_published(lsn, reach.seq, reach.chain);
            }
            self.engine.published(through, &mut self.steps);
            self.outputs.push_back(Output::Published(through));
        }
        self.answer_through(through);
    }

    fn answer_through(&mut self, through: Lsn) {
        while let Some((request, Waiting { result, bytes })) = self.waiting.pop_through(through) {
            self.waiting_bytes -= bytes;
            self.reply(request, result.map(Reply::Written));
        }
    }

    /// There was no room for the records from `from` on: they were never written, so their dots are free again.
    pub(super) fn take_back(&mut self, from: Lsn, error: &DiskError) {
        self.store.discard_staged(from);
        while self.accepted.back().is_some_and(|&(lsn, _)| lsn >= from) {
            self.accepted.pop_back();
        }
        self.history.reach = self.accepted.back().map_or(self.published_reach, |&(_, reach)| reach);
        self.fail_waiting(from, |_| refused_for_room(error));
        for (_, request) in core::mem::take(&mut self.flushes) {
            self.reply(request, Err(refused_for_room(error)));
        }
        self.sync_taken_back(from, &refused_for_room(error));
    }

    /// The log is poisoned: nothing that was not yet answered is shown, and no write is taken until the node is
    /// reopened.
    pub(super) fn degrade(&mut self, poison: &Poison) {
        let what = format!("{} failed: {}", poison.during, poison.error);
        let degraded = Degraded { what: what.clone(), doubtful: poison.doubtful };
        self.store.discard_staged(self.published.next());
        self.accepted.clear();
        self.history.reach = self.published_reach;
        self.health = Health::Degraded(degraded.clone());
        self.outputs.push_back(Output::Event(Event::Degraded(degraded)));

        let code = if poison.error.kind == DiskErrorKind::NoSpace { Code::DiskFull } else { Code::IoError };
        let failed = |lsn: Lsn| {
            let doubtful = poison.doubtful.is_some_and(|(first, last)| first <= lsn && lsn <= last);
            let error = Error::new(code, what.clone(), "reopen the node; reads go on");
            if doubtful && !planted!("doubtful_said_failed") { error.with_local(LocalState::Unknown) } else { error }
        };
        self.fail_waiting(Lsn::ZERO, failed);
        for (through, request) in core::mem::take(&mut self.flushes) {
            self.reply(request, Err(failed(through)));
        }
        self.fail_snapshot_requests(&what);
        let error = Error::new(Code::Degraded, what, "reopen the node; reads go on");
        self.sync_taken_back(Lsn::ZERO, &error);
    }

    fn fail_waiting(&mut self, from: Lsn, error: impl Fn(Lsn) -> Error) {
        for ((lsn, request), Waiting { bytes, .. }) in self.waiting.split_off(from) {
            self.waiting_bytes -= bytes;
            self.reply(request, Err(error(lsn)));
        }
    }
}

/// Whether what overwrites this entry would be stamped where peers refuse it.
pub(super) fn is_stuck(entry: &Entry<'_>) -> bool {
    entry.stamp() >= Stamp::HORIZON && entry.stamp() >= Operation::stamp_limit(&entry.known())
}

fn refused_for_room(error: &DiskError) -> Error {
    let what = format!("no room for more of the log: {error}");
    if error.kind == DiskErrorKind::TooManyFiles {
        return Error::new(Code::IoError, what, "close files or raise the limit on open files, and retry");
    }
    let code = if error.kind == DiskErrorKind::NoSpace { Code::DiskFull } else { Code::IoError };
    Error::new(code, what, "make room on the disk and retry")
}

pub(super) fn refusal(error: &AppendError) -> Error {
    match error {
        AppendError::Full => {
            Error::new(Code::Overloaded, "the log's buffer is full", "retry when earlier writes are answered")
        }
        AppendError::TooLarge { .. } => Error::new(Code::InvalidArgument, error.to_string(), "split the batch"),
        AppendError::Poisoned => {
            Error::new(Code::Degraded, "an earlier failure stopped the log", "reopen the node; reads go on")
        }
        AppendError::Closing => Error::new(Code::InvalidState, "the node is closing", "open it again to write to it"),
    }
}
