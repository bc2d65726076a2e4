//! Asking the disk: tokens, file ids, and the count of what is still to be completed.

use crate::disk::{DiskOp, DiskRequest, FileId, IoToken, Lane};
use crate::sink::Sink;

use super::Effect;

/// Hands out tokens and file ids of one log.
#[derive(Debug)]
pub(super) struct Asker {
    next_token: IoToken,
    next_file: FileId,
    outstanding: usize,
}

impl Asker {
    pub(super) const fn new(next_token: IoToken, next_file: FileId) -> Self {
        Self { next_token, next_file, outstanding: 0 }
    }

    /// Asks for `op`; its completion will carry the token.
    pub(super) fn ask(&mut self, lane: Lane, op: DiskOp, out: &mut dyn Sink<Effect>) -> IoToken {
        let token = self.next_token;
        self.next_token = IoToken(token.0 + 1);
        self.outstanding += 1;
        out.push(Effect::Disk(DiskRequest { token, lane, op }));
        token
    }

    /// An id for a file about to be created.
    pub(super) const fn new_file(&mut self) -> FileId {
        let file = self.next_file;
        self.next_file = FileId(file.0 + 1);
        file
    }

    /// One operation has completed.
    pub(super) fn completed(&mut self) {
        self.outstanding = self.outstanding.checked_sub(1).expect("every operation completes once");
    }

    /// Nothing is on its way.
    pub(super) const fn is_quiet(&self) -> bool {
        self.outstanding == 0
    }
}
