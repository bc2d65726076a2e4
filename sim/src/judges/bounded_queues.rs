//! Invariant 15: what waits for the disk is bounded by what is configured, and so is what is asked of the disk at one
//! time, what is under way to a peer, and what is kept of conflicts.

use softadastra_core::sync::{MAX_CONFLICT_BYTES, MAX_CONFLICTS, MAX_OPEN_CONFLICT_BYTES, MAX_OPEN_CONFLICTS};

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
        let (oracle, knobs, in_flight, waiting) = match moment {
            Moment::Stepped { oracle, knobs, in_flight, waiting, .. } => (oracle, knobs, in_flight, *waiting),
            Moment::Weighed { .. } => return weigh(moment),
            Moment::Unwritten { bytes, most } if bytes > most => {
                return Err(format!("{bytes} bytes given to one connection are not taken, more than {most}"));
            }
            _ => return Ok(()),
        };
        if *in_flight > MAX_IN_FLIGHT {
            return Err(format!("{in_flight} disk operations in flight, more than {MAX_IN_FLIGHT}"));
        }
        // One batch that alone exceeds the bound is taken when nothing waits.
        let batches = oracle.waiting();
        let bytes = if batches > 1 { oracle.waiting_bytes() } else { 0 };
        if bytes > knobs.max_pending {
            return Err(format!("{bytes} bytes in {batches} batches wait, more than {}", knobs.max_pending));
        }
        if waiting != batches {
            return Err(format!("the node says that {waiting} batches wait, but {batches} are unanswered"));
        }
        Ok(())
    }
}

/// One message and one entry may go beyond the window.
const MESSAGE: u64 = 768 << 10;

fn weigh(moment: &Moment<'_>) -> Result<(), String> {
    let Moment::Weighed { in_flight, links, nodes, window, conflicts: (bytes, count) } = moment else { return Ok(()) };
    if *in_flight > window + MESSAGE {
        return Err(format!("{in_flight} bytes are under way to one peer, whose window is at most {window}"));
    }
    if *links > 16 * nodes {
        return Err(format!("{links} links between {nodes} nodes"));
    }
    let (most, most_bytes) = (MAX_CONFLICTS + MAX_OPEN_CONFLICTS, MAX_CONFLICT_BYTES + MAX_OPEN_CONFLICT_BYTES);
    if *count > most || (*bytes > most_bytes && *count > 1) {
        return Err(format!("{count} conflicts of {bytes} bytes are kept"));
    }
    Ok(())
}
