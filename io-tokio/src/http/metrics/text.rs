//! The text format of metrics: lines of one family stand together, under what is said of the family.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{FAMILIES, Family, Kind};
use crate::measures::{BOUNDS_US, Durations};

/// A number as the format takes it.
pub(super) trait Number {
    fn text(self) -> String;
}

impl Number for u64 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Number for f64 {
    fn text(self) -> String {
        self.to_string()
    }
}

/// A text that grows.
pub(super) struct Text {
    open: bool,
    samples: BTreeMap<&'static str, String>,
}

impl Text {
    /// `open`: as OpenMetrics.
    pub(super) const fn new(open: bool) -> Self {
        Self { open, samples: BTreeMap::new() }
    }

    /// One number of a family, with the values of its labels.
    pub(super) fn one(&mut self, name: &'static str, labels: &[&str], value: impl Number) {
        let family = family(name);
        assert_eq!(family.labels.len(), labels.len(), "{name} has other labels");
        let pairs: Vec<String> =
            family.labels.iter().zip(labels).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        self.line(name, &format!("{name}{labels} {}", value.text()));
    }

    /// One number, if it is known.
    pub(super) fn some(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.one(name, &[], value);
        }
    }

    /// A histogram, in seconds.
    pub(super) fn durations(&mut self, name: &'static str, durations: &Durations) {
        let mut count = 0;
        for (at, in_bucket) in durations.buckets.iter().enumerate() {
            count += in_bucket;
            let bound = BOUNDS_US.get(at).map_or_else(|| "+Inf".to_owned(), |us| seconds(*us).to_string());
            self.line(name, &format!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        self.line(name, &format!("{name}_sum {}", seconds(durations.sum_us)));
        self.line(name, &format!("{name}_count {count}"));
    }

    fn line(&mut self, name: &'static str, line: &str) {
        let lines = self.samples.entry(name).or_default();
        lines.push_str(line);
        lines.push('\n');
    }

    /// All of it, family by family.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, .. } in FAMILIES {
            let Some(lines) = self.samples.get(name) else { continue };
            // OpenMetrics calls a counter by its name without the ending.
            let called = if self.open && *kind == Kind::Counter { name.trim_end_matches("_total") } else { name };
            let said = write!(text, "# HELP {called} {help}\n# TYPE {called} {}\n{lines}", kind.as_str());
            said.expect("writing to a String cannot fail");
        }
        if self.open {
            text.push_str("# EOF\n");
        }
        text
    }
}

fn family(name: &str) -> &'static Family {
    FAMILIES.iter().find(|family| family.name == name).expect("only what is in the table is told")
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of years are exact")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_together_and_labels_are_escaped() {
        let mut text = Text::new(false);
        text.one("softadastra_peer_up", &["a\"b\\c\nd"], 1_u64);
        text.one("softadastra_keys", &[], 7_u64);
        text.one("softadastra_peer_up", &["e"], 0_u64);
        let wanted = "# HELP softadastra_keys Keys that have a value.\n# TYPE softadastra_keys gauge\nsoftadastra_keys 7\n\
                      # HELP softadastra_peer_up 1 while a link to the peer stands.\n# TYPE softadastra_peer_up gauge\n\
                      softadastra_peer_up{peer=\"a\\\"b\\\\c\\nd\"} 1\nsoftadastra_peer_up{peer=\"e\"} 0\n";
        assert_eq!(text.finish(), wanted);
    }

    #[test]
    fn openmetrics_has_its_own_names_and_an_end() {
        let mut text = Text::new(true);
        text.one("softadastra_retries_total", &[], 2_u64);
        let text = text.finish();
        assert!(text.contains("# TYPE softadastra_retries counter\nsoftadastra_retries_total 2\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn buckets_of_a_histogram_add_up() {
        let mut durations = Durations { sum_us: 1_500_000, ..Durations::default() };
        durations.buckets[0] = 2;
        durations.buckets[16] = 1;
        let mut text = Text::new(false);
        text.durations("softadastra_write_duration_seconds", &durations);
        let text = text.finish();
        for line in
            ["_bucket{le=\"0.00005\"} 2", "_bucket{le=\"10\"} 2", "_bucket{le=\"+Inf\"} 3", "_sum 1.5", "_count 3"]
        {
            assert!(text.contains(&format!("softadastra_write_duration_seconds{line}\n")), "{line} in {text}");
        }
    }
}
