//! Medians over the rounds, as Markdown tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::plan::{ASYNC, BLOCKING, Figure, Group, Kind};
use crate::sample::{Sample, median};

/// A cell of a table.
pub(crate) type At = (Group, &'static str, &'static str);

/// What is taken of each sample of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Take {
    /// The figure itself.
    Value,
    /// A latency quantile, in microseconds.
    Latency(f64),
    /// Bytes that reached the device for each operation.
    Device,
    /// Microseconds of processor time for each operation.
    Cpu,
}

impl Take {
    fn of(self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Value => Some(sample.value),
            Self::Latency(_) if sample.latency.is_empty() => None,
            Self::Latency(quantile) => Some(sample.latency.value_at_quantile(quantile) as f64),
            Self::Device => sample.device,
            Self::Cpu => sample.cpu,
        }
    }
}

/// All samples of a run, by group, row and column, each with its round; in the order in which they were first met.
#[derive(Default)]
pub(crate) struct Results {
    samples: BTreeMap<At, BTreeMap<u32, Sample>>,
    order: Vec<At>,
}

impl Results {
    /// Keeps a figure of a round.
    pub(crate) fn add(&mut self, group: Group, round: u32, figure: Figure) {
        let at = (group, figure.row, figure.column);
        if !self.order.contains(&at) {
            self.order.push(at);
        }
        self.samples.entry(at).or_default().insert(round, figure.sample);
    }

    /// Whether nobody gave a figure.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The median over the rounds.
    #[must_use]
    pub(crate) fn median(&self, at: At, take: Take) -> Option<f64> {
        let values: Vec<f64> = self.samples.get(&at)?.values().filter_map(|sample| take.of(sample)).collect();
        (!values.is_empty()).then(|| median(values))
    }

    /// The median of the quotients of each round.
    #[must_use]
    pub(crate) fn ratio(&self, ours: (At, Take), theirs: (At, Take)) -> Option<f64> {
        let (mine, others) = (self.samples.get(&ours.0)?, self.samples.get(&theirs.0)?);
        let quotients: Vec<f64> = mine
            .iter()
            .filter_map(|(round, sample)| Some(ours.1.of(sample)? / theirs.1.of(others.get(round)?)?))
            .filter(|quotient| quotient.is_finite())
            .collect();
        (!quotients.is_empty()).then(|| median(quotients))
    }

    /// The rows of a group, in order.
    #[must_use]
    pub(crate) fn rows(&self, group: Group) -> Vec<&'static str> {
        self.distinct(group, |at| at.1)
    }

    /// The columns of a group, in order.
    #[must_use]
    pub(crate) fn columns(&self, group: Group) -> Vec<&'static str> {
        self.distinct(group, |at| at.2)
    }

    fn distinct(&self, group: Group, pick: fn(&At) -> &'static str) -> Vec<&'static str> {
        let mut found = Vec::new();
        for at in self.order.iter().filter(|at| at.0 == group) {
            if !found.contains(&pick(at)) {
                found.push(pick(at));
            }
        }
        found
    }

    /// The tables of a group. Rates come with the ratio of Softadastra's better client to each, and with what else is of
    /// interest; figures alone. Nothing at all when nothing was measured.
    #[must_use]
    pub(crate) fn markdown(&self, group: Group) -> String {
        if self.rows(group).is_empty() {
            return String::new();
        }
        let mut text = format!("### {}\n\n", group.title());
        let cell = |row, column, take| self.median((group, row, column), take).map(figure);
        let Kind::Rates { latency, device } = group.kind() else {
            self.table(&mut text, group, |row, column| cell(row, column, Take::Value));
            text.push('\n');
            return text;
        };
        self.table(&mut text, group, |row, column| {
            let rate = cell(row, column, Take::Value)?;
            let ours = self.ours(group, row, column).filter(|_| row != ASYNC && row != BLOCKING);
            Some(match ours {
                Some(ours) => format!("{rate} ({ours:.2} x)"),
                None => rate,
            })
        });
        if latency {
            text.push_str("\nLatency in microseconds, p50 / p99 / p99.9:\n\n");
            self.table(&mut text, group, |row, column| {
                let at = |quantile| cell(row, column, Take::Latency(quantile));
                Some(format!("{} / {} / {}", at(0.5)?, at(0.99)?, at(0.999)?))
            });
        }
        if device {
            text.push_str("\nBytes that reached the device for each put:\n\n");
            self.table(&mut text, group, |row, column| cell(row, column, Take::Device));
        }
        text.push_str(
            "\nMicroseconds of processor time for each operation, all threads of the program, kernel included:\n\n",
        );
        self.table(&mut text, group, |row, column| cell(row, column, Take::Cpu));
        text.push('\n');
        text
    }

    /// How many times as fast as this row the better of the two clients is.
    fn ours(&self, group: Group, row: &'static str, column: &'static str) -> Option<f64> {
        let theirs = ((group, row, column), Take::Value);
        let quotients = [ASYNC, BLOCKING].map(|ours| self.ratio(((group, ours, column), Take::Value), theirs));
        quotients.into_iter().flatten().reduce(f64::max)
    }

    fn table(&self, text: &mut String, group: Group, cell: impl Fn(&'static str, &'static str) -> Option<String>) {
        let columns = self.columns(group);
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
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
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
