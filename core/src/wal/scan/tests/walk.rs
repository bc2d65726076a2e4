//! What a scan says of the frames of one segment: counted, in order, proven or not.

use super::*;
use alloc::vec;

#[test]
fn frames_records_and_the_bytes_beyond_the_snapshot_are_counted() {
    let mut log = Log::new();
    log.frame(&[b"a", b"b"]);
    log.frame(&[b"c"]);
    let across = log.frame(&[b"d", b"e"]);
    let beyond = log.frame(&[b"f"]);
    for (at, tail) in [(4, across.start..beyond.end), (5, across.start..beyond.end), (6, beyond.clone())] {
        let mut disk = log.disk_now();
        disk.place(&FileName::Snapshot(Lsn(at)).to_name(), snapshot(Lsn(at), Lsn(at)));
        let (report, _) = scan(&mut disk, Purpose::Open);
        let segment = &report.segments[0];
        assert_eq!((segment.frames, segment.records), (5, 7), "snapshot at {at}");
        assert_eq!(segment.tail_bytes, tail.len() as u64, "snapshot at {at}");
    }
    assert_eq!(
        scan(&mut log.finish(), Purpose::Open).0.segments[0].tail_bytes,
        (beyond.end - SEGMENT_HEADER_LEN) as u64
    );
}

#[test]
fn only_what_no_later_frame_proves_is_unproven() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    let last = log.frame(&[b"b"]);
    let unproven = |log: &mut Log| scan(&mut log.disk_now(), Purpose::Open).0.unproven.unwrap();
    let found = unproven(&mut log);
    assert_eq!((found.offset, &found.bytes[..]), (last.start as u64, &log.bytes()[last]));

    // Three frames that share one sync, and a mark that proves the first of them alone.
    let first = log.frame_unsynced(&[b"c"]);
    let second = log.frame_unsynced(&[b"d"]);
    log.frame_unsynced(&[b"e"]);
    assert_eq!(unproven(&mut log).offset, first.start as u64);
    log.durable = Lsn(4);
    let mark = log.empty(FrameKind::Mark);
    let found = unproven(&mut log);
    assert_eq!((found.offset, found.bytes.len()), (second.start as u64, mark.end - second.start));
}

#[test]
fn a_frame_that_is_not_the_next_is_never_taken_for_it() {
    // A write that went to the place of the one before: what stood there is lost.
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.next = Lsn(log.next.0 + 2);
    log.durable = Lsn(4);
    let gap = log.frame(&[b"d"]);
    let (report, seen) = scan(&mut log.finish(), Purpose::Open);
    let [damage] = &report.damage[..] else { panic!("one damage: {:?}", report.damage) };
    assert_eq!((damage.offset, damage.first_lsn, damage.last_lsn), (gap.start as u64, Lsn(3), Some(Lsn(4))));
    assert!(damage.what.starts_with("a frame of LSN 5 stands where LSN 3 belongs"), "{}", damage.what);
    assert_eq!(seen.lsns(), [1, 2]);

    // The same frame twice: its records are not replayed twice.
    let mut log = Log::new();
    let once = log.frame(&[b"a"]);
    let copy = log.bytes()[once].to_vec();
    log.bytes.extend(copy);
    let (_, seen) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!(seen.lsns(), [1, 2]);
}

#[test]
fn what_follows_the_work_of_a_newer_version_is_not_called_damaged() {
    let mut log = Log::new();
    let newer = log.frame(&[b"a"]);
    let salt = log.header.frame_salt();
    log.roll();
    log.frame(&[b"b"]);
    let mut disk = log.finish();
    disk.edit(&name(1), |bytes| {
        bytes[newer.start + 20] = 9;
        let mut hasher = crc32fast::Hasher::new_with_initial(salt.0);
        hasher.update(&bytes[newer.start..newer.start + 36]);
        hasher.update(&bytes[newer.start + 40..newer.end]);
        let crc = hasher.finalize().to_le_bytes();
        bytes[newer.start + 36..newer.start + 40].copy_from_slice(&crc);
    });
    let (report, _) = scan(&mut disk, Purpose::Open);
    assert!(report.too_new.is_some());
    assert_eq!(report.damage, []);
}

