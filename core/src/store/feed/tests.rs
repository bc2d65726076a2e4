use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::store::Store;

use super::*;

fn touch(store: &mut Store, lsn: u64, key: u64) {
    let key = Bytes::from(alloc::format!("{key}"));
    let context = store.latest(&key).map_or(VersionVector::EMPTY, |entry| entry.known());
    store.apply(
        Lsn(lsn),
        &Operation {
            dot: Dot { replica: ReplicaId([1; 16]), seq: lsn },
            stamp: Stamp(lsn),
            context,
            key,
            body: Body::Put(Bytes::new()),
            marks: Marks::default(),
        },
    );
}

fn naive(store: &Store, after: Lsn) -> Vec<(Lsn, String)> {
    let mut all: Vec<_> = store
        .scan(..)
        .filter(|entry| entry.changed() > after)
        .map(|entry| (entry.changed(), String::from_utf8(entry.key().to_vec()).unwrap()))
        .collect();
    all.sort_unstable();
    all
}

fn fed(store: &Store, after: Lsn) -> Vec<(Lsn, String)> {
    store.feed(after).map(|entry| (entry.changed(), String::from_utf8(entry.key().to_vec()).unwrap())).collect()
}

#[test]
fn overwrites_of_few_keys_do_not_make_the_feed_grow() {
    let mut store = Store::new();
    for lsn in 1..=15_000 {
        touch(&mut store, lsn, lsn % 10);
        assert!(store.feed.len <= 4 * CHUNK, "{} items for 10 keys at {lsn}", store.feed.len);
    }
    assert_eq!(fed(&store, Lsn::ZERO), naive(&store, Lsn::ZERO));
    assert!(store.feed.chunks.len() <= 4);
}

#[test]
fn dead_items_do_not_outnumber_live_ones_by_much() {
    let mut store = Store::new();
    let mut dice = crate::dice::Seed::from_number(1).stream("feed");
    for lsn in 1..=30_000 {
        // A growing head that is overwritten at random, and a tail of keys that never change again.
        touch(&mut store, lsn, if lsn % 10 == 0 { 1_000_000 + lsn } else { dice.next_u64() % 2_000 });
        let live = store.table.len();
        assert!(store.feed.len <= 2 * live + 4 * CHUNK, "{} items for {live} keys", store.feed.len);
    }
    assert_eq!(fed(&store, Lsn::ZERO), naive(&store, Lsn::ZERO));
    let counted: usize = store.feed.chunks.values().map(Vec::len).sum();
    assert_eq!(counted, store.feed.len);
    // Chunks that the sweep thinned out are joined: their number follows that of the items.
    assert!(store.feed.chunks.len() <= 4 * (store.feed.len / CHUNK + 1), "{}", store.feed.chunks.len());
}

fn lens(feed: &Feed) -> Vec<usize> {
    feed.chunks.values().map(Vec::len).collect()
}

#[test]
fn nothing_is_swept_before_the_dead_are_half_as_many_as_the_living_and_a_chunk() {
    let live = 1000;
    let mut store = Store::new();
    let mut lsn = 0;
    let mut change = |store: &mut Store, key| {
        lsn += 1;
        touch(store, lsn, key);
    };
    (0..live).for_each(|key| change(&mut store, key));
    // So many wait without a sweep, and then as many more as pay for one chunk.
    let patience = live as usize + live as usize / 2 + CHUNK + CHUNK / PACE;
    while store.feed.len + 1 < patience {
        let before = store.feed.len;
        change(&mut store, 0);
        assert_eq!(store.feed.len, before + 1, "swept too early");
    }
    change(&mut store, 0);
    assert!(store.feed.len < patience, "{} items are not swept", store.feed.len);
    assert_eq!(lens(&store.feed).iter().sum::<usize>(), store.feed.len);
    assert_eq!(fed(&store, Lsn::ZERO), naive(&store, Lsn::ZERO));
}

/// Fills a chunk from LSN 1 on and one from `second` on, changes so many entries of each again, sweeps both, and wants these
/// chunks left.
fn assert_swept(second: u64, changed_of_first: u64, changed_of_second: u64, left: &[usize]) {
    let chunk = CHUNK as u64;
    let mut store = Store::new();
    (0..chunk).for_each(|key| touch(&mut store, 1 + key, key));
    (0..chunk).for_each(|key| touch(&mut store, second + key, chunk + key));
    let changed = (0..changed_of_first).chain((2 * chunk - changed_of_second)..2 * chunk);
    for (lsn, key) in (second + chunk..).zip(changed) {
        touch(&mut store, lsn, key);
    }
    (0..2).for_each(|_| store.feed.sweep(&store.table));
    assert_eq!(lens(&store.feed), left);
    assert_eq!(lens(&store.feed).iter().sum::<usize>(), store.feed.len);
    assert_eq!(fed(&store, Lsn::ZERO), naive(&store, Lsn::ZERO));
}

