//! Invariant 2: a write that failed is never visible, unless its error says `unknown`; and nothing is visible before it
//! was answered, or in parts.

use super::{Judge, Moment};
use crate::oracle::ledger::Breach;
use crate::oracle::{Verdict, state_of};
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct FailedNeverVisible;

impl Judge for FailedNeverVisible {
    fn name(&self) -> &'static str {
        "failed never visible"
    }

    fn invariant(&self) -> u8 {
        2
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Opened { verdict: Verdict::Ghost(what), harshness, .. } => {
                Err(format!("after {harshness:?}: {what}"))
            }
            Moment::Backup { verdict: Ok(Verdict::Ghost(what)) } => Err(format!("in a backup: {what}")),
            Moment::Breach(Breach::Forged(what)) => Err(what.clone()),
            Moment::Stepped { wrong: Some(what), .. } => Err((*what).to_owned()),
            Moment::Stepped { node, oracle, changed: true, alone: true, .. } => {
                let found = state_of(node);
                if found == *oracle.shown() {
                    return Ok(());
                }
                let differs = |key: &&bytes::Bytes| found.get(key) != oracle.shown().get(key);
                let key = found.keys().chain(oracle.shown().keys()).find(differs);
                let key = key.map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
                let is = |state: &crate::oracle::State| {
                    state.get(key.as_bytes()).map_or_else(|| "absent".into(), ToString::to_string)
                };
                Err(format!("{key} is shown as {}, but what was answered makes it {}", is(&found), is(oracle.shown())))
            }
            _ => Ok(()),
        }
    }
}
