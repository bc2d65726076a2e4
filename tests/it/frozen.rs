//! A node that holds its directory and answers nothing.

use rustix::process::Signal;

use crate::support::Place;

#[test]
fn a_frozen_node_is_named_and_given_up() {
    let place = Place::new();
    let node = place.start();
    node.signal(Signal::STOP);
    let put = place.run(&["--timeout", "1", "--json", "store", "put", "k", "v"]);
    let error = put.error();
    assert_eq!((put.code, &error["code"], &error["local_state"]), (1, &"unknown".into(), &"unknown".into()), "{put:?}");
    let wanted = format!("process {} (", node.pid());
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(&wanted) && message.ends_with("has not answered for 1 s"), "{message}");
    let put = place.run(&["--timeout", "1", "store", "put", "k", "v"]);
    assert!(put.stderr.contains("whether this write is kept is unknown until the key is read"), "{put:?}");
    let get = place.run(&["--timeout", "6", "store", "get", "k"]);
    assert_eq!(get.code, 1, "{get:?}");
    assert!(get.stderr.contains("does not answer; waiting on") && get.stderr.contains("for 6 s"), "{get:?}");
    node.signal(Signal::CONT);
    // What was asked while it was frozen may be done now, or not: who asked has gone. What is asked now is done.
    place.run(&["store", "put", "thawed", "1"]).ok();
    assert_eq!(place.run(&["store", "get", "thawed"]).ok(), "1\n");
    assert_eq!(node.stop().code, 0);
}
