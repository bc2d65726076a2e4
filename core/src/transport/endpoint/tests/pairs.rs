//! One link for each pair, whoever dials, in whatever order things arrive.

use super::*;

#[test]
fn two_nodes_link_and_talk() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.run();
    world.assert_linked(0, 1);
    assert_eq!(world.states(0), [PeerState::Connected]);
    assert_eq!(world.states(1), [PeerState::Connected]);
    assert_eq!(world.nodes[0].pins, [(NodeId::new("node-1").unwrap(), world.key(1))]);
    assert_eq!(world.nodes[1].pins, [(NodeId::new("node-0").unwrap(), world.key(0))]);
    world.live(Duration::from_secs(1));
    for node in &world.nodes {
        let peer = node.endpoint.peers(world.now).next().unwrap();
        assert!(peer.round_trip.is_some(), "the first ping is served when it is due, not with the first old deadline");
    }
}

#[test]
fn both_dial_at_once_and_one_link_stays_in_every_order() {
    for seed in 0..150 {
        let mut world = World::new(2, seed);
        world.add(0, 1);
        world.add(1, 0);
        world.run();
        world.assert_linked(0, 1);
        assert_eq!(world.nodes.iter().map(|node| node.endpoint.count_links()).collect::<Vec<_>>(), [(1, 0), (1, 0)]);
        let ups = (world.nodes[0].ups, world.nodes[1].ups);
        assert!(ups.0 <= 2 && ups.1 <= 2, "seed {seed}: {ups:?}");
        world.live(Duration::from_secs(300));
        assert_eq!((world.nodes[0].ups, world.nodes[1].ups), ups, "seed {seed}: it holds");
        assert_eq!(world.states(0).len(), 1, "the entry by address and the one by key became one");
        let failures = |node: &Node| node.endpoint.peers(world.now).map(|peer| peer.failures).sum::<u32>();
        assert_eq!(world.nodes.iter().map(failures).sum::<u32>(), 0, "seed {seed}: giving way is not failing");
    }
}

#[test]
fn of_two_dials_at_once_that_of_the_smaller_key_stays() {
    for first in [0, 1] {
        let mut world = World::new(2, 1);
        world.add(first, 1 - first);
        world.add(1 - first, first);
        while world.round() {}
        world.assert_linked(0, 1);
        let (wire, _) = world.wire_of(0, world.nodes[0].up[&world.key(1)]).unwrap();
        let [(dialler, _), _] = world.wires[wire].ends;
        assert!(world.key(dialler) < world.key(1 - dialler));
    }
}

#[test]
fn a_question_to_a_former_start_of_a_peer_does_not_keep_the_present_one_away() {
    for (asking, steps) in [0, 1].into_iter().flat_map(|asking| (0..12).map(move |steps| (asking, steps))) {
        let mut world = World::new(2, 1);
        let asked = 1 - asking;
        world.add(asking, asked);
        for _ in 0..steps {
            world.step();
        }
        world.restart(asked, endpoint(asked, 2, |_| {}));
        world.add(asked, asking);
        world.live(Duration::from_secs(2));
        world.assert_linked(0, 1);
    }
}

#[test]
fn many_dials_by_several_addresses_end_in_one_link() {
    for seed in 0..50 {
        let mut world = World::new(2, seed);
        for alias in ["node-1:1", "node-1:2", "node-1:3"] {
            let alias = alias.parse().unwrap();
            world.act(0, |endpoint, now, out| endpoint.add_peer(now, None, vec![alias], out));
        }
        world.add(1, 0);
        world.live(Duration::from_secs(600));
        world.assert_linked(0, 1);
        assert_eq!(world.states(0), [PeerState::Connected], "seed {seed}");
        let calm = (world.nodes[0].dialled.len(), world.nodes[0].ups);
        world.live(Duration::from_secs(600));
        assert_eq!((world.nodes[0].dialled.len(), world.nodes[0].ups), calm, "seed {seed}: nothing flaps");
    }
}

#[test]
fn a_dial_by_address_goes_on_for_the_node_that_turns_out_to_be_there() {
    let mut world = World::new(3, 1);
    world.add(0, 2);
    world.run();
    let key = world.key(1);
    let known = world.act(0, |endpoint, now, out| endpoint.add_peer(now, Some(key), vec![], out));
    world.add(0, 1);
    let is_known_alone = |world: &World| world.nodes[0].endpoint.peers(world.now).count() == 2;
    while !is_known_alone(&world) {
        assert!(world.step());
    }
    let peers: Vec<_> = world.nodes[0].endpoint.peers(world.now).collect();
    let peer = peers.iter().find(|peer| peer.id == known).unwrap();
    assert_eq!((peer.state, &peer.addresses[..]), (PeerState::Connecting, &[address(1)][..]));
    world.run();
    world.assert_linked(0, 1);
    world.assert_linked(0, 2);
}

#[test]
fn a_mesh_has_one_link_for_each_pair() {
    for seed in 0..10 {
        let mut world = World::new(5, seed);
        for a in 0..5 {
            for b in (0..5).filter(|b| *b != a) {
                world.add(a, b);
            }
        }
        world.live(Duration::from_secs(60));
        for a in 0..5 {
            for b in 0..a {
                world.assert_linked(a, b);
            }
            assert_eq!(world.nodes[a].endpoint.count_links(), (4, 0));
        }
    }
}

