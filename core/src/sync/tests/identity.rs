//! Histories that were rolled back or doubled, clocks that are off, states that differ and must not.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::full::{dot, entry};
use super::harness::World;
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::ids::{Dot, Lsn};
use crate::op::{Body, Marks, Operation};
use crate::sync::message::{Message, Origins, Part};
use crate::sync::{ClockPolicy, CloseReason, Event, Finding, Settings};

const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

#[test]
fn a_directory_copied_back_is_found_out_by_what_a_peer_knows() {
    let mut world = World::new(2, 1, &Settings::default());
    world.put(0, "a", "1");
    let old = world.replicas[0].directory();
    world.connect(0, 1);
    world.put(0, "b", "2");
    world.settle();
    world.restart_from(0, old);
    world.connect(0, 1);
    world.settle();
    assert!(matches!(world.replicas[0].rebirth, Some(Finding::Rollback { own: 1, told: 2, .. })));
    assert!(!world.is_connected(0, 1));
}

#[test]
fn a_rolled_back_history_that_wrote_on_is_found_out_by_its_chain() {
    let mut world = World::new(2, 2, &Settings::default());
    world.put(0, "a", "1");
    world.connect(0, 1);
    world.settle();
    let old = world.replicas[0].directory();
    world.put(0, "b", "2");
    world.settle();
    world.restart_from(0, old);
    // The counts match, and more.
    world.put(0, "x", "other");
    world.put(0, "y", "other");
    world.connect(0, 1);
    world.settle();
    assert!(matches!(world.replicas[0].rebirth, Some(Finding::Rollback { .. } | Finding::LogRollback { .. })));
    assert_eq!(world.replicas[1].get("x"), None, "nothing of it got out");
}

/// A virtual machine rolled back while it runs keeps its boot nonce, and its log has grown past what the peer was told:
/// only the chain tells.
#[test]
fn a_machine_rolled_back_while_running_is_found_out_by_its_chain_alone() {
    let mut world = World::new(2, 2, &Settings::default());
    world.put(0, "a", "1");
    world.connect(0, 1);
    world.settle();
    let (old, boot) = (world.replicas[0].directory(), world.replicas[0].identity.boot);
    world.put(0, "b", "2");
    world.settle();
    world.resume_from(0, old, boot);
    for key in ["x", "y", "z"] {
        world.put(0, key, "other");
    }
    for _ in 0..10 {
        world.put(0, "z", "more");
    }
    world.connect(0, 1);
    world.settle();
    assert!(matches!(world.replicas[0].rebirth, Some(Finding::Rollback { told: 2, .. })));
    assert_eq!(world.replicas[1].get("x"), None, "nothing of it got out");
}

/// It stands in the store, so others are to be sent it, and must hear that what is claimed is not all that is here.
#[test]
fn what_the_log_had_taken_when_a_rollback_was_found_is_known_of_when_it_is_durable() {
    let came = dot(9, 1);
    let mut world = World::new(1, 4, &Settings::default());
    world.replicas[0].auto_commit = false;
    let mut other = Stranger::new(9);
    other.greet(&mut world, 0);
    other.batch(&mut world, 0, vec![entry(came, "k"), Part::End]);
    let own = world.replicas[0].identity.replica;
    let mut knows_more = Stranger::new(8);
    knows_more.hello.vector = [Dot { replica: own, seq: 1 }].into_iter().collect();
    knows_more.greet(&mut world, 0);
    assert!(matches!(world.replicas[0].rebirth, Some(Finding::Rollback { own: 0, told: 1, .. })));
    let now = world.now(0);
    world.replicas[0].commit(now);
    let replica = &world.replicas[0];
    assert_eq!(replica.get("k").as_deref(), Some("v"));
    assert!(replica.engine.state.met.covers(came) && !replica.engine.is_exact(&replica.store));
}

