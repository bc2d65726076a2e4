//! Full exchanges that come to no end, come late, or meet.

use alloc::format;
use alloc::vec;
use core::time::Duration;

use bytes::Bytes;

use super::harness::{START, World};
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Chain, Marks, Operation};
use crate::sync::message::{Message, Part};
use crate::sync::session::{Phase, Session};
use crate::sync::{CloseReason, Engine, Ladder, Pairs, Settings, SyncRecord};
use crate::time::WallTime;

/// Strangers answer no pings: the first replica asks for none.
pub(super) fn world(count: usize, seed: u64) -> World {
    let mut world = World::new(0, seed, &Settings::default());
    for number in 0..count as u64 {
        let ping_every = Duration::from_secs(if number == 0 { 100_000 } else { 5 });
        world.add(number, &Settings { ping_every, ..Settings::default() });
    }
    world
}

pub(super) fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

pub(super) fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

pub(super) fn entry(dot: Dot, key: &str) -> Part {
    let stamp = Stamp::from_wall(WallTime(START));
    let op = Operation {
        dot,
        stamp,
        context: VersionVector::EMPTY,
        key: key.as_bytes().to_vec().into(),
        body: Body::Put("v".into()),
        marks: Marks::default(),
    };
    Part::Entry { op, known: VersionVector::EMPTY }
}

/// A deletion older than what [`entry`] writes.
fn deletion(dot: Dot, key: &str) -> Part {
    let Part::Entry { op, known } = entry(dot, key) else { unreachable!("an entry") };
    Part::Entry { op: Operation { stamp: Stamp::from_wall(WallTime(START - 1)), body: Body::Delete, ..op }, known }
}

/// One that has collected tombstones of which nobody else has heard.
pub(super) fn from_above(number: u8) -> Stranger {
    let mut stranger = Stranger::new(number);
    stranger.hello.floor = vector(&[dot(number, 1)]);
    stranger.hello.vector = stranger.hello.floor.clone();
    stranger.hello.floor_stamp = Stamp::from_wall(WallTime(START));
    stranger
}

fn live(world: &mut World, seconds: u64) {
    world.settle_for(Duration::from_secs(seconds));
}

#[test]
fn whoever_begins_and_stops_makes_place_for_others() {
    let mut world = world(2, 1);
    world.connect(0, 1);
    world.settle();
    let mut stranger = from_above(0xaa);
    stranger.greet(&mut world, 0);
    stranger.name(&mut world, 0, &["a"], Some("b"));
    live(&mut world, 300);
    assert!(stranger.is_heard(&world, 0), "as long as nobody waits, it may take its time");
    world.put(1, "k", "v");
    live(&mut world, 35);
    assert_eq!(world.values("k"), vec![Some("v".into()); 2]);
    assert_eq!(world.replicas[0].closes, [CloseReason::FullStalled]);
    assert!(world.replicas[0].pauses[0] >= Duration::from_secs(30), "{:?}", world.replicas[0].pauses);
    assert!(world.is_connected(0, 1));
    // It comes again at once, and again, under its own name and others.
    for number in 0..6 {
        let mut stranger = from_above(0xaa + number / 2);
        stranger.greet(&mut world, 0);
        stranger.name(&mut world, 0, &["a"], Some("b"));
        let key = format!("again{number}");
        world.put(1, &key, "v");
        live(&mut world, 70);
        assert!(world.values(&key).iter().all(Option::is_some), "{key}");
    }
    world.put(0, "mine", "v");
    live(&mut world, 70);
    world.assert_converged();
}

#[test]
fn whoever_never_ends_makes_place_for_others() {
    let mut world = world(2, 2);
    world.connect(0, 1);
    world.settle();
    let mut waited = 0;
    for round in 0..3 {
        let mut stranger = from_above(0xaa);
        stranger.greet(&mut world, 0);
        let key = format!("k{round}");
        world.put(1, &key, "v");
        let mut part = 0;
        while world.replicas[0].get(&key).is_none() {
            part += 1;
            waited += 10;
            assert!(waited < 7200, "for ever");
            if stranger.is_heard(&world, 0) {
                let named = format!("a{part:06}");
                stranger.name(&mut world, 0, &[&named], Some(&named));
            }
            live(&mut world, 10);
        }
    }
    assert!(world.replicas[0].closes.contains(&CloseReason::FullStalled));
    live(&mut world, 3600);
    world.assert_converged();
}

