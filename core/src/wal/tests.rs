//! Scripts: call the log, complete what it asked, compare what it said. One line an effect.

mod closing;
mod commits;
mod drafts;
mod failures;
mod lives;
mod marks;
mod orders;
mod reuse;
mod rolls;
mod snapshots;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::format::{Frame, FrameKind, Record, SEGMENT_HEADER_LEN, SegmentHeader, decode_frame};
use super::*;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::dice::Seed;
use crate::disk::{Completion, DiskErrorKind, DiskOp, DiskResult, FileId, IoToken, Lane};
use crate::ids::{Dot, LogId, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::testing::MemDisk;
use crate::time::Instant;

/// A log on a disk in memory, whose operations complete when the test says so.
struct Bench {
    wal: Wal,
    disk: MemDisk,
    now: Instant,
    asked: VecDeque<DiskRequest>,
    /// Asked for and not completed yet.
    names: BTreeMap<FileId, String>,
    lines: Vec<String>,
    next_seq: u64,
    poisoned: bool,
}

fn settings() -> Settings {
    Settings { first_segment: 4096, max_segment: 16384, snapshot_min: 2000, ..Settings::default() }
}

fn every(millis: u64) -> Settings {
    Settings { sync: SyncMode::Every(Duration::from_millis(millis)), ..settings() }
}

fn header(capacity: u64) -> SegmentHeader {
    SegmentHeader { log: LogId([7; 16]), number: 1, first_lsn: Lsn(1), capacity, salt: 9, recycled: false }
}

/// A directory with one empty segment.
fn fresh(settings: Settings) -> Resume {
    Resume {
        active: header(settings.first_segment),
        settings,
        file: FileId(1),
        end: SEGMENT_HEADER_LEN as u64,
        next_lsn: Lsn(1),
        stated_durable: Lsn::ZERO,
        older: Vec::new(),
        snapshot: None,
        tail_bytes: 0,
        dice: Seed::from_number(1).stream("wal"),
        next_token: IoToken(1),
        next_file: FileId(2),
    }
}

fn short(name: &str) -> String {
    name.trim_start_matches('0').to_string()
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let header = header(settings.first_segment);
        let mut bytes = vec![0; header.capacity as usize];
        bytes[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode());
        let mut disk = MemDisk::new();
        disk.place("0000000000000001.seg", bytes);
        disk.run(&DiskOp::Open { file: FileId(1), name: "0000000000000001.seg".to_string() }).unwrap();
        let wal = Wal::resume(fresh(settings));
        let names = [(FileId(1), "1.seg".to_string())].into();
        Self {
            wal,
            disk,
            now: Instant(0),
            asked: VecDeque::new(),
            names,
            lines: Vec::new(),
            next_seq: 1,
            poisoned: false,
        }
    }

    /// Appends one group of a record with a value of `len` bytes.
    fn put(&mut self, len: usize) -> Result<Lsn, AppendError> {
        let record = record(self.next_seq, len);
        let lsn = self.wal.append(core::slice::from_ref(&record))?;
        self.next_seq += 1;
        Ok(lsn)
    }

    fn submit(&mut self) {
        self.call(|wal, now, out| wal.submit(now, out));
    }

    /// Appends and submits.
    fn write(&mut self, len: usize) {
        self.put(len).unwrap();
        self.submit();
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut Wal, Instant, &mut Vec<Effect>) -> T) -> T {
        let mut out = Vec::new();
        let before = self.wal.progress();
        let result = call(&mut self.wal, self.now, &mut out);
        let after = self.wal.progress();
        assert!(before.submitted <= after.submitted && before.written <= after.written);
        assert!(before.durable <= after.durable && after.durable <= after.written);
        for effect in out {
            self.note(effect);
        }
        result
    }

    fn note(&mut self, effect: Effect) {
        let line = match effect {
            Effect::Disk(request) => {
                assert!(!self.poisoned, "after the first failure nothing is asked of the disk: {request:?}");
                let text = self.describe(&request);
                self.asked.push_back(request);
                text
            }
            Effect::Written(lsn) => format!("written {lsn}"),
            Effect::Durable(lsn) => format!("durable {lsn}"),
            Effect::Poisoned(poison) => {
                assert!(!core::mem::replace(&mut self.poisoned, true), "told once");
                let doubtful = poison.doubtful.map_or("none".into(), |(from, to)| format!("{from}..={to}"));
                let unwritten = poison.unwritten.map_or("none".into(), |from| format!("{from}.."));
                format!("poisoned: {poison}; doubtful {doubtful}; unwritten {unwritten}")
            }
            Effect::Refused { from, error } => format!("refused {from}..: {error}"),
            Effect::SnapshotRoom => "snapshot room".to_string(),
            Effect::SnapshotDone { at, bytes } => format!("snapshot at {at} of {bytes} bytes"),
            Effect::SnapshotFailed(error) => format!("snapshot failed: {error}"),
            Effect::Closed => "closed".to_string(),
        };
        self.lines.push(line);
    }

    fn describe(&mut self, request: &DiskRequest) -> String {
        let lane = if request.lane == Lane::Background { "  (background)" } else { "" };
        let synced = |sync: bool| if sync { " + sync" } else { "" };
        let name = |file: &FileId| self.names[file].clone();
        let text = match &request.op {
            DiskOp::Create { file, name } => {
                self.names.insert(*file, short(name));
                format!("create {}", short(name))
            }
            DiskOp::Write { file, offset, data, sync } => {
                let what = self.frame(request).map_or("bytes".to_string(), |frame| match frame.kind {
                    FrameKind::Data => format!("frame {}..{}", frame.first_lsn, frame.next_lsn()),
                    kind => format!("{kind:?}"),
                });
                format!("write {} @{offset} +{}: {what}{}", name(file), data.len(), synced(*sync))
            }
            DiskOp::Zero { file, offset, len, sync } => {
                format!("zero {} @{offset} +{len}{}", name(file), synced(*sync))
            }
            DiskOp::Sync { file } => format!("sync {}", name(file)),
            DiskOp::Close { file } => format!("close {}", name(file)),
            DiskOp::Read { file, offset, len } => format!("read {} @{offset} +{len}", name(file)),
            DiskOp::Rename { from, to } => {
                for name in self.names.values_mut().filter(|name| **name == short(from)) {
                    *name = short(to);
                }
                format!("rename {} to {}", short(from), short(to))
            }
            DiskOp::Remove { name } => format!("remove {}", short(name)),
            DiskOp::SyncDir => "sync dir".to_string(),
            DiskOp::Open { file, name } => {
                self.names.insert(*file, short(name));
                format!("open {}", short(name))
            }
            DiskOp::List => panic!("a running log does not list"),
        };
        format!("{text}{lane}")
    }

    /// The frame that a request writes, if it writes one.
    fn frame(&self, request: &DiskRequest) -> Option<Frame> {
        let DiskOp::Write { data, .. } = &request.op else { return None };
        let salt = self.wal.files.active.salt();
        decode_frame(data, 0, salt).ok()
    }

    fn position(&self, what: &str) -> usize {
        let mut texts = self.asked.iter().map(|request| format!("{:?}", request.op).to_lowercase());
        let position = texts.position(|text| text.starts_with(what));
        position.unwrap_or_else(|| panic!("no {what} is asked for; asked: {:?}", self.asked))
    }

    /// Completes the oldest operation whose kind is `what`, carrying it out.
    fn done(&mut self, what: &str) {
        let request = self.asked.remove(self.position(what)).unwrap();
        let result = self.disk.run(&request.op);
        assert!(result.is_ok(), "{request:?}: {result:?}");
        self.complete(request.token, result);
    }

    /// Completes it as done, without carrying it out, and lets go of its bytes.
    fn pretend(&mut self, what: &str) {
        let request = self.asked.remove(self.position(what)).unwrap();
        let token = request.token;
        drop(request);
        self.complete(token, Ok(Completion::Done));
    }

    /// Completes it as failed, without carrying it out.
    fn fail(&mut self, what: &str, kind: DiskErrorKind) {
        let request = self.asked.remove(self.position(what)).unwrap();
        self.complete(request.token, Err(DiskError { kind, message: format!("{kind:?}") }));
    }

    fn complete(&mut self, token: IoToken, result: DiskResult) {
        self.call(|wal, now, out| wal.handle_completion(now, token, result, out));
    }

    /// Completes whatever is asked for, submitting after each, until nothing is.
    fn settle(&mut self) {
        while let Some(request) = self.asked.pop_front() {
            let result = self.disk.run(&request.op);
            self.complete(request.token, result);
            self.submit();
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        if self.wal.poll_timeout().is_some_and(|at| at <= self.now) {
            self.call(|wal, now, out| wal.handle_timeout(now, out));
        }
    }

    /// What was said since the last time, compared with `expected`, one line each, indentation aside.
    #[track_caller]
    fn says(&mut self, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said: Vec<String> = core::mem::take(&mut self.lines);
        let said: Vec<&str> = said.iter().map(|line| line.trim()).collect();
        assert_eq!(said.join("\n"), expected.join("\n"));
    }

    /// What was said since the last time.
    fn heard(&mut self) -> Vec<String> {
        core::mem::take(&mut self.lines)
    }

    /// The frames that would survive a power failure now, by segment.
    fn durable_frames(&self, name: &str, salt: format::FrameSalt) -> Vec<Frame> {
        let bytes = Bytes::copy_from_slice(self.disk.durable_bytes(name).unwrap());
        let mut offset = SEGMENT_HEADER_LEN;
        let mut frames = Vec::new();
        while let Ok(frame) = decode_frame(&bytes, offset, salt) {
            offset += frame.encoded_len;
            frames.push(frame);
        }
        frames
    }
}

fn record(seq: u64, len: usize) -> Record {
    Record::Own(Operation {
        dot: Dot { replica: ReplicaId([1; 16]), seq },
        stamp: Stamp(99),
        context: VersionVector::EMPTY,
        key: Bytes::from_static(b"key"),
        body: Body::Put(Bytes::from(vec![b'v'; len])),
        marks: Marks::default(),
    })
}
