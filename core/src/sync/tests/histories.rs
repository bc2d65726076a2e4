//! Whose history a peer is told of, and what is made of the histories that a peer tells of.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::full::{dot, vector};
use super::harness::World;
use super::stranger::Stranger;
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId, Seq};
use crate::op::Chain;
use crate::sync::histories::write_histories;
use crate::sync::message::{BATCH, Message, Origins, Part, begin, finish};
use crate::sync::session::{Phase, Session};
use crate::sync::{Ladder, Pairs, PeerId, Settings, SyncRecord};

const A: ReplicaId = ReplicaId([1; 16]);
const B: ReplicaId = ReplicaId([2; 16]);
const C: ReplicaId = ReplicaId([3; 16]);
const D: ReplicaId = ReplicaId([4; 16]);
const PEER: PeerId = PeerId(1);

fn history(seqs: core::ops::RangeInclusive<Seq>, salt: u64) -> Pairs {
    let mut ladder = Ladder::default();
    seqs.for_each(|seq| ladder.push(seq, Chain(seq ^ salt)));
    ladder.pairs(0, Seq::MAX)
}

fn open(world: &World) -> Session {
    let now = world.now(0).mono;
    let mut session = Session::new(now, VersionVector::EMPTY, VersionVector::EMPTY, now);
    session.phase = Phase::Open;
    session.them = Some(Stranger::new(9).hello);
    session
}

#[test]
fn a_peer_is_told_of_the_histories_that_are_new_to_it_and_known_here() {
    let mut session = open(&World::new(1, 1, &Settings::default()));
    session.vector = vector(&[dot(1, 3)]);
    session.cut = vector(&[dot(2, 4)]);
    let known = BTreeMap::from([
        (A, history(1..=9, 0)),
        (B, history(1..=9, 0)),
        (C, history(1..=4, 0)),
        (D, history(5..=9, 0)),
    ]);
    let cut: VersionVector = (1..=5).map(|replica| dot(replica, 4)).collect();
    let mut bytes = Vec::new();
    let start = begin(&mut bytes, BATCH);
    bytes.extend_from_slice(&[0; 8]);
    write_histories(&known, &mut session, &cut, &mut bytes);
    finish(&mut bytes, start);
    let (message, _) = Message::take(&mut bytes.into(), &mut Origins::default()).unwrap();
    let Message::Batch(_, parts) = message else { panic!("{message:?}") };
    let told = parts.into_iter().map(|part| match part {
        Part::History { replica, pairs } => (replica, pairs.iter().map(|(seq, _)| seq).collect()),
        other => panic!("{other:?}"),
    });
    let told: Vec<(ReplicaId, Vec<Seq>)> = told.collect();
    let wanted = [(A, [4].to_vec()), (C, [4, 3, 2, 1].to_vec())];
    assert_eq!(told, wanted, "nothing twice, and nothing of what lies behind the claim");
}

/// Each knows its own history best, and compares it itself.
#[test]
fn only_of_third_parties_is_a_history_learnt_or_parted() {
    let mut world = World::new(1, 1, &Settings::default());
    let (me, peer) = (world.replicas[0].identity.replica, ReplicaId([9; 16]));
    let session = open(&world);
    let engine = &mut world.replicas[0].engine;
    engine.sessions.insert(PEER, session);
    let told = [me, peer, A, B].map(|replica| (replica, history(1..=4, 0)));
    engine.state.pairs.extend([peer, B].map(|replica| (replica, history(1..=4, 7))));
    let cut = [me, peer, A, B].map(|replica| crate::ids::Dot { replica, seq: 4 }).into_iter().collect();
    let learnt = engine.take_histories(PEER, &told, &cut);
    let [SyncRecord::Pairs { replica: A, pairs }] = &learnt[..] else { panic!("{learnt:?}") };
    assert_eq!(pairs.part(0, 4), history(1..=4, 0));
    assert_eq!(engine.sessions[&PEER].parted, BTreeMap::from([(B, 0)]));
}

/// Whoever claims operations keeps the chain of their history, be it a full exchange with which they came.
#[test]
fn the_cut_that_ends_a_full_exchange_says_of_which_history_it_is() {
    let mut world = World::new(2, 1, &Settings { collect_every: Duration::from_secs(2), ..Settings::default() });
    world.put(0, "k", "v");
    world.delete(0, "k");
    world.settle();
    assert_eq!(world.replicas[0].store.tombstones(), 0, "collected");
    world.put(0, "stays", "v");
    world.connect(0, 1);
    world.settle();
    let first = world.replicas[0].identity.replica;
    let told = world.replicas[1].engine.state.pairs[&first].iter().map(|(seq, _)| seq);
    assert_eq!(told.collect::<Vec<_>>(), [1, 2, 3]);
    world.assert_converged();
}

/// They are told once: whoever loses them never knows by which history it claims.
#[test]
fn the_chain_that_comes_with_a_cut_is_kept_though_somebody_else_had_the_same_claimed_before() {
    let mut world = super::full::world(1, 19);
    let operation = Dot { replica: A, seq: 1 };
    let claims: VersionVector = [operation].into_iter().collect();
    let mut other = Stranger::new(0xee);
    other.greet(&mut world, 0);
    other.batch(&mut world, 0, vec![super::full::entry(operation, "k"), Part::End, Part::Cut(claims.clone())]);
    let mut writer = Stranger::new(A.0[0]);
    writer.hello.replica = A;
    writer.greet(&mut world, 0);
    writer.batch(&mut world, 0, vec![Part::Pairs(history(1..=1, 7)), Part::End, Part::Cut(claims)]);
    assert!(world.replicas[0].engine.state.pairs.contains_key(&A));
}
