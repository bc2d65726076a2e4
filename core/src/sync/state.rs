//! What sync keeps across a restart: rebuilt from the head of a snapshot and the records after it.
//!
//! Layout in a snapshot head, each part as in [`SyncRecord`]:
//!
//! ```text
//! version u8 (1, 2 if a floor is owed, 3 if a name was given up, 4 if it is said whether both are kept) | own vector | greatest dots met | count, then per checkpoint: replica 16, checkpoint |
//! count, then per run: boot u64, LSN varint | members | acknowledged seq | pruned seq | floor vector, stamp |
//! count, then per replica: id 16, pairs | own ladder | conflicts | from version 2 on: owed floor vector |
//! from version 3 on: count, then per name given up: id 16, seq varint | from version 4 on: keeps both u8
//! ```

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::chain::{Ladder, Pairs};
use super::collect;
use super::conflict::{Met, Outcome};
use super::conflicts::Conflicts;
use super::former::Former;
use super::lease::{CLOCKS_APART, later};
use super::members::{Member, Members};
use super::record::{Checkpoint, Contest, SyncRecord, take_keeps_both};
use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, LogId, Lsn, NodeId, ReplicaId, Seq};
use crate::limits::MAX_MEMBERS;
use crate::op::{Chain, Hashes, Operation};
use crate::store::Store;
use crate::time::WallTime;

const VERSION: u8 = 1;
/// With a floor that is owed: only while a full exchange is not over.
const OWING: u8 = 2;
/// With a name that was given up.
const RENAMED: u8 = 3;
/// With what becomes of conflicts.
const KEEPING: u8 = 4;

/// The most runs remembered. A peer that was last here before them walks the feed from its beginning.
const MAX_BOOTS: usize = 1024;

/// What to make of a peer's checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// The walk goes on from here.
    From(Lsn),
    /// The peer took in more than this log ever held in that run: the log was rolled back.
    Impossible,
}

/// The durable state of sync. Records are applied to it in the order of the log, when they are durable or replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What this replica claims of the others' operations. Its own come on top, as far as they are durable.
    pub(super) vector: VersionVector,
    /// The greatest dots met in any `known`, claimed or not: what is here beyond `vector` is uncut.
    pub(super) met: VersionVector,
    pub(super) checkpoints: BTreeMap<ReplicaId, Checkpoint>,
    /// Runs of this replica on its present log: which, and the last LSN before each.
    pub(super) boots: VecDeque<(u64, Lsn)>,
    pub(super) members: Members,
    pub(super) acknowledged: Seq,
    pub(super) pruned: Seq,
    pub(super) floor: VersionVector,
    pub(super) floor_stamp: Stamp,
    /// Floors of peers that have dropped something here, and whose deletions are not claimed yet.
    pub(super) owed: VersionVector,
    pub(super) pairs: BTreeMap<ReplicaId, Pairs>,
    pub(super) ladder: Ladder,
    pub(super) conflicts: Conflicts,
    /// Names given up, of which claims say nothing certain.
    pub(super) former: Former,
    /// Whether conflicts stay open that are met from here on. Logs of older versions do not say it.
    keeps_both: Option<bool>,
    /// What would be on record if those had stayed open of which the log does not say it: the next run that does decides.
    if_kept: Option<Box<Conflicts>>,
}

impl State {
    /// Replays an own operation; `chain` is that of the history up to and including it.
    pub fn replay_own(&mut self, op: &Operation, chain: Chain) {
        self.own(op.dot, chain);
        // A burial has seen what was never merged by itself.
        self.met.join(&op.context);
        self.settle(op, true);
    }

    fn settle(&mut self, op: &Operation, own: bool) {
        self.conflicts.settle(op, own);
        if let Some(if_kept) = &mut self.if_kept {
            if_kept.settle(op, own);
        }
    }

    /// What this drops was dropped, and told, before.
    fn record_again(&mut self, met: &Met) {
        let said = self.keeps_both.filter(|_| !planted!("outcome_by_todays_policy"));
        if said.is_none() {
            let if_kept = self.if_kept.get_or_insert_with(|| Box::new(self.conflicts.clone()));
            drop(if_kept.record(met, Outcome::Open));
        }
        drop(self.conflicts.record(met, Outcome::when_met(said.unwrap_or(false))));
    }

