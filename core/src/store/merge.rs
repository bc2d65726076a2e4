//! The merge of one operation into one entry: the only place where a winner is chosen.
//!
//! An operation whose dot is known brings nothing new. One that has seen the winner supersedes it. Two that have not
//! seen each other are concurrent, and the greater (stamp, replica id) wins. As a write is stamped above everything
//! it has seen, that order agrees with causality, so the winner is the greatest of all operations merged and does
//! not depend on the order in which they came.

use super::slot::{Parts, Replicas, Slot};
use crate::context::VersionVector;
use crate::ids::Lsn;
use crate::op::Operation;

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is the winner now.
    Applied {
        /// The key had no value before and has one now.
        created: bool,
        /// The entry's version count, this change included.
        version: u64,
        /// It had not seen the version it replaced: a conflict, which it won.
        concurrent: bool,
    },
    /// It had not seen the winner and lost to it: a conflict. Its dot is known now.
    Superseded,
    /// It was known already, or what superseded it was.
    Duplicate,
}

/// Merges `op`, logged at `lsn`, into `old`. Gives the entry to put in its place; `None` when nothing changes. Whoever
/// passed the operation on had merged `also_known` besides it; that becomes known here too.
///
/// `content_hash` is that of `op`'s body. Every replica that `op` and `also_known` name must have been interned.
pub(super) fn merge(
    replicas: &Replicas,
    old: Option<&Slot>,
    lsn: Lsn,
    op: &Operation,
    content_hash: u64,
    also_known: &VersionVector,
) -> (Merge, Option<Slot>) {
    let is_put = op.body.value().is_some();
    let winner = |version: u64, known: Option<&VersionVector>| {
        Slot::new(
            replicas,
            &Parts {
                key: &op.key,
                value: op.body.value().map(|value| &**value),
                content_hash,
                dot: op.dot,
                stamp: op.stamp,
                marks: op.marks,
                context: &op.context,
                known,
                version,
                changed: lsn,
            },
        )
    };
    let Some(old) = old else {
        return (
            Merge::Applied { created: is_put, version: 1, concurrent: false },
            if also_known.is_empty() {
                Some(winner(1, None))
            } else {
                let mut known = op.context.clone();
                known.include(op.dot);
                known.join(also_known);
                Some(winner(1, Some(&known)))
            },
        );
    };
    let joined = || {
        let mut known: VersionVector = old.known(replicas).collect();
        known.join(&op.context);
        known.include(op.dot);
        known.join(also_known);
        known
    };

    let old_dot = old.dot(replicas);
    if old.knows(replicas, op.dot) && !(planted!("duplicate_applied_again") && op.dot == old_dot) {
        let outranks = (op.stamp, op.dot.replica) > (old.stamp, old_dot.replica)
            || (op.dot == old_dot && op.stamp == old.stamp && content_hash > old.content_hash);
        if outranks {
            covered!("known_operation_outranks_the_winner");
            // What is known never outranks the winner, unless two replicas share an id or memory was damaged. Taking
            // the greater one all the same makes every replica end with the same winner even then.
            let version = old.version.saturating_add(1);
            let merge = Merge::Applied { created: is_put && old.is_tombstone(), version, concurrent: false };
            return (merge, Some(winner(version, Some(&joined()))));
        }
        let grows = op.context.iter().chain(also_known.iter()).any(|dot| !old.knows(replicas, dot));
        return (Merge::Duplicate, grows.then(|| old.with_known(replicas, &joined(), lsn)));
    }
    let seen = op.context.covers(old_dot);
    let tie = op.stamp == old.stamp && planted!("tie_stays_with_the_first");
    let tie = tie || op.stamp == old.stamp && planted!("tie_broken_by_receiver") && replicas.is_first(old_dot.replica);
    if !seen && (tie || (op.stamp, op.dot.replica) < (old.stamp, old_dot.replica)) {
        return (Merge::Superseded, Some(old.with_known(replicas, &joined(), lsn)));
    }
    let version = old.version.saturating_add(1);
    let covers_all = also_known.is_empty() && old.known(replicas).all(|dot| op.context.covers(dot));
    let slot = if covers_all { winner(version, None) } else { winner(version, Some(&joined())) };
    (Merge::Applied { created: is_put && old.is_tombstone(), version, concurrent: !seen }, Some(slot))
}
