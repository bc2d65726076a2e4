//! `softadastra store import`.
//!
//! A thread of its own reads lines and checks them; the engine takes what has been read meanwhile as one batch, so
//! that reading goes on during a sync and a slow source is stored line by line, as it comes. Few chunks wait between the
//! two: memory stays bounded by the greatest lines. Batches are written one after the other, so that what a refused
//! line leaves behind is exactly what stands before it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use softadastra_core::error::Code;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::input;
use super::output::{Failure, Output};
use super::progress::{Progress, Unit};
use crate::control::answer::{Batch, Imported};
use crate::control::{Backend, Fault};
use crate::events;
use crate::ndjson::{self, LineError, MAX_LINE_LEN};

/// Bytes read at once; the lines that end within them are one chunk.
const READ_BYTES: usize = 256 << 10;

/// Chunks that may wait for the engine.
const WAITING_CHUNKS: usize = 4;

/// A batch is written when it has this many bytes of lines, or when nothing more has been read.
const BATCH_BYTES: u64 = 1 << 20;

/// An import whose source is open.
pub(super) struct Import {
    source: Box<dyn Read + Send>,
    name: String,
    /// The size of the source, when it is a file.
    len: Option<u64>,
}

impl Import {
    /// Opens the source, before the data directory is.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, Failure> {
        match file {
            Some(path) if path != Path::new("-") => {
                let name = path.display().to_string();
                let doing = format!("read {name}");
                let source = File::open(&path).map_err(|error| Fault::io(&doing, &error))?;
                let meta = source.metadata().map_err(|error| Fault::io(&doing, &error))?;
                let len = meta.is_file().then_some(meta.len());
                Ok(Self { source: Box::new(source), name, len })
            }
            None if io::stdin().is_terminal() => {
                let what = "no file is named and stdin is a terminal";
                Err(Failure::Usage(Fault::new(Code::InvalidArgument, what, "name a file, or `-` for stdin")))
            }
            _ => Ok(Self { source: Box::new(input::stdin()?), name: "stdin".to_owned(), len: None }),
        }
    }

    /// Stores every record. What was stored is answered even when the import ends early.
    pub(super) async fn run<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<(), Failure> {
        let (send, receive) = mpsc::channel(WAITING_CHUNKS);
        let Self { source, name, len } = self;
        std::thread::Builder::new()
            .name("import".to_owned())
            .spawn(move || Lines::new(source, send).run())
            .map_err(|error| Fault::io("start a thread", &error))?;
        let mut progress = Progress::start(out, "Importing", len, Unit::Bytes);
        let mut done = Imported::default();
        let ended = store(backend, receive, &name, &mut done, &mut progress).await;
        (done.seconds, done.records_per_second) = progress.finish();
        out.answer(&done)?;
        Ok(ended?)
    }
}

/// Lines that were read together.
#[derive(Debug, Default)]
struct Chunk {
    records: Vec<(Bytes, Bytes)>,
    /// For each record the number of its line.
    lines: Vec<u64>,
    /// Bytes of the source that these lines took.
    bytes: u64,
    /// Why reading ended, if it did not end with the source.
    ended: Option<Ended>,
}

#[derive(Debug)]
enum Ended {
    Line(u64, LineError),
    Io(io::Error),
}

impl Chunk {
    fn join(&mut self, next: Self) {
        self.records.extend(next.records);
        self.lines.extend(next.lines);
        self.bytes += next.bytes;
        self.ended = next.ended;
    }
}

async fn store<B: Backend>(
    backend: &mut B,
    mut chunks: mpsc::Receiver<Chunk>,
    source: &str,
    done: &mut Imported,
    progress: &mut Progress,
) -> Result<(), Fault> {
    // Listens from here on: a future that waits for an interrupt would only when it is first asked.
    let mut interrupts =
        signal(SignalKind::interrupt()).map_err(|error| Fault::io("listen for an interrupt", &error))?;
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            _ = interrupts.recv() => {
                let next = "import again: what is there already is left unchanged";
                return Err(Fault::new(Code::InvalidState, "interrupted; the records counted above are stored", next));
            }
        };
        let Some(mut chunk) = chunk else { return Ok(()) };
        while chunk.bytes < BATCH_BYTES && chunk.ended.is_none() {
            match chunks.try_recv() {
                Ok(next) => chunk.join(next),
                Err(_nothing_read_yet) => break,
            }
        }
        write(backend, &chunk, source, done).await?;
        done.bytes += chunk.bytes;
        progress.update(done.bytes, done.records);
        events::tell!(debug, events::kinds::IMPORTED, records = done.records, bytes = done.bytes, "durable so far");
        match chunk.ended {
            None => {}
            Some(Ended::Line(line, error)) => {
                return Err(refused(source, line, &error.to_string(), "correct the line and import again", done));
            }
            Some(Ended::Io(error)) => return Err(Fault::io(format_args!("read {source}"), &error)),
        }
    }
}