    /// Takes in an own operation: its chain, and its dot as met.
    pub fn own(&mut self, dot: Dot, chain: Chain) {
        self.met.include(dot);
        self.ladder.push(dot.seq, chain);
    }

    /// Takes in a foreign operation of the log, together with what had been merged with it.
    pub(super) fn meet(&mut self, op: &Operation, known: &VersionVector) {
        self.met.include(op.dot);
        self.met.join(&op.context);
        self.met.join(known);
    }

    /// Replays a foreign operation that the log holds by itself.
    pub fn replay_operation(&mut self, store: &mut Store, lsn: Lsn, op: &Operation, hashes: Hashes) {
        self.replay_entry(store, lsn, op, hashes, &VersionVector::EMPTY, &Contest::Unsaid);
    }

    /// Replays a record: into the state, and into the store where the record changed it.
    pub fn replay(&mut self, store: &mut Store, lsn: Lsn, record: &SyncRecord) {
        match record {
            SyncRecord::Entry { op, known, contest } => self.replay_entry(store, lsn, op, op.hashes(), known, contest),
            SyncRecord::Collected { stable, before, .. } => {
                store.finish_load();
                collect::sweep(store, stable, *before);
                self.apply(record);
            }
            SyncRecord::Dropped { dot, key } => {
                if store.entry(key).is_some_and(|entry| entry.dot() == *dot) {
                    store.remove(key);
                }
            }
            SyncRecord::Cut(_)
            | SyncRecord::Checkpoint { .. }
            | SyncRecord::Member { .. }
            | SyncRecord::Acknowledged(_)
            | SyncRecord::Pruned(_)
            | SyncRecord::Floor { .. }
            | SyncRecord::Owed { .. }
            | SyncRecord::Pairs { .. }
            | SyncRecord::Renamed(_)
            | SyncRecord::Boot { .. } => self.apply(record),
        }
    }

    fn replay_entry(
        &mut self,
        store: &mut Store,
        lsn: Lsn,
        op: &Operation,
        hashes: Hashes,
        known: &VersionVector,
        contest: &Contest,
    ) {
        let met = match contest {
            Contest::With(version) => Some(Met::of(version, op)),
            Contest::Late => None,
            // What was written while a snapshot was may be in it already: then nothing is met any more, or something else.
            Contest::Unsaid if self.keeps_both.is_some() => None,
            Contest::Unsaid | Contest::WithStanding => Met::before(store.latest(&op.key), op),
        };
        store.apply_hashed(lsn, op, hashes, known);
        self.meet(op, known);
        if let Some(met) = met {
            self.record_again(&met);
        }
        self.settle(op, false);
    }

    /// Takes in the part of a record that is not the store's.
    pub(super) fn apply(&mut self, record: &SyncRecord) {
        match record {
            SyncRecord::Entry { op, known, .. } => self.meet(op, known),
            SyncRecord::Collected { .. } | SyncRecord::Floor { .. } if planted!("floor_forgotten") => {}
            SyncRecord::Cut(vector) => {
                self.vector.join(vector);
            }
            SyncRecord::Checkpoint { replica, at } => self.advance_checkpoint(*replica, *at),
            SyncRecord::Member { replica, member } => {
                self.members.join(*replica, member, None);
            }
            SyncRecord::Acknowledged(seq) => self.acknowledged = self.acknowledged.max(*seq),
            // Only what is acknowledged is pruned, and word of that may not have been logged.
            SyncRecord::Pruned(seq) => {
                self.pruned = self.pruned.max(*seq);
                self.acknowledged = self.acknowledged.max(*seq);
            }
            SyncRecord::Collected { dots, stamp, .. } | SyncRecord::Floor { dots, stamp } => {
                self.floor.join(dots);
                self.floor_stamp = self.floor_stamp.max(*stamp);
                if self.floor.covers_all(&self.owed) {
                    self.owed = VersionVector::EMPTY;
                }
            }
            SyncRecord::Owed { dots, stamp } => {
                if !self.floor.covers_all(dots) {
                    self.owed.join(dots);
                }
                self.floor_stamp = self.floor_stamp.max(*stamp);
                self.met.join(dots);
            }
            // The first is the store's, the second a matter of the whole node.
            SyncRecord::Dropped { .. } | SyncRecord::Renamed(_) => {}
            SyncRecord::Boot { boot, after, keeps_both } => {
                self.keeps_both = *keeps_both;
                if let Some(keeps_both) = *keeps_both
                    && let Some(if_kept) = self.if_kept.take()
                    && keeps_both
                {
                    self.conflicts = *if_kept;
                }
                if self.boots.iter().any(|(known, _)| known == boot) {
                    return;
                }
                if self.boots.len() == MAX_BOOTS {
                    self.boots.pop_front();
                }
                self.boots.push_back((*boot, *after));
            }
            SyncRecord::Pairs { replica, pairs } => {
                if self.pairs.contains_key(replica) || self.pairs.len() < MAX_MEMBERS {
                    self.pairs.entry(*replica).or_default().absorb(pairs);
                }
            }
        }
    }

