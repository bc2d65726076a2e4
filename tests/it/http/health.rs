//! When a node says that it is healthy, and when that it is ready.

use std::net::{TcpListener, TcpStream};

use super::Site;
use crate::support::{Node, Place};
use crate::sync::until;

/// A site whose node may not be open yet.
fn site_at(address: &str) -> Site {
    Site { address: address.to_owned(), token: "0".repeat(64) }
}

/// An address at which nobody listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_node_that_is_opening_is_healthy_and_not_ready() {
    let place = Place::new();
    let holder = place.start();
    let address = free_address();
    let command = place.command(&["--json", "--set", "lock_wait=60s", "node", "start", "--http", &address]);
    let starting = std::thread::spawn(move || Node::of(command));
    until("it listens", || TcpStream::connect(&address).is_ok());
    let site = site_at(&address);
    assert_eq!(site.get("/readyz"), (503, "opening\n".to_owned()));
    assert_eq!(site.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(site.get("/metrics").0, 503);
    let (status, _, body) = site.with_token("GET /v1/console");
    assert!(status == 503 && body.contains("the node is opening"), "{body}");
    assert_eq!(site.get("/").0, 200, "the page holds nothing of the node");
    assert_eq!(site.ask("GET /readyz", &["Host: evil.example"]).0, 421);
    holder.stop();
    let node = starting.join().unwrap();
    until("it is ready", || site.get("/readyz") == (200, "ready\n".to_owned()));
    assert_eq!(site.with_token("GET /v1/console").0, 401, "now there is a token");
    let log = node.stop().stderr;
    assert_eq!(log.matches("event=\"http_started\"").count(), 1, "{log}");
}

#[test]
fn a_port_that_another_node_gives_back_late_is_had_all_the_same() {
    let place = Place::new();
    let address = free_address();
    let holder = place.start_with(&["--http", &address]);
    let command = place.command(&["--json", "--set", "lock_wait=60s", "node", "start", "--http", &address]);
    let starting = std::thread::spawn(move || Node::of(command));
    until("it waits", || holder.log().contains("http_started"));
    holder.stop();
    let node = starting.join().unwrap();
    until("it is ready", || TcpStream::connect(&address).is_ok() && site_at(&address).get("/readyz").0 == 200);
    node.stop();
}

#[test]
fn a_port_without_a_token_is_given_back() {
    let place = Place::new();
    let address = free_address();
    std::fs::write(place.data().join("http.token"), "none").unwrap();
    let node = place.start_with(&["--http", &address]);
    until("it is given back", || TcpStream::connect(&address).is_err());
    let log = node.stop().stderr;
    assert!(log.contains("event=\"http_failed\"") && log.contains("cannot be used"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_whose_log_has_failed_is_healthy_and_not_ready() {
    let (place, node, site) = super::node();
    node.limit_files(Some(200 << 10));
    let value = "v".repeat(16 << 10);
    let refused = (0..64).map(|n| place.run(&["store", "put", &format!("k{n}"), &value])).find(|ran| ran.code != 0);
    refused.expect("the limit is met");
    // It stays so until it is opened again, whatever the disk may say by then.
    node.limit_files(None);
    assert_eq!(site.get("/readyz"), (503, "degraded\n".to_owned()));
    assert_eq!(site.get("/healthz"), (200, "ok\n".to_owned()));
    let metrics = super::scraped(&site);
    assert_eq!(metrics.value("softadastra_state{state=\"degraded\"}"), 1.0);
    assert_eq!(metrics.value("softadastra_state{state=\"ready\"}"), 0.0);
    assert!(metrics.value("softadastra_writes_failed_total") > 0.0);
    node.stop();
    let node = place.start_with(&["--http", "127.0.0.1:0"]);
    assert_eq!(Site::of(&place).get("/readyz").0, 200);
    node.stop();
}
