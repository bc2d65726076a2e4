//! Removal of superfluous files, one at a time, each removal durable before the next: whatever a crash leaves, the
//! segments on disk have no gap in their numbers. A segment whose room is wanted is set aside under another name instead, and
//! counts as there to be written over once that name is durable.

use alloc::string::{String, ToString};

use crate::disk::{DiskError, DiskErrorKind, DiskOp, DiskResult, IoToken, Lane};
use crate::sink::Sink;

use super::Effect;
use super::asker::Asker;
use super::files::Files;
use super::format::FileName;
use super::pool::Kept;

/// The removing machine.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    step: Option<(IoToken, Step)>,
    pins: u32,
    /// Stopped for good, or until the next snapshot.
    stopped: bool,
    failed: Option<DiskError>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Remove(FileName),
    SetAside(Kept),
    SyncDir(Option<Kept>),
}

impl Sweep {
    pub(super) const fn pin(&mut self) {
        self.pins += 1;
    }

    pub(super) fn unpin(&mut self) {
        self.pins = self.pins.checked_sub(1).expect("every unpin follows a pin");
    }

    /// Removes nothing more.
    pub(super) const fn stop(&mut self) {
        self.stopped = true;
    }

    /// A new snapshot is durable: try again what failed before.
    pub(super) fn resume(&mut self) {
        self.stopped = false;
        self.failed = None;
    }

    /// Why the last removal failed.
    pub(super) const fn failed(&self) -> Option<&DiskError> {
        self.failed.as_ref()
    }

    /// A file of somebody else could not be removed either.
    pub(super) fn note_failure(&mut self, error: DiskError) {
        self.failed = Some(error);
    }

    pub(super) fn awaits(&self, token: IoToken) -> bool {
        self.step.as_ref().is_some_and(|(awaited, _)| *awaited == token)
    }

    /// Removes the next superfluous file, unless one is being removed or files are pinned.
    pub(super) fn drive(&mut self, files: &Files, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        if self.step.is_some() || (self.pins > 0 && !planted!("pin_ignored")) || self.stopped {
            return;
        }
        if let Some(file) = files.superfluous() {
            let (op, step) = match files.worth_keeping(file) {
                Some(kept) => {
                    let op = DiskOp::Rename { from: file.to_name(), to: kept.name().to_name() };
                    (op, Step::SetAside(kept))
                }
                None => (DiskOp::Remove { name: file.to_name() }, Step::Remove(file)),
            };
            self.step = Some((asker.ask(Lane::Background, op, out), step));
        }
    }

    /// Takes the outcome of the operation it waits for.
    ///
    /// # Errors
    /// What failed, when the directory could not be synced: nothing is known of it any more.
    pub(super) fn handle_completion(
        &mut self,
        result: DiskResult,
        files: &mut Files,
        asker: &mut Asker,
        out: &mut dyn Sink<Effect>,
    ) -> Result<(), (String, DiskError)> {
        let (_, step) = self.step.take().expect("a completion answers a step");
        match (step, result) {
            (Step::Remove(_) | Step::SetAside(_), Err(error)) if error.kind != DiskErrorKind::NotFound => {
                // A file too many harms nothing. It is not skipped, because that would leave a gap.
                self.stopped = true;
                self.failed = Some(error);
            }
            (Step::Remove(file), Ok(_) | Err(_)) => self.gone(file, None, files, asker, out),
            (Step::SetAside(kept), done) => {
                self.gone(FileName::Segment(kept.number), done.is_ok().then_some(kept), files, asker, out);
            }
            (Step::SyncDir(kept), Ok(_)) => {
                if let Some(kept) = kept {
                    files.pool.put(kept);
                }
                self.drive(files, asker, out);
            }
            (Step::SyncDir(_), Err(error)) => return Err(("syncing the directory after a removal".to_string(), error)),
        }
        Ok(())
    }

    fn gone(
        &mut self,
        file: FileName,
        kept: Option<Kept>,
        files: &mut Files,
        asker: &mut Asker,
        out: &mut dyn Sink<Effect>,
    ) {
        files.forget(file);
        if planted!("removal_without_dir_sync") && kept.is_none() {
            return self.drive(files, asker, out);
        }
        let token = asker.ask(Lane::Background, DiskOp::SyncDir, out);
        self.step = Some((token, Step::SyncDir(kept)));
    }
}