    pub(super) fn advance_checkpoint(&mut self, replica: ReplicaId, to: Checkpoint) {
        let full = self.checkpoints.len() >= MAX_MEMBERS;
        match self.checkpoints.get_mut(&replica) {
            Some(at) if at.log == to.log && at.lsn >= to.lsn => {}
            Some(at) => *at = to,
            // Without a checkpoint the next session walks from the beginning, skipping what is covered.
            None if full => {}
            None => {
                self.checkpoints.insert(replica, to);
            }
        }
    }

    /// How far the feed of `replica`'s log `log` was taken in, and in which run of it.
    pub(super) fn checkpoint(&self, replica: ReplicaId, log: LogId) -> (Lsn, u64) {
        match self.checkpoints.get(&replica) {
            Some(at) if at.log == log => (at.lsn, at.boot),
            Some(_) | None => (Lsn::ZERO, 0),
        }
    }

    /// Judges what a peer says it took in of this replica's feed: from where to go on.
    pub(super) fn judge_checkpoint(&self, lsn: Lsn, boot: u64, durable: Lsn) -> Judged {
        if lsn == Lsn::ZERO {
            return Judged::From(Lsn::ZERO);
        }
        let Some(run) = self.boots.iter().position(|(known, _)| *known == boot) else {
            // Forgotten, or never durable here.
            return if lsn > durable { Judged::Impossible } else { Judged::From(Lsn::ZERO) };
        };
        let end = self.boots.get(run + 1).map_or(durable, |(_, after)| *after);
        if lsn > end { Judged::Impossible } else { Judged::From(lsn) }
    }

    /// Gives other names to what met.
    pub(super) fn rename_conflicts(&mut self, rename: impl Fn(&mut Met)) {
        for conflicts in self.if_kept.as_deref_mut().into_iter().chain([&mut self.conflicts]) {
            conflicts.rename(&rename);
        }
    }

    /// The conflicts on record.
    #[must_use]
    pub fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    /// What is claimed of other replicas' operations.
    #[must_use]
    pub fn vector(&self) -> &VersionVector {
        &self.vector
    }

    /// What a new history begins with that was born from this one: it holds what this one held, `own` up to `seq`
    /// included, and nothing of it is acknowledged, told or remembered.
    ///
    /// Of the old history, as of those of others, it remembers the chain: others may know another one under that name.
    #[must_use]
    pub fn reborn(mut self, own: ReplicaId, seq: Seq) -> Self {
        let own_pairs = self.ladder.pairs(0, seq);
        if !own_pairs.is_empty() {
            self.apply(&SyncRecord::Pairs { replica: own, pairs: own_pairs });
        }
        self.vector.include(Dot { replica: own, seq });
        Self {
            acknowledged: 0,
            pruned: 0,
            checkpoints: BTreeMap::new(),
            boots: VecDeque::new(),
            ladder: Ladder::default(),
            ..self
        }
    }

    /// A name has no owner any more, for all who hear of it, also for those who have just heard it by a clock that is ahead. Should
    /// it be heard all the same, it counts again.
    #[must_use]
    pub fn retiring(mut self, name: ReplicaId, node: NodeId, at: WallTime) -> Self {
        let at = later(at, CLOCKS_APART);
        let vector = self.vector.clone();
        self.members.join(name, &Member { node, heard: WallTime(0), forgotten: at, vector }, None);
        self
    }

