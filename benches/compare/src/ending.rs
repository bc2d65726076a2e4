//! What a run must not leave behind: processes that it has started, and the directory of the engines. Both end with the
//! run, also when a signal ends it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGABRT, SIGBUS, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::aside::aside;
use crate::engine::Fault;

/// What is there at this moment. Whoever ends the run by a signal holds it until the end, so that nothing new begins.
static LEFT: Mutex<Left> = Mutex::new(Left { processes: Vec::new(), home: None, at_work: String::new() });

/// How a program ends that a signal has ended.
const INTERRUPTED: i32 = 130;

/// Signals of a program that has failed. An engine in this process that maps its files gets SIGBUS when the disk is full, and one that
/// is not as it expects itself to be aborts.
const CRASHES: [i32; 2] = [SIGBUS, SIGABRT];

/// What the kernel says of a signal that a process has sent (`SI_USER` and `SI_QUEUE`); `abort` is neither.
const BY_KILL: i32 = 0;
const BY_SIGQUEUE: i32 = -1;

/// Engines that are still at work may put files into a directory while it is removed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Left {
    processes: Vec<Pid>,
    home: Option<PathBuf>,
    /// Who is measured just now.
    at_work: String,
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on each of these signals ends the run, with all that it would leave behind.
///
/// # Errors
/// When the system does not let us know of signals.
pub(crate) fn by_signals() -> Result<(), Fault> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGQUIT, SIGXCPU, SIGBUS, SIGABRT])?;
    // Who starts it with `nohup` wants it to outlive the terminal.
    if !ignored(Signal::HUP) {
        signals.add_signal(SIGHUP)?;
    }
    // Without it a limit on the size of files would be the end of the program, instead of an error of whoever writes.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    for signal in CRASHES {
        stop_at(signal)?;
    }
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        let left = left();
        let crashed = CRASHES.contains(&signal);
        if crashed {
            let name = low_level::signal_name(signal).unwrap_or("a signal");
            aside(format_args!("{} has taken the whole program down with it ({name}).", left.at_work));
        }
        for process in &left.processes {
            kill(*process);
        }
        for process in &left.processes {
            _ = waitid(WaitId::Pid(*process), WaitIdOptions::EXITED);
        }
        if let Some(home) = &left.home
            && let Err(error) = remove(home)
        {
            aside(format_args!("{} is left: {error}", home.display()));
        }
        // Threads of the engines are at work: nothing that they use may be taken down before them.
        low_level::exit(if crashed { 1 } else { INTERRUPTED });
    });
    Ok(())
}

/// A thread that has crashed with this signal goes no further: what it would do next is to end the program before anything is
/// tidied up.
#[allow(unsafe_code, reason = "what runs in a signal handler has to be safe there")]
fn stop_at(signal: i32) -> Result<(), Fault> {
    // SAFETY: all of it may be done in a signal handler: what is read is its argument, one call is `nanosleep`, and the other is
    // documented to be fit for it. Nothing allocates or locks.
    let registered = unsafe {
        signal_hook_registry::register_sigaction(signal, move |info| {
            // Sent by another process, it has come to some thread that is all right, perhaps to one that holds what the end needs.
            if matches!(info.si_code, BY_KILL | BY_SIGQUEUE) {
                return;
            }
            std::thread::sleep(2 * PATIENCE);
            // Nobody has ended the program meanwhile. An error would leave it as it is.
            _ = low_level::emulate_default_handler(signal);
        })
    };
    registered?;
    Ok(())
}

/// Whether this process was started with a signal ignored, as far as the system tells.
fn ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
}

/// Ends a process and all that it has started. It may have ended by itself; as long as it is in the list nobody has waited
/// for it, so the number is still its own.
fn kill(process: Pid) {
    _ = kill_process_group(process, Signal::KILL);
}

/// Says who is measured now.
pub(crate) fn at_work(name: &str) {
    name.clone_into(&mut left().at_work);
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
pub(crate) struct Home(PathBuf);

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
        let home = home.keep();
        left.home = Some(home.clone());
        Ok(Self(home))
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            aside(format_args!("{} is left: {error}", self.0.display()));
        }
    }
}

/// A process that ends when this is dropped, with all that it has started.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Fault> {
        let mut left = left();
        let program = command.get_program().to_string_lossy().into_owned();
        let child =
            command.process_group(0).spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
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
        let process = Pid::from_child(&self.0);
        // When it has ended by itself this does not change how: nobody has asked yet.
        kill(process);
        let status = self.0.wait();
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
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

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
    fn what_a_process_has_started_ends_with_it() {
        let mut command = Command::new("sh");
        let mut process =
            Process::start(command.args(["-c", "sleep 60 & echo here; wait"]).stdout(Stdio::piped())).unwrap();
        let mut out = BufReader::new(process.pipes().stdout.take().unwrap());
        let (began, mut line) = (Instant::now(), String::new());
        out.read_line(&mut line).unwrap();
        drop(process);
        // It ends when nobody has the other end of the pipe any more.
        out.read_to_string(&mut line).unwrap();
        assert_eq!(line, "here\n");
        assert!(began.elapsed() < Duration::from_secs(30), "the process of the process");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Process::start(&mut Command::new("/nonexistent/program")).err().unwrap().to_string();
        assert!(error.starts_with("/nonexistent/program cannot be started: "), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_hold_the_engines_is_named_as_it_was_given() {
        let error = Home::within(Path::new("/nonexistent")).err().unwrap().to_string();
        assert!(error.starts_with("--dir /nonexistent: ") && !error.contains("compare-"), "{error}");
    }
}
