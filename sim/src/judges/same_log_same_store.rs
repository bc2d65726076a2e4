//! Invariant 3: same log, same replay, same store, bit for bit.

use super::{Judge, Moment};
use crate::chance;
use crate::plan::HostId;
use crate::replay;

/// Reading a log costs more than most steps of a run: one start in so many is checked.
const ONE_IN: u64 = 4;

#[derive(Debug)]
pub(super) struct SameLogSameStore;

impl Judge for SameLogSameStore {
    fn name(&self) -> &'static str {
        "same log, same store"
    }

    fn invariant(&self) -> u8 {
        3
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let Moment::Opened { node, disk, salt, damaged: false, .. } = moment else { return Ok(()) };
        if chance::below(*salt, ONE_IN) != 0 {
            return Ok(());
        }
        let live = replay::fingerprint(node.store());
        if node.store().recomputed_digest().is_some_and(|digest| digest != live.digest) {
            return Err(format!("the digest {:?} is not that of the entries", live.digest));
        }
        let again = replay::read(disk).map_err(|error| format!("read once more: {error}"))?;
        if again == live {
            Ok(())
        } else {
            Err(format!("read once more, the log gives another store: {again:?} instead of {live:?}"))
        }
    }
}
