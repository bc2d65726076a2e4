//! What a node tells its operator, as log lines with a name each.

mod discovery;
pub mod kinds;
mod network;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use softadastra_core::error::{Error, LocalState};
use softadastra_core::ids::NodeId;
use softadastra_core::node::{Event, SnapshotTaken};
use softadastra_core::transport::endpoint::PeerStatus;

pub(crate) use self::discovery::*;
pub(crate) use self::network::*;

use crate::control::{Fault, answer};
use crate::disk::Loss;
use crate::model::{NodeInfo, RecoveryReport};

/// Logs an event of a [`kinds::Kind`], with what the kind says about every one of them.
macro_rules! tell {
    ($level:ident, $kind:expr, $($rest:tt)+) => {{
        let kind: $crate::events::kinds::Kind = $kind;
        tracing::$level!(
            event = kind.name,
            local_state = kind.local_state.as_str(),
            retry = kind.retry.as_str(),
            $($rest)+
        );
    }};
}
pub(crate) use tell;

/// What all lines of a node have in common: which node it is.
pub(crate) fn span(node: &NodeId) -> tracing::Span {
    // At the level of errors, so that no filter that lets a line through takes the node's name from it.
    tracing::error_span!("node", %node)
}

pub(crate) fn started(info: &NodeInfo, report: &RecoveryReport) {
    let dir = info.data_dir.as_deref().map(|dir| dir.display().to_string()).unwrap_or_default();
    tell!(
        info,
        kinds::RECOVERY,
        created = report.created,
        clean = report.clean,
        records = report.records,
        snapshot_lsn = report.snapshot_lsn.0,
        snapshot_entries = report.snapshot_entries,
        last_lsn = report.last_lsn.0,
        keys = report.keys,
        took_ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
        "the log was opened"
    );
    if report.torn_bytes > 0 {
        tell!(
            warn,
            kinds::TORN_TAIL_CUT,
            bytes = report.torn_bytes,
            "the end of the log was no whole frame and was cut, most likely a write that was cut short and never answered; every \
             write before it is kept"
        );
    }
    for doubt in &report.doubts {
        tell!(warn, kinds::LOG_IN_DOUBT, doubt, "the log was opened, and may have lost its end to somebody else");
    }
    for name in &report.strangers {
        tell!(warn, kinds::STRANGER, file = name, "this file is not the log's; it was left alone");
    }
    tell!(info, kinds::RUNTIME_STARTED, replica = %info.replica_id, dir, "the node is up");
}

/// `peer`: whom the event is about, where it says so only by number. `leaving`: this node opens no links any more, so that
/// the end of one is its own doing.
pub(crate) fn told(event: &Event, peer: Option<&PeerStatus>, leaving: bool) {
    match event {
        Event::Degraded(degraded) => {
            let (from, to) = degraded.doubtful.map_or((0, 0), |(from, to)| (from.0, to.0));
            let local = if degraded.doubtful.is_some() { LocalState::Unknown } else { LocalState::Valid };
            tell!(
                error,
                kinds::LOG_APPEND_FAILED.local(local),
                what = degraded.what,
                doubtful_from = from,
                doubtful_to = to,
                "the log could not be written"
            );
            tell!(error, kinds::DEGRADED, "writes are refused until the node is reopened; reads go on");
        }
        Event::DiskFull { error } => {
            tell!(error, kinds::DISK_FULL, error, "writes are refused until there is room on the disk");
        }
        Event::DiskRoom => tell!(info, kinds::DISK_ROOM, "there is room on the disk again; writes are accepted"),
        Event::SnapshotDone(SnapshotTaken { at, bytes }) => {
            tell!(info, kinds::SNAPSHOT_DONE, at = at.0, bytes, "a snapshot is durable; older segments may go");
        }
        Event::SnapshotFailed { error } => {
            tell!(warn, kinds::SNAPSHOT_FAILED, error, "a snapshot was given up; the log goes on without it");
        }
        Event::LinkUp { node, key } => network::link_up(node, key),
        Event::LinkDown { node, key, .. } if leaving => network::link_left(node, key),
        Event::LinkDown { node, key, reason, cause } => network::link_down(node, key, reason, cause.as_ref()),
        Event::LinkFailed { .. } if leaving => {
            tracing::debug!(step = "dial_given_up", "the node opens no links any more")
        }
        Event::LinkFailed { link: _, peer: _, reason } => network::link_failed(peer, reason),
        Event::Distrusted { node, key, why } => network::distrusted(node, key, why),
        Event::KeyCloned { key } => network::key_cloned(key),
        Event::Reborn { from, to, finding } => network::reborn(*from, *to, finding),
        Event::Sync(event) => network::of_sync(event, peer),
        Event::NodeFound(sighting) => discovery::found(sighting),
        Event::NodeChanged(sighting) => discovery::changed(sighting),
        Event::NodeLost { node, key, why } => discovery::lost(node, key, *why),
        Event::Discovery(notice) => discovery::notice(notice),
    }
}

pub(crate) fn directory_lost(loss: &Loss) {
    let Loss { error, became, local, next } = loss;
    let kind = kinds::DIRECTORY_LOST.local(*local);
    tell!(error, kind, %error, became, next, "the data directory is not where it was; nothing more is written");
}

pub(crate) fn stopped(clean: bool) {
    tell!(info, kinds::RUNTIME_STOPPED, clean, "the node is down");
}

pub(crate) fn open_failed(dir: &Path, error: &Error) {
    let kind = kinds::OPEN_FAILED.local(error.local());
    tell!(error, kind, dir = %dir.display(), code = error.code().as_str(), %error, "the node could not be opened");
}

pub(crate) fn backed_up(dir: &Path, result: &Result<answer::Backup, Fault>) {
    let dir = dir.display();
    match result {
        Ok(made) => {
            let answer::Backup { durable_lsn, files, bytes, copied_bytes, .. } = made;
            tell!(info, kinds::BACKUP_DONE, %dir, durable_lsn, files, bytes, copied_bytes, "a backup is whole");
        }
        Err(fault) => {
            let (code, error) = (&fault.code, fault);
            tell!(error, kinds::BACKUP_FAILED, %dir, code, %error, "the backup before this one, if any, is whole");
        }
    }
}

pub(crate) fn http_started(address: SocketAddr) {
    tell!(info, kinds::HTTP_STARTED, %address, "metrics and console are served; `softadastra console` prints the link");
}

pub(crate) fn http_failed(address: SocketAddr, error: &dyn Display) {
    tell!(error, kinds::HTTP_FAILED, %address, %error, "metrics and console are not served; everything else goes on");
}

pub(crate) fn few_descriptors(limit: u64) {
    tell!(warn, kinds::FEW_DESCRIPTORS, limit, "few files may be open at once, so few links and connections are taken");
}

pub(crate) fn log_lines_dropped(lines: u64) {
    tell!(warn, kinds::LOG_LINES_DROPPED, lines, "standard error was not read, so lines before this one were dropped");
}

pub(crate) fn service_manager_unheard(error: &io::Error) {
    tell!(warn, kinds::SERVICE_MANAGER_UNHEARD, %error, "the service manager was not told how the node does");
}

pub(crate) fn control_accept_failed(error: &io::Error, makes_way: bool) {
    tell!(warn, kinds::CONTROL_ACCEPT_FAILED, %error, makes_way, "a connection was not taken");
}
