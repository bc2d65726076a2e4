//! Disks that fail: what is said then, what is shown, and what is there after reopening.

use super::*;
use softadastra_core::disk::{DiskErrorKind, DiskOp, Lane};
use softadastra_core::error::LocalState;

/// One write fails at its sync. `carried_out`: the bytes are there all the same.
async fn after_a_failed_sync(verdict: Verdict, carried_out: bool) {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    client.put("kept", "1").await.unwrap();
    let mut watch = client.watch("", client.last_lsn().unwrap()).unwrap();
    rules.judge_commits(verdict);
    let error = client.put("doubtful", "1").await.unwrap_err();
    assert_eq!((error.code(), error.local()), (Code::IoError, LocalState::Unknown), "{error}");
    assert!(error.what().contains("a failure was planned"), "{error}");
    // Nothing un-poisons it, not even a disk that works again.
    rules.release();
    for result in [client.put("later", "1").await, client.remove("kept").await] {
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.local()), (Code::Degraded, LocalState::Valid), "{error}");
    }
    assert_eq!(code(client.snapshot().await), Code::Degraded);
    assert_eq!(code(client.flush().await), Code::Degraded);
    assert!(matches!(client.status().unwrap().state, NodeState::Degraded(_)));
    assert_eq!(value(&client, "kept").as_deref(), Some("1"));
    assert_eq!((value(&client, "doubtful"), value(&client, "later")), (None, None));
    assert_eq!(watch.ready(10).unwrap(), []);
    let error = client.close().await.unwrap_err();
    assert_eq!(error.code(), Code::Degraded);

    let client = open(&dir).await;
    assert!(!client.recovery_report().clean);
    assert_eq!(value(&client, "kept").as_deref(), Some("1"));
    assert_eq!(value(&client, "doubtful").is_some(), carried_out);
    assert_eq!(value(&client, "later"), None);
    client.put("later", "2").await.unwrap();
    client.close().await.unwrap();
    let client = open(&dir).await;
    assert_eq!(value(&client, "later").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_write_that_failed_and_did_not_happen() {
    after_a_failed_sync(Verdict::Fail(DiskErrorKind::Io), false).await;
}

#[tokio::test]
async fn a_write_that_failed_and_happened_all_the_same() {
    after_a_failed_sync(Verdict::Lie(DiskErrorKind::Io), true).await;
}

#[tokio::test]
async fn writes_gathered_behind_a_failed_one_are_certainly_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    // The first frame is held; what gathers behind it is never handed to the disk.
    let mut first = true;
    rules.judge(move |lane, op| {
        if !crate::testing::is_commit(lane, op) {
            return Verdict::Pass;
        }
        if std::mem::take(&mut first) { Verdict::Hold } else { Verdict::Fail(DiskErrorKind::Io) }
    });
    let put = |key: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.put(key, "1").await })
    };
    let one = put("one");
    rules.held().await;
    let two = put("two");
    while client.status().unwrap().waiting < 2 {
        tokio::task::yield_now().await;
    }
    // The frame of "one" goes through; that of "two" fails; "three" comes too late.
    rules.let_go();
    one.await.unwrap().unwrap();
    let error = two.await.unwrap().unwrap_err();
    assert_eq!(error.local(), LocalState::Unknown);
    assert_eq!(code(client.put("three", "1").await), Code::Degraded);
    client.close().await.unwrap_err();
    let client = open(&dir).await;
    assert_eq!(value(&client, "one").as_deref(), Some("1"));
    assert_eq!((value(&client, "two"), value(&client, "three")), (None, None));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_by_name_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let options = ClientOptions::local(dir.path()).segments(64 << 10, 64 << 10).snapshot_after(1 << 30);
    let client = Client::open_with(world(&dir.path().join(WAL_DIR), &rules), options).await.unwrap();
    rules.judge(|_, op| match op {
        DiskOp::Zero { .. } | DiskOp::Create { .. } => Verdict::Fail(DiskErrorKind::NoSpace),
        _ => Verdict::Pass,
    });
    let mut kept = 0;
    let error = loop {
        match client.put(format!("{kept}"), vec![7; 1000]).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000, "a segment of 64 KiB holds no megabyte");
    };
    assert_eq!((error.code(), error.local()), (Code::DiskFull, LocalState::Valid), "{error}");
    assert_eq!(client.status().unwrap().state, NodeState::NoRoom);
    assert_eq!(code(client.put("still", vec![7; 1000]).await), Code::DiskFull);
    assert_eq!(client.len().unwrap(), kept);
    rules.release();
    client.put("again", "1").await.unwrap();
    // Writes go on at once; that all is well again is said when there has been room for a while.
    assert_eq!(client.status().unwrap().state, NodeState::NoRoom);
    client.close().await.unwrap();
    let client = open(&dir).await;
    assert_eq!(client.len().unwrap(), kept + 1);
    assert_eq!(value(&client, "again").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_snapshot_for_which_there_is_no_room_says_so_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    client.put("a", "1").await.unwrap();
    rules.judge(|lane, op| match (lane, op) {
        (Lane::Background, DiskOp::Write { .. }) => Verdict::Fail(DiskErrorKind::NoSpace),
        _ => Verdict::Pass,
    });
    let error = client.snapshot().await.unwrap_err();
    assert_eq!((error.code(), error.local()), (Code::DiskFull, LocalState::Valid), "{error}");
    client.put("b", "1").await.unwrap();
    rules.release();
    client.snapshot().await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_opening_lets_go_of_the_directory_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).await.close().await.unwrap();
    let mut nth = 0;
    loop {
        let rules = Rules::new();
        let mut count = 0;
        rules.judge(move |_, _| {
            count += 1;
            if count == nth + 1 { Verdict::Fail(DiskErrorKind::Io) } else { Verdict::Pass }
        });
        let world = world(&dir.path().join(WAL_DIR), &rules);
        match Client::open_with(world, ClientOptions::local(dir.path())).await {
            Ok(client) => {
                client.close().await.ok();
                break;
            }
            Err(error) => assert_eq!(error.code(), Code::IoError, "operation {nth}: {error}"),
        }
        nth += 1;
    }
    assert!(nth >= 3, "an opening takes more than {nth} operations");
    let client = open(&dir).await;
    client.put("a", "1").await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_fault_of_the_loop_is_told_and_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    client.put("answered", "1").await.unwrap();
    rules.judge(|_, _| panic!("planned"));
    let mut watch = client.watch("", client.last_lsn().unwrap()).unwrap();
    let watching = tokio::spawn(async move { watch.next().await });
    assert_eq!(code(client.put("unanswered", "1").await), Code::InternalError);
    assert_eq!(code(client.put("later", "1").await), Code::InternalError);
    assert_eq!(code(client.flush().await), Code::InternalError);
    assert_eq!(code(client.close().await), Code::InternalError);
    assert_eq!(watching.await.unwrap(), None);
    let client = open(&dir).await;
    assert!(!client.recovery_report().clean);
    assert_eq!(value(&client, "answered").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_node_whose_directory_was_moved_takes_no_more_writes_and_leaves_the_other_node_alone() {
    let top = tempfile::tempdir().unwrap();
    let (path, moved) = (top.path().join("d"), top.path().join("d.old"));
    let ours = Client::open(ClientOptions::local(&path)).await.unwrap();
    ours.put("ours", "1").await.unwrap();
    std::fs::rename(&path, &moved).unwrap();
    let theirs = Client::open(ClientOptions::local(&path)).await.unwrap();
    theirs.put("theirs", "1").await.unwrap();
    // Nothing has to be written for it to be noticed.
    let noticed = async {
        while !matches!(ours.status().unwrap().state, NodeState::Degraded(_)) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), noticed).await.expect("it is noticed");
    let error = ours.put("ours", "2").await.unwrap_err();
    assert_eq!((error.code(), error.local()), (Code::Degraded, LocalState::Valid), "{error}");
    assert!(error.what().contains("another directory now"), "{error}");
    assert_eq!(value(&ours, "ours").as_deref(), Some("1"), "it reads on");
    assert!(ours.close().await.unwrap_err().next().contains("wherever it was moved"));
    theirs.put("theirs", "2").await.unwrap();
    theirs.close().await.unwrap();
    for (dir, key, kept) in [(&path, "theirs", "2"), (&moved, "ours", "1")] {
        let client = Client::open(ClientOptions::local(dir)).await.unwrap();
        assert_eq!((value(&client, key).as_deref(), client.len().unwrap()), (Some(kept), 1));
        client.close().await.unwrap();
    }
}
