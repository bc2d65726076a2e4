//! A peer without an engine: it says what a test wants said.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use super::harness::World;
use super::replica::Replica;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{LogId, Lsn, NodeId, ReplicaId};
use crate::sync::chain::Ladder;
use crate::sync::message::{Hello, Message, Origins, PROTOCOL, Part};
use crate::sync::{PeerId, Phase};

pub(super) struct Stranger {
    pub(super) hello: Hello,
    origins: Origins,
    pub(super) peer: PeerId,
    lsn: u64,
}

impl Stranger {
    pub(super) fn new(number: u8) -> Self {
        let hello = Hello {
            protocols: (PROTOCOL, PROTOCOL),
            network: [7; 16],
            replica: ReplicaId([number; 16]),
            log: LogId([number; 16]),
            boot: 1,
            node: NodeId::new(alloc::format!("stranger-{number}")).unwrap(),
            wall: crate::time::WallTime(super::harness::START),
            window: 1 << 20,
            own_seq: 0,
            vector: VersionVector::EMPTY,
            floor: VersionVector::EMPTY,
            floor_stamp: Stamp::default(),
            owed: VersionVector::EMPTY,
        };
        Self { hello, origins: Origins::default(), peer: PeerId(10_000 + 100 * u64::from(number)), lsn: 0 }
    }

    /// Opens a link to a replica.
    pub(super) fn open(&mut self, world: &mut World, index: usize) {
        self.origins = Origins::default();
        self.peer.0 += 1;
        let now = world.now(index);
        let replica = &mut world.replicas[index];
        replica.engine.peer_up(now, self.peer, &mut replica.effects);
    }

    /// Opens a link to a replica, and says hello and resume on it.
    pub(super) fn greet(&mut self, world: &mut World, index: usize) {
        self.open(world, index);
        let pairs = Ladder::default().pairs(0, 0);
        let resume = Message::Resume { lsn: Lsn::ZERO, boot: 0, pairs, direct: BTreeSet::new() };
        self.say(world, index, &[Message::Hello(self.hello.clone()), resume]);
    }

    /// Listens to all that a replica has to say to it at present. Without, it hears one message at a time.
    pub(super) fn hear(&self, world: &mut World, index: usize) -> Vec<Vec<u8>> {
        self.hear_by(world, index, 1 << 20, 0)
    }

    /// The same, with this room for bulk, behind so many bytes that wait for the link already.
    pub(super) fn hear_by(&self, world: &mut World, index: usize, room: usize, ahead: usize) -> Vec<Vec<u8>> {
        let now = world.now(index);
        let mut heard = core::mem::take(&mut world.strays);
        let Replica { engine, store, .. } = &mut world.replicas[index];
        loop {
            let mut bytes = alloc::vec![0; ahead];
            if engine.write_batch(now, self.peer, room, store, &mut bytes).is_none() {
                return heard;
            }
            heard.push(bytes.split_off(ahead));
        }
    }

    /// Its link breaks.
    pub(super) fn leave(&mut self, world: &mut World, index: usize) {
        let now = world.now(index);
        let replica = &mut world.replicas[index];
        replica.engine.peer_down(now, self.peer, &replica.store, &mut replica.effects);
        world.route(index);
    }

    pub(super) fn say(&mut self, world: &mut World, index: usize, messages: &[Message]) {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut self.origins, &mut bytes);
        }
        let now = world.now(index);
        let replica = &mut world.replicas[index];
        replica.engine.handle_message(now, self.peer, &bytes.into(), &replica.store, &mut replica.effects);
        world.route(index);
    }

    pub(super) fn batch(&mut self, world: &mut World, index: usize, parts: Vec<Part>) {
        self.lsn += 1;
        self.say(world, index, &[Message::Batch(Lsn(self.lsn), parts)]);
    }

    /// Names keys in a full exchange, up to a key or to their end.
    pub(super) fn name(&mut self, world: &mut World, index: usize, keys: &[&str], upto: Option<&str>) {
        let bytes = |key: &str| Bytes::copy_from_slice(key.as_bytes());
        let mut parts: Vec<Part> = keys.iter().map(|key| Part::Present(bytes(key))).collect();
        parts.push(Part::Upto(upto.map(bytes)));
        self.say(world, index, &[Message::Full(Lsn::ZERO, parts)]);
    }

    /// A part of a message comes in.
    pub(super) fn trickle(&self, world: &mut World, index: usize, bytes: usize) {
        world.replicas[index].engine.heard(self.peer, bytes);
    }

    /// Whether a replica still listens.
    pub(super) fn is_heard(&self, world: &World, index: usize) -> bool {
        let replica = &world.replicas[index];
        let peers = replica.engine.peers(&replica.store);
        peers.iter().any(|status| status.peer == self.peer && status.phase != Phase::Closing)
    }
}
