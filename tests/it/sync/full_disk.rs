//! A peer whose disk is full.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::peer::Peer;
use super::records::records;
use super::{until, until_agreed};
use crate::support::Place;

/// A small file system of its own, which ends with this value. It lies in a mount namespace, for which nobody has to be
/// root, and is reached through the process that holds it.
struct SmallDisk {
    holder: Child,
    dir: PathBuf,
    _mounted_at: tempfile::TempDir,
}

impl SmallDisk {
    /// So many MiB; `None` where user namespaces or mounts in them are not allowed.
    fn of(mib: u32) -> Option<Self> {
        let mounted_at = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=$1m none \"$2\" && echo mounted && read -r _";
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &mib.to_string()])
            .arg(mounted_at.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let dir = root.join(mounted_at.path().strip_prefix("/").unwrap());
        let disk = Self { holder, dir, _mounted_at: mounted_at };
        (line == "mounted\n" && disk.dir.is_dir()).then_some(disk)
    }

    fn path(&self) -> &Path {
        &self.dir
    }

    /// Takes all room there is.
    fn fill(&self) {
        let mut file = File::create(self.dir.join("ballast")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    /// Gives it back.
    fn empty(&self) {
        std::fs::remove_file(self.dir.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It reads its input, and so ends.
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

#[test]
fn a_peer_without_room_refuses_by_name_and_is_delivered_to_when_it_has_some() {
    let Some(disk) = SmallDisk::of(24) else {
        let why = "SKIPPED: a peer with a full disk: this machine allows no mount in a user namespace (unshare -Urm)\n";
        // Past the capture of the test runner: a skipped test must be seen.
        std::io::stderr().write_all(why.as_bytes()).unwrap();
        return;
    };
    let small = ["--set", "first_segment=1MiB", "--set", "max_segment=1MiB", "--set", "snapshot_after=4MiB"];
    let mut a = Peer::new("a");
    let mut b = Peer::at(Place::with_data_in(disk.path()), "b", &small);
    a.up();
    b.up();
    b.join(&a);
    a.import(&records("a", 0..200));
    b.put("own", "1");
    until_agreed(&[&a, &b]);

    disk.fill();
    // More than what is left of the segments it has prepared.
    a.import(&records("a", 200..8_200));
    b.until_logged("no room on this node's disk for what the peer sent");
    a.until_logged("the peer said: its disk is full");
    // What is small may still fit where its log ends; this does not.
    let refused = b.run_with(&["--json", "store", "put", "own", "-"], &[b'x'; 1 << 20]);
    assert_eq!((refused.code, &refused.error()["code"]), (1, &"disk_full".into()), "{refused:?}");
    assert_eq!(b.get("own").as_deref(), Some("1"), "it can still be read");
    // Here nothing is lost, nothing is taken for delivered, and writes go on.
    let state = a.state();
    assert_eq!(state.accepted, 8_200);
    assert!(state.pending() > 0 && state.acknowledged + state.pending() == 8_200, "{state:?}");
    let arrived = b.keys();
    assert!(arrived < 8_201, "there was room for all");
    a.put("meanwhile", "written");

    disk.empty();
    until_agreed(&[&a, &b]);
    assert_eq!(b.keys(), 8_202);
    assert_eq!(a.state().acknowledged, 8_201);
    b.put("own", "3");
    until("a has it, too", || a.get("own").as_deref() == Some("3"));
    assert!(a.export() == b.export());
    b.stop();
    b.run(&["wal", "verify"]).ok();
}
