//! Histories of several replicas, delivered in any order, end in one state.

use alloc::collections::BTreeMap;

use core::time::Duration;
use proptest::prelude::*;

use super::*;
use crate::clock::Hlc;
use crate::time::WallTime;

/// One replica as far as a store goes: it writes and merges, and every merge is a record of its log.
struct Replica {
    id: ReplicaId,
    clock: Hlc,
    seq: u64,
    lsn: Lsn,
    store: Store,
}

#[derive(Clone, Debug)]
struct Step {
    replica: usize,
    wall: u64,
    key: u8,
    body: Option<u8>,
    /// Which of the operations so far reach the replica first, in this order.
    heard: Vec<prop::sample::Index>,
}

impl Replica {
    fn new(id: u8) -> Self {
        Self { id: ReplicaId([id; 16]), clock: Hlc::default(), seq: 0, lsn: Lsn::ZERO, store: Store::new() }
    }

    /// Merges, and checks what must hold of every single merge.
    fn merge(&mut self, op: &Operation) -> Merge {
        self.lsn = self.lsn.next();
        let read = |entry: Entry<'_>| (entry.dot(), entry.known(), entry.version(), entry.changed(), entry.stamp());
        let before = self.store.entry(&op.key).map(read);
        let live = self.store.get(&op.key).is_some();
        let merge = self.store.apply(self.lsn, op);
        let (dot, known, version, changed, stamp) = self.store.entry(&op.key).map(read).unwrap();

        let (old_dot, old_known, old_version, old_changed, old_stamp) =
            before.unwrap_or((op.dot, VersionVector::EMPTY, 0, Lsn::ZERO, Stamp::default()));
        let mut expected = old_known.clone();
        expected.join(&op.context);
        expected.include(op.dot);
        assert_eq!(known, expected, "known is always the union");
        let won = dot == op.dot && !old_known.covers(op.dot);
        assert_eq!(version, old_version + u64::from(won), "the version counts winners");
        let moved = won || known != old_known;
        assert_eq!(changed, if moved { self.lsn } else { old_changed });
        assert!((stamp, dot.replica) >= (old_stamp, if old_version == 0 { dot.replica } else { old_dot.replica }));
        match merge {
            Merge::Applied { created, version: told, concurrent } => {
                assert!(won && told == version);
                assert_eq!(created, !live && op.body.value().is_some());
                assert_eq!(concurrent, old_version > 0 && !op.context.covers(old_dot));
            }
            Merge::Superseded => assert!(!won && !old_known.covers(op.dot) && !op.context.covers(old_dot)),
            Merge::Duplicate => assert!(old_known.covers(op.dot)),
        }
        merge
    }

    fn write(&mut self, wall: u64, key: u8, body: Option<u8>) -> Operation {
        let key = Bytes::from(alloc::vec![b'k', key]);
        let latest = self.store.latest(&key);
        let issued = self.clock.issue(WallTime(wall), latest.map(|entry| entry.stamp()));
        self.seq += 1;
        let op = Operation {
            dot: Dot { replica: self.id, seq: self.seq },
            stamp: issued.stamp,
            context: latest.map_or(VersionVector::EMPTY, |entry| entry.known()),
            key,
            body: body.map_or(Body::Delete, |byte| Body::Put(Bytes::from(alloc::vec![byte; 3]))),
            marks: Marks { lifted: issued.lifted, ..Marks::default() },
        };
        let merge = self.merge(&op);
        // What the writer has seen it overwrites, however far ahead that was stamped.
        assert!(matches!(merge, Merge::Applied { concurrent: false, .. }), "{merge:?}");
        op
    }
}

fn histories() -> impl Strategy<Value = (usize, Vec<Step>)> {
    (2usize..=5).prop_flat_map(|replicas| {
        // Wall clocks that jump either way, sometimes far, and often stand on the same millisecond.
        let wall = prop_oneof![4 => 0u64..3, 1 => 1_000_000u64..1_000_003];
        let heard = proptest::collection::vec(any::<prop::sample::Index>(), 0..4);
        let step = (0..replicas, wall, 0u8..3, proptest::option::of(any::<u8>()), heard)
            .prop_map(|(replica, wall, key, body, heard)| Step { replica, wall, key, body, heard });
        (Just(replicas), proptest::collection::vec(step, 1..30))
    })
}

