//! Tails that nobody was promised.

use super::*;
use crate::dice::Seed;
use alloc::vec;

/// A log, and where its last frame stands.
fn log() -> (MemDisk, Range<usize>) {
    let mut log = Log::new();
    log.frame(&[b"first", b"second"]);
    log.roll();
    log.frame(&[b"third"]);
    let last = log.frame(&[b"a value with\0zeros\0inside", b"and another"]);
    (log.finish(), last)
}

fn check(disk: &mut MemDisk, last: &Range<usize>, what: &str) {
    let written = verdict::written_len(&disk.bytes(&name(2))[last.start..]);
    for purpose in [Purpose::Open, Purpose::Salvage] {
        let (report, seen) = scan(disk, purpose);
        assert_eq!(report.refusal(), None, "{what}");
        assert_eq!(seen.lsns(), [1, 2, 3, 4], "{what}");
        assert_eq!(report.next_lsn, Lsn(5), "{what}");
        assert_eq!(report.segments[1].end, last.start as u64, "{what}");
        let torn = Torn { file: name(2), offset: last.start as u64, bytes: written as u64, first_lsn: Lsn(5) };
        assert_eq!(report.torn, Some(torn).filter(|_| written > 0), "{what}");
        assert!(!report.closed_cleanly);
    }
}

#[test]
fn a_tail_cut_at_any_byte_is_torn() {
    let (disk, last) = log();
    for at in last.clone() {
        let mut disk = disk.clone();
        disk.cut(&name(2), at);
        check(&mut disk, &last, &format!("cut at {at}"));
    }
}

#[test]
fn a_tail_zeroed_from_any_byte_is_torn() {
    let (disk, last) = log();
    let mut torn = 0;
    for at in last.clone() {
        let mut disk = disk.clone();
        let whole = disk.bytes(&name(2)).to_vec();
        disk.edit(&name(2), |bytes| bytes[at..].fill(0));
        // Padding is zero anyway.
        if disk.bytes(&name(2)) != whole {
            check(&mut disk, &last, &format!("zeroed from {at}"));
            torn += 1;
        }
    }
    assert!(torn > last.len() - 8);
}

#[test]
fn a_tail_of_garbage_from_any_byte_is_torn() {
    let (disk, last) = log();
    let mut dice = Seed::from_number(3).stream("garbage");
    for at in last.clone() {
        let mut disk = disk.clone();
        disk.edit(&name(2), |bytes| {
            // Different from what stood there, in the first byte at least.
            bytes[at] ^= 1 + dice.below(255) as u8;
            bytes[at + 1..].fill_with(|| dice.next_u64() as u8);
        });
        check(&mut disk, &last, &format!("garbage from {at}"));
    }
}

#[test]
fn any_sectors_of_unsynced_frames_may_be_missing() {
    // With a timer that syncs, many frames are on their way at once, and a later one may be whole while an earlier
    // one is not.
    let mut log = Log::new();
    let value = [b'v'; 700];
    let frames = [0; 3].map(|_| log.frame_unsynced(&[&value]));
    let disk = log.finish();
    let whole = disk.bytes(&name(1)).to_vec();
    for sectors in 0..1 << 5 {
        let mut disk = disk.clone();
        disk.edit(&name(1), |bytes| {
            for lost in (0..5).filter(|sector| sectors >> sector & 1 == 0) {
                let (from, to) = (lost * 512, lost * 512 + 512);
                bytes[from.max(frames[0].start)..to.max(frames[0].start)].fill(0);
            }
        });
        let kept = frames.iter().take_while(|&frame| disk.bytes(&name(1))[frame.clone()] == whole[frame.clone()]);
        let kept = 1 + kept.count();
        let (report, seen) = scan(&mut disk, Purpose::Open);
        assert_eq!((report.refusal(), seen.records.len()), (None, kept), "sectors {sectors:b}");
    }
}

#[test]
fn a_torn_seal_is_cut_like_any_other_frame() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    let seal = log.empty(FrameKind::Seal);
    let mut disk = log.finish();
    disk.flip(&name(1), seal.start + 9, 0);
    let (report, _) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), report.segments[0].sealed), (None, false));
    assert_eq!(report.torn.unwrap().offset, seal.start as u64);
}

