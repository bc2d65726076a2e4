//! Invariant 9: what was superseded or deleted at a node never stands there again, unless it is written again.

use super::{Judge, Moment};
use crate::oracle::ledger::Breach;
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct DeletedStaysDeleted;

impl Judge for DeletedStaysDeleted {
    fn name(&self) -> &'static str {
        "deleted stays deleted"
    }

    fn invariant(&self) -> u8 {
        9
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Breach(Breach::Returned(what)) => Err(what.clone()),
            _ => Ok(()),
        }
    }
}
