//! The running log.
#![expect(clippy::todo, unused_variables, reason = "signatures first; the bodies follow")]

use crate::disk::{DiskResult, IoToken};
use crate::ids::Lsn;
use crate::sink::Sink;
use crate::time::Instant;

use super::format::Record;
use super::{AppendError, Effect, Manifest, Poison, Progress, Resume, SnapshotBlock, SnapshotRefused, Status};

/// A log that accepts records.
#[derive(Debug)]
pub struct Wal {}

impl Wal {
    /// Goes on where a scanned and mounted directory ends.
    #[must_use]
    pub fn resume(from: Resume) -> Self {
        todo!()
    }

    /// Takes in one atomic group: after a crash either all of it is there or nothing. Gives the LSN of its last
    /// record. Nothing reaches the disk before [`Wal::submit`].
    ///
    /// # Errors
    /// [`AppendError`]; nothing was taken in.
    pub fn append(&mut self, group: &[Record]) -> Result<Lsn, AppendError> {
        todo!()
    }

    /// Has everything gathered written as one frame, unless a frame is on its way already. To be called after each
    /// batch of appends, completions and timeouts.
    pub fn submit(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        todo!()
    }

    /// Takes the outcome of one [`Effect::Disk`]. Does not submit the next frame: that is [`Wal::submit`]'s, so that
    /// whoever is answered by this completion may still join it.
    ///
    /// # Panics
    /// When `token` names no operation of this log that is still to be completed.
    pub fn handle_completion(&mut self, now: Instant, token: IoToken, result: DiskResult, out: &mut dyn Sink<Effect>) {
        todo!()
    }

    /// Does what has come due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        todo!()
    }

    /// When to call [`Wal::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Asks that everything accepted becomes durable as soon as can be, with [`SyncMode::Every`](super::SyncMode)
    /// too; [`Effect::Durable`] tells.
    pub fn flush(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        todo!()
    }

    /// How far the log has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        todo!()
    }

    /// The log as an operator sees it.
    #[must_use]
    pub fn status(&self) -> Status {
        todo!()
    }

    /// The failure that stopped the log.
    #[must_use]
    pub fn poison(&self) -> Option<&Poison> {
        todo!()
    }

    /// Whether a snapshot is worth its cost: the tail has outgrown `live_bytes`, the size that a snapshot would have.
    #[must_use]
    pub fn wants_snapshot(&self, live_bytes: u64) -> bool {
        todo!()
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
        todo!()
    }

    /// Takes the next block, once after each [`Effect::SnapshotRoom`]. Without effect if the snapshot has failed in the
    /// meantime.
    pub fn push_snapshot_block(&mut self, now: Instant, block: SnapshotBlock, out: &mut dyn Sink<Effect>) {
        todo!()
    }

    /// Names the files of a consistent copy and removes none until [`Wal::unpin`]. Pins are counted.
    pub fn pin(&mut self) -> Manifest {
        todo!()
    }

    /// Takes back one pin.
    ///
    /// # Panics
    /// Without a pin.
    pub fn unpin(&mut self, out: &mut dyn Sink<Effect>) {
        todo!()
    }

    /// Accepts nothing more, writes what is gathered and a closing frame, closes the files; [`Effect::Closed`] tells.
    /// A running snapshot is given up.
    pub fn close(&mut self, now: Instant, out: &mut dyn Sink<Effect>) {
        todo!()
    }
}
