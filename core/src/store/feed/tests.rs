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
