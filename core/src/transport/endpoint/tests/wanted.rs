//! Who is dialled and who is not, who is remembered, and what of it is told.

use super::*;

fn dials(out: &mut Vec<Effect>) -> usize {
    let count = out.iter().filter(|effect| matches!(effect, Effect::Dial { .. })).count();
    out.clear();
    count
}

#[test]
fn only_who_is_wanted_and_has_neither_a_link_nor_a_dial_is_dialled() {
    let (mut stopped, mut out) = (endpoint(0, 1, |_| {}), Vec::new());
    let now = Instant(0);
    let wanted = stopped.add_peer(now, None, vec![address(1)], &mut out);
    stopped.learn_peer(now, None, None, vec![address(2)]);
    stopped.hold_peer(now, None, vec![address(3)], &mut out);
    stopped.add_peer(now, Some(NodeKey([4; 32])), vec![], &mut out);
    assert_eq!(dials(&mut out), 0, "it does not run");
    let mut running = stopped;
    running.start(now, &mut out);
    assert!(matches!(&out[..], [Effect::Dial { peer, .. }] if *peer == wanted));
    out.clear();
    assert!(running.connect(now, wanted, &mut out));
    assert_eq!(dials(&mut out), 0, "a dial is under way");

    let mut world = World::new(2, 1);
    let peer = world.add(0, 1);
    world.run();
    world.act(0, |endpoint, now, out| endpoint.connect(now, peer, out));
    assert_eq!(world.nodes[0].dialled.len(), 1, "a link stands");
}

#[test]
fn nothing_is_waited_for_where_nothing_can_be_dialled() {
    let (mut endpoint, mut out) = (endpoint(0, 1, |_| {}), Vec::new());
    endpoint.add_peer(Instant(0), None, vec![address(1)], &mut out);
    assert_eq!(endpoint.poll_timeout(), None, "it does not run");
    endpoint.stop(Instant(0), &mut out);
    let peers: Vec<_> = endpoint.peers(Instant(0)).map(|peer| peer.id).collect();
    endpoint.remove_peer(Instant(0), peers[0], &mut out);
    endpoint.start(Instant(0), &mut out);
    let without_address = endpoint.add_peer(Instant(0), Some(NodeKey([4; 32])), vec![], &mut out);
    assert_eq!(endpoint.poll_timeout(), None, "nobody knows where");
    endpoint.learn_peer(Instant(0), Some(NodeKey([4; 32])), None, vec![address(4)]);
    let at = endpoint.poll_timeout().unwrap();
    endpoint.handle_timeout(at, &mut out);
    assert!(matches!(&out[..], [Effect::Dial { peer, .. }] if *peer == without_address));
}

#[test]
fn whom_nobody_knows_where_to_find_is_not_said_to_be_dialled_when_its_link_ends() {
    let mut world = World::new(2, 1);
    let key = world.key(1);
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, Some(key), vec![], out));
    world.add(1, 0);
    world.run();
    world.act(1, |endpoint, now, out| endpoint.stop(now, out));
    world.run();
    let peers: Vec<_> = world.nodes[0].endpoint.peers(world.now).collect();
    assert!(world.nodes[0].up.is_empty() && peers.len() == 1 && peers[0].wanted);
    assert_eq!(peers[0].next_dial_in, None);
}

#[test]
fn pauses_grow_however_many_addresses_fail() {
    let mut world = World::new(1, 1);
    let ways: Vec<Address> = ["nowhere:1", "nowhere:2"].iter().map(|text| text.parse().unwrap()).collect();
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, None, ways, out));
    world.live(Duration::from_secs(3600));
    let count = world.nodes[0].dialled.len();
    assert!((50..200).contains(&count), "{count} dials in an hour");
}

