//! What is kept across a restart: cursors only rise, lists have an end, and nothing is lost in the encoding.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::Fault;
use crate::context::VersionVector;
use crate::ids::{Dot, LogId, Lsn, ReplicaId};
use crate::limits::MAX_MEMBERS;
use crate::op::{Body, Chain, Marks, Operation};
use crate::store::Store;
use crate::sync::chain::{Ladder, Pairs};
use crate::sync::state::Judged;
use crate::sync::{Checkpoint, Contest, Met, Outcome, State, SyncRecord, Version};

fn id(number: usize) -> ReplicaId {
    ReplicaId((number as u128).to_be_bytes())
}

fn at(log: u8, lsn: u64) -> Checkpoint {
    Checkpoint { log: LogId([log; 16]), boot: 1, lsn: Lsn(lsn) }
}

fn with(records: &[SyncRecord]) -> State {
    let mut state = State::default();
    records.iter().for_each(|record| state.apply(record));
    state
}

fn boot(boot: u64, after: u64) -> SyncRecord {
    SyncRecord::Boot { boot, after: Lsn(after), keeps_both: None }
}

fn pairs() -> Pairs {
    let mut ladder = Ladder::default();
    ladder.push(1, Chain(7));
    ladder.pairs(1, 1)
}

#[test]
fn a_peer_goes_on_where_it_was_unless_this_log_never_came_so_far_in_that_run() {
    let state = with(&[boot(1, 0), boot(2, 10), boot(1, 99)]);
    for (lsn, boot, judged) in [
        (0, 7, Judged::From(Lsn::ZERO)),
        (10, 1, Judged::From(Lsn(10))),
        (11, 1, Judged::Impossible),
        (11, 2, Judged::From(Lsn(11))),
        (25, 2, Judged::From(Lsn(25))),
        (26, 2, Judged::Impossible),
        (25, 7, Judged::From(Lsn::ZERO)),
        (26, 7, Judged::Impossible),
    ] {
        assert_eq!(state.judge_checkpoint(Lsn(lsn), boot, Lsn(25)), judged, "{lsn} in run {boot}");
    }
}

#[test]
fn runs_of_long_ago_are_forgotten_and_walked_from_the_beginning() {
    let runs: Vec<SyncRecord> = (1..=1024).map(|run| boot(run, run)).collect();
    let mut state = with(&runs);
    assert_eq!(state.judge_checkpoint(Lsn(2), 1, Lsn(5000)), Judged::From(Lsn(2)));
    state.apply(&boot(1025, 1025));
    assert_eq!(state.judge_checkpoint(Lsn(2), 1, Lsn(5000)), Judged::From(Lsn::ZERO));
    assert_eq!(state.judge_checkpoint(Lsn(3), 2, Lsn(5000)), Judged::From(Lsn(3)));
}

#[test]
fn a_checkpoint_rises_within_a_log_and_begins_anew_with_another() {
    let mut state = State::default();
    for (to, stands) in [(at(1, 5), 5), (at(1, 4), 5), (at(1, 6), 6), (at(2, 1), 1)] {
        state.advance_checkpoint(id(1), to);
        assert_eq!(state.checkpoint(id(1), to.log), (Lsn(stands), 1), "{to:?}");
    }
    assert_eq!(state.checkpoint(id(1), LogId([1; 16])), (Lsn::ZERO, 0), "that log is gone");
    assert_eq!(state.checkpoint(id(2), LogId([1; 16])), (Lsn::ZERO, 0));
}

#[test]
fn as_many_peers_are_remembered_as_there_can_be_members() {
    let mut state = State::default();
    for number in 0..=MAX_MEMBERS {
        state.advance_checkpoint(id(number), at(1, 5));
        state.apply(&SyncRecord::Pairs { replica: id(number), pairs: pairs() });
    }
    let log = LogId([1; 16]);
    assert_eq!(state.checkpoint(id(MAX_MEMBERS - 1), log).0, Lsn(5));
    assert_eq!(state.checkpoint(id(MAX_MEMBERS), log).0, Lsn::ZERO);
    assert_eq!(state.pairs.len(), MAX_MEMBERS);
    state.advance_checkpoint(id(0), at(1, 9));
    assert_eq!(state.checkpoint(id(0), log).0, Lsn(9), "who is known goes on");
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    assert_eq!(State::decode(&bytes.into()), Ok(state));
}

#[test]
fn cursors_and_floors_only_rise_and_what_is_pruned_was_acknowledged() {
    let dots: VersionVector = [Dot { replica: id(1), seq: 4 }].into_iter().collect();
    let floor = |seq, stamp| SyncRecord::Floor {
        dots: [Dot { replica: id(1), seq }].into_iter().collect(),
        stamp: Stamp(stamp),
    };
    let state = with(&[SyncRecord::Acknowledged(7), SyncRecord::Acknowledged(5), floor(4, 9), floor(3, 8)]);
    assert_eq!((state.acknowledged, state.pruned), (7, 0));
    assert_eq!((&state.floor, state.floor_stamp), (&dots, Stamp(9)));
    let state = with(&[SyncRecord::Acknowledged(5), SyncRecord::Pruned(8), SyncRecord::Pruned(6)]);
    assert_eq!((state.acknowledged, state.pruned), (8, 8));
}

