//! A node whose control socket is used without care: too many connections, connections kept for nothing, no file
//! descriptors left.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

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
    let open = || {
        let names =
            std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_str().unwrap().parse().unwrap()).collect::<BTreeSet<u64>>()
    };
    let before = open().len();
    let held = hold(&place, 3);
    while open().len() != before + 3 {}
    let lowest_free = (0..).find(|fd| !open().contains(fd));
    let pid = Pid::from_raw(node.pid().cast_signed());
    let limit = Rlimit { current: lowest_free, ..getrlimit(Resource::Nofile) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    // Every further connection needs the place of another one.
    for _ in 0..3 {
        assert_eq!(place.run(&["store", "size"]).ok(), "0\n");
    }
    drop(held);
    let ended = node.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("event=\"control_accept_failed\""), "{ended:?}");
}
