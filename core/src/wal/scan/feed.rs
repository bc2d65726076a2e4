//! Hands the records of whole frames to whoever replays them.

use alloc::vec::Vec;

use super::Replay;
use crate::codec::DecodeError;
use crate::ids::{Lsn, ReplicaId};
use crate::wal::format::{Frame, Record, Records};

/// Stands for a replica whose birth record is lost: operations salvaged without it are read as its own.
pub const LOST_REPLICA: ReplicaId = ReplicaId([0; 16]);

/// What has to be remembered from record to record.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// The replica named by the latest birth.
    pub(super) own: Option<ReplicaId>,
    /// Records up to here are in the snapshot.
    pub(super) from: Lsn,
    /// Frames are taken whole or not at all, and lost births are survived.
    pub(super) salvage: bool,
    /// The first own operation that was read without its birth.
    pub(super) orphan: Option<Lsn>,
    pub(super) gathered: Vec<(Lsn, Record)>,
}

impl Feed {
    /// Replays the records of `frame` that are not in the snapshot.
    pub(super) fn frame(&mut self, frame: &Frame, replay: &mut dyn Replay) -> Result<(), DecodeError> {
        if frame.next_lsn().0.saturating_sub(1) <= self.from.0 {
            return Ok(());
        }
        let mut records = Records::of(frame);
        records.skip_through(self.from)?;
        // Opening refuses the whole directory when one record is bad, so nothing is gained by gathering first.
        self.gathered.clear();
        loop {
            let own = if self.salvage { self.own.or(Some(LOST_REPLICA)) } else { self.own };
            let Some((lsn, record)) = records.next(own)? else { break };
            match &record {
                Record::Birth { replica, .. } => self.own = Some(*replica),
                Record::Own(_) if self.own.is_none() => self.orphan = self.orphan.or(Some(lsn)),
                Record::Own(_) | Record::Foreign(_) | Record::Sync(_) => {}
            }
            if self.salvage {
                self.gathered.push((lsn, record));
            } else {
                replay.record(lsn, record)?;
            }
        }
        for (lsn, record) in self.gathered.drain(..) {
            replay.record(lsn, record)?;
        }
        Ok(())
    }
}
