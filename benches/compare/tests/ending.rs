//! A run that is ended by a signal leaves nothing behind: neither the directory of the engines nor a process.

use std::error::Error;
use std::os::unix::fs::PermissionsExt as _;
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

/// The first process that a run starts, as soon as there is one.
fn first_child(run: &mut Running) -> Result<String, Box<dyn Error>> {
    let began = Instant::now();
    loop {
        if let Some(child) = children(run.0.id()).pop() {
            return Ok(child);
        }
        assert!(began.elapsed() < Duration::from_secs(60) && run.0.try_wait()?.is_none(), "it starts nothing");
        std::thread::yield_now();
    }
}

/// How it ends when it is sent these signals one after the other. It was started by `env` with SIGHUP as told, since this test
/// may itself run under `nohup`.
fn ended_by(hangup: &str, signals: &[Signal]) -> Result<Option<i32>, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    // Half of it is a process of its own, which fills a map with a million keys meanwhile.
    let mut run = Running(
        Command::new("env")
            .args([hangup, env!("CARGO_BIN_EXE_softadastra-compare")])
            .args(["--group", "memory", "--engine", "map", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let child = first_child(&mut run)?;
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 1, "the directory of the engines");
    for signal in signals {
        kill_process(Pid::from_child(&run.0), *signal)?;
    }
    let ended = run.0.wait()?.code();
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
    assert!(!Path::new("/proc").join(child).exists(), "the process that it had started");
    Ok(ended)
}

#[test]
fn no_signal_that_asks_for_the_end_leaves_anything_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::XCPU] {
        assert_eq!(ended_by("--default-signal=HUP", &[signal]).unwrap(), Some(130), "{signal:?}");
    }
}

#[test]
fn what_was_measured_before_a_crash_is_printed() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut run = Running(
        Command::new(env!("CARGO_BIN_EXE_softadastra-compare"))
            .args(["--group", "batches,memory", "--engine", "redb,map", "--rounds", "1", "--seconds", "0.01", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    // Batches are over when a part is played.
    first_child(&mut run)?;
    kill_process(Pid::from_child(&run.0), Signal::BUS)?;
    let said = std::io::read_to_string(run.0.stdout.take().ok_or("no stdout")?)?;
    assert_eq!(run.0.wait()?.code(), Some(1));
    let why = "**Not complete**: ordered map alone (limit) (a million keys) has taken the whole program down with it (SIGBUS).";
    assert!(said.starts_with(why) && said.contains("| redb | "), "{said}");
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_peer_that_hangs_when_it_is_asked_for_its_version_ends_with_the_run() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let program = dir.path().join("redis-server");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 60\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH")?);
    let mut run = Running(
        Command::new(env!("CARGO_BIN_EXE_softadastra-compare"))
            .args(["--group", "replication", "--engine", "redis", "--dir"])
            .arg(dir.path())
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let child = first_child(&mut run)?;
    kill_process(Pid::from_child(&run.0), Signal::TERM)?;
    assert_eq!(run.0.wait()?.code(), Some(130));
    assert!(!Path::new("/proc").join(child).exists(), "the peer");
    Ok(())
}

#[test]
fn a_crash_within_the_program_leaves_nothing_behind() {
    for signal in [Signal::BUS, Signal::ABORT] {
        assert_eq!(ended_by("--default-signal=HUP", &[signal]).unwrap(), Some(1), "{signal:?}");
    }
}

#[test]
fn a_terminal_that_goes_away_does_not_end_what_was_started_to_outlive_it() {
    // The second is there so that the test ends.
    assert_eq!(ended_by("--ignore-signal=HUP", &[Signal::HUP, Signal::BUS]).unwrap(), Some(1));
}
