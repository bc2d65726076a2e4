//! Discovery between hosts, over interfaces that are cut, renumbered and flooded.

use serde_json::Value;

use super::browser::{Browser, Listed};
use super::lab::Lab;
use super::{converge, founded, joined, nodes, quick, shows};
use crate::support::Place;

/// What a node knows of another one by discovery.
#[track_caller]
fn sees(place: &Place, other: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
    shows(place, &["discovery", "list"], "softadastra.discovered/1", &format!("{other} {what}"), |data| {
        data["nodes"].as_array().unwrap().iter().any(|node| node["node_id"] == other && wanted(node))
    });
}

fn first_address(node: &Value) -> &str {
    node["addresses"][0].as_str().unwrap_or_default()
}

#[test]
fn hosts_find_each_other_through_cuts_strangers_and_floods_and_their_data_converges() {
    let Some(lab) = Lab::of(&["a", "b", "c", "d"]) else { return };
    let (a, b, c, d) = (founded("a"), Place::of("b"), Place::of("c"), founded("d"));
    joined(&b, &a);
    joined(&c, &a);
    let options = [&["--listen", "0.0.0.0:4444", "--auto-connect"], &quick()[..]].concat();
    let start = |host, place: &Place| lab.start(host, place, &options);
    let _running = (start("a", &a), start("c", &c), start("d", &d));
    let of_b = start("b", &b);

    // Nobody was told where anybody is.
    converge(&[&a, &b, &c], "sale/1");
    sees(&a, "b", "is found where it can be reached", |node| {
        first_address(node) == "10.77.0.2:4444" && node["connected"] == true
    });
    for place in [&a, &b, &c] {
        let (text, all) = (place.run(&["discovery", "list"]).ok(), nodes(place));
        assert!(!text.contains("127.0.0.1") && !text.contains("::1]"), "loopback is told to nobody: {text}");
        assert!(all.iter().all(|node| node["node_id"] != "d"), "{all:?}");
    }
    // Another secret: heard, counted, and neither found nor dialled, on either side.
    shows(&d, &["discovery", "status"], "softadastra.discovery/1", "the others are counted", |data| {
        data["datagrams"]["dropped"]["unauthenticated"].as_u64() >= Some(3)
    });
    assert!(nodes(&d).is_empty());
    assert_eq!(d.run(&["peers", "--json"]).data("softadastra.peers/1")["peers"], Value::Array(Vec::new()));

    // Cut off, a host goes on by itself, and the others learn that it is lost; back again, all of it flows.
    lab.cut_off("c");
    sees(&a, "c", "is lost", |node| node["state"] == "expired");
    c.run(&["store", "put", "written/alone", "kept"]).ok();
    lab.plug_in("c");
    sees(&a, "c", "is back", |node| node["state"] == "available" && node["connected"] == true);
    converge(&[&c, &a, &b], "sale/2");
    assert_eq!(a.run(&["store", "get", "written/alone"]).ok(), "kept\n");

    // Another address is announced as soon as it is noticed.
    lab.ip("c", &["addr", "del", "10.77.0.3/24", "dev", "eth0"]);
    lab.ip("c", &["addr", "add", "10.77.0.33/24", "brd", "+", "dev", "eth0"]);
    sees(&a, "c", "has moved", |node| first_address(node) == "10.77.0.33:4444");

    // A flood of forgeries, to the group and to the host: local work goes on, and friends are still found.
    let mut forged = vec![7; 1200];
    forged[..7].copy_from_slice(b"SADDSC\x01");
    let flood = lab.flood("d", &["239.255.83.65:4444", "10.77.0.1:4444"], forged);
    shows(&a, &["discovery", "status"], "softadastra.discovery/1", "the flood is counted", |data| {
        data["datagrams"]["dropped"]["unauthenticated"].as_u64() >= Some(10_000)
    });
    of_b.kill();
    let _again = start("b", &b);
    sees(&a, "b", "is found again in the flood", |node| {
        node["last_heard_ms"].as_u64() < Some(1500) && node["connected"] == true
    });
    converge(&[&a, &b, &c], "sale/3");
    assert!(flood.end() > 10_000);
    let found = a.run(&["status", "--json"]).data("softadastra.status/1")["discovery"].clone();
    assert_eq!((&found["found"], &found["error"]), (&2.into(), &Value::Null), "{found}");
}