/// No own operation was lost, so no chain tells: the log's own LSNs were used twice.
#[test]
fn a_rolled_back_log_is_found_out_even_if_only_foreign_operations_were_lost() {
    let mut world = World::new(3, 3, &Settings::default());
    world.put(0, "a", "1");
    world.connect(0, 1);
    world.settle();
    let old = world.replicas[0].directory();
    world.put(2, "c", "3");
    world.connect(0, 2);
    world.settle();
    world.restart_from(0, old);
    for number in 0..10 {
        // LSNs grow past what the peer was told.
        world.advance(Duration::from_secs(1));
        world.connect(0, 2);
        world.settle();
        world.cut(0, 2);
        if number == 0 {
            break;
        }
    }
    world.connect(0, 1);
    world.settle();
    let found = world.replicas[0].rebirth;
    assert!(
        matches!(found, Some(Finding::LogRollback { common: 1, .. })),
        "what the peer was told is shared: {found:?}"
    );
}

/// A held what D wrote, and told C. It is copied back to before that, and whoever it meets from then on never met it: C's word
/// of it comes to A by B.
#[test]
fn a_directory_copied_back_is_found_out_by_what_it_claimed_of_others() {
    let mut world = World::new(4, 3, &Settings::default());
    world.put(0, "a", "1");
    let old = world.replicas[0].directory();
    world.put(3, "d", "1");
    world.connect(0, 3);
    world.settle();
    world.cut(0, 3);
    world.connect(0, 2);
    assert!(world.deliver(0, 2), "A greets C, and tells what it claims");
    world.cut(0, 2);
    world.restart_from(0, old);
    world.connect(1, 2);
    world.settle();
    world.cut(1, 2);
    assert_eq!(world.values("d"), [None, None, None, Some("1".into())]);
    world.connect(0, 1);
    world.settle();
    let (of, common) = (world.replicas[3].identity.replica, 0);
    assert_eq!(world.replicas[0].rebirth, Some(Finding::ClaimRollback { of, own: 0, told: 1, common }));
    assert_eq!(world.replicas[1].rebirth, None);
}

/// A wrote, and C heard a part of it, no cut, and told B. A is copied back to before that, and C is gone: nobody claims what
/// B holds of A, so nothing that B claims tells A. B leaves it to A to send its own operations, until A turns out not to know
/// of them.
#[test]
fn a_directory_copied_back_is_found_out_by_operations_that_nobody_claims() {
    let mut world = World::new(3, 5, &Settings::default());
    world.room = 40;
    let old = world.replicas[0].directory();
    for seq in 1..=6 {
        world.put(0, &format!("a{seq}"), "1");
    }
    world.connect(0, 2);
    while world.replicas[2].get("a2").is_none() {
        assert!(world.deliver_some(), "A sends what it wrote");
    }
    world.cut_all(0);
    world.restart_from(0, old);
    world.connect(1, 2);
    world.settle();
    world.cut_all(2);
    assert_eq!(world.replicas[1].get("a2").as_deref(), Some("1"));
    assert_eq!(world.replicas[1].claims_of(&world.replicas[0]), 0, "B holds it, and claims nothing of it");
    world.connect(0, 1);
    world.settle_for(Settings::default().ping_every * 3);
    let found = world.replicas[0].rebirth;
    assert!(matches!(found, Some(Finding::Rollback { own: 0, told: 1.., .. })), "{found:?}");
}

