//! Runs the real binary in directories of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

/// The binary, with nothing of the caller's environment that could steer it.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softadastra-under-test"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOFTADASTRA_") {
            command.env_remove(name);
        }
    }
    command
        .env("NO_COLOR", "1")
        .env("HOME", "/nonexistent")
        .env_remove("XDG_DATA_HOME")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET");
    command
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("the output is text")
    }

    /// Asserts success and gives standard output as text.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out()
    }

    /// The data of the JSON document on standard output, whose schema must be this.
    #[track_caller]
    pub(crate) fn data(&self, schema: &str) -> Value {
        let document: Value = serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(document["schema"], schema, "{self:?}");
        document["data"].clone()
    }

    /// The error of the JSON document on standard error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let document: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(document["schema"], "softadastra.error/1", "{self:?}");
        document["error"].clone()
    }
}

/// Runs a command to its end, with this on standard input.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // The child may end without reading it all: that is part of what is tested.
    let feed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let done = child.wait_with_output().expect("the binary ends");
    feed.join().expect("the feeding thread does not panic");
    Ran {
        code: code_of(done.status),
        stdout: done.stdout,
        stderr: String::from_utf8(done.stderr).expect("errors are text"),
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// A place for one data directory and what belongs to it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    data: PathBuf,
}

impl Place {
    /// A place without a data directory.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("there is room for a directory");
        let data = dir.path().join("data");
        Self { dir, data }
    }

    /// A place whose data directory, not there yet, lies elsewhere.
    pub(crate) fn with_data_in(dir: &Path) -> Self {
        Self { data: dir.join("data"), ..Self::empty() }
    }

    /// A place with an initialised data directory.
    pub(crate) fn new() -> Self {
        Self::of("till-1")
    }

    /// A place with the initialised data directory of a node of this name.
    pub(crate) fn of(node: &str) -> Self {
        let place = Self::empty();
        place.run(&["init", "--node-id", node]).ok();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// A file beside the data directory.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("there is room for a file");
        path
    }

    /// Flips a bit of these bytes where they stand in the oldest segment of the log.
    pub(crate) fn rot(&self, stored: &[u8]) {
        let files = std::fs::read_dir(self.data().join("wal")).expect("there is a log");
        let files = files.map(|entry| entry.expect("it can be read").path());
        let segment = files.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).min();
        let segment = segment.expect("there is a segment");
        let mut bytes = std::fs::read(&segment).expect("it can be read");
        let at = bytes.windows(stored.len()).position(|window| window == stored).expect("they stand there");
        bytes[at] ^= 1;
        std::fs::write(&segment, bytes).expect("it can be written");
    }

    /// The binary on the data directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = binary();
        command.arg("--data-dir").arg(self.data()).args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        run(self.command(args), input)
    }

    /// Starts a node and waits until it takes commands.
    pub(crate) fn start(&self) -> Node {
        self.start_with(&[])
    }

    /// Starts a node with these options of `node start`, and waits until it takes commands.
    pub(crate) fn start_with(&self, options: &[&str]) -> Node {
        let mut command = self.command(&["--json", "node", "start"]);
        command.args(options);
        Node::of(command)
    }
}

/// A running node. It is killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    stdout: BufReader<ChildStdout>,
    info: Value,
    log: Arc<Mutex<String>>,
    logging: Option<JoinHandle<()>>,
}

impl Node {
    /// Runs a command that starts a node, and waits until the node takes commands.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        // Read all the time: a node must never wait for somebody to read its log.
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let logged = log.clone();
        let logging = std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).expect("logs are text") > 0 {
                logged.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the node speaks");
        let mut node = Self { child, stdout, info: Value::Null, log, logging: Some(logging) };
        if line.is_empty() {
            panic!("the node did not start: {:?}", node.ended());
        }
        node.info = serde_json::from_str::<Value>(&line).expect("it says who it is")["data"].clone();
        node
    }

    /// The first address at which it takes links.
    pub(crate) fn address(&self) -> &str {
        self.info["listening"][0].as_str().expect("it listens")
    }

    /// What it said of itself when it took commands.
    pub(crate) fn info(&self) -> &Value {
        &self.info
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its file descriptors.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self) -> std::collections::BTreeSet<u64> {
        let names = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs");
        let names = names.map(|entry| entry.expect("it runs").file_name());
        names.map(|name| name.to_str().and_then(|name| name.parse().ok()).expect("they are numbers")).collect()
    }

    /// Lets it have so many more file descriptors than it has; or as many as this process.
    #[cfg(target_os = "linux")]
    pub(crate) fn limit_descriptors(&self, more: Option<usize>) {
        let ours = getrlimit(Resource::Nofile);
        let used = self.descriptors();
        let limit = match more {
            Some(more) => Rlimit { current: (0..).filter(|fd| !used.contains(fd)).nth(more), ..ours },
            None => ours,
        };
        prlimit(Pid::from_raw(self.pid().cast_signed()), Resource::Nofile, limit).expect("our own child");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(pid, signal).expect("our own child can be signalled");
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> Ran {
        let mut stdout = Vec::new();
        self.stdout.read_to_end(&mut stdout).expect("a pipe can be read");
        let code = code_of(self.child.wait().expect("our own child"));
        self.logging.take().expect("waited for once").join().expect("logs are text");
        Ran { code, stdout, stderr: self.log() }
    }

    /// Stops it cleanly.
    pub(crate) fn stop(mut self) -> Ran {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("our own child");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
