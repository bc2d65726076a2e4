//! What a peer is sent in one message, and what is said with it.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, NodeId, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::store::Store;
use crate::sync::message::{MAX_PARTS, Message, Origins, Part};
use crate::sync::session::FullOut;
use crate::sync::{Member, Met, Outcome, Settings};
use crate::time::WallTime;

/// Entries looked at for one message at most.
const STEP: usize = 8192;

fn holding(keys: usize, len: usize) -> World {
    let mut world = World::new(1, 1, &Settings { ping_every: Duration::from_secs(100_000), ..Settings::default() });
    for number in 0..keys {
        world.put(0, &format!("key{number:05}"), &"v".repeat(len));
    }
    world
}

/// All batches that a peer gets who takes so much at a time: how far each goes, its entries, its length.
fn batches(world: &mut World, stranger: &mut Stranger, room: usize, ahead: usize) -> Vec<(Lsn, usize, usize)> {
    world.room = room;
    stranger.greet(world, 0);
    read(stranger.hear_by(world, 0, room, ahead))
}

fn read(heard: Vec<Vec<u8>>) -> Vec<(Lsn, usize, usize)> {
    let mut origins = Origins::default();
    let read = heard.into_iter().filter_map(|bytes| {
        let len = bytes.len();
        match Message::take(&mut bytes.into(), &mut origins).unwrap().0 {
            Message::Batch(through, parts) => {
                let entries = parts.iter().filter(|part| matches!(part, Part::Entry { .. })).count();
                Some((through, entries, len))
            }
            _ => None,
        }
    });
    read.collect()
}

#[test]
fn a_batch_fills_the_room_there_is_and_holds_one_entry_at_least() {
    let mut world = holding(50, 100);
    let all = batches(&mut world, &mut Stranger::new(9), 1000, 3000);
    let [full @ .., last] = &all[..] else { panic!("nothing came") };
    assert!(full.iter().all(|(_, _, len)| (1000..1200).contains(len)), "{all:?}");
    assert_eq!(all.iter().map(|(_, entries, _)| entries).sum::<usize>(), 50);
    assert_eq!(last.0, world.replicas[0].store.last_changed(), "everything was sent");
    let all = batches(&mut world, &mut Stranger::new(8), 1, 0);
    assert!(all.iter().take(50).all(|(_, entries, _)| *entries == 1), "{all:?}");
    assert!(all.windows(2).all(|pair| pair[0].0 <= pair[1].0) && all[49].0 == world.replicas[0].store.last_changed());
}

fn dot(replica: u8, seq: u64) -> Dot {
    Dot { replica: ReplicaId([replica; 16]), seq }
}

fn foreign(dot: Dot, key: &str) -> Operation {
    Operation {
        dot,
        stamp: Stamp(dot.seq),
        context: VersionVector::EMPTY,
        key: key.as_bytes().to_vec().into(),
        body: Body::Put(dot.replica.0[..1].to_vec().into()),
        marks: Marks::default(),
    }
}

/// A replica that holds this of others, durably, and claims nothing of it.
fn stocked(ops: impl Iterator<Item = Operation>) -> World {
    let mut world = holding(0, 0);
    let replica = &mut world.replicas[0];
    for (lsn, op) in (1..).map(Lsn).zip(ops) {
        replica.store.apply(lsn, &op);
        replica.engine.state.meet(&op, &VersionVector::EMPTY);
        replica.engine.durable = lsn;
    }
    world
}

fn in_flight(world: &World) -> u64 {
    let replica = &world.replicas[0];
    replica.engine.peers(&replica.store)[0].in_flight
}

