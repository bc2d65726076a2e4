//! What every command prints with `--json`, held against `docs/json-schema.json`.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use jsonschema::Validator;
use serde_json::{Value, json};
use softadastra::control::answer::SCHEMAS;

use crate::network::{holds, shows};
use crate::support::{Place, Ran};

fn published() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json-schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Readers must pass over fields that they do not know; here one that is not described is a mistake.
fn forbid_what_is_not_described(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("type") == Some(&json!("object")) && object.contains_key("properties") {
                object.insert("additionalProperties".into(), json!(false));
            }
            object.values_mut().for_each(forbid_what_is_not_described);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_what_is_not_described),
        _ => {}
    }
}

/// Judges lines, and remembers which schemas it has seen.
struct Judge {
    validator: Validator,
    seen: BTreeSet<String>,
}

impl Judge {
    fn new() -> Self {
        let mut schema = published();
        forbid_what_is_not_described(&mut schema["$defs"]);
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        Self { validator, seen: BTreeSet::new() }
    }

    #[track_caller]
    fn line(&mut self, line: &str) -> Value {
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let faults: Vec<String> =
            self.validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?} in {document:#}");
        self.seen.insert(document["schema"].as_str().unwrap().to_owned());
        document
    }

    /// Runs a command, and judges every line of its answer, or of its error.
    #[track_caller]
    fn run(&mut self, place: &Place, args: &[&str]) -> Value {
        let ran = place.run(&[&["--json"], args].concat());
        self.ran(&ran, 0)
    }

    #[track_caller]
    fn fails(&mut self, place: &Place, code: i32, args: &[&str]) {
        let ran = place.run(&[&["--json"], args].concat());
        self.ran(&ran, code);
    }

    #[track_caller]
    fn ran(&mut self, ran: &Ran, code: i32) -> Value {
        assert_eq!(ran.code, code, "{ran:?}");
        let told = if code == 0 { ran.out() } else { ran.stderr.clone() };
        told.lines().map(|line| self.line(line)).last().unwrap_or_else(|| panic!("nothing is told: {ran:?}"))
    }

