//! What peers say, message by message: what is taken in, what is answered for, and what is noticed about it.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::{START, World};
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::limits::MAX_REPLICAS;
use crate::op::{Body, Marks, Operation};
use crate::sync::message::{Message, Part};
use crate::sync::{CloseReason, Event, Finding, Phase, Policy, Settings, Traffic};
use crate::time::WallTime;

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn op(dot: Dot, key: &str, value: &str) -> Operation {
    Operation {
        dot,
        stamp: Stamp::from_wall(WallTime(START)),
        context: VersionVector::EMPTY,
        key: key.as_bytes().to_vec().into(),
        body: Body::Put(value.as_bytes().to_vec().into()),
        marks: Marks::default(),
    }
}

fn entry(op: Operation) -> Part {
    Part::Entry { op, known: VersionVector::EMPTY }
}

/// One replica that asks for no pings, and a stranger that has greeted it.
fn met(settings: Settings) -> (World, Stranger) {
    let settings = Settings { ping_every: Duration::from_secs(100_000), ..settings };
    let mut world = World::new(1, 1, &settings);
    let mut stranger = Stranger::new(9);
    stranger.greet(&mut world, 0);
    drop(stranger.hear(&mut world, 0));
    world.settle_for(Duration::from_secs(1));
    drop(stranger.hear(&mut world, 0));
    (world, stranger)
}

fn ack(bytes: u64, dots: &[Dot]) -> [Message; 1] {
    [Message::Ack { lsn: Lsn::ZERO, bytes, vector: vector(dots) }]
}

fn in_flight(world: &World) -> u64 {
    let replica = &world.replicas[0];
    replica.engine.peers(&replica.store)[0].in_flight
}

#[test]
fn a_cut_that_comes_alone_is_claimed_for_good() {
    let (mut world, mut stranger) = met(Settings::default());
    stranger.batch(&mut world, 0, vec![entry(op(dot(9, 1), "k", "v")), Part::End]);
    assert!(!world.replicas[0].engine.vector().covers(dot(9, 1)));
    stranger.batch(&mut world, 0, vec![Part::Cut(vector(&[dot(9, 1)])), Part::End]);
    assert!(world.replicas[0].engine.vector().covers(dot(9, 1)));
    world.crash(0);
    assert!(world.replicas[0].engine.vector().covers(dot(9, 1)));
}

/// The stranger has collected a deletion, names what is here, and has nothing else to say.
#[test]
fn a_full_exchange_that_changes_nothing_ends() {
    let (mut world, mut stranger) = met(Settings::default());
    let phase = |world: &World| world.replicas[0].engine.peers(&world.replicas[0].store).last().unwrap().phase;
    stranger.batch(&mut world, 0, vec![entry(op(dot(9, 1), "k", "v")), Part::Cut(vector(&[dot(9, 1)])), Part::End]);
    stranger.hello.floor = vector(&[dot(7, 3)]);
    stranger.hello.vector = vector(&[dot(7, 3), dot(9, 1)]);
    stranger.leave(&mut world, 0);
    stranger.greet(&mut world, 0);
    assert_eq!(phase(&world), Phase::FullExchange);
    stranger.name(&mut world, 0, &["k"], None);
    assert_eq!(phase(&world), Phase::FullExchange);
    let cut = stranger.hello.vector.clone();
    stranger.batch(&mut world, 0, vec![Part::Cut(cut), Part::End]);
    assert_eq!(phase(&world), Phase::Open);
    assert!(world.replicas[0].engine.vector().covers(dot(7, 3)));
    assert!(stranger.is_heard(&world, 0));
}

