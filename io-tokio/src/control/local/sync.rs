//! Delivery and conflicts of a client that is open in this process.

use std::collections::BTreeMap;

use softadastra_core::error::Code;
use softadastra_core::ids::ReplicaId;

use super::Local;
use crate::control::answer::{
    Claim, Conflict, Conflicts, Delivery, Holder, Outbox, Range, Resolved, Retried, Side, Standing, SyncStatus, Ticked,
    Traffic,
};
use crate::control::backend::Delivering;
use crate::control::fault::Fault;
use crate::model::{ConflictInfo, ConflictVersion, Member, OutboxStatus, Resolution, SyncState};

impl Delivering for Local {
    async fn sync_status(&mut self) -> Result<SyncStatus, Fault> {
        let state = self.client.sync_state()?;
        let names = self.names(&state)?;
        Ok(SyncStatus {
            delivery: delivery(&state),
            vector: state
                .vector
                .iter()
                .map(|(replica, seq)| Claim {
                    replica_id: replica.to_string(),
                    node_id: names.get(replica).cloned(),
                    seq: *seq,
                })
                .collect(),
            exact: state.exact,
            connected: state.connected,
            members: state.members.iter().map(holder).collect(),
            conflicts: state.conflicts,
            divergences: state.divergences,
            diverged: state.diverged,
            traffic: Traffic { sent: state.traffic.sent, received: state.traffic.received, taken: state.traffic.taken },
            halted: state.halted,
        })
    }

    async fn outbox(&mut self) -> Result<Outbox, Fault> {
        let state = self.client.sync_state()?;
        Ok(Outbox {
            replica_id: self.client.node_info()?.replica_id.to_string(),
            delivery: delivery(&state),
            pruned: state.outbox.pruned,
            ranges: ranges(&state.outbox),
            holders: state.members.iter().map(holder).collect(),
        })
    }

    async fn tick(&mut self, prune: bool) -> Result<Ticked, Fault> {
        let done = self.client.tick(prune).await?;
        Ok(Ticked {
            outcome: outcome(done.sent, done.batch, done.connected).to_owned(),
            retried: done.retried,
            pruned: done.pruned,
            batch: done.batch,
            sent: done.sent,
            connected: done.connected as u64,
        })
    }

    async fn retry(&mut self) -> Result<Retried, Fault> {
        Ok(Retried { retried: self.client.retry().await? })
    }

    async fn conflicts(&mut self) -> Result<Conflicts, Fault> {
        let state = self.client.sync_state()?;
        let names = self.names(&state)?;
        let conflicts = self.client.conflicts()?.into_iter().map(|info| conflict(info, &names)).collect();
        Ok(Conflicts { total: state.conflicts, conflicts })
    }

    async fn conflict(&mut self, id: u64) -> Result<Conflict, Fault> {
        let names = self.names(&self.client.sync_state()?)?;
        let found = self.client.conflicts()?.into_iter().find(|conflict| conflict.id == id);
        found.map(|info| conflict(info, &names)).ok_or_else(|| no_such_conflict(id))
    }

    async fn resolve(&mut self, id: u64, resolution: Resolution) -> Result<Resolved, Fault> {
        let found = self.client.conflicts()?.into_iter().find(|conflict| conflict.id == id);
        let key = found.ok_or_else(|| no_such_conflict(id))?.key;
        let written = self.client.resolve(id, resolution).await?;
        Ok(Resolved { id, key, version: written.version, lsn: written.lsn.0 })
    }
}

impl Local {
    /// The names of the histories that are known, this node's own included.
    fn names(&self, state: &SyncState) -> Result<BTreeMap<ReplicaId, String>, Fault> {
        let own = self.client.node_info()?;
        let mut names: BTreeMap<_, _> =
            state.members.iter().map(|member| (member.replica, member.node.to_string())).collect();
        names.insert(own.replica_id, own.node_id.to_string());
        Ok(names)
    }
}

