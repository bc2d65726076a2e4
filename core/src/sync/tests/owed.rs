//! What is owed: deletions that a full exchange has told of, and that are not claimed yet.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::full::{dot, entry, from_above, meets_one_that_has_forgotten, meets_one_that_owes, vector, world};
use super::harness::World;
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::ids::{Dot, Lsn};
use crate::sync::chain::Ladder;
use crate::sync::message::{Message, Part};
use crate::sync::{Settings, State, SyncRecord};

/// Below the floor of the other stands what it has collected, and below what it owes, what it has only dropped: it does not claim
/// all deletions of that itself. Until they are claimed here, they are owed here.
#[test]
fn what_the_other_owes_is_owed_by_whoever_drops_it() {
    let (gone, deleted) = (dot(0xcc, 1), dot(0xdd, 5));
    for (owed, claims, is_owed) in [
        (vec![gone, deleted], false, true),
        (vec![deleted], false, true),
        (vec![deleted], true, false),
        (vec![], false, false),
    ] {
        let (mut world, _, mut forgetful) = meets_one_that_owes(11, &owed);
        if claims {
            let mut other = Stranger::new(0xbb);
            other.hello.vector = vector(&[gone, deleted, dot(0xaa, 1)]);
            other.greet(&mut world, 0);
            other.batch(&mut world, 0, vec![Part::End, Part::Cut(other.hello.vector.clone())]);
            assert!(world.replicas[0].engine.vector().covers(deleted));
        }
        forgetful.name(&mut world, 0, &[], None);
        let replica = &world.replicas[0];
        assert_eq!(replica.get("x"), None);
        assert_eq!(replica.engine.state.owed.covers(deleted), is_owed, "{owed:?}");
    }
}

/// An exchange breaks off when the first of two keys is dropped, and both are owed.
#[test]
fn what_is_owed_already_is_dropped_by_the_next_exchange() {
    let mut world = world(1, 12);
    let gone = [dot(0xcc, 1), dot(0xcc, 2)];
    let mut holder = Stranger::new(0xee);
    holder.hello.vector = vector(&gone);
    holder.greet(&mut world, 0);
    let held = vec![entry(gone[0], "x"), entry(gone[1], "z"), Part::End, Part::Cut(vector(&gone))];
    holder.batch(&mut world, 0, held);
    let mut forgetful = from_above(0xaa);
    for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
        dots.include(gone[1]);
    }
    forgetful.greet(&mut world, 0);
    forgetful.name(&mut world, 0, &[], Some("y"));
    let replica = &world.replicas[0];
    assert_eq!((replica.get("x"), replica.get("z").as_deref()), (None, Some("v")));
    assert!(replica.engine.state.owed.covers(gone[1]));
    forgetful.leave(&mut world, 0);
    forgetful.greet(&mut world, 0);
    forgetful.name(&mut world, 0, &[], None);
    assert_eq!(world.replicas[0].get("z"), None);
}

#[test]
fn what_was_dropped_is_owed_after_a_crash_too() {
    let (mut world, _, mut forgetful) = meets_one_that_has_forgotten(8);
    forgetful.name(&mut world, 0, &[], None);
    assert_eq!(world.replicas[0].get("x"), None);
    for crashed in [false, true] {
        if crashed {
            world.crash(0);
        }
        let replica = &world.replicas[0];
        assert!(!replica.engine.is_exact(&replica.store), "it shows less than it claims");
        assert!(replica.engine.state.owed.covers(dot(0xaa, 1)), "and may not have it claimed by whoever holds that");
        let mut bytes = vec![];
        replica.engine.state.encode(&mut bytes);
        assert_eq!(State::decode(&bytes.into()).as_ref(), Ok(&replica.engine.state));
    }
}

