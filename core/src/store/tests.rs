mod accounts;
mod blocks;
mod collection;
mod convergence;
mod model;
mod replay;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::op::{Body, Marks};

fn put(store: &Store, seq: u64, key: &str, value: &str) -> Operation {
    write(store, seq, key, Body::Put(Bytes::copy_from_slice(value.as_bytes())))
}

fn write(store: &Store, seq: u64, key: &str, body: Body) -> Operation {
    let latest = store.latest(key.as_bytes());
    Operation {
        dot: Dot { replica: ReplicaId([7; 16]), seq },
        stamp: Stamp(seq << 16),
        context: latest.map_or(VersionVector::EMPTY, |entry| entry.known()),
        key: Bytes::copy_from_slice(key.as_bytes()),
        body,
        marks: Marks::default(),
    }
}

fn keys<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<&'a str> {
    entries.map(|entry| core::str::from_utf8(entry.key()).unwrap()).collect()
}

#[test]
fn staged_changes_are_seen_by_the_next_write_alone() {
    let mut store = Store::new();
    let op = put(&store, 1, "k", "old");
    assert_eq!(store.stage(Lsn(1), &op), Merge::Applied { created: true, version: 1, concurrent: false });
    let op = put(&store, 2, "k", "new");
    assert_eq!(store.stage(Lsn(2), &op), Merge::Applied { created: false, version: 2, concurrent: false });
    assert_eq!(store.latest(b"k").unwrap().value(), Some(&b"new"[..]));
    assert!(store.entry(b"k").is_none() && store.is_empty() && store.feed(Lsn::ZERO).next().is_none());

    store.publish(Lsn(1));
    assert_eq!(store.get(b"k").unwrap().value(), Some(&b"old"[..]));
    assert_eq!(store.latest(b"k").unwrap().value(), Some(&b"new"[..]));

    store.discard_staged(Lsn(2));
    assert_eq!(store.latest(b"k").unwrap().value(), Some(&b"old"[..]));
    assert_eq!((store.staged_len(), store.len()), (0, 1));
}

#[test]
fn discarding_uncovers_the_older_staged_change() {
    let mut store = Store::new();
    for seq in 1..=3 {
        let op = put(&store, seq, "k", if seq == 1 { "one" } else { "later" });
        store.stage(Lsn(seq), &op);
    }
    store.discard_staged(Lsn(2));
    assert_eq!(store.latest(b"k").unwrap().value(), Some(&b"one"[..]));
    store.publish(Lsn(9));
    assert_eq!(store.get(b"k").unwrap().value(), Some(&b"one"[..]));
}

#[test]
fn scans_show_live_keys_in_order_and_go_on_after_a_cursor() {
    let mut store = Store::new();
    for (seq, key) in (1..).zip(["b", "a/2", "a/1", "c", "a/3", "a"]) {
        let op = put(&store, seq, key, "v");
        store.apply(Lsn(seq), &op);
    }
    let op = write(&store, 7, "a/2", Body::Delete);
    store.apply(Lsn(7), &op);
    assert_eq!(keys(store.scan(..)), ["a", "a/1", "a/3", "b", "c"]);
    assert_eq!(keys(store.scan(&b"a/1"[..]..&b"b"[..])), ["a/1", "a/3"]);
    assert_eq!(keys(store.scan(&b"b"[..]..=&b"b"[..])), ["b"]);
    assert!(keys(store.scan(&b"z"[..]..&b"a"[..])).is_empty());
    assert_eq!(keys(store.scan_prefix(b"a/", None)), ["a/1", "a/3"]);
    assert_eq!(keys(store.scan_prefix(b"a/", Some(b"a/1"))), ["a/3"]);
    assert_eq!(keys(store.scan_prefix(b"a/", Some(b"z"))), [""; 0]);
    assert_eq!(keys(store.scan_prefix(b"b", Some(b"a/1"))), ["b"]);
    assert_eq!((store.len(), store.tombstones()), (5, 1));
}

