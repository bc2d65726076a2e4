//! A deletion is forgotten only when all members that count have seen it, and nothing waits for the log that may have been
//! written beside it; from then on nobody sends that has not seen it. Whoever was passed over holds what was deleted, costs a
//! full exchange when it is back, and shows until then what nobody else does.

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct CollectedIsSeen;

impl Judge for CollectedIsSeen {
    fn name(&self) -> &'static str {
        "collected is seen"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let Moment::Collecting { dots, members, linked, waits, witness } = moment else { return Ok(()) };
        if *waits {
            return Err(format!("{dots:?} is forgotten while something that was taken from a peer waits for the log"));
        }
        for (member, vector) in *linked {
            if let Some(dot) = dots.iter().find(|dot| !vector.covers(*dot)) {
                return Err(format!(
                    "{dot} is forgotten, and {member} goes on sending, which has not said that it has seen that"
                ));
            }
        }
        let ledgers = || witness.ledgers.iter().filter_map(|ledger| Some((ledger.replica()?, ledger)));
        for (member, ledger) in ledgers().filter(|(replica, _)| members.contains(replica)) {
            if let Some(dot) = dots.iter().find(|dot| !ledger.claims(*dot)) {
                return Err(format!("{dot} is forgotten, which {member} does not claim, a member heard lately"));
            }
        }
        Ok(())
    }
}
