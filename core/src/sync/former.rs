//! Names that this node has given up, because peers knew another history under them.
//!
//! Behind the point up to which both are one, such a name means two things for ever: what this node wrote under it has gone out
//! and now has another name here, and what comes back under it is what was lost before. Whoever claims one of the two may
//! mean the other. So a claim of it deletes nothing here, be the two told apart by their chains or not.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Fault, Reader, put_varint};
use crate::ids::{Dot, ReplicaId, Seq};
use crate::limits::MAX_MEMBERS;

/// Each name, and the last seq of it that stands for one operation only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Former(BTreeMap<ReplicaId, Seq>);

impl Former {
    /// A name is given up. No more of them are remembered than there can be members.
    pub(super) fn give_up(&mut self, name: ReplicaId, above: Seq) {
        if self.0.len() < MAX_MEMBERS || self.0.contains_key(&name) {
            let mark = self.0.entry(name).or_insert(above);
            *mark = above.min(*mark);
        }
    }

    /// Whether a dot may stand for either of two operations.
    pub(super) fn is_ambiguous(&self, dot: Dot) -> bool {
        self.0.get(&dot.replica).is_some_and(|above| dot.seq > *above)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (name, above) in &self.0 {
            out.extend_from_slice(&name.0);
            put_varint(out, *above);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.varint("former names")?;
        if count > MAX_MEMBERS as u64 {
            return Err(DecodeError { field: "former names", fault: Fault::Invalid });
        }
        let mut former = Self::default();
        for _ in 0..count {
            former.give_up(ReplicaId(reader.array("former name")?), reader.varint("former name's seq")?);
        }
        Ok(former)
    }
}
