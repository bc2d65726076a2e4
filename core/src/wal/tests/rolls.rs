//! Tests of the roll from one segment to the next, and of the spare.

use super::*;

#[test]
fn the_spare_is_prepared_ahead_of_need_and_a_roll_waits_for_each_step() {
    let mut bench = Bench::new(settings());
    bench.write(1800);
    bench.done("write");
    bench.says(
        "write 1.seg @64 +1864: frame 1..2 + sync
         durable 1",
    );
    bench.submit();
    bench.write(200);
    bench.done("write");
    bench.says(
        "write 1.seg @1928 +264: frame 2..3 + sync
         durable 2
         create 2.seg.new  (background)",
    );
    bench.done("create");
    bench.says("zero 2.seg.new @0 +8192 + sync  (background)");
    bench.done("zero");
    bench.says("");
    bench.write(2000);
    bench.says("write 1.seg @2192 +40: Seal + sync");
    assert_eq!(bench.frame(&bench.asked[0]).unwrap().durable, Lsn(2));
    bench.put(10).unwrap();
    bench.submit();
    bench.done("write");
    bench.says("write 2.seg.new @0 +64: bytes + sync");
    bench.submit();
    bench.done("write");
    bench.says("rename 2.seg.new to 2.seg");
    bench.submit();
    bench.done("rename");
    bench.says("sync dir");
    bench.submit();
    bench.says("");
    bench.done("syncdir");
    bench.says("close 1.seg  (background)");
    bench.submit();
    bench.says("write 2.seg @64 +2064: frame 3..4 + sync");
    bench.done("write");
    bench.done("close");
    bench.submit();
    bench.says(
        "durable 3
         write 2.seg @2128 +72: frame 4..5 + sync",
    );
    let status = bench.wal.status();
    assert_eq!((status.segments, status.bytes), (2, 4096 + 8192));
}

#[test]
fn the_spare_keeps_twice_as_far_ahead_in_small_steps() {
    let big = Settings { first_segment: 2 << 20, max_segment: 2 << 20, ..settings() };
    let mut bench = Bench::new(big);
    let mut zeroed = 0;
    for _ in 0..64 {
        bench.write(20_000);
        bench.settle();
        let used = bench.wal.files.active.end;
        let spare = bench.wal.spare.zeroed();
        assert!(spare - zeroed <= 512 << 10, "in small steps");
        assert!(spare + (512 << 10) > (2 * used).min(2 << 20), "{spare} zeroed, {used} used");
        zeroed = spare;
    }
    assert_eq!(zeroed, 2 << 20);
    let lines = bench.heard();
    let zeros: Vec<&String> = lines.iter().filter(|line| line.starts_with("zero")).collect();
    assert_eq!(zeros.len(), 8, "{zeros:#?}");
    assert!(zeros.iter().take(7).all(|line| line.ends_with("+262144  (background)")), "{zeros:#?}");
    assert!(zeros[7].ends_with("+262144 + sync  (background)"), "synced when whole");
}

#[test]
fn a_roll_that_finds_no_spare_makes_one_large_enough() {
    let mut bench = Bench::new(settings());
    bench.write(30_000);
    bench.says("create 2.seg.new");
    bench.submit();
    bench.done("create");
    bench.says("zero 2.seg.new @0 +32768");
    bench.done("zero");
    bench.says("write 1.seg @64 +40: Seal + sync");
    bench.settle();
    bench.says(
        "write 2.seg.new @0 +64: bytes + sync
         rename 2.seg.new to 2.seg
         sync dir
         close 1.seg  (background)
         write 2.seg @64 +30064: frame 1..2 + sync
         durable 1
         create 3.seg.new  (background)
         zero 3.seg.new @0 +16384 + sync  (background)",
    );
    let header = Bytes::copy_from_slice(&bench.disk.bytes("0000000000000002.seg")[..SEGMENT_HEADER_LEN]);
    let header = SegmentHeader::decode(&header).unwrap();
    assert_eq!((header.number, header.first_lsn, header.capacity), (2, Lsn(1), 32768));
}

