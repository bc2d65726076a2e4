//! What clients see: of what they look at, and of what they wrote when they are told that it is done.

use bytes::Bytes;
use softadastra_core::ids::Lsn;
use softadastra_core::node::{Outcome, Write, Written};

use super::Stage;
use super::host::{Host, Machine};
use crate::judges::{Failure, Moment, Seen};
use crate::plan::CLIENTS;

impl Host {
    /// A client looks at a key, if there is a node to ask.
    pub(super) fn read(&self, stage: &mut Stage, client: u8, key: &Bytes) -> Result<(), Failure> {
        if matches!(self.machine, Machine::Up(_)) {
            stage.tally.reads += 1;
        }
        self.look(stage, client, key, None)
    }

    /// A client looks at the keys that it has written, at the moment when it is told so.
    pub(super) fn read_own_writes(
        &self,
        stage: &mut Stage,
        number: u32,
        writes: &[Write],
        written: &[Written],
    ) -> Result<(), Failure> {
        let client = (number % u32::from(CLIENTS)) as u8;
        for (write, written) in writes.iter().zip(written) {
            if matches!(written.outcome, Outcome::Created | Outcome::Updated | Outcome::Deleted) {
                let value = match write {
                    Write::Put { value, .. } => Some(value.clone()),
                    Write::Delete { .. } => None,
                };
                self.look(stage, client, write.key(), Some((value, written.lsn)))?;
            }
        }
        Ok(())
    }

    fn look(
        &self,
        stage: &mut Stage,
        client: u8,
        key: &Bytes,
        wrote: Option<(Option<Bytes>, Lsn)>,
    ) -> Result<(), Failure> {
        let Machine::Up(node) = &self.machine else { return Ok(()) };
        if stage.rollbacks {
            return Ok(());
        }
        let entry = node.store().entry(key);
        let seen = entry.as_ref().map(|entry| Seen {
            dot: entry.dot(),
            stamp: entry.stamp(),
            changed: entry.changed(),
            value: entry.value(),
        });
        let moment = Moment::Read { client, key, seen, wrote, witness: stage.witness.as_ref() };
        stage.court.see(stage.now, self.id, &moment)
    }
}
