//! Saving what can be saved.

use super::*;
use alloc::vec;

fn salvage(disk: &mut MemDisk) -> (ScanReport, Seen) {
    scan(disk, Purpose::Salvage)
}

#[test]
fn every_whole_frame_is_saved_across_damage_and_all_damage_is_listed() {
    let mut log = Log::new();
    let two = log.frame(&[b"two"]);
    log.frame(&[b"three"]);
    log.roll();
    log.frame(&[b"four"]);
    let five = log.frame(&[b"five", b"six"]);
    log.frame(&[b"seven"]);
    log.roll();
    log.frame(&[b"eight"]);
    let mut disk = log.finish();
    disk.flip(&name(1), two.start + 45, 0);
    disk.flip(&name(2), five.start, 0);
    let (report, seen) = salvage(&mut disk);
    assert_eq!(seen.lsns(), [1, 3, 4, 7, 8]);
    let lost: Vec<_> = report.damage.iter().map(|damage| (damage.first_lsn.0, damage.last_lsn.unwrap().0)).collect();
    assert_eq!(lost, [(2, 2), (5, 6)]);
    assert_eq!(report.next_lsn, Lsn(9));
}

#[test]
fn a_segment_with_a_damaged_header_is_saved_at_every_byte() {
    let mut log = Log::new();
    log.frame(&[b"two"]);
    log.roll();
    log.frame(&[b"three"]);
    log.roll();
    let disk = log.finish();
    for segment in [1, 2] {
        for at in 0..SEGMENT_HEADER_LEN {
            let mut disk = disk.clone();
            disk.flip(&name(segment), at, 2);
            let (report, seen) = salvage(&mut disk);
            assert_eq!(seen.lsns(), [1, 2, 3], "byte {at} of segment {segment}");
            assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
        }
    }
}

#[test]
fn operations_are_saved_even_without_their_birth() {
    let mut log = Log::new();
    let birth = SEGMENT_HEADER_LEN..log.bytes().len();
    log.frame(&[b"two"]);
    log.frame(&[b"three"]);
    let mut disk = log.finish();
    disk.flip(&name(1), birth.start + 41, 0);
    let (_, seen) = salvage(&mut disk);
    assert_eq!(seen.lsns(), [2, 3]);
    let Record::Own(op) = &seen.records[0].1 else { panic!("an own operation") };
    assert_eq!((op.dot.replica, op.dot.seq), (LOST_REPLICA, 1));
}

#[test]
fn what_a_missing_segment_leaves_is_saved() {
    let mut log = Log::new();
    log.roll();
    log.frame(&[b"two"]);
    log.roll();
    log.frame(&[b"three"]);
    let mut disk = log.finish();
    disk.take(&name(2));
    let (report, seen) = salvage(&mut disk);
    assert_eq!((seen.lsns(), report.damage.len()), (vec![1, 3], 1));
}

#[test]
fn a_damaged_block_costs_only_itself_and_old_segments_help() {
    let mut log = Log::new();
    log.frame(&[b"two"]);
    log.roll();
    log.frame(&[b"three"]);
    log.snapshot(Lsn(2), Lsn(2));
    let mut disk = log.finish();
    let snapshot = FileName::Snapshot(Lsn(2)).to_name();
    let first_block = encode_header(LOG, Lsn(2), &REPLICA.0).len();
    disk.flip(&snapshot, first_block + 40, 0);
    let (report, seen) = salvage(&mut disk);
    assert_eq!(seen.blocks, [(1, Bytes::from_static(b"the second"))]);
    assert_eq!(seen.lsns(), [1, 2, 3], "the segment that the snapshot made superfluous is replayed");
    assert_eq!(report.damage.len(), 1);
    assert_eq!((&report.damage[0].file, report.damage[0].offset), (&snapshot, first_block as u64));
}

