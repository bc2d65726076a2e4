//! What fuzzy snapshots rely on: a log applied again changes nothing, and a snapshot walked while writes go on, with
//! the log from its beginning, is the whole log.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Write {
    replica: u8,
    key: u16,
    /// `None` deletes.
    value: Option<u16>,
    /// What the writer had seen of the key: all of it, or only what stood at an earlier place in the log.
    seen: Option<prop::sample::Index>,
    stamp: u8,
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write =
        (1u8..4, 0u16..40, proptest::option::of(0u16..600), any::<bool>(), any::<prop::sample::Index>(), 0u8..4)
            .prop_map(|(replica, key, value, all, at, stamp)| Write {
                replica,
                key,
                value,
                seen: (!all).then_some(at),
                stamp,
            });
    proptest::collection::vec(write, 1..160)
}

/// A log: own and foreign operations as one node may have received them, concurrent ones and losers included.
fn log(writes: &[Write]) -> Vec<Operation> {
    let mut log: Vec<Operation> = Vec::new();
    for (index, write) in writes.iter().enumerate() {
        let key = Bytes::from(alloc::format!("key-{:03}", write.key));
        let upto = write.seen.map_or(index, |at| at.index(index + 1));
        let replica = ReplicaId([write.replica; 16]);
        let mut context = VersionVector::EMPTY;
        let mut above = Stamp::default();
        let seen = |(place, op): &(usize, &Operation)| op.key == key && (*place < upto || op.dot.replica == replica);
        for (_, op) in log.iter().enumerate().filter(seen) {
            context.join(&op.context);
            context.include(op.dot);
            above = above.max(op.stamp);
        }
        log.push(Operation {
            dot: Dot { replica, seq: index as u64 + 1 },
            stamp: Stamp(above.0 + 1 + u64::from(write.stamp)),
            context,
            key,
            body: write.value.map_or(Body::Delete, |len| Body::Put(Bytes::from(alloc::vec![1; usize::from(len)]))),
            marks: Marks::default(),
        });
    }
    log
}

/// The LSN of a place in the log: some records in between are not operations.
fn lsn(place: usize) -> Lsn {
    Lsn(place as u64 * 3 + 1)
}

