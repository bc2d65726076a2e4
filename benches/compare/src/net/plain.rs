//! The near-limit of replication: a log on each side with group commit, and the same frames over TCP. It has no
//! versions, no conflicts, no encryption, no third node, and starts from nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{noise, spread};
use crate::engine::{Fault, Key};
use crate::engines::baseline::zeroed;
use crate::work::key;

/// Bytes of a value.
const VALUE: usize = 100;
/// Length and checksum ahead of the records of a frame.
const HEAD: usize = 8;
/// A record: length of the value, key, value.
const RECORD: usize = 4 + 16 + VALUE;

/// When a client of the primary gets its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// When its write is durable here.
    Here,
    /// When it is durable on the other side, too.
    There,
}

/// A frame: its bytes and the keys in them.
fn frame(first: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + RECORD * count as usize);
    bytes.extend_from_slice(&[0; HEAD]);
    for number in first..first + count {
        bytes.extend_from_slice(&(VALUE as u32).to_le_bytes());
        bytes.extend_from_slice(&key(spread(number)));
        bytes.extend_from_slice(&noise(number, VALUE));
    }
    let len = (bytes.len() - HEAD) as u32;
    let sum = crc32fast::hash(&bytes[HEAD..]);
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checks a frame and puts its records into the map; gives how many.
fn apply(frame: &[u8], map: &mut BTreeMap<Key, Vec<u8>>) -> Result<u64, Fault> {
    let body = &frame[HEAD..];
    if crc32fast::hash(body).to_le_bytes() != frame[4..HEAD] {
        return Err("the baseline's own frame is damaged".into());
    }
    for record in body.chunks_exact(RECORD) {
        map.insert(Key::try_from(&record[4..20])?, record[20..].to_vec());
    }
    Ok((body.len() / RECORD) as u64)
}

/// A log written round and round in zero-filled space, synced after each write.
struct Log {
    file: File,
    at: u64,
}

impl Log {
    const SPACE: u64 = 64 << 20;

    fn new(dir: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { file: zeroed(dir)?, at: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
        if self.at + bytes.len() as u64 > Self::SPACE {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.file.sync_data()
    }
}

/// The other side: one thread takes frames from the connection, one makes durable what has gathered, applies it and
/// acknowledges.
struct Follower {
    address: std::net::SocketAddr,
    threads: Vec<JoinHandle<Result<(), Fault>>>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    over: bool,
}

impl Follower {
    fn start(dir: &Path) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let log = Log::new(dir)?;
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let gathered = Arc::new((Mutex::new(Gathered::default()), Condvar::new()));
            let (reading, shared) = (stream.try_clone()?, Arc::clone(&gathered));
            let reader = std::thread::spawn(move || take(reading, &shared));
            let written = make_durable(stream, log, &gathered);
            reader.join().map_err(|_| "the reader of the baseline panicked")??;
            written
        });
        Ok(Self { address, threads: vec![thread] })
    }

    fn finish(self) -> Result<(), Fault> {
        for thread in self.threads {
            thread.join().map_err(|_| "the follower of the baseline panicked")??;
        }
        Ok(())
    }
}

fn take(mut stream: TcpStream, gathered: &(Mutex<Gathered>, Condvar)) -> Result<(), Fault> {
    let mut piece = vec![0; 256 << 10];
    loop {
        let count = stream.read(&mut piece)?;
        let mut all = gathered.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.bytes.extend_from_slice(&piece[..count]);
        all.over = count == 0;
        gathered.1.notify_one();
        if count == 0 {
            return Ok(());
        }
    }
}

fn make_durable(mut stream: TcpStream, mut log: Log, gathered: &(Mutex<Gathered>, Condvar)) -> Result<(), Fault> {
    let (mut map, mut held, mut taken) = (BTreeMap::new(), Vec::new(), 0_u64);
    loop {
        let mut all = gathered.0.lock().unwrap_or_else(PoisonError::into_inner);
        while all.bytes.is_empty() && !all.over {
            all = gathered.1.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
        held.append(&mut all.bytes);
        let over = all.over;
        drop(all);
        let mut whole = 0;
        while let Some(head) = held[whole..].first_chunk::<4>() {
            let end = whole + HEAD + u32::from_le_bytes(*head) as usize;
            if end > held.len() {
                break;
            }
            whole = end;
        }
        if whole > 0 {
            log.append(&held[..whole])?;
            let mut at = 0;
            while at < whole {
                let len = u32::from_le_bytes([held[at], held[at + 1], held[at + 2], held[at + 3]]) as usize;
                taken += apply(&held[at..at + HEAD + len], &mut map)?;
                at += HEAD + len;
            }
            held.drain(..whole);
            stream.write_all(&taken.to_le_bytes())?;
        } else if over {
            return Ok(());
        }
    }
}

enum Told {
    Synced(Result<(Vec<u8>, u64), std::io::Error>),
    Acknowledged(u64),
}

/// What a run of the baseline gave.
pub(crate) struct Run {
    /// How long it took until everything was durable on both sides.
    pub(crate) took: Duration,
    /// Bytes over the connection, both ways.
    pub(crate) bytes: u64,
}

fn hear_acknowledgements(mut stream: TcpStream, told: mpsc::Sender<Told>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut word = [0; 8];
        while stream.read_exact(&mut word).is_ok() {
            if told.send(Told::Acknowledged(u64::from_le_bytes(word))).is_err() {
                return;
            }
        }
    })
}

