//! Answers about the log, snapshots and backups, as people read them.

use comfy_table::CellAlignment;

use super::{bytes, fields, lines_of, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Backup, Damage, Log, Repaired, Restored, Snapshot, SnapshotFile, Torn};

impl Human for Snapshot {
    fn human(&self, _: Paint) -> String {
        format!("Snapshot at LSN {}, {}\n", self.at, bytes(self.bytes))
    }
}

impl Human for Backup {
    fn human(&self, paint: Paint) -> String {
        fields(
            paint,
            &[
                ("Backup", self.dir.clone()),
                ("Durable LSN", self.durable_lsn.to_string()),
                ("Files", format!("{}, {}", self.files, bytes(self.bytes))),
                if self.verified {
                    ("Verified", "yes, every byte is as it was written".to_owned())
                } else {
                    ("Copied now", format!("{}, {}", self.copied_files, bytes(self.copied_bytes)))
                },
            ],
        )
    }
}

impl Human for Restored {
    fn human(&self, paint: Paint) -> String {
        fields(
            paint,
            &[
                ("Restored to", self.data_dir.clone()),
                ("Node", self.node_id.clone()),
                ("Replica", format!("{} (was {})", self.replica_id, self.old_replica_id)),
                ("Keys", self.keys.to_string()),
                ("Live bytes", bytes(self.live_bytes)),
            ],
        )
    }
}

impl Human for Log {
    fn human(&self, paint: Paint) -> String {
        let mut rows = vec![
            ("Log", self.path.clone()),
            ("Log id", self.log_id.clone().unwrap_or_else(|| "none, the directory is empty".to_owned())),
            ("Next LSN", self.next_lsn.to_string()),
            match (self.in_use, self.closed_cleanly) {
                (true, _) => ("In use", "by a running node".to_owned()),
                (false, true) => ("Closed cleanly", "yes".to_owned()),
                (false, false) => ("Closed cleanly", "no".to_owned()),
            },
        ];
        if let Some(snapshot) = &self.snapshot {
            let SnapshotFile { file, at, items, bytes: len, .. } = snapshot;
            rows.push(("Snapshot", format!("{file}, at LSN {at}, {items} entries, {}", bytes(*len))));
        }
        if let Some(torn) = &self.torn {
            let Torn { file, offset, bytes: len } = torn;
            let is = "a write that was cut short, or damage to the very last one";
            rows.push(("Torn tail", format!("{}, at {offset} of {file}: {is}", bytes(*len))));
        }
        for doubt in &self.doubts {
            rows.push(("Doubt", paint.red(doubt)));
        }
        if let Some(content) = &self.content {
            rows.push(("Node", content.node_id.clone()));
            rows.push(("Keys", format!("{}, {}", content.keys, bytes(content.live_bytes))));
        }
        if !self.leftovers.is_empty() {
            let names: Vec<_> = self.leftovers.iter().map(|file| file.file.as_str()).collect();
            rows.push(("Needless files", names.join(", ")));
        }
        if let Some(file) = &self.too_new {
            rows.push(("Too new", file.clone()));
        }
        if !self.strangers.is_empty() {
            rows.push(("Strange files", self.strangers.join(", ")));
        }
        for damage in &self.damage {
            rows.push(("Damage", paint.red(describe_damage(damage))));
        }
        let mut text = fields(paint, &rows);
        if !self.segments.is_empty() {
            let mut table = plain_table();
            table.set_header(["SEGMENT", "FIRST LSN", "NEXT LSN", "FRAMES", "RECORDS", "BYTES", "SEALED"]);
            for segment in &self.segments {
                table.add_row([
                    segment.file.clone(),
                    segment.first_lsn.to_string(),
                    segment.next_lsn.to_string(),
                    segment.frames.to_string(),
                    segment.records.to_string(),
                    segment.bytes.to_string(),
                    if segment.sealed { "yes" } else { "no" }.to_owned(),
                ]);
            }
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            text.push('\n');
            text.push_str(&lines_of(&table));
        }
        text
    }
}

impl Human for Repaired {
    fn human(&self, paint: Paint) -> String {
        let mut rows = vec![
            ("Salvaged", format!("{} keys from {} records", self.keys, self.records)),
            ("Replica", format!("{} (a new history)", self.replica_id)),
            ("Kept aside", self.kept_aside.clone()),
        ];
        rows.extend(self.damage.iter().map(|damage| ("Damage", describe_damage(damage))));
        fields(paint, &rows)
    }
}

/// One piece of damage in a sentence.
pub(in crate::cli) fn describe_damage(damage: &Damage) -> String {
    let range = match damage.last_lsn {
        Some(last) if last < damage.first_lsn => "no stored data lost".to_owned(),
        Some(last) if last == damage.first_lsn => format!("LSN {last}"),
        Some(last) => format!("LSN {} to {last}", damage.first_lsn),
        None => format!("LSN {} and later", damage.first_lsn),
    };
    format!("{} at offset {}: {} ({range})", damage.file, damage.offset, damage.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_reads_like_this() {
        let log = Log {
            path: "/d/wal".into(),
            log_id: Some("ab".repeat(16)),
            segments: vec![crate::control::answer::Segment {
                number: 1,
                file: "0000000000000001.seg".into(),
                bytes: 1 << 20,
                first_lsn: 1,
                next_lsn: 12,
                frames: 4,
                records: 11,
                sealed: false,
            }],
            snapshot: None,
            damage: vec![Damage {
                file: "0000000000000001.seg".into(),
                offset: 64,
                first_lsn: 3,
                last_lsn: None,
                what: "checksum of a frame".into(),
            }],
            torn: None,
            doubts: Vec::new(),
            next_lsn: 12,
            closed_cleanly: false,
            in_use: false,
            strangers: Vec::new(),
            leftovers: Vec::new(),
            too_new: None,
            durable_seen: 11,
            content: None,
        };
        assert_eq!(
            log.human(Paint::PLAIN),
            "Log             /d/wal\n\
             Log id          abababababababababababababababab\n\
             Next LSN        12\n\
             Closed cleanly  no\n\
             Damage          0000000000000001.seg at offset 64: checksum of a frame (LSN 3 and later)\n\
             \n\
             SEGMENT               FIRST LSN  NEXT LSN  FRAMES  RECORDS    BYTES  SEALED\n\
             0000000000000001.seg          1        12       4       11  1048576      no\n"
        );
        let in_use = Log { in_use: true, ..log }.human(Paint::PLAIN);
        assert!(in_use.contains("\nIn use    by a running node\n") && !in_use.contains("Closed"), "{in_use}");
    }
}
