//! What is known of the log and of backups, as answers.

use std::path::Path;

use crate::control::answer::{Backup, Content, Damage, Leftover, Log, Segment, SnapshotFile, Torn};
use crate::tools::LeftoverKind;
use crate::{model, tools};

/// The answer to a backup in this directory.
pub(crate) fn backup(dir: &Path, report: &model::BackupReport) -> Backup {
    Backup {
        dir: dir.display().to_string(),
        durable_lsn: report.durable_lsn.0,
        files: report.files,
        copied_files: report.copied_files,
        bytes: report.bytes,
        copied_bytes: report.copied_bytes,
        verified: false,
    }
}

/// The answer to an inspection of a log.
pub(crate) fn log(inspection: tools::Inspection) -> Log {
    let report = inspection.report;
    let doubts = report.doubts();
    Log {
        path: inspection.path.display().to_string(),
        log_id: report.log.map(|id| id.to_string()),
        segments: report
            .segments
            .into_iter()
            .map(|segment| Segment {
                number: segment.number,
                file: segment.name,
                bytes: segment.len,
                first_lsn: segment.first_lsn.0,
                next_lsn: segment.next_lsn.0,
                frames: segment.frames,
                records: segment.records,
                sealed: segment.sealed,
            })
            .collect(),
        snapshot: report.snapshot.map(|snapshot| SnapshotFile {
            file: snapshot.name,
            at: snapshot.at.0,
            reaches: snapshot.reaches.0,
            items: snapshot.items,
            bytes: snapshot.bytes,
        }),
        damage: report.damage.into_iter().map(damage).collect(),
        torn: report.torn.map(|torn| Torn { file: torn.file, offset: torn.offset, bytes: torn.bytes }),
        doubts,
        next_lsn: report.next_lsn.0,
        durable_seen: report.durable_seen.0,
        closed_cleanly: report.closed_cleanly,
        in_use: false,
        strangers: report.strangers,
        leftovers: report.leftovers.into_iter().map(leftover).collect(),
        too_new: report.too_new,
        content: inspection.content.map(|content| Content {
            node_id: content.node_id.to_string(),
            replica_id: content.replica_id.to_string(),
            keys: content.keys,
            tombstones: content.tombstones,
            live_bytes: content.live_bytes,
            digest: format!("{:032x}", content.digest),
        }),
    }
}

fn leftover(leftover: tools::Leftover) -> Leftover {
    let kind = match leftover.kind {
        LeftoverKind::Spare => "spare",
        LeftoverKind::Draft => "draft",
        LeftoverKind::OldSegment => "old_segment",
        LeftoverKind::OldSnapshot => "old_snapshot",
    };
    Leftover { file: leftover.name, bytes: leftover.len, kind: kind.to_owned() }
}

/// One piece of damage, as an answer.
pub(crate) fn damage(damage: tools::Damage) -> Damage {
    Damage {
        file: damage.file,
        offset: damage.offset,
        first_lsn: damage.first_lsn.0,
        last_lsn: damage.last_lsn.map(|lsn| lsn.0),
        what: damage.what,
    }
}
