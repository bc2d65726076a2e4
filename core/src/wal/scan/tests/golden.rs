//! Formats that must stay readable for ever: a whole log directory of each format version, and what it holds.
//!
//! The files of a version are written once, by `write_the_fixtures`, and never again.

use std::fs;
use std::path::{Path, PathBuf};
use std::println;

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use core::fmt::Write as _;

use super::*;
use crate::codec::{put_blob, put_varint};
use crate::config::Config;
use crate::dice::Seed;
use crate::node::{Node, Opening, OpeningState, Start};
use crate::op::Chain;
use crate::store::Store;
use crate::testing::hex;
use crate::time::{Instant, Now};

mod kept;
mod later;
mod recycled;
mod sync;

const NOW: Now = Now { mono: Instant(0), wall: WallTime(1_700_000_001_000) };
/// The last segment of each variant, and how many records it keeps.
const VARIANTS: [(&str, u64); 4] = [("clean", 14), ("torn-short", 12), ("torn-zeros", 12), ("torn-garbage", 12)];
const SNAPSHOT_AT: Lsn = Lsn(5);
const SNAPSHOT_REACHES: Lsn = Lsn(8);
const OTHER: ReplicaId = ReplicaId([2; 16]);
/// Begins a new history in the middle of the log.
const REBORN: ReplicaId = ReplicaId([3; 16]);

