//! Somebody who watches a swarm: is shown how it gets on, and may stop it.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How the process ends when it was stopped: what shells say of one that Ctrl-C has ended.
pub const STOPPED: u8 = 130;

/// So long the line stays as it is.
const EVERY: Duration = Duration::from_secs(1);

/// Shows one line on standard error, if that is a terminal, and knows whether it is to go on.
#[derive(Debug, Default)]
pub struct Watch {
    stopped: Arc<AtomicBool>,
    /// There is somebody.
    says: bool,
    /// When the line was last written; `None` for one that shows nothing.
    line: Option<Mutex<Option<Instant>>>,
}

impl Watch {
    /// Nobody watches.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// From here on the first Ctrl-C or SIGTERM stops what is watched, and a second one the process.
    ///
    /// # Errors
    /// As the system says, when it does not tell of signals.
    pub fn somebody() -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, STOPPED.into(), Arc::clone(&stopped))?;
            flag::register(signal, Arc::clone(&stopped))?;
        }
        let line = io::stderr().is_terminal().then(Mutex::default);
        Ok(Self { stopped, says: true, line })
    }

    /// Whether somebody said that it is enough.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Says how things stand, in the place of what was said before; not more often than once a second.
    pub fn show(&self, now: Arguments<'_>) {
        let Some(line) = &self.line else { return };
        let mut last = line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        // Back to the beginning of the line, and nothing left of what stood there.
        write_error(format_args!("\r{now}\x1b[K"));
    }

    /// Says something that stays.
    pub fn say(&self, what: Arguments<'_>) {
        if self.says {
            self.clear();
            write_error(format_args!("{what}\n"));
        }
    }

    /// Nothing is left of the line.
    pub fn clear(&self) {
        if let Some(line) = &self.line
            && line.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
        {
            write_error(format_args!("\r\x1b[K"));
        }
    }
}

/// Says something on standard error. Whether anybody reads that is no matter.
pub fn write_error(what: Arguments<'_>) {
    drop(io::stderr().write_fmt(what));
}