/// What somebody has seen of this history counts like what he holds of it: an own write on top of it would otherwise
/// have seen itself.
#[test]
fn own_operations_that_were_never_issued_are_found_in_what_others_have_seen() {
    for (kind, seen_by_the_writer) in [(3, true), (3, false), (12, true), (12, false)] {
        let mut world = World::new(2, 4, &Settings::default());
        world.connect(0, 1);
        world.settle();
        let own = Dot { replica: world.replicas[0].identity.replica, seq: 7 };
        let (context, known) = if seen_by_the_writer { (vec![own], vec![]) } else { (vec![], vec![own]) };
        let op = Operation {
            dot: Dot { replica: world.replicas[1].identity.replica, seq: 1 },
            stamp: Stamp(1),
            context: context.into_iter().collect(),
            key: Bytes::from_static(b"k"),
            body: Body::Put(Bytes::from_static(b"v")),
            marks: Marks::default(),
        };
        let parts = vec![Part::Entry { op, known: known.into_iter().collect() }];
        let message = if kind == 3 { Message::Batch(Lsn(1), parts) } else { Message::Repair(parts) };
        let mut bytes = Vec::new();
        message.encode(&mut Origins::default(), &mut bytes);
        world.inject(1, 0, &bytes.into());
        world.settle();
        let found = world.replicas[0].rebirth;
        assert!(matches!(found, Some(Finding::Rollback { own: 0, told: 7, .. })), "{kind}: {found:?}");
        world.put(0, "k", "w");
    }
}

#[test]
fn a_clone_of_this_node_is_noticed() {
    let mut world = World::new(2, 4, &Settings::default());
    world.put(0, "a", "1");
    let copy = world.replicas[0].directory();
    world.replicas[1].identity = world.replicas[0].identity.clone();
    world.restart_from(1, copy);
    world.connect(0, 1);
    world.settle();
    assert!(world.replicas.iter().any(|replica| matches!(replica.rebirth, Some(Finding::Clone(_)))));
}

#[test]
fn two_peers_with_one_identity_are_noticed() {
    let mut world = World::new(3, 5, &Settings::default());
    world.put(0, "a", "1");
    let copy = world.replicas[0].directory();
    world.replicas[1].identity = world.replicas[0].identity.clone();
    world.restart_from(1, copy);
    for index in [0, 1, 0] {
        world.connect(index, 2);
        world.settle();
        world.cut(index, 2);
    }
    let clone = Event::Identity(Finding::Clone(world.replicas[0].identity.replica));
    assert!(world.replicas[2].events.contains(&clone));
}

#[test]
fn a_restart_is_neither_rollback_nor_clone() {
    let mut world = World::new(2, 6, &Settings::default());
    for round in 0..10 {
        world.put(0, &format!("k{round}"), "v");
        world.put(1, &format!("l{round}"), "v");
        world.connect(0, 1);
        world.settle();
        world.crash(round % 2);
    }
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
    let strange = |event: &Event| matches!(event, Event::Identity(_));
    assert!(!world.replicas.iter().any(|replica| replica.events.iter().any(strange)));
}

#[test]
fn one_clock_a_year_ahead_stops_nobody() {
    let mut world = World::new(3, 7, &Settings::default());
    world.replicas[0].skew_ms = YEAR_MS;
    world.put(0, "k", "from the future");
    world.connect_all();
    world.settle();
    assert_eq!(world.values("k"), vec![Some("from the future".to_string()); 3]);
    let skewed = |event: &Event| matches!(event, Event::ClockSkew { ahead_ms, .. } if *ahead_ms > YEAR_MS / 2);
    assert!(world.replicas[1].events.iter().any(skewed));
    // Others can overwrite it, and are not dragged along.
    world.put(1, "k", "now");
    world.put(1, "l", "now");
    world.settle();
    assert_eq!(world.values("k"), vec![Some("now".to_string()); 3]);
    let stamp = world.replicas[2].store.entry(b"l").unwrap().stamp();
    assert!(stamp.wall().0 < super::harness::START + 3600 * 1000);
    world.assert_converged();
}

#[test]
fn a_skewed_peer_is_refused_if_that_is_the_policy() {
    let settings = Settings { clock_policy: ClockPolicy::Refuse, ..Settings::default() };
    let mut world = World::new(2, 8, &settings);
    world.replicas[0].skew_ms = YEAR_MS;
    world.connect(0, 1);
    world.settle();
    assert!(!world.is_connected(0, 1));
    assert!(world.replicas.iter().any(|replica| replica.closes.contains(&CloseReason::ClockSkew)));
}

