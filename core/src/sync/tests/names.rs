//! How a full exchange names keys and histories.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::World;
use super::stranger::Stranger;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::sync::Settings;
use crate::sync::message::{MAX_PARTS, Message, Origins, Part};
use crate::sync::session::FullOut;

/// What one message names.
#[derive(Debug, Default)]
struct Named {
    len: usize,
    histories: Vec<ReplicaId>,
    keys: Vec<Bytes>,
    upto: Option<Option<Bytes>>,
}

fn key(number: u64) -> Bytes {
    format!("key{number:05}").into()
}

fn history(number: u64) -> ReplicaId {
    ReplicaId(u128::from(number + 1000).to_be_bytes())
}

/// A node with so many keys, each tenth of them deleted.
fn holding(keys: u64) -> World {
    let mut world = World::new(1, 1, &Settings::default());
    for number in 0..keys {
        let body = if number % 10 == 0 { Body::Delete } else { Body::Put(Bytes::new()) };
        let op = Operation {
            dot: Dot { replica: ReplicaId([5; 16]), seq: number + 1 },
            stamp: Stamp(number),
            context: VersionVector::EMPTY,
            key: key(number),
            body,
            marks: Marks::default(),
        };
        world.replicas[0].store.apply(Lsn(number + 1), &op);
    }
    world
}

/// All that a peer below the floor is told who takes so much at a time.
fn named(world: &mut World, room: usize, histories: u64) -> Vec<Named> {
    let mut stranger = Stranger::new(9);
    stranger.greet(world, 0);
    let mut heard = stranger.hear_by(world, 0, 0, 0);
    let session = world.replicas[0].engine.sessions.values_mut().next().unwrap();
    session.full_out = Some(FullOut::Naming { after: None });
    session.histories_due = (0..histories).map(history).collect();
    heard.extend(stranger.hear_by(world, 0, room, 3));
    let mut origins = Origins::default();
    let read = heard.into_iter().filter_map(|bytes| {
        let mut named = Named { len: bytes.len(), ..Named::default() };
        let Message::Full(_, parts) = Message::take(&mut bytes.into(), &mut origins).unwrap().0 else { return None };
        for part in parts {
            match part {
                Part::History { replica, .. } => named.histories.push(replica),
                Part::Present(key) | Part::Buried { key, .. } => named.keys.push(key),
                Part::Upto(upto) => named.upto = Some(upto),
                other => panic!("{other:?}"),
            }
        }
        Some(named)
    });
    let read = read.collect();
    stranger.leave(world, 0);
    read
}

fn assert_whole(all: &[Named], keys: u64, histories: u64) {
    assert!(all.iter().flat_map(|named| &named.keys).eq(&(0..keys).map(key).collect::<Vec<_>>()), "each key once");
    let told = all.iter().flat_map(|named| named.histories.iter().copied());
    assert_eq!(told.collect::<Vec<_>>(), (0..histories).map(history).collect::<Vec<_>>(), "each once");
    for named in all {
        assert_eq!(named.upto.is_some(), !named.keys.is_empty(), "whoever names says how far that goes");
    }
    let upto: Vec<_> = all.iter().filter_map(|named| named.upto.clone().map(|upto| (upto, named))).collect();
    let [but_last @ .., (None, _)] = &upto[..] else { panic!("the last says that it is the last") };
    assert!(but_last.iter().all(|(upto, named)| upto.as_ref() == named.keys.last()));
}

#[test]
fn names_fill_the_room_there_is() {
    let mut world = holding(300);
    for histories in [0, 40] {
        for room in [500, 4000] {
            let all = named(&mut world, room, histories);
            assert_whole(&all, 300, histories);
            let [full @ .., last] = &all[..] else { panic!("nothing came") };
            assert!(full.iter().all(|named| (room..room + 100).contains(&named.len)), "{all:?}");
            assert!(last.len < room + 100);
        }
        let one_by_one = named(&mut world, 1, histories);
        assert_whole(&one_by_one, 300, histories);
        assert!(one_by_one.iter().all(|named| named.keys.len() + named.histories.len() == 1));
        let at_once = named(&mut world, 1 << 20, histories);
        assert_whole(&at_once, 300, histories);
        assert_eq!(at_once.len(), 1);
    }
}

#[test]
fn no_message_has_more_parts_than_a_peer_reads() {
    let half = MAX_PARTS as u64 / 2;
    let (keys, histories) = (2 * half + 10, half + 10);
    let mut world = holding(keys);
    let all = named(&mut world, 1 << 30, histories);
    assert_whole(&all, keys, histories);
    let counts: Vec<_> = all.iter().map(|named| (named.histories.len(), named.keys.len())).collect();
    assert_eq!(counts, [(MAX_PARTS / 2, 0), (10, MAX_PARTS - 2 - 10), (0, 22)]);
}
