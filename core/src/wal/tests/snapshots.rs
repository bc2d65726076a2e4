//! Tests of snapshots and of the removal of what they make superfluous.

use super::*;
use crate::wal::snapshot::{Decoder, MAX_PART_BODY, Part};
use DiskErrorKind::{Io, NoSpace, NotFound};

impl Bench {
    pub(super) fn begin(&mut self, at: u64) -> Result<Lsn, SnapshotRefused> {
        self.call(|wal, now, out| wal.begin_snapshot(now, Lsn(at), b"head", out))
    }

    pub(super) fn block(&mut self, bytes: &[u8], last: bool, reaches: u64) {
        let block = SnapshotBlock { bytes: bytes.to_vec(), items: 1, last, reaches: Lsn(reaches) };
        self.call(|wal, now, out| wal.push_snapshot_block(now, block, out));
    }

    /// A snapshot of one block, from beginning to end, removals included.
    pub(super) fn snapshot(&mut self, at: u64) {
        self.begin(at).unwrap();
        self.done("create");
        self.done("write");
        self.block(b"all", true, at);
        self.settle();
    }

    /// A snapshot of all that is durable, which is durable itself now; what it makes superfluous is still there. Gives where.
    pub(super) fn snapshot_just_durable(&mut self) -> u64 {
        let at = self.wal.progress().durable.0;
        self.begin(at).unwrap();
        self.done("create");
        self.done("write");
        self.block(b"all", true, at);
        for op in ["write", "sync", "read", "close", "rename", "syncdir"] {
            self.done(op);
        }
        at
    }

    /// Writes until segment `number` is the active one.
    pub(super) fn write_up_to_segment(&mut self, number: u64) {
        while self.wal.files.active.header.number < number {
            self.write(1000);
            self.settle();
        }
    }
}

#[test]
fn a_snapshot_becomes_valid_step_by_step() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.heard();
    assert_eq!(bench.begin(1), Ok(Lsn(1)));
    assert_eq!(bench.begin(1), Err(SnapshotRefused::Busy));
    bench.done("create");
    bench.done("write");
    bench.says(
        "create 1.snap.new  (background)
         write 1.snap.new @0 +88: bytes  (background)
         snapshot room",
    );
    bench.block(b"block 1", false, 1);
    bench.done("write");
    bench.block(b"block 2", true, 1);
    bench.says(
        "write 1.snap.new @88 +40: bytes  (background)
         snapshot room
         write 1.snap.new @128 +96: bytes  (background)",
    );
    for op in ["write", "sync", "read", "close", "rename", "syncdir"] {
        bench.done(op);
    }
    bench.says(
        "sync 1.snap.new  (background)
         read 1.snap.new @0 +224  (background)
         close 1.snap.new  (background)
         rename 1.snap.new to 1.snap  (background)
         sync dir  (background)
         snapshot at 1 of 224 bytes",
    );
    let present = SnapshotFile { at: Lsn(1), bytes: 224 };
    assert_eq!(bench.begin(1), Err(SnapshotRefused::Current(present)));
    assert_eq!(bench.wal.status().snapshot, Some(present));

    let mut decoder = Decoder::new();
    decoder.push(Bytes::copy_from_slice(bench.disk.durable_bytes("0000000000000001.snap").unwrap()));
    let mut parts = Vec::new();
    while let Some(part) = decoder.next_part().unwrap() {
        parts.push(part);
    }
    decoder.finish().unwrap();
    let (log, at) = (LogId([7; 16]), Lsn(1));
    let block = |body: &'static [u8]| Part::Block { items: 1, body: Bytes::from_static(body) };
    let head = Part::Head { log, at, head: Bytes::from_static(b"head") };
    assert_eq!(parts, [head, block(b"block 1"), block(b"block 2"), Part::Footer { blocks: 2, items: 2, reaches: at }]);
}

#[test]
fn a_long_snapshot_is_synced_in_portions_and_read_back_whole() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.heard();
    bench.begin(1).unwrap();
    bench.done("create");
    bench.done("write");
    for index in 0..10 {
        bench.block(&vec![index; 1 << 20], index == 9, 1);
        bench.done("write");
    }
    bench.settle();
    let lines = bench.heard();
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("bytes + sync"), 2, "every 4 MiB: {lines:#?}");
    assert_eq!(count("read"), 41, "the last few bytes too");
    assert_eq!(bench.wal.status().snapshot.unwrap().bytes, bench.disk.bytes("0000000000000001.snap").len() as u64);
}

