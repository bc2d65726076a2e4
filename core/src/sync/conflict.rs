//! Two writes to one key that had not seen each other: noticed where they meet, recorded with both versions.
//!
//! Which of the two stands is settled by the merge alone (greater stamp, then greater replica id), so every replica
//! agrees without a word. A policy other than last-write-wins makes the replica at which they met write a *resolution*
//! that has seen both. A resolution is never answered by another: two that meet are settled by the merge, so it ends.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, MAX_VARINT_LEN, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{Dot, ReplicaId};
use crate::limits::MAX_VALUE_LEN;
use crate::op::{Body, Marks, Operation};
use crate::store::Entry;
use crate::time::WallTime;

/// Replica, seq, stamp, length of the context, flags, length of the value.
const FIXED_BOUND: usize = 16 + 8 + 1 + 4 * MAX_VARINT_LEN;
/// Replica and seq of one entry of a context.
const CONTEXT_BOUND: usize = 16 + MAX_VARINT_LEN;

/// What to do about a conflict.
#[derive(Clone, Copy, Debug, Default)]
pub enum Policy {
    /// The greater (stamp, replica id) stands. Costs no further message.
    #[default]
    LastWriteWins,
    /// The version that was here before stands: if the other one won, it is written again. One more operation from
    /// each side that would have lost; if both sides keep their own, the later resolution stands.
    KeepLocal,
    /// The version that came in stands: if the one that was here won, the other is written again. Costs as
    /// [`Policy::KeepLocal`].
    ApplyRemote,
    /// The greater one stands, and the conflict stays open, with the other version readable, until somebody resolves
    /// it.
    KeepBoth,
    /// What this function makes of the two stands; `None` leaves the winner. It must depend on nothing but its
    /// argument, and treat both versions alike, or nodes will write different resolutions of one conflict.
    Custom(fn(&Met) -> Option<Body>),
}

impl Policy {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::LastWriteWins => "last_write_wins",
            Self::KeepLocal => "keep_local",
            Self::ApplyRemote => "apply_remote",
            Self::KeepBoth => "keep_both",
            Self::Custom(_) => "custom",
        }
    }
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The operation's name.
    pub dot: Dot,
    /// When it was written.
    pub stamp: Stamp,
    /// What its writer had seen of the key.
    pub context: VersionVector,
    /// What it wrote.
    pub body: Body,
    /// It was written by a policy.
    pub resolution: bool,
}

impl Version {
    fn of(op: &Operation) -> Self {
        let body = op.body.value().map_or(Body::Delete, |value| Body::Put(copied(value)));
        Self { dot: op.dot, stamp: op.stamp, context: op.context.clone(), body, resolution: op.marks.resolution }
    }

    /// The same, with bytes of its own.
    fn detached(self) -> Self {
        let body = self.body.value().map_or(Body::Delete, |value| Body::Put(copied(value)));
        Self { body, ..self }
    }

    /// The operation as it was issued, apart from marks that only its issuer needs.
    pub(super) fn operation(&self, key: &Bytes) -> Operation {
        Operation {
            dot: self.dot,
            stamp: self.stamp,
            context: self.context.clone(),
            key: key.clone(),
            body: self.body.clone(),
            marks: Marks { resolution: self.resolution, ..Marks::default() },
        }
    }
}

/// Two concurrent writes, at the moment they meet on one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The key both wrote.
    pub key: Bytes,
    /// The version that was here.
    pub local: Version,
    /// The version that came in.
    pub remote: Version,
}

impl Met {
    /// What `op` meets in `latest`, the entry of its key, if that is a conflict. Equal resolutions that meet are none, nor is
    /// one write that meets itself.
    pub(super) fn before(latest: Option<Entry<'_>>, op: &Operation) -> Option<Self> {
        let entry = latest?;
        let sequential = op.context.covers(entry.dot())
            || entry.known_dots().any(|known| known.replica == op.dot.replica && known.seq >= op.dot.seq);
        let sequential = sequential && !planted!("conflict_invented");
        let lost = (op.stamp, op.dot.replica) < (entry.stamp(), entry.dot().replica);
        if sequential || (lost && planted!("conflict_lost_when_the_winner_was_first")) {
            return None;
        }
        let local = Version::of(&entry.operation());
        let remote = Version::of(op);
        // Equal stamps: one write that has come under two names (see `rename`).
        let alike = local.resolution && remote.resolution || local.stamp == remote.stamp;
        let collapse = alike && local.body == remote.body;
        if collapse {
            covered!("equal_resolutions_collapse");
        }
        (!collapse).then(|| Self { key: copied(&op.key), local, remote })
    }