fn fixtures(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

fn op(replica: ReplicaId, seq: u64, key: &[u8], value: Option<&[u8]>, seen: &[(ReplicaId, u64)]) -> Operation {
    Operation {
        dot: Dot { replica, seq },
        stamp: Stamp((1_700_000_000_000 + seq) << 16 | 3),
        context: seen.iter().map(|&(replica, seq)| Dot { replica, seq }).collect(),
        key: Bytes::copy_from_slice(key),
        body: value.map_or(Body::Delete, |value| Body::Put(Bytes::copy_from_slice(value))),
        marks: Marks::default(),
    }
}

/// One of everything that a record can be.
fn records() -> Vec<Record> {
    let node = NodeId::new("till-1").unwrap();
    let marked = |op: Operation, batch_continues, lifted, resolution| {
        Record::Own(Operation { marks: Marks { batch_continues, lifted, resolution, repeats: None }, ..op })
    };
    vec![
        Record::Birth { replica: REPLICA, node: node.clone(), at: WallTime(1_700_000_000_000) },
        Record::Own(op(REPLICA, 1, b"apple", Some(b"red"), &[])),
        marked(op(REPLICA, 2, b"pear", Some(b"green"), &[]), true, false, false),
        Record::Own(op(REPLICA, 3, b"plum", Some(b""), &[])),
        Record::Foreign(op(OTHER, 7, b"quince", Some(b"yellow"), &[])),
        Record::Own(op(REPLICA, 4, b"apple", Some(b"green"), &[(REPLICA, 1)])),
        Record::Foreign(op(OTHER, 8, b"pear", None, &[(REPLICA, 2)])),
        marked(op(REPLICA, 5, b"quince", Some(b"golden"), &[(OTHER, 7)]), false, true, false),
        Record::Own(op(REPLICA, 6, b"\x00\xff key", Some(&[0, 255, b'S', b'F', b'R', b'M']), &[])),
        marked(op(REPLICA, 7, b"plum", None, &[(REPLICA, 3), (OTHER, 2)]), false, false, true),
        Record::Birth { replica: REBORN, node: node.clone(), at: WallTime(1_700_000_000_999) },
        Record::Own(op(REBORN, 1, &[b'k'; 1024], Some(b"the longest key"), &[])),
        Record::Own(op(REBORN, 2, b"last", Some(&[b'z'; 300]), &[])),
        Record::Own(op(REBORN, 3, b"apple", None, &[(REPLICA, 4)])),
    ]
}

/// What a node puts at the head of its snapshot: version 1, name, replica, seq, chain, clock.
fn head(records: &[Record]) -> Vec<u8> {
    let (mut seq, mut chain, mut clock) = (0, Chain::default(), Stamp::default());
    for record in &records[..SNAPSHOT_AT.0 as usize] {
        if let Record::Own(op) = record {
            (seq, chain, clock) = (op.dot.seq, chain.extend(op, op.body.content_hash()), op.stamp);
        }
    }
    let mut head = vec![1];
    put_blob(&mut head, b"till-1");
    head.extend(REPLICA.0);
    for number in [seq, chain.0, clock.0] {
        put_varint(&mut head, number);
    }
    head
}

/// A snapshot of a store, in small blocks.
fn snapshot(store: &Store, at: Lsn, reaches: Lsn, head: &[u8]) -> Vec<u8> {
    let mut snapshot = encode_header(LOG, at, head);
    let (mut after, mut blocks, mut items) = (None, 0, 0);
    loop {
        let mut body = Vec::new();
        let walk = store.walk(after.as_deref(), 60, &mut body);
        snapshot.extend(encode_block(LOG, at, blocks, walk.items, &body));
        blocks += 1;
        items += u64::from(walk.items);
        after = walk.next;
        if after.is_none() {
            break;
        }
    }
    snapshot.extend(encode_footer(LOG, at, blocks, items, reaches));
    snapshot
}

/// What this version of the software writes, by path.
fn written_now() -> Vec<(String, Vec<u8>)> {
    let records = records();
    let mut log = Log::founded_at(Lsn(1));
    log.frame_of(&records[0..1], FrameKind::Data);
    log.frame_of(&records[1..4], FrameKind::Data);
    log.roll();
    log.frame_of(&records[4..6], FrameKind::Data);
    log.empty(FrameKind::Mark);
    log.frame_of(&records[6..9], FrameKind::Data);
    log.roll();
    log.frame_of(&records[9..10], FrameKind::Data);
    log.empty(FrameKind::Close);
    log.frame_of(&records[10..12], FrameKind::Data);
    let last = log.frame_of(&records[12..14], FrameKind::Data);
    let torn = log.bytes().to_vec();
    log.empty(FrameKind::Close);

    let mut store = Store::new();
    for (lsn, record) in (1..=SNAPSHOT_REACHES.0).zip(&records) {
        match record {
            Record::Own(op) | Record::Foreign(op) => drop(store.apply(Lsn(lsn), op)),
            Record::Birth { .. } | Record::Sync(_) => {}
        }
    }
    let snapshot = snapshot(&store, SNAPSHOT_AT, SNAPSHOT_REACHES, &head(&records));

    let garbage = {
        let mut dice = Seed::from_number(1).stream("fixture");
        let mut bytes = torn.clone();
        bytes[last.start + 100..].fill_with(|| dice.next_u64() as u8);
        bytes
    };
    let zeros = {
        let mut bytes = torn.clone();
        bytes[last.start + 100..].fill(0);
        bytes
    };
    let third = |variant: &str, bytes: Vec<u8>| (format!("{variant}/{}", name(3)), bytes);
    vec![
        (name(2), log.disk.bytes(&name(2)).to_vec()),
        (FileName::Snapshot(SNAPSHOT_AT).to_name(), snapshot),
        third("clean", log.bytes().to_vec()),
        third("torn-short", torn[..last.start + 100].to_vec()),
        third("torn-zeros", zeros),
        third("torn-garbage", garbage),
    ]
}

/// A stored directory.
fn directory(version: &str, variant: &str) -> MemDisk {
    let root = fixtures(version);
    let mut disk = MemDisk::new();
    for directory in [root.clone(), root.join(variant)] {
        for file in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            if FileName::parse(&name).is_some() {
                disk.place(&name, fs::read(file.path()).unwrap());
            }
        }
    }
    disk
}

/// Scans a stored directory and puts in words what it holds.
fn read(version: &str, variant: &str) -> (ScanReport, String) {
    let (report, seen) = scan(&mut directory(version, variant), Purpose::Open);
    let mut text = String::new();
    for (at, head) in &seen.heads {
        writeln!(text, "snapshot at {at}, head {}", words(head)).unwrap();
    }
    for (items, body) in &seen.blocks {
        writeln!(text, "block of {items}, {} bytes", body.len()).unwrap();
    }
    for (lsn, record) in &seen.records {
        match record {
            Record::Birth { replica, node, at } => writeln!(text, "{lsn} birth {replica} {node} {at}").unwrap(),
            Record::Sync(bytes) => writeln!(text, "{lsn} sync {}", words(bytes)).unwrap(),
            Record::Own(op) | Record::Foreign(op) => {
                let own = if matches!(record, Record::Own(_)) { "own" } else { "foreign" };
                let seen: Vec<_> = op.context.iter().map(|dot| dot.to_string()).collect();
                let Marks { batch_continues, lifted, resolution, repeats: _ } = op.marks;
                let marks = [batch_continues, lifted, resolution].map(u8::from);
                writeln!(text, "{lsn} {own} {} {} {} {marks:?} {seen:?}", op.dot, op.stamp, words(&op.key)).unwrap();
                writeln!(text, "  {}", op.body.value().map_or("deleted".into(), |value| words(value))).unwrap();
            }
        }
    }
    (report, text)
}

