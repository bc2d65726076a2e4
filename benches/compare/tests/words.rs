//! What the program says, and how it ends, where it is asked for what cannot be.

use std::error::Error;
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Done = Result<(), Box<dyn Error>>;

/// It keeps its data in `dir`, of which nothing may be left.
fn program(dir: &Path, asked: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_softadastra-compare"));
    program.args(asked).arg("--dir").arg(dir).args(["--rounds", "1", "--seconds", "0.01"]).stdin(Stdio::null());
    program
}

/// How it ends, and what it says on stdout and stderr.
fn ended(dir: &Path, mut program: Command) -> Result<(Option<i32>, String, String), Box<dyn Error>> {
    let run = program.output()?;
    assert_eq!(std::fs::read_dir(dir)?.count(), 0, "nothing is left behind");
    Ok((run.status.code(), String::from_utf8(run.stdout)?, String::from_utf8(run.stderr)?))
}

#[test]
fn an_engine_that_nobody_knows_is_a_mistake_of_whoever_asks() -> Done {
    let dir = tempfile::tempdir()?;
    for engines in ["nobody", "map,nobody"] {
        let asked = program(dir.path(), &["--group", "memory", "--engine", engines]);
        let (status, out, said) = ended(dir.path(), asked)?;
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("no engine is called nobody") && said.contains("ordered map alone (limit)"), "{said}");
        assert_eq!(out, "");
    }
    Ok(())
}

#[test]
fn a_run_that_has_measured_nothing_has_failed() -> Done {
    let dir = tempfile::tempdir()?;
    // Nothing it writes may be longer than a block of 512 bytes.
    let mut asked = Command::new("sh");
    asked.args(["-c", "ulimit -f 1; exec \"$0\" \"$@\""]);
    let real = program(dir.path(), &["--group", "batches", "--engine", "redb"]);
    asked.arg(real.get_program()).args(real.get_args()).stdin(Stdio::null());
    let (status, out, said) = ended(dir.path(), asked)?;
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("redb (1 writer) failed in round 1: ") && said.contains("Nothing could be measured"),
        "{said}"
    );
    assert_eq!(out, "", "there are no tables of nothing");
    Ok(())
}

#[test]
fn what_the_program_under_test_cannot_be_built_with_is_named() -> Done {
    let dir = tempfile::tempdir()?;
    let mut asked = program(dir.path(), &["--group", "binary"]);
    asked.env("PATH", dir.path()).env("CARGO", dir.path().join("no-cargo"));
    let (status, _, said) = ended(dir.path(), asked)?;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("the program cannot be built: ") && said.contains("no-cargo cannot be started"), "{said}");
    Ok(())
}

#[test]
fn only_a_regular_file_is_a_page() -> Done {
    let dir = tempfile::tempdir()?;
    for page in ["/dev/full", "/dev/zero", "/"] {
        let (status, _, said) = ended(dir.path(), program(dir.path(), &["--write", page]))?;
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(&format!("--write {page}: it is not a regular file")), "{said}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_printed_is_named() -> Done {
    let dir = tempfile::tempdir()?;
    for asked in
        [&["--group", "growth-keys", "--engine", "nobody", "--help"][..], &["--group", "batches", "--engine", "redb"]]
    {
        let mut asked = program(dir.path(), asked);
        asked.stdout(OpenOptions::new().write(true).open("/dev/full")?);
        let run = asked.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
        let said = String::from_utf8(run.stderr)?;
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains("stdout: No space left on device"), "{said}");
    }
    Ok(())
}

#[test]
fn a_run_whose_words_nobody_hears_ends_as_it_would() -> Done {
    let dir = tempfile::tempdir()?;
    let mut asked = program(dir.path(), &["--group", "memory", "--engine", "nobody"]);
    asked.stderr(File::options().write(true).open("/dev/full")?);
    assert_eq!(asked.status()?.code(), Some(2));
    let mut asked = program(dir.path(), &["--write", "/"]);
    asked.stderr(File::options().write(true).open("/dev/full")?);
    assert_eq!(asked.status()?.code(), Some(1));
    Ok(())
}

#[test]
fn the_program_that_cargo_names_is_measured_wherever_this_one_lies() -> Done {
    let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let script = |name: &str, text: &str| -> Result<PathBuf, Box<dyn Error>> {
        let path = elsewhere.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let built = script("built", "echo '{}'\nexec sleep 60")?;
    let cargo = script("cargo", &format!("echo '{{\"executable\":\"{}\"}}'", built.display()))?;
    let mut asked = program(dir.path(), &["--group", "binary"]);
    asked.env("CARGO", cargo);
    let (status, out, said) = ended(dir.path(), asked)?;
    assert_eq!(status, Some(0), "{said}");
    assert!(out.contains("| softadastra | 0.00 | "), "a program of a few bytes: {out}");
    let mut asked = program(dir.path(), &["--group", "binary"]);
    asked.env("CARGO", script("no-good", "echo 'error: here is why' >&2; echo 'error: not built' >&2; exit 101")?);
    let (status, _, said) = ended(dir.path(), asked)?;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("error: here is why\n"), "{said}");
    assert!(said.contains("cargo has ended with exit status 101; it said last: error: not built"), "{said}");
    Ok(())
}

/// A folder of programs that is looked into before all others.
fn programs(scripts: &[(&str, &str)]) -> Result<(tempfile::TempDir, String), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    for (name, text) in scripts {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH")?);
    Ok((dir, path))
}

#[test]
fn only_peers_that_are_measured_are_asked_for_their_version() -> Done {
    let dir = tempfile::tempdir()?;
    let (asked, path) = programs(&[
        ("nats-server", "touch $0.asked; exit 1"),
        ("redis-server", "touch $0.asked; echo no such library >&2; exit 1"),
    ])?;
    let run = |engine: &str| {
        let mut run = program(dir.path(), &["--group", "replication", "--engine", engine]);
        run.env("PATH", &path);
        ended(dir.path(), run)
    };
    let (status, _, said) = run("plain")?;
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said, "");
    assert!(!asked.path().join("redis-server.asked").exists() && !asked.path().join("nats-server.asked").exists());
    let (status, _, said) = run("redis")?;
    assert_eq!(status, Some(1), "{said}");
    let why = "redis-server --version has ended with exit status 1; it said last: no such library";
    assert!(said.contains(&format!("is left out: {why}\n")), "{said}");
    assert!(!asked.path().join("nats-server.asked").exists());
    Ok(())
}

#[test]
fn a_stdout_that_is_closed_or_only_to_be_read_from_is_named() -> Done {
    let dir = tempfile::tempdir()?;
    for (redirected, why) in [(">&-", "closed"), ("1</dev/null", "only to be read from")] {
        for asked in [&["--help"][..], &["--group", "batches", "--engine", "redb"]] {
            let mut run = Command::new("sh");
            run.args(["-c", &format!("exec \"$0\" \"$@\" {redirected}")]);
            let real = program(dir.path(), asked);
            run.arg(real.get_program()).args(real.get_args()).stdin(Stdio::null());
            let (status, _, said) = ended(dir.path(), run)?;
            assert_eq!(status, Some(1), "{why}: {asked:?}: {said}");
            assert!(said.contains("stdout: Bad file descriptor"), "{why}: {asked:?}: {said}");
        }
    }
    // Whoever opens it for both, as Python does, has not closed it.
    let mut run = program(dir.path(), &["--help"]);
    run.stdout(File::options().read(true).write(true).open("/dev/null")?);
    assert_eq!(run.status()?.code(), Some(0));
    Ok(())
}
