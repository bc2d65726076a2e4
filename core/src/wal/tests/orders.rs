//! Operations complete in any order, some fail for want of room, and at any moment the power may fail: what was said to
//! be durable is there.

use super::*;
use crate::dice::Dice;
use crate::testing::Failure;
use crate::wal::format::{FileName, Records};
use crate::wal::snapshot::{Decoder, Part};

pub(super) struct Run {
    pub(super) bench: Bench,
    pub(super) dice: Dice,
    /// Which record each LSN names, by its seq.
    pub(super) written: BTreeMap<Lsn, u64>,
    /// The greatest LSN that was said to be durable.
    pub(super) promised: Lsn,
    pub(super) pins: u32,
    pub(super) seen: BTreeMap<&'static str, u32>,
}

/// What a reader finds after a crash: everything from where the snapshot ends.
struct Found {
    snapshot: Lsn,
    records: BTreeMap<Lsn, u64>,
}

impl Found {
    fn last(&self) -> Lsn {
        self.records.last_key_value().map_or(self.snapshot, |(lsn, _)| *lsn)
    }
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Seed::from_number(seed).stream("orders");
        let settings = if seed.is_multiple_of(3) { every(20) } else { settings() };
        let (written, seen) = (BTreeMap::new(), BTreeMap::new());
        Self { bench: Bench::new(settings), dice, written, promised: Lsn::ZERO, pins: 0, seen }
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(super) fn listen(&mut self) {
        for line in self.bench.heard() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("durable"), Some(lsn)) => self.promised = Lsn(lsn.parse().unwrap()),
                (Some("refused"), Some(from)) => {
                    let from = Lsn(from.trim_end_matches("..:").parse().unwrap());
                    self.written.split_off(&from);
                    self.saw("refused");
                }
                (Some("snapshot"), Some("room")) => {
                    let (last, reaches) = (self.dice.below(3) == 0, self.bench.wal.progress().written);
                    let bytes = vec![1; self.dice.below(3000) as usize];
                    let block = SnapshotBlock { bytes, items: 1, last, reaches };
                    self.bench.call(|wal, now, out| wal.push_snapshot_block(now, block, out));
                }
                (Some("snapshot"), Some("at")) => self.saw("snapshot"),
                (Some("snapshot"), Some("failed:")) => self.saw("snapshot failed"),
                (Some("rename"), Some(name)) if name.ends_with(".seg.old") => self.saw("reuse"),
                (Some("rename"), Some(_)) if line.contains(".seg.old") => self.saw("setting aside"),
                (Some("rename"), Some(_)) if line.contains("seg") => self.saw("roll"),
                (Some("remove"), Some(name)) if name.ends_with(".seg") => self.saw("removal"),
                _ => {}
            }
        }
        let frames = self.bench.asked.iter().filter(|request| self.bench.frame(request).is_some()).count();
        assert!(frames <= 1, "one frame is on its way at most");
    }

    pub(super) fn step(&mut self) {
        match self.dice.below(12) {
            0..3 => {
                let large = self.dice.below(8) == 0;
                let len = self.dice.below(if large { 9000 } else { 600 }) as usize;
                let seq = self.bench.next_seq;
                if let Ok(lsn) = self.bench.put(len) {
                    self.written.insert(lsn, seq);
                }
            }
            3..5 => self.bench.submit(),
            5..10 => self.complete_one(),
            10 => {
                let millis = self.dice.below(30) + self.dice.below(2) * 1000;
                self.bench.wait(millis);
            }
            _ => match self.dice.below(3) {
                0 => {
                    // What a node has published: with a timer that is more than what is durable.
                    let at = self.bench.wal.progress().written;
                    let begun = self.bench.call(|wal, now, out| wal.begin_snapshot(now, at, b"head", out));
                    assert!(!matches!(begun, Err(SnapshotRefused::Poisoned | SnapshotRefused::Closing)));
                }
                1 if self.pins < 2 => {
                    self.bench.wal.pin();
                    self.pins += 1;
                }
                _ if self.pins > 0 => {
                    self.bench.call(|wal, _, out| wal.unpin(out));
                    self.pins -= 1;
                }
                _ => {}
            },
        }
        self.listen();
    }

    /// Completes any operation that no earlier one on the same file precedes.
    pub(super) fn complete_one(&mut self) {
        if self.bench.asked.is_empty() {
            return;
        }
        let file = |request: &DiskRequest| match &request.op {
            DiskOp::Create { file, .. }
            | DiskOp::Write { file, .. }
            | DiskOp::Zero { file, .. }
            | DiskOp::Sync { file }
            | DiskOp::Read { file, .. }
            | DiskOp::Close { file } => Some(*file),
            _ => None,
        };
        let any = self.dice.below(self.bench.asked.len() as u64) as usize;
        let wanted = file(&self.bench.asked[any]);
        let first = self.bench.asked.iter().position(|request| wanted.is_some() && file(request) == wanted);
        let request = self.bench.asked.remove(first.unwrap_or(any)).unwrap();
        let of_spare_or_draft = wanted.is_some_and(|file| self.bench.names[&file].ends_with(".new"));
        let grows = matches!(request.op, DiskOp::Create { .. } | DiskOp::Zero { .. })
            || (of_spare_or_draft && self.bench.names[&wanted.unwrap()].contains("snap"));
        let result = if grows && self.dice.below(6) == 0 {
            Err(DiskError { kind: DiskErrorKind::NoSpace, message: "full".to_string() })
        } else {
            self.bench.disk.run(&request.op)
        };
        self.bench.complete(request.token, result);
        self.listen();
    }

    /// The power fails here: is everything there that was promised, and nothing that was not written?
    fn check_crash(&mut self) {
        let mut disk = self.bench.disk.clone();
        disk.crash_by(&mut self.dice);
        let found = read(&disk);
        assert!(found.last() >= self.promised, "{} promised, {} found", self.promised, found.last());
        for (lsn, seq) in &found.records {
            assert_eq!(self.written.get(lsn), Some(seq), "the record at {lsn} is another one");
        }
    }
}

