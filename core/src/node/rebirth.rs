//! Going on under a new name, when peers know another history under the present one: the directory was copied back, the
//! machine was rolled back, a tail was lost, or a copy runs elsewhere.
//!
//! Local reads go on. Writes that come while the disk still works on earlier ones wait with those; then everything that
//! peers may know differently is renamed in one step ([`Renaming`]), in memory and by one record of the log, and exchange
//! begins anew.

use alloc::vec::Vec;

use super::exchange::sync_record;
use super::history::Reach;
use super::types::{Event, Output, RequestId, Write};
use super::{Health, Node};
use crate::ids::ReplicaId;
use crate::op::Chain;
use crate::sync::{self, Engine, Finding, Renaming};
use crate::time::Now;
use crate::transport::reason::Farewell;
use crate::wal::format::Record;

/// A rebirth that is due, and the writes that wait for it.
#[derive(Debug)]
pub(super) struct Rebirth {
    pub(super) finding: Finding,
    parked: Vec<Parked>,
}

#[derive(Debug)]
struct Parked {
    request: RequestId,
    writes: Vec<Write>,
    resolution: bool,
    bytes: usize,
}

impl Rebirth {
    /// How many writes wait for it.
    pub(super) const fn parked(&self) -> usize {
        self.parked.len()
    }
}

impl Node {
    /// Notes that peers know another history under this name.
    pub(super) fn begin_rebirth(&mut self, finding: Finding) {
        if self.rebirth.is_none() {
            self.rebirth = Some(Rebirth { finding, parked: Vec::new() });
        }
    }

    /// Keeps a write for when the node has its new name. `None` gives it back: no rebirth is due.
    pub(super) fn park(&mut self, writes: Vec<Write>, resolution: bool, bytes: usize) -> Result<RequestId, Vec<Write>> {
        if self.rebirth.is_none() {
            return Err(writes);
        }
        let request = self.new_request();
        self.waiting_bytes += bytes;
        if let Some(rebirth) = &mut self.rebirth {
            covered!("write_waits_for_a_rebirth");
            rebirth.parked.push(Parked { request, writes, resolution, bytes });
        }
        Ok(request)
    }

    /// Carries out a rebirth that is due, once nothing is on its way to the disk. No effect of a machine may be waiting:
    /// the present engine must not have the last word after the next one has begun.
    pub(super) fn try_rebirth(&mut self, now: Now) {
        if self.rebirth.is_none() {
            return;
        }
        let able = matches!(self.health, Health::Ready | Health::DiskFull);
        if !able {
            self.unpark(now);
            return;
        }
        let at_rest = self.published == self.journal.accepted() && !self.snapshots.is_running();
        let durable = self.journal.log().is_none_or(|log| log.progress().durable == log.progress().accepted);
        if !at_rest || !durable || self.store.staged_len() > 0 {
            return;
        }
        let Some(Rebirth { finding, parked }) = self.rebirth.take() else { return };
        self.rename(now, finding);
        self.rewrite(now, parked);
    }

    fn rename(&mut self, now: Now, finding: Finding) {
        let Reach { seq, chain: _ } = self.history.reach;
        let above = match finding {
            Finding::Rollback { common, .. }
            | Finding::LogRollback { common, .. }
            | Finding::ClaimRollback { common, .. } => common,
            Finding::Clone(_) => 0,
        };
        let renaming = Renaming { from: self.history.replica, above, to: ReplicaId(self.dice.next_id()), at: now.wall };
        let node = self.history.node.clone();
        renaming.rename(&mut self.store);
        let state = renaming.rename_state(node.clone(), self.engine.state_at(self.published).into_owned());

        covered!("history_renamed");
        self.history.replica = renaming.to;
        self.history.reach = Reach { seq: seq - above, chain: Chain::default() };
        self.published_reach = self.history.reach;

        let me = sync::Identity {
            replica: renaming.to,
            node: node.clone(),
            log: self.engine.log(),
            boot: self.dice.next_u64(),
            network: [0; 16],
        };
        let (settings, dice) = (self.config.sync.clone(), self.dice.split());
        let mut first = Vec::new();
        self.engine = Engine::new(settings, me, state, self.history.reach.seq, self.published, dice, now, &mut first);
        let birth = Record::Birth { replica: renaming.to, node, at: now.wall };
        self.exchange.begin_anew(alloc::vec![sync_record(&sync::SyncRecord::Renamed(renaming)), birth], first);
        self.end_all_sessions(now, Farewell::Bye);
        self.outputs.push_back(Output::Event(Event::Reborn { from: renaming.from, to: renaming.to, finding }));
        // Should there be no room for it now, the next write brings it along, or is refused too.
        let _logged_later = self.begin_run(now);
    }

    fn rewrite(&mut self, now: Now, parked: Vec<Parked>) {
        for Parked { request, writes, resolution, bytes } in parked {
            self.waiting_bytes -= bytes;
            let result = self.check_health().and_then(|()| self.admit(now, request, writes, resolution, bytes));
            if let Err(error) = result {
                self.reply(request, Err(error));
            }
        }
    }

    /// The node takes no writes any more: those that waited are told.
    fn unpark(&mut self, now: Now) {
        if let Some(rebirth) = &mut self.rebirth {
            let parked = core::mem::take(&mut rebirth.parked);
            self.rewrite(now, parked);
        }
    }
}
