//! The lines of earlier sessions, in a file for this user alone.

use std::borrow::Cow;
use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use softadastra_core::transport::ticket::Ticket;

use super::complete::Prompter;
use super::words;

/// `$XDG_STATE_HOME/softadastra/history`, else `~/.local/state/softadastra/history`; without a home there is none.
pub(super) fn file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("softadastra/history"))
}

/// Reads the file. Without one there is no history yet.
pub(super) fn load(editor: &mut Editor<Prompter, FileHistory>, file: &Path) {
    match editor.load_history(file) {
        Ok(()) => {}
        Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, file = %file.display(), "the history cannot be read"),
    }
}

/// Keeps a line, unless it is blank, begins with a blank, or holds a secret.
pub(super) fn remember(editor: &mut Editor<Prompter, FileHistory>, line: &str) {
    let secret = words::split(line).words.iter().any(|word| matches!(Ticket::hide_in(&word.text), Cow::Owned(_)));
    if line.trim().is_empty() || line.starts_with(' ') || secret {
        return;
    }
    if let Err(error) = editor.add_history_entry(line) {
        tracing::warn!(%error, "a line was not kept in the history");
    }
}

/// Writes the file, readable by this user only.
pub(super) fn save(editor: &mut Editor<Prompter, FileHistory>, file: &Path) {
    let Some(dir) = file.parent() else { return };
    let saved = DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(ReadlineError::from);
    if let Err(error) = saved.and_then(|()| editor.append_history(file)) {
        tracing::warn!(%error, file = %file.display(), "the history was not written");
    }
}
