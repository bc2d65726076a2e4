//! Hands the records of whole frames to whoever replays them.

use alloc::vec::Vec;

use super::Replay;
use super::ahead::Prepared;
use crate::codec::DecodeError;
use crate::ids::{Lsn, ReplicaId};
use crate::wal::format::{Frame, Record, Records};

/// Stands for a replica whose birth record is lost: operations salvaged without it are read as its own.
pub const LOST_REPLICA: ReplicaId = ReplicaId([0; 16]);

/// Records that a replay is told of before they come.
const EXPECTED: usize = 16;

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
    /// Replays the records of `frame` that are not in the snapshot. `prepared` is what the frame was prepared as, if it was.
    pub(super) fn frame(
        &mut self,
        frame: &Frame,
        prepared: Option<Prepared>,
        replay: &mut dyn Replay,
    ) -> Result<(), DecodeError> {
        if frame.next_lsn().0.saturating_sub(1) <= self.from.0 {
            return Ok(());
        }
        // Where less is known than the crew took for granted, everything is read again.
        let whole = frame.first_lsn > self.from && !self.salvage;
        if let Some(prepared) = prepared.filter(|prepared| whole && prepared.own == self.own) {
            return self.prepared(prepared, replay);
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

    fn prepared(&mut self, prepared: Prepared, replay: &mut dyn Replay) -> Result<(), DecodeError> {
        let mut lsn = prepared.frame.first_lsn;
        let mut records = prepared.records.into_iter();
        while !records.as_slice().is_empty() {
            replay.expect(&mut records.as_slice().iter().take(EXPECTED).filter_map(|(record, _)| record.key()));
            for (record, hashes) in records.by_ref().take(EXPECTED) {
                if let Record::Birth { replica, .. } = &record {
                    self.own = Some(*replica);
                }
                replay.hashed_record(lsn, record, hashes)?;
                lsn = lsn.next();
            }
        }
        Ok(())
    }
}
