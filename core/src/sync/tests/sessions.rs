//! Beginnings and ends of sessions.

use super::harness::World;
use crate::sync::{CloseReason, Phase, Settings};

#[test]
fn networks_do_not_mix() {
    let mut world = World::new(1, 1, &Settings::default());
    let other = world.add(1, &Settings::default());
    world.replicas[other].identity.network = [8; 16];
    world.crash(other);
    world.put(0, "k", "v");
    world.connect(0, other);
    world.settle();
    assert!(!world.is_connected(0, other));
    assert!(world.replicas.iter().any(|replica| replica.closes.contains(&CloseReason::WrongNetwork)));
    assert_eq!(world.replicas[other].get("k"), None);
}

#[test]
fn status_tells_of_peers_and_members() {
    let mut world = World::new(2, 2, &Settings::default());
    world.put(0, "k", "v");
    world.connect(0, 1);
    world.settle();
    let status = world.replicas[0].engine.status(&world.replicas[0].store);
    assert_eq!(status.peers.len(), 1);
    let peer = &status.peers[0];
    assert_eq!((peer.phase, peer.lag, peer.in_flight), (Phase::Open, 0, 0));
    assert_eq!(peer.node.as_ref().unwrap().as_str(), "n1");
    assert_eq!(status.members.len(), 1);
    assert_eq!(status.members[0].3, 1, "it holds the one operation");
    assert!(status.exact);
    world.cut(0, 1);
    world.put(0, "l", "v");
    let status = world.replicas[0].engine.status(&world.replicas[0].store);
    assert_eq!((status.peers.len(), status.outbox.queued), (0, 1));
}

#[test]
fn the_same_story_twice_gives_the_same_bytes() {
    let story = || {
        let mut world = World::new(3, 3, &Settings::default());
        world.connect_all();
        world.put(0, "k", "v");
        world.put(1, "k", "w");
        for _ in 0..9 {
            world.deliver_some();
        }
        (0..3)
            .flat_map(|a| (0..3).map(move |b| (a, b)))
            .map(|(a, b)| world.on_the_way(a, b))
            .collect::<alloc::vec::Vec<_>>()
    };
    let bytes = story();
    assert!(bytes.iter().any(|queue| !queue.is_empty()));
    assert_eq!(bytes, story());
}
