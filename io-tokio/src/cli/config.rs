//! `softadastra config`.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use softadastra_core::error::Code;

use super::args::ConfigCommand;
use super::node::refuse_strangers;
use super::output::{Done, Failure, Output};
use super::{log_filter, site};
use crate::control::Fault;
use crate::control::answer::{Config, ConfigChecked, ConfigWritten, SettingShown};
use crate::settings::{self, CATALOG, Settings, Source};
use crate::{PeerSpec, data_dir};

/// Carries it out. Nothing is opened and no node is asked.
pub(super) fn run(command: ConfigCommand, settings: &Settings, out: &mut Output) -> Result<Done, Failure> {
    match command {
        ConfigCommand::Show => out.answer(&show(settings))?,
        ConfigCommand::Check => out.answer(&check(settings)?)?,
        ConfigCommand::Init { file: Some(file) } if file == Path::new("-") => out.text(&settings::commented_file())?,
        ConfigCommand::Init { file } => out.answer(&init(settings, file)?)?,
    }
    Ok(Done::Yes)
}

fn show(settings: &Settings) -> Config {
    let shown = CATALOG.iter().map(|setting| {
        let (source, from) = match settings.source(setting.name) {
            Source::Default => ("default", None),
            Source::File(path) => ("file", Some(path.display().to_string())),
            Source::Env(name) => ("environment", Some(name)),
            Source::Flag(flag) => ("flag", Some(flag.to_owned())),
        };
        SettingShown { key: setting.name.to_owned(), value: settings.shown(setting), source: source.to_owned(), from }
    });
    Config { file: file_of(settings), settings: shown.collect() }
}

fn file_of(settings: &Settings) -> Option<String> {
    settings.file.as_ref().map(|path| path.display().to_string())
}

/// The settings by themselves were read before; here they are held against each other.
fn check(settings: &Settings) -> Result<ConfigChecked, Failure> {
    site::options(settings).validate().map_err(|error| Failure::Usage(error.into()))?;
    settings.discovery.options().validate().map_err(|error| Failure::Usage(error.into()))?;
    log_filter(settings, "info")?;
    refuse_strangers(settings)?;
    let set = CATALOG.iter().filter(|setting| settings.source(setting.name) != Source::Default).count();
    let warnings = settings.file.as_deref().and_then(|path| open_secret(settings, path)).into_iter().collect();
    Ok(ConfigChecked { file: file_of(settings), set: set as u64, warnings })
}

/// Tickets in the file that others than its owner can read.
pub(super) fn open_secret(settings: &Settings, path: &Path) -> Option<String> {
    let in_file = matches!(settings.source("peers"), Source::File(_));
    let tickets = settings.network.peers.iter().any(|peer| matches!(peer, PeerSpec::Ticket(_)));
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (in_file && tickets && mode & 0o077 != 0)
        .then(|| format!("{} holds a ticket and can be read by others; chmod 600 it", path.display()))
}

fn init(settings: &Settings, file: Option<PathBuf>) -> Result<ConfigWritten, Failure> {
    let path = match file {
        Some(file) => {
            std::path::absolute(&file).map_err(|error| Fault::io(format_args!("find {}", file.display()), &error))?
        }
        None => {
            data_dir::make_dir(&settings.data_dir)?;
            settings.data_dir.join(settings::FILE_NAME)
        }
    };
    match put_new(&path, settings::commented_file().as_bytes()) {
        Ok(()) => Ok(ConfigWritten { file: path.display().to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let what = format!("{} is there already", path.display());
            let next = "edit it, or name another file; `config init -` prints what would be written";
            Err(Fault::new(Code::AlreadyExists, what, next).into())
        }
        Err(error) => Err(Fault::io(format_args!("write {}", path.display()), &error).into()),
    }
}

/// Puts a new file in place for its owner alone, whole or not at all. One that is there stays as it is.
fn put_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Refused before anything is written; the end refuses one that has come since.
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut draft = tempfile::Builder::new().prefix(".softadastra-config-").tempfile_in(dir)?;
    draft.write_all(bytes)?;
    draft.as_file().sync_all()?;
    draft.persist_noclobber(path).map_err(|error| error.error)?;
    std::fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_whole_or_not_at_all_and_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("softadastra.toml");
        put_new(&path, b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(put_new(&path, b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(data_dir::names(dir.path()).unwrap(), ["softadastra.toml"], "no draft is left");
    }
}
