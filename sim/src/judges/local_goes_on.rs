//! Invariant 14 between several nodes: local writes are answered whatever peers and links do.

use super::{Judge, Moment};
use crate::plan::HostId;

/// So long a write may wait for a disk that nobody hinders, in microseconds: it may stand behind a megabyte of what peers
/// sent, and that behind a snapshot.
const PATIENCE: u64 = 10_000_000;

#[derive(Debug)]
pub(super) struct LocalGoesOn;

impl Judge for LocalGoesOn {
    fn name(&self) -> &'static str {
        "local goes on"
    }

    fn invariant(&self) -> u8 {
        14
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Stepped { waited: Some(waited), hindered: false, .. } if *waited > PATIENCE => {
                Err(format!("a write waits for {waited} us, and nothing hinders the disk"))
            }
            _ => Ok(()),
        }
    }
}