/// Stores the records of a chunk as one batch. When the node refuses it for what is in it, records go one by one up to
/// the one that is refused, so that its line can be named.
async fn write<B: Backend>(backend: &mut B, chunk: &Chunk, source: &str, done: &mut Imported) -> Result<(), Fault> {
    if chunk.records.is_empty() {
        return Ok(());
    }
    match backend.batch(&chunk.records).await {
        Ok(batch) => count(done, &batch),
        Err(fault) if fault.is(Code::InvalidArgument) => {
            for (record, line) in chunk.records.iter().zip(&chunk.lines) {
                match backend.batch(std::slice::from_ref(record)).await {
                    Ok(batch) => count(done, &batch),
                    Err(fault) if fault.is(Code::InvalidArgument) => {
                        return Err(refused(source, *line, &fault.message, &fault.next, done));
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        Err(fault) => return Err(fault),
    }
    Ok(())
}

fn count(done: &mut Imported, batch: &Batch) {
    done.records += batch.created + batch.updated + batch.unchanged;
    done.created += batch.created;
    done.updated += batch.updated;
    done.unchanged += batch.unchanged;
}

fn refused(source: &str, line: u64, reason: &str, next: &str, done: &Imported) -> Fault {
    let kept = match done.records {
        0 => "nothing was imported".to_owned(),
        1 => "the record before it is kept".to_owned(),
        many => format!("the {many} records before it are kept"),
    };
    Fault::new(Code::InvalidArgument, format!("line {line} of {source}: {reason}; {kept}"), next)
}

/// Reads lines on its own thread.
struct Lines {
    source: BufReader<Box<dyn Read + Send>>,
    send: mpsc::Sender<Chunk>,
    /// The start of a line whose end has not been read yet.
    open: Vec<u8>,
    /// Lines that have ended.
    line: u64,
}

impl Lines {
    fn new(source: Box<dyn Read + Send>, send: mpsc::Sender<Chunk>) -> Self {
        Self { source: BufReader::with_capacity(READ_BYTES, source), send, open: Vec::new(), line: 0 }
    }

    fn run(mut self) {
        loop {
            let (chunk, more) = self.chunk();
            let more = more && chunk.ended.is_none();
            // When nobody receives any more, the import has ended for another reason.
            if self.send.blocking_send(chunk).is_err() || !more {
                return;
            }
        }
    }

    /// The lines that end within the next bytes, and whether there may be more.
    fn chunk(&mut self) -> (Chunk, bool) {
        let mut chunk = Chunk::default();
        let read = match self.source.fill_buf() {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return (chunk, true),
            Err(error) => {
                chunk.ended = Some(Ended::Io(error));
                return (chunk, false);
            }
        };
        let len = read.len();
        if len == 0 {
            let last = std::mem::take(&mut self.open);
            if !last.is_empty() {
                take_line(&mut chunk, &mut self.line, &last);
            }
            return (chunk, false);
        }
        for piece in read.split_inclusive(|&b| b == b'\n') {
            if !piece.ends_with(b"\n") {
                self.open.extend_from_slice(piece);
            } else if self.open.is_empty() {
                take_line(&mut chunk, &mut self.line, piece);
            } else {
                self.open.extend_from_slice(piece);
                take_line(&mut chunk, &mut self.line, &std::mem::take(&mut self.open));
            }
            if self.open.len() > MAX_LINE_LEN {
                chunk.ended = Some(Ended::Line(self.line + 1, LineError::LongLine));
            }
            if chunk.ended.is_some() {
                break;
            }
        }
        self.source.consume(len);
        (chunk, true)
    }
}

fn take_line(chunk: &mut Chunk, number: &mut u64, line: &[u8]) {
    *number += 1;
    if !line.trim_ascii().is_empty() {
        match ndjson::parse_line(line) {
            Ok(record) => {
                chunk.records.push(record);
                chunk.lines.push(*number);
            }
            Err(error) => {
                chunk.ended = Some(Ended::Line(*number, error));
                return;
            }
        }
    }
    chunk.bytes += line.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its pieces one per read, as a slow pipe does.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buf[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn read(pieces: &[&'static [u8]]) -> Vec<Chunk> {
        let (send, mut receive) = mpsc::channel(WAITING_CHUNKS);
        let source = Box::new(Pieces(pieces.to_vec()));
        let thread = std::thread::spawn(move || Lines::new(source, send).run());
        let mut chunks = Vec::new();
        while let Some(chunk) = receive.blocking_recv() {
            chunks.push(chunk);
        }
        thread.join().unwrap();
        chunks
    }

    #[test]
    fn lines_are_put_together_across_reads_and_counted() {
        let chunks = read(&[
            b"{\"key\":\"a\",\"va",
            b"lue\":\"1\"}\n\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\"",
            b":\"c\",\"value\":\"3\"}",
        ]);
        let all: Vec<_> = chunks.iter().flat_map(|chunk| chunk.records.iter().zip(&chunk.lines)).collect();
        let shown: Vec<_> = all.iter().map(|((key, value), line)| (&key[..], &value[..], **line)).collect();
        assert_eq!(shown, [(&b"a"[..], &b"1"[..], 1), (b"b", b"2", 3), (b"c", b"3", 4)]);
        assert_eq!(chunks.iter().map(|chunk| chunk.bytes).sum::<u64>(), 24 + 1 + 24 + 23);
        assert!(chunks.iter().all(|chunk| chunk.ended.is_none()));
    }

    #[test]
    fn reading_ends_at_the_first_bad_line() {
        let chunks = read(&[b"{\"key\":\"a\",\"value\":\"1\"}\noops\n{\"key\":\"b\",\"value\":\"2\"}\n"]);
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].records.len(), 1);
        assert!(matches!(&chunks[0].ended, Some(Ended::Line(2, LineError::Json(_)))), "{chunks:?}");
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let (send, mut receive) = mpsc::channel(WAITING_CHUNKS);
        let thread = std::thread::spawn(move || Lines::new(Box::new(io::repeat(b' ')), send).run());
        let mut last = None;
        while let Some(chunk) = receive.blocking_recv() {
            last = chunk.ended;
        }
        thread.join().unwrap();
        assert!(matches!(last, Some(Ended::Line(1, LineError::LongLine))), "{last:?}");
    }
}
