use std::collections::BTreeMap;

use softadastra_core::disk::DiskOp;

use super::*;
use crate::disk::DynDisk;
use crate::{Client, ClientOptions, ScanOptions};
use tempfile::TempDir;

async fn open(dir: &Path) -> Client {
    let options = ClientOptions::local(dir).segments(64 << 10, 128 << 10).snapshot_after(1 << 30);
    Client::open(options).await.unwrap()
}

fn contents(client: &Client) -> BTreeMap<Vec<u8>, (Vec<u8>, u64)> {
    let page = client.scan(&ScanOptions { limit: usize::MAX, ..ScanOptions::default() }).unwrap();
    page.items.into_iter().map(|item| (item.key.to_vec(), (item.value.bytes.to_vec(), item.value.version))).collect()
}

async fn fill(client: &Client, from: u32, to: u32) {
    for n in from..to {
        client.put(format!("key/{:03}", n % 300), format!("{n}").repeat(100)).await.unwrap();
    }
}

struct Place {
    top: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { top: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names = data_dir::names(dir).unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn a_restored_backup_equals_the_node_under_a_new_history() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 1000).await;
    client.remove("key/007").await.unwrap();
    let (info, status, before) = (client.node_info().unwrap(), client.status().unwrap(), contents(&client));
    let made = client.backup(place.at("backup")).await.unwrap();
    assert_eq!(made.durable_lsn, client.last_lsn().unwrap());
    assert_eq!((made.copied_files, made.copied_bytes), (made.files, made.bytes));
    assert!(made.files >= 2, "several segments: {made:?}");
    client.put("after", "the backup").await.unwrap();
    client.close().await.unwrap();

    let checked = verify(&place.at("backup")).await.unwrap();
    assert_eq!((checked.files, checked.bytes, checked.durable_lsn), (made.files, made.bytes, made.durable_lsn));
    let restored = restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    assert_eq!((&restored.node_id, restored.old_replica_id), (&info.node_id, info.replica_id));
    assert_ne!(restored.replica_id, info.replica_id);
    assert!(!place.at("new.partial").exists());

    let client = open(&place.at("new")).await;
    assert!(client.recovery_report().clean);
    assert_eq!(contents(&client), before);
    assert_eq!(client.status().unwrap().digest, status.digest, "tombstones included");
    let fresh = client.node_info().unwrap();
    assert_eq!((fresh.replica_id, &fresh.node_id), (restored.replica_id, &info.node_id));
    assert_ne!(fresh.log_id, info.log_id);
    client.put("key/007", "again").await.unwrap();
    client.close().await.unwrap();
    open(&place.at("new")).await.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_writing_holds_all_that_was_answered_before_and_no_half_batch() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    let writing = tokio::spawn({
        let client = client.clone();
        async move {
            for n in 0_u64.. {
                let mut batch = crate::Batch::new();
                batch.put("left", n.to_le_bytes().to_vec()).put("right", n.to_le_bytes().to_vec());
                batch.put(format!("n/{n}"), vec![7; 2000]);
                if client.batch(batch).await.is_err() {
                    return n;
                }
            }
            unreachable!("ends when the client closes")
        }
    });
    let mut floor = 0;
    for round in 0..5 {
        while client.len().unwrap() < 100 * (round + 1) {
            tokio::task::yield_now().await;
        }
        if round == 2 {
            client.snapshot().await.unwrap();
        }
        floor = client.len().unwrap() - 2;
        client.backup(place.at("backup")).await.unwrap();
        verify(&place.at("backup")).await.unwrap();
    }
    client.close().await.unwrap();
    assert!(writing.await.unwrap() > floor);
    restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    let client = open(&place.at("new")).await;
    let held = contents(&client);
    let batches = held.len() as u64 - 2;
    assert!(batches >= floor, "{batches} of {floor} answered batches");
    assert_eq!(held[&b"left"[..]].0, (batches - 1).to_le_bytes());
    assert_eq!(held[&b"left"[..]].0, held[&b"right"[..]].0);
    assert!((0..batches).all(|n| held.contains_key(format!("n/{n}").as_bytes())));
}

