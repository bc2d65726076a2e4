//! Those who should not be here: floods, wrong secrets, wrong keys. Nothing else suffers from them.

use super::*;
use proptest::prelude::*;

fn stranger(number: u8) -> SocketAddr {
    format!("192.0.2.{number}:5").parse().unwrap()
}

#[test]
fn a_flood_of_half_open_links_is_shed_while_others_go_on() {
    let mut world = World::new(3, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(20));
    let mut open = Vec::new();
    for round in 0..10_000_u32 {
        let from = format!("198.51.{}.{}:5", round / 250, round % 250).parse().unwrap();
        open.push(world.act(0, |endpoint, now, out| endpoint.incoming(now, from, out)).unwrap());
        let (links, half_open) = world.nodes[0].endpoint.count_links();
        assert!(half_open <= Settings::default().max_half_open && links <= half_open + 1);
    }
    assert_eq!(world.nodes[0].why().iter().filter(|why| **why == "half_open_shed").count(), 10_000 - 64);
    world.assert_linked(0, 1);
    // A friend that comes in the middle of it gets its link.
    world.add(2, 0);
    world.run();
    world.assert_linked(0, 2);
    world.live(Duration::from_secs(60));
    assert_eq!(world.nodes[0].endpoint.count_links(), (2, 0));
    world.assert_linked(0, 1);
}

#[test]
fn one_address_cannot_take_the_places_of_all() {
    let mut world = World::new(1, 1);
    let incoming = |world: &mut World, from| world.act(0, |endpoint, now, out| endpoint.incoming(now, from, out));
    let other = incoming(&mut world, stranger(2)).unwrap();
    for _ in 0..100 {
        incoming(&mut world, stranger(1)).unwrap();
    }
    assert_eq!(world.nodes[0].endpoint.count_links(), (17, 17), "a quarter of the places, and the other one");
    assert!(world.nodes[0].closed.iter().all(|(link, _)| *link != other));
    // All addresses of one IPv6 network count as one.
    for host in 1..100 {
        incoming(&mut world, format!("[2001:db8:0:1::{host}]:5").parse().unwrap()).unwrap();
    }
    assert_eq!(world.nodes[0].endpoint.count_links(), (33, 33));
}

#[test]
fn links_are_bounded_for_each_address_and_in_all() {
    let few = endpoint(0, 1, |s| {
        s.max_links_per_address = 3;
        s.max_links = 5;
    });
    let mut world = World::of(vec![few], 1);
    let mut incoming = |from| world.act(0, |endpoint, now, out| endpoint.incoming(now, from, out));
    for _ in 0..3 {
        incoming(stranger(1)).unwrap();
    }
    assert_eq!(incoming(stranger(1)), Err(TurnedAway::TooManyFromAddress));
    incoming(stranger(2)).unwrap();
    incoming(stranger(2)).unwrap();
    assert_eq!(incoming(stranger(3)), Err(TurnedAway::Full));
    world.live(Duration::from_secs(20));
    assert_eq!(world.nodes[0].endpoint.count_links(), (0, 0), "places come back");
    world.act(0, |endpoint, now, out| endpoint.incoming(now, stranger(1), out)).unwrap();
}

#[test]
fn a_wrong_secret_is_named_on_both_sides_and_tried_again_slowly() {
    let other = endpoint_with(1, 1, Some(8), Trust::new(TrustMode::Network, [], []), |_| {});
    let mut world = World::of(vec![endpoint(0, 1, |_| {}), other], 1);
    world.add(0, 1);
    world.live(Duration::from_secs(300));
    assert!(world.nodes[0].why().iter().chain(&world.nodes[1].why()).all(|why| *why == "wrong_secret"));
    assert_eq!(world.states(0), [PeerState::Faulted]);
    let dials = world.nodes[0].dialled.len();
    assert!((5..15).contains(&dials), "{dials} dials in five minutes");
    // The operator corrects it.
    world.act(1, |endpoint, now, out| endpoint.set_secret(now, Some(NetworkSecret::from_bytes([SECRET; 32])), out));
    world.live(Duration::from_secs(61));
    world.assert_linked(0, 1);
}

#[test]
fn changing_the_secret_ends_the_links_of_the_old_network() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(20));
    world.act(0, |endpoint, now, out| endpoint.set_secret(now, Some(NetworkSecret::from_bytes([1; 32])), out));
    world.live(Duration::from_secs(100));
    assert!(world.nodes[0].up.is_empty() && world.nodes[1].up.is_empty());
    assert!(world.nodes[0].why().contains(&"wrong_secret"));
}

