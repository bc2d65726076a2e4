//! The commands of discovery, and nodes that find each other: on one machine, and on hosts of their own.

#[cfg(target_os = "linux")]
mod browser;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod lab;
mod mdns;

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::network::{holds, shows};
use crate::support::Place;

/// Announces often, so that a test need not wait.
pub(crate) fn quick() -> Vec<&'static str> {
    let times = ["discovery_interval=1s", "discovery_stale_after=2s", "discovery_expire_after=4s"];
    times.into_iter().fold(vec!["--discovery"], |all, time| [all, vec!["--set", time]].concat())
}

/// A node that has founded a network.
pub(crate) fn founded(name: &str) -> Place {
    let place = Place::of(name);
    place.run(&["ticket"]).ok();
    place
}

/// A node enters the network of another. Its ticket says nowhere to dial.
pub(crate) fn joined(place: &Place, network: &Place) {
    let ticket = network.run(&["ticket", "--json"]).data("softadastra.ticket/1");
    assert_eq!(ticket["addresses"], json!([]));
    place.run_with(&["join", "-"], ticket["ticket"].as_str().unwrap().as_bytes()).ok();
}

/// What is written on each of them is soon on all.
#[track_caller]
fn converge(places: &[&Place], key: &str) {
    for (number, place) in places.iter().enumerate() {
        place.run(&["store", "put", &format!("{key}/{number}"), "sold"]).ok();
    }
    for place in places {
        for number in 0..places.len() {
            holds(place, &format!("{key}/{number}"), "sold");
        }
    }
}

fn nodes(place: &Place) -> Vec<Value> {
    let found = place.run(&["discovery", "list", "--json"]).data("softadastra.discovered/1");
    found["nodes"].as_array().unwrap().clone()
}

/// A UDP port that nobody has, for discovery on the loopback interface.
pub(crate) fn port() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    format!("discovery_port={}", socket.local_addr().unwrap().port())
}

pub(crate) fn on_loopback(port: &str) -> Vec<&str> {
    vec!["--listen", "127.0.0.1:0", "--set", "discovery_interfaces=lo", "--set", port]
}

#[test]
fn nodes_of_one_machine_are_found_listed_dialled_and_lost() {
    let (a, b) = (founded("till"), Place::of("desk"));
    joined(&b, &a);
    let port = port();
    let options = [on_loopback(&port), quick()].concat();
    let _till = a.start_with(&options);
    let desk = b.start_with(&options);
    let found = shows(&a, &["discovery", "list"], "softadastra.discovered/1", "desk is found", |data| {
        data["nodes"][0]["node_id"] == "desk" && data["nodes"][0]["state"] == "available"
    });
    let node = &found["nodes"][0];
    assert_eq!((&node["addresses"][0], &node["connected"]), (&json!(desk.address()), &json!(false)));
    assert_eq!(node["public_key"], b.run(&["node", "info", "--json"]).data("softadastra.node/1")["public_key"]);
    let table = a.run(&["discovery", "list"]).ok();
    assert!(table.starts_with("NODE") && table.contains(&format!("-     {}", desk.address())), "{table}");

    let state = a.run(&["discovery", "status", "--json"]).data("softadastra.discovery/1");
    assert_eq!((&state["mode"], &state["found"], &state["error"]), (&json!("announce"), &json!(1), &Value::Null));
    assert_eq!((&state["interfaces"][0]["name"], &state["auto_connect"]), (&json!("lo"), &json!(false)));
    assert!(a.run(&["status"]).ok().contains("Discovery       on, 1 node found\n"), "{}", a.run(&["status"]).ok());

    // Found is not connected: that takes an operator, or the word of one.
    assert_eq!(a.run(&["status", "--json"]).data("softadastra.status/1")["connected"], 0);
    a.run(&["discovery", "stop"]).ok();
    let started = a.run(&["discovery", "start", "--auto-connect", "--json"]).data("softadastra.discovery/1");
    assert_eq!((&started["running"], &started["auto_connect"]), (&json!(true), &json!(true)));
    converge(&[&a, &b], "sale");

    let stopped = b.run(&["discovery", "stop", "--json"]).data("softadastra.discovery/1");
    assert_eq!((&stopped["running"], &stopped["mode"]), (&json!(false), &Value::Null));
    assert_eq!(nodes(&a)[0]["state"], "expired", "a goodbye needs no waiting");
    b.run(&["store", "put", "later", "sold"]).ok();
    holds(&a, "later", "sold");
    let again = a.run(&["discovery", "start", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("invalid_state")));
}

#[test]
fn a_port_that_is_taken_is_named_and_had_later() {
    let (a, port) = (founded("till"), port());
    let number = port.split_once('=').unwrap().1;
    let keeper = UdpSocket::bind(format!("0.0.0.0:{number}")).unwrap();
    let till = a.start_with(&[on_loopback(&port), quick()].concat());
    let status = shows(&a, &["status"], "softadastra.status/1", "the port is taken", |data| {
        data["discovery"]["error"]["code"] == "port_in_use"
    });
    assert_eq!(
        (&status["state"], &status["transport"]["running"]),
        (&json!("ready"), &json!(true)),
        "nothing else suffers"
    );
    let text = a.run(&["status"]).ok();
    assert!(text.contains(&format!("hindered: cannot take UDP port {number}")), "{text}");
    assert!(till.log().contains("discovery_failed"), "{}", till.log());
    drop(keeper);
    shows(&a, &["status"], "softadastra.status/1", "the port is had", |data| data["discovery"]["error"].is_null());
}

#[test]
fn mistakes_are_told_before_anything_is_created() {
    let place = Place::empty();
    let cases: &[(&[&str], &str)] = &[
        (&["--discovery=loud"], "not one of off, listen, announce"),
        (&["--discovery", "--auto-connect"], "auto_connect would dial whoever happens to be found"),
        (&["--set", "discovery_port=0"], "not a port from 1 to 65535"),
        (&["--set", "discovery_targets=till-3"], "is no target of discovery"),
    ];
    for (options, told) in cases {
        let ran = place.run(&[&["node", "start"], *options].concat());
        assert!(ran.code == 2 && ran.stderr.contains(told), "{ran:?}");
        assert!(!place.data().exists());
    }
}

#[test]
fn without_a_node_there_is_nobody_to_find() {
    let place = Place::new();
    assert!(place.run(&["discovery", "status"]).ok().starts_with("Discovery  off\n"));
    assert!(nodes(&place).is_empty());
    for command in ["start", "stop"] {
        let ran = place.run(&["discovery", command, "--json"]);
        assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("invalid_state")));
    }
}
