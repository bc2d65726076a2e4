//! Invariant 12: an operation is acknowledged only when so many other replicas as are required hold it durably.

use std::collections::BTreeMap;

use softadastra_core::ids::{Dot, ReplicaId, Seq};

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug, Default)]
pub(super) struct AcknowledgedIsHeld {
    /// Up to where each history was looked at.
    judged: BTreeMap<ReplicaId, Seq>,
}

impl Judge for AcknowledgedIsHeld {
    fn name(&self) -> &'static str {
        "acknowledged is held"
    }

    fn invariant(&self) -> u8 {
        12
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let Moment::Stepped { outbox, witness: Some(witness), knobs, replica, .. } = moment else { return Ok(()) };
        let judged = self.judged.entry(*replica).or_default();
        let required = usize::from(knobs.exchange.required_acks);
        for seq in *judged + 1..=outbox.acknowledged {
            let dot = Dot { replica: *replica, seq };
            let copies = witness.copies_beside(host, dot);
            if copies < required {
                return Err(format!("{dot} counts as acknowledged, but {copies} others hold it, not {required}"));
            }
            *judged = seq;
        }
        Ok(())
    }
}
