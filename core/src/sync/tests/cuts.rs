//! A vector claims nothing that the state does not cover.

use alloc::string::ToString;
use alloc::vec;

use super::full::{dot, entry, vector};
use super::harness::World;
use super::stranger::Stranger;
use crate::ids::ReplicaId;
use crate::sync::Settings;
use crate::sync::message::Part;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

/// A writes k as (A,5), and more behind it. B overwrites k. C hears from B what survives of A's operations, and B dies
/// before it comes to k. Had C's vector advanced with what it was sent, C would claim (A,5) now, and D, which has it,
/// would never send it.
#[test]
fn a_vector_advances_at_cuts_alone() {
    let mut world = World::new(4, 1, &Settings::default());
    world.room = 40;
    for seq in 1..=4 {
        world.put(A, &alloc::format!("a{seq}"), "old");
    }
    world.put(A, "k", "from A");
    world.put(A, "a6", "old");
    world.connect(A, D);
    world.connect(A, B);
    world.settle();
    world.cut_all(A);
    world.put(B, "k", "from B");
    assert_eq!(world.replicas[D].get("k").as_deref(), Some("from A"));

    world.connect(B, C);
    while world.replicas[C].get("a6").is_none() {
        assert!(world.deliver_some(), "B sends what survives of A's operations");
    }
    assert_eq!(world.replicas[C].get("k"), None);
    world.cut_all(B);
    let (a, c) = (&world.replicas[A], &world.replicas[C]);
    assert_eq!(c.claims_of(a), 0, "C holds A's sixth operation and not what became of the fifth");

    // A and B are gone for good; the others agree all the same.
    world.connect(C, D);
    world.settle();
    assert_eq!(world.values("k")[C..], vec![Some("from A".to_string()); 2]);

    // And B's version wins when B is back.
    world.connect(B, C);
    world.connect(A, D);
    world.settle();
    assert_eq!(world.values("k"), vec![Some("from B".to_string()); 4]);
    world.assert_converged();
}

/// An entry may be skipped only if the peer covers everything merged into it, not its winner alone. C has the winner,
/// and not the version that lost: who knows of that one must tell.
#[test]
fn an_entry_is_skipped_only_if_all_that_was_merged_is_covered() {
    let mut world = World::new(3, 2, &Settings::default());
    world.put(A, "k", "loses");
    world.advance(core::time::Duration::from_secs(1));
    world.put(B, "k", "wins");
    world.connect(B, C);
    world.settle();
    world.cut_all(B);
    assert_eq!(world.replicas[C].claims_of(&world.replicas[B]), 1);
    // B merges both; its entry is won by its own operation, which C covers.
    world.connect(A, B);
    world.settle();
    world.cut_all(A);
    world.connect(B, C);
    world.settle();
    let known = |index: usize| world.replicas[index].store.entry(b"k").unwrap().known();
    assert_eq!(known(C), known(B));
    assert_eq!(known(C).len(), 2);
    world.assert_converged();
}

#[test]
fn a_walk_goes_on_where_the_link_broke() {
    let mut world = World::new(2, 3, &Settings::default());
    world.room = 300;
    for number in 0..200 {
        world.put(A, &alloc::format!("key{number:03}"), "value");
    }
    let mut links = 0;
    while world.replicas[B].store.len() < 200 {
        links += 1;
        world.connect(A, B);
        for _ in 0..12 {
            world.deliver_some();
        }
        world.cut(A, B);
    }
    assert!(links > 2, "{links} links");
    world.connect(A, B);
    world.settle();
    world.assert_converged();
    assert!(world.replicas[B].carried < 215, "{} entries carried for 200", world.replicas[B].carried);
}

const F: usize = 0;
const S: usize = 1;
const R: usize = 2;

/// R hears F itself, so S puts F's operations off for R. F dies before it has said anything: S must have kept them in
/// mind, across its own later operations and a broken link.
#[test]
fn what_was_put_off_is_sent_when_its_writer_is_gone() {
    for broken in [false, true] {
        let mut world = World::new(3, 4, &Settings::default());
        world.connect(F, R);
        world.connect(S, R);
        world.settle();
        world.connect(F, S);
        world.settle();
        world.put(F, "k", "from F");
        while world.deliver(F, S) {}
        world.put(S, "l", "from S");
        while world.deliver(S, R) | world.deliver(R, S) {}
        assert_eq!((world.replicas[R].get("k"), world.replicas[R].get("l").as_deref()), (None, Some("from S")));
        assert_eq!(world.replicas[R].claims_of(&world.replicas[S]), 1, "what S wrote itself may be claimed");
        assert_eq!(world.replicas[R].claims_of(&world.replicas[F]), 0);
        if broken {
            world.cut(S, R);
        }
        world.cut_all(F);
        if broken {
            world.connect(S, R);
        }
        world.settle();
        assert_eq!(world.replicas[R].get("k").as_deref(), Some("from F"), "broken: {broken}");
    }
}

