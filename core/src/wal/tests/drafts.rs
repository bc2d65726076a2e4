//! Tests of snapshots on their way: what is asked for them, what is said of them, and how they are given up.

use super::*;
use DiskErrorKind::{NoSpace, NotFound};

/// A log of one record whose snapshot is begun and waits for its first block.
fn begun() -> Bench {
    let mut bench = Bench::new(settings());
    bench.write(10);
    bench.settle();
    bench.call(|wal, now, out| wal.begin_snapshot(now, Lsn(1), b"head", out)).unwrap();
    bench.done("create");
    bench.done("write");
    bench
}

fn block(bench: &mut Bench, bytes: Vec<u8>, last: bool) {
    let block = SnapshotBlock { bytes, items: 1, last, reaches: Lsn(1) };
    bench.call(|wal, now, out| wal.push_snapshot_block(now, block, out));
}

fn close(bench: &mut Bench) {
    bench.call(|wal, now, out| wal.close(now, out));
}

#[test]
fn the_status_counts_every_byte_on_disk() {
    let mut bench = begun();
    let on_disk = |bench: &Bench| -> usize { bench.disk.names().iter().map(|name| bench.disk.bytes(name).len()).sum() };
    assert!(bench.disk.names().iter().any(|name| name.ends_with(".snap.new")));
    assert_eq!(bench.wal.status().bytes, on_disk(&bench) as u64, "the draft, too");
    block(&mut bench, vec![1; 5000], true);
    bench.settle();
    bench.write(3000);
    bench.settle();
    assert!(bench.disk.names().iter().any(|name| name.ends_with(".seg.new")));
    assert_eq!(bench.wal.status().bytes, on_disk(&bench) as u64, "the spare, too");
}

#[test]
fn a_draft_is_read_back_to_its_last_byte_and_no_further() {
    let mut bench = begun();
    block(&mut bench, vec![1; 600 << 10], true);
    bench.done("write");
    bench.done("sync");
    let len = bench.disk.bytes("0000000000000001.snap.new").len();
    let mut at = 0;
    while let Some(DiskOp::Read { offset, len, .. }) = bench.asked.front().map(|request| &request.op) {
        assert_eq!(*offset, at as u64);
        at += len;
        bench.done("read");
    }
    assert_eq!(at, len);
}

#[test]
fn a_snapshot_that_is_being_renamed_is_carried_through_when_the_log_is_closed() {
    for steps in [&["write", "sync", "read", "close"][..], &["write", "sync", "read", "close", "rename"]] {
        let mut bench = begun();
        block(&mut bench, b"all".to_vec(), true);
        for step in steps {
            bench.done(step);
        }
        bench.heard();
        close(&mut bench);
        bench.settle();
        let lines = bench.heard();
        assert!(lines.iter().any(|line| line.starts_with("snapshot at 1")), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "closed");
        assert_eq!(bench.disk.names(), ["0000000000000001.seg", "0000000000000001.snap"]);
        assert!(bench.disk.durable_bytes("0000000000000001.snap").is_some());
    }
}

#[test]
fn why_a_snapshot_is_given_up_is_what_went_wrong_first() {
    let mut bench = begun();
    block(&mut bench, b"all".to_vec(), true);
    bench.fail("write", NoSpace);
    close(&mut bench);
    bench.settle();
    let told: Vec<_> = bench.heard().into_iter().filter(|line| line.starts_with("snapshot failed")).collect();
    assert_eq!(told, ["snapshot failed: NoSpace"]);
}

#[test]
fn a_draft_that_is_gone_already_needs_no_removal() {
    let mut bench = begun();
    block(&mut bench, b"all".to_vec(), true);
    bench.fail("write", NoSpace);
    bench.done("close");
    bench.fail("remove", NotFound);
    assert_eq!(bench.heard().last().unwrap(), "snapshot failed: NoSpace");
    assert_eq!(bench.wal.status().removal_failed, None);
}
