//! One replica of the cluster: an engine, a store, and a log that can crash.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::clock::{Hlc, Stamp};
use crate::dice::Dice;
use crate::error::{Code, Error};
use crate::ids::{Dot, Lsn, Seq};
use crate::op::{Body, Chain, Marks, Operation};
use crate::store::Store;
use crate::sync::{
    Apply, CloseReason, Contest, Effect, Engine, Event, Finding, Identity, Logged, Settings, State, SyncRecord,
    carry_out,
};
use crate::time::{Now, WallTime};

#[derive(Clone, Debug)]
pub(super) enum Logs {
    Own(Operation),
    Foreign(Operation),
    Sync(SyncRecord),
}

/// What a snapshot holds, and the LSN from which the log is replayed.
#[derive(Clone, Debug)]
struct Snapshot {
    at: Lsn,
    blocks: Vec<(u32, Bytes)>,
    state: Bytes,
    reach: (Seq, Chain),
    clock: Stamp,
}

pub(super) struct Replica {
    pub(super) identity: Identity,
    pub(super) settings: Settings,
    pub(super) engine: Engine,
    pub(super) store: Store,
    /// LSN 1 stands first.
    pub(super) log: Vec<Logs>,
    durable: usize,
    published: usize,
    snapshot: Option<Snapshot>,
    /// The head of a snapshot that is being written.
    draft: Option<Snapshot>,
    clock: Hlc,
    reach: (Seq, Chain),
    published_seq: Seq,
    published_chain: Chain,
    /// Commits happen by themselves after every step.
    pub(super) auto_commit: bool,
    pub(super) disk_full: bool,
    pub(super) may_collect: bool,
    /// Milliseconds that this replica's wall clock is ahead.
    pub(super) skew_ms: i64,
    pub(super) effects: Vec<Effect>,
    pub(super) events: Vec<Event>,
    pub(super) closes: Vec<CloseReason>,
    pub(super) pauses: Vec<Duration>,
    pub(super) rebirth: Option<Finding>,
    /// Entries carried by batches, duplicates included.
    pub(super) carried: usize,
}

/// What can be copied from a data directory.
#[derive(Clone)]
pub(super) struct Directory {
    pub(super) log: Vec<Logs>,
    snapshot: Option<Snapshot>,
}

impl Replica {
    pub(super) fn new(identity: Identity, settings: Settings, dice: Dice, now: Now) -> Self {
        let mut effects = Vec::new();
        let state = State::default();
        let engine = Engine::new(settings.clone(), identity.clone(), state, 0, Lsn::ZERO, dice, now, &mut effects);
        Self {
            identity,
            settings,
            engine,
            store: Store::new(),
            log: Vec::new(),
            durable: 0,
            published: 0,
            snapshot: None,
            draft: None,
            clock: Hlc::default(),
            reach: (0, Chain::default()),
            published_seq: 0,
            published_chain: Chain::default(),
            auto_commit: true,
            disk_full: false,
            may_collect: true,
            skew_ms: 0,
            effects,
            events: Vec::new(),
            closes: Vec::new(),
            pauses: Vec::new(),
            rebirth: None,
            carried: 0,
        }
    }

    pub(super) fn next_lsn(&self) -> Lsn {
        Lsn(self.log.len() as u64 + 1)
    }

    pub(super) fn own(&mut self, wall: WallTime, key: &Bytes, body: Body, resolution: bool) {
        self.own_marked(wall, key, body, Marks { resolution, ..Marks::default() });
    }

    fn own_marked(&mut self, wall: WallTime, key: &Bytes, body: Body, marks: Marks) {
        let latest = self.store.latest(key);
        let above = latest.map(|entry| entry.stamp()).max(Some(self.engine.stamp_floor()));
        let issued = self.clock.issue(wall, above);
        let op = Operation {
            dot: Dot { replica: self.identity.replica, seq: self.reach.0 + 1 },
            stamp: issued.stamp,
            context: latest.map(|entry| entry.known()).unwrap_or_default(),
            key: key.clone(),
            body,
            marks: Marks { lifted: issued.lifted, ..marks },
        };
        self.write_own(op);
    }

