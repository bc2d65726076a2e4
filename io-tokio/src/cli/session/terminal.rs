//! The terminal is given back as it was, even to whoever ends the session from outside.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

/// Watches for what ends the process, as long as it lives.
pub(super) struct Guard {
    watching: Option<JoinHandle<()>>,
}

impl Guard {
    /// Remembers the terminal as it is. From here on, before anything is asked of it, signals are listened for.
    pub(super) fn keep(runtime: &Runtime) -> Self {
        let _entered = runtime.enter();
        let ends = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let (Ok(state), (Ok(terminate), Ok(hangup))) = (tcgetattr(io::stdin()), ends) else {
            return Self { watching: None };
        };
        Self { watching: Some(runtime.spawn(give_back(state, terminate, hangup))) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
    }
}

async fn give_back(state: Termios, mut terminate: Signal, mut hangup: Signal) {
    let number = tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hangup.recv() => SignalKind::hangup(),
    };
    // A terminal that has gone needs nothing.
    let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &state);
    std::process::exit(128 + number.as_raw_value());
}
