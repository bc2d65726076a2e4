//! Invariants 7 and 8: when faults stop and links heal, all nodes come to the same state within a bounded time, with empty
//! outboxes; and equal vectors never stand for different contents.

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct AllConverge;

impl Judge for AllConverge {
    fn name(&self) -> &'static str {
        "all converge"
    }

    fn invariant(&self) -> u8 {
        7
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Apart(what) => Err(what.clone()),
            _ => Ok(()),
        }
    }
}