#[test]
fn a_clock_that_goes_wrong_while_a_link_stands_is_noticed() {
    for policy in [ClockPolicy::Warn, ClockPolicy::Refuse] {
        for leap in [YEAR_MS, -YEAR_MS] {
            let mut world = World::new(2, 8, &Settings { clock_policy: policy, ..Settings::default() });
            world.connect(0, 1);
            world.settle_for(Duration::from_secs(30));
            for skew_ms in [leap, 0, leap] {
                world.replicas[0].skew_ms = skew_ms;
                world.settle_for(Duration::from_secs(40));
            }
            let told = |index: usize| {
                let told = |event: &&Event| matches!(event, Event::ClockSkew { .. });
                world.replicas[index].events.iter().filter(told).count()
            };
            if policy == ClockPolicy::Warn {
                assert_eq!((told(0), told(1)), (2, 2), "once each time");
                assert!(world.is_connected(0, 1));
            } else {
                assert!(!world.is_connected(0, 1) && told(0) + told(1) > 0);
                assert!(world.replicas.iter().any(|replica| replica.closes.contains(&CloseReason::ClockSkew)));
            }
        }
    }
}

#[test]
fn a_pulse_that_comes_late_speaks_against_no_clock() {
    let max_clock_skew = Duration::from_secs(2);
    let mut world =
        World::new(2, 8, &Settings { clock_policy: ClockPolicy::Refuse, max_clock_skew, ..Settings::default() });
    world.connect(0, 1);
    world.settle();
    for _ in 0..20 {
        world.advance(Duration::from_secs(5));
        while world.deliver(0, 1) {}
        world.advance(Duration::from_secs(5));
        while world.deliver(1, 0) {}
    }
    assert!(world.is_connected(0, 1));
    assert!(world.replicas.iter().all(|replica| replica.closes.is_empty()));
}

#[test]
fn a_divergence_is_noticed_and_mended() {
    let mut world = World::new(2, 9, &Settings::default());
    world.room = 2000;
    for number in 0..500 {
        world.put(number % 2, &format!("key{number:03}"), "value");
    }
    world.connect(0, 1);
    world.settle();
    world.assert_converged();
    for key in ["key007", "key333"] {
        assert!(world.replicas[1].store.remove(key.as_bytes()));
    }
    let differs = |world: &World| world.replicas.iter().any(|replica| replica.engine.diverged() > 0);
    let mut was_told = false;
    for _ in 0..5000 {
        if !world.deliver_some() {
            world.advance(Duration::from_millis(50));
        }
        was_told |= differs(&world);
    }
    assert!(was_told && !differs(&world), "it is told while it lasts");
    assert!(world.replicas.iter().any(|r| r.events.iter().any(|event| matches!(event, Event::Diverged { .. }))));
    assert_eq!(world.replicas[0].store.digest(), world.replicas[1].store.digest());
    let (a, b) = (world.replicas[0].events.len(), world.replicas[1].events.len());
    world.settle_for(Duration::from_secs(60));
    assert_eq!((world.replicas[0].events.len(), world.replicas[1].events.len()), (a, b), "the alarm is over");
}