#[test]
fn a_snapshot_waits_until_the_log_is_durable_as_far_as_it_reaches() {
    let mut bench = Bench::new(every(60_000));
    bench.write(10);
    bench.settle();
    bench.begin(1).unwrap();
    bench.done("create");
    bench.done("write");
    bench.write(10);
    bench.done("write");
    bench.block(b"sees 2", true, 2);
    bench.done("write");
    bench.heard();
    bench.done("sync");
    bench.says("");
    bench.submit();
    bench.says("sync 1.seg");
    bench.done("sync");
    bench.says(
        "durable 2
         read 1.snap.new @0 +184  (background)",
    );
}

#[test]
fn a_snapshot_that_reads_back_otherwise_is_given_up() {
    for damage in 0..3 {
        let mut bench = Bench::new(settings());
        bench.write(10);
        bench.settle();
        bench.begin(1).unwrap();
        bench.done("create");
        bench.done("write");
        bench.block(b"block", true, 1);
        bench.done("write");
        bench.done("sync");
        bench.heard();
        match damage {
            0 => bench.disk.flip("0000000000000001.snap.new", 100, 3),
            1 => bench.disk.cut("0000000000000001.snap.new", 150),
            _ => bench.disk.cut("0000000000000001.snap.new", 0),
        }
        bench.done("read");
        bench.done("close");
        bench.done("remove");
        bench.says(
            "close 1.snap.new  (background)
             remove 1.snap.new  (background)
             snapshot failed: 0000000000000001.snap.new reads back other bytes than were written",
        );
        assert_eq!(bench.wal.status().snapshot, None);
        bench.write(10);
        bench.done("write");
        assert_eq!(bench.wal.progress().durable, Lsn(2), "the log goes on");
    }
}

#[test]
fn a_failure_in_any_step_gives_the_snapshot_up_and_leaves_the_log_alone() {
    let steps = ["create", "write", "write", "sync", "read", "close", "rename"];
    for (index, step) in steps.iter().enumerate() {
        let mut bench = Bench::new(settings());
        bench.write(10);
        bench.settle();
        bench.begin(1).unwrap();
        for (earlier, op) in steps[..index].iter().enumerate() {
            bench.done(op);
            if earlier == 1 {
                bench.block(b"block", true, 1);
            }
        }
        bench.heard();
        bench.fail(step, NoSpace);
        while !bench.asked.is_empty() {
            let op = if bench.asked.iter().any(|request| matches!(request.op, DiskOp::Close { .. })) {
                "close"
            } else {
                "remove"
            };
            bench.done(op);
        }
        assert_eq!(bench.heard().last().unwrap(), "snapshot failed: NoSpace", "{step}");
        assert_eq!(bench.disk.names(), ["0000000000000001.seg"], "{step}");
        assert_eq!(bench.wal.status().removal_failed, None);
        bench.write(10);
        bench.settle();
        assert_eq!(bench.wal.progress().durable, Lsn(2), "{step}");
        bench.snapshot(2);
        assert_eq!(bench.wal.status().snapshot.unwrap().at, Lsn(2), "the next one succeeds");
    }
}

#[test]
fn a_failed_directory_sync_stops_the_log() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.begin(1).unwrap();
    for op in ["create", "write"] {
        bench.done(op);
    }
    bench.block(b"block", true, 1);
    for op in ["write", "sync", "read", "close", "rename"] {
        bench.done(op);
    }
    bench.heard();
    bench.fail("syncdir", Io);
    bench.says(
        "poisoned: syncing the directory after renaming 0000000000000001.snap: Io; doubtful none; unwritten none
         snapshot failed: Io",
    );
}

#[test]
fn a_draft_that_cannot_be_removed_is_reported() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.begin(1).unwrap();
    bench.done("create");
    bench.fail("write", NoSpace);
    bench.fail("close", Io);
    bench.fail("remove", Io);
    assert_eq!(bench.heard().last().unwrap(), "snapshot failed: NoSpace");
    assert_eq!(bench.wal.status().removal_failed.unwrap().kind, Io);
    assert_eq!(bench.wal.status().state, State::Open);
}

#[test]
fn poison_ends_a_running_snapshot() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.begin(1).unwrap();
    bench.done("create");
    bench.done("write");
    bench.write(10);
    bench.heard();
    bench.fail("write", Io);
    bench.block(b"late", true, 1);
    bench.says(
        "poisoned: writing 72 bytes at 136 of 0000000000000001.seg: Io; doubtful 2..=2; unwritten none
         snapshot failed: Io",
    );
}