#[test]
fn what_stands_behind_a_seal_is_nothing() {
    // The rest of a tail that was torn once, say.
    for follower in [false, true] {
        let mut log = Log::new();
        log.empty(FrameKind::Seal);
        log.bytes.extend([0x5a; 100]);
        if follower {
            log.roll_unsealed();
        }
        let (report, seen) = scan(&mut log.finish(), Purpose::Open);
        assert_eq!((report.refusal(), report.torn, seen.lsns()), (None, None, vec![1]));
        assert!(report.segments[0].sealed);
    }
}

#[test]
fn frames_of_another_life_are_never_replayed() {
    let mut old = Log::new();
    old.header.salt ^= 1;
    old.bytes.clear();
    old.bytes.extend(old.header.encode());
    old.next = Lsn(1);
    old.frame_of(&[birth()], FrameKind::Data);
    old.frame(&[b"stale", b"stale too"]);
    old.frame(&[b"stale as well"]);
    let stale = old.bytes().to_vec();

    let mut log = Log::new();
    let end = log.bytes().len();
    assert!(stale.len() > end, "something stale lies behind the end");
    log.bytes.extend_from_slice(&stale[end..]);
    let (report, seen) = scan(&mut log.finish(), Purpose::Open);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![1]));
    assert_eq!(report.torn.unwrap().offset, end as u64);
}

#[test]
fn a_value_that_holds_frames_of_its_own_segment_does_not_make_a_torn_tail_look_damaged() {
    let mut log = Log::new();
    log.frame(&[b"one"]);
    log.frame(&[b"two"]);
    log.empty(FrameKind::Mark);
    let copy = log.bytes().to_vec();
    // At any alignment, so that some copy stands where frames may stand.
    for shift in 0..8 {
        let mut log = Log { disk: MemDisk::new(), bytes: copy.clone(), ..Log::new() };
        (log.next, log.seq, log.durable) = (Lsn(4), 2, Lsn(3));
        let value = [&vec![b'x'; shift][..], &copy].concat();
        let last = log.frame(&[&value]);
        let mut disk = log.finish();
        for at in [last.start, last.start + 33, last.start + 80, last.end - 9] {
            let mut disk = disk.clone();
            disk.flip(&name(1), at, 3);
            let (report, seen) = scan(&mut disk, Purpose::Open);
            assert_eq!(report.refusal(), None, "flipped at {at}");
            assert_eq!(seen.lsns(), [1, 2, 3]);
            assert_eq!(report.torn.unwrap().offset, last.start as u64);
        }
        assert_eq!(scan(&mut disk, Purpose::Open).1.lsns(), [1, 2, 3, 4]);
    }
}

#[test]
fn a_segment_shorter_than_it_was_prepared_is_opened_and_said_to_be() {
    let (disk, last) = log();
    assert_eq!(scan(&mut disk.clone(), Purpose::Open).0.doubts(), [""; 0]);
    for at in [last.start, last.start + 1, last.end, CAPACITY - 1] {
        let mut disk = disk.clone();
        disk.cut(&name(2), at);
        let (report, _) = scan(&mut disk, Purpose::Open);
        assert_eq!(report.refusal(), None);
        let [doubt] = &report.doubts()[..] else { panic!("cut at {at}: {:?}", report.doubts()) };
        assert!(doubt.contains(&format!("{} has {at} bytes and once had {CAPACITY}", name(2))), "{doubt}");
    }
}

#[test]
fn a_sealed_segment_without_a_successor_is_opened_and_said_to_be_unless_the_successor_was_being_made() {
    let mut log = Log::new();
    log.frame(&[b"a"]);
    log.roll();
    let mut disk = log.finish();
    disk.take(&name(2));
    let (report, seen) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), seen.lsns()), (None, vec![1, 2]));
    let [doubt] = &report.doubts()[..] else { panic!("{:?}", report.doubts()) };
    assert!(doubt.contains(&format!("{} is full and sealed, and {} is not there", name(1), name(2))), "{doubt}");
    disk.place(&FileName::Spare(2).to_name(), vec![0; 4096]);
    let (report, _) = scan(&mut disk, Purpose::Open);
    assert_eq!((report.refusal(), report.doubts()), (None, vec![]));
    // What is prepared only behind a segment that stands proves that it is missing.
    disk.place(&FileName::Spare(3).to_name(), vec![0; 4096]);
    assert!(scan(&mut disk, Purpose::Open).0.refusal().is_some());
}
