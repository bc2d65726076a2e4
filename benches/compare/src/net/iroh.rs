//! iroh-docs: two nodes of it in a process of their own. It brings several hundred crates, so that program is a package apart
//! (`benches/iroh`), which nobody has to build who did not ask for it; once built, it lies beside this one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::aside::aside;
use crate::ending::Process;
use crate::engine::Fault;
use crate::hearing::Lines;
use crate::net::server;
use crate::plan::Figure;
use crate::scenes::replication::{CATCH_UP, IROH, LATE_BYTES, LIVE_BYTES, STREAM, WINDOW};

const PROGRAM: &str = "softadastra-compare-iroh";

/// It gives up by itself before that, and says what it has waited for.
const PATIENCE: Duration = Duration::from_secs(100);

/// How often a scene is tried: now and then contents stop coming in the middle of it, for good.
const ATTEMPTS: u32 = 3;

/// What the program can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Two linked nodes, one of which is written to.
    Live,
    /// What was written while they were apart.
    CatchUp,
}

/// Which versions it was built from.
///
/// # Errors
/// When it has not been built, or does not say so.
pub(crate) fn find() -> Result<Option<String>, Fault> {
    let program = program()?;
    if !program.exists() {
        return Err("it has not been built (`cargo compare-iroh` does so)".into());
    }
    server::version(&program, server::PATIENCE).map(Some)
}

fn program() -> Result<PathBuf, Fault> {
    Ok(std::env::current_exe()?.with_file_name(PROGRAM))
}

/// One round of a scene.
///
/// # Errors
/// Those of the program, and when it takes longer than it may, again and again.
pub(crate) fn measure(scene: Scene, dir: &Path) -> Result<Vec<Figure>, Fault> {
    for attempt in 1..ATTEMPTS {
        match play(scene, &dir.join(attempt.to_string())) {
            Ok(figures) => return Ok(figures),
            Err(why) => aside(format_args!("iroh-docs is tried again: {why}")),
        }
    }
    play(scene, &dir.join("last"))
}

fn play(scene: Scene, dir: &Path) -> Result<Vec<Figure>, Fault> {
    let mut command = Command::new(program()?);
    command.arg(match scene {
        Scene::Live => "live",
        Scene::CatchUp => "catch-up",
    });
    command.arg(dir);
    let figure = |(name, value): (String, f64)| {
        let column = match name.as_str() {
            "window" => WINDOW,
            "stream" => STREAM,
            "live-bytes" => LIVE_BYTES,
            "catch-up" => CATCH_UP,
            "late-bytes" => LATE_BYTES,
            _ => return Err(format!("{PROGRAM} is of another version: it speaks of {name}").into()),
        };
        Ok(Figure::of(IROH, column, value))
    };
    figures(command, PATIENCE)?.into_iter().map(figure).collect()
}

/// What a program prints, each line a name and a number, until it says that it is done.
fn figures(mut command: Command, patience: Duration) -> Result<Vec<(String, f64)>, Fault> {
    let end = Instant::now() + patience;
    let mut running = Process::heard(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let out = running.pipes().stdout.take().ok_or("a process without stdout")?;
    let lines = Lines::of(out);
    let mut figures = Vec::new();
    loop {
        let late = |_| format!("{PROGRAM} has not ended after {} s", patience.as_secs_f64());
        let Some(line) = lines.next(PROGRAM, end.saturating_duration_since(Instant::now())).map_err(late)? else {
            return Err(running.early_end(PROGRAM));
        };
        let line = line.text;
        if line == "done" {
            return Ok(figures);
        }
        let (name, value) = line.split_once(' ').ok_or_else(|| format!("{PROGRAM} says {line}"))?;
        figures.push((name.to_owned(), value.parse()?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: u64) -> Result<Vec<(String, f64)>, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        figures(command, Duration::from_millis(patience)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_program_is_heard_until_it_is_done() {
        let told = shell("echo window 5; echo stream 0.25; echo done; exec sleep 60", 60_000);
        assert_eq!(told, Ok(vec![("window".to_owned(), 5.0), ("stream".to_owned(), 0.25)]));
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let began = Instant::now();
        assert!(shell("echo window 5; exec sleep 60", 200).unwrap_err().contains("has not ended"));
        assert!(
            shell("exec sleep 60 >&-", 60_000).unwrap_err().contains("has not ended for 1 s"),
            "one that falls silent for good"
        );
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn figures_of_a_program_that_failed_are_worthless() {
        assert!(shell("echo window 5", 60_000).unwrap_err().contains("ended early"));
        let why = shell("echo window 5; echo why >&2; exit 1", 60_000).unwrap_err();
        assert!(why.ends_with("has ended with exit status 1; it said last: why"), "{why}");
        assert!(shell("echo nonsense", 60_000).is_err());
    }
}
