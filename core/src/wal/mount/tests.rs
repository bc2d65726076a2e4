use super::*;
use crate::dice::Seed;
use crate::testing::{Failure, MemDisk};
use crate::time::Instant;
use crate::wal::format::FrameKind;
use crate::wal::scan::Purpose;
use crate::wal::scan::tests::{LOG, Log, Seen, name, own, scan};
use crate::wal::{Effect, SyncMode};
use alloc::format;
use alloc::vec;
use core::ops::Range;
use core::time::Duration;

mod recycled;

const FOUNDING: Founding = Founding { log: LOG, first_lsn: Lsn(1) };

fn settings() -> Settings {
    Settings { first_segment: 4096, max_segment: 16384, ..Settings::default() }
}

fn planned(report: ScanReport) -> Mount {
    Mount::new(report, settings(), FOUNDING, Seed::from_number(1).stream("log")).unwrap()
}

/// Scans and mounts.
fn try_mount(disk: &mut MemDisk) -> (Result<Wal, DiskError>, ScanReport, Seen) {
    let (report, seen) = scan(disk, Purpose::Open);
    (run(planned(report.clone()), disk), report, seen)
}

fn run(mut mount: Mount, disk: &mut MemDisk) -> Result<Wal, DiskError> {
    let mut requests = Vec::new();
    mount.start(&mut requests);
    loop {
        if let Some(outcome) = mount.take_outcome() {
            assert!(requests.is_empty(), "an ended mount asks for nothing");
            return outcome;
        }
        let request = requests.remove(0);
        assert!(requests.is_empty(), "one operation at a time");
        let result = disk.run(&request.op);
        mount.handle_completion(request.token, result, &mut requests);
    }
}

fn mount(disk: &mut MemDisk) -> (Wal, ScanReport, Seen) {
    let (wal, report, seen) = try_mount(disk);
    (wal.unwrap(), report, seen)
}

/// Writes one frame with the running log, and says what the disk said to it.
fn write(wal: &mut Wal, disk: &mut MemDisk, seq: u64, value: &[u8]) -> Vec<Effect> {
    let mut out = Vec::new();
    wal.append(&[own(seq, value)]).unwrap();
    wal.submit(Instant(0), &mut out);
    let mut told = Vec::new();
    while !out.is_empty() {
        match out.remove(0) {
            Effect::Disk(request) => {
                let result = disk.run(&request.op);
                wal.handle_completion(Instant(0), request.token, result, &mut out);
            }
            other => told.push(other),
        }
    }
    told
}

/// A log of two segments whose last frame is the only one not stated to be durable; and where that stands.
fn log() -> (MemDisk, Range<usize>) {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    log.frame(&[b"b"]);
    let last = log.frame(&[&[b'c'; 600]]);
    (log.finish(), last)
}

#[test]
fn an_empty_directory_becomes_a_log_durably() {
    let mut disk = MemDisk::new();
    disk.place(&FileName::Spare(1).to_name(), vec![9; 10]);
    let (wal, report, _) = mount(&mut disk);
    assert_eq!((report.log, wal.progress().durable), (None, Lsn(0)));
    disk.crash();
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.log, report.refusal(), report.next_lsn), (Some(LOG), None, Lsn(1)));
    assert_eq!((disk.names(), disk.bytes(&name(1)).len(), seen), (vec![name(1)], 4096, Seen::default()));
}

#[test]
fn a_log_that_continues_another_begins_where_it_is_told() {
    let mut disk = MemDisk::new();
    let (report, _) = scan(&mut disk, Purpose::Open);
    let founding = Founding { first_lsn: Lsn(500), ..FOUNDING };
    let mount = Mount::new(report, settings(), founding, Seed::from_number(1).stream("log")).unwrap();
    assert_eq!(run(mount, &mut disk).unwrap().progress().durable, Lsn(499));
    assert_eq!(scan(&mut disk, Purpose::Open).0.next_lsn, Lsn(500));
}

