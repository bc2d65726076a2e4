//! The physical limits that ratios are taken against: what this disk and this machine give to a program that does
//! nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::engine::{Fault, Key};
use crate::sample::{Sample, Stopwatch};
use crate::work::puts::Writes;

/// Bytes of the zero-filled file that the baselines write round and round in.
const SPACE: u64 = 64 << 20;

/// A file of zeros to write round and round in.
///
/// # Errors
/// Those of the disk.
pub(crate) fn zeroed(dir: &Path) -> Result<File, Fault> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("raw"))?;
    let zeros = vec![0; 1 << 20];
    for at in (0..SPACE).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// 128 bytes written and synced with `fdatasync`, again and again, by one thread.
///
/// # Errors
/// Those of the disk.
pub(crate) fn raw(dir: &Path, time: Duration) -> Result<Sample, Fault> {
    let file = zeroed(dir)?;
    let mut watch = Stopwatch::start(dir);
    let mut at = 0;
    while watch.elapsed() < time {
        let began = Instant::now();
        file.write_all_at(&[7; 128], at)?;
        file.sync_data()?;
        at = (at + 128) % (SPACE - 128);
        watch.done(began);
    }
    Ok(watch.stop())
}

/// One frame of the event loop on its way to the disk.
struct Frame {
    bytes: Vec<u8>,
    members: Vec<(Key, Vec<u8>, Instant)>,
}

/// An event loop with group commit: `clients` logical clients, each with one write under way; what has gathered while
/// one sync runs goes into the next; a map is kept; each frame has a checksum. It has neither a client interface nor
/// threads to wake, neither versions nor anything to send to anybody.
///
/// # Errors
/// Those of the disk.
pub(crate) fn event_loop(dir: &Path, clients: usize, value: usize, time: Duration) -> Result<Sample, Fault> {
    let file = zeroed(dir)?;
    let mut writes = Writes::new(1, value);
    let mut map: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    let (to_disk, frames) = mpsc::sync_channel::<Frame>(1);
    let (synced, done) = mpsc::channel::<Result<Frame, std::io::Error>>();
    let writer = std::thread::spawn(move || {
        let mut at = 0;
        for frame in frames {
            let len = frame.bytes.len() as u64;
            if at + len > SPACE {
                at = 0;
            }
            let result = file.write_all_at(&frame.bytes, at).and_then(|()| file.sync_data());
            at += len;
            if synced.send(result.map(|()| frame)).is_err() {
                return;
            }
        }
    });
    let mut watch = Stopwatch::start(dir);
    let mut waiting: Vec<Instant> = vec![Instant::now(); clients];
    let mut in_flight = 0;
    loop {
        let over = watch.elapsed() >= time;
        if over && in_flight == 0 {
            break;
        }
        // One client alone gains nothing from a second frame; many fill it while the first is synced.
        if !over && !waiting.is_empty() && in_flight < 2 {
            let mut frame = Frame { bytes: vec![0; 8], members: Vec::with_capacity(waiting.len()) };
            for began in waiting.drain(..) {
                let (key, content) = writes.next();
                let content = content.to_vec();
                frame.bytes.extend_from_slice(&u32::try_from(content.len())?.to_le_bytes());
                frame.bytes.extend_from_slice(&key);
                frame.bytes.extend_from_slice(&content);
                frame.members.push((key, content, began));
            }
            let sum = crc32fast::hash(&frame.bytes[8..]);
            frame.bytes[..4].copy_from_slice(&sum.to_le_bytes());
            in_flight += 1;
            to_disk.send(frame)?;
            continue;
        }
        let frame = done.recv()??;
        in_flight -= 1;
        for (key, content, began) in frame.members {
            map.insert(key, content);
            watch.done(began);
            waiting.push(Instant::now());
        }
    }
    drop(to_disk);
    writer.join().map_err(|_| "the writer of the event loop panicked")?;
    Ok(watch.stop())
}

/// The ordered map of the standard library, alone: no log, no other thread.
///
/// # Errors
/// None; the shape is that of the others.
pub(crate) fn map(dir: &Path, value: usize, time: Duration) -> Result<Sample, Fault> {
    let mut writes = Writes::new(1, value);
    let mut map: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    let mut watch = Stopwatch::start(dir);
    while watch.elapsed() < time {
        for _ in 0..64 {
            let (key, content) = writes.next();
            map.insert(key, content.to_vec());
        }
        watch.count(64);
    }
    std::hint::black_box(&map);
    Ok(watch.stop())
}