/// Somebody brings the key "x", which has won over something else.
fn told_of_a_winner(world: &mut World, gone: Dot, lost: Dot) -> Stranger {
    let mut holder = Stranger::new(0xee);
    holder.hello.vector = vector(&[gone, lost]);
    holder.greet(world, 0);
    let Part::Entry { op, .. } = entry(gone, "x") else { unreachable!("an entry") };
    let winner = Part::Entry { op, known: vector(&[gone, lost]) };
    holder.batch(world, 0, vec![winner, Part::End, Part::Cut(vector(&[gone, lost]))]);
    holder
}

/// Who still holds what had lost to something dropped hears of it by the floor; not where that name means two operations.
#[test]
fn what_had_lost_to_something_dropped_is_forgotten_with_it() {
    for ambiguous in [false, true] {
        let mut world = world(1, 10);
        let (gone, lost) = (dot(0xcc, 1), dot(0xdd, 1));
        if ambiguous {
            world.replicas[0].engine.state.former.give_up(lost.replica, 0);
        }
        drop(told_of_a_winner(&mut world, gone, lost));
        let mut forgetful = from_above(0xaa);
        for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
            dots.include(gone);
        }
        forgetful.greet(&mut world, 0);
        forgetful.name(&mut world, 0, &[], None);
        let replica = &world.replicas[0];
        assert_eq!(replica.get("x"), None);
        assert!(replica.engine.state.owed.covers(gone));
        assert_eq!(replica.engine.state.owed.covers(lost), !ambiguous);
    }
}

/// The other is told to claim what it never heard of, and that this is owed: it waits for nothing, and may owe something itself.
#[test]
fn what_had_lost_to_something_dropped_is_claimed_by_whoever_hears_that_it_is_owed() {
    for protocols in [(1, 3), (1, 4)] {
        let mut world = world(1, 10);
        let (gone, lost) = (dot(0xcc, 1), dot(0xdd, 1));
        let mut holder = told_of_a_winner(&mut world, gone, lost);
        let mut forgetful = from_above(0xaa);
        forgetful.hello.protocols = protocols;
        for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
            dots.include(gone);
        }
        forgetful.greet(&mut world, 0);
        forgetful.name(&mut world, 0, &[], None);
        let passes_on = protocols.1 > 3;
        assert_eq!(forgetful.is_heard(&world, 0), !passes_on, "it has not heard of all that is owed");
        for peer in [&mut forgetful, &mut holder].into_iter().filter(|_| passes_on) {
            peer.leave(&mut world, 0);
            peer.greet(&mut world, 0);
            peer.name(&mut world, 0, &[], None);
        }
        drop(forgetful.hear(&mut world, 0));
        let cut = &world.replicas[0].engine.sessions[&forgetful.peer].cut;
        assert_eq!(cut.covers(lost), passes_on, "{protocols:?}");
    }
}

/// What is owed counts as claimed by nobody as long as nobody is known who could claim it.
#[test]
fn whoever_owes_tells_of_all_members_before_it_names_a_key() {
    for owes in [false, true] {
        let mut world = world(1, 14);
        let mut member = Stranger::new(0xdd);
        member.greet(&mut world, 0);
        member.leave(&mut world, 0);
        let state = &mut world.replicas[0].engine.state;
        if owes { &mut state.owed } else { &mut state.floor }.include(dot(0xdd, 1));
        let mut other = Stranger::new(0xaa);
        other.greet(&mut world, 0);
        // Hello and resume were heard; then come members (9), and keys (4).
        let kinds: Vec<u8> = other.hear(&mut world, 0).iter().filter_map(|bytes| bytes.first().copied()).collect();
        let mut told = kinds.into_iter().filter(|kind| [4, 9].contains(kind));
        assert_eq!(told.next(), Some(if owes { 9 } else { 4 }));
    }
}