/// What others bring that have seen every deletion is taken in meanwhile: it cannot bring anything back.
#[test]
fn whoever_has_seen_the_deletions_need_not_wait() {
    let mut world = world(2, 3);
    world.put(1, "first", "v");
    world.settle();
    let mut stranger = Stranger::new(0xaa);
    let seen = Dot { replica: world.replicas[1].identity.replica, seq: 1 };
    stranger.hello.floor = vector(&[seen]);
    stranger.hello.vector = stranger.hello.floor.clone();
    stranger.hello.floor_stamp = Stamp::from_wall(WallTime(START + 100_000));
    stranger.greet(&mut world, 0);
    stranger.name(&mut world, 0, &["first"], Some("first"));
    world.connect(0, 1);
    live(&mut world, 2);
    world.put(1, "k", "v");
    live(&mut world, 2);
    assert_eq!(world.values("k"), vec![Some("v".into()); 2]);
    assert!(stranger.is_heard(&world, 0));
    // Its names go on, and what came in meanwhile is not taken for something to be written again.
    stranger.name(&mut world, 0, &[], None);
    stranger.batch(&mut world, 0, vec![Part::End, Part::Cut(vector(&[seen]))]);
    live(&mut world, 2);
    assert!(stranger.is_heard(&world, 0));
    assert_eq!(world.values("first"), vec![Some("v".into()); 2]);
    assert_eq!(
        world.replicas[0].engine.vector().get(world.replicas[0].identity.replica),
        0,
        "nothing was written again"
    );
    world.assert_converged();
}

#[test]
fn slow_is_not_stalled() {
    let mut world = world(2, 4);
    world.connect(0, 1);
    world.settle();
    let mut stranger = from_above(0xaa);
    stranger.greet(&mut world, 0);
    world.put(1, "k", "v");
    stranger.name(&mut world, 0, &["a"], Some("a"));
    live(&mut world, 25);
    stranger.name(&mut world, 0, &["b"], None);
    live(&mut world, 25);
    // One message that takes two minutes.
    for _ in 0..110 {
        stranger.trickle(&mut world, 0, 9 << 10);
        live(&mut world, 1);
    }
    stranger.batch(&mut world, 0, vec![entry(dot(0xaa, 2), "a")]);
    live(&mut world, 25);
    assert_eq!(world.replicas[0].get("k"), None, "it waits");
    assert!(world.is_connected(0, 1), "and is not taken for silent");
    stranger.batch(&mut world, 0, vec![entry(dot(0xaa, 3), "b"), Part::End, Part::Cut(vector(&[dot(0xaa, 3)]))]);
    live(&mut world, 5);
    assert!(stranger.is_heard(&world, 0), "{:?}", world.replicas[0].closes);
    world.connect(0, 1);
    live(&mut world, 5);
    assert_eq!(world.values("k"), vec![Some("v".into()); 2]);
    assert_eq!(world.values("b"), vec![Some("v".into()); 2]);
}

/// Two full exchanges at once: what the one has found deleted, the other brings back. The one begins anew.
#[test]
fn what_one_exchange_found_deleted_does_not_stay_because_of_another() {
    let mut world = world(1, 5);
    let gone = dot(0xcc, 1);
    let (mut keeps, mut deleted) = (from_above(0xaa), from_above(0xbb));
    for dots in [&mut deleted.hello.floor, &mut deleted.hello.vector] {
        dots.include(gone);
    }
    // It has seen all that the other one has forgotten, so that its link stands when the other is done.
    deleted.hello.vector.include(dot(0xaa, 1));
    keeps.greet(&mut world, 0);
    deleted.greet(&mut world, 0);
    deleted.name(&mut world, 0, &[], None);
    keeps.name(&mut world, 0, &["x"], None);
    let cut = keeps.hello.vector.clone();
    keeps.batch(&mut world, 0, vec![entry(gone, "x"), Part::End, Part::Cut(cut)]);
    assert_eq!(world.replicas[0].get("x").as_deref(), Some("v"));
    let cut = deleted.hello.vector.clone();
    deleted.batch(&mut world, 0, vec![Part::End, Part::Cut(cut.clone())]);
    if !deleted.is_heard(&world, 0) {
        deleted.greet(&mut world, 0);
        deleted.name(&mut world, 0, &[], None);
        deleted.batch(&mut world, 0, vec![Part::End, Part::Cut(cut)]);
    }
    assert!(world.replicas[0].engine.vector().covers(gone), "it claims the deletion");
    assert_eq!(world.replicas[0].get("x"), None, "and has it");
}

