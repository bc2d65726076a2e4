//! A terminal with somebody at it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::Place;

/// How long anything may take that somebody types.
const SOON: Duration = Duration::from_secs(30);

/// Somebody at a terminal in front of a program.
pub(crate) struct Typist {
    pub(crate) terminal: File,
    shown: Receiver<Vec<u8>>,
    seen: String,
    program: Child,
    pub(crate) home: PathBuf,
}

impl Typist {
    /// In front of a session that asks for commands.
    pub(crate) fn in_a_session(place: &Place) -> Self {
        let mut typist = Self::at(place, &[]);
        typist.waits_for("Ctrl-D leaves");
        typist.waits_for("softadastra> ");
        typist
    }

    /// In front of this command.
    pub(crate) fn at(place: &Place, args: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = || {
            let options = File::options().read(true).write(true).open(name.to_str().unwrap());
            Stdio::from(options.unwrap())
        };
        let home = place.path().join("home");
        let mut command = place.command(args);
        command.env("HOME", &home).env_remove("XDG_STATE_HOME").env("TERM", "xterm");
        let program = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(command);
        let terminal = File::from(terminal);
        let (send, shown) = channel();
        let mut screen = terminal.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Ends when nobody has the other side open any more.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { terminal, shown, seen: String::new(), program, home }
    }

    /// Types this, and waits until that is shown.
    #[track_caller]
    pub(crate) fn types(&mut self, keys: &str, shown: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
        self.waits_for(shown);
    }

    /// Waits until this is shown, behind what was waited for before.
    #[track_caller]
    pub(crate) fn waits_for(&mut self, wanted: &str) {
        let began = Instant::now();
        loop {
            if let Some(at) = self.seen.find(wanted) {
                self.seen.drain(..at + wanted.len());
                return;
            }
            match self.shown.recv_timeout(SOON.saturating_sub(began.elapsed())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("waited in vain for {wanted:?}: {:?}", self.seen)
                }
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.program.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and gives its exit status.
    pub(crate) fn ended(&mut self) -> i32 {
        self.program.wait().unwrap().code().unwrap()
    }

    /// Ctrl-D, once it is asked for: during a command the terminal would take it for itself.
    pub(crate) fn leaves(&mut self) {
        self.waits_for("softadastra> ");
        self.terminal.write_all(b"\x04").unwrap();
        assert_eq!(self.ended(), 0);
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
