//! `softadastra man`.

use std::path::Path;

use clap::CommandFactory as _;

use super::args::Cli;
use super::output::Failure;
use crate::control::Fault;
use crate::control::answer::Manual;

/// When the manual was last gone through, for the foot of its pages.
const DATE: &str = "2026-11-21";

/// Writes a manual page for the program and for each command of it.
pub(super) fn write(dir: &Path) -> Result<Manual, Failure> {
    let failed = |error: std::io::Error| Fault::io(format_args!("write manual pages into {}", dir.display()), &error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    write_below(&command, dir, &mut pages).map_err(failed)?;
    Ok(Manual { dir: dir.display().to_string(), pages })
}

fn write_below(command: &clap::Command, dir: &Path, pages: &mut Vec<String>) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        write_below(below, dir, pages)?;
    }
    let page = clap_mangen::Man::new(command.clone()).date(DATE).manual("Softadastra");
    let name = page.get_filename();
    let mut text = Vec::new();
    page.render(&mut text)?;
    std::fs::write(dir.join(&name), text)?;
    pages.push(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_page_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let pages = write(dir.path()).unwrap().pages;
        for page in &pages {
            let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
            let title = text.lines().find_map(|line| line.strip_prefix(".TH ")).unwrap();
            let fields: Vec<&str> = title.split(' ').collect();
            assert_eq!((fields[1], fields[2]), ("1", DATE), "{page}: {title}");
        }
        assert!(pages.len() > 40, "{pages:?}");
    }
}
