//! A peer whose disk is full.

use super::peer::Peer;
use super::records::records;
use super::small_disk::SmallDisk;
use super::{until, until_agreed};
use crate::support::Place;

#[test]
fn a_peer_without_room_refuses_by_name_and_is_delivered_to_when_it_has_some() {
    let Some(disk) = SmallDisk::of(24, "a peer with a full disk") else { return };
    let small = ["--set", "first_segment=1MiB", "--set", "max_segment=1MiB", "--set", "snapshot_after=4MiB"];
    let mut a = Peer::new("a");
    let mut b = Peer::at(Place::with_data_in(disk.path()), "b", &small);
    a.up();
    b.up();
    b.join(&a);
    a.import(&records("a", 0..200));
    b.put("own", "1");
    until_agreed(&[&a, &b]);

    disk.fill();
    // More than what is left of the segments it has prepared.
    a.import(&records("a", 200..8_200));
    b.until_logged("no room on this node's disk for what the peer sent");
    a.until_logged("the peer said: its disk is full");
    // What is small may still fit where its log ends; this does not.
    let refused = b.run_with(&["--json", "store", "put", "own", "-"], &[b'x'; 1 << 20]);
    assert_eq!((refused.code, &refused.error()["code"]), (1, &"disk_full".into()), "{refused:?}");
    assert_eq!(b.get("own").as_deref(), Some("1"), "it can still be read");
    // Here nothing is lost, nothing is taken for delivered, and writes go on.
    let state = a.state();
    assert_eq!(state.accepted, 8_200);
    assert!(state.pending() > 0 && state.acknowledged + state.pending() == 8_200, "{state:?}");
    let arrived = b.keys();
    assert!(arrived < 8_201, "there was room for all");
    a.put("meanwhile", "written");

    disk.empty();
    until_agreed(&[&a, &b]);
    assert_eq!(b.keys(), 8_202);
    assert_eq!(a.state().acknowledged, 8_201);
    b.put("own", "3");
    until("a has it, too", || a.get("own").as_deref() == Some("3"));
    assert!(a.export() == b.export());
    b.stop();
    b.run(&["wal", "verify"]).ok();
}
