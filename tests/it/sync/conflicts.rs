//! Writes to one key that had not seen each other.

use serde_json::Value;

use super::peer::Peer;
use super::{until, until_agreed};

/// The only conflict on record.
fn conflict(peer: &Peer) -> Value {
    let listed = peer.run(&["--json", "conflicts", "list"]).data("softadastra.conflicts/1");
    assert_eq!((&listed["total"], listed["conflicts"].as_array().unwrap().len()), (&1.into(), 1), "{listed}");
    listed["conflicts"][0].clone()
}

#[test]
fn a_key_written_on_both_sides_of_a_partition_has_one_winner_and_no_value_is_lost() {
    let (mut a, mut b, mut c) = (Peer::new("a"), Peer::new("b"), Peer::new("c"));
    a.up();
    b.up();
    b.join(&a);
    a.put("price", "100");
    a.put("stock", "7");
    until_agreed(&[&a, &b]);

    b.run(&["disconnect", "a"]).ok();
    until("they are apart", || a.ask("/v1/sync")["connected"] == 0 && b.ask("/v1/sync")["connected"] == 0);
    a.put("price", "110 by a");
    a.put("price", "120 by a");
    b.put("price", "90 by b");
    // Only one of them writes this one: no conflict.
    b.put("stock", "6");
    b.run(&["connect", "a"]).ok();
    until_agreed(&[&a, &b]);

    assert_eq!(a.get("price").as_deref(), Some("90 by b"), "the later write wins");
    assert_eq!(b.get("price").as_deref(), Some("90 by b"));
    assert_eq!(a.get("stock").as_deref(), Some("6"));
    let (here, there) = (conflict(&a), conflict(&b));
    assert_eq!((&here["won"], &there["won"]), (&"remote".into(), &"local".into()));
    for (name, value) in [("winner", "90 by b"), ("loser", "120 by a")] {
        assert_eq!(here[name], there[name]);
        assert_eq!(here[name]["value"], value);
    }
    assert_eq!(here["at_ms"], there["at_ms"], "they say the same of when it was");
    for (peer, conflict) in [(&a, &here), (&b, &there)] {
        let shown = peer.run(&["conflicts", "show", &conflict["id"].to_string()]).ok();
        assert!(shown.contains("120 by a") && shown.contains("90 by b") && shown.contains("price"), "{shown}");
        assert_eq!(conflict["outcome"], "merged");
    }

    // A third node hears only of the winner, and the record outlives the end of those who hold it.
    c.up();
    c.join(&b);
    until("the third has it", || c.get("price").as_deref() == Some("90 by b"));
    a.kill();
    b.kill();
    for (mut peer, conflict_before) in [(a, here), (b, there)] {
        peer.up();
        assert_eq!(conflict(&peer), conflict_before);
    }
}