/// Runs a history: every operation, and the replicas in the middle of things.
fn run(replicas: usize, steps: &[Step]) -> (Vec<Operation>, Vec<Replica>) {
    let mut nodes: Vec<_> = (1..=replicas).map(|id| Replica::new(id as u8)).collect();
    let mut ops: Vec<Operation> = Vec::new();
    for step in steps {
        let node = &mut nodes[step.replica];
        for heard in step.heard.iter().filter(|_| !ops.is_empty()) {
            let op = heard.get(&ops);
            node.merge(op);
            node.clock.adopt(op.stamp, WallTime(step.wall), Duration::from_secs(60));
        }
        ops.push(node.write(step.wall, step.key, step.body));
    }
    (ops, nodes)
}

fn winners(store: &Store) -> Vec<(Dot, VersionVector, Vec<u8>)> {
    store.entries_from(Bound::Unbounded).map(|entry| (entry.dot(), entry.known(), entry.key().to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_order_of_delivery_ends_in_one_state(
        (replicas, steps) in histories(),
        orders in proptest::collection::vec(any::<prop::sample::Index>(), 60),
        seed: u64,
    ) {
        let (ops, mut nodes) = run(replicas, &steps);

        // The winner of a key is the greatest of its operations; `known` is all of them.
        let mut greatest: BTreeMap<&[u8], &Operation> = BTreeMap::new();
        let mut known: BTreeMap<&[u8], VersionVector> = BTreeMap::new();
        for op in &ops {
            let held = greatest.entry(&op.key).or_insert(op);
            if (held.stamp, held.dot.replica, held.dot.seq) < (op.stamp, op.dot.replica, op.dot.seq) {
                *held = op;
            }
            known.entry(&op.key).or_default().include(op.dot);
        }
        let expected: Vec<_> =
            greatest.iter().map(|(key, op)| (op.dot, known[key].clone(), key.to_vec())).collect();

        // A newcomer that hears some of it twice, in an order of its own.
        nodes.push(Replica::new(0xff));
        let newcomer = nodes.last_mut().unwrap();
        for index in &orders {
            newcomer.merge(index.get(&ops));
        }
        let mut dice = crate::dice::Seed::from_number(seed).stream("order");
        for node in &mut nodes {
            let mut rest: Vec<&Operation> = ops.iter().collect();
            while !rest.is_empty() {
                let op = rest.swap_remove((dice.next_u64() % rest.len() as u64) as usize);
                node.merge(op);
            }
            prop_assert_eq!(winners(&node.store), expected.clone());
            check_derived(&node.store);
        }
        for node in &nodes {
            prop_assert_eq!(node.store.digest(), nodes[0].store.digest());
        }
    }

    #[test]
    fn hearing_everything_again_changes_nothing((replicas, steps) in histories()) {
        let (ops, mut nodes) = run(replicas, &steps);
        for node in &mut nodes {
            for op in &ops {
                node.merge(op);
            }
            let entries = |store: &Store| alloc::format!("{:?}", store.feed(Lsn::ZERO).collect::<Vec<_>>());
            let before = entries(&node.store);
            for op in ops.iter().rev() {
                prop_assert_eq!(node.merge(op), Merge::Duplicate);
            }
            prop_assert_eq!(entries(&node.store), before);
        }
    }
}

/// The greater replica id wins a tie, whoever decides.
#[test]
fn a_tie_of_stamps_goes_to_the_greater_replica() {
    let [mut low, mut high] = [Replica::new(1), Replica::new(2)];
    let from_low = low.write(5, 0, Some(1));
    let from_high = high.write(5, 0, Some(2));
    assert_eq!(from_low.stamp, from_high.stamp);
    assert_eq!(low.merge(&from_high), Merge::Applied { created: false, version: 2, concurrent: true });
    assert_eq!(high.merge(&from_low), Merge::Superseded);
    for node in [&low, &high] {
        assert_eq!(node.store.get(b"k\0").unwrap().value(), Some(&[2, 2, 2][..]));
    }
    assert_eq!(low.store.digest(), high.store.digest());
}

/// A version from a clock that stands far ahead is overwritten by whoever has seen it.
#[test]
fn a_sequential_overwrite_wins_however_far_ahead_the_version_was() {
    let [mut ahead, mut late] = [Replica::new(9), Replica::new(1)];
    let future = ahead.write(31_536_000_000, 0, Some(1));
    late.merge(&future);
    let deletion = late.write(1000, 0, None);
    assert!(deletion.marks.lifted);
    assert_eq!(ahead.merge(&deletion), Merge::Applied { created: false, version: 2, concurrent: false });
    assert!(ahead.store.is_empty() && ahead.store.digest() == late.store.digest());
}