#[tokio::test]
async fn a_later_backup_copies_only_what_is_new_and_removes_what_is_needless() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 1000).await;
    let first = client.backup(place.at("backup")).await.unwrap();
    let again = client.backup(place.at("backup")).await.unwrap();
    assert_eq!((again.copied_files, again.copied_bytes, again.files), (0, 0, first.files));
    fill(&client, 1000, 1010).await;
    let grown = client.backup(place.at("backup")).await.unwrap();
    assert!((1..=2).contains(&grown.copied_files), "{grown:?}");
    assert_eq!(files(&place.at("backup")).len(), parts(&place).await + 2, "parts, manifest and lock, nothing else");

    // A copy that has rotted is found and made again.
    let stored = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap().files.remove(0).stored_as;
    flip(&place.at("backup").join(&stored), 1000);
    let error = verify(&place.at("backup")).await.unwrap_err();
    assert_eq!(error.code(), Code::WalCorrupt);
    assert!(error.what().contains(&stored), "{error}");
    assert_eq!(client.backup(place.at("backup")).await.unwrap().copied_files, 1);
    verify(&place.at("backup")).await.unwrap();

    client.snapshot().await.unwrap();
    let after = client.backup(place.at("backup")).await.unwrap();
    assert!(after.files < grown.files, "old segments are gone: {after:?}");
    assert_eq!(files(&place.at("backup")).len(), parts(&place).await + 2);
    let before = contents(&client);
    client.close().await.unwrap();
    restore(&place.at("backup"), &place.at("new"), Some(NodeId::new("other").unwrap())).await.unwrap();
    let client = open(&place.at("new")).await;
    assert_eq!(contents(&client), before);
    assert_eq!(client.node_info().unwrap().node_id.as_str(), "other");
}

/// How many files a backup consists of, its manifest and its lock left out.
async fn parts(place: &Place) -> usize {
    let manifest = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap();
    manifest.files.iter().map(|file| file.parts().unwrap().len()).sum()
}

/// What the backup stores of the log file that has grown.
async fn grown(place: &Place) -> ManifestFile {
    let manifest = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap();
    manifest.files.into_iter().find(|file| !file.tails.is_empty()).expect("a file has grown")
}

#[tokio::test]
async fn of_a_segment_that_has_grown_only_the_growth_is_copied() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 100).await;
    let first = client.backup(place.at("backup")).await.unwrap();
    let mut stored = first.bytes;
    for round in 0..5 {
        client.put(format!("small/{round}"), "value").await.unwrap();
        let made = client.backup(place.at("backup")).await.unwrap();
        assert_eq!(made.copied_bytes, made.bytes - stored, "round {round}: {made:?}");
        assert!(made.copied_bytes < 4096 && made.copied_files == 1, "round {round}: {made:?}");
        stored = made.bytes;
        assert_eq!(verify(&place.at("backup")).await.unwrap().bytes, stored);
    }
    assert_eq!(grown(&place).await.tails.len(), 5);

    // A part that has rotted is named; the next backup copies that file anew, as one.
    let part = grown(&place).await.tails.remove(2).stored_as;
    flip(&place.at("backup").join(&part), 10);
    let error = verify(&place.at("backup")).await.unwrap_err();
    assert!(error.code() == Code::WalCorrupt && error.what().contains(&part), "{error}");
    assert_eq!(restore(&place.at("backup"), &place.at("new"), None).await.unwrap_err().code(), Code::WalCorrupt);
    client.put("small/5", "value").await.unwrap();
    let healed = client.backup(place.at("backup")).await.unwrap();
    assert!(healed.copied_files == 1 && healed.copied_bytes > 4096, "{healed:?}");
    assert_eq!(files(&place.at("backup")).len(), parts(&place).await + 2, "the rotten parts are gone");

    client.put("small/6", "value").await.unwrap();
    client.backup(place.at("backup")).await.unwrap();
    let before = contents(&client);
    client.close().await.unwrap();
    restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    let client = open(&place.at("new")).await;
    assert_eq!(contents(&client), before);
}

#[tokio::test]
async fn a_file_of_too_many_parts_becomes_one_again() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    client.backup(place.at("backup")).await.unwrap();
    let mut most = 0;
    for round in 0..40 {
        client.put("counter", format!("{round}")).await.unwrap();
        client.backup(place.at("backup")).await.unwrap();
        let manifest = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap();
        most = manifest.files.iter().map(|file| file.tails.len()).max().unwrap().max(most);
        assert_eq!(files(&place.at("backup")).len(), parts(&place).await + 2, "round {round}");
    }
    assert_eq!(most, 32);
    let manifest = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap();
    assert!(manifest.files.iter().all(|file| file.tails.len() < 10), "{manifest:?}");
    client.close().await.unwrap();
    restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    assert_eq!(open(&place.at("new")).await.get("counter").unwrap().unwrap().bytes, "39");
}