#[test]
fn damage_without_an_end_is_told_once() {
    let mut log = Log::new();
    let bad = log.frame(&[b"a"]);
    log.roll();
    let mut disk = log.finish();
    disk.edit(&name(1), |bytes| bytes[bad.start..].fill(0xff));
    let (report, _) = scan(&mut disk, Purpose::Open);
    let told: Vec<_> = report.damage.iter().map(|damage| (&damage.file[..], damage.offset)).collect();
    assert_eq!(told, [(&name(1)[..], bad.start as u64)]);
}

#[test]
fn the_log_that_most_segments_belong_to_is_the_log() {
    for stranger in [LogId([5; 16]), LogId([9; 16])] {
        for odd in 1..=3 {
            let mut log = Log::new();
            log.roll();
            log.frame(&[b"a"]);
            log.roll();
            let mut disk = log.finish();
            let first_lsn = [Lsn(1), Lsn(2), Lsn(3)][odd as usize - 1];
            let header = SegmentHeader { log: stranger, ..header(odd, first_lsn) };
            disk.edit(&name(odd), |bytes| bytes[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode()));
            let (report, _) = scan(&mut disk, Purpose::Open);
            assert_eq!((report.log, &report.damage[0].file), (Some(LOG), &name(odd)), "{stranger}");
        }
    }
}

#[test]
fn opening_looks_at_no_older_snapshot_when_the_newest_is_damaged() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.snapshot(Lsn(1), Lsn(1));
    log.snapshot(Lsn(2), Lsn(2));
    let mut disk = log.finish();
    let (newest, older) = (FileName::Snapshot(Lsn(2)).to_name(), FileName::Snapshot(Lsn(1)).to_name());
    for file in [&newest, &older] {
        disk.flip(file, 9, 0);
    }
    let (report, _) = scan(&mut disk, Purpose::Open);
    assert_eq!(report.damage.iter().map(|damage| &damage.file).collect::<Vec<_>>(), [&newest]);
    assert_eq!(report.leftovers.iter().map(|leftover| &leftover.name).collect::<Vec<_>>(), [&older]);
}

#[test]
fn damage_to_a_long_snapshot_is_told_once() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    let at = Lsn(2);
    let mut file = encode_header(LOG, at, &REPLICA.0);
    for block in 0..3 {
        file.extend(encode_block(LOG, at, block, 1, &vec![1; SNAPSHOT_CHUNK]));
    }
    file.extend(encode_footer(LOG, at, 3, 3, at));
    file[9] ^= 1;
    let mut disk = log.finish();
    disk.place(&FileName::Snapshot(at).to_name(), file);
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!(report.damage.iter().map(|damage| damage.offset).collect::<Vec<_>>(), [0]);
    assert_eq!(seen, Seen::default());
}

#[test]
fn salvage_reads_one_snapshot_and_nothing_that_a_whole_one_made_superfluous() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    log.snapshot(Lsn(1), Lsn(1));
    log.snapshot(Lsn(2), Lsn(2));
    let disk = log.finish();
    let (report, seen) = scan(&mut disk.clone(), Purpose::Salvage);
    assert_eq!((seen.heads.len(), seen.blocks.len(), seen.lsns()), (1, 2, vec![3]));
    assert_eq!(report.segments.iter().map(|segment| segment.number).collect::<Vec<_>>(), [2]);
    let left: Vec<_> = report.leftovers.iter().map(|leftover| leftover.kind).collect();
    assert_eq!(left, [LeftoverKind::OldSnapshot, LeftoverKind::OldSegment]);

    // With none left to fall back on, the damage of the only one is all there is to say.
    let mut alone = disk;
    alone.take(&FileName::Snapshot(Lsn(1)).to_name());
    alone.flip(&FileName::Snapshot(Lsn(2)).to_name(), 9, 0);
    let (report, seen) = scan(&mut alone, Purpose::Salvage);
    assert_eq!(
        report.damage.iter().map(|damage| damage.file.clone()).collect::<Vec<_>>(),
        [FileName::Snapshot(Lsn(2)).to_name()]
    );
    assert_eq!(seen.lsns(), [1, 2, 3]);
}

