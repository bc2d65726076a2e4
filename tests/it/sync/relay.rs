//! A node between two others that never meet.

use super::peer::Peer;
use super::records::records;
use super::{until, until_agreed};

#[test]
fn what_a_relay_carries_reaches_those_who_never_meet() {
    // Two other nodes must hold a write: the relay alone is not enough, and its word for the far end is.
    let two = ["--set", "required_acks=2"];
    let (mut a, mut b, mut c) = (Peer::with("a", &two), Peer::new("b"), Peer::with("c", &two));
    b.up();
    a.join(&b);
    c.join(&b);

    a.import(&records("a", 0..500));
    a.up();
    a.put("shared", "of a");
    until("the relay holds all", || b.keys() == 501);
    until("the relay has said so", || a.ask("/v1/sync")["members"][0]["holds"] == 501);
    assert_eq!(a.state().acknowledged, 0, "stored by a relay is not enough here");
    a.stop();

    c.up();
    until("the far end holds all", || c.keys() == 501);
    assert_eq!(c.get("shared").as_deref(), Some("of a"));
    c.put("shared", "of c");
    c.run(&["store", "remove", &first_key(&c)]).ok();
    c.import(&records("c", 0..300));
    until("the relay holds that, too", || b.keys() == 800);
    c.kill();

    a.up();
    until("the near end has heard of it", || a.keys() == 800);
    assert_eq!(a.get("shared").as_deref(), Some("of c"), "it had seen what it overwrote");
    until("the far end's word arrived through the relay", || a.state().pending() == 0);
    assert_eq!(a.state().acknowledged, 501);
    a.kill();

    c.up();
    until_agreed(&[&b, &c]);
    assert_eq!(c.state().acknowledged, 302);
    c.stop();
    a.up();
    until_agreed(&[&a, &b]);
    let all = a.export();
    a.stop();
    c.up();
    until_agreed(&[&b, &c]);
    assert!(all == b.export() && all == c.export());
    for peer in [&b, &c] {
        assert_eq!(peer.ask("/v1/conflicts")["total"], 0, "each of them had seen what it overwrote");
    }
}

fn first_key(peer: &Peer) -> String {
    let listed = peer.run(&["--json", "store", "list", "a/", "--limit", "1"]).data("softadastra.list/1");
    listed["records"][0]["key"].as_str().unwrap().to_owned()
}
