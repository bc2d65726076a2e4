//! What a peer is sent in one message, and what is said with it.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::harness::World;
use super::stranger::Stranger;
use crate::ids::{Dot, Lsn, NodeId, ReplicaId};
use crate::sync::message::{Message, Origins, Part};
use crate::sync::{Member, Settings};
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
    let heard = stranger.hear_by(world, 0, room, ahead);
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

#[test]
fn a_long_stretch_is_looked_at_in_steps_and_to_its_end() {
    let mut world = holding(STEP + 10, 1);
    let all = batches(&mut world, &mut Stranger::new(9), 1 << 24, 0);
    let entries: Vec<usize> = all.iter().map(|(_, entries, _)| *entries).filter(|entries| *entries > 0).collect();
    assert_eq!(entries, [STEP, 10]);

    let replica = world.replicas[0].identity.replica;
    let mut knows = Stranger::new(8);
    knows.hello.vector.include(Dot { replica, seq: STEP as u64 + 5 });
    let all = batches(&mut world, &mut knows, 1 << 24, 0);
    assert_eq!(all.iter().map(|(_, entries, _)| *entries).sum::<usize>(), 5, "behind what it knows: {all:?}");
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
