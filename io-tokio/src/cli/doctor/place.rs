//! Whether a node can live where it is to live.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::process::{Resource, geteuid, getrlimit};
use softadastra_core::wal;

use super::super::config::open_secret;
use super::super::output::Failure;
use super::super::render::bytes;
use super::super::sound;
use crate::control::answer::Check;
use crate::data_dir::{self, WAL_DIR};
use crate::descriptors::{self, ENOUGH as ENOUGH_FILES};
use crate::settings::Settings;
use crate::{Error, http, network};

/// Less room than this is as good as none: a log rolls over into a segment of at least so much.
const LEAST_ROOM: u64 = 4 << 20;

/// The settings against each other; what is wrong with one by itself was told before.
pub(super) async fn settings(settings: &Settings) -> Check {
    let name = "settings";
    let file =
        settings.file.as_ref().map_or_else(|| "no configuration file".to_owned(), |path| path.display().to_string());
    let sound = match sound::for_a_node(settings) {
        Ok(()) => sound::for_its_links(settings).await,
        refused => refused,
    };
    match (sound, sound::doubt(settings)) {
        (Err(Failure::Usage(fault) | Failure::Fault(fault)), _) => Check::failed(name, fault.message, fault.next),
        (_, Some(doubt)) => Check::warning(name, doubt, "set `listen`, or leave it out"),
        (_, None) => Check::ok(name, file),
    }
}

/// Whether the data directory is there, and this user's.
pub(super) fn directory(dir: &Path) -> Check {
    let name = "directory";
    let create = || format!("create it with `softadastra init --data-dir {}`, or name the right one", dir.display());
    let meta = match std::fs::metadata(dir) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::failed(name, format!("{} does not exist", dir.display()), create());
        }
        Err(error) => return failed(name, &data_dir::failed("looking at", dir, &error)),
    };
    if let Err(error) = data_dir::check_owner(dir, &meta, geteuid().as_raw()) {
        return failed(name, &error);
    }
    match (data_dir::exists(&dir.join(WAL_DIR)), data_dir::has_run(dir)) {
        (Ok(true), _) => {}
        (Ok(false), true) => return failed(name, &data_dir::lost_log(dir)),
        (Ok(false), false) => return Check::failed(name, format!("{} holds no log", dir.display()), create()),
        (Err(error), _) => return failed(name, &error),
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let found = format!("{}: others may look into it (mode {mode:04o})", dir.display());
        return Check::warning(name, found, format!("chmod 700 {}", dir.display()));
    }
    Check::ok(name, format!("{}, of this user alone", dir.display()))
}

/// Whether everything in it can be used by this user, and secrets by nobody else.
pub(super) fn permissions(settings: &Settings) -> Check {
    let (name, dir) = ("permissions", &settings.data_dir);
    let me = geteuid().as_raw();
    let wal = dir.join(WAL_DIR);
    for place in [dir, &wal] {
        if let Err(error) = access(place, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
            return failed(name, &data_dir::failed("using", place, &error.into()));
        }
        let names = match data_dir::names(place) {
            Ok(names) => names,
            Err(error) => return failed(name, &error),
        };
        for file in names.into_iter().map(|file| place.join(file)) {
            // One that has just gone, such as a segment that a snapshot made needless, hinders nobody.
            let Ok(meta) = std::fs::symlink_metadata(&file) else { continue };
            if meta.uid() != me {
                let found = format!("{} belongs to the user with id {}, not {me}", file.display(), meta.uid());
                return Check::failed(
                    name,
                    found,
                    format!("chown -R it to {me}, and run nothing there as another user"),
                );
            }
        }
    }
    for secret in [network::FILE_NAME, http::TOKEN_FILE_NAME].map(|secret| dir.join(secret)) {
        let Ok(meta) = std::fs::metadata(&secret) else { continue };
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            let found = format!("{} holds a secret and others can use it (mode {mode:04o})", secret.display());
            return Check::failed(
                name,
                found,
                format!("chmod 600 {}; if somebody read it, change the secret", secret.display()),
            );
        }
    }
    match settings.file.as_deref().and_then(|path| open_secret(settings, path)) {
        Some(warning) => Check::warning(name, warning, "if somebody read it, `softadastra ticket --new-secret`"),
        None => Check::ok(name, "all is this user's, and secrets are nobody else's"),
    }
}

/// Whether the file system keeps what it is given.
pub(super) fn file_system(dir: &Path) -> Check {
    let name = "file system";
    match statvfs(dir) {
        Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => Check::failed(
            name,
            "mounted read-only: nothing can be written",
            "see the kernel log, then mount it for writing",
        ),
        Ok(_) => judge_kind(kind(dir)),
        Err(error) => failed(name, &data_dir::failed("looking at", dir, &error.into())),
    }
}

