//! A log of a node that had peers: every record of sync, and a snapshot whose head holds the state of sync.

use super::*;
use crate::disk::DiskRequest;
use crate::node::{Input, Output};
use crate::sync::{Checkpoint, Contest, Ladder, Member, Renaming, State, SyncRecord};

const FOLDER: &str = "v1-sync";
const THIRD: ReplicaId = ReplicaId([4; 16]);
const AT: Lsn = Lsn(11);
const REACHES: Lsn = Lsn(12);

pub(super) fn vector(dots: &[(ReplicaId, u64)]) -> crate::context::VersionVector {
    dots.iter().map(|&(replica, seq)| Dot { replica, seq }).collect()
}

fn stamp(seq: u64) -> Stamp {
    op(REPLICA, seq, b"k", None, &[]).stamp
}

fn sync_records() -> [SyncRecord; 13] {
    let node = NodeId::new("desk-2").unwrap();
    let mut told = Ladder::default();
    for seq in 1..=17 {
        told.push(seq, Chain(0x0101_0101 * seq));
    }
    let heard = WallTime(1_700_000_000_500);
    [
        SyncRecord::Boot { boot: 0xb001, after: Lsn(1), keeps_both: None },
        SyncRecord::Entry {
            op: op(OTHER, 7, b"quince", Some(b"yellow"), &[]),
            known: vector(&[(THIRD, 1)]),
            contest: Contest::Unsaid,
        },
        SyncRecord::Checkpoint { replica: OTHER, at: Checkpoint { log: LogId([8; 16]), boot: 0xb0b, lsn: Lsn(300) } },
        SyncRecord::Cut(vector(&[(OTHER, 7), (THIRD, 1)])),
        SyncRecord::Member {
            replica: OTHER,
            member: Member { node, heard, forgotten: WallTime(0), vector: vector(&[(REPLICA, 1), (OTHER, 7)]) },
        },
        SyncRecord::Acknowledged(1),
        SyncRecord::Pairs { replica: OTHER, pairs: told.pairs(17, 17) },
        SyncRecord::Pruned(1),
        // Here the snapshot was taken. The next one meets an own write that its writer had not seen.
        SyncRecord::Entry {
            op: op(THIRD, 2, b"pear", Some(b"blue"), &[]),
            known: vector(&[]),
            contest: Contest::Unsaid,
        },
        SyncRecord::Floor { dots: vector(&[(THIRD, 1)]), stamp: stamp(1) },
        SyncRecord::Collected {
            stable: vector(&[(REPLICA, 3)]),
            before: stamp(9),
            dots: vector(&[(REPLICA, 3), (THIRD, 1)]),
            stamp: stamp(3),
        },
        SyncRecord::Dropped { dot: Dot { replica: OTHER, seq: 7 }, key: Bytes::from_static(b"quince") },
        SyncRecord::Renamed(Renaming { from: REPLICA, above: 2, to: REBORN, at: WallTime(1_700_000_000_900) }),
    ]
}

pub(super) fn logged(record: &SyncRecord) -> Record {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    Record::Sync(bytes.into())
}

fn records() -> Vec<Record> {
    let sync = sync_records();
    let mut sync = sync.iter().map(logged);
    let node = NodeId::new("till-1").unwrap();
    let mut records = vec![Record::Birth { replica: REPLICA, node: node.clone(), at: WallTime(1_700_000_000_000) }];
    records.extend(sync.next());
    records.push(Record::Own(op(REPLICA, 1, b"apple", Some(b"red"), &[])));
    records.push(Record::Own(op(REPLICA, 2, b"pear", Some(b"green"), &[])));
    records.extend(sync.by_ref().take(7));
    assert_eq!(records.len() as u64, AT.0);
    records.push(Record::Own(op(REPLICA, 3, b"apple", None, &[(REPLICA, 1)])));
    records.extend(sync);
    records.push(Record::Birth { replica: REBORN, node, at: WallTime(1_700_000_000_900) });
    records.push(Record::Own(op(REBORN, 2, b"last", Some(b"word"), &[])));
    records.push(Record::Foreign(op(OTHER, 8, b"fig", Some(b"purple"), &[])));
    records
}

/// Store and head of a snapshot at `at` that reaches so far, as replaying the records gives them.
pub(super) fn taken(records: &[Record], at: Lsn, reaches: Lsn) -> (Store, Vec<u8>) {
    let (mut store, mut state) = (Store::new(), State::default());
    let (mut seq, mut chain, mut clock) = (0, Chain::default(), Stamp::default());
    let mut head = Vec::new();
    for (lsn, record) in (1..=reaches.0).map(Lsn).zip(records) {
        match record {
            Record::Own(op) => {
                store.apply(lsn, op);
                (seq, chain, clock) = (op.dot.seq, chain.extend(op, op.body.content_hash()), op.stamp);
                state.replay_own(op, chain);
            }
            Record::Sync(bytes) => state.replay(&mut store, lsn, &SyncRecord::decode(bytes).unwrap()),
            Record::Foreign(op) => state.replay_operation(&mut store, lsn, op, op.hashes()),
            Record::Birth { .. } => {}
        }
        if lsn == at {
            head.push(2);
            put_blob(&mut head, b"till-1");
            head.extend(REPLICA.0);
            for number in [seq, chain.0, clock.0] {
                put_varint(&mut head, number);
            }
            state.encode(&mut head);
        }
    }
    (store, head)
}

