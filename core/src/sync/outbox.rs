//! Own operations on their way: ranges over seq, never a record per operation.
//!
//! ```text
//! 1 ........ acknowledged ........ failed ........ in flight ........ last
//!   delivered |     shown as failed |    sent, no word |     queued    |
//! ```

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::ids::{ReplicaId, Seq};

/// What became of deliveries that were tried.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Operations up to here, if not acknowledged, are failed.
    pub(super) failed: Seq,
    pub(super) reason: Option<String>,
    /// Links in a row that broke without progress, by peer.
    pub(super) tries: BTreeMap<ReplicaId, u32>,
    /// All links that ever broke without progress in this run.
    pub(super) retries: u64,
}

/// Own operations by their state. `queued + in_flight + failed` is what is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxStatus {
    /// The last own operation that is durable here.
    pub last: Seq,
    /// Up to here enough other replicas hold them.
    pub acknowledged: Seq,
    /// Up to here the bookkeeping of acknowledged ones was given up.
    pub pruned: Seq,
    /// Waiting for a link or for credit.
    pub queued: u64,
    /// Sent on a live link, not yet acknowledged.
    pub in_flight: u64,
    /// Tried too often without progress. Still kept, and tried again when a peer is heard.
    pub failed: u64,
    /// Links that broke without progress since the start.
    pub retries: u64,
    /// Why the failed ones failed.
    pub reason: Option<String>,
}

impl OutboxStatus {
    /// Own operations not yet acknowledged.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.last - self.acknowledged
    }
}

impl Outbox {
    /// Counts, given what is pruned and acknowledged, sent on live links, and issued.
    pub(super) fn status(&self, (pruned, acknowledged): (Seq, Seq), sent: Seq, last: Seq) -> OutboxStatus {
        let failed = acknowledged + self.failed_of(acknowledged, last);
        let sent = sent.clamp(failed, last);
        OutboxStatus {
            last,
            acknowledged,
            pruned,
            queued: last - sent,
            in_flight: sent - failed,
            failed: failed - acknowledged,
            retries: self.retries,
            reason: if failed > acknowledged { self.reason.clone() } else { None },
        }
    }

    /// How many are failed, given what is acknowledged and issued.
    pub(super) fn failed_of(&self, acknowledged: Seq, last: Seq) -> u64 {
        self.failed.clamp(acknowledged, last) - acknowledged
    }

    /// A link to `replica` broke with own operations up to `sent` under way and no progress. Says whether they are
    /// failed now.
    pub(super) fn broke(&mut self, replica: ReplicaId, sent: Seq, why: &str, max_retries: u32) -> bool {
        self.retries += 1;
        let tries = self.tries.entry(replica).or_default();
        *tries += 1;
        if *tries < max_retries {
            return false;
        }
        self.failed = self.failed.max(sent);
        self.reason = Some(why.into());
        true
    }

    /// Everything failed is queued again.
    pub(super) fn requeue(&mut self) {
        if self.failed > 0 {
            self.failed = 0;
            self.reason = None;
            self.tries.clear();
        }
    }

    /// The number of links to `replica` in a row that broke without progress.
    pub(super) fn tries_of(&self, replica: ReplicaId) -> u32 {
        self.tries.get(&replica).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_states_add_up(acknowledged in 0u64..100, more in 0u64..100, sent in 0u64..300, failed in 0u64..300) {
            let last = acknowledged + more;
            let outbox = Outbox { failed, ..Outbox::default() };
            let status = outbox.status((0, acknowledged), sent, last);
            prop_assert_eq!(status.queued + status.in_flight + status.failed, status.size());
        }
    }

    #[test]
    fn operations_fail_only_after_every_try_and_are_never_dropped() {
        let peer = ReplicaId([1; 16]);
        let mut outbox = Outbox::default();
        assert!(!outbox.broke(peer, 7, "silent", 3) && !outbox.broke(peer, 7, "silent", 3));
        assert_eq!(outbox.status((1, 2), 0, 10).failed, 0);
        assert!(outbox.broke(peer, 7, "silent", 3));
        let status = outbox.status((1, 2), 0, 10);
        assert_eq!((status.failed, status.queued, status.retries), (5, 3, 3));
        outbox.requeue();
        assert_eq!((outbox.status((1, 2), 0, 10).queued, outbox.tries_of(peer)), (8, 0));
    }

    #[test]
    fn a_reason_is_shown_as_long_as_something_is_failed() {
        let peer = ReplicaId([1; 16]);
        let mut outbox = Outbox::default();
        outbox.broke(peer, 7, "silent", 3);
        assert_eq!((outbox.tries_of(peer), outbox.tries_of(ReplicaId([2; 16]))), (1, 0));
        outbox.broke(peer, 7, "silent", 2);
        assert_eq!(outbox.status((0, 6), 0, 10).reason.as_deref(), Some("silent"));
        assert_eq!(outbox.status((0, 7), 0, 10).reason, None, "delivered all the same");
    }
}
