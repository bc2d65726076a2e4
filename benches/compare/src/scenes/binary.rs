//! The program as it is released: how large it is, and how soon it is there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::ending::Process;
use crate::engine::Fault;
use crate::plan::{Cell, Figure, Group};
use crate::sample::median;

/// The row of the program.
pub(crate) const PROGRAM: &str = "softadastra";
/// Its size.
pub(crate) const SIZE: &str = "size, MB";
/// From its start on an empty directory until it takes commands.
pub(crate) const START: &str = "start with an empty directory, ms";

const STARTS: usize = 10;

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

/// Builds the program as it is released, beside this one.
fn build() -> Result<PathBuf, Fault> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let building = Process::start(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "softadastra", "--bin", PROGRAM, "--manifest-path"])
            .arg(manifest),
    )?;
    if !building.ended()?.success() {
        return Err("cargo has failed, and says above why".into());
    }
    let program = std::env::current_exe()?.with_file_name(PROGRAM);
    if program.exists() { Ok(program) } else { Err(format!("{} is not there", program.display()).into()) }
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
    let mut node = Process::start(
        Command::new(program)
            .arg("--data-dir")
            .arg(dir)
            .args(["--json", "node", "start"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )?;
    let mut lines = BufReader::new(node.pipes().stdout.take().ok_or("a process without stdout")?);
    let mut line = String::new();
    if lines.read_line(&mut line)? == 0 {
        return Err("the node ended before it took commands".into());
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
