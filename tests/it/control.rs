//! The same commands through a running node and in process: the same output; the node's own life.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Ran, run};

/// What differs by nature between two runs of one command: times, and who answered.
const BY_NATURE: &[&str] = &[
    "stamp",
    "replica_id",
    "old_replica_id",
    "log_id",
    "public_key",
    "listening",
    "transport",
    "digest",
    "started_at_ms",
    "uptime_ms",
    "pid",
    "running",
    "capabilities",
    "recovery",
    "seconds",
    "records_per_second",
    // A running node has not closed its log.
    "closed_cleanly",
    "in_use",
    "frames",
    // Every opening in process leaves frames of its own.
    "bytes",
    "tail_bytes",
    "free_bytes",
    "copied_bytes",
    "copied_files",
    "torn",
];

/// Positions in the log: every opening may log records of its own. 0 says that there is none.
const POSITIONS: &[&str] =
    &["lsn", "first_lsn", "next_lsn", "last_lsn", "durable_lsn", "snapshot_lsn", "durable_seen", "at", "reaches"];

fn without_nature(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.as_str();
                if BY_NATURE.contains(&name) {
                    *value = Value::Null;
                } else if POSITIONS.contains(&name) {
                    *value = json!(if *value == json!(0) { "none" } else { "some" });
                } else if let (true, Some(name)) = (name == "file", value.as_str()) {
                    *value = json!(without_position(name));
                } else {
                    if let (true, Some(segments)) = (name == "segments", value.as_array_mut()) {
                        segments.iter_mut().for_each(|segment| segment["records"] = Value::Null);
                    }
                    without_nature(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_nature),
        _ => {}
    }
}

/// A snapshot is named after its position.
fn without_position(word: &str) -> &str {
    if word.trim_end_matches(',').ends_with(".snap") { "<snapshot>" } else { word }
}

/// A run, with paths and what differs by nature taken out.
fn comparable(place: &Place, ran: &Ran) -> (i32, String, String) {
    let here = place.path().to_str().unwrap();
    let tidy = |text: &str| {
        let text = text.replace(here, "<place>");
        // Only a running node has an uptime, and lets anybody in.
        let of_a_node = |line: &str| line.starts_with("Uptime ") || line.starts_with("Lets in ");
        let lines =
            text.lines().filter(|line| !of_a_node(line)).map(|line| match serde_json::from_str::<Value>(line) {
                Ok(mut value) => {
                    without_nature(&mut value);
                    value.to_string()
                }
                Err(_not_json) => mask(line),
            });
        lines.collect::<Vec<_>>().join("\n")
    };
    (ran.code, tidy(&String::from_utf8_lossy(&ran.stdout)), tidy(&ran.stderr))
}

/// A line for people, without times, ids and positions.
fn mask(line: &str) -> String {
    let by_nature = [
        "Replica ",
        "Log  ",
        "Log id ",
        "Public key ",
        "Links ",
        "History ",
        "Digest ",
        "Log bytes ",
        "Files ",
        "Copied ",
        "Running ",
        "Opening ",
        "Next LSN ",
        "Last LSN ",
        "Durable LSN ",
    ];
    if let Some(name) = by_nature.iter().find(|name| line.starts_with(**name)) {
        return (*name).to_owned();
    }
    if line.starts_with("In use ") || line.starts_with("Closed cleanly ") {
        return "How it ends".to_owned();
    }
    let mut cells: Vec<_> = line.split_whitespace().map(without_position).collect();
    for cell in &mut cells {
        if cell.len() == 32 && cell.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            *cell = "<id>";
        }
    }
    if line.starts_with("SEGMENT ") || line.contains(".seg ") {
        // First and next LSN, frames, records.
        cells.drain(1..5);
        return cells.join(" ");
    }
    if line.starts_with("Imported ") || line.starts_with("Exported ") {
        return line.split(" in ").next().unwrap_or_default().to_owned();
    }
    if line.starts_with("Snapshot ") {
        // Entries are compared; where it was taken and its size are not.
        let entries = line.split(", ").find(|part| part.ends_with(" entries"));
        return format!("Snapshot {}", entries.unwrap_or(if line.ends_with("none") { "none" } else { "some" }));
    }
    if let (true, Some(first)) = (cells.contains(&"version"), cells.first_mut()) {
        // A change begins with its position, other lines that speak of a version do not.
        *first = if first.parse::<u64>().is_ok() { "<lsn>" } else { first };
    }
    // The widest name of a table decides how wide all are.
    cells.join(" ")
}

