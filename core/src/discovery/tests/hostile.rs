//! Strangers, forgers, and members that mean harm.

use super::message::{About, Body, Message};
use super::seal::Network;
use super::*;
use crate::identity::Purpose;

fn network(secret: u8) -> Network {
    Network::new(Some(&NetworkSecret::from_bytes([secret; 32])))
}

fn about(number: usize) -> About {
    About {
        node: described(number).node,
        interval: seconds(30),
        ways: reach::ways(&described(number).listeners, false),
        capabilities: vec![],
    }
}

fn said(number: usize, now: Now, count: u64, body: Body) -> Message {
    Message { key: key(number), boot: 7, count, wall: now.wall, body }
}

fn probe(number: usize, now: Now, count: u64) -> Message {
    said(number, now, count, Body::Probe { question: [5; 16], spread: Duration::ZERO, about: about(number) })
}

#[test]
fn other_networks_are_not_heard_and_that_is_told_once_a_minute() {
    for secrets in [[Some(1), Some(2)], [Some(1), None], [None, Some(1)]] {
        let nodes = secrets.iter().enumerate().map(|(number, secret)| discovery_with(number, 0, *secret, |_| ()));
        let mut world = World::of(nodes.collect());
        world.start_all();
        world.run(seconds(59));
        for by in 0..2 {
            assert_eq!(world.state(1 - by, by), "unknown");
            let told = Notice::Ignored { why: Ignored::Unauthenticated, from: address(1 - by) };
            assert_eq!(world.nodes[by].notices(), [&told]);
            assert_eq!(world.sent.iter().filter(|(_, _, to, _)| *to != group()).count(), 0, "and not answered");
        }
    }
}

#[test]
fn a_network_without_a_secret_works_by_signatures_alone() {
    let mut world = World::of((0..2).map(|number| discovery_with(number, 0, None, |_| ())).collect());
    world.start_all();
    world.run(seconds(2));
    assert_eq!(world.state(1, 0), "available");
}

#[test]
fn a_member_cannot_speak_in_the_name_of_another() {
    let mut world = World::running(3);
    let message = said(1, world.now, 1 << 40, Body::Announce(about(1)));
    let goodbye = said(1, world.now, 1 << 40, Body::Goodbye);
    let before = world.sighting(1, 0).unwrap();
    for message in [message, goodbye] {
        // Signed by node 2, though it names node 1.
        let forged = network(SECRET).seal(&identity(2), &message);
        world.inject(0, address(2), &forged);
        // Signed by node 1, for another network.
        let mut bytes = message.encode();
        let elsewhere = identity(1).sign(Purpose::Discovery, &[&bytes[..], network(4).tag()].concat());
        bytes.extend(elsewhere.0);
        world.inject(0, address(2), &network(SECRET).seal_bytes(bytes));
    }
    assert_eq!(world.nodes[0].ignored(Ignored::Forged), 4);
    assert_eq!(world.sighting(1, 0).unwrap(), before);
    assert_eq!(world.nodes[0].notices(), [&Notice::Ignored { why: Ignored::Forged, from: address(2) }]);
}

#[test]
fn a_crowd_by_one_name_is_told_of_in_few_words() {
    let mut world = World::of(vec![discovery_with(0, 0, Some(SECRET), |settings| settings.checks_per_second = 10_000)]);
    world.start_all();
    for round in 1..=3 {
        for number in 1..=300 {
            let name = if round == 2 { format!("other-{number}") } else { "crowd".into() };
            let about = About { node: NodeId::new(name).unwrap(), ..about(1) };
            let message = said(number, world.now, round, Body::Announce(about));
            let bytes = network(SECRET).seal(&identity(number), &message);
            world.inject(0, address(1), &bytes);
        }
        world.run(seconds(2));
    }
    assert_eq!(world.nodes[0].discovery.status(world.now).nodes.len(), 300);
    let told = world.nodes[0].notices();
    let counts: Vec<_> = told
        .iter()
        .filter_map(|notice| match notice {
            Notice::SharedName { others, .. } => Some(*others),
            _ => None,
        })
        .collect();
    assert_eq!(counts[..3], [1, 2, 3]);
    assert!(told.len() <= 8 + 8 + 4, "{} notices of 600 renamings in four seconds", told.len());
}

