//! Shared set-up of the benches: operations, and nodes on a disk in memory.

pub mod pair;

use bytes::Bytes;
use sim::disk::SimDisk;
use softadastra_core::clock::Stamp;
use softadastra_core::config::Config;
use softadastra_core::context::VersionVector;
use softadastra_core::dice::Seed;
use softadastra_core::ids::{Dot, ReplicaId};
use softadastra_core::node::{Input, Node, Opening, OpeningState, Output, Start, Write};
use softadastra_core::op::{Body, Marks, Operation};
use softadastra_core::time::{Instant, Now, WallTime};

/// The time at which everything happens.
pub const NOW: Now = Now { mono: Instant(1), wall: WallTime(1_700_000_000_000) };

/// A key of 16 bytes.
#[must_use]
pub fn key(number: u64) -> Bytes {
    Bytes::from(format!("{number:016x}"))
}

/// An operation on a 16-byte key with a value of `len` bytes.
#[must_use]
pub fn operation(seq: u64, len: usize) -> Operation {
    Operation {
        dot: Dot { replica: ReplicaId([1; 16]), seq },
        stamp: Stamp(seq),
        context: VersionVector::EMPTY,
        key: key(seq),
        body: Body::Put(Bytes::from(vec![seq as u8; len])),
        marks: Marks::default(),
    }
}

/// Opens the node whose log lies on `disk`.
///
/// # Panics
/// When the directory does not open, which would make any figure worthless.
#[must_use]
pub fn open(disk: &mut SimDisk) -> Box<Node> {
    open_with(Config::default(), disk)
}

/// As [`open`], configured.
///
/// # Panics
/// When the directory does not open.
#[must_use]
pub fn open_with(config: Config, disk: &mut SimDisk) -> Box<Node> {
    let mut opening = Opening::new(config, Seed::from_number(1), NOW, Start::OpenOrCreate).expect("a valid config");
    loop {
        while let Some(request) = opening.poll_output(NOW) {
            let result = disk.execute(&request.op);
            opening.handle(NOW, request.token, result);
        }
        match opening.advance(NOW) {
            OpeningState::Working(next) => opening = next,
            OpeningState::Ready(node, _) => return node,
            OpeningState::Failed(error) => panic!("the bench's own log does not open: {error}"),
        }
    }
}

/// Carries out everything the node asks for.
pub fn run(node: &mut Node, disk: &mut SimDisk) {
    while let Some(output) = node.poll_output(NOW) {
        if let Output::Disk(request) = output {
            let result = disk.execute(&request.op);
            node.handle(NOW, Input::Disk { token: request.token, result });
        }
    }
}

/// A log of `records` puts of 100 bytes to as many keys, in frames of 64.
///
/// # Panics
/// When the node refuses a write.
#[must_use]
pub fn filled(records: u64) -> (Box<Node>, SimDisk) {
    let mut disk = SimDisk::new();
    let mut node = open(&mut disk);
    for number in 0..records {
        let write = Write::Put { key: key(number), value: vec![7; 100].into(), expect: None, touch: false };
        node.write(NOW, vec![write]).expect("the node takes writes");
        if number % 64 == 63 {
            run(&mut node, &mut disk);
        }
    }
    run(&mut node, &mut disk);
    (node, disk)
}
