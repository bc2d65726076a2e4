//! Entries taken out, and what others had merged.

use alloc::collections::BTreeMap;
use alloc::string::String;

use super::*;
use crate::dice::Seed;

#[test]
fn entries_taken_out_leave_no_trace() {
    let mut dice = Seed::from_number(5).stream("store");
    let mut store = Store::new();
    let mut model: BTreeMap<String, u64> = BTreeMap::new();
    for seq in 1..=6000 {
        let key = alloc::format!("key/{:04}", dice.below(700));
        if dice.below(3) == 0 {
            assert_eq!(store.remove(key.as_bytes()), model.remove(&key).is_some());
        } else {
            let delete = dice.below(4) == 0;
            let op = write(&store, seq, &key, if delete { Body::Delete } else { Body::Put(Bytes::from(key.clone())) });
            store.apply(Lsn(seq), &op);
            model.insert(key, seq);
        }
    }
    let found = store.entries(None).map(|entry| (String::from_utf8(entry.key().to_vec()).unwrap(), entry.changed().0));
    assert!(found.eq(model.iter().map(|(key, lsn)| (key.clone(), *lsn))));
    let mut by_lsn: Vec<u64> = model.values().copied().collect();
    by_lsn.sort_unstable();
    assert!(store.feed(Lsn::ZERO).map(|entry| entry.changed().0).eq(by_lsn));
    assert_eq!(Some(store.digest()), store.recomputed_digest());
    assert_eq!(store.len() + store.tombstones(), model.len());

    let dead: Vec<Bytes> =
        store.entries(None).filter(Entry::is_tombstone).map(|entry| Bytes::copy_from_slice(entry.key())).collect();
    assert!(!dead.is_empty() && store.live_digest() != store.digest());
    for key in &dead {
        assert!(store.remove(key));
    }
    assert_eq!((store.live_digest(), store.tombstones()), (store.digest(), 0));
}

#[test]
fn nothing_staged_is_taken_out_from_under() {
    let mut store = Store::new();
    let op = put(&store, 1, "k", "old");
    store.apply(Lsn(1), &op);
    let op = put(&store, 2, "k", "new");
    store.stage(Lsn(2), &op);
    assert!(!store.remove(b"k"));
    store.publish(Lsn(2));
    assert!(store.remove(b"k") && store.is_empty() && store.feed(Lsn::ZERO).next().is_none());
}

#[test]
fn only_removals_are_staged_several_to_a_record() {
    let staged = |steps: [(u64, bool); 2]| {
        let mut store = Store::new();
        let keys = ["a", "b"].map(|key| Bytes::from_static(key.as_bytes()));
        for (seq, key) in (1..).zip(["a", "b"]) {
            let op = put(&store, seq, key, "v");
            store.apply(Lsn(seq), &op);
        }
        let stage = || {
            for ((lsn, removal), key) in steps.into_iter().zip(&keys) {
                if removal {
                    store.stage_removal(Lsn(lsn), key);
                } else {
                    let op = put(&store, lsn, core::str::from_utf8(key).unwrap(), "w");
                    store.stage(Lsn(lsn), &op);
                }
            }
            store.staged_len()
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(stage)).ok()
    };
    let (change, removal) = (false, true);
    for (first, second) in [(change, change), (change, removal), (removal, change), (removal, removal)] {
        let both_removals = first && second;
        assert_eq!(staged([(9, first), (10, second)]), Some(2));
        assert_eq!(staged([(9, first), (9, second)]), both_removals.then_some(2), "{first} {second}");
        assert_eq!(staged([(10, first), (9, second)]), None, "{first} {second}");
    }
}

#[test]
fn what_others_had_merged_becomes_known() {
    let mut store = Store::new();
    let op = put(&store, 1, "k", "v");
    let elsewhere: VersionVector = [Dot { replica: ReplicaId([9; 16]), seq: 4 }].into_iter().collect();
    store.apply_entry(Lsn(1), &op, &elsewhere);
    let mut expected = elsewhere.clone();
    expected.include(op.dot);
    assert_eq!(store.entry(b"k").unwrap().known_beyond(), Some(expected));
    // Once more, and then with more: only the latter is a change.
    assert_eq!(store.apply_entry(Lsn(2), &op, &elsewhere), Merge::Duplicate);
    assert_eq!(store.entry(b"k").unwrap().changed(), Lsn(1));
    let more: VersionVector = [Dot { replica: ReplicaId([8; 16]), seq: 1 }].into_iter().collect();
    assert_eq!(store.apply_entry(Lsn(3), &op, &more), Merge::Duplicate);
    assert_eq!(store.entry(b"k").unwrap().changed(), Lsn(3));
}

#[test]
fn one_dot_with_two_contents_ends_with_the_greater_everywhere() {
    let store = Store::new();
    let (one, two) = (put(&store, 1, "k", "one"), put(&store, 1, "k", "two"));
    let mut ends = [[&one, &two], [&two, &one]].map(|order| {
        let mut store = Store::new();
        for (lsn, op) in (1..).zip(order) {
            store.apply(Lsn(lsn), op);
        }
        assert_eq!(Some(store.digest()), store.recomputed_digest());
        store.digest()
    });
    ends.sort_unstable_by_key(|digest| digest.0);
    assert_eq!(ends[0], ends[1]);
}

/// Whatever is published and given up, the store is as if what was not given up had come one by one.
#[test]
fn removals_wait_like_other_changes() {
    let mut dice = Seed::from_number(6).stream("store");
    let (mut store, mut plain) = (Store::new(), Store::new());
    let mut staged: Vec<(Bytes, Option<Operation>)> = Vec::new();
    let (mut published, mut removed) = (0, 0);
    for seq in 1..=6000 {
        let key = Bytes::from(alloc::format!("key/{:03}", dice.below(200)));
        let lsn = Lsn(published + staged.len() as u64 + 1);
        if dice.below(3) == 0 {
            let stands = store.entry(&key).is_some() && !store.is_staged(&key);
            assert_eq!(store.stage_removal(lsn, &key), stands);
            if stands {
                assert!(store.latest(&key).is_none() && store.entry(&key).is_some());
                staged.push((key, None));
            }
        } else {
            let op = write(&store, seq, core::str::from_utf8(&key).unwrap(), Body::Put(key.clone()));
            store.stage(lsn, &op);
            staged.push((key, Some(op)));
        }
        match dice.below(8) {
            0 => {
                let some = dice.below(staged.len() as u64 + 1) as usize;
                for (key, op) in staged.drain(..some) {
                    published += 1;
                    match op {
                        Some(op) => assert!(matches!(plain.apply(Lsn(published), &op), Merge::Applied { .. })),
                        None => {
                            assert!(plain.remove(&key));
                            removed = published;
                        }
                    }
                }
                store.publish(Lsn(published));
            }
            1 => {
                staged.truncate(dice.below(staged.len() as u64 + 1) as usize);
                store.discard_staged(Lsn(published + staged.len() as u64 + 1));
            }
            _ => {}
        }
    }
    assert!(store.entries(None).eq(plain.entries(None)) && store.feed(Lsn::ZERO).eq(plain.feed(Lsn::ZERO)));
    assert_eq!((store.digest(), store.live_bytes()), (plain.digest(), plain.live_bytes()));
    assert_eq!(Some(store.digest()), store.recomputed_digest());
    assert_eq!(store.walk(Some(b"z"), 1, &mut Vec::new()).newest, Lsn(removed), "a block may lack what was taken out");
}
