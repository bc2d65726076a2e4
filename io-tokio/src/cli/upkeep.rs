//! Status, snapshots, backups and the tools for the log.

use std::path::{Path, PathBuf};

use softadastra_core::error::{Code, LocalState};

use super::args::WalCommand;
use super::node::parse_node_id;
use super::output::{Done, Failure, Output};
use super::render::describe_damage;
use super::site::{self, Act};
use crate::control::answer::{self, Log, Repaired, Restored};
use crate::control::{Backend, Fault, local};
use crate::settings::Settings;
use crate::{backup, tools};

/// `softadastra status`.
pub(super) struct Status;

impl Act for Status {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.status().await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra node info`.
pub(super) struct NodeInfo;

impl Act for NodeInfo {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.node().await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra console`.
pub(super) struct Console;

impl Act for Console {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.console().await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra snapshot`.
pub(super) struct Snapshot;

impl Act for Snapshot {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.snapshot().await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra backup`.
pub(super) struct Backup {
    pub(super) dir: PathBuf,
}

impl Act for Backup {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        // A node has a working directory of its own.
        let dir = std::path::absolute(&self.dir)
            .map_err(|error| Fault::io(format_args!("find {}", self.dir.display()), &error))?;
        out.answer(&backend.backup(&dir).await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra backup --verify`.
pub(super) async fn verify_backup(dir: &Path, out: &mut Output) -> Result<Done, Failure> {
    let verified = local::backup(dir, &backup::verify(dir).await?);
    out.answer(&answer::Backup { verified: true, ..verified })?;
    Ok(Done::Yes)
}

/// `softadastra restore`.
pub(super) async fn restore(
    settings: &Settings,
    dir: &Path,
    node_id: Option<String>,
    out: &mut Output,
) -> Result<Done, Failure> {
    let node_id = node_id.map(parse_node_id).transpose()?.or_else(|| settings.node_id.clone());
    let report = crate::restore(dir, &settings.data_dir, node_id).await?;
    out.answer(&Restored {
        data_dir: settings.data_dir.display().to_string(),
        node_id: report.node_id.to_string(),
        replica_id: report.replica_id.to_string(),
        old_replica_id: report.old_replica_id.to_string(),
        keys: report.keys,
        live_bytes: report.live_bytes,
    })?;
    Ok(Done::Yes)
}

/// `softadastra wal`.
pub(super) async fn wal(settings: &Settings, command: &WalCommand, out: &mut Output) -> Result<Done, Failure> {
    match command {
        WalCommand::Inspect => out.answer(&log(settings).await?)?,
        WalCommand::Verify => {
            let log = log(settings).await?;
            out.answer(&log)?;
            verdict(&log)?;
            if !out.is_json() {
                let verdict =
                    if log.doubts.is_empty() { "The log is sound." } else { "No damage, but see the doubt above." };
                out.text(&format!("\n{verdict}\n"))?;
            }
        }
        WalCommand::Repair => {
            let report = tools::repair(&settings.data_dir, settings.node_id.clone()).await?;
            out.answer(&Repaired {
                kept_aside: report.kept_aside.display().to_string(),
                damage: report.damage.into_iter().map(local::damage).collect(),
                keys: report.keys,
                records: report.records,
                replica_id: report.replica_id.to_string(),
            })?;
        }
    }
    Ok(Done::Yes)
}

/// What the log consists of: told by the node that runs on it, which knows what it is writing; else read here, under the
/// lock. Nothing is opened for it, so that a log that cannot be opened can be looked at.
async fn log(settings: &Settings) -> Result<Log, Failure> {
    if let Some(mut remote) = site::node(settings).await? {
        return Ok(remote.log().await?);
    }
    Ok(local::log(tools::inspect(&settings.data_dir).await?))
}

pub(super) fn verdict(log: &Log) -> Result<(), Fault> {
    if let Some(file) = &log.too_new {
        let what = format!("{file} in {} was written by a newer version", log.path);
        return Err(Fault::new(Code::FormatTooNew, what, "use that version"));
    }
    let Some(first) = log.damage.first() else { return Ok(()) };
    let more = match log.damage.len() {
        1 => String::new(),
        many => format!(", and {} more places", many - 1),
    };
    let what = format!("damage in {}: {}{more}", log.path, describe_damage(first));
    let next = "restore a backup, or salvage what is left with `softadastra wal repair`";
    Err(Fault { local_state: LocalState::Damaged.as_str().to_owned(), ..Fault::new(Code::WalCorrupt, what, next) })
}