/// Somebody deletes a version and forgets that it was deleted; then an older deletion of the key comes from elsewhere, and
/// stands there as a tombstone. The key is there, and yet the version is not.
fn buried_again(knows_the_older: bool) -> World {
    let mut world = world(1, 6);
    let (gone, older) = (dot(0xcc, 2), dot(0xdd, 1));
    let mut stranger = from_above(0xaa);
    stranger.hello.floor.include(gone);
    stranger.hello.vector = stranger.hello.floor.clone();
    stranger.hello.vector.include(older);
    let mut before = Stranger::new(0xbb);
    before.hello.vector = vector(&[gone, older]);
    before.greet(&mut world, 0);
    let mut parts = vec![entry(gone, "x")];
    if knows_the_older {
        parts.push(deletion(older, "x"));
    }
    let cut = if knows_the_older { vector(&[gone, older]) } else { vector(&[gone]) };
    before.batch(&mut world, 0, [parts, vec![Part::End, Part::Cut(cut)]].concat());
    assert_eq!(world.replicas[0].get("x").as_deref(), Some("v"));
    stranger.greet(&mut world, 0);
    let buried = Part::Buried { key: "x".into(), dot: older, known: vector(&[older]), stamp: None };
    let named = Message::Full(Lsn::ZERO, vec![buried, Part::Upto(None)]);
    stranger.say(&mut world, 0, &[named]);
    let cut = stranger.hello.vector.clone();
    stranger.batch(&mut world, 0, vec![deletion(older, "x"), Part::End, Part::Cut(cut)]);
    assert_eq!(world.replicas[0].get("x"), None, "what was deleted is back");
    // From somebody who has missed it all it does not come back either.
    before.batch(&mut world, 0, vec![entry(gone, "x"), Part::End]);
    assert_eq!(world.replicas[0].get("x"), None, "what was deleted is back");
    world
}

#[test]
fn a_deletion_is_not_lost_behind_an_older_one() {
    let world = buried_again(false);
    let tombstone = world.replicas[0].store.entry(b"x").expect("the older deletion has come");
    assert_eq!(tombstone.dot(), dot(0xdd, 1));
}

#[test]
fn an_older_deletion_that_was_merged_stays_in_a_new_one() {
    let world = buried_again(true);
    let tombstone = world.replicas[0].store.entry(b"x").expect("a new tombstone");
    assert!(tombstone.is_tombstone() && tombstone.known().covers(dot(0xdd, 1)));
    assert_eq!(tombstone.dot().seq, 1, "an own one");
}

/// Of what [`entry`] writes.
fn later_deletion(dot: Dot, key: &str, known: &[Dot]) -> Part {
    let Part::Entry { op, .. } = deletion(dot, key) else { unreachable!("a deletion") };
    Part::Entry { op: Operation { stamp: Stamp::from_wall(WallTime(START + 1)), ..op }, known: vector(known) }
}

/// A replica that holds the key "x" of a peer, is linked with that, and meets another that has deleted "x" and forgotten it.
pub(super) fn meets_one_that_has_forgotten(seed: u64) -> (World, Stranger, Stranger) {
    meets_one_that_owes(seed, &[])
}

/// The same, where the other has dropped something of which it does not claim the deletion yet.
pub(super) fn meets_one_that_owes(seed: u64, owed: &[Dot]) -> (World, Stranger, Stranger) {
    let mut world = world(1, seed);
    let gone = dot(0xcc, 1);
    let mut holder = Stranger::new(0xee);
    holder.hello.vector = vector(&[gone]);
    holder.greet(&mut world, 0);
    holder.batch(&mut world, 0, vec![entry(gone, "x"), Part::End, Part::Cut(vector(&[gone]))]);
    assert_eq!(world.replicas[0].get("x").as_deref(), Some("v"));
    let mut forgetful = from_above(0xaa);
    for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
        dots.include(gone);
    }
    forgetful.hello.owed = vector(owed);
    forgetful.greet(&mut world, 0);
    (world, holder, forgetful)
}

