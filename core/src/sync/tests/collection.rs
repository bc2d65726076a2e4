//! Tombstones, their collection, and strangers from below the floor.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::error::{Code, Error};
use crate::ids::Lsn;
use crate::sync::chain::Ladder;
use crate::sync::session::Phase;
use crate::sync::{Effect, Event, Member, PeerId, Settings, collect};
use crate::time::WallTime;

fn settings() -> Settings {
    Settings { collect_every: Duration::from_secs(2), ..Settings::default() }
}

#[test]
fn a_delete_while_a_member_is_away_never_comes_back() {
    let mut world = World::new(3, 1, &settings());
    world.put(0, "k", "v");
    world.connect_all();
    world.settle();
    world.cut_all(2);
    world.delete(0, "k");
    // Two of three have seen it: the third holds collection back for as long as it is a member.
    for _ in 0..20 {
        world.settle();
    }
    assert_eq!(world.replicas[0].store.tombstones(), 1);
    world.connect_all();
    world.settle();
    assert_eq!(world.values("k"), vec![None, None, None]);
    world.assert_converged();
    world.settle_for(Duration::from_secs(40));
    assert!(world.replicas.iter().all(|replica| replica.store.tombstones() == 0), "now they may go");
    world.settle();
    assert_eq!(world.values("k"), vec![None, None, None]);
    assert!(world.replicas.iter().all(|r| !r.events.iter().any(|event| matches!(event, Event::Diverged { .. }))));
}

#[test]
fn a_collection_that_the_log_gives_up_is_none_whatever_becomes_of_its_place() {
    let collected = |given_up_from: fn(Lsn) -> Lsn| {
        let mut world = World::new(1, 1, &settings());
        world.replicas[0].may_collect = false;
        world.put(0, "k", "v");
        world.delete(0, "k");
        world.advance(Duration::from_secs(1));
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        let lsn = replica.next_lsn();
        let record = replica.engine.plan_collection(now, &replica.store).unwrap();
        replica.engine.collecting(lsn, record, &mut replica.store, &mut replica.effects);
        let error = Error::new(Code::DiskFull, "no room", "make room");
        replica.engine.taken_back(given_up_from(lsn), &error, &mut replica.effects);
        replica.engine.published(lsn, &mut replica.effects);
        let told = |effect: &&Effect| matches!(effect, Effect::Event(Event::Collected { .. }));
        replica.effects.iter().filter(told).count()
    };
    assert_eq!([|lsn: Lsn| Lsn(lsn.0 - 1), |lsn| lsn, Lsn::next].map(collected), [0, 0, 1]);
}

/// Seed 184230102433395 of three nodes: between the log's taking of the record and its publication somebody from below was
/// exchanged with as if nothing were, and what he had written beside a tombstone came in behind it, where nothing knew of that.
#[test]
fn whoever_is_below_a_floor_to_come_is_parted_when_the_log_has_taken_it() {
    for (seen, pending) in [(false, true), (true, true), (false, false)] {
        let mut world = World::new(1, 1, &settings());
        world.replicas[0].may_collect = false;
        world.put(0, "k", "v");
        world.delete(0, "k");
        let mut stranger = Stranger::new(9);
        if seen {
            stranger.hello.vector = world.replicas[0].engine.vector().clone();
        }
        let resume = || (Lsn::ZERO, 0, Ladder::default().pairs(0, 0), BTreeSet::new());
        let (open, greeted) = (PeerId(1), PeerId(2));
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.peer_up(now, open, &mut replica.effects);
        replica.engine.take_hello(now, open, stranger.hello.clone(), &mut replica.effects);
        replica.engine.take_resume(now, open, resume(), &replica.store, &mut replica.effects);
        assert_eq!(replica.engine.sessions[&open].phase, Phase::Open);
        // Beyond its lease, or it would hold back the collection.
        replica.engine.forget(now, stranger.hello.replica, &mut replica.effects).unwrap();
        world.advance(Duration::from_secs(1));
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        let lsn = replica.next_lsn();
        let record = replica.engine.plan_collection(now, &replica.store).expect("a tombstone is there");
        if pending {
            replica.engine.collecting(lsn, record, &mut replica.store, &mut replica.effects);
        }
        assert_eq!(replica.engine.sessions[&open].phase == Phase::Open, seen || !pending);

        let mut other = Stranger::new(8);
        other.hello.vector.clone_from(&stranger.hello.vector);
        replica.engine.peer_up(now, greeted, &mut replica.effects);
        replica.engine.take_hello(now, greeted, other.hello, &mut replica.effects);
        replica.engine.take_resume(now, greeted, resume(), &replica.store, &mut replica.effects);
        assert_eq!(replica.engine.sessions[&greeted].phase == Phase::Open, seen || !pending);
    }
}

