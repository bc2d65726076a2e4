//! What a run must not leave behind: processes that it has started, and the directory of the engines. Both end with the
//! run, also when a signal ends it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use crate::engine::Fault;

/// What is there at this moment. Whoever ends the run by a signal holds it until the end, so that nothing new begins.
static LEFT: Mutex<Left> = Mutex::new(Left { processes: Vec::new(), home: None });

/// How a program ends that a signal has ended.
const INTERRUPTED: i32 = 130;

/// Engines that are still at work may put files into a directory while it is removed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Left {
    processes: Vec<Pid>,
    home: Option<PathBuf>,
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C and SIGTERM end the run, with all that it would leave behind.
///
/// # Errors
/// When the system does not let us know of signals.
pub(crate) fn by_signals() -> Result<(), Fault> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let left = left();
            for process in &left.processes {
                // It may have ended by itself; it is not waited for before it is taken from the list, so the number is still its own.
                _ = kill_process(*process, Signal::KILL);
            }
            for process in &left.processes {
                _ = waitid(WaitId::Pid(*process), WaitIdOptions::EXITED);
            }
            if let Some(home) = &left.home
                && let Err(error) = remove(home)
            {
                eprintln!("{} is left: {error}", home.display());
            }
            // Threads of the engines are at work: nothing that they use may be taken down before them.
            signal_hook::low_level::exit(INTERRUPTED);
        }
    });
    Ok(())
}

fn remove(home: &Path) -> std::io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match std::fs::remove_dir_all(home) {
            Err(error) if home.exists() && Instant::now() >= end => return Err(error),
            _ if home.exists() => {}
            _ => return Ok(()),
        }
    }
}

/// Does what no signal may cut short, and nothing at all once one has come.
pub(crate) fn undisturbed<T>(what: impl FnOnce() -> T) -> T {
    let _left = left();
    what()
}

/// The directory of a run, which is removed when this is dropped.
pub(crate) struct Home(TempDir);

impl Home {
    /// A new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn within(dir: &Path) -> Result<Self, Fault> {
        let mut left = left();
        // The error of the system names a directory that nobody has asked for.
        let made = std::fs::read_dir(dir).and_then(|_| tempfile::Builder::new().prefix("compare-").tempdir_in(dir));
        let home = made.map_err(|error| match error.raw_os_error().map(std::io::Error::from_raw_os_error) {
            Some(why) => format!("--dir {}: {why}", dir.display()),
            None => format!("--dir {}: {error}", dir.display()),
        })?;
        left.home = Some(home.path().to_owned());
        Ok(Self(home))
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A process that ends when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Fault> {
        let mut left = left();
        let child = command.spawn()?;
        left.processes.push(Pid::from_child(&child));
        Ok(Self(child))
    }

    /// What it reads and writes, to be taken.
    pub(crate) fn pipes(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Its number.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn ended(mut self) -> Result<ExitStatus, Fault> {
        waitid(WaitId::Pid(Pid::from_child(&self.0)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        Ok(self.end()?)
    }

    fn end(&mut self) -> std::io::Result<ExitStatus> {
        let mut left = left();
        // When it has ended by itself this changes nothing: nobody has asked how yet.
        _ = self.0.kill();
        let status = self.0.wait();
        let process = Pid::from_child(&self.0);
        left.processes.retain(|other| *other != process);
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn what_has_ended_is_no_longer_to_be_ended() {
        let listed = |id: u32| left().processes.iter().any(|process| process.as_raw_pid().unsigned_abs() == id);
        let (quick, slow) = (shell("exit 3"), shell("exec sleep 60"));
        let ids = [quick.id(), slow.id()];
        assert!(ids.iter().all(|id| listed(*id)));
        assert_eq!(quick.ended().unwrap().code(), Some(3));
        drop(slow);
        assert!(!ids.iter().any(|id| listed(*id)));
    }

    #[test]
    fn a_directory_that_cannot_hold_the_engines_is_named_as_it_was_given() {
        let error = Home::within(Path::new("/nonexistent")).err().unwrap().to_string();
        assert!(error.starts_with("--dir /nonexistent: ") && !error.contains("compare-"), "{error}");
    }
}
