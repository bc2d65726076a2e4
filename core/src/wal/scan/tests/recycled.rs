//! Segments that were written over older ones: what stands behind their frames is never taken for theirs, and never hides
//! what became of them.

use alloc::vec;

use super::*;

/// A birth and three operations, the last of them not stated to be durable, over frames of the same lengths.
fn log() -> (Log, [Range<usize>; 3]) {
    let mut log = Log::new().written_over(b"abc");
    let frames = [b"one", b"two", b"six"].map(|value| log.frame(&[value]));
    (log, frames)
}

#[test]
fn frames_of_an_earlier_life_are_neither_replayed_nor_torn() {
    let (log, frames) = log();
    let mut disk = log.finish();
    let behind = &disk.bytes(&name(1))[frames[2].end..];
    assert!(behind.windows(4).filter(|four| *four == b"SFRM").count() > 10, "the older frames are there");
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), report.torn, report.next_lsn), (None, None, Lsn(5)));
    assert_eq!(seen.lsns(), [1, 2, 3, 4]);
    assert_eq!(scan(&mut disk, Purpose::Salvage).1, seen);
}

#[test]
fn a_closed_log_ends_cleanly_before_older_frames() {
    let (mut log, _) = log();
    log.empty(FrameKind::Close);
    let (report, _) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!((report.closed_cleanly, report.refusal(), report.torn), (true, None, None));
}

#[test]
fn a_last_frame_broken_at_any_byte_is_torn_and_said_to_be() {
    let (log, frames) = log();
    let disk = log.finish();
    let last = frames[2].clone();
    for at in last.clone() {
        let mut disk = disk.clone();
        disk.edit(&name(1), |bytes| bytes[at] ^= 0x40);
        let (report, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), seen.lsns()), (None, vec![1, 2, 3]), "byte {at}");
        let torn = report.torn.unwrap_or_else(|| panic!("byte {at} is broken and nothing is said"));
        assert_eq!(torn.offset, last.start as u64);
        assert!(torn.bytes <= last.len() as u64, "only what is of this life");
    }
}

#[test]
fn damage_before_a_frame_that_proves_it_is_damage_at_every_byte() {
    let (log, frames) = log();
    let disk = log.finish();
    for at in frames[0].start..frames[1].end {
        let mut disk = disk.clone();
        disk.edit(&name(1), |bytes| bytes[at] ^= 0x40);
        let (report, _) = scan(&mut disk, Purpose::Open);
        assert!(!report.damage.is_empty() && report.torn.is_none(), "byte {at}: {report:?}");
        let (_, saved) = scan(&mut disk, Purpose::Salvage);
        assert!(saved.lsns().contains(&4), "what is whole behind it is saved: {:?}", saved.lsns());
    }
}

#[test]
fn a_lost_frame_before_a_whole_one_is_torn_up_to_the_end_of_that() {
    let mut log = Log::new().written_over(b"abc");
    let first = log.frame_unsynced(&[b"one"]);
    let second = log.frame_unsynced(&[b"two"]);
    let under = log.under.clone();
    let mut disk = log.finish();
    // The sectors of the first frame never came to the disk: older bytes, or the zeros behind the frame before.
    for lost in [under[first.clone()].to_vec(), [&[0; 8], &under[first.start + 8..first.end]].concat()] {
        disk.edit(&name(1), |bytes| bytes[first.clone()].copy_from_slice(&lost));
        let (report, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), seen.lsns()), (None, vec![1]));
        let torn = report.torn.unwrap();
        assert_eq!((torn.offset, torn.offset + torn.bytes), (first.start as u64, second.end as u64));
    }
}

#[test]
fn a_recycled_segment_without_a_seal_before_another_is_damage() {
    let (mut log, _) = log();
    log.roll_unsealed();
    log.frame(&[b"d"]);
    let (report, _) = scan(&mut log.finish(), Purpose::Open);
    assert!(report.damage[0].what.contains("no seal"), "{:?}", report.damage);
}

#[test]
fn a_snapshot_proves_what_a_recycled_segment_has_lost() {
    let mut log = Log::new().written_over(b"abc");
    let only = log.frame(&[b"one"]);
    log.snapshot(Lsn(1), Lsn(2));
    let under = log.under.clone();
    let mut disk = log.finish();
    disk.edit(&name(1), |bytes| {
        bytes[only.clone()].copy_from_slice(&under[only.clone()]);
        bytes[only.start..only.start + 8].fill(0);
    });
    assert!(!scan(&mut disk, Purpose::Open).0.damage.is_empty());
}

#[test]
fn a_file_cut_anywhere_is_no_clean_end_in_mid_frame() {
    let (log, frames) = log();
    let disk = log.finish();
    let last = frames[2].clone();
    for len in last.start + 1..last.end {
        let mut disk = disk.clone();
        disk.cut(&name(1), len);
        let (report, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), seen.lsns()), (None, vec![1, 2, 3]), "{len}");
        assert!(report.torn.is_some() && !report.doubts().is_empty(), "{len}");
    }
}

#[test]
fn a_kept_segment_alone_says_that_there_was_a_log() {
    let mut disk = MemDisk::new();
    disk.place(&FileName::Kept(1).to_name(), vec![1; 10]);
    let (report, _) = scan(&mut disk, Purpose::Open);
    assert_eq!(report.damage.len(), 1);
}