#[test]
fn a_scan_may_begin_and_end_anywhere() {
    let mut store = Store::new();
    let key = |number: u64| alloc::format!("{number:03}");
    for seq in 1..=300 {
        let op = put(&store, seq, &key(seq * 7 % 300), "v");
        store.apply(Lsn(seq), &op);
    }
    for dead in (0..300).step_by(5) {
        let op = write(&store, 301 + dead, &key(dead), Body::Delete);
        store.apply(Lsn(301 + dead), &op);
    }
    let live: Vec<String> = (0..300).filter(|number| number % 5 != 0).map(key).collect();
    for first in 0..=300 {
        let from = key(first);
        let expected: Vec<&str> = live.iter().map(String::as_str).filter(|key| *key >= from.as_str()).collect();
        assert_eq!(keys(store.scan(from.as_bytes()..)), expected);
        for limit in [1, 3, 4, 5, 12, 13, 32, 60, 64, 100] {
            let some: Vec<&str> = expected.iter().copied().take(limit).collect();
            assert_eq!(keys(store.scan(from.as_bytes()..).take(limit)), some);
            let end = key(first + limit as u64);
            let until: Vec<&str> = expected.iter().copied().filter(|key| *key < end.as_str()).collect();
            assert_eq!(keys(store.scan(from.as_bytes()..end.as_bytes())), until);
        }
    }
}

