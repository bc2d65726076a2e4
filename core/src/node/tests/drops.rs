//! What a full exchange drops, and a log that gives the record of it up for want of room.

use super::*;
use crate::sync::{Apply, Item, PeerId, Token};

/// A log of small segments, the first half full, on a disk that has no room for another segment.
fn cramped() -> Bench {
    let mut config = Config::default();
    (config.log.first_segment, config.log.max_segment) = (64 << 10, 64 << 10);
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    for key in ["dropped", "kept", "last"] {
        bench.put(key, "v");
    }
    // Before the next segment is prepared.
    bench.full = true;
    bench.put("filler", &"v".repeat(40_000));
    bench.run();
    bench
}

impl Bench {
    fn dot(&self, key: &str) -> Dot {
        self.node.store().entry(key.as_bytes()).expect("it stands").dot()
    }

    /// A full exchange finds this version deleted.
    fn drop_version(&mut self, dot: Dot, key: &'static str) {
        let mut apply = Apply {
            token: Token(1),
            peer: PeerId(1),
            items: vec![],
            drops: vec![(dot, key.into())],
            reissue: vec![],
            bury: vec![],
            burials: vec![],
            records: vec![],
        };
        self.node.apply(self.now, &mut apply).expect("the log takes it");
    }

    /// Has a drop wait behind what the log has no room for.
    fn drop_without_room(&mut self, dot: Dot, key: &'static str) -> RequestId {
        let large = self.put("large", &"v".repeat(60_000));
        self.drop_version(dot, key);
        large
    }

    fn feed(&self) -> Vec<Bytes> {
        self.node.store().feed(Lsn::ZERO).map(|entry| Bytes::copy_from_slice(entry.key())).collect()
    }
}

#[test]
fn a_drop_that_the_log_gives_up_is_undone() {
    let mut bench = cramped();
    let (dot, digest, feed) = (bench.dot("dropped"), bench.node.store().digest(), bench.feed());
    let keys = feed.len();
    let first = bench.drop_without_room(dot, "dropped");
    let again = bench.put("dropped", "again");
    bench.run();
    for refused in [first, again] {
        assert_eq!(bench.answer(refused).unwrap().as_ref().unwrap_err().code(), Code::DiskFull);
    }
    assert_eq!((bench.value("dropped"), bench.feed()), (Some(&b"v"[..]), feed), "as the log has it");
    assert_eq!((bench.node.store().digest(), Some(digest)), (digest, bench.node.store().recomputed_digest()));

    bench.full = false;
    bench.drop_version(dot, "dropped");
    bench.run();
    assert_eq!((bench.value("dropped"), bench.feed().len()), (None, keys - 1), "the exchange is repeated");
    let digest = bench.node.store().digest();
    let bench = bench.reopen(2);
    assert_eq!((bench.value("dropped"), bench.node.store().digest()), (None, digest));
}

#[test]
fn a_snapshot_does_not_make_a_drop_last_that_the_log_gives_up() {
    let mut bench = cramped();
    let digest = bench.node.store().digest();
    bench.drop_without_room(bench.dot("dropped"), "dropped");
    let taken = bench.node.snapshot(bench.now).unwrap();
    bench.run();
    assert!(matches!(bench.answer(taken), Some(Ok(Reply::Snapshot(_)))), "{:?}", bench.answer(taken));
    let bench = bench.reopen(2);
    assert_eq!((bench.value("dropped"), bench.node.store().digest()), (Some(&b"v"[..]), digest));
}

#[test]
fn a_drop_shows_when_it_is_durable_and_a_write_behind_it_has_not_seen_what_goes() {
    let mut bench = cramped();
    let dot = bench.dot("dropped");
    bench.drop_version(dot, "dropped");
    let again = bench.put("dropped", "again");
    bench.poll();
    assert_eq!(bench.value("dropped"), Some(&b"v"[..]), "it may yet be given up");
    bench.run();
    assert_eq!((bench.written(again).outcome, bench.written(again).version), (Outcome::Created, 1));
    let after = |bench: &Bench| {
        let entry = bench.node.store().entry(b"dropped").unwrap();
        (entry.value_bytes(), entry.version(), entry.known().covers(dot), entry.changed(), bench.node.store().digest())
    };
    let shown = after(&bench);
    assert_eq!((shown.0.as_deref(), shown.1), (Some(&b"again"[..]), 1));
    let bench = bench.reopen(2);
    assert_eq!(after(&bench), shown, "as replay has it");
}

/// A version of a writer whose clock is far ahead, deleted by an own operation above it: after a restart, too, own stamps follow
/// the own clock.
#[test]
fn a_deletion_above_a_stamp_from_the_future_does_not_set_the_clock() {
    let mut bench = Bench::new();
    let year_ahead = Stamp::from_wall(WallTime(at(0).wall.0 + 365 * 24 * 3_600_000));
    let dot = Dot { replica: ReplicaId([9; 16]), seq: 1 };
    let (context, body, marks) = (VersionVector::EMPTY, Body::Put("v".into()), Marks::default());
    let op = Operation { dot, stamp: year_ahead, context, key: "k".into(), body, marks };
    let nothing = Apply {
        token: Token(1),
        peer: PeerId(1),
        items: vec![],
        drops: vec![],
        reissue: vec![],
        bury: vec![],
        burials: vec![],
        records: vec![],
    };
    let found = Apply { items: vec![Item { op, known: VersionVector::EMPTY, late: false }], ..nothing.clone() };
    let buried = Apply { bury: vec![(dot, "k".into())], ..nothing };
    for apply in [found, buried] {
        bench.node.apply(bench.now, &mut apply.clone()).expect("the log takes it");
        bench.run();
    }
    assert!(bench.node.store().entry(b"k").is_some_and(|entry| entry.is_tombstone() && entry.stamp() > year_ahead));
    let mut bench = bench.reopen(2);
    bench.put("other", "v");
    bench.run();
    assert!(bench.node.store().entry(b"other").unwrap().stamp() < year_ahead);
}

#[test]
fn a_drop_is_not_shown_when_the_disk_fails() {
    let mut bench = cramped();
    bench.disk.fail(bench.disk.journal().len(), Failure::Half(DiskErrorKind::Io));
    bench.drop_version(bench.dot("dropped"), "dropped");
    bench.run();
    assert!(matches!(bench.node.status().health, Health::Degraded(_)));
    assert_eq!(bench.value("dropped"), Some(&b"v"[..]), "reads go on with what is known to be durable");
}