#[test]
fn only_who_is_idle_gives_way_and_whoever_was_silent_for_longest_first() {
    let mut endpoints = vec![endpoint(0, 1, |settings| settings.max_peers = 5)];
    endpoints.extend((1..3).map(|number| endpoint(number, 1, |_| {})));
    let mut world = World::of(endpoints, 1);
    // Linked, but not wanted: it came in by itself.
    world.add(1, 0);
    world.run();
    let held = NodeKey([3; 32]);
    world.act(0, |endpoint, now, out| endpoint.hold_peer(now, Some(held), vec![], out));
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, None, vec!["nowhere:1".parse().unwrap()], out));
    let learn = |world: &mut World, number: u8| {
        world.now = world.now + Duration::from_millis(1);
        world.act(0, |endpoint, now, _| endpoint.learn_peer(now, Some(NodeKey([number; 32])), None, vec![]));
    };
    let known = |world: &World, number: u8| world.nodes[0].endpoint.peers.of_key(&NodeKey([number; 32])).is_some();
    for number in 10..20 {
        learn(&mut world, number);
        let idle: Vec<_> = (10..20).filter(|number| known(&world, *number)).collect();
        assert_eq!(idle, (10.max(number - 1)..=number).collect::<Vec<_>>());
    }
    assert!(known(&world, 3), "held by hand");
    let wanted = world.nodes[0].endpoint.peers(world.now).filter(|peer| peer.wanted).count();
    assert_eq!((wanted, world.nodes[0].up.len()), (1, 1));
}

#[test]
fn a_failure_is_told_of_links_that_never_stood_and_of_no_others() {
    let mut world = World::new(3, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(20));
    world.assert_linked(0, 1);
    world.act(1, |endpoint, now, out| endpoint.stop(now, out));
    world.nodes[1].reachable = false;
    assert_eq!((&world.nodes[0].notices, &world.nodes[1].notices), (&vec![], &vec![]), "it stood");
    world.add(2, 1);
    world.run();
    let notices = &world.nodes[2].notices;
    assert!(
        matches!(&notices[..], [Notice::Failed { peer: Some(_), reason: CloseReason::NotReached { .. }, .. }]),
        "{notices:?}"
    );
    for seed in 0..20 {
        let mut world = World::new(2, seed);
        world.add(0, 1);
        world.add(1, 0);
        world.run();
        let closed = world.nodes.iter().flat_map(Node::why).filter(|why| *why == "duplicate").count();
        let told = world.nodes.iter().flat_map(|node| &node.notices).any(|notice| {
            let duplicate = CloseReason::Local(Farewell::Duplicate);
            matches!(notice, Notice::Failed { reason, .. } if *reason == duplicate)
        });
        assert!(!told, "one of two, {closed} times, is no failure");
    }
}

#[test]
fn a_peer_with_a_link_waits_for_no_dial() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.run();
    let key = world.key(1);
    world.act(0, |endpoint, now, _| endpoint.learn_peer(now, Some(key), None, vec!["elsewhere:1".parse().unwrap()]));
    let peer = world.nodes[0].endpoint.peers(world.now).next().unwrap();
    assert_eq!((peer.state, peer.next_dial_in), (PeerState::Connected, None));
}

#[test]
fn links_of_a_new_start_have_names_of_their_own() {
    let from = "10.0.0.9:1".parse().unwrap();
    let (mut before, mut out) = (endpoint(0, 1, |_| {}), Vec::new());
    before.start(Instant(0), &mut out);
    let named: Vec<_> = (0..3).map(|_| before.incoming(Instant(0), from, &mut out).unwrap()).collect();
    let mut after = endpoint(0, 2, |_| {});
    after.follow(&before);
    after.start(Instant(0), &mut out);
    let next = after.incoming(Instant(0), from, &mut out).unwrap();
    assert!(named.iter().all(|link| *link < next), "{named:?}, then {next:?}");
}

#[test]
fn a_refused_key_is_pardoned_once() {
    let (mut endpoint, mut out) = (endpoint(0, 1, |_| {}), Vec::new());
    let key = NodeKey([4; 32]);
    assert!(!endpoint.pardon_key(&key));
    endpoint.refuse_key(Instant(0), key, &mut out);
    assert!(endpoint.pardon_key(&key) && !endpoint.pardon_key(&key));
}

#[test]
fn all_who_dial_each_other_at_once_are_linked_before_time_passes() {
    for seed in 0..6 {
        let mut world = World::new(3, seed);
        for (a, b) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            world.add(a, b);
        }
        world.run();
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            world.assert_linked(a, b);
        }
        for node in 0..3 {
            assert_eq!(world.nodes[node].endpoint.count_links(), (2, 0), "seed {seed}");
            assert_eq!(world.states(node), [PeerState::Connected; 2], "seed {seed}");
        }
    }
}

#[test]
fn who_lost_a_link_alone_gets_another_at_once() {
    for (loser, seed) in [(0, 1), (1, 2)] {
        let mut world = World::new(2, seed);
        world.add(0, 1);
        world.add(1, 0);
        world.live(Duration::from_secs(60));
        world.break_links_of(loser);
        world.live(Duration::from_secs(1));
        world.assert_linked(0, 1);
    }
}

