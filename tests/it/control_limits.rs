//! A node whose control socket is used without care: too many connections, connections kept for nothing, no file
//! descriptors left.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use crate::support::Place;

fn hold(place: &Place, count: usize) -> Vec<UnixStream> {
    (0..count)
        .map(|n| {
            let mut held = UnixStream::connect(place.data().join("control.sock")).unwrap();
            if n % 2 == 0 {
                // It may have had to give way already.
                drop(held.write_all(b"PUT /v1/store/value?key="));
            }
            held
        })
        .collect()
}

#[test]
fn hundreds_of_idle_connections_keep_no_command_out() {
    let place = Place::new();
    let node = place.start();
    let held = hold(&place, 300);
    place.run(&["store", "put", "k", "v"]).ok();
    assert_eq!(place.run(&["store", "get", "k"]).ok(), "v\n");
    // Half a request in each of them holds up nothing.
    let ended = node.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stderr.contains("farewell_cut_short"), "{ended:?}");
    drop(held);
}

#[test]
fn idle_connections_do_not_cut_off_a_command_that_pauses() {
    let place = Place::new();
    let node = place.start();
    let mut import = place.command(&["store", "import"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = import.stdin.take().unwrap();
    lines.write_all(b"{\"key\":\"a\",\"value\":\"1\"}\n").unwrap();
    while place.run(&["store", "size"]).ok() != "1\n" {}
    let held = hold(&place, 300);
    lines.write_all(b"{\"key\":\"b\",\"value\":\"2\"}\n").unwrap();
    drop(lines);
    assert!(import.wait().unwrap().success());
    assert_eq!(place.run(&["store", "size"]).ok(), "2\n");
    drop(held);
    assert_eq!(node.stop().code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_without_file_descriptors_takes_commands_again_as_soon_as_it_can() {
    let place = Place::new();
    let node = place.start();
    let before = node.descriptors().len();
    let held = hold(&place, 3);
    while node.descriptors().len() != before + 3 {}
    node.limit_descriptors(Some(0));
    // Every further connection needs the place of another one.
    for _ in 0..3 {
        assert_eq!(place.run(&["store", "size"]).ok(), "0\n");
    }
    drop(held);
    let ended = node.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("event=\"control_accept_failed\""), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn who_took_the_last_file_descriptor_keeps_it_while_nobody_else_comes() {
    let place = Place::new();
    let node = place.start();
    node.limit_descriptors(Some(1));
    let mut last = UnixStream::connect(place.data().join("control.sock")).unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let ended = last.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(ended, Err(ErrorKind::WouldBlock), "nobody needs its place");
    let ended = node.stop();
    assert!(!ended.stderr.contains("control_accept_failed"), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_open_its_next_segment_refuses_writes_until_it_can() {
    let place = Place::new();
    let node = place.start();
    let before = node.descriptors().len();
    let mut socket = UnixStream::connect(place.data().join("control.sock")).unwrap();
    while node.descriptors().len() != before + 1 {}
    node.limit_descriptors(Some(0));
    let mut put = |n: u32| {
        let value = "x".repeat(100_000);
        let len = value.len();
        write!(socket, "PUT /v1/store/value?key={n} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{value}")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            let mut piece = [0; 4096];
            let read = socket.read(&mut piece).unwrap();
            assert!(read > 0, "the node hung up");
            answer.extend_from_slice(&piece[..read]);
        }
        String::from_utf8(answer).unwrap()
    };
    let (kept, refused) = (0..).map(|n| (n, put(n))).find(|(_, answer)| !answer.contains("200 OK")).unwrap();
    assert!(
        kept > 3 && refused.contains("Too many open files") && refused.contains("\"local_state\":\"valid\""),
        "{refused}"
    );
    assert!(put(kept).contains("\"io_error\""), "and again");
    node.limit_descriptors(None);
    assert!(put(kept).contains("200 OK"));
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    // It says that all is well again only when that has lasted for a while.
    assert_eq!((status["state"].as_str(), status["keys"].as_u64()), (Some("no_room"), Some(u64::from(kept) + 1)));
    assert_eq!(node.stop().code, 0);
}
