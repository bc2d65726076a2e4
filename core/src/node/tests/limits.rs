//! Every limit is the last value that is allowed, and what was refused leaves nothing behind.

use super::*;
use crate::limits::{MAX_BATCH_OPS, MAX_KEY_LEN};

/// A log of small segments on a disk that has no room for another.
fn cramped() -> Bench {
    let mut config = Config { max_pending_bytes: 1 << 20, ..Config::default() };
    (config.log.first_segment, config.log.max_segment) = (64 << 10, 64 << 10);
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    bench.full = true;
    bench
}

fn seq(bench: &Bench, key: &str) -> u64 {
    bench.node.store().get(key.as_bytes()).unwrap().dot().seq
}

#[test]
fn the_longest_key_the_longest_value_and_the_largest_batch_are_taken() {
    let config = Config { max_value_len: 1000, max_pending_bytes: 64 << 20, ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let key = "k".repeat(MAX_KEY_LEN);
    let longest = bench.put(&key, &"v".repeat(1000));
    let largest: Vec<Write> = (0..MAX_BATCH_OPS).map(|_| delete("nothing")).collect();
    let largest = bench.node.write(bench.now, largest).unwrap();
    bench.run();
    assert_eq!(bench.written(longest).outcome, Outcome::Created);
    assert_eq!(bench.written(largest).outcome, Outcome::Absent);
    let one_more: Vec<Write> = (0..=MAX_BATCH_OPS).map(|_| delete("nothing")).collect();
    let refused = bench.node.write(bench.now, one_more).unwrap_err();
    assert!(refused.what().contains("65537 writes, more than 65536"), "{refused}");
}

#[test]
fn the_pending_bound_may_be_reached_and_what_is_larger_goes_alone() {
    let config = Config { max_value_len: 100, max_pending_bytes: 100, ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let key = "k".repeat(60);
    for round in 0..3 {
        let large = bench.put(&key, &format!("{round}{}", "v".repeat(99)));
        assert_eq!(bench.node.write(bench.now, vec![put("a", "")]).unwrap_err().code(), Code::Overloaded);
        bench.run();
        assert!(bench.answer(large).unwrap().is_ok());
    }
    bench.put("a", &"v".repeat(49));
    bench.put("b", &"v".repeat(49));
    assert_eq!(bench.node.write(bench.now, vec![put("c", "")]).unwrap_err().code(), Code::Overloaded);
    bench.run();
    assert!(bench.value("a").is_some() && bench.value("b").is_some());
}

#[test]
fn what_there_was_no_room_for_leaves_no_gap_and_no_debt() {
    let mut bench = cramped();
    bench.put("before", "1");
    bench.run();
    let large = || vec![put("large", &"v".repeat(600_000)), put("larger", &"v".repeat(600_000))];
    for _ in 0..3 {
        let refused = bench.node.write(bench.now, large()).expect("nothing waits any more");
        bench.run();
        assert_eq!(bench.answer(refused).unwrap().as_ref().unwrap_err().code(), Code::DiskFull);
    }
    assert_eq!(bench.node.store().len(), 1);
    bench.full = false;
    let taken = bench.node.write(bench.now, large()).unwrap();
    bench.run();
    assert!(bench.answer(taken).unwrap().is_ok());
    assert_eq!(
        ["before", "large", "larger"].map(|key| seq(&bench, key)),
        [1, 2, 3],
        "the refused ones used up nothing"
    );
    assert_eq!(bench.node.sync_status().outbox.last, 3);
}

#[test]
fn a_run_whose_first_write_found_no_room_is_announced_with_the_next() {
    let mut bench = cramped();
    let first = bench.node.write(bench.now, vec![put("k", &"v".repeat(100_000))]).unwrap();
    bench.run();
    assert!(bench.answer(first).unwrap().is_err());
    bench.full = false;
    bench.put("k", "v");
    bench.run();
    assert_eq!(bench.node.status().published, Lsn(3), "a birth, a run and the write");
}

#[test]
fn a_degraded_node_says_why_it_refuses_even_what_would_change_nothing() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    bench.run();
    bench.disk.fail(bench.disk.journal().len(), Failure::Clean(DiskErrorKind::Io));
    bench.put("other", "v");
    bench.run();
    let refused = bench.node.write(bench.now, vec![put("k", "v")]).unwrap_err();
    assert_eq!(refused.code(), Code::Degraded);
    assert!(refused.what().contains("writes are refused since"), "{refused}");
    assert!(refused.what().contains("planned failure"), "{refused}");
    let names = [Health::Ready, Health::DiskFull, bench.node.status().health, Health::Closing].map(|it| it.as_str());
    assert_eq!(names, ["ready", "disk_full", "degraded", "closing"]);
}

#[test]
fn what_stands_above_the_clocks_can_be_overwritten_as_long_as_its_context_explains_it() {
    let mut bench = Bench::new();
    let seen = VersionVector::from_iter([Dot { replica: ReplicaId([8; 16]), seq: 5 }]);
    let high = |key: &'static str, over: u64, seq: u64| Operation {
        dot: Dot { replica: ReplicaId([9; 16]), seq },
        stamp: Stamp(Stamp::HORIZON.0 + over),
        context: seen.clone(),
        key: key.into(),
        body: Body::Put("high".into()),
        marks: Marks::default(),
    };
    bench.node.store.apply(Lsn(1), &high("explained", 5, 1));
    bench.node.store.apply(Lsn(1), &high("not", 5 + 2, 2));
    bench.put("explained", "mine");
    bench.run();
    assert_eq!(bench.value("explained"), Some(&b"mine"[..]));
    assert_eq!(bench.node.write(bench.now, vec![put("not", "mine")]).unwrap_err().code(), Code::StoreError);
}

