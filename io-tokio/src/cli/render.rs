//! Answers as people read them.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::output::{Human, Paint};
use crate::control::answer::{
    Backup, Change, Contains, Damage, Exported, Imported, Init, Log, Node, Put, Removed, Repaired, Restored, Size,
    Snapshot, SnapshotFile, Status, Version,
};
use crate::control::fault::readable;

/// The most characters of a value that a table shows.
const PREVIEW: usize = 60;

impl Human for Put {
    fn human(&self, paint: Paint) -> String {
        format!("{}: version {}, {}\n", paint.bold(readable(&self.key)), self.version, self.outcome)
    }
}

impl Human for Removed {
    fn human(&self, paint: Paint) -> String {
        format!("{}: version {}, removed\n", paint.bold(readable(&self.key)), self.version)
    }
}

impl Human for Contains {
    fn human(&self, _: Paint) -> String {
        format!("{}\n", self.contains)
    }
}

impl Human for Size {
    fn human(&self, _: Paint) -> String {
        format!("{}\n", self.keys)
    }
}

impl Human for Version {
    fn human(&self, _: Paint) -> String {
        format!("softadastra {}\n", self.version)
    }
}

impl Human for Change {
    fn human(&self, paint: Paint) -> String {
        let key = paint.bold(readable(&self.key));
        match &self.value {
            Some(value) => format!("{}  {key}  version {}  {}\n", self.lsn, self.version, preview(value)),
            None => format!("{}  {key}  version {}  removed\n", self.lsn, self.version),
        }
    }
}

impl Human for Init {
    fn human(&self, paint: Paint) -> String {
        fields(
            paint,
            &[("Created", self.data_dir.clone()), ("Node", self.node_id.clone()), ("Replica", self.replica_id.clone())],
        )
    }
}

impl Human for Status {
    fn human(&self, paint: Paint) -> String {
        let state = match &self.reason {
            Some(reason) => paint.red(format_args!("{}: {reason}", self.state)),
            None => self.state.clone(),
        };
        let mut rows = vec![
            ("State", state),
            ("Keys", self.keys.to_string()),
            ("Tombstones", self.tombstones.to_string()),
            ("Live bytes", bytes(self.live_bytes)),
            ("Digest", self.digest.clone()),
            ("Outbox", self.outbox.to_string()),
        ];
        if let Some(wal) = &self.wal {
            let snapshot = match (wal.snapshot_lsn, wal.snapshot_running) {
                (0, false) => "none".to_owned(),
                (0, true) => "the first is being written".to_owned(),
                (lsn, false) => format!("to LSN {lsn}, {}", bytes(wal.snapshot_bytes)),
                (lsn, true) => format!("to LSN {lsn}, {}; another is being written", bytes(wal.snapshot_bytes)),
            };
            rows.extend([
                ("Log", wal.path.clone()),
                ("Last LSN", wal.last_lsn.to_string()),
                ("Durable LSN", wal.durable_lsn.to_string()),
                ("Segments", wal.segments.to_string()),
                (
                    "Log bytes",
                    format!("{}, {} of them written since the last snapshot", bytes(wal.bytes), bytes(wal.tail_bytes)),
                ),
                ("Snapshot", snapshot),
            ]);
        }
        fields(paint, &rows)
    }
}

impl Human for Node {
    fn human(&self, paint: Paint) -> String {
        let none = || "none, everything is in memory".to_owned();
        let running = if self.running { format!("yes, process {}", self.pid) } else { "no".to_owned() };
        let mut rows = vec![
            ("Node", self.node_id.clone()),
            ("Replica", self.replica_id.clone()),
            ("Log", self.log_id.clone().unwrap_or_else(none)),
            ("Data directory", self.data_dir.clone().unwrap_or_else(none)),
            ("Host", self.hostname.clone()),
            ("System", self.os.clone()),
            ("Version", self.version.clone()),
            ("Running", running),
        ];
        if self.running {
            rows.push(("Uptime", duration(self.uptime_ms)));
        }
        let found = &self.recovery;
        let mut opening = match (found.created, found.clean) {
            (true, _) => "a new log".to_owned(),
            (false, true) => format!("closed cleanly at LSN {}", found.last_lsn),
            (false, false) => format!("not closed cleanly, recovered to LSN {}", found.last_lsn),
        };
        if found.torn_bytes > 0 {
            opening.push_str(&format!(", {} of an unfinished write cut", bytes(found.torn_bytes)));
        }
        rows.push(("Opening found", opening));
        fields(paint, &rows)
    }
}

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

