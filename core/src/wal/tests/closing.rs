//! Tests of the clean close.

use super::*;

fn close(bench: &mut Bench) {
    bench.call(|wal, now, out| wal.close(now, out));
}

#[test]
fn an_idle_log_closes_with_a_closing_frame() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.heard();
    close(&mut bench);
    bench.says("write 1.seg @136 +40: Close + sync");
    assert_eq!(bench.frame(&bench.asked[0]).unwrap().durable, Lsn(1));
    assert_eq!(bench.wal.status().state, State::Closing);
    assert_eq!(bench.put(10), Err(AppendError::Closing));
    bench.done("write");
    bench.says("close 1.seg");
    bench.done("close");
    bench.says("closed");
    assert_eq!(bench.wal.status().state, State::Closed);
    close(&mut bench);
    bench.says("");
    assert_eq!(bench.put(10), Err(AppendError::Closing));
}

#[test]
fn what_was_accepted_is_written_before_the_end() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.put(10).unwrap();
    bench.heard();
    close(&mut bench);
    bench.says("");
    bench.done("write");
    bench.done("write");
    bench.done("write");
    bench.done("close");
    bench.says(
        "durable 1
         write 1.seg @136 +72: frame 2..3 + sync
         durable 2
         write 1.seg @208 +40: Close + sync
         close 1.seg
         closed",
    );
}

#[test]
fn a_roll_is_finished_and_the_spare_removed() {
    let mut bench = Bench::new(settings());
    bench.write(2500);
    bench.done("write");
    bench.write(3000);
    bench.heard();
    close(&mut bench);
    bench.says("");
    bench.settle();
    bench.says(
        "zero 2.seg.new @0 +8192
         write 1.seg @2632 +40: Seal + sync
         write 2.seg.new @0 +64: bytes + sync
         rename 2.seg.new to 2.seg
         sync dir
         close 1.seg  (background)
         write 2.seg @64 +3064: frame 2..3 + sync
         durable 2
         write 2.seg @3128 +40: Close + sync
         close 2.seg
         closed",
    );

    let mut bench = Bench::new(settings());
    bench.write(2500);
    bench.settle();
    bench.heard();
    assert_eq!(bench.disk.names().len(), 2);
    close(&mut bench);
    bench.settle();
    bench.says(
        "write 1.seg @2632 +40: Close + sync
         close 2.seg.new  (background)
         remove 2.seg.new  (background)
         close 1.seg
         closed",
    );
    assert_eq!(bench.disk.names(), ["0000000000000001.seg"]);
}

#[test]
fn a_spare_on_its_way_is_waited_for() {
    let mut bench = Bench::new(settings());
    bench.write(2500);
    bench.done("write");
    bench.heard();
    close(&mut bench);
    bench.done("write");
    bench.says("write 1.seg @2632 +40: Close + sync");
    bench.done("create");
    bench.says("close 2.seg.new  (background)");
    bench.settle();
    bench.says(
        "remove 2.seg.new  (background)
         close 1.seg
         closed",
    );
}

#[test]
fn with_a_timer_closing_makes_everything_durable() {
    let mut bench = Bench::new(every(1000));
    bench.write(10);
    bench.done("write");
    bench.heard();
    close(&mut bench);
    bench.done("write");
    bench.says(
        "write 1.seg @136 +40: Close + sync
         durable 1
         close 1.seg",
    );
}

#[test]
fn without_room_what_waits_is_refused_and_the_log_still_closes() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.done("write");
    bench.write(5000);
    bench.heard();
    close(&mut bench);
    bench.fail("create", DiskErrorKind::NoSpace);
    bench.settle();
    bench.says(
        "refused 2..: NoSpace
         write 1.seg @136 +40: Close + sync
         close 1.seg
         closed",
    );
}

#[test]
fn a_failure_while_closing_is_told_before_the_end() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.put(10).unwrap();
    bench.heard();
    close(&mut bench);
    bench.fail("write", DiskErrorKind::Io);
    bench.says(
        "poisoned: writing 72 bytes at 64 of 0000000000000001.seg: Io; doubtful 1..=1; unwritten 2..
         closed",
    );
}

#[test]
fn a_snapshot_on_its_way_is_given_up_and_its_draft_removed() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.call(|wal, now, out| wal.begin_snapshot(now, Lsn(1), b"head", out)).unwrap();
    bench.done("create");
    bench.heard();
    close(&mut bench);
    bench.settle();
    bench.says(
        "write 1.seg @136 +40: Close + sync
         close 1.snap.new  (background)
         remove 1.snap.new  (background)
         snapshot failed: the log was closed
         close 1.seg
         closed",
    );
    assert_eq!(bench.disk.names(), ["0000000000000001.seg"]);
}

/// A log whose active segment has no room for a single frame more, as after a founding on a full disk.
fn full(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings.clone());
    let active = SegmentHeader { capacity: SEGMENT_HEADER_LEN as u64, ..header(settings.first_segment) };
    bench.wal = Wal::resume(Resume { active, ..fresh(settings) });
    bench
}

#[test]
fn a_log_without_room_for_a_closing_frame_closes_without() {
    let mut bench = full(settings());
    close(&mut bench);
    bench.says("write 1.seg @64 +40: Close + sync");
    bench.fail("write", DiskErrorKind::NoSpace);
    bench.says("close 1.seg");
    bench.done("close");
    bench.says("closed");

    let mut bench = full(settings());
    close(&mut bench);
    bench.fail("write", DiskErrorKind::Io);
    assert!(bench.wal.poison().is_some(), "any other failure is told");

    let mut bench = Bench::new(settings());
    close(&mut bench);
    bench.fail("write", DiskErrorKind::NoSpace);
    assert!(bench.wal.poison().is_some(), "where there was room, there is something wrong");
}

#[test]
fn what_was_written_is_synced_before_a_closing_frame_that_may_find_no_room() {
    let mut bench = Bench::new(every(1000));
    bench.write(10);
    bench.done("write");
    bench.wal.files.active.header.capacity = bench.wal.files.active.end;
    bench.heard();
    close(&mut bench);
    bench.says("sync 1.seg");
    bench.done("sync");
    bench.says(
        "durable 1
         write 1.seg @136 +40: Close + sync",
    );
    bench.fail("write", DiskErrorKind::NoSpace);
    bench.done("close");
    bench.says(
        "close 1.seg
         closed",
    );
}