#[test]
fn a_write_over_a_version_from_the_future_does_not_take_the_own_clock_there_not_even_across_a_restart() {
    let mut bench = Bench::new();
    let future = Operation {
        dot: Dot { replica: ReplicaId([9; 16]), seq: 1 },
        stamp: Stamp::from_wall(WallTime(bench.now.wall.0 + 365 * 86_400_000)),
        context: VersionVector::EMPTY,
        key: "k".into(),
        body: Body::Put("from the future".into()),
        marks: Marks::default(),
    };
    bench.node.store.apply(Lsn(1), &future);
    bench.put("k", "mine");
    bench.run();
    let mut bench = bench.reopen(2);
    bench.put("other", "mine");
    bench.run();
    let stamp = |key: &str| bench.node.store().get(key.as_bytes()).unwrap().stamp();
    assert!(stamp("k") > future.stamp && stamp("other") < future.stamp);
}

#[test]
fn a_policy_writes_nothing_that_peers_would_refuse() {
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
    let (key, body) = ("stuck".into(), Body::Put("merged".into()));
    let resolution = crate::sync::Resolution { conflict: 1, key, winner: hostile.dot, body };
    bench.node.sync_effect(bench.now, crate::sync::Effect::Resolve(resolution));
    bench.run();
    assert_eq!(bench.value("stuck"), Some(&b"hostile"[..]));
}

#[test]
fn values_are_written_again_and_versions_buried_under_own_names() {
    let mut bench = Bench::new();
    for key in ["a", "b", "c", "d"] {
        bench.put(key, key);
    }
    bench.run();
    let dot = |bench: &Bench, key: &str| bench.node.store().entry(key.as_bytes()).unwrap().dot();
    let (c, d) = (dot(&bench, "c"), dot(&bench, "d"));
    bench.put("d", "newer");
    bench.run();
    let apply = crate::sync::Apply {
        token: crate::sync::Token(1),
        peer: crate::sync::PeerId(1),
        items: vec![],
        drops: vec![],
        reissue: vec![("a".into(), None), ("nowhere".into(), None), ("b".into(), None)],
        bury: vec![(c, "c".into()), (d, "d".into())],
        burials: vec![],
        records: vec![],
    };
    bench.node.write_again(bench.now, &mut apply.clone()).unwrap();
    bench.run();
    assert_eq!(["a", "b", "c", "d"].map(|key| dot(&bench, key).seq), [6, 7, 8, 5]);
    assert_eq!(["a", "b", "c", "d"].map(|key| bench.value(key)), [Some(&b"a"[..]), Some(b"b"), None, Some(b"newer"),]);
    assert_eq!(bench.node.sync_status().outbox.last, 8);
    let seq = dot(&bench, "a").seq;
    let bench = bench.reopen(2);
    assert_eq!(dot(&bench, "a").seq, seq);
}

/// While a version is being dropped, something that loses to it comes in from elsewhere and is not yet durable.
#[test]
fn what_is_being_merged_does_not_keep_what_was_found_deleted() {
    let mut bench = Bench::new();
    bench.put("k", "deleted elsewhere");
    bench.run();
    let standing = bench.node.store().entry(b"k").unwrap().operation();
    let apply = |items, drops| crate::sync::Apply {
        token: crate::sync::Token(1),
        peer: crate::sync::PeerId(1),
        items,
        drops,
        reissue: vec![],
        bury: vec![],
        burials: vec![],
        records: vec![],
    };
    let older = Operation {
        dot: Dot { replica: ReplicaId([9; 16]), seq: 1 },
        stamp: Stamp(standing.stamp.0 - 1),
        body: Body::Put("older".into()),
        ..standing.clone()
    };
    let item = crate::sync::Item { op: older.clone(), known: VersionVector::EMPTY, late: false };
    bench.node.apply(bench.now, &mut apply(vec![item], vec![])).unwrap();
    bench.node.apply(bench.now, &mut apply(vec![], vec![(standing.dot, "k".into())])).unwrap();
    bench.run();
    assert_eq!(bench.value("k"), None);
    let deletion = bench.node.store().entry(b"k").unwrap().operation();
    assert_eq!(deletion.stamp, standing.stamp.after(), "it wins over nothing else");
    assert!(deletion.context.covers(older.dot), "and what was merged stays known");
    let digest = bench.node.store().digest();
    let bench = bench.reopen(2);
    assert_eq!((bench.value("k"), bench.node.store().digest()), (None, digest));
}

