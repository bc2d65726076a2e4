//! Tests of poison: each operation fails once, and what is then true.

use super::*;
use DiskErrorKind::{Io, NoSpace, TooManyFiles};

#[test]
fn a_failed_sync_dooms_its_frame_and_whatever_came_after() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.done("write");
    bench.put(10).unwrap();
    bench.put(10).unwrap();
    bench.submit();
    bench.put(10).unwrap();
    bench.heard();
    bench.fail("write", Io);
    bench.says("poisoned: writing 104 bytes at 136 of 0000000000000001.seg: Io; doubtful 2..=3; unwritten 4..");
    assert_eq!(bench.put(10), Err(AppendError::Poisoned));
    bench.submit();
    bench.wait(100_000);
    bench.call(|wal, now, out| wal.flush(now, out));
    assert_eq!(bench.call(|wal, now, out| wal.begin_snapshot(now, Lsn(1), b"", out)), Err(SnapshotRefused::Poisoned));
    bench.says("");
    assert_eq!(bench.wal.status().state, State::Poisoned);
    assert_eq!(bench.wal.poison().unwrap().doubtful, Some((Lsn(2), Lsn(3))));
    assert_eq!(bench.wal.poll_timeout(), None);
    bench.call(|wal, now, out| wal.close(now, out));
    bench.says("closed");
    assert_eq!(bench.wal.status().state, State::Closed);
}

#[test]
fn with_a_timer_everything_since_the_last_sync_is_doubtful() {
    let mut bench = Bench::new(every(50));
    bench.write(10);
    bench.done("write");
    bench.write(10);
    bench.done("write");
    bench.wait(50);
    bench.put(10).unwrap();
    bench.heard();
    bench.fail("sync", Io);
    bench.says("poisoned: syncing 0000000000000001.seg: Io; doubtful 1..=2; unwritten 3..");
}

#[test]
fn a_full_disk_under_a_frame_is_as_bad_as_any_failure() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.heard();
    bench.fail("write", NoSpace);
    bench.says("poisoned: writing 72 bytes at 64 of 0000000000000001.seg: NoSpace; doubtful 1..=1; unwritten none");
}

#[test]
fn a_failure_in_any_step_of_a_roll_stops_the_log_with_nothing_in_doubt() {
    for (index, (op, during)) in [
        ("create", "creating 0000000000000002.seg.new"),
        ("zero", "zero-filling 0000000000000002.seg.new"),
        ("write", "writing 40 bytes at 136 of 0000000000000001.seg"),
        ("write", "writing the header of 0000000000000002.seg.new"),
        ("rename", "renaming 0000000000000002.seg.new to 0000000000000002.seg"),
        ("syncdir", "syncing the directory after renaming 0000000000000002.seg.new to 0000000000000002.seg"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bench = Bench::new(settings());
        bench.write(10);
        bench.done("write");
        bench.write(5000);
        for earlier in ["create", "zero", "write", "write", "rename"].into_iter().take(index) {
            bench.done(earlier);
        }
        bench.heard();
        bench.fail(op, Io);
        bench.says(&format!("poisoned: {during}: Io; doubtful none; unwritten 2.."));
        bench.submit();
        bench.says("");
    }
}

#[test]
fn without_room_for_the_next_segment_writes_are_refused_until_there_is_some() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.done("write");
    bench.write(5000);
    bench.put(10).unwrap();
    bench.heard();
    bench.fail("create", NoSpace);
    bench.says("refused 2..: NoSpace");
    assert_eq!(bench.wal.status().state, State::NoRoom);
    assert_eq!(bench.wal.progress().accepted, Lsn(1));
    bench.submit();
    bench.says("");

    assert_eq!(bench.put(5000), Ok(Lsn(2)), "the LSNs of refused records name others");
    bench.submit();
    bench.done("create");
    bench.says(
        "create 2.seg.new
         zero 2.seg.new @0 +8192",
    );
    bench.fail("zero", NoSpace);
    bench.says(
        "close 2.seg.new  (background)
         refused 2..: NoSpace",
    );
    assert_eq!(bench.put(5000), Ok(Lsn(2)));
    bench.submit();
    bench.says("");
    bench.done("close");
    bench.done("remove");
    bench.says(
        "remove 2.seg.new
         create 2.seg.new",
    );
    bench.settle();
    assert_eq!(bench.wal.progress().durable, Lsn(2));
    assert_eq!(bench.wal.status().state, State::Open);
}

#[test]
fn without_a_file_descriptor_for_the_next_segment_writes_are_refused_until_there_is_one() {
    let mut bench = Bench::new(settings());
    bench.write(2500);
    bench.done("write");
    bench.heard();
    bench.fail("create", TooManyFiles);
    bench.says("");
    bench.write(10);
    bench.done("write");
    assert_eq!(bench.wal.progress().durable, Lsn(2), "what fits goes on");
    bench.write(5000);
    bench.heard();
    bench.fail("create", TooManyFiles);
    bench.says("refused 3..: TooManyFiles");
    assert_eq!((bench.wal.status().state, bench.wal.poison()), (State::NoRoom, None));
    bench.write(5000);
    bench.settle();
    assert_eq!((bench.wal.status().state, bench.wal.progress().durable), (State::Open, Lsn(3)));
}