#[test]
fn a_long_stretch_is_looked_at_in_steps_and_to_its_end() {
    let mut world = stocked((1..=STEP as u64 + 10).map(|seq| foreign(dot(5, seq), &format!("k{seq}"))));
    let all = batches(&mut world, &mut Stranger::new(9), 1 << 24, 0);
    let entries: Vec<usize> = all.iter().map(|(_, entries, _)| *entries).filter(|entries| *entries > 0).collect();
    assert_eq!(entries, [STEP, 10]);

    let mut knows = Stranger::new(8);
    knows.hello.vector.include(dot(5, STEP as u64 + 5));
    let all = batches(&mut world, &mut knows, 1 << 24, 0);
    assert!(matches!(all[..], [(Lsn(8192), 0, _), (Lsn(8202), 5, _)]), "5 behind what it knows: {all:?}");
}

#[test]
fn behind_a_long_stretch_that_is_put_off_the_rest_is_sent_without_a_pause() {
    let heard = (1..=STEP as u64 + 10).map(|seq| foreign(dot(5, seq), &format!("k{seq}")));
    let mut world = stocked(heard.chain([foreign(dot(6, 1), "last")]));
    world.room = 0;
    let mut stranger = Stranger::new(9);
    stranger.greet(&mut world, 0);
    stranger.say(&mut world, 0, &[Message::Direct([ReplicaId([5; 16])].into())]);
    let all = read(stranger.hear(&mut world, 0));
    assert_eq!(all.iter().map(|(_, entries, _)| *entries).sum::<usize>(), 1, "{all:?}");
    assert!(all.iter().all(|(through, ..)| *through == Lsn::ZERO), "none of it is settled: {all:?}");
}

/// Versions that lost go ahead of the winner of each key.
#[test]
fn no_batch_has_more_parts_than_a_peer_reads() {
    const KEYS: u64 = STEP as u64 + 10;
    let versions = |seq| [foreign(dot(5, seq), &format!("k{seq}")), foreign(dot(6, seq), &format!("k{seq}"))];
    let mut world = stocked((1..=KEYS).flat_map(versions));
    let conflicts = &mut world.replicas[0].engine.state.conflicts;
    for seq in 1..=KEYS {
        let [first, second] = versions(seq);
        let mut store = Store::new();
        store.apply(Lsn(1), &first);
        let met = Met::before(store.latest(&first.key), &second).unwrap();
        conflicts.record(&met, Outcome::Open).unwrap();
    }
    let all = batches(&mut world, &mut Stranger::new(9), 1 << 24, 0);
    let entries: Vec<usize> = all.iter().map(|(_, entries, _)| *entries).collect();
    assert_eq!(entries.iter().sum::<usize>(), 2 * KEYS as usize, "{entries:?}");
    assert!(entries.iter().all(|entries| *entries <= MAX_PARTS / 2), "{entries:?}");
}

#[test]
fn no_batch_is_filled_beyond_the_window_and_each_holds_one_entry_even_without_one() {
    let mut world = holding(50, 100);
    for (window, lens) in [(0, 100..300), (1000, 1000..1200)] {
        let mut stranger = Stranger::new(9);
        stranger.hello.window = window;
        let all = batches(&mut world, &mut stranger, 1 << 20, 3000);
        let [(_, 1.., len)] = all[..] else { panic!("not one batch: {all:?}") };
        assert!(lens.contains(&len), "{len} bytes for a window of {window}");
        assert_eq!(in_flight(&world), len as u64, "what waits for the link before it does not count");
        stranger.leave(&mut world, 0);
    }
}

#[test]
fn own_operations_are_under_way_once_they_are_sent() {
    let mut world = holding(0, 0);
    let mut writer = Stranger::new(8);
    writer.greet(&mut world, 0);
    let entry = Part::Entry { op: foreign(dot(8, 100), "foreign"), known: VersionVector::EMPTY };
    writer.batch(&mut world, 0, alloc::vec![entry, Part::End]);
    writer.leave(&mut world, 0);
    drop(writer.hear(&mut world, 0));
    for number in 0..50 {
        world.put(0, &format!("key{number:05}"), &"v".repeat(100));
    }
    let mut stranger = Stranger::new(9);
    stranger.hello.window = 1000;
    let all = batches(&mut world, &mut stranger, 1 << 20, 0);
    let [(_, entries, _)] = all[..] else { panic!("not one batch: {all:?}") };
    let outbox = world.replicas[0].engine.outbox_status();
    assert_eq!((outbox.in_flight, outbox.queued), (entries as u64 - 1, 51 - entries as u64));
}