    /// Claims nothing any more: something that was claimed may be gone. Peers will send everything again.
    pub fn disclaim(&mut self) {
        self.vector = VersionVector::EMPTY;
    }

    /// Appends the layout of this module's documentation.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let version = match (self.owed.is_empty(), self.former.is_empty(), self.keeps_both) {
            (.., Some(_)) => KEEPING,
            (_, false, None) => RENAMED,
            (false, true, None) => OWING,
            (true, true, None) => VERSION,
        };
        out.push(version);
        self.vector.encode(out);
        self.met.encode(out);
        put_varint(out, self.checkpoints.len() as u64);
        for (replica, at) in &self.checkpoints {
            out.extend_from_slice(&replica.0);
            at.encode(out);
        }
        put_varint(out, self.boots.len() as u64);
        for (boot, after) in &self.boots {
            out.extend_from_slice(&boot.to_le_bytes());
            put_varint(out, after.0);
        }
        self.members.encode(out);
        put_varint(out, self.acknowledged);
        put_varint(out, self.pruned);
        self.floor.encode(out);
        out.extend_from_slice(&self.floor_stamp.0.to_le_bytes());
        put_varint(out, self.pairs.len() as u64);
        for (replica, pairs) in &self.pairs {
            out.extend_from_slice(&replica.0);
            pairs.encode(out);
        }
        self.ladder.encode(out);
        self.conflicts.encode(out);
        if version >= OWING {
            self.owed.encode(out);
        }
        if version >= RENAMED {
            self.former.encode(out);
        }
        if let Some(keeps_both) = self.keeps_both {
            out.push(u8::from(keeps_both));
        }
    }

    /// The same, with bytes of its own.
    #[must_use]
    pub fn detached(self) -> Self {
        Self { conflicts: self.conflicts.detached(), ..self }
    }

    /// Reads what [`Self::encode`] wrote; nothing may follow. What is to be kept is [detached](Self::detached) from `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a well-formed state of a version this software knows.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let reader = &mut Reader::new(bytes);
        let version = reader.u8("sync state version")?;
        if !(VERSION..=KEEPING).contains(&version) {
            return Err(DecodeError { field: "sync state version", fault: Fault::FromTheFuture });
        }
        let vector = VersionVector::decode(reader, "own vector")?;
        let met = VersionVector::decode(reader, "dots met")?;
        let mut checkpoints = BTreeMap::new();
        for _ in 0..take_count(reader, "checkpoints")? {
            let replica = ReplicaId(reader.array("checkpoint replica")?);
            checkpoints.insert(replica, Checkpoint::decode(reader)?);
        }
        let mut boots = VecDeque::new();
        for _ in 0..take_count(reader, "boots")? {
            boots.push_back((reader.u64("boot")?, Lsn(reader.varint("boot LSN")?)));
        }
        let members = Members::decode(reader)?;
        let acknowledged = reader.varint("acknowledged seq")?;
        let pruned = reader.varint("pruned seq")?;
        let floor = VersionVector::decode(reader, "floor vector")?;
        let floor_stamp = Stamp(reader.u64("floor stamp")?);
        let mut pairs = BTreeMap::new();
        for _ in 0..take_count(reader, "pairs")? {
            let replica = ReplicaId(reader.array("pairs replica")?);
            pairs.insert(replica, Pairs::decode(reader)?);
        }
        let ladder = Ladder::decode(reader)?;
        let conflicts = Conflicts::decode(reader)?;
        let owed = if version >= OWING { VersionVector::decode(reader, "owed floor")? } else { VersionVector::EMPTY };
        let former = if version >= RENAMED { Former::decode(reader)? } else { Former::default() };
        let keeps_both = if version >= KEEPING { Some(take_keeps_both(reader)?) } else { None };
        reader.finish("sync state")?;
        Ok(Self {
            vector,
            met,
            checkpoints,
            boots,
            members,
            acknowledged,
            pruned,
            floor,
            floor_stamp,
            owed,
            pairs,
            ladder,
            conflicts,
            former,
            keeps_both,
            if_kept: None,
        })
    }
}

fn take_count(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, DecodeError> {
    let count = reader.varint(field)?;
    if count > MAX_MEMBERS as u64 { Err(DecodeError { field, fault: Fault::Invalid }) } else { Ok(count) }
}