    /// The same, with bytes of its own.
    pub(super) fn detached(self) -> Self {
        Self { key: copied(&self.key), local: self.local.detached(), remote: self.remote.detached() }
    }

    /// Whether the version that came in wins the merge.
    #[must_use]
    pub fn remote_wins(&self) -> bool {
        (self.remote.stamp, self.remote.dot.replica) > (self.local.stamp, self.local.dot.replica)
    }

    /// When the later of the two was written.
    pub(super) fn at(&self) -> WallTime {
        self.local.stamp.max(self.remote.stamp).wall()
    }

    /// Bytes of the key and of both values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let body = |version: &Version| version.body.value().map_or(0, Bytes::len);
        self.key.len() + body(&self.local) + body(&self.remote)
    }

    /// Whether whoever has seen `context` has seen both versions.
    pub(super) fn is_seen_by(&self, context: &VersionVector) -> bool {
        context.covers(self.local.dot) && context.covers(self.remote.dot)
    }

    /// What to write so that `policy` is kept; `None` if the merge has done it.
    pub(super) fn resolution(&self, policy: Policy) -> Option<Body> {
        if self.local.resolution && self.remote.resolution {
            return None;
        }
        let wanted = match policy {
            Policy::LastWriteWins | Policy::KeepBoth => return None,
            Policy::KeepLocal => self.local.body.clone(),
            Policy::ApplyRemote => self.remote.body.clone(),
            Policy::Custom(merge) => merge(self)?,
        };
        let winner = if self.remote_wins() { &self.remote } else { &self.local };
        (winner.body != wanted).then_some(wanted)
    }
}

/// What became of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The merge chose; that stands.
    Merged,
    /// A resolution was written.
    Resolved,
    /// It waits for somebody to resolve it.
    Open,
}

impl Outcome {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Resolved => "resolved",
            Self::Open => "open",
        }
    }
}

/// A conflict on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Counts up from 1 on each node.
    pub id: u64,
    /// The versions.
    pub met: Met,
    /// When the later of the two was written, by its stamp: the same on every node, and after every restart.
    pub at: WallTime,
    /// What became of it.
    pub outcome: Outcome,
}

/// The greatest length of [`put_version`], without the value.
pub(super) fn encoded_bound(version: &Version) -> usize {
    FIXED_BOUND + version.context.len() * CONTEXT_BOUND
}

/// What is kept must not keep the message or block alive that it came in.
pub(super) fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn put_version(out: &mut Vec<u8>, version: &Version) {
    out.extend_from_slice(&version.dot.replica.0);
    put_varint(out, version.dot.seq);
    out.extend_from_slice(&version.stamp.0.to_le_bytes());
    version.context.encode(out);
    out.push(u8::from(version.body.value().is_some()) | u8::from(version.resolution) << 1);
    if let Body::Put(value) = &version.body {
        put_blob(out, value);
    }
}

pub(super) fn take_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let replica = ReplicaId(reader.array("conflict replica")?);
    let seq = reader.varint("conflict seq")?;
    let stamp = Stamp(reader.u64("conflict stamp")?);
    let context = VersionVector::decode(reader, "conflict context")?;
    if seq == 0 || context.get(replica) >= seq {
        return Err(DecodeError { field: "conflict context", fault: Fault::Invalid });
    }
    let flags = reader.u8("conflict flags")?;
    let body = match flags & 1 {
        0 => Body::Delete,
        _ => Body::Put(reader.blob(MAX_VALUE_LEN, "conflict value")?),
    };
    Ok(Version { dot: Dot { replica, seq }, stamp, context, body, resolution: flags & 2 != 0 })
}
