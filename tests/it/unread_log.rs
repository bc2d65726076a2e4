//! A node whose standard error nobody reads any more: a pager that was stopped, a log collector that hangs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, pipe};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Place;

/// As much as a pipe takes.
const PIPE: usize = 64 << 10;

#[test]
fn a_node_whose_log_is_not_read_works_on_and_stops_when_told_to() {
    let place = Place::new();
    let (mut reader, mut writer) = pipe().unwrap();
    writer.write_all(&[b'\n'; PIPE]).unwrap();
    let mut command = place.command(&["--json", "--log-format", "json", "node", "start"]);
    let mut node = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    // It holds the end that is written to as well.
    drop(command);
    let stdout = BufReader::new(node.stdout.take().unwrap());
    let (tell, told) = channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    let patience = Duration::from_secs(60);
    let ready = told.recv_timeout(patience);
    if ready.is_ok() {
        place.run(&["store", "put", "k", "v"]).ok();
        place.run(&["snapshot"]).ok();
        kill_process(Pid::from_raw(node.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    }
    // It says nothing more, so this is its end.
    let ended = told.recv_timeout(patience);
    drop(node.kill());
    assert!(ready.is_ok() && ended == Err(RecvTimeoutError::Disconnected));
    assert_eq!(node.wait().unwrap().code(), Some(0));
    let mut log = String::new();
    reader.read_to_string(&mut log).unwrap();
    assert_eq!(log.len(), PIPE, "nobody has read, and nothing was squeezed in");
    let recovery = place.run(&["--json", "node", "info"]).data("softadastra.node/1")["recovery"].clone();
    assert_eq!((&recovery["clean"], &recovery["snapshot_entries"]), (&true.into(), &1.into()), "{recovery}");
}
