//! A run that is ended by a signal leaves nothing behind: neither the directory of the engines nor a process.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Ends the program whatever the test comes to.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The processes that a process has started and not yet asked about.
fn children(process: u32) -> Vec<String> {
    let mut all = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let line = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(line.split_whitespace().map(str::to_owned));
    }
    all
}

fn ended_by(signal: Signal) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    // Half of it is a process of its own, which fills a map with a million keys meanwhile.
    let mut run = Running(
        Command::new(env!("CARGO_BIN_EXE_softadastra-compare"))
            .args(["--group", "memory", "--engine", "map", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let began = Instant::now();
    let child = loop {
        if let Some(child) = children(run.0.id()).pop() {
            break child;
        }
        assert!(began.elapsed() < Duration::from_secs(60) && run.0.try_wait()?.is_none(), "it plays no part");
        std::thread::yield_now();
    };
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 1, "the directory of the engines");
    kill_process(Pid::from_child(&run.0), signal)?;
    assert_eq!(run.0.wait()?.code(), Some(130));
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
    assert!(!Path::new("/proc").join(child).exists(), "the process that it had started");
    Ok(())
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    ended_by(Signal::INT).unwrap();
}

#[test]
fn a_request_to_end_leaves_nothing_behind() {
    ended_by(Signal::TERM).unwrap();
}