/// The log has room for what is written again, and for the rest only when that is on the disk. It was written again each time
/// that the rest was tried, and the rest never had room.
#[test]
fn what_was_written_again_is_not_when_the_rest_has_to_wait_for_room() {
    let log = crate::wal::Settings { gather_limit: 512, ..crate::wal::Settings::default() };
    let mut bench = Bench::on(MemDisk::new(), Config { log, ..Config::default() }, 1);
    let long = "v".repeat(200);
    for key in ["a", "b"] {
        bench.put(key, &long);
        bench.run();
    }
    let came = Operation {
        dot: Dot { replica: ReplicaId([9; 16]), seq: 1 },
        key: "came".into(),
        body: Body::Put("w".repeat(200).into()),
        ..bench.node.store().entry(b"a").unwrap().operation()
    };
    let mut apply = crate::sync::Apply {
        token: crate::sync::Token(1),
        peer: crate::sync::PeerId(1),
        items: vec![crate::sync::Item { op: came, known: VersionVector::EMPTY, late: false }],
        drops: vec![],
        reissue: vec![("a".into(), None), ("b".into(), None)],
        bury: vec![],
        burials: vec![],
        records: vec![],
    };
    assert_eq!(bench.node.apply(bench.now, &mut apply), Err(crate::wal::AppendError::Full));
    bench.run();
    assert_eq!(bench.node.apply(bench.now, &mut apply), Ok(()));
    bench.run();
    assert!(bench.value("came").is_some());
    let seq = |key: &str| bench.node.store().entry(key.as_bytes()).unwrap().dot().seq;
    assert_eq!((seq("a"), seq("b"), bench.node.sync_status().outbox.last), (3, 4, 4), "once each");
}

#[test]
fn what_is_written_again_says_what_it_repeats_if_that_still_stands() {
    let mut bench = Bench::new();
    bench.put("stands", "v");
    bench.put("overwritten", "v");
    bench.run();
    let marks = |bench: &Bench, key: &str| bench.node.store().entry(key.as_bytes()).unwrap().marks().repeats;
    let origin = |bench: &Bench, key: &str| bench.node.store().entry(key.as_bytes()).unwrap().origin();
    let [stands, overwritten] = ["stands", "overwritten"].map(|key| origin(&bench, key));
    bench.put("overwritten", "w");
    bench.put("deleted", "v");
    bench.node.write(bench.now, vec![delete("deleted")]).unwrap();
    bench.run();
    let deletion = origin(&bench, "deleted");
    let apply = crate::sync::Apply {
        token: crate::sync::Token(1),
        peer: crate::sync::PeerId(1),
        items: vec![],
        drops: vec![],
        reissue: vec![
            ("stands".into(), Some(stands)),
            ("overwritten".into(), Some(overwritten)),
            ("deleted".into(), None),
        ],
        bury: vec![],
        burials: vec![],
        records: vec![],
    };
    for _again in 0..2 {
        bench.node.write_again(bench.now, &mut apply.clone()).unwrap();
        bench.run();
        assert_eq!(["stands", "overwritten"].map(|key| marks(&bench, key)), [Some(stands), None]);
        assert_eq!(origin(&bench, "deleted"), deletion, "a deletion that came in between leaves no doubt");
    }
}

