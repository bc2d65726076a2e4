//! Reads a log directory, changing nothing: replays what is whole, tells a torn tail from damage, and reports.
//!
//! ```text
//! list > header of every segment > newest snapshot, replayed > segments from the one that goes on after it, replayed
//! ```
//!
//! One disk operation is out at a time, and no more than two segments are in memory, or two pieces of a snapshot: one is
//! replayed while the next one is read.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskRequest, DiskResult, FileId, IoToken, Lane};
use crate::ids::{Lsn, ReplicaId};
use crate::op::Hashes;
use crate::sink::Sink;
use crate::wal::format::{Record, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::wal::snapshot::Decoder;

mod ahead;
mod feed;
mod files;
mod load;
mod plan;
mod report;
mod segment;
mod verdict;

pub use ahead::{BlockMaker, Crew, Foreseen, Piece, Worked};
pub use feed::LOST_REPLICA;
pub use report::{Damage, Leftover, LeftoverKind, ScanReport, SegmentReport, SnapshotReport, Torn, Unproven};

use feed::Feed;
use files::{Files, FoundSnapshot};

/// Why a directory is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To open it. After the first damage nothing more is replayed, because nothing of it may be used.
    Open,
    /// To save what can be saved: whatever is whole is replayed, before and after damage. Only a directory that cannot
    /// be listed makes it fail.
    Salvage,
}

/// Takes what a scan finds: the head of the snapshot, its blocks in order, then every record beyond it in order.
///
/// An error says that bytes whose checksum held cannot be understood. It is reported as damage, or as the work of a
/// newer version when the fault is [`Fault::FromTheFuture`](crate::codec::Fault::FromTheFuture).
pub trait Replay {
    /// The head of the snapshot that holds everything up to `at`. Gives the replica whose history was going on at
    /// `at`, which is needed to read the records after it.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn head(&mut self, at: Lsn, head: Bytes) -> Result<ReplicaId, DecodeError>;

    /// One block of the snapshot, `items` entries.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn block(&mut self, items: u32, body: Bytes) -> Result<(), DecodeError>;

    /// One record. It shares memory with a whole segment: what is kept must be copied.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn record(&mut self, lsn: Lsn, record: Record) -> Result<(), DecodeError>;

    /// As [`Self::record`], of an operation whose hashes may be known already.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn hashed_record(&mut self, lsn: Lsn, record: Record, _hashes: Option<Hashes>) -> Result<(), DecodeError> {
        self.record(lsn, record)
    }

    /// How to make ahead of time what [`Self::foreseen_block`] takes.
    fn block_maker(&self) -> Option<BlockMaker> {
        None
    }

    /// As [`Self::block`], of a block of which something was made by [`Self::block_maker`].
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be understood.
    fn foreseen_block(&mut self, items: u32, body: Bytes, _made: Foreseen) -> Result<(), DecodeError> {
        self.block(items, body)
    }

    /// The keys of records that come next. Nothing needs to be done about them.
    fn expect(&mut self, _keys: &mut dyn Iterator<Item = &[u8]>) {}
}

/// Bytes of a snapshot read at once.
const SNAPSHOT_CHUNK: usize = if cfg!(test) { 1000 } else { 4 << 20 };
/// When a segment cannot be read whole, salvage reads it in pieces of this many bytes and does without the bad ones.
const SALVAGE_PIECE: usize = 64 << 10;

/// Scans one directory, one disk operation at a time.
#[derive(Debug)]
pub struct Scan {
    purpose: Purpose,
    state: State,
    next_token: u64,
    next_file: u64,
    files: Files,
    /// Index of the first segment that is not superfluous beside the snapshot.
    base: usize,
    decoder: Decoder,
    /// The LSN that the next segment should begin with, when something tells.
    expected: Option<Lsn>,
    /// The greatest LSN that the snapshot states to have been durable.
    promised: Lsn,
    /// The head of a snapshot was found.
    head_seen: bool,
    /// The snapshot is damaged.
    snapshot_flawed: bool,
    feed: Feed,
    /// What was read and is not replayed yet.
    held: Option<(Target, Bytes)>,
    /// No more of the snapshot is wanted.
    snapshot_left: bool,
    crew: Option<Box<dyn Crew>>,
    report: ScanReport,
    outcome: Option<Result<ScanReport, DiskError>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Header(usize),
    Snapshot(usize),
    Segment(usize),
}

#[derive(Debug)]
enum State {
    New,
    Listing,
    Opening(Target, FileId),
    Reading(Target, FileId, Reading),
    Closing(Target),
    Over,
}

/// How far a file was read.
#[derive(Debug)]
struct Reading {
    len: u64,
    offset: u64,
    asked: usize,
    bytes: Vec<u8>,
    /// Some of the file could not be read; go on in small pieces.
    pieces: bool,
}

