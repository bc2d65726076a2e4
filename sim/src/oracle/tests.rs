use softadastra_core::clock::Stamp;
use softadastra_core::context::VersionVector;
use softadastra_core::ids::{Dot, ReplicaId};
use softadastra_core::node::Outcome;
use softadastra_core::op::{Body, Marks, Operation};
use softadastra_core::sync::SyncRecord;
use softadastra_core::wal::format::Record;

use super::ledger::{Breach, Ledger};
use super::witness::Registry;
use super::*;

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.to_owned().into(), value: value.to_owned().into(), expect: None, touch: false }
}

fn done(oracle: &mut Oracle, number: u32, write: Write, outcome: Outcome, version: u64) {
    let request = RequestId(u64::from(number));
    oracle.asked(0, number, request, vec![write]);
    let written = [Written { outcome, version, lsn: Lsn(u64::from(number)) }];
    oracle.answered(0, request, Ok(&written), true).unwrap();
}

fn pending(oracle: &mut Oracle, number: u32, write: Write) {
    oracle.asked(0, number, RequestId(u64::from(number)), vec![write]);
}

fn failed(oracle: &mut Oracle, number: u32, write: Write) {
    pending(oracle, number, write);
    let error = Error::new(Code::IoError, "no", "");
    oracle.answered(0, RequestId(u64::from(number)), Err(&error), true).unwrap();
}

fn state(writes: &[Write]) -> State {
    let mut state = State::default();
    for write in writes {
        state.apply(std::slice::from_ref(write)).unwrap();
    }
    state
}

fn judge(oracle: &Oracle, writes: &[Write]) -> Verdict {
    oracle.judge(&state(writes), oracle.floor(Harshness::Power))
}

#[test]
fn what_was_answered_must_be_there_and_what_was_not_may_be() {
    let mut oracle = Oracle::default();
    done(&mut oracle, 1, put("a", "1"), Outcome::Created, 1);
    pending(&mut oracle, 2, put("a", "2"));
    pending(&mut oracle, 3, put("b", "3"));
    assert_eq!(judge(&oracle, &[put("a", "1")]), Verdict::Cut(1));
    assert_eq!(judge(&oracle, &[put("a", "1"), put("a", "2")]), Verdict::Cut(2));
    assert_eq!(judge(&oracle, &[put("a", "1"), put("a", "2"), put("b", "3")]), Verdict::Cut(3));
    assert!(matches!(judge(&oracle, &[]), Verdict::Lost(_)));
    // The later without the earlier is no beginning of the log.
    assert!(matches!(judge(&oracle, &[put("a", "1"), put("b", "3")]), Verdict::Ghost(_)));
}

#[test]
fn what_failed_must_not_be_there() {
    let mut oracle = Oracle::default();
    done(&mut oracle, 1, put("a", "1"), Outcome::Created, 1);
    failed(&mut oracle, 2, put("a", "2"));
    pending(&mut oracle, 3, put("b", "3"));
    assert_eq!(judge(&oracle, &[put("a", "1"), put("b", "3")]), Verdict::Cut(3));
    assert!(matches!(judge(&oracle, &[put("a", "1"), put("a", "2")]), Verdict::Ghost(_)));
}

#[test]
fn what_was_only_written_may_go_with_the_power() {
    let mut oracle = Oracle::default();
    oracle.asked(0, 1, RequestId(1), vec![put("a", "1")]);
    let written = [Written { outcome: Outcome::Created, version: 1, lsn: Lsn(5) }];
    oracle.answered(7, RequestId(1), Ok(&written), false).unwrap();
    assert_eq!((oracle.floor(Harshness::Kill), oracle.floor(Harshness::Power)), (1, 0));
    oracle.durable_through(Lsn(4));
    oracle.durable_since(6);
    assert_eq!(oracle.floor(Harshness::Power), 0);
    oracle.clone().durable_since(7);
    oracle.durable_through(Lsn(5));
    assert_eq!(oracle.floor(Harshness::Power), 1);
}

#[test]
fn an_answer_that_is_not_true_is_noticed() {
    let mut oracle = Oracle::default();
    pending(&mut oracle, 1, put("a", "1"));
    let written = [Written { outcome: Outcome::Updated, version: 1, lsn: Lsn(1) }];
    assert!(oracle.answered(0, RequestId(1), Ok(&written), true).is_err());
    assert!(oracle.answered(0, RequestId(1), Ok(&written), true).is_err(), "answered twice");
}

#[test]
fn what_was_read_after_reopening_must_survive() {
    let mut oracle = Oracle::default();
    pending(&mut oracle, 1, put("a", "1"));
    oracle.reopened(state(&[put("a", "1")]));
    assert!(matches!(judge(&oracle, &[]), Verdict::Lost(_)));
}

