//! Writes that clients hand in by themselves, and frames that they carry to the disk.

use std::sync::atomic::AtomicBool;

use futures_util::FutureExt;
use futures_util::future::join_all;
use softadastra_core::disk::{DiskErrorKind, DiskOp, Lane};
use softadastra_core::error::LocalState;
use tokio::time::timeout;

use super::network::{SOON, join, shows};
use super::*;

async fn open_unsynced(dir: &TempDir, rules: &Arc<Rules>) -> Client {
    let options = ClientOptions::local(dir.path()).durability(Durability::Interval(Duration::from_secs(60)));
    Client::open_with(world(&dir.path().join(WAL_DIR), rules), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_writer_may_wait_for_its_sync_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    let before = rules.commit_syncs();
    for n in 0..200 {
        client.put(format!("{n}"), "value").await.unwrap();
    }
    // Syncs that are slow go to the thread of the disk for a while.
    assert!(rules.carried() > 0);
    let syncs = rules.commit_syncs() - before;
    assert!((200..=202).contains(&syncs), "{syncs} syncs for 200 writes");
    client.close().await.unwrap();
    let client = open(&dir).await;
    assert!(client.recovery_report().clean);
    assert_eq!(client.len().unwrap(), 200);
}

#[tokio::test]
async fn a_runtime_of_one_thread_never_stands_still_for_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    for n in 0..50 {
        client.put(format!("{n}"), "value").await.unwrap();
    }
    assert_eq!(rules.carried(), 0);
}

#[tokio::test]
async fn what_needs_no_sync_needs_no_other_thread() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    let mut watch = client.watch("", Lsn::ZERO).unwrap();
    for n in 0..100 {
        client.put(format!("{n:03}"), "value").await.unwrap();
    }
    assert!(rules.carried() > 90, "{} of 100 frames", rules.carried());
    assert_eq!(watch.next().await.unwrap().key, "000");
    // Nor does one that is larger than a frame that a client would carry.
    client.put("large", vec![7; 100_000]).await.unwrap();
    client.close().await.unwrap();
    let client = open(&dir).await;
    assert!(client.recovery_report().clean);
    assert_eq!(client.len().unwrap(), 101);
}

#[tokio::test]
async fn a_disk_that_fails_under_a_client_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    for n in 0..3 {
        client.put(format!("{n}"), "value").await.unwrap();
    }
    rules.judge(|lane, op| match (lane, op) {
        (Lane::Commit, DiskOp::Write { .. }) => Verdict::Fail(DiskErrorKind::Io),
        _ => Verdict::Pass,
    });
    let before = rules.carried();
    let error = client.put("doubtful", "1").await.unwrap_err();
    assert_eq!((error.code(), error.local()), (Code::IoError, LocalState::Unknown), "{error}");
    assert_eq!(rules.carried(), before + 1);
    assert_eq!(code(client.put("later", "1").await), Code::Degraded);
    assert_eq!(value(&client, "doubtful"), None);
    client.close().await.unwrap_err();
    let client = open(&dir).await;
    assert_eq!((client.len().unwrap(), value(&client, "doubtful")), (3, None));
}

#[tokio::test]
async fn who_stops_waiting_for_a_frame_that_it_carries_takes_nothing_from_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    client.put("first", "1").await.unwrap();
    rules.judge(|lane, op| match (lane, op) {
        (Lane::Commit, DiskOp::Write { .. }) => Verdict::Hold,
        _ => Verdict::Pass,
    });
    let before = rules.carried();
    let carrier = tokio::spawn({
        let client = client.clone();
        async move { client.put("carried", "1").await }
    });
    rules.held().await;
    assert_eq!(rules.carried(), before + 1);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.put("waiting", "1").await }
    });
    carrier.abort();
    assert!(carrier.await.unwrap_err().is_cancelled());
    assert_eq!((value(&client, "carried"), waiting.is_finished()), (None, false));
    rules.release();
    let written = waiting.await.unwrap().unwrap();
    assert_eq!(client.get("carried").unwrap().unwrap().version, 1);
    assert_eq!((client.status().unwrap().waiting, client.last_lsn().unwrap()), (0, written.lsn));
    client.close().await.unwrap();
    let client = open(&dir).await;
    assert!(client.recovery_report().clean);
    assert_eq!((client.len().unwrap(), value(&client, "carried").as_deref()), (3, Some("1")));
}

