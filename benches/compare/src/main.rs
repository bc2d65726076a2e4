//! Runs the same workloads on Softadastra, on other engines and on the physical limit, in interleaved rounds of one run,
//! and prints medians and ratios. Absolute figures belong to one machine on one day; ratios within a run are what it is for.

mod args;
mod aside;
mod chart;
mod ending;
mod engine;
mod engines;
mod goals;
mod hearing;
mod net;
mod output;
mod page;
mod parts;
mod plan;
mod record;
mod sample;
mod scenes;
mod table;
mod values;
mod work;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use indicatif::{ProgressBar, ProgressStyle};

use args::Args;
use aside::aside;
use ending::{Home, undisturbed};
use engine::Fault;
use page::Page;
use plan::{Cell, Figure, Group};
use record::Record;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(status) => return status,
    };
    let done = match args.part {
        Some(part) => part.play(&args.dir),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            aside(&error);
            if error.is::<clap::Error>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    let started = Instant::now();
    output::look().map_err(|error| format!("stdout: {error}"))?;
    let page = args.write.as_deref().map(Page::open).transpose()?;
    ending::by_signals()?;
    let home = Home::within(&args.dir)?;
    let groups = args.groups();
    let mut plan = plan::of(groups, home.path());
    let in_vain = args.in_vain(&plan, || plan::of(Group::value_variants(), home.path()))?;
    plan.retain(|row| args.wants(row));
    let versions = plan.look();
    for line in in_vain.into_iter().chain(plan.left_out()) {
        aside(line);
    }
    let mut cells = plan.cells;
    let asked = cells.len();
    let measured: Vec<_> =
        groups.iter().copied().filter(|group| cells.iter().any(|cell| cell.group == *group)).collect();
    let bar = ProgressBar::new(u64::from(args.rounds) * cells.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:32} {pos}/{len} {eta} left  {msg}")?);
    let record = Arc::new(Mutex::new(Some(Record::of(args, measured, versions, started))));
    let kept = Arc::clone(&record);
    ending::at_a_crash(move |why| rescue(&kept, why, &mut std::io::stdout()));
    for round in 1..=args.rounds {
        cells.retain_mut(|cell| {
            bar.set_message(format!("round {round}: {}, {}", cell.row, cell.what));
            let name = format!("{} ({})", cell.row, cell.what);
            ending::at_work(&name);
            let done = measure(cell, home.path(), round, args);
            // What fails while the run is being ended says nothing.
            undisturbed(|| bar.inc(1));
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            // It is taken away only where the run ends.
            let Some(record) = record.as_mut() else { return false };
            match done {
                Ok(figures) => {
                    for figure in figures {
                        record.results.add(cell.group, round, figure);
                    }
                    true
                }
                // Its other rounds would fail as well; what it has measured stands, and the failure beside it.
                Err(error) => {
                    let failure = format!("{name} failed in round {round}: {error}");
                    bar.suspend(|| aside(&failure));
                    record.failures.push(failure);
                    false
                }
            }
        });
    }
    bar.finish_and_clear();
    let record = record.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or("the run has been ended")?;
    let outcome = summary(asked, record.failures.len(), record.results.is_empty())?;
    hand_over(page.as_ref(), &record, &record.markdown(), &mut std::io::stdout())?;
    if let Some(outcome) = outcome {
        aside(outcome);
    }
    Ok(())
}

/// What there is to say of a run in which so many failed, if anything: what it has is a comparison all the same.
///
/// # Errors
/// When it has nothing.
fn summary(asked: usize, failed: usize, nothing: bool) -> Result<Option<String>, Fault> {
    if nothing {
        return Err("Nothing could be measured.".into());
    }
    Ok((failed > 0)
        .then(|| format!("{failed} of {asked} failed, as said above; the tables have what they gave before.")))
}

/// Puts the tables where they are wanted; on `out` if that is nowhere, or if they cannot be put there after all.
fn hand_over(page: Option<&Page>, record: &Record, text: &str, out: &mut impl Write) -> Result<(), Fault> {
    let write = |page: &Page| undisturbed(|| page.write(&record.groups, &record.results, text));
    let written = page.map(write).transpose();
    let said = match &written {
        Ok(Some(done)) => done,
        _ => text,
    };
    let printed = out.write_all(said.as_bytes()).and_then(|()| out.flush()).map_err(|error| format!("stdout: {error}"));
    match (written, printed) {
        (Err(error), Err(other)) => Err(format!("{error}; {other}").into()),
        (Err(error), Ok(())) => Err(error),
        (Ok(_), printed) => Ok(printed?),
    }
}