/// Reads a directory as plainly as can be: the newest snapshot, then every segment that holds more.
fn read(disk: &MemDisk) -> Found {
    let names: Vec<FileName> = disk.names().iter().map(|name| FileName::parse(name).unwrap()).collect();
    let mut snapshot = Lsn::ZERO;
    let mut reaches = Lsn::ZERO;
    for name in &names {
        if let FileName::Snapshot(at) = name {
            let mut decoder = Decoder::new();
            decoder.push(Bytes::copy_from_slice(disk.bytes(&name.to_name())));
            while let Some(part) = decoder.next_part().expect("a snapshot under its own name is whole") {
                if let Part::Footer { reaches: to, .. } = part {
                    (snapshot, reaches) = (snapshot.max(*at), reaches.max(to));
                }
            }
            decoder.finish().unwrap();
        }
    }
    let numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| if let FileName::Segment(number) = name { Some(*number) } else { None })
        .collect();
    let mut records = BTreeMap::new();
    let mut next = Lsn::ZERO;
    for (index, number) in numbers.iter().enumerate() {
        assert_eq!(*number, numbers[0] + index as u64, "the numbers have no gap");
        let bytes = Bytes::copy_from_slice(disk.bytes(&FileName::Segment(*number).to_name()));
        let header = SegmentHeader::decode(&bytes).expect("a segment has its header before its name");
        if index == 0 {
            assert!(header.first_lsn <= snapshot.next(), "nothing between snapshot and log is missing");
            next = header.first_lsn;
        }
        assert_eq!(header.first_lsn, next, "one segment goes on where the one before ends");
        let mut offset = SEGMENT_HEADER_LEN;
        let mut sealed = false;
        while let Ok(frame) = decode_frame(&bytes, offset, header.frame_salt()) {
            assert_eq!(frame.first_lsn, next);
            let mut of_frame = Records::of(&frame);
            while let Some((lsn, record)) = of_frame.next(Some(ReplicaId([1; 16]))).unwrap() {
                let Record::Own(op) = record else { panic!("only own operations were written") };
                records.insert(lsn, op.dot.seq);
            }
            next = frame.next_lsn();
            offset += frame.encoded_len;
            sealed = frame.kind == FrameKind::Seal;
        }
        assert!(sealed || index + 1 == numbers.len(), "only the last segment is not sealed");
    }
    let found = Found { snapshot, records: records.split_off(&snapshot.next()) };
    assert!(found.last() >= reaches, "the snapshot reaches {reaches}, the log {}", found.last());
    found
}

