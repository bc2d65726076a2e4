//! Tests of segments that are written over.

use super::*;
use crate::disk::DiskErrorKind::{Io, NoSpace, NotFound, TooManyFiles};
use crate::wal::format::FRAMES_END;

impl Bench {
    /// A log in which segment 3 is active, segment 1 was set aside and is on its way to become segment 4.
    fn with_one_kept(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        bench.write_up_to_segment(3);
        bench.snapshot_just_durable();
        bench.done("rename");
        bench.heard();
        bench
    }
}

#[test]
fn a_segment_is_written_over_once_its_new_name_is_durable() {
    let mut bench = Bench::with_one_kept(settings());
    assert!(bench.disk.names().contains(&"0000000000000001.seg.old".to_string()));
    bench.says("");
    bench.done("syncdir");
    bench.says(
        "remove 2.seg  (background)
         rename 1.seg.old to 4.seg.new  (background)",
    );
    bench.settle();
    bench.heard();
    let before = bench.disk.bytes("0000000000000004.seg.new").to_vec();
    assert!(before.iter().any(|byte| *byte != 0), "it holds what segment 1 held");
    while bench.wal.files.active.header.number == 3 {
        bench.write(700);
        bench.settle();
    }
    let lines = bench.heard();
    assert!(lines.iter().all(|line| !line.starts_with("zero 4")), "{lines:#?}");
    assert!(lines.contains(&"write 4.seg.new @0 +72: bytes + sync".to_string()), "{lines:#?}");
    let header = bench.wal.files.active.header;
    assert_eq!((header.number, header.capacity, header.recycled), (4, 4096, true));
}

#[test]
fn each_frame_of_a_recycled_segment_has_zeros_behind_it() {
    let mut bench = Bench::with_one_kept(settings());
    bench.settle();
    while !bench.wal.files.active.header.recycled {
        bench.write(700);
        bench.settle();
    }
    let name = bench.wal.files.active.name();
    for len in [1, 2, 3, 200, 600] {
        bench.write(len);
        bench.settle();
        let end = bench.wal.files.active.end as usize;
        assert_eq!(bench.disk.bytes(&name)[end..end + FRAMES_END], [0; FRAMES_END]);
        assert_eq!(bench.disk.durable_bytes(&name).unwrap()[end..end + FRAMES_END], [0; FRAMES_END]);
    }
}

#[test]
fn frames_of_a_recycled_segment_leave_its_length_alone() {
    for len in 1..80 {
        let mut bench = Bench::with_one_kept(settings());
        bench.settle();
        while bench.wal.files.active.header.number < 5 {
            bench.write(if bench.wal.files.active.header.recycled { len } else { 700 });
            bench.settle();
        }
        let lens: Vec<u64> = bench.wal.files.older.iter().map(|older| older.len).collect();
        assert_eq!(lens.last(), Some(&4096));
        assert_eq!(bench.disk.bytes("0000000000000004.seg").len(), 4096, "{len}");
    }
}

#[test]
fn behind_a_seal_that_a_recycled_segment_ends_with_nothing_is_written() {
    let mut bench = Bench::new(settings());
    let active = SegmentHeader { recycled: true, ..header(4096) };
    bench.wal = Wal::resume(Resume { active, end: 4096 - 40, ..fresh(settings()) });
    bench.write(10);
    bench.settle();
    assert!(bench.heard().contains(&"write 1.seg @4056 +40: Seal + sync".to_string()));
    assert_eq!(bench.disk.bytes("0000000000000001.seg").len(), 4096);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut bench = Bench::new(settings());
    let (mut over, mut filled) = (0, 0);
    for round in 0..30 {
        for _ in 0..10 {
            bench.write(1000);
            bench.settle();
        }
        bench.snapshot(bench.wal.progress().durable.0);
        bench.settle();
        for line in bench.heard() {
            over += u32::from(line.starts_with("open"));
            filled += u32::from(line.starts_with("create") && line.contains(".seg"));
        }
        let kept = bench.disk.names().iter().filter(|name| name.ends_with(".old")).count();
        assert!(kept <= 2, "{round}: {kept}");
        let on_disk: usize = bench.disk.names().iter().map(|name| bench.disk.bytes(name).len()).sum();
        assert_eq!(bench.wal.status().bytes, on_disk as u64, "every byte is counted");
    }
    assert!(over > 20 && over > filled, "{over} segments written over, {filled} filled with zeros");
}

#[test]
fn closing_removes_what_was_kept() {
    let mut bench = Bench::new(settings());
    while bench.disk.names().iter().filter(|name| name.ends_with(".old")).count() < 2 {
        for _ in 0..12 {
            bench.write(1000);
            bench.settle();
        }
        bench.snapshot(bench.wal.progress().durable.0);
        bench.settle();
    }
    bench.call(|wal, now, out| wal.close(now, out));
    while bench.wal.status().state != State::Closed {
        let of_kept = |op: &DiskOp| matches!(op, DiskOp::Remove { name } if name.ends_with(".old"));
        let removals = bench.asked.iter().filter(|request| of_kept(&request.op)).count();
        assert!(removals <= 1, "one after the other");
        let request = bench.asked.pop_front().unwrap();
        let result = bench.disk.run(&request.op);
        bench.complete(request.token, result);
    }
    let names = bench.disk.names();
    assert!(names.iter().all(|name| name.ends_with(".seg") || name.ends_with(".snap")), "{names:?}");
}

#[test]
fn a_log_that_closes_sets_up_no_segment_of_what_is_kept() {
    let mut bench = Bench::with_one_kept(settings());
    bench.call(|wal, now, out| wal.close(now, out));
    bench.settle();
    let lines = bench.heard();
    assert!(lines.iter().all(|line| !line.starts_with("rename")), "{lines:#?}");
    assert!(lines.contains(&"remove 1.seg.old  (background)".to_string()), "{lines:#?}");
    assert_eq!(bench.wal.status().state, State::Closed);
}

