//! Tombstones that go, and a log or a disk that does not keep the record of it.

use super::*;

const COLLECT_EVERY: Duration = Duration::from_secs(1);

fn config(durability: Durability) -> Config {
    let mut config = Config { durability, ..Config::default() };
    (config.log.first_segment, config.log.max_segment) = (64 << 10, 64 << 10);
    config.sync.collect_every = COLLECT_EVERY;
    config
}

/// A node all of whose keys are deleted.
fn with_a_tombstone(durability: Durability) -> Bench {
    let mut bench = Bench::on(MemDisk::new(), config(durability), 1);
    let keys = ["gone", "gone, too"];
    for key in keys {
        bench.put(key, "v");
    }
    bench.run();
    bench.node.write(bench.now, keys.iter().map(|key| delete(key)).collect()).unwrap();
    bench.run();
    assert_eq!(bench.tombstones(), 2);
    bench
}

/// The same, with a log that has no room for another record, on a disk that has none for another segment.
fn without_room() -> Bench {
    let filled = |len: usize| {
        let mut bench = with_a_tombstone(Durability::Always);
        bench.full = true;
        let filler = bench.put("filler", &"v".repeat(len));
        bench.run();
        bench.answer(filler).unwrap().is_ok().then_some(bench)
    };
    let (mut fits, mut too_long) = (1, 64 << 10);
    while too_long - fits > 1 {
        let len = usize::midpoint(fits, too_long);
        if filled(len).is_some() { fits = len } else { too_long = len }
    }
    filled(fits).expect("it fits")
}

impl Bench {
    fn tombstones(&self) -> usize {
        self.node.store().tombstones()
    }

    /// The time has come to collect; the log takes the record of it, and nothing is carried out.
    fn collect(&mut self) {
        let before = self.node.journal.accepted();
        self.now = at(self.now.mono.0 / 1000 + 1001);
        self.node.handle(self.now, Input::Timeout);
        assert_eq!(self.node.journal.accepted(), before.next(), "one record");
    }

    fn reopened(mut self, seed: u64) -> Self {
        self.disk.crash();
        Self::on(self.disk, config(Durability::Always), seed)
    }

    fn shown(&self) -> (usize, crate::store::Digest, Option<(u64, VersionVector)>) {
        let entry = self.node.store().entry(b"gone").map(|entry| (entry.version(), entry.known()));
        (self.tombstones(), self.node.store().digest(), entry)
    }
}

#[test]
fn a_tombstone_goes_when_that_is_durable() {
    let mut bench = with_a_tombstone(Durability::Always);
    bench.collect();
    bench.poll();
    assert_eq!(bench.tombstones(), 2, "it may yet be given up");
    assert!(!bench.events.iter().any(|event| matches!(event, Event::Sync(sync::Event::Collected { .. }))));
    bench.run();
    assert_eq!(bench.tombstones(), 0);
    let told = |event: &Event| matches!(event, Event::Sync(sync::Event::Collected { tombstones: 2 }));
    assert!(bench.events.iter().any(told), "{:?}", bench.events);
    let shown = bench.shown();
    assert_eq!(bench.reopened(2).shown(), shown);
}

#[test]
fn a_collection_that_the_log_gives_up_is_undone() {
    let mut bench = without_room();
    let shown = bench.shown();
    bench.collect();
    bench.run();
    assert_eq!(bench.node.status().health, Health::DiskFull, "the log has given it up");
    assert_eq!(bench.shown(), shown, "as the log has it");
    assert_eq!(bench.node.store().recomputed_digest(), Some(shown.1));
    assert_eq!(bench.reopened(2).shown(), shown);
}

#[test]
fn a_snapshot_does_not_make_a_collection_last_that_the_log_gives_up() {
    let mut bench = without_room();
    let shown = bench.shown();
    let taken = bench.node.snapshot(bench.now).unwrap();
    bench.collect();
    bench.run();
    assert!(matches!(bench.answer(taken), Some(Ok(Reply::Snapshot(_)))), "{:?}", bench.answer(taken));
    assert_eq!(bench.reopened(2).shown(), shown);
}

#[test]
fn a_snapshot_does_not_make_a_collection_last_that_a_power_loss_takes() {
    let mut bench = with_a_tombstone(Durability::Every(Duration::from_secs(3000)));
    bench.node.flush(bench.now).unwrap();
    bench.run();
    bench.node.snapshot(bench.now).unwrap();
    bench.collect();
    bench.run();
    assert_eq!(bench.tombstones(), 0, "it is written");
    let bench = bench.reopened(2);
    let entry = bench.node.store().entry(b"gone");
    let floor = bench.node.engine.stamp_floor();
    assert!(entry.is_some() || floor > Stamp::default(), "neither the tombstone is there nor what tells of it");
}

#[test]
fn a_write_behind_a_collection_has_not_seen_what_goes_and_is_stamped_above_it() {
    let mut bench = with_a_tombstone(Durability::Always);
    let stamp = bench.node.store().entry(b"gone").unwrap().stamp();
    bench.collect();
    // The wall clock goes back in between.
    let now = Now { wall: WallTime(0), ..bench.now };
    let again = bench.node.write(now, vec![put("gone", "again")]).unwrap();
    bench.run();
    assert_eq!((bench.written(again).outcome, bench.written(again).version), (Outcome::Created, 1));
    assert!(bench.node.store().entry(b"gone").unwrap().stamp() > stamp);
    let shown = bench.shown();
    assert_eq!((shown.0, shown.2.as_ref().map(|(version, _)| *version)), (0, Some(1)));
    assert_eq!(bench.reopened(2).shown(), shown, "as replay has it");
}

#[test]
fn a_collection_is_not_shown_when_the_disk_fails() {
    let mut bench = with_a_tombstone(Durability::Always);
    let shown = bench.shown();
    bench.disk.fail(bench.disk.journal().len(), Failure::Half(DiskErrorKind::Io));
    bench.collect();
    bench.run();
    assert!(matches!(bench.node.status().health, Health::Degraded(_)));
    assert_eq!(bench.shown(), shown, "reads go on with what is known to be durable");
}
