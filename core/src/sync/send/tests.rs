//! What of the feed a peer is sent, and what it may claim at its end.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::clock::Stamp;
use crate::op::{Body, Marks, Operation};
use crate::sync::message::{Hello, PROTOCOL};
use crate::time::{Instant, WallTime};

const ME: u8 = 1;
const PEER: u8 = 2;
/// Heard by the peer itself.
const HEARD: u8 = 3;
/// Not heard by the peer itself.
const AWAY: u8 = 4;
/// The peer knows another history under that name, from behind its first operation on.
const PARTED: u8 = 5;

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn session(claims: &[Dot]) -> Session {
    let mut session = Session::new(Instant(0), VersionVector::EMPTY, VersionVector::EMPTY, Instant(0));
    session.phase = Phase::Open;
    session.them = Some(Hello {
        protocols: (PROTOCOL, PROTOCOL),
        network: [7; 16],
        replica: ReplicaId([PEER; 16]),
        log: crate::ids::LogId([PEER; 16]),
        boot: 1,
        node: crate::ids::NodeId::new("peer").unwrap(),
        wall: WallTime(0),
        window: 1 << 20,
        own_seq: 0,
        vector: VersionVector::EMPTY,
        floor: VersionVector::EMPTY,
        floor_stamp: Stamp::default(),
        owed: VersionVector::EMPTY,
    });
    session.vector = vector(claims);
    session.direct = [ME, HEARD].map(|replica| ReplicaId([replica; 16])).into();
    session.parted = [(ReplicaId([PARTED; 16]), 1)].into();
    session
}

/// The first wins, having seen `seen`; the others were merged with it.
fn put(store: &mut Store, key: &str, merged: &[Dot], seen: &[Dot]) {
    let [winner, losers @ ..] = merged else { panic!("no operation") };
    let lsn = store.last_changed().next();
    let op = Operation {
        dot: *winner,
        stamp: Stamp(lsn.0),
        context: vector(seen),
        key: key.as_bytes().to_vec().into(),
        body: Body::Put(Bytes::new()),
        marks: Marks::default(),
    };
    store.apply_entry(lsn, &op, &vector(losers));
}

fn me() -> ReplicaId {
    ReplicaId([ME; 16])
}

#[test]
fn an_entry_is_sent_unless_the_peer_has_all_of_it_or_hears_the_rest_from_its_writers() {
    let mut session = session(&[dot(AWAY, 3), dot(PARTED, 5)]);
    session.forgotten_by_itself = 2;
    for (merged, may_put_off, class) in [
        (vec![dot(AWAY, 3)], true, Class::Covered),
        (vec![dot(AWAY, 4)], true, Class::Send),
        (vec![dot(HEARD, 1)], true, Class::PutOff),
        (vec![dot(HEARD, 1)], false, Class::Send),
        (vec![dot(AWAY, 3), dot(HEARD, 1)], true, Class::PutOff),
        (vec![dot(HEARD, 1), dot(AWAY, 3)], true, Class::PutOff),
        (vec![dot(HEARD, 1), dot(AWAY, 4)], true, Class::Send),
        (vec![dot(ME, 1)], true, Class::Send),
        (vec![dot(PARTED, 1)], true, Class::Covered),
        (vec![dot(PARTED, 2)], true, Class::Send),
        (vec![dot(PEER, 3)], true, Class::PutOff),
        (vec![dot(PEER, 2)], true, Class::Send),
    ] {
        let mut store = Store::new();
        put(&mut store, "k", &merged, &[]);
        let entry = store.entry(b"k").unwrap();
        assert_eq!(classify(&session, me(), &entry, may_put_off), class, "{merged:?}, may be put off: {may_put_off}");
    }
}

/// Else a peer would be shown the same again after each broken link.
#[test]
fn what_was_put_off_is_settled_once_the_peer_claims_it() {
    // Which of the two last keys were written over since the walk came by.
    for written_over in [&[][..], &["b"], &["a", "b"]] {
        for (claimed, settled) in [(0, 0), (1, 1), (2, 2)] {
            let mut store = Store::new();
            put(&mut store, "a", &[dot(HEARD, 1)], &[]);
            put(&mut store, "b", &[dot(HEARD, 2)], &[]);
            let mut session = session(&[dot(HEARD, claimed)]);
            session.scout = store.last_changed();
            for (key, seq) in written_over.iter().zip(1..) {
                put(&mut store, key, &[dot(ME, seq)], &[]);
            }
            settle(&mut session, me(), &store);
            let stands = 2 - written_over.len() as u64;
            let settled = if claimed >= stands { 2 } else { settled };
            assert_eq!(session.settled, Lsn(settled), "{claimed} claimed, {written_over:?} written over");
            assert_eq!(session.scout, Lsn(2));
        }
    }
}