/// What others say of a peer comes on another way than what it sends: that may still be on its way.
#[test]
fn of_a_peer_that_is_linked_only_its_own_word_tells_what_it_has_seen() {
    let mut world = World::new(1, 1, &settings());
    world.replicas[0].may_collect = false;
    world.put(0, "k", "v");
    world.delete(0, "k");
    let (stranger, peer) = (Stranger::new(9), PeerId(1));
    let now = world.now(0);
    let replica = &mut world.replicas[0];
    replica.engine.peer_up(now, peer, &mut replica.effects);
    replica.engine.take_hello(now, peer, stranger.hello.clone(), &mut replica.effects);
    let (node, vector) = (stranger.hello.node.clone(), replica.engine.vector().clone());
    let report = Member { node, heard: now.wall, forgotten: WallTime(0), vector };
    replica.engine.report(now, stranger.hello.replica, &report, &mut replica.effects);
    world.advance(Duration::from_secs(1));
    let now = world.now(0);
    let replica = &mut world.replicas[0];
    assert!(replica.engine.plan_collection(now, &replica.store).is_none(), "it has not said so itself");
    replica.engine.peer_down(now, peer, &replica.store, &mut replica.effects);
    assert!(replica.engine.plan_collection(now, &replica.store).is_some(), "nothing of it is on its way");
}

/// What is written after a collection is stamped at or above its limit.
#[test]
fn no_tombstone_stamped_at_the_limit_or_later_is_collected() {
    let mut world = World::new(1, 1, &settings());
    world.put(0, "k", "v");
    world.delete(0, "k");
    let replica = &mut world.replicas[0];
    let (store, stable) = (&mut replica.store, replica.engine.vector());
    let stamp = store.entry(b"k").unwrap().stamp();
    assert!(collect::plan(store, stable, stamp).is_none() && collect::plan(store, stable, stamp.after()).is_some());
    assert_eq!(collect::sweep(store, stable, stamp), 0);
    assert_eq!(collect::sweep(store, stable, stamp.after()), 1);
}

/// A member is away past its lease; meanwhile a key is deleted and its tombstone collected. Back again, it neither
/// brings the key back nor loses what it wrote itself.
#[test]
fn a_stranger_from_below_the_floor_brings_nothing_back() {
    for fresh in [false, true] {
        let mut world = World::new(3, 2, &settings());
        world.put(0, "gone", "v");
        world.put(0, "rewritten", "v");
        world.put(0, "stays", "v");
        world.connect_all();
        world.settle();
        world.cut_all(2);
        world.delete(0, "gone");
        world.delete(0, "rewritten");
        world.settle();
        let forgotten = world.replicas[2].identity.replica;
        for index in 0..2 {
            world.advance(Duration::from_secs(1));
            let now = world.now(index);
            let mut effects = vec![];
            world.replicas[index].engine.forget(now, forgotten, &mut effects).unwrap();
        }
        world.settle_for(Duration::from_secs(40));
        assert_eq!(world.replicas[0].store.tombstones() + world.replicas[1].store.tombstones(), 0);
        // On top of what the others have deleted, and apart from it.
        world.put(2, "rewritten", "mine");
        world.put(2, "new", "mine");
        if fresh {
            world.crash(2);
        }
        world.connect(1, 2);
        world.settle();
        world.connect(0, 2);
        world.settle();
        assert_eq!(world.values("gone"), vec![None, None, None], "fresh {fresh}");
        for key in ["rewritten", "new", "stays"] {
            let values = world.values(key);
            assert!(values[0].is_some() && values.iter().all(|value| *value == values[0]), "{key}: {values:?}");
        }
        let digests = world.replicas.iter().map(|replica| replica.store.live_digest());
        assert!(digests.clone().all(|digest| Some(digest) == digests.clone().next()));
        for replica in &world.replicas {
            assert_eq!(replica.engine.outbox_status().size(), 0);
            assert!(!replica.events.iter().any(|event| matches!(event, Event::Diverged { .. })));
        }
    }
}

