//! Invariants 7 and 8: when faults stop and links heal, all nodes come to the same state within a bounded time, with empty
//! outboxes; and equal vectors never stand for different contents.

use super::{Judge, Moment};
use crate::plan::HostId;

/// What it is called.
pub const NAME: &str = "all converge";

#[derive(Debug)]
pub(super) struct AllConverge;

impl Judge for AllConverge {
    fn name(&self) -> &'static str {
        NAME
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
