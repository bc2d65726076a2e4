//! Who is dialled, when, and what an operator sees of it.

use super::*;

#[test]
fn dialling_goes_on_for_ever_with_growing_jittered_pauses() {
    let mut world = World::new(2, 1);
    world.nodes[1].reachable = false;
    world.add(0, 1);
    world.live(Duration::from_secs(3600));
    let dialled = &world.nodes[0].dialled;
    let pauses: Vec<Duration> = dialled.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    for (index, pause) in pauses.iter().enumerate() {
        let whole = Duration::from_millis(500).saturating_mul(1 << index.min(20)).min(Duration::from_secs(60));
        assert!(*pause <= whole && *pause >= whole / 2, "pause {index} is {pause:?}, not half to whole of {whole:?}");
    }
    assert!((60..140).contains(&pauses.len()), "{} in an hour", pauses.len());
    assert!(pauses[20..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter");
    world.nodes[1].reachable = true;
    world.live(Duration::from_secs(60));
    world.assert_linked(0, 1);
}

#[test]
fn after_a_steady_link_the_first_dial_comes_soon() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(60));
    world.break_links_of(0);
    let broken = world.now;
    world.live(Duration::from_secs(1));
    let (at, _) = world.nodes[0].dialled.last().unwrap();
    assert!(at.since(broken) <= Duration::from_millis(500));
    world.assert_linked(0, 1);
}

#[test]
fn a_minute_long_after_a_cut_no_pause_is_longer_than_a_second() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(60));
    world.nodes[1].reachable = false;
    world.break_links_of(0);
    let cut = world.now;
    world.live(Duration::from_secs(600));
    let times: Vec<Duration> =
        world.nodes[0].dialled.iter().filter(|(at, _)| *at > cut).map(|(at, _)| at.since(cut)).collect();
    let (soon, later): (Vec<_>, Vec<_>) =
        times.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).partition(|(at, _)| *at < Duration::from_secs(60));
    assert!(soon.len() >= 60 && soon.iter().all(|(_, pause)| *pause <= Duration::from_secs(1)), "{soon:?}");
    assert!(later.len() < 30 && later.iter().any(|(_, pause)| *pause >= Duration::from_secs(30)), "{later:?}");
}

#[test]
fn a_link_that_never_lasts_is_dialled_less_and_less() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    for _ in 0..600 {
        world.live(Duration::from_secs(1));
        world.break_links_of(0);
    }
    let ups = world.nodes[0].ups;
    assert!((8..60).contains(&ups), "{ups} links in ten minutes");
}

#[test]
fn a_link_that_brings_something_is_dialled_again_soon_however_short_it_was() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    let peer = world.key(1);
    for _ in 0..600 {
        world.live(Duration::from_secs(1));
        if world.nodes[0].up.contains_key(&peer) {
            world.nodes[0].endpoint.note_progress(&peer);
        }
        world.break_links_of(0);
    }
    let ups = world.nodes[0].ups;
    assert!(ups > 400, "{ups} links in ten minutes");
}

#[test]
fn addresses_are_tried_in_turn_before_the_pause_grows() {
    let mut world = World::new(2, 1);
    let addresses: Vec<Address> =
        ["nowhere:1", "nowhere:2", "node-1:7"].iter().map(|text| text.parse().unwrap()).collect();
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, None, addresses.clone(), out));
    world.live(Duration::from_secs(2));
    world.assert_linked(0, 1);
    let tried: Vec<Address> = world.nodes[0].dialled.iter().map(|(_, address)| address.clone()).collect();
    assert_eq!(tried, addresses);
}

#[test]
fn dials_are_few_at_a_time_and_none_is_forgotten() {
    let mut endpoint = endpoint(0, 1, |s| s.max_dials = 3);
    let mut out = Vec::new();
    let now = Instant(0);
    endpoint.start(now, &mut out);
    for number in 0..50 {
        let address = format!("far-{number}:1").parse().unwrap();
        endpoint.add_peer(now, None, vec![address], &mut out);
    }
    let mut seen = alloc::collections::BTreeSet::new();
    while seen.len() < 50 {
        let dials: Vec<_> = out
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Dial { link, address, .. } => Some((link, address)),
                _ => None,
            })
            .collect();
        assert!(!dials.is_empty() && dials.len() <= 3);
        for (link, address) in dials {
            seen.insert(address);
            endpoint.handle_dial_failed(now, link, "refused".into(), &mut out);
        }
    }
}

#[test]
fn a_dial_that_succeeds_makes_place_for_the_next() {
    let mut endpoints = vec![endpoint(0, 1, |s| s.max_dials = 1)];
    endpoints.extend((1..5).map(|number| endpoint(number, 1, |_| {})));
    let mut world = World::of(endpoints, 1);
    for number in 1..5 {
        world.add(0, number);
    }
    world.run();
    assert_eq!(world.nodes[0].up.len(), 4, "without waiting for time to pass");
}

