//! Tests of gathering, group commit and the cursors.

use super::*;
use crate::limits::MAX_FRAME_BODY;
use format::Records;

#[test]
fn what_gathers_during_a_sync_shares_the_next_one() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.says("write 1.seg @64 +72: frame 1..2 + sync");
    for _ in 0..3 {
        bench.put(10).unwrap();
        bench.submit();
    }
    bench.says("");
    bench.done("write");
    bench.says("durable 1");
    bench.submit();
    bench.says("write 1.seg @136 +136: frame 2..5 + sync");
    bench.done("write");
    bench.says("durable 4");
    bench.submit();
    bench.says("");
}

#[test]
fn what_is_durable_on_disk_is_what_was_appended() {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.put(20).unwrap();
    bench.put(30).unwrap();
    bench.done("write");
    bench.submit();
    bench.done("write");
    let frames = bench.durable_frames("0000000000000001.seg", header(4096).frame_salt());
    let mut read = Vec::new();
    for frame in &frames {
        let mut records = Records::of(frame);
        while let Some(next) = records.next(Some(ReplicaId([1; 16]))).unwrap() {
            read.push(next);
        }
    }
    assert_eq!(read, [(Lsn(1), record(1, 10)), (Lsn(2), record(2, 20)), (Lsn(3), record(3, 30))]);
    let stated: Vec<Lsn> = frames.iter().map(|frame| frame.durable).collect();
    assert_eq!(stated, [Lsn(0), Lsn(1)], "each frame states what was durable before it");
}

#[test]
fn a_group_gets_consecutive_lsns_in_one_frame() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.wal.append(&[record(1, 1), record(2, 1), record(3, 1)]), Ok(Lsn(3)));
    assert_eq!(bench.wal.append(&[record(4, 1)]), Ok(Lsn(4)));
    assert_eq!(bench.wal.append::<Record>(&[]), Ok(Lsn(4)), "nothing is nothing");
    bench.submit();
    assert_eq!(bench.frame(&bench.asked[0]).unwrap().count, 4);
}

#[test]
fn too_much_is_refused_whole_and_leaves_no_trace() {
    let mut bench = Bench::new(Settings { gather_limit: 100, ..settings() });
    assert_eq!(bench.wal.append(&[record(1, 500)]), Ok(Lsn(1)), "alone, a large group is accepted");
    assert_eq!(bench.wal.append(&[record(2, 1)]), Err(AppendError::Full));
    bench.submit();
    assert_eq!(bench.wal.append(&[record(2, 10)]), Ok(Lsn(2)), "the next frame gathers anew");
    assert_eq!(bench.wal.append(&[record(3, 10), record(4, 50)]), Err(AppendError::Full));
    assert_eq!(bench.wal.append(&[record(3, 10)]), Ok(Lsn(3)));
    bench.done("write");
    bench.submit();
    let frame = bench.frame(&bench.asked[0]).unwrap();
    let mut records = Records::of(&frame);
    let own = Some(ReplicaId([1; 16]));
    assert_eq!(records.next(own).unwrap(), Some((Lsn(2), record(2, 10))));
    assert_eq!(records.next(own).unwrap(), Some((Lsn(3), record(3, 10))));
    assert_eq!(records.next(own).unwrap(), None, "nothing of the refused group");
}

#[test]
fn as_much_as_may_gather_is_taken_to_the_byte() {
    let sizes = |lens: &[usize]| -> usize {
        let mut bytes = Vec::new();
        lens.iter().zip(1..).for_each(|(len, seq)| record(seq, *len).encode(&mut bytes));
        bytes.len()
    };
    let gather_limit = sizes(&[10, 20]);
    for (second, expected) in [(20, Ok(Lsn(2))), (21, Err(AppendError::Full))] {
        let mut bench = Bench::new(Settings { gather_limit, ..settings() });
        bench.put(10).unwrap();
        assert_eq!(bench.put(second), expected);
    }
    let gather_limit = 1024 * sizes(&[10]);
    for (first, expected) in [(10, Ok(Lsn(2))), (11, Err(AppendError::Full))] {
        let mut bench = Bench::new(Settings { gather_limit, ..settings() });
        bench.put(first).unwrap();
        assert_eq!(bench.put(2 * gather_limit), expected, "what is held is next to nothing, or it is not");
    }
    let around = sizes(&[1 << 24]) - (1 << 24);
    let mut bench = Bench::new(settings());
    bench.put(1).unwrap();
    assert_eq!(bench.put(MAX_FRAME_BODY - around), Err(AppendError::Full), "it would fit in a frame of its own");
    bench.submit();
    bench.done("write");
    bench.put(MAX_FRAME_BODY - around).unwrap();
}

