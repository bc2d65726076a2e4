use super::*;
use softadastra_core::error::LocalState;
use tempfile::TempDir;

fn disk() -> (TempDir, FsDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = FsDisk::open(dir.path(), None).unwrap();
    (dir, disk)
}

async fn run(disk: &FsDisk, op: DiskOp) -> DiskResult {
    disk.submit(Lane::Commit, op).await
}

const A: FileId = FileId(1);

fn create(name: &str) -> DiskOp {
    DiskOp::Create { file: A, name: name.to_owned() }
}

fn write(offset: u64, data: &'static [u8], sync: bool) -> DiskOp {
    DiskOp::Write { file: A, offset, data: Bytes::from_static(data), sync }
}

fn kind(result: DiskResult) -> DiskErrorKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn files_are_created_written_read_renamed_listed_and_removed() {
    let (dir, disk) = disk();
    assert_eq!(run(&disk, create("a.new")).await, Ok(Completion::Opened { len: 0 }));
    assert_eq!(run(&disk, write(0, b"hello", true)).await, Ok(Completion::Done));
    assert_eq!(run(&disk, DiskOp::Zero { file: A, offset: 5, len: 600_000, sync: true }).await, Ok(Completion::Done));
    assert_eq!(run(&disk, write(2, b"LLO!", false)).await, Ok(Completion::Done));
    assert_eq!(run(&disk, DiskOp::Rename { from: "a.new".into(), to: "a".into() }).await, Ok(Completion::Done));
    assert_eq!(run(&disk, DiskOp::SyncDir).await, Ok(Completion::Done));
    assert_eq!(run(&disk, DiskOp::Sync { file: A }).await, Ok(Completion::Done), "a renamed file stays open");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let listed = vec![FileInfo { name: "a".into(), len: 600_005 }];
    assert_eq!(run(&disk, DiskOp::List).await, Ok(Completion::Listing(listed)));

    let read = |offset, len| DiskOp::Read { file: A, offset, len };
    assert_eq!(run(&disk, read(0, 8)).await, Ok(Completion::Data(Bytes::from_static(b"heLLO!\0\0"))));
    assert_eq!(run(&disk, read(600_003, 100)).await, Ok(Completion::Data(Bytes::from_static(b"\0\0"))));
    assert_eq!(run(&disk, read(700_000, usize::MAX)).await, Ok(Completion::Data(Bytes::new())));

    assert_eq!(run(&disk, DiskOp::Close { file: A }).await, Ok(Completion::Done));
    assert_eq!(
        run(&disk, DiskOp::Open { file: FileId(2), name: "a".into() }).await,
        Ok(Completion::Opened { len: 600_005 })
    );
    assert_eq!(run(&disk, DiskOp::Remove { name: "a".into() }).await, Ok(Completion::Done));
    assert_eq!(run(&disk, DiskOp::List).await, Ok(Completion::Listing(Vec::new())));
}

#[tokio::test]
async fn failures_are_sorted_and_name_the_file() {
    let (_dir, disk) = disk();
    assert_eq!(kind(run(&disk, DiskOp::Open { file: A, name: "nope.seg".into() }).await), DiskErrorKind::NotFound);
    run(&disk, create("a.seg")).await.unwrap();
    let twice = run(&disk, DiskOp::Create { file: FileId(2), name: "a.seg".into() }).await.unwrap_err();
    assert_eq!(twice.kind, DiskErrorKind::AlreadyExists);
    assert!(twice.message.starts_with("creating a.seg: "), "{twice}");
    assert_eq!(kind(run(&disk, DiskOp::Sync { file: FileId(7) }).await), DiskErrorKind::Io);
    for name in ["", ".", "..", "../a", "a/b"] {
        assert_eq!(kind(run(&disk, DiskOp::Remove { name: name.into() }).await), DiskErrorKind::Io, "{name:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    // Every write to /dev/full answers ENOSPC.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_dir, disk) = disk();
    let error = full.write_all_at(b"x", 0).unwrap_err();
    let told = disk_error("writing 1 bytes at 0 of a.seg", &error);
    assert_eq!(told.kind, DiskErrorKind::NoSpace);
    assert!(told.message.contains("a.seg") && told.message.contains("No space left"), "{told}");
    disk.finish().await;
}

#[test]
fn system_errors_have_their_kinds() {
    use rustix::io::Errno;
    for (errno, kind) in [
        (Errno::NOSPC, DiskErrorKind::NoSpace),
        (Errno::DQUOT, DiskErrorKind::NoSpace),
        (Errno::ACCESS, DiskErrorKind::Denied),
        (Errno::PERM, DiskErrorKind::Denied),
        (Errno::FBIG, DiskErrorKind::NoSpace),
        (Errno::ROFS, DiskErrorKind::Denied),
        (Errno::NOENT, DiskErrorKind::NotFound),
        (Errno::EXIST, DiskErrorKind::AlreadyExists),
        (Errno::IO, DiskErrorKind::Io),
        (Errno::MFILE, DiskErrorKind::TooManyFiles),
        (Errno::NFILE, DiskErrorKind::TooManyFiles),
    ] {
        assert_eq!(disk_error("x", &errno.into()).kind, kind, "{errno:?}");
    }
}

#[tokio::test]
async fn operations_keep_the_order_of_the_calls_even_if_nobody_waits() {
    let (dir, disk) = disk();
    run(&disk, create("a")).await.unwrap();
    for round in 0..200_u64 {
        // Not awaited: dropped futures do not undo what was asked for.
        drop(
            disk.submit(
                Lane::Commit,
                DiskOp::Write { file: A, offset: 0, data: Bytes::from(vec![b'x'; 8]), sync: false },
            ),
        );
        let data = Bytes::copy_from_slice(&round.to_le_bytes());
        drop(disk.submit(Lane::Commit, DiskOp::Write { file: A, offset: 0, data, sync: false }));
    }
    disk.finish().await;
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), 199_u64.to_le_bytes());
}