#[tokio::test]
async fn parts_that_contradict_the_manifest_are_refused() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    client.backup(place.at("backup")).await.unwrap();
    client.put("k", "v").await.unwrap();
    client.backup(place.at("backup")).await.unwrap();
    client.close().await.unwrap();
    let path = place.at("backup").join(MANIFEST_FILE);
    let sound: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(sound["schema"], "softadastra.backup/2", "a reader that knows of no parts must not take it");
    let at = sound["files"].as_array().unwrap().iter().position(|file| file["tails"].is_array()).unwrap();
    type Spoil = fn(&mut serde_json::Value);
    let spoils: [Spoil; 4] = [
        |file| file["tails"][0]["bytes"] = u64::MAX.into(),
        |file| file["tails"][0]["bytes"] = 1.into(),
        |file| file["tails"][0]["stored_as"] = "../escape".into(),
        |file| file["tails"] = serde_json::json!([]),
    ];
    for (case, spoil) in spoils.iter().enumerate() {
        let mut manifest = sound.clone();
        spoil(&mut manifest["files"][at]);
        std::fs::write(&path, manifest.to_string()).unwrap();
        let error = verify(&place.at("backup")).await.unwrap_err();
        assert_eq!(error.code(), Code::WalCorrupt, "case {case}: {error}");
    }
    std::fs::write(&path, sound.to_string()).unwrap();
    verify(&place.at("backup")).await.unwrap();
}

fn disk(dir: &Path) -> impl DynDisk + use<> {
    FsDisk::open_read_only(dir, None).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn what_is_not_this_nodes_backup_is_left_alone() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    let other = open(&place.at("other")).await;
    fill(&client, 0, 10).await;
    other.backup(place.at("others")).await.unwrap();
    let before = std::fs::read(place.at("others").join(MANIFEST_FILE)).unwrap();
    std::fs::create_dir(place.at("mine")).unwrap();
    std::fs::write(place.at("mine").join("diary.txt"), "dear diary").unwrap();
    std::fs::write(place.at("file"), "x").unwrap();
    for (target, code) in [
        ("others", Code::AlreadyExists),
        ("mine", Code::AlreadyExists),
        ("file", Code::InvalidArgument),
        ("file/below", Code::InvalidArgument),
    ] {
        assert_eq!(client.backup(place.at(target)).await.unwrap_err().code(), code, "{target}");
    }
    assert_eq!(std::fs::read(place.at("others").join(MANIFEST_FILE)).unwrap(), before);
    assert_eq!(files(&place.at("mine")), ["diary.txt"]);
    // The data directory itself is no place for a backup either, nor one that holds it, by whatever way.
    std::os::unix::fs::symlink(place.at("data"), place.at("link")).unwrap();
    for target in
        ["data", "data/wal", "data/wal.new", "data/wal/0000000000000007.seg", "link/x/y", "other/../data/z", ""]
    {
        assert_eq!(client.backup(place.at(target)).await.unwrap_err().code(), Code::InvalidArgument, "{target}");
    }
    assert!(!place.at("data/wal.new").exists() && !place.at("data/x").exists());
    assert!(client.inspect().await.unwrap().report.strangers.is_empty());
    // Another backup is under way.
    let busy = DirLock::acquire(&place.at("others")).unwrap();
    assert_eq!(other.backup(place.at("others")).await.unwrap_err().code(), Code::Locked);
    drop(busy);
    client.close().await.unwrap();
}

/// Copies a data directory that nobody has open.
fn copy_dir(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[tokio::test]
async fn a_backup_of_what_a_rolled_back_log_has_lost_is_kept() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 10).await;
    client.close().await.unwrap();
    copy_dir(&place.at("data"), &place.at("earlier"));
    let client = open(&place.at("data")).await;
    fill(&client, 10, 30).await;
    client.backup(place.at("backup")).await.unwrap();
    let before = contents(&client);
    client.close().await.unwrap();

    let client = open(&place.at("earlier")).await;
    // First it is shorter than the backup; then it has grown beyond, with other writes.
    for more in [0, 50] {
        fill(&client, 100, 100 + more).await;
        let error = client.backup(place.at("backup")).await.unwrap_err();
        assert_eq!((error.code(), error.local()), (Code::AlreadyExists, softadastra_core::error::LocalState::Valid));
        assert!(error.what().contains("rolled back") && error.next().contains("another directory"), "{error}");
    }
    client.backup(place.at("elsewhere")).await.unwrap();
    client.close().await.unwrap();
    verify(&place.at("backup")).await.unwrap();
    restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    assert_eq!(contents(&open(&place.at("new")).await), before);
}