#[test]
fn every_command_prints_the_same_through_a_node_and_in_process() {
    let (served, alone) = (Place::new(), Place::new());
    let node = served.start();
    let records: String = (0..1200).map(|n| format!("{{\"key\":\"n/{n:04}\",\"value\":\"{n}\"}}\n")).collect();
    let great = vec![b'v'; (1 << 20) + 1];
    let commands: &[(&[&str], &[u8])] = &[
        (&["store", "put", "greeting", "hello"], b""),
        (&["store", "put", "greeting", "hello"], b""),
        (&["store", "put", "greeting", "{\"a\":1}"], b""),
        (&["store", "put", "greeting", "x", "--if-version", "1"], b""),
        (&["store", "put", "greeting", "x", "--if-version", "2"], b""),
        (&["store", "put", "a&b=c+d %/?#", "odd key"], b""),
        (&["store", "put", "binary", "-"], b"\xff\x00\n\r"),
        (&["store", "put", "--key-base64", "/wA=", ""], b""),
        (&["store", "put", "", "v"], b""),
        (&["store", "put", "great", "-"], &great),
        (&["store", "get", "greeting"], b""),
        (&["store", "get", "a&b=c+d %/?#"], b""),
        (&["store", "get", "binary", "--raw"], b""),
        (&["store", "get", "binary"], b""),
        (&["store", "get", "--key-base64", "/wA="], b""),
        (&["store", "get", "no such key"], b""),
        (&["store", "get", ""], b""),
        (&["store", "contains", "greeting"], b""),
        (&["store", "contains", "no such key"], b""),
        (&["store", "remove", "greeting"], b""),
        (&["store", "remove", "greeting"], b""),
        (&["store", "import"], records.as_bytes()),
        (&["store", "import", "-"], b"{\"key\":\"m\",\"value\":\"1\"}\nnot a record\n"),
        (&["store", "import"], b"{\"key\":\"m\",\"value\":\"1\"}\n"),
        (&["store", "list"], b""),
        (&["store", "list", "n/01", "--limit", "7"], b""),
        (&["store", "list", "--after", "n/1190"], b""),
        (&["store", "list", "--keys", "n/00"], b""),
        (&["store", "list", "nothing"], b""),
        (&["store", "export"], b""),
        (&["store", "export", "--prefix", "n/11"], b""),
        (&["store", "watch", "--from", "0", "--count", "1100"], b""),
        (&["store", "watch", "greeting", "--from", "0", "--count", "1"], b""),
        (&["store", "size"], b""),
        (&["status"], b""),
        (&["peers"], b""),
        (&["peers", "trust", "no key"], b""),
        (&["peers", "forget", "nobody"], b""),
        (&["join", "no ticket"], b""),
        (&["sync", "status"], b""),
        (&["sync", "outbox"], b""),
        (&["sync", "tick"], b""),
        (&["sync", "tick", "--prune"], b""),
        (&["sync", "retry"], b""),
        (&["conflicts", "list"], b""),
        (&["conflicts", "show", "1"], b""),
        (&["conflicts", "resolve", "1"], b""),
        (&["conflicts", "resolve", "1", "--value", "v"], b""),
        (&["node", "info"], b""),
        (&["init"], b""),
        (&["wal", "inspect"], b""),
        (&["wal", "verify"], b""),
        (&["snapshot"], b""),
        (&["backup", "BACKUP"], b""),
        (&["backup", "BACKUP", "--verify"], b""),
        (&["version"], b""),
    ];
    for (args, input) in commands {
        for json in [false, true] {
            if json && (args.contains(&"--raw") || args.contains(&"--keys")) {
                continue;
            }
            // Only a node takes links, so only there nobody can be missing for want of one.
            if !json && *args == ["peers"] {
                continue;
            }
            let [served, alone] = [&served, &alone].map(|place| {
                let backup = place.path().join("backup");
                let args = args.iter().map(|arg| if *arg == "BACKUP" { backup.to_str().unwrap() } else { *arg });
                let args: Vec<_> = args.chain(json.then_some("--json")).collect();
                comparable(place, &place.run_with(&args, input))
            });
            assert_eq!(served, alone, "{args:?}, json: {json}");
        }
    }
    assert_eq!(node.stop().code, 0);
}

