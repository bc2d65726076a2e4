//! Openings that are watched at every step, or that the power leaves half done.

use super::*;

/// Opens with one disk operation at a time, until the node is ready or so many were carried out.
fn open_slowly(disk: &mut MemDisk, config: Config, seed: u64, most: usize) -> Option<(Box<Node>, RecoveryReport)> {
    let mut opening = Opening::new(config, Seed::from_number(seed), at(0), Start::OpenOrCreate).unwrap();
    let mut asked = VecDeque::new();
    let mut done = 0;
    loop {
        opening = match opening.advance(at(0)) {
            OpeningState::Working(next) => next,
            OpeningState::Ready(node, report) => return Some((node, report)),
            OpeningState::Failed(error) => panic!("{error}"),
        };
        asked.extend(core::iter::from_fn(|| opening.poll_output(at(0))));
        if done == most {
            return None;
        }
        let Some(DiskRequest { token, op, .. }) = asked.pop_front() else { continue };
        let result = disk.run(&op);
        opening.handle(at(0), token, result);
        done += 1;
    }
}

#[test]
fn a_node_that_is_ready_has_its_birth_behind_it_whatever_its_durability() {
    for durability in [Durability::Always, Durability::Every(Duration::from_secs(3600))] {
        let config = Config { durability, ..Config::default() };
        let mut disk = MemDisk::new();
        let (node, report) = open_slowly(&mut disk, config.clone(), 1, usize::MAX).unwrap();
        assert!(report.created);
        disk.crash();
        let (again, report) = open_slowly(&mut disk, config, 2, usize::MAX).unwrap();
        assert_eq!(again.status().replica, node.status().replica, "{durability:?}");
        assert!(!report.created, "it was there: {durability:?}");
        assert_eq!(again.status().published, Lsn(1), "nobody is born twice: {durability:?}");
    }
}

#[test]
fn a_node_whose_first_opening_was_cut_short_is_born_by_the_next() {
    for operations in 0.. {
        let mut disk = MemDisk::new();
        if open_slowly(&mut disk, Config::default(), 1, operations).is_some() {
            assert!(operations > 5, "there was something to cut short");
            return;
        }
        disk.crash();
        let (node, _) = open(&mut disk, Config::default(), 2, Start::OpenOrCreate).unwrap();
        disk.crash();
        let (again, _) = open(&mut disk, Config::default(), 3, Start::OpenOrCreate).unwrap();
        assert_eq!(again.status().replica, node.status().replica, "after {operations} disk operations");
        assert_eq!(again.status().published, Lsn(1));
    }
}

#[test]
fn a_torn_write_gives_back_its_seq_and_no_other() {
    let mut bench = Bench::new();
    bench.put("a", "1");
    bench.run();
    bench.put("b", "1");
    bench.run();
    bench.disk.fail(bench.disk.journal().len(), Failure::Half(DiskErrorKind::Io));
    bench.put("torn", &"v".repeat(5000));
    bench.run();
    let mut copy = bench.disk.clone();
    copy.stop();
    let (_, report) = open(&mut copy, Config::default(), 2, Start::OpenExisting).unwrap();
    assert!(report.torn.is_some(), "{report:?}");
    let mut bench = bench.reopen(3);
    bench.put("c", "1");
    bench.run();
    let seqs = ["a", "b", "c"].map(|key| bench.node.store().get(key.as_bytes()).unwrap().dot().seq);
    assert_eq!(seqs, [1, 2, 3]);
}

fn inspected(mut disk: MemDisk) -> Box<Rebuilt> {
    disk.stop();
    let mut inspection = Inspection::new();
    while let Some(request) = inspection.poll_output() {
        let result = disk.run(&request.op);
        inspection.handle(request.token, result);
    }
    Box::new(inspection.take_outcome().unwrap().unwrap().content.unwrap())
}

#[test]
fn content_has_one_hash_under_whatever_history_and_another_after_any_change() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    bench.put("gone", "v");
    bench.node.write(bench.now, vec![delete("gone")]).unwrap();
    bench.run();
    let content = inspected(bench.disk.clone());
    let (hash, last) = (content.content_hash(), content.last_lsn());
    assert_eq!(last, bench.node.status().published);
    let mut copy = MemDisk::new();
    open(&mut copy, Config::default(), 5, Start::Found(content)).unwrap();
    assert_eq!(inspected(copy).content_hash(), hash);
    for change in [put("k", "w"), put("l", "v"), delete("k")] {
        let mut disk = bench.disk.clone();
        disk.stop();
        let mut changed = Bench::on(disk, Config::default(), 6);
        changed.node.write(changed.now, vec![change]).unwrap();
        changed.run();
        assert_ne!(inspected(changed.disk).content_hash(), hash);
    }
}

/// Others may know the former name only from what its successor has seen: so that says that it is gone.
#[test]
fn a_restored_history_tells_that_its_former_name_is_retired() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    bench.run();
    let former = bench.node.status().replica;
    let mut disk = MemDisk::new();
    let (node, _) = open(&mut disk, Config::default(), 5, Start::Found(inspected(bench.disk))).unwrap();
    let said = |node: &Node| -> Vec<_> {
        node.sync_status().members.into_iter().map(|(replica, .., forgotten)| (replica, forgotten)).collect()
    };
    assert_eq!(said(&node), [(former, true)]);
    disk.stop();
    let (again, _) = open(&mut disk, Config::default(), 6, Start::OpenExisting).unwrap();
    assert_eq!(said(&again), [(former, true)], "and still does after another start");
}

#[test]
fn a_new_name_waits_until_everything_is_durable_and_no_snapshot_is_running() {
    let config = Config { durability: Durability::Every(Duration::from_secs(1)), ..Config::default() };
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    let replica = |bench: &Bench| bench.node.status().replica;
    let old = replica(&bench);
    bench.put("k", "v");
    bench.run();
    bench.node.begin_rebirth(crate::sync::Finding::Clone(old));
    bench.run();
    assert_eq!(bench.node.status().published, bench.node.journal.accepted(), "what is written is shown");
    assert_eq!(replica(&bench), old, "but not synced yet");
    let waiting = ["a", "b"].map(|key| bench.put(key, "v"));
    assert_eq!(bench.node.status().waiting, 2);
    bench.now = at(2000);
    bench.node.handle(bench.now, Input::Timeout);
    bench.run();
    assert!(waiting.iter().all(|request| bench.answer(*request).unwrap().is_ok()));
    let second = replica(&bench);
    assert_ne!(second, old);

    let mut bench = Bench::on(MemDisk::new(), Config::default(), 1);
    bench.put("k", "v");
    bench.run();
    let old = replica(&bench);
    let snapshot = bench.node.snapshot(bench.now).unwrap();
    bench.node.begin_rebirth(crate::sync::Finding::Clone(old));
    bench.poll();
    while bench.node.status().log.unwrap().snapshot_running {
        assert_eq!(replica(&bench), old, "a snapshot has one name from its head to its end");
        assert!(bench.step());
    }
    bench.run();
    assert!(matches!(bench.answer(snapshot), Some(Ok(Reply::Snapshot(_)))));
    assert_ne!(replica(&bench), old);
    assert_eq!(bench.value("k"), Some(&b"v"[..]));
}
