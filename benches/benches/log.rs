//! The log by itself: frames, recovery from a log tail, recovery from a snapshot, and writing a snapshot.

use std::hint::black_box;

use benches::{NOW, filled, open, operation, run};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use softadastra_core::ids::{Lsn, ReplicaId};
use softadastra_core::wal::format::{FrameBuilder, FrameKind, FrameSalt, Record, Records, decode_frame};

const FRAME: u64 = 64;
const RECORDS: u64 = 100_000;

fn frames(criterion: &mut Criterion) {
    let records: Vec<Record> = (1..=FRAME).map(|seq| Record::Own(operation(seq, 100))).collect();
    let encode = |buffer: Vec<u8>| {
        let mut builder = FrameBuilder::reusing(buffer);
        for record in &records {
            builder.push(record);
        }
        builder.seal(FrameKind::Data, Lsn(1), Lsn::ZERO, FrameSalt(7))
    };
    let encoded = Bytes::from(encode(Vec::new()));

    let mut group = criterion.benchmark_group("frame of 64 records of 16 + 100 bytes");
    group.throughput(Throughput::Elements(FRAME));
    let mut buffer = Vec::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| buffer = encode(std::mem::take(black_box(&mut buffer))));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let frame = decode_frame(black_box(&encoded), 0, FrameSalt(7)).expect("just encoded");
            let mut records = Records::of(&frame);
            while let Some(record) = records.next(Some(ReplicaId([1; 16]))).expect("just encoded") {
                black_box(record);
            }
        });
    });
    group.bench_function("checksum alone (baseline)", |bencher| {
        bencher.iter(|| crc32fast::hash(black_box(&encoded)));
    });
    group.finish();
}

fn recovery(criterion: &mut Criterion) {
    let (_, tail) = filled(RECORDS);
    let (mut node, mut snapshotted) = filled(RECORDS);
    node.snapshot(NOW).expect("a running node takes a snapshot");
    run(&mut node, &mut snapshotted);

    let mut group = criterion.benchmark_group("open a node of 100,000 records, disk in memory");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    for (name, disk) in [("from the log", &tail), ("from a snapshot", &snapshotted)] {
        group.bench_function(name, |bencher| {
            let stopped = || {
                let mut disk = disk.clone();
                disk.kill();
                disk
            };
            bencher.iter_batched_ref(stopped, |disk| black_box(open(disk)), BatchSize::PerIteration);
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("write a snapshot of 100,000 entries, disk in memory");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("snapshot", |bencher| {
        bencher.iter_batched_ref(
            || filled(RECORDS),
            |(node, disk)| {
                node.snapshot(NOW).expect("a running node takes a snapshot");
                run(node, disk);
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, frames, recovery);
criterion_main!(benches);
