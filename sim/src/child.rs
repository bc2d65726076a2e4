//! Other programs that are run on the way: they end with whoever runs them.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

use crate::watch::STOPPED;

/// Runs a command and keeps what it says. Ctrl-C and SIGTERM end it, with all that it has begun, and then this process: cargo
/// alone would leave its compilers at work.
///
/// # Errors
/// As the system says, when it cannot be run.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    match run(command)? {
        (_, true) => exit(STOPPED.into()),
        (output, false) => Ok(output),
    }
}

/// What it said, and whether somebody stopped it.
fn run(command: &mut Command) -> io::Result<(Output, bool)> {
    let (told, teller) = UnixStream::pair()?;
    let signals = [pipe::register(SIGINT, teller.try_clone()?)?, pipe::register(SIGTERM, teller)?];
    let stopped = AtomicBool::new(false);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let group = child.id();
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while matches!((&told).read(&mut [0]), Ok(1)) {
                stopped.store(true, Ordering::Relaxed);
                end(group);
            }
        });
        let output = child.wait_with_output();
        told.shutdown(Shutdown::Both).and(output)
    })?;
    for signal in signals {
        unregister(signal);
    }
    Ok((output, stopped.into_inner()))
}

/// Ends all processes of a group. If there is none any more, that is what was wanted.
fn end(group: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-TERM", "--", &format!("-{group}")]).stderr(Stdio::null());
    drop(kill.status());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// One test, for a signal reaches all that listen in this process.
    #[test]
    fn whoever_stops_it_stops_all_that_it_has_begun() {
        let (output, stopped) = run(Command::new("sh").args(["-c", "echo said; echo cried >&2; exit 3"])).unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"said\n"[..], &b"cried\n"[..]));
        assert_eq!((output.status.code(), stopped), (Some(3), false));
        let begun = Instant::now();
        // What it begins keeps its output open until it ends.
        let script = "sleep 60 & echo begun; kill -INT $PPID; wait";
        let (output, stopped) = run(Command::new("sh").args(["-c", script])).unwrap();
        assert!(stopped && output.status.code().is_none(), "{output:?}");
        assert_eq!(output.stdout, b"begun\n");
        assert!(begun.elapsed() < Duration::from_secs(30), "something went on");
    }
}