/// What needs no disk is answered for with what is on its way there, and only with what came from the same peer.
#[test]
fn what_comes_behind_something_on_its_way_to_the_disk_waits_for_it() {
    let (mut world, mut stranger) = met(Settings { window: 4096, ..Settings::default() });
    let mut other = Stranger::new(8);
    other.greet(&mut world, 0);
    world.replicas[0].auto_commit = false;
    for round in 1..400 {
        stranger.batch(&mut world, 0, vec![entry(op(dot(9, round), "k", &format!("{round}"))), Part::End]);
        other.batch(&mut world, 0, vec![Part::End]);
        stranger.batch(&mut world, 0, vec![Part::End]);
        let peers = world.replicas[0].engine.peers(&world.replicas[0].store);
        let mut taken: Vec<u64> = peers.iter().map(|peer| peer.taken.0).collect();
        taken.sort_unstable();
        let mut wanted = [round, 2 * (round - 1)];
        wanted.sort_unstable();
        assert_eq!(taken, wanted);
        let now = world.now(0);
        world.replicas[0].commit(now);
        world.route(0);
    }
    assert_eq!(world.replicas[0].closes, [], "every byte is answered for");
}

#[test]
fn traffic_counts_what_came_and_what_was_new() {
    let (mut world, mut stranger) = met(Settings::default());
    for _ in 0..2 {
        let parts = ["a", "b", "c"].into_iter().zip(1..).map(|(key, seq)| entry(op(dot(9, seq), key, "v")));
        let cut = [Part::Cut(vector(&[dot(9, 3)])), Part::End];
        stranger.batch(&mut world, 0, parts.chain(cut).collect());
    }
    assert_eq!(world.replicas[0].engine.traffic(), Traffic { sent: 0, received: 6, taken: 3 });
}

#[test]
fn what_is_claimed_and_gone_stays_gone_unless_more_was_merged_with_its_deletion() {
    let unseen = vector(&[dot(7, 2)]);
    let deletion = || Operation { context: vector(&[dot(9, 1)]), body: Body::Delete, ..op(dot(9, 2), "k", "") };
    let claimed = || Part::Cut(vector(&[dot(9, 2)]));
    // A value that is claimed, and stands nowhere: its tombstone was collected.
    let (mut world, mut stranger) = met(Settings::default());
    stranger.batch(&mut world, 0, vec![claimed(), Part::End]);
    let late = Part::Entry { op: op(dot(9, 1), "k", "v"), known: unseen.clone() };
    stranger.batch(&mut world, 0, vec![late]);
    assert_eq!(world.replicas[0].get("k"), None, "it stays deleted");
    assert_eq!(world.replicas[0].engine.traffic().taken, 0);
    // Its tombstone, with which somebody has merged more.
    stranger.batch(&mut world, 0, vec![Part::Entry { op: deletion(), known: unseen.clone() }]);
    assert_eq!(world.replicas[0].engine.traffic().taken, 1);
    // A value that stands, with which somebody has merged more.
    let (mut world, mut stranger) = met(Settings::default());
    stranger.batch(&mut world, 0, vec![entry(op(dot(9, 1), "k", "v")), claimed(), Part::End]);
    stranger.batch(&mut world, 0, vec![Part::Entry { op: op(dot(9, 1), "k", "v"), known: unseen.clone() }]);
    let known = world.replicas[0].store.entry(b"k").unwrap().known();
    assert_eq!(known, vector(&[dot(7, 2), dot(9, 1)]));
}

/// Else nobody would tell here of what lost to it: it would be claimed, and neither stand here nor be covered by a floor, whatever
/// becomes of what stands there now.
#[test]
fn what_lost_to_something_deleted_goes_over_to_what_stands_there_now() {
    let unseen = vector(&[dot(7, 2)]);
    let (mut world, mut stranger) = met(Settings::default());
    stranger.batch(&mut world, 0, vec![Part::Cut(vector(&[dot(9, 2)])), Part::End]);
    world.put(0, "k", "new");
    let late = Part::Entry { op: op(dot(9, 1), "k", "v"), known: unseen.clone() };
    stranger.batch(&mut world, 0, vec![late.clone(), Part::Cut(unseen), Part::End]);
    let replica = &world.replicas[0];
    assert_eq!(replica.get("k").as_deref(), Some("new"));
    assert!(replica.store.entry(b"k").unwrap().known().covers(dot(7, 2)), "it was merged");
    assert_eq!((replica.engine.traffic().taken, replica.engine.vector().get(ReplicaId([7; 16]))), (1, 2));
    // It is not taken in again.
    stranger.batch(&mut world, 0, vec![late]);
    assert_eq!(world.replicas[0].engine.traffic().taken, 1);
}