#[test]
fn every_bit_of_a_datagram_counts() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.start_all();
    world.wire.clear();
    world.act(1, |discovery, now, out| discovery.announce(now, out));
    let (.., good) = world.sent.last().cloned().unwrap();
    world.wire.clear();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        world.inject(0, address(1), &bytes);
    }
    for len in 0..good.len() {
        world.inject(0, address(1), &good[..len]);
    }
    assert_eq!((world.state(1, 0), world.nodes[0].discovery.counters.believed), ("unknown", 0));
    world.inject(0, address(1), &good);
    assert_eq!(world.state(1, 0), "available");
}

/// Everything that could grow with what is sent. (What is kept for each reason to drop a datagram cannot.)
fn held(node: &Discovery) -> [usize; 3] {
    [node.registry.len(), node.replies.len(), node.asked.len()]
}

#[test]
fn a_flood_of_forged_datagrams_is_neither_remembered_nor_answered() {
    let mut world = World::running(2);
    let checks_before = world.nodes[0].discovery.checks;
    let good = network(SECRET).seal(&identity(1), &probe(1, world.now, 1 << 40));
    let before = held(&world.nodes[0].discovery);
    let mut dice = Seed::from_number(1).stream("flood");
    let node = &mut world.nodes[0];
    for number in 0..100_000_u32 {
        let mut bytes = good.to_vec();
        bytes[dice.below(good.len() as u64) as usize] ^= 1 + dice.below(255) as u8;
        let from = SocketAddr::from((number.to_be_bytes(), 1 + dice.below(60_000) as u16));
        node.discovery.handle_datagram(world.now, from, &bytes, &mut node.told);
    }
    let node = &world.nodes[0];
    assert_eq!(held(&node.discovery), before);
    let reasons = [Ignored::NotDiscovery, Ignored::OtherVersion, Ignored::Unauthenticated];
    assert_eq!(reasons.map(|why| node.ignored(why)).iter().sum::<u64>(), 100_000);
    assert_eq!(node.told.len(), 2, "one notice for each reason that is news: {:?}", node.told);
    assert!(node.told.iter().all(|effect| matches!(effect, Effect::Notice(Notice::Ignored { .. }))));
    assert_eq!(format!("{:?}", node.discovery.checks), format!("{checks_before:?}"), "no signature was checked");
    world.run(seconds(10));
    assert_eq!(world.state(1, 0), "available", "friends are heard as ever");
}

#[test]
fn signatures_are_checked_at_a_limited_rate() {
    let mut world = World::of(vec![discovery_with(0, 0, Some(SECRET), |settings| settings.checks_per_second = 10)]);
    world.start_all();
    for count in 0..100 {
        let forged = network(SECRET).seal(&identity(2), &said(1, world.now, count, Body::Announce(about(1))));
        world.inject(0, address(2), &forged);
    }
    assert_eq!(world.nodes[0].ignored(Ignored::Forged), 20);
    assert_eq!(world.nodes[0].ignored(Ignored::Overload), 80);
}

#[test]
fn no_answer_is_longer_than_its_question_and_answers_are_limited() {
    let mut world = World::running(2);
    let mut out = Vec::new();
    let now = world.now;
    let mut ask = |member: usize, count: u64, from: usize| {
        let bytes = network(SECRET).seal(&identity(member), &probe(member, now, count));
        let before = out.len();
        world.nodes[0].discovery.handle_datagram(now, address(from), &bytes, &mut out);
        let sends: Vec<_> = out[before..].iter().filter(|effect| matches!(effect, Effect::Send { .. })).collect();
        assert!(sends.len() <= 1);
        for effect in &sends {
            let Effect::Send { to, bytes: answer } = effect else { unreachable!() };
            assert!(answer.len() <= bytes.len() && *to == Target::Unicast(address(from)));
        }
        sends.len()
    };
    let of_one: usize = (1..100).map(|count| ask(5, count, 5)).sum();
    assert_eq!(of_one, 16, "the first is answered before its sender is known, and then there is a limit for each");
    let of_many: usize = (10..250).map(|member| ask(member, 1, 6)).sum();
    assert_eq!(of_many, 128 - 16);
    assert_eq!(world.nodes[0].discovery.counters.unanswered, 99 - 16 + 240 - 112);
}

#[test]
fn questions_and_answers_do_not_go_round_for_ever() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.nodes[0].ahead = 10_000_000;
    world.start_all();
    world.run(seconds(600));
    let single = world.sent.iter().filter(|(_, _, to, _)| *to != group()).count();
    assert!(single <= 8, "{single} datagrams to settle that both are there");
}