#[test]
fn superfluous_files_go_one_by_one_after_the_snapshot_is_durable() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.snapshot(1);
    bench.heard();
    bench.write_up_to_segment(4);
    let last = bench.wal.progress().durable.0;
    bench.begin(last).unwrap();
    bench.done("create");
    bench.done("write");
    bench.block(b"all", true, last);
    for op in ["write", "sync", "read", "close", "rename"] {
        bench.done(op);
        assert!(
            bench.heard().iter().all(|line| !line.contains("remove") && !line.contains(".old")),
            "not before all is durable"
        );
    }
    bench.settle();
    let lines = bench.heard();
    assert!(lines[0].starts_with(&format!("snapshot at {last}")), "{lines:?}");
    assert_eq!(
        lines[1..],
        [
            "rename 1.seg to 1.seg.old  (background)",
            "sync dir  (background)",
            "remove 2.seg  (background)",
            "rename 1.seg.old to 5.seg.new  (background)",
            "sync dir  (background)",
            "open 5.seg.new  (background)",
            "rename 3.seg to 3.seg.old  (background)",
            "sync dir  (background)",
            "remove 1.snap  (background)",
            "sync dir  (background)",
        ]
    );
    assert_eq!(bench.wal.status().segments, 1);
    let names = bench.disk.names();
    assert!(names.contains(&"0000000000000004.seg".to_string()), "never the active one: {names:?}");
}

#[test]
fn a_segment_with_one_record_beyond_the_snapshot_stays() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(3);
    let third = bench.wal.files.active.header.first_lsn;
    bench.snapshot(third.0 - 2);
    let numbers: Vec<u64> = bench.wal.files.older.iter().map(|older| older.number).collect();
    assert_eq!(numbers, [2], "its last record is beyond");
    bench.snapshot(third.0 - 1);
    assert_eq!(bench.wal.files.older.len(), 0);
    assert_eq!(bench.wal.status().segments, 1);
}

#[test]
fn pinned_files_stay_and_make_up_a_consistent_copy() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(3);
    let durable = bench.wal.progress().durable;
    bench.put(10).unwrap();
    bench.submit();
    let manifest = bench.wal.pin();
    assert_eq!(manifest.durable, durable);
    let names: Vec<String> = manifest.files.iter().map(|file| short(&file.name)).collect();
    assert_eq!(names, ["1.seg", "2.seg", "3.seg"]);
    let mut reached = Lsn::ZERO;
    for file in &manifest.files {
        let bytes = Bytes::copy_from_slice(bench.disk.bytes(&file.name));
        let header = SegmentHeader::decode(&bytes).unwrap();
        let copy = bytes.slice(..file.len as usize);
        let mut offset = SEGMENT_HEADER_LEN;
        while offset < copy.len() {
            let frame = decode_frame(&copy, offset, header.frame_salt()).unwrap();
            offset += frame.encoded_len;
            reached = frame.next_lsn();
        }
        assert_eq!(offset as u64, file.len, "whole frames and nothing else");
    }
    assert_eq!(reached, durable.next(), "all that is durable, and nothing that is not");
    bench.settle();
    bench.wal.pin();
    bench.snapshot(durable.0);
    assert!(bench.heard().iter().all(|line| !line.starts_with("remove") && !line.contains(".old")));
    let names: Vec<String> = bench.wal.pin().files.iter().map(|file| short(&file.name)).collect();
    assert_eq!(names, [format!("{:x}.snap", durable.0), "3.seg".to_string()], "what the snapshot covers is left out");
    bench.call(|wal, _, out| wal.unpin(out));
    bench.call(|wal, _, out| wal.unpin(out));
    bench.says("");
    bench.call(|wal, _, out| wal.unpin(out));
    bench.says("rename 1.seg to 1.seg.old  (background)");
    bench.settle();
    assert_eq!(bench.wal.status().segments, 1);
}

#[test]
fn a_removal_that_fails_stops_the_removals_until_the_next_snapshot() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(3);
    let last = bench.snapshot_just_durable();
    bench.heard();
    bench.fail("rename", Io);
    bench.says("");
    assert_eq!(bench.wal.status().removal_failed.unwrap().kind, Io);
    assert_eq!(bench.wal.status().segments, 3, "no gap in the numbers");
    bench.write(10);
    bench.settle();
    bench.snapshot(last + 1);
    assert_eq!(bench.wal.status().removal_failed, None);
    assert_eq!(bench.wal.status().segments, 1);
}

#[test]
fn a_directory_that_cannot_be_synced_after_a_removal_stops_the_log() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(2);
    bench.snapshot_just_durable();
    bench.done("rename");
    bench.heard();
    bench.fail("syncdir", Io);
    bench.says("poisoned: syncing the directory after a removal: Io; doubtful none; unwritten none");
}

