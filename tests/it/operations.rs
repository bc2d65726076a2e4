//! What an operator meets: log lines, and the documents that speak of them.

use std::collections::BTreeMap;

use serde_json::Value;
use softadastra::events::kinds::ALL;

use crate::support::Place;

mod documents;

pub(crate) use self::documents::table;

/// The lines of a log for programs.
fn events(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[track_caller]
fn event<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    lines.iter().find(|line| line["event"] == name).unwrap_or_else(|| panic!("{name} is not among {lines:#?}"))
}

/// Every line with a name keeps what the table of events promises.
#[track_caller]
fn keep_their_promises(lines: &[Value]) {
    let kinds: BTreeMap<_, _> = ALL.iter().map(|kind| (kind.name, kind)).collect();
    for line in lines.iter().filter(|line| !line["event"].is_null()) {
        let name = line["event"].as_str().unwrap();
        let kind = kinds.get(name).unwrap_or_else(|| panic!("{name} is no known event"));
        for field in kind.fields.iter().chain(&["timestamp", "level", "message", "local_state", "retry"]) {
            assert!(!line[field].is_null(), "{name} lacks {field}: {line}");
        }
    }
}

#[test]
fn a_run_is_told_from_its_start_to_its_end() {
    let place = Place::new();
    let node = place.start_with(&["--log-format", "json", "--listen", "127.0.0.1:0"]);
    place.run(&["sync", "tick"]).ok();
    let backup = place.path().join("backup");
    place.run(&["backup", backup.to_str().unwrap()]).ok();
    let lines = events(&node.stop().stderr);
    keep_their_promises(&lines);
    for name in
        ["recovery", "runtime_started", "transport_started", "ready", "sync_tick", "backup_done", "runtime_stopped"]
    {
        let line = event(&lines, name);
        assert_eq!(line["local_state"], "valid", "{line}");
        assert_eq!((&line["node"], &line["retry"]), (&"till-1".into(), &"not_needed".into()), "{line}");
    }
}

#[test]
fn an_opening_that_fails_is_told_with_what_became_of_the_data() {
    let place = Place::new();
    let node = place.start();
    let second = place.run(&["--log-format", "json", "node", "start"]);
    assert_eq!(second.code, 1);
    let told = second.stderr.lines().find(|line| line.contains("\"open_failed\"")).unwrap();
    let lines = events(told);
    keep_their_promises(&lines);
    assert_eq!((&lines[0]["code"], &lines[0]["local_state"]), (&"locked".into(), &"valid".into()));
    assert_eq!(lines[0]["dir"], place.data().to_str().unwrap());
    node.stop();

    place.run(&["store", "put", "k", "a value that is to rot"]).ok();
    place.run(&["store", "put", "k", "another"]).ok();
    place.rot(b"is to rot");
    let damaged = place.run(&["--log-format", "json", "node", "start"]);
    let told = damaged.stderr.lines().find(|line| line.contains("\"open_failed\"")).unwrap();
    assert_eq!(events(told)[0]["local_state"], "damaged", "{told}");
}

#[test]
fn no_secret_stands_in_any_line_however_much_is_logged() {
    let (a, b) = (Place::of("a"), Place::of("b"));
    let all = ["--log-format", "json", "--log-level", "trace", "--listen", "127.0.0.1:0"];
    let (shop, till) = (a.start_with(&all), b.start_with(&all));
    let ticket = a.run(&["--json", "ticket"]).data("softadastra.ticket/1")["ticket"].as_str().unwrap().to_owned();
    b.run_with(&["join", "-"], ticket.as_bytes()).ok();
    b.run(&["store", "put", "k", "v"]).ok();
    crate::sync::until("it is delivered", || a.run(&["store", "contains", "k"]).code == 0);
    let mut secrets = vec![ticket];
    for place in [&a, &b] {
        let book: Value = serde_json::from_slice(&std::fs::read(place.data().join("network.json")).unwrap()).unwrap();
        for name in ["identity", "network_secret"] {
            secrets.push(book[name].as_str().unwrap_or_else(|| panic!("{name} is there as text")).to_owned());
        }
    }
    for log in [shop.stop().stderr, till.stop().stderr] {
        keep_their_promises(&events(&log));
        for secret in &secrets {
            assert!(!log.contains(secret.as_str()));
        }
    }
}
