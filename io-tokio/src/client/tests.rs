//! The client over real directories, and over disks that misbehave.

mod direct;
mod discovery;
mod durability;
mod failures;
mod lost_log;
mod network;
mod reading;

use super::*;
use crate::model::{NodeState, Outcome};
use crate::options::Durability;
use crate::testing::{Rules, Verdict, world};
use tempfile::TempDir;

async fn open(dir: &TempDir) -> Client {
    Client::open(ClientOptions::local(dir.path())).await.unwrap()
}

async fn open_under(dir: &TempDir, rules: &Arc<Rules>) -> Client {
    let options = ClientOptions::local(dir.path());
    Client::open_with(world(&dir.path().join(WAL_DIR), rules), options).await.unwrap()
}

fn value(client: &Client, key: &str) -> Option<String> {
    let value = client.get(key).unwrap()?;
    Some(String::from_utf8(value.bytes.to_vec()).unwrap())
}

fn code<T: fmt::Debug>(result: Result<T, Error>) -> Code {
    result.unwrap_err().code()
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    assert!(client.recovery_report().created);
    let written = client.put("a", "1").await.unwrap();
    assert_eq!((written.outcome, written.version), (Outcome::Created, 1));
    assert_eq!(client.put("a", "1").await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(
        client.put("a", "2").await.unwrap(),
        Written { outcome: Outcome::Updated, version: 2, ..written.next() }
    );
    assert_eq!(client.put("b", "x").await.unwrap().outcome, Outcome::Created);
    assert_eq!(client.remove("b").await.unwrap().outcome, Outcome::Deleted);
    assert_eq!(client.remove("b").await.unwrap().outcome, Outcome::Absent);
    let (info, status) = (client.node_info().unwrap(), client.status().unwrap());
    assert_eq!(status.state, NodeState::Ready);
    let wal = status.wal.unwrap();
    assert_eq!((wal.last_lsn, wal.durable_lsn), (client.last_lsn().unwrap(), wal.last_lsn));
    client.close().await.unwrap();

    let client = open(&dir).await;
    let report = client.recovery_report();
    assert!(report.clean && !report.created && report.torn_bytes == 0, "{report:?}");
    assert_eq!(value(&client, "a").as_deref(), Some("2"));
    assert_eq!(client.get("a").unwrap().unwrap().version, 2);
    assert_eq!((client.contains("b").unwrap(), client.len().unwrap()), (false, 1));
    let again = client.node_info().unwrap();
    assert_eq!((again.node_id, again.replica_id, again.log_id), (info.node_id, info.replica_id, info.log_id));
    assert_eq!(client.status().unwrap().digest, status.digest);
    client.close().await.unwrap();
}

trait Next {
    fn next(self) -> Self;
}

impl Next for Written {
    fn next(self) -> Self {
        Self { lsn: self.lsn.next(), ..self }
    }
}

#[tokio::test]
async fn a_memory_only_node_forgets_and_has_no_files() {
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    client.put("a", "1").await.unwrap();
    assert_eq!(value(&client, "a").as_deref(), Some("1"));
    let first = client.node_info().unwrap();
    assert_eq!((first.data_dir, first.log_id), (None, None));
    assert_eq!(client.status().unwrap().wal, None);
    for refused in [
        code(client.snapshot().await),
        code(client.flush().await),
        code(client.backup("/nowhere").await),
        code(client.inspect().await),
    ] {
        assert_eq!(refused, Code::InvalidState);
    }
    client.close().await.unwrap();
    let client = Client::open(ClientOptions::memory_only()).await.unwrap();
    assert!(client.is_empty().unwrap());
    assert_ne!(client.node_info().unwrap().replica_id, first.replica_id);
}

#[tokio::test]
async fn a_closed_client_refuses_everything_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    let other = client.clone();
    client.put("a", "1").await.unwrap();
    let mut watch = client.watch("", Lsn::ZERO).unwrap();
    client.close().await.unwrap();
    client.close().await.unwrap();
    other.closed().await;
    let mut batch = Batch::new();
    batch.put("a", "1");
    for refused in [
        code(other.put("a", "2").await),
        code(other.put_if_version("a", "2", 1).await),
        code(other.remove("a").await),
        code(other.batch(batch).await),
        code(other.get("a")),
        code(other.contains("a")),
        code(other.len()),
        code(other.is_empty()),
        code(other.scan(&ScanOptions::default())),
        code(other.watch("", Lsn::ZERO)),
        code(other.last_lsn()),
        code(other.node_info()),
        code(other.status()),
        code(other.snapshot().await),
        code(other.flush().await),
        code(other.inspect().await),
        code(other.backup(dir.path().join("b")).await),
        code(watch.ready(1)),
    ] {
        assert_eq!(refused, Code::InvalidState);
    }
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn the_second_opener_is_refused_by_name_or_waits() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir).await;
    let error = Client::open(ClientOptions::local(dir.path())).await.unwrap_err();
    assert_eq!(error.code(), Code::Locked);
    assert!(error.what().contains(&format!("process ({}: ", std::process::id())), "{error}");
    let waiting = tokio::spawn(Client::open(ClientOptions::local(dir.path()).lock_wait(Duration::from_secs(60))));
    first.put("a", "1").await.unwrap();
    first.close().await.unwrap();
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(value(&second, "a").as_deref(), Some("1"));
    second.close().await.unwrap();
    // Closing means that it is free at once.
    open(&dir).await.close().await.unwrap();
}

