use super::*;

const A: FileId = FileId(1);
const B: FileId = FileId(2);

fn create(disk: &mut SimDisk, file: FileId, name: &str) {
    disk.execute(&DiskOp::Create { file, name: name.into() }).unwrap();
}

fn write(disk: &mut SimDisk, file: FileId, offset: u64, data: &[u8], sync: bool) -> DiskResult {
    disk.execute(&DiskOp::Write { file, offset, data: Bytes::copy_from_slice(data), sync })
}

fn rename(disk: &mut SimDisk, from: &str, to: &str) {
    disk.execute(&DiskOp::Rename { from: from.into(), to: to.into() }).unwrap();
}

fn remove(disk: &mut SimDisk, name: &str) {
    disk.execute(&DiskOp::Remove { name: name.into() }).unwrap();
}

fn sync_dir(disk: &mut SimDisk) {
    disk.execute(&DiskOp::SyncDir).unwrap();
}

fn loss(data: Fate, names: Fate, salt: u64) -> Loss {
    Loss { data, names, stale: false, salt }
}

/// A disk with one file of `sectors` durable sectors full of `o`.
fn with_old_file(sectors: usize) -> SimDisk {
    let mut disk = SimDisk::new();
    create(&mut disk, A, "f");
    write(&mut disk, A, 0, &vec![b'o'; sectors * SECTOR], true).unwrap();
    sync_dir(&mut disk);
    disk
}

fn names(disk: &SimDisk) -> Vec<&str> {
    disk.files().map(|(name, _)| name).collect()
}

#[test]
fn a_kill_keeps_what_was_written_and_a_power_loss_does_not() {
    let mut disk = with_old_file(1);
    write(&mut disk, A, 0, b"new", false).unwrap();
    let mut killed = disk.clone();
    killed.kill();
    assert!(killed.file("f").unwrap().starts_with(b"new"));
    disk.lose_power(Loss::TOTAL);
    assert!(disk.file("f").unwrap().starts_with(b"ooo"));
}

#[test]
fn what_was_synced_survives_every_power_loss() {
    for salt in 0..100 {
        let mut disk = with_old_file(4);
        disk.lose_power(loss(Fate::Mixed(50), Fate::Mixed(50), salt));
        assert_eq!(disk.file("f").unwrap(), [b'o'; 4 * SECTOR]);
    }
}

#[test]
fn a_write_tears_at_any_sector_and_in_any_order() {
    let mut seen = std::collections::BTreeSet::new();
    for salt in 0..200 {
        let mut disk = with_old_file(3);
        write(&mut disk, A, 0, &[b'n'; 3 * SECTOR], false).unwrap();
        disk.lose_power(loss(Fate::Mixed(50), Fate::Lost, salt));
        let sectors: Vec<u8> = disk.file("f").unwrap().chunks(SECTOR).map(|sector| sector[0]).collect();
        assert!(disk.file("f").unwrap().chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 8, "every subset of three sectors: {seen:?}");
}

#[test]
fn a_sector_written_twice_may_be_left_as_it_was_between() {
    let mut seen = std::collections::BTreeSet::new();
    for salt in 0..100 {
        let mut disk = with_old_file(1);
        write(&mut disk, A, 0, b"1", false).unwrap();
        write(&mut disk, A, 0, b"2", false).unwrap();
        disk.lose_power(loss(Fate::Mixed(50), Fate::Lost, salt));
        seen.insert(disk.file("f").unwrap()[0]);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), b"12o");
}