#[test]
fn a_side_that_lost_its_link_gets_a_new_one_at_once_whichever_key_is_smaller() {
    for (loser, dialler) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for seed in 0..20 {
            let mut world = World::new(2, seed);
            world.add(0, 1);
            if dialler == 1 {
                world.add(1, 0);
            }
            world.live(Duration::from_secs(60));
            world.assert_linked(0, 1);
            // Only the loser knows, and only it may dial soon.
            let other = address(1 - loser);
            world.act(loser, |endpoint, now, out| endpoint.add_peer(now, None, vec![other], out));
            let before = world.now;
            world.break_links_of(loser);
            world.live(Duration::from_secs(2));
            world.assert_linked(0, 1);
            assert!(world.now.since(before) < Duration::from_secs(3), "not after the idle timeout of the other side");
            assert_eq!(world.nodes[1 - loser].downs.last().map(|(_, reason)| reason.as_str()), Some("replaced"));
        }
    }
}

#[test]
fn a_restarted_peer_takes_the_place_of_its_former_self() {
    for seed in 0..20 {
        let mut world = World::new(2, seed);
        world.add(0, 1);
        world.live(Duration::from_secs(60));
        world.restart(0, endpoint(0, 2, |_| {}));
        world.add(0, 1);
        world.live(Duration::from_secs(2));
        world.assert_linked(0, 1);
        assert_eq!(world.nodes[1].downs.last().unwrap().1, CloseReason::Local(Farewell::Replaced));
    }
}

/// A process dies with a handshake under way. Whatever of it comes in when its successor has shown itself is its last word.
#[test]
fn the_last_words_of_a_dead_process_are_no_copy_of_it() {
    let mut late = 0;
    for (dialler, rounds) in (0..2).flat_map(|dialler| (0..8).map(move |rounds| (dialler, rounds))) {
        for is_linked_first in [true, false] {
            let what = format!("dialled by {dialler}, {rounds} rounds, linked first: {is_linked_first}");
            let mut world = World::new(2, rounds);
            world.add(dialler, 1 - dialler);
            if is_linked_first {
                world.live(Duration::from_secs(60));
                world.break_links_of(0);
                world.break_links_of(1);
                let due = world.nodes[dialler].endpoint.poll_timeout().unwrap();
                world.now = world.now.max(due);
                world.act(dialler, |endpoint, now, out| endpoint.handle_timeout(now, out));
            }
            for _ in 0..rounds {
                world.round();
            }
            world.restart(0, endpoint(0, 2, |_| {}));
            world.add(0, 1);
            world.run();
            let is_up = world.nodes[1].up.len();
            late += usize::from(is_up == 1);
            world.deliver_last_words_of(0);
            assert!(world.nodes[1].up.len() >= is_up, "{what}: the last words took the place of the living");
            world.live(Duration::from_secs(120));
            world.assert_linked(0, 1);
            let clones = |notice: &&Notice| matches!(notice, Notice::IdentityClone { .. });
            assert_eq!(world.nodes[1].notices.iter().filter(clones).count(), 0, "{what}");
        }
    }
    assert!(late >= 16, "only {late} times was the successor there first");
}

#[test]
fn a_copy_of_a_running_node_is_named() {
    // Node 1 is a second copy of node 0: the same key, started later.
    let copy = endpoint_with(0, 7, Some(SECRET), Trust::default(), |_| {});
    let mut world = World::of(vec![endpoint(0, 1, |_| {}), copy, endpoint(2, 1, |_| {})], 1);
    world.add(0, 2);
    world.run();
    world.add(1, 2);
    world.run();
    assert_eq!(world.nodes[0].up.len() + world.nodes[1].up.len(), 1, "the second took the place of the first");
    world.live(Duration::from_secs(120));
    let key = world.key(0);
    assert!(world.nodes[2].notices.contains(&Notice::IdentityClone { key }));
    assert!(
        world.nodes[0]
            .closed
            .iter()
            .chain(&world.nodes[1].closed)
            .any(|(_, reason)| { *reason == CloseReason::Refused(Farewell::IdentityClone) })
    );
    // When they meet each other they notice too.
    world.add(0, 1);
    world.run();
    assert!(world.nodes[0].notices.contains(&Notice::IdentityClone { key }));
}

#[test]
fn a_node_that_dials_itself_is_told() {
    let mut world = World::new(1, 1);
    world.add(0, 0);
    world.run();
    assert!(world.nodes[0].why().contains(&"self_link"));
    assert_eq!(world.states(0), [PeerState::Faulted]);
    assert!(world.nodes[0].up.is_empty());
}

#[test]
fn cuts_restarts_and_dials_in_any_order_heal() {
    for seed in 0..60 {
        let mut world = World::new(3, seed);
        let mut dice = Seed::from_number(seed).stream("trouble");
        for (a, b) in [(0, 1), (1, 2), (2, 0), (1, 0)] {
            world.add(a, b);
        }
        for life in 2..14 {
            for _ in 0..dice.below(30) {
                world.step();
            }
            let (a, b) = (dice.below(3) as usize, dice.below(3) as usize);
            match dice.below(5) {
                0 => world.cut(a, b),
                1 => world.break_links_of(a),
                2 => {
                    world.restart(a, endpoint(a, life, |_| {}));
                    world.add(a, (a + 1) % 3);
                }
                3 => world.live(Duration::from_millis(dice.below(40_000))),
                _ => drop(world.add(a, (a + 1) % 3)),
            }
        }
        world.live(Duration::from_secs(400));
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            world.assert_linked(a, b);
        }
        for node in &world.nodes {
            assert_eq!(node.endpoint.count_links(), (2, 0), "seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut world = World::new(3, seed);
        for (a, b) in [(0, 1), (1, 0), (1, 2)] {
            world.add(a, b);
        }
        world.live(Duration::from_secs(100));
        world.cut(0, 1);
        world.live(Duration::from_secs(100));
        world.trace
    };
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
}
