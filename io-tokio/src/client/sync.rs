//! The client: how far operations got, conflicts, delivery by hand.

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::{NodeId, ReplicaId};
use softadastra_core::node::{Node, Ticked, Written};
use tokio::sync::oneshot;

use super::Client;
use crate::driver::Command;
use crate::events;
use crate::model::{ConflictInfo, ConflictOutcome, Resolution, SyncState};

impl Client {
    /// How far own operations got, what is held of others, and what went wrong on the way. Works without links too.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn sync_state(&self) -> Result<SyncState, Error> {
        self.read(SyncState::of)
    }

    /// One round of delivery by hand: queues again what has failed, gives up the bookkeeping of acknowledged operations
    /// if `prune` says so, and sends what is ready over the links there are. Only needed when automatic delivery is
    /// turned off.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn tick(&self, prune: bool) -> Result<Ticked, Error> {
        self.act(move |node, now| {
            let done = node.tick(now, prune);
            // Here, where the line is one of the node.
            events::ticked(&done);
            Ok(done)
        })
        .await
    }

    /// Queues operations again that were given up after many tries, dials every wanted peer at once, and gives how many
    /// were queued. Both would come by themselves when a peer is heard again.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn retry(&self) -> Result<u64, Error> {
        self.act(|node, now| Ok(node.retry(now))).await
    }

    /// Gives up the bookkeeping of acknowledged operations, and gives of how many. The values stay.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn prune(&self) -> Result<u64, Error> {
        self.act(|node, now| Ok(node.prune(now))).await
    }

    /// The conflicts on record, oldest first: the latest 1,000 that are settled, and those that wait for a decision
    /// (65,536 of them, and 64 MiB of keys and values; beyond that the oldest goes, and a warning names it).
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn conflicts(&self) -> Result<Vec<ConflictInfo>, Error> {
        let stands = |node: &Node, key: &[u8]| node.store().get(key).and_then(|entry| entry.value_bytes());
        self.read(|node| {
            let conflicts = node.conflicts().iter();
            conflicts.map(|conflict| ConflictInfo::of(conflict, stands(node, &conflict.met.key))).collect()
        })
    }

    /// How many conflicts wait for a decision.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn open_conflicts(&self) -> Result<usize, Error> {
        self.read(|node| node.conflicts().open())
    }

    /// Settles a conflict: writes a version that has seen both sides.
    ///
    /// # Errors
    /// [`Code::NotFound`] when no such conflict is on record; [`Code::InvalidState`] when it is resolved already, or the
    /// key was written since by somebody who had seen it; and those of [`Client::put`].
    pub async fn resolve(&self, id: u64, resolution: Resolution) -> Result<Written, Error> {
        if self.conflicts()?.iter().any(|conflict| conflict.id == id && conflict.outcome == ConflictOutcome::Resolved) {
            return Err(Error::new(
                Code::InvalidState,
                format!("conflict {id} is resolved already"),
                "write the key again to change what stands",
            ));
        }
        let (answer, reply) = oneshot::channel();
        let command = Command::Resolve { conflict: id, body: resolution.body(), answer };
        let mut written = self.ask(command, reply).await?;
        Ok(written.pop().expect("a resolution is one write"))
    }

    /// Retires a node that will not come back, named by its replica id or its node id: its histories no longer count
    /// for acknowledgements, nor hold back the collection of deleted keys. Gives which were retired. It does not end its
    /// links, nor its trust: that is [`Client::distrust`].
    ///
    /// # Errors
    /// [`Code::NotFound`] when nothing of that name is known; [`Code::InvalidArgument`] when it is no name.
    pub async fn forget(&self, name: &str) -> Result<Vec<ReplicaId>, Error> {
        let wanted = Retired::parse(name)?;
        let name = name.to_owned();
        self.act(move |node, now| {
            let members = node.sync_status().members;
            let live = members.into_iter().filter(|(.., forgotten)| !forgotten);
            let replicas: Vec<ReplicaId> =
                live.filter(|(replica, node, ..)| wanted.is(*replica, node)).map(|(replica, ..)| replica).collect();
            if replicas.is_empty() {
                return Err(Error::new(
                    Code::NotFound,
                    format!("no replica that could be retired is known as {name:?}"),
                    "see the members in the sync state for those there are",
                ));
            }
            for replica in &replicas {
                node.forget_replica(now, *replica)?;
            }
            Ok(replicas)
        })
        .await
    }
}

/// What a retired node was named by.
enum Retired {
    Replica(ReplicaId),
    Node(NodeId),
}

impl Retired {
    fn parse(name: &str) -> Result<Self, Error> {
        if let Some(replica) = parse_replica(name) {
            return Ok(Self::Replica(replica));
        }
        NodeId::new(name).map(Self::Node).map_err(|error| {
            Error::new(Code::InvalidArgument, error.to_string(), "name a node id or a replica id of 32 hex digits")
        })
    }

    fn is(&self, replica: ReplicaId, node: &NodeId) -> bool {
        match self {
            Self::Replica(wanted) => *wanted == replica,
            Self::Node(wanted) => wanted == node,
        }
    }
}

/// 32 hex digits, as replica ids are shown.
fn parse_replica(text: &str) -> Option<ReplicaId> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| digits)?;
    Some(ReplicaId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_replica_id_is_read_back() {
        let replica = ReplicaId([0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(parse_replica(&replica.to_string()), Some(replica));
        assert_eq!(parse_replica("till-3"), None);
        assert_eq!(parse_replica("+0000000000000000000000000000001"), None);
    }
}
