//! Rebuilding a node's state from its log: the visitor that the log's scan feeds.

use alloc::boxed::Box;

use bytes::Bytes;

use super::history::{History, Reach};
use crate::clock::Hlc;
use crate::codec::{DecodeError, Fault};
use crate::config::Config;
use crate::context::VersionVector;
use crate::ids::{Lsn, ReplicaId, Seq};
use crate::op::{Chain, Hashes};
use crate::store::{Laid, Store};
use crate::sync::{Renaming, State, SyncRecord};
use crate::time::WallTime;
use crate::wal::format::Record;
use crate::wal::scan::{BlockMaker, Foreseen, Replay};

/// State at the end of a log: whose history it is and what the store holds.
#[derive(Debug)]
pub struct Rebuilt {
    pub(super) history: History,
    pub(super) store: Store,
    pub(super) last_lsn: Lsn,
    pub(super) state: State,
    /// What the own history had come to before the first record that is missing; `None` if none is.
    pub(super) sound: Option<Seq>,
}

impl Rebuilt {
    /// What the store holds.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The operator's name of the node it belonged to.
    #[must_use]
    pub const fn node_id(&self) -> &crate::ids::NodeId {
        &self.history.node
    }

    /// The history that wrote last.
    #[must_use]
    pub const fn replica(&self) -> ReplicaId {
        self.history.replica
    }

