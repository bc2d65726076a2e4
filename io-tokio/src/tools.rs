//! Looking at the log of a data directory, checking it and, when told to, repairing it. No node may be running on it.

use std::path::{Path, PathBuf};

use softadastra_core::config::Config;
use softadastra_core::error::{Code, Error, LocalState};
use softadastra_core::ids::{NodeId, ReplicaId};
use softadastra_core::node::Inspected;
pub use softadastra_core::wal::scan::{
    Damage, Leftover, LeftoverKind, ScanReport, SegmentReport, SnapshotReport, Torn, Unproven,
};

use crate::data_dir::{self, DAMAGED_PREFIX, NEW_WAL_DIR, Prepared, WAL_DIR};
use crate::founding::{check_equal, found, inspect_dir};
use crate::lock::DirLock;
use crate::{events, off_thread};

/// What a data directory's log consists of.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Where the log is.
    pub path: PathBuf,
    /// What reading it found.
    pub report: ScanReport,
    /// What it holds; `None` when it holds the history of no node.
    pub content: Option<Content>,
}

/// What a log holds. With damage, what could be read in spite of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The operator's name of the node.
    pub node_id: NodeId,
    /// The history that wrote last.
    pub replica_id: ReplicaId,
    /// Keys that hold a value.
    pub keys: u64,
    /// Deleted keys still remembered.
    pub tombstones: u64,
    /// Bytes of keys and values.
    pub live_bytes: u64,
    /// Order-independent digest of the keys that have a value, 128 bits.
    pub digest: u128,
}

/// What a repair did.
#[derive(Clone, Debug)]
pub struct RepairReport {
    /// Where the damaged log is kept.
    pub kept_aside: PathBuf,
    /// What was wrong.
    pub damage: Vec<Damage>,
    /// Keys salvaged.
    pub keys: u64,
    /// Records of the log that could be read.
    pub records: u64,
    /// The new history.
    pub replica_id: ReplicaId,
}

/// Reads a whole log and says what is there. Changes nothing, not even on a read-only file system.
///
/// # Errors
/// [`Code::NotFound`] without a log; [`Code::Locked`] while a node runs there; [`Code::IoError`]. Damage is no error: it
/// stands in the report.
pub async fn inspect(data_dir: &Path) -> Result<Inspection, Error> {
    let dir = data_dir.to_owned();
    let (lock, wal) = off_thread(move || {
        let lock = DirLock::share(&dir)?;
        let wal = dir.join(WAL_DIR);
        if data_dir::exists(&wal)? {
            return Ok((lock, wal));
        }
        Err(Error::new(
            Code::NotFound,
            format!("{} holds no log", dir.display()),
            "check the path; `softadastra init` starts a new node",
        ))
    })
    .await?;
    let inspection = inspect_log(wal).await;
    drop(lock);
    inspection
}

/// As [`inspect`], of a log directory, whoever holds the lock.
pub(crate) async fn inspect_log(wal: PathBuf) -> Result<Inspection, Error> {
    let Inspected { report, content } = inspect_dir(&wal).await?;
    let content = content.map(|content| Content {
        node_id: content.node_id().clone(),
        replica_id: content.replica(),
        keys: content.store().len() as u64,
        tombstones: content.store().tombstones() as u64,
        live_bytes: content.store().live_bytes(),
        digest: content.store().live_digest().0,
    });
    Ok(Inspection { path: wal, report, content })
}

/// As [`inspect`], and damage is an error.
///
/// # Errors
/// [`Code::WalCorrupt`] naming file, offset and LSN range; [`Code::FormatTooNew`]; and those of [`inspect`].
pub async fn verify(data_dir: &Path) -> Result<Inspection, Error> {
    let inspection = inspect(data_dir).await?;
    match inspection.report.refusal() {
        Some(error) => Err(error),
        None => Ok(inspection),
    }
}

/// Sets a damaged log aside as `wal.damaged-<n>` and founds a new one with what could be salvaged, under a new replica
/// id: what was lost may be known elsewhere, and must not be issued again under its old name. A log without damage is
/// left alone.
///
/// The new log is built beside the old one, read back and compared before the old one is touched. A repair that is cut
/// short leaves the damaged log in its place, or is finished by the next opening.
///
/// `node_id` names the node anew; where the damage took its name, it is `node-00000000` otherwise.
///
/// # Errors
/// [`Code::NotFound`]; [`Code::Locked`]; [`Code::InvalidState`] when there is no damage; [`Code::WalCorrupt`] when
/// nothing could be salvaged; [`Code::FormatTooNew`]; [`Code::DiskFull`]; [`Code::IoError`].
pub async fn repair(data_dir: &Path, node_id: Option<NodeId>) -> Result<RepairReport, Error> {
    let dir = data_dir.to_owned();
    let Prepared { lock, wal, held: _ } = off_thread({
        let dir = dir.clone();
        move || data_dir::prepare(&dir, false)
    })
    .await?;
    let Inspected { report, content } = inspect_dir(&wal).await?;
    if let Some(error) = report.refusal().filter(|_| report.too_new.is_some()) {
        return Err(error);
    }
    if report.damage.is_empty() {
        return Err(Error::new(
            Code::InvalidState,
            format!("the log in {} is not damaged", wal.display()),
            "open it; there is nothing to repair",
        ));
    }
    let content = content.ok_or_else(|| {
        Error::new(
            Code::WalCorrupt,
            format!("nothing could be salvaged from {}", wal.display()),
            "restore a backup; the damaged log was left as it is",
        )
        .with_local(LocalState::Damaged)
    })?;

    let built = dir.join(NEW_WAL_DIR);
    off_thread({
        let built = built.clone();
        move || data_dir::make_empty_dir(&built)
    })
    .await?;
    let wanted = content.content_hash();
    found(&built, Config { node_id, ..Config::default() }, content).await?;
    let rebuilt = check_equal(&built, wanted).await?;
    let kept_aside = off_thread(move || swap(&dir, &wal, &built)).await?;
    drop(lock);
    let _node = events::span(rebuilt.node_id()).entered();
    events::tell!(warn, events::kinds::LOG_REPAIRED,
        kept_aside = %kept_aside.display(),
        damage = report.damage.len(),
        keys = rebuilt.store().len(),
        "a damaged log was set aside and a new one founded with what could be salvaged"
    );
    Ok(RepairReport {
        kept_aside,
        keys: rebuilt.store().len() as u64,
        records: report.segments.iter().map(|segment| segment.records).sum(),
        replica_id: rebuilt.replica(),
        damage: report.damage,
    })
}

/// Puts the new log in the place of the old one. Cut short between the two renames, it is finished by
/// [`data_dir::prepare`].
fn swap(dir: &Path, wal: &Path, built: &Path) -> Result<PathBuf, Error> {
    let last = data_dir::set_aside(dir)?.last().copied().unwrap_or(0);
    let aside = dir.join(format!("{DAMAGED_PREFIX}{}", last + 1));
    std::fs::rename(wal, &aside).map_err(|error| data_dir::failed("renaming to", &aside, &error))?;
    data_dir::sync_parent(&aside)?;
    std::fs::rename(built, wal).map_err(|error| data_dir::failed("renaming to", wal, &error))?;
    data_dir::sync_parent(wal)?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
