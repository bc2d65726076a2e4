//! Medians over the rounds, as Markdown tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::plan::{ASYNC, BLOCKING, Group};
use crate::sample::{Sample, median};

/// All samples of a run, by group, column and row; in the order in which they were first met.
#[derive(Default)]
pub(crate) struct Results {
    samples: BTreeMap<(Group, &'static str, &'static str), Vec<Sample>>,
    order: Vec<(Group, &'static str, &'static str)>,
}

impl Results {
    /// Keeps a sample of `row` under `column`.
    pub(crate) fn add(&mut self, group: Group, row: &'static str, column: &'static str, sample: Sample) {
        let at = (group, column, row);
        if !self.order.contains(&at) {
            self.order.push(at);
        }
        self.samples.entry(at).or_default().push(sample);
    }

    /// The median rate of a cell.
    #[must_use]
    pub(crate) fn rate(&self, group: Group, row: &'static str, column: &'static str) -> Option<f64> {
        let samples = self.samples.get(&(group, column, row))?;
        Some(median(samples.iter().map(|sample| sample.rate).collect()))
    }

    /// The median over the rounds of a latency quantile, in microseconds.
    #[must_use]
    pub(crate) fn latency(&self, group: Group, row: &'static str, column: &'static str, quantile: f64) -> Option<f64> {
        let samples = self.samples.get(&(group, column, row))?;
        let timed = samples.iter().filter(|sample| !sample.latency.is_empty());
        let values: Vec<f64> = timed.map(|sample| sample.latency.value_at_quantile(quantile) as f64).collect();
        (!values.is_empty()).then(|| median(values))
    }

    /// The median of the bytes that reached the device for each operation.
    #[must_use]
    pub(crate) fn device(&self, group: Group, row: &'static str, column: &'static str) -> Option<f64> {
        let samples = self.samples.get(&(group, column, row))?;
        let values: Vec<f64> = samples.iter().filter_map(|sample| sample.device).collect();
        (!values.is_empty()).then(|| median(values))
    }

    /// The median of the processor time of each operation, in microseconds.
    #[must_use]
    pub(crate) fn cpu(&self, group: Group, row: &'static str, column: &'static str) -> Option<f64> {
        let samples = self.samples.get(&(group, column, row))?;
        Some(median(samples.iter().map(|sample| sample.cpu).collect()))
    }

    /// The rows of a group, in order.
    #[must_use]
    pub(crate) fn rows(&self, group: Group) -> Vec<&'static str> {
        self.distinct(group, |at| at.2)
    }

    /// The columns of a group, in order.
    #[must_use]
    pub(crate) fn columns(&self, group: Group) -> Vec<&'static str> {
        self.distinct(group, |at| at.1)
    }

    fn distinct(
        &self,
        group: Group,
        pick: fn(&(Group, &'static str, &'static str)) -> &'static str,
    ) -> Vec<&'static str> {
        let mut found = Vec::new();
        for at in self.order.iter().filter(|at| at.0 == group) {
            if !found.contains(&pick(at)) {
                found.push(pick(at));
            }
        }
        found
    }

    /// The tables of a group: rates with the ratio of Softadastra's best to each, then latencies, then device bytes.
    #[must_use]
    pub(crate) fn markdown(&self, group: Group) -> String {
        let columns = self.columns(group);
        let mut text = format!("### {}\n\n", group.title());
        self.table(&mut text, group, &columns, |row, column| {
            let rate = self.rate(group, row, column)?;
            let ours = self.ours(group, column).filter(|_| row != ASYNC && row != BLOCKING);
            Some(match ours {
                Some(ours) => format!("{} ({:.2} x)", figure(rate), ours / rate),
                None => figure(rate),
            })
        });
        if matches!(group, Group::Puts | Group::LargePuts) {
            text.push_str("\nLatency in microseconds, p50 / p99 / p99.9:\n\n");
            self.table(&mut text, group, &columns, |row, column| {
                let at = |quantile| self.latency(group, row, column, quantile);
                Some(format!("{} / {} / {}", figure(at(0.5)?), figure(at(0.99)?), figure(at(0.999)?)))
            });
            text.push_str("\nBytes that reached the device for each put:\n\n");
            self.table(&mut text, group, &columns, |row, column| self.device(group, row, column).map(figure));
        }
        if group != Group::Open {
            text.push_str(
                "\nMicroseconds of processor time for each operation, all threads of the program, kernel included:\n\n",
            );
            self.table(&mut text, group, &columns, |row, column| self.cpu(group, row, column).map(figure));
        }
        text.push('\n');
        text
    }

    /// The better of the two clients' rates.
    fn ours(&self, group: Group, column: &'static str) -> Option<f64> {
        [ASYNC, BLOCKING].iter().filter_map(|row| self.rate(group, row, column)).reduce(f64::max)
    }

    fn table(
        &self,
        text: &mut String,
        group: Group,
        columns: &[&'static str],
        cell: impl Fn(&'static str, &'static str) -> Option<String>,
    ) {
        _ = writeln!(text, "| | {} |", columns.join(" | "));
        _ = writeln!(text, "| --- |{}", " --- |".repeat(columns.len()));
        for row in self.rows(group) {
            let cells: Vec<_> = columns.iter().map(|column| cell(row, column).unwrap_or_default()).collect();
            _ = writeln!(text, "| {row} | {} |", cells.join(" | "));
        }
    }
}

/// A figure with as many digits as it deserves, thousands apart.
#[must_use]
pub(crate) fn figure(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
