//! A node sleeps until there is something to do: when it is woken at its deadline, something comes of it, and a deadline that
//! has passed is not asked for again and again.

use super::{Judge, Moment};
use crate::plan::HostId;

/// So many times in a row a deadline may turn out to be moot.
const IN_VAIN: u32 = 3;
/// So often a node may wake of itself in one simulated second.
const OFTEN: u32 = 2_000;

#[derive(Debug)]
pub(super) struct NoSpinning;

impl Judge for NoSpinning {
    fn name(&self) -> &'static str {
        "no spinning"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Woken { in_vain, .. } if *in_vain > IN_VAIN => {
                Err(format!("woken {in_vain} times at one moment, did nothing and wants to be woken again at once"))
            }
            Moment::Woken { in_second, .. } if *in_second > OFTEN => {
                Err(format!("wants to be woken more than {OFTEN} times in a second"))
            }
            _ => Ok(()),
        }
    }
}
