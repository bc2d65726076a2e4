//! `softadastra store export`.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use softadastra_core::error::Code;

use super::node::Signals;
use super::output::{Failure, Human as _, Output};
use super::progress::{Progress, Unit};
use super::store::pages;
use crate::control::answer::{Answer as _, Exported};
use crate::control::{Backend, Fault};
use crate::ndjson;

/// An export that has not begun.
pub(super) struct Export {
    file: Option<PathBuf>,
    prefix: Bytes,
}

impl Export {
    pub(super) fn new(file: Option<PathBuf>, prefix: Bytes) -> Self {
        Self { file: file.filter(|path| path != Path::new("-")), prefix }
    }

    /// Writes every record, page by page. What is written while it runs may or may not be in it.
    pub(super) async fn run<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<(), Failure> {
        let total = if self.prefix.is_empty() { Some(backend.size().await?.keys) } else { None };
        let mut progress = Progress::start(out, "Exporting", total, Unit::Records);
        let mut done = Exported::default();
        let mut lines = Vec::new();
        // With a file, a signal is a request to give it up in order; without one, its default is all that is needed.
        let mut signals = self.file.is_some().then(Signals::new).transpose()?;
        let mut draft = self.file.as_deref().map(Draft::create).transpose()?;
        let exported = pages(backend, self.prefix, None, u64::MAX, |page| {
            lines.clear();
            for record in &page.records {
                ndjson::write_line(&mut lines, &record.key, &record.value);
            }
            match &mut draft {
                Some(draft) => draft.write(&lines)?,
                None => out.bytes(&lines)?,
            }
            done.records += page.records.len() as u64;
            done.bytes += lines.len() as u64;
            progress.update(done.records, done.records);
            Ok(())
        });
        let interrupted = async {
            match &mut signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            exported = exported => exported?,
            signal = interrupted => {
                let what = format!("ended by {signal}; nothing was exported");
                return Err(Fault::new(Code::InvalidState, what, "export again").into());
            }
        }
        (done.seconds, done.records_per_second) = progress.finish();
        match draft {
            Some(draft) => {
                draft.finish()?;
                out.answer(&done)
            }
            None => {
                out.flush()?;
                // The records are the answer; how it went goes beside it.
                if out.is_json() {
                    out.note(serde_json::to_string(&done.envelope()).expect("an answer is text and numbers"));
                } else {
                    out.note(done.human(out.paint()).trim_end());
                }
                Ok(())
            }
        }
    }
}

/// A file that takes its place only when it is complete. One that is given up is removed.
struct Draft {
    file: Option<BufWriter<File>>,
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    fn create(path: &Path) -> Result<Self, Failure> {
        if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
            let what = format!("{} is there and is not a plain file", path.display());
            let next = "name a new file, or export to stdout and redirect it";
            return Err(Fault::new(Code::InvalidArgument, what, next).into());
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        let draft = PathBuf::from(name);
        let file =
            File::create(&draft).map_err(|error| Fault::io(format_args!("create {}", draft.display()), &error))?;
        Ok(Self { file: Some(BufWriter::new(file)), draft, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let file = self.file.as_mut().expect("a draft is open until it is finished");
        Ok(file.write_all(bytes).map_err(|error| Fault::io(format_args!("write {}", self.draft.display()), &error))?)
    }

    fn finish(mut self) -> Result<(), Failure> {
        let failed = |error: &std::io::Error| Fault::io(format_args!("write {}", self.path.display()), error);
        let file = self.file.take().expect("a draft is finished once");
        let file = file.into_inner().map_err(|error| failed(error.error()))?;
        file.sync_all().map_err(|error| failed(&error))?;
        fs::rename(&self.draft, &self.path).map_err(|error| failed(&error))?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| failed(&error))?;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(&self.draft)
        {
            tracing::warn!(%error, path = %self.draft.display(), "draft left behind");
        }
    }
}