/// Whoever is told keys by somebody who owes, and is told then to claim what that claims, owes the same, though nothing was dropped.
#[test]
fn whoever_is_told_to_claim_more_owes_what_the_other_owes() {
    let (gone, deleted) = (dot(0xcc, 1), dot(0xdd, 5));
    for (protocols, claimed, is_owed) in [((1, 4), false, true), ((1, 4), true, false), ((1, 3), false, true)] {
        let mut world = world(1, 13);
        let mut deletes = Stranger::new(0xdd);
        deletes.greet(&mut world, 0);
        deletes.leave(&mut world, 0);
        let mut bystander = Stranger::new(0xee);
        bystander.hello.vector = vector(&[gone, dot(0xaa, 1)]);
        bystander.greet(&mut world, 0);
        let mut other = from_above(0xaa);
        other.hello.protocols = protocols;
        other.hello.owed = vector(&[deleted]);
        for dots in [&mut other.hello.floor, &mut other.hello.vector] {
            dots.include(gone);
        }
        if claimed {
            other.hello.vector.include(deleted);
        }
        other.greet(&mut world, 0);
        other.name(&mut world, 0, &[], None);
        let cut = other.hello.vector.clone();
        other.batch(&mut world, 0, vec![Part::End, Part::Cut(cut.clone())]);
        let engine = &world.replicas[0].engine;
        assert!(engine.vector().covers_all(&cut) && engine.state.floor.covers_all(&other.hello.floor));
        assert_eq!(engine.state.owed.covers(deleted), is_owed, "{protocols:?}, claimed: {claimed}");
        assert!(!engine.state.floor.covers(deleted), "what need not be owed is not noted either");
        assert_eq!(bystander.is_heard(&world, 0), !is_owed, "who has not heard that it is owed greets anew");
    }
}

/// Whoever owes names its keys to all that do not claim what is owed, if they know that it may.
#[test]
fn whoever_does_not_claim_what_the_other_owes_is_named_its_keys() {
    let deleted = dot(0xdd, 5);
    for (protocol, claimed, is_named) in [(4, false, true), (4, true, false), (3, false, false), (3, true, false)] {
        let mut world = world(1, 15);
        if claimed {
            let mut deletes = Stranger::new(0xdd);
            deletes.hello.vector = vector(&[deleted]);
            deletes.greet(&mut world, 0);
            deletes.batch(&mut world, 0, vec![Part::End, Part::Cut(vector(&[deleted]))]);
        }
        let mut other = Stranger::new(0xaa);
        (other.hello.protocols, other.hello.owed) = ((1, protocol), vector(&[deleted]));
        other.greet(&mut world, 0);
        let engine = &world.replicas[0].engine;
        assert_eq!(engine.vector().covers(deleted), claimed);
        let named = engine.sessions[&other.peer].full_in.is_some();
        assert_eq!(named, is_named, "protocol {protocol}, claimed: {claimed}");
    }
}

/// What is to be dropped stands here until that is durable: whoever comes meanwhile may have been named it.
#[test]
fn whoever_comes_before_a_drop_is_durable_is_behind() {
    let (mut world, _, mut forgetful) = meets_one_that_has_forgotten(16);
    world.replicas[0].auto_commit = false;
    forgetful.name(&mut world, 0, &[], None);
    assert_eq!(world.replicas[0].engine.drops, 1, "decided");
    let mut comes = Stranger::new(0xbb);
    comes.greet(&mut world, 0);
    assert!(world.replicas[0].engine.sessions[&comes.peer].said_owed.covers(dot(0xaa, 1)));
    let now = world.now(0);
    world.replicas[0].commit(now);
    world.route(0);
    assert_eq!(world.replicas[0].engine.drops, 2, "durable");
    assert!(!comes.is_heard(&world, 0) && forgetful.is_heard(&world, 0));
}

