//! Invariant 1: a write that was answered survives any crash that the disk model allows. So does whatever a reader was
//! shown after an earlier start, and so does a backup's content.

use super::{Judge, Moment};
use crate::oracle::Verdict;
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct AnsweredSurvives;

impl Judge for AnsweredSurvives {
    fn name(&self) -> &'static str {
        "answered survives"
    }

    fn invariant(&self) -> u8 {
        1
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Opened { verdict: Verdict::Lost(what), harshness, .. } => {
                Err(format!("after {harshness:?}: {what}"))
            }
            Moment::Missed(what) => Err(what.clone()),
            Moment::Backup { verdict: Ok(Verdict::Lost(what)) } => Err(format!("in a backup: {what}")),
            Moment::Backup { verdict: Err(what) } => Err(format!("a backup does not open: {what}")),
            _ => Ok(()),
        }
    }
}