#[test]
fn segments_double_up_to_the_greatest() {
    let mut bench = Bench::new(settings());
    for _ in 0..40 {
        bench.write(1000);
        bench.settle();
    }
    let mut sizes: Vec<u64> = bench.wal.files.older.iter().map(|older| older.len).collect();
    sizes.push(bench.wal.files.active.header.capacity);
    assert_eq!(sizes, [4096, 8192, 12288, 16384, 16384]);
    assert_eq!(bench.wal.progress().durable, Lsn(40));
}

#[test]
fn beyond_half_of_the_least_tail_segments_grow_by_a_sixteenth() {
    const BLOCKS: [u64; 7] = [2, 4, 8, 9, 10, 11, 12];
    let mut bench =
        Bench::new(Settings { first_segment: 8192, snapshot_min: 65_536, max_segment: 1 << 20, ..settings() });
    bench.write_up_to_segment(BLOCKS.len() as u64);
    let mut sizes: Vec<u64> = bench.wal.files.older.iter().map(|older| older.len / 4096).collect();
    sizes.push(bench.wal.files.active.header.capacity / 4096);
    assert_eq!(sizes, BLOCKS);
}

#[test]
fn a_spare_half_ready_is_taken_as_it_is_if_it_is_enough() {
    let large = Settings { first_segment: 2 << 20, max_segment: 4 << 20, ..settings() };
    let mut bench = Bench::new(large);
    while bench.wal.spare.zeroed() < 1 << 20 {
        bench.write(20_000);
        bench.settle();
    }
    bench.heard();
    let zeroed = bench.wal.spare.zeroed();
    bench.write((2 << 20) - 1000);
    let lines = bench.heard();
    assert!(lines[0].ends_with("Seal + sync") || lines[0].starts_with("zero"), "{lines:?}");
    bench.settle();
    assert!(bench.wal.files.active.header.capacity >= zeroed);
    bench.write(10);
    bench.settle();
    assert_eq!(bench.wal.progress().durable, bench.wal.progress().accepted);
}

#[test]
fn each_life_of_a_segment_has_its_own_salt() {
    let mut bench = Bench::new(settings());
    let mut salts = vec![bench.wal.files.active.header.salt];
    for _ in 0..3 {
        bench.write(16_000);
        bench.settle();
        salts.push(bench.wal.files.active.header.salt);
    }
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 4);
}

#[test]
fn with_a_timer_a_seal_makes_all_before_it_durable() {
    let mut bench = Bench::new(every(1000));
    bench.write(2000);
    bench.settle();
    bench.heard();
    bench.write(3000);
    bench.done("write");
    bench.says(
        "write 1.seg @2128 +40: Seal + sync
         durable 1
         write 2.seg.new @0 +64: bytes + sync",
    );
    bench.settle();
    assert_eq!(bench.wal.progress().written, Lsn(2));
    assert_eq!(bench.wal.progress().durable, Lsn(1));
}

#[test]
fn a_large_spare_is_synced_in_portions() {
    let size = 10 << 20;
    let mut bench = Bench::new(Settings { first_segment: size, max_segment: size, ..settings() });
    for _ in 0..6 {
        bench.write(1 << 20);
        bench.settle();
    }
    let lines = bench.heard();
    let zeros: Vec<_> = lines.iter().filter(|line| line.starts_with("zero")).collect();
    assert_eq!(zeros.len(), 40);
    let synced: Vec<_> = (1..).zip(&zeros).filter(|(_, line)| line.contains("sync")).map(|(at, _)| at).collect();
    assert_eq!(synced, [16, 32, 40], "every 4 MiB, and at the end");
}

#[test]
fn a_spare_gets_the_length_of_its_segment_and_not_a_step_more() {
    let size = 300 << 10;
    let mut bench = Bench::new(Settings { first_segment: size, max_segment: size, ..settings() });
    for _ in 0..4 {
        bench.write(60_000);
        bench.settle();
    }
    assert_eq!(bench.disk.bytes("0000000000000002.seg.new").len() as u64, size);
}

#[test]
fn the_frame_that_a_roll_was_made_for_fits_into_the_new_segment() {
    for len in (7800..8300).step_by(20) {
        let mut bench = Bench::new(Settings { first_segment: 4096, max_segment: 4096, ..settings() });
        bench.write(len);
        bench.settle();
        assert_eq!((bench.wal.files.active.header.number, bench.wal.progress().durable), (2, Lsn(1)), "{len} bytes");
    }
}