    /// LSN of the last record.
    #[must_use]
    pub const fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    /// A hash over keys, contents, stamps and version counts: equal for equal content, whatever the histories are called.
    #[must_use]
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for entry in self.store.entries(None) {
            hasher.update(&(entry.key().len() as u64).to_le_bytes()).update(entry.key());
            let numbers = [entry.content_hash(), u64::from(entry.is_tombstone()), entry.stamp().0, entry.version()];
            for number in numbers {
                hasher.update(&number.to_le_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// The same content under a new history: what a restored backup and a repaired log become. Own operations behind the
    /// first one that is missing become operations of the new history: nobody could ever say what stood between them.
    pub(super) fn reborn(mut self, config: &Config, replica: ReplicaId, at: WallTime) -> Self {
        let node = config.node_id.clone().unwrap_or(self.history.node);
        let (from, seq) = (self.history.replica, self.history.reach.seq);
        let mut history = History::born(Some(node.clone()), replica, self.history.clock);
        let state = match self.sound {
            None => self.state.reborn(from, seq).retiring(from, node, at),
            Some(above) => {
                let renaming = Renaming { from, above, to: replica, at };
                renaming.rename(&mut self.store);
                history.reach.seq = seq.saturating_sub(above);
                renaming.rename_state(node, self.state)
            }
        };
        Self { history, state, sound: None, ..self }
    }
}

/// Takes in what a scan finds, in order.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    history: Option<History>,
    store: Store,
    last_lsn: Lsn,
    state: State,
    /// What the own history had come to before the first record that is missing.
    sound: Option<Seq>,
    /// Damage was skipped, so own operations may be missing, come again, or lack their birth.
    gaps_allowed: bool,
    /// Guards the replay against keys that were chosen to be slow.
    seed: u64,
    pub(super) snapshot_at: Option<Lsn>,
    pub(super) snapshot_entries: u64,
    pub(super) records: u64,
}

impl Rebuild {
    pub(super) fn new(gaps_allowed: bool) -> Self {
        Self { gaps_allowed, ..Self::default() }
    }

    /// `seed` guards the replay against keys that were chosen to be slow.
    pub(super) fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Ends the replay. `None` when the log held no history.
    pub(super) fn finish(mut self) -> Option<Rebuilt> {
        self.store.finish_load();
        if self.sound.is_some() {
            // What is missing must not be claimed, or nobody would send it again.
            self.state.disclaim();
        }
        let Self { history, store, last_lsn, state, sound, .. } = self;
        Some(Rebuilt { history: history?, store, last_lsn, state, sound })
    }
}

impl Rebuild {
    fn rename(&mut self, renaming: Renaming) {
        self.store.finish_load();
        let Some(history) = self.history.as_mut().filter(|history| history.replica == renaming.from) else { return };
        renaming.rename(&mut self.store);
        self.state = renaming.rename_state(history.node.clone(), core::mem::take(&mut self.state));
        history.replica = renaming.to;
        history.reach = Reach { seq: history.reach.seq.saturating_sub(renaming.above), chain: Chain::default() };
    }
}

impl Replay for Rebuild {
    fn head(&mut self, at: Lsn, head: Bytes) -> Result<ReplicaId, DecodeError> {
        let (history, state) = History::decode_head(&head)?;
        let replica = history.replica;
        self.history = Some(history);
        self.state = state.detached();
        self.snapshot_at = Some(at);
        self.last_lsn = at;
        Ok(replica)
    }

    fn block(&mut self, items: u32, body: Bytes) -> Result<(), DecodeError> {
        self.snapshot_entries += u64::from(items);
        self.store.load(items, body)
    }

    fn block_maker(&self) -> Option<BlockMaker> {
        Some(|items, body| Laid::of(items, body).ok().map(|laid| Box::new(laid) as Foreseen))
    }

    fn foreseen_block(&mut self, items: u32, body: Bytes, made: Foreseen) -> Result<(), DecodeError> {
        match made.downcast::<Laid>() {
            Ok(laid) => {
                self.snapshot_entries += u64::from(items);
                self.store.take(*laid)
            }
            Err(_) => self.block(items, body),
        }
    }

    fn record(&mut self, lsn: Lsn, record: Record) -> Result<(), DecodeError> {
        self.hashed_record(lsn, record, None)
    }

    fn expect(&mut self, keys: &mut dyn Iterator<Item = &[u8]>) {
        self.store.expect(keys);
    }

    fn hashed_record(&mut self, lsn: Lsn, record: Record, hashes: Option<Hashes>) -> Result<(), DecodeError> {
        if self.records == 0 {
            self.store.begin_replay(self.seed);
        }
        self.records += 1;
        let seq = self.history.as_ref().map_or(0, |history| history.reach.seq);
        if self.gaps_allowed && lsn != self.last_lsn.next() {
            self.sound.get_or_insert(seq);
        }
        // Salvage goes back behind a damaged snapshot.
        self.last_lsn = self.last_lsn.max(lsn);
        match record {
            Record::Birth { replica, node, at: _ } => {
                if self.history.as_ref().is_some_and(|history| history.replica == replica) {
                    return Ok(());
                }
                let clock = self.history.as_ref().map_or_else(Hlc::default, |history| history.clock);
                if let Some(before) = &self.history {
                    self.state = core::mem::take(&mut self.state).reborn(before.replica, before.reach.seq);
                }
                self.history = Some(History::born(Some(node), replica, clock));
            }
            Record::Own(op) => {
                if self.gaps_allowed && self.history.is_none() {
                    // The birth is lost.
                    self.history = Some(History::born(None, op.dot.replica, Hlc::default()));
                }
                let fault = DecodeError { field: "own operation seq", fault: Fault::Invalid };
                let history = self.history.as_mut().ok_or(fault)?;
                let Reach { seq, chain } = history.reach;
                let follows = op.dot.replica == history.replica && op.dot.seq == seq + 1;
                if !follows && !self.gaps_allowed {
                    return Err(fault);
                }
                let hashes = hashes.unwrap_or_else(|| op.hashes());
                if op.dot.seq > seq {
                    history.reach = Reach { seq: op.dot.seq, chain: chain.extend(&op, hashes.content) };
                    self.state.replay_own(&op, history.reach.chain);
                }
                if !op.marks.lifted && !planted!("stamp_not_restored") {
                    history.clock.restore(op.stamp);
                }
                self.store.apply_hashed(lsn, &op, hashes, &VersionVector::EMPTY);
            }
            Record::Foreign(op) => {
                let hashes = hashes.unwrap_or_else(|| op.hashes());
                self.state.replay_operation(&mut self.store, lsn, &op, hashes);
            }
            Record::Sync(bytes) => match SyncRecord::decode(&bytes)? {
                SyncRecord::Renamed(renaming) => self.rename(renaming),
                record => self.state.replay(&mut self.store, lsn, &record),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;
    use crate::ids::Dot;
    use crate::op::{Body, Marks, Operation};
    use alloc::vec;
    use alloc::vec::Vec;

    fn own(seq: u64) -> Record {
        Record::Own(Operation {
            dot: Dot { replica: ReplicaId([1; 16]), seq },
            stamp: Stamp(seq << 16),
            context: VersionVector::EMPTY,
            key: Bytes::from(vec![seq as u8]),
            body: Body::Put(Bytes::from_static(b"v")),
            marks: Marks::default(),
        })
    }

    #[test]
    fn salvage_takes_operations_without_their_birth_with_gaps_and_again() {
        let replay = |gaps_allowed| -> Result<Rebuilt, DecodeError> {
            let mut rebuild = Rebuild::new(gaps_allowed);
            for (lsn, seq) in [(5, 4), (8, 7), (2, 1)] {
                rebuild.record(Lsn(lsn), own(seq))?;
            }
            Ok(rebuild.finish().expect("a history"))
        };
        assert!(replay(false).is_err());
        let rebuilt = replay(true).unwrap();
        let keys: Vec<_> = rebuilt.store.scan(..).map(|entry| entry.key().to_vec()).collect();
        assert_eq!(keys, [[1], [4], [7]]);
        assert_eq!((rebuilt.last_lsn, rebuilt.history.reach.seq), (Lsn(8), 7));
        let (old, new) = (ReplicaId([1; 16]), ReplicaId([2; 16]));
        let content = rebuilt.content_hash();
        let reborn = rebuilt.reborn(&Config::default(), new, WallTime(1));
        assert_eq!(reborn.state.vector().get(old), 0, "the beginning is missing, so nothing is claimed");
        let dots: Vec<Dot> = reborn.store.entries(None).map(|entry| entry.dot()).collect();
        assert_eq!(dots, [1, 4, 7].map(|seq| Dot { replica: new, seq }), "nobody else can speak for them");
        assert_eq!(reborn.history.reach.seq, 7);
        assert_eq!(reborn.content_hash(), content);
    }

    #[test]
    fn a_block_that_was_laid_out_ahead_counts_as_one_that_was_not() {
        let mut store = Store::new();
        for seq in 1..=3 {
            let Record::Own(op) = own(seq) else { unreachable!("an own operation") };
            store.apply(Lsn(seq), &op);
        }
        let mut block = Vec::new();
        let items = store.walk(None, usize::MAX, &mut block).items;
        let block = Bytes::from(block);
        let make = Rebuild::new(true).block_maker().unwrap();
        let mut ahead = Rebuild::new(true);
        ahead.snapshot_entries = 4;
        ahead.foreseen_block(items, block.clone(), make(items, &block).unwrap()).unwrap();
        assert_eq!((items, ahead.snapshot_entries), (3, 7));
        assert_eq!(ahead.store.digest(), store.digest());
    }

    fn born() -> Rebuild {
        let mut rebuild = Rebuild::new(false);
        let birth =
            Record::Birth { replica: ReplicaId([1; 16]), node: crate::ids::NodeId::new("n").unwrap(), at: WallTime(1) };
        rebuild.record(Lsn(1), birth).unwrap();
        rebuild
    }

    fn changed(record: Record, change: impl FnOnce(&mut Operation)) -> Record {
        match record {
            Record::Own(mut op) => {
                change(&mut op);
                Record::Own(op)
            }
            other => other,
        }
    }

    #[test]
    fn own_operations_follow_each_other_under_one_name() {
        let mut rebuild = born();
        rebuild.record(Lsn(2), own(1)).unwrap();
        let foreign = changed(own(2), |op| op.dot.replica = ReplicaId([2; 16]));
        for wrong in [foreign, own(1), own(3)] {
            assert_eq!(rebuild.record(Lsn(3), wrong).unwrap_err().field, "own operation seq");
        }
        rebuild.record(Lsn(3), own(2)).unwrap();
        assert_eq!(rebuild.finish().unwrap().history.reach.seq, 2);
    }

    #[test]
    fn what_salvage_meets_twice_counts_once() {
        let reach = |seqs: &[u64]| {
            let mut rebuild = Rebuild::new(true);
            for (lsn, seq) in (1..).zip(seqs) {
                rebuild.record(Lsn(lsn), own(*seq)).unwrap();
            }
            rebuild.finish().unwrap().history.reach
        };
        assert_eq!(reach(&[1, 1, 2, 2, 1]), reach(&[1, 2]));
    }

    #[test]
    fn a_stamp_that_was_lifted_above_anothers_is_not_the_clock_of_its_writer() {
        let clock = |lifted| {
            let mut rebuild = born();
            rebuild.record(Lsn(2), changed(own(1), |op| op.marks.lifted = lifted)).unwrap();
            rebuild.finish().unwrap().history.clock.last()
        };
        assert_eq!((clock(false), clock(true)), (Stamp(1 << 16), Stamp::default()));
    }
}
