//! Invariant 4: corrupt bytes are never applied, and damage to acknowledged data is never taken for a torn tail. And
//! the
//! other way round: what a crash leaves is never taken for damage.

use softadastra_core::error::Code;

use super::{Judge, Moment};
use crate::oracle::Verdict;
use crate::plan::HostId;

#[derive(Debug)]
pub(super) struct DamageNeverPasses;

impl Judge for DamageNeverPasses {
    fn name(&self) -> &'static str {
        "damage never passes"
    }

    fn invariant(&self) -> u8 {
        4
    }

    fn see(&mut self, _: HostId, moment: &Moment<'_>) -> Result<(), String> {
        match moment {
            Moment::Nonsense(what) => Err(what.clone()),
            Moment::Opened { damaged: true, verdict: Verdict::Lost(what) | Verdict::Ghost(what), .. } => {
                Err(format!("a damaged log was opened: {what}"))
            }
            Moment::NotOpened { error, damaged, hindered } => {
                let code = error.code();
                let excused = match code {
                    Code::WalCorrupt | Code::FormatTooNew => *damaged,
                    Code::IoError | Code::DiskFull => *hindered,
                    _ => false,
                };
                if excused { Ok(()) } else { Err(format!("the node refuses to open ({code}): {error}")) }
            }
            _ => Ok(()),
        }
    }
}
