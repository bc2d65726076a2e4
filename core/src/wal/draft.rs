//! Writing one snapshot: a draft, made valid by a rename once everything it stands on is durable.
//!
//! ```text
//! Creating -> Writing (head) -> Room <-> Writing (blocks) -> Syncing -> Waiting (for the log) -> Reading (back)
//!    -> Closing -> Renaming -> SyncingDir -> done
//! any failure before SyncingDir: ClearingClose -> ClearingRemove -> given up; a failed directory sync stops the log
//! ```
//!
//! One operation at a time; in `Room` and `Waiting` none.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskResult, FileId, IoToken, Lane};
use crate::ids::{LogId, Lsn};
use crate::sink::Sink;

use super::asker::Asker;
use super::format::FileName;
use super::snapshot::{encode_block, encode_footer, encode_header};
use super::{Effect, SnapshotBlock, SnapshotFile};

/// Bytes read back at once.
const READ: u64 = 256 << 10;
/// Written bytes are synced in portions of this, so that no commit's sync has to carry more.
const SYNC_EVERY: u64 = 4 << 20;

/// One snapshot on its way.
#[derive(Debug)]
pub(super) struct Draft {
    log: LogId,
    at: Lsn,
    head: Vec<u8>,
    file: FileId,
    stage: Stage,
    /// The operation on its way.
    token: Option<IoToken>,
    /// Why it is to be given up.
    reason: Option<DiskError>,
    /// Bytes written.
    len: u64,
    unsynced: u64,
    /// Of everything written. Not a CRC: a CRC over parts that end with their own CRC would not depend on them.
    written: blake3::Hasher,
    /// Of everything read back.
    read: blake3::Hasher,
    blocks: u64,
    items: u64,
    reaches: Lsn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Creating,
    Writing { last: bool },
    Room,
    Syncing,
    Waiting,
    Reading { offset: u64 },
    Closing,
    Renaming,
    SyncingDir,
    ClearingClose,
    ClearingRemove,
}

/// What a completion meant for the snapshot.
#[derive(Debug)]
pub(super) enum DraftNews {
    /// It goes on.
    Advanced,
    /// The log must become durable up to here; then [`Draft::log_is_durable`].
    Needs(Lsn),
    /// It is durable.
    Done(SnapshotFile),
    /// It was given up; if its file could not be removed, the second says why.
    GivenUp(DiskError, Option<DiskError>),
    /// The directory could not be synced: whether the snapshot is there is not known.
    Failed { during: String, error: DiskError },
}

impl Draft {
    /// Begins a snapshot of `log` at `at`.
    pub(super) fn begin(log: LogId, at: Lsn, head: &[u8], asker: &mut Asker, out: &mut dyn Sink<Effect>) -> Self {
        let file = asker.new_file();
        let name = FileName::SnapshotDraft(at).to_name();
        let token = asker.ask(Lane::Background, DiskOp::Create { file, name }, out);
        Self {
            log,
            at,
            head: head.to_vec(),
            file,
            stage: Stage::Creating,
            token: Some(token),
            reason: None,
            len: 0,
            unsynced: 0,
            written: blake3::Hasher::new(),
            read: blake3::Hasher::new(),
            blocks: 0,
            items: 0,
            reaches: at,
        }
    }

    /// Bytes on disk.
    pub(super) const fn bytes(&self) -> u64 {
        self.len
    }

    pub(super) fn awaits(&self, token: IoToken) -> bool {
        self.token == Some(token)
    }

    /// Takes the next block, if one was asked for.
    pub(super) fn push(&mut self, block: &SnapshotBlock, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        if self.stage != Stage::Room {
            return;
        }
        let mut bytes = encode_block(self.log, self.at, self.blocks, block.items, &block.bytes);
        self.blocks += 1;
        self.items += u64::from(block.items);
        self.reaches = self.reaches.max(block.reaches);
        if block.last {
            bytes.extend_from_slice(&encode_footer(self.log, self.at, self.blocks, self.items, self.reaches));
        }
        self.write(bytes, block.last, asker, out);
    }

    /// The log has become durable up to `durable`.
    pub(super) fn log_is_durable(&mut self, durable: Lsn, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        if self.stage == Stage::Waiting && durable >= self.reaches {
            self.read(0, asker, out);
        }
    }

    /// Ends it: a draft is removed, but a rename that is on its way is carried through.
    pub(super) fn give_up(&mut self, reason: DiskError, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        if self.reason.is_none() && !matches!(self.stage, Stage::Renaming | Stage::SyncingDir) {
            self.reason = Some(reason);
            if self.token.is_none() {
                self.clear(asker, out);
            }
        }
    }

    /// Takes the outcome of the operation it waits for; `durable` is how far the log is.
    pub(super) fn handle_completion(
        &mut self,
        result: DiskResult,
        durable: Lsn,
        asker: &mut Asker,
        out: &mut dyn Sink<Effect>,
    ) -> DraftNews {
        self.token = None;
        let completion = match (self.stage, result) {
            (Stage::Creating, Err(error)) => return DraftNews::GivenUp(self.reason.take().unwrap_or(error), None),
            (Stage::SyncingDir, Err(error)) => {
                let during = format!("syncing the directory after renaming {}", FileName::Snapshot(self.at).to_name());
                return DraftNews::Failed { during, error };
            }
            (Stage::ClearingRemove, Err(error)) if error.kind != DiskErrorKind::NotFound => {
                return DraftNews::GivenUp(self.reason.take().unwrap_or_else(|| error.clone()), Some(error));
            }
            // The file that cannot be closed is given up already, and its name goes next.
            (Stage::ClearingClose, result) => result.unwrap_or(Completion::Done),
            (_, Ok(completion)) => completion,
            (_, Err(error)) => {
                self.reason.get_or_insert(error);
                Completion::Done
            }
        };
        if self.reason.is_some() {
            return self.clear(asker, out);
        }
        self.advance(completion, durable, asker, out)
    }