fn apply(store: &mut Store, log: &[Operation], places: core::ops::Range<usize>) {
    for place in places {
        store.apply(lsn(place), &log[place]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_part_of_the_log_may_be_applied_again(
        writes in writes(),
        cuts in proptest::collection::vec(any::<[prop::sample::Index; 2]>(), 1..5),
    ) {
        let log = log(&writes);
        let mut once = Store::new();
        apply(&mut once, &log, 0..log.len());
        let mut again = Store::new();
        apply(&mut again, &log, 0..log.len());
        for [from, to] in cuts {
            let from = from.index(log.len() + 1);
            apply(&mut again, &log, from..from + to.index(log.len() + 1 - from));
            apply(&mut again, &log, from..log.len());
            assert_same(&once, &again);
        }
        check_derived(&again);
    }

    #[test]
    fn a_log_replayed_without_order_until_its_end_is_the_whole_log(
        writes in writes(),
        seed: u64,
        removed: Option<prop::sample::Index>,
        settled: prop::sample::Index,
    ) {
        let log = log(&writes);
        let settled = settled.index(log.len() + 1);
        let mut plain = Store::new();
        let mut gathered = Store::new();
        gathered.begin_replay(seed);
        for (store, is_gathered) in [(&mut plain, false), (&mut gathered, true)] {
            apply(store, &log, 0..settled);
            if let Some(at) = removed.filter(|_| settled > 0) {
                assert!(store.remove(&log[at.index(settled)].key));
            }
            if is_gathered && settled % 2 == 0 {
                store.finish_load();
            }
            apply(store, &log, settled..log.len());
            store.finish_load();
        }
        assert_same(&plain, &gathered);
        // What was taken out may have been the latest change.
        if removed.is_none() {
            check_derived(&gathered);
        }
        for write in &log {
            prop_assert_eq!(gathered.entry(&write.key).map(|entry| entry.dot()), plain.entry(&write.key).map(|entry| entry.dot()));
        }
    }

    #[test]
    fn a_fuzzy_snapshot_and_the_log_from_its_beginning_are_the_whole_log(
        writes in writes(),
        begin: prop::sample::Index,
        room in 0usize..3000,
        between in proptest::collection::vec(0usize..20, 1..40),
    ) {
        let log = log(&writes);
        let begin = begin.index(log.len() + 1);
        let mut running = Store::new();
        apply(&mut running, &log, 0..begin);

        let mut place = begin;
        let mut pauses = between.iter().cycle();
        let mut blocks = Vec::new();
        let mut reached = Lsn::ZERO;
        let mut after: Option<Bytes> = None;
        loop {
            let mut block = Vec::new();
            let walk = running.walk(after.as_deref(), room, &mut block);
            reached = reached.max(walk.newest);
            blocks.push((walk.items, Bytes::from(block)));
            after = walk.next;
            if after.is_none() {
                break;
            }
            let next = (place + pauses.next().unwrap()).min(log.len());
            apply(&mut running, &log, place..next);
            place = next;
        }
        prop_assert!(reached <= running.last_changed());
        apply(&mut running, &log, place..log.len());

        let mut recovered = Store::new();
        for (items, block) in blocks {
            recovered.load(items, block).unwrap();
        }
        prop_assert_eq!(recovered.last_changed(), reached);
        check_derived(&recovered);
        apply(&mut recovered, &log, begin..log.len());
        assert_same(&running, &recovered);
        check_derived(&recovered);

        let mut plain = Store::new();
        apply(&mut plain, &log, 0..log.len());
        assert_same(&plain, &recovered);
    }

    #[test]
    fn a_damaged_block_is_an_error_or_a_store_never_a_panic(
        writes in writes(),
        flips in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
        cut: Option<prop::sample::Index>,
        items in 0u32..200,
    ) {
        let log = log(&writes);
        let mut store = Store::new();
        apply(&mut store, &log, 0..log.len());
        let mut block = Vec::new();
        let walk = store.walk(None, usize::MAX, &mut block);
        for (at, xor) in flips {
            let at = at.index(block.len());
            block[at] ^= xor;
        }
        if let Some(cut) = cut {
            block.truncate(cut.index(block.len()));
        }
        let whole = Bytes::from(block);
        for items in [walk.items, items] {
            let mut loaded = Store::new();
            if loaded.load(items, whole.clone()).is_ok() {
                prop_assert_eq!(loaded.entries_from(Bound::Unbounded).count(), items as usize);
                prop_assert_eq!(loaded.feed(Lsn::ZERO).count(), items as usize);
            }
        }
    }
}

#[test]
fn blocks_out_of_order_are_refused() {
    let mut store = Store::new();
    for (seq, key) in (1..).zip(["a", "b"]) {
        let op = put(&store, seq, key, "v");
        store.apply(Lsn(seq), &op);
    }
    let mut block = Vec::new();
    let walk = store.walk(None, 0, &mut block);
    assert_eq!((walk.items, walk.next.as_deref(), walk.newest), (1, Some(&b"a"[..]), Lsn(1)));
    let mut copy = Store::new();
    let block = Bytes::from(block);
    copy.load(1, block.clone()).unwrap();
    assert_eq!(copy.load(1, block.clone()).unwrap_err().field, "snapshot entry key");
    assert_eq!(Store::new().load(0, block).unwrap_err().field, "snapshot block");
}

/// Old snapshots must stay readable: a change here is a new format version.
#[test]
fn the_layout_of_a_block_is_pinned() {
    let dot = |replica, seq| Dot { replica: ReplicaId([replica; 16]), seq };
    let mut store = Store::new();
    let mut op = put(&store, 300, "a", "vv");
    op.stamp = Stamp(0x0102_0304_0506_0708);
    op.context = [dot(7, 299), dot(2, 5)].into_iter().collect();
    store.apply(Lsn(1), &op);
    // A concurrent loser, which makes `known` more than the context and the dot.
    op.dot = dot(1, 1);
    op.stamp = Stamp(1);
    op.context = VersionVector::EMPTY;
    assert_eq!(store.apply(Lsn(200), &op), Merge::Superseded);
    let op = write(&store, 301, "b", Body::Delete);
    store.apply(Lsn(201), &op);

    let mut block = Vec::new();
    let walk = store.walk(None, usize::MAX, &mut block);
    assert_eq!(walk, Walk { items: 2, next: None, newest: Lsn(201) });
    let hex: alloc::string::String = block.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
    insta::assert_snapshot!(hex, @"beae129b03d781f87c3686d9b48a8f3f300007070707070707070707070707070707ac02080706050403020101c801f3d1d6fc20f86ac30201020202020202020202020202020202020500ab0203020101010101010101010101010101010101010500ac0201610276760100ad0200002d010000000001c9012d3adedff11b61f10162");
    let mut copy = Store::new();
    copy.load(2, Bytes::from(block)).unwrap();
    assert_same(&store, &copy);
}
