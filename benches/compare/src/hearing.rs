//! What a process says: its lines, heard with patience, and its last words, kept for the message of a failure. No process that is
//! started here has the terminal: under `stty tostop` whoever writes to it from the background stops for good.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::Fault;

/// Nobody who is heard here has longer lines to say.
const LINE: u64 = 1 << 20;

/// So much is kept of what came last.
const KEPT: usize = 4 << 10;

/// How long what has been said already may take to be heard once its process has ended.
const MOMENT: Duration = Duration::from_secs(1);

/// A line, and when it came.
pub(crate) struct Line {
    /// Without its end.
    pub(crate) text: String,
    /// When it was read.
    pub(crate) at: Instant,
}

/// The lines of an output.
pub(crate) struct Lines(Receiver<std::io::Result<Line>>);

impl Lines {
    /// Listens to it from now on.
    #[must_use]
    pub(crate) fn of(out: impl Read + Send + 'static) -> Self {
        let (tell, told) = sync_channel(64);
        // It ends with the process at the latest, whose end closes what it reads.
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            loop {
                let mut line = Vec::new();
                let heard = match out.by_ref().take(LINE).read_until(b'\n', &mut line) {
                    Ok(0) => return,
                    Ok(_) => {
                        Ok(Line { text: String::from_utf8_lossy(&line).trim_end().to_owned(), at: Instant::now() })
                    }
                    Err(error) => Err(error),
                };
                let failed = heard.is_err();
                if tell.send(heard).is_err() || failed {
                    return;
                }
            }
        });
        Self(told)
    }

    /// The next line; `None` when there are no more.
    ///
    /// # Errors
    /// When none comes for so long, and those of reading.
    pub(crate) fn next(&self, who: &str, patience: Duration) -> Result<Option<Line>, Fault> {
        match self.0.recv_timeout(patience) {
            Ok(line) => Ok(Some(line?)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(format!("{who} has said nothing for {}", in_words(patience)).into()),
        }
    }
}

/// A time as it is said in messages.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        long @ 120.. => format!("{} minutes", long / 60),
        _ => format!("{} s", time.as_secs_f64()),
    }
}

/// What was said last on an error output.
pub(crate) struct LastWords {
    kept: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl LastWords {
    /// Listens to it from now on.
    #[must_use]
    pub(crate) fn of(mut out: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (tell, end) = channel();
        let keep = Arc::clone(&kept);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&piece[..count]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
            drop(tell);
        });
        Self { kept, end }
    }

    /// The last line of it; empty when nothing was said. To be asked when the process has ended.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        // Nobody ever says anything here; what is awaited is that the other side is gone.
        _ = self.end.recv_timeout(MOMENT);
        last_line(&self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that was kept.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).trim_end().to_owned()
    }
}

/// The last line of a text that is not empty, in the replacement of which whatever is not UTF-8 may stand.
#[must_use]
pub(crate) fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_heard_until_there_are_no_more() {
        let lines = Lines::of(&b"one\nt\xffwo"[..]);
        let next = || lines.next("it", Duration::from_secs(60)).unwrap().map(|line| line.text);
        assert_eq!([next(), next(), next()], [Some("one".to_owned()), Some("t\u{fffd}wo".to_owned()), None]);
    }

    #[test]
    fn who_says_nothing_is_named() {
        let (read, _write) = std::io::pipe().unwrap();
        let late = Lines::of(read).next("it", Duration::from_millis(200)).err().unwrap().to_string();
        assert_eq!(late, "it has said nothing for 0.2 s");
        assert_eq!(in_words(Duration::from_secs(600)), "10 minutes");
    }

    #[test]
    fn only_what_came_last_is_kept() {
        let long = [b"first\n".as_slice(), &vec![b'x'; 2 * KEPT], b"\nlast\n\n"].concat();
        let words = LastWords::of(std::io::Cursor::new(long));
        assert_eq!(words.line(), "last");
        assert!(words.kept.lock().unwrap().len() <= KEPT);
    }
}