#[test]
fn only_listed_keys_come_in_where_a_list_rules() {
    let key = |number| endpoint(number, 1, |_| {}).key();
    let strict = endpoint_with(0, 1, Some(SECRET), Trust::new(TrustMode::Pinned, [key(1)], []), |_| {});
    let mut world = World::of(vec![strict, endpoint(1, 1, |_| {}), endpoint(2, 1, |_| {})], 1);
    world.add(1, 0);
    world.add(2, 0);
    world.live(Duration::from_secs(10));
    world.assert_linked(0, 1);
    assert_eq!(world.states(2), [PeerState::Faulted]);
    assert!(world.nodes[2].why().contains(&"untrusted_key"));
    let (node, stranger) = (NodeId::new("node-2").unwrap(), world.key(2));
    assert!(world.nodes[0].notices.contains(&Notice::Distrusted { node, key: stranger, why: Distrust::Unlisted }));
    assert!(world.act(0, |endpoint, now, out| endpoint.trust_key(now, stranger, out)));
    world.live(Duration::from_secs(61));
    world.assert_linked(0, 2);
    assert!(world.act(0, |endpoint, now, out| endpoint.forget_key(now, &stranger, out)));
    world.live(Duration::from_secs(61));
    assert!(!world.nodes[0].up.contains_key(&stranger));
}

#[test]
fn a_changed_key_is_loud_and_never_accepted_by_itself() {
    let old = NodeKey([7; 32]);
    let pins = [(NodeId::new("node-1").unwrap(), old)];
    let careful = endpoint_with(0, 1, Some(SECRET), Trust::new(TrustMode::Network, [], pins), |_| {});
    let mut world = World::of(vec![careful, endpoint(1, 1, |_| {})], 1);
    world.add(0, 1);
    world.add(1, 0);
    world.live(Duration::from_secs(600));
    let (node, key) = (NodeId::new("node-1").unwrap(), world.key(1));
    let why = Distrust::KeyChanged { pinned: old };
    assert!(world.nodes[0].notices.contains(&Notice::Distrusted { node: node.clone(), key, why }));
    assert!(world.nodes[0].up.is_empty() && world.nodes[1].up.is_empty());
    assert_eq!(world.nodes[0].pins, []);
    assert!(world.states(0).iter().all(|state| *state == PeerState::Faulted), "{:?}", world.states(0));
    assert!(world.nodes[1].why().contains(&"peer_key_changed"));
    assert!(world.act(0, |endpoint, now, out| endpoint.trust_key(now, key, out)));
    world.live(Duration::from_secs(61));
    world.assert_linked(0, 1);
    assert_eq!(world.nodes[0].pins, [(node, key)]);
}

#[test]
fn who_is_forgotten_is_told_so_and_stays_out_until_it_is_trusted() {
    let mut world = World::new(2, 1);
    world.add(1, 0);
    world.live(Duration::from_secs(20));
    world.assert_linked(0, 1);
    let key = world.key(1);
    assert!(world.act(0, |endpoint, now, out| endpoint.refuse_key(now, key, out)));
    assert!(!world.act(0, |endpoint, now, out| endpoint.refuse_key(now, key, out)));
    world.live(Duration::from_secs(300));
    assert!(world.nodes[0].up.is_empty() && world.states(0).is_empty(), "{:?}", world.states(0));
    assert_eq!(world.nodes[1].downs[0].1, CloseReason::Peer(Farewell::Forgotten));
    assert_eq!(world.states(1), [PeerState::Faulted]);
    let (node, why) = (NodeId::new("node-1").unwrap(), Distrust::Forgotten);
    assert!(world.nodes[0].notices.contains(&Notice::Distrusted { node, key, why }));
    assert!(world.act(0, |endpoint, now, out| endpoint.trust_key(now, key, out)));
    world.live(Duration::from_secs(61));
    world.assert_linked(0, 1);
}

/// Two nodes under one name: the one that the operator trusts takes the name, and the link of the other does not stay.
#[test]
fn a_name_that_goes_over_to_another_key_takes_the_old_link_down() {
    let twin = Identity::generate(&mut Seed::from_number(55).secrets("identity"));
    let name = NodeId::new("node-1").unwrap();
    let secret = Some(NetworkSecret::from_bytes([SECRET; 32]));
    let lax = Trust::new(TrustMode::Network, [], []);
    let twin = Endpoint::new(Settings::default(), twin, name, secret, lax, &Seed::from_number(77)).unwrap();
    let mut world = World::of(vec![endpoint(0, 1, |_| {}), endpoint(1, 1, |_| {}), twin], 1);
    world.add(1, 0);
    world.live(Duration::from_secs(20));
    world.assert_linked(0, 1);
    world.add(2, 0);
    world.live(Duration::from_secs(20));
    assert!(world.nodes[2].why().contains(&"peer_key_changed"));
    let (old, new) = (world.key(1), world.key(2));
    world.act(0, |endpoint, now, out| endpoint.trust_key(now, new, out));
    world.live(Duration::from_secs(200));
    world.assert_linked(0, 2);
    assert!(!world.nodes[0].up.contains_key(&old));
    assert_eq!(world.nodes[1].downs[0].1, CloseReason::Peer(Farewell::KeyChanged));
    // Both trusted by hand: the name goes to whoever came last, and neither throws the other out for ever.
    world.act(0, |endpoint, now, out| endpoint.trust_key(now, old, out));
    world.live(Duration::from_secs(200));
    assert_eq!(world.nodes[0].up.len(), 2);
}

