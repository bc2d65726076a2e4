//! What `softadastra doctor` finds, and what it says to do.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::network::shows;
use crate::support::{Place, Ran};

/// The check of this name.
#[track_caller]
fn check(ran: &Ran, name: &str) -> Value {
    let data = ran.data("softadastra.doctor/1");
    let checks = data["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name} in {data:#}")).clone()
}

#[track_caller]
fn fails(ran: &Ran, name: &str, next: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let check = check(ran, name);
    assert!(check["state"] == "failed" && check["next"].as_str().unwrap().contains(next), "{check}");
}

const DOCTOR: &[&str] = &["doctor", "--json"];

#[test]
fn where_nothing_is_wrong_it_says_so_and_changes_nothing() {
    let place = Place::new();
    let names = || std::fs::read_dir(place.data()).unwrap().count();
    let before = names();
    let ran = place.run(&["doctor"]);
    assert!(ran.code == 0 && ran.out().ends_with("\nNothing is wrong.\n"), "{ran:?}");
    assert_eq!(names(), before);

    let node = place.start_with(&["--listen", "127.0.0.1:0"]);
    let ran = place.run(DOCTOR);
    assert_eq!((ran.code, check(&ran, "log")["state"].as_str()), (0, Some("ok")), "{ran:?}");
    assert!(check(&ran, "node")["found"].as_str().unwrap().contains(&format!("process {}", node.pid())));
    assert!(check(&ran, "links")["found"].as_str().unwrap().contains(node.address()));
}

#[test]
fn a_directory_that_is_not_there_is_told_with_what_creates_it() {
    let place = Place::empty();
    fails(&place.run(DOCTOR), "directory", "softadastra init --data-dir");
    assert!(!place.data().exists());
    std::fs::create_dir(place.data()).unwrap();
    fails(&place.run(DOCTOR), "directory", "softadastra init --data-dir");
}

#[test]
fn a_setting_that_is_wrong_in_itself_is_exit_2() {
    let place = Place::new();
    assert_eq!(place.run(&["doctor", "--set", "max_value_len=0"]).code, 2);
    fails(&place.run(&["doctor", "--json", "--set", "node_id=till-2"]), "identity", "correct the setting");
    let foreign = place.run(&["doctor", "--json", "--set", "http=0.0.0.0:0"]);
    fails(&foreign, "settings", "127.0.0.1");
}

#[test]
fn ports_that_are_taken_are_told_before_a_node_is_started() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let setting = format!("listen={}", taken.local_addr().unwrap());
    fails(&place.run(&["doctor", "--json", "--set", &setting]), "links", "choose another port");
    drop(taken);
    assert_eq!(place.run(&["doctor", "--set", &setting]).code, 0);
}

#[test]
fn what_is_served_is_what_the_node_serves() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let node = place.start_with(&["--http", &address]);
    // It is given by a flag of the node alone, and somebody answers there.
    for doctor in [DOCTOR, &["doctor", "--json", "--set", &format!("http={address}")]] {
        fails(&place.run(doctor), "http", "it is tried again by itself");
    }
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    assert!(status["http"]["state"] == "failed" && status["http"]["address"] == address, "{status}");
    let console = place.run(&["console"]).stderr;
    assert!(console.contains(&address) && console.contains("in use"), "{console}");
    drop(taken);
    crate::sync::until("it is served", || place.run(&["doctor"]).code == 0);
    let elsewhere = place.run(&["doctor", "--json", "--set", "http=127.0.0.1:1"]);
    assert_eq!(check(&elsewhere, "http")["found"], format!("served at {address}"));
    assert!(place.run(&["status"]).ok().contains(&format!("served at {address}")));
    node.stop();
}

#[test]
fn more_copies_than_there_are_nodes_are_told() {
    let place = Place::of("till");
    let shop = Place::of("shop");
    let _shop = shop.start_with(&["--listen", "127.0.0.1:0"]);
    place.run(&["join", shop.run(&["ticket"]).ok().trim()]).ok();
    let mut command = place.command(&["--json", "--set", "required_acks=2", "node", "start"]);
    command.args(["--listen", "127.0.0.1:0"]);
    let _till = crate::support::Node::of(command);
    place.run(&["store", "put", "k", "v"]).ok();
    let delivery = |data: &Value| {
        let checks = data["checks"].as_array().unwrap();
        let delivery = checks.iter().find(|check| check["name"] == "delivery").unwrap();
        delivery["state"] == "warning" && delivery["next"] == "add a node, or lower required_acks"
    };
    shows(&place, &["doctor"], "softadastra.doctor/1", "the second is missed", delivery);
}

#[test]
fn an_identity_that_others_read_and_one_that_is_gone_are_told() {
    let place = Place::new();
    let book = place.data().join("network.json");
    std::fs::set_permissions(&book, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = place.run(DOCTOR);
    fails(&ran, "permissions", "chmod 600");
    fails(&ran, "identity", "chmod 600");
    std::fs::remove_file(&book).unwrap();
    let ran = place.run(DOCTOR);
    assert_eq!((ran.code, check(&ran, "identity")["state"].as_str()), (0, Some("warning")), "{ran:?}");
    assert!(!book.exists(), "looking makes no new one");
}

#[test]
fn damage_is_told_with_both_ways_on() {
    let place = Place::new();
    for value in ["a value that is to rot", "another"] {
        place.run(&["store", "put", "k", value]).ok();
    }
    place.rot(b"is to rot");
    let ran = place.run(DOCTOR);
    fails(&ran, "log", "restore a backup, or salvage what is left with `softadastra wal repair`");
}

#[test]
fn peers_that_are_not_reached_are_named() {
    let place = Place::of("till");
    let shop = Place::of("shop");
    let node = shop.start_with(&["--listen", "127.0.0.1:0"]);
    place.run(&["join", shop.run(&["ticket"]).ok().trim()]).ok();
    let ran = place.run(DOCTOR);
    assert_eq!(check(&ran, "peers")["found"], "1 remembered; no node runs here to reach them");
    let _till = place.start();
    shows(&place, &["doctor"], "softadastra.doctor/1", "the shop is reached", |data| data["failed"] == 0);
    node.stop();
    let found = |data: &Value| {
        let checks = data["checks"].as_array().unwrap();
        let peers = checks.iter().find(|check| check["name"] == "peers").unwrap();
        peers["state"] == "failed" && peers["found"].as_str().unwrap().starts_with("0 of 1 connected; shop is not")
    };
    crate::sync::until("the shop is missed", || found(&place.run(DOCTOR).data("softadastra.doctor/1")));
}