#[test]
fn a_length_may_be_lost_or_kept_without_its_data() {
    let mut seen = std::collections::BTreeSet::new();
    for salt in 0..300 {
        let mut disk = with_old_file(1);
        write(&mut disk, A, SECTOR as u64, &[b'n'; SECTOR], false).unwrap();
        disk.lose_power(loss(Fate::Mixed(50), Fate::Lost, salt));
        let content = disk.file("f").unwrap();
        seen.insert((content.len() / SECTOR, content.get(SECTOR).copied()));
    }
    let expected = [(1, None), (2, Some(0)), (2, Some(b'n'))];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn space_gained_without_data_can_show_what_a_removed_file_left() {
    let mut disk = SimDisk::new();
    disk.put_file("old", &[b's'; 2 * SECTOR]);
    remove(&mut disk, "old");
    create(&mut disk, A, "new");
    sync_dir(&mut disk);
    write(&mut disk, A, 0, &[b'n'; 2 * SECTOR], false).unwrap();
    let stale = (0..200).any(|salt| {
        let mut disk = disk.clone();
        disk.lose_power(Loss { stale: true, ..loss(Fate::Mixed(30), Fate::Kept, salt) });
        disk.file("new").unwrap().starts_with(b"s")
    });
    assert!(stale);
}

#[test]
fn a_gap_reads_as_zeros() {
    let mut disk = SimDisk::new();
    create(&mut disk, A, "f");
    write(&mut disk, A, 700, b"x", false).unwrap();
    assert_eq!(disk.file("f").unwrap(), [vec![0; 700], b"x".to_vec()].concat());
    disk.execute(&DiskOp::Sync { file: A }).unwrap();
    sync_dir(&mut disk);
    disk.lose_power(Loss::TOTAL);
    assert_eq!(disk.file("f").unwrap(), [vec![0; 700], b"x".to_vec()].concat());
}

#[test]
fn a_file_that_ends_within_a_sector_keeps_its_length() {
    let mut disk = SimDisk::new();
    create(&mut disk, A, "f");
    write(&mut disk, A, 0, b"abc", true).unwrap();
    sync_dir(&mut disk);
    write(&mut disk, A, 3, b"def", true).unwrap();
    disk.lose_power(Loss::TOTAL);
    assert_eq!(disk.file("f").unwrap(), b"abcdef");
}

#[test]
fn creation_rename_and_removal_are_lost_without_a_directory_sync() {
    let mut disk = SimDisk::new();
    create(&mut disk, A, "created");
    write(&mut disk, A, 0, b"x", true).unwrap();
    disk.lose_power(Loss::TOTAL);
    assert!(names(&disk).is_empty(), "the data was synced, the name was not");

    disk.put_file("a", b"a");
    disk.put_file("b", b"b");
    let mut renamed = disk.clone();
    rename(&mut renamed, "a", "b");
    assert_eq!(renamed.file("b").unwrap(), b"a");
    renamed.lose_power(Loss::TOTAL);
    assert_eq!((renamed.file("a").unwrap(), renamed.file("b").unwrap()), (&b"a"[..], &b"b"[..]));

    remove(&mut disk, "a");
    disk.lose_power(Loss::TOTAL);
    assert_eq!(disk.file("a").unwrap(), b"a");
}

#[test]
fn a_directory_sync_makes_names_durable() {
    let mut disk = SimDisk::new();
    disk.put_file("a", b"a");
    disk.put_file("gone", b"g");
    rename(&mut disk, "a", "b");
    remove(&mut disk, "gone");
    sync_dir(&mut disk);
    disk.lose_power(Loss::TOTAL);
    assert_eq!(names(&disk), ["b"]);
}

#[test]
fn names_are_lost_in_any_subset_that_is_legal() {
    let mut seen = std::collections::BTreeSet::new();
    for salt in 0..400 {
        let mut disk = SimDisk::new();
        create(&mut disk, A, "a");
        rename(&mut disk, "a", "b");
        create(&mut disk, B, "c");
        disk.lose_power(loss(Fate::Lost, Fate::Mixed(50), salt));
        seen.insert(names(&disk).join(","));
    }
    // Never both `a` and `b`, never `b` without the creation of `a` before it; `c` has to do with neither.
    let expected = ["", "a", "a,c", "b", "b,c", "c"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn an_open_file_is_its_inode_not_its_name() {
    let mut disk = SimDisk::new();
    create(&mut disk, A, "draft");
    rename(&mut disk, "draft", "final");
    write(&mut disk, A, 0, b"x", false).unwrap();
    assert_eq!((disk.file("final").unwrap(), disk.name_of(A)), (&b"x"[..], Some("final")));
    remove(&mut disk, "final");
    create(&mut disk, B, "final");
    write(&mut disk, A, 1, b"y", false).unwrap();
    assert!(disk.file("final").unwrap().is_empty(), "the new file shows nothing of the old");
    let read = disk.execute(&DiskOp::Read { file: A, offset: 0, len: 9 }).unwrap();
    assert_eq!(read, Completion::Data(Bytes::from_static(b"xy")));
    disk.execute(&DiskOp::Close { file: A }).unwrap();
    assert!(disk.execute(&DiskOp::Read { file: A, offset: 0, len: 9 }).is_err());
}

#[test]
fn errors_are_those_of_a_file_system() {
    let mut disk = SimDisk::new();
    disk.put_file("a", b"");
    let kind = |disk: &mut SimDisk, op: DiskOp| disk.execute(&op).unwrap_err().kind;
    let name = || String::from("none");
    assert_eq!(kind(&mut disk, DiskOp::Create { file: A, name: "a".into() }), DiskErrorKind::AlreadyExists);
    assert_eq!(kind(&mut disk, DiskOp::Open { file: A, name: name() }), DiskErrorKind::NotFound);
    assert_eq!(kind(&mut disk, DiskOp::Remove { name: name() }), DiskErrorKind::NotFound);
    assert_eq!(kind(&mut disk, DiskOp::Rename { from: name(), to: "b".into() }), DiskErrorKind::NotFound);
}

#[test]
fn a_fault_strikes_the_nth_operation_of_its_kind_once() {
    let mut disk = with_old_file(1);
    disk.arm(Fault { on: Some(OpKind::Write), after: 1, what: Harm::Error(DiskErrorKind::Io) });
    disk.execute(&DiskOp::Sync { file: A }).unwrap();
    write(&mut disk, A, 0, b"1", false).unwrap();
    assert_eq!(write(&mut disk, A, 0, b"2", false).unwrap_err().kind, DiskErrorKind::Io);
    assert!(disk.file("f").unwrap().starts_with(b"1"), "nothing of the failed write was done");
    write(&mut disk, A, 0, b"3", false).unwrap();
    assert_eq!(disk.take_struck(), [(OpKind::Write, Harm::Error(DiskErrorKind::Io))]);
}

#[test]
fn a_short_write_leaves_its_beginning() {
    let mut disk = with_old_file(1);
    disk.arm(Fault { on: Some(OpKind::Write), after: 0, what: Harm::Short(50, DiskErrorKind::NoSpace) });
    assert_eq!(write(&mut disk, A, 0, b"1234", true).unwrap_err().kind, DiskErrorKind::NoSpace);
    assert!(disk.file("f").unwrap().starts_with(b"12oo"));
}

#[test]
fn pages_dropped_by_a_failed_sync_are_never_written() {
    let mut disk = with_old_file(1);
    disk.arm(Fault { on: Some(OpKind::Sync), after: 0, what: Harm::DropPages(Fate::Lost) });
    assert!(write(&mut disk, A, 0, b"new", true).is_err());
    disk.execute(&DiskOp::Sync { file: A }).unwrap();
    assert!(disk.file("f").unwrap().starts_with(b"new"), "the page cache lies");
    assert!(disk.shows_what_was_dropped());
    let mut written_again = disk.clone();
    write(&mut written_again, A, 0, b"new", true).unwrap();
    let mut evicted = disk.clone();
    evicted.evict();
    disk.lose_power(loss(Fate::Kept, Fate::Kept, 0));
    for (disk, content) in [(evicted, b"ooo"), (disk, b"ooo"), (written_again, b"new")] {
        assert!(disk.file("f").unwrap().starts_with(content) && !disk.shows_what_was_dropped());
    }
}

#[test]
fn eviction_spares_dirty_pages() {
    let mut disk = with_old_file(2);
    write(&mut disk, A, 0, b"new", false).unwrap();
    disk.evict();
    assert!(disk.file("f").unwrap().starts_with(b"new"));
}

#[test]
fn a_full_disk_takes_what_fits_and_room_helps() {
    let mut disk = with_old_file(2);
    disk.set_room(Some(3 * SECTOR as u64));
    write(&mut disk, A, 0, &[b'n'; 2 * SECTOR], false).unwrap();
    let more = [b'm'; 2 * SECTOR];
    let full = write(&mut disk, A, 2 * SECTOR as u64, &more, false).unwrap_err();
    assert_eq!((full.kind, disk.file("f").unwrap().len()), (DiskErrorKind::NoSpace, 3 * SECTOR));
    disk.set_room(None);
    write(&mut disk, A, 2 * SECTOR as u64, &more, false).unwrap();
    assert_eq!(disk.used(), 4 * SECTOR as u64);
}

#[test]
fn rot_changes_one_bit_on_the_platter_and_in_sight() {
    let mut disk = with_old_file(1);
    assert!(disk.rot("f", 9));
    assert_eq!((disk.file("f").unwrap()[1], disk.durable_file("f").unwrap()[1]), (b'o' ^ 2, b'o' ^ 2));
    assert!(!disk.rot("f", 8 * SECTOR as u64));
}

#[test]
fn a_misdirected_write_reports_success_and_hits_another_place() {
    let mut disk = with_old_file(2);
    disk.arm(Fault { on: Some(OpKind::Write), after: 0, what: Harm::Misdirect(1) });
    write(&mut disk, A, 0, b"new", true).unwrap();
    let content = disk.durable_file("f").unwrap();
    assert!(content.starts_with(b"ooo") && content[SECTOR..].starts_with(b"newo"));
}

#[test]
fn the_second_half_of_a_syncing_write_is_apart() {
    let mut disk = with_old_file(1);
    let op = DiskOp::Write { file: A, offset: 0, data: Bytes::from_static(b"new"), sync: true };
    disk.begin(&op).unwrap();
    let mut between = disk.clone();
    between.lose_power(Loss::TOTAL);
    assert!(between.file("f").unwrap().starts_with(b"ooo"));
    disk.settle(&op).unwrap();
    disk.lose_power(Loss::TOTAL);
    assert!(disk.file("f").unwrap().starts_with(b"new"));
}

#[test]
fn what_was_read_and_what_was_copied_stay_as_they_were() {
    let mut disk = with_old_file(2);
    let read = disk.execute(&DiskOp::Read { file: A, offset: SECTOR as u64, len: SECTOR }).unwrap();
    let (kept, copy) = (disk.file_bytes("f").unwrap(), disk.copy());
    write(&mut disk, A, SECTOR as u64, b"new", true).unwrap();
    assert!(disk.file("f").unwrap()[SECTOR..].starts_with(b"newo"));
    assert_eq!(read, Completion::Data(vec![b'o'; SECTOR].into()));
    assert_eq!(kept, vec![b'o'; 2 * SECTOR]);
    assert_eq!((copy.file("f"), copy.durable_file("f")), (Some(&kept[..]), Some(&kept[..])));
}

#[test]
fn every_sector_that_was_written_is_unsynced_once_in_whatever_order() {
    let mut disk = with_old_file(8);
    for (sector, count, unsynced) in [(5, 1, 1), (2, 1, 2), (1, 6, 6), (0, 2, 7), (7, 1, 8), (3, 3, 8)] {
        write(&mut disk, A, sector * SECTOR as u64, &vec![b'0' + sector as u8; count * SECTOR], false).unwrap();
        assert_eq!(disk.unsynced().0, unsynced, "after sector {sector}");
    }
    let mut lost = disk.clone();
    lost.lose_power(Loss::TOTAL);
    assert_eq!(lost.file("f").unwrap(), [b'o'; 8 * SECTOR]);
    disk.execute(&DiskOp::Sync { file: A }).unwrap();
    disk.lose_power(Loss::TOTAL);
    let left: String = disk.file("f").unwrap().iter().step_by(SECTOR).map(|byte| char::from(*byte)).collect();
    assert_eq!(left, "00133317");
}
