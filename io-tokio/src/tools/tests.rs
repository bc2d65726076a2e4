use super::*;
use crate::{Client, ClientOptions, Lsn};

async fn open(dir: &Path) -> Client {
    let options = ClientOptions::local(dir).segments(64 << 10, 64 << 10).snapshot_after(1 << 30);
    Client::open(options).await.unwrap()
}

/// A cleanly closed directory of several segments.
async fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let client = open(dir.path()).await;
    for n in 0..200 {
        client.put(format!("{n:03}"), vec![b'v'; 1000]).await.unwrap();
    }
    client.close().await.unwrap();
    dir
}

/// Flips a bit in the middle of the first segment: a value that was answered long ago.
fn damage(dir: &Path) -> PathBuf {
    let segment = dir.join(WAL_DIR).join("0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.iter().rposition(|b| *b == b'v').unwrap() / 2;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    segment
}

#[tokio::test]
async fn an_inspection_tells_all_and_changes_nothing() {
    let dir = filled().await;
    let before = snapshot_of(dir.path());
    let Inspection { path, report, content } = inspect(dir.path()).await.unwrap();
    assert_eq!(path, dir.path().join("wal"));
    assert!(report.closed_cleanly && report.damage.is_empty() && report.torn.is_none());
    assert!(report.segments.len() >= 3, "{} segments", report.segments.len());
    // The birth, the run, and 200 writes.
    assert_eq!(report.next_lsn, Lsn(203));
    let content = content.unwrap();
    assert_eq!((content.keys, content.live_bytes), (200, 200 * 1003));
    verify(dir.path()).await.unwrap();
    assert_eq!(snapshot_of(dir.path()), before);

    let client = open(dir.path()).await;
    assert_eq!(content.digest, client.status().unwrap().digest);
    assert_eq!(content.node_id, client.node_info().unwrap().node_id);
    assert_eq!(inspect(dir.path()).await.unwrap_err().code(), Code::Locked);
    // The node itself may be asked, while it writes.
    let live = client.inspect().await.unwrap();
    assert_eq!((live.content.unwrap().keys, live.report.damage.len()), (200, 0));
    client.close().await.unwrap();

    let empty = tempfile::tempdir().unwrap();
    for missing in [empty.path().to_owned(), empty.path().join("nowhere")] {
        assert_eq!(inspect(&missing).await.unwrap_err().code(), Code::NotFound);
    }
    assert!(data_dir::names(empty.path()).unwrap().is_empty());
}

fn snapshot_of(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let wal = dir.join(WAL_DIR);
    let mut files: Vec<_> = data_dir::names(&wal)
        .unwrap()
        .into_iter()
        .map(|name| {
            let bytes = std::fs::read(wal.join(&name)).unwrap();
            (name, bytes)
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn damage_is_named_and_repaired_only_on_demand() {
    let dir = filled().await;
    let old = inspect(dir.path()).await.unwrap().content.unwrap();
    damage(dir.path());
    let damaged = snapshot_of(dir.path());
    let error = verify(dir.path()).await.unwrap_err();
    assert_eq!(error.code(), Code::WalCorrupt);
    assert!(error.what().contains("0000000000000001.seg at offset ") && error.what().contains("LSN "), "{error}");
    let refused = Client::open(ClientOptions::local(dir.path())).await.unwrap_err();
    assert_eq!((refused.code(), refused.what()), (Code::WalCorrupt, error.what()));
    assert_eq!(snapshot_of(dir.path()), damaged, "a refusal must not touch anything");

    let report = repair(dir.path(), None).await.unwrap();
    assert_eq!(report.kept_aside, dir.path().join("wal.damaged-1"));
    assert_eq!((report.damage.len(), report.keys), (1, 199), "one frame of one write was hit");
    assert_ne!(report.replica_id, old.replica_id);
    let aside = dir.path().join("wal.damaged-1");
    assert_eq!(std::fs::read(aside.join("0000000000000001.seg")).unwrap(), damaged[0].1);
    assert!(!dir.path().join(NEW_WAL_DIR).exists());

    let client = open(dir.path()).await;
    assert!(client.recovery_report().clean);
    let info = client.node_info().unwrap();
    assert_eq!((&info.node_id, info.replica_id), (&old.node_id, report.replica_id));
    assert_eq!(client.len().unwrap(), 199);
    let sync = client.sync_state().unwrap();
    assert!(sync.exact, "what was salvaged is claimed by the new history: {sync:?}");
    client.put("after", "repair").await.unwrap();
    client.close().await.unwrap();

    let error = repair(dir.path(), None).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidState, "nothing is damaged any more: {error}");
    assert_eq!(data_dir::set_aside(dir.path()).unwrap(), [1]);
}

#[tokio::test]
async fn a_second_repair_keeps_the_first_one_s_log_and_takes_up_an_unfinished_one() {
    let dir = filled().await;
    damage(dir.path());
    std::fs::create_dir(dir.path().join("wal.damaged-7")).unwrap();
    // Left by a repair that was cut short while it built.
    std::fs::create_dir(dir.path().join(NEW_WAL_DIR)).unwrap();
    std::fs::write(dir.path().join(NEW_WAL_DIR).join("0000000000000001.seg"), "half").unwrap();
    let name = NodeId::new("till-9").unwrap();
    let report = repair(dir.path(), Some(name.clone())).await.unwrap();
    assert_eq!(report.kept_aside, dir.path().join("wal.damaged-8"));
    let client = open(dir.path()).await;
    assert_eq!(client.node_info().unwrap().node_id, name);
    assert_eq!(repair(dir.path(), None).await.unwrap_err().code(), Code::Locked);
    client.close().await.unwrap();
}
