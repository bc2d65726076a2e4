//! When a write is shown and answered.

use super::*;

#[test]
fn nothing_is_answered_or_visible_before_the_sync() {
    let mut bench = Bench::new();
    let request = bench.put("k", "v");
    bench.poll();
    assert!(matches!(bench.asked.front().unwrap().op, DiskOp::Write { sync: true, .. }));
    assert_eq!(bench.answer(request), None);
    assert_eq!(bench.value("k"), None, "an unsynced write must not be readable");
    bench.run();
    assert_eq!(bench.written(request).outcome, Outcome::Created);
    assert_eq!(bench.value("k"), Some(&b"v"[..]));
}

#[test]
fn an_answer_about_a_staged_write_waits_for_it() {
    let mut bench = Bench::new();
    bench.put("k", "a");
    bench.poll();
    let unchanged = bench.put("k", "a");
    let mismatch = bench.node.write(bench.now, vec![put_if("k", "b", 7)]).unwrap();
    bench.poll();
    assert_eq!((bench.answer(unchanged), bench.answer(mismatch)), (None, None));
    bench.run();
    assert_eq!(bench.written(unchanged).outcome, Outcome::Unchanged);
    let error = bench.answer(mismatch).unwrap().as_ref().unwrap_err();
    assert_eq!(error.code(), Code::VersionMismatch);
    assert!(error.what().contains("has version 1, not the expected 7"), "{error}");
}

#[test]
fn what_becomes_visible_is_told_once() {
    for durability in [Durability::Always, Durability::Every(Duration::from_secs(1))] {
        let mut bench = Bench::on(MemDisk::new(), Config { durability, ..Config::default() }, 1);
        for second in 1..4 {
            bench.put("k", &format!("{second}"));
            bench.run();
            assert_eq!(bench.published.last(), Some(&bench.node.status().published));
            bench.now = at(2000 * second);
            bench.node.handle(bench.now, Input::Timeout);
            bench.run();
        }
        assert!(
            bench.published.is_sorted_by(|earlier, later| earlier < later),
            "{durability:?}: {:?}",
            bench.published
        );
    }
}