impl Scan {
    /// A scan that has not begun.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            state: State::New,
            next_token: 0,
            next_file: 0,
            files: Files::default(),
            base: 0,
            decoder: Decoder::new(),
            expected: None,
            promised: Lsn::ZERO,
            head_seen: false,
            snapshot_flawed: false,
            feed: Feed { salvage: purpose == Purpose::Salvage, ..Feed::default() },
            held: None,
            snapshot_left: false,
            crew: None,
            report: ScanReport::empty(),
            outcome: None,
        }
    }

    /// Lets a crew work out what lies ahead.
    pub fn employ(&mut self, crew: Option<Box<dyn Crew>>) {
        self.crew = crew;
    }

    /// Begins: pushes the first request.
    ///
    /// # Panics
    /// When called twice.
    pub fn start(&mut self, out: &mut dyn Sink<DiskRequest>) {
        assert!(matches!(self.state, State::New), "a scan starts once");
        self.state = State::Listing;
        self.ask(DiskOp::List, out);
    }

    /// Takes the completion of the request that is out, and pushes the next one unless the scan is over.
    ///
    /// # Panics
    /// When `token` is not that of the request that is out.
    pub fn handle_completion(
        &mut self,
        token: IoToken,
        result: DiskResult,
        replay: &mut dyn Replay,
        out: &mut dyn Sink<DiskRequest>,
    ) {
        assert_eq!(token.0 + 1, self.next_token, "one operation is out at a time");
        if !(result.is_ok() && self.may_hold()) {
            self.work(replay);
        }
        match core::mem::replace(&mut self.state, State::Over) {
            State::New | State::Over => unreachable!("nothing is out"),
            State::Listing => match expect_listing(result) {
                Ok(listing) => {
                    self.files = Files::sort(listing);
                    self.next(None, out);
                }
                Err(error) => self.outcome = Some(Err(error)),
            },
            State::Opening(target, file) => match expect_opened(result) {
                Ok(len) => {
                    let reading = Reading { len, offset: 0, asked: 0, bytes: Vec::new(), pieces: false };
                    self.snapshot_left = false;
                    self.read(target, file, reading, out);
                }
                Err(error) if self.purpose == Purpose::Salvage => {
                    self.unreadable(target, 0, &error);
                    self.next(Some(target), out);
                }
                Err(error) => self.outcome = Some(Err(error)),
            },
            State::Reading(target, file, reading) => match expect_data(result) {
                Ok(data) => self.take(target, file, reading, data, replay, out),
                Err(error) if self.purpose == Purpose::Salvage => {
                    self.read_failed(target, file, reading, &error, replay, out);
                }
                Err(error) => self.outcome = Some(Err(error)),
            },
            State::Closing(target) => match result {
                Err(error) if self.purpose == Purpose::Open => self.outcome = Some(Err(error)),
                Ok(_) | Err(_) => self.next(Some(target), out),
            },
        }
    }

    /// Replays what was read, while the disk reads what comes next. To be called when the request that is out was
    /// handed on; who never does finds it replayed a little later.
    pub fn work_meanwhile(&mut self, replay: &mut dyn Replay) {
        if matches!(self.state, State::Reading(..)) {
            self.work(replay);
        }
    }

    /// Whether the completion at hand only brings the scan nearer to reading the next segment.
    fn may_hold(&self) -> bool {
        match self.state {
            State::Opening(..) => true,
            State::Closing(Target::Segment(index)) => index + 1 < self.files.segments.len(),
            State::Closing(_) | State::New | State::Listing | State::Reading(..) | State::Over => false,
        }
    }

    fn work(&mut self, replay: &mut dyn Replay) {
        match self.held.take() {
            Some((Target::Segment(index), bytes)) => self.replay_segment(index, &bytes, replay),
            Some((target, chunk)) => self.snapshot_left = self.load(target, chunk, false, replay),
            None => {}
        }
    }

    /// The outcome, once; `None` while the scan is going on or after it was taken.
    ///
    /// # Errors
    /// [`DiskError`] when the directory could not be read.
    pub fn take_outcome(&mut self) -> Option<Result<ScanReport, DiskError>> {
        self.outcome.take()
    }

    fn ask(&mut self, op: DiskOp, out: &mut dyn Sink<DiskRequest>) {
        let token = IoToken(self.next_token);
        self.next_token += 1;
        out.push(DiskRequest { token, lane: Lane::Commit, op });
    }

    /// Opens what comes after `done`.
    fn next(&mut self, done: Option<Target>, out: &mut dyn Sink<DiskRequest>) {
        let Some(target) = self.next_target(done) else {
            self.finish();
            return;
        };
        let name = self.name(target);
        let file = FileId(self.next_file);
        self.next_file += 1;
        self.state = State::Opening(target, file);
        self.ask(DiskOp::Open { file, name }, out);
    }

    fn name(&self, target: Target) -> String {
        match target {
            Target::Header(index) | Target::Segment(index) => {
                self.files.segments.get(index).map_or_else(String::new, files::FoundSegment::name)
            }
            Target::Snapshot(index) => self.files.snapshots.get(index).map_or_else(String::new, FoundSnapshot::name),
        }
    }

    fn read(&mut self, target: Target, file: FileId, mut reading: Reading, out: &mut dyn Sink<DiskRequest>) {
        let left = usize::try_from(reading.len.saturating_sub(reading.offset)).unwrap_or(usize::MAX);
        reading.asked = match target {
            Target::Header(_) => SEGMENT_HEADER_LEN,
            Target::Snapshot(_) => SNAPSHOT_CHUNK,
            Target::Segment(_) if reading.pieces => left.min(SALVAGE_PIECE),
            Target::Segment(_) => left,
        };
        let op = DiskOp::Read { file, offset: reading.offset, len: reading.asked };
        self.state = State::Reading(target, file, reading);
        self.ask(op, out);
    }

    fn close(&mut self, target: Target, file: FileId, out: &mut dyn Sink<DiskRequest>) {
        self.state = State::Closing(target);
        self.ask(DiskOp::Close { file }, out);
    }

    fn take(
        &mut self,
        target: Target,
        file: FileId,
        mut reading: Reading,
        data: Bytes,
        replay: &mut dyn Replay,
        out: &mut dyn Sink<DiskRequest>,
    ) {
        reading.offset += data.len() as u64;
        let ended = data.is_empty() || reading.offset >= reading.len;
        match target {
            Target::Header(index) => {
                if let Some(segment) = self.files.segments.get_mut(index) {
                    segment.header = Some(SegmentHeader::decode(&data));
                }
            }
            Target::Snapshot(_) if self.snapshot_left => {}
            Target::Snapshot(_) if ended => self.snapshot_left = self.load(target, data, true, replay),
            Target::Snapshot(_) => {
                self.held = Some((target, data));
                return self.read(target, file, reading, out);
            }
            Target::Segment(_) => {
                if reading.bytes.is_empty() && ended {
                    self.held = Some((target, data));
                } else {
                    reading.bytes.extend_from_slice(&data);
                    if !ended {
                        return self.read(target, file, reading, out);
                    }
                    self.held = Some((target, Bytes::from(reading.bytes)));
                }
            }
        }
        self.close(target, file, out);
    }

    /// Salvage only: does without what cannot be read.
    fn read_failed(
        &mut self,
        target: Target,
        file: FileId,
        mut reading: Reading,
        error: &DiskError,
        replay: &mut dyn Replay,
        out: &mut dyn Sink<DiskRequest>,
    ) {
        match target {
            Target::Segment(_) if !reading.pieces => {
                reading.pieces = true;
                self.read(target, file, reading, out);
            }
            Target::Segment(_) => {
                self.unreadable(target, reading.offset, error);
                let hole = Bytes::from(alloc::vec![0; reading.asked]);
                self.take(target, file, reading, hole, replay, out);
            }
            Target::Header(_) | Target::Snapshot(_) => {
                self.unreadable(target, reading.offset, error);
                self.close(target, file, out);
            }
        }
    }

    fn unreadable(&mut self, target: Target, offset: u64, error: &DiskError) {
        let damage = Damage {
            file: self.name(target),
            offset,
            first_lsn: self.expected.unwrap_or(Lsn(1)),
            last_lsn: None,
            what: format!("cannot be read: {error}"),
        };
        self.report.damage.push(damage);
    }

    /// Whether what is found is still handed on.
    fn feeding(&self) -> bool {
        self.report.too_new.is_none() && (self.purpose == Purpose::Salvage || self.report.damage.is_empty())
    }

    fn too_new(&mut self, file: &str, what: impl core::fmt::Display) {
        self.report.too_new.get_or_insert_with(|| format!("{file}: {what}"));
    }
}

fn expect_listing(result: DiskResult) -> Result<Vec<crate::disk::FileInfo>, DiskError> {
    match result? {
        Completion::Listing(listing) => Ok(listing),
        Completion::Done | Completion::Opened { .. } | Completion::Data(_) => Err(wrong_answer("list")),
    }
}

fn expect_opened(result: DiskResult) -> Result<u64, DiskError> {
    match result? {
        Completion::Opened { len } => Ok(len),
        Completion::Done | Completion::Listing(_) | Completion::Data(_) => Err(wrong_answer("open")),
    }
}

fn expect_data(result: DiskResult) -> Result<Bytes, DiskError> {
    match result? {
        Completion::Data(data) => Ok(data),
        Completion::Done | Completion::Listing(_) | Completion::Opened { .. } => Err(wrong_answer("read")),
    }
}

fn wrong_answer(op: &str) -> DiskError {
    DiskError { kind: DiskErrorKind::Io, message: format!("the disk answered {op} with something else") }
}

#[cfg(test)]
pub(crate) mod tests;