#[test]
fn a_connection_that_is_never_made_is_given_up() {
    let mut endpoint = endpoint(0, 1, |_| {});
    let mut out = Vec::new();
    endpoint.start(Instant(0), &mut out);
    endpoint.add_peer(Instant(0), None, vec![address(1)], &mut out);
    let Effect::Dial { link, .. } = out[0] else { panic!() };
    let at = endpoint.poll_timeout().unwrap();
    assert_eq!(at.since(Instant(0)), Settings::default().dial_timeout);
    out.clear();
    endpoint.handle_timeout(at, &mut out);
    assert!(
        matches!(&out[0], Effect::Close { link: closed, reason: CloseReason::NotReached { .. } } if *closed == link)
    );
    out.clear();
    endpoint.handle_connected(at, link, &mut out);
    assert_eq!(out, [], "too late");
}

#[test]
fn peers_grow_stale_and_expire_and_unwanted_ones_are_forgotten() {
    let mut world = World::new(2, 1);
    let id = world.add(0, 1);
    world.run();
    world.nodes[1].reachable = false;
    world.act(1, |endpoint, now, out| endpoint.stop(now, out));
    world.run();
    assert_eq!(world.nodes[0].downs[0].1, CloseReason::Peer(Farewell::Bye));
    let at = |world: &mut World, seconds| {
        world.live(Duration::from_secs(seconds));
        let state = world.nodes[0].endpoint.peers(world.now).next().map(|peer| peer.state);
        // A dial may be under way only while the network carries it, which is at once here.
        state
    };
    assert_eq!(at(&mut world, 1), Some(PeerState::Available));
    assert_eq!(at(&mut world, 130), Some(PeerState::Stale));
    assert_eq!(at(&mut world, 3600), Some(PeerState::Expired));
    assert!(world.nodes[0].endpoint.peers(world.now).next().unwrap().wanted, "a wanted peer stays");
    assert!(world.states(1).is_empty() || world.states(1) == [PeerState::Stale], "{:?}", world.states(1));
    world.live(Duration::from_secs(3600));
    assert!(world.states(1).is_empty(), "one that only came in is forgotten");
    assert!(world.act(0, |endpoint, now, out| endpoint.remove_peer(now, id, out)));
    assert!(world.states(0).is_empty());
    assert!(!world.act(0, |endpoint, now, out| endpoint.remove_peer(now, id, out)));
}

#[test]
fn whoever_only_came_in_is_forgotten_though_others_are_dialled_again_before() {
    type Begin = fn(&mut Endpoint, Instant, &mut dyn Sink<Effect>);
    let begin: [Begin; 2] =
        [|endpoint, now, out| endpoint.start(now, out), |endpoint, now, out| endpoint.dial_again(now, out)];
    for begin in begin {
        let mut world = World::new(2, 1);
        world.add(0, 1);
        world.run();
        world.nodes[1].reachable = false;
        world.act(0, |endpoint, now, out| endpoint.stop(now, out));
        world.live(Duration::from_secs(60));
        world.act(1, |endpoint, now, out| begin(endpoint, now, out));
        let known: Vec<_> = world.nodes[1].endpoint.peers(world.now).map(|peer| peer.next_dial_in).collect();
        assert_eq!(known, [None], "it is known, and not dialled");
        world.live(Duration::from_secs(2 * 3600));
        assert!(world.states(1).is_empty());
    }
}

#[test]
fn whoever_waits_to_be_dialled_again_can_be_dialled_at_once() {
    let (mut endpoint, mut out) = (endpoint(0, 1, |_| {}), Vec::new());
    endpoint.start(Instant(0), &mut out);
    endpoint.add_peer(Instant(0), None, vec![address(1)], &mut out);
    let mut now = Instant(0);
    for _ in 0..10 {
        let Some(Effect::Dial { link, .. }) = out.pop() else { panic!("not dialled") };
        endpoint.dial_again(now, &mut out);
        assert_eq!(out, [], "a dial is under way");
        endpoint.handle_dial_failed(now, link, "refused".into(), &mut out);
        out.clear();
        now = now + Duration::from_millis(1);
        endpoint.dial_again(now, &mut out);
        assert!(endpoint.peers(now).all(|peer| peer.failures == 0), "pauses begin anew");
    }
}

#[test]
fn a_disconnected_peer_stays_away_until_it_is_connected() {
    let mut world = World::new(2, 1);
    let id = world.add(0, 1);
    world.add(1, 0);
    world.live(Duration::from_secs(20));
    assert!(world.act(0, |endpoint, now, out| endpoint.disconnect(now, id, out)));
    world.live(Duration::from_secs(300));
    assert!(world.nodes[0].up.is_empty());
    assert!(world.nodes[1].why().contains(&"disconnected"));
    assert!(world.act(0, |endpoint, now, out| endpoint.connect(now, id, out)));
    world.live(Duration::from_secs(100));
    world.assert_linked(0, 1);
}