    fn write_own(&mut self, op: Operation) {
        self.reach = (op.dot.seq, self.reach.1.extend(&op, op.body.content_hash()));
        let lsn = self.next_lsn();
        self.store.stage(lsn, &op);
        self.engine.settle_conflicts(lsn, &op, true);
        self.log.push(Logs::Own(op));
    }

    pub(super) fn carry(&mut self, now: Now, apply: &Apply) {
        if !self.engine.still_wanted(apply.token) {
            return;
        }
        if self.disk_full {
            let error = Error::new(Code::DiskFull, "no room", "make room");
            self.engine.apply_refused(apply.token, &error, &mut self.effects);
            return;
        }
        self.carried += apply.items.len();
        for item in &apply.items {
            self.clock.adopt(item.op.stamp, now.wall, Duration::from_secs(60));
        }
        for burial in &apply.burials {
            if let Some((stamp, context)) = burial.over(self.store.latest(&burial.key).as_ref()) {
                let dot = Dot { replica: self.identity.replica, seq: self.reach.0 + 1 };
                let (key, marks) = (burial.key.clone(), burial.marks());
                self.write_own(Operation { dot, stamp, context, key, body: Body::Delete, marks });
            }
        }
        let deletions: Vec<_> = apply.deletions(&self.store).cloned().collect();
        let first = self.next_lsn();
        let carried = carry_out(&mut self.store, first, apply);
        self.log.extend(carried.logged.iter().cloned().map(|logged| match logged {
            Logged::Foreign(op) => Logs::Foreign(op.clone()),
            Logged::Given(record) => Logs::Sync(record.clone()),
            Logged::Sync(record) => Logs::Sync(*record),
        }));
        for (key, repeats) in &apply.reissue {
            if let Some((body, origin)) = self.store.latest(key).map(|entry| (entry.body(), entry.origin())) {
                let repeats = repeats.filter(|repeats| *repeats == origin);
                self.own_marked(now.wall, key, body, Marks { repeats, ..Marks::default() });
            }
        }
        for (dot, key) in &deletions {
            if self.store.latest(key).is_some_and(|entry| entry.dot() == *dot) {
                self.own(now.wall, key, Body::Delete, false);
            }
        }
        let last = Lsn(self.log.len() as u64);
        self.engine.applied(now, apply.token, last, carried, &self.store, &mut self.effects);
        apply.items.iter().for_each(|item| self.engine.settle_conflicts(last, &item.op, false));
    }

    pub(super) fn commit(&mut self, now: Now) {
        self.commit_through(now, self.log.len());
    }

    /// Makes a part of what was written durable, as a log does that syncs frame by frame.
    pub(super) fn commit_through(&mut self, now: Now, records: usize) {
        self.publish_through(records);
        self.durable = self.durable.max(records);
        self.engine.durable(now, Lsn(self.durable as u64), &self.store, &mut self.effects);
    }

    /// Shows what was written before it is durable, as a node does that syncs by a timer.
    pub(super) fn publish_through(&mut self, records: usize) {
        if records <= self.published {
            return;
        }
        self.store.publish(Lsn(records as u64));
        for (index, record) in self.log.iter().enumerate().take(records).skip(self.published) {
            if let Logs::Own(op) = record {
                self.published_chain = self.published_chain.extend(op, op.body.content_hash());
                self.published_seq = op.dot.seq;
                self.engine.own_published(Lsn(index as u64 + 1), op.dot.seq, self.published_chain);
            }
        }
        self.published = records;
        self.engine.published(Lsn(records as u64), &mut self.effects);
    }

    /// Records written and not yet durable.
    pub(super) fn pending(&self) -> usize {
        self.log.len() - self.durable
    }

    pub(super) fn durable(&self) -> usize {
        self.durable
    }

    /// There was no room for what is not durable: the log gives it up.
    pub(super) fn take_back(&mut self) {
        let from = Lsn(self.durable as u64 + 1);
        self.store.discard_staged(from);
        self.log.truncate(self.durable);
        self.reach = (self.published_seq, self.published_chain);
        let error = Error::new(Code::DiskFull, "no room", "make room");
        self.engine.taken_back(from, &error, &mut self.effects);
    }

    /// Snapshots what is published.
    pub(super) fn snapshot(&mut self) {
        self.begin_snapshot();
        self.end_snapshot();
    }

