use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock::Stamp;
use crate::config::Durability;
use crate::context::VersionVector;
use crate::dice::Seed;
use crate::disk::{DiskError, DiskErrorKind, DiskOp, DiskRequest};
use crate::error::LocalState;
use crate::ids::{Dot, NodeId, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::testing::{Failure, MemDisk};
use crate::time::WallTime;
use crate::wal::format::{FileName, FrameKind, SEGMENT_HEADER_LEN, SegmentHeader, decode_frame};

mod births;
mod collections;
mod drops;
mod limits;
mod network;
mod publishing;
mod room;
mod snapshots;

/// A node on a directory in memory, stepped by hand. Disk operations wait until the test lets them be carried out.
struct Bench {
    node: Node,
    disk: MemDisk,
    asked: VecDeque<DiskRequest>,
    replies: Vec<(RequestId, Result<Reply, Error>)>,
    events: Vec<Event>,
    published: Vec<Lsn>,
    closed: bool,
    now: Now,
    /// There is no room for another segment.
    full: bool,
}

fn at(ms: u64) -> Now {
    Now { mono: Instant(ms * 1000), wall: WallTime(1_700_000_000_000 + ms) }
}

fn open(disk: &mut MemDisk, config: Config, seed: u64, start: Start) -> Result<(Box<Node>, RecoveryReport), Error> {
    let mut opening = Opening::new(config, Seed::from_number(seed), at(0), start)?;
    loop {
        while let Some(request) = opening.poll_output(at(0)) {
            let result = disk.run(&request.op);
            opening.handle(at(0), request.token, result);
        }
        match opening.advance(at(0)) {
            OpeningState::Working(next) => opening = next,
            OpeningState::Ready(node, report) => return Ok((node, report)),
            OpeningState::Failed(error) => return Err(error),
        }
    }
}

impl Bench {
    fn new() -> Self {
        Self::on(MemDisk::new(), Config::default(), 1)
    }

    fn on(mut disk: MemDisk, config: Config, seed: u64) -> Self {
        let (node, _) = open(&mut disk, config, seed, Start::OpenOrCreate).expect("an undamaged directory opens");
        Self {
            node: *node,
            disk,
            asked: VecDeque::new(),
            replies: Vec::new(),
            events: Vec::new(),
            published: Vec::new(),
            closed: false,
            now: at(1),
            full: false,
        }
    }

    fn reopen(mut self, seed: u64) -> Self {
        self.disk.stop();
        Self::on(self.disk, Config::default(), seed)
    }

    fn poll(&mut self) {
        while let Some(output) = self.node.poll_output(self.now) {
            match output {
                Output::Disk(request) => self.asked.push_back(request),
                Output::Reply { request, result } => self.replies.push((request, result)),
                Output::Event(event) => self.events.push(event),
                Output::Published(through) => self.published.push(through),
                Output::Link { .. } | Output::Datagram { .. } | Output::Pin { .. } => {
                    panic!("this bench has no network")
                }
                Output::Closed => self.closed = true,
            }
        }
    }

    /// Carries out the next disk operation. False when none was asked for.
    fn step(&mut self) -> bool {
        self.poll();
        let Some(DiskRequest { token, op, .. }) = self.asked.pop_front() else { return false };
        let spare = matches!(&op, DiskOp::Create { name, .. } if name.ends_with(".seg.new"));
        let result = if self.full && (spare || matches!(op, DiskOp::Zero { .. })) {
            Err(DiskError { kind: DiskErrorKind::NoSpace, message: "no space left".to_string() })
        } else {
            self.disk.run(&op)
        };
        self.node.handle(self.now, Input::Disk { token, result });
        self.poll();
        true
    }

    fn run(&mut self) {
        while self.step() {}
    }

    fn put(&mut self, key: &str, value: &str) -> RequestId {
        self.node.write(self.now, vec![put(key, value)]).expect("the node takes writes")
    }

    fn written(&self, request: RequestId) -> &Written {
        match self.answer(request) {
            Some(Ok(Reply::Written(written))) => &written[0],
            other => panic!("{request:?} was answered by {other:?}"),
        }
    }

    fn answer(&self, request: RequestId) -> Option<&Result<Reply, Error>> {
        self.replies.iter().find(|(id, _)| *id == request).map(|(_, result)| result)
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        self.node.store().get(key.as_bytes()).and_then(|entry| entry.value())
    }

    fn frame_writes(&self) -> usize {
        let is_frame = |op: &&DiskOp| matches!(op, DiskOp::Write { offset, sync: true, .. } if *offset > 0);
        self.disk.journal().iter().filter(is_frame).count()
    }
}

fn put(key: &str, value: &str) -> Write {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Write::Put { key: bytes(key), value: bytes(value), expect: None, touch: false }
}

fn put_if(key: &str, value: &str, version: u64) -> Write {
    match put(key, value) {
        Write::Put { key, value, touch, .. } => Write::Put { key, value, expect: Some(version), touch },
        delete @ Write::Delete { .. } => delete,
    }
}

fn delete(key: &str) -> Write {
    Write::Delete { key: Bytes::copy_from_slice(key.as_bytes()), expect: None }
}

#[test]
fn concurrent_writers_share_syncs() {
    let mut bench = Bench::new();
    let before = bench.frame_writes();
    let first = bench.put("first", "v");
    bench.poll();
    // One frame is on its way; these hundred form the next.
    let requests: Vec<_> = (0..100).map(|n| bench.put(&format!("k{n}"), "v")).collect();
    bench.run();
    assert_eq!(bench.frame_writes() - before, 2);
    assert!(requests.iter().chain([&first]).all(|request| bench.answer(*request).unwrap().is_ok()));
}

#[test]
fn outcomes_and_versions_tell_what_happened() {
    let mut bench = Bench::new();
    let requests = [put("k", "a"), put("k", "a"), put("k", "b"), delete("k"), delete("k"), put("k", "b")]
        .map(|write| bench.node.write(bench.now, vec![write]).unwrap());
    bench.run();
    let told = requests.map(|request| (bench.written(request).outcome, bench.written(request).version));
    assert_eq!(
        told,
        [
            (Outcome::Created, 1),
            (Outcome::Unchanged, 1),
            (Outcome::Updated, 2),
            (Outcome::Deleted, 3),
            (Outcome::Absent, 3),
            (Outcome::Created, 4),
        ]
    );
    assert_eq!(
        bench.node.status().published,
        Lsn(6),
        "a birth, a run and four writes; what changed nothing wrote nothing"
    );
}

#[test]
fn a_conditional_batch_is_all_or_nothing() {
    let mut bench = Bench::new();
    bench.put("a", "1");
    bench.run();
    let refused = bench.node.write(bench.now, vec![put("b", "2"), put_if("a", "x", 9)]).unwrap();
    bench.run();
    assert_eq!(bench.answer(refused).unwrap().as_ref().unwrap_err().code(), Code::VersionMismatch);
    assert_eq!((bench.value("a"), bench.value("b")), (Some(&b"1"[..]), None));

    let taken = bench.node.write(bench.now, vec![put_if("b", "2", 0), put_if("a", "x", 1)]).unwrap();
    bench.run();
    assert!(bench.answer(taken).unwrap().is_ok());
    assert_eq!((bench.value("a"), bench.value("b")), (Some(&b"x"[..]), Some(&b"2"[..])));
}

#[test]
fn later_writes_of_a_batch_see_the_earlier_ones() {
    let mut bench = Bench::new();
    let batch = vec![put("k", "a"), put("k", "a"), delete("k"), delete("k"), put("j", "z")];
    let request = bench.node.write(bench.now, batch).unwrap();
    bench.run();
    let Some(Ok(Reply::Written(written))) = bench.answer(request) else { panic!("the batch was not written") };
    let outcomes: Vec<_> = written.iter().map(|w| w.outcome).collect();
    assert_eq!(outcomes, [Outcome::Created, Outcome::Unchanged, Outcome::Deleted, Outcome::Absent, Outcome::Created]);
    assert_eq!((bench.value("k"), bench.value("j")), (None, Some(&b"z"[..])));
}

#[test]
fn bad_arguments_are_refused_by_name_and_change_nothing() {
    let mut bench = Bench::new();
    let long_key = "k".repeat(1025);
    let long_value = "v".repeat((1 << 20) + 1);
    let cases = [
        (vec![], "batch is empty"),
        (vec![put("", "v")], "key is empty"),
        (vec![put(&long_key, "v")], "1025 bytes, more than 1024"),
        (vec![put("good", "v"), put("k", &long_value)], "1048577 bytes, more than the 1048576 that this node takes"),
        (vec![delete("")], "key is empty"),
    ];
    for (writes, words) in cases {
        let error = bench.node.write(bench.now, writes).unwrap_err();
        assert_eq!((error.code(), error.local()), (Code::InvalidArgument, LocalState::Valid));
        assert!(error.what().contains(words), "{error}");
    }
    bench.run();
    assert_eq!(bench.node.status().published, Lsn(1), "only the birth");
}

#[test]
fn what_was_answered_is_there_after_a_power_cut() {
    let mut bench = Bench::new();
    for n in 0..20 {
        bench.put(&format!("k{n}"), "v");
        bench.run();
    }
    let digest = bench.node.store().digest();
    let replica = bench.node.status().replica;
    bench.disk.crash();
    let bench = bench.reopen(2);
    assert_eq!(bench.node.store().digest(), digest);
    assert_eq!(bench.node.status().replica, replica, "a restart goes on with the same history");
}

/// Nodes forget deletions at different moments.
#[test]
fn the_digest_tells_nothing_of_what_was_deleted() {
    let mut bench = Bench::new();
    let empty = bench.node.status().store.digest;
    bench.put("k", "v");
    bench.run();
    assert_ne!(bench.node.status().store.digest, empty);
    bench.node.write(bench.now, vec![delete("k")]).unwrap();
    bench.run();
    let store = bench.node.status().store;
    assert_eq!((store.digest, store.tombstones), (empty, 1));
}

#[test]
fn a_failed_sync_leaves_the_write_invisible_and_the_node_readable() {
    let mut bench = Bench::new();
    bench.put("old", "1");
    bench.run();
    bench.disk.fail(bench.disk.journal().len(), Failure::Half(DiskErrorKind::Io));
    let doubtful = bench.put("doubtful", "2");
    bench.poll();
    let unwritten = bench.put("unwritten", "3");
    bench.run();

    let told = |request| bench.answer(request).unwrap().as_ref().unwrap_err();
    assert_eq!((told(doubtful).code(), told(doubtful).local()), (Code::IoError, LocalState::Unknown));
    assert_eq!((told(unwritten).code(), told(unwritten).local()), (Code::IoError, LocalState::Valid));
    assert_eq!((bench.value("doubtful"), bench.value("unwritten")), (None, None));
    assert_eq!(bench.value("old"), Some(&b"1"[..]));
    assert_eq!(bench.node.write(bench.now, vec![put("more", "4")]).unwrap_err().code(), Code::Degraded);
    assert!(matches!(bench.node.status().health, Health::Degraded(_)));
    assert!(matches!(bench.events[..], [Event::Degraded(_)]));

    let bench = bench.reopen(2);
    assert_eq!(bench.value("old"), Some(&b"1"[..]));
    assert_eq!(bench.value("unwritten"), None, "what was never written cannot come back");
    assert_eq!(bench.node.status().health, Health::Ready);
}

#[test]
fn a_key_stamped_at_the_end_of_time_is_refused_by_name_and_others_are_not() {
    let mut bench = Bench::new();
    let hostile = Operation {
        dot: Dot { replica: ReplicaId([9; 16]), seq: 1 },
        stamp: Stamp(u64::MAX),
        context: VersionVector::EMPTY,
        key: "stuck".into(),
        body: Body::Put("hostile".into()),
        marks: Marks::default(),
    };
    bench.node.store.apply(Lsn(1), &hostile);
    let refused = bench.node.write(bench.now, vec![put("free", "x"), put("stuck", "x")]).unwrap_err();
    assert_eq!(refused.code(), Code::StoreError);
    assert!(refused.what().contains("stuck"), "{refused}");
    bench.put("free", "x");
    bench.run();
    assert!(bench.value("free").is_some() && bench.value("stuck").is_some());
}

#[test]
fn a_snapshot_bounds_replay_and_reopens_to_the_same_store() {
    let mut bench = Bench::new();
    for n in 0..200 {
        bench.put(&format!("k{}", n % 10), &format!("{n}"));
        bench.run();
    }
    let request = bench.node.snapshot(bench.now).unwrap();
    bench.run();
    assert!(matches!(bench.answer(request), Some(Ok(Reply::Snapshot(taken))) if taken.at == Lsn(202)));
    bench.put("after", "x");
    bench.run();
    let digest = bench.node.store().digest();
    let mut disk = bench.disk;
    disk.crash();
    let (node, report) = open(&mut disk, Config::default(), 9, Start::OpenExisting).unwrap();
    assert_eq!(node.store().digest(), digest);
    assert_eq!((report.snapshot_at, report.snapshot_entries, report.records), (Some(Lsn(202)), 10, 1));
}

#[test]
fn seqs_go_on_after_a_reopen_and_never_repeat() {
    let mut bench = Bench::new();
    bench.put("k", "a");
    bench.run();
    let before = bench.node.store().get(b"k").unwrap().dot();
    let mut bench = bench.reopen(2);
    bench.put("k", "b");
    bench.run();
    let after = bench.node.store().get(b"k").unwrap().dot();
    assert_eq!((after.replica, after.seq), (before.replica, before.seq + 1));
    let entry = bench.node.store().get(b"k").unwrap();
    assert!(entry.context().covers(before) && entry.version() == 2);
}

#[test]
fn stamps_rise_across_a_restart_with_a_clock_that_stepped_back() {
    let mut bench = Bench::new();
    bench.now = at(1_000_000);
    bench.put("k", "a");
    bench.run();
    let before = bench.node.store().get(b"k").unwrap().stamp();
    let mut bench = bench.reopen(2);
    bench.now = at(2);
    bench.put("other", "b");
    bench.run();
    assert!(bench.node.store().get(b"other").unwrap().stamp() > before);
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let named = |name: &str| Config { node_id: Some(NodeId::new(name).unwrap()), ..Config::default() };
    let mut disk = MemDisk::new();
    open(&mut disk, named("till-1"), 1, Start::CreateNew).unwrap();
    disk.stop();
    let error = open(&mut disk, named("till-2"), 2, Start::OpenOrCreate).unwrap_err();
    assert!(error.what().contains("belongs to node till-1, not to till-2"), "{error}");
    disk.stop();
    assert_eq!(open(&mut disk, named("till-1"), 3, Start::CreateNew).unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(open(&mut MemDisk::new(), named("x"), 4, Start::OpenExisting).unwrap_err().code(), Code::NotFound);
}

#[test]
fn a_founded_log_has_the_content_under_a_new_history() {
    let mut bench = Bench::new();
    for n in 0..50 {
        bench.put(&format!("k{n}"), "v");
    }
    bench.run();
    let old = bench.node.status();
    bench.disk.stop();
    let mut inspection = Inspection::new();
    while let Some(request) = inspection.poll_output() {
        let result = bench.disk.run(&request.op);
        inspection.handle(request.token, result);
    }
    let inspected = inspection.take_outcome().unwrap().unwrap();
    assert!(inspected.report.damage.is_empty());

    let mut disk = MemDisk::new();
    let content = Box::new(inspected.content.unwrap());
    open(&mut disk, Config::default(), 5, Start::Found(content)).unwrap();
    disk.crash();
    let mut bench = Bench::on(disk, Config::default(), 6);
    let new = bench.node.status();
    assert_eq!(new.store, old.store);
    assert_ne!(new.replica, old.replica);
    bench.put("k0", "changed");
    bench.run();
    let entry = bench.node.store().get(b"k0").unwrap();
    assert_eq!((entry.dot().replica, entry.dot().seq, entry.version()), (new.replica, 1, 2));
}

#[test]
fn a_clean_close_is_told_from_a_crash() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    bench.node.close(bench.now);
    bench.run();
    assert!(bench.closed);
    assert_eq!(bench.node.write(bench.now, vec![put("k", "w")]).unwrap_err().code(), Code::InvalidState);
    let mut disk = bench.disk;
    disk.crash();
    let (node, report) = open(&mut disk, Config::default(), 2, Start::OpenExisting).unwrap();
    assert!(report.clean && node.store().get(b"k").is_some());
    disk.crash();
    let (_, report) = open(&mut disk, Config::default(), 3, Start::OpenExisting).unwrap();
    assert!(!report.clean || report.records > 0, "the second run wrote nothing");
}

#[test]
fn memory_only_answers_at_once_and_says_what_it_cannot_do() {
    let config = Config { durability: Durability::Memory, ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let request = bench.put("k", "v");
    bench.poll();
    assert_eq!(bench.written(request).outcome, Outcome::Created);
    assert_eq!(bench.value("k"), Some(&b"v"[..]));
    assert!(bench.disk.journal().is_empty());
    assert_eq!(bench.node.snapshot(bench.now).unwrap_err().code(), Code::InvalidState);
    assert_eq!(bench.node.flush(bench.now).unwrap_err().code(), Code::InvalidState);
}

#[test]
fn writes_beyond_the_pending_bound_are_refused_not_queued() {
    let config = Config { max_value_len: 100, max_pending_bytes: 1000, ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let value = "v".repeat(90);
    let taken = (0..).take_while(|n| bench.node.write(bench.now, vec![put(&format!("k{n}"), &value)]).is_ok()).count();
    assert!((5..=12).contains(&taken), "{taken}");
    let error = bench.node.write(bench.now, vec![put("x", &value)]).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded);
    bench.run();
    assert_eq!(bench.node.store().len(), taken);
    bench.put("x", &value);
    bench.run();
    assert!(bench.value("x").is_some());
}

#[test]
fn with_a_sync_interval_answers_come_after_the_write_and_the_timer_syncs() {
    let config = Config { durability: Durability::Every(Duration::from_millis(50)), ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let request = bench.put("k", "v");
    bench.run();
    assert_eq!(bench.written(request).outcome, Outcome::Created);
    let flush = bench.node.flush(bench.now).unwrap();
    bench.run();
    assert!(matches!(bench.answer(flush), Some(Ok(Reply::Flushed(lsn))) if *lsn == Lsn(3)));
    bench.disk.crash();
    let bench = bench.reopen(2);
    assert!(bench.value("k").is_some(), "what was flushed survives");
}

#[test]
fn a_new_node_keeps_its_birth_through_a_power_failure_whatever_its_sync_interval() {
    let config = Config { durability: Durability::Every(Duration::from_secs(3600)), ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let replica = bench.node.status().replica;
    bench.disk.crash();
    let bench = bench.reopen(2);
    assert_eq!(bench.node.status().replica, replica);
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = || {
        let mut bench = Bench::new();
        for n in 0..30 {
            bench.put(&format!("k{}", n % 7), &format!("{n}"));
            if n % 3 == 0 {
                bench.run();
            }
        }
        bench.run();
        format!("{:?}", bench.disk.journal())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_batch_is_one_frame() {
    let mut bench = Bench::new();
    let writes = (0..10).map(|n| put(&format!("k{n}"), "v")).collect();
    bench.node.write(bench.now, writes).unwrap();
    bench.run();
    let name = FileName::Segment(1).to_name();
    let bytes = Bytes::copy_from_slice(bench.disk.bytes(&name));
    let salt = SegmentHeader::decode(&bytes.slice(..SEGMENT_HEADER_LEN)).unwrap().frame_salt();
    let birth = decode_frame(&bytes, SEGMENT_HEADER_LEN, salt).unwrap();
    let batch = decode_frame(&bytes, SEGMENT_HEADER_LEN + birth.encoded_len, salt).unwrap();
    // Ahead of them, the record that tells this run from others.
    assert_eq!((batch.kind, batch.count, batch.first_lsn.to_string()), (FrameKind::Data, 11, "2".to_string()));
}

#[test]
fn a_snapshot_that_is_due_waits_for_the_first_write_and_is_no_news_when_closing() {
    let mut config = Config::default();
    config.log.snapshot_min = 0;
    let mut bench = Bench::on(MemDisk::new(), config.clone(), 1);
    let mut n = 0;
    while !bench.node.status().log.unwrap().snapshot_running {
        bench.put("k", &format!("{n}"));
        bench.step();
        n += 1;
    }
    let asked = bench.node.snapshot(bench.now).unwrap();
    bench.node.close(bench.now);
    bench.run();
    let Some(Err(told)) = bench.answer(asked) else { panic!("whoever asked for it is told") };
    assert_eq!(told.code(), Code::InvalidState, "{told}");
    assert!(bench.closed && bench.events.is_empty(), "giving up for a close is no failure: {:?}", bench.events);
    assert!(!bench.disk.names().iter().any(|name| name.ends_with(".new")), "and leaves no draft");

    bench.disk.stop();
    let mut bench = Bench::on(bench.disk, config, 2);
    bench.run();
    assert!(!bench.node.status().log.unwrap().snapshot_running, "a node that only reads leaves the disk alone");
    bench.put("k", "again");
    bench.run();
    assert!(matches!(bench.events[..], [Event::SnapshotDone(_)]));
}

#[test]
fn on_a_full_disk_a_snapshot_is_answered_and_makes_room() {
    let mut config = Config::default();
    (config.log.first_segment, config.log.max_segment) = (64 << 10, 64 << 10);
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let value = "v".repeat(4000);
    bench.full = true;
    let mut refused = None;
    for n in 0..40 {
        let request = bench.put("k", &format!("{n}{value}"));
        bench.run();
        refused = bench.answer(request).unwrap().clone().err();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("the first segment has no room for all of them");
    assert_eq!((refused.code(), refused.local()), (Code::DiskFull, LocalState::Valid));
    assert_eq!(bench.node.status().health, Health::DiskFull);

    let request = bench.node.snapshot(bench.now).unwrap();
    bench.run();
    assert!(matches!(bench.answer(request), Some(Ok(Reply::Snapshot(_)))), "{:?}", bench.answer(request));

    bench.full = false;
    let request = bench.put("k", "small");
    bench.run();
    assert!(bench.answer(request).unwrap().is_ok());
}
