//! Driving fuzzy snapshots: when one is due, what its head says, and its blocks, composed one at a time.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::history::History;
use super::journal::Journal;
use super::types::{Event, Output, Reply, RequestId, SnapshotTaken};
use super::{Health, Node};
use crate::disk::{DiskError, DiskErrorKind};
use crate::error::{Code, Error};
use crate::ids::Lsn;
use crate::time::{Instant, Now};
use crate::wal::{SnapshotBlock, SnapshotRefused};

/// Content of one block. Large enough for long writes, small enough that composing one delays nobody.
const BLOCK_ROOM: usize = 64 << 10;
/// After a failed snapshot the next is tried this much later, unless somebody asks.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Snapshots {
    running: bool,
    /// The last key already written.
    cursor: Option<Bytes>,
    /// The greatest LSN among the entries already written.
    newest: Lsn,
    /// Who waits for the running snapshot.
    requests: Vec<RequestId>,
    not_before: Instant,
}

impl Snapshots {
    pub(super) const fn is_running(&self) -> bool {
        self.running
    }
}

impl Node {
    /// Takes a snapshot now, or joins the running one; answered by [`Reply::Snapshot`]. Older segments are removed.
    ///
    /// # Errors
    /// Refused at once when the node takes no writes, or in memory-only mode ([`Code::InvalidState`]).
    pub fn snapshot(&mut self, now: Now) -> Result<RequestId, Error> {
        self.check_health()?;
        if self.journal.log().is_none() {
            return Err(Error::new(
                Code::InvalidState,
                "a memory-only node takes no snapshots",
                "open it on a data directory to keep its data",
            ));
        }
        let request = self.new_request();
        self.snapshots.requests.push(request);
        self.begin_due_snapshot(now);
        self.route_steps(now);
        Ok(request)
    }

    /// Begins a snapshot if somebody asked for one or the log has grown enough, and none is running.
    pub(super) fn begin_due_snapshot(&mut self, now: Now) {
        let asked = !self.snapshots.requests.is_empty();
        let Journal::Log(log) = &mut self.journal else { return };
        // A node that only reads leaves the disk alone, so nothing is due before the first write of this run.
        let grown = self.published > self.opened_at
            && now.mono >= self.snapshots.not_before
            && log.wants_snapshot(self.store.snapshot_bytes());
        if self.snapshots.running || !(asked || grown) {
            return;
        }
        // On a full disk too: a snapshot may be what makes room.
        if !matches!(self.health, Health::Ready | Health::DiskFull) {
            self.fail_snapshot_requests("the node takes none any more");
            return;
        }
        if self.rebirth.is_some() {
            return;
        }
        let head = Bytes::from(self.history.encode_head(self.published_reach, &self.engine.state_at(self.published)));
        // Whatever peers have said: the log is removed in favour of nothing that cannot be read again.
        let begun = match History::decode_head(&head) {
            Ok(_) => log.begin_snapshot(now.mono, self.published, &head, &mut self.steps),
            Err(_) => Err(SnapshotRefused::TooLong),
        };
        match begun {
            Ok(_) => {
                self.snapshots.running = true;
                self.snapshots.cursor = None;
                self.snapshots.newest = Lsn::ZERO;
            }
            Err(SnapshotRefused::Current(file)) => {
                self.answer_snapshot_requests(SnapshotTaken { at: file.at, bytes: file.bytes });
            }
            // The log will have time when it has tidied up; the next poll asks again.
            Err(SnapshotRefused::Busy) => {}
            Err(SnapshotRefused::TooLong) => {
                self.snapshots.not_before = now.mono + PAUSE_AFTER_FAILURE;
                self.fail_snapshot_requests("what peers have said of themselves does not fit into a snapshot");
            }
            Err(SnapshotRefused::Poisoned) => self.fail_snapshot_requests("the log is stopped"),
            Err(SnapshotRefused::Closing) => self.fail_snapshot_requests("the node is closing"),
        }
    }

    pub(super) fn write_snapshot_block(&mut self, now: Now) {
        let Journal::Log(log) = &mut self.journal else { return };
        let mut bytes = Vec::with_capacity(BLOCK_ROOM + BLOCK_ROOM / 4);
        let walk = self.store.walk(self.snapshots.cursor.as_deref(), BLOCK_ROOM, &mut bytes);
        self.snapshots.newest = self.snapshots.newest.max(walk.newest);
        let last = walk.next.is_none();
        self.snapshots.cursor = walk.next;
        let block = SnapshotBlock { bytes, items: walk.items, last, reaches: self.snapshots.newest };
        log.push_snapshot_block(now.mono, block, &mut self.steps);
    }

    pub(super) fn finish_snapshot(&mut self, taken: SnapshotTaken) {
        self.snapshots.running = false;
        self.answer_snapshot_requests(taken);
        self.outputs.push_back(Output::Event(Event::SnapshotDone(taken)));
    }

    fn answer_snapshot_requests(&mut self, taken: SnapshotTaken) {
        for request in core::mem::take(&mut self.snapshots.requests) {
            self.reply(request, Ok(Reply::Snapshot(taken)));
        }
    }

    pub(super) fn fail_snapshot(&mut self, now: Now, error: &DiskError) {
        self.snapshots.not_before = now.mono + PAUSE_AFTER_FAILURE;
        // One that closing has overtaken is no failure: the log has all of it.
        if self.health != Health::Closing {
            self.outputs.push_back(Output::Event(Event::SnapshotFailed { error: error.message.clone() }));
        }
        let code = if error.kind == DiskErrorKind::NoSpace { Code::DiskFull } else { Code::IoError };
        self.end_snapshot_requests(code, &error.message);
    }

    pub(super) fn fail_snapshot_requests(&mut self, why: &str) {
        self.end_snapshot_requests(Code::IoError, why);
    }

    fn end_snapshot_requests(&mut self, code: Code, why: &str) {
        self.snapshots.running = false;
        // Whatever the disk had to do with it: there is nothing left to try again on.
        let (code, why, next) = match self.health {
            Health::Closing => (
                Code::InvalidState,
                "the node is closing",
                "the log still holds everything; open the node again to take one",
            ),
            _ => (code, why, "the log still holds everything; retry the snapshot"),
        };
        for request in core::mem::take(&mut self.snapshots.requests) {
            let what = format!("the snapshot was given up: {why}");
            self.reply(request, Err(Error::new(code, what, next)));
        }
    }
}