#[test]
fn members_without_number_do_not_push_out_those_who_are_there() {
    let settings = |settings: &mut Settings| settings.max_nodes = 4;
    let mut world = World::of(vec![discovery_with(0, 0, Some(SECRET), settings), discovery(1, 0)]);
    world.start_all();
    world.run(seconds(1));
    for member in 100..200 {
        let bytes = network(SECRET).seal(&identity(member), &said(member, world.now, 1, Body::Announce(about(member))));
        world.inject(0, address(9), &bytes);
    }
    assert_eq!((world.state(1, 0), world.nodes[0].discovery.registry.len()), ("available", 4));
    assert_eq!(world.nodes[0].ignored(Ignored::Full), 97);
    // The invented ones fall silent, and give way.
    world.run(seconds(301));
    let bytes = network(SECRET).seal(&identity(200), &said(200, world.now, 1, Body::Announce(about(200))));
    world.inject(0, address(9), &bytes);
    assert_eq!((world.state(1, 0), world.state(200, 0)), ("available", "available"));
    assert_eq!(world.nodes[0].discovery.registry.len(), 4);
    world.run(seconds(8000));
    assert_eq!(world.nodes[0].discovery.registry.len(), 1);
}

#[test]
fn nothing_is_heard_or_said_while_stopped() {
    let mut world = World::running(2);
    world.act(0, |discovery, now, out| discovery.stop(now, out));
    world.deliver();
    world.sent.clear();
    let received = world.nodes[0].discovery.counters.received;
    world.run(seconds(4000));
    assert!(!world.sent.iter().any(|(_, by, ..)| *by == 0));
    assert_eq!(world.nodes[0].discovery.counters.received, received);
    assert_eq!(world.nodes[0].news(), [("silent", "node-1")], "what was found grows old");
    assert_eq!(world.nodes[0].discovery.poll_timeout(), None);
}

#[test]
fn a_sieve_keeps_away_what_the_machine_would_drop_unread_and_it_is_counted_all_the_same() {
    let mut world = World::running(2);
    let sieve = Sieve::new(Some(&NetworkSecret::from_bytes([SECRET; 32])));
    let good = network(SECRET).seal(&identity(1), &said(1, world.now, 1 << 40, Body::Announce(about(1))));
    let mut torn = good.to_vec();
    torn.pop();
    let mut other_version = good.to_vec();
    other_version[6] = 9;
    let stranger = network(SECRET + 1).seal(&identity(1), &said(1, world.now, 1 << 40, Body::Announce(about(1))));
    assert_eq!(sieve.check(&good), Ok(()));
    assert_eq!(sieve.check(&torn), Err(Ignored::Unauthenticated));
    assert_eq!(sieve.check(&other_version), Err(Ignored::OtherVersion));
    assert_eq!(sieve.check(&stranger), Err(Ignored::Unauthenticated));
    assert_eq!(sieve.check(b"hello"), Err(Ignored::NotDiscovery));
    let long = [&good[..], &[0; message::MAX_LEN]].concat();
    for odd in [&good[..message::MIN_LEN - 1], &long[..message::MAX_LEN + 1]] {
        assert_eq!(sieve.check(odd), Err(Ignored::NotDiscovery), "{} bytes cost no hash", odd.len());
    }

    let before = world.nodes[0].discovery.status(world.now).counters;
    world.act(0, |discovery, now, out| {
        discovery.handle_dropped(now, address(7), Ignored::Unauthenticated, 1_000_000, out);
    });
    let after = world.nodes[0].discovery.status(world.now).counters;
    assert_eq!(after.received - before.received, 1_000_000);
    assert_eq!(world.nodes[0].ignored(Ignored::Unauthenticated), 1_000_000);
    assert_eq!(world.nodes[0].notices(), [&Notice::Ignored { why: Ignored::Unauthenticated, from: address(7) }]);
}

#[test]
fn answers_that_wait_for_their_moment_are_bounded_and_the_others_counted() {
    let many = |settings: &mut Settings| (settings.replies_per_second, settings.checks_per_second) = (10_000, 10_000);
    let mut world = World::of(vec![discovery_with(0, 0, Some(SECRET), many)]);
    world.start_all();
    world.deliver();
    for member in 100..400 {
        let body = Body::Probe { question: [5; 16], spread: Duration::from_millis(500), about: about(member) };
        let bytes = network(SECRET).seal(&identity(member), &said(member, world.now, 1, body));
        world.inject(0, address(9), &bytes);
    }
    let node = &world.nodes[0].discovery;
    assert_eq!((node.replies.len(), node.counters.unanswered), (256, 44));
}