/// What was deleted is not brought back by a policy of conflicts, and nobody is asked about it: its writer's word was taken, and
/// somebody has taken it back.
#[test]
fn what_was_deleted_is_no_side_of_a_conflict() {
    let unseen = vector(&[dot(7, 2)]);
    for policy in [Policy::LastWriteWins, Policy::KeepBoth, Policy::KeepLocal, Policy::ApplyRemote] {
        let (mut world, mut stranger) = met(Settings { conflict_policy: policy, ..Settings::default() });
        stranger.batch(&mut world, 0, vec![Part::Cut(vector(&[dot(9, 2)])), Part::End]);
        world.put(0, "k", "new");
        let late = Part::Entry { op: op(dot(9, 1), "k", "v"), known: unseen.clone() };
        stranger.batch(&mut world, 0, vec![late, Part::Cut(unseen.clone()), Part::End]);
        let replica = &world.replicas[0];
        assert_eq!(replica.get("k").as_deref(), Some("new"), "{policy:?}");
        assert_eq!(replica.engine.conflicts().total(), 0, "{policy:?}");
        world.crash(0);
        let replica = &world.replicas[0];
        assert_eq!(replica.get("k").as_deref(), Some("new"), "{policy:?}, from the log");
        assert_eq!(replica.engine.conflicts().total(), 0, "{policy:?}, from the log");
    }
}

#[test]
fn one_name_for_two_operations_is_noticed() {
    let clones = |world: &World| {
        let is_clone = |event: &&Event| **event == Event::Identity(Finding::Clone(ReplicaId([9; 16])));
        world.replicas[0].events.iter().filter(is_clone).count()
    };
    let first = op(dot(9, 1), "k", "v");
    let later = Operation { stamp: Stamp(first.stamp.0 + 1), ..first.clone() };
    for (second, noticed) in [
        (first.clone(), 0),
        (op(dot(9, 1), "k", "other"), 1),
        (later, 1),
        (op(dot(9, 2), "k", "other"), 0),
        (op(dot(9, 1), "elsewhere", "v"), 0),
    ] {
        // What is claimed is not taken in again, the rest is.
        for cut in [vec![], vec![Part::Cut(vector(&[dot(9, 1)]))]] {
            let (mut world, mut stranger) = met(Settings::default());
            let what = format!("{second:?}, {cut:?}");
            stranger.batch(&mut world, 0, [vec![entry(first.clone())], cut, vec![Part::End]].concat());
            stranger.batch(&mut world, 0, vec![entry(second.clone()), Part::End]);
            assert_eq!(clones(&world), noticed, "{what}");
        }
    }
    let (mut world, mut stranger) = met(Settings::default());
    stranger.batch(&mut world, 0, vec![entry(first), entry(op(dot(9, 1), "k", "other")), Part::End]);
    assert_eq!(clones(&world), 1, "both in one batch");
    // It is claimed, and taken in once more for what comes with it.
    let (mut world, mut stranger) = met(Settings::default());
    stranger.batch(&mut world, 0, vec![entry(op(dot(9, 1), "k", "v")), Part::Cut(vector(&[dot(9, 1)])), Part::End]);
    let more = Part::Entry { op: op(dot(9, 1), "k", "other"), known: vector(&[dot(7, 2)]) };
    stranger.batch(&mut world, 0, vec![more, Part::End]);
    assert_eq!(clones(&world), 1, "claimed, with news");
}