/// `clients` logical clients write `count` values, each with one write under way.
///
/// # Errors
/// Those of disk and network.
pub(crate) fn stream(dir: &Path, count: u64, clients: u64, answer: Answer) -> Result<Run, Fault> {
    let follower = Follower::start(&dir.join("there"))?;
    let mut log = Log::new(&dir.join("here"))?;
    let mut socket = TcpStream::connect(follower.address)?;
    socket.set_nodelay(true)?;
    let (tell, told) = mpsc::channel();
    let hearing = hear_acknowledgements(socket.try_clone()?, tell.clone());
    let (to_disk, frames) = mpsc::sync_channel::<(Vec<u8>, u64)>(1);
    let writer = std::thread::spawn(move || {
        for (bytes, count) in frames {
            let done = log.append(&bytes).map(|()| (bytes, count));
            if tell.send(Told::Synced(done)).is_err() {
                return;
            }
        }
    });
    let began = Instant::now();
    let mut map = BTreeMap::new();
    let (mut next, mut ready, mut in_flight, mut acknowledged, mut acks, mut bytes) = (0, clients, 0, 0, 0_u64, 0);
    while acknowledged < count {
        let size = ready.min(count - next);
        if size > 0 && in_flight < 2 {
            to_disk.send((frame(next, size), size))?;
            (next, ready, in_flight) = (next + size, ready - size, in_flight + 1);
            continue;
        }
        match told.recv()? {
            Told::Synced(done) => {
                let (frame, size) = done?;
                socket.write_all(&frame)?;
                bytes += frame.len() as u64;
                apply(&frame, &mut map)?;
                in_flight -= 1;
                if answer == Answer::Here {
                    ready += size;
                }
            }
            Told::Acknowledged(upto) => {
                if answer == Answer::There {
                    ready += upto - acknowledged;
                }
                (acknowledged, acks) = (upto, acks + 1);
            }
        }
    }
    let took = began.elapsed();
    drop(to_disk);
    socket.shutdown(std::net::Shutdown::Write)?;
    writer.join().map_err(|_| "the writer of the baseline panicked")?;
    hearing.join().map_err(|_| "the listener of the baseline panicked")?;
    follower.finish()?;
    Ok(Run { took, bytes: bytes + acks * 8 })
}

/// `count` records wait in the log of the primary; it connects, reads them from there and sends them.
///
/// # Errors
/// Those of disk and network.
pub(crate) fn catch_up(dir: &Path, count: u64) -> Result<Run, Fault> {
    let follower = Follower::start(&dir.join("there"))?;
    let path = dir.join("pending");
    let mut pending = Vec::new();
    for first in (0..count).step_by(1000) {
        pending.extend_from_slice(&frame(first, 1000.min(count - first)));
    }
    std::fs::write(&path, &pending)?;
    drop(pending);

    let began = Instant::now();
    let mut socket = TcpStream::connect(follower.address)?;
    socket.set_nodelay(true)?;
    let (tell, told) = mpsc::channel();
    let hearing = hear_acknowledgements(socket.try_clone()?, tell);
    let mut file = File::open(&path)?;
    let (mut piece, mut bytes) = (vec![0; 256 << 10], 0);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        socket.write_all(&piece[..read])?;
        bytes += read as u64;
    }
    let (mut acknowledged, mut acks) = (0, 0_u64);
    while acknowledged < count {
        if let Told::Acknowledged(upto) = told.recv()? {
            (acknowledged, acks) = (upto, acks + 1);
        }
    }
    let took = began.elapsed();
    socket.shutdown(std::net::Shutdown::Write)?;
    hearing.join().map_err(|_| "the listener of the baseline panicked")?;
    follower.finish()?;
    Ok(Run { took, bytes: bytes + acks * 8 })
}