/// What was written last may have superseded something, and a crash would bring that back.
#[test]
fn a_full_exchange_does_not_end_while_something_is_not_durable() {
    let mut world = holding(1, 1);
    let mut stranger = Stranger::new(9);
    stranger.greet(&mut world, 0);
    let mut messages = stranger.hear(&mut world, 0);
    world.replicas[0].engine.sessions.values_mut().for_each(|session| session.full_out = Some(FullOut::Closing));
    world.replicas[0].auto_commit = false;
    world.put(0, "later", "v");
    let records = world.replicas[0].log.len();
    world.replicas[0].publish_through(records);
    messages.extend(stranger.hear(&mut world, 0));
    let is_over = |world: &World| world.replicas[0].engine.sessions.values().all(|session| session.full_out.is_none());
    assert!(!is_over(&world));
    let now = world.now(0);
    world.replicas[0].commit(now);
    messages.extend(stranger.hear(&mut world, 0));
    assert!(is_over(&world));
}

#[test]
fn word_of_others_waits_a_moment_and_comes_in_small_messages_and_once() {
    const MEMBERS: usize = 300;
    let mut world = holding(0, 0);
    let id = |number: usize| ReplicaId((number as u128 + 1).to_be_bytes());
    let member = |number: usize| Member {
        node: NodeId::new(format!("n{number}")).unwrap(),
        heard: world.now(0).wall,
        forgotten: WallTime(0),
        vector: (number..number + 10).map(|other| Dot { replica: id(other), seq: 1 << 40 }).collect(),
    };
    let all: Vec<(ReplicaId, Member)> = (0..MEMBERS).map(|number| (id(number), member(number))).collect();
    let (mut teller, mut hearer) = (Stranger::new(9), Stranger::new(8));
    teller.greet(&mut world, 0);
    for some in all.chunks(50) {
        teller.say(&mut world, 0, &[Message::Members(some.to_vec())]);
    }
    teller.leave(&mut world, 0);
    let told = |world: &mut World, hearer: &Stranger| {
        let mut told = Vec::new();
        for bytes in hearer.hear(world, 0).into_iter().filter(|bytes| bytes.first() == Some(&9)) {
            assert!(bytes.len() < 20_000, "{} bytes hold up operations", bytes.len());
            let message = Message::take(&mut bytes.into(), &mut Origins::default()).unwrap().0;
            let Message::Members(members) = message else { unreachable!("the kind was asked for") };
            told.push(
                members
                    .into_iter()
                    .map(|(replica, _)| replica)
                    .filter(|replica| *replica != ReplicaId([9; 16]))
                    .collect(),
            );
        }
        told
    };
    hearer.greet(&mut world, 0);
    let early: Vec<Vec<ReplicaId>> = told(&mut world, &hearer);
    assert_eq!(early, Vec::<Vec<ReplicaId>>::new(), "it waits for more");
    world.advance(Settings::default().gossip_delay);
    let messages: Vec<Vec<ReplicaId>> = told(&mut world, &hearer);
    assert!((4..=10).contains(&messages.len()), "{} messages", messages.len());
    let mut replicas = messages.concat();
    assert_eq!(replicas.len(), MEMBERS, "each is told of once");
    replicas.sort_unstable();
    replicas.dedup();
    assert_eq!(replicas.len(), MEMBERS);
    world.advance(Duration::from_secs(5));
    assert_eq!(told(&mut world, &hearer), Vec::<Vec<ReplicaId>>::new());
}
