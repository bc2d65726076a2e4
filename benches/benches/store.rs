//! The store alone: 100,000 keys of 16 bytes with values of 100, in no order.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use softadastra_core::clock::Stamp;
use softadastra_core::context::VersionVector;
use softadastra_core::dice::Seed;
use softadastra_core::ids::{Dot, Lsn, ReplicaId};
use softadastra_core::op::{Body, Marks, Operation};
use softadastra_core::store::Store;

const KEYS: u64 = 100_000;

/// Every key once, far from its neighbours in order.
fn key(number: u64) -> Bytes {
    Bytes::from(format!("key:{:012}", number.wrapping_mul(7_919) % KEYS))
}

/// The operation a writer would issue as its `seq`-th.
fn put(store: &Store, seq: u64, key: Bytes) -> Operation {
    let context = store.latest(&key).map_or(VersionVector::EMPTY, |entry| entry.known());
    Operation {
        dot: Dot { replica: ReplicaId([7; 16]), seq },
        stamp: Stamp(seq << 16),
        context,
        key,
        body: Body::Put(Bytes::from(vec![seq as u8; 100])),
        marks: Marks::default(),
    }
}

fn filled() -> Store {
    let mut store = Store::new();
    for seq in 1..=KEYS {
        let op = put(&store, seq, key(seq));
        store.apply(Lsn(seq), &op);
    }
    store
}

fn blocks(store: &Store) -> Vec<(u32, Bytes)> {
    let mut blocks = Vec::new();
    let mut after: Option<Bytes> = None;
    loop {
        let mut block = Vec::new();
        let walk = store.walk(after.as_deref(), 64 << 10, &mut block);
        blocks.push((walk.items, Bytes::from(block)));
        after = walk.next;
        if after.is_none() {
            return blocks;
        }
    }
}

fn benches(c: &mut Criterion) {
    let mut store = filled();
    let mut dice = Seed::from_number(1).stream("bench");
    let mut seq = KEYS;

    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    group.bench_function("put (overwrite: stage and publish)", |b| {
        b.iter(|| {
            seq += 1;
            let op = put(&store, seq, key(dice.next_u64()));
            black_box(store.stage(Lsn(seq), &op));
            store.publish(Lsn(seq));
        });
    });
    group.bench_function("get", |b| {
        b.iter_batched(
            || key(dice.next_u64()),
            |key| black_box(store.get(&key).map(|entry| entry.value_bytes())),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("scan of 100", |b| {
        b.iter_batched(
            || key(dice.next_u64()),
            |key| store.scan(&key[..]..).take(100).map(|entry| entry.value().map_or(0, <[u8]>::len)).sum::<usize>(),
            BatchSize::SmallInput,
        );
    });

    group.throughput(Throughput::Elements(KEYS));
    group.sample_size(20);
    group.bench_function("put 100,000 new keys (apply)", |b| {
        b.iter_batched(|| (), |()| filled(), BatchSize::PerIteration)
    });
    group.bench_function("feed walk of 100,000", |b| {
        b.iter(|| store.feed(Lsn::ZERO).map(|entry| entry.version()).sum::<u64>());
    });
    group.bench_function("snapshot walk of 100,000", |b| b.iter(|| blocks(&store).len()));
    let snapshot = blocks(&store);
    group.bench_function("load of 100,000", |b| {
        b.iter_batched(
            || snapshot.clone(),
            |blocks| {
                let mut loaded = Store::new();
                for (items, block) in blocks {
                    loaded.load(items, block).expect("a block that walk made");
                }
                loaded
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(store, benches);
criterion_main!(store);
