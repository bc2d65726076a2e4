//! Reads of a million keys, alone and while somebody writes as fast as the disk lets him.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
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

impl Reading {
    fn once(self, engine: &dyn Engine, keys: &mut Keys) -> Result<(), Fault> {
        match self {
            Self::Get => _ = engine.get(keys.next())?.ok_or("a key is missing")?,
            Self::Scan => _ = engine.scan(keys.next(), 100)?,
        }
        Ok(())
    }
}

/// Random reads of each reader before the clock starts.
const WARM_UP: u32 = 5_000;

/// What each reader does before the clock starts: all there is is read once, and some of it again at random. Since the last
/// turn the system may have taken back pages of files, and some engines have a cache for each thread.
fn warm_up(engine: &dyn Engine, reading: Reading) -> Result<(), Fault> {
    engine.scan(key(0), Keys::SPACE as usize)?;
    let mut keys = Keys::new(77);
    for _ in 0..WARM_UP {
        reading.once(engine, &mut keys)?;
    }
    Ok(())
}

/// `readers` threads read at random for `time`, beside a writer or not. The clock starts when all of them are warm.
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
    let (warm, started) = (Arc::new(Barrier::new(readers + 1)), Arc::new(Barrier::new(readers + 1)));
    let threads: Vec<_> = (0..readers)
        .map(|reader| {
            let (engine, warm, started) = (Arc::clone(engine), Arc::clone(&warm), Arc::clone(&started));
            std::thread::spawn(move || {
                let (mut keys, mut latency) = (Keys::new(reader as u64 + 1), latencies());
                let warmed = warm_up(&*engine, reading);
                // Those who wait for it wait also when it has failed.
                warm.wait();
                started.wait();
                warmed?;
                let mut began = Instant::now();
                let end = began + time;
                while began < end {
                    reading.once(&*engine, &mut keys)?;
                    let now = Instant::now();
                    latency.saturating_record((now - began).as_micros().max(1) as u64);
                    began = now;
                }
                Ok::<_, Fault>(latency)
            })
        })
        .collect();
    warm.wait();
    let mut watch = Stopwatch::start(dir);
    started.wait();
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const SLOW: Duration = Duration::from_millis(300);

    thread_local! {
        static WARM: Cell<bool> = const { Cell::new(false) };
    }

    /// An engine whose first read on each thread is slow.
    #[derive(Default)]
    struct Sleepy {
        slept: AtomicUsize,
    }

    impl Sleepy {
        fn wake(&self) {
            if !WARM.replace(true) {
                self.slept.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(SLOW);
            }
        }
    }

    impl Engine for Sleepy {
        fn put(&self, _: crate::engine::Key, _: &[u8]) -> Result<(), Fault> {
            Ok(())
        }

        fn put_all(&self, _: &[(crate::engine::Key, Vec<u8>)]) -> Result<(), Fault> {
            Ok(())
        }

        fn get(&self, _: crate::engine::Key) -> Result<Option<usize>, Fault> {
            self.wake();
            Ok(Some(100))
        }

        fn scan(&self, _: crate::engine::Key, count: usize) -> Result<usize, Fault> {
            self.wake();
            Ok(count)
        }
    }

    #[test]
    fn the_clock_starts_when_every_reader_is_warm() {
        for (reading, writer) in [(Reading::Get, false), (Reading::Scan, true)] {
            let sleepy = Arc::new(Sleepy::default());
            let engine: Arc<dyn Engine> = Arc::<Sleepy>::clone(&sleepy);
            let dir = tempfile::tempdir().unwrap();
            let sample = read(&engine, dir.path(), reading, (2, writer), Duration::from_millis(20)).unwrap();
            assert_eq!(sleepy.slept.load(Ordering::Relaxed), 2);
            assert!(!sample.latency.is_empty());
            assert!(u128::from(sample.latency.max()) < SLOW.as_micros(), "{} us", sample.latency.max());
            assert!(
                sample.value > sample.latency.len() as f64 / SLOW.as_secs_f64(),
                "the rate is not that of the warm-up"
            );
        }
    }
}