    /// Asks over the control socket.
    #[track_caller]
    fn ask(&mut self, place: &Place, request: &str, body: &str) {
        let mut socket = UnixStream::connect(place.data().join("control.sock")).unwrap();
        let head = format!("Host: node\r\nConnection: close\r\nContent-Length: {}", body.len());
        write!(socket, "{request} HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        self.line(answer.split_once("\r\n\r\n").unwrap().1.trim_end());
    }
}

fn one_node_by_itself(judge: &mut Judge) {
    let place = Place::empty();
    judge.fails(&place, 1, &["status"]);
    judge.fails(&place, 2, &["store", "put", "k"]);
    judge.run(&place, &["init", "--node-id", "till"]);
    judge.run(&place, &["version"]);
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    judge.run(&place, &["man", &path("man")]);
    for args in [&["config", "init"][..], &["config", "show"], &["config", "check"]] {
        judge.run(&place, args);
    }
    judge.run(&place, &["store", "put", "tea", "2.40"]);
    judge.run(
        &place,
        &["store", "put", "--key-base64", "/wA=", "--file", &place.file("bytes", b"\xff\0").display().to_string()],
    );
    judge.run(&place, &["store", "get", "tea"]);
    judge.run(&place, &["store", "get", "--key-base64", "/wA="]);
    judge.fails(&place, 1, &["store", "get", "coffee"]);
    judge.run(&place, &["store", "contains", "tea"]);
    judge.run(&place, &["store", "list"]);
    judge.run(&place, &["store", "export", &path("records")]);
    judge.run(&place, &["store", "import", &path("records")]);
    judge.run(&place, &["store", "remove", "tea"]);
    judge.run(&place, &["store", "size"]);
    judge.run(&place, &["store", "watch", "--from", "0", "--count", "2"]);
    judge.run(&place, &["snapshot"]);
    judge.run(&place, &["backup", &path("backup")]);
    judge.run(&place, &["backup", &path("backup"), "--verify"]);
    judge.run(&Place::with_data_in(&place.path().join("other")), &["restore", &path("backup")]);
    for args in [&["status"][..], &["node", "info"], &["doctor"], &["wal", "inspect"], &["wal", "verify"], &["peers"]] {
        judge.run(&place, args);
    }
    let rotten = Place::new();
    for value in ["a value that is to rot", "another"] {
        rotten.run(&["store", "put", "k", value]).ok();
    }
    rotten.rot(b"is to rot");
    judge.fails(&rotten, 1, &["status"]);
    judge.run(&rotten, &["wal", "inspect"]);
    judge.run(&rotten, &["wal", "repair"]);
    judge.fails(&place, 1, &["top"]);
    judge.run(&place, &["demo"]);
}

fn two_nodes(judge: &mut Judge) {
    let (a, b) = (Place::of("till"), Place::of("desk"));
    let free = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let port = format!("discovery_port={free}");
    let finding = ["--discovery", "--set", "discovery_interfaces=lo", "--set", &port, "--set", "discovery_interval=1s"];
    let policy = ["--set", "conflict_policy=keep_both", "--listen", "127.0.0.1:0"];
    let ticket = judge.run(&a, &["ticket", "--address", "127.0.0.1:9"])["data"]["ticket"].as_str().unwrap().to_owned();
    judge.run(&b, &["join", &ticket]);
    let _till = a.start_with(&[&policy[..], &finding, &["--http", "127.0.0.1:0"]].concat());
    let desk = b.start_with(&[&policy[..], &finding].concat());
    judge.run(&a, &["console"]);
    judge.run(&a, &["connect", desk.address()]);
    a.run(&["store", "put", "tea", "2.40"]).ok();
    holds(&b, "tea", "2.40");
    for node in [&a, &b] {
        for args in [
            &["status"][..],
            &["peers"],
            &["sync", "status"],
            &["sync", "outbox"],
            &["top", "--count", "1"],
            &["doctor"],
        ] {
            judge.run(node, args);
        }
    }
    shows(&a, &["discovery", "list"], "softadastra.discovered/1", "the desk is found", |data| {
        data["nodes"] != json!([])
    });
    for args in [&["discovery", "list"][..], &["discovery", "status"], &["discovery", "stop"], &["discovery", "start"]]
    {
        judge.run(&a, args);
    }
    judge.run(&a, &["disconnect", "desk"]);
    a.run(&["store", "put", "tea", "2.60"]).ok();
    b.run(&["store", "remove", "tea"]).ok();
    judge.run(&a, &["connect", "desk"]);
    shows(&a, &["conflicts", "list"], "softadastra.conflicts/1", "they meet", |data| data["total"] == 1);
    judge.run(&a, &["conflicts", "list"]);
    judge.run(&a, &["conflicts", "show", "1"]);
    judge.run(&a, &["conflicts", "resolve", "1"]);
    judge.run(&a, &["sync", "tick"]);
    judge.run(&a, &["sync", "retry"]);
    judge.ask(&a, "GET /v1/store/list", "");
    judge.ask(&a, "POST /v1/store/batch", "{\"key\":\"k\",\"value\":\"v\"}\n");
    judge.ask(&a, "GET /v1/nothing", "");
    let key = b.run(&["node", "info", "--json"]).data("softadastra.node/1")["public_key"].as_str().unwrap().to_owned();
    judge.run(&a, &["peers", "trust", &key]);
    judge.run(&a, &["peers", "forget", &key]);
    judge.run(&a, &["status", "--watch", "--count", "1"]);
}

#[test]
fn every_answer_and_every_error_is_as_described() {
    let mut judge = Judge::new();
    one_node_by_itself(&mut judge);
    two_nodes(&mut judge);
    let all: BTreeSet<String> =
        SCHEMAS.iter().chain(&["error/1"]).map(|schema| format!("softadastra.{schema}")).collect();
    let schema = published();
    let described = schema["properties"]["schema"]["enum"].as_array().unwrap();
    let described: BTreeSet<String> = described.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(described, all, "described, and there");
    assert_eq!(judge.seen, all, "seen here, and there");
}

#[test]
fn what_is_not_as_described_is_found() {
    let judge = Judge::new();
    let put = json!({"key": "k", "version": 1, "outcome": "created", "lsn": 2});
    let document = |change: &dyn Fn(&mut Value)| {
        let mut document = json!({"schema": "softadastra.put/1", "data": put});
        change(&mut document);
        judge.validator.is_valid(&document)
    };
    assert!(document(&|_| {}));
    assert!(!document(&|document| document["data"]["outcome"] = json!("lost")));
    assert!(!document(&|document| document["data"]["key_base64"] = json!("aw==")));
    assert!(!document(&|document| document["data"]["unheard_of"] = json!(1)));
    assert!(!document(&|document| drop(document["data"].as_object_mut().unwrap().remove("lsn"))));
    assert!(!document(&|document| drop(document.as_object_mut().unwrap().remove("data"))));
    assert!(!document(&|document| document["schema"] = json!("softadastra.put/2")));
    let open = jsonschema::draft202012::new(&published()).unwrap();
    let later =
        json!({"schema": "softadastra.size/1", "data": {"keys": 0, "tombstones": 0, "live_bytes": 0, "added": 1}});
    assert!(open.is_valid(&later), "a later version may say more");
}