/// How a tick ended that had a batch ready, for so many peers, and sent so much.
const fn outcome(sent: u64, batch: u64, connected: usize) -> &'static str {
    match (sent, batch, connected) {
        (1.., ..) => "delivery_attempted",
        (0, 0, _) => "nothing_ready",
        (0, _, 0) => "no_connected_peer",
        (0, ..) => "nothing_sent",
    }
}

fn no_such_conflict(id: u64) -> Fault {
    let what = format!("no conflict {id} is on record");
    Fault::new(Code::NotFound, what, "see `softadastra conflicts list`: of those that are settled, the latest are kept")
}

/// Own operations by how far they got.
pub(super) fn delivery(state: &SyncState) -> Delivery {
    let outbox = &state.outbox;
    Delivery {
        accepted: outbox.last,
        acknowledged: outbox.acknowledged,
        queued: outbox.queued,
        in_flight: outbox.in_flight,
        failed: outbox.failed,
        reason: outbox.reason.clone(),
        retries: outbox.retries,
        required_acks: state.required_acks,
        replicas: state.members.iter().filter(|member| !member.forgotten).count() as u64,
    }
}

/// The same, by position. What was pruned is left out.
fn ranges(outbox: &OutboxStatus) -> Vec<Range> {
    let failed = outbox.acknowledged + outbox.failed;
    let sent = failed + outbox.in_flight;
    let ends = [
        ("acknowledged", outbox.pruned, outbox.acknowledged),
        ("failed", outbox.acknowledged, failed),
        ("in_flight", failed, sent),
        ("queued", sent, outbox.last),
    ];
    let filled = ends.into_iter().filter(|(_, before, last)| before < last);
    filled.map(|(state, before, last)| Range { state: state.to_owned(), first: before + 1, last }).collect()
}

fn holder(member: &Member) -> Holder {
    Holder {
        node_id: member.node.to_string(),
        replica_id: member.replica.to_string(),
        holds: member.acknowledged,
        heard_at_ms: member.heard.0,
        forgotten: member.forgotten,
    }
}

fn conflict(info: ConflictInfo, names: &BTreeMap<ReplicaId, String>) -> Conflict {
    let side = |version: ConflictVersion| Side {
        replica_id: version.dot.replica.to_string(),
        node_id: names.get(&version.dot.replica).cloned(),
        seq: version.dot.seq,
        stamp: version.stamp.to_string(),
        removed: version.value.is_none(),
        value: version.value,
        resolution: version.resolution,
    };
    Conflict {
        id: info.id,
        key: info.key,
        at_ms: info.at.0,
        outcome: info.outcome.as_str().to_owned(),
        won: if info.remote_won { "remote" } else { "local" }.to_owned(),
        winner: side(info.winner),
        loser: side(info.loser),
        stands: Standing { removed: info.stands.is_none(), value: info.stands },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_four_outcomes() {
        assert_eq!(outcome(0, 0, 0), "nothing_ready");
        assert_eq!(outcome(0, 0, 2), "nothing_ready");
        assert_eq!(outcome(0, 3, 0), "no_connected_peer");
        assert_eq!(outcome(0, 3, 1), "nothing_sent");
        assert_eq!(outcome(1, 0, 1), "delivery_attempted");
    }

    #[test]
    fn the_ranges_of_an_outbox_follow_on_each_other() {
        let outbox = OutboxStatus {
            last: 10,
            acknowledged: 4,
            pruned: 2,
            queued: 3,
            in_flight: 0,
            failed: 3,
            retries: 8,
            reason: Some("silent".into()),
        };
        let found: Vec<_> = ranges(&outbox).into_iter().map(|range| (range.state, range.first, range.last)).collect();
        let wanted = [("acknowledged", 3, 4), ("failed", 5, 7), ("queued", 8, 10)];
        assert_eq!(found, wanted.map(|(state, first, last)| (state.to_owned(), first, last)));
    }
}
