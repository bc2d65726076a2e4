use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::disk::{DiskOp, DiskRequest};
use crate::testing::MemDisk;
use crate::wal::format::{FileName, FrameKind, SEGMENT_HEADER_LEN};
use crate::wal::scan::tests::{LOG, Log, REPLICA, birth, name, snapshot};
use crate::wal::scan::{Purpose, Replay, Scan, ScanReport};
use crate::wal::snapshot::{encode_block, encode_footer, encode_header};

const VALUE: &[u8] = &[b'v'; 100];
/// A frame of one such value is shorter.
const FRAME: usize = PIECE;

/// Works at once.
#[derive(Debug, Default)]
struct Watched {
    worked: VecDeque<Worked>,
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    /// Where the first piece begins.
    first: Arc<AtomicUsize>,
}

impl Crew for Watched {
    fn begin(&mut self, piece: Piece) {
        let (len, offset) = match &piece.0 {
            Work::Frames(stretch) => (stretch.bytes.len(), stretch.offset),
            Work::Parts(stretch) => stretch.place(),
        };
        assert!(len < PIECE + FRAME, "a piece of {len} bytes");
        if self.begun.fetch_add(1, Relaxed) == 0 {
            self.first.store(offset, Relaxed);
        }
        self.worked.push_back(piece.work());
        assert!(self.worked.len() <= AHEAD, "{} pieces are waited for", self.worked.len());
    }

    fn end(&mut self) -> Option<Worked> {
        self.ended.fetch_add(1, Relaxed);
        self.worked.pop_front()
    }
}

/// Tells records that a crew has read from others.
#[derive(Debug, Default)]
struct Told {
    worked_out: Vec<u64>,
    read: Vec<u64>,
}

impl Replay for Told {
    fn head(&mut self, _: Lsn, _: Bytes) -> Result<ReplicaId, DecodeError> {
        Ok(REPLICA)
    }

    fn block(&mut self, _: u32, _: Bytes) -> Result<(), DecodeError> {
        Ok(())
    }

    fn record(&mut self, lsn: Lsn, _: Record) -> Result<(), DecodeError> {
        self.read.push(lsn.0);
        Ok(())
    }

    fn hashed_record(&mut self, lsn: Lsn, record: Record, hashes: Option<Hashes>) -> Result<(), DecodeError> {
        assert_eq!(hashes.is_some(), matches!(record, Record::Own(_)));
        self.worked_out.push(lsn.0);
        Ok(())
    }
}

/// Opens a log; shows `watch` what was replayed whenever a read is out, before and after work meanwhile.
fn open<R: Replay>(
    disk: &mut MemDisk,
    crew: Option<Box<dyn Crew>>,
    replay: &mut R,
    mut watch: impl FnMut(&DiskRequest, &R, bool),
) -> ScanReport {
    let mut scan = Scan::new(Purpose::Open);
    scan.employ(crew);
    let mut requests = Vec::new();
    scan.start(&mut requests);
    while let Some(request) = requests.pop() {
        watch(&request, replay, false);
        scan.work_meanwhile(replay);
        watch(&request, replay, true);
        let result = disk.run(&request.op);
        scan.handle_completion(request.token, result, replay, &mut requests);
    }
    scan.take_outcome().expect("nothing is left to be read").expect("the disk reads")
}

/// A birth in a frame of its own and 16 frames of a record in the first segment, as many in each that follows.
fn log_from(first: u64, segments: u64) -> Log {
    let mut log = Log::founded_at(Lsn(first));
    log.frame_of(&[birth()], FrameKind::Data);
    for segment in 1..=segments {
        let frames = (0..16).map(|_| log.frame(&[VALUE]).len());
        assert!(frames.max() < Some(FRAME));
        if segment < segments {
            log.roll();
        }
    }
    log
}

#[test]
fn a_crew_reads_all_but_what_it_is_given_before_the_birth_is_known() {
    let mut told = Told::default();
    open(&mut log_from(1, 2).finish(), Some(Box::new(Watched::default())), &mut told, |_, _, _| {});
    assert!(told.read.last() < Some(&10), "{told:?}");
    assert_eq!((told.worked_out.len() + told.read.len(), told.worked_out.last()), (33, Some(&33)));
}

#[test]
fn a_crew_is_given_nothing_that_a_snapshot_holds() {
    // Beyond 32 bits.
    let first = 1 << 33;
    let mut disk = log_from(first, 1).finish();
    let at = Lsn(first + 3);
    disk.place(&FileName::Snapshot(at).to_name(), snapshot(at, at));
    let (mut told, crew) = (Told::default(), Watched::default());
    let begins = crew.first.clone();
    let report = open(&mut disk, Some(Box::new(crew)), &mut told, |_, _, _| {});
    assert_eq!((&told.read[..], &told.worked_out[..]), (&[][..], &(first + 4..=first + 16).collect::<Vec<_>>()[..]));
    let segment = &report.segments[0];
    assert_eq!(begins.load(Relaxed) as u64, segment.end - segment.tail_bytes);
}

