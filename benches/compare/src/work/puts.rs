//! Writes: each client commits for itself, or the application gathers 64 by itself. Everyone overwrites the same keys, and
//! has done so for a while before the clock starts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use softadastra::Batch;
use tokio::runtime::Builder;

use super::Keys;
use crate::engine::{Contender, Fault, Key, Promise};
use crate::engines::softadastra::open_async;
use crate::sample::{Sample, Stopwatch, latencies};

/// Bytes of keys and values that are written again and again.
const WORKING_SET: usize = 4 << 20;
/// Bytes written before the clock starts, with what a log adds to each write.
const WARM_UP: usize = 32 << 20;
/// Bytes of the warm-up in one commit, 256 small writes.
const WARM_UP_COMMIT: usize = 256 * 164;

/// The writes of one writer, the same for every engine. No two have the same value: an engine may leave out a write
/// that changes nothing.
pub(crate) struct Writes {
    keys: Keys,
    seed: u64,
    count: u64,
    value: Vec<u8>,
}

impl Writes {
    /// Writes of values of so many bytes, 16 at least; each writer has a seed of its own.
    #[must_use]
    pub(crate) fn new(seed: u64, value: usize) -> Self {
        Self { keys: Keys::within(seed, (WORKING_SET / (value + 16)) as u64), seed, count: 0, value: vec![7; value] }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> (Key, &[u8]) {
        self.count += 1;
        for (place, number) in self.value.chunks_exact_mut(8).zip([self.seed, self.count]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        (self.keys.next(), &self.value)
    }

    /// The next `count` of them.
    fn gather(&mut self, count: usize) -> Vec<(Key, Vec<u8>)> {
        let mut next = || {
            let (key, value) = self.next();
            (key, value.to_vec())
        };
        (0..count).map(|_| next()).collect()
    }
}

/// The commits of the warm-up, the same for every engine.
fn warm_up(value: usize) -> impl Iterator<Item = Vec<(Key, Vec<u8>)>> {
    let (mut writes, mut left) = (Writes::new(u64::MAX, value), WARM_UP / (value + 64));
    std::iter::from_fn(move || {
        let size = left.min((WARM_UP_COMMIT / (value + 64)).max(1));
        left -= size;
        (size > 0).then(|| writes.gather(size))
    })
}

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
    for pairs in warm_up(value) {
        engine.put_all(&pairs)?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let ready = Arc::new(Barrier::new(threads + 1));
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (engine, stop, ready) = (Arc::clone(&engine), Arc::clone(&stop), Arc::clone(&ready));
            std::thread::spawn(move || {
                let (mut writes, mut latency) = (Writes::new(thread as u64 + 1, value), latencies());
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let (key, content) = writes.next();
                    engine.put(key, content)?;
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
        for pairs in warm_up(value) {
            let mut batch = Batch::default();
            for (key, value) in pairs {
                batch.put(Bytes::copy_from_slice(&key), Bytes::from(value));
            }
            client.batch(batch).await?;
        }
        let mut watch = Stopwatch::start(dir);
        let end = Instant::now() + time;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..clients {
            let client = Arc::clone(&client);
            tasks.spawn(async move {
                let (mut writes, mut latency) = (Writes::new(task as u64 + 1, value), latencies());
                let mut began = Instant::now();
                while began < end {
                    let (key, content) = writes.next();
                    client.put(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(content)).await?;
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
    for pairs in warm_up(100) {
        engine.put_all(&pairs)?;
    }
    let mut writes = Writes::new(1, 100);
    let mut watch = Stopwatch::start(dir);
    while watch.elapsed() < time {
        engine.put_all(&writes.gather(size))?;
        watch.count(size as u64);
    }
    Ok(watch.stop())
}
