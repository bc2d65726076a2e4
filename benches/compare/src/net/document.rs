//! Libraries of replicated documents. They have neither disk nor network, so they are put to work as an application would:
//! each side holds the document in memory and has a log in zero-filled space; what gathers while one sync runs goes into
//! one change, is synced and sent; the other side syncs, applies and acknowledges it. After a partition the library's own
//! sync protocol says what is missing. Nothing is encrypted, nobody proves who they are, and the content is one map whose
//! keys hold the value of the latest change.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use super::nodes::BATCH;
use super::pair::{self, Answer, HEAD, Log, PATIENCE, Run, Side, body, frame};
use crate::engine::Fault;
use crate::plan::Figure;
use crate::scenes::replication::{CATCH_UP, LATE_BYTES, LIVE_BYTES, PENDING, STREAM, STREAMED, WINDOW, per_second};

/// A document, and what it knows of the other side since they met.
pub(crate) trait Document: Side {
    /// An empty one, of one of two sides.
    fn new(side: u8) -> Self;

    /// The next message to the other side, when there is one.
    fn say(&mut self) -> Option<Vec<u8>>;

    /// A message of the other side; gives whether it brought anything that has to be kept.
    ///
    /// # Errors
    /// Those of the library.
    fn hear(&mut self, message: &[u8]) -> Result<bool, Fault>;

    /// Whether the other side has said that it has everything.
    fn delivered(&self) -> bool;

    /// How many keys it holds.
    fn keys(&self) -> u64;
}

/// One round.
///
/// # Errors
/// Those of library, disk and network.
pub(crate) fn measure<D: Document>(row: &'static str, dir: &Path) -> Result<Vec<Figure>, Fault> {
    let sides = std::sync::atomic::AtomicU8::new(0);
    let side = || D::new(sides.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let window = pair::stream(&dir.join("window"), side, STREAMED, 64, Answer::There)?;
    let stream = pair::stream(&dir.join("stream"), side, STREAMED, 64, Answer::Here)?;
    let late = catch_up::<D>(&dir.join("late"))?;
    Ok(vec![
        Figure::of(row, WINDOW, per_second(STREAMED, window.took)),
        Figure::of(row, STREAM, per_second(STREAMED, stream.took)),
        Figure::of(row, LIVE_BYTES, stream.bytes as f64 / STREAMED as f64),
        Figure::of(row, CATCH_UP, per_second(PENDING, late.took)),
        Figure::of(row, LATE_BYTES, late.bytes as f64 / PENDING as f64),
    ])
}

/// Both sides have the first thousand keys; one has written the others meanwhile, and the other one dials it.
fn catch_up<D: Document>(dir: &Path) -> Result<Run, Fault> {
    let (mut here, mut there) = (D::new(0), D::new(1));
    for first in (0..BATCH + PENDING).step_by(BATCH as usize) {
        let written = frame(|body| here.write(first, BATCH, body))?;
        if first == 0 {
            there.apply(body(&written)?)?;
        }
    }
    let mut log = Log::new(dir)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;

    let began = Instant::now();
    let late = std::thread::spawn(move || {
        let mut link = Link::new(TcpStream::connect(address)?)?;
        link.tell(&mut there)?;
        while let Some(message) = link.next()? {
            if there.hear(body(&message)?)? {
                log.append(&message)?;
            }
            link.tell(&mut there)?;
        }
        Ok::<_, Fault>((there, link.bytes))
    });
    let mut link = Link::new(listener.accept()?.0)?;
    loop {
        let message = link.next()?.ok_or("the other side has closed before it had everything")?;
        here.hear(body(&message)?)?;
        if here.delivered() {
            break;
        }
        link.tell(&mut here)?;
    }
    let took = began.elapsed();
    let sent = link.bytes;
    drop(link);
    let (there, answered) = late.join().map_err(|_| "the other side panicked")??;
    if there.keys() != BATCH + PENDING {
        return Err(format!("the other side has {} keys of {}", there.keys(), BATCH + PENDING).into());
    }
    Ok(Run { took, bytes: sent + answered })
}

/// A connection over which messages go in frames.
struct Link {
    stream: TcpStream,
    /// Bytes that this side has sent.
    bytes: u64,
}

impl Link {
    fn new(stream: TcpStream) -> Result<Self, Fault> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, bytes: 0 })
    }

    /// Sends what a side has to say.
    fn tell(&mut self, side: &mut impl Document) -> Result<(), Fault> {
        let Some(message) = side.say() else { return Ok(()) };
        let framed = frame(|body| {
            body.extend_from_slice(&message);
            Ok(())
        })?;
        self.bytes += framed.len() as u64;
        Ok(self.stream.write_all(&framed)?)
    }

    /// The next frame, while the other side has not closed.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let mut frame = vec![0; HEAD];
        match self.stream.read_exact(&mut frame) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let len = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        frame.resize(HEAD + len, 0);
        self.stream.read_exact(&mut frame[HEAD..])?;
        Ok(Some(frame))
    }
}
