//! Records of sync that came after version 1, with kinds of their own.

use super::sync::{all_held, kinds, logged, node_of, vector};
use super::*;
use crate::sync::{Contest, SyncRecord};

const FOLDER: &str = "v2-sync";

fn records() -> Vec<Record> {
    let node = NodeId::new("till-1").unwrap();
    let seven = op(OTHER, 7, b"quince", Some(b"yellow"), &[]);
    let owed = SyncRecord::Owed { dots: vector(&[(OTHER, 9)]), stamp: seven.stamp };
    // It meets an own write that its writer had not seen, and is no side of a conflict.
    let late = SyncRecord::Entry { op: seven, known: vector(&[(OTHER, 6)]), contest: Contest::Late };
    vec![
        Record::Birth { replica: REPLICA, node, at: WallTime(1_700_000_000_000) },
        Record::Own(op(REPLICA, 1, b"quince", Some(b"green"), &[])),
        logged(&owed),
        logged(&late),
    ]
}

fn written_now() -> Vec<u8> {
    let records = records();
    let mut log = Log::founded_at(Lsn(1));
    log.frame_of(&records[..2], FrameKind::Data);
    log.frame_of(&records[2..], FrameKind::Data);
    log.empty(FrameKind::Close);
    log.bytes().to_vec()
}

pub(super) fn write_the_fixture() {
    write(fixtures(FOLDER).join(name(1)), &written_now());
    let text = read(FOLDER, "").1 + &all_held(&node_of(FOLDER));
    write(fixtures(FOLDER).join("holds.txt"), text.as_bytes());
}

#[test]
fn a_log_with_later_records_of_sync_is_read_as_it_was_meant() {
    let (report, text) = read(FOLDER, "");
    assert_eq!(report.refusal(), None);
    assert_eq!((report.next_lsn, report.log, report.closed_cleanly), (Lsn(5), Some(LOG), true));
    let expected = fs::read_to_string(fixtures(FOLDER).join("holds.txt")).unwrap();
    assert_eq!(text + &all_held(&node_of(FOLDER)), expected);
}

#[test]
fn this_version_writes_later_records_of_sync_byte_for_byte() {
    assert_eq!(hex(&written_now()), hex(&fs::read(fixtures(FOLDER).join(name(1))).unwrap()));
}

#[test]
fn the_fixture_shows_what_had_come_by_then() {
    assert!(kinds(&records()).into_iter().eq(13..=14));
}
