//! Commands about links, peers, delivery and conflicts, with nodes that talk to each other over loopback.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Node, Place};

/// How long anything between two nodes on one machine may take.
const SOON: Duration = Duration::from_secs(30);

/// Asks again until the answer is as wanted. Each question is a process of its own, so there is no need to pause.
#[track_caller]
fn until<T>(what: &str, mut ask: impl FnMut() -> Result<T, Value>) -> T {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(found) => return found,
            Err(seen) => assert!(began.elapsed() < SOON, "waited in vain until {what}: {seen}"),
        }
    }
}

/// Waits until the answer to a command is as wanted.
#[track_caller]
pub(crate) fn shows(place: &Place, args: &[&str], schema: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let args = [args, &["--json"]].concat();
    until(what, || {
        let data = place.run(&args).data(schema);
        if wanted(&data) { Ok(data) } else { Err(data) }
    })
}

/// Waits until a key has this value.
#[track_caller]
pub(crate) fn holds(place: &Place, key: &str, value: &str) {
    until(&format!("{key} is {value}"), || {
        let ran = place.run(&["store", "get", key]);
        if ran.out() == format!("{value}\n") { Ok(()) } else { Err(json!(ran.out())) }
    });
}

#[track_caller]
pub(crate) fn connected(place: &Place) -> Value {
    let peers = shows(place, &["peers"], "softadastra.peers/1", "a peer is connected", |data| {
        data["peers"][0]["state"] == "connected" && data["peers"][0]["sync"]["phase"] == "open"
    });
    peers["peers"][0].clone()
}

/// Everything accepted here is held by another node.
#[track_caller]
fn delivered(place: &Place) -> Value {
    shows(place, &["status"], "softadastra.status/1", "everything is delivered", |data| {
        data["outbox"] == 0 && data["delivery"]["acknowledged"] == data["delivery"]["accepted"]
    })
}

#[track_caller]
fn same_digest(a: &Place, b: &Place) {
    until("the digests are equal", || {
        let [a, b] =
            [a, b].map(|place| place.run(&["status", "--json"]).data("softadastra.status/1")["digest"].clone());
        if a == b { Ok(()) } else { Err(json!([a, b])) }
    });
}

/// Two nodes, the second of which has joined the first by its ticket before it ran.
pub(crate) fn pair(settings: &[&str]) -> (Place, Node, Place, Node) {
    let (till, desk) = (Place::of("till"), Place::of("desk"));
    assert!(till.run(&["ticket"]).ok().starts_with("sadticket"), "the first one founds a network");
    let first = till.start_with(&[&["--listen", "127.0.0.1:0"], settings].concat());
    let ticket = till.run(&["ticket", "--json"]).data("softadastra.ticket/1");
    assert_eq!((&ticket["addresses"][0], &ticket["secret"]), (&json!(first.address()), &json!(true)));
    let joined = desk.run_with(&["join", "-", "--json"], ticket["ticket"].as_str().unwrap().as_bytes());
    let joined = joined.data("softadastra.join/1");
    assert_eq!((&joined["public_key"], &joined["dialling"]), (&ticket["public_key"], &json!(false)));
    let second = desk.start_with(settings);
    connected(&till);
    connected(&desk);
    (till, first, desk, second)
}

