//! Conflicts that writes settle. They do so when they are shown: until then the log may give them up.

use super::conflicts::Meetings;
use super::engine::Engine;
use crate::ids::Lsn;
use crate::op::Operation;

/// A write that the log has taken, and that may settle something.
#[derive(Debug)]
pub(super) struct Settling {
    lsn: Lsn,
    op: Operation,
    own: bool,
}

impl Engine {
    /// The log has taken an operation at `lsn`, not below those before: if its writer had seen both versions of an open conflict, that is
    /// resolved once the operation is [published](Self::published). `own` says that it was issued just now; one that comes back from a
    /// peer is as a foreign one. What a group met is noted before ([`Self::applied`]).
    pub fn settle_conflicts(&mut self, lsn: Lsn, op: &Operation, own: bool) {
        let is_pending = |meetings: &Meetings| meetings.concern(op);
        if self.state.conflicts.concern(op) || self.applies.iter().any(|applying| is_pending(&applying.conflicts)) {
            self.settling.push_back(Settling { lsn, op: op.clone(), own });
        }
    }

    /// Everything up to `through` is shown.
    pub(super) fn settle_through(&mut self, through: Lsn) {
        while let Some(Settling { op, own, .. }) = self.settling.pop_front_if(|first| first.lsn <= through) {
            if planted!("settled_and_still_open") && op.marks.resolution {
                continue;
            }
            self.state.conflicts.settle(&op, own);
            for applying in &mut self.applies {
                applying.conflicts.settle(&op, own);
            }
        }
    }

    /// The log has given up what it had taken from `from` on.
    pub(super) fn settle_no_more_from(&mut self, from: Lsn) {
        self.settling.retain(|settling| settling.lsn < from);
    }
}
