//! Tests of when a mark may be written.

use super::*;

#[test]
fn a_mark_leaves_room_for_a_closing_frame_and_a_seal() {
    const EMPTY: u64 = 40;
    for (room, marks) in [(3 * EMPTY, 1), (3 * EMPTY - 1, 0), (EMPTY, 0), (0, 0)] {
        let mut bench = Bench::new(settings());
        bench.write(10);
        bench.done("write");
        bench.wal.files.active.header.capacity = bench.wal.files.active.end + room;
        bench.heard();
        bench.wait(1000);
        let lines = bench.heard();
        assert_eq!(lines.iter().filter(|line| line.contains("Mark")).count(), marks, "{room} bytes left: {lines:?}");
    }
}

#[test]
fn behind_a_closing_frame_nothing_is_written() {
    let mut bench = Bench::new(every(60_000));
    bench.write(10);
    bench.done("write");
    bench.call(|wal, now, out| wal.close(now, out));
    bench.done("write");
    assert_eq!(bench.heard().last().unwrap(), "close 1.seg");
    bench.wait(100_000);
    bench.says("");
    bench.done("close");
    bench.says("closed");
    bench.wait(100_000);
    bench.says("");
}

#[test]
fn no_mark_is_written_while_a_sync_is_on_its_way() {
    let mut bench = Bench::new(every(1500));
    bench.write(10);
    bench.done("write");
    bench.wait(1500);
    bench.done("sync");
    bench.write(10);
    bench.done("write");
    bench.call(|wal, now, out| wal.flush(now, out));
    assert_eq!(bench.heard().last().unwrap(), "sync 1.seg");
    bench.wait(1000);
    bench.says("");
    bench.done("sync");
    bench.says("durable 2");
    bench.wait(1000);
    assert!(matches!(&bench.heard()[..], [mark] if mark.ends_with("Mark + sync")));
}