#[tokio::test]
async fn the_background_lane_does_not_hold_up_a_commit() {
    let (_dir, disk) = disk();
    run(&disk, create("a")).await.unwrap();
    disk.submit(Lane::Background, DiskOp::Create { file: FileId(2), name: "b".into() }).await.unwrap();
    let slow = disk.submit(Lane::Background, DiskOp::Zero { file: FileId(2), offset: 0, len: 64 << 20, sync: true });
    let quick = run(&disk, write(0, b"now", false));
    tokio::pin!(slow, quick);
    tokio::select! {
        biased;
        done = &mut slow => panic!("64 MiB came before three bytes: {done:?}"),
        done = &mut quick => assert_eq!(done, Ok(Completion::Done)),
    }
    assert_eq!(slow.await, Ok(Completion::Done));
}

#[tokio::test]
async fn a_directory_that_is_not_in_its_place_any_more_is_written_no_more_and_no_other_is_touched() {
    let top = tempfile::tempdir().unwrap();
    let (path, moved) = (top.path().join("wal"), top.path().join("wal.old"));
    std::fs::create_dir(&path).unwrap();
    let disk = FsDisk::open(&path, None).unwrap();
    let open = |id, name: &str| DiskOp::Open { file: FileId(id), name: name.into() };
    run(&disk, create("a")).await.unwrap();
    run(&disk, write(0, b"mine", true)).await.unwrap();
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    for name in ["a", "b"] {
        std::fs::write(path.join(name), "theirs, and longer").unwrap();
    }
    let changes = [
        DiskOp::Remove { name: "b".into() },
        DiskOp::Rename { from: "a".into(), to: "b".into() },
        DiskOp::SyncDir,
        DiskOp::Create { file: FileId(2), name: "c".into() },
        write(0, b"lost", true),
        DiskOp::Zero { file: A, offset: 0, len: 1, sync: true },
        DiskOp::Sync { file: A },
    ];
    for op in changes {
        let error = run(&disk, op.clone()).await.unwrap_err();
        assert!(error.message.contains("is another directory now"), "{op:?}: {error}");
    }
    let loss = disk.lost().await;
    assert_eq!((loss.became, loss.local), ("replaced", LocalState::Valid));
    // What is read is its own still.
    assert_eq!(run(&disk, open(3, "a")).await, Ok(Completion::Opened { len: 4 }));
    let listed = vec![FileInfo { name: "a".into(), len: 4 }];
    assert_eq!(run(&disk, DiskOp::List).await, Ok(Completion::Listing(listed)));
    let mut names = crate::data_dir::names(&path).unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(std::fs::read(path.join("a")).unwrap(), b"theirs, and longer");
    disk.finish().await;
}

#[tokio::test]
async fn a_directory_that_is_deleted_is_noticed_by_itself() {
    let top = tempfile::tempdir().unwrap();
    let path = top.path().join("wal");
    std::fs::create_dir(&path).unwrap();
    let disk = FsDisk::open(&path, None).unwrap();
    std::fs::remove_dir(&path).unwrap();
    // Nothing is asked of it.
    let loss = tokio::time::timeout(std::time::Duration::from_secs(60), disk.lost()).await.unwrap();
    assert_eq!((loss.became, loss.local), ("deleted", LocalState::Damaged));
}

#[tokio::test]
async fn a_file_that_somebody_removed_is_written_no_more() {
    let (dir, disk) = disk();
    run(&disk, create("a")).await.unwrap();
    run(&disk, write(0, b"kept", true)).await.unwrap();
    std::fs::remove_file(dir.path().join("a")).unwrap();
    for op in [write(4, b"lost", true), DiskOp::Zero { file: A, offset: 8, len: 1, sync: true }] {
        let error = run(&disk, op.clone()).await.unwrap_err();
        assert!(error.message.contains("a was removed by somebody"), "{op:?}: {error}");
    }
}