#[test]
fn a_peer_that_was_disconnected_in_an_earlier_run_stays_away_and_never_expires() {
    let mut world = World::new(2, 1);
    let key = world.key(1);
    let id = world.act(0, |endpoint, now, out| endpoint.hold_peer(now, Some(key), vec![address(1)], out));
    world.add(1, 0);
    world.live(Duration::from_secs(4 * 3600));
    assert!(world.nodes[0].up.is_empty() && world.nodes[0].dialled.is_empty());
    assert!(world.nodes[1].why().contains(&"disconnected"));
    assert!(world.nodes[0].endpoint.peers(world.now).next().unwrap().held);
    assert!(world.act(0, |endpoint, now, out| endpoint.connect(now, id, out)));
    world.live(Duration::from_secs(61));
    world.assert_linked(0, 1);
}

#[test]
fn stopping_says_goodbye_and_starting_links_again() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(20));
    world.act(0, |endpoint, now, out| endpoint.stop(now, out));
    world.live(Duration::from_secs(100));
    assert_eq!(world.nodes[1].downs[0].1, CloseReason::Peer(Farewell::Bye));
    assert!(world.nodes[0].up.is_empty() && world.nodes[0].endpoint.poll_timeout().is_none());
    let from = "10.0.0.2:1".parse().unwrap();
    let turned = world.act(0, |endpoint, now, out| endpoint.incoming(now, from, out));
    assert_eq!(turned, Err(TurnedAway::Stopped));
    world.act(0, |endpoint, now, out| endpoint.start(now, out));
    world.run();
    world.assert_linked(0, 1);
}

#[test]
fn the_layer_above_can_end_a_link_for_its_own_reason() {
    let mut world = World::new(2, 1);
    world.add(0, 1);
    world.live(Duration::from_secs(20));
    let key = world.key(1);
    world.act(0, |endpoint, now, out| endpoint.close_peer(now, &key, Farewell::Above(0x81), Duration::ZERO, out));
    world.live(Duration::from_secs(1));
    assert_eq!(world.nodes[1].downs[0].1, CloseReason::Peer(Farewell::Above(0x81)));
    world.assert_linked(0, 1);
}

#[test]
fn room_and_sending_follow_the_link() {
    let mut world = World::new(2, 1);
    let key = world.key(1);
    assert_eq!(world.nodes[0].endpoint.room(&key), 0);
    assert_eq!(world.nodes[0].endpoint.send(&key, Lane::Bulk, Bytes::new()), Err(SendRefused::NotUp));
    world.add(0, 1);
    world.run();
    assert_eq!(world.nodes[0].endpoint.room(&key), Settings::default().link.bulk_queue);
    world.cut(0, 1);
    while world.nodes[0].endpoint.room(&key) > 0 {
        world.nodes[0].endpoint.send(&key, Lane::Bulk, vec![0; 100_000].into()).unwrap();
        world.act(0, |endpoint, now, out| endpoint.flush(now, out));
    }
    assert_eq!(world.nodes[0].endpoint.send(&key, Lane::Bulk, vec![0; 100_000].into()), Err(SendRefused::Full));
}

#[test]
fn what_was_found_is_dialled_at_a_bounded_pace_whatever_is_announced() {
    let mut world = World::new(1, 1);
    let name = NodeId::new("found").unwrap();
    let keys: Vec<_> = (0..100).map(|number| NodeKey([number; 32])).collect();
    let announce = |world: &mut World, key: NodeKey, round: usize| {
        let ways: Vec<Address> = (0..4).map(|way| format!("victim-{round}:{}", way + 1).parse().unwrap()).collect();
        world.act(0, |endpoint, now, out| endpoint.want_found(now, key, &name, ways, out));
    };
    // One key that is started anew all the time.
    for round in 0..600 {
        announce(&mut world, keys[0], round % 8);
        world.live(Duration::from_millis(100));
    }
    let of_one = world.nodes[0].dialled.len();
    assert!((6..120).contains(&of_one), "{of_one} dials in a minute");
    for round in 0..60 {
        for key in &keys {
            announce(&mut world, *key, round % 8);
        }
        world.live(Duration::from_secs(1));
    }
    let of_all = world.nodes[0].dialled.len() - of_one;
    assert!((400..32 + 60 * 8 + 8).contains(&of_all), "{of_all} dials in a minute");
    // Those who were found do not keep whom the operator named.
    let before = world.nodes[0].dialled.len();
    world.act(0, |endpoint, now, out| endpoint.add_peer(now, None, vec!["till:1".parse().unwrap()], out));
    assert_eq!(world.nodes[0].dialled[before..].len(), 1);
}
