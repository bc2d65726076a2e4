//! What a run must not leave behind: processes that it has started, and the directory of the engines. Both end with the
//! run, also when a signal ends it.

use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use signal_hook::consts::{SIGABRT, SIGBUS, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::aside::aside;
use crate::engine::Fault;
use crate::hearing::LastWords;

/// What is there at this moment. Whoever ends the run by a signal holds it until the end, so that nothing new begins.
static LEFT: Mutex<Left> = Mutex::new(Left { processes: Vec::new(), home: None, at_work: String::new(), rescue: None });

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
    rescue: Option<Rescue>,
}

/// What is to be done when the program has crashed; it is told why.
type Rescue = Box<dyn FnOnce(&str) + Send>;

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
        let mut left = left();
        let crashed = CRASHES.contains(&signal);
        let name = low_level::signal_name(signal).unwrap_or("a signal");
        let why = |who: &str| format!("{who} has taken the whole program down with it ({name}).");
        if crashed {
            aside(why(&left.at_work));
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
        // Last, since it may wait for whoever reads stdout, and a memory that has been destroyed may let it come to nothing.
        if crashed && let Some(rescue) = left.rescue.take() {
            let why = why(&left.at_work);
            if catch_unwind(AssertUnwindSafe(|| rescue(&why))).is_err() {
                aside("What was measured before is lost.");
            }
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

/// Does this when the program has crashed, after everything is tidied up.
pub(crate) fn at_a_crash(rescue: impl FnOnce(&str) + Send + 'static) {
    left().rescue = Some(Box::new(rescue));
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
        let made = std::fs::read_dir(dir).and_then(|_| tempfile::Builder::new().prefix("compare-").tempdir_in(dir));
        // An error of `tempfile` names a directory that nobody has asked for, and has only the kind of that of the system.
        let home = made.map_err(|error| match error.raw_os_error() {
            Some(_) => format!("--dir {}: {error}", dir.display()),
            None => format!("--dir {}: {}", dir.display(), error.kind()),
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

/// How long a process that has closed its output may take to end.
const MOMENT: Duration = Duration::from_secs(1);

/// A process that ends when this is dropped, with all that it has started.
pub(crate) struct Process {
    child: Child,
    words: Option<LastWords>,
    /// How it has ended, once somebody has waited for it: its number may be that of another since.
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts it. What it says on its error output is kept for the message of a failure.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn heard(command: &mut Command) -> Result<Self, Fault> {
        let mut process = Self::start(command.stderr(Stdio::piped()))?;
        process.words = process.child.stderr.take().map(LastWords::of);
        Ok(process)
    }

    /// Starts one whose outputs all go where `command` says. None may be left to the terminal.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Fault> {
        let mut left = left();
        let program = command.get_program().to_string_lossy().into_owned();
        let child =
            command.process_group(0).spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
        left.processes.push(Pid::from_child(&child));
        Ok(Self { child, words: None, status: None })
    }

    /// What it reads and writes, to be taken.
    pub(crate) fn pipes(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its number.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells how it ends, when it does so by itself.
    #[must_use]
    pub(crate) fn end_to_come(&self) -> Receiver<String> {
        let (tell, told) = channel();
        let process = WaitId::Pid(Pid::from_child(&self.child));
        std::thread::spawn(move || {
            // Whoever ends it has asked for its end first: then there is nobody to be told.
            if let Ok(Some(status)) = waitid(process, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                _ = tell.send(in_words(&status));
            }
        });
        told
    }

    /// Waits so long until it ends by itself, ends it if it does not, and says how it has ended and what it said last.
    ///
    /// # Errors
    /// Unless it has ended by itself and says that all is well.
    pub(crate) fn ended(&mut self, who: &str, patience: Duration) -> Result<(), Fault> {
        let how = match self.end_to_come().recv_timeout(patience) {
            Ok(how) => how,
            Err(RecvTimeoutError::Timeout) => format!("has not ended for {} s", patience.as_secs_f64()),
            Err(RecvTimeoutError::Disconnected) => "is not to be waited for".to_owned(),
        };
        if self.end()?.success() {
            return Ok(());
        }
        match self.words.as_ref().map(LastWords::line).filter(|words| !words.is_empty()) {
            Some(words) => Err(format!("{who} {how}; it said last: {words}").into()),
            None => Err(format!("{who} {how}").into()),
        }
    }

    /// What it has said on its error output of late.
    #[must_use]
    pub(crate) fn said(&self) -> String {
        self.words.as_ref().map_or_else(String::new, LastWords::text)
    }

    /// What there is to say when it has closed its output, though there was more to come.
    pub(crate) fn early_end(&mut self, who: &str) -> Fault {
        match self.ended(who, MOMENT) {
            Ok(()) => format!("{who} has ended early").into(),
            Err(error) => error,
        }
    }

    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let mut left = left();
        let process = Pid::from_child(&self.child);
        // When it has ended by itself this does not change how: nobody has asked yet.
        kill(process);
        let status = self.child.wait();
        left.processes.retain(|other| *other != process);
        self.status = status.as_ref().ok().copied();
        status
    }
}

fn in_words(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("has ended with exit status {code}"),
        (_, Some(signal)) => match low_level::signal_name(signal) {
            Some(name) => format!("was ended by {name}"),
            None => format!("was ended by signal {signal}"),
        },
        _ => "has ended".to_owned(),
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

    const A_WHILE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Process {
        Process::heard(Command::new("sh").args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null())).unwrap()
    }

    fn shown(done: Result<(), Fault>) -> String {
        done.err().map_or_else(|| "well".to_owned(), |error| error.to_string())
    }

    #[test]
    fn it_is_said_how_a_process_has_ended() {
        assert_eq!(shown(shell("echo fine >&2").ended("it", A_WHILE)), "well");
        let late = shown(shell("exec sleep 60").ended("it", Duration::from_millis(200)));
        assert_eq!(late, "it has not ended for 0.2 s");
        let killed = shown(shell("echo why >&2; kill -SEGV $$").ended("it", A_WHILE));
        assert_eq!(killed, "it was ended by SIGSEGV; it said last: why");
        assert_eq!(shell("exit 0").early_end("it").to_string(), "it has ended early");
    }

    #[test]
    fn what_has_ended_is_no_longer_to_be_ended() {
        let listed = |id: u32| left().processes.iter().any(|process| process.as_raw_pid().unsigned_abs() == id);
        let (mut quick, slow) = (shell("exit 3"), shell("exec sleep 60"));
        let ids = [quick.id(), slow.id()];
        assert!(ids.iter().all(|id| listed(*id)));
        assert_eq!(shown(quick.ended("it", A_WHILE)), "it has ended with exit status 3");
        drop((quick, slow));
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
        // Nobody can make anything in the latter, not even root.
        for dir in ["/nonexistent", "/proc"] {
            let error = Home::within(Path::new(dir)).err().unwrap().to_string();
            assert!(error.starts_with(&format!("--dir {dir}: ")) && !error.contains("compare-"), "{error}");
        }
    }
}