#[test]
fn a_long_stretch_is_settled_in_steps() {
    let mut store = Store::new();
    for number in 1..=STEP as u64 + 1 {
        put(&mut store, &alloc::format!("k{number}"), &[dot(AWAY, number)], &[]);
    }
    let mut session = session(&[dot(AWAY, u64::MAX)]);
    session.scout = store.last_changed();
    for settled in [STEP as u64, STEP as u64 + 1] {
        settle(&mut session, me(), &store);
        assert_eq!(session.settled, Lsn(settled));
    }
}

/// What a peer may claim that claims `claims`, of a replica that claims everything and whose log is durable up to `durable`.
fn cut_for(store: &Store, claims: &[Dot], durable: u64) -> Vec<Dot> {
    let mut session = session(claims);
    session.scout = Lsn(durable);
    let all = vector(&[dot(ME, 4), dot(HEARD, 9), dot(AWAY, 9)]);
    cut(&all, &session, me(), store, Lsn(durable)).iter().collect()
}

#[test]
fn a_cut_says_what_is_new_to_the_peer() {
    let store = Store::new();
    assert_eq!(cut_for(&store, &[], 0), [dot(ME, 4), dot(HEARD, 9), dot(AWAY, 9)]);
    assert_eq!(cut_for(&store, &[dot(ME, 3), dot(HEARD, 9)], 0), [dot(ME, 4), dot(AWAY, 9)]);
}

/// An entry is put off, or not durable yet. Nothing is claimed that it may have superseded.
#[test]
fn a_cut_stops_short_of_what_the_peer_lacks_in_an_entry_held_back() {
    for (merged, seen, claims, cut) in [
        // Only the winner is lacking: whatever came before it may be claimed.
        (vec![dot(HEARD, 6)], vec![], vec![], vec![dot(ME, 4), dot(HEARD, 5), dot(AWAY, 9)]),
        (vec![dot(HEARD, 6)], vec![dot(HEARD, 2)], vec![dot(HEARD, 2)], vec![dot(ME, 4), dot(HEARD, 5), dot(AWAY, 9)]),
        // Something that it superseded is lacking, too.
        (vec![dot(HEARD, 6)], vec![dot(HEARD, 3)], vec![dot(HEARD, 2)], vec![dot(ME, 4), dot(AWAY, 9)]),
        // A version that lost is lacking, or that and the winner.
        (vec![dot(AWAY, 7), dot(HEARD, 6)], vec![], vec![dot(AWAY, 7)], vec![dot(ME, 4), dot(AWAY, 9)]),
        // What was held back has arrived.
        (vec![dot(HEARD, 6)], vec![], vec![dot(HEARD, 6)], vec![dot(ME, 4), dot(HEARD, 9), dot(AWAY, 9)]),
    ] {
        let mut store = Store::new();
        put(&mut store, "k", &merged, &seen);
        assert_eq!(cut_for(&store, &claims, 1), cut, "put off: {merged:?} has seen {seen:?}, claimed {claims:?}");
        assert_eq!(cut_for(&store, &claims, 0), cut, "not durable: {merged:?} has seen {seen:?}, claimed {claims:?}");
    }
}

#[test]
fn what_is_not_durable_is_held_back_whoever_wrote_it() {
    let mut store = Store::new();
    put(&mut store, "a", &[dot(AWAY, 6)], &[]);
    put(&mut store, "b", &[dot(ME, 4)], &[]);
    assert_eq!(cut_for(&store, &[dot(AWAY, 9), dot(HEARD, 9)], 2), [dot(ME, 4)]);
    assert_eq!(cut_for(&store, &[dot(AWAY, 9), dot(HEARD, 9)], 1), [dot(ME, 3)]);
}

#[test]
fn behind_more_than_can_be_looked_at_only_the_own_operations_are_claimed() {
    for (held_back, looked_at) in [(LOOK, true), (LOOK + 1, false)] {
        let mut store = Store::new();
        for number in 0..held_back {
            put(&mut store, &alloc::format!("k{number}"), &[dot(HEARD, 6)], &[]);
        }
        let last = store.last_changed().0;
        let all = [dot(ME, 4), dot(HEARD, 5), dot(AWAY, 9)];
        assert_eq!(cut_for(&store, &[], last), if looked_at { &all[..] } else { &all[..1] }, "{held_back} put off");
        let none_durable = cut_for(&store, &[], 0);
        assert_eq!(none_durable, if looked_at { &all[..] } else { &[] }, "what these superseded is not known");
    }
}
