//! Invariant 15, as far as one node can break it: what waits for the disk is bounded by what is configured, and so is
//! what is asked of the disk at one time.

use super::{Judge, Moment};
use crate::plan::HostId;

/// One commit, one step of preparing a segment, one of a snapshot, one of removing what it made superfluous, and two
/// full
/// segments being closed.
const MAX_IN_FLIGHT: usize = 6;

#[derive(Debug)]
pub(super) struct BoundedQueues;

impl Judge for BoundedQueues {
    fn name(&self) -> &'static str {
        "bounded queues"
    }

    fn invariant(&self) -> u8 {
        15
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let Moment::Stepped { node, oracle, knobs, in_flight, .. } = moment else { return Ok(()) };
        if *in_flight > MAX_IN_FLIGHT {
            return Err(format!("{in_flight} disk operations in flight, more than {MAX_IN_FLIGHT}"));
        }
        // One batch that alone exceeds the bound is taken when nothing waits.
        let (bytes, batches) = (oracle.waiting_bytes(), oracle.waiting());
        if batches > 1 && bytes > knobs.max_pending {
            return Err(format!("{bytes} bytes in {batches} batches wait, more than {}", knobs.max_pending));
        }
        let waiting = node.status().waiting;
        if waiting != batches {
            return Err(format!("the node says that {waiting} batches wait, but {batches} are unanswered"));
        }
        Ok(())
    }
}