fn operation(seq: u64, stamp: u64, context: &[Dot], body: Body) -> Operation {
    let mut seen = VersionVector::EMPTY;
    for dot in context {
        seen.include(*dot);
    }
    let dot = Dot { replica: ReplicaId([2; 16]), seq };
    Operation { dot, stamp: Stamp(stamp), context: seen, key: "k".into(), body, marks: Marks::default() }
}

/// Seed 251021991759827: a value had lost to a deletion that was collected here. It came again, ahead of the deletion that it had
/// lost to, in one frame; nobody is shown the one without the other.
#[test]
fn what_the_frame_itself_supersedes_was_never_shown() {
    let (mut ledger, mut registry, clients) = (Ledger::default(), Registry::default(), Oracle::default());
    let value = operation(1, 10, &[], Body::Put("1".into()));
    let deletion = operation(2, 20, &[value.dot], Body::Delete);
    [&value, &deletion].into_iter().for_each(|op| registry.issue(op));
    let (mut stable, stamp) = (VersionVector::EMPTY, Stamp(21));
    stable.include(value.dot);
    stable.include(deletion.dot);
    let mut collected = Vec::new();
    SyncRecord::Collected { stable: stable.clone(), before: stamp, dots: stable, stamp }.encode(&mut collected);
    let records = [Record::Foreign(value.clone()), Record::Foreign(deletion.clone()), Record::Sync(collected.into())];
    for (lsn, record) in (1..).zip(&records) {
        ledger.take(Lsn(lsn), record, &mut registry, &clients).unwrap();
        ledger.end_frame().unwrap();
        ledger.show(Lsn(lsn));
    }
    let mut alone = ledger.clone();
    ledger.take(Lsn(4), &Record::Foreign(value.clone()), &mut registry, &clients).unwrap();
    ledger.take(Lsn(5), &Record::Foreign(deletion), &mut registry, &clients).unwrap();
    assert_eq!(ledger.end_frame(), Ok(()));
    alone.take(Lsn(4), &Record::Foreign(value), &mut registry, &clients).unwrap();
    assert!(matches!(alone.end_frame(), Err(Breach::Returned(_))), "without its deletion it stands again");
}

/// Seed 94196033612897: a full exchange had dropped a value, and its deletion was not claimed yet, so whoever had not heard of the
/// deletion brought the value again. Once the deletion is claimed, nobody may.
#[test]
fn what_was_dropped_unclaimed_may_come_again_until_it_is_claimed() {
    let (mut ledger, mut registry, clients) = (Ledger::default(), Registry::default(), Oracle::default());
    let value = operation(1, 10, &[], Body::Put("1".into()));
    let deletion = operation(2, 20, &[value.dot], Body::Delete);
    [&value, &deletion].into_iter().for_each(|op| registry.issue(op));
    let mut dots = VersionVector::EMPTY;
    dots.include(value.dot);
    dots.include(deletion.dot);
    let sync = |record: SyncRecord| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        Record::Sync(bytes.into())
    };
    let owed = sync(SyncRecord::Owed { dots: dots.clone(), stamp: Stamp(21) });
    let dropped = sync(SyncRecord::Dropped { dot: value.dot, key: value.key.clone() });
    let mut last = 0;
    let mut take = |ledger: &mut Ledger, record: &Record| {
        last += 1;
        ledger.take(Lsn(last), record, &mut registry, &clients).unwrap();
        ledger.show(Lsn(last));
        ledger.endure(Lsn(last));
        ledger.end_frame()
    };
    for record in [&Record::Foreign(value.clone()), &owed, &dropped] {
        take(&mut ledger, record).unwrap();
    }
    let claims = [
        SyncRecord::Cut(dots.clone()),
        SyncRecord::Floor { dots: dots.clone(), stamp: Stamp(21) },
        SyncRecord::Collected { stable: dots.clone(), before: Stamp(21), dots: dots.clone(), stamp: Stamp(21) },
    ];
    for claim in claims {
        let mut claimed = ledger.clone();
        take(&mut claimed, &sync(claim.clone())).unwrap();
        // Another claim, which says nothing of it, takes nothing back.
        take(&mut claimed, &sync(SyncRecord::Cut(VersionVector::EMPTY))).unwrap();
        let again = take(&mut claimed, &Record::Foreign(value.clone()));
        assert!(matches!(again, Err(Breach::Returned(_))), "it came again after {claim:?}");
    }
    assert_eq!(take(&mut ledger, &Record::Foreign(value.clone())), Ok(()));
}
