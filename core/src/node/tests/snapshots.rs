//! Snapshots that fail, and files that a backup holds on to.

use super::*;

fn running(bench: &Bench) -> bool {
    bench.node.status().log.unwrap().snapshot_running
}

/// Whatever the disk says when the snapshot's first file is made.
fn fail_the_draft(bench: &mut Bench, kind: DiskErrorKind) {
    while let Some(DiskRequest { token, op, .. }) = bench.asked.pop_front() {
        let draft = matches!(&op, DiskOp::Create { name, .. } if name.ends_with(".snap.new"));
        let result = if draft {
            Err(DiskError { kind, message: "the draft cannot be".to_string() })
        } else {
            bench.disk.run(&op)
        };
        bench.node.handle(bench.now, Input::Disk { token, result });
        bench.poll();
        assert!(bench.events.len() < 2, "it is tried again at once: {:?}", bench.events);
    }
}

#[test]
fn a_snapshot_that_the_disk_refuses_is_told_to_all_who_asked_and_harms_nothing() {
    for (kind, code) in [(DiskErrorKind::NoSpace, Code::DiskFull), (DiskErrorKind::Io, Code::IoError)] {
        let mut bench = Bench::new();
        bench.put("k", "v");
        bench.run();
        let requests = [0, 1].map(|_| bench.node.snapshot(bench.now).unwrap());
        bench.poll();
        assert!(running(&bench));
        fail_the_draft(&mut bench, kind);
        for request in requests {
            let error = bench.answer(request).unwrap().as_ref().unwrap_err();
            assert_eq!((error.code(), error.local()), (code, LocalState::Valid));
            assert!(error.what().contains("the draft cannot be"), "{error}");
        }
        assert!(matches!(&bench.events[..], [Event::SnapshotFailed { error }] if error == "the draft cannot be"));
        assert!(!running(&bench));
        let request = bench.node.snapshot(bench.now).unwrap();
        bench.run();
        assert!(matches!(bench.answer(request), Some(Ok(Reply::Snapshot(_)))), "who asks is not kept waiting");
    }
}

#[test]
fn one_that_is_due_by_itself_is_tried_again_half_a_minute_after_a_failure() {
    let mut config = Config::default();
    config.log.snapshot_min = 0;
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    for n in 0.. {
        bench.put("k", &format!("{n}"));
        bench.poll();
        fail_the_draft(&mut bench, DiskErrorKind::NoSpace);
        if !bench.events.is_empty() {
            break;
        }
    }
    let failed_at = 1;
    for (ms, tried) in [(29_999, false), (30_000, true)] {
        bench.now = at(failed_at + ms);
        for n in 0..50 {
            bench.put("k", &format!("{n}{ms}"));
            bench.run();
        }
        let done = bench.events.iter().any(|event| matches!(event, Event::SnapshotDone(_)));
        assert_eq!(done, tried, "{ms} ms after the failure");
    }
}

#[test]
fn who_waits_for_a_snapshot_is_answered_when_the_log_stops() {
    let mut bench = Bench::new();
    bench.put("k", "v");
    bench.run();
    let request = bench.node.snapshot(bench.now).unwrap();
    bench.poll();
    assert!(running(&bench));
    bench.node.handle(
        bench.now,
        Input::DiskLost(DiskError { kind: DiskErrorKind::Io, message: "the disk is gone".to_string() }),
    );
    bench.poll();
    let error = bench.answer(request).unwrap().as_ref().unwrap_err();
    assert!(error.code() == Code::IoError && error.what().contains("given up"), "{error}");
    assert!(!running(&bench));
}

#[test]
fn who_waits_for_a_snapshot_behind_a_new_name_is_answered_when_that_cannot_be() {
    let waiting = || {
        let mut bench = Bench::new();
        bench.put("k", "v");
        bench.poll();
        bench.node.begin_rebirth(crate::sync::Finding::Clone(bench.node.status().replica));
        let request = bench.node.snapshot(bench.now).unwrap();
        bench.poll();
        assert!(!running(&bench) && bench.answer(request).is_none());
        (bench, request)
    };
    let (mut bench, request) = waiting();
    bench.node.close(bench.now);
    bench.run();
    let error = bench.answer(request).unwrap().as_ref().unwrap_err();
    assert!(error.code() == Code::InvalidState && error.what().contains("closing"), "{error}");

    let (mut bench, request) = waiting();
    let lost = DiskError { kind: DiskErrorKind::Io, message: "the disk is gone".to_string() };
    bench.node.handle(bench.now, Input::DiskLost(lost));
    bench.poll();
    let error = bench.answer(request).unwrap().as_ref().unwrap_err();
    assert!(error.what().contains("the disk is gone"), "{error}");
}

#[test]
fn files_that_are_pinned_stay_until_the_last_pin_is_gone() {
    let mut config = Config::default();
    (config.log.first_segment, config.log.max_segment) = (64 << 10, 64 << 10);
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    for n in 0..40 {
        bench.put("k", &format!("{n}{}", "v".repeat(4000)));
        bench.run();
    }
    let manifest = bench.node.pin_files().unwrap();
    bench.node.pin_files().unwrap();
    assert!(manifest.files.len() > 1, "{manifest:?}");
    let held = |bench: &Bench| manifest.files.iter().filter(|file| bench.disk.names().contains(&file.name)).count();
    bench.node.snapshot(bench.now).unwrap();
    bench.run();
    assert_eq!(held(&bench), manifest.files.len());
    bench.node.unpin_files(bench.now);
    bench.run();
    assert_eq!(held(&bench), manifest.files.len(), "one pin is left");
    bench.node.unpin_files(bench.now);
    bench.run();
    assert!(held(&bench) < manifest.files.len());
}

#[test]
fn what_is_ready_comes_before_the_next_frame_leaves() {
    let mut bench = Bench::new();
    let refused = bench.node.write(bench.now, vec![delete("absent")]).unwrap();
    bench.put("k", "v");
    let is_answer = |output: &Output| matches!(output, Output::Reply { request, .. } if *request == refused);
    let first = bench.node.poll_ready().expect("the answer is ready by itself");
    assert!(is_answer(&first), "{first:?}");
    assert!(bench.node.poll_ready().is_none(), "the frame is not");
    assert!(matches!(bench.node.poll_output(bench.now), Some(Output::Disk(_))));
}

#[test]
fn outcomes_have_the_names_that_programs_know() {
    let all = [Outcome::Created, Outcome::Updated, Outcome::Unchanged, Outcome::Deleted, Outcome::Absent];
    assert_eq!(all.map(Outcome::as_str), ["created", "updated", "unchanged", "deleted", "absent"]);
}
