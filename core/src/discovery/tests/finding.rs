//! Who is found, when, where, and how it is lost again.

use super::*;

#[test]
fn nodes_find_each_other_within_a_second() {
    let mut world = World::of((0..5).map(|number| discovery(number, 0)).collect());
    world.start_all();
    world.run(seconds(1));
    for by in 0..5 {
        for of in (0..5).filter(|of| *of != by) {
            let sighting = world.sighting(of, by).unwrap();
            assert_eq!(sighting.node.as_str(), format!("node-{of}"));
            assert_eq!(sighting.addresses, [dialled(of)]);
            assert_eq!(sighting.capabilities, ["relay", "store"]);
            assert_eq!((sighting.state, sighting.clock_ahead), (NodeState::Available, 0));
        }
        let node = &world.nodes[by];
        assert_eq!(node.news().iter().filter(|(what, _)| *what == "found").count(), 4);
        assert!(node.notices().is_empty(), "{:?}", node.notices());
        assert!(node.ignored(Ignored::Own) > 0, "its own datagrams come back and mean nothing");
    }
}

#[test]
fn a_newcomer_learns_of_everybody_by_its_probe() {
    let mut world = World::running(4);
    world.run(seconds(100));
    world.nodes.push(Node { discovery: discovery(4, 0), told: vec![], ahead: 0, address: address(4) });
    world.start(4);
    world.run(Duration::from_millis(600));
    assert_eq!(world.nodes[4].discovery.status(world.now).nodes.len(), 4);
    let mut replies: Vec<_> = world.sent.iter().filter(|(_, _, to, _)| *to == Target::Unicast(address(4))).collect();
    replies.dedup_by_key(|(at, ..)| *at);
    assert_eq!(replies.len(), 4, "answers are spread");
}

#[test]
fn announcements_come_fast_at_first_then_seldom_and_never_in_step() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.start_all();
    world.run(seconds(1000));
    let announced = |node: usize| -> Vec<u64> {
        let own = world.sent.iter().filter(|(_, by, to, _)| *by == node && *to == group());
        own.map(|(at, ..)| at.0).collect()
    };
    let times = announced(0);
    let pauses: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
    for (at, pause) in pauses.iter().enumerate() {
        let due = 30_f64.min((1_u64 << at.min(10)) as f64);
        assert!((due * 0.75..due * 1.25).contains(pause), "{at}: {pause}");
    }
    assert!(pauses.len() > 30);
    assert!(!announced(1).iter().skip(1).any(|at| times.contains(at)));
}

#[test]
fn a_silent_node_grows_stale_expires_and_is_pruned() {
    let mut world = World::running(2);
    world.run(seconds(300));
    let heard = world.sighting(1, 0).unwrap().last_heard;
    let (cut_at, quiet) = (world.now.mono, world.now.mono.since(heard));
    world.cut.insert(1);
    let mut states = vec![];
    for (after, state) in [(89, "available"), (91, "stale"), (299, "stale"), (301, "expired"), (3599, "expired")] {
        world.run((seconds(after) - quiet).saturating_sub(world.now.mono.since(cut_at)));
        states.push((world.state(1, 0), state));
    }
    assert!(states.iter().all(|(is, due)| is == due), "{states:?}");
    assert_eq!(world.nodes[0].news(), [("silent", "node-1")]);
    world.run(seconds(2));
    assert_eq!(world.state(1, 0), "unknown");
    world.cut.clear();
    world.run(seconds(40));
    assert_eq!(world.nodes[0].news(), [("silent", "node-1"), ("found", "node-1")]);
}

#[test]
fn a_stale_node_is_available_again_when_it_is_heard_and_an_expired_one_is_found_anew() {
    let mut world = World::running(2);
    world.cut.insert(1);
    world.run(seconds(200));
    assert_eq!(world.state(1, 0), "stale");
    world.cut.clear();
    world.run(seconds(40));
    assert_eq!((world.state(1, 0), world.nodes[0].news().len()), ("available", 0));
    world.cut.insert(1);
    world.run(seconds(400));
    world.cut.clear();
    world.run(seconds(40));
    assert_eq!(world.nodes[0].news(), [("silent", "node-1"), ("found", "node-1")]);
}

#[test]
fn a_node_that_announces_seldom_is_given_more_time() {
    let slow = |settings: &mut Settings| {
        settings.interval = seconds(600);
        (settings.stale_after, settings.expire_after) = (seconds(1800), seconds(3600));
    };
    let mut world = World::of(vec![discovery(0, 0), discovery_with(1, 0, Some(SECRET), slow)]);
    world.start_all();
    world.run(seconds(6000));
    assert_eq!(world.nodes[0].news(), [("found", "node-1")]);
    world.cut.insert(1);
    world.run(seconds(1800 + 210 + 1));
    assert_eq!(world.state(1, 0), "expired");
}