#[test]
fn two_nodes_join_by_a_ticket_and_every_table_shows_it() {
    let (till, first, desk, second) = pair(&[]);
    till.run(&["store", "put", "from/till", "1"]).ok();
    desk.run(&["store", "put", "from/desk", "2"]).ok();
    holds(&desk, "from/till", "1");
    holds(&till, "from/desk", "2");
    let status = delivered(&till);
    assert_eq!(
        (&status["delivery"]["accepted"], &status["received"], &status["connected"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(status["transport"], json!({"running": true, "listening": [first.address()], "trust": "network"}));
    delivered(&desk);
    same_digest(&till, &desk);

    let peer = connected(&desk);
    assert_eq!((&peer["node_id"], &peer["addresses"][0]), (&json!("till"), &json!(first.address())));
    assert_eq!((&peer["sync"]["holds"], &peer["sync"]["lag"]), (&json!(1), &json!(0)));
    let table = desk.run(&["peers"]).ok();
    let row: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[2]), ("till", first.address(), "connected"), "{table}");
    assert!(row.contains(&"1/1"), "{table}");

    let text = till.run(&["status"]).ok();
    for line in ["Accepted here   1 own operation", "Delivered       1 of 1", "Peers           1 connected"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let sync = till.run(&["sync", "status", "--json"]).data("softadastra.sync/1");
    assert_eq!((&sync["members"][0]["node_id"], &sync["members"][0]["holds"]), (&json!("desk"), &json!(1)));
    assert_eq!((sync["vector"].as_array().unwrap().len(), &sync["halted"]), (2, &Value::Null));
    let outbox = till.run(&["sync", "outbox", "--json"]).data("softadastra.outbox/1");
    assert_eq!(outbox["ranges"], json!([{"state": "acknowledged", "first": 1, "last": 1}]));
    assert_eq!(outbox["holders"][0]["node_id"], "desk");
    assert_eq!(till.run(&["sync", "tick"]).ok(), "Nothing is ready to be sent.\n");
    assert_eq!(
        till.run(&["sync", "tick", "--prune"]).ok(),
        "Nothing is ready to be sent. Bookkeeping of 1 operation given up.\n"
    );
    assert_eq!(till.run(&["sync", "retry", "--json"]).data("softadastra.retry/1"), json!({"retried": 0}));
    assert_eq!(first.stop().code, 0);
    assert_eq!(second.stop().code, 0);
}

#[test]
fn a_conflict_is_listed_shown_and_resolved_on_both_sides() {
    let (till, _first, desk, _second) = pair(&[]);
    let answer = desk.run(&["disconnect", "till", "--json"]).data("softadastra.disconnect/1");
    assert_eq!(answer, json!({"peer": "till"}));
    shows(&desk, &["peers"], "softadastra.peers/1", "the link is down", |data| {
        data["peers"][0]["state"] != "connected"
    });
    assert!(desk.run(&["peers"]).ok().contains("disconnected"));
    till.run(&["store", "put", "price", "10"]).ok();
    desk.run(&["store", "put", "price", "12"]).ok();
    desk.run(&["connect", "till"]).ok();
    connected(&desk);
    same_digest(&till, &desk);
    for place in [&till, &desk] {
        let list = shows(place, &["conflicts", "list"], "softadastra.conflicts/1", "the conflict is known", |data| {
            data["total"] == 1
        });
        let conflict = &list["conflicts"][0];
        assert_eq!((&conflict["key"], &conflict["outcome"]), (&json!("price"), &json!("merged")));
        // The later write wins; of two in one millisecond, the greater id.
        let sides = [&conflict["winner"], &conflict["loser"]].map(|side| side["value"].as_str().unwrap().to_owned());
        assert!(sides.contains(&"10".to_owned()) && sides.contains(&"12".to_owned()), "{conflict}");
        assert_eq!(place.run(&["store", "get", "price"]).ok().trim(), sides[0]);
        let one = place.run(&["conflicts", "show", "1", "--json"]).data("softadastra.conflict/1");
        assert_eq!(&one, conflict);
        let text = place.run(&["conflicts", "show", "1"]).ok();
        assert!(text.contains("written by") && text.contains("till") && text.contains("desk"), "{text}");
        assert!(place.run(&["conflicts", "list"]).ok().starts_with("ID  KEY    WHEN"));
    }
    let resolved = till.run(&["conflicts", "resolve", "1", "--value", "11", "--json"]);
    assert_eq!(resolved.data("softadastra.resolve/1")["key"], "price");
    holds(&desk, "price", "11");
    let again = till.run(&["conflicts", "resolve", "1", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("invalid_state")), "{again:?}");
    let unknown = till.run(&["conflicts", "resolve", "2", "--delete", "--json"]);
    assert_eq!((unknown.code, &unknown.error()["code"]), (1, &json!("not_found")));
    same_digest(&till, &desk);
}

#[test]
fn a_conflict_kept_open_waits_for_a_decision() {
    let keep = ["--set", "conflict_policy=keep_both"];
    let (till, _first, desk, _second) = pair(&keep);
    desk.run(&["disconnect", "till"]).ok();
    till.run(&["store", "put", "k", "t"]).ok();
    desk.run(&["store", "put", "k", "d"]).ok();
    desk.run(&["connect", "till"]).ok();
    let status = shows(&desk, &["status"], "softadastra.status/1", "it is open", |data| data["open_conflicts"] == 1);
    assert_eq!(status["conflicts"], 1);
    assert!(desk.run(&["status"]).ok().contains("1 recorded, 1 waits for a decision"));
    desk.run(&["conflicts", "resolve", "1", "--delete"]).ok();
    until("the key is gone there", || {
        if till.run(&["store", "contains", "k"]).code == 1 { Ok(()) } else { Err(Value::Null) }
    });
    shows(&desk, &["status"], "softadastra.status/1", "none is open", |data| data["open_conflicts"] == 0);
}

#[test]
fn delivery_by_hand_ends_in_its_sentences() {
    let (till, first, desk, second) = pair(&["--set", "auto_tick=false"]);
    assert_eq!(till.run(&["sync", "tick"]).ok(), "Nothing is ready to be sent.\n");
    till.run(&["store", "put", "k", "1"]).ok();
    let outbox = till.run(&["sync", "outbox", "--json"]).data("softadastra.outbox/1");
    assert_eq!(outbox["ranges"], json!([{"state": "queued", "first": 1, "last": 1}]));
    assert_eq!(desk.run(&["store", "contains", "k"]).code, 1);
    let told = till.run(&["sync", "tick", "--json"]).data("softadastra.tick/1");
    assert_eq!(
        told,
        json!({
            "outcome": "delivery_attempted", "retried": 0, "pruned": 0, "batch": 1, "sent": 1, "connected": 1
        })
    );
    holds(&desk, "k", "1");
    delivered(&till);
    assert_eq!(second.stop().code, 0);
    shows(&till, &["status"], "softadastra.status/1", "the peer is gone", |data| data["connected"] == 0);
    till.run(&["store", "put", "k", "2"]).ok();
    assert_eq!(till.run(&["sync", "tick"]).ok(), "No peer is connected: 1 operation waits for one.\n");
    assert_eq!(first.stop().code, 0);
    assert_eq!(till.run(&["sync", "tick"]).ok(), "No peer is connected: 1 operation waits for one.\n");
}

#[test]
fn without_a_node_what_needs_links_says_so_and_the_rest_works() {
    let (till, desk) = (Place::of("till"), Place::of("desk"));
    for args in [["connect", "127.0.0.1:4444"], ["disconnect", "desk"]] {
        let ran = till.run(&args);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("no node runs") && ran.stderr.contains("softadastra node start"), "{ran:?}");
        let error = till.run(&[&args[..], &["--json"]].concat()).error();
        assert_eq!(error["code"], "invalid_state");
    }
    assert!(till.run(&["peers"]).ok().contains("None are remembered; peers that dial in"));

    let bare = till.run(&["ticket"]);
    assert!(bare.stderr.contains("nowhere to dial"), "{bare:?}");
    let ticket = till.run(&["ticket", "--address", "127.0.0.1:4444", "--address", "till.example:4444"]);
    assert_eq!((ticket.code, &ticket.stderr[..]), (0, ""));
    let ticket = ticket.ok();
    let joined = desk.run(&["join", ticket.trim()]).ok();
    assert!(joined.contains("127.0.0.1:4444, till.example:4444, as soon as a node runs here"), "{joined}");
    desk.run(&["join", ticket.trim()]).ok();
    let peers = desk.run(&["peers", "--json"]).data("softadastra.peers/1");
    assert_eq!(peers["peers"].as_array().unwrap().len(), 1, "joining twice makes one peer");
    let peer = &peers["peers"][0];
    assert_eq!(
        (&peer["state"], &peer["addresses"]),
        (&json!("remembered"), &json!(["127.0.0.1:4444", "till.example:4444"]))
    );
    assert_eq!(peers["transport"], json!({"running": false, "listening": []}));

    let key = peer["public_key"].as_str().unwrap();
    assert_eq!(desk.run(&["peers", "trust", key, "--json"]).data("softadastra.trust/1")["new"], false);
    let forgotten = desk.run(&["peers", "forget", key, "--json"]).data("softadastra.forget/1");
    assert_eq!(forgotten, json!({"public_keys": [key], "replica_ids": []}));
    assert!(desk.run(&["peers"]).ok().contains("None are remembered"));
    assert_eq!(desk.run(&["peers", "trust", key, "--json"]).data("softadastra.trust/1")["new"], true);
    for name in [&"a".repeat(32)[..], "nobody"] {
        let ran = desk.run(&["peers", "forget", name, "--json"]);
        assert_eq!((ran.code, &ran.error()["code"]), (1, &json!("not_found")), "{ran:?}");
    }
    let own = till.run(&["join", ticket.trim(), "--json"]);
    assert_eq!((own.code, &own.error()["code"]), (1, &json!("invalid_state")));
}

#[test]
fn a_node_that_is_forgotten_counts_no_longer() {
    let (till, _first, desk, second) = pair(&[]);
    till.run(&["store", "put", "k", "v"]).ok();
    holds(&desk, "k", "v");
    delivered(&till);
    assert_eq!(second.stop().code, 0);
    let forgotten = till.run(&["peers", "forget", "desk", "--json"]).data("softadastra.forget/1");
    assert_eq!(forgotten["public_keys"].as_array().unwrap().len(), 1, "{forgotten}");
    assert_eq!(forgotten["replica_ids"].as_array().unwrap().len(), 1, "{forgotten}");
    let sync = till.run(&["sync", "status", "--json"]).data("softadastra.sync/1");
    assert!(sync["members"].as_array().unwrap().iter().all(|member| member["forgotten"] == true), "{sync}");
    let again = till.run(&["peers", "forget", "desk", "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("not_found")), "{again:?}");
}

#[test]
fn a_running_node_joins_and_forgets_who_is_linked() {
    let (till, desk) = (Place::of("till"), Place::of("desk"));
    till.run(&["ticket"]).ok();
    let (_first, _second) = (till.start_with(&["--listen", "127.0.0.1:0"]), desk.start());
    let ticket = till.run(&["ticket"]).ok();
    let joined = desk.run(&["join", ticket.trim(), "--json"]).data("softadastra.join/1");
    assert_eq!(joined["dialling"], true);
    let key = connected(&till)["public_key"].as_str().unwrap().to_owned();
    let own = desk.run(&["node", "info", "--json"]).data("softadastra.node/1")["public_key"].clone();
    assert_eq!(own, key);
    assert!(desk.run(&["node", "info"]).ok().contains(&key));

    let forgotten = till.run(&["peers", "forget", &key, "--json"]).data("softadastra.forget/1");
    assert_eq!(forgotten, json!({"public_keys": [key], "replica_ids": []}));
    shows(&desk, &["peers"], "softadastra.peers/1", "the link is down", |data| {
        data["peers"][0]["state"] != "connected"
    });
    till.run(&["store", "put", "k", "v"]).ok();
    let status = till.run(&["status", "--json"]).data("softadastra.status/1");
    assert_eq!((&status["connected"], &status["outbox"]), (&json!(0), &json!(1)));
    // Whoever is wanted again is connected by hand.
    till.run(&["connect", &key]).ok();
    desk.run(&["sync", "retry"]).ok();
    holds(&desk, "k", "v");
}

#[test]
fn a_new_secret_keeps_out_who_does_not_join_again() {
    let (till, first, desk, _second) = pair(&[]);
    let ticket = till.run(&["ticket", "--new-secret"]).ok();
    let peers = shows(&desk, &["peers"], "softadastra.peers/1", "the old secret is refused", |data| {
        data["peers"][0]["last_error"]["code"] == "wrong_secret"
    });
    assert_eq!(peers["peers"][0]["state"], "faulted");
    till.run(&["store", "put", "k", "v"]).ok();
    let refused = desk.run(&["join", ticket.trim(), "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (1, &json!("invalid_state")), "{refused:?}");
    assert!(refused.error()["next"].as_str().unwrap().contains("softadastra join --leave"), "{refused:?}");
    desk.run(&["join", "--leave", ticket.trim()]).ok();
    holds(&desk, "k", "v");
    connected(&desk);
    assert_eq!(first.stop().code, 0);
}

#[test]
fn mistakes_are_exit_2_and_no_secret_is_repeated() {
    let place = Place::new();
    let ticket = place.run(&["ticket", "--address", "127.0.0.1:4444"]).ok();
    let mistyped = format!("{}x", ticket.trim());
    let cases: &[(&[&str], &str)] = &[
        (&["join", &mistyped], "incomplete or mistyped"),
        (&["join", "hello"], "begins with sadticket"),
        (&["node", "start", "--peer", &mistyped], "incomplete or mistyped"),
        (&["node", "start", "--listen", "nonsense"], "\"nonsense\" is not HOST:PORT"),
        (&["node", "start", "--listen", "127.0.0.1:99999"], "is not HOST:PORT"),
        (&["conflicts", "show", "first"], "invalid value 'first'"),
        (&["conflicts", "resolve", "1", "--value", "v", "--delete"], "cannot be used with"),
        (&["ticket", "--address", "nowhere"], "\"nowhere\": an address is HOST:PORT"),
        (&["ticket", "--address", "0.0.0.0:1"], "nobody can dial 0.0.0.0:1"),
        (&["ticket", "--address", "[::]:1"], "nobody can dial [::]:1"),
        (&["connect", "a b"], "not a node id"),
        (&["connect", &mistyped], "incomplete or mistyped"),
        (&["disconnect", "till:"], "HOST:PORT"),
        (&["peers", "trust"], "<KEY>"),
        (&["peers", "trust", "no key"], "is no public key"),
        (&["peers", "forget", "a b"], "a b"),
        (&["sync"], "Usage"),
    ];
    for (args, what) in cases {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(what) && ran.stdout.is_empty(), "{what}: {ran:?}");
        assert!(!ran.stderr.contains(&ticket[20..60]), "{ran:?}");
    }
    assert_eq!(place.run_with(&["join", "-"], mistyped.as_bytes()).code, 2);
    assert_eq!(place.run_with(&["join", "-"], b"\xff\xfe").code, 2);
    let many: Vec<String> = (1..=17).map(|port| format!("--address=127.0.0.1:{port}")).collect();
    let many: Vec<&str> = std::iter::once("ticket").chain(many.iter().map(String::as_str)).collect();
    let ran = place.run(&many);
    assert!(ran.code == 2 && ran.stderr.contains("17 addresses"), "{ran:?}");
    assert_eq!(place.run(&many[..17]).code, 0);
}

#[test]
fn a_ticket_on_a_command_line_is_told_to_nobody() {
    let (place, other) = (Place::new(), Place::of("till-2"));
    let ticket = other.run(&["ticket", "--address", "127.0.0.1:1"]).ok();
    let ticket = ticket.trim();
    let node = place.start_with(&["--peer", ticket, "--set", &format!("peers={ticket}")]);
    let lock = std::fs::read_to_string(place.data().join("LOCK")).unwrap();
    assert!(lock.contains("--peer sadticket… --set peers=sadticket…"), "{lock}");
    let second = place.run(&["--json", "node", "start"]);
    assert!(second.code == 1 && second.stderr.contains("node start --peer sadticket…"), "{second:?}");
    let mut told = node.stop().stderr + &second.stderr;
    let capitals = ticket.to_uppercase();
    for args in [
        &["jion", ticket][..],
        &["--json", "jion", ticket],
        &["peers", "--json", ticket],
        &["--set", ticket, "peers"],
        &["peers", "forget", ticket],
        &["peers", "trust", &capitals],
        &["ticket", "--address", ticket],
        &["store", "get", "k", "--if", ticket],
    ] {
        let ran = place.run(args);
        assert!(ran.code > 0, "{ran:?}");
        told += &ran.stderr;
    }
    assert!(!told.to_lowercase().contains(&ticket[..20]), "{told}");
}

#[test]
fn nothing_is_served_to_other_machines_without_a_rule() {
    let fresh = Place::empty();
    for args in [&["--listen", "0.0.0.0:0"][..], &["--listen", "127.0.0.1:0", "--set", "trust=network"]] {
        let ran = fresh.run(&[&["node", "start"], args].concat());
        assert!(ran.code == 2 && !fresh.data().exists(), "refused before anything is created: {ran:?}");
    }
    let place = Place::new();
    let ran = place.run(&["node", "start", "--listen", "0.0.0.0:0"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--insecure"), "{ran:?}");
    let node = place.start_with(&["--listen", "0.0.0.0:0", "--insecure"]);
    assert!(node.address().starts_with("0.0.0.0:"));
    assert_eq!(node.stop().code, 0);
}

#[test]
fn an_address_that_cannot_be_had_holds_up_nothing_and_is_tried_again() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let node = place.start_with(&["--listen", &address]);
    place.run(&["store", "put", "k", "v"]).ok();
    let status = place.run(&["status", "--json"]).data("softadastra.status/1");
    assert_eq!(status["transport"]["running"], false);
    assert!(status["transport"]["error"].as_str().unwrap().contains(&address), "{status}");
    assert!(place.run(&["status"]).ok().contains("not opened: "));
    drop(taken);
    let status = shows(&place, &["status"], "softadastra.status/1", "links are taken", |data| {
        data["transport"]["listening"][0] == address
    });
    assert_eq!(status["transport"], json!({"running": true, "listening": [address], "trust": "open"}));
    assert_eq!(node.stop().code, 0);
}

#[test]
fn a_remembered_address_is_forgotten_with_or_without_a_node() {
    let place = Place::new();
    let (nobody, nowhere) = ("127.0.0.1:1", "127.0.0.1:2");
    let node = place.start();
    place.run(&["connect", nobody]).ok();
    place.run(&["connect", nowhere]).ok();
    let forgotten = place.run(&["peers", "forget", nobody, "--json"]).data("softadastra.forget/1");
    assert_eq!(forgotten, json!({"public_keys": [], "replica_ids": [], "addresses": [nobody]}));
    assert_eq!(node.stop().code, 0);
    let peers = place.run(&["peers", "--json"]).data("softadastra.peers/1");
    assert_eq!(peers["peers"][0]["addresses"], json!([nowhere]), "{peers}");
    assert!(place.run(&["peers", "forget", nowhere]).ok().contains("127.0.0.1:2: dialled no more"));
    let again = place.run(&["peers", "forget", nowhere, "--json"]);
    assert_eq!((again.code, &again.error()["code"]), (1, &json!("not_found")), "{again:?}");
}

#[test]
fn who_is_refused_is_shown_with_the_reason() {
    let (till, stranger) = (Place::of("till"), Place::of("stranger"));
    till.run(&["ticket"]).ok();
    stranger.run(&["ticket"]).ok();
    let node = till.start_with(&["--listen", "127.0.0.1:0"]);
    let other = stranger.start_with(&["--peer", node.address()]);
    let peers = shows(&till, &["peers"], "softadastra.peers/1", "the stranger is told", |data| {
        data["refused"][0]["code"] == "wrong_secret"
    });
    let refused = &peers["refused"][0];
    assert_eq!(refused["address"], "127.0.0.1");
    assert!(refused["count"].as_u64() >= Some(1) && refused["last_at_ms"].as_u64() > Some(1_700_000_000_000));
    assert!(peers["peers"].as_array().unwrap().is_empty(), "{peers}");
    let text = till.run(&["peers"]).ok();
    assert!(text.contains("REFUSED") && text.contains("[wrong_secret]"), "{text}");
    other.stop();
    node.stop();
}

#[test]
fn who_stops_says_so_of_itself() {
    let (a, b) = (Place::of("till"), Place::of("desk"));
    let till = a.start_with(&["--listen", "127.0.0.1:0"]);
    let desk = b.start();
    b.run(&["join", a.run(&["ticket"]).ok().trim()]).ok();
    a.run(&["store", "put", "k", "v"]).ok();
    holds(&b, "k", "v");
    let own = desk.stop().stderr;
    assert!(own.contains("this node is leaving") && !own.contains("the peer is leaving"), "{own}");
    crate::sync::until("the other hears of it", || till.log().contains("the peer is leaving"));
    let own = till.stop().stderr;
    assert!(!own.contains("event=\"link_failed\""), "{own}");
}
