use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use super::*;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, LogId, NodeId};
use crate::op::{Body, Marks, Operation};
use crate::testing::MemDisk;
use crate::time::WallTime;
use crate::wal::format::{FRAMES_END, FileName, FrameBuilder, FrameKind};
use crate::wal::snapshot::{encode_block, encode_footer, encode_header};

mod damage;
mod directory;
mod garbage;
mod golden;
mod recycled;
mod salvage;
mod torn;
mod walk;

pub(crate) const LOG: LogId = LogId([7; 16]);
pub(crate) const REPLICA: ReplicaId = ReplicaId([1; 16]);
const CAPACITY: usize = 4096;

/// Writes the files of a log by hand, frame by frame, as the running log would with one sync per frame.
pub(crate) struct Log {
    pub(crate) disk: MemDisk,
    header: SegmentHeader,
    bytes: Vec<u8>,
    next: Lsn,
    seq: u64,
    durable: Lsn,
    /// What stands where the active segment is written, if not zeros.
    under: Vec<u8>,
}

impl Log {
    /// Begins with segment 1 and a birth.
    pub(crate) fn new() -> Self {
        let mut log = Self::founded_at(Lsn(1));
        log.frame_of(&[birth()], FrameKind::Data);
        log
    }

    /// Begins with segment 1, without a record.
    pub(crate) fn founded_at(first_lsn: Lsn) -> Self {
        let header = header(1, first_lsn);
        let durable = Lsn(first_lsn.0 - 1);
        let bytes = header.encode().to_vec();
        Self { disk: MemDisk::new(), header, bytes, next: first_lsn, seq: 0, durable, under: Vec::new() }
    }

    /// Has the active segment written over an older one: full of frames of another life, for the same LSNs and of the same
    /// lengths as those to come.
    pub(crate) fn written_over(mut self, value: &[u8]) -> Self {
        let header = SegmentHeader { salt: self.header.salt ^ 1, ..self.header };
        let (next, seq, durable) = (self.next, self.seq, self.durable);
        let bytes = [&header.encode()[..], &self.bytes[SEGMENT_HEADER_LEN..]].concat();
        let mut before = Self { disk: MemDisk::new(), header, bytes, next, seq, durable, under: Vec::new() };
        while before.bytes.len() < CAPACITY {
            before.frame(&[value]);
        }
        before.bytes.truncate(CAPACITY);
        self.under = before.bytes;
        self.header.recycled = true;
        self.bytes[..SEGMENT_HEADER_LEN].copy_from_slice(&self.header.encode());
        self
    }

    /// Appends one frame of own operations; gives where it stands.
    pub(crate) fn frame(&mut self, values: &[&[u8]]) -> Range<usize> {
        let records: Vec<Record> = values
            .iter()
            .map(|value| {
                self.seq += 1;
                own(self.seq, value)
            })
            .collect();
        self.frame_of(&records, FrameKind::Data)
    }

    /// Appends a frame of the same, none of it durable until [`Self::sync`].
    pub(crate) fn frame_unsynced(&mut self, values: &[&[u8]]) -> Range<usize> {
        let durable = self.durable;
        let range = self.frame(values);
        self.durable = durable;
        range
    }

    pub(crate) fn sync(&mut self) {
        self.durable = Lsn(self.next.0 - 1);
    }

    /// Appends a frame without records.
    pub(crate) fn empty(&mut self, kind: FrameKind) -> Range<usize> {
        self.frame_of(&[], kind)
    }

    pub(crate) fn frame_of(&mut self, records: &[Record], kind: FrameKind) -> Range<usize> {
        let mut builder = FrameBuilder::default();
        for record in records {
            builder.push(record);
        }
        let frame = builder.seal(kind, self.next, self.durable, self.header.frame_salt());
        let start = self.bytes.len();
        self.bytes.extend(frame);
        self.next = Lsn(self.next.0 + records.len() as u64);
        self.durable = Lsn(self.next.0 - 1);
        start..self.bytes.len()
    }

    /// Seals the segment and begins the next; gives where the seal stands.
    pub(crate) fn roll(&mut self) -> Range<usize> {
        let seal = self.empty(FrameKind::Seal);
        self.roll_unsealed();
        seal
    }

    pub(crate) fn roll_unsealed(&mut self) {
        self.settle();
        self.header = header(self.header.number + 1, self.next);
        self.bytes = self.header.encode().to_vec();
    }

    /// The bytes of the active segment so far, without zeros.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn settle(&mut self) {
        let mut bytes = self.bytes.clone();
        if self.header.recycled && bytes.len() < CAPACITY {
            let end = bytes.len() + FRAMES_END;
            bytes.resize(end, 0);
            bytes.extend_from_slice(&self.under[end..]);
        }
        bytes.resize(bytes.len().max(CAPACITY), 0);
        self.disk.place(&name(self.header.number), bytes);
    }

    /// Places a snapshot of everything up to `at`, with two blocks.
    pub(crate) fn snapshot(&mut self, at: Lsn, reaches: Lsn) {
        self.disk.place(&FileName::Snapshot(at).to_name(), snapshot(at, reaches));
    }

    /// A copy of the directory as it is now.
    pub(crate) fn disk_now(&mut self) -> MemDisk {
        self.settle();
        self.disk.clone()
    }

    /// The directory, with the active segment in it.
    pub(crate) fn finish(mut self) -> MemDisk {
        self.settle();
        self.disk
    }
}

pub(crate) fn snapshot(at: Lsn, reaches: Lsn) -> Vec<u8> {
    let mut file = encode_header(LOG, at, &REPLICA.0);
    file.extend(encode_block(LOG, at, 0, 2, b"the first block"));
    file.extend(encode_block(LOG, at, 1, 1, b"the second"));
    file.extend(encode_footer(LOG, at, 2, 3, reaches));
    file
}