#[test]
fn garbage_closes_its_own_link_and_harms_nothing_else() {
    let mut world = World::new(3, 10, &Settings::default());
    world.put(0, "k", "v");
    world.connect_all();
    world.settle();
    world.inject(0, 1, &Bytes::from_static(b"\x63\x05\x00\x00\x00hello"));
    world.settle();
    assert!(!world.is_connected(0, 1));
    assert!(matches!(world.replicas[1].closes[..], [CloseReason::Protocol(_)]));
    assert!(world.is_connected(1, 2));
    world.put(0, "k", "w");
    world.settle();
    assert_eq!(world.values("k"), vec![Some("w".to_string()); 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A peer that says anything at any time costs its own session at most.
    #[test]
    fn a_hostile_session_never_panics(
        seed: u64,
        steps in proptest::collection::vec((0u8..6, any::<prop::sample::Index>(), any::<u8>()), 1..60),
    ) {
        let mut world = World::new(3, seed, &Settings::default());
        world.put(0, "k", "v");
        world.put(1, "k", "w");
        world.connect_all();
        for (what, at, flip) in steps {
            match what {
                0 => { world.deliver_some(); }
                1 => {
                    // What is under way is spoilt, and what was said comes again out of order.
                    if let Some(bytes) = world.on_the_way(0, 1).first() {
                        let mut bytes = bytes.to_vec();
                        let at = at.index(bytes.len());
                        bytes[at] ^= flip;
                        world.inject(0, 1, &bytes.into());
                    }
                }
                2 => {
                    if let Some(bytes) = world.on_the_way(1, 0).last().filter(|_| world.is_connected(0, 1)) {
                        world.inject(0, 1, &bytes.clone());
                    }
                }
                3 => world.put(2, &format!("k{flip}"), "v"),
                4 => world.advance(Duration::from_millis(u64::from(flip) * 10)),
                _ => { world.deliver(0, 1); }
            }
        }
        world.settle();
        // Two and three never heard anything bad of each other, unless the history of one was made to look doubled.
        if world.replicas.iter().all(|replica| replica.rebirth.is_none()) {
            world.connect(1, 2);
            world.settle();
            prop_assert_eq!(world.replicas[1].get("k2"), world.replicas[2].get("k2"));
        }
    }
}

#[test]
fn repairs_that_the_disk_cannot_keep_up_with_are_left_out_and_asked_for_again() {
    let mut world = World::new(2, 12, &Settings::default());
    for number in 0..400 {
        world.put(0, &format!("key{number:03}"), "value");
    }
    world.connect(0, 1);
    world.settle();
    for number in 0..400 {
        assert!(world.replicas[1].store.remove(format!("key{number:03}").as_bytes()));
    }
    // The disk of the one that is mended stands still.
    world.room = 100;
    world.replicas[1].auto_commit = false;
    for _ in 0..40 {
        world.settle_for(Duration::from_millis(500));
        assert!(world.replicas[1].engine.applying() <= 8, "{}", world.replicas[1].engine.applying());
    }
    assert!(world.replicas[1].engine.applying() > 0, "some wait");
    world.replicas[1].auto_commit = true;
    world.route(1);
    world.settle_for(Duration::from_secs(300));
    assert_eq!(world.replicas[0].store.digest(), world.replicas[1].store.digest());
}

/// A member invents replicas with long vectors: what is kept of them is bounded, and the state still fits into a snapshot.
#[test]
fn invented_replicas_fill_neither_memory_nor_snapshots() {
    let mut world = World::new(2, 13, &Settings::default());
    world.connect(0, 1);
    world.settle();
    let vector = |salt: u64| {
        let dots = (0..20_000_u64).map(|n| crate::ids::Dot {
            replica: crate::ids::ReplicaId(((u128::from(salt) << 64) + u128::from(n) + 1).to_be_bytes()),
            seq: 1,
        });
        dots.collect::<crate::context::VersionVector>()
    };
    for rumour in 1..30 {
        let member = crate::sync::Member {
            node: crate::ids::NodeId::new("invented").unwrap(),
            heard: crate::time::WallTime(1),
            forgotten: crate::time::WallTime(0),
            vector: vector(rumour),
        };
        let told = vec![(crate::ids::ReplicaId([rumour as u8; 16]), member)];
        let mut bytes = vec::Vec::new();
        crate::sync::message::Message::Members(told).encode(&mut Default::default(), &mut bytes);
        world.inject(0, 1, &bytes.into());
        world.settle();
    }
    let mut head = vec::Vec::new();
    world.replicas[1].engine.state_at(crate::ids::Lsn(0)).encode(&mut head);
    assert!(head.len() < 4 << 20, "{} bytes", head.len());
    assert!(world.is_connected(0, 1), "nobody is to blame for what others are said to claim");
    world.put(0, "k", "v");
    world.settle();
    assert_eq!(world.values("k"), vec![Some("v".to_string()); 2]);
}
