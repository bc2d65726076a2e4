//! Invariant 10: a version is stamped above every version it overwrites, and a replica's own clock never goes back,
//! across
//! restarts and clock steps.

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::ids::{Lsn, ReplicaId, Seq};

use super::{Judge, Moment};
use crate::oracle::ledger::Breach;
use crate::plan::HostId;

#[derive(Debug, Default)]
pub(super) struct ClockNeverBack {
    /// Per replica, the latest operation stamped by its own clock.
    clocks: BTreeMap<ReplicaId, (Seq, Stamp)>,
    /// Per node and key, its latest version.
    keys: BTreeMap<(HostId, Bytes), (Lsn, Stamp)>,
}

impl Judge for ClockNeverBack {
    fn name(&self) -> &'static str {
        "clock never back"
    }

    fn invariant(&self) -> u8 {
        10
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        if let Moment::Forgiven(_) = moment {
            *self = Self::default();
        }
        if let Moment::Replaced = moment {
            self.keys.retain(|(at, _), _| *at != host);
        }
        if let Moment::Breach(Breach::Disordered(what)) = moment {
            return Err(what.clone());
        }
        let Moment::Issued { op, lsn } = moment else { return Ok(()) };
        if !op.marks.lifted {
            let clock = self.clocks.entry(op.dot.replica).or_default();
            if op.dot.seq > clock.0 {
                if op.stamp <= clock.1 {
                    return Err(format!("{} is stamped {}, after seq {} at {}", op.dot, op.stamp, clock.0, clock.1));
                }
                *clock = (op.dot.seq, op.stamp);
            }
        }
        // It stands right above what it buries, wherever the clock stood when the key was deleted before.
        let is_burial = op.marks.repeats.is_some() && op.body.value().is_none();
        let version = self.keys.entry((host, op.key.clone())).or_default();
        if *lsn > version.0 {
            if op.stamp <= version.1 && !is_burial {
                let key = String::from_utf8_lossy(&op.key);
                return Err(format!("{key} is stamped {} at LSN {lsn}, but {} before", op.stamp, version.1));
            }
            *version = (*lsn, op.stamp);
        }
        Ok(())
    }
}