#[test]
fn hosts_find_each_other_by_ipv6_alone_and_by_broadcast_and_by_name_of_one() {
    let Some(lab) = Lab::of(&["a", "b"]) else { return };
    let ways: [(&str, &[&str]); 3] = [
        ("[::]:4444", &["--set", "discovery_interfaces=eth0"]),
        ("0.0.0.0:4444", &["--set", "discovery_targets=broadcast"]),
        ("0.0.0.0:4444", &["--set", "discovery_targets=10.77.0.1,10.77.0.2"]),
    ];
    for (index, (listen, way)) in ways.into_iter().enumerate() {
        for (number, host) in ["a", "b"].into_iter().enumerate() {
            let change = if index == 0 { "del" } else { "replace" };
            lab.ip(host, &["addr", change, &format!("10.77.0.{}/24", number + 1), "brd", "+", "dev", "eth0"]);
        }
        let (a, b) = (founded("a"), Place::of("b"));
        joined(&b, &a);
        let options = [&["--listen", listen, "--auto-connect"], way, &quick()[..]].concat();
        let _running = (lab.start("a", &a, &options), lab.start("b", &b, &options));
        converge(&[&a, &b], "sale/1");
        let expected = if index == 0 { "[fe80::" } else { "10.77.0.2:4444" };
        sees(&a, "b", &format!("is found by {way:?}"), |node| first_address(node).starts_with(expected));
    }
}

#[test]
fn a_host_without_a_network_says_so_and_finds_others_when_there_is_one() {
    let Some(lab) = Lab::of(&["a", "b"]) else { return };
    let (a, b) = (founded("a"), Place::of("b"));
    joined(&b, &a);
    let options = [&["--listen", "0.0.0.0:4444", "--set", "discovery_interfaces=eth0"], &quick()[..]].concat();
    lab.ip("a", &["link", "set", "dev", "eth0", "down"]);
    let _running = (lab.start("a", &a, &options), lab.start("b", &b, &options));
    shows(&a, &["status"], "softadastra.status/1", "there is no interface", |data| {
        data["discovery"]["error"]["code"] == "no_interface" && data["transport"]["running"] == true
    });
    assert!(a.run(&["status"]).ok().contains("[no_interface]"));
    a.run(&["store", "put", "k", "v"]).ok();
    lab.ip("a", &["link", "set", "dev", "eth0", "up"]);
    sees(&a, "b", "is found", |node| node["state"] == "available" && node["connected"] == false);
    shows(&a, &["status"], "softadastra.status/1", "all is well", |data| data["discovery"]["error"].is_null());
}

#[test]
fn a_browser_of_services_on_another_host_lists_a_node_where_it_can_be_reached() {
    let Some(lab) = Lab::of(&["till", "desk"]) else { return };
    let Some(browser) = Browser::on(&lab, "desk", "_softadastra._tcp") else { return };
    let (listed, silent) = (founded("listed"), founded("silent"));
    let _silent = lab.start("till", &silent, &["--listen", "0.0.0.0:4445"]);
    let node = lab.start("till", &listed, &["--listen", "0.0.0.0:4444", "--set", "discovery_mdns=true"]);
    let info = listed.run(&["node", "info", "--json"]).data("softadastra.node/1");
    let key = format!("\"key={}\"", info["public_key"].as_str().unwrap());
    // Nobody is listed unasked, and nobody where he takes no links.
    let only_at = |all: &[Listed], at: &str| {
        !all.is_empty() && all.iter().all(|one| one.name == "listed" && one.at == at && one.text.contains(&key))
    };
    browser.shows("the node is listed", |all| only_at(all, "10.77.0.1 4444"));

    // Another address is listed when it is noticed.
    lab.ip("till", &["addr", "del", "10.77.0.1/24", "dev", "eth0"]);
    lab.ip("till", &["addr", "add", "10.77.0.33/24", "brd", "+", "dev", "eth0"]);
    browser.shows("its new address is listed", |all| only_at(all, "10.77.0.33 4444"));

    assert_eq!(node.stop().code, 0);
    browser.shows("it is gone", <[Listed]>::is_empty);
}