#[test]
fn a_walk_in_small_steps_loads_into_an_equal_store() {
    let mut store = Store::new();
    for seq in 1..=50 {
        let key = alloc::format!("key-{}", seq * 7 % 40);
        let body = if seq % 9 == 0 { Body::Delete } else { Body::Put(Bytes::from(alloc::vec![seq as u8; 100])) };
        let op = write(&store, seq, &key, body);
        store.apply(Lsn(seq), &op);
    }
    let mut copy = Store::new();
    let mut after: Option<Bytes> = None;
    loop {
        let mut block = Vec::new();
        let walk = store.walk(after.as_deref(), 500, &mut block);
        copy.load(walk.items, Bytes::from(block)).unwrap();
        match walk.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert!(store.entries_from(Bound::Unbounded).eq(copy.entries_from(Bound::Unbounded)));
    assert!(store.feed(Lsn(17)).eq(copy.feed(Lsn(17))));
    assert_eq!(store.digest(), copy.digest());
    assert_eq!(Some(copy.digest()), copy.recomputed_digest());
}

/// Everything that can be read of a published store agrees with what can be computed from its entries.
fn check_derived(store: &Store) {
    let all: Vec<_> = store.entries_from(Bound::Unbounded).collect();
    assert!(all.is_sorted_by(|a, b| a.key() < b.key()));
    let live: Vec<_> = all.iter().filter(|entry| !entry.is_tombstone()).collect();
    assert_eq!((store.len(), store.tombstones()), (live.len(), all.len() - live.len()));
    let bytes: usize = live.iter().map(|entry| entry.key().len() + entry.value().unwrap().len()).sum();
    assert_eq!(store.live_bytes(), bytes as u64);
    assert_eq!(store.recomputed_digest(), Some(store.digest()));
    assert_eq!(store.last_changed(), all.iter().map(Entry::changed).max().unwrap_or_default());
    let mut by_change = all;
    by_change.sort_unstable_by_key(Entry::changed);
    assert_eq!(store.feed(Lsn::ZERO).collect::<Vec<_>>(), by_change);
}

fn assert_same(a: &Store, b: &Store) {
    let all = |store: &Store| alloc::format!("{:?}", store.entries_from(Bound::Unbounded).collect::<Vec<_>>());
    if !a.entries_from(Bound::Unbounded).eq(b.entries_from(Bound::Unbounded)) {
        assert_eq!(all(a), all(b));
    }
    assert!(a.feed(Lsn::ZERO).eq(b.feed(Lsn::ZERO)));
    assert_eq!(
        (a.len(), a.tombstones(), a.live_bytes(), a.snapshot_bytes(), a.digest(), a.last_changed()),
        (b.len(), b.tombstones(), b.live_bytes(), b.snapshot_bytes(), b.digest(), b.last_changed()),
    );
}

#[test]
fn long_values_are_shared_and_short_ones_copied() {
    for len in [0, 1, 4095, 4096, 100_000] {
        let mut store = Store::new();
        let read = Bytes::from(alloc::vec![3; len + 64]);
        let op = write(&store, 1, "k", Body::Put(read.slice(10..10 + len)));
        store.apply(Lsn(1), &op);
        let entry = store.get(b"k").unwrap();
        assert_eq!(entry.value().unwrap(), alloc::vec![3; len]);
        let (a, b) = (entry.value_bytes().unwrap(), entry.value_bytes().unwrap());
        assert_eq!((a.len(), a.as_ptr() == b.as_ptr()), (len, len >= 4096 || len == 0));
        drop(op);
        assert!(read.is_unique(), "the store keeps what a value was cut from alive");
    }
}

#[test]
fn a_context_far_back_or_of_many_writers_is_kept() {
    let dot = |replica: u8, seq| Dot { replica: ReplicaId([replica; 16]), seq };
    for context in [
        alloc::vec![],
        alloc::vec![dot(7, 1)],
        alloc::vec![dot(7, (1 << 40) - 1)],
        alloc::vec![dot(2, 9)],
        alloc::vec![dot(2, u64::MAX), dot(7, (1 << 40) - (1 << 24)), dot(9, 1)],
        (8..200).map(|replica| dot(replica, 1 << replica.min(63))).collect(),
    ] {
        let context: VersionVector = context.into_iter().collect();
        let mut op = write(&Store::new(), 1 << 40, "key", Body::Put(Bytes::from_static(b"value")));
        op.context = context.clone();
        let mut known = context.clone();
        known.include(op.dot);
        let mut more = known.clone();
        more.include(dot(250, 3));
        for (repeats, also_known) in [None, context.iter().last()].into_iter().zip([&VersionVector::EMPTY, &more]) {
            op.marks = Marks { batch_continues: true, lifted: false, resolution: true, repeats };
            let mut store = Store::new();
            store.apply_entry(Lsn(1), &op, also_known);
            let mut block = Vec::new();
            let walk = store.walk(None, 1000, &mut block);
            let mut loaded = Store::new();
            loaded.load(walk.items, block.into()).unwrap();
            let known = if also_known.is_empty() { &known } else { &more };
            for entry in [store.get(b"key").unwrap(), loaded.get(b"key").unwrap()] {
                assert_eq!((entry.context(), &entry.known(), entry.marks()), (context.clone(), known, op.marks));
                assert_eq!((entry.key(), entry.value(), entry.dot()), (&b"key"[..], Some(&b"value"[..]), op.dot));
            }
        }
    }
}

/// Not so in a history of well-behaved writers, whose later dots bring all their earlier contexts with them; but what
/// is known must not depend on that.
#[test]
fn even_a_known_operation_brings_what_its_writer_had_seen() {
    let mut store = Store::new();
    let mut op = put(&store, 5, "k", "v");
    store.apply(Lsn(1), &op);
    let other = Dot { replica: ReplicaId([9; 16]), seq: 3 };
    op.dot.seq = 4;
    op.context.include(other);
    assert_eq!(store.apply(Lsn(2), &op), Merge::Duplicate);
    let entry = store.get(b"k").unwrap();
    assert!(entry.known().covers(other) && !entry.context().covers(other));
    assert_eq!((entry.dot().seq, entry.version(), entry.changed()), (5, 1, Lsn(2)));
    assert_eq!(store.apply(Lsn(3), &op), Merge::Duplicate);
    assert_eq!(store.get(b"k").unwrap().changed(), Lsn(2));
    check_derived(&store);
}

/// Where stamps can rise no further, having seen the winner still decides.
#[test]
fn an_overwrite_of_the_greatest_stamp_wins() {
    let mut store = Store::new();
    let mut op = put(&store, 1, "k", "old");
    op.stamp = Stamp(u64::MAX);
    store.apply(Lsn(1), &op);
    let mut op = put(&store, 1, "k", "new");
    op.stamp = Stamp(u64::MAX);
    op.dot.replica = ReplicaId([1; 16]);
    assert_eq!(store.apply(Lsn(2), &op), Merge::Applied { created: false, version: 2, concurrent: false });
    assert_eq!(store.get(b"k").unwrap().value(), Some(&b"new"[..]));
}

#[test]
fn a_key_costs_less_than_a_hundred_bytes_beyond_its_data() {
    const KEYS: u64 = 50_000;
    let mut store = Store::new();
    for seq in 1..=KEYS {
        let key = alloc::format!("key:{:012}", seq * 7_919 % 1_000_003);
        let op = put(&store, seq, &key, "v");
        store.apply(Lsn(seq), &op);
    }
    // The key's length stands before it; the allocator's own rounding comes on top and is not ours to count.
    let bytes = store.table.bytes() + store.feed.bytes() + 2 * store.len();
    let each = bytes as f64 / KEYS as f64;
    assert!(each < 92.0, "{each} bytes a key");
}