#[test]
fn what_a_sweep_leaves_of_two_chunks_is_joined() {
    assert_swept(CHUNK as u64 + 1, 700, 700, &[648, 1024, 376]);
}

#[test]
fn a_full_chunk_takes_no_more() {
    assert_swept(CHUNK as u64 + 1, 0, 1000, &[1024, 24, 1000]);
}

#[test]
fn chunks_too_far_from_each_other_are_not_joined() {
    assert_swept(1 << 33, 700, 700, &[324, 324, 1024, 376]);
}

#[test]
fn a_single_entry_too_far_from_others_is_not_joined_to_them() {
    assert_swept(1 << 33, 700, 1023, &[324, 1, 1024, 699]);
}

#[test]
fn a_chunk_that_outgrows_itself_is_halved() {
    let mut feed = Feed::default();
    (1..=CHUNK as u64 / 2).for_each(|lsn| feed.put(Lsn(lsn), 0));
    let top = 10_000;
    // Falling LSNs go in the middle.
    (top - 5 * CHUNK as u64..=top).rev().for_each(|lsn| feed.put(Lsn(lsn), 0));
    assert!(lens(&feed).iter().all(|len| (CHUNK / 2..2 * CHUNK).contains(len)), "{:?}", lens(&feed));
}

#[test]
fn a_chunk_that_is_more_than_full_takes_nothing_behind_it() {
    let chunk = CHUNK as u64;
    let mut feed = Feed::default();
    (1..=chunk).for_each(|lsn| feed.put(Lsn(2 * lsn), 0));
    feed.put(Lsn(chunk + 1), 0);
    (2 * chunk + 1..=5 * chunk).for_each(|lsn| feed.put(Lsn(lsn), 0));
    assert_eq!(lens(&feed), [CHUNK + 1, CHUNK, CHUNK, CHUNK]);
}

#[test]
fn a_chunk_with_room_takes_what_comes_late() {
    let mut feed = Feed::default();
    [1, 1 << 33, 2].into_iter().for_each(|lsn| feed.put(Lsn(lsn), 0));
    assert_eq!(lens(&feed), [2, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_feed_is_every_entry_once_by_its_latest_change(
        writes in proptest::collection::vec((1u64..200, 0u64..60), 1..4000),
        far in prop::sample::select(alloc::vec![0u64, 1 << 33]),
        probes in proptest::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let mut store = Store::new();
        let mut lsn = 0;
        let mut lsns = alloc::vec![0];
        for (index, (gap, key)) in writes.iter().enumerate() {
            lsn += gap + if index % 1000 == 999 { far } else { 0 };
            touch(&mut store, lsn, *key);
            lsns.push(lsn);
        }
        for probe in probes {
            let after = Lsn(*probe.get(&lsns));
            prop_assert_eq!(fed(&store, after), naive(&store, after));
        }
        prop_assert_eq!(fed(&store, Lsn(lsn)), []);
    }

    #[test]
    fn changes_out_of_order_find_their_place(order in Just((1u64..5000).collect::<Vec<_>>()).prop_shuffle()) {
        let mut table_order = Feed::default();
        for lsn in &order {
            table_order.put(Lsn(*lsn), *lsn as Handle);
        }
        let all: Vec<u64> = table_order
            .chunks
            .iter()
            .flat_map(|(base, items)| items.iter().map(|item| (item.lsn(*base), item.handle)))
            .map(|(lsn, handle)| if lsn.0 == u64::from(handle) { lsn.0 } else { 0 })
            .collect();
        prop_assert_eq!(all, (1u64..5000).collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn what_was_loaded_is_put_in_the_order_of_lsns(
        few in proptest::collection::vec(0u64..50, 0..20),
        // Across passes, across chunks, and too far apart for either.
        reach in prop::sample::select(&[1u64, 3000, 1 << 12, 1 << 22, 1 << 33, 1 << 40, u64::MAX - 50][..]),
        seed: u64,
        many in 0usize..4000,
    ) {
        let mut dice = crate::dice::Seed::from_number(seed).stream("feed");
        let lsns = few.into_iter().chain((0..many).map(|_| dice.next_u64() % reach));
        let loose: Vec<(Lsn, Handle)> = lsns.map(Lsn).zip(0..).collect();
        let mut sorted = loose.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&order(loose.clone()), &sorted);
        let mut feed = Feed { loose, ..Feed::default() };
        feed.settle();
        let of_chunk = |(base, items): (&Lsn, &Vec<Item>)| -> Vec<(Lsn, Handle)> {
            items.iter().map(|item| (item.lsn(*base), item.handle)).collect()
        };
        let found: Vec<(Lsn, Handle)> = feed.chunks.iter().flat_map(of_chunk).collect();
        prop_assert_eq!((feed.len, found), (sorted.len(), sorted));
        prop_assert!(reach < 3000 || feed.chunks.values().all(|items| items.len() <= CHUNK + 100));
    }
}
