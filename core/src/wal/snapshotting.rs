//! Snapshots and the removal of what they make superfluous, as commands of the log; the machines are in `draft` and
//! `sweep`.

use crate::ids::Lsn;
use crate::sink::Sink;
use crate::time::Instant;

use super::draft::{Draft, DraftNews};
use super::roll::next_capacity;
use super::running::{Life, Wal};
use super::snapshot::MAX_PART_BODY;
use super::{Effect, Manifest, SnapshotBlock, SnapshotRefused};

impl Wal {
    /// Whether a snapshot is worth its cost: the tail has outgrown `live_bytes`, the size that a snapshot would have.
    /// After one that failed, not before as much again as the least tail was logged.
    #[must_use]
    pub fn wants_snapshot(&self, live_bytes: u64) -> bool {
        self.may_snapshot().is_ok()
            && self.logged >= self.snapshot_not_before
            && self.tail_bytes() > self.settings.snapshot_min.max(live_bytes)
    }

    /// Begins a snapshot of everything up to `at`, the last record whose effect the walk will certainly find; `head`
    /// is kept in front of the blocks. [`Effect::SnapshotRoom`] asks for the blocks. Gives `at`.
    ///
    /// # Errors
    /// [`SnapshotRefused`]; nothing changed.
    ///
    /// # Panics
    /// When `at` was not written yet.
    pub fn begin_snapshot(
        &mut self,
        now: Instant,
        at: Lsn,
        head: &[u8],
        out: &mut dyn Sink<Effect>,
    ) -> Result<Lsn, SnapshotRefused> {
        self.hear(now);
        self.may_snapshot()?;
        if head.len() > MAX_PART_BODY {
            return Err(SnapshotRefused::TooLong);
        }
        assert!(at <= self.progress.written, "a snapshot is taken of what was written");
        if let Some(present) = self.files.snapshot.filter(|present| present.at >= at) {
            return Err(SnapshotRefused::Current(present));
        }
        let log = self.files.active.header.log;
        self.draft = Some((Draft::begin(log, at, head, &mut self.asker, out), self.logged));
        Ok(at)
    }

    /// Takes the next block, once after each [`Effect::SnapshotRoom`]. Without effect if the snapshot has failed in the
    /// meantime.
    ///
    /// # Panics
    /// When the block reaches beyond what was written.
    pub fn push_snapshot_block(&mut self, now: Instant, block: SnapshotBlock, out: &mut dyn Sink<Effect>) {
        self.hear(now);
        if let Some((draft, _)) = &mut self.draft {
            assert!(block.reaches <= self.progress.written, "a snapshot holds what was written");
            draft.push(&block, &mut self.asker, out);
        }
    }

    /// Names the files of a consistent copy and removes none until [`Wal::unpin`]. Pins are counted.
    pub fn pin(&mut self) -> Manifest {
        self.sweep.pin();
        self.files.manifest(self.progress.durable)
    }

    /// Takes back one pin.
    ///
    /// # Panics
    /// Without a pin.
    pub fn unpin(&mut self, out: &mut dyn Sink<Effect>) {
        self.sweep.unpin();
        self.sweep.drive(&self.files, &mut self.asker, out);
    }

    /// Takes what a completion meant for the running snapshot.
    pub(super) fn draft_news(&mut self, news: DraftNews, out: &mut dyn Sink<Effect>) {
        match news {
            DraftNews::Advanced => {}
            DraftNews::Needs(reaches) => self.sync_through = self.sync_through.max(reaches),
            DraftNews::Done(snapshot) => {
                let (_, base) = self.draft.take().expect("the news is of a draft");
                self.snapshot_base = base;
                self.files.install(snapshot);
                let segment = next_capacity(&self.settings, u64::MAX, Some(snapshot));
                self.files.pool.aim(segment, snapshot.bytes);
                self.shed(out);
                out.push(Effect::SnapshotDone { at: snapshot.at, bytes: snapshot.bytes });
                if self.life == Life::Running {
                    self.sweep.resume();
                    self.sweep.drive(&self.files, &mut self.asker, out);
                }
            }
            DraftNews::GivenUp(error, removal) => {
                self.draft = None;
                self.snapshot_not_before = self.logged.saturating_add(self.settings.snapshot_min);
                if let Some(removal) = removal {
                    self.sweep.note_failure(removal);
                }
                out.push(Effect::SnapshotFailed(error));
            }
            DraftNews::Failed { during, error } => self.stop(during, error, out),
        }
    }

    /// Lets the running snapshot go on, if it waits for this.
    pub(super) fn tell_draft(&mut self, out: &mut dyn Sink<Effect>) {
        if let Some((draft, _)) = &mut self.draft {
            draft.log_is_durable(self.progress.durable, &mut self.asker, out);
        }
    }

    fn may_snapshot(&self) -> Result<(), SnapshotRefused> {
        if self.poison.is_some() {
            Err(SnapshotRefused::Poisoned)
        } else if self.life != Life::Running {
            Err(SnapshotRefused::Closing)
        } else if self.draft.is_some() {
            Err(SnapshotRefused::Busy)
        } else {
            Ok(())
        }
    }

    /// Bytes of frames since the present snapshot began.
    pub(super) fn tail_bytes(&self) -> u64 {
        self.logged - self.snapshot_base
    }
}
