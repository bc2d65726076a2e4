//! Links and what crosses them: encryption, and operations on their way from one node to another.
//!
//! Nothing is sent anywhere: two machines hand each other what they say. Where they run in memory alone, so that no log is
//! part of the figures.

#![allow(clippy::expect_used, clippy::indexing_slicing, missing_docs, reason = "a bench may panic; macros make items")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use benches::pair::Pair;
use benches::{NOW, key};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use softadastra_core::dice::Seed;
use softadastra_core::identity::Identity;
use softadastra_core::ids::NodeId;
use softadastra_core::node::Write;
use softadastra_core::transport::session::{Effect, Lane, Local, Session, Settings};

const MESSAGE: usize = 64 << 10;
const BATCH: u64 = 64;

/// Two ends of one link that stands.
struct Ends([Session; 2]);

impl Ends {
    fn up() -> Self {
        let local = |number: u8| {
            let node = NodeId::new(format!("n{number}")).expect("a good name");
            let identity = Identity::from_seed(&[number; 32]);
            Arc::new(Local { identity, node, secret: None, boot: number.into(), settings: Settings::default() })
        };
        let secrets = |number| Seed::from_number(number).secrets("link");
        let mut effects = Vec::new();
        let dialler = Session::dial(&local(1), secrets(1), NOW.mono, &mut effects);
        let mut ends = Self([dialler, Session::answer(&local(2), secrets(2), NOW.mono)]);
        let mut from = 0;
        while !ends.0.iter().all(Session::is_up) {
            let said = sent(&mut ends.0[from], effects);
            from = 1 - from;
            effects = Vec::new();
            ends.0[from].handle_bytes(NOW.mono, &said, &mut effects);
            if effects.iter().any(|effect| matches!(effect, Effect::Introduced(_))) {
                ends.0[from].admit(NOW.mono, 1, &mut effects);
            }
        }
        ends
    }

    /// One message under seal.
    fn seal(&mut self, message: &Bytes) -> Vec<u8> {
        let mut effects = Vec::new();
        self.0[0].send(Lane::Bulk, message.clone()).expect("the queue is empty");
        self.0[0].flush(NOW.mono, &mut effects);
        sent(&mut self.0[0], effects)
    }

    /// What arrives of it.
    fn open(&mut self, sealed: &[u8]) -> usize {
        let mut effects = Vec::new();
        self.0[1].handle_bytes(NOW.mono, sealed, &mut effects);
        let len = effects.iter().map(|effect| if let Effect::Message { bytes, .. } = effect { bytes.len() } else { 0 });
        len.sum()
    }
}

/// What an end has said, all of which its connection takes at once.
fn sent(end: &mut Session, effects: Vec<Effect>) -> Vec<u8> {
    let mut said = Vec::new();
    for effect in effects {
        if let Effect::Send(bytes) = effect {
            let mut more = Vec::new();
            end.handle_written(NOW.mono, bytes.len(), &mut more);
            said.extend_from_slice(&bytes);
            said.extend(sent(end, more));
        }
    }
    said
}

fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a message of 64 KiB over a link");
    group.throughput(Throughput::Bytes(MESSAGE as u64));
    // Nothing that would be worth compressing.
    let message: Bytes = (0..MESSAGE as u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    let mut ends = Ends::up();
    let sealed = ends.seal(&message);
    assert_eq!(ends.open(&sealed), MESSAGE, "it arrives");
    group.bench_function("a copy (baseline)", |bencher| bencher.iter(|| black_box(message.to_vec())));
    group.bench_function("encrypted", |bencher| {
        let mut ends = Ends::up();
        bencher.iter(|| ends.seal(&message).len());
    });
    group.bench_function("decrypted", |bencher| {
        let mut ends = Ends::up();
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let sealed = ends.seal(&message);
                let begun = std::time::Instant::now();
                assert_eq!(black_box(ends.open(&sealed)), MESSAGE);
                took += begun.elapsed();
            }
            took
        });
    });
    group.finish();
}

/// How long a node works, in nanoseconds.
fn nanoseconds(work: &mut dyn FnMut()) -> u64 {
    let begun = std::time::Instant::now();
    work();
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn replication(criterion: &mut Criterion) {
    let mut group =
        criterion.benchmark_group("64 puts of 16 + 100 bytes from one node to another, in memory, encrypted");
    group.throughput(Throughput::Elements(BATCH));
    for (index, name) in ["written and sent", "applied"].into_iter().enumerate() {
        group.bench_function(name, |bencher| {
            let (mut pair, mut next) = (Pair::linked(nanoseconds), 0);
            bencher.iter_custom(|rounds| {
                pair.costs = [0, 0];
                for _ in 0..rounds {
                    // The same 100,000 keys again and again, each time with another value.
                    let put = |number: u64| {
                        let value = vec![(number / 100_000) as u8; 100].into();
                        Write::Put { key: key(number % 100_000), value, expect: None, touch: false }
                    };
                    pair.write(0, (next..next + BATCH).map(put).collect());
                    next += BATCH;
                    pair.settle();
                }
                Duration::from_nanos(pair.costs[index])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sessions, replication);
criterion_main!(benches);