#[tokio::test]
async fn a_pipe_in_a_backup_is_refused_and_not_waited_for() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    client.backup(place.at("backup")).await.unwrap();
    client.close().await.unwrap();
    let stored = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap().files.remove(0).stored_as;
    for name in [&stored, MANIFEST_FILE, LOCK_FILE] {
        let path = place.at("backup").join(name);
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let patience = std::time::Duration::from_secs(60);
        let error = tokio::time::timeout(patience, verify(&place.at("backup"))).await.expect("it hangs").unwrap_err();
        assert!(error.what().contains("not a file"), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_interrupted_backup_leaves_the_one_before_it_whole() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 500).await;
    client.backup(place.at("backup")).await.unwrap();
    let before = contents(&client);
    fill(&client, 500, 900).await;
    // As after a crash in mid-copy: a draft, and a file that no manifest names yet.
    std::fs::write(place.at("backup/copying"), "half").unwrap();
    std::fs::write(place.at("backup/0000000000000009.seg.0123456789abcdef"), "whole").unwrap();
    verify(&place.at("backup")).await.unwrap();
    restore(&place.at("backup"), &place.at("old"), None).await.unwrap();
    client.backup(place.at("backup")).await.unwrap();
    assert_eq!(files(&place.at("backup")).len(), parts(&place).await + 2);
    let now = contents(&client);
    client.close().await.unwrap();
    restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    for (name, expected) in [("old", before), ("new", now)] {
        let client = open(&place.at(name)).await;
        assert_eq!(contents(&client), expected, "{name}");
        client.close().await.unwrap();
    }
}

#[tokio::test]
async fn files_stay_until_the_backup_has_copied_them() {
    use crate::testing::{Rules, Verdict, world};
    let place = Place::new();
    let rules = Rules::new();
    let options = ClientOptions::local(place.at("data")).segments(64 << 10, 64 << 10).snapshot_after(1 << 30);
    let client = Client::open_with(world(&place.at("data/wal"), &rules), options).await.unwrap();
    fill(&client, 0, 800).await;
    let before = contents(&client);
    // The first read of the backup is held; the snapshot reads back what it wrote under an id of the log's own.
    rules.judge(|_, op| match op {
        DiskOp::Read { file, .. } if file.0 >= 1 << 63 => Verdict::Hold,
        _ => Verdict::Pass,
    });
    let copying = tokio::spawn({
        let (client, target) = (client.clone(), place.at("backup"));
        async move { client.backup(target).await }
    });
    rules.held().await;
    client.put("after", "the backup began").await.unwrap();
    client.snapshot().await.unwrap();
    let first = place.at("data/wal/0000000000000001.seg");
    assert!(first.exists(), "the snapshot made it needless, but the backup still needs it");
    rules.release();
    copying.await.unwrap().unwrap();
    // The loop hears of the end of the backup after its client does.
    let removed = async {
        while first.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), removed)
        .await
        .expect("needless files go after the backup");
    client.close().await.unwrap();
    restore(&place.at("backup"), &place.at("new"), None).await.unwrap();
    let client = open(&place.at("new")).await;
    assert_eq!(contents(&client), before);
}

