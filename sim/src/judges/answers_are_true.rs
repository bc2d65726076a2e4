//! The store's promise (design, section 6): an answer says what the write did, in a version that only rises.

use super::{Judge, Moment};
use crate::disk::SimDisk;
use crate::logview;
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct AnswersAreTrue;

impl Judge for AnswersAreTrue {
    fn name(&self) -> &'static str {
        "answers are true"
    }

    fn invariant(&self) -> u8 {
        0
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Untrue(what) => Err(what.clone()),
            Moment::Opened { report, first, closed, grown, damaged, tearable, node, disk, .. } => {
                if report.created && !first {
                    return Err("the report says that the directory was empty, but a node was up there before".into());
                }
                if report.keys != node.store().len() {
                    return Err(format!("the report counts {} keys, the store {}", report.keys, node.store().len()));
                }
                if let Some(torn) = report.torn.as_ref().filter(|_| !tearable) {
                    return Err(format!("the report tells of a torn tail, but nothing was written in part: {torn:?}"));
                }
                if *damaged || *first {
                    return Ok(());
                }
                match (report.clean, closed) {
                    (true, Some(false)) if *grown => Err(
                        "the report says clean: true; expected clean: false, for records follow the last clean close"
                            .into(),
                    ),
                    (false, Some(true)) if shows_a_frame(disk) => Err(
                        "the report says clean: false; expected clean: true, for nothing follows the last clean close"
                            .into(),
                    ),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// A start that goes on in another segment leaves a clean close in the one before, and a snapshot that covers that one lets it
/// be removed. Then no frame is left to show how the log was closed.
fn shows_a_frame(disk: &SimDisk) -> bool {
    logview::segments(disk).iter().any(|segment| !segment.frames.is_empty())
}