#[test]
fn an_older_snapshot_stands_in_for_one_whose_header_is_damaged() {
    let mut log = Log::new();
    log.frame(&[b"two"]);
    log.snapshot(Lsn(1), Lsn(1));
    log.snapshot(Lsn(2), Lsn(2));
    let mut disk = log.finish();
    disk.flip(&FileName::Snapshot(Lsn(2)).to_name(), 9, 0);
    let (report, seen) = salvage(&mut disk);
    assert_eq!(seen.heads[0].0, Lsn(1));
    assert_eq!(seen.blocks.len(), 2);
    assert_eq!((seen.lsns().last(), report.damage.len()), (Some(&2), 1));
}

#[test]
fn a_frame_is_saved_whole_or_not_at_all() {
    let mut log = Log::new();
    // The second record is not understood: an operation whose key is empty.
    let Record::Own(mut op) = own(1, b"x") else { panic!() };
    op.key = Bytes::new();
    log.frame_of(&[own(1, b"good"), Record::Own(op)], FrameKind::Data);
    log.seq = 2;
    log.frame(&[b"four"]);
    let (report, seen) = salvage(&mut log.finish());
    assert_eq!(seen.lsns(), [1, 4]);
    assert_eq!((report.damage[0].first_lsn, report.damage[0].last_lsn), (Lsn(2), Some(Lsn(3))));
}

#[test]
fn a_value_that_holds_frames_of_its_own_segment_is_not_taken_apart() {
    let mut log = Log::new();
    log.frame(&[b"two"]);
    log.frame(&[b"three"]);
    let copy = log.bytes().to_vec();
    let big = log.frame(&[&copy]);
    log.frame(&[b"five"]);
    let mut disk = log.finish();
    disk.flip(&name(1), big.start + 1, 0);
    let (report, seen) = salvage(&mut disk);
    assert_eq!(seen.lsns(), [1, 2, 3, 5]);
    assert_eq!(report.damage.len(), 1);
}

#[test]
fn a_file_that_can_be_neither_opened_nor_closed_does_not_keep_salvage_from_the_others() {
    let mut log = Log::new();
    log.frame(&[b"two"]);
    log.roll();
    log.frame(&[b"three"]);
    let disk = log.finish();
    let mut whole = disk.clone();
    let (_, all) = salvage(&mut whole);
    let count = whole.journal().len();
    for at in 0..count {
        let mut disk = disk.clone();
        disk.fail(at, crate::testing::Failure::Clean(DiskErrorKind::Io));
        let (outcome, seen) = try_scan(&mut disk, Purpose::Salvage);
        match &whole.journal()[at] {
            DiskOp::Close { .. } => {
                assert!(outcome.unwrap().damage.is_empty());
                assert_eq!(seen.lsns(), all.lsns(), "what was read is there");
            }
            DiskOp::Open { .. } => assert!(!outcome.unwrap().damage.is_empty() || seen.lsns() == all.lsns()),
            _ => {}
        }
        let mut disk = whole.clone();
        disk.fail(disk.journal().len() + at, crate::testing::Failure::Clean(DiskErrorKind::Io));
        let (outcome, _) = try_scan(&mut disk, Purpose::Open);
        assert!(outcome.is_err(), "a start does not go on without an answer: {:?}", whole.journal()[at]);
    }
}

#[test]
fn a_segment_that_cannot_be_read_whole_is_read_in_pieces() {
    let value = vec![b'v'; 40_000];
    let mut log = Log::new();
    for _ in 0..6 {
        log.frame(&[&value]);
    }
    let disk = log.finish();
    let mut probe = disk.clone();
    salvage(&mut probe);
    let whole = probe.journal().iter().rposition(|op| matches!(op, DiskOp::Read { .. })).unwrap();
    let mut disk = disk;
    // The read of the whole file fails, and the second of the pieces.
    for index in [whole, whole + 2] {
        disk.fail(index, crate::testing::Failure::Clean(DiskErrorKind::Io));
    }
    let (outcome, seen) = try_scan(&mut disk, Purpose::Salvage);
    let report = outcome.unwrap();
    assert_eq!(seen.lsns(), [1, 2, 6, 7], "two or three frames touch the second 64 KiB");
    assert!(report.damage.iter().any(|damage| damage.offset == 64 << 10), "{:?}", report.damage);
    assert!(disk.journal().iter().filter(|op| matches!(op, DiskOp::Read { .. })).count() > 4);
}
