//! Bytes that nobody wrote: never a panic, never an endless loop.

use super::segment::{Frames, Segment, walk};
use super::*;
use crate::wal::format::{Frame, FrameSalt, Records, decode_frame};
use alloc::vec;
use proptest::prelude::*;

/// A directory with something of everything.
fn directory() -> MemDisk {
    let mut log = Log::new();
    log.frame(&[b"one", b"two"]);
    log.roll();
    log.frame(&[b"three"]);
    log.empty(FrameKind::Mark);
    log.roll();
    log.frame(&[b"four"]);
    log.empty(FrameKind::Close);
    log.snapshot(Lsn(2), Lsn(4));
    let mut disk = log.finish();
    disk.place(&FileName::Spare(4).to_name(), vec![0; 100]);
    disk
}

/// Takes in what can be understood of a segment.
struct Plain<'a>(&'a Segment<'a>);

impl Frames for Plain<'_> {
    fn read(&mut self, at: usize) -> Result<Frame, DecodeError> {
        decode_frame(self.0.bytes, at, self.0.salt)
    }

    fn visit(&mut self, frame: &Frame) -> Result<(), DecodeError> {
        let mut records = Records::of(frame);
        while records.next(None)?.is_some() {}
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Flip(usize, u8),
    Set(usize, u8),
    Cut(usize),
    Zero(usize, usize),
    Copy(usize, usize, usize),
    Insert(usize, Vec<u8>),
}

fn mutations() -> impl Strategy<Value = Vec<(usize, Mutation)>> {
    let at = 0usize..5000;
    let mutation = prop_oneof![
        (at.clone(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        at.clone().prop_map(Mutation::Cut),
        (at.clone(), 0usize..600).prop_map(|(at, len)| Mutation::Zero(at, len)),
        (at.clone(), at.clone(), 0usize..600).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
        (at, proptest::collection::vec(any::<u8>(), 0..64)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
    ];
    proptest::collection::vec((0usize..5, mutation), 1..6)
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    // Most of a file is zeros; aim at what is written.
    let len = verdict::written_len(bytes).max(1);
    let pick = |at: usize| at % len;
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Flip(at, bit) => bytes[pick(*at)] ^= 1 << bit,
        Mutation::Set(at, byte) => bytes[pick(*at)] = *byte,
        Mutation::Cut(at) => bytes.truncate(pick(*at)),
        Mutation::Zero(at, n) => {
            let from = pick(*at);
            bytes[from..(from + n).min(len)].fill(0);
        }
        Mutation::Copy(from, to, n) => {
            let (from, to) = (pick(*from), pick(*to));
            let n = (*n).min(len - from.max(to));
            bytes.copy_within(from..from + n, to);
        }
        Mutation::Insert(at, new) => drop(bytes.splice(pick(*at)..pick(*at), new.iter().copied())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mutated_directory_is_scanned_to_an_end_and_never_shows_what_was_not_written(plan in mutations()) {
        let whole = scan(&mut directory(), Purpose::Salvage).1;
        let mut disk = directory();
        let files = disk.names();
        for (file, mutation) in &plan {
            disk.edit(&files[file % files.len()], |bytes| apply(bytes, mutation));
        }
        for purpose in [Purpose::Open, Purpose::Salvage] {
            let (report, seen) = scan(&mut disk, purpose);
            for (lsn, record) in &seen.records {
                // Salvage without a birth may not know whose operation it is; nothing else may differ.
                let written = whole.records.iter().find(|(written, _)| written == lsn);
                let old = lsn.0 <= 2;
                prop_assert!(old || written.is_some(), "LSN {lsn} was never written");
                if purpose == Purpose::Open {
                    prop_assert_eq!(old || written == Some(&(*lsn, record.clone())), true);
                }
            }
            for (items, body) in &seen.blocks {
                prop_assert!(whole.blocks.contains(&(*items, body.clone())));
            }
            if purpose == Purpose::Open && report.refusal().is_none() {
                let (first, rest) = seen.lsns().split_first().map_or((3, vec![]), |(first, rest)| (*first, rest.to_vec()));
                prop_assert_eq!(rest, (first + 1..report.next_lsn.0).collect::<Vec<_>>(), "no hole");
            }
        }
    }

    #[test]
    fn files_of_garbage_are_scanned_to_an_end(
        files in proptest::collection::vec((0usize..10, proptest::collection::vec(any::<u8>(), 0..300)), 0..6),
        numbers in proptest::collection::vec(prop_oneof![0u64..4, Just(u64::MAX), Just(u64::MAX - 1)], 6),
        header in any::<bool>(),
    ) {
        let mut disk = MemDisk::new();
        for ((kind, bytes), number) in files.iter().zip(numbers) {
            let file = match kind % 4 {
                0 | 1 => FileName::Segment(number),
                2 => FileName::Snapshot(Lsn(number)),
                _ => match *kind {
                    2..5 => FileName::Spare(number),
                    5..7 => FileName::Kept(number),
                    _ => FileName::SnapshotDraft(Lsn(number)),
                },
            };
            let head = match file {
                FileName::Segment(number) if header => super::header(number, Lsn(number)).encode().to_vec(),
                FileName::Snapshot(at) if header => super::snapshot(at, Lsn(number)),
                _ => Vec::new(),
            };
            disk.place(&file.to_name(), [&head[..], bytes].concat());
        }
        for purpose in [Purpose::Open, Purpose::Salvage] {
            scan(&mut disk, purpose);
        }
    }

    #[test]
    fn a_segment_of_garbage_with_frames_in_it_is_walked_to_an_end(
        pieces in proptest::collection::vec((any::<u64>(), 0u32..3, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40), 0u8..4), 0..12),
        salt: u32, first_lsn: u64, promised: u64, has_follower: bool, salvage: bool, recycled: bool,
    ) {
        let salt = FrameSalt(salt);
        let mut bytes = vec![0; SEGMENT_HEADER_LEN];
        for (lsn, count, durable, garbage, what) in pieces {
            if what == 0 {
                bytes.extend(&garbage);
            } else {
                let mut builder = FrameBuilder::default();
                for _ in 0..count {
                    builder.push(&birth());
                }
                let lsn = if what == 1 { lsn } else { first_lsn };
                bytes.extend(builder.seal(FrameKind::Data, Lsn(lsn), Lsn(durable), salt));
            }
        }
        let bytes = Bytes::from(bytes);
        let (first_lsn, promised) = (Lsn(first_lsn), Lsn(promised));
        let segment = Segment { bytes: &bytes, salt, recycled, first_lsn, has_follower, promised, salvage };
        let walked = walk(&segment, &mut Plain(&segment));
        prop_assert!(walked.end <= bytes.len());
    }
}
