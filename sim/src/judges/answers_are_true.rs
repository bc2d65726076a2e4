//! The store's promise (design, section 6): an answer says what the write did, in a version that only rises.

use super::{Judge, Moment};
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
            Moment::Opened { report, first, closed, grown, damaged, node, .. } => {
                if report.created && !first {
                    return Err("the report says that the directory was empty, but a node was up there before".into());
                }
                if report.keys != node.store().len() {
                    return Err(format!("the report counts {} keys, the store {}", report.keys, node.store().len()));
                }
                let wrong = if report.clean { *closed == Some(false) && *grown } else { *closed == Some(true) };
                if wrong && !damaged && !first {
                    return Err(format!("the report says clean: {}, but the last close was not so", report.clean));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
