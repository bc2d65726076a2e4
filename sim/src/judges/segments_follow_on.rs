//! Segment numbers have no gaps (design, section 5), wherever a running node dies, and each segment stands under its own number:
//! the next change of a name waits for the last one to be durable.

use super::{Judge, Moment};
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct SegmentsFollowOn;

impl Judge for SegmentsFollowOn {
    fn name(&self) -> &'static str {
        "segments follow on"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let Moment::Left { segments } = moment else { return Ok(()) };
        for (name, said) in *segments {
            if let Some(said) = said.filter(|said| said != name) {
                return Err(format!("segment {name} says that it is segment {said}"));
            }
        }
        let numbers = segments.iter().map(|(name, _)| *name);
        match numbers.clone().zip(numbers.skip(1)).find(|(one, next)| one + 1 != *next) {
            Some((one, next)) => Err(format!("segment {next} follows on segment {one}")),
            None => Ok(()),
        }
    }
}