#[test]
fn whatever_completes_when_a_promise_survives_a_power_failure() {
    let mut seen = BTreeMap::new();
    for seed in 0..60 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
            if run.dice.below(4) == 0 {
                run.check_crash();
            }
        }
        while run.pins > 0 {
            run.bench.call(|wal, _, out| wal.unpin(out));
            run.pins -= 1;
        }
        run.listen();
        for _ in 0..1000 {
            run.complete_one();
            run.bench.submit();
            run.listen();
            run.bench.wait(20);
        }
        run.check_crash();
        let progress = run.bench.wal.progress();
        assert_eq!(progress.durable, progress.accepted, "when the faults stop, all becomes durable");
        for (what, times) in run.seen {
            *seen.entry(what).or_insert(0) += times;
        }
    }
    for what in ["refused", "snapshot", "snapshot failed", "roll", "removal", "setting aside", "reuse"] {
        assert!(seen.get(what).is_some_and(|times| *times > 20), "{what} hardly ever happened: {seen:?}");
    }
}

/// Rolls, a snapshot, removals, a clean end.
fn script(run: &mut Run) {
    let settle = |run: &mut Run| {
        for _ in 0..200 {
            if let Some(request) = run.bench.asked.pop_front() {
                let result = run.bench.disk.run(&request.op);
                run.bench.complete(request.token, result);
            }
            run.bench.submit();
            run.listen();
        }
    };
    for len in [10, 2500, 1800, 6000, 9000, 9000] {
        let seq = run.bench.next_seq;
        if let Ok(lsn) = run.bench.put(len) {
            run.written.insert(lsn, seq);
        }
        run.bench.submit();
        settle(run);
    }
    let at = run.bench.wal.progress().durable;
    let begun = run.bench.call(|wal, now, out| wal.begin_snapshot(now, at, b"head", out));
    assert!(begun.is_ok() || run.bench.wal.poison().is_some());
    settle(run);
    run.bench.call(|wal, now, out| wal.close(now, out));
    settle(run);
    assert_eq!(run.bench.wal.status().state, State::Closed, "closing ends, whatever failed");
}

#[test]
fn each_operation_fails_once() {
    let mut fail_at = 0;
    loop {
        for failure in [Failure::Clean(DiskErrorKind::Io), Failure::Half(DiskErrorKind::Io)] {
            let mut run = Run::new(1);
            let opened = run.bench.disk.journal().len();
            run.bench.disk.fail(opened + fail_at, failure);
            script(&mut run);
            if run.bench.disk.journal().len() <= opened + fail_at {
                assert!(fail_at > 30 && run.seen.contains_key("removal"), "the script is short: {:?}", run.seen);
                return;
            }
            let told = run.bench.wal.poison().is_some()
                || run.seen.contains_key("snapshot failed")
                || run.bench.wal.status().removal_failed.is_some();
            assert!(told, "operation {fail_at} failed and nobody heard of it");
            for _ in 0..20 {
                run.check_crash();
            }
            let kept = read(&run.bench.disk);
            assert!(kept.last() >= run.promised, "nor does a killed process lose what was promised");
        }
        fail_at += 1;
    }
}
