//! What all nodes together have issued, and who holds it.

use std::collections::BTreeMap;

use bytes::Bytes;
use softadastra_core::clock::Stamp;
use softadastra_core::context::VersionVector;
use softadastra_core::ids::{Dot, ReplicaId, Seq};
use softadastra_core::op::{Body, Operation};

use super::ledger::Ledger;
use crate::plan::HostId;

/// An operation as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its key.
    pub key: Bytes,
    /// What its writer had seen of it.
    pub context: VersionVector,
    stamp: Stamp,
    body: Body,
    resolution: bool,
    repeats: Option<Dot>,
}

/// Everything that was ever issued anywhere, durably.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    issued: BTreeMap<ReplicaId, BTreeMap<Seq, Issued>>,
    /// Per key, every operation whose deletion was collected somewhere, be it issued durably or not yet.
    collected: BTreeMap<Bytes, VersionVector>,
}

impl Registry {
    /// An own operation is durable where it was issued.
    pub fn issue(&mut self, op: &Operation) {
        self.issued.entry(op.dot.replica).or_default().entry(op.dot.seq).or_insert_with(|| Issued {
            key: op.key.clone(),
            context: op.context.clone(),
            stamp: op.stamp,
            body: op.body.clone(),
            resolution: op.marks.resolution,
            repeats: op.marks.repeats,
        });
    }

    /// Whether a deletion says of one of these operations, which repeats something, that this was deleted: right above it,
    /// and of nothing else.
    #[must_use]
    pub fn is_burial(&self, op: &Operation, news: impl IntoIterator<Item = Dot>) -> bool {
        let mut repetitions = news.into_iter().filter_map(|dot| self.issued(dot));
        let is_over = |issued: &Issued| issued.stamp.after() == op.stamp && issued.repeats == op.marks.repeats;
        op.body == Body::Delete && op.marks.lifted && repetitions.any(|issued| issued.key == op.key && is_over(issued))
    }

    /// An operation as it was issued.
    #[must_use]
    pub fn issued(&self, dot: Dot) -> Option<&Issued> {
        self.issued.get(&dot.replica)?.get(&dot.seq)
    }

    /// Whether a deletion of this operation was collected somewhere.
    #[must_use]
    pub fn is_collected(&self, key: &Bytes, dot: Dot) -> bool {
        self.collected.get(key).is_some_and(|known| known.covers(dot))
    }

    /// A foreign operation is what somebody issued.
    pub(super) fn check(&self, op: &Operation) -> Result<(), String> {
        let Some(issued) = self.issued(op.dot) else {
            return Err(format!("{} was taken in, but is durable nowhere else", op.dot));
        };
        let same = issued.key == op.key
            && issued.context == op.context
            && issued.stamp == op.stamp
            && issued.body == op.body
            && issued.resolution == op.marks.resolution;
        if same { Ok(()) } else { Err(format!("{} was taken in with another content than it was issued with", op.dot)) }
    }

    /// A tombstone goes, and with it every operation of its key that it had merged.
    pub(super) fn collect(&mut self, key: &Bytes, known: &VersionVector) {
        self.collected.entry(key.clone()).or_default().join(known);
    }
}

/// What the logs of all nodes say.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// Everything issued.
    pub registry: Registry,
    /// One for each node.
    pub ledgers: Vec<Ledger>,
    /// Those of directories that were lost, and where they lay.
    buried: Vec<(HostId, Ledger)>,
}

impl Witness {
    /// Of so many nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { registry: Registry::default(), ledgers: vec![Ledger::default(); nodes], buried: Vec::new() }
    }

    /// The directory of a node is lost. Gives its history.
    pub fn bury(&mut self, host: HostId) -> Option<ReplicaId> {
        let place = self.ledgers.get_mut(usize::from(host.0))?;
        let ledger = std::mem::take(place);
        let replica = ledger.replica();
        self.buried.push((host, ledger));
        replica
    }

    /// The log of a node.
    #[must_use]
    pub fn ledger(&self, host: HostId) -> Option<&Ledger> {
        self.ledgers.get(usize::from(host.0))
    }

    /// Whether a node holds an operation, or what superseded it, so that it survives a power loss.
    #[must_use]
    pub fn holds(&self, host: HostId, dot: Dot) -> bool {
        self.ledger(host).is_some_and(|ledger| self.is_in(ledger, dot))
    }

    fn is_in(&self, ledger: &Ledger, dot: Dot) -> bool {
        let Some(issued) = self.registry.issued(dot) else { return false };
        let merged = ledger.version_at(&issued.key, ledger.durable()).is_some_and(|version| version.known.covers(dot));
        merged || self.registry.is_collected(&issued.key, dot)
    }

    /// How many nodes other than this one hold an operation, or held it until their machine was lost.
    #[must_use]
    pub fn copies_beside(&self, host: HostId, dot: Dot) -> usize {
        (0..self.ledgers.len())
            .map(|n| HostId(n as u8))
            .filter(|other| *other != host && self.holds(*other, dot))
            .count()
            + self.buried.iter().filter(|(at, ledger)| *at != host && self.is_in(ledger, dot)).count()
    }

    /// Whether an operation was lost with the machine of its writer: nobody else has ever held it, and nobody will.
    fn is_lost(&self, dot: Dot) -> bool {
        let buried = self.buried.iter().any(|(_, ledger)| ledger.replica() == Some(dot.replica));
        buried && (0..self.ledgers.len() as u8).all(|host| !self.holds(HostId(host), dot))
    }

    /// The first operation of a vector, above what was looked at before, that a node does not hold.
    #[must_use]
    pub fn first_not_held(&self, host: HostId, before: &VersionVector, vector: &VersionVector) -> Option<Dot> {
        let news = |limit: Dot| {
            let replica: ReplicaId = limit.replica;
            (before.get(replica) + 1..=limit.seq).map(move |seq| Dot { replica, seq })
        };
        vector.iter().flat_map(news).find(|dot| !self.holds(host, *dot) && !self.is_lost(*dot))
    }
}
