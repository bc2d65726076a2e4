//! Two sides over TCP, each with a log of its own: group commit here, the frames to the other side, which makes them
//! durable, applies them and acknowledges. What is in a frame is up to what the sides hold.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Fault;
use crate::engines::baseline::zeroed;

/// Length and checksum ahead of the body of a frame.
pub(crate) const HEAD: usize = 8;

/// No word of the other side may take longer: a cell that hangs must end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a side holds in memory.
pub(crate) trait Side: Send + 'static {
    /// Appends to `frame` what says that the keys of `count` numbers from `first` on are written.
    ///
    /// # Errors
    /// Those of what is held.
    fn write(&mut self, first: u64, count: u64, frame: &mut Vec<u8>) -> Result<(), Fault>;

    /// What was written here is durable here.
    ///
    /// # Errors
    /// Those of what is held.
    fn written(&mut self, body: &[u8]) -> Result<(), Fault>;

    /// Applies what the other side has written; gives how many keys.
    ///
    /// # Errors
    /// Those of what is held.
    fn apply(&mut self, body: &[u8]) -> Result<u64, Fault>;
}

/// When a client of the primary gets its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// When its write is durable here.
    Here,
    /// When it is durable on the other side, too.
    There,
}

/// A frame around a body.
///
/// # Errors
/// Those of who writes the body.
pub(crate) fn frame(body: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; HEAD];
    body(&mut bytes)?;
    let len = u32::try_from(bytes.len() - HEAD)?;
    let sum = crc32fast::hash(&bytes[HEAD..]);
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// The body of a frame.
///
/// # Errors
/// When it is not what was put into it.
pub(crate) fn body(frame: &[u8]) -> Result<&[u8], Fault> {
    let body = &frame[HEAD..];
    if crc32fast::hash(body).to_le_bytes() != frame[4..HEAD] {
        return Err("a frame of the comparison's own is damaged".into());
    }
    Ok(body)
}

/// A log written round and round in zero-filled space, synced after each write.
pub(crate) struct Log {
    file: File,
    at: u64,
}

impl Log {
    const SPACE: u64 = 64 << 20;

    /// A log in a directory of its own.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn new(dir: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { file: zeroed(dir)?, at: 0 })
    }

    /// Writes and syncs.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
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
pub(crate) struct Follower {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    thread: JoinHandle<Result<(), Fault>>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    over: bool,
}

impl Follower {
    /// Listens for one connection.
    ///
    /// # Errors
    /// Those of disk and network.
    pub(crate) fn start(dir: &Path, side: impl Side) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let log = Log::new(dir)?;
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let gathered = Arc::new((Mutex::new(Gathered::default()), Condvar::new()));
            let (reading, shared) = (stream.try_clone()?, Arc::clone(&gathered));
            let reader = std::thread::spawn(move || take(reading, &shared));
            let written = make_durable(stream, log, side, &gathered);
            reader.join().map_err(|_| "the reader of the other side panicked")??;
            written
        });
        Ok(Self { address, thread })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Those that it ended with.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        self.thread.join().map_err(|_| "the other side panicked")?
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

fn make_durable(
    mut stream: TcpStream,
    mut log: Log,
    mut side: impl Side,
    gathered: &(Mutex<Gathered>, Condvar),
) -> Result<(), Fault> {
    let (mut held, mut taken) = (Vec::new(), 0_u64);
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
                taken += side.apply(body(&held[at..at + HEAD + len])?)?;
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

/// What a run gave.
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
pub(crate) fn stream<S: Side>(
    dir: &Path,
    side: impl Fn() -> S,
    count: u64,
    clients: u64,
    answer: Answer,
) -> Result<Run, Fault> {
    let follower = Follower::start(&dir.join("there"), side())?;
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
    let mut here = side();
    let (mut next, mut ready, mut in_flight, mut acknowledged, mut acks, mut bytes) = (0, clients, 0, 0, 0_u64, 0);
    while acknowledged < count {
        let size = ready.min(count - next);
        if size > 0 && in_flight < 2 {
            to_disk.send((frame(|body| here.write(next, size, body))?, size))?;
            (next, ready, in_flight) = (next + size, ready - size, in_flight + 1);
            continue;
        }
        match told.recv_timeout(PATIENCE)? {
            Told::Synced(done) => {
                let (frame, size) = done?;
                socket.write_all(&frame)?;
                bytes += frame.len() as u64;
                here.written(body(&frame)?)?;
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
    writer.join().map_err(|_| "the writer of this side panicked")?;
    hearing.join().map_err(|_| "the listener of this side panicked")?;
    follower.finish()?;
    Ok(Run { took, bytes: bytes + acks * 8 })
}
