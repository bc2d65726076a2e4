//! Import and export: order, bytes, bad lines, speed told, ends by force.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::Place;

fn lines(range: std::ops::Range<u32>) -> String {
    range.fold(String::new(), |mut text, n| {
        writeln!(text, "{{\"key\":\"key {n:06}\",\"value\":\"value of {n}\"}}").unwrap();
        text
    })
}

#[test]
fn what_is_imported_is_exported_byte_for_byte_in_key_order() {
    let place = Place::new();
    let sorted = [
        "{\"key\":\"Ä\",\"value\":\"\"}\n",
        "{\"key\":\"a\",\"value\":\"line\\nbreak \\\"quoted\\\" \\u0000 😀\"}\n",
        "{\"key\":\"b\",\"value_base64\":\"/wD+\"}\n",
        "{\"key_base64\":\"/wA=\",\"value\":\"of a binary key\"}\n",
    ];
    // UTF-8 for Ä sorts behind ASCII: the order is that of bytes.
    let sorted = [sorted[1], sorted[2], sorted[0], sorted[3]].concat();
    let shuffled: Vec<_> = sorted.lines().rev().map(|line| format!("{line}\r\n\n")).collect();
    let file = place.file("records.ndjson", shuffled.concat());
    let ran = place.run(&["store", "import", file.to_str().unwrap(), "--json"]);
    let data = ran.data("softadastra.import/1");
    assert_eq!(
        (&data["records"], &data["created"], &data["bytes"]),
        (&json!(4), &json!(4), &json!(shuffled.concat().len()))
    );
    assert!(data["records_per_second"].as_u64().unwrap() > 0 && data["seconds"].as_f64().unwrap() > 0.0, "{data}");

    let exported = place.run(&["store", "export"]);
    assert_eq!(exported.out(), sorted);
    assert!(exported.stderr.starts_with("Exported 4 records in "), "{exported:?}");
    let copy = place.path().join("copy.ndjson");
    let ran = place.run(&["store", "export", copy.to_str().unwrap(), "--prefix", "b", "--json"]);
    assert_eq!(ran.data("softadastra.export/1")["records"], 1);
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "{\"key\":\"b\",\"value_base64\":\"/wD+\"}\n");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 3, "no draft is left behind");
}

#[test]
fn records_count_as_created_updated_or_unchanged_and_the_last_of_a_key_wins() {
    let place = Place::new();
    let text = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"a\",\"value\":\"2\"}\n{\"key\":\"a\",\"value\":\"2\"}\n";
    let data = place.run_with(&["store", "import", "-", "--json"], text.as_bytes()).data("softadastra.import/1");
    let counts = ["records", "created", "updated", "unchanged"].map(|name| data[name].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 1, 1]);
    assert_eq!(place.run(&["store", "get", "a"]).ok(), "2\n");
    let ran = place.run_with(&["store", "import"], b"{\"key\":\"b\",\"value\":\"1\"}");
    let out = ran.ok();
    assert!(out.starts_with("Imported 1 record in ") && out.contains(" records/s): 1 created"), "{out}");
}

#[test]
fn a_bad_line_is_refused_by_number_and_what_stands_before_it_is_kept() {
    let bad = [
        ("oops", "no JSON object"),
        ("{\"key\":\"\",\"value\":\"v\"}", "the key is empty"),
        ("{\"key\":\"k\",\"valeu\":\"v\"}", "unknown field `valeu`"),
        ("{\"key\":\"k\",\"value\":\"v", "EOF while parsing"),
    ];
    for (line, reason) in bad {
        let place = Place::new();
        let text = format!("{}\n{line}\n{}", lines(0..3000), lines(4000..5000));
        let ran = place.run_with(&["store", "import", "--json"], text.as_bytes());
        assert_eq!(ran.code, 1);
        // The empty line before it counts as a line.
        let message = ran.error()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("line 3002 of stdin: ") && message.contains(reason), "{message}");
        assert!(message.ends_with("; the 3000 records before it are kept"), "{message}");
        assert_eq!(ran.data("softadastra.import/1")["records"], 3000);
        assert_eq!(place.run(&["store", "size"]).ok(), "3000\n");
    }
}

#[test]
fn a_value_the_node_refuses_is_named_by_its_line() {
    let place = Place::new();
    let text =
        format!("{}{{\"key\":\"k\",\"value\":\"{}\"}}\n{}", lines(0..100), "v".repeat((1 << 20) + 1), lines(100..200));
    let ran = place.run_with(&["store", "import"], text.as_bytes());
    assert_eq!(ran.code, 1);
    assert!(ran.out().starts_with("Imported 100 records"), "{ran:?}");
    assert!(ran.stderr.contains("line 101 of stdin: ") && ran.stderr.contains("1048577"), "{ran:?}");
    assert_eq!(place.run(&["store", "size"]).ok(), "100\n");
}

