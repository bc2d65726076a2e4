//! What an application stages, logs and drops.

use alloc::vec;
use alloc::vec::Vec;

use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, Lsn, ReplicaId};
use crate::op::{Body, Marks, Operation};
use crate::store::Store;
use crate::sync::{Apply, Contest, Item, Logged, PeerId, SyncRecord, Token, carry_out};

fn op(key: &str, seq: u64) -> Operation {
    Operation {
        dot: Dot { replica: ReplicaId([9; 16]), seq },
        stamp: Stamp(seq),
        context: VersionVector::EMPTY,
        key: key.as_bytes().to_vec().into(),
        body: Body::Put("v".into()),
        marks: Marks::default(),
    }
}

fn apply(items: Vec<Operation>, drops: Vec<Operation>) -> Apply {
    let known = VersionVector::EMPTY;
    Apply {
        token: Token(1),
        peer: PeerId(1),
        items: items.into_iter().map(|op| Item { op, known: known.clone(), late: false }).collect(),
        drops: drops.into_iter().map(|op| (op.dot, op.key)).collect(),
        reissue: vec![],
        bury: vec![],
        burials: vec![],
        records: vec![],
    }
}

#[test]
fn what_stands_here_already_is_not_logged_again_and_takes_no_lsn() {
    let (old, new) = (op("old", 1), op("new", 2));
    let mut store = Store::new();
    store.apply(Lsn(1), &old);
    let apply = apply(vec![old, new.clone()], vec![]);
    let carried = carry_out(&mut store, Lsn(5), &apply);
    assert_eq!(carried.logged, [Logged::Foreign(&new)]);
    store.publish(Lsn(5));
    assert_eq!(store.entry(b"new").unwrap().changed(), Lsn(5), "where the log has it");
}

/// What was written meanwhile is newer than the exchange, and what came meanwhile is not what was compared.
#[test]
fn a_version_is_dropped_only_if_it_is_what_stands_here_and_nothing_is_on_its_way() {
    let (compared, newer) = (op("k", 1), op("k", 2));
    for (published, staged, is_dropped) in [
        (Some(&compared), None, true),
        (Some(&compared), Some(&newer), false),
        (None, Some(&compared), false),
        (Some(&newer), None, false),
        (None, None, false),
    ] {
        let mut store = Store::new();
        if let Some(op) = published {
            store.apply(Lsn(1), op);
        }
        if let Some(op) = staged {
            store.stage(Lsn(2), op);
        }
        let apply = apply(vec![], vec![compared.clone()]);
        let carried = carry_out(&mut store, Lsn(3), &apply);
        let record = Logged::Sync(SyncRecord::Dropped { dot: compared.dot, key: compared.key.clone() }.into());
        let (logged, latest) = if is_dropped { (vec![record], None) } else { (vec![], staged.or(published)) };
        assert_eq!(carried.logged, logged, "{published:?} stands, {staged:?} is staged");
        let found = store.latest(b"k").map(|entry| entry.dot());
        assert_eq!(found, latest.map(|op| op.dot), "{published:?} stands, {staged:?} is staged");
    }
}

/// What is merged while a snapshot is written may be in it before its record is read again: the record says what it met. Where
/// that would not fit into a frame, it says at least that something was met.
#[test]
fn the_log_says_what_stood_where_a_conflict_was_met_as_far_as_there_is_room() {
    let mib = |n: usize| Body::Put(vec![b'v'; n << 20].into());
    let mut store = Store::new();
    let here = |key: &str, body| Operation { dot: Dot { replica: ReplicaId([1; 16]), seq: 1 }, body, ..op(key, 1) };
    for (lsn, key, body) in [(1, "one", mib(3)), (2, "two", mib(2)), (3, "three", Body::Delete)] {
        store.apply(Lsn(lsn), &here(key, body));
    }
    let apply = apply(vec![op("one", 2), op("two", 3), op("three", 4), op("four", 5)], vec![]);
    let carried = carry_out(&mut store, Lsn(5), &apply);
    let said: Vec<Option<Option<Body>>> = carried
        .logged
        .iter()
        .map(|logged| match logged {
            Logged::Sync(record) => match &**record {
                SyncRecord::Entry { contest: Contest::With(version), .. } => Some(Some(version.body.clone())),
                SyncRecord::Entry { contest: Contest::WithStanding, .. } => Some(None),
                other => panic!("{other:?}"),
            },
            Logged::Foreign(_) | Logged::Given(_) => None,
        })
        .collect();
    assert_eq!(said, [Some(Some(mib(3))), Some(None), Some(Some(Body::Delete)), None]);
    assert_eq!(carried.conflicts.len(), 3);
}