/// Prints what was measured until an engine has taken the program down. Whoever is at work with it just now has stopped there:
/// then it is lost.
fn rescue(record: &Mutex<Option<Record>>, why: &str, out: &mut impl Write) {
    let Some(record) = record.try_lock().ok().and_then(|mut record| record.take()) else { return };
    if record.results.is_empty() {
        return;
    }
    let printed = write!(out, "**Not complete**: {why}\n\n{}", record.markdown()).and_then(|()| out.flush());
    if let Err(error) = printed {
        aside(format_args!("stdout: {error}"));
    }
}

/// One round of a cell, in a directory of its own.
fn measure(cell: &mut Cell, home: &Path, round: u32, args: &Args) -> Result<Vec<Figure>, Fault> {
    if round > cell.rounds {
        return Ok(Vec::new());
    }
    let dir = tempfile::tempdir_in(home)?;
    let time = Duration::from_secs_f64(args.seconds);
    // A cell that has panicked is never run again.
    let figures = catch_unwind(AssertUnwindSafe(|| (cell.run)(dir.path(), time)));
    figures.map_err(|_| "it has panicked, as said above")?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Record {
        let args = <Args as clap::Parser>::try_parse_from(["compare"]).unwrap();
        Record::of(&args, vec![Group::Puts], Vec::new(), Instant::now())
    }

    #[test]
    fn what_was_measured_before_a_crash_is_printed_once() {
        let record = Mutex::new(Some(nothing()));
        let rescued = |record: &Mutex<Option<Record>>| {
            let mut out = Vec::new();
            rescue(record, "sled has fallen", &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(rescued(&record), "", "there are no tables of nothing");
        let mut some = nothing();
        some.results.add(Group::Puts, 1, Figure::of("sled", "1 client", 5.0));
        let record = Mutex::new(Some(some));
        let held = record.lock().unwrap();
        assert_eq!(rescued(&record), "", "nobody waits for who has stopped");
        drop(held);
        let text = rescued(&record);
        assert!(text.starts_with("**Not complete**: sled has fallen\n\n") && text.contains("| sled | 5.00"), "{text}");
        assert_eq!(rescued(&record), "");
    }

    #[test]
    fn tables_that_nobody_can_write_down_are_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.md");
        std::fs::write(&path, "<!-- compare: begin --><!-- compare: end -->").unwrap();
        let page = Page::open(&path).unwrap();
        let printed = |page| {
            let mut out = Vec::new();
            let done = hand_over(page, &nothing(), "tables", &mut out);
            (done.is_ok(), String::from_utf8(out).unwrap())
        };
        let (done, said) = printed(Some(&page));
        assert!(done && said.contains("page.md now has the tables") && !said.contains("tables\n"), "{said}");
        assert_eq!(printed(None), (true, "tables".to_owned()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(printed(Some(&page)), (false, "tables".to_owned()));
    }

    #[test]
    fn what_cannot_be_printed_is_named() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let error = hand_over(None, &nothing(), "tables", &mut Full).unwrap_err().to_string();
        assert!(error.starts_with("stdout: "), "{error}");
    }

    #[test]
    fn a_run_without_a_figure_has_failed_and_one_with_some_says_who_is_missing() {
        assert!(summary(2, 2, true).is_err());
        assert!(summary(0, 0, true).is_err(), "nobody could be had");
        assert!(summary(2, 1, false).unwrap().unwrap().starts_with("1 of 2 failed"));
        assert_eq!(summary(2, 0, false).unwrap(), None);
    }

    #[test]
    fn an_engine_that_panics_fails_like_any_other() {
        let home = tempfile::tempdir().unwrap();
        let mut cell = Cell::scene(Group::Puts, "clumsy", "", |_| panic!("this panic belongs to the test"));
        let args = <Args as clap::Parser>::try_parse_from(["compare"]).unwrap();
        let error = measure(&mut cell, home.path(), 1, &args).err().unwrap();
        assert!(error.to_string().contains("panicked"), "{error}");
    }
}
