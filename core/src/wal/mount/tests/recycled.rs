//! Opening logs that end in a segment that was written over an older one.

use super::*;

/// Two frames of one length whose sync never came, in a recycled segment behind a birth.
fn unsynced() -> (Log, Range<usize>, Range<usize>) {
    let mut log = Log::new().written_over(&[b'z'; 600]);
    let first = log.frame_unsynced(&[&[b'a'; 600]]);
    let second = log.frame_unsynced(&[&[b'b'; 600]]);
    (log, first, second)
}

fn lose(disk: &mut MemDisk, lost: Range<usize>) {
    disk.edit(&name(1), |bytes| bytes[lost].fill(0));
}

#[test]
fn a_recycled_segment_is_sealed_and_a_small_one_follows() {
    let mut log = Log::new().written_over(b"abc");
    log.frame(&[b"one"]);
    let end = log.bytes().len() as u64;
    let mut disk = log.finish();
    let begun = disk.journal().len();
    let (mut wal, report, seen) = mount(&mut disk);
    assert_eq!((report.torn, seen.lsns()), (None, vec![1, 2]));
    let ops = &disk.journal()[begun..];
    let seal = ops.iter().position(|op| matches!(op, DiskOp::Write { offset, sync: true, .. } if *offset == end));
    let named = ops.iter().position(|op| matches!(op, DiskOp::Rename { .. }));
    assert!(seal.unwrap() < named.unwrap(), "sealed before the next one has its name: {ops:?}");
    assert_eq!(wal.status().segments, 2);
    write(&mut wal, &mut disk, 2, b"two");
    disk.crash();
    let (again, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((again.refusal(), again.torn, seen.lsns()), (None, None, vec![1, 2, 3]));
    let [first, second] = &again.segments[..] else { panic!("two segments: {:?}", again.segments) };
    assert_eq!((first.sealed, first.end, second.len), (true, end + 40, 4096));
    assert_eq!(second.header.map(|header| header.recycled), Some(false));
}

#[test]
fn what_is_copied_behind_a_seal_of_a_start_is_a_whole_log() {
    let mut log = Log::new().written_over(b"abc");
    log.frame(&[b"one"]);
    let mut disk = log.finish();
    let (mut wal, _, _) = mount(&mut disk);
    write(&mut wal, &mut disk, 2, b"two");
    let mut copy = MemDisk::new();
    for file in wal.pin().files {
        copy.place(&file.name, disk.bytes(&file.name)[..file.len as usize].to_vec());
    }
    let (report, seen) = scan(&mut copy, Purpose::Open);
    assert_eq!((report.refusal(), report.segments[0].sealed, seen.lsns()), (None, true, vec![1, 2, 3]));
}

#[test]
fn what_was_torn_off_never_follows_a_new_frame_of_the_same_length() {
    let (log, first, second) = unsynced();
    let mut disk = log.finish();
    lose(&mut disk, first.clone());
    assert!(disk.bytes(&name(1))[second].windows(4).any(|four| four == b"SFRM"));
    let (mut wal, report, seen) = mount(&mut disk);
    assert_eq!((report.torn.unwrap().offset, seen.lsns()), (first.start as u64, vec![1]));
    write(&mut wal, &mut disk, 1, &[b'c'; 600]);
    disk.crash();
    let (again, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((again.refusal(), again.torn), (None, None));
    let values: Vec<_> = seen.records.iter().map(|(lsn, record)| (*lsn, record.clone())).collect();
    assert_eq!(values[1..], [(Lsn(2), own(1, &[b'c'; 600]))]);
}

#[test]
fn a_start_that_is_cut_short_anywhere_is_made_good_by_the_next() {
    let (log, first, _) = unsynced();
    let mut whole = log.finish();
    lose(&mut whole, first);
    let mut probe = whole.clone();
    mount(&mut probe);
    let (from, to) = (whole.journal().len(), probe.journal().len());
    let mut dice = Seed::from_number(7).stream("cuts");
    for stop in from..to {
        for failure in
            [Failure::Clean(DiskErrorKind::Io), Failure::Half(DiskErrorKind::Io), Failure::Sync(DiskErrorKind::Io)]
        {
            for power in [true, false] {
                let mut disk = whole.clone();
                disk.fail(stop, failure);
                let (report, _) = match crate::wal::scan::tests::try_scan(&mut disk, Purpose::Open) {
                    (Ok(report), seen) => (report, seen),
                    (Err(_), _) => continue,
                };
                let outcome = run(planned(report), &mut disk);
                if power {
                    disk.crash_by(&mut dice);
                }
                disk.stop();
                drop(outcome);
                let (mut wal, _, seen) = mount(&mut disk);
                assert_eq!(seen.lsns(), [1], "{failure:?} of operation {stop}");
                write(&mut wal, &mut disk, 1, &[b'c'; 600]);
                disk.crash();
                let (again, seen) = scan(&mut disk, Purpose::Open);
                assert_eq!(again.refusal(), None, "{failure:?} of operation {stop}");
                let kept = seen.records.iter().map(|(lsn, record)| (lsn.0, record.clone())).skip(1);
                assert_eq!(kept.collect::<Vec<_>>(), [(2, own(1, &[b'c'; 600]))], "{failure:?} of operation {stop}");
            }
        }
    }
}

/// A full disk must not keep a log from being opened: the recycled segment has room, once it is clean behind its end.
#[test]
fn without_room_for_another_a_recycled_segment_is_zeroed_behind_its_end_and_goes_on() {
    let (log, first, _) = unsynced();
    let mut whole = log.finish();
    lose(&mut whole, first.clone());
    let mut probe = whole.clone();
    mount(&mut probe);
    let created = |op: &DiskOp| matches!(op, DiskOp::Create { .. });
    let create = probe.journal().iter().skip(whole.journal().len()).position(created).unwrap();
    for short_of_room in 0..3 {
        let mut disk = whole.clone();
        disk.fail(whole.journal().len() + create + short_of_room, Failure::Clean(DiskErrorKind::NoSpace));
        let (mut wal, report, seen) = mount(&mut disk);
        assert_eq!((report.torn.unwrap().offset, seen.lsns()), (first.start as u64, vec![1]));
        assert_eq!((disk.names(), wal.status().segments), (vec![name(1)], 1), "operation {short_of_room}");
        let bytes = disk.durable_bytes(&name(1)).unwrap();
        assert!(bytes[first.start..].iter().all(|byte| *byte == 0), "nothing stands behind the end");
        write(&mut wal, &mut disk, 1, &[b'c'; 600]);
        disk.crash();
        let (again, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((again.refusal(), again.torn, seen.lsns()), (None, None, vec![1, 2]));
        let (_, report, seen) = mount(&mut disk);
        assert_eq!((report.refusal(), seen.lsns(), disk.names().len()), (None, vec![1, 2], 2), "now there is room");
    }
}

#[test]
fn a_log_that_was_closed_is_still_closed_after_a_start_that_wrote_nothing() {
    let mut log = Log::new().written_over(b"abc");
    log.frame(&[b"one"]);
    log.empty(FrameKind::Close);
    let mut disk = log.finish();
    let (mut wal, report, _) = mount(&mut disk);
    assert!(report.closed_cleanly);
    assert!(scan(&mut disk.clone(), Purpose::Open).0.closed_cleanly);
    write(&mut wal, &mut disk, 2, b"two");
    assert!(!scan(&mut disk, Purpose::Open).0.closed_cleanly);
}

#[test]
fn unproven_frames_are_durable_before_the_seal_behind_them() {
    let mut log = Log::new().written_over(b"abc");
    let last = log.frame(&[b"one"]);
    let mut disk = log.finish();
    let begun = disk.journal().len();
    mount(&mut disk);
    let ops = &disk.journal()[begun..];
    let of = |wanted: fn(&DiskOp) -> bool| ops.iter().position(wanted).unwrap();
    let synced = of(|op| matches!(op, DiskOp::Sync { .. }));
    let seal = of(|op| matches!(op, DiskOp::Write { sync: true, data, .. } if data.len() == 40));
    let again = ops
        .iter()
        .position(|op| matches!(op, DiskOp::Write { offset, sync: false, .. } if *offset <= last.start as u64));
    assert!(again.unwrap() < synced && synced < seal, "{ops:?}");
}

#[test]
fn kept_segments_and_spares_made_of_them_are_removed() {
    let (mut disk, _) = log();
    let old = disk.bytes(&name(1)).to_vec();
    disk.place(&FileName::Kept(7).to_name(), old.clone());
    disk.place(&FileName::Spare(3).to_name(), old);
    let (_, report, seen) = mount(&mut disk);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![1, 2, 3, 4]));
    assert_eq!(disk.names(), [name(1), name(2)]);
}