#[test]
fn damage_and_newer_versions_give_no_mount() {
    let (mut disk, last) = log();
    disk.flip(&name(2), last.start - 1, 0);
    let (damaged, _) = scan(&mut disk, Purpose::Open);
    let newer = ScanReport { damage: Vec::new(), too_new: Some("it".into()), ..damaged.clone() };
    for report in [damaged, newer] {
        let refusal = report.refusal();
        let mount = Mount::new(report, settings(), FOUNDING, Seed::from_number(1).stream("log"));
        assert_eq!(mount.err(), refusal);
        assert!(refusal_is_some(&disk));
    }
}

fn refusal_is_some(disk: &MemDisk) -> bool {
    scan(&mut disk.clone(), Purpose::Open).0.refusal().is_some()
}

#[test]
fn a_torn_tail_is_zeroed_durably_before_the_log_is_handed_out_at_every_byte() {
    let (disk, last) = log();
    for at in last.clone() {
        let mut disk = disk.clone();
        disk.edit(&name(2), |bytes| bytes[at] ^= 0x40);
        let (wal, report, seen) = mount(&mut disk);
        assert_eq!((report.torn.unwrap().offset, seen.lsns().len()), (last.start as u64, 3), "byte {at}");
        assert_eq!(wal.progress().durable, Lsn(3));
        disk.crash();
        assert!(disk.bytes(&name(2))[last.start..].iter().all(|&byte| byte == 0), "byte {at}");
        let (again, seen_again) = scan(&mut disk, Purpose::Open);
        assert_eq!((again.refusal(), again.torn, seen_again), (None, None, seen), "a second recovery finds nothing");
    }
}

#[test]
fn a_tail_cut_off_with_the_file_is_written_over() {
    let (disk, last) = log();
    for at in last.clone() {
        let mut disk = disk.clone();
        disk.cut(&name(2), at);
        let (mut wal, _, _) = mount(&mut disk);
        assert!(matches!(write(&mut wal, &mut disk, 3, b"new")[..], [Effect::Durable(Lsn(4))]));
        disk.crash();
        let (report, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), report.torn, seen.lsns()), (None, None, vec![1, 2, 3, 4]), "cut at {at}");
    }
}

#[test]
fn a_segment_that_was_cut_gets_its_length_back_if_there_is_room() {
    let (disk, last) = log();
    let whole = disk.bytes(&name(2)).len();
    for (at, room) in [(last.start, true), (last.start + 100, true), (last.end, true), (last.start + 100, false)] {
        let mut disk = disk.clone();
        disk.cut(&name(2), at);
        if !room {
            let mut probe = disk.clone();
            mount(&mut probe);
            let refill = |op: &DiskOp| matches!(op, DiskOp::Zero { offset, .. } if *offset == at as u64);
            disk.fail(probe.journal().iter().position(refill).unwrap(), Failure::Half(DiskErrorKind::NoSpace));
        }
        let (mut wal, report, _) = mount(&mut disk);
        assert_eq!(report.doubts().len(), 1, "cut at {at}");
        assert_eq!(disk.bytes(&name(2)).len() == whole, room, "cut at {at}");
        assert!(write(&mut wal, &mut disk, 9, b"new").contains(&Effect::Durable(wal.progress().accepted)));
        let (report, _) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), report.doubts().is_empty()), (None, room), "cut at {at}");
    }
}

#[test]
fn a_torn_tail_never_comes_back_behind_new_records() {
    // Two frames were on their way when power failed; the first is torn, the second whole.
    let mut log = Log::new();
    let torn = log.frame_unsynced(&[b"torn"]);
    log.frame_unsynced(&[b"whole but never promised"]);
    let mut disk = log.finish();
    disk.flip(&name(1), torn.start + 44, 0);
    let (mut wal, _, _) = mount(&mut disk);
    // The new frame has the length of the torn one, so that the old second frame would fit exactly behind it.
    write(&mut wal, &mut disk, 1, b"TORN");
    disk.crash();
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), report.torn), (None, None));
    assert_eq!(seen.records.last(), Some(&(Lsn(2), own(1, b"TORN"))));
}

