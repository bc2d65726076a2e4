//! Many lives of one directory: run, lose power or be killed, scan, mount, run on. Scans and mounts are cut short, too.

use super::orders::Run;
use super::*;
use crate::codec::DecodeError;
use crate::ids::NodeId;
use crate::time::WallTime;
use crate::wal::mount::{Founding, Mount};
use crate::wal::scan::{Purpose, Replay, Scan, ScanReport};

/// What a scan hands on.
#[derive(Default)]
struct Found {
    snapshot: Lsn,
    records: BTreeMap<Lsn, u64>,
}

impl Replay for Found {
    fn head(&mut self, at: Lsn, head: Bytes) -> Result<ReplicaId, DecodeError> {
        assert_eq!(head, "head");
        self.snapshot = at;
        Ok(ReplicaId([1; 16]))
    }

    fn block(&mut self, _items: u32, body: Bytes) -> Result<(), DecodeError> {
        assert!(body.iter().all(|byte| *byte == 1));
        Ok(())
    }

    fn record(&mut self, lsn: Lsn, record: Record) -> Result<(), DecodeError> {
        let seq = match record {
            Record::Own(op) => op.dot.seq,
            Record::Birth { .. } => 0,
            Record::Foreign(_) | Record::Sync(_) => panic!("none was written"),
        };
        assert_eq!(self.records.insert(lsn, seq), None);
        Ok(())
    }
}

/// Scans and mounts, at most `left` operations; `None` if that was too few.
fn open(run: &mut Run, settings: &Settings, left: &mut u64) -> Option<(Found, Wal)> {
    let mut asked: Vec<DiskRequest> = Vec::new();
    let mut answer = |asked: &mut Vec<DiskRequest>, disk: &mut MemDisk| {
        let request = asked.pop().expect("one operation at a time");
        *left = left.checked_sub(1)?;
        Some((request.token, disk.run(&request.op)))
    };
    let mut found = Found::default();
    let mut scan = Scan::new(Purpose::Open);
    scan.start(&mut asked);
    let report: ScanReport = loop {
        if let Some(outcome) = scan.take_outcome() {
            break outcome.unwrap();
        }
        let (token, result) = answer(&mut asked, &mut run.bench.disk)?;
        scan.handle_completion(token, result, &mut found, &mut asked);
    };
    assert_eq!(report.refusal(), None, "{report:?}");
    let founding = Founding { log: LogId([7; 16]), first_lsn: Lsn(1) };
    let dice = Seed::from_number(run.dice.next_u64()).stream("wal");
    let mut mount = Mount::new(report, settings.clone(), founding, dice).unwrap();
    mount.start(&mut asked);
    loop {
        if let Some(outcome) = mount.take_outcome() {
            return Some((found, outcome.unwrap()));
        }
        let (token, result) = answer(&mut asked, &mut run.bench.disk)?;
        mount.handle_completion(token, result, &mut asked);
    }
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The power fails: any part of what was not synced is lost.
    Power,
    /// The process is killed: what the disk has taken stays.
    Kill,
}

fn end(run: &mut Run, how: End) {
    match how {
        End::Power => run.bench.disk.crash_by(&mut run.dice),
        End::Kill => run.bench.disk.stop(),
    }
}

/// A new life, after as many attempts as it takes, each cut short as the life before was.
fn reopen(run: &mut Run, settings: &Settings, how: End) {
    let (found, wal) = loop {
        let mut left = if run.dice.below(3) == 0 { run.dice.below(20) } else { u64::MAX };
        if let Some(opened) = open(run, settings, &mut left) {
            break opened;
        }
        end(run, how);
    };
    let last = wal.progress().durable;
    assert!(last >= run.promised, "{} was promised, {last} is there", run.promised);
    for (lsn, seq) in &found.records {
        assert_eq!(run.written.get(lsn), Some(seq), "at {lsn} stands another record");
    }
    let whole = (found.snapshot.0 + 1..=last.0).all(|lsn| found.records.contains_key(&Lsn(lsn)));
    assert!(whole, "all after the snapshot at {} is handed on, up to {last}", found.snapshot);
    run.written.split_off(&last.next());
    run.promised = last;
    run.pins = 0;
    run.bench.names = [(wal.files.active.file, "active.seg".to_string())].into();
    run.bench.asked.clear();
    run.bench.wal = wal;
    if last == Lsn::ZERO {
        let node = NodeId::new("till-1").unwrap();
        let birth = Record::Birth { replica: ReplicaId([1; 16]), node, at: WallTime(1) };
        run.bench.wal.append(&[birth]).unwrap();
        run.written.insert(Lsn(1), 0);
        run.bench.submit();
        run.bench.settle();
        run.listen();
    }
}

#[test]
fn what_was_promised_in_one_life_is_there_in_the_next() {
    let mut seen = alloc::collections::BTreeSet::new();
    for seed in 0..40 {
        let settings = if seed % 3 == 0 { every(20) } else { settings() };
        let mut run = Run::new(seed);
        run.bench.disk = MemDisk::new();
        reopen(&mut run, &settings, End::Power);
        for _ in 0..12 {
            for _ in 0..run.dice.below(120) {
                run.step();
            }
            if run.dice.below(3) == 0 {
                run.bench.call(|wal, now, out| wal.close(now, out));
                for _ in 0..run.dice.below(60) {
                    run.complete_one();
                }
            }
            let how = if run.dice.below(2) == 0 { End::Power } else { End::Kill };
            if how == End::Kill {
                run.promised = run.bench.wal.progress().written;
            }
            end(&mut run, how);
            reopen(&mut run, &settings, how);
        }
        seen.extend(run.seen.into_keys());
    }
    for what in ["snapshot", "roll", "removal", "setting aside", "reuse"] {
        assert!(seen.contains(what), "{what} never happened: {seen:?}");
    }
}
