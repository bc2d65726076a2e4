//! What the program says to whoever asks for what it does not have.

use std::error::Error;
use std::process::Command;

#[test]
fn an_engine_that_nobody_knows_is_a_mistake_of_whoever_asks() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let asked = ["--group", "memory", "--engine", "nobody", "--dir"];
    let run = Command::new(env!("CARGO_BIN_EXE_softadastra-compare")).args(asked).arg(dir.path()).output()?;
    let said = String::from_utf8(run.stderr)?;
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("no engine is called nobody"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0, "nothing is left behind");
    Ok(())
}
