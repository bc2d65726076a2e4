//! Acknowledged data that is not there as it was written: never opened, never silently passed over.

use super::*;
use crate::error::{Code, LocalState};
use alloc::vec;

fn refused(disk: &mut MemDisk, what: &str) -> Damage {
    let (report, _) = scan(disk, Purpose::Open);
    let error = report.refusal().unwrap_or_else(|| panic!("{what}: must be refused"));
    assert_eq!((error.code(), error.local()), (Code::WalCorrupt, LocalState::Damaged), "{what}");
    assert!(!report.closed_cleanly, "{what}");
    let (salvage, _) = scan(disk, Purpose::Salvage);
    assert!(!salvage.damage.is_empty(), "{what}: salvage lists it, too");
    report.damage[0].clone()
}

#[test]
fn a_flipped_bit_at_every_byte_of_an_older_frame_is_damage() {
    let mut log = Log::new();
    let frames = [
        log.frame(&[b"one", b"and one more"]),
        log.empty(FrameKind::Mark),
        log.frame(&[b"two"]),
        log.empty(FrameKind::Close),
        log.frame(&[b"three"]),
        log.empty(FrameKind::Mark),
    ];
    let lsns = [(2, 3), (4, 3), (4, 4), (5, 4), (5, 5)];
    let disk = log.finish();
    let end = frames[4].end;
    for (frame, (first, last)) in frames.iter().zip(lsns) {
        for at in frame.clone() {
            let mut disk = disk.clone();
            disk.flip(&name(1), at, (at % 8) as u8);
            let damage = refused(&mut disk, &format!("byte {at} of {frame:?}"));
            assert_eq!((damage.file, damage.offset), (name(1), frame.start as u64));
            assert_eq!((damage.first_lsn, damage.last_lsn), (Lsn(first), Some(Lsn(last))), "byte {at}");
            let (_, seen) = scan(&mut disk, Purpose::Open);
            assert_eq!(seen.lsns(), (1..first).collect::<Vec<_>>(), "nothing behind damage is replayed");
        }
    }
    // The last frame of all is the one case that a log alone cannot decide.
    let mut disk = disk;
    disk.flip(&name(1), end + 3, 0);
    assert!(scan(&mut disk, Purpose::Open).0.torn.is_some());
}

#[test]
fn any_lost_piece_of_older_frames_is_damage() {
    let mut log = Log::new();
    let start = log.bytes().len();
    log.frame(&[b"one"]);
    log.frame(&[b"two"]);
    let end = log.frame(&[b"three"]).start;
    log.frame(&[b"four"]);
    let disk = log.finish();
    for from in (start..end).step_by(8) {
        for to in (from + 8..=end).step_by(8) {
            let mut disk = disk.clone();
            disk.edit(&name(1), |bytes| bytes[from..to].fill(0));
            refused(&mut disk, &format!("zeros from {from} to {to}"));
        }
    }
}

#[test]
fn the_frame_before_the_last_is_promised_by_the_last() {
    let mut log = Log::new();
    let first = log.frame(&[b"one"]);
    log.frame(&[b"two"]);
    let mut disk = log.finish();
    disk.flip(&name(1), first.start + 50, 0);
    let damage = refused(&mut disk, "the frame before the last");
    assert_eq!(
        alloc::string::ToString::to_string(&damage),
        format!(
            "0000000000000001.seg at offset {}, LSN 2: frame checksum has an invalid value; \
             the frame at offset {} says that LSN 2 was durable",
            first.start, first.end
        )
    );
}

#[test]
fn a_bad_frame_that_was_not_promised_is_no_damage_whatever_follows() {
    let mut log = Log::new();
    let first = log.frame_unsynced(&[b"one"]);
    log.frame_unsynced(&[b"two"]);
    let before = log.bytes().len();
    log.sync();
    let mut torn = Log { disk: MemDisk::new(), bytes: log.bytes().to_vec(), ..Log::new() };
    torn.bytes.truncate(before);
    let mut disk = torn.finish();
    disk.flip(&name(1), first.start + 50, 0);
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![1]));

    // One frame more, written after a sync, turns the same spot into damage.
    log.frame(&[b"three"]);
    let mut disk = log.finish();
    disk.flip(&name(1), first.start + 50, 0);
    refused(&mut disk, "promised two frames later");
}

#[test]
fn a_flipped_bit_at_every_byte_of_a_segment_header_is_damage() {
    for segment in [1, 2] {
        let mut log = Log::new();
        log.roll();
        log.frame(&[b"a"]);
        let disk = log.finish();
        for at in 0..SEGMENT_HEADER_LEN {
            let mut disk = disk.clone();
            disk.flip(&name(segment), at, (at % 8) as u8);
            let damage = refused(&mut disk, &format!("byte {at} of segment {segment}"));
            assert_eq!((damage.file, damage.offset), (name(segment), 0));
        }
    }
}

