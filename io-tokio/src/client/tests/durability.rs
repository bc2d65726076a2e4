//! When a write is answered, and what a sync costs.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_share_syncs() {
    const WRITERS: u64 = 64;
    const EACH: u64 = 50;
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    let before = rules.commit_syncs();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = client.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                client.put(format!("{writer}/{n}"), "value").await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let syncs = rules.commit_syncs() - before;
    assert_eq!(client.len().unwrap(), WRITERS * EACH);
    // One round of all writers needs one sync. Were those just answered not let in, it would need two.
    assert!(syncs < EACH * 8 / 5, "{syncs} syncs for {} writes", WRITERS * EACH);
    assert!(syncs >= EACH, "a writer waits for each of its writes: {syncs} syncs cannot have served them");
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_lone_writer_pays_one_sync_for_each_write() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    let before = rules.commit_syncs();
    for n in 0..100 {
        client.put(format!("{n}"), "value").await.unwrap();
    }
    // A mark may be written when the machine is slow enough for idle time to pass.
    let syncs = rules.commit_syncs() - before;
    assert!((100..=102).contains(&syncs), "{syncs} syncs for 100 writes");
    client.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_answered_or_shown_before_its_sync_and_reads_go_on_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    client.put("old", "1").await.unwrap();
    rules.judge_commits(Verdict::Hold);
    let mut writing = tokio::spawn({
        let client = client.clone();
        async move { client.put("new", "1").await }
    });
    rules.held().await;
    assert!(!writing.is_finished());
    assert_eq!(value(&client, "new"), None, "what could still fail must not be seen");
    assert_eq!(value(&client, "old").as_deref(), Some("1"));
    assert_eq!(client.scan(&ScanOptions::default()).unwrap().items.len(), 1);
    assert_eq!(client.status().unwrap().waiting, 1);
    // A second one gathers for the next frame; it is not answered either.
    let second = tokio::spawn({
        let client = client.clone();
        async move { client.remove("old").await }
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    rules.release();
    (&mut writing).await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(value(&client, "new").as_deref(), Some("1"));
    client.close().await.unwrap();
}

#[tokio::test]
async fn with_an_interval_the_answer_does_not_wait_for_the_sync_but_a_flush_does() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let options = ClientOptions::fast(dir.path()).durability(Durability::Interval(Duration::from_secs(3600)));
    let client = Client::open_with(world(&dir.path().join(WAL_DIR), &rules), options).await.unwrap();
    client.flush().await.unwrap();
    rules.judge_commits(Verdict::Hold);
    let written = client.put("a", "1").await.unwrap();
    assert_eq!(value(&client, "a").as_deref(), Some("1"));
    assert!(client.status().unwrap().wal.unwrap().durable_lsn < written.lsn);
    let flushing = tokio::spawn({
        let client = client.clone();
        async move { client.flush().await }
    });
    rules.held().await;
    assert!(!flushing.is_finished());
    rules.release();
    assert!(flushing.await.unwrap().unwrap() >= written.lsn);
    assert!(client.status().unwrap().wal.unwrap().durable_lsn >= written.lsn);
    client.close().await.unwrap();
}

#[tokio::test]
async fn writers_beyond_the_room_wait_instead_of_failing() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let options = ClientOptions::local(dir.path()).max_value_len(1000).max_pending_bytes(3000);
    let client = Client::open_with(world(&dir.path().join(WAL_DIR), &rules), options).await.unwrap();
    rules.judge_commits(Verdict::Hold);
    let mut writers = JoinSet::new();
    for n in 0..20 {
        let client = client.clone();
        writers.spawn(async move { client.put(format!("{n}"), vec![0; 900]).await });
    }
    rules.held().await;
    // One is on its way to the disk; more than three would not fit into 3000 bytes.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(client.status().unwrap().waiting <= 3, "{:?}", client.status());
    rules.release();
    while let Some(done) = writers.join_next().await {
        done.unwrap().unwrap();
    }
    // A batch larger than all the room there is gets in when it is alone.
    let mut batch = Batch::new();
    for n in 0..20 {
        batch.put(format!("{n}"), vec![1; 900]);
    }
    client.batch(batch).await.unwrap();
    assert_eq!(client.inner.room.available_permits(), 3000, "room was not given back");
    client.close().await.unwrap();
}

#[tokio::test]
async fn closing_answers_what_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    let mut writers = JoinSet::new();
    for n in 0..100 {
        let client = client.clone();
        writers.spawn(async move { (n, client.put(format!("{n}"), "1").await) });
    }
    tokio::task::yield_now().await;
    client.close().await.unwrap();
    let mut answered = Vec::new();
    while let Some(done) = writers.join_next().await {
        match done.unwrap() {
            (n, Ok(_)) => answered.push(n),
            (_, Err(error)) => assert_eq!(error.code(), Code::InvalidState, "{error}"),
        }
    }
    let client = open(&dir).await;
    assert!(client.recovery_report().clean);
    assert_eq!(client.len().unwrap(), answered.len() as u64);
    assert!(answered.iter().all(|n| client.contains(format!("{n}")).unwrap()));
}

#[tokio::test]
async fn a_snapshot_bounds_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = || ClientOptions::local(dir.path()).segments(64 << 10, 64 << 10).snapshot_after(128 << 10);
    let client = Client::open(options()).await.unwrap();
    for n in 0..2000_u32 {
        client.put(format!("{}", n % 10), n.to_le_bytes().repeat(200)).await.unwrap();
    }
    let by_itself = client.status().unwrap().wal.unwrap();
    assert!(by_itself.snapshot_lsn > Lsn::ZERO, "no snapshot was taken by itself: {by_itself:?}");
    // The first may join one that has begun by itself.
    client.snapshot().await.unwrap();
    let taken = client.snapshot().await.unwrap();
    assert_eq!(taken.at, client.last_lsn().unwrap());
    client.close().await.unwrap();
    let client = Client::open(options()).await.unwrap();
    let report = client.recovery_report();
    assert_eq!((report.snapshot_lsn, report.snapshot_entries, report.records), (taken.at, 10, 0));
    assert_eq!(client.get("9").unwrap().unwrap().bytes, 1999_u32.to_le_bytes().repeat(200));
    client.close().await.unwrap();
    // Closing does not wait for the removal of needless files; opening has seen to what was left.
    let on_disk: u64 =
        std::fs::read_dir(dir.path().join(WAL_DIR)).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk < 512 << 10, "{on_disk} bytes for 8 KiB of data, 1.6 MiB written");
}