impl Human for Imported {
    fn human(&self, _: Paint) -> String {
        format!(
            "Imported {} records in {:.2} s ({} records/s): {} created, {} updated, {} unchanged\n",
            self.records, self.seconds, self.records_per_second, self.created, self.updated, self.unchanged
        )
    }
}

impl Human for Exported {
    fn human(&self, _: Paint) -> String {
        format!(
            "Exported {} records in {:.2} s ({} records/s), {}\n",
            self.records,
            self.seconds,
            self.records_per_second,
            bytes(self.bytes)
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
            rows.push(("Torn tail", format!("{}, at {} of {}", bytes(torn.bytes), torn.offset, torn.file)));
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
pub(super) fn describe_damage(damage: &Damage) -> String {
    let range = match damage.last_lsn {
        Some(last) if last < damage.first_lsn => "no stored data lost".to_owned(),
        Some(last) if last == damage.first_lsn => format!("LSN {last}"),
        Some(last) => format!("LSN {} to {last}", damage.first_lsn),
        None => format!("LSN {} and later", damage.first_lsn),
    };
    format!("{} at offset {}: {} ({range})", damage.file, damage.offset, damage.what)
}

/// The start of a value on one line.
pub(super) fn preview(value: &[u8]) -> String {
    // A character has at most four bytes, so this much is enough to fill the preview.
    let (start, _) = value.split_at_checked(PREVIEW * 4).unwrap_or((value, &[]));
    let text = readable(start);
    let mut shown: String = text.chars().take(PREVIEW).collect();
    if shown.len() < text.len() || start.len() < value.len() {
        shown.push('…');
    }
    shown
}

/// A table without lines, as wide as its content.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The table's lines without the blanks around them.
pub(super) fn lines_of(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        let line = line.strip_prefix(' ').unwrap_or(&line);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn fields(paint: Paint, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        let pad = " ".repeat(width - name.len());
        text.push_str(&format!("{}{pad}  {value}\n", paint.bold(name)));
    }
    text
}

/// Bytes in the unit that keeps the number short.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = count as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{size:.1} {unit}") }
}

fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn units_and_times_are_short() {
        assert_eq!(super::bytes(0), "0 B");
        assert_eq!(super::bytes(1023), "1023 B");
        assert_eq!(super::bytes(1536), "1.5 KiB");
        assert_eq!(super::bytes(64 << 20), "64.0 MiB");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(90_061_000), "1 d 1 h");
    }

    #[test]
    fn a_preview_is_one_harmless_line() {
        assert_eq!(preview(b"a\nb\x1b"), "a\\nb\\u{1b}");
        assert_eq!(preview("ä".repeat(60).as_bytes()), "ä".repeat(60));
        assert_eq!(preview("ä".repeat(61).as_bytes()), format!("{}…", "ä".repeat(60)));
        assert!(preview(&vec![b'x'; 1 << 20]).ends_with("x…"));
    }

    #[test]
    fn answers_read_like_this() {
        let key = Bytes::from_static(b"greeting");
        let put = Put { key: key.clone(), version: 1, outcome: "created".into(), lsn: 7 };
        assert_eq!(put.human(Paint::PLAIN), "greeting: version 1, created\n");
        let gone = Change { key, value: None, removed: true, version: 2, lsn: 9 };
        assert_eq!(gone.human(Paint::PLAIN), "9  greeting  version 2  removed\n");
        let size = Size { keys: 3, tombstones: 0, live_bytes: 9 };
        assert_eq!(size.human(Paint::PLAIN), "3\n");
    }

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