#[test]
fn commands_go_through_the_node_and_a_second_node_is_refused_by_its_holder() {
    let place = Place::new();
    let node = place.start();
    let info = place.run(&["node", "info", "--json"]).data("softadastra.node/1");
    assert_eq!(info["running"], true);
    let pid = info["pid"].as_u64().unwrap().to_string();
    place.run(&["store", "put", "k", "v"]).ok();

    let ran = place.run(&["node", "start", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("locked")));
    assert!(ran.error()["message"].as_str().unwrap().contains(&pid), "{ran:?}");
    for args in [&["wal", "repair", "--json"][..], &["restore", "/nowhere", "--json"]] {
        assert_eq!(place.run(args).code, 1);
    }

    let ended = node.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!place.data().join("control.sock").exists());
    assert_eq!(place.run(&["store", "get", "k"]).ok(), "v\n");
    assert_eq!(place.run(&["node", "info", "--json"]).data("softadastra.node/1")["recovery"]["clean"], true);
}

#[test]
fn a_node_starts_from_nothing_and_stops_cleanly_on_both_signals() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::empty();
        let mut node = place.start();
        place.run(&["store", "put", "k", "v"]).ok();
        node.signal(signal);
        let ended = node.ended();
        assert_eq!(ended.code, 0, "{ended:?}");
        for event in ["ready", "signal"] {
            assert!(ended.stderr.contains(&format!("event=\"{event}\"")), "{event}: {ended:?}");
        }
        let log = place.run(&["wal", "inspect", "--json"]).data("softadastra.wal/1");
        assert_eq!(log["closed_cleanly"], true);
    }
}

#[test]
fn a_key_too_long_for_a_request_is_refused_by_name() {
    let place = Place::new();
    let node = place.start();
    let long = "k".repeat(70_000);
    let runs = [
        (place.run(&["--json", "store", "put", &long, "v"]), 2),
        (place.run(&["--json", "store", "get", &long]), 2),
        (place.run(&["--json", "store", "list", "--prefix", &long]), 1),
    ];
    for (ran, code) in runs {
        assert_eq!((ran.code, &ran.error()["code"]), (code, &json!("invalid_argument")), "{ran:?}");
    }
    node.stop();
}

#[test]
fn a_killed_node_leaves_nothing_in_the_way() {
    let place = Place::new();
    let node = place.start();
    place.run(&["store", "put", "k", "v"]).ok();
    node.kill();
    assert!(place.data().join("control.sock").exists(), "a killed node cannot tidy up");
    assert_eq!(place.run(&["store", "get", "k"]).ok(), "v\n");
    let node = place.start();
    assert_eq!(place.run(&["store", "get", "k"]).ok(), "v\n");
    assert_eq!(node.stop().code, 0);
}

