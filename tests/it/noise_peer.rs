//! A running node and a peer that shares nothing with it but the documents: `tests/peers`, in Python, on a Noise
//! implementation of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::{Node, Place};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// A Python that has the packages, made once. Without one the tests here cannot run, and say so.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(|| environment().map(|folder| folder.join("bin/python"))) {
        Ok(python) => Some(python),
        Err(why) => {
            // Past the capture of output, or nobody would ever read it.
            let told = format!("\nSKIPPED: no session with an independent Noise implementation was tried: {why}\n\n");
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            None
        }
    }
}

fn environment() -> Result<PathBuf, String> {
    let wanted = std::fs::read_to_string(folder().join("requirements.txt")).unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("noise-peer");
    let made = place.join("made.txt");
    if std::fs::read_to_string(&made).is_ok_and(|had| had == wanted) && place.join("bin/python").exists() {
        return Ok(place);
    }
    // Made aside and moved into place whole: another run may be making the same.
    let draft = place.with_extension(std::process::id().to_string());
    drop(std::fs::remove_dir_all(&draft));
    run(Command::new("python3").args(["-m", "venv"]).arg(&draft))?;
    let install =
        ["-m", "pip", "install", "--quiet", "--no-deps", "--retries", "1", "--timeout", "20", "--requirement"];
    run(Command::new(draft.join("bin/python")).args(install).arg(folder().join("requirements.txt")))?;
    run(Command::new(draft.join("bin/python")).args(["-c", "import noise.connection"]))?;
    std::fs::write(draft.join("made.txt"), &wanted).unwrap();
    drop(std::fs::remove_dir_all(&place));
    if std::fs::rename(&draft, &place).is_err() {
        drop(std::fs::remove_dir_all(&draft));
    }
    Ok(place)
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{command:?}: {}", said.lines().last().unwrap_or_default()))
}

/// A peer that plays its part step by step.
struct Peer {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    fn play(python: &Path, part: &str, ticket: &str) -> Self {
        let mut command = Command::new(python);
        command.arg("-B").arg(folder().join("noise_peer.py")).args([part, ticket]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, stdout }
    }

    /// What came of the next step. It waits for nothing longer than its own time limit.
    #[track_caller]
    fn told(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the peer said {line:?}, and {}", self.errors()))
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().expect("piped").write_all(b"\n").unwrap();
    }

    #[track_caller]
    fn ends_well(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let errors = self.errors();
        assert!(self.child.wait().unwrap().success(), "{errors}");
        assert_eq!(rest, "", "it had no more to say");
    }

    fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.child.stderr.as_mut().expect("piped").read_to_string(&mut errors).unwrap();
        errors
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listening(place: &Place) -> (Node, String) {
    let node = place.start_with(&["--listen", "127.0.0.1:0"]);
    let ticket = place.run(&["ticket"]).ok().trim().to_owned();
    (node, ticket)
}

#[track_caller]
fn delivery(place: &Place) -> (Value, Value) {
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    (status["delivery"]["accepted"].clone(), status["delivery"]["acknowledged"].clone())
}

#[test]
fn a_peer_of_another_make_exchanges_operations_both_ways_and_resumes() {
    let Some(python) = python() else { return };
    let place = Place::of("till-1");
    let large = "x".repeat(200_000);
    place.run(&["store", "put", "apple", "red"]).ok();
    place.run_with(&["store", "put", "large", "-"], large.as_bytes()).ok();
    let (node, ticket) = listening(&place);

    let mut peer = Peer::play(python, "exchange", &ticket);
    let first = peer.told();
    let received = json!({ "apple": "red", "large": large });
    assert_eq!(first, json!({ "node": "till-1", "ponged": true, "resumed_at": 0, "received": received, "claimed": 2 }));
    assert_eq!(place.run(&["store", "get", "from/python"]).ok(), "written by another implementation\n");
    assert_eq!(delivery(&place), (json!(2), json!(2)), "its acknowledgement counts");

    // The second link goes on where the first ended, in both directions.
    place.run(&["store", "put", "pear", "green"]).ok();
    assert_eq!(delivery(&place), (json!(3), json!(2)));
    peer.go_on();
    let second = peer.told();
    let received = json!({ "pear": "green" });
    assert_eq!(
        second,
        json!({ "node": "till-1", "ponged": true, "resumed_at": 1, "received": received, "claimed": 3 })
    );
    assert_eq!(place.run(&["store", "get", "from/python"]).ok(), "written again\n");
    assert_eq!(delivery(&place), (json!(3), json!(3)));

    // A node that was killed in between goes on, too.
    let address = node.address().to_owned();
    node.kill();
    let _node = place.start_with(&["--listen", &address]);
    peer.go_on();
    let third = peer.told();
    assert_eq!(third, json!({ "node": "till-1", "ponged": true, "resumed_at": 2, "received": {}, "claimed": 3 }));
    let gone = place.run(&["store", "get", "from/python", "--json"]);
    assert_eq!(gone.error()["code"], "not_found", "it was deleted there");
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    assert_eq!((&status["conflicts"], &status["halted"]), (&json!(0), &Value::Null), "{status}");
    peer.ends_well();
}

#[test]
fn whoever_does_not_belong_is_told_why_and_harms_nothing() {
    let Some(python) = python() else { return };
    let place = Place::of("till-1");
    place.run(&["store", "put", "apple", "red"]).ok();
    let (_node, ticket) = listening(&place);
    let mut member = Peer::play(python, "exchange", &ticket);
    assert_eq!(member.told()["received"], json!({ "apple": "red" }));
    member.ends_well();

    let mut strangers = Peer::play(python, "strangers", &ticket);
    let told = [
        json!({ "who": "noise", "ended": true }),
        json!({ "who": "noise", "ended": true }),
        json!({ "who": "noise", "ended": true }),
        json!({ "who": "wrong secret", "refused": 4 }),
        json!({ "who": "no secret", "refused": 2 }),
        json!({ "who": "name taken", "farewell": 6 }),
        json!({ "who": "unsealed record", "farewell": 12 }),
        json!({ "who": "unknown part", "farewell": 12 }),
        json!({ "who": "unknown message", "farewell": 128 + 6 }),
    ];
    for expected in told {
        assert_eq!(strangers.told(), expected);
    }
    strangers.ends_well();

    assert_eq!(place.run(&["store", "put", "pear", "green"]).code, 0);
    assert_eq!(place.run(&["store", "get", "from/python"]).ok(), "written by another implementation\n");
}