/// A state that older software could have had is written as that writes it.
#[test]
fn a_state_is_written_in_the_oldest_version_that_can_say_it() {
    let owed =
        SyncRecord::Owed { dots: [Dot { replica: id(1), seq: 4 }].into_iter().collect(), stamp: Stamp::default() };
    for (owes, renamed, keeps_both, version) in [
        (false, false, None, 1),
        (true, false, None, 2),
        (false, true, None, 3),
        (true, true, None, 3),
        (false, false, Some(true), 4),
        (true, false, Some(false), 4),
        (false, true, Some(true), 4),
        (true, true, Some(false), 4),
    ] {
        let mut state = if owes { with(core::slice::from_ref(&owed)) } else { State::default() };
        if let Some(keeps_both) = keeps_both {
            state.apply(&SyncRecord::Boot { boot: 1, after: Lsn(1), keeps_both: Some(keeps_both) });
        }
        if renamed {
            state.former.give_up(id(2), 7);
            state.former.give_up(id(3), 0);
        }
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        assert_eq!(bytes[0], version);
        for cut in 0..bytes.len() {
            assert!(State::decode(&bytes[..cut].to_vec().into()).is_err(), "version {version} cut at {cut}");
        }
        if version == 4 {
            *bytes.last_mut().unwrap() = 2;
            assert_eq!(State::decode(&bytes.clone().into()).unwrap_err().fault, Fault::FromTheFuture);
            *bytes.last_mut().unwrap() = u8::from(keeps_both.unwrap());
        }
        assert_eq!(State::decode(&bytes.into()), Ok(state), "version {version}");
    }
}

#[test]
fn as_many_names_given_up_are_remembered_as_there_can_be_members() {
    let mut state = State::default();
    for number in 0..=MAX_MEMBERS {
        state.former.give_up(id(number), 5);
    }
    state.former.give_up(id(0), 9);
    state.former.give_up(id(1), 3);
    let is_ambiguous = |number, seq| state.former.is_ambiguous(Dot { replica: id(number), seq });
    assert!(is_ambiguous(MAX_MEMBERS - 1, 6) && !is_ambiguous(MAX_MEMBERS - 1, 5) && !is_ambiguous(MAX_MEMBERS, 6));
    assert!(is_ambiguous(0, 6) && is_ambiguous(1, 4) && !is_ambiguous(1, 3), "what was ambiguous stays so");
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    assert_eq!(State::decode(&bytes.into()), Ok(state));
}

#[test]
fn a_state_of_a_newer_version_or_with_something_behind_it_is_refused() {
    let mut bytes = Vec::new();
    with(&[boot(1, 0)]).encode(&mut bytes);
    let mut newer = bytes.clone();
    newer[0] = 77;
    assert_eq!(State::decode(&newer.into()).unwrap_err().fault, Fault::FromTheFuture);
    for cut in 0..bytes.len() {
        assert!(State::decode(&bytes[..cut].to_vec().into()).is_err(), "cut at {cut}");
    }
    bytes.push(0);
    assert_eq!(State::decode(&bytes.into()).unwrap_err().fault, Fault::Trailing);
}

/// Whoever knew the old history is told everything of the new one, and nothing that was said of the old log is said of the new.
#[test]
fn a_new_history_claims_what_the_old_one_held_and_remembers_no_log() {
    let old = |written| {
        let cut = SyncRecord::Cut([Dot { replica: id(2), seq: 9 }].into_iter().collect());
        let mut state = with(&[boot(1, 0), cut, SyncRecord::Acknowledged(5), SyncRecord::Pruned(4)]);
        state.advance_checkpoint(id(2), at(1, 5));
        (1..=written).for_each(|seq| state.own(Dot { replica: id(1), seq }, Chain(seq)));
        state.reborn(id(1), written)
    };
    for written in [0, 7] {
        let state = old(written);
        let dots = [Dot { replica: id(1), seq: written }, Dot { replica: id(2), seq: 9 }];
        assert_eq!(state.vector(), &dots.into_iter().collect());
        assert_eq!((state.acknowledged, state.pruned), (0, 0));
        assert_eq!(state.checkpoint(id(2), LogId([1; 16])), (Lsn::ZERO, 0));
        assert_eq!(state.judge_checkpoint(Lsn(3), 1, Lsn(9)), Judged::From(Lsn::ZERO), "of a run that is not known");
        assert_eq!(state.ladder, Ladder::default());
        assert_eq!(state.pairs.contains_key(&id(1)), written > 0, "others may know another history of that name");
    }
}

#[test]
fn whoever_may_have_lost_something_claims_nothing() {
    let mut state = with(&[SyncRecord::Cut([Dot { replica: id(2), seq: 9 }].into_iter().collect())]);
    state.disclaim();
    assert!(state.vector().is_empty());
}

