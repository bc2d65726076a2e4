//! Writes: each client commits for itself, or the application gathers 64 by itself.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Builder;

use super::Keys;
use crate::engine::{Contender, Fault, Promise};
use crate::engines::softadastra::open_async;
use crate::sample::{Sample, Stopwatch, latencies};

/// `threads` threads of one blocking engine, each waiting for its own answer.
///
/// # Errors
/// Those of the engine.
pub(crate) fn blocking(
    contender: Contender,
    dir: &Path,
    promise: Promise,
    (threads, value): (usize, usize),
    time: Duration,
) -> Result<Sample, Fault> {
    let engine = (contender.open)(dir, promise)?;
    let stop = Arc::new(AtomicBool::new(false));
    let ready = Arc::new(Barrier::new(threads + 1));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (engine, stop, ready) = (Arc::clone(&engine), Arc::clone(&stop), Arc::clone(&ready));
            std::thread::spawn(move || {
                let (mut keys, mut latency, content) = (Keys::new(thread as u64 + 1), latencies(), vec![7; value]);
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    engine.put(keys.next(), &content)?;
                    latency.saturating_record(began.elapsed().as_micros().max(1) as u64);
                }
                Ok::<_, Fault>(latency)
            })
        })
        .collect();
    let mut watch = Stopwatch::start(dir);
    ready.wait();
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        watch.add(&worker.join().map_err(|_| "a writing thread panicked")??);
    }
    Ok(watch.stop())
}

/// `clients` tasks of Softadastra's async client, each waiting for its own answer.
///
/// # Errors
/// Those of the client.
pub(crate) fn tasks(
    dir: &Path,
    promise: Promise,
    (clients, value): (usize, usize),
    time: Duration,
) -> Result<Sample, Fault> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Arc::new(open_async(dir, promise).await?);
        let mut watch = Stopwatch::start(dir);
        let end = Instant::now() + time;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..clients {
            let client = Arc::clone(&client);
            tasks.spawn(async move {
                let (mut keys, mut latency) = (Keys::new(task as u64 + 1), latencies());
                let content = vec![7; value];
                let mut began = Instant::now();
                while began < end {
                    client.put(Bytes::copy_from_slice(&keys.next()), Bytes::copy_from_slice(&content)).await?;
                    let now = Instant::now();
                    latency.saturating_record((now - began).as_micros().max(1) as u64);
                    began = now;
                }
                Ok::<_, Fault>(latency)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            watch.add(&ended??);
        }
        let sample = watch.stop();
        client.close().await?;
        Ok(sample)
    })
}

/// One thread that gathers `size` writes for each commit; the rate is that of single writes.
///
/// # Errors
/// Those of the engine.
pub(crate) fn batches(contender: Contender, dir: &Path, size: usize, time: Duration) -> Result<Sample, Fault> {
    let engine = (contender.open)(dir, Promise::Synced)?;
    let mut keys = Keys::new(1);
    let mut watch = Stopwatch::start(dir);
    while watch.elapsed() < time {
        let pairs: Vec<_> = (0..size).map(|_| (keys.next(), vec![7; 100])).collect();
        engine.put_all(&pairs)?;
        watch.count(size as u64);
    }
    Ok(watch.stop())
}
