//! Answers as people read them.

mod config;
mod conflicts;
mod demo;
mod discovery;
mod doctor;
mod log;
mod network;
mod node;
mod store;
mod sync;
mod top;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

pub(super) use self::log::describe_damage;
use super::output::Paint;
use crate::control::fault::readable;

/// The most characters of a value that a table shows.
const PREVIEW: usize = 60;

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

/// Names and what belongs to them, one below the other.
fn fields(paint: Paint, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        let pad = " ".repeat(width - name.len());
        text.push_str(&format!("{}{pad}  {value}\n", paint.bold(name)));
    }
    text
}

/// A span of time, to its two greatest units.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

/// A moment, given in milliseconds since 1970, in Coordinated Universal Time.
fn moment(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Eras of 400 years of 146,097 days, each year beginning in March so that the leap day is its last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{month:02}-{of_month:02} {hour:02}:{minute:02}:{second:02}Z", year + era * 400)
}

/// A count with its noun.
fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_times_are_short() {
        assert_eq!(super::bytes(0), "0 B");
        assert_eq!(super::bytes(1023), "1023 B");
        assert_eq!(super::bytes(1536), "1.5 KiB");
        assert_eq!(super::bytes(64 << 20), "64.0 MiB");
        assert_eq!(duration(59_999), "59 s");
        assert_eq!(duration(90_061_000), "1 d 1 h");
        assert_eq!(moment(0), "1970-01-01 00:00:00Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(moment(1_763_717_574_999), "2025-11-21 09:32:54Z");
        assert_eq!(moment(4_107_542_399_000), "2100-02-28 23:59:59Z");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01 00:00:00Z");
    }

    #[test]
    fn a_preview_is_one_harmless_line() {
        assert_eq!(preview(b"a\nb\x1b"), "a\\nb\\u{1b}");
        assert_eq!(preview("ä".repeat(60).as_bytes()), "ä".repeat(60));
        assert_eq!(preview("ä".repeat(61).as_bytes()), format!("{}…", "ä".repeat(60)));
        assert!(preview(&vec![b'x'; 1 << 20]).ends_with("x…"));
    }
}