fn written_now() -> Vec<(String, Vec<u8>)> {
    let records = records();
    let mut log = Log::founded_at(Lsn(1));
    log.frame_of(&records[..2], FrameKind::Data);
    log.frame_of(&records[2..4], FrameKind::Data);
    log.roll();
    log.frame_of(&records[4..11], FrameKind::Data);
    log.frame_of(&records[11..14], FrameKind::Data);
    log.roll();
    log.frame_of(&records[14..16], FrameKind::Data);
    log.frame_of(&records[16..18], FrameKind::Data);
    log.frame_of(&records[18..], FrameKind::Data);
    log.empty(FrameKind::Close);
    let (store, head) = taken(&records, AT, REACHES);
    vec![
        (name(2), log.disk.bytes(&name(2)).to_vec()),
        (name(3), log.bytes().to_vec()),
        (FileName::Snapshot(AT).to_name(), snapshot(&store, AT, REACHES, &head)),
    ]
}

pub(super) fn write_the_fixture() {
    for (path, bytes) in written_now() {
        write(fixtures(FOLDER).join(path), &bytes);
    }
    let text = read(FOLDER, "").1 + &all_held(&node_of(FOLDER));
    write(fixtures(FOLDER).join("holds.txt"), text.as_bytes());
}

/// A node on the log of a fixture.
pub(super) fn node_of(folder: &str) -> Box<Node> {
    node_on(&mut directory(folder, ""))
}

/// Puts in words what a node holds, sync included.
pub(super) fn all_held(node: &Node) -> String {
    let mut text = held(node);
    let (status, sync) = (node.status(), node.sync_status());
    writeln!(text, "replica {}, outbox {:?}", status.replica, status.outbox).unwrap();
    writeln!(text, "claims {:?}, exact {}", sync.vector, sync.exact).unwrap();
    for (replica, node, heard, acknowledged, forgotten) in &sync.members {
        writeln!(text, "member {replica} {node} {heard} {acknowledged} {forgotten}").unwrap();
    }
    for conflict in node.conflicts().iter() {
        let (local, remote) = (conflict.met.local.dot, conflict.met.remote.dot);
        writeln!(text, "conflict {} {:?} {local} {remote}", conflict.id, conflict.outcome).unwrap();
    }
    text
}

#[test]
fn a_log_with_records_of_sync_is_read_as_it_was_meant() {
    let (report, text) = read(FOLDER, "");
    assert_eq!(report.refusal(), None);
    assert_eq!((report.next_lsn, report.log, report.closed_cleanly), (Lsn(21), Some(LOG), true));
    let expected = fs::read_to_string(fixtures(FOLDER).join("holds.txt")).unwrap();
    assert_eq!(text + &all_held(&node_of(FOLDER)), expected);
}

#[test]
fn this_version_writes_records_of_sync_byte_for_byte() {
    for (path, bytes) in written_now() {
        let stored = fs::read(fixtures(FOLDER).join(&path)).unwrap();
        assert_eq!(hex(&bytes), hex(&stored), "{path}");
    }
}

/// Of those records that are of sync.
pub(super) fn kinds(records: &[Record]) -> alloc::collections::BTreeSet<u8> {
    let kind = |record: &Record| match record {
        Record::Sync(bytes) => bytes.first().copied(),
        _ => None,
    };
    records.iter().filter_map(kind).collect()
}

#[test]
fn the_fixture_shows_every_record_of_sync_that_version_1_had() {
    assert!(kinds(&records()).into_iter().eq(1..=12));
}

/// The head that the node itself writes says the same.
#[test]
fn a_snapshot_of_what_was_read_is_read_as_the_same() {
    let mut disk = directory(FOLDER, "");
    let mut node = node_on(&mut disk);
    let before = all_held(&node);
    node.snapshot(NOW).unwrap();
    while let Some(output) = node.poll_output(NOW) {
        if let Output::Disk(DiskRequest { token, op, .. }) = output {
            let result = disk.run(&op);
            node.handle(NOW, Input::Disk { token, result });
        }
    }
    drop(node);
    disk.crash();
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), seen.heads.len()), (None, 1));
    let (at, head) = &seen.heads[0];
    assert!(*at >= Lsn(20) && head[0] == 2, "a head of version 2 at {at}");
    assert_eq!(all_held(&node_on(&mut disk)), before);
}