#[test]
fn a_newcomer_learns_everything_from_above_a_floor() {
    let mut world = World::new(2, 3, &settings());
    world.room = 100;
    for number in 0..40 {
        world.put(0, &format!("k{number:02}"), "v");
    }
    world.connect_all();
    world.settle();
    for number in 0..20 {
        world.delete(1, &format!("k{number:02}"));
    }
    world.settle_for(Duration::from_secs(30));
    assert_eq!(world.replicas[0].store.tombstones(), 0);
    let new = world.add(9, &settings());
    world.connect(1, new);
    world.connect(0, new);
    world.settle();
    assert_eq!(world.replicas[new].store.len(), 20);
    world.assert_converged();
    // And a key written again wins everywhere.
    world.put(new, "k03", "again");
    world.settle();
    assert!(world.values("k03").iter().all(Option::is_some));
    world.assert_converged();
}

#[test]
fn collections_survive_a_restart() {
    let mut world = World::new(2, 4, &settings());
    world.put(0, "k", "v");
    world.put(0, "l", "v");
    world.connect_all();
    world.settle();
    world.delete(0, "k");
    world.settle_for(Duration::from_secs(30));
    assert_eq!(world.replicas[0].store.tombstones(), 0);
    let floor = world.replicas[0].engine.stamp_floor();
    for snapshot in [false, true] {
        if snapshot {
            world.replicas[0].snapshot();
        }
        world.crash(0);
        assert_eq!(world.replicas[0].store.tombstones(), 0);
        assert_eq!(world.replicas[0].engine.stamp_floor(), floor);
        assert_eq!(world.replicas[0].store.len(), 1);
    }
}

/// C wrote on top of what A and B have deleted since, with an older stamp than the deletion. A has collected the
/// tombstone, B has not. Taken as it is, C's version would win with A and lose with B.
#[test]
fn what_was_written_on_top_of_a_collected_deletion_is_issued_again() {
    let mut world = World::new(3, 5, &settings());
    world.put(0, "k", "v");
    world.connect_all();
    world.settle();
    world.cut_all(2);
    world.put(2, "k", "mine");
    world.advance(Duration::from_secs(5));
    world.delete(0, "k");
    world.replicas[1].may_collect = false;
    world.settle();
    forget(&mut world, 2);
    world.settle_for(Duration::from_secs(10));
    assert_eq!((world.replicas[0].store.tombstones(), world.replicas[1].store.tombstones()), (0, 1));
    world.connect(0, 2);
    world.settle();
    world.connect(1, 2);
    world.settle();
    assert_eq!(world.values("k"), vec![Some("mine".to_string()); 3]);
    let digest = world.replicas[0].store.live_digest();
    assert!(world.replicas.iter().all(|replica| replica.store.live_digest() == digest));
}

fn forget(world: &mut World, gone: usize) {
    let replica = world.replicas[gone].identity.replica;
    world.advance(Duration::from_secs(1));
    for index in (0..world.replicas.len()).filter(|index| *index != gone) {
        let now = world.now(index);
        let mut effects = vec![];
        // Who never heard of it need not forget it.
        drop(world.replicas[index].engine.forget(now, replica, &mut effects));
    }
}

/// C holds a key uncut, A has deleted and collected it, E has it too. While C learns from A that it is gone, E sends it
/// once more.
#[test]
fn nothing_else_is_taken_in_during_a_full_exchange() {
    const X: usize = 0;
    const A: usize = 1;
    const C: usize = 2;
    const D: usize = 3;
    const E: usize = 4;
    let mut world = World::new(5, 6, &settings());
    world.put(X, "gone", "v");
    for number in 0..30 {
        world.put(X, &format!("k{number:02}"), "v");
    }
    for other in [A, D, E] {
        world.connect(X, other);
    }
    world.settle();
    for index in 0..5 {
        world.cut_all(index);
    }
    world.room = 60;
    world.connect(D, C);
    while world.replicas[C].get("gone").is_none() {
        assert!(world.deliver_some());
    }
    world.cut_all(D);
    assert_eq!(world.replicas[C].claims_of(&world.replicas[X]), 0);
    world.delete(A, "gone");
    for index in [X, C, D, E] {
        let replica = world.replicas[index].identity.replica;
        world.advance(Duration::from_secs(1));
        let now = world.now(A);
        drop(world.replicas[A].engine.forget(now, replica, &mut vec![]));
    }
    world.settle_for(Duration::from_secs(10));
    assert_eq!(world.replicas[A].store.tombstones(), 0);

    world.connect(A, C);
    while world.replicas[C].get("gone").is_some() {
        assert!(world.deliver(A, C) | world.deliver(C, A));
    }
    world.connect(E, C);
    while world.deliver(E, C) | world.deliver(C, E) {}
    world.settle();
    assert_eq!((world.replicas[A].get("gone"), world.replicas[C].get("gone")), (None, None));
    world.connect_all();
    world.settle();
    assert_eq!(world.values("gone"), vec![None; 5]);
}

