//! Clocks that are off must not hide a node; recordings must not bring one back.

use super::*;

const HOUR: i64 = 3_600_000;

fn skews(node: &Node) -> Vec<Option<i64>> {
    let skew = |notice: &&Notice| if let Notice::ClockSkew { ahead, .. } = notice { Some(*ahead) } else { None };
    node.notices().iter().filter_map(skew).collect()
}

#[test]
fn nodes_whose_clocks_are_off_find_each_other_and_say_so() {
    for ahead in [HOUR, -HOUR, -1_700_000_000_000] {
        let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
        world.nodes[1].ahead = ahead;
        world.start_all();
        world.run(seconds(200));
        assert_eq!((world.state(1, 0), world.state(0, 1)), ("available", "available"));
        assert_eq!((skews(&world.nodes[0]), skews(&world.nodes[1])), (vec![Some(ahead)], vec![Some(-ahead)]));
        assert!(world.nodes[0].ignored(Ignored::Unproven) <= 2, "once proven, it is believed");
        let told = |node: &Node| node.notices().len();
        assert_eq!((told(&world.nodes[0]), told(&world.nodes[1])), (1, 1), "{:?}", world.nodes[0].notices());
    }
}

#[test]
fn an_announcement_alone_is_enough_to_find_a_node_whose_clock_is_off() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.nodes[1].ahead = HOUR;
    world.start_all();
    // The probes of the start are lost.
    world.wire.clear();
    world.run(seconds(3));
    assert_eq!((world.state(1, 0), world.state(0, 1)), ("available", "available"));
}

#[test]
fn a_clock_that_steps_is_proven_anew() {
    let mut world = World::running(2);
    world.nodes[1].ahead = -HOUR;
    world.run(seconds(60));
    assert_eq!(skews(&world.nodes[0]), [Some(-HOUR)]);
    world.run(seconds(300));
    assert_eq!((world.state(1, 0), world.state(0, 1)), ("available", "available"));
    assert!(world.nodes[0].ignored(Ignored::Unproven) <= 3, "once proven, it is believed");
    assert!(world.nodes.iter().all(|node| node.news().is_empty()), "nobody was lost");
    world.nodes[1].ahead = 0;
    world.run(seconds(60));
    assert_eq!(skews(&world.nodes[0]), [Some(-HOUR), None]);
}

#[test]
fn a_restart_with_a_clock_set_back_is_found() {
    let mut world = World::running(2);
    // Until then an answer may still be one of the start before.
    world.run(seconds(20));
    world.nodes[1].discovery = discovery(1, 1);
    world.nodes[1].ahead = -10_000;
    world.start(1);
    world.run(seconds(5));
    assert_eq!(world.sighting(1, 0).unwrap().boot, world.nodes[1].discovery.boot);
}

#[test]
fn a_node_that_cannot_answer_is_not_believed_and_that_is_told() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.nodes[1].ahead = HOUR;
    world.mute.insert(1);
    world.start_all();
    world.run(seconds(200));
    assert_eq!(world.state(1, 0), "unknown");
    let told = Notice::Ignored { why: Ignored::Unproven, from: address(1) };
    let notices = world.nodes[0].notices();
    assert!((1..=4).contains(&notices.len()) && notices.iter().all(|notice| **notice == told), "{notices:?}");
    let questions = world.sent.iter().filter(|(_, by, to, _)| *by == 0 && *to != group()).count();
    assert!((5..=20).contains(&questions), "{questions} questions");
    world.mute.clear();
    world.run(seconds(40));
    assert_eq!(world.state(1, 0), "available");
}

#[test]
fn a_datagram_is_believed_once() {
    let mut world = World::running(2);
    world.run(seconds(100));
    let all: Vec<_> = world.sent.iter().filter(|(_, by, ..)| *by == 1).cloned().collect();
    let before = world.sighting(1, 0).unwrap();
    world.run(Duration::from_millis(10));
    for (.., bytes) in all.iter().cycle().take(100) {
        world.inject(0, address(66), bytes);
    }
    assert_eq!(world.sighting(1, 0).unwrap(), before);
    assert!(world.nodes[0].ignored(Ignored::Replayed) >= 100);
}

#[test]
fn a_recording_does_not_keep_a_node_alive() {
    let mut world = World::running(2);
    // Datagrams that never reached node 0, recorded by somebody.
    world.cut.insert(0);
    world.run(seconds(200));
    let kept: Vec<_> = world.sent.iter().filter(|(_, by, ..)| *by == 1).cloned().collect();
    world.cut.insert(1);
    world.run(seconds(2000));
    assert_eq!(world.state(1, 0), "expired");
    for (.., bytes) in &kept {
        world.inject(0, address(1), bytes);
    }
    assert_eq!(world.state(1, 0), "expired");
    world.run(seconds(3000));
    assert_eq!(world.state(1, 0), "unknown");
    for (.., bytes) in &kept {
        world.inject(0, address(1), bytes);
    }
    assert_eq!(world.state(1, 0), "unknown");
}

#[test]
fn datagrams_of_an_earlier_start_do_not_displace_the_present_one() {
    let mut world = World::running(2);
    world.cut.insert(0);
    world.run(seconds(20));
    let old: Vec<_> = world.sent.iter().filter(|(_, by, ..)| *by == 1).cloned().collect();
    world.cut.clear();
    for life in 1..3 {
        world.nodes[1].discovery = discovery(1, life);
        world.start(1);
        world.run(seconds(3));
    }
    let present = world.sighting(1, 0).unwrap();
    assert_eq!(present.boot, world.nodes[1].discovery.boot);
    let unproven = world.nodes[0].ignored(Ignored::Unproven);
    for (.., bytes) in &old {
        world.inject(0, address(66), bytes);
    }
    assert_eq!(world.nodes[0].ignored(Ignored::Unproven), unproven, "nobody is asked about them");
    assert_eq!(world.sighting(1, 0).unwrap().boot, present.boot);
    assert!(!world.nodes[0].notices().iter().any(|notice| matches!(notice, Notice::IdentityClone { .. })));
}