#[test]
fn a_full_list_of_peers_keeps_out_strangers_alone() {
    let full = |change: &dyn Fn(&mut World)| {
        let mut endpoints = vec![endpoint(0, 1, |settings| settings.max_peers = 1)];
        endpoints.extend((1..3).map(|number| endpoint(number, 1, |_| {})));
        let mut world = World::of(endpoints, 1);
        change(&mut world);
        world.add(1, 0);
        world.run();
        let key = world.key(1);
        let comes_in = world.nodes[0].up.contains_key(&key);
        assert!(comes_in != world.nodes[1].why().contains(&"busy"));
        comes_in
    };
    let key = |number| endpoint(number, 1, |_| {}).key();
    let add = |world: &mut World, key, ways: &[&str]| {
        let ways: Vec<Address> = ways.iter().map(|way| way.parse().unwrap()).collect();
        world.act(0, |endpoint, now, out| endpoint.add_peer(now, key, ways, out));
    };
    assert!(full(&|_| {}), "there is a place");
    assert!(!full(&|world| add(world, None, &["nowhere:1"])), "the place is of one who is wanted");
    assert!(!full(&|world| {
        world.act(0, |endpoint, now, out| endpoint.hold_peer(now, Some(key(2)), vec![], out));
    }));
    assert!(!full(&|world| {
        world.add(2, 0);
        world.run();
    }));
    assert!(full(&|world| {
        world.act(0, |endpoint, now, _| endpoint.learn_peer(now, Some(key(2)), None, vec![]));
    }));
    assert!(full(&|world| add(world, Some(key(1)), &["nowhere:1"])), "it is the one who is wanted");
    assert!(full(&|world| {
        add(world, None, &["node-1:7"]);
        world.run();
    }));
}

#[test]
fn who_is_turned_away_is_told_why_in_the_log() {
    let texts = [TurnedAway::Stopped, TurnedAway::Full, TurnedAway::TooManyFromAddress].map(|why| why.to_string());
    assert_eq!(texts, ["the transport is stopped", "too many links", "too many links from that address"]);
}

#[test]
fn of_two_entries_that_are_one_node_nothing_is_lost() {
    use super::super::peers::Peer;
    let entry = |wanted: bool, found: bool| {
        let mut peer = Peer::new(None, Instant(0));
        (peer.wanted, peer.found) = (wanted, found);
        peer
    };
    let (known, by_hand, found) = ((false, false), (true, false), (true, true));
    for (one, other, both) in [
        (known, known, known),
        (known, by_hand, by_hand),
        (known, found, found),
        (found, found, found),
        (found, by_hand, by_hand),
        (by_hand, by_hand, by_hand),
    ] {
        for (a, b) in [(one, other), (other, one)] {
            let mut peer = entry(a.0, a.1);
            peer.merge(entry(b.0, b.1));
            assert_eq!((peer.wanted, peer.found), both, "{a:?} and {b:?}");
        }
    }
    for (a, b) in [(false, true), (true, false), (false, false)] {
        let (mut one, mut other) = (entry(false, false), entry(false, false));
        (one.held, other.held, one.seen, other.seen) = (a, b, Instant(5), Instant(if a { 3 } else { 9 }));
        one.learn([address(1)]);
        other.learn([address(2)]);
        one.merge(other);
        assert_eq!((one.held, one.seen), (a || b, Instant(if a { 5 } else { 9 })));
        assert!([address(1), address(2)].iter().all(|address| one.addresses.contains(address)));
    }
}

#[test]
fn one_address_makes_one_peer() {
    let (mut endpoint, mut out) = (endpoint(0, 1, |_| {}), Vec::new());
    let ids = [1, 2, 1].map(|number| endpoint.add_peer(Instant(0), None, vec![address(number)], &mut out));
    assert!(ids[0] == ids[2] && ids[0] != ids[1]);
}

#[test]
fn the_names_of_states_are_stable() {
    use PeerState::{Available, Connected, Connecting, Expired, Faulted, Stale};
    let names = [Available, Connecting, Connected, Stale, Expired, Faulted].map(PeerState::as_str);
    assert_eq!(names, ["available", "connecting", "connected", "stale", "expired", "faulted"]);
}
