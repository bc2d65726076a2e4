//! Invariant 13: two concurrent writes that met are on record where they met, with both versions; writes that had seen
//! each other never are.

use std::collections::BTreeMap;

use softadastra_core::sync::Conflict;

use super::{Judge, Moment};
use crate::oracle::witness::Witness;
use crate::plan::HostId;

#[derive(Debug, Default)]
pub(super) struct ConflictsComplete {
    /// The last conflict looked at, by its number.
    judged: BTreeMap<HostId, u64>,
    /// Meetings up to here are on record.
    met: BTreeMap<HostId, u64>,
}

impl Judge for ConflictsComplete {
    fn name(&self) -> &'static str {
        "conflicts complete"
    }

    fn invariant(&self) -> u8 {
        13
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Opened { .. } => {
                self.judged.remove(&host);
                self.met.remove(&host);
                Ok(())
            }
            Moment::Stepped { node, witness: Some(witness), changed: true, .. } => {
                let conflicts = node.conflicts();
                let judged = self.judged.entry(host).or_default();
                // The latest come last, by their numbers.
                let news = conflicts.iter().rev().take_while(|conflict| conflict.id > *judged).count();
                for conflict in conflicts.iter().rev().take(news).rev() {
                    is_one(witness, conflict)?;
                    *judged = conflict.id;
                }
                let Some(ledger) = witness.ledger(host) else { return Ok(()) };
                // What no longer fits is not kept.
                let all_kept = conflicts.total() == conflicts.iter().len() as u64;
                let met = self.met.entry(host).or_default();
                let first = ledger.meetings.partition_point(|meeting| meeting.lsn.0 <= *met);
                let due = ledger.meetings.iter().skip(first).take_while(|meeting| meeting.lsn <= ledger.durable());
                for meeting in due.filter(|_| all_kept) {
                    let pair = (meeting.local, meeting.remote);
                    // What met last was recorded last, mostly.
                    let recorded = conflicts.iter().rev().any(|conflict| {
                        let (local, remote) = (conflict.met.local.dot, conflict.met.remote.dot);
                        (local, remote) == pair || (remote, local) == pair
                    });
                    if !recorded {
                        return Err(format!("{} and {} met, but their conflict is not on record", pair.0, pair.1));
                    }
                }
                *met = (*met).max(ledger.durable().0);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn is_one(witness: &Witness, conflict: &Conflict) -> Result<(), String> {
    let (local, remote) = (conflict.met.local.dot, conflict.met.remote.dot);
    let issued =
        |dot| witness.registry.issued(dot).ok_or_else(|| format!("a conflict names {dot}, which nobody issued"));
    let (one, other) = (issued(local)?, issued(remote)?);
    if one.key != other.key || one.key != conflict.met.key {
        return Err(format!("a conflict of {local} and {remote} mixes keys"));
    }
    if local.replica == remote.replica {
        return Err(format!("{local} and {remote} are called a conflict, but one replica wrote both"));
    }
    if one.context.covers(remote) || other.context.covers(local) {
        return Err(format!("{local} and {remote} are called a conflict, but one had seen the other"));
    }
    Ok(())
}