#[test]
fn a_torn_tail_never_comes_back_even_if_cutting_it_failed_before() {
    // The second frame has its sectors for itself, so that what is written over the first leaves it alone.
    let (mut log, torn, len) = (0..1024)
        .find_map(|len| {
            let mut log = Log::new();
            let torn = log.frame_unsynced(&[&vec![b't'; len]]);
            (torn.end.is_multiple_of(512)).then_some((log, torn, len))
        })
        .unwrap();
    log.frame_unsynced(&[&[b'w'; 700]]);
    let mut start = log.finish();
    start.flip(&name(1), torn.start + 44, 0);
    let mut probe = start.clone();
    mount(&mut probe);
    for index in 0..probe.journal().len() {
        let mut disk = start.clone();
        disk.fail(index, Failure::Sync(DiskErrorKind::Io));
        let (outcome, _) = crate::wal::scan::tests::try_scan(&mut disk, Purpose::Open);
        let Ok(report) = outcome else { continue };
        run(planned(report), &mut disk).unwrap_err();
        // Reopened without a restart of the machine, and power fails later.
        disk.stop();
        let (mut wal, _, _) = mount(&mut disk);
        write(&mut wal, &mut disk, 1, &vec![b'T'; len]);
        disk.crash();
        let (report, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), seen.lsns()), (None, vec![1, 2]), "{:?} failed", probe.journal()[index]);
        assert_eq!(seen.records[1].1, own(1, &vec![b'T'; len]));
    }
}

#[test]
fn what_is_shown_after_a_killed_process_survives_a_power_failure_afterwards() {
    let (mut disk, _) = log();
    let (mut wal, _, _) = mount(&mut disk);
    // Written, but the process dies before the sync has completed.
    wal.append(&[own(4, b"readable")]).unwrap();
    let mut out = Vec::new();
    wal.submit(Instant(0), &mut out);
    let Effect::Disk(DiskRequest { op: DiskOp::Write { file, offset, data, .. }, .. }) = out.remove(0) else {
        panic!("a frame")
    };
    disk.run(&DiskOp::Write { file, offset, data, sync: false }).unwrap();
    let (_, _, seen) = mount(&mut disk);
    assert_eq!(seen.lsns(), [1, 2, 3, 4, 5]);
    disk.crash();
    assert_eq!(scan(&mut disk, Purpose::Open).1, seen);
}

#[test]
fn what_is_shown_after_a_failed_sync_survives_a_power_failure_afterwards() {
    for sync in [SyncMode::Always, SyncMode::Every(Duration::ZERO)] {
        let (mut disk, _) = log();
        let (report, _) = scan(&mut disk, Purpose::Open);
        let settings = Settings { sync, ..settings() };
        let mounting = Mount::new(report, settings, FOUNDING, Seed::from_number(2).stream("log")).unwrap();
        let mut wal = run(mounting, &mut disk).unwrap();
        if sync == SyncMode::Always {
            disk.fail(disk.journal().len(), Failure::Sync(DiskErrorKind::Io));
            assert!(matches!(write(&mut wal, &mut disk, 4, b"readable")[..], [Effect::Poisoned(_)]));
        } else {
            write(&mut wal, &mut disk, 4, b"readable");
            write(&mut wal, &mut disk, 5, b"readable, too");
            disk.fail(disk.journal().len(), Failure::Sync(DiskErrorKind::Io));
            let mut out = Vec::new();
            wal.flush(Instant(1), &mut out);
            let Effect::Disk(request) = out.remove(0) else { panic!("a sync") };
            assert!(disk.run(&request.op).is_err());
        }
        disk.stop();
        let (_, _, seen) = mount(&mut disk);
        assert!(seen.records.len() > 4, "the page cache still shows it");
        disk.crash();
        assert_eq!(scan(&mut disk, Purpose::Open).1, seen, "{sync:?}");
    }
}

