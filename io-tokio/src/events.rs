//! What a node tells its operator, as log lines with a name each.

use softadastra_core::node::{Event, SnapshotTaken};
use softadastra_core::sync;
use softadastra_core::transport::trust::Distrust;

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
            "the end of the log was unfinished and was dropped; every write before it is kept"
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

pub(crate) fn told(event: &Event) {
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
        Event::LinkUp { node, key } => {
            tracing::info!(event = "link_up", peer = %node, key = %key.short(), "a link to a peer stands");
        }
        Event::LinkDown { node, key, reason, cause } => {
            let cause = cause.as_ref().map(ToString::to_string);
            tracing::info!(event = "link_down", peer = %node, key = %key.short(), %reason, cause, "the link has ended");
        }
        Event::LinkFailed { peer, reason } => {
            let direction = if peer.is_some() { "outgoing" } else { "incoming" };
            tracing::info!(event = "link_failed", direction, %reason, "a link ended before it stood");
        }
        Event::Distrusted { node, key, why: why @ Distrust::KeyChanged { .. } } => {
            tracing::error!(event = "peer_key_changed", peer = %node, %key, %why, "a peer was turned away");
        }
        Event::Distrusted { node, key, why } => {
            tracing::warn!(event = "peer_distrusted", peer = %node, %key, %why, "a peer was turned away");
        }
        Event::KeyCloned { key } => {
            tracing::error!(event = "key_cloned", %key, "two running nodes have this key: a data directory was copied");
        }
        Event::Reborn { from, to, finding } => {
            tracing::warn!(event = "reborn", %from, %to, %finding, "the node goes on under a new replica id");
        }
        Event::Sync(event) => told_by_sync(event),
    }
}

fn told_by_sync(event: &sync::Event) {
    match event {
        sync::Event::Opened { replica, node, .. } => {
            tracing::info!(event = "sync_opened", peer = %node, %replica, "operations flow");
        }
        sync::Event::Conflict { id, key } => {
            let key = String::from_utf8_lossy(key);
            tracing::info!(event = "conflict", id, key = ?key, "two writes met that had not seen each other");
        }
        sync::Event::ClockSkew { ahead_ms, .. } => {
            tracing::warn!(event = "clock_skew", ahead_ms, "a peer's clock is off; data flows all the same");
        }
        sync::Event::Diverged { .. } => {
            tracing::error!(event = "diverged", "a peer that holds the same operations has another state; repairing");
        }
        sync::Event::Identity(finding) => {
            tracing::error!(event = finding.as_str(), %finding, "two histories bear one name");
        }
        sync::Event::Failed { operations, reason } => {
            tracing::warn!(event = "delivery_failed", operations, reason, "kept, and tried again when a peer is heard");
        }
        sync::Event::Collected { tombstones } => {
            tracing::debug!(event = "tombstones_collected", tombstones, "every member had seen them");
        }
    }
}

pub(crate) fn stopped(clean: bool) {
    tracing::info!(event = "runtime_stopped", clean, "the node is down");
}