#[test]
fn goodbye_is_believed_at_once_and_nothing_of_that_start_afterwards() {
    let mut world = World::running(2);
    world.run(seconds(50));
    let before: Vec<_> = world.sent.iter().filter(|(_, by, ..)| *by == 1).cloned().collect();
    world.act(1, |discovery, now, out| {
        // Announced, and delayed on its way.
        discovery.announce(now, out);
    });
    let (.., late) = world.sent.last().cloned().unwrap();
    world.wire.clear();
    world.act(1, |discovery, now, out| discovery.stop(now, out));
    world.run(seconds(1));
    assert_eq!((world.state(1, 0), world.nodes[0].news()), ("expired", vec![("left", "node-1")]));
    for bytes in before.iter().map(|(.., bytes)| bytes).chain([&late]) {
        world.inject(0, address(1), bytes);
    }
    assert_eq!(world.state(1, 0), "expired");
    world.start(1);
    world.run(seconds(1));
    assert_eq!(world.nodes[0].news(), [("left", "node-1"), ("found", "node-1")]);
    assert!(world.nodes[0].notices().is_empty(), "{:?}", world.nodes[0].notices());
}

#[test]
fn a_restart_and_every_change_of_what_is_announced_is_told_once() {
    let mut world = World::running(2);
    let boot = world.sighting(1, 0).unwrap().boot;
    world.nodes[1].discovery = discovery(1, 1);
    world.start(1);
    world.run(seconds(100));
    assert_ne!(world.sighting(1, 0).unwrap().boot, boot);
    assert_eq!(world.nodes[0].news(), [("changed", "node-1")]);

    let mut description = described(1);
    description.capabilities = vec!["till".into()];
    world.act(1, |discovery, now, out| discovery.set_description(now, description.clone(), out).unwrap());
    world.run(seconds(100));
    assert_eq!(world.sighting(1, 0).unwrap().capabilities, ["till"]);
    assert_eq!(world.nodes[0].news().len(), 2);

    description.listeners = vec!["0.0.0.0:5555".parse().unwrap()];
    world.act(1, |discovery, now, out| discovery.set_description(now, description, out).unwrap());
    world.run(seconds(100));
    let moved = SocketAddr::new(address(1).ip(), 5555);
    assert_eq!(world.sighting(1, 0).unwrap().addresses, [moved], "the old port is forgotten");
    assert_eq!(world.nodes[0].news().len(), 3);
    assert!(world.nodes[0].notices().is_empty() && world.nodes[1].notices().is_empty());
}

#[test]
fn each_source_adds_an_address_and_eight_are_kept() {
    let mut world = World::running(2);
    for number in 20..40_u8 {
        world.act(1, Discovery::announce_once);
        let (.., bytes) = world.sent.last().cloned().unwrap();
        world.wire.clear();
        world.now.mono.0 += 1_000_000;
        world.now.wall.0 += 1000;
        world.inject(0, SocketAddr::from(([10, 0, 1, number], 9000)), &bytes);
    }
    let addresses = world.sighting(1, 0).unwrap().addresses;
    let expected: Vec<SocketAddr> = (32..40).rev().map(|number| ([10, 0, 1, number], 4444).into()).collect();
    assert_eq!(addresses, expected, "the latest first");
    world.run(seconds(400));
    assert_eq!(world.sighting(1, 0).unwrap().addresses, [dialled(1)], "addresses not heard of for long are dropped");
}

impl Discovery {
    fn announce_once(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.announce(now, out);
    }
}

#[test]
fn two_nodes_of_one_machine_find_each_other_on_loopback_and_nobody_else_hears_of_it() {
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let on_loopback = |number: usize| {
        let mut discovery = discovery(number, 0);
        discovery.description.listeners = vec![local(7000 + number as u16)];
        discovery
    };
    let mut world = World::of((0..3).map(on_loopback).collect());
    let here = Target::Multicast { group: GROUP, on: Interface::Loopback };
    for node in 0..2 {
        world.nodes[node].address = local(9000 + node as u16);
        world.act(node, |discovery, now, out| discovery.start(now, vec![here, group()], out).unwrap());
    }
    world.start(2);
    // What is sent on loopback does not leave the machine.
    world.cut.insert(2);
    world.run(seconds(10));
    assert_eq!(world.sighting(1, 0).unwrap().addresses, [local(7001)]);
    assert_eq!(world.sighting(0, 1).unwrap().addresses, [local(7000)]);
    let outside: Vec<_> = world.sent.iter().filter(|(_, _, to, _)| *to == group()).cloned().collect();
    for (_, by, _, bytes) in outside {
        world.inject(2, address(by), &bytes);
    }
    assert_eq!(world.sighting(0, 2).unwrap().addresses, [], "known, and nowhere to be dialled");
}