#[test]
fn a_group_larger_than_any_frame_is_refused() {
    let mut bench = Bench::new(settings());
    let group: Vec<Record> = (1..=3).map(|seq| record(seq, MAX_FRAME_BODY / 3)).collect();
    assert!(matches!(bench.wal.append(&group), Err(AppendError::TooLarge { bytes }) if bytes > MAX_FRAME_BODY));
    bench.put(1).unwrap();
    assert!(matches!(bench.wal.append(&group), Err(AppendError::TooLarge { .. })), "also when others wait");
    assert_eq!(bench.wal.progress().accepted, Lsn(1));
}

#[test]
fn an_idle_log_marks_its_last_frame_durable_once() {
    let mut bench = Bench::new(settings());
    assert_eq!(bench.wal.poll_timeout(), None, "an empty log has nothing to prove");
    bench.write(10);
    bench.done("write");
    bench.says(
        "write 1.seg @64 +72: frame 1..2 + sync
         durable 1",
    );
    bench.wait(999);
    bench.says("");
    bench.wait(1);
    bench.says("write 1.seg @136 +40: Mark + sync");
    assert_eq!(bench.frame(&bench.asked[0]).unwrap().durable, Lsn(1));
    bench.done("write");
    bench.wait(10_000);
    bench.says("");
    assert_eq!(bench.wal.poll_timeout(), None);
}

#[test]
fn a_busy_log_needs_no_marks() {
    let mut bench = Bench::new(settings());
    for _ in 0..5 {
        bench.write(10);
        bench.done("write");
        bench.wait(900);
    }
    assert!(bench.heard().iter().all(|line| !line.contains("Mark")));
    bench.write(10);
    bench.wait(5000);
    assert!(bench.heard().iter().all(|line| !line.contains("Mark")), "not while a frame is on its way");
}

#[test]
fn what_was_recovered_without_proof_is_marked_at_once() {
    let mut bench = Bench::new(settings());
    bench.wal = Wal::resume(Resume { end: 136, next_lsn: Lsn(2), ..fresh(settings()) });
    assert_eq!(bench.wal.poll_timeout(), Some(Instant(0)));
    bench.wait(0);
    bench.says("write 1.seg @136 +40: Mark + sync");
    assert_eq!(bench.frame(&bench.asked[0]).unwrap().durable, Lsn(1));
}

#[test]
fn with_a_timer_writes_are_told_at_once_and_synced_together() {
    let mut bench = Bench::new(every(50));
    bench.write(10);
    bench.done("write");
    bench.wait(20);
    bench.write(10);
    bench.done("write");
    bench.wait(29);
    bench.says(
        "write 1.seg @64 +72: frame 1..2
         written 1
         write 1.seg @136 +72: frame 2..3
         written 2",
    );
    bench.wait(1);
    bench.says("sync 1.seg");
    bench.put(10).unwrap();
    bench.submit();
    bench.says("");
    bench.done("sync");
    bench.says("durable 2");
    bench.submit();
    bench.says("write 1.seg @208 +72: frame 3..4");
}

#[test]
fn a_due_sync_rides_on_the_frame_that_is_ready() {
    let mut bench = Bench::new(every(50));
    bench.write(10);
    bench.done("write");
    bench.heard();
    bench.put(10).unwrap();
    bench.wait(50);
    bench.says("write 1.seg @136 +72: frame 2..3 + sync");
    bench.done("write");
    bench.says(
        "written 2
         durable 2",
    );
    assert_eq!(bench.wal.progress().durable, Lsn(2));
}

#[test]
fn a_flush_makes_everything_accepted_durable() {
    let mut bench = Bench::new(every(1000));
    bench.write(10);
    bench.put(10).unwrap();
    bench.call(|wal, now, out| wal.flush(now, out));
    bench.says("write 1.seg @64 +72: frame 1..2");
    bench.done("write");
    bench.submit();
    bench.done("write");
    bench.says(
        "written 1
         write 1.seg @136 +72: frame 2..3 + sync
         written 2
         durable 2",
    );
    bench.submit();
    bench.says("");
    bench.write(10);
    bench.says("write 1.seg @208 +72: frame 3..4");
}

#[test]
fn buffers_of_written_frames_are_used_again() {
    let mut bench = Bench::new(Settings { first_segment: 1 << 20, ..settings() });
    let mut seen = Vec::new();
    for _ in 0..8 {
        bench.write(100);
        let DiskOp::Write { data, .. } = &bench.asked[0].op else { panic!("a frame is written") };
        seen.push(data.as_ptr());
        bench.put(100).unwrap();
        bench.pretend("write");
        bench.submit();
        let DiskOp::Write { data, .. } = &bench.asked[0].op else { panic!("a frame is written") };
        seen.push(data.as_ptr());
        bench.pretend("write");
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() <= 3, "{} buffers for 16 frames", seen.len());
}

#[test]
fn why_a_group_was_not_accepted_is_said() {
    let refused = [AppendError::Poisoned, AppendError::Full, AppendError::TooLarge { bytes: 7 }, AppendError::Closing];
    let says = ["disk failure has stopped", "waiting for the disk", "7 bytes in one group exceed", "is closing"];
    for (error, part) in refused.iter().zip(says) {
        assert!(error.to_string().contains(part), "{error}");
    }
}