/// Opens a directory as a node does.
fn node_on(disk: &mut MemDisk) -> Box<Node> {
    node_under(Config::default(), disk)
}

fn node_under(config: Config, disk: &mut MemDisk) -> Box<Node> {
    let mut opening = Opening::new(config, Seed::from_number(9), NOW, Start::OpenExisting).unwrap();
    loop {
        while let Some(request) = opening.poll_output(NOW) {
            let result = disk.run(&request.op);
            opening.handle(NOW, request.token, result);
        }
        match opening.advance(NOW) {
            OpeningState::Working(next) => opening = next,
            OpeningState::Ready(node, _) => return node,
            OpeningState::Failed(error) => panic!("{error}"),
        }
    }
}

/// Puts in words what a node's store holds.
fn held(node: &Node) -> String {
    let mut text = String::new();
    for entry in node.store().feed(Lsn::ZERO) {
        let value = entry.value().map_or("deleted".into(), words);
        let facts = format!("changed {} version {} {}", entry.changed(), entry.version(), entry.dot());
        writeln!(text, "{} = {value}, {facts}", words(entry.key())).unwrap();
    }
    text
}

fn words(bytes: &[u8]) -> String {
    let text: String =
        bytes.iter().take(40).flat_map(|byte| core::ascii::escape_default(*byte)).map(char::from).collect();
    format!("{} bytes '{text}'", bytes.len())
}

fn open(version: &str, variant: &str) -> String {
    held(&node_on(&mut directory(version, variant)))
}

#[test]
fn what_version_1_wrote_is_read_as_it_was_meant() {
    for (variant, records) in VARIANTS {
        let (report, text) = read("v1", variant);
        assert_eq!(report.refusal(), None, "{variant}");
        assert_eq!((report.next_lsn, report.log), (Lsn(records + 1), Some(LOG)), "{variant}");
        assert_eq!((report.torn.is_some(), report.closed_cleanly), (variant != "clean", variant == "clean"));
        let expected = fs::read_to_string(fixtures("v1").join(variant).join("holds.txt")).unwrap();
        assert_eq!(text + &open("v1", variant), expected, "{variant}");
    }
}

#[test]
fn this_version_writes_format_1_byte_for_byte() {
    for (path, bytes) in written_now() {
        let stored = fs::read(fixtures("v1").join(&path)).unwrap();
        assert_eq!(hex(&bytes), hex(&stored), "{path}");
    }
}

#[test]
fn the_fixture_shows_every_sort_of_record() {
    let kinds = |of: fn(&Record) -> bool| records().iter().filter(|record| of(record)).count();
    assert!(kinds(|record| matches!(record, Record::Own(_))) > 0);
    assert!(kinds(|record| matches!(record, Record::Foreign(_))) > 0);
    let births = kinds(|record| matches!(record, Record::Birth { .. }));
    assert!(births > 1, "one of them beyond the snapshot");
}

fn write(path: PathBuf, bytes: &[u8]) {
    if path.exists() {
        println!("{} stands and stays", path.display());
    } else {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Writes the fixtures of a new version of the format when `WRITE_FIXTURES` is set; see `docs/wal-format.md`. What
/// stands already is never touched, so without a new version this changes nothing.
#[test]
fn write_the_fixtures() {
    if std::env::var_os("WRITE_FIXTURES").is_none() {
        return;
    }
    let version = format!("v{}", crate::wal::format::FORMAT_VERSION);
    for (path, bytes) in written_now() {
        write(fixtures(&version).join(path), &bytes);
    }
    for (variant, _) in VARIANTS {
        let text = read(&version, variant).1 + &open(&version, variant);
        write(fixtures(&version).join(variant).join("holds.txt"), text.as_bytes());
    }
    sync::write_the_fixture();
    recycled::write_the_fixture();
    later::write_the_fixture();
    kept::write_the_fixture();
}