/// Nobody writes for longer than the lease. Whoever is linked is heard all the same, at first hand and from others.
#[test]
fn a_member_that_has_nothing_to_say_is_heard() {
    let lease = Duration::from_secs(3600);
    let mut world =
        World::new(3, 6, &Settings { member_lease: lease, ping_every: Duration::from_secs(10), ..settings() });
    world.put(0, "k", "v");
    world.connect(0, 1);
    world.connect(1, 2);
    world.settle();
    world.settle_for(lease * 2);
    let now = world.now(0).wall.0;
    for (at, of) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        let replica = world.replicas[of].engine.me.replica;
        let members = world.replicas[at].engine.status(&world.replicas[at].store).members;
        let heard = members.iter().find(|(member, ..)| *member == replica).unwrap().2.0;
        assert!(now - heard < 20 * 60 * 1000, "{at} heard {of} {} s ago", (now - heard) / 1000);
    }
}

/// One of three has deleted a key, and another has not heard of it.
fn one_lacks_a_deletion() -> World {
    let mut world = World::new(3, 8, &settings());
    world.put(0, "k", "v");
    world.connect_all();
    world.settle();
    world.cut_all(2);
    world.delete(0, "k");
    world.settle();
    world
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_leap_of_the_wall_clock_ages_nobody() {
    let mut world = one_lacks_a_deletion();
    for leap in [60, -60] {
        world.replicas[0].skew_ms = leap * 24 * 3_600_000;
        for _ in 0..3 {
            world.advance(DAY);
            world.settle();
        }
        assert_eq!(world.replicas[0].store.tombstones(), 1, "{leap} days");
    }
    world.replicas[0].skew_ms = 0;
    world.advance(DAY * 30);
    world.settle();
    assert_eq!(world.replicas[0].store.tombstones(), 0, "its lease has run out");
}

/// The clock is wrong when the node starts. If it is set right, the member still counts.
#[test]
fn a_leap_between_two_starts_ages_nobody_once_it_is_mended() {
    for mended in [false, true] {
        let mut world = one_lacks_a_deletion();
        world.replicas[0].skew_ms = 60 * 24 * 3_600_000;
        world.crash(0);
        world.advance(DAY - DAY / 24);
        world.settle();
        assert_eq!(world.replicas[0].store.tombstones(), 1, "nobody had a day to be heard");
        world.replicas[0].skew_ms = if mended { 0 } else { world.replicas[0].skew_ms };
        world.advance(DAY / 8);
        world.settle();
        assert_eq!(world.replicas[0].store.tombstones() == 1, mended);
    }
}

/// C and E hold the same until C learns from A what is deleted. Until A's cut C claims no more than E, and shows less.
#[test]
fn what_a_full_exchange_drops_is_no_divergence_before_its_cut() {
    const A: usize = 0;
    const C: usize = 1;
    const E: usize = 2;
    let mut world = World::new(3, 7, &settings());
    (0..30).for_each(|number| world.put(A, &format!("k{number:02}"), "v"));
    world.put(A, "gone", "v");
    world.connect_all();
    world.settle();
    world.cut_all(A);
    world.delete(A, "gone");
    for index in [C, E] {
        world.advance(Duration::from_secs(1));
        let (now, replica) = (world.now(A), world.replicas[index].identity.replica);
        drop(world.replicas[A].engine.forget(now, replica, &mut vec![]));
    }
    world.settle_for(Duration::from_secs(10));
    assert_eq!(world.replicas[A].store.tombstones(), 0);

    world.room = 60;
    world.connect(A, C);
    while world.replicas[C].get("gone").is_some() {
        assert!(world.deliver(A, C) | world.deliver(C, A));
    }
    for cut_short in [false, true] {
        if cut_short {
            world.cut(A, C);
        }
        world.advance(Duration::from_secs(13));
        while world.deliver(C, E) | world.deliver(E, C) {}
        assert!(!world.replicas[C].engine.is_exact(&world.replicas[C].store), "it shows less than it claims");
    }
    world.connect_all();
    world.settle();
    assert_eq!(world.values("gone"), vec![None; 3]);
    world.assert_converged();
}