/// As the first story, with entries put off: S must not let R claim F's first version of k, which F's second
/// superseded, as long as it keeps the second back.
#[test]
fn what_is_put_off_is_not_claimed_nor_what_it_superseded() {
    let mut world = World::new(4, 5, &Settings::default());
    world.put(F, "k", "first");
    world.connect(F, D);
    world.settle();
    world.cut_all(F);
    world.put(F, "k", "second");
    world.connect(F, S);
    world.settle();
    // R meets F, and hears nothing of it but its greeting.
    world.connect(F, R);
    for _ in 0..2 {
        world.deliver(F, R);
        world.deliver(R, F);
    }
    world.connect(S, R);
    world.put(S, "l", "from S");
    while world.deliver(S, R) | world.deliver(R, S) {}
    assert_eq!((world.replicas[R].get("k"), world.replicas[R].get("l").as_deref()), (None, Some("from S")));
    world.cut_all(F);
    world.cut_all(S);
    world.connect(R, D);
    world.settle();
    assert_eq!(world.replicas[R].get("k").as_deref(), Some("first"));
}

/// The link to A stands although A is gone, and its operator gives A up. Nobody has to say so again when the link ends.
#[test]
fn a_history_given_up_while_a_link_still_stands_is_closed_with_the_link() {
    for gone_with in ["the link", "a restart", "the last who claims it"] {
        let mut world = World::new(3, 6, &Settings::default());
        world.room = 60;
        (0..20).for_each(|number| world.put(A, &alloc::format!("key{number:02}"), "value"));
        if gone_with == "the last who claims it" {
            // B hears from C that it has all of A, and nothing of that.
            world.connect(A, C);
            world.settle();
            world.connect(B, C);
            world.deliver(C, B);
            world.cut_all(C);
        }
        world.connect(A, B);
        while world.replicas[B].get("key05").is_none() {
            world.deliver(A, B);
            world.deliver(B, A);
        }
        give_up(&mut world, A);
        assert!(!world.replicas[B].engine.is_exact(&world.replicas[B].store));
        match gone_with {
            "a restart" => world.crash(B),
            _ => world.cut(A, B),
        }
        if gone_with == "the last who claims it" {
            assert!(!world.replicas[B].engine.is_exact(&world.replicas[B].store), "C can say so");
            give_up(&mut world, C);
        }
        assert!(world.replicas[B].engine.is_exact(&world.replicas[B].store), "gone with {gone_with}");
        world.crash(B);
        assert!(world.replicas[B].engine.is_exact(&world.replicas[B].store), "gone with {gone_with}, and durably");
    }
}

/// What somebody was restored from was never met: it stands in what he had seen, and in nothing else. He is gone, and so is
/// the other one whom he told.
#[test]
fn what_was_met_of_a_name_that_is_no_member_is_closed_with_those_who_claim_it() {
    let (former, restored, other) = (dot(0xbb, 3), dot(0xaa, 1), dot(0xcc, 1));
    let mut world = World::new(2, 7, &Settings::default());
    let is_exact = |world: &World| world.replicas[B].engine.is_exact(&world.replicas[B].store);
    let mut heard = [Stranger::new(0xaa), Stranger::new(0xcc)];
    heard[0].hello.vector = vector(&[former, restored]);
    heard[1].hello.vector = vector(&[dot(0xbb, 1), other]);
    heard.iter_mut().for_each(|stranger| stranger.greet(&mut world, B));
    let Part::Entry { op, .. } = entry(restored, "k") else { unreachable!("an entry") };
    heard[0].batch(&mut world, B, vec![Part::Entry { op, known: vector(&[former]) }]);
    heard.iter_mut().for_each(|stranger| stranger.leave(&mut world, B));
    assert!(!is_exact(&world));
    give_up_replica(&mut world, restored.replica);
    assert!(!is_exact(&world), "the other may know more of it than it has said");
    give_up_replica(&mut world, other.replica);
    assert!(is_exact(&world), "nobody is left who could say so");
    world.crash(B);
    assert!(is_exact(&world), "durably");
    assert_eq!(world.replicas[B].engine.vector().get(former.replica), 0, "and yet it is not claimed");
    let mut knows_more = Stranger::new(0xdd);
    knows_more.hello.vector = vector(&[former]);
    knows_more.greet(&mut world, B);
    assert!(!is_exact(&world), "somebody came who can say so");
    knows_more.batch(&mut world, B, vec![Part::End, Part::Cut(vector(&[former]))]);
    assert!(is_exact(&world) && world.replicas[B].engine.vector().covers(former));
}

fn give_up(world: &mut World, gone: usize) {
    let replica = world.replicas[gone].identity.replica;
    give_up_replica(world, replica);
}

fn give_up_replica(world: &mut World, replica: ReplicaId) {
    world.advance(core::time::Duration::from_secs(1));
    let now = world.now(B);
    let mut effects = core::mem::take(&mut world.replicas[B].effects);
    world.replicas[B].engine.forget(now, replica, &mut effects).unwrap();
    world.replicas[B].effects = effects;
    world.route(B);
}
