//! What a run can be asked for.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum as _};

use crate::aside::aside;
use crate::output;
use crate::parts::Part;
use crate::plan::{Group, Plan};

/// How it ends, for `--help`.
const STATUS: &str = "\
Exit status:
  0    The tables are printed or written. Who could not be had, or failed meanwhile, is named on stderr and missing in them
  1    Nothing could be measured, or the tables could not be printed or written: no place for data (--dir), a page that
       cannot take them (--write), a full or closed stdout, every engine failed, or one has taken the program down with it
       (SIGBUS, SIGABRT): then what was measured before is printed, marked as not complete, and no page is written
  2    What was asked for makes no sense: a wrong option, an engine or a group that nobody knows
  130  Ended by SIGINT, SIGTERM, SIGQUIT, SIGHUP (but under nohup) or SIGXCPU. Nothing is left behind: neither a process nor a file in --dir";

/// Compare Softadastra with other engines and with the physical limit of this machine.
#[derive(Parser)]
#[command(version, after_help = STATUS)]
pub(crate) struct Args {
    /// Only these workloads [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) group: Vec<Group>,
    /// Only engines whose name contains one of these [default: all]
    #[arg(long, value_delimiter = ',', value_parser = part_of_a_name)]
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
    ///
    /// # Errors
    /// Gives the status to end with where there is nothing to run: a mistake, or a request for help.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().and_then(Self::checked).map_err(|error| {
            let print = || error.print().and_then(|()| std::io::stdout().flush());
            let printed = if error.use_stderr() { print() } else { output::look().and_then(|()| print()) };
            match printed {
                Err(why) if !error.use_stderr() => {
                    aside(format_args!("stdout: {why}"));
                    ExitCode::FAILURE
                }
                _ => u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
            }
        })
    }

    fn checked(mut self) -> Result<Self, clap::Error> {
        let mut seen = BTreeSet::new();
        self.group.retain(|group| seen.insert(*group));
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

    /// What there is to say of each name of an engine that the chosen groups do not have. `elsewhere` gives what all groups
    /// have; it is asked only if there is such a name.
    ///
    /// # Errors
    /// When no group has a name, and when the chosen groups have none of them.
    pub(crate) fn in_vain(&self, chosen: &Plan, elsewhere: impl Fn() -> Plan) -> Result<Vec<String>, clap::Error> {
        let nobody = |name: &&String| !chosen.rows().any(|(_, row)| is_called(row, name));
        let names: Vec<_> = self.engine.iter().filter(nobody).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let all = elsewhere();
        let (mut unknown, mut lines) = (Vec::new(), Vec::new());
        for name in &names {
            let groups: BTreeSet<_> =
                all.rows().filter(|(_, row)| is_called(row, name)).map(|(group, _)| group).collect();
            if groups.is_empty() {
                unknown.push(name.as_str());
                continue;
            }
            let groups: Vec<_> = groups.into_iter().map(Group::name).collect();
            lines.push(format!("{name} is not measured in the groups that were chosen, only in {}", groups.join(", ")));
        }
        if !unknown.is_empty() {
            let mut known = Vec::new();
            for (_, row) in all.rows() {
                if !known.contains(&row) {
                    known.push(row);
                }
            }
            let why = format!("no engine is called {}; there are: {}", unknown.join(" or "), known.join("; "));
            return Err(refusal(ErrorKind::InvalidValue, &why));
        }
        if names.len() == self.engine.len() {
            return Err(refusal(ErrorKind::InvalidValue, &lines.join("; ")));
        }
        Ok(lines)
    }
}

/// What was asked for makes no sense, for this reason.
pub(crate) fn refusal(kind: ErrorKind, why: &str) -> clap::Error {
    Args::command().error(kind, why)
}

fn is_called(row: &str, name: &str) -> bool {
    row.to_lowercase().contains(&name.to_lowercase())
}

fn part_of_a_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("every engine has a name".to_owned()) } else { Ok(name.to_owned()) }
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.01..=600.0).contains(number));
    number.ok_or_else(|| "a number from 0.01 to 600 is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Absent, Cell, Figure};

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
        let plan = |only: Option<Group>| {
            let mut plan = Plan::default();
            for (group, row) in [(Group::Unsynced, "sled"), (Group::Puts, "SQLite"), (Group::Unsynced, "SQLite")] {
                let cell = Cell::scene(group, row, "", move |_| Ok(vec![Figure::of(row, "", 0.0)]));
                plan.cells.push(cell);
            }
            plan.absent.push(Absent { group: Group::Puts, row: "RocksDB", why: "it is not there".to_owned() });
            plan.cells.retain(|cell| only.is_none_or(|only| cell.group == only));
            plan
        };
        let in_vain = |engines: &str| {
            let args = args(&format!("compare --group puts --engine {engines}")).unwrap();
            args.in_vain(&plan(Some(Group::Puts)), || plan(None))
                .map_err(|error| (error.exit_code(), error.to_string()))
        };
        assert_eq!(in_vain("sqlite"), Ok(Vec::new()));
        assert_eq!(in_vain("rocks"), Ok(Vec::new()), "who cannot be had is known all the same");
        let sled = "Sled is not measured in the groups that were chosen, only in unsynced";
        assert_eq!(in_vain("sql,Sled"), Ok(vec![sled.to_owned()]));
        let (status, text) = in_vain("Sled").unwrap_err();
        assert!(status == 2 && text.contains(sled), "{text}");
        let (status, text) = in_vain("sql,Sled,nobody,nowhere").unwrap_err();
        let named = "no engine is called nobody or nowhere; there are: sled; SQLite; RocksDB";
        assert!(status == 2 && text.contains(named), "{text}");
    }

    #[test]
    fn an_engine_without_a_name_is_a_mistake_of_whoever_asks() {
        for engines in ["", ",", "sled,,redb", "sled,", " "] {
            let error = Args::try_parse_from(["compare", "--engine", engines]).err().expect(engines);
            assert_eq!(error.exit_code(), 2, "{engines}");
        }
        let asked = Args::try_parse_from(["compare", "--engine", "Softadastra, async client"]).unwrap();
        assert_eq!(asked.engine, ["Softadastra", "async client"]);
        assert_eq!(Args::try_parse_from(["compare", "--group", ""]).err().unwrap().exit_code(), 2);
    }

    #[test]
    fn no_group_is_measured_twice() {
        assert_eq!(args("compare --group gets,puts,gets").unwrap().groups(), [Group::Gets, Group::Puts]);
    }

    #[test]
    fn the_help_says_how_it_ends() {
        let help = Args::command().render_long_help().to_string();
        for status in ["\n  0  ", "\n  1  ", "\n  2  ", "\n  130  "] {
            assert!(help.contains(status), "{status}: {help}");
        }
    }
}