#[test]
fn what_a_crew_was_given_of_a_segment_is_waited_for_even_if_the_segment_is_left() {
    let mut log = log_from(1, 1);
    let torn = log.frame_unsynced(&[VALUE]);
    for _ in 0..6 {
        log.frame_unsynced(&[VALUE]);
    }
    let mut disk = log.finish();
    disk.flip(&name(1), torn.end - 8, 0);
    let (mut told, crew) = (Told::default(), Watched::default());
    let (begun, ended) = (crew.begun.clone(), crew.ended.clone());
    let report = open(&mut disk, Some(Box::new(crew)), &mut told, |_, _, _| {});
    assert_eq!((report.refusal(), report.torn.map(|torn| torn.offset)), (None, Some(torn.start as u64)));
    assert!(begun.load(Relaxed) > 3);
    assert_eq!(begun.load(Relaxed), ended.load(Relaxed));
}

/// Counts blocks that a crew has looked at, and all.
#[derive(Debug, Default)]
struct Counted {
    foreseen: u32,
    blocks: u32,
    items: u32,
}

impl Replay for Counted {
    fn head(&mut self, _: Lsn, _: Bytes) -> Result<ReplicaId, DecodeError> {
        Ok(REPLICA)
    }

    fn block(&mut self, items: u32, _: Bytes) -> Result<(), DecodeError> {
        self.blocks += 1;
        self.items += items;
        Ok(())
    }

    fn block_maker(&self) -> Option<BlockMaker> {
        Some(|items, _| Some(Box::new(items)))
    }

    fn foreseen_block(&mut self, items: u32, body: Bytes, made: Foreseen) -> Result<(), DecodeError> {
        assert_eq!(made.downcast_ref(), Some(&items), "made of another block");
        self.foreseen += 1;
        self.block(items, body)
    }

    fn record(&mut self, _: Lsn, _: Record) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// A log with a snapshot of so many blocks, 48 bytes each with their headers.
fn log_behind_blocks(blocks: u32) -> MemDisk {
    let at = Lsn(1);
    let mut file = encode_header(LOG, at, &REPLICA.0);
    for index in 0..blocks {
        file.extend(encode_block(LOG, at, u64::from(index), index + 1, &[0; 16]));
    }
    file.extend(encode_footer(LOG, at, u64::from(blocks), (1..=u64::from(blocks)).sum(), at));
    let mut disk = log_from(1, 1).finish();
    disk.place(&FileName::Snapshot(at).to_name(), file);
    disk
}

#[test]
fn a_crew_looks_at_the_blocks_that_lie_whole_in_what_was_read() {
    let blocks = 100;
    let mut disk = log_behind_blocks(blocks);
    let crew = Watched::default();
    let (begun, ended) = (crew.begun.clone(), crew.ended.clone());
    let (mut alone, mut helped) = (Counted::default(), Counted::default());
    let reports = (
        open(&mut disk, None, &mut alone, |_, _, _| {}),
        open(&mut disk, Some(Box::new(crew)), &mut helped, |_, _, _| {}),
    );
    assert_eq!(reports.0, reports.1);
    assert_eq!((alone.blocks, alone.items, alone.foreseen), (blocks, (1..=blocks).sum(), 0));
    assert_eq!((helped.blocks, helped.items), (alone.blocks, alone.items));
    // Twenty fit into what is read at once, and one lies across.
    assert!(helped.foreseen > blocks * 9 / 10, "{helped:?}");
    assert_eq!(begun.load(Relaxed), ended.load(Relaxed));
}

#[test]
fn blocks_that_a_crew_was_given_are_waited_for_even_if_the_snapshot_is_left() {
    let mut disk = log_behind_blocks(40);
    // In the checksum of the first block.
    disk.flip(&FileName::Snapshot(Lsn(1)).to_name(), encode_header(LOG, Lsn(1), &REPLICA.0).len() + 28, 0);
    let (mut counted, crew) = (Counted::default(), Watched::default());
    let (begun, ended) = (crew.begun.clone(), crew.ended.clone());
    let report = open(&mut disk, Some(Box::new(crew)), &mut counted, |_, _, _| {});
    assert_eq!((report.damage.len(), counted.blocks), (1, 0));
    assert!(begun.load(Relaxed) > 0);
    assert_eq!(begun.load(Relaxed), ended.load(Relaxed));
}

#[test]
fn who_makes_nothing_of_hashes_is_told_the_same_records() {
    struct Plain(Vec<(Lsn, Record)>);

    impl Replay for Plain {
        fn head(&mut self, _: Lsn, _: Bytes) -> Result<ReplicaId, DecodeError> {
            Ok(REPLICA)
        }

        fn block(&mut self, _: u32, _: Bytes) -> Result<(), DecodeError> {
            Ok(())
        }

        fn record(&mut self, lsn: Lsn, record: Record) -> Result<(), DecodeError> {
            self.0.push((lsn, record));
            Ok(())
        }
    }

    let mut disk = log_from(1, 2).finish();
    let [mut alone, mut helped] = [Plain(Vec::new()), Plain(Vec::new())];
    open(&mut disk, None, &mut alone, |_, _, _| {});
    open(&mut disk, Some(Box::new(Watched::default())), &mut helped, |_, _, _| {});
    assert_eq!((alone.0.len(), alone.0 == helped.0), (33, true));
}

#[test]
fn a_segment_is_replayed_while_the_next_one_is_read() {
    let mut told = Told::default();
    let mut replayed = Vec::new();
    open(&mut log_from(1, 3).finish(), None, &mut told, |request, told, after| {
        if matches!(request.op, DiskOp::Read { len, .. } if len > SEGMENT_HEADER_LEN) {
            replayed.push((told.read.len(), after));
        }
    });
    assert_eq!(replayed, [(0, false), (0, true), (0, false), (17, true), (17, false), (33, true)]);
    assert_eq!(told.read.len(), 49);
}