    /// Whether a snapshot has begun that has not ended.
    pub(super) const fn is_taking_a_snapshot(&self) -> bool {
        self.draft.is_some()
    }

    /// Writes the blocks of a snapshot that has begun, of what is published by now.
    pub(super) fn end_snapshot(&mut self) {
        if self.published > self.durable {
            // It counts only once the log is durable that far.
            return;
        }
        let Some(draft) = self.draft.take() else { return };
        let (mut blocks, mut after) = (Vec::new(), None::<Bytes>);
        loop {
            let mut block = Vec::new();
            let walk = self.store.walk(after.as_deref(), 300, &mut block);
            blocks.push((walk.items, Bytes::from(block)));
            match walk.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.snapshot = Some(Snapshot { blocks, ..draft });
    }

    /// Writes the head of a snapshot.
    pub(super) fn begin_snapshot(&mut self) {
        if self.published > self.durable {
            return;
        }
        let at = Lsn(self.published as u64);
        let mut state = Vec::new();
        self.engine.state_at(at).encode(&mut state);
        let clock = self.clock.last();
        let reach = (self.published_seq, self.published_chain);
        self.draft = Some(Snapshot { at, blocks: Vec::new(), state: state.into(), reach, clock });
    }

    /// Makes the log one of older software.
    pub(super) fn forget_what_was_met(&mut self) {
        for record in &mut self.log {
            match record {
                Logs::Sync(SyncRecord::Boot { keeps_both, .. }) => *keeps_both = None,
                Logs::Sync(SyncRecord::Entry { contest, .. }) if *contest != Contest::Late => {
                    *contest = Contest::Unsaid
                }
                Logs::Own(_) | Logs::Foreign(_) | Logs::Sync(_) => {}
            }
        }
    }

    pub(super) fn directory(&self) -> Directory {
        Directory { log: self.log[..self.durable].to_vec(), snapshot: self.snapshot.clone() }
    }

    /// Starts anew from a directory.
    pub(super) fn reopen(&mut self, directory: Directory, boot: u64, dice: Dice, now: Now) {
        let Directory { log, snapshot } = directory;
        let mut store = Store::new();
        let mut state = State::default();
        let mut clock = Hlc::default();
        self.reach = (0, Chain::default());
        let mut from = 0;
        if let Some(snapshot) = &snapshot {
            for (items, block) in &snapshot.blocks {
                store.load(*items, block.clone()).unwrap();
            }
            state = State::decode(&snapshot.state).unwrap();
            self.reach = snapshot.reach;
            clock = Hlc::starting_at(snapshot.clock);
            from = snapshot.at.0 as usize;
        }
        for (index, record) in log.iter().enumerate().skip(from) {
            let lsn = Lsn(index as u64 + 1);
            match record {
                Logs::Own(op) => {
                    self.reach = (op.dot.seq, self.reach.1.extend(op, op.body.content_hash()));
                    if !op.marks.lifted {
                        clock.restore(op.stamp);
                    }
                    store.apply(lsn, op);
                    state.replay_own(op, self.reach.1);
                }
                Logs::Foreign(op) => state.replay_operation(&mut store, lsn, op, op.hashes()),
                Logs::Sync(record) => {
                    let mut bytes = Vec::new();
                    record.encode(&mut bytes);
                    state.replay(&mut store, lsn, &SyncRecord::decode(&bytes.into()).unwrap());
                }
            }
        }
        (self.published_seq, self.published_chain) = self.reach;
        self.identity.boot = boot;
        self.durable = log.len();
        self.published = log.len();
        self.log = log;
        self.snapshot = snapshot;
        self.draft = None;
        self.store = store;
        self.clock = clock;
        self.effects.clear();
        self.engine = Engine::new(
            self.settings.clone(),
            self.identity.clone(),
            state,
            self.reach.0,
            Lsn(self.durable as u64),
            dice,
            now,
            &mut self.effects,
        );
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        let value = self.store.get(key.as_bytes())?.value_bytes()?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    }

    pub(super) fn claims_of(&self, other: &Replica) -> Seq {
        self.engine.vector().get(other.identity.replica)
    }
}
