//! `softadastra config`.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use softadastra_core::error::Code;

use super::filter::log_filter;
use super::output::{Done, Failure, Output};
use super::sound;
use crate::control::Fault;
use crate::control::answer::{Config, ConfigChecked, ConfigWritten, SettingShown};
use crate::settings::{self, CATALOG, Settings, Source};
use crate::{PeerSpec, data_dir};

/// Shows every setting, and where it comes from. Nothing is opened and no node is asked.
pub(super) fn show(settings: &Settings, out: &mut Output) -> Result<(), Failure> {
    let shown = CATALOG.iter().map(|setting| {
        let (source, from) = match settings.source(setting.name) {
            Source::Default => ("default", None),
            Source::File(path) => ("file", Some(path.display().to_string())),
            Source::Env(name) => ("environment", Some(name)),
            Source::Flag(flag) => ("flag", Some(flag.to_owned())),
        };
        SettingShown { key: setting.name.to_owned(), value: settings.shown(setting), source: source.to_owned(), from }
    });
    out.answer(&Config { file: file_of(settings), settings: shown.collect() })
}

fn file_of(settings: &Settings) -> Option<String> {
    settings.file.as_ref().map(|path| path.display().to_string())
}

/// The settings by themselves were read before; here they are held against each other and the directory, as `node start`
/// would.
pub(super) async fn check(settings: &Settings, out: &mut Output) -> Result<Done, Failure> {
    sound::for_a_node(settings)?;
    log_filter(settings, "info")?;
    sound::for_the_directory(settings).await?;
    let set = CATALOG.iter().filter(|setting| settings.source(setting.name) != Source::Default).count();
    let secret = settings.file.as_deref().and_then(|path| open_secret(settings, path));
    let warnings = secret.into_iter().chain(sound::doubt(settings)).collect();
    out.answer(&ConfigChecked { file: file_of(settings), set: set as u64, warnings })?;
    Ok(Done::Yes)
}

/// Tickets in the file that others than its owner can read.
pub(super) fn open_secret(settings: &Settings, path: &Path) -> Option<String> {
    let in_file = matches!(settings.source("peers"), Source::File(_));
    let tickets = settings.network.peers.iter().any(|peer| matches!(peer, PeerSpec::Ticket(_)));
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (in_file && tickets && mode & 0o077 != 0)
        .then(|| format!("{} holds a ticket and can be read by others; chmod 600 it", path.display()))
}

/// Writes a configuration file with every setting in it, commented out; never over another.
pub(super) fn init(settings: &Settings, file: Option<PathBuf>, out: &mut Output) -> Result<(), Failure> {
    let path = match file {
        Some(file) if file == Path::new("-") => return out.text(&settings::commented_file()),
        Some(file) => {
            std::path::absolute(&file).map_err(|error| Fault::io(format_args!("find {}", file.display()), &error))?
        }
        None => {
            data_dir::make_dir(&settings.data_dir)?;
            settings.data_dir.join(settings::FILE_NAME)
        }
    };
    match put_new(&path, settings::commented_file().as_bytes()) {
        Ok(()) => out.answer(&ConfigWritten { file: path.display().to_string() }),
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