pub(crate) fn header(number: u64, first_lsn: Lsn) -> SegmentHeader {
    SegmentHeader {
        log: LOG,
        number,
        first_lsn,
        capacity: CAPACITY as u64,
        salt: 0x5a17_u32.wrapping_add(number as u32),
        recycled: false,
    }
}

pub(crate) fn name(number: u64) -> String {
    FileName::Segment(number).to_name()
}

pub(crate) fn birth() -> Record {
    Record::Birth { replica: REPLICA, node: NodeId::new("till-1").unwrap(), at: WallTime(5) }
}

pub(crate) fn own(seq: u64, value: &[u8]) -> Record {
    Record::Own(Operation {
        dot: Dot { replica: REPLICA, seq },
        stamp: Stamp(seq << 16),
        context: VersionVector::EMPTY,
        key: Bytes::from(format!("key-{seq}")),
        body: Body::Put(Bytes::copy_from_slice(value)),
        marks: Marks::default(),
    })
}

/// Remembers what was replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) heads: Vec<(Lsn, Bytes)>,
    pub(crate) blocks: Vec<(u32, Bytes)>,
    pub(crate) records: Vec<(Lsn, Record)>,
}

impl Seen {
    pub(crate) fn lsns(&self) -> Vec<u64> {
        self.records.iter().map(|(lsn, _)| lsn.0).collect()
    }
}

impl Replay for Seen {
    fn head(&mut self, at: Lsn, head: Bytes) -> Result<ReplicaId, DecodeError> {
        self.heads.push((at, head));
        Ok(REPLICA)
    }

    fn block(&mut self, items: u32, body: Bytes) -> Result<(), DecodeError> {
        self.blocks.push((items, body));
        Ok(())
    }

    fn block_maker(&self) -> Option<BlockMaker> {
        // Not of all: who makes nothing of a block is handed it as ever.
        Some(|items, body| (items % 2 == 0).then(|| Box::new((items, body.clone())) as Foreseen))
    }

    fn foreseen_block(&mut self, items: u32, body: Bytes, made: Foreseen) -> Result<(), DecodeError> {
        assert_eq!(made.downcast_ref(), Some(&(items, body.clone())), "made of another block");
        self.block(items, body)
    }

    fn record(&mut self, lsn: Lsn, record: Record) -> Result<(), DecodeError> {
        self.records.push((lsn, record));
        Ok(())
    }

    fn hashed_record(&mut self, lsn: Lsn, record: Record, hashes: Option<Hashes>) -> Result<(), DecodeError> {
        let hashed = match &record {
            Record::Own(op) | Record::Foreign(op) => Some(op.hashes()),
            Record::Birth { .. } | Record::Sync(_) => None,
        };
        assert_eq!(hashes, hashed, "LSN {lsn}");
        self.record(lsn, record)
    }
}

/// Scans and demands that nothing is written.
pub(crate) fn scan(disk: &mut MemDisk, purpose: Purpose) -> (ScanReport, Seen) {
    let (outcome, seen) = try_scan(disk, purpose);
    (outcome.unwrap(), seen)
}

/// Everything is found alike by a scan alone, by one with a crew, and by one whose crew leaves it.
pub(crate) fn try_scan(disk: &mut MemDisk, purpose: Purpose) -> (Result<ScanReport, DiskError>, Seen) {
    let before = disk.clone();
    let alone = scan_with(disk, purpose, None);
    for loses in [None, Some(2)] {
        let crew = Inline { loses, ..Inline::default() };
        let helped = scan_with(&mut before.clone(), purpose, Some(Box::new(crew)));
        assert_eq!(helped, alone, "loses {loses:?}");
    }
    alone
}

/// Works at once.
#[derive(Debug, Default)]
struct Inline {
    worked: VecDeque<Worked>,
    /// Gives up after so many pieces.
    loses: Option<usize>,
}

impl Crew for Inline {
    fn begin(&mut self, piece: Piece) {
        self.worked.push_back(piece.work());
    }

    fn end(&mut self) -> Option<Worked> {
        if let Some(left) = &mut self.loses {
            *left = left.checked_sub(1)?;
        }
        Some(self.worked.pop_front().expect("nothing is waited for that was not begun"))
    }
}

fn scan_with(
    disk: &mut MemDisk,
    purpose: Purpose,
    crew: Option<Box<dyn Crew>>,
) -> (Result<ScanReport, DiskError>, Seen) {
    disk.stop_files();
    let mut scan = Scan::new(purpose);
    let works_meanwhile = crew.is_some();
    scan.employ(crew);
    let mut seen = Seen::default();
    let mut requests = Vec::new();
    let mut files = alloc::collections::BTreeSet::new();
    scan.start(&mut requests);
    loop {
        if let Some(outcome) = scan.take_outcome() {
            assert!(requests.is_empty(), "an ended scan asks for nothing");
            return (outcome, seen);
        }
        let request = requests.remove(0);
        assert!(requests.is_empty(), "one operation at a time");
        assert!(
            matches!(request.op, DiskOp::List | DiskOp::Open { .. } | DiskOp::Read { .. } | DiskOp::Close { .. }),
            "a scan changes nothing: {:?}",
            request.op
        );
        if let DiskOp::Open { file, .. } = &request.op {
            assert!(files.insert(*file), "each file has a number of its own");
        }
        let result = disk.run(&request.op);
        if works_meanwhile {
            scan.work_meanwhile(&mut seen);
        }
        scan.handle_completion(request.token, result, &mut seen, &mut requests);
    }
}