    fn advance(
        &mut self,
        completion: Completion,
        durable: Lsn,
        asker: &mut Asker,
        out: &mut dyn Sink<Effect>,
    ) -> DraftNews {
        match self.stage {
            Stage::Creating => {
                let head = encode_header(self.log, self.at, &core::mem::take(&mut self.head));
                self.write(head, false, asker, out);
            }
            Stage::Writing { last: false } => {
                self.stage = Stage::Room;
                out.push(Effect::SnapshotRoom);
            }
            Stage::Writing { last: true } if planted!("snapshot_without_sync") => {
                self.stage = Stage::Syncing;
                return self.advance(completion, durable, asker, out);
            }
            Stage::Writing { last: true } => self.ask(Stage::Syncing, DiskOp::Sync { file: self.file }, asker, out),
            Stage::Syncing => {
                self.stage = Stage::Waiting;
                if durable < self.reaches && !planted!("snapshot_ahead_of_log") {
                    return DraftNews::Needs(self.reaches);
                }
                self.read(0, asker, out);
            }
            Stage::Reading { offset } => return self.read_back(offset, &completion, asker, out),
            Stage::Closing => {
                let from = FileName::SnapshotDraft(self.at).to_name();
                let to = FileName::Snapshot(self.at).to_name();
                self.ask(Stage::Renaming, DiskOp::Rename { from, to }, asker, out);
            }
            Stage::Renaming if planted!("snapshot_without_dir_sync") => {
                return DraftNews::Done(SnapshotFile { at: self.at, bytes: self.len });
            }
            Stage::Renaming => self.ask(Stage::SyncingDir, DiskOp::SyncDir, asker, out),
            Stage::SyncingDir => return DraftNews::Done(SnapshotFile { at: self.at, bytes: self.len }),
            Stage::Room | Stage::Waiting | Stage::ClearingClose | Stage::ClearingRemove => {
                unreachable!("nothing was asked for, or the draft is being given up")
            }
        }
        DraftNews::Advanced
    }

    /// The next step of giving up.
    fn clear(&mut self, asker: &mut Asker, out: &mut dyn Sink<Effect>) -> DraftNews {
        match self.stage {
            Stage::Creating
            | Stage::Writing { .. }
            | Stage::Room
            | Stage::Syncing
            | Stage::Waiting
            | Stage::Reading { .. } => self.ask(Stage::ClearingClose, DiskOp::Close { file: self.file }, asker, out),
            // After a failed rename either name may be there. A whole snapshot under its own name harms nothing.
            Stage::Closing | Stage::Renaming | Stage::ClearingClose => {
                let name = FileName::SnapshotDraft(self.at).to_name();
                self.ask(Stage::ClearingRemove, DiskOp::Remove { name }, asker, out);
            }
            Stage::ClearingRemove => {
                let reason = self.reason.take().expect("a draft is cleared for a reason");
                return DraftNews::GivenUp(reason, None);
            }
            Stage::SyncingDir => unreachable!("a renamed draft is carried through"),
        }
        DraftNews::Advanced
    }

    fn ask(&mut self, stage: Stage, op: DiskOp, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        self.stage = stage;
        self.token = Some(asker.ask(Lane::Background, op, out));
    }

    fn write(&mut self, bytes: Vec<u8>, last: bool, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        let (offset, len) = (self.len, bytes.len() as u64);
        self.written.update(&bytes);
        self.len += len;
        self.unsynced += len;
        let sync = !last && self.unsynced >= SYNC_EVERY;
        if sync {
            self.unsynced = 0;
        }
        let data = Bytes::from(bytes);
        self.ask(Stage::Writing { last }, DiskOp::Write { file: self.file, offset, data, sync }, asker, out);
    }

    fn read(&mut self, offset: u64, asker: &mut Asker, out: &mut dyn Sink<Effect>) {
        let len = READ.min(self.len - offset) as usize;
        self.ask(Stage::Reading { offset }, DiskOp::Read { file: self.file, offset, len }, asker, out);
    }

    fn read_back(
        &mut self,
        offset: u64,
        completion: &Completion,
        asker: &mut Asker,
        out: &mut dyn Sink<Effect>,
    ) -> DraftNews {
        let Completion::Data(data) = completion else { unreachable!("a read completes with data") };
        self.read.update(data);
        let next = offset + data.len() as u64;
        let whole = next == self.len;
        let short = !whole && data.len() as u64 != READ;
        if short || (whole && self.read.finalize() != self.written.finalize()) {
            let name = FileName::SnapshotDraft(self.at).to_name();
            let message = format!("{name} reads back other bytes than were written");
            self.reason = Some(DiskError { kind: DiskErrorKind::Io, message });
            return self.clear(asker, out);
        }
        if whole {
            self.ask(Stage::Closing, DiskOp::Close { file: self.file }, asker, out);
        } else {
            self.read(next, asker, out);
        }
        DraftNews::Advanced
    }
}

/// Why a snapshot ends when the log is closed.
pub(super) fn closing() -> DiskError {
    DiskError { kind: DiskErrorKind::Io, message: "the log was closed".to_string() }
}
