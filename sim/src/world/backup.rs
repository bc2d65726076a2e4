//! Backups taken while the node goes on: pin, copy file by file, unpin, open the copy.

use std::collections::VecDeque;

use softadastra_core::ids::Lsn;
use softadastra_core::wal::ManifestFile;

use super::host::{Host, Machine};
use super::{Kind, Stage};
use crate::chance;
use crate::disk::SimDisk;
use crate::judges::{Failure, Moment};
use crate::oracle::{Harshness, state_of};
use crate::replay;
use crate::tally::Mark;

/// From one file to the next, in microseconds.
const PER_FILE: u64 = 700;

pub(super) struct Backup {
    files: VecDeque<ManifestFile>,
    copy: SimDisk,
    /// So many batches must be in it.
    floor: usize,
    /// And every record up to here.
    durable: Lsn,
}

impl Host {
    pub(super) fn begin_backup(&mut self, stage: &mut Stage) {
        let Machine::Up(node) = &mut self.machine else { return };
        if self.backup.is_some() {
            return;
        }
        let Ok(manifest) = node.pin_files() else { return };
        stage.note(self.id, format_args!("backup of {manifest:?}"));
        let mut promised = self.oracle.clone();
        promised.durable_through(manifest.durable);
        let floor = promised.floor(Harshness::Power);
        let durable = manifest.durable;
        self.backup = Some(Backup { files: manifest.files.into(), copy: SimDisk::new(), floor, durable });
        stage.schedule(PER_FILE, self.id, Some(self.life), Kind::CopyNext);
    }

    pub(super) fn copy_next(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let Some(backup) = &mut self.backup else { return Ok(()) };
        if let Some(ManifestFile { name, len }) = backup.files.pop_front() {
            let content = self.disk.file(&name).and_then(|content| content.get(..len as usize));
            let Some(content) = content else {
                let verdict = Err(format!("{name} is pinned with {len} bytes, but is not there"));
                return stage.see(self.id, &Moment::Backup { verdict });
            };
            backup.copy.put_file(&name, content);
            stage.schedule(PER_FILE, self.id, Some(self.life), Kind::CopyNext);
            return Ok(());
        }
        let now = self.now(stage);
        if let Machine::Up(node) = &mut self.machine {
            node.unpin_files(now);
        }
        let Some(Backup { mut copy, floor, durable, .. }) = self.backup.take() else { return Ok(()) };
        if self.damage.any {
            return Ok(());
        }
        let as_copied = copy.clone();
        let seed = chance::mix(stage.seed, u64::from(self.life), 6);
        let verdict = match replay::open(&mut copy, &self.knobs, now, seed) {
            Ok(node) if stage.witness.is_some() => Ok(self.judge_copy(stage, &node, durable)),
            Ok(node) => Ok(self.oracle.judge(&state_of(&node), floor)),
            Err(error) => Err(error.to_string()),
        };
        if verdict.is_ok() {
            self.kept = Some(as_copied);
        }
        stage.tally.mark(Mark::BackupOpened);
        stage.note(self.id, format_args!("backup opened"));
        stage.see(self.id, &Moment::Backup { verdict })
    }
}
