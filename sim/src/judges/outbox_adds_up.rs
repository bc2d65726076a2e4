//! Invariant 11: the states of the outbox add up, and what it holds is the own durable operations that are not
//! acknowledged. A try is a link that broke: being offline is none.

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct OutboxAddsUp;

impl Judge for OutboxAddsUp {
    fn name(&self) -> &'static str {
        "outbox adds up"
    }

    fn invariant(&self) -> u8 {
        11
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let Moment::Stepped { outbox, witness, broken_links, .. } = moment else { return Ok(()) };
        if outbox.retries > *broken_links {
            let retries = outbox.retries;
            return Err(format!(
                "{retries} tries are counted, but only {broken_links} links have broken since the start"
            ));
        }
        if outbox.acknowledged > outbox.last || outbox.pruned > outbox.acknowledged {
            return Err(format!("more is acknowledged than issued, or pruned than acknowledged: {outbox:?}"));
        }
        if outbox.queued + outbox.in_flight + outbox.failed != outbox.last - outbox.acknowledged {
            return Err(format!("the states do not add up: {outbox:?}"));
        }
        let Some(ledger) = witness.and_then(|witness| witness.ledger(host)) else { return Ok(()) };
        let issued = ledger.own_at(ledger.durable());
        if outbox.last == issued {
            Ok(())
        } else {
            Err(format!("{issued} own operations are durable, but the outbox knows {}", outbox.last))
        }
    }
}
