//! Links that an operator does not want (disconnected, forgotten, taken over by another key), a `network.json` that
//! cannot be used, and peers that are configured while no links can be opened.

use serde_json::{Value, json};

use crate::network::{connected, holds, pair, shows};
use crate::support::{Node, Place};

fn peers(place: &Place, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    shows(place, &["peers"], "softadastra.peers/1", what, wanted)
}

/// Starts a node again where it was.
fn again(place: &Place, node: Node) -> Node {
    let address = node.info()["listening"][0].as_str().map(str::to_owned);
    assert_eq!(node.stop().code, 0);
    match address {
        Some(address) => place.start_with(&["--listen", &address]),
        None => place.start(),
    }
}

/// Whichever of the two is disconnected there, the one that dials or the one that is dialled: it stays so over restarts
/// of both, and is undone by name.
#[test]
fn who_is_disconnected_stays_so_after_a_restart_until_connected() {
    for desk_refuses in [true, false] {
        let (till, first, desk, second) = pair(&[]);
        let (here, there, name) = if desk_refuses { (&desk, &till, "till") } else { (&till, &desk, "desk") };
        here.run(&["disconnect", name]).ok();
        let first = again(&till, first);
        assert_eq!(second.stop().code, 0);
        // Settings, which are the same at every start, do not take back what was done by hand.
        let second = desk.start_with(&["--peer", first.address()]);
        let listed = peers(here, "the peer is held", |data| data["peers"][0]["held"] == true);
        assert_eq!((&listed["peers"][0]["node_id"], &listed["peers"][0]["wanted"]), (&json!(name), &json!(false)));
        assert!(here.run(&["peers"]).ok().contains("disconnected"));
        there.run(&["sync", "retry"]).ok();
        if !desk_refuses {
            let told = peers(there, "it is told so", |data| data["peers"][0]["last_error"]["code"] == "disconnected");
            let message = told["peers"][0]["last_error"]["message"].as_str().unwrap();
            assert!(message.contains("softadastra connect"), "{message}");
        }
        here.run(&["store", "put", "k", "v"]).ok();
        assert_eq!(there.run(&["store", "get", "k"]).code, 1);
        here.run(&["connect", name]).ok();
        there.run(&["sync", "retry"]).ok();
        holds(there, "k", "v");
        drop((first, second));
    }
}

#[test]
fn who_is_forgotten_is_told_so_and_stays_out_until_trusted() {
    let (till, first, desk, second) = pair(&[]);
    let key = connected(&till)["public_key"].as_str().unwrap().to_owned();
    let forgotten = till.run(&["peers", "forget", "desk"]).ok();
    assert!(forgotten.contains("until `softadastra peers trust`"), "{forgotten}");
    let told = |what: &str| {
        desk.run(&["sync", "retry"]).ok();
        let told = peers(&desk, what, |data| data["peers"][0]["last_error"]["code"] == "forgotten");
        let message = told["peers"][0]["last_error"]["message"].as_str().unwrap();
        assert!(message.contains("softadastra peers trust"), "{message}");
    };
    told("it is told");
    // Nor does a ticket help, or a restart.
    let first = again(&till, first);
    let ticket = till.run(&["ticket"]).ok();
    desk.run(&["join", ticket.trim()]).ok();
    told("it is told after a restart");
    let refused = peers(&till, "the refusal is shown", |data| data["refused"][0]["code"] == "forgotten");
    assert_eq!((&refused["forgotten"], &refused["peers"]), (&json!([key]), &json!([])));
    let text = till.run(&["peers"]).ok();
    assert!(text.contains(&format!("Forgotten  {key}")) && text.contains("was forgotten by hand"), "{text}");
    assert!(first.log().contains("\"forgotten\"") || first.log().contains("reason=forgotten"), "{}", first.log());

    till.run(&["peers", "trust", &key]).ok();
    desk.run(&["sync", "retry"]).ok();
    till.run(&["store", "put", "k", "v"]).ok();
    holds(&desk, "k", "v");
    till.run(&["peers", "forget", &key]).ok();
    till.run(&["connect", &key]).ok();
    desk.run(&["sync", "retry"]).ok();
    connected(&till);
    drop(second);
}