#[test]
fn after_a_failure_nothing_is_removed_any_more() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(2);
    bench.wal.pin();
    let last = bench.wal.progress().durable.0;
    bench.snapshot(last);
    bench.write(10);
    bench.heard();
    bench.fail("write", Io);
    assert!(bench.wal.poison().is_some());
    bench.heard();
    bench.call(|wal, _, out| wal.unpin(out));
    bench.says("");
}

#[test]
fn a_file_that_is_gone_already_needs_no_removal() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(2);
    bench.snapshot_just_durable();
    bench.fail("rename", NotFound);
    bench.settle();
    assert_eq!(bench.wal.status().removal_failed, None);
    assert_eq!(bench.wal.status().segments, 1);
}

#[test]
fn a_snapshot_is_wanted_when_the_tail_outgrows_the_data() {
    let mut bench = Bench::new(settings());
    bench.write(1900);
    bench.settle();
    assert!(!bench.wal.wants_snapshot(0), "below the least tail");
    bench.write(10);
    bench.settle();
    assert!(bench.wal.status().tail_bytes > 2000);
    assert!(bench.wal.wants_snapshot(0));
    assert!(!bench.wal.wants_snapshot(1 << 20), "the data is larger still");
    bench.begin(2).unwrap();
    assert!(!bench.wal.wants_snapshot(0), "one is running");
    bench.write(100);
    bench.done("create");
    bench.done("write");
    bench.done("write");
    bench.block(b"all", true, 2);
    bench.settle();
    assert_eq!(bench.wal.status().tail_bytes, 160, "what was written since it began");

    bench.write(3000);
    bench.settle();
    assert!(bench.wal.wants_snapshot(0));
    bench.begin(4).unwrap();
    bench.fail("create", NoSpace);
    assert!(!bench.wal.wants_snapshot(0), "not at once after a failure");
    bench.write(2000);
    bench.settle();
    assert!(bench.wal.wants_snapshot(0));
}

#[test]
fn a_copy_leaves_out_just_the_segments_that_the_snapshot_holds_whole() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(3);
    let third = bench.wal.files.active.header.first_lsn.0;
    bench.wal.pin();
    for (at, segments) in [(third - 2, &["2.seg", "3.seg"][..]), (third - 1, &["3.seg"])] {
        bench.snapshot(at);
        let names: Vec<String> = bench.wal.pin().files.iter().map(|file| short(&file.name)).collect();
        assert_eq!(names[1..], *segments, "snapshot at {at}");
    }
}

#[test]
fn a_copy_begins_with_the_first_segment_even_if_that_is_empty() {
    let mut bench = Bench::new(settings());
    bench.write(6000);
    bench.settle();
    let (first, second) = (bench.wal.files.older[0].first_lsn, bench.wal.files.active.header.first_lsn);
    assert_eq!((first, second), (Lsn(1), Lsn(1)), "the record did not fit");
    let names: Vec<String> = bench.wal.pin().files.iter().map(|file| short(&file.name)).collect();
    assert_eq!(names, ["1.seg", "2.seg"]);
}

#[test]
fn beside_a_small_snapshot_the_next_segment_is_no_larger_than_half_of_the_least_tail() {
    let settings = Settings { snapshot_min: 16_384, ..settings() };
    let mut bench = Bench::new(settings);
    bench.write_up_to_segment(3);
    assert_eq!(bench.wal.files.active.header.capacity, 12_288, "without a snapshot they grow");
    bench.snapshot(bench.wal.progress().written.0);
    bench.write_up_to_segment(5);
    assert_eq!(bench.wal.files.active.header.capacity, 8192);
    assert_eq!(bench.wal.files.older.len(), 2, "what was before the snapshot is gone");

    let mut large =
        Bench::new(Settings { first_segment: 4096, max_segment: 32_768, snapshot_min: 2000, ..Settings::default() });
    large.write(10);
    large.settle();
    large.begin(1).unwrap();
    large.done("create");
    large.done("write");
    large.block(&[7; 60_000], true, 1);
    large.settle();
    large.write_up_to_segment(4);
    assert_eq!(large.wal.files.active.header.capacity, 16_384, "a quarter of a large one");
}

#[test]
fn a_head_that_no_reader_would_take_is_not_written() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    let head = vec![0; MAX_PART_BODY + 1];
    let mut begin = |head: &[u8]| bench.call(|wal, now, out| wal.begin_snapshot(now, Lsn(1), head, out));
    assert_eq!(begin(&head), Err(SnapshotRefused::TooLong));
    assert_eq!(begin(&head[1..]), Ok(Lsn(1)));
}