#[test]
fn a_kept_segment_that_is_gone_is_made_up_for() {
    let mut bench = Bench::with_one_kept(settings());
    bench.done("syncdir");
    bench.fail("rename", NotFound);
    bench.settle();
    for _ in 0..12 {
        bench.write(1000);
        bench.settle();
    }
    assert_eq!(bench.wal.progress().durable, bench.wal.progress().accepted);
}

#[test]
fn a_kept_segment_that_cannot_be_opened_is_removed() {
    let mut bench = Bench::with_one_kept(settings());
    bench.done("syncdir");
    bench.done("rename");
    bench.heard();
    bench.fail("open", TooManyFiles);
    bench.says("remove 4.seg.new  (background)");
    bench.settle();
    for _ in 0..12 {
        bench.write(1000);
        bench.settle();
    }
    assert_eq!(bench.wal.progress().durable, bench.wal.progress().accepted);
}

#[test]
fn a_rename_of_a_kept_segment_that_fails_stops_the_log() {
    for (op, kind, said) in [("rename", Io, "setting up"), ("rename", NoSpace, "setting up"), ("open", Io, "opening")] {
        let mut bench = Bench::with_one_kept(settings());
        bench.done("syncdir");
        if op == "open" {
            bench.done("rename");
        }
        bench.heard();
        bench.fail(op, kind);
        assert!(bench.heard()[0].starts_with(&format!("poisoned: {said} 0000000000000004.seg.new")));
    }
}

#[test]
fn no_segment_is_set_up_while_another_takes_the_name_of_its_spare() {
    let mut bench = Bench::new(settings());
    bench.write_up_to_segment(2);
    bench.snapshot_just_durable();
    bench.done("rename");
    while bench.wal.incoming.is_none() {
        bench.write(3000);
        while bench.wal.incoming.is_none() && bench.asked.len() > 1 {
            let at = bench.asked.iter().position(|request| !matches!(request.op, DiskOp::SyncDir)).unwrap();
            let request = bench.asked.remove(at).unwrap();
            let result = bench.disk.run(&request.op);
            bench.complete(request.token, result);
            bench.submit();
        }
    }
    bench.heard();
    bench.done("syncdir");
    assert!(bench.heard().iter().all(|line| !line.starts_with("rename 1.seg.old")));
    bench.settle();
    assert!(bench.heard().contains(&"rename 1.seg.old to 4.seg.new  (background)".to_string()));
}

fn fills(op: &DiskOp) -> bool {
    matches!(op, DiskOp::Zero { .. })
}

fn creates_segment(op: &DiskOp) -> bool {
    matches!(op, DiskOp::Create { name, .. } if name.ends_with(".seg.new"))
}

impl Bench {
    /// Everything but what is held back.
    fn settle_but(&mut self, held: fn(&DiskOp) -> bool) {
        while let Some(at) = self.asked.iter().position(|request| !held(&request.op)) {
            let request = self.asked.remove(at).unwrap();
            let result = self.disk.run(&request.op);
            self.complete(request.token, result);
            self.submit();
        }
    }

    /// A log of which a segment was set aside when the next one was begun, of which a step is held back.
    fn with_one_kept_too_late(held: fn(&DiskOp) -> bool) -> Self {
        let mut bench = Self::new(settings());
        bench.write_up_to_segment(3);
        while !bench.asked.iter().any(|request| held(&request.op)) {
            bench.write(700);
            bench.settle_but(held);
        }
        let last = bench.wal.progress().durable.0;
        bench.begin(last).unwrap();
        bench.settle_but(held);
        bench.block(b"all", true, last);
        bench.settle_but(held);
        assert!(bench.disk.names().contains(&"0000000000000001.seg.old".to_string()));
        bench.heard();
        bench
    }
}

#[test]
fn where_there_is_no_room_for_zeros_a_segment_is_written_over() {
    let mut bench = Bench::with_one_kept_too_late(fills);
    bench.fail("zero", NoSpace);
    bench.settle();
    assert!(bench.heard().contains(&"rename 1.seg.old to 4.seg.new  (background)".to_string()));
    while bench.wal.files.active.header.number == 3 {
        bench.write(700);
        bench.settle();
    }
    assert!(bench.wal.files.active.header.recycled);
}

#[test]
fn a_write_that_waits_for_a_segment_is_not_refused_while_one_can_be_written_over() {
    for (held, op) in [(fills as fn(&DiskOp) -> bool, "zero"), (creates_segment, "create")] {
        let mut bench = Bench::with_one_kept_too_late(held);
        while bench.wal.waiting.is_none() {
            bench.write(700);
            bench.settle_but(held);
        }
        bench.heard();
        bench.fail(op, NoSpace);
        bench.settle();
        let lines = bench.heard();
        assert!(lines.iter().all(|line| !line.contains("refused")), "{lines:#?}");
        assert_eq!(bench.wal.progress().durable, bench.wal.progress().accepted);
        assert!(bench.wal.files.active.header.recycled, "{lines:#?}");
    }
}

#[test]
fn what_is_no_longer_worth_keeping_is_removed_with_the_next_snapshot() {
    let mut bench = Bench::with_one_kept_too_late(fills);
    bench.wal.files.pool.aim(0, 0);
    assert!(bench.wal.files.pool.bytes() > 0);
    bench.call(|wal, _, out| wal.shed(out));
    bench.settle_but(fills);
    assert!(bench.disk.names().iter().all(|name| !name.ends_with(".old")));
    assert_eq!((bench.wal.files.pool.bytes(), bench.wal.shedding), (0, None));
}
