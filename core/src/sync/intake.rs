//! What is never taken in, from whomever it comes.
//!
//! An entry is judged by itself, with constants and nothing else: were it judged by the own clock or state, one replica would
//! take in what another refuses, and the two would differ for ever. The number of replicas is a wall that an honest fleet
//! never comes near.

use alloc::collections::BTreeSet;

use super::CloseReason;
use super::engine::Engine;
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::limits::{MAX_REPLICAS, MAX_SEQ};
use crate::op::Operation;

/// Replicas that may be named here in all. The rest is for names that this node takes itself.
const MAX_NAMED: usize = MAX_REPLICAS - 64;

/// Every replica that is claimed, met or in the floor: each of those vectors must fit into a snapshot.
#[derive(Debug)]
pub(super) struct Named(BTreeSet<ReplicaId>);

impl Named {
    pub(super) fn of<'a>(vectors: impl IntoIterator<Item = &'a VersionVector>) -> Self {
        Self(vectors.into_iter().flat_map(VersionVector::iter).map(|dot| dot.replica).collect())
    }

    /// Says whether these fit in as well, and counts them if so.
    fn admit(&mut self, dots: impl Iterator<Item = Dot>) -> bool {
        // Most entries name one replica, twice.
        let mut last = None;
        let replicas = dots.map(|dot| dot.replica).filter(|replica| last.replace(*replica) != Some(*replica));
        let news: BTreeSet<ReplicaId> = replicas.filter(|replica| !self.0.contains(replica)).collect();
        let fits = news.is_empty() || self.0.len() + news.len() <= MAX_NAMED;
        if fits {
            self.0.extend(news);
        }
        fits
    }
}

/// What is wrong with an entry.
pub(super) fn refusal(op: &Operation, known: &VersionVector) -> Option<CloseReason> {
    let in_range = op.is_in_range() && known.iter().all(|dot| dot.seq <= MAX_SEQ);
    (!in_range).then_some(CloseReason::StampOutOfRange)
}

impl Engine {
    /// Whether what an entry names fits in.
    pub(super) fn admit_entry(&mut self, op: &Operation, known: &VersionVector) -> bool {
        self.named.admit(core::iter::once(op.dot).chain(op.context.iter()).chain(known.iter()))
    }

    /// Whether what a peer wants claimed or forgotten fits in.
    pub(super) fn admit_vector(&mut self, vector: &VersionVector) -> bool {
        self.named.admit(vector.iter())
    }
}
