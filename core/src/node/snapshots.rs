//! Driving fuzzy snapshots: when one is due, what its head says, and its blocks, composed one at a time.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::journal::Journal;
use super::types::{Event, Output, Reply, RequestId, SnapshotTaken};
use super::Node;
use crate::disk::DiskError;
use crate::error::{Code, Error};
use crate::ids::Lsn;
use crate::time::{Instant, Now};
use crate::wal::SnapshotBlock;

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
        if !self.snapshots.running {
            self.begin_snapshot(now)?;
        }
        let request = self.new_request();
        self.snapshots.requests.push(request);
        Ok(request)
    }

    pub(super) fn begin_due_snapshot(&mut self, now: Now) {
        let due = !self.snapshots.running
            && now.mono >= self.snapshots.not_before
            && self.check_health().is_ok()
            && self.journal.log().is_some_and(|log| log.wants_snapshot(self.store.live_bytes()));
        // A refusal here means that the log cannot take one at the moment; the next poll asks again.
        if due && self.begin_snapshot(now).is_err() {
            self.snapshots.not_before = now.mono + PAUSE_AFTER_FAILURE;
        }
    }

    fn begin_snapshot(&mut self, now: Now) -> Result<(), Error> {
        let Journal::Log(log) = &mut self.journal else { return Ok(()) };
        let head = self.history.encode_head(self.published_reach);
        log.begin_snapshot(now.mono, self.published, &head, &mut self.steps).map_err(|refused| {
            Error::new(Code::InvalidState, format!("no snapshot can be taken now: {refused}"), "retry later")
        })?;
        let requests = core::mem::take(&mut self.snapshots.requests);
        self.snapshots =
            Snapshots { running: true, cursor: None, newest: Lsn::ZERO, requests, not_before: Instant::default() };
        Ok(())
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
        for request in core::mem::take(&mut self.snapshots.requests) {
            self.reply(request, Ok(Reply::Snapshot(taken)));
        }
        self.outputs.push_back(Output::Event(Event::SnapshotDone(taken)));
    }

    pub(super) fn fail_snapshot(&mut self, now: Now, error: &DiskError) {
        self.snapshots.not_before = now.mono + PAUSE_AFTER_FAILURE;
        self.outputs.push_back(Output::Event(Event::SnapshotFailed { error: error.message.clone() }));
        self.fail_snapshot_requests(&error.message);
    }

    pub(super) fn fail_snapshot_requests(&mut self, why: &str) {
        self.snapshots.running = false;
        for request in core::mem::take(&mut self.snapshots.requests) {
            let error = Error::new(
                Code::IoError,
                format!("the snapshot was given up: {why}"),
                "the log still holds everything; retry the snapshot",
            );
            self.reply(request, Err(error));
        }
    }
}
