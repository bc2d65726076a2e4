//! Invariant 6: no replica ever issues one dot twice with different content, not even across crashes; and its sequence
//! has no gaps.

use std::collections::BTreeMap;

use softadastra_core::ids::{Dot, Lsn, ReplicaId, Seq};
use softadastra_core::op::Operation;

use super::{Judge, Moment};
use crate::chance;
use crate::plan::HostId;

#[derive(Debug, Default)]
pub(super) struct NoDotTwice {
    seen: BTreeMap<Dot, (u64, Lsn)>,
    last: BTreeMap<ReplicaId, (Seq, Lsn)>,
}

impl Judge for NoDotTwice {
    fn name(&self) -> &'static str {
        "no dot twice"
    }

    fn invariant(&self) -> u8 {
        6
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        if let Moment::Forgiven(from) = moment {
            self.seen.retain(|_, (_, at)| *at < *from);
            self.last.clear();
        }
        let Moment::Issued { op, lsn } = moment else { return Ok(()) };
        let content = content(op);
        if self.seen.entry(op.dot).or_insert((content, *lsn)).0 != content {
            return Err(format!("{} at LSN {lsn} has another content than when it was first issued", op.dot));
        }
        let (seq, at) = self.last.entry(op.dot.replica).or_default();
        if *lsn == at.next() && op.dot.seq != *seq + 1 {
            return Err(format!("{} at LSN {lsn} follows seq {seq}", op.dot));
        }
        if *lsn > *at {
            (*seq, *at) = (op.dot.seq, *lsn);
        }
        Ok(())
    }
}

/// Everything about an operation. An id alone would miss a reused sequence number.
fn content(op: &Operation) -> u64 {
    let mut bytes = Vec::new();
    op.encode(&mut bytes);
    chance::digest(0, &bytes)
}
