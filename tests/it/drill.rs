//! The drill of a lost disk, as `docs/operations.md` has it: a node that works is backed up again and again, loses its disk at a
//! bad moment, and is brought back from its backup and its peers.

use serde_json::Value;

use crate::network::{holds, shows};
use crate::support::Place;

fn backup(place: &Place, to: &str) -> Value {
    place.run(&["--json", "backup", to]).data("softadastra.backup/1")
}

fn number(data: &Value, name: &str) -> u64 {
    data[name].as_u64().unwrap_or_else(|| panic!("{name} is a number in {data}"))
}

/// Records for an import.
fn records(round: u32) -> String {
    (0..200).map(|n| format!("{{\"key\":\"order/{round}/{n:03}\",\"value\":\"{n} x tea\"}}\n")).collect()
}

#[test]
fn a_node_that_lost_its_disk_comes_back_from_its_backup_and_its_peers() {
    let (till, shop) = (Place::of("till"), Place::of("shop"));
    let at_shop = shop.start_with(&["--listen", "127.0.0.1:0"]);
    let at_till = till.start();
    till.run(&["join", shop.run(&["ticket"]).ok().trim()]).ok();
    let aside = till.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let kept = aside.join("backup");
    let to = kept.to_str().unwrap();

    // Every night a backup; and once, by hand, a copy of who the node is.
    std::fs::copy(till.data().join("network.json"), aside.join("network.json")).unwrap();
    for round in 0..3 {
        till.run_with(&["store", "import"], records(round).as_bytes()).ok();
        let made = backup(&till, to);
        assert!(round == 0 || number(&made, "copied_bytes") < number(&made, "bytes"), "only what is new: {made}");
        till.run(&["backup", to, "--verify"]).ok();
    }
    let at_backup = till.run(&["--json", "status"]).data("softadastra.status/1");

    // The monthly rehearsal: into a scratch directory, without anything that would let it speak for the node.
    let scratch = Place::with_data_in(&aside);
    scratch.run(&["restore", to]).ok();
    let rehearsed = scratch.run(&["--json", "status"]).data("softadastra.status/1");
    assert_eq!((&rehearsed["digest"], &rehearsed["keys"]), (&at_backup["digest"], &at_backup["keys"]));
    std::fs::remove_dir_all(scratch.data()).unwrap();

    // After the last backup: one write that the shop gets, and one that nobody does.
    till.run(&["store", "put", "delivered", "after the backup"]).ok();
    till.run(&["store", "remove", "order/0/000"]).ok();
    holds(&shop, "delivered", "after the backup");
    shows(&till, &["status"], "softadastra.status/1", "all is delivered", |data| data["outbox"] == 0);
    till.run(&["disconnect", "shop"]).ok();
    till.run(&["store", "put", "undelivered", "lost with the disk"]).ok();
    let before = till.run(&["--json", "node", "info"]).data("softadastra.node/1");
    at_till.kill();
    let refused = till.run(&["--json", "restore", to]);
    assert_eq!(refused.error()["code"], "already_exists", "a restore overwrites nothing");
    std::fs::remove_dir_all(till.data()).unwrap();
    shop.run(&["store", "put", "meanwhile", "sold elsewhere"]).ok();

    // The runbook.
    till.run(&["restore", to]).ok();
    std::fs::copy(aside.join("network.json"), till.data().join("network.json")).unwrap();
    assert_eq!(till.run(&["doctor"]).code, 0);
    let again = till.start();
    till.run(&["connect", at_shop.address()]).ok();
    holds(&till, "delivered", "after the backup");
    holds(&till, "meanwhile", "sold elsewhere");
    let after = till.run(&["--json", "node", "info"]).data("softadastra.node/1");
    assert_eq!((&after["node_id"], &after["public_key"]), (&before["node_id"], &before["public_key"]));
    assert_ne!(after["replica_id"], before["replica_id"], "a new history, always");
    till.run(&["store", "put", "again", "at work"]).ok();
    holds(&shop, "again", "at work");
    let digest = |place: &Place| place.run(&["--json", "status"]).data("softadastra.status/1")["digest"].clone();
    crate::sync::until("both are equal", || digest(&till) == digest(&shop));
    assert_eq!(till.run(&["store", "contains", "order/0/000"]).code, 1, "what was removed stays removed");
    assert_eq!(till.run(&["store", "contains", "undelivered"]).code, 1, "this is what a lost disk costs");
    again.stop();
}