/// A snapshot is read in one piece, and would else be kept for a value of a few bytes in it.
#[test]
fn a_detached_state_keeps_nothing_of_what_it_was_read_from() {
    let mut state = State::default();
    let version = |replica, value: &'static str| Version {
        dot: Dot { replica: id(replica), seq: 1 },
        stamp: Stamp(1),
        context: VersionVector::EMPTY,
        body: Body::Put(value.into()),
        resolution: false,
    };
    let met = Met { key: "k".into(), local: version(1, "a"), remote: version(2, "b") };
    state.conflicts.record(&met, Outcome::Open).unwrap();
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    let bytes = Bytes::from(bytes);
    let read = State::decode(&bytes).unwrap();
    assert!(!bytes.is_unique(), "what is read are parts of it");
    let detached = read.detached();
    assert!(bytes.is_unique());
    assert_eq!(detached, state);
}

/// A snapshot that was written meanwhile shows what came later, and nothing of what stood there when an entry came in.
#[test]
fn a_log_that_says_what_was_met_is_believed_and_an_older_one_is_judged_by_what_stands() {
    let op = |replica, stamp| Operation {
        dot: Dot { replica: id(replica), seq: 1 },
        stamp: Stamp(stamp),
        context: VersionVector::EMPTY,
        key: "k".into(),
        body: Body::Put("v".into()),
        marks: Marks::default(),
    };
    let stood = Version {
        dot: Dot { replica: id(3), seq: 1 },
        stamp: Stamp(1),
        context: VersionVector::EMPTY,
        body: Body::Delete,
        resolution: false,
    };
    let with = Contest::With(stood.clone().into());
    for (keeps_both, contest, other) in [
        (None, Contest::Unsaid, Some((1, Outcome::Merged))),
        (None, Contest::Late, None),
        (Some(true), Contest::Unsaid, None),
        (Some(false), Contest::WithStanding, Some((1, Outcome::Merged))),
        (Some(true), Contest::WithStanding, Some((1, Outcome::Open))),
        (Some(false), with.clone(), Some((3, Outcome::Merged))),
        (Some(true), with, Some((3, Outcome::Open))),
    ] {
        let (mut store, mut state) = (Store::new(), State::default());
        store.apply(Lsn(9), &op(1, 9));
        state.replay(&mut store, Lsn(4), &SyncRecord::Boot { boot: 1, after: Lsn(3), keeps_both });
        let known = VersionVector::EMPTY;
        state.replay(&mut store, Lsn(5), &SyncRecord::Entry { op: op(2, 5), known, contest: contest.clone() });
        let found = state.conflicts.iter().map(|one| (one.met.local.dot, one.met.remote.dot, one.outcome));
        let expected = other
            .map(|(number, outcome)| (Dot { replica: id(number), seq: 1 }, Dot { replica: id(2), seq: 1 }, outcome));
        assert!(found.eq(expected), "{keeps_both:?} {contest:?}");
    }
}

/// Afterwards it says so itself, whatever the policy is by then.
#[test]
fn what_a_log_of_older_software_leaves_unsaid_the_next_run_that_says_it_decides() {
    let op = |replica, seq, seen: &[usize], marks| Operation {
        dot: Dot { replica: id(replica), seq },
        stamp: Stamp(10 * seq + replica as u64),
        context: seen.iter().map(|replica| Dot { replica: id(*replica), seq: 1 }).collect(),
        key: "k".into(),
        body: Body::Put("v".into()),
        marks,
    };
    let (plain, resolution) = (Marks::default(), Marks { resolution: true, ..Marks::default() });
    let known = || VersionVector::EMPTY;
    let foreign = |op| SyncRecord::Entry { op, known: known(), contest: Contest::Unsaid };
    let run = |boot, keeps_both| SyncRecord::Boot { boot, after: Lsn(5), keeps_both };
    let both = op(4, 1, &[1, 2], plain);
    let met_only = vec![run(1, None), foreign(op(2, 1, &[], plain))];
    let overwritten = [&met_only[..], &[foreign(both)]].concat();
    let resolved = [&met_only[..], &[foreign(op(4, 1, &[1, 2], resolution))]].concat();
    for (records, if_kept, else_) in [
        (met_only, Outcome::Open, Outcome::Merged),
        (overwritten, Outcome::Resolved, Outcome::Merged),
        (resolved, Outcome::Resolved, Outcome::Resolved),
    ] {
        for (runs, outcome) in
            [(&[true][..], if_kept), (&[true, false], if_kept), (&[false], else_), (&[false, true, true], else_)]
        {
            let (mut store, mut state) = (Store::new(), State::default());
            store.apply(Lsn(1), &op(1, 1, &[], plain));
            let runs = (2..).zip(runs).map(|(boot, keeps_both)| run(boot, Some(*keeps_both)));
            for (lsn, record) in (2..).zip(records.iter().cloned().chain(runs)) {
                state.replay(&mut store, Lsn(lsn), &record);
            }
            let found: Vec<Outcome> = state.conflicts.iter().map(|conflict| conflict.outcome).collect();
            assert_eq!(found, [outcome], "{records:?}");
        }
    }
}
