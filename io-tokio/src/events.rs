//! What a node tells its operator, as log lines with a name each.

mod discovery;
mod network;

use softadastra_core::node::{Event, SnapshotTaken};
use softadastra_core::transport::endpoint::PeerStatus;

pub(crate) use self::network::*;

use crate::model::{NodeInfo, RecoveryReport};

pub(crate) fn started(info: &NodeInfo, report: &RecoveryReport) {
    let dir = info.data_dir.as_deref().map(|dir| dir.display().to_string()).unwrap_or_default();
    tracing::info!(
        event = "recovery",
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
        tracing::warn!(
            event = "torn_tail_cut",
            bytes = report.torn_bytes,
            "the end of the log was no whole frame and was cut, most likely a write that was cut short and never answered; every \
             write before it is kept"
        );
    }
    for doubt in &report.doubts {
        tracing::warn!(event = "log_in_doubt", doubt, "the log was opened, and may have lost its end to somebody else");
    }
    for name in &report.strangers {
        tracing::warn!(
            event = "stranger_in_log_directory",
            file = name,
            "this file is not the log's; it was left alone"
        );
    }
    tracing::info!(event = "runtime_started", node = %info.node_id, replica = %info.replica_id, dir, "the node is up");
}

/// `peer`: whom the event is about, where it says so only by number.
pub(crate) fn told(event: &Event, peer: Option<&PeerStatus>) {
    match event {
        Event::Degraded(degraded) => {
            let (from, to) = degraded.doubtful.map_or((0, 0), |(from, to)| (from.0, to.0));
            tracing::error!(
                event = "log_append_failed",
                what = degraded.what,
                doubtful_from = from,
                doubtful_to = to,
                "the log could not be written"
            );
            tracing::error!(event = "degraded", "writes are refused until the node is reopened; reads go on");
        }
        Event::DiskFull { error } => {
            tracing::error!(event = "disk_full", error, "writes are refused until there is room on the disk");
        }
        Event::DiskRoom => tracing::info!(event = "disk_room", "there is room on the disk again; writes are accepted"),
        Event::SnapshotDone(SnapshotTaken { at, bytes }) => {
            tracing::info!(event = "snapshot_done", at = at.0, bytes, "a snapshot is durable; older segments may go");
        }
        Event::SnapshotFailed { error } => {
            tracing::warn!(event = "snapshot_failed", error, "a snapshot was given up; the log goes on without it");
        }
        Event::LinkUp { node, key } => network::link_up(node, key),
        Event::LinkDown { node, key, reason, cause } => network::link_down(node, key, reason, cause.as_ref()),
        Event::LinkFailed { link: _, peer: _, reason } => network::link_failed(peer, reason),
        Event::Distrusted { node, key, why } => network::distrusted(node, key, why),
        Event::KeyCloned { key } => network::key_cloned(key),
        Event::Reborn { from, to, finding } => network::reborn(*from, *to, finding),
        Event::Sync(event) => network::of_sync(event),
        Event::NodeFound(sighting) => discovery::found(sighting),
        Event::NodeChanged(sighting) => discovery::changed(sighting),
        Event::NodeLost { node, key, why } => discovery::lost(node, key, *why),
        Event::Discovery(notice) => discovery::notice(notice),
    }
}

pub(crate) fn stopped(clean: bool) {
    tracing::info!(event = "runtime_stopped", clean, "the node is down");
}
