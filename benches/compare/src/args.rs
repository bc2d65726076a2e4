//! What a run can be asked for.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum as _};

use crate::parts::Part;
use crate::plan::{Cell, Group};

/// Compare Softadastra with other engines and with the physical limit of this machine.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Only these workloads [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) group: Vec<Group>,
    /// Only engines whose name contains one of these [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) engine: Vec<String>,
    /// Rounds; every engine has its turn in each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    /// Seconds that each engine has in each round of each workload
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Where the engines keep their data meanwhile: a directory on the disk that is to be measured
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Write the tables into this Markdown file, between its two marks, and the charts beside it. All that stood there is replaced,
    /// so it needs every group and every engine
    #[arg(long, value_name = "PAGE", conflicts_with = "engine")]
    pub(crate) write: Option<PathBuf>,
    /// For the program itself, which starts processes of its own
    #[arg(long, value_enum, hide = true)]
    pub(crate) part: Option<Part>,
}

impl Args {
    /// Those of this process; ends it when they make no sense.
    pub(crate) fn read() -> Self {
        Self::parse().checked().unwrap_or_else(|error| error.exit())
    }

    fn checked(self) -> Result<Self, clap::Error> {
        let missing = Group::value_variants().iter().any(|group| !self.groups().contains(group));
        if self.write.is_some() && missing {
            let why = "the argument '--write <PAGE>' cannot be used with '--group <GROUP>' unless that names every group: \
                       it would throw away the tables of the others";
            return Err(refusal(ErrorKind::ArgumentConflict, why));
        }
        Ok(self)
    }

    /// The groups that are to be measured.
    #[must_use]
    pub(crate) fn groups(&self) -> &[Group] {
        if self.group.is_empty() { Group::value_variants() } else { &self.group }
    }

    /// Whether a row is to be measured.
    #[must_use]
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.engine.is_empty() || self.engine.iter().any(|name| is_called(row, name))
    }

    /// What there is to say of each name of an engine that no cell of the chosen groups has. `elsewhere` gives the cells of
    /// all groups; it is asked only if there is such a name.
    #[must_use]
    pub(crate) fn in_vain(&self, chosen: &[Cell], elsewhere: impl Fn() -> Vec<Cell>) -> Vec<String> {
        let nobody = |name: &&String| !chosen.iter().any(|cell| is_called(cell.row, name));
        let names: Vec<_> = self.engine.iter().filter(nobody).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let all = elsewhere();
        let say = |name: &&String| {
            let groups: BTreeSet<_> =
                all.iter().filter(|cell| is_called(cell.row, name)).map(|cell| cell.group).collect();
            if groups.is_empty() {
                return format!("no engine is called {name}");
            }
            let groups: Vec<_> = groups.into_iter().map(Group::name).collect();
            format!("{name} is not measured in the groups that were chosen, only in {}", groups.join(", "))
        };
        names.iter().map(say).collect()
    }
}

/// What was asked for makes no sense, for this reason.
pub(crate) fn refusal(kind: ErrorKind, why: &str) -> clap::Error {
    Args::command().error(kind, why)
}

fn is_called(row: &str, name: &str) -> bool {
    row.to_lowercase().contains(&name.to_lowercase())
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.01..=600.0).contains(number));
    number.ok_or_else(|| "a number from 0.01 to 600 is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Figure;

    fn args(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' ')).and_then(Args::checked)
    }

    #[test]
    fn no_part_of_a_run_replaces_all_tables_of_a_page() {
        for line in ["compare --write page.md --group puts", "compare --write page.md --engine sqlite"] {
            let error = args(line).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{line}");
            let (text, option) = (error.to_string(), line.split(' ').nth(3).unwrap());
            assert!(text.contains("--write") && text.contains(option), "{text}");
        }
        assert!(args("compare --write page.md").is_ok());
        let every: Vec<_> = Group::value_variants().iter().rev().map(|group| group.name()).collect();
        assert!(args(&format!("compare --write page.md --group {}", every.join(","))).is_ok());
    }

    #[test]
    fn seconds_that_nothing_can_be_measured_in_are_a_mistake_of_whoever_asks() {
        for seconds in ["0", "601", "-1", "NaN", "a"] {
            assert_eq!(args(&format!("compare --seconds={seconds}")).err().unwrap().exit_code(), 2, "{seconds}");
        }
        assert!(args("compare --seconds 0.01").is_ok());
    }

    #[test]
    fn it_is_said_where_an_engine_is_measured() {
        let cells = || {
            [(Group::Unsynced, "sled"), (Group::Puts, "SQLite"), (Group::Unsynced, "SQLite")]
                .map(|(group, row)| Cell::scene(group, row, "", move |_| Ok(vec![Figure::of(row, "", 0.0)])))
                .into_iter()
        };
        let in_vain = |engines: &str| {
            let args = args(&format!("compare --group puts --engine {engines}")).unwrap();
            let chosen: Vec<_> = cells().filter(|cell| cell.group == Group::Puts).collect();
            args.in_vain(&chosen, || cells().collect())
        };
        assert!(in_vain("sqlite").is_empty());
        let sled = "Sled is not measured in the groups that were chosen, only in unsynced";
        assert_eq!(in_vain("sql,Sled,nobody"), [sled, "no engine is called nobody"]);
    }
}