/// A node answers, dies and is up again before its answer arrives: that is one node.
#[test]
fn an_answer_that_comes_after_its_sender_was_started_anew_proves_no_second_node() {
    let mut world = World::running(2);
    world.run(seconds(20));
    world.cut.insert(0);
    let sent = world.sent.len();
    let probe = |node: &mut Discovery, now, out: &mut Vec<Effect>| node.probe(now, Some(address(1)), out).unwrap();
    world.act(0, probe);
    let (.., question) = world.sent.last().unwrap().clone();
    world.inject(1, address(0), &question);
    world.run(seconds(1));
    let late: Vec<_> = world.sent.iter().skip(sent).filter(|(_, by, ..)| *by == 1).cloned().collect();
    assert!(!late.is_empty());
    world.nodes[1].discovery = discovery(1, 1);
    world.cut.clear();
    world.start(1);
    world.run(seconds(3));
    let present = world.nodes[1].discovery.boot;
    assert_eq!(world.sighting(1, 0).unwrap().boot, present);
    for (.., bytes) in &late {
        world.inject(0, address(1), bytes);
    }
    assert!(!world.nodes[0].notices().iter().any(|notice| matches!(notice, Notice::IdentityClone { .. })));
    assert_eq!(world.sighting(1, 0).unwrap().boot, present);
}

/// The same, with another start in between: the first one is not taken for the present one.
#[test]
fn an_answer_of_the_start_before_the_last_does_not_displace_the_present_one() {
    let mut world = World::running(2);
    world.run(seconds(20));
    world.cut.insert(0);
    let sent = world.sent.len();
    world.act(0, |node: &mut Discovery, now, out: &mut Vec<Effect>| node.probe(now, Some(address(1)), out).unwrap());
    let (.., question) = world.sent.last().unwrap().clone();
    world.inject(1, address(0), &question);
    world.run(seconds(1));
    let late: Vec<_> = world.sent.iter().skip(sent).filter(|(_, by, ..)| *by == 1).cloned().collect();
    world.cut.clear();
    for life in 1..3 {
        world.nodes[1].discovery = discovery(1, life);
        world.start(1);
        world.run(seconds(2));
    }
    let present = world.nodes[1].discovery.boot;
    for (.., bytes) in &late {
        world.inject(0, address(1), bytes);
    }
    assert_eq!(world.sighting(1, 0).unwrap().boot, present);
    world.run(seconds(60));
    assert!(!world.nodes[0].notices().iter().any(|notice| matches!(notice, Notice::IdentityClone { .. })));
}

/// An announcement of a start that was never heard comes late, and says a later time than the start that followed, whose
/// clock was set back. It passes for the newer one until the present one has answered; that is one node all the time.
#[test]
fn a_late_announcement_of_an_unheard_start_with_a_later_clock_proves_no_second_node() {
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0)]);
    world.nodes[1].ahead = 60_000;
    world.cut.insert(0);
    world.start_all();
    world.run(seconds(20));
    let late = world.sent.iter().rfind(|(_, by, ..)| *by == 1).unwrap().3.clone();
    world.nodes[1].discovery = discovery(1, 1);
    world.nodes[1].ahead = 0;
    world.cut.clear();
    world.start(1);
    world.run(seconds(30));
    let present = world.nodes[1].discovery.boot;
    assert_eq!(world.sighting(1, 0).unwrap().boot, present);
    world.inject(0, address(1), &late);
    assert_ne!(world.sighting(1, 0).unwrap().boot, present, "nobody can tell yet");
    world.run(seconds(120));
    assert!(!world.nodes[0].notices().iter().any(|notice| matches!(notice, Notice::IdentityClone { .. })));
    assert_eq!(world.sighting(1, 0).unwrap().boot, present);
}

#[test]
fn that_two_nodes_have_one_key_is_told_for_the_first_time_only() {
    let mut world = World::running(2);
    world.run(seconds(2));
    let told: Vec<bool> = (0..3).map(|_| world.nodes[0].discovery.registry.mark_cloned(&key(1))).collect();
    assert_eq!(told, [true, false, false]);
    assert!(!world.nodes[0].discovery.registry.mark_cloned(&key(9)), "nobody knows it");
}

#[test]
fn two_nodes_with_one_key_are_named() {
    // Node 3 is a copy of node 1.
    let mut copy = discovery_with(1, 5, Some(SECRET), |_| ());
    copy.description.listeners = vec!["0.0.0.0:5555".parse().unwrap()];
    let mut world = World::of(vec![discovery(0, 0), discovery(1, 0), discovery(2, 0), copy]);
    world.start_all();
    world.run(seconds(120));
    for by in 0..4 {
        let clones: Vec<_> = world.nodes[by]
            .notices()
            .into_iter()
            .filter(|notice| matches!(notice, Notice::IdentityClone { key: cloned, .. } if *cloned == key(1)))
            .collect();
        assert_eq!(clones.len(), 1, "node {by}, the two themselves included");
        assert!(world.nodes[by].news().len() < 8, "it does not go on for ever");
    }
}