#[cfg(target_os = "linux")]
fn kind(dir: &Path) -> Option<u32> {
    // As wide as a register; the numbers themselves have 32 bits.
    rustix::fs::statfs(dir).ok().map(|found| found.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> Option<u32> {
    None
}

fn judge_kind(magic: Option<u32>) -> Check {
    let name = "file system";
    match magic {
        Some(0x0102_1994 | 0x8584_58f6) => {
            Check::warning(name, "in memory: a reboot takes all of it", "move the data directory to a disk")
        }
        Some(0x6969 | 0x517b | 0xfe53_4d42 | 0xff53_4d42 | 0x0102_1997 | 0x6573_5546) => Check::warning(
            name,
            "of a network or in user space: locks may not hold across machines, nor a sync be one",
            "use a local disk",
        ),
        Some(_) | None => Check::ok(name, "local, and mounted for writing"),
    }
}

/// Whether there is room to go on.
pub(super) fn room(settings: &Settings, live: Option<u64>) -> Check {
    match statvfs(&settings.data_dir) {
        Ok(found) => {
            let inodes = (found.f_files > 0).then_some(found.f_favail);
            let segment = settings.max_segment.unwrap_or(wal::Settings::default().max_segment);
            judge_room(found.f_bavail * found.f_frsize, inodes, live.unwrap_or(0), segment)
        }
        Err(error) => failed("space", &data_dir::failed("looking at", &settings.data_dir, &error.into())),
    }
}

fn judge_room(free: u64, inodes: Option<u64>, live: u64, segment: u64) -> Check {
    let (name, found) = ("space", format!("{} free", bytes(free)));
    if inodes.is_some_and(|left| left < 16) {
        return Check::failed(
            name,
            format!("{found}, but no more files can be made"),
            "remove files on this file system",
        );
    }
    if free < LEAST_ROOM {
        return Check::failed(name, format!("{found}: writes are refused"), "make room; no restart is needed");
    }
    let wanted = live.saturating_mul(3).saturating_add(segment);
    if free < wanted {
        let found = format!("{found}, less than the {} that a log of this size may come to need", bytes(wanted));
        return Check::warning(name, found, "make room before it runs out");
    }
    Check::ok(name, found)
}

/// Whether the limits of this process would hinder a node.
pub(super) fn limits(settings: &Settings) -> Check {
    let segment = settings.max_segment.unwrap_or(wal::Settings::default().max_segment);
    judge_limits(descriptors::limit(), getrlimit(Resource::Fsize).current, segment)
}

fn judge_limits(files: Option<u64>, size: Option<u64>, segment: u64) -> Check {
    let name = "limits";
    if let Some(most) = size.filter(|most| *most < segment) {
        let found = format!("files may have {}, and segments grow to {}", bytes(most), bytes(segment));
        return Check::failed(name, found, "raise it (`ulimit -f`, LimitFSIZE=), or set max_segment");
    }
    match files {
        Some(most) if most < ENOUGH_FILES => {
            let found = format!("{most} files may be open at once");
            Check::warning(name, found, format!("raise it to {ENOUGH_FILES} or more (`ulimit -n`, LimitNOFILE=)"))
        }
        Some(most) => Check::ok(name, format!("{most} files may be open at once")),
        None => Check::ok(name, "none that hinder"),
    }
}

pub(super) fn failed(name: &str, error: &Error) -> Check {
    Check::failed(name, error.what(), error.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged_by_what_the_log_may_come_to_need() {
        let state = |free, inodes, live| judge_room(free, inodes, live, 64 << 20).state;
        assert_eq!(state(1 << 40, None, 1 << 30), "ok");
        assert_eq!(state(1 << 40, Some(3), 1 << 30), "failed");
        assert_eq!(state(3 << 30, None, 1 << 30), "warning");
        assert_eq!(state(LEAST_ROOM - 1, None, 0), "failed");
        assert_eq!(state(LEAST_ROOM, Some(16), u64::MAX), "warning");
    }

    #[test]
    fn limits_are_judged_by_what_a_node_needs() {
        let state = |files, size| judge_limits(files, size, 64 << 20).state;
        assert_eq!(state(Some(1024), None), "ok");
        assert_eq!(state(None, Some(64 << 20)), "ok");
        assert_eq!(state(Some(64), None), "warning");
        assert_eq!(state(Some(1024), Some(1 << 20)), "failed");
    }

    #[test]
    fn memory_and_networks_are_no_place_for_a_log() {
        assert_eq!(judge_kind(Some(0xef53)).state, "ok");
        assert_eq!(judge_kind(None).state, "ok");
        for magic in [0x0102_1994, 0x6969, 0xff53_4d42] {
            assert_eq!(judge_kind(Some(magic)).state, "warning");
        }
    }

    #[test]
    fn what_others_can_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(directory(&dir.path().join("none")).state, "failed");
        assert_eq!(directory(dir.path()).state, "failed", "it holds no log");
        std::fs::create_dir(dir.path().join("wal")).unwrap();
        let mode = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert_eq!(directory(dir.path()).state, "ok");
        mode(0o755);
        let check = directory(dir.path());
        assert!(check.state == "warning" && check.next.starts_with("chmod 700 "), "{check:?}");
        mode(0o700);
        let mut settings = Settings::default();
        settings.data_dir = dir.path().to_owned();
        assert_eq!(permissions(&settings).state, "ok");
        let book = dir.path().join("network.json");
        std::fs::write(&book, "").unwrap();
        std::fs::set_permissions(&book, std::fs::Permissions::from_mode(0o640)).unwrap();
        let check = permissions(&settings);
        assert!(check.state == "failed" && check.found.contains("mode 0640"), "{check:?}");
        std::fs::remove_dir(dir.path().join("wal")).unwrap();
        assert!(directory(dir.path()).found.contains("missing or empty"));
    }
}