#[test]
fn a_name_that_two_have_is_nobody_s_to_forget() {
    let (till, first, desk, second) = pair(&[]);
    let old = connected(&till)["public_key"].as_str().unwrap().to_owned();
    let ticket = till.run(&["ticket"]).ok();
    // Set up anew under the old name, while the old one still runs.
    let anew = Place::of("desk");
    anew.run(&["join", ticket.trim()]).ok();
    let third = anew.start();
    let new = anew.run(&["node", "info", "--json"]).data("softadastra.node/1")["public_key"].clone();
    let new = new.as_str().unwrap();
    peers(&anew, "the name is taken", |data| data["peers"][0]["last_error"]["code"] == "peer_key_changed");
    till.run(&["peers", "trust", new]).ok();
    anew.run(&["sync", "retry"]).ok();
    connected(&anew);
    let both = peers(&till, "the old link has ended", |data| {
        let state = |key: &str| {
            data["peers"].as_array().unwrap().iter().find(|peer| peer["public_key"] == key).map(|peer| &peer["state"])
        };
        state(new) == Some(&json!("connected")) && state(&old) != Some(&json!("connected"))
    });
    assert_eq!(both["peers"].as_array().unwrap().len(), 2, "{both}");
    let text = till.run(&["peers"]).ok();
    assert!(
        text.contains(&format!("desk {}…", &new[..10])) && text.contains(&format!("desk {}…", &old[..10])),
        "{text}"
    );
    let refused = |what: &str| {
        let ran = till.run(&["peers", "forget", "desk"]);
        assert!(ran.code == 1 && ran.stderr.contains("more than one peer is known as desk"), "{what}: {ran:?}");
    };
    refused("both are known as peers");
    connected(&anew);
    // After a restart the old one is a member only.
    drop(second);
    let first = again(&till, first);
    anew.run(&["sync", "retry"]).ok();
    peers(&till, "the new one is back", |data| data["peers"][0]["state"] == "connected");
    refused("one is known by its history alone");
    till.run(&["peers", "forget", new]).ok();
    drop((first, third, desk));
}

#[test]
fn a_newer_network_file_keeps_nobody_from_working_and_is_left_alone() {
    let place = Place::new();
    let path = place.data().join("network.json");
    let newer = "{\"schema\": \"softadastra.network/2\", \"keys\": []}";
    std::fs::write(&path, newer).unwrap();
    let put = place.run(&["store", "put", "k", "v"]);
    assert_eq!((put.code, &put.stderr[..]), (0, ""));
    let node = place.start_with(&["--listen", "127.0.0.1:0"]);
    assert_eq!(place.run(&["store", "get", "k"]).ok(), "v\n");
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    assert!(status["transport"]["error"].as_str().unwrap().contains("softadastra.network/2"), "{status}");
    let joined = place.run(&["ticket", "--json"]);
    assert_eq!((joined.code, &joined.error()["code"]), (1, &json!("format_too_new")), "{joined:?}");
    let ended = node.stop();
    assert_eq!((ended.code, ended.stderr.matches("network_book_unusable").count()), (0, 1), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn configured_peers_are_shown_while_no_links_can_be_opened() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let node = place.start_with(&["--listen", &address, "--peer", "127.0.0.1:1"]);
    let listed = peers(&place, "the links are in trouble", |data| data["transport"]["running"] == false);
    assert_eq!(
        (&listed["peers"][0]["state"], &listed["peers"][0]["addresses"]),
        (&json!("configured"), &json!(["127.0.0.1:1"]))
    );
    drop(taken);
    let listed = peers(&place, "nobody is there", |data| data["peers"][0]["last_error"]["code"] == "not_reached");
    let message = listed["peers"][0]["last_error"]["message"].as_str().unwrap();
    assert!(message.starts_with("not reached: 127.0.0.1:1: "), "{message}");
    assert_eq!(node.stop().code, 0);
}
