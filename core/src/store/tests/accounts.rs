//! What a store says of its entries in sum, and what it keeps of them beyond what they say themselves.

use super::*;

/// A dot of replica `replica`.
fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

#[test]
fn what_is_known_is_kept_only_where_it_is_more_than_the_context_and_the_dot() {
    let own = dot(7, 5);
    for (context, also_known, beyond) in [
        (&[][..], &[][..], false),
        (&[], &[own], false),
        (&[], &[dot(7, 6)], true),
        (&[], &[dot(1, 1)], true),
        (&[dot(7, 2)], &[dot(7, 3)], false),
        (&[dot(7, 2)], &[dot(1, 1)], true),
        (&[dot(1, 3)], &[dot(1, 2)], false),
        (&[dot(1, 3)], &[dot(1, 4)], true),
        (&[dot(1, 3), dot(7, 2), dot(9, 9)], &[dot(9, 9), dot(1, 1)], false),
        (&[dot(1, 3), dot(7, 2), dot(9, 9)], &[dot(9, 10)], true),
        (&[dot(1, 3), dot(7, 2), dot(9, 9)], &[dot(8, 1)], true),
    ] {
        let mut store = Store::new();
        let mut op = put(&store, own.seq, "k", "v");
        op.context = vector(context);
        store.apply_entry(Lsn(1), &op, &vector(also_known));
        let mut known = op.context.clone();
        known.include(own);
        known.join(&vector(also_known));
        let entry = store.entry(b"k").unwrap();
        assert_eq!(entry.known(), known, "{context:?} and {also_known:?}");
        assert_eq!(entry.known_beyond(), beyond.then_some(known), "{context:?} and {also_known:?}");
    }
}

#[test]
fn the_size_of_a_snapshot_is_foretold_within_a_half() {
    for (value, every) in [(0, 1), (0, 2), (100, 1), (100, 3), (2000, 2)] {
        let mut store = Store::new();
        for seq in 1..=300 {
            let key = alloc::format!("a key {seq:05}");
            let body = if seq % every == 0 { Body::Put(Bytes::from(alloc::vec![1; value])) } else { Body::Delete };
            let op = write(&store, seq, &key, body);
            store.apply(Lsn(seq), &op);
        }
        let mut blocks = Vec::new();
        assert!(store.walk(None, usize::MAX, &mut blocks).next.is_none());
        let (foretold, real) = (store.snapshot_bytes(), blocks.len() as u64);
        assert!(real <= foretold && foretold <= real / 2 * 3, "foretold {foretold}, came to {real}");
    }
}

#[test]
fn what_is_gone_counts_no_more() {
    let mut store = Store::new();
    for (seq, body) in (1..).zip([Some("value"), None, Some("again"), None]) {
        let body = body.map_or(Body::Delete, |value| Body::Put(Bytes::from_static(value.as_bytes())));
        let op = write(&store, seq, "key", body);
        store.apply(Lsn(seq), &op);
        let mut alone = Store::new();
        alone.apply(Lsn(1), &op);
        assert_eq!(
            (store.live_bytes(), store.snapshot_bytes(), store.live_digest() == Digest::default()),
            (alone.live_bytes(), alone.snapshot_bytes(), op.body.value().is_none()),
            "after operation {seq}"
        );
    }
    assert!(store.remove(b"key"));
    assert_eq!((store.live_bytes(), store.snapshot_bytes(), store.digest()), (0, 0, Digest::default()));
}

#[test]
fn a_range_counts_and_sums_its_live_entries_alone() {
    let mut store = Store::new();
    for (seq, key) in (1..).zip(["a", "b", "c", "d", "e"]) {
        let op = put(&store, seq, key, "v");
        store.apply(Lsn(seq), &op);
    }
    let op = write(&store, 6, "c", Body::Delete);
    store.apply(Lsn(6), &op);
    assert_eq!(store.range_digest(None, None), (4, store.live_digest()));
    for (after, end, count) in
        [(None, Some("b"), 2), (Some("a"), Some("d"), 2), (Some("b"), Some("c"), 0), (Some("d"), None, 1)]
    {
        let part = store.range_digest(after.map(str::as_bytes), end.map(str::as_bytes));
        assert_eq!((part.0, part.1 == Digest::default()), (count, count == 0), "behind {after:?} up to {end:?}");
    }
}

#[test]
fn a_digest_is_shown_as_32_hexadecimal_digits() {
    let mut store = Store::new();
    assert_eq!(alloc::format!("{}", store.digest()), "0".repeat(32));
    let op = put(&store, 1, "k", "v");
    store.apply(Lsn(1), &op);
    let shown = alloc::format!("{}", store.digest());
    assert_eq!((shown.len(), u128::from_str_radix(&shown, 16)), (32, Ok(store.digest().0)));
}

#[test]
fn what_is_known_is_not_taken_for_news_when_it_is_heard_again() {
    let mut store = Store::new();
    let first = put(&store, 1, "k", "first");
    store.apply(Lsn(1), &first);
    let second = put(&store, 2, "k", "second");
    store.apply(Lsn(2), &second);
    for (lsn, op) in (3..).zip([&first, &second, &first]) {
        assert_eq!(store.apply(Lsn(lsn), op), Merge::Duplicate);
    }
    // An earlier write of the same writer with the same stamp is no rival either, whatever its content.
    for value in ["a", "b", "c", "d"] {
        let body = Body::Put(Bytes::from_static(value.as_bytes()));
        assert_eq!(store.apply(Lsn(9), &Operation { stamp: second.stamp, body, ..first.clone() }), Merge::Duplicate);
    }
    let entry = store.get(b"k").unwrap();
    assert_eq!((entry.value(), entry.version(), entry.changed()), (Some(&b"second"[..]), 2, Lsn(2)));
}

#[test]
fn a_repetition_stays_one_when_more_is_known_of_its_key_and_under_a_name_that_has_seen_what_it_repeats() {
    let mut store = Store::new();
    let (first, other) = (dot(7, 1), dot(9, 3));
    let mut op = put(&store, 1, "k", "v");
    store.apply(Lsn(1), &op);
    let mut again = put(&store, 2, "k", "v");
    again.marks.repeats = Some(first);
    store.apply(Lsn(2), &again);
    let repeats = |store: &Store| store.get(b"k").unwrap().marks().repeats;
    op.context.include(other);
    store.apply(Lsn(3), &op);
    assert!(store.get(b"k").unwrap().known().covers(other));
    assert_eq!(repeats(&store), Some(first));
    let seen = vector(&[first]);
    store.rename(b"k", dot(8, 1), &seen, &seen);
    assert_eq!(repeats(&store), Some(first));
    store.rename(b"k", dot(8, 1), &VersionVector::EMPTY, &seen);
    assert_eq!(repeats(&store), None, "under that name nobody can know it");
}

#[test]
fn of_two_contents_under_one_dot_the_one_with_the_greater_hash_is_kept() {
    let op = put(&Store::new(), 1, "k", "one");
    let other = Operation { body: Body::Put(Bytes::from_static(b"other")), ..op.clone() };
    let greater = if op.body.content_hash() > other.body.content_hash() { &op } else { &other };
    for (a, b) in [(&op, &other), (&other, &op)] {
        let mut store = Store::new();
        store.apply(Lsn(1), a);
        let expected = if core::ptr::eq(b, greater) {
            Merge::Applied { created: false, version: 2, concurrent: false }
        } else {
            Merge::Duplicate
        };
        assert_eq!(store.apply(Lsn(2), b), expected);
        assert_eq!(store.get(b"k").unwrap().body(), greater.body);
    }
}
