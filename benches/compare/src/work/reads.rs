//! Reads of a million keys, alone and while somebody writes as fast as the disk lets him.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Keys, key};
use crate::engine::{Contender, Engine, Fault, Promise};
use crate::sample::{Sample, Stopwatch, latencies};

/// Opens an engine and writes a value of 100 bytes to every key.
///
/// # Errors
/// Those of the engine.
pub(crate) fn filled(contender: Contender, dir: &Path, promise: Promise) -> Result<Arc<dyn Engine>, Fault> {
    let engine = (contender.open)(dir, promise)?;
    for chunk in 0..Keys::SPACE / 1000 {
        let pairs: Vec<_> = (0..1000).map(|index| (key(chunk * 1000 + index), vec![7; 100])).collect();
        engine.put_all(&pairs)?;
    }
    Ok(engine)
}

/// What readers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// One random key.
    Get,
    /// The 100 entries from a random key on.
    Scan,
}

/// `readers` threads read at random for `time`, beside a writer or not.
///
/// # Errors
/// Those of the engine; a key that is not there.
pub(crate) fn read(
    engine: &Arc<dyn Engine>,
    dir: &Path,
    reading: Reading,
    (readers, writer): (usize, bool),
    time: Duration,
) -> Result<Sample, Fault> {
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writer.then(|| {
        let (engine, stop) = (Arc::clone(engine), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut keys = Keys::new(99);
            while !stop.load(Ordering::Relaxed) {
                engine.put(keys.next(), &[8; 100])?;
            }
            Ok::<_, Fault>(())
        })
    });
    let mut watch = Stopwatch::start(dir);
    let end = Instant::now() + time;
    let threads: Vec<_> = (0..readers)
        .map(|reader| {
            let engine = Arc::clone(engine);
            std::thread::spawn(move || {
                let (mut keys, mut latency) = (Keys::new(reader as u64 + 1), latencies());
                let mut began = Instant::now();
                while began < end {
                    match reading {
                        Reading::Get => _ = engine.get(keys.next())?.ok_or("a key is missing")?,
                        Reading::Scan => _ = engine.scan(keys.next(), 100)?,
                    }
                    let now = Instant::now();
                    latency.saturating_record((now - began).as_micros().max(1) as u64);
                    began = now;
                }
                Ok::<_, Fault>(latency)
            })
        })
        .collect();
    for thread in threads {
        watch.add(&thread.join().map_err(|_| "a reading thread panicked")??);
    }
    let sample = watch.stop();
    stop.store(true, Ordering::Relaxed);
    if let Some(writing) = writing {
        writing.join().map_err(|_| "the writing thread panicked")??;
    }
    Ok(sample)
}