#[tokio::test]
async fn a_node_is_closed_when_a_frame_that_was_dropped_is_through() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    client.put("first", "1").await.unwrap();
    let before = rules.carried();
    rules.judge(|lane, op| match (lane, op) {
        (Lane::Commit, DiskOp::Write { .. }) => Verdict::Hold,
        _ => Verdict::Pass,
    });
    assert!(client.put("carried", "1").now_or_never().is_none());
    assert_eq!(rules.carried(), before + 1);
    let closing = tokio::spawn(async move { client.close().await });
    rules.held().await;
    assert!(!closing.is_finished());
    rules.release();
    closing.await.unwrap().unwrap();
    assert_eq!(value(&open(&dir).await, "carried").as_deref(), Some("1"));
}

#[tokio::test]
async fn writes_that_nobody_waits_for_keep_the_order_of_the_calls() {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    for n in 0..100 {
        let (first, second) = (format!("{n} first"), format!("{n} second"));
        let (one, two) = tokio::join!(client.put("key", first), client.put("key", second.clone()));
        assert!(one.unwrap().lsn < two.unwrap().lsn);
        assert_eq!(value(&client, "key"), Some(second));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_hand_in_side_by_side_and_nothing_is_lost() {
    const TASKS: u64 = 16;
    const EACH: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            for n in 0..EACH {
                let key = format!("{task}/{n}");
                client.put(key.clone(), "value").await.unwrap();
                assert!(client.contains(&key).unwrap(), "what was answered can be read");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    client.close().await.unwrap();
    let client = open(&dir).await;
    assert_eq!(client.len().unwrap(), TASKS * EACH);
    assert_eq!(client.status().unwrap().waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_somebody_reading_is_handed_in_when_he_has_left_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    let (begun, reading) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel();
    let reader = std::thread::spawn({
        let client = client.clone();
        move || {
            client.read(|_| {
                begun.send(()).unwrap();
                left.recv().unwrap();
            })
        }
    });
    reading.recv().unwrap();
    let mut put = std::pin::pin!(client.put("key", "value"));
    let mut flush = std::pin::pin!(client.flush());
    assert!(put.as_mut().now_or_never().is_none());
    assert!(flush.as_mut().now_or_never().is_none());
    leave.send(()).unwrap();
    reader.join().unwrap().unwrap();
    let written = timeout(SOON, put).await.unwrap().unwrap();
    let flushed = timeout(SOON, flush).await.unwrap().unwrap();
    assert!(written.lsn <= flushed, "{written:?}, flushed up to {flushed:?}");
}

#[tokio::test]
async fn what_several_writers_share_needs_no_other_thread_either() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_unsynced(&dir, &rules).await;
    client.put("first", "1").await.unwrap();
    let before = rules.carried();
    let mut held = false;
    rules.judge(move |lane, op| match (lane, op) {
        (Lane::Commit, DiskOp::Write { .. }) if !std::mem::replace(&mut held, true) => Verdict::Hold,
        _ => Verdict::Pass,
    });
    let put = |name: usize| {
        let client = client.clone();
        tokio::spawn(async move { client.put(format!("{name}"), "1").await })
    };
    let writers: Vec<_> = (0..8).map(put).collect();
    rules.held().await;
    assert_eq!(rules.carried(), before + 1, "by the client that came first");
    rules.let_go();
    for written in join_all(writers).await {
        written.unwrap().unwrap();
    }
    assert_eq!(rules.carried(), before + 2, "the others share the next one, which the loop carries");
}

/// Where the loop carries frames, the next one is through as soon as it looks, time and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_without_a_pause_keep_neither_peers_nor_commands_nor_backups_waiting() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rules = Rules::new();
    let (client, peer) = (open_under(&dir, &rules).await, super::network::memory("peer").await);
    join(&client, &peer).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = |name: usize| {
        let (client, stop) = (client.clone(), stop.clone());
        async move {
            // However soon the others are done, everybody has written for a while.
            let mut n = 0;
            while n < 10 || !stop.load(Ordering::SeqCst) {
                n += 1;
                client.put(format!("{name}"), format!("{n}")).await.unwrap();
            }
        }
    };
    let writers: Vec<_> = (0..8).map(|name| tokio::spawn(writer(name))).collect();
    peer.put("from/peer", "1").await.unwrap();
    shows(&client, "from/peer", Some("1")).await;
    timeout(SOON, client.pulse()).await.expect("a command is heard").unwrap();
    timeout(SOON, client.backup(copies.path().join("copy"))).await.expect("a backup ends").unwrap();
    // What it held is let go: segments may be removed again.
    timeout(SOON, client.snapshot()).await.expect("a snapshot ends").unwrap();
    stop.store(true, Ordering::SeqCst);
    join_all(writers).await.into_iter().for_each(|written| written.unwrap());
    assert_eq!(value(&client, "from/peer").as_deref(), Some("1"));
}