#[test]
fn nodes_of_another_time_are_asked_seldom() {
    let mut world = World::of(vec![discovery(0, 0)]);
    world.start_all();
    world.deliver();
    let asked = |world: &World| world.sent.iter().filter(|(_, _, to, _)| *to != group()).count();
    let announce = |world: &mut World, member: usize, count: u64| {
        let mut message = said(member, world.now, count, Body::Announce(about(member)));
        message.wall.0 += 10_000_000;
        let bytes = network(SECRET).seal(&identity(member), &message);
        world.inject(0, address(9), &bytes);
    };
    for count in 1..=20 {
        announce(&mut world, 5, count);
    }
    assert_eq!(asked(&world), 1, "each once until it had time to answer");
    for member in 30..60 {
        announce(&mut world, member, 1);
    }
    assert_eq!(asked(&world), 8, "and all of them no more often than a few times a second");
}

#[test]
fn the_same_reason_is_told_again_after_a_minute() {
    let mut world = World::of(vec![discovery(0, 0)]);
    world.start_all();
    for (passed, told) in [(0, 1), (59_999, 1), (1, 2), (1, 2)] {
        world.run(Duration::from_millis(passed));
        world.act(0, |discovery, now, out| {
            discovery.handle_dropped(now, address(7), Ignored::Unauthenticated, 1, out);
        });
        assert_eq!(world.nodes[0].notices().len(), told);
    }
}

#[test]
fn answers_that_wait_are_given_in_turn_and_forgotten_when_discovery_stops() {
    let mut replies = send::Replies::default();
    for number in 1..=3 {
        let reply = send::Reply { to: address(number), answer: [0; 16], doubt: false };
        assert!(replies.push(Instant(5), reply));
    }
    assert!(replies.pop(Instant(4)).is_none());
    let given: Vec<_> = core::iter::from_fn(|| replies.pop(Instant(5))).map(|reply| reply.to).collect();
    assert_eq!(given, [address(1), address(2), address(3)], "of one moment, in the order of the questions");

    let mut world = World::running(1);
    let body = Body::Probe { question: [5; 16], spread: Duration::from_millis(500), about: about(5) };
    let bytes = network(SECRET).seal(&identity(5), &said(5, world.now, 1, body));
    world.inject(0, address(5), &bytes);
    assert_eq!(world.nodes[0].discovery.replies.len(), 1);
    world.act(0, |discovery, now, out| discovery.stop(now, out));
    world.start(0);
    world.run(seconds(2));
    assert!(!world.sent.iter().any(|(_, _, to, _)| *to == Target::Unicast(address(5))), "the former start was asked");
}

#[test]
fn every_datagram_is_counted() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.start_all();
    world.run(seconds(100));
    for node in 0..2 {
        let sent = world.sent.iter().filter(|(_, by, ..)| *by == node).count() as u64;
        let counters = world.nodes[node].discovery.status(world.now).counters;
        assert_eq!(counters.sent, sent);
        let ignored: u64 = counters.ignored.values().sum();
        assert_eq!(counters.received, counters.believed + ignored);
    }
}

#[test]
fn a_new_start_is_believed_only_in_time_and_not_before_what_the_former_one_said() {
    let mut world = World::of(vec![discovery(0, 0)]);
    world.start_all();
    let announce = |world: &mut World, boot: u64, later: i64| {
        let mut message = Message { boot, ..said(5, world.now, 1, Body::Announce(about(5))) };
        message.wall.0 = message.wall.0.saturating_add_signed(later);
        let bytes = network(SECRET).seal(&identity(5), &message);
        world.inject(0, address(5), &bytes);
        world.nodes[0].discovery.sighting(world.now, &key(5)).map(|sighting| sighting.boot)
    };
    assert_eq!(announce(&mut world, 7, 0), Some(7));
    assert_eq!(announce(&mut world, 8, 10_000_000), Some(7), "far in the future");
    assert_eq!(announce(&mut world, 8, -1), Some(7), "earlier than the present start");
    assert_eq!(announce(&mut world, 8, 0), Some(8));
}
