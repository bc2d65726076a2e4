//! Liveness: when faults stop, every node opens, answers and comes to rest within a bounded time.

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct LifeGoesOn;

impl Judge for LifeGoesOn {
    fn name(&self) -> &'static str {
        "life goes on"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Stuck(what) => Err(what.clone()),
            _ => Ok(()),
        }
    }
}