#[tokio::test]
async fn closing_cuts_a_backup_short_by_name() {
    use crate::testing::{Rules, Verdict, world};
    let place = Place::new();
    let rules = Rules::new();
    let options = ClientOptions::local(place.at("data"));
    let client = Client::open_with(world(&place.at("data/wal"), &rules), options).await.unwrap();
    fill(&client, 0, 10).await;
    rules.judge(|_, op| if matches!(op, DiskOp::Read { .. }) { Verdict::Hold } else { Verdict::Pass });
    let copying = tokio::spawn({
        let (client, target) = (client.clone(), place.at("backup"));
        async move { client.backup(target).await }
    });
    rules.held().await;
    client.close().await.unwrap();
    assert_eq!(copying.await.unwrap().unwrap_err().code(), Code::InvalidState);
    assert_eq!(verify(&place.at("backup")).await.unwrap_err().code(), Code::NotFound);
    // What it left behind does not stand in the way of the next one.
    let client = open(&place.at("data")).await;
    client.backup(place.at("backup")).await.unwrap();
    verify(&place.at("backup")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_nothing_is_built() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 10).await;
    client.backup(place.at("backup")).await.unwrap();
    client.close().await.unwrap();
    let manifest = place.at("backup").join(MANIFEST_FILE);
    let json = std::fs::read_to_string(&manifest).unwrap();
    let stored = Manifest::read(&disk(&place.at("backup"))).await.unwrap().unwrap().files.remove(0).stored_as;
    let file = place.at("backup").join(&stored);
    let bytes = std::fs::read(&file).unwrap();

    type Spoil<'a> = Box<dyn Fn() + 'a>;
    let cases: [(Code, Spoil<'_>); 7] = [
        (Code::WalCorrupt, Box::new(|| flip(&file, 80))),
        (Code::WalCorrupt, Box::new(|| std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap())),
        (Code::WalCorrupt, Box::new(|| std::fs::write(&file, [&bytes[..], b"x"].concat()).unwrap())),
        (Code::WalCorrupt, Box::new(|| std::fs::remove_file(&file).unwrap())),
        (Code::WalCorrupt, Box::new(|| std::fs::write(&manifest, &json[..json.len() / 2]).unwrap())),
        (Code::FormatTooNew, Box::new(|| std::fs::write(&manifest, json.replace("backup/1", "backup/3")).unwrap())),
        (Code::WalCorrupt, Box::new(|| std::fs::write(&manifest, json.replace(&stored, "../escape")).unwrap())),
    ];
    for (index, (code, spoil)) in cases.iter().enumerate() {
        spoil();
        let error = verify(&place.at("backup")).await.unwrap_err();
        assert_eq!(error.code(), *code, "case {index}: {error}");
        let error = restore(&place.at("backup"), &place.at("new"), None).await.unwrap_err();
        assert_eq!(error.code(), *code, "case {index}: {error}");
        assert!(!place.at("new").exists());
        std::fs::write(&file, &bytes).unwrap();
        std::fs::write(&manifest, &json).unwrap();
    }
    std::fs::remove_file(&manifest).unwrap();
    assert_eq!(verify(&place.at("backup")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(verify(&place.at("nowhere")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_restore_overwrites_nothing() {
    let place = Place::new();
    let client = open(&place.at("data")).await;
    fill(&client, 0, 10).await;
    client.backup(place.at("backup")).await.unwrap();
    client.close().await.unwrap();
    let backup = place.at("backup");
    let code = async |target: &str| restore(&backup, &place.at(target), None).await.unwrap_err().code();

    assert_eq!(code("data").await, Code::AlreadyExists);
    std::fs::write(place.at("file"), "mine").unwrap();
    assert_eq!(code("file").await, Code::AlreadyExists);
    std::fs::create_dir(place.at("new.partial")).unwrap();
    std::fs::write(place.at("new.partial/diary.txt"), "dear diary").unwrap();
    assert_eq!(code("new").await, Code::AlreadyExists);
    assert!(place.at("new.partial/diary.txt").exists());

    // A link leads to a directory of somebody else.
    std::fs::create_dir_all(place.at("theirs/wal")).unwrap();
    std::fs::write(place.at("theirs/wal/data"), "precious").unwrap();
    std::os::unix::fs::symlink(place.at("theirs"), place.at("linked.partial")).unwrap();
    assert_eq!(code("linked").await, Code::InvalidArgument);
    assert!(place.at("theirs/wal/data").exists() && !place.at("linked").exists());

    // In the backup it would keep the next one from being made.
    assert_eq!(code("backup/inside").await, Code::InvalidArgument);
    verify(&backup).await.unwrap();

    // Nothing is begun without a backup.
    restore(&place.at("nowhere"), &place.at("never"), None).await.unwrap_err();
    assert!(!place.at("never.partial").exists());

    // Left by a restore that was cut short: taken up again.
    std::fs::remove_file(place.at("new.partial/diary.txt")).unwrap();
    std::fs::create_dir(place.at("new.partial/wal")).unwrap();
    std::fs::write(place.at("new.partial/wal/0000000000000001.seg"), "half").unwrap();
    let busy = DirLock::acquire(&place.at("new.partial")).unwrap();
    assert_eq!(code("new").await, Code::Locked);
    drop(busy);
    std::fs::create_dir(place.at("new")).unwrap();
    restore(&backup, &place.at("new"), None).await.unwrap();
    let client = open(&place.at("new")).await;
    assert_eq!(client.len().unwrap(), 10);
}
