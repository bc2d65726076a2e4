//! Whole directories, undamaged.

use super::*;
use alloc::vec;

#[test]
fn an_empty_directory_is_no_log() {
    let (report, seen) = scan(&mut MemDisk::new(), Purpose::Open);
    assert_eq!((report.log, report.refusal(), seen), (None, None, Seen::default()));
    assert_eq!((report.next_lsn, report.closed_cleanly), (Lsn(1), false));
}

#[test]
fn a_segment_with_only_a_header_is_a_log_without_records() {
    let (report, seen) = scan(&mut Log::founded_at(Lsn(1)).finish(), Purpose::Open);
    assert_eq!((report.log, report.refusal(), seen), (Some(LOG), None, Seen::default()));
    assert_eq!((report.next_lsn, report.segments[0].end), (Lsn(1), SEGMENT_HEADER_LEN as u64));
}

#[test]
fn a_log_founded_above_lsn_1_is_whole() {
    let mut log = Log::founded_at(Lsn(500));
    log.frame_of(&[birth()], FrameKind::Data);
    let (report, seen) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!((report.refusal(), report.next_lsn, seen.lsns()), (None, Lsn(501), vec![500]));
}

#[test]
fn every_record_of_every_segment_is_replayed_in_order() {
    let mut log = Log::new();
    log.frame(&[b"a", b"b"]);
    log.roll();
    log.frame(&[b"c"]);
    log.empty(FrameKind::Mark);
    log.roll();
    let last = log.frame(&[b"d", b"e"]);
    let (report, seen) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!(report.refusal(), None);
    assert_eq!(seen.lsns(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seen.records[0].1, birth());
    assert_eq!(seen.records[5].1, own(5, b"e"));
    assert_eq!((report.next_lsn, report.durable_seen, report.torn), (Lsn(7), Lsn(4), None));
    let segments: Vec<_> = report.segments.iter().map(|s| (s.number, s.first_lsn.0, s.frames, s.sealed)).collect();
    assert_eq!(segments, [(1, 1, 3, true), (2, 4, 3, true), (3, 5, 1, false)]);
    assert_eq!(report.segments[2].end, last.end as u64);
    assert_eq!(report.unproven.unwrap().offset, last.start as u64);
}

#[test]
fn a_clean_close_is_told_and_forgotten_with_the_next_frame() {
    let mut log = Log::new();
    log.empty(FrameKind::Close);
    assert!(scan(&mut log.disk_now(), Purpose::Open).0.closed_cleanly);
    log.frame(&[b"a"]);
    assert!(!scan(&mut log.disk_now(), Purpose::Open).0.closed_cleanly);
}

#[test]
fn a_log_that_goes_on_after_a_snapshot_needs_nothing_from_before() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b", b"c"]);
    log.frame(&[b"d"]);
    log.snapshot(Lsn(4), Lsn(5));
    let mut disk = log.finish();
    let (with_old, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!(with_old.refusal(), None);
    assert_eq!(seen.heads, [(Lsn(4), Bytes::copy_from_slice(&REPLICA.0))]);
    assert_eq!(seen.blocks.len(), 2);
    assert_eq!(seen.lsns(), [5], "records up to the snapshot are not replayed");
    assert_eq!(with_old.segments.len(), 1);
    let old = Leftover { name: name(1), len: CAPACITY as u64, kind: LeftoverKind::OldSegment };
    assert_eq!(with_old.leftovers, [old]);
    let snapshot = with_old.snapshot.clone().unwrap();
    assert_eq!((snapshot.at, snapshot.reaches, snapshot.items), (Lsn(4), Lsn(5), 3));
    let frame = with_old.segments[0].tail_bytes;
    assert!(frame > 0 && frame < 200, "only the frame beyond the snapshot counts: {frame}");

    disk.take(&name(1));
    let (without, again) = scan(&mut disk, Purpose::Open);
    assert_eq!((without.refusal(), again), (None, seen));
    assert_eq!(without.leftovers, []);
}

#[test]
fn a_snapshot_inside_a_frame_replays_the_rest_of_the_frame() {
    let mut log = Log::new();
    log.frame(&[b"a", b"b", b"c"]);
    log.snapshot(Lsn(2), Lsn(4));
    let (report, seen) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![3, 4]));
}

#[test]
fn an_old_segment_may_be_missing_or_damaged_beside_a_snapshot() {
    let mut log = Log::new();
    log.roll();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    log.roll();
    log.frame(&[b"c"]);
    log.snapshot(Lsn(3), Lsn(3));
    let mut disk = log.finish();
    disk.take(&name(2));
    disk.flip(&name(1), 3, 1);
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![4]));
    let old: Vec<_> = report.leftovers.iter().map(|leftover| leftover.name.clone()).collect();
    assert_eq!(old, [name(1), name(3)]);
}

#[test]
fn drafts_spares_and_older_snapshots_are_leftovers_and_strangers_are_left_alone() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.snapshot(Lsn(1), Lsn(1));
    log.snapshot(Lsn(2), Lsn(2));
    let mut disk = log.finish();
    for leftover in [FileName::Spare(2), FileName::SnapshotDraft(Lsn(2))] {
        disk.place(&leftover.to_name(), vec![1; 10]);
    }
    for stranger in ["notes.txt", "0000000000000000.seg", "000000000000001.seg"] {
        disk.place(stranger, vec![]);
    }
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), seen.heads.len()), (None, 1));
    let mut kinds: Vec<_> = report.leftovers.iter().map(|leftover| leftover.kind).collect();
    kinds.sort_by_key(|kind| *kind as u8);
    assert_eq!(kinds, [LeftoverKind::Spare, LeftoverKind::Draft, LeftoverKind::OldSnapshot]);
    assert_eq!(report.strangers, ["0000000000000000.seg", "000000000000001.seg", "notes.txt"]);
}

#[test]
fn a_failed_read_ends_the_scan_with_its_error() {
    let disk = {
        let mut log = Log::new();
        log.snapshot(Lsn(1), Lsn(1));
        log.finish()
    };
    let mut probe = disk.clone();
    scan(&mut probe, Purpose::Open);
    for index in 0..probe.journal().len() {
        let mut disk = disk.clone();
        disk.fail(index, crate::testing::Failure::Clean(DiskErrorKind::Io));
        assert!(try_scan(&mut disk, Purpose::Open).0.is_err(), "operation {index}");
    }
}