#[test]
fn a_repetition_is_buried_once_and_only_where_nothing_stands() {
    let mut bench = Bench::new();
    bench.put("stands", "mine");
    bench.put("dead", "mine");
    bench.node.write(bench.now, vec![delete("dead")]).unwrap();
    bench.run();
    let other = |seq| Dot { replica: ReplicaId([9; 16]), seq };
    let stamp = Stamp::from_wall(bench.now.wall);
    let burial = |key: &'static str, seq, stamp| crate::sync::Burial {
        repetition: other(seq),
        key: key.into(),
        stamp,
        repeats: other(1),
        deleted: true,
        seen: [other(seq)].into_iter().collect(),
    };
    // Nothing of these was seen deleted when they came in; one has been deleted since, by a client.
    bench.put("deleted since", "mine");
    bench.run();
    let since = bench.node.store().entry(b"deleted since").unwrap().dot();
    bench.node.write(bench.now, vec![delete("deleted since")]).unwrap();
    bench.run();
    let older = Stamp::from_wall(WallTime(bench.now.wall.0 - 1_000_000));
    let later = Stamp::from_wall(WallTime(bench.now.wall.0 + 1_000_000));
    let burials = vec![
        burial("new", 2, stamp),
        burial("stands", 3, later),
        burial("dead", 4, later),
        crate::sync::Burial { deleted: false, ..burial("never here", 6, later) },
        crate::sync::Burial { deleted: false, repeats: since, ..burial("deleted since", 7, later) },
    ];
    let apply = crate::sync::Apply {
        token: crate::sync::Token(1),
        peer: crate::sync::PeerId(1),
        items: vec![],
        drops: vec![],
        reissue: vec![],
        bury: vec![],
        burials: [burials, vec![burial("dead", 5, older)]].concat(),
        records: vec![],
    };
    for _again in 0..2 {
        bench.node.write_again(bench.now, &mut apply.clone()).unwrap();
        bench.run();
    }
    let bench = bench.reopen(2);
    let store = bench.node.store();
    let [new, dead] = ["new", "dead"].map(|key| store.entry(key.as_bytes()).unwrap().operation());
    assert_eq!((new.stamp, dead.stamp), (stamp.after(), later.after()));
    assert_eq!([new.marks.repeats, dead.marks.repeats], [Some(other(1)); 2]);
    assert_eq!((new.context.get(other(1).replica), dead.context.get(other(1).replica)), (2, 4));
    assert_eq!((new.dot.seq, dead.dot.seq), (6, 7), "one of each");
    assert_eq!(store.entry(b"deleted since").unwrap().operation().marks.repeats, Some(since));
    assert!(store.entry(b"never here").is_none());
    assert_eq!((bench.value("stands"), bench.value("dead"), bench.value("new")), (Some(&b"mine"[..]), None, None));
}

#[test]
fn all_but_the_last_write_of_a_batch_say_that_it_goes_on() {
    let mut bench = Bench::new();
    bench.node.write(bench.now, vec![put("a", "1"), put("b", "1"), put("c", "1"), delete("absent")]).unwrap();
    bench.put("alone", "1");
    bench.run();
    let goes_on = |key: &str| bench.node.store().get(key.as_bytes()).unwrap().operation().marks.batch_continues;
    assert_eq!(["a", "b", "c", "alone"].map(goes_on), [true, true, false, false]);
}

#[test]
fn what_is_published_is_said_once() {
    let mut bench = Bench::new();
    let mut published = Vec::new();
    let mut asked = VecDeque::new();
    for round in 0..5 {
        bench.put("k", &format!("{round}"));
        bench.node.flush(bench.now).unwrap();
        loop {
            while let Some(output) = bench.node.poll_output(bench.now) {
                match output {
                    Output::Disk(request) => asked.push_back(request),
                    Output::Published(lsn) => published.push(lsn),
                    _ => {}
                }
            }
            let Some(DiskRequest { token, op, .. }) = asked.pop_front() else { break };
            let result = bench.disk.run(&op);
            bench.node.handle(bench.now, Input::Disk { token, result });
        }
    }
    assert!(published.is_sorted_by(|a, b| a < b), "{published:?}");
    assert_eq!(published.last(), Some(&Lsn(7)), "a birth, a run and five writes");
}

#[test]
fn what_is_written_again_goes_in_groups_of_a_few_mebibytes() {
    let mut config = Config::default();
    config.log.gather_limit = 2 << 20;
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let keys: Vec<Bytes> = (0..6).map(|n| Bytes::from(format!("key{n}"))).collect();
    for key in &keys {
        let value = Bytes::from(vec![7; 1 << 20]);
        let write = Write::Put { key: key.clone(), value, expect: None, touch: false };
        bench.node.write(bench.now, vec![write]).unwrap();
        bench.run();
    }
    let mut apply = crate::sync::Apply {
        token: crate::sync::Token(1),
        peer: crate::sync::PeerId(1),
        items: Vec::new(),
        drops: Vec::new(),
        reissue: keys.iter().map(|key| (key.clone(), None)).collect(),
        bury: Vec::new(),
        burials: Vec::new(),
        records: Vec::new(),
    };
    let versions =
        |bench: &Bench| -> Vec<u64> { keys.iter().map(|key| bench.node.store().get(key).unwrap().version()).collect() };
    let result = bench.node.write_again(bench.now, &mut apply);
    assert_eq!(result, Err(crate::wal::AppendError::Full), "the rest when these are on the disk");
    bench.run();
    assert_eq!(versions(&bench), [2, 2, 2, 2, 1, 1]);
    bench.node.write_again(bench.now, &mut apply).unwrap();
    bench.run();
    assert_eq!(versions(&bench), [2, 2, 2, 2, 2, 2]);
}