#[test]
fn leftovers_are_removed_and_the_log_goes_on() {
    let mut log = Log::new();
    log.roll();
    log.frame(&[b"b"]);
    log.snapshot(Lsn(0), Lsn(0));
    log.snapshot(Lsn(1), Lsn(2));
    let mut disk = log.finish();
    for leftover in [FileName::Spare(2), FileName::Spare(3), FileName::SnapshotDraft(Lsn(2))] {
        disk.place(&leftover.to_name(), vec![1; 10]);
    }
    disk.place("notes.txt", vec![]);
    let (mut wal, _, seen) = mount(&mut disk);
    assert_eq!(seen.lsns(), [2]);
    assert_eq!(disk.names(), [FileName::Snapshot(Lsn(1)).to_name(), name(2), "notes.txt".into()]);
    write(&mut wal, &mut disk, 2, b"c");
    disk.crash();
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), report.leftovers, seen.lsns()), (None, vec![], vec![2, 3]));
}

#[test]
fn nothing_is_removed_before_the_names_that_replace_it_are_durable() {
    let mut log = Log::new();
    log.roll();
    log.frame(&[b"b"]);
    let mut disk = log.finish();
    // Renamed by a process that was killed before it could sync the directory.
    let draft = FileName::SnapshotDraft(Lsn(1)).to_name();
    disk.place(&draft, crate::wal::scan::tests::snapshot(Lsn(1), Lsn(2)));
    disk.run(&DiskOp::Rename { from: draft, to: FileName::Snapshot(Lsn(1)).to_name() }).unwrap();
    for steps in 0.. {
        let mut disk = disk.clone();
        let (report, _) = scan(&mut disk, Purpose::Open);
        assert_eq!(report.leftovers.len(), 1, "segment 1");
        let mut mount = planned(report);
        let mut requests = Vec::new();
        mount.start(&mut requests);
        for _ in 0..steps {
            let Some(request) = requests.pop() else { break };
            let result = disk.run(&request.op);
            mount.handle_completion(request.token, result, &mut requests);
        }
        let over = mount.take_outcome().is_some();
        for seed in 0..20 {
            let mut disk = disk.clone();
            disk.crash_by(&mut Seed::from_number(seed).stream("crash"));
            let (report, _) = scan(&mut disk, Purpose::Open);
            assert_eq!(report.refusal(), None, "power fails after {steps} steps");
        }
        if over {
            break;
        }
    }
}

#[test]
fn behind_a_sealed_segment_a_new_one_begins() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.empty(FrameKind::Seal);
    let mut disk = log.finish();
    disk.place(&FileName::Spare(2).to_name(), vec![1; 10]);
    let (mut wal, _, _) = mount(&mut disk);
    write(&mut wal, &mut disk, 2, b"b");
    disk.crash();
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![1, 2, 3]));
    assert_eq!(report.segments.len(), 2);
    assert_eq!(report.segments[1].header.unwrap().capacity, 8192, "twice the one before");
}

#[test]
fn a_full_disk_does_not_keep_a_log_from_being_opened() {
    let mut log = Log::new();
    log.empty(FrameKind::Seal);
    let mut disk = log.finish();
    let mut probe = disk.clone();
    mount(&mut probe);
    let fill = probe.journal().iter().position(|op| matches!(op, DiskOp::Zero { .. })).unwrap();
    disk.fail(fill, Failure::Half(DiskErrorKind::NoSpace));
    let (wal, _, _) = mount(&mut disk);
    assert_eq!(wal.progress().durable, Lsn(1));
    disk.crash();
    let (report, _) = scan(&mut disk, Purpose::Open);
    assert_eq!(report.refusal(), None);
    assert_eq!(report.segments[1].header.unwrap().capacity, SEGMENT_HEADER_LEN as u64);
}