#[tokio::test]
async fn a_client_dropped_in_mid_write_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::new();
    let client = open_under(&dir, &rules).await;
    client.put("answered", "1").await.unwrap();
    rules.judge_commits(Verdict::Hold);
    let writer = tokio::spawn({
        let client = client.clone();
        async move { client.put("unanswered", "1").await }
    });
    rules.held().await;
    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    let closing = client.clone().inner.reach.published.clone();
    drop(client);
    rules.release();
    // The loop closes by itself.
    let mut published = closing;
    while published.changed().await.is_ok() {}
    let client = open(&dir).await;
    assert!(client.recovery_report().clean);
    assert_eq!(value(&client, "answered").as_deref(), Some("1"));
    // Accepted before the drop, so it was carried out.
    assert_eq!(value(&client, "unanswered").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_missing_directory_is_created_or_refused() {
    let top = tempfile::tempdir().unwrap();
    let dir = top.path().join("data");
    assert_eq!(code(Client::open(ClientOptions::durable(&dir)).await), Code::NotFound);
    assert!(!dir.exists());
    Client::open(ClientOptions::persistent(&dir)).await.unwrap().close().await.unwrap();
    Client::open(ClientOptions::durable(&dir)).await.unwrap().close().await.unwrap();
    let other = ClientOptions::local(&dir).node_id(softadastra_core::ids::NodeId::new("other").unwrap());
    assert_eq!(code(Client::open(other).await), Code::InvalidArgument);
    Client::open(ClientOptions::local(&dir)).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn arguments_out_of_range_are_refused_by_name() {
    let client = Client::open(ClientOptions::memory_only().max_value_len(10)).await.unwrap();
    for (name, result) in [
        ("key is empty", client.put("", "1").await),
        ("key has 1025 bytes", client.put(vec![b'k'; 1025], "1").await),
        ("value has 11 bytes", client.put("a", vec![0; 11]).await),
        ("key is empty", client.remove("").await),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.what().contains(name), "{error}");
    }
    assert_eq!(code(client.batch(Batch::new()).await), Code::InvalidArgument);
    assert_eq!(code(client.scan(&ScanOptions { limit: 0, ..ScanOptions::default() })), Code::InvalidArgument);
    client.put(vec![b'k'; 1024], vec![0; 10]).await.unwrap();
    assert_eq!(client.len().unwrap(), 1);
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let client = open(&dir).await;
    let a = client.put("a", "1").await.unwrap();
    let mut batch = Batch::new();
    batch.put("b", "1").put_if_version("a", "2", a.version + 1).remove("c");
    assert_eq!(batch.len(), 3);
    let error = client.batch(batch).await.unwrap_err();
    assert_eq!(error.code(), Code::VersionMismatch);
    assert_eq!((value(&client, "a").as_deref(), client.contains("b").unwrap()), (Some("1"), false));

    let mut batch = Batch::new();
    batch.put("b", "1").put_if_version("a", "2", a.version).remove("b").touch("a", "2");
    let outcomes: Vec<Outcome> = client.batch(batch).await.unwrap().iter().map(|w| w.outcome).collect();
    assert_eq!(outcomes, [Outcome::Created, Outcome::Updated, Outcome::Deleted, Outcome::Updated]);
    assert_eq!((value(&client, "a").as_deref(), client.contains("b").unwrap()), (Some("2"), false));

    assert_eq!(code(client.put_if_version("a", "3", 0).await), Code::VersionMismatch);
    assert_eq!(client.put_if_version("new", "1", 0).await.unwrap().outcome, Outcome::Created);
    let mut batch = Batch::new();
    batch.remove_if_version("new", 7);
    assert_eq!(code(client.batch(batch).await), Code::VersionMismatch);
    client.close().await.unwrap();
}
