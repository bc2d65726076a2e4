//! Invariant 13, across starts: what is on record of conflicts stays there, open or merged as it was when the two met, whatever
//! the node is configured to from then on.

use std::collections::BTreeMap;

use softadastra_core::ids::{Dot, ReplicaId};
use softadastra_core::node::Node;
use softadastra_core::sync::{Conflict, Outcome};

use super::{Judge, Moment};
use crate::plan::{HostId, Policy};

#[derive(Debug, Default)]
pub(super) struct ConflictsStay {
    hosts: BTreeMap<HostId, OnRecord>,
}

/// What one node has had on record, all of it durable.
#[derive(Debug, Default)]
struct OnRecord {
    /// By the two that met: what had become of it when it was first seen in a run.
    pairs: BTreeMap<[Dot; 2], Outcome>,
    /// The last one seen, by its number.
    last: u64,
    /// Under which name.
    replica: Option<ReplicaId>,
}

impl Judge for ConflictsStay {
    fn name(&self) -> &'static str {
        "conflicts stay"
    }

    fn invariant(&self) -> u8 {
        13
    }

    fn see(&mut self, host: HostId, moment: &Moment<'_>) -> Result<(), String> {
        let judged = match moment {
            Moment::Replaced | Moment::Forgiven(_) => {
                self.hosts.remove(&host);
                return Ok(());
            }
            Moment::Opened { node, damaged, .. } => {
                let before = self.hosts.remove(&host).filter(|_| !damaged);
                before.map_or(Ok(()), |before| before.is_still_there(node))
            }
            Moment::Stepped { node, replica, knobs, changed: true, .. } => {
                let seen = self.hosts.entry(host).or_default();
                if seen.replica.replace(*replica).is_some_and(|before| before != *replica) {
                    // What met may have other names from here on.
                    *seen = OnRecord { replica: seen.replica, ..OnRecord::default() };
                    seen.note(node);
                }
                let keeps_both = knobs.exchange.policy == Policy::Both;
                let became = seen.note(node).into_iter().find_map(|conflict| became(conflict, keeps_both));
                return became.map_or(Ok(()), Err);
            }
            _ => return Ok(()),
        };
        if let Moment::Opened { node, .. } = moment {
            self.hosts.entry(host).or_default().note(node);
        }
        judged
    }
}

impl OnRecord {
    /// Notes and gives what has come on record since the last look.
    fn note<'a>(&mut self, node: &'a Node) -> Vec<&'a Conflict> {
        // The latest come last, by their numbers.
        let news: Vec<_> = node.conflicts().iter().rev().take_while(|conflict| conflict.id > self.last).collect();
        self.last = news.first().map_or(self.last, |latest| latest.id);
        self.pairs.extend(news.iter().map(|conflict| (pair(conflict), conflict.outcome)));
        news
    }

    fn is_still_there(&self, node: &Node) -> Result<(), String> {
        let found: BTreeMap<[Dot; 2], Outcome> =
            node.conflicts().iter().map(|conflict| (pair(conflict), conflict.outcome)).collect();
        // What no longer fits is not kept.
        let all_kept = node.conflicts().total() == found.len() as u64;
        for ([one, other], before) in &self.pairs {
            let met = || format!("{one} and {other} met, which was {} then", before.as_str());
            match (before, found.get(&[*one, *other])) {
                (_, None) if all_kept => return Err(format!("{}, and is on record no more after a start", met())),
                (Outcome::Open, Some(now @ Outcome::Merged)) | (Outcome::Merged, Some(now @ Outcome::Open)) => {
                    return Err(format!("{}, and is {} after a start", met(), now.as_str()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn pair(conflict: &Conflict) -> [Dot; 2] {
    let (local, remote) = (conflict.met.local.dot, conflict.met.remote.dot);
    [local.min(remote), local.max(remote)]
}

fn became(conflict: &Conflict, keeps_both: bool) -> Option<String> {
    let is_wrong = match conflict.outcome {
        Outcome::Open => !keeps_both,
        Outcome::Merged => keeps_both,
        Outcome::Resolved => false,
    };
    let [one, other] = pair(conflict);
    let outcome = conflict.outcome.as_str();
    is_wrong.then(|| format!("{one} and {other} met and are {outcome} on a node that is not configured so"))
}
