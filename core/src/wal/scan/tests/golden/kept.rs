//! Conflicts before and after a start under another policy, and a snapshot in between whose head says which held.
//!
//! It reaches beyond one of them: what stood there is in the log alone.

use super::sync::{all_held, kinds, logged, taken, vector};
use super::*;
use crate::codec::Fault;
use crate::sync::{Contest, Policy, SyncRecord, Version};

const FOLDER: &str = "v3-sync";
const AT: Lsn = Lsn(4);
const REACHES: Lsn = Lsn(6);

/// Four keys are written here and elsewhere, the last two after a start that keeps both no more; of the last one the log does not
/// say what stood there.
fn records() -> Vec<Record> {
    let node = NodeId::new("till-1").unwrap();
    let met = |seq, key: &'static [u8], is_said| {
        let ours = op(REPLICA, seq, key, Some(b"here"), &[]);
        let version = Version {
            dot: ours.dot,
            stamp: ours.stamp,
            context: ours.context.clone(),
            body: ours.body.clone(),
            resolution: false,
        };
        let contest = if is_said { Contest::With(Box::new(version)) } else { Contest::WithStanding };
        let theirs = op(OTHER, seq, key, Some(b"elsewhere"), &[]);
        let entry = SyncRecord::Entry { op: theirs, known: vector(&[]), contest };
        [Record::Own(ours), logged(&entry)]
    };
    let mut records = vec![
        Record::Birth { replica: REPLICA, node, at: WallTime(1_700_000_000_000) },
        logged(&SyncRecord::Boot { boot: 0xb001, after: Lsn(1), keeps_both: Some(true) }),
    ];
    records.extend(met(1, b"apple", true));
    records.extend(met(2, b"pear", true));
    records.push(logged(&SyncRecord::Boot { boot: 0xb002, after: Lsn(6), keeps_both: Some(false) }));
    records.extend(met(3, b"quince", true));
    records.extend(met(4, b"plum", false));
    records
}

fn written_now() -> Vec<(String, Vec<u8>)> {
    let records = records();
    let mut log = Log::founded_at(Lsn(1));
    log.frame_of(&records[..6], FrameKind::Data);
    log.frame_of(&records[6..], FrameKind::Data);
    log.empty(FrameKind::Close);
    let (store, head) = taken(&records, AT, REACHES);
    vec![(name(1), log.bytes().to_vec()), (FileName::Snapshot(AT).to_name(), snapshot(&store, AT, REACHES, &head))]
}

fn held_under(policy: Policy) -> String {
    let mut config = Config::default();
    config.sync.conflict_policy = policy;
    all_held(&node_under(config, &mut directory(FOLDER, "")))
}

pub(super) fn write_the_fixture() {
    for (path, bytes) in written_now() {
        write(fixtures(FOLDER).join(path), &bytes);
    }
    let text = read(FOLDER, "").1 + &held_under(Policy::LastWriteWins);
    write(fixtures(FOLDER).join("holds.txt"), text.as_bytes());
}

#[test]
fn what_has_become_of_conflicts_is_read_as_it_was_whatever_the_policy_is_now() {
    let expected = fs::read_to_string(fixtures(FOLDER).join("holds.txt")).unwrap();
    for policy in [Policy::LastWriteWins, Policy::KeepBoth] {
        let (report, text) = read(FOLDER, "");
        assert_eq!((report.refusal(), report.next_lsn, report.log), (None, Lsn(12), Some(LOG)));
        assert_eq!(text + &held_under(policy), expected, "{policy:?}");
    }
}

#[test]
fn this_version_writes_what_becomes_of_conflicts_byte_for_byte() {
    for (path, bytes) in written_now() {
        let stored = fs::read(fixtures(FOLDER).join(&path)).unwrap();
        assert_eq!(hex(&bytes), hex(&stored), "{path}");
    }
}

#[test]
fn the_fixtures_show_every_record_of_sync() {
    assert!(kinds(&records()).into_iter().eq(15..=16), "add what was added");
    let unknown = SyncRecord::decode(&Bytes::from_static(&[17])).unwrap_err();
    assert_eq!(unknown.fault, Fault::FromTheFuture, "a kind that no fixture shows");
    // What ends a run's record and a contest is one of two.
    for record in [&records()[1], records().last().unwrap()] {
        let Record::Sync(bytes) = record else { panic!("a record of sync") };
        let mut neither = bytes.to_vec();
        *neither.last_mut().unwrap() = 2;
        assert_eq!(SyncRecord::decode(&neither.into()).unwrap_err().fault, Fault::FromTheFuture);
    }
}
