//! A deletion is forgotten only when all members that count have seen it. Whoever was passed over holds what was deleted, costs
//! a full exchange when it is back, and shows until then what nobody else does.

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
        let Moment::Collecting { dots, members, witness } = moment else { return Ok(()) };
        let ledgers = || witness.ledgers.iter().filter_map(|ledger| Some((ledger.replica()?, ledger)));
        for (member, ledger) in ledgers().filter(|(replica, _)| members.contains(replica)) {
            if let Some(dot) = dots.iter().find(|dot| !ledger.claims(*dot)) {
                return Err(format!("{dot} is forgotten, which {member} does not claim, a member heard lately"));
            }
        }
        Ok(())
    }
}