/// A member that calls itself like the node it links with, whichever of the two dials, and though the node's own name is
/// pinned nowhere. The operator may say that it is a copy on its own feet.
#[test]
fn nobody_else_takes_the_own_name() {
    let poser = Identity::generate(&mut Seed::from_number(1).secrets("identity"));
    let name = NodeId::new("node-0").unwrap();
    let secret = Some(NetworkSecret::from_bytes([SECRET; 32]));
    let lax = Trust::new(TrustMode::Open, [], []);
    let seed = Seed::from_number(77);
    let poser = Endpoint::new(Settings::default(), poser, name.clone(), secret, lax, &seed).unwrap();
    let mut world = World::of(vec![endpoint(0, 1, |_| {}), poser], 1);
    world.add(1, 0);
    world.add(0, 1);
    world.live(Duration::from_secs(120));
    let (own, key) = (world.key(0), world.key(1));
    assert!(world.nodes[0].up.is_empty() && world.nodes[1].up.is_empty());
    let why = Distrust::KeyChanged { pinned: own };
    assert!(world.nodes[0].notices.contains(&Notice::Distrusted { node: name, key, why }));
    assert!(world.nodes[1].why().contains(&"peer_key_changed"), "{:?}", world.nodes[1].why());
    assert_eq!(world.nodes[0].pins, []);
    assert!(world.act(0, |endpoint, now, out| endpoint.trust_key(now, key, out)));
    world.live(Duration::from_secs(61));
    world.assert_linked(0, 1);
}

#[test]
fn another_node_at_a_known_address_is_not_taken_for_the_peer() {
    let mut world = World::new(3, 1);
    let key = world.key(2);
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, Some(key), vec![address(1)], out));
    world.run();
    assert_eq!(world.nodes[0].why(), ["wrong_peer"]);
    assert_eq!(world.states(0), [PeerState::Faulted]);
    assert!(world.nodes[0].up.is_empty());
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, Some(key), vec![address(2)], out));
    world.run();
    world.assert_linked(0, 2);
}

#[test]
fn peers_that_only_came_in_give_way_to_new_ones() {
    let small = endpoint(0, 1, |s| s.max_peers = 3);
    let mut endpoints = vec![small];
    endpoints.extend((1..8).map(|number| endpoint(number, 1, |_| {})));
    let mut world = World::of(endpoints, 1);
    for number in 1..8 {
        world.add(number, 0);
        world.live(Duration::from_secs(15));
        world.act(number, |endpoint, now, out| endpoint.stop(now, out));
        world.live(Duration::from_secs(15));
    }
    assert_eq!(world.nodes[0].ups, 7);
    assert_eq!(world.states(0).len(), 3);
    // With every place taken by a link, a newcomer is told so.
    for number in 1..5 {
        world.act(number, |endpoint, now, out| endpoint.start(now, out));
        world.run();
    }
    assert_eq!(world.nodes[0].up.len(), 3);
    assert!(world.nodes[4].why().contains(&"busy"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn garbage_from_strangers_harms_no_link(pieces in proptest::collection::vec((0_u8..5, proptest::collection::vec(any::<u8>(), 0..600)), 0..40)) {
        let mut world = World::new(2, 1);
        world.add(0, 1);
        world.run();
        let mut links = [None; 5];
        for (number, bytes) in pieces {
            let slot = usize::from(number);
            let link = match links[slot] {
                Some(link) => link,
                None => world.act(0, |endpoint, now, out| endpoint.incoming(now, stranger(number), out)).unwrap(),
            };
            links[slot] = Some(link);
            world.act(0, |endpoint, now, out| endpoint.handle_bytes(now, link, &bytes, out));
            if bytes.len() % 7 == 0 {
                world.act(0, |endpoint, now, out| endpoint.handle_end(now, link, None, out));
                links[slot] = None;
            }
        }
        world.assert_linked(0, 1);
        prop_assert!(world.nodes[0].downs.is_empty());
    }
}