/// The deletion comes from somebody else, and is claimed; then the full exchange drops the tombstone. With a cut alone the
/// holder would claim the deletion and keep the key for ever.
#[test]
fn whoever_holds_what_was_dropped_is_not_told_to_claim_its_deletion() {
    let (mut world, holder, mut forgetful) = meets_one_that_has_forgotten(7);
    let (gone, deleted) = (dot(0xcc, 1), dot(0xaa, 1));
    let mut other = Stranger::new(0xbb);
    other.hello.vector = vector(&[gone, deleted]);
    other.greet(&mut world, 0);
    let tombstone = later_deletion(deleted, "x", &[gone]);
    other.batch(&mut world, 0, vec![tombstone, Part::End, Part::Cut(vector(&[deleted]))]);
    assert!(world.replicas[0].engine.vector().covers(deleted) && holder.is_heard(&world, 0));
    forgetful.name(&mut world, 0, &[], None);
    assert!(world.replicas[0].store.entry(b"x").is_none(), "the tombstone is dropped");
    assert!(!holder.is_heard(&world, 0), "it must greet anew, and compare what it holds");
    assert!(other.is_heard(&world, 0) && forgetful.is_heard(&world, 0), "these have seen the deletion");
}

/// It holds what the other has deleted, merged with something that the other has never heard of.
#[test]
fn a_tombstone_that_has_merged_news_is_not_dropped() {
    let (mut world, _, mut forgetful) = meets_one_that_has_forgotten(9);
    let (gone, deleted, news) = (dot(0xcc, 1), dot(0xaa, 1), dot(0xdd, 1));
    let mut other = Stranger::new(0xbb);
    other.hello.vector = vector(&[gone, deleted]);
    other.greet(&mut world, 0);
    other.batch(&mut world, 0, vec![later_deletion(deleted, "x", &[gone, news])]);
    forgetful.name(&mut world, 0, &[], None);
    let tombstone = world.replicas[0].store.entry(b"x").expect("the tombstone stays");
    assert!(tombstone.is_tombstone() && tombstone.known().covers(news));
}

fn chain_of(number: u64) -> Pairs {
    let mut ladder = Ladder::default();
    ladder.push(1, Chain(number));
    ladder.pairs(0, 1)
}

/// Somebody claims an operation and does not have its key: it was deleted, if that is the operation that stands here. One
/// that claims another history under the same name says nothing about it.
#[test]
fn a_claim_of_another_history_deletes_nothing() {
    for (claimed, kept) in [(7, false), (8, true)] {
        let mut world = world(1, 7);
        let mut writer = Stranger::new(0xcc);
        writer.greet(&mut world, 0);
        let parts =
            vec![entry(dot(0xcc, 1), "x"), Part::Pairs(chain_of(7)), Part::End, Part::Cut(vector(&[dot(0xcc, 1)]))];
        writer.batch(&mut world, 0, parts);
        let mut other = from_above(0xaa);
        for dots in [&mut other.hello.floor, &mut other.hello.vector] {
            dots.include(dot(0xcc, 1));
        }
        other.greet(&mut world, 0);
        let history = Part::History { replica: ReplicaId([0xcc; 16]), pairs: chain_of(claimed) };
        other.say(&mut world, 0, &[Message::Full(Lsn::ZERO, vec![history])]);
        other.name(&mut world, 0, &[], None);
        let cut = other.hello.vector.clone();
        other.batch(&mut world, 0, vec![Part::End, Part::Cut(cut)]);
        assert!(other.is_heard(&world, 0), "{:?}", world.replicas[0].closes);
        assert_eq!(world.replicas[0].get("x").is_some(), kept, "history {claimed}");
        let own = world.replicas[0].identity.replica;
        assert_eq!(
            world.replicas[0].engine.vector().get(own),
            u64::from(kept),
            "written again under a name of its own"
        );
    }
}

/// Somebody claims an operation, does not have its key, and has never collected anything of that name. Once the name is
/// retired, its owner will not sort that out any more: what stands here is written again. But not if he owes the floor of
/// somebody else: he has dropped it because of that.
#[test]
fn what_nobody_has_collected_is_not_taken_for_deleted() {
    let cases = [(false, false), (false, true), (true, false), (true, true)];
    for (owed, (collected, retired)) in
        cases.map(|case| (false, case)).into_iter().chain(cases.map(|case| (true, case)))
    {
        let mut world = world(1, 7);
        let held = dot(0xcc, 1);
        let mut writer = Stranger::new(0xcc);
        writer.greet(&mut world, 0);
        writer.batch(&mut world, 0, vec![entry(held, "x"), Part::End, Part::Cut(vector(&[held]))]);
        writer.leave(&mut world, 0);
        if retired {
            let now = world.now(0);
            world.replicas[0].engine.forget(now, held.replica, &mut vec![]).unwrap();
        }
        let mut other = from_above(0xaa);
        other.hello.vector.include(held);
        if collected {
            other.hello.floor.include(held);
        }
        if owed {
            other.hello.owed.include(held);
        }
        other.greet(&mut world, 0);
        other.name(&mut world, 0, &[], None);
        let cut = other.hello.vector.clone();
        other.batch(&mut world, 0, vec![Part::End, Part::Cut(cut)]);
        assert!(other.is_heard(&world, 0), "{:?}", world.replicas[0].closes);
        let replica = &world.replicas[0];
        let what = alloc::format!("collected: {collected}, owed: {owed}, retired: {retired}");
        assert_eq!(replica.get("x").is_some(), !collected && !owed, "{what}");
        let again = replica.engine.vector().get(replica.identity.replica);
        assert_eq!(again, u64::from(retired && !collected && !owed), "{what}");
        let repeats = replica.store.entry(b"x").and_then(|entry| entry.marks().repeats);
        assert_eq!(repeats, None, "that name may mean another operation");
    }
}

