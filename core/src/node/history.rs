//! A replica's own history: who it is, how many operations it has issued, and the hash chain over them. The head of
//! every snapshot carries it.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::{Hlc, Stamp};
use crate::codec::{DecodeError, Fault};
use crate::ids::{Dot, NodeId, ReplicaId, Seq};
use crate::op::Chain;
use crate::sync::State;

/// Version 1 had no state of sync behind its fields.
const HEAD_VERSIONS: [u8; 2] = [1, 2];

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

/// Snapshot head: a version byte, then these fields in postcard's encoding; since version 2, the state of sync behind
/// them. A field is only ever added together with a new version.
#[derive(Serialize, Deserialize)]
struct Head {
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

    /// The name of the operation that comes next.
    pub(super) const fn next_dot(&self) -> Dot {
        Dot { replica: self.replica, seq: self.reach.seq + 1 }
    }

    /// The head of a snapshot that begins when the history has come as far as `reach`, and sync to `state`.
    pub(super) fn encode_head(&self, reach: Reach, state: &State) -> Vec<u8> {
        let head = Head {
            node: self.node.clone(),
            replica: self.replica,
            seq: reach.seq,
            chain: reach.chain.0,
            clock: if planted!("clock_not_in_snapshot") { Stamp::default() } else { self.clock.last() },
        };
        let [.., version] = HEAD_VERSIONS;
        let mut out = alloc::vec![version];
        out.extend(postcard::to_allocvec(&head).expect("these fields always encode"));
        state.encode(&mut out);
        out
    }

    pub(super) fn decode_head(bytes: &Bytes) -> Result<(Self, State), DecodeError> {
        let fault = |fault| DecodeError { field: "snapshot head", fault };
        let Some((&version, rest)) = bytes.split_first() else { return Err(fault(Fault::Short)) };
        if !HEAD_VERSIONS.contains(&version) {
            return Err(fault(Fault::FromTheFuture));
        }
        let (head, left): (Head, _) = postcard::take_from_bytes(rest).map_err(|_| fault(Fault::Invalid))?;
        let state = match (version, left) {
            (1, []) => State::default(),
            (1, _) => return Err(fault(Fault::Trailing)),
            (_, left) => State::decode(&bytes.slice_ref(left))?,
        };
        let history = Self {
            node: head.node,
            replica: head.replica,
            reach: Reach { seq: head.seq, chain: Chain(head.chain) },
            clock: Hlc::starting_at(head.clock),
        };
        Ok((history, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Dot;

    fn history() -> History {
        let mut history = History::born(None, ReplicaId([0xab; 16]), Hlc::starting_at(Stamp(77)));
        history.reach = Reach { seq: 5, chain: Chain(9) };
        history
    }

    fn state() -> State {
        let mut state = State::default();
        state.own(Dot { replica: ReplicaId([0xab; 16]), seq: 4 }, Chain(8));
        state
    }

    #[test]
    fn a_head_round_trips() {
        let bytes = Bytes::from(history().encode_head(Reach { seq: 4, chain: Chain(8) }, &state()));
        let (head, found) = History::decode_head(&bytes).unwrap();
        assert_eq!(head, History { reach: Reach { seq: 4, chain: Chain(8) }, ..history() });
        assert_eq!(head.node.as_str(), "node-abababab");
        assert_eq!(found, state());
    }

    #[test]
    fn a_head_from_before_there_was_sync_is_read() {
        let mut bytes = history().encode_head(Reach::default(), &State::default());
        let mut state = Vec::new();
        State::default().encode(&mut state);
        bytes.truncate(bytes.len() - state.len());
        *bytes.first_mut().unwrap() = 1;
        let (head, found) = History::decode_head(&Bytes::from(bytes.clone())).unwrap();
        assert_eq!((head.replica, found), (history().replica, State::default()));
        bytes.push(0);
        assert_eq!(History::decode_head(&bytes.into()).unwrap_err().fault, Fault::Trailing);
    }

    #[test]
    fn a_damaged_head_is_refused() {
        let bytes = history().encode_head(Reach::default(), &state());
        for cut in 0..bytes.len() {
            assert!(History::decode_head(&Bytes::copy_from_slice(bytes.get(..cut).unwrap())).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(History::decode_head(&longer.into()).is_err());
        let mut newer = bytes;
        *newer.first_mut().unwrap() = 3;
        assert_eq!(History::decode_head(&newer.into()).unwrap_err().fault, Fault::FromTheFuture);
    }
}