/// A real peer's part of keeping a link alive, for ten minutes. Whether it is told meanwhile to claim the first write here.
fn is_told(world: &mut World, peer: &mut Stranger) -> bool {
    let own = Dot { replica: world.replicas[0].identity.replica, seq: 1 };
    for _ in 0..600 {
        drop(peer.hear(world, 0));
        if !peer.is_heard(world, 0) {
            peer.leave(world, 0);
            peer.greet(world, 0);
        }
        let Some(session) = world.replicas[0].engine.sessions.get(&peer.peer) else { continue };
        let (lsn, bytes, told) = (session.told, session.sent_bytes, session.cut.covers(own));
        if told {
            return true;
        }
        peer.say(world, 0, &[Message::Ack { lsn, bytes, vector: peer.hello.vector.clone() }]);
        world.advance(Duration::from_secs(1));
    }
    false
}

/// The end of an exchange with one that owes is on its way to the disk when a deadline passes: nobody is behind yet.
#[test]
fn whoever_has_not_heard_of_what_is_owed_greets_anew_though_a_deadline_passes_before_that_is_durable() {
    for passes in [false, true] {
        let (gone, deleted) = (dot(0xcc, 1), dot(0xdd, 5));
        let mut world = world(1, 17);
        let mut deletes = Stranger::new(0xdd);
        deletes.greet(&mut world, 0);
        deletes.leave(&mut world, 0);
        world.put(0, "mine", "v");
        let mut other = from_above(0xaa);
        other.hello.owed = vector(&[deleted]);
        for dots in [&mut other.hello.floor, &mut other.hello.vector] {
            dots.include(gone);
        }
        other.greet(&mut world, 0);
        other.name(&mut world, 0, &["mine"], None);
        let mut bystander = Stranger::new(0xee);
        bystander.hello.vector = vector(&[gone, dot(0xaa, 1)]);
        bystander.greet(&mut world, 0);
        world.replicas[0].auto_commit = false;
        other.batch(&mut world, 0, vec![Part::End, Part::Cut(other.hello.vector.clone())]);
        if passes {
            let now = world.now(0);
            let replica = &mut world.replicas[0];
            replica.engine.handle_timeout(now, &replica.store, &mut replica.effects);
        }
        world.replicas[0].auto_commit = true;
        world.route(0);
        assert!(world.replicas[0].engine.state.owed.covers(deleted));
        other.leave(&mut world, 0);
        assert!(is_told(&mut world, &mut bystander), "a deadline passes: {passes}");
    }
}

/// It says hello before a drop is durable, and its session opens behind that. Who dropped that is gone.
#[test]
fn whoever_greets_before_a_drop_is_durable_and_opens_behind_it_is_told_to_claim_something() {
    for opens_before in [true, false] {
        let (mut world, mut holder, mut forgetful) = meets_one_that_has_forgotten(16);
        holder.leave(&mut world, 0);
        world.put(0, "mine", "v");
        world.replicas[0].auto_commit = false;
        forgetful.name(&mut world, 0, &["mine"], None);
        let mut comes = Stranger::new(0xbb);
        let now = world.now(0);
        let replica = &mut world.replicas[0];
        replica.engine.peer_up(now, comes.peer, &mut replica.effects);
        let pairs = Ladder::default().pairs(0, 0);
        let resume = Message::Resume { lsn: Lsn::ZERO, boot: 0, pairs, direct: BTreeSet::new() };
        comes.say(&mut world, 0, &[Message::Hello(comes.hello.clone())]);
        if opens_before {
            comes.say(&mut world, 0, core::slice::from_ref(&resume));
        }
        forgetful.leave(&mut world, 0);
        world.replicas[0].auto_commit = true;
        world.route(0);
        if !opens_before {
            comes.say(&mut world, 0, core::slice::from_ref(&resume));
        }
        assert!(is_told(&mut world, &mut comes), "opens before: {opens_before}");
    }
}