#[test]
fn a_missing_file_is_named_before_anything_is_touched() {
    let place = Place::new();
    let ran = place.run(&["store", "import", "/no/such/file", "--json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("not_found")));
    assert!(ran.stdout.is_empty());
}

/// Follows the log of an import until this many records are said to be durable; gives what was said last.
fn durable_records(log: impl std::io::Read, at_least: u64) -> u64 {
    for line in BufReader::new(log).lines() {
        let line = line.unwrap();
        let document: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if document["event"] == "imported" {
            let records = document["records"].as_u64().unwrap();
            if records >= at_least {
                return records;
            }
        }
    }
    panic!("the import ended before {at_least} records");
}

#[test]
fn an_import_that_is_killed_keeps_everything_it_said_was_durable() {
    let place = Place::new();
    let mut child = place
        .command(&["store", "import", "-v", "--set", "log_format=json"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It never ends by itself: more always comes, until it is killed.
    let feed =
        std::thread::spawn(move || (0..).find(|n| stdin.write_all(lines(n * 100..n * 100 + 100).as_bytes()).is_err()));
    let said = durable_records(child.stderr.take().unwrap(), 5000);
    child.kill().unwrap();
    child.wait().unwrap();
    feed.join().unwrap();
    assert!(place.run(&["store", "size"]).ok().trim().parse::<u64>().unwrap() >= said);
    let exported = place.run(&["store", "export"]).ok();
    let said = u32::try_from(said).unwrap();
    assert!(exported.starts_with(&lines(0..said)), "every record of the first {said} lines is there");
}

#[test]
fn an_interrupted_import_counts_what_is_stored_and_closes_cleanly() {
    let place = Place::new();
    let mut child = place
        .command(&["store", "import", "-v", "--set", "log_format=json", "--json"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines(0..100).as_bytes()).unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    durable_records(&mut log, 100);
    // More may come, as far as it knows: only the signal ends it.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &document["data"]["records"]), (Some(1), &json!(100)));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted"), "{rest}");
    let log = place.run(&["wal", "inspect", "--json"]).data("softadastra.wal/1");
    assert_eq!((&log["closed_cleanly"], &log["content"]["keys"]), (&json!(true), &json!(100)));
}

#[test]
fn an_import_whose_node_is_killed_tells_what_is_certain() {
    let place = Place::new();
    let node = place.start();
    let mut child = place
        .command(&["store", "import", "-v", "--set", "log_format=json", "--json"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed =
        std::thread::spawn(move || (0..).find(|n| stdin.write_all(lines(n * 100..n * 100 + 100).as_bytes()).is_err()));
    durable_records(child.stderr.take().unwrap(), 5000);
    node.kill();
    let done = child.wait_with_output().unwrap();
    feed.join().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let said = u32::try_from(document["data"]["records"].as_u64().unwrap()).unwrap();
    assert!(said >= 5000);
    assert!(place.run(&["store", "export"]).ok().starts_with(&lines(0..said)));
}

#[test]
fn a_slow_source_is_stored_line_by_line() {
    let place = Place::new();
    let node = place.start();
    let mut import = place.command(&["store", "import"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    // The first line is visible before the second is written: nothing waits for a batch to fill.
    for n in 0..3 {
        stdin.write_all(lines(n..n + 1).as_bytes()).unwrap();
        let ran = place.run(&["store", "watch", "--from", "0", "--count", &(n + 1).to_string()]);
        assert!(ran.ok().contains(&format!("key {n:06}")));
    }
    drop(stdin);
    assert!(import.wait().unwrap().success());
    assert_eq!(node.stop().code, 0);
}

/// The first line of a request without a body.
fn request(socket: &mut BufReader<UnixStream>) -> String {
    let mut lines = socket.lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    first
}

#[test]
fn an_interrupted_export_leaves_no_draft_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        let (file, draft) = (place.path().join("all"), place.path().join("all.partial"));
        // A node that has nothing to say when it is asked for the first page.
        let node = UnixListener::bind(place.data().join("control.sock")).unwrap();
        let export =
            place.command(&["store", "export", file.to_str().unwrap()]).stderr(Stdio::piped()).spawn().unwrap();
        let mut socket = BufReader::new(node.accept().unwrap().0);
        let first = request(&mut socket);
        assert!(first.contains("/v1/store/size"), "{first}");
        let size = r#"{"schema":"softadastra.size/1","data":{"keys":7,"tombstones":0,"live_bytes":7}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{size}", size.len());
        socket.get_mut().write_all(answer.as_bytes()).unwrap();
        let second = request(&mut socket);
        assert!(second.contains("/v1/store/list") && draft.exists(), "{second}");
        kill_process(Pid::from_raw(export.id().cast_signed()).unwrap(), signal).unwrap();
        let done = export.wait_with_output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(1) && told.contains("nothing was exported"), "{told}");
        assert!(!draft.exists() && !file.exists());
    }
}