#[test]
fn a_flipped_bit_at_every_byte_of_a_snapshot_is_damage() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    log.snapshot(Lsn(2), Lsn(3));
    let disk = log.finish();
    let snapshot = FileName::Snapshot(Lsn(2)).to_name();
    for at in 0..disk.bytes(&snapshot).len() {
        let mut disk = disk.clone();
        disk.flip(&snapshot, at, (at % 8) as u8);
        let damage = refused(&mut disk, &format!("byte {at}"));
        assert_eq!((damage.file, damage.first_lsn, damage.last_lsn), (snapshot.clone(), Lsn(1), Some(Lsn(2))));
        assert!(damage.offset <= at as u64);
        assert_eq!(scan(&mut disk, Purpose::Open).1.records, [], "nothing is replayed on top of it");
    }
    for cut in 0..disk.bytes(&snapshot).len() {
        let mut disk = disk.clone();
        disk.cut(&snapshot, cut);
        refused(&mut disk, &format!("cut at {cut}"));
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let mut log = Log::new();
    log.roll();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    log.roll();
    let disk = log.finish();
    for (missing, lsns) in [(1, (1, Some(1))), (2, (2, Some(2))), (3, (3, Some(3)))] {
        let mut disk = disk.clone();
        disk.take(&name(missing));
        let damage = refused(&mut disk, &format!("segment {missing} missing"));
        assert_eq!(damage.file, name(missing));
        assert_eq!((damage.first_lsn, damage.last_lsn), (Lsn(lsns.0), lsns.1.map(Lsn)));
    }
    // What is missing at the end shows only by what was built on it.
    let mut disk = disk;
    disk.take(&name(4));
    disk.place(&FileName::Spare(5).to_name(), vec![]);
    assert_eq!(refused(&mut disk, "the last segment missing").file, name(4));
}

#[test]
fn a_directory_without_segments_is_not_empty_when_something_else_is_there() {
    for file in [FileName::Snapshot(Lsn(2)), FileName::SnapshotDraft(Lsn(2)), FileName::Spare(2)] {
        let mut disk = MemDisk::new();
        disk.place(&file.to_name(), snapshot(Lsn(2), Lsn(2)));
        refused(&mut disk, &file.to_name());
    }
    let mut founding = MemDisk::new();
    founding.place(&FileName::Spare(1).to_name(), vec![]);
    assert_eq!(scan(&mut founding, Purpose::Open).0.refusal(), None, "an interrupted founding is no damage");
}

#[test]
fn a_segment_without_a_seal_and_with_a_follower_is_damage() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    let end = log.bytes().len();
    log.roll_unsealed();
    log.frame(&[b"b"]);
    let damage = refused(&mut log.finish(), "no seal");
    assert_eq!((damage.file, damage.offset, damage.last_lsn), (name(1), end as u64, Some(Lsn(2))));
}

#[test]
fn a_damaged_frame_in_an_older_segment_is_damage_at_every_byte() {
    let mut log = Log::new();
    let frame = log.frame(&[b"a"]);
    let seal = log.roll();
    log.frame(&[b"b"]);
    let disk = log.finish();
    for at in frame.start..seal.end {
        let mut disk = disk.clone();
        disk.flip(&name(1), at, 5);
        assert_eq!(refused(&mut disk, &format!("byte {at}")).file, name(1));
        let before = if at < frame.end { vec![1] } else { vec![1, 2] };
        assert_eq!(scan(&mut disk, Purpose::Open).1.lsns(), before, "nothing of later segments is replayed");
    }
}

#[test]
fn segments_that_do_not_join_are_damage() {
    let mut log = Log::new();
    log.roll();
    log.frame(&[b"a"]);
    let disk = log.finish();
    for first_lsn in [1, 3] {
        let mut disk = disk.clone();
        disk.edit(&name(2), |bytes| bytes[..64].copy_from_slice(&header(2, Lsn(first_lsn)).encode()));
        assert_eq!(refused(&mut disk, "does not join").file, name(2));
    }
    let mut renamed = disk.clone();
    renamed.edit(&name(2), |bytes| bytes[..64].copy_from_slice(&header(3, Lsn(2)).encode()));
    assert!(refused(&mut renamed, "another number").what.contains("under another name"));
    let mut foreign = disk;
    let other = SegmentHeader { log: LogId([9; 16]), ..header(2, Lsn(2)) };
    foreign.edit(&name(2), |bytes| bytes[..64].copy_from_slice(&other.encode()));
    assert!(refused(&mut foreign, "another log").what.contains("another log"));
}