#[test]
fn missing_segments_are_named_from_the_first_to_the_last() {
    let mut log = Log::new();
    for _ in 0..4 {
        log.roll();
        log.frame(&[b"a"]);
    }
    let disk = log.finish();
    let missing = |numbers: &[u64], spare: Option<u64>| {
        let mut disk = disk.clone();
        for number in numbers {
            disk.take(&name(*number));
        }
        if let Some(number) = spare {
            disk.place(&FileName::Spare(number).to_name(), vec![]);
        }
        let damage = scan(&mut disk, Purpose::Open).0.damage.remove(0);
        (damage.file, damage.what)
    };
    let alone = String::from("the segment is missing");
    let through = |last: u64| format!("the segments from this to {} are missing", name(last));
    assert_eq!(missing(&[3], None), (name(3), alone.clone()));
    assert_eq!(missing(&[2, 3, 4], None), (name(2), through(4)));
    assert_eq!(missing(&[5], Some(6)), (name(5), alone));
    assert_eq!(missing(&[4, 5], Some(6)), (name(4), through(5)));
}

#[test]
fn a_segment_that_repeats_records_of_the_one_before_is_damage() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.empty(FrameKind::Seal);
    (log.next, log.durable) = (Lsn(2), Lsn(1));
    log.roll_unsealed();
    log.frame(&[b"again"]);
    let (report, _) = scan(&mut log.finish(), Purpose::Open);
    let damage = report.damage.first().unwrap();
    assert_eq!((&damage.file, &damage.what[..]), (&name(2), "begins with LSN 2, but LSN 3 comes next"));
}

#[test]
fn a_damaged_log_was_not_closed_cleanly() {
    let mut log = Log::new();
    let bad = log.frame(&[b"a"]);
    log.frame(&[b"b"]);
    log.empty(FrameKind::Close);
    let mut disk = log.finish();
    assert!(scan(&mut disk, Purpose::Salvage).0.closed_cleanly);
    disk.flip(&name(1), bad.start + 50, 0);
    assert!(!scan(&mut disk, Purpose::Salvage).0.closed_cleanly);
}

#[test]
fn damage_is_told_with_what_may_be_lost() {
    for (first, last, lost) in [
        (5, Some(4), "no stored data lost"),
        (5, Some(5), "LSN 5"),
        (5, Some(9), "LSN 5 to 9"),
        (5, None, "LSN 5 and after"),
    ] {
        let what = String::from("it is bad");
        let damage = Damage { file: name(1), offset: 64, first_lsn: Lsn(first), last_lsn: last.map(Lsn), what };
        assert_eq!(format!("{damage}"), format!("{} at offset 64, {lost}: it is bad", name(1)));
    }
}

#[test]
fn a_report_counts_the_bytes_of_the_files_in_force() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    log.roll();
    log.snapshot(Lsn(1), Lsn(1));
    log.snapshot(Lsn(2), Lsn(2));
    let mut disk = log.finish();
    let (report, _) = scan(&mut disk, Purpose::Open);
    let files = [name(2), name(3), FileName::Snapshot(Lsn(2)).to_name()];
    assert_eq!(report.bytes(), files.iter().map(|file| disk.bytes(file).len() as u64).sum::<u64>());
}

#[test]
fn a_snapshot_longer_than_one_read_is_loaded_whole() {
    let mut log = Log::new();
    log.frame(&[b"two"]);
    let at = Lsn(2);
    let bodies = [b'a', b'b', b'c'].map(|byte| Bytes::from(alloc::vec![byte; SNAPSHOT_CHUNK / 3 * 2]));
    let mut file = encode_header(LOG, at, &REPLICA.0);
    for (index, body) in (0..).zip(&bodies) {
        file.extend(encode_block(LOG, at, index, 1, body));
    }
    file.extend(encode_footer(LOG, at, 3, 3, at));
    log.disk.place(&FileName::Snapshot(at).to_name(), file);
    let (report, seen) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!(report.damage, []);
    assert_eq!(seen.blocks, bodies.map(|body| (1, body)));
}