#[test]
fn names_may_be_shared_and_that_is_told() {
    let mut twin = discovery(1, 0);
    twin.description.node = described(2).node;
    let mut world = World::of(vec![discovery(0, 0), twin, discovery(2, 0)]);
    world.start_all();
    world.run(seconds(100));
    let node = described(2).node;
    let told = |by: usize| world.nodes[by].notices().into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(told(0).len(), 1);
    assert!(matches!(&told(0)[0], Notice::SharedName { node: name, .. } if *name == node));
    assert_eq!(told(1), [Notice::SharedName { node: node.clone(), key: key(2), other: key(1), others: 1 }]);
    assert_eq!(world.nodes[0].discovery.status(world.now).nodes.len(), 2, "trust decides, not discovery");
}

#[test]
fn a_failing_target_is_told_once_until_it_works_again() {
    let mut world = World::running(2);
    let fail = |world: &mut World| {
        world.act(0, |discovery, _, out| discovery.handle_send_failed(group(), "no network".into(), out));
    };
    fail(&mut world);
    fail(&mut world);
    let failing = Notice::TargetFailing { target: group(), error: "no network".into() };
    assert_eq!(world.nodes[0].notices(), [&failing]);
    assert_eq!(world.nodes[0].discovery.status(world.now).targets[0].error.as_deref(), Some("no network"));
    world.run(seconds(3));
    fail(&mut world);
    let other = Target::Broadcast("10.0.0.255:4444".parse().unwrap());
    world.act(0, |discovery, now, out| discovery.set_targets(now, vec![other, group(), other], out)).unwrap();
    let errors: Vec<_> = world.nodes[0].discovery.status(world.now).targets.into_iter().map(|it| it.error).collect();
    assert_eq!(errors, [None, Some("no network".into())], "what is known of a target stays known");
    world.run(seconds(60));
    assert_eq!(world.nodes[0].notices(), [&failing, &Notice::TargetWorks { target: group() }]);
    assert_eq!(world.nodes[0].discovery.status(world.now).targets[0].error, None);
    assert_eq!(world.nodes[0].discovery.counters.failed, 3);
}

#[test]
fn commands_are_refused_by_name() {
    let now = Now::default();
    let mut out = Vec::new();
    let mut node = discovery(0, 0);
    let code = |result: Result<(), Error>| result.unwrap_err().code();
    assert_eq!(code(node.probe(now, None, &mut out)), Code::InvalidState);
    assert_eq!(code(node.set_targets(now, vec![], &mut out)), Code::InvalidState);
    let many = |text: &str| Target::Multicast { group: text.parse().unwrap(), on: Interface::Any };
    let bad = [
        many("10.0.0.1:4444"),
        many("239.1.1.1:0"),
        Target::Broadcast("[ff02::1]:4444".parse().unwrap()),
        Target::Broadcast("[fe80::1]:4444".parse().unwrap()),
        Target::Broadcast("224.0.0.1:4444".parse().unwrap()),
        Target::Unicast("224.0.0.1:4444".parse().unwrap()),
        Target::Unicast("0.0.0.0:4444".parse().unwrap()),
    ];
    for target in bad {
        let error = node.start(now, vec![group(), target], &mut out).unwrap_err();
        assert!(error.what().contains(&target.to_string()), "{error}");
    }
    let too_many = (0..33).map(|number| Target::Unicast(dialled(number))).collect();
    assert_eq!(code(node.start(now, too_many, &mut out)), Code::InvalidArgument);
    assert!(out.is_empty() && !node.is_running() && node.poll_timeout().is_none());

    let spoilt = |spoil: fn(&mut Description)| {
        let mut description = described(0);
        spoil(&mut description);
        discovery(0, 0).set_description(now, description, &mut Vec::new())
    };
    spoilt(|it| it.capabilities = (0..16).map(|number| number.to_string()).collect()).unwrap();
    spoilt(|it| it.listeners = vec![dialled(1); 16]).unwrap();
    assert_eq!(code(spoilt(|it| it.capabilities = vec!["No Good".into()])), Code::InvalidArgument);
    assert_eq!(
        code(spoilt(|it| it.capabilities = (0..17).map(|number| number.to_string()).collect())),
        Code::InvalidArgument
    );
    assert_eq!(code(spoilt(|it| it.listeners = vec![dialled(1); 17])), Code::InvalidArgument);

    let most = (0..32).map(|number| Target::Unicast(dialled(number))).collect();
    discovery(0, 0).start(now, most, &mut Vec::new()).unwrap();
    node.start(now, vec![group()], &mut out).unwrap();
    for _ in 0..4 {
        node.probe(now, Some(address(3)), &mut out).unwrap();
    }
    assert_eq!(code(node.probe(now, None, &mut out)), Code::Overloaded);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |life: u64| {
        let mut world = World::of((0..3).map(|number| discovery(number, life)).collect());
        world.start_all();
        world.run(seconds(200));
        world.sent
    };
    assert_eq!(run(0), run(0));
    assert_ne!(run(0), run(1));
}