/// A replica that had to give up a name holds an operation that came back under it, and meets somebody who claims that name
/// and has collected deletions of it. Which operation of that name was deleted nobody can say.
#[test]
fn what_stands_under_a_name_given_up_is_not_taken_for_deleted() {
    for (above, buried, again) in [
        (None, false, false),
        (Some(1), false, false),
        (Some(0), false, true),
        (None, true, false),
        (Some(0), true, false),
    ] {
        let mut world = world(1, 7);
        let (held, tombstone) = (dot(0xcc, 1), dot(0xaa, 1));
        if let Some(above) = above {
            world.replicas[0].engine.state.former.give_up(held.replica, above);
        }
        let mut holder = Stranger::new(0xee);
        holder.greet(&mut world, 0);
        holder.batch(&mut world, 0, vec![entry(held, "x"), Part::End, Part::Cut(vector(&[held]))]);
        let mut other = from_above(0xaa);
        for dots in [&mut other.hello.floor, &mut other.hello.vector] {
            dots.include(held);
        }
        other.greet(&mut world, 0);
        let key = Bytes::from_static(b"x");
        let named = buried.then(|| Part::Buried { key, dot: tombstone, known: vector(&[tombstone]), stamp: None });
        let parts = named.into_iter().chain([Part::Upto(None)]).collect();
        other.say(&mut world, 0, &[Message::Full(Lsn::ZERO, parts)]);
        let cut = other.hello.vector.clone();
        other.batch(&mut world, 0, vec![Part::End, Part::Cut(cut)]);
        assert!(other.is_heard(&world, 0), "{:?}", world.replicas[0].closes);
        let replica = &world.replicas[0];
        assert_eq!(replica.get("x").is_some(), above == Some(0), "ambiguous above {above:?}, buried: {buried}");
        assert_eq!(replica.engine.vector().get(replica.identity.replica), u64::from(again), "{above:?} {buried}");
    }
}

#[test]
fn what_a_writer_says_of_its_history_goes_from_hand_to_hand() {
    let mut world = world(3, 8);
    for (key, replica) in [("a", 0), ("b", 0), ("c", 1)] {
        world.put(replica, key, "v");
    }
    world.connect(0, 1);
    world.settle();
    world.cut(0, 1);
    world.connect(1, 2);
    world.settle();
    let writer = world.replicas[0].identity.replica;
    let told = |index: usize| world.replicas[index].engine.state.pairs.get(&writer).cloned();
    assert!(told(1).is_some_and(|pairs| pairs.iter().count() == 2));
    assert_eq!(told(1), told(2));
}

/// Whoever does not know what histories are is not told of them.
#[test]
fn an_older_protocol_is_spoken_with_those_who_know_no_newer() {
    let mut world = world(1, 9);
    let mut old = Stranger::new(0xaa);
    old.hello.protocols = (1, 1);
    old.greet(&mut world, 0);
    assert!(old.is_heard(&world, 0));
    assert!(!world.replicas[0].engine.sessions.values().any(Session::tells_histories));
    let mut newer = Stranger::new(0xbb);
    newer.hello.protocols = (2, 9);
    newer.greet(&mut world, 0);
    assert!(newer.is_heard(&world, 0));
    assert!(world.replicas[0].engine.sessions.values().any(Session::tells_histories));
}