#[test]
fn a_mount_that_is_interrupted_anywhere_loses_nothing() {
    let mut torn = Log::new();
    torn.frame(&[b"a"]);
    torn.snapshot(Lsn(0), Lsn(0));
    torn.snapshot(Lsn(1), Lsn(1));
    let tail = torn.frame(&[&[b't'; 1500]]);
    let mut torn = torn.finish();
    torn.flip(&name(1), tail.start + 700, 0);
    torn.place(&FileName::Spare(2).to_name(), vec![1; 10]);
    let mut sealed = Log::new();
    sealed.frame(&[b"a"]);
    sealed.empty(FrameKind::Seal);
    for (start, what) in [(MemDisk::new(), "empty"), (torn, "torn"), (sealed.finish(), "sealed")] {
        let before = scan(&mut start.clone(), Purpose::Open).1;
        let mut probe = start.clone();
        mount(&mut probe);
        for index in 0..probe.journal().len() {
            for failure in
                [Failure::Clean(DiskErrorKind::Io), Failure::Half(DiskErrorKind::Io), Failure::Sync(DiskErrorKind::Io)]
            {
                let mut disk = start.clone();
                disk.fail(index, failure);
                let during = format!("{what}: {:?} with {failure:?}", probe.journal()[index]);
                let (outcome, seen) = crate::wal::scan::tests::try_scan(&mut disk, Purpose::Open);
                if let Ok(report) = outcome {
                    assert_eq!(seen, before);
                    assert!(run(planned(report), &mut disk).is_err(), "{during}");
                }
                for seed in 0..6 {
                    let mut disk = disk.clone();
                    match seed {
                        0 => disk.stop(),
                        1 => disk.crash(),
                        _ => disk.crash_by(&mut Seed::from_number(seed).stream("crash")),
                    }
                    let (_, _, seen) = mount(&mut disk);
                    assert_eq!(seen, before, "{during}");
                    disk.crash();
                    let (report, seen) = scan(&mut disk, Purpose::Open);
                    assert_eq!((report.refusal(), report.leftovers, seen), (None, vec![], before.clone()), "{during}");
                    // A lying sync may bring back single bytes of the tail.
                    assert!(report.torn.is_none() || failure == Failure::Sync(DiskErrorKind::Io), "{during}");
                }
            }
        }
    }
}

#[test]
fn the_running_log_gets_the_facts() {
    let (mut disk, last) = log();
    let (wal, report, _) = mount(&mut disk);
    let status = wal.status();
    assert_eq!((status.segments, status.bytes, status.snapshot), (2, 2 * 4096, None));
    assert_eq!(status.tail_bytes, report.segments.iter().map(|segment| segment.tail_bytes).sum::<u64>());
    assert_eq!((report.segments[1].end, report.durable_seen), (last.end as u64, Lsn(3)));
    // The last frame is stated durable by nothing yet: a mark is due at once.
    assert_eq!(wal.poll_timeout(), Some(Instant(0)));
    assert_eq!(disk.durable_bytes(&name(2)).unwrap().len(), 4096);
}

#[test]
fn whatever_else_the_disk_says_while_a_cut_segment_is_filled_up_ends_the_mount() {
    let (mut disk, last) = log();
    disk.cut(&name(2), last.start);
    let mut probe = disk.clone();
    mount(&mut probe);
    let refill = probe.journal().iter().position(|op| matches!(op, DiskOp::Zero { .. })).unwrap();
    disk.fail(refill, Failure::Half(DiskErrorKind::Io));
    assert_eq!(try_mount(&mut disk).0.unwrap_err().kind, DiskErrorKind::Io);
}

#[test]
fn no_token_names_two_operations_of_one_disk() {
    let (mut disk, _) = log();
    let (report, _) = scan(&mut disk, Purpose::Open);
    let mut mount = planned(report);
    let (mut requests, mut used) = (Vec::new(), Vec::new());
    mount.start(&mut requests);
    let mut wal = loop {
        if let Some(outcome) = mount.take_outcome() {
            break outcome.unwrap();
        }
        let request = requests.remove(0);
        used.push(request.token);
        let result = disk.run(&request.op);
        mount.handle_completion(request.token, result, &mut requests);
    };
    let mut out = Vec::new();
    wal.append(&[own(4, b"new")]).unwrap();
    wal.submit(Instant(0), &mut out);
    let Effect::Disk(request) = out.remove(0) else { panic!("a frame") };
    assert!(used.iter().all(|used| *used < request.token), "{used:?}, then {:?}", request.token);
}
