//! Standard error, written by a thread of its own: whoever reads it may stop reading, and nothing here stops with him.
//!
//! What waits to be read is bounded. Lines beyond are dropped and counted, and how many is said as soon as it goes on.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Record, Sink};
use crate::events;
use crate::settings::LogFormat;

/// So many bytes of lines may wait.
const MOST_WAITING: usize = 1 << 20;

/// The writer of this process, once it logs.
static WRITER: OnceLock<Writer> = OnceLock::new();

/// Waits until all lines are written, for so long at most. False when nobody takes them.
pub(crate) fn written(within: Duration) -> bool {
    WRITER.get().is_none_or(|writer| writer.written(within))
}

/// Lines that were dropped because nobody took them.
pub(crate) fn dropped() -> u64 {
    WRITER.get().map_or(0, Writer::dropped)
}

/// Standard error as a place for log lines.
#[derive(Debug)]
pub struct Stderr {
    format: LogFormat,
    color: bool,
    writer: Writer,
}

impl Stderr {
    /// Lines in this format, for people with or without colour.
    ///
    /// # Errors
    /// When the system gives no thread for the writer.
    pub fn new(format: LogFormat, color: bool) -> io::Result<Self> {
        let writer = match WRITER.get() {
            Some(writer) => writer.clone(),
            None => {
                let writer = Writer::start(io::stderr(), events::log_lines_dropped)?;
                WRITER.get_or_init(|| writer).clone()
            }
        };
        Ok(Self { format, color, writer })
    }
}

impl Sink for Stderr {
    fn take(&self, record: &Record) {
        let mut line = match self.format {
            LogFormat::Human => record.human(self.color),
            LogFormat::Json => record.json(),
        };
        line.push('\n');
        self.writer.push(&line);
    }

    fn held_back(&self, _lines: u64) {}
}

/// Hands lines to the thread that writes them.
#[derive(Clone, Debug, Default)]
struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: String,
    /// Dropped, and not yet said.
    lost: u64,
    lost_in_all: u64,
    /// Lines are on their way.
    writing: bool,
}

impl Waiting {
    const fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }
}

impl Writer {
    fn start(out: impl Write + Send + 'static, tell_lost: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let writer = Self::default();
        let own = writer.clone();
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || own.run(out, tell_lost))?;
        Ok(writer)
    }

    fn run(&self, mut out: impl Write, tell_lost: impl Fn(u64)) {
        loop {
            let (lines, lost) = self.next();
            // When standard error is closed there is nobody left to tell.
            drop(out.write_all(lines.as_bytes()));
            if lost > 0 {
                tell_lost(lost);
            }
        }
    }

    /// Waits for lines, or for some that were dropped.
    fn next(&self) -> (String, u64) {
        let mut waiting = self.lock();
        waiting.writing = false;
        self.0.changed.notify_all();
        let mut waiting =
            self.0.changed.wait_while(waiting, |waiting| waiting.is_empty()).unwrap_or_else(PoisonError::into_inner);
        waiting.writing = true;
        (std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.lost))
    }

    /// Takes a line, or counts it as dropped. Never waits for a reader.
    fn push(&self, line: &str) {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.lost += 1;
            waiting.lost_in_all += 1;
            return;
        }
        waiting.lines.push_str(line);
        drop(waiting);
        self.0.changed.notify_all();
    }

    fn written(&self, within: Duration) -> bool {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.is_empty();
        let waited = self.0.changed.wait_timeout_while(self.lock(), within, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn dropped(&self) -> u64 {
        self.lock().lost_in_all
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use std::io::Read as _;

    use super::*;

    #[test]
    fn who_does_not_read_stops_nobody_and_learns_what_was_lost() {
        let (ours, mut reader) = UnixStream::pair().unwrap();
        let told = Arc::new(Mutex::new(0));
        let tell = told.clone();
        let writer = Writer::start(ours, move |lost| *tell.lock().unwrap() += lost).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..5000 {
            writer.push(&line);
        }
        let dropped = writer.dropped();
        assert!((1000..4000).contains(&dropped), "{dropped} of 5000 lines of 1 kB, and 1 MiB may wait");
        assert!(!writer.written(Duration::from_millis(10)), "nobody reads");
        let whole = (5000 - dropped) * 1000;
        let reading = thread::spawn(move || reader.read_exact(&mut vec![0; usize::try_from(whole).unwrap()]).unwrap());
        assert!(writer.written(Duration::from_secs(30)));
        reading.join().unwrap();
        assert_eq!((*told.lock().unwrap(), writer.dropped()), (dropped, dropped));
    }
}
