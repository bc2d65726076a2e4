//! The client on a real disk, beside a raw loop of write and `fdatasync` on the same disk in the same run: quote the
//! ratio, not the absolute figure.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::key;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use softadastra::{Client, ClientOptions};

fn raw_loop(dir: &std::path::Path, count: u64) -> Duration {
    let file = File::create(dir.join("raw")).expect("the directory is writable");
    file.write_all_at(&vec![0; 4 << 20], 0).expect("there is room");
    file.sync_all().expect("the disk syncs");
    let began = Instant::now();
    for index in 0..count {
        file.write_all_at(&[index as u8; 128], (index * 128) % (4 << 20)).expect("there is room");
        file.sync_data().expect("the disk syncs");
    }
    began.elapsed()
}

/// `count` puts of 100 bytes, spread over `clients` tasks that each wait for their own answer.
async fn puts(client: &Arc<Client>, clients: u64, count: u64, round: u64) -> Duration {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..clients {
        let client = Arc::clone(client);
        tasks.spawn(async move {
            for index in (task..count).step_by(clients as usize) {
                let value = bytes::Bytes::from(format!("{round:050}{index:050}"));
                client.put(key(index % 10_000), value).await.expect("the node takes writes");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no writer panics");
    }
    began.elapsed()
}

fn durable_put(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be had");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory is writable");
    let client = runtime.block_on(Client::open(ClientOptions::local(dir.path().join("node"))));
    let client = Arc::new(client.expect("an empty directory opens"));

    let mut group = criterion.benchmark_group("durable put of 16 + 100 bytes");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
    group.bench_function("raw write + fdatasync (baseline)", |bencher| {
        bencher.iter_custom(|count| raw_loop(dir.path(), count));
    });
    let mut round = 0;
    for clients in [1, 8, 64, 256] {
        group.bench_function(format!("{clients} clients"), |bencher| {
            bencher.iter_custom(|count| {
                round += 1;
                runtime.block_on(puts(&client, clients, count, round))
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("get of 16 + 100 bytes through the client");
    group.throughput(Throughput::Elements(1));
    let mut index = 0;
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            index = (index + 7919) % 10_000;
            client.get(key(index)).expect("the client is open")
        });
    });
    group.finish();
}

criterion_group!(benches, durable_put);
criterion_main!(benches);