#[test]
fn the_socket_is_its_owners_alone() {
    let place = Place::new();
    let node = place.start();
    let mode = std::fs::metadata(place.data().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(node);
}

#[test]
fn a_watch_sees_changes_as_they_come_and_ends_with_the_node() {
    let place = Place::new();
    let node = place.start();
    place.run(&["store", "put", "a/old", "before the watch"]).ok();
    let mut watch = place
        .command(&["store", "watch", "a/", "--json", "--from", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    assert_eq!((&first["schema"], &first["data"]["key"]), (&json!("softadastra.change/1"), &json!("a/old")));
    place.run(&["store", "put", "b", "elsewhere"]).ok();
    place.run(&["store", "put", "a/1", "one"]).ok();
    let change = next();
    assert_eq!((&change["data"]["key"], &change["data"]["value"]), (&json!("a/1"), &json!("one")));
    place.run(&["store", "remove", "a/1"]).ok();
    let change = next();
    assert_eq!((&change["data"]["removed"], &change["data"]["version"]), (&json!(true), &json!(2)));
    assert!(change["data"].get("value").is_none());

    let ended = node.stop();
    assert_eq!(ended.code, 0);
    assert!(!ended.stderr.contains("farewell_cut_short"), "an open watch must not hold up the end: {ended:?}");
    let done = watch.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("the node has stopped"));
}

#[test]
fn a_watch_without_a_node_says_that_nothing_can_change() {
    let place = Place::new();
    let ran = place.run(&["store", "watch", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("invalid_state")));
    assert!(ran.error()["message"].as_str().unwrap().contains("no node runs"), "{ran:?}");
}

/// One request as any HTTP client would send it; gives the head and the body.
fn http(place: &Place, request: &str) -> (String, String) {
    let mut socket = UnixStream::connect(place.data().join("control.sock")).unwrap();
    let (line, body) = request.split_once('\n').unwrap_or((request, ""));
    write!(
        socket,
        "{line} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn the_socket_speaks_plain_http_and_refuses_nonsense_by_name() {
    let place = Place::new();
    let node = place.start();
    let (head, body) = http(&place, "PUT /v1/store/value?key=a%20b\nvalue");
    assert_eq!(head, "HTTP/1.1 200 OK");
    assert!(body.starts_with("{\"schema\":\"softadastra.put/1\",\"data\":{\"key\":\"a b\""), "{body}");
    let (_, body) = http(&place, "GET /v1/store/value?key=a+b");
    assert!(body.contains("\"value\":\"value\""), "{body}");
    for (request, status, code) in [
        ("GET /v1/store/value?key=none", "404", "not_found"),
        ("GET /v1/store/value", "400", "invalid_argument"),
        ("GET /v1/store/list?prefxi=a", "400", "\\\"prefxi\\\""),
        ("GET /v1/store/list?limit=many", "400", "\\\"limit\\\""),
        ("POST /v1/store/batch\n{\"key\":\"x\",\"value\":\"1\"}\nnot a record\n", "400", "line 2: "),
        ("GET /v1/store/list?limit=0", "400", "\\\"limit\\\" is 0"),
        ("POST /v1/backup?dir=relative", "400", "absolute"),
        ("POST /v1/sync/tick?prune=maybe", "400", "\\\"prune\\\""),
        ("POST /v1/ticket?address=nowhere", "400", "HOST:PORT"),
        ("POST /v1/join\nno ticket", "400", "begins with sadticket"),
        ("POST /v1/peers/connect\na b", "400", "not a node id"),
        ("POST /v1/peers/connect\nnobody", "404", "nobody"),
        ("POST /v1/peers/trust\nno key", "400", "no public key"),
        ("POST /v1/peers/forget\nnobody", "404", "nobody"),
        ("GET /v1/conflicts/one", "400", "\\\"id\\\" is missing"),
        ("GET /v1/conflicts/one?id=7", "404", "no conflict 7"),
        ("POST /v1/conflicts/resolve?id=7&with=force", "400", "\\\"with\\\""),
        ("POST /v1/conflicts/resolve?id=7&with=delete\nvalue", "400", "a value is sent"),
        ("POST /v1/conflicts/resolve?id=7", "404", "no conflict 7"),
        ("GET /v1/nothing", "404", "no such route"),
        ("POST /v1/status", "405", "other methods"),
    ] {
        let (head, body) = http(&place, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
        assert!(body.starts_with("{\"schema\":\"softadastra.error/1\"") && body.contains(code), "{request}: {body}");
    }
    assert_eq!(place.run(&["store", "size"]).ok(), "1\n", "a refused batch leaves nothing behind");
    // Bytes that are no HTTP at all harm nobody.
    UnixStream::connect(place.data().join("control.sock")).unwrap().write_all(b"\xff\xff\xff\xff\r\n\r\n").unwrap();
    assert_eq!(place.run(&["store", "size"]).ok(), "1\n");
    assert_eq!(node.stop().code, 0);
}

#[test]
fn a_log_that_is_being_written_is_found_sound() {
    let place = Place::new();
    let node = place.start();
    let mut import = place.command(&["store", "import"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    let feed = std::thread::spawn(move || {
        let line = |n: u32| format!("{{\"key\":\"key {}\",\"value\":\"{n}{}\"}}\n", n % 50, "x".repeat(2000));
        (0..).find(|n| stdin.write_all(line(*n).as_bytes()).is_err())
    });
    let mut records = 0;
    while records < 8_000 {
        let ran = place.run(&["wal", "verify", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let log = ran.data("softadastra.wal/1");
        assert_eq!(log["damage"], json!([]));
        let next = log["next_lsn"].as_u64().unwrap();
        assert!(next >= records, "{next} after {records}");
        records = next;
    }
    import.kill().unwrap();
    import.wait().unwrap();
    feed.join().unwrap();
    assert_eq!(node.stop().code, 0);
}

#[test]
fn the_log_of_a_running_node_is_in_use_and_as_durable_as_the_node_says() {
    let place = Place::new();
    let node = place.start();
    for n in 0..3 {
        place.run(&["store", "put", "k", &n.to_string()]).ok();
        let log = place.run(&["wal", "verify", "--json"]).data("softadastra.wal/1");
        assert_eq!(log["in_use"], true);
        assert_eq!(log["durable_seen"].as_u64().unwrap() + 1, log["next_lsn"].as_u64().unwrap(), "{log}");
    }
    let text = place.run(&["wal", "verify"]).ok();
    assert!(text.contains("In use") && !text.contains("Closed cleanly"), "{text}");
    assert_eq!(node.stop().code, 0);
    let text = place.run(&["wal", "verify"]).ok();
    assert!(text.contains("Closed cleanly  yes") && !text.contains("In use"), "{text}");
    let log = place.run(&["wal", "verify", "--json"]).data("softadastra.wal/1");
    assert_eq!((&log["in_use"], &log["closed_cleanly"]), (&json!(false), &json!(true)));
}

#[test]
fn a_relative_path_means_the_callers_directory() {
    let (place, elsewhere) = (Place::new(), Place::empty());
    let node = place.start();
    let mut backup = place.command(&["backup", "copy"]);
    backup.current_dir(elsewhere.path());
    run(backup, b"").ok();
    assert!(elsewhere.path().join("copy").is_dir());
    drop(node);
}

#[test]
fn one_shot_commands_wait_a_moment_for_each_other() {
    let place = Place::new();
    let writers: Vec<_> = (0..6)
        .map(|n| {
            place
                .command(&["--set", "lock_wait=30s", "store", "put", &format!("k{n}"), "v"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    assert_eq!(place.run(&["store", "size"]).ok(), "6\n");
}

#[test]
fn a_starting_node_waits_for_a_command_to_end() {
    let place = Place::new();
    let mut import = place.command(&["store", "import", "-"]);
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while place.run(&["--set", "lock_wait=0s", "store", "size"]).code == 0 {}
    let mut node = place.command(&["node", "start", "--json"]);
    let mut node = node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(node.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("waiting up to 5 s")), "it did not wait");
    drop(import.stdin.take());
    assert!(import.wait().unwrap().success());
    assert!(log.any(|line| line.contains("event=\"ready\"")), "it did not start");
    rustix::process::kill_process(rustix::process::Pid::from_raw(node.id().cast_signed()).unwrap(), Signal::TERM)
        .unwrap();
    assert!(node.wait().unwrap().success());
}
