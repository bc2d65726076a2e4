//! Replays every input that the fuzzers have kept.

use std::path::Path;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no inputs", folder.display());
    for file in files {
        // Printed only on failure: names the input to look at.
        println!("{}", file.display());
        body(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn frame() {
    replay("frame", sim::fuzzing::frame);
}

#[test]
fn log_directory() {
    replay("log_directory", sim::fuzzing::log_directory);
}

#[test]
fn damaged_log() {
    replay("damaged_log", sim::fuzzing::damaged_log);
}

#[test]
fn ndjson() {
    replay("ndjson", softadastra::ndjson::fuzz);
}

#[test]
fn link_handshake() {
    replay("link_handshake", softadastra_core::transport::fuzz::handshake);
}

#[test]
fn link_script() {
    replay("link_script", softadastra_core::transport::fuzz::script);
}

#[test]
fn link_decoded() {
    replay("link_decoded", softadastra_core::transport::fuzz::decoded);
}

#[test]
fn ticket() {
    replay("ticket", softadastra_core::transport::fuzz::ticket);
}

#[test]
fn sync_messages() {
    replay("sync_messages", softadastra_core::sync::fuzz::messages);
}

#[test]
fn hello() {
    replay("hello", softadastra_core::sync::fuzz::hello);
}

#[test]
fn sync_session() {
    replay("sync_session", sim::fuzzing::sync_session);
}

#[test]
fn discovery_datagram() {
    replay("discovery_datagram", softadastra_core::discovery::fuzz::datagram);
}

#[test]
fn discovery_script() {
    replay("discovery_script", softadastra_core::discovery::fuzz::script);
}
