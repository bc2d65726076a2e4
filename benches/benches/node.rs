//! The write path of a node without a disk: judging, issuing, staging, gathering a frame, publishing and answering. What is
//! left when the disk costs nothing is what all writers together can never exceed.

use std::collections::BTreeMap;
use std::hint::black_box;

use benches::{NOW, key, open_with};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sim::disk::SimDisk;
use softadastra_core::config::Config;
use softadastra_core::disk::{Completion, DiskOp};
use softadastra_core::node::{Input, Node, Output, Write};

/// Writes that share a frame.
const FRAME: u64 = 64;
/// Keys that are there before.
const KEYS: u64 = 100_000;

fn put(number: u64, fill: u8) -> Write {
    Write::Put { key: key(number), value: vec![fill; 100].into(), expect: None, touch: false }
}

/// Every operation succeeds at once and leaves nothing.
fn run_without_disk(node: &mut Node) {
    while let Some(output) = node.poll_output(NOW) {
        if let Output::Disk(request) = output {
            let completion = match request.op {
                DiskOp::Create { .. } | DiskOp::Open { .. } => Completion::Opened { len: 0 },
                _ => Completion::Done,
            };
            node.handle(NOW, Input::Disk { token: request.token, result: Ok(completion) });
        } else {
            black_box(output);
        }
    }
}

/// Spreads numbers, so that neighbours in time are none in key order.
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn filled() -> Box<Node> {
    // Whoever writes a snapshot wants to read it back, and there is nothing to be read.
    let mut config = Config::default();
    config.log.snapshot_min = u64::MAX;
    let mut node = open_with(config, &mut SimDisk::new());
    for number in 0..KEYS {
        node.write(NOW, vec![put(spread(number), 7)]).expect("the node takes writes");
        if number % FRAME == FRAME - 1 {
            run_without_disk(&mut node);
        }
    }
    run_without_disk(&mut node);
    node
}

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("64 puts of 16 + 100 bytes among 100,000 keys, no disk");
    group.throughput(Throughput::Elements(FRAME));

    let mut node = filled();
    let mut at = KEYS;
    group.bench_function("new keys, one by one", |bencher| {
        bencher.iter(|| {
            for number in at..at + FRAME {
                node.write(NOW, vec![put(spread(number), 7)]).expect("the node takes writes");
            }
            at += FRAME;
            run_without_disk(&mut node);
        });
    });

    let mut node = filled();
    let mut at = 0;
    group.bench_function("overwrites, one by one", |bencher| {
        bencher.iter(|| {
            for number in at..at + FRAME {
                let number = (number.wrapping_mul(7919)) % KEYS;
                node.write(NOW, vec![put(spread(number), at as u8)]).expect("the node takes writes");
            }
            at += FRAME;
            run_without_disk(&mut node);
        });
    });

    let mut node = filled();
    let mut at = KEYS;
    group.bench_function("new keys, one batch", |bencher| {
        bencher.iter(|| {
            let batch = (at..at + FRAME).map(|number| put(spread(number), 7)).collect();
            node.write(NOW, batch).expect("the node takes writes");
            at += FRAME;
            run_without_disk(&mut node);
        });
    });

    let mut map: BTreeMap<Bytes, Bytes> = (0..KEYS).map(|number| (key(spread(number)), vec![7; 100].into())).collect();
    let mut at = KEYS;
    group.bench_function("new keys in an ordered map (baseline)", |bencher| {
        bencher.iter(|| {
            for number in at..at + FRAME {
                map.insert(key(spread(number)), vec![7; 100].into());
            }
            at += FRAME;
        });
    });
    group.finish();
}

criterion_group!(benches, writes);
criterion_main!(benches);