#[test]
fn a_snapshot_newer_than_the_end_of_the_log_is_damage() {
    for (at, reaches, torn) in [(2, 3, false), (3, 3, false), (2, 3, true), (9, 9, false)] {
        let mut log = Log::new();
        log.frame(&[b"a"]);
        let last = log.frame(&[b"b"]);
        log.snapshot(Lsn(at), Lsn(reaches));
        let mut disk = log.finish();
        if at < 9 {
            assert_eq!(scan(&mut disk, Purpose::Open).0.refusal(), None);
            let from = if torn { last.start + 60 } else { last.start };
            disk.edit(&name(1), |bytes| bytes[from..].fill(0));
        }
        let damage = refused(&mut disk, "the log ends before its snapshot");
        assert_eq!(damage.file, name(1));
    }
}

#[test]
fn a_log_that_does_not_reach_down_to_its_snapshot_is_damage() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    log.snapshot(Lsn(1), Lsn(1));
    let mut disk = log.finish();
    disk.take(&name(1));
    let damage = refused(&mut disk, "segment 1 holds LSN 2");
    assert_eq!((damage.first_lsn, damage.last_lsn), (Lsn(2), Some(Lsn(2))));
}

#[test]
fn a_snapshot_of_another_log_or_under_another_name_is_damage() {
    for file in [snapshot(Lsn(2), Lsn(2)), {
        let mut file = encode_header(LogId([9; 16]), Lsn(1), &REPLICA.0);
        file.extend(encode_footer(LogId([9; 16]), Lsn(1), 0, 0, Lsn(1)));
        file
    }] {
        let mut log = Log::new();
        log.frame(&[b"a"]);
        let mut disk = {
            log.disk.place(&FileName::Snapshot(Lsn(1)).to_name(), file);
            log.finish()
        };
        assert_eq!(refused(&mut disk, "not the snapshot it should be").file, FileName::Snapshot(Lsn(1)).to_name());
    }
}

#[test]
fn bytes_that_cannot_be_understood_are_damage_even_at_the_end() {
    let mut log = Log::founded_at(Lsn(1));
    let frame = log.frame(&[b"an own operation before any birth"]);
    let damage = refused(&mut log.finish(), "own before birth");
    assert_eq!((damage.offset, damage.first_lsn, damage.last_lsn), (frame.start as u64, Lsn(1), Some(Lsn(1))));
    assert!(damage.what.starts_with("the checksum holds"), "{}", damage.what);
}

#[test]
fn what_a_newer_version_wrote_is_no_damage_and_is_not_opened() {
    let reseal = |bytes: &mut [u8], crc_at: usize| {
        let crc = crc32fast::hash(&bytes[..crc_at]).to_le_bytes();
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc);
    };
    let mut segment = Log::new().finish();
    segment.edit(&name(1), |bytes| {
        bytes[8] = 3;
        reseal(bytes, 60);
    });
    let mut log = Log::new();
    log.snapshot(Lsn(1), Lsn(1));
    let mut snapshot = log.finish();
    snapshot.edit(&FileName::Snapshot(Lsn(1)).to_name(), |bytes| {
        bytes[8] = 2;
        reseal(bytes, 44);
    });
    let newer = |at: usize, byte: u8| {
        let mut log = Log::new();
        let last = log.frame(&[b"a"]);
        let salt = log.header.frame_salt();
        let mut disk = log.finish();
        disk.edit(&name(1), |bytes| {
            bytes[last.start + at] = byte;
            let mut hasher = crc32fast::Hasher::new_with_initial(salt.0);
            hasher.update(&bytes[last.start..last.start + 36]);
            hasher.update(&bytes[last.start + 40..last.end]);
            let crc = hasher.finalize().to_le_bytes();
            bytes[last.start + 36..last.start + 40].copy_from_slice(&crc);
        });
        disk
    };
    let (frame, record, operation) = (newer(20, 9), newer(40, 200), newer(45, 0x80));
    // Behind a torn spot, too: what the newer version meant by it is not known.
    let mut behind = frame.clone();
    behind.flip(&name(1), SEGMENT_HEADER_LEN + 50, 0);
    let frames = [(frame, "frame"), (record, "record"), (operation, "operation"), (behind, "behind")];
    for (mut disk, what) in [(segment, "segment"), (snapshot, "snapshot")].into_iter().chain(frames) {
        let (report, _) = scan(&mut disk, Purpose::Open);
        assert_eq!(report.refusal().unwrap().code(), Code::FormatTooNew, "{what}");
        assert_eq!(report.damage, [], "{what}");
        assert_eq!(report.torn, None, "{what}");
    }
}