/// The last message of a full exchange is in the log and not durable when its link breaks: what others have sent and was held back
/// stands behind it in the log, and comes in beside deletions that nothing tells of yet.
#[test]
fn what_was_held_back_brings_nothing_back_while_the_end_of_an_exchange_becomes_durable() {
    for (durable, breaks) in [(true, true), (false, false), (false, true)] {
        let mut world = world(1, 5);
        let gone = dot(0xcc, 1);
        let mut forgetful = from_above(0xaa);
        for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
            dots.include(gone);
        }
        forgetful.greet(&mut world, 0);
        forgetful.name(&mut world, 0, &[], None);
        let mut holder = Stranger::new(0xee);
        holder.hello.vector = vector(&[gone]);
        holder.greet(&mut world, 0);
        holder.batch(&mut world, 0, vec![entry(gone, "x"), Part::End, Part::Cut(vector(&[gone]))]);
        assert_eq!(world.replicas[0].get("x"), None, "it waits");
        world.replicas[0].auto_commit = durable;
        let cut = forgetful.hello.vector.clone();
        forgetful.batch(&mut world, 0, vec![Part::End, Part::Cut(cut.clone())]);
        if breaks {
            forgetful.leave(&mut world, 0);
        }
        world.replicas[0].auto_commit = true;
        world.route(0);
        let replica = &world.replicas[0];
        assert!(replica.engine.vector().covers_all(&cut), "it claims the deletion");
        assert_eq!(replica.get("x"), None, "and has it: durable {durable}, breaks {breaks}");
    }
}

/// Only the end of an exchange is waited for. What was dropped before is owed, not forgotten, and who told what to drop is gone here;
/// whoever greets since hears of it.
#[test]
fn what_comes_beside_a_drop_that_becomes_durable_is_not_held_back() {
    let mut world = world(1, 6);
    let mut holder = Stranger::new(0xee);
    holder.hello.vector = vector(&[dot(0xcc, 1), dot(0xbb, 1)]);
    holder.greet(&mut world, 0);
    holder.batch(&mut world, 0, vec![entry(dot(0xcc, 1), "x"), Part::End]);
    let mut forgetful = from_above(0xaa);
    let mut second = from_above(0xbb);
    forgetful.hello.floor.include(dot(0xcc, 1));
    for stranger in [&mut forgetful, &mut second] {
        stranger.hello.vector.include(dot(0xcc, 1));
        stranger.greet(&mut world, 0);
    }
    world.replicas[0].auto_commit = false;
    forgetful.name(&mut world, 0, &[], None);
    forgetful.leave(&mut world, 0);
    let engine = &world.replicas[0].engine;
    let is_owed = |record: &SyncRecord| matches!(record, SyncRecord::Owed { .. });
    let drops = |engine: &Engine| engine.applies.iter().filter(|apply| apply.records.iter().any(is_owed)).count();
    assert_eq!(drops(engine), 1, "it is on its way to the disk");
    holder.leave(&mut world, 0);
    holder.greet(&mut world, 0);
    second.name(&mut world, 0, &["a"], Some("b"));
    holder.batch(&mut world, 0, vec![entry(dot(0xee, 1), "y"), Part::End]);
    let engine = &world.replicas[0].engine;
    let session = &engine.sessions[&holder.peer];
    assert_eq!((session.phase, session.held.len(), drops(engine)), (Phase::Open, 0, 1));
    world.replicas[0].auto_commit = true;
    world.route(0);
    assert_eq!((world.replicas[0].get("x"), world.replicas[0].get("y").as_deref()), (None, Some("v")));
}

/// The same moment: a repair is judged by what is claimed before the end of the exchange, too.
#[test]
fn a_repair_brings_nothing_back_while_the_end_of_an_exchange_becomes_durable() {
    let mut world = world(1, 7);
    let gone = dot(0xcc, 1);
    let mut holder = Stranger::new(0xee);
    holder.hello.vector = vector(&[gone]);
    holder.greet(&mut world, 0);
    let mut forgetful = from_above(0xaa);
    for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
        dots.include(gone);
    }
    forgetful.greet(&mut world, 0);
    forgetful.name(&mut world, 0, &[], None);
    world.replicas[0].auto_commit = false;
    let cut = forgetful.hello.vector.clone();
    forgetful.batch(&mut world, 0, vec![Part::End, Part::Cut(cut.clone())]);
    forgetful.leave(&mut world, 0);
    holder.say(&mut world, 0, &[Message::Repair(vec![entry(gone, "x")])]);
    world.replicas[0].auto_commit = true;
    world.route(0);
    let replica = &world.replicas[0];
    assert!(replica.engine.vector().covers_all(&cut), "it claims the deletion");
    assert_eq!(replica.get("x"), None, "and has it");
}
