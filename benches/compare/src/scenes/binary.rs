//! The program as it is released: how large it is, and how soon it is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::aside::aside;
use crate::ending::Process;
use crate::engine::Fault;
use crate::hearing::Lines;
use crate::net::server::PATIENCE;
use crate::plan::{Cell, Figure, Group};
use crate::sample::median;

/// The row of the program.
pub(crate) const PROGRAM: &str = "softadastra";
/// Its size.
pub(crate) const SIZE: &str = "size, MB";
/// From its start on an empty directory until it takes commands.
pub(crate) const START: &str = "start with an empty directory, ms";

const STARTS: usize = 10;

/// How long cargo may say nothing: what it builds last is put together from everything, and it says nothing meanwhile.
const BUILDING: Duration = Duration::from_secs(1800);

/// The cells.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    let mut built = None;
    let scene = Cell::scene(Group::Binary, PROGRAM, "its size and its start", move |dir| {
        let program = match &built {
            Some(program) => program,
            None => built.insert(build().map_err(|why| format!("the program cannot be built: {why}"))?),
        };
        measure(program, dir)
    });
    cells.push(scene.at_most(3));
}

/// Builds the program as it is released; cargo says where it is.
fn build() -> Result<PathBuf, Fault> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut building = Process::heard(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "softadastra", "--bin", PROGRAM])
            .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
            .arg(manifest)
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )?;
    let mut program = None;
    let lines = Lines::of(building.pipes().stdout.take().ok_or("a process without stdout")?);
    while let Some(line) = lines.next("cargo", BUILDING)? {
        program = executable(&line.text).or(program);
    }
    building.ended("cargo", PATIENCE).inspect_err(|_| aside(building.said()))?;
    let program = program.ok_or("cargo does not say where it is")?;
    if program.exists() { Ok(program) } else { Err(format!("{} is not there", program.display()).into()) }
}

/// The program that a message of cargo speaks of.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once(r#""executable":""#)?;
    Some(PathBuf::from(rest.split_once('"')?.0))
}

fn measure(program: &Path, dir: &Path) -> Result<Vec<Figure>, Fault> {
    let size = std::fs::metadata(program)?.len() as f64 / 1e6;
    let mut starts = Vec::new();
    for number in 0..STARTS {
        starts.push(start(program, &dir.join(format!("d{number}")))?);
    }
    Ok(vec![Figure::of(PROGRAM, SIZE, size), Figure::of(PROGRAM, START, median(starts))])
}

/// Milliseconds until a node says that it takes commands.
fn start(program: &Path, dir: &Path) -> Result<f64, Fault> {
    std::fs::create_dir_all(dir)?;
    let began = Instant::now();
    let mut node = Process::heard(
        Command::new(program)
            .arg("--data-dir")
            .arg(dir)
            .args(["--json", "node", "start"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    )?;
    let lines = Lines::of(node.pipes().stdout.take().ok_or("a process without stdout")?);
    match lines.next("the node", PATIENCE)? {
        Some(line) => Ok((line.at - began).as_secs_f64() * 1e3),
        None => Err(node.early_end("the node")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_the_program_is() {
        let none = r#"{"reason":"compiler-artifact","target":{"name":"softadastra"},"executable":null,"fresh":true}"#;
        assert_eq!(executable(none), None);
        let one = r#"{"reason":"compiler-artifact","executable":"/target/release/softadastra","fresh":true}"#;
        assert_eq!(executable(one), Some(PathBuf::from("/target/release/softadastra")));
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
