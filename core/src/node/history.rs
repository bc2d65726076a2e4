//! A replica's own history: who it is, how many operations it has issued, and the hash chain over them. The head of
//! every snapshot carries it.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::{Hlc, Stamp};
use crate::codec::{DecodeError, Fault};
use crate::ids::{NodeId, ReplicaId, Seq};
use crate::op::Chain;

const HEAD_VERSION: u8 = 1;

/// How far a history has come. Small and copied freely, so that a failed write can be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) seq: Seq,
    pub(super) chain: Chain,
}

/// A history and its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) node: NodeId,
    pub(super) replica: ReplicaId,
    pub(super) reach: Reach,
    pub(super) clock: Hlc,
}

/// Snapshot head, version 1: a version byte, then these fields in postcard's encoding. A field is only ever added
/// together with a new version.
#[derive(Serialize, Deserialize)]
struct HeadV1 {
    node: NodeId,
    replica: ReplicaId,
    seq: Seq,
    chain: u64,
    clock: Stamp,
}

impl History {
    pub(super) fn born(node: Option<NodeId>, replica: ReplicaId, clock: Hlc) -> Self {
        let node = node.unwrap_or_else(|| {
            let [a, b, c, d, ..] = replica.0;
            NodeId::new(format!("node-{a:02x}{b:02x}{c:02x}{d:02x}")).expect("hex digits make a node id")
        });
        Self { node, replica, reach: Reach::default(), clock }
    }

    /// The head of a snapshot that begins when the history has come as far as `reach`.
    pub(super) fn encode_head(&self, reach: Reach) -> Vec<u8> {
        let head = HeadV1 {
            node: self.node.clone(),
            replica: self.replica,
            seq: reach.seq,
            chain: reach.chain.0,
            clock: if cfg!(planted = "clock_not_in_snapshot") { Stamp::default() } else { self.clock.last() },
        };
        let mut out = alloc::vec![HEAD_VERSION];
        out.extend(postcard::to_allocvec(&head).expect("these fields always encode"));
        out
    }

    pub(super) fn decode_head(bytes: &Bytes) -> Result<Self, DecodeError> {
        let fault = |fault| DecodeError { field: "snapshot head", fault };
        match bytes.split_first() {
            Some((&HEAD_VERSION, rest)) => {
                let (head, left): (HeadV1, _) = postcard::take_from_bytes(rest).map_err(|_| fault(Fault::Invalid))?;
                if !left.is_empty() {
                    return Err(fault(Fault::Trailing));
                }
                Ok(Self {
                    node: head.node,
                    replica: head.replica,
                    reach: Reach { seq: head.seq, chain: Chain(head.chain) },
                    clock: Hlc::starting_at(head.clock),
                })
            }
            Some(_) => Err(fault(Fault::FromTheFuture)),
            None => Err(fault(Fault::Short)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::born(None, ReplicaId([0xab; 16]), Hlc::starting_at(Stamp(77)));
        history.reach = Reach { seq: 5, chain: Chain(9) };
        history
    }

    #[test]
    fn a_head_round_trips() {
        let bytes = Bytes::from(history().encode_head(Reach { seq: 4, chain: Chain(8) }));
        let head = History::decode_head(&bytes).unwrap();
        assert_eq!(head, History { reach: Reach { seq: 4, chain: Chain(8) }, ..history() });
        assert_eq!(head.node.as_str(), "node-abababab");
    }

    #[test]
    fn a_damaged_head_is_refused() {
        let bytes = history().encode_head(Reach::default());
        for cut in 0..bytes.len() {
            assert!(History::decode_head(&Bytes::copy_from_slice(bytes.get(..cut).unwrap())).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(History::decode_head(&longer.into()).is_err());
        let mut newer = bytes;
        *newer.first_mut().unwrap() = 2;
        assert_eq!(History::decode_head(&newer.into()).unwrap_err().fault, Fault::FromTheFuture);
    }
}