/// Of an older protocol, it claims what is owed, and not the floor, and is just named keys when something is dropped.
#[test]
fn whoever_speaks_an_older_protocol_is_told_to_claim_something_behind_a_drop() {
    for protocols in [(1, 4), (1, 3)] {
        let mut world = world(1, 5);
        let (gone, risen) = (dot(0xcc, 1), dot(0xf0, 1));
        let engine = &mut world.replicas[0].engine;
        for dots in [&mut engine.state.floor, &mut engine.state.vector, &mut engine.claims] {
            dots.include(risen);
        }
        world.put(0, "mine", "v");
        let mut holder = Stranger::new(0xee);
        holder.hello.vector = vector(&[gone, risen, dot(0xaa, 1)]);
        holder.greet(&mut world, 0);
        holder.batch(&mut world, 0, vec![entry(gone, "x"), Part::End, Part::Cut(vector(&[gone]))]);
        holder.leave(&mut world, 0);
        let mut old = Stranger::new(0xbb);
        old.hello.protocols = protocols;
        old.hello.vector = vector(&[gone, dot(0xaa, 1)]);
        let mut forgetful = from_above(0xaa);
        for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
            dots.include(gone);
        }
        forgetful.hello.vector.include(risen);
        forgetful.greet(&mut world, 0);
        old.greet(&mut world, 0);
        forgetful.name(&mut world, 0, &["mine"], None);
        assert_eq!(world.replicas[0].get("x"), None);
        forgetful.leave(&mut world, 0);
        assert!(is_told(&mut world, &mut old), "{protocols:?}");
    }
}

/// A tombstone is dropped by an exchange that is not over, while another has the turn; somebody who has seen what that one forgot,
/// and has not heard of the drop, has on its way what would have lost to the tombstone.
#[test]
fn whoever_has_not_heard_of_a_drop_brings_in_nothing_that_would_have_lost_to_it() {
    let mut world = world(1, 14);
    world.put(0, "x", "1");
    world.delete(0, "x");
    let known = world.replicas[0].store.latest(b"x").unwrap().known();
    let mut first = from_above(0xbb);
    first.greet(&mut world, 0);
    first.name(&mut world, 0, &[], Some("a"));
    let mut other = Stranger::new(0xdd);
    other.hello.vector = first.hello.floor.clone();
    other.greet(&mut world, 0);
    let mut forgetful = from_above(0xaa);
    for dots in [&mut forgetful.hello.floor, &mut forgetful.hello.vector] {
        dots.join(&known);
    }
    forgetful.greet(&mut world, 0);
    forgetful.name(&mut world, 0, &[], None);
    assert!(world.replicas[0].store.latest(b"x").is_none());
    other.batch(&mut world, 0, vec![entry(dot(0xdd, 1), "x"), Part::End, Part::Cut(vector(&[dot(0xdd, 1)]))]);
    assert_eq!(world.replicas[0].get("x"), None);
    first.leave(&mut world, 0);
    assert!(!other.is_heard(&world, 0), "it greets anew, and writes again what may have been deleted");
}

/// Two owe what only the other can have claimed, and meet only by way of somebody who cannot hear of what is owed: he is told to claim
/// neither until he speaks a newer protocol.
#[test]
fn two_that_owe_what_the_other_has_wait_behind_an_older_protocol_until_that_is_gone() {
    for old in [true, false] {
        let mut world = World::new(3, 15, &Settings::default());
        world.connect_all();
        world.settle();
        for (at, other, key) in [(1, 2, "a"), (2, 1, "b")] {
            world.cut_all(at);
            world.put(at, key, "v");
            let dots = vector(&[Dot { replica: world.replicas[other].identity.replica, seq: 1 }]);
            world.replicas[at].engine.state.apply(&SyncRecord::Owed { dots, stamp: Stamp::default() });
        }
        let meet = |world: &mut World| {
            world.cut_all(0);
            for _ in 0..10 {
                world.connect(0, 1);
                world.connect(0, 2);
                world.settle_for(Duration::from_secs(12));
            }
        };
        if old {
            world.old.insert(0, 3);
            meet(&mut world);
            assert!(world.replicas[0].engine.vector().is_empty(), "{:?}", world.replicas[0].engine.vector());
            world.old.clear();
        }
        meet(&mut world);
        world.assert_converged();
    }
}
