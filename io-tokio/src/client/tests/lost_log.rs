//! A directory whose log is gone must not look like a new node.

use super::*;
use crate::network;

/// A node with a key and one value, closed.
async fn node() -> (TempDir, crate::NodeKey, NodeInfo) {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    client.put("k", "v").await.unwrap();
    let (key, info) = (client.key().unwrap(), client.node_info().unwrap());
    client.close().await.unwrap();
    (dir, key, info)
}

fn empty(wal: &Path) {
    for file in std::fs::read_dir(wal).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
}

#[tokio::test]
async fn a_lost_log_is_told_and_nothing_is_founded() {
    let (dir, _, _) = node().await;
    let wal = dir.path().join(WAL_DIR);
    empty(&wal);
    for _ in 0..2 {
        for options in [ClientOptions::local(dir.path()), ClientOptions::durable(dir.path())] {
            let error = Client::open(options).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidState);
            assert!(error.what().contains("wal/ is missing or empty"), "{error}");
            assert!(error.next().contains("restore") && error.next().contains("init --new-history"), "{error}");
        }
        let left = || std::fs::read_dir(&wal).unwrap().count();
        assert!(!wal.exists() || left() == 0, "nothing was founded");
        if wal.exists() {
            std::fs::remove_dir(&wal).unwrap();
        }
    }
}

#[tokio::test]
async fn a_new_history_keeps_the_key_when_it_is_asked_for() {
    let (dir, key, info) = node().await;
    std::fs::remove_dir_all(dir.path().join(WAL_DIR)).unwrap();
    let client = Client::open(ClientOptions::local(dir.path()).new_history(true)).await.unwrap();
    assert!(client.recovery_report().created);
    assert_eq!((client.key().unwrap(), client.len().unwrap()), (key, 0));
    assert_ne!(client.node_info().unwrap().replica_id, info.replica_id);
    client.close().await.unwrap();
    // From then on it is a node like any other.
    let client = Client::open(ClientOptions::durable(dir.path())).await.unwrap();
    assert_eq!(client.key().unwrap(), key);
    client.close().await.unwrap();
}

#[tokio::test]
async fn a_restored_directory_takes_the_book_of_the_lost_one() {
    let (dir, key, _) = node().await;
    let to = tempfile::tempdir().unwrap();
    let (backup, restored) = (to.path().join("backup"), to.path().join("restored"));
    let client = open(&dir).await;
    client.backup(&backup).await.unwrap();
    client.close().await.unwrap();
    crate::restore(&backup, &restored, None).await.unwrap();
    std::fs::copy(dir.path().join(network::FILE_NAME), restored.join(network::FILE_NAME)).unwrap();
    let client = Client::open(ClientOptions::local(&restored)).await.unwrap();
    assert_eq!((client.key().unwrap(), value(&client, "k").as_deref()), (key, Some("v")));
    client.close().await.unwrap();
}

#[tokio::test]
async fn who_has_no_log_yet_has_no_book_either() {
    let dir = tempfile::tempdir().unwrap();
    let wal = dir.path().join(WAL_DIR);
    std::fs::create_dir(&wal).unwrap();
    std::fs::write(wal.join("0000000000000001.seg"), "no log at all").unwrap();
    Client::open(ClientOptions::local(dir.path())).await.unwrap_err();
    assert!(!dir.path().join(network::FILE_NAME).exists());
}
