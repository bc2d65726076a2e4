//! A disk so small that it can be filled.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A small file system of its own, which ends with this value. It lies in a mount namespace, for which nobody has to be
/// root, and is reached through the process that holds it.
pub(super) struct SmallDisk {
    holder: Child,
    dir: PathBuf,
    _mounted_at: tempfile::TempDir,
}

impl SmallDisk {
    /// So many MiB. Where user namespaces or mounts in them are not allowed there is none, and it is said aloud what is not
    /// tested for that.
    pub(super) fn of(mib: u32, tested: &str) -> Option<Self> {
        let disk = Self::mount(mib);
        if disk.is_none() {
            let why = format!("SKIPPED: {tested}: this machine allows no mount in a user namespace (unshare -Urm)\n");
            // Past the capture of the test runner: a skipped test must be seen.
            std::io::stderr().write_all(why.as_bytes()).unwrap();
        }
        disk
    }

    fn mount(mib: u32) -> Option<Self> {
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

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Takes all room there is.
    pub(super) fn fill(&self) {
        let mut file = File::create(self.dir.join("ballast")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    /// Whether it was filled.
    #[cfg(target_os = "linux")]
    pub(super) fn is_full(&self) -> bool {
        self.dir.join("ballast").exists()
    }

    /// Gives it back.
    pub(super) fn empty(&self) {
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