#[test]
fn an_operation_stamped_too_far_ahead_is_told_of_once() {
    let (mut world, mut stranger) = met(Settings { max_clock_skew: Duration::from_secs(300), ..Settings::default() });
    let now = world.now(0).wall.0;
    for (seq, ahead) in [(1, 300_000), (2, 600_000), (3, 900_000)] {
        let stamp = Stamp::from_wall(WallTime(now + ahead));
        stranger.batch(&mut world, 0, vec![entry(Operation { stamp, ..op(dot(9, seq), "k", "v") }), Part::End]);
    }
    let told: Vec<&Event> =
        world.replicas[0].events.iter().filter(|event| matches!(event, Event::ClockSkew { .. })).collect();
    assert!(matches!(told[..], [Event::ClockSkew { ahead_ms: 600_000, .. }]), "{told:?}");
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_link() {
    let (mut world, mut stranger) = met(Settings::default());
    world.put(0, "k", "v");
    drop(stranger.hear(&mut world, 0));
    let sent = in_flight(&world);
    assert!(sent > 0);
    let own = world.replicas[0].identity.replica;
    stranger.say(&mut world, 0, &ack(sent, &[Dot { replica: own, seq: 1 }]));
    assert_eq!((in_flight(&world), stranger.is_heard(&world, 0)), (0, true));
    for (bytes, seq) in [(sent + 1, 1), (sent - 1, 1), (sent, 2)] {
        let (mut world, mut stranger) = met(Settings::default());
        world.put(0, "k", "v");
        drop(stranger.hear(&mut world, 0));
        stranger.say(&mut world, 0, &ack(sent, &[]));
        assert!(stranger.is_heard(&world, 0));
        let own = world.replicas[0].identity.replica;
        stranger.say(&mut world, 0, &ack(bytes, &[Dot { replica: own, seq }]));
        assert!(matches!(world.replicas[0].closes[..], [CloseReason::Protocol(_)]), "{bytes} bytes, seq {seq}");
    }
}

#[test]
fn only_an_acknowledgement_of_more_than_before_breaks_the_silence() {
    for first in [0, 1] {
        let (mut world, mut stranger) = met(Settings::default());
        world.put(0, "k", &"v".repeat(500));
        drop(stranger.hear(&mut world, 0));
        stranger.say(&mut world, 0, &ack(first, &[]));
        for _ in 0..8 {
            world.advance(Duration::from_secs(2));
            stranger.say(&mut world, 0, &ack(first, &[]));
        }
        assert_eq!(world.replicas[0].closes, [CloseReason::Silent], "it says {first} again and again");
    }
    let (mut world, mut stranger) = met(Settings::default());
    world.put(0, "k", &"v".repeat(500));
    drop(stranger.hear(&mut world, 0));
    for bytes in 1..50 {
        world.advance(Duration::from_secs(2));
        stranger.say(&mut world, 0, &ack(bytes, &[]));
    }
    assert_eq!(world.replicas[0].closes, [], "it is slow");
}

#[test]
fn a_peer_may_name_as_many_replicas_as_there_can_be() {
    let id = |number: usize| ReplicaId((number as u128 + 1).to_be_bytes());
    let all: VersionVector = (0..MAX_REPLICAS).map(|number| Dot { replica: id(number), seq: 1 }).collect();
    let more: VersionVector = (0..2).map(|number| Dot { replica: id(MAX_REPLICAS + number), seq: 1 }).collect();
    let (mut world, mut stranger) = met(Settings::default());
    stranger.say(&mut world, 0, &[Message::Ack { lsn: Lsn::ZERO, bytes: 0, vector: all }]);
    assert_eq!(world.replicas[0].closes, []);
    stranger.say(&mut world, 0, &[Message::Ack { lsn: Lsn::ZERO, bytes: 0, vector: more }]);
    assert_eq!(world.replicas[0].closes, [CloseReason::TooManyReplicas]);
}

#[test]
fn links_that_break_are_failed_tries_unless_own_operations_arrived() {
    for arrives in [false, true] {
        let (mut world, mut stranger) = met(Settings { max_retries: 3, ..Settings::default() });
        for number in 0..10 {
            world.put(0, &format!("k{number}"), "v");
        }
        let replica = world.replicas[0].identity.replica;
        for try_ in 1..=4 {
            stranger.leave(&mut world, 0);
            stranger.greet(&mut world, 0);
            drop(stranger.hear(&mut world, 0));
            let dots = if arrives { vec![Dot { replica, seq: try_ }] } else { vec![] };
            stranger.say(&mut world, 0, &ack(0, &dots));
        }
        stranger.leave(&mut world, 0);
        let failed = world.replicas[0].events.iter().any(|event| matches!(event, Event::Failed { .. }));
        assert_eq!(failed, !arrives);
    }
}