#[test]
fn a_write_that_still_fits_is_taken_although_a_larger_one_was_refused() {
    let mut bench = Bench::new(settings());
    bench.write(5000);
    bench.fail("create", NoSpace);
    bench.heard();
    bench.write(10);
    bench.done("write");
    bench.says(
        "write 1.seg @64 +72: frame 1..2 + sync
         durable 1",
    );
    assert_eq!(bench.wal.status().state, State::Open);
}

#[test]
fn a_spare_without_room_bothers_nobody_until_it_is_needed() {
    let mut bench = Bench::new(settings());
    bench.write(2500);
    bench.done("write");
    bench.done("create");
    bench.heard();
    bench.fail("zero", NoSpace);
    bench.says("close 2.seg.new  (background)");
    bench.settle();
    bench.says("remove 2.seg.new  (background)");
    for _ in 0..3 {
        bench.write(10);
        bench.settle();
    }
    assert!(bench.heard().iter().all(|line| !line.contains("2.seg.new")), "it does not try again and again");
    assert_eq!(bench.wal.status().state, State::Open);
    bench.write(3000);
    assert_eq!(bench.heard()[0], "create 2.seg.new");
    bench.settle();
    assert_eq!(bench.wal.progress().durable, Lsn(5));
}

#[test]
fn a_refusal_takes_back_nothing_that_was_written() {
    let mut bench = Bench::new(every(1000));
    bench.write(10);
    bench.done("write");
    bench.write(5000);
    bench.heard();
    bench.call(|wal, now, out| wal.flush(now, out));
    bench.says("sync 1.seg");
    bench.fail("create", NoSpace);
    bench.done("sync");
    bench.says(
        "refused 2..: NoSpace
         durable 1",
    );
}

#[test]
fn after_the_first_failure_completions_change_nothing() {
    let mut bench = Bench::new(settings());
    bench.write(2500);
    bench.done("write");
    bench.write(10);
    bench.heard();
    bench.fail("create", Io);
    bench.says("poisoned: creating 0000000000000002.seg.new: Io; doubtful 2..=2; unwritten none");
    bench.done("write");
    bench.says("");
    assert_eq!(bench.wal.progress().durable, Lsn(1), "what is in doubt stays in doubt");
}

#[test]
fn a_refused_flush_leaves_no_sync_due() {
    let mut bench = Bench::new(every(1000));
    bench.put(5000).unwrap();
    bench.call(|wal, now, out| wal.flush(now, out));
    bench.fail("create", NoSpace);
    bench.heard();
    bench.write(10);
    bench.says("write 1.seg @64 +72: frame 1..2");
}

#[test]
fn a_sealed_segment_that_cannot_be_closed_stops_the_log() {
    let mut bench = Bench::new(settings());
    bench.write(5000);
    for op in ["create", "zero", "write", "write", "rename", "syncdir"] {
        bench.done(op);
    }
    bench.submit();
    bench.heard();
    bench.fail("close", Io);
    bench.says("poisoned: closing 0000000000000001.seg: Io; doubtful 1..=1; unwritten none");
}

#[test]
fn a_spare_that_cannot_be_removed_stops_the_log() {
    for failing in ["close", "remove"] {
        let mut bench = Bench::new(settings());
        bench.write(2500);
        bench.done("write");
        bench.done("create");
        bench.fail("zero", NoSpace);
        if failing == "remove" {
            bench.done("close");
        }
        bench.heard();
        bench.fail(failing, Io);
        let doing = if failing == "close" { "closing" } else { "removing" };
        bench.says(&format!("poisoned: {doing} 0000000000000002.seg.new: Io; doubtful none; unwritten none"));
    }
}

#[test]
fn a_directory_that_was_taken_away_stops_the_log_once() {
    let lose = |bench: &mut Bench| {
        let error = DiskError { kind: DiskErrorKind::Io, message: "gone".to_string() };
        bench.call(|wal, _, out| wal.lose(error, out));
    };
    let mut bench = Bench::new(settings());
    bench.put(10).unwrap();
    lose(&mut bench);
    bench.says("poisoned: keeping the log in its place: gone; doubtful none; unwritten 1..");
    assert_eq!((bench.put(10), bench.wal.status().state), (Err(AppendError::Poisoned), State::Poisoned));
    lose(&mut bench);
    bench.says("");

    let mut closing = Bench::new(settings());
    closing.call(|wal, now, out| wal.close(now, out));
    closing.heard();
    lose(&mut closing);
    closing.says("");
    assert!(closing.wal.poison().is_none(), "it leaves its place anyway");
}

#[test]
fn a_log_that_failed_is_closed_when_nothing_is_on_its_way_any_more() {
    let mut bench = Bench::new(settings());
    bench.write(2000);
    bench.done("write");
    bench.write(10);
    assert!(bench.asked.len() > 1, "a frame, and the spare");
    bench.fail("write", DiskErrorKind::Io);
    bench.heard();
    bench.call(|wal, now, out| wal.close(now, out));
    bench.says("");
    bench.done("create");
    bench.says("closed");
}
