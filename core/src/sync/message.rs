//! What two replicas say to each other, over a link that keeps order and borders of messages.
//!
//! ```text
//! message = kind u8 | body length u32 | body          several may share one transport frame
//!   1 hello    protocol from u8, to u8 | network 16 | replica 16 | log 16 | boot u64 | node id | wall u64 |
//!              window varint | own seq varint | vector | floor vector | floor stamp u64 |
//!              owed vector (older versions end before it) | (more from newer versions)
//!   2 resume   LSN varint | boot u64 | pairs | direct
//!   3 batch    through u64 | parts
//!   4 full     through u64 | parts
//!   5 ack      feed LSN varint | bytes taken varint | vector
//!   6 ping     number varint | wall u64 | feed LSN varint | flags u8 (1 exact, 2 waits) | live digest u128 | vector
//!   7 pong     as ping
//!   8 direct   direct
//!   9 members  count varint, then per member: replica 16 | member
//!  10 bye      reason u8
//!  11 ranges   count varint, then per range: flags u8 (1 after, 2 end), [after key], [end key] | entries varint |
//!              digest u128
//!  12 repair   parts
//! direct = count varint, 16 bytes each
//! part = tag u8 |
//!   0 origin   16 bytes: gets the next number in this direction of this session
//!   1 op       origin number varint | operation
//!   2 entry    origin number varint | operation | known vector
//!   3 present  key
//!   4 end      the sender's feed has no more
//!   5 cut      vector
//!   6 pairs    pairs
//!   7 upto     key: a full exchange has named every key up to here
//!   8 all      a full exchange has named every key
//!   9 buried   origin number varint | seq varint | key | known vector: a tombstone, named in a full exchange
//!  10 history  origin number varint | pairs: of another replica, as far as the sender claims it; from protocol 2 on
//!  11 buried   origin number varint | seq varint | key | known vector | stamp u64: as 9, from protocol 5 on
//! ```
//!
//! An operation says what it repeats from protocol 3 on.
//!
//! Kinds, parts and flags are only ever added, and only sent to peers whose protocol range has them.

mod part;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::chain::Pairs;
use super::members::Member;
use super::record::{take_node_id, take_wall};
use crate::clock::Stamp;
use crate::codec::{DecodeError, Fault, Reader, put_blob, put_varint};
use crate::context::VersionVector;
use crate::ids::{LogId, Lsn, NodeId, ReplicaId, Seq};
use crate::limits::{MAX_FRAME_BODY, MAX_MEMBERS};
use crate::time::WallTime;

pub use self::part::Part;
pub(super) use self::part::{MAX_PARTS, Origins, put_entry};
use self::part::{take_key, take_parts};

/// The newest protocol that is spoken.
pub const PROTOCOL: u8 = 5;

/// The oldest one.
pub(super) const OLDEST_PROTOCOL: u8 = 1;

/// From this protocol on, claims of others' operations say which history they are of.
pub(super) const TELLS_HISTORIES: u8 = 2;

/// From this protocol on, operations say what they repeat.
pub(super) const TELLS_REPEATS: u8 = 3;

/// From this protocol on whoever owes a floor names its keys to those who do not claim it, as if it were its own, and they owe it, too.
pub(super) const PASSES_OWED_ON: u8 = 4;

/// From this protocol on a tombstone that is named says when it was stamped.
pub(super) const STAMPS_WHAT_IS_BURIED: u8 = 5;

/// Bytes before the body of a message.
pub const HEADER_LEN: usize = 5;

/// The most ranges in one [`Message::Ranges`].
pub(super) const MAX_RANGES: usize = 64;

/// Who speaks, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and newest protocol it speaks.
    pub protocols: (u8, u8),
    /// Names the network; others are turned away.
    pub network: [u8; 16],
    /// Its history.
    pub replica: ReplicaId,
    /// Its log.
    pub log: LogId,
    /// Drawn at each start.
    pub boot: u64,
    /// Its name.
    pub node: NodeId,
    /// Its wall clock.
    pub wall: WallTime,
    /// Bytes of batches it takes before it has acknowledged any.
    pub window: u64,
    /// Its own operations that are durable.
    pub own_seq: Seq,
    /// What it claims.
    pub vector: VersionVector,
    /// The greatest dots of tombstones it has collected.
    pub floor: VersionVector,
    /// The greatest stamp of a tombstone it has collected.
    pub floor_stamp: Stamp,
    /// The floor that it owes, empty if none: what it dropped in a full exchange that is not over lies below.
    pub owed: VersionVector,
}

/// Where two exact replicas with equal vectors must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Comes back in the pong.
    pub number: u64,
    /// The speaker's wall clock.
    pub wall: WallTime,
    /// The peer's feed is taken in up to here.
    pub feed: Lsn,
    /// Nothing here is beyond the vector.
    pub exact: bool,
    /// What the peer has sent waits here until a full exchange with somebody else has ended: it is not lost.
    pub waits: bool,
    /// Digest of what has a value.
    pub digest: u128,
    /// What the speaker claims.
    pub vector: VersionVector,
}

/// A range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The key before the first; `None` for the beginning of all keys.
    pub after: Option<Bytes>,
    /// The last key in it; `None` for the end of all keys.
    pub end: Option<Bytes>,
    /// Entries with a value in it; the greatest number asks for the entries themselves.
    pub entries: u64,
    /// Sum of their digests.
    pub digest: u128,
}

impl Range {
    /// A number of entries that no range has.
    pub(super) const ASK: u64 = u64::MAX;
}

/// Why a session ends, as told to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bye {
    /// It shuts down, or the operator asked for it.
    Leaving,
    /// Its disk has no room: it will be back.
    NoRoom,
    /// Its disk failed.
    Degraded,
    /// The other's clock is too far off.
    ClockSkew,
    /// The two are not of one network.
    WrongNetwork,
    /// They have no protocol in common.
    NoCommonProtocol,
    /// The other broke the protocol.
    Protocol,
    /// The other's identity is in use elsewhere, or its history was rolled back.
    Identity,
    /// A newer session with the same replica took over.
    Replaced,
    /// The other sent an operation that no honest node can have issued.
    StampOutOfRange,
    /// The other named more replicas than there can be.
    TooManyReplicas,
    /// The other began a full exchange and did not go on with it.
    FullStalled,
    /// A reason that only newer versions know.
    Other(u8),
}

impl Bye {
    /// The byte on the wire; the known ones are below 128.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Leaving => 0,
            Self::NoRoom => 1,
            Self::Degraded => 2,
            Self::ClockSkew => 3,
            Self::WrongNetwork => 4,
            Self::NoCommonProtocol => 5,
            Self::Protocol => 6,
            Self::Identity => 7,
            Self::Replaced => 8,
            Self::StampOutOfRange => 9,
            Self::TooManyReplicas => 10,
            Self::FullStalled => 11,
            Self::Other(code) => code,
        }
    }

    /// The reason of a byte from the wire.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Leaving,
            1 => Self::NoRoom,
            2 => Self::Degraded,
            3 => Self::ClockSkew,
            4 => Self::WrongNetwork,
            5 => Self::NoCommonProtocol,
            6 => Self::Protocol,
            7 => Self::Identity,
            8 => Self::Replaced,
            9 => Self::StampOutOfRange,
            10 => Self::TooManyReplicas,
            11 => Self::FullStalled,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Bye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => f.write_str("it is leaving"),
            Self::NoRoom => f.write_str("its disk is full"),
            Self::Degraded => f.write_str("its disk has failed"),
            Self::ClockSkew => f.write_str("the clocks are too far apart"),
            Self::WrongNetwork => f.write_str("it belongs to another network"),
            Self::NoCommonProtocol => f.write_str("it speaks no protocol in common"),
            Self::Protocol => f.write_str("this node broke the protocol"),
            Self::Identity => f.write_str("an identity is in use twice"),
            Self::Replaced => f.write_str("a newer link took over"),
            Self::StampOutOfRange => f.write_str("this node sent what no clock can have stamped"),
            Self::TooManyReplicas => f.write_str("this node names more replicas than there can be"),
            Self::FullStalled => f.write_str("this node began a full exchange and did not go on with it"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// First, both ways.
    Hello(Hello),
    /// Second, both ways: where the peer's feed goes on, and what the peer once said of its history.
    Resume {
        /// The peer's feed was taken in up to here.
        lsn: Lsn,
        /// In which of the peer's runs that was.
        boot: u64,
        /// What the peer last said of its history.
        pairs: Pairs,
        /// Replicas heard at first hand.
        direct: BTreeSet<ReplicaId>,
    },
    /// A stretch of the sender's feed, up to the LSN.
    Batch(Lsn, Vec<Part>),
    /// A stretch of the sender's keys, named for a receiver from below its floor.
    Full(Lsn, Vec<Part>),
    /// What the sender of this has made durable.
    Ack {
        /// Of the peer's feed.
        lsn: Lsn,
        /// Bytes of batches in this session.
        bytes: u64,
        /// Its claims, those that changed since the last acknowledgement of the session.
        vector: VersionVector,
    },
    /// Asks for a pong.
    Ping(Pulse),
    /// Answers a ping.
    Pong(Pulse),
    /// Replicas heard at first hand from now on.
    Direct(BTreeSet<ReplicaId>),
    /// Word of other replicas.
    Members(Vec<(ReplicaId, Member)>),
    /// The session ends.
    Bye(Bye),
    /// Where two diverged replicas look for the difference.
    Ranges(Vec<Range>),
    /// Entries of a range that differs.
    Repair(Vec<Part>),
}

/// Reads whole messages, as those of a new session, until the bytes are used up.
///
/// # Errors
/// [`DecodeError`] for the first that is not well-formed.
pub fn read(bytes: &Bytes) -> Result<Vec<Message>, DecodeError> {
    let mut origins = Origins::default();
    let mut rest = bytes.clone();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        messages.push(Message::take(&mut rest, &mut origins)?.0);
    }
    Ok(messages)
}

/// Begins a message in `out`; [`finish`] ends it.
pub(super) fn begin(out: &mut Vec<u8>, kind: u8) -> usize {
    out.extend_from_slice(&[kind, 0, 0, 0, 0]);
    out.len()
}

/// Ends the message whose body began at `start`.
pub(super) fn finish(out: &mut [u8], start: usize) {
    let len = u32::try_from(out.len() - start).expect("messages are bounded by MAX_FRAME_BODY");
    if let Some(place) = out.get_mut(start - 4..start) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

pub(super) const BATCH: u8 = 3;
pub(super) const FULL: u8 = 4;
pub(super) const REPAIR: u8 = 12;

impl Message {
    /// Appends the message. Origins are numbered as this direction of the session goes on.
    pub(super) fn encode(&self, origins: &mut Origins, out: &mut Vec<u8>) {
        let start = begin(out, self.kind());
        match self {
            Self::Hello(hello) => hello.encode(out),
            Self::Resume { lsn, boot, pairs, direct } => {
                put_varint(out, lsn.0);
                out.extend_from_slice(&boot.to_le_bytes());
                pairs.encode(out);
                put_set(out, direct);
            }
            Self::Batch(through, parts) | Self::Full(through, parts) => {
                out.extend_from_slice(&through.0.to_le_bytes());
                for part in parts {
                    part.encode(origins, out);
                }
            }
            Self::Ack { lsn, bytes, vector } => {
                put_varint(out, lsn.0);
                put_varint(out, *bytes);
                vector.encode(out);
            }
            Self::Ping(pulse) | Self::Pong(pulse) => pulse.encode(out),
            Self::Direct(direct) => put_set(out, direct),
            Self::Members(members) => {
                put_varint(out, members.len() as u64);
                for (replica, member) in members {
                    out.extend_from_slice(&replica.0);
                    member.encode(out);
                }
            }
            Self::Bye(bye) => out.push(bye.code()),
            Self::Ranges(ranges) => {
                put_varint(out, ranges.len() as u64);
                for range in ranges {
                    out.push(u8::from(range.after.is_some()) | u8::from(range.end.is_some()) << 1);
                    for key in range.after.iter().chain(&range.end) {
                        put_blob(out, key);
                    }
                    put_varint(out, range.entries);
                    out.extend_from_slice(&range.digest.to_le_bytes());
                }
            }
            Self::Repair(parts) => {
                for part in parts {
                    part.encode(origins, out);
                }
            }
        }
        finish(out, start);
    }

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Resume { .. } => 2,
            Self::Batch(..) => BATCH,
            Self::Full(..) => FULL,
            Self::Ack { .. } => 5,
            Self::Ping(_) => 6,
            Self::Pong(_) => 7,
            Self::Direct(_) => 8,
            Self::Members(_) => 9,
            Self::Bye(_) => 10,
            Self::Ranges(_) => 11,
            Self::Repair(_) => REPAIR,
        }
    }

    /// Takes the first message off `bytes`, with its length. Nothing is allocated beyond what the bytes themselves
    /// hold.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes do not begin with a well-formed message.
    pub(super) fn take(bytes: &mut Bytes, origins: &mut Origins) -> Result<(Self, u64), DecodeError> {
        let short = DecodeError { field: "message", fault: Fault::Short };
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(short)?;
        let [kind, len @ ..] = *header;
        let len = u32::from_le_bytes(len) as usize;
        if len > MAX_FRAME_BODY {
            return Err(DecodeError { field: "message length", fault: Fault::Invalid });
        }
        if bytes.len() - HEADER_LEN < len {
            return Err(short);
        }
        let body = bytes.slice(HEADER_LEN..HEADER_LEN + len);
        *bytes = bytes.slice(HEADER_LEN + len..);
        Ok((Self::decode(kind, &body, origins)?, (HEADER_LEN + len) as u64))
    }

    fn decode(kind: u8, body: &Bytes, origins: &mut Origins) -> Result<Self, DecodeError> {
        let reader = &mut Reader::new(body);
        let message = match kind {
            // Newer versions may say more behind it.
            1 => return Hello::decode(reader).map(Self::Hello),
            2 => Self::Resume {
                lsn: Lsn(reader.varint("resume LSN")?),
                boot: reader.u64("resume boot")?,
                pairs: Pairs::decode(reader)?,
                direct: take_set(reader)?,
            },
            BATCH => Self::Batch(Lsn(reader.u64("batch LSN")?), take_parts(reader, origins)?),
            FULL => Self::Full(Lsn(reader.u64("batch LSN")?), take_parts(reader, origins)?),
            5 => Self::Ack {
                lsn: Lsn(reader.varint("ack LSN")?),
                bytes: reader.varint("ack bytes")?,
                vector: VersionVector::decode(reader, "ack vector")?,
            },
            6 => Self::Ping(Pulse::decode(reader)?),
            7 => Self::Pong(Pulse::decode(reader)?),
            8 => Self::Direct(take_set(reader)?),
            9 => {
                let count = take_count(reader, "members", MAX_MEMBERS)?;
                let mut members = Vec::with_capacity(count.min(reader.remaining() / 27));
                for _ in 0..count {
                    members.push((ReplicaId(reader.array("member replica")?), Member::decode(reader)?));
                }
                Self::Members(members)
            }
            10 => Self::Bye(Bye::from_code(reader.u8("bye")?)),
            11 => {
                let count = take_count(reader, "ranges", MAX_RANGES)?;
                let mut ranges = Vec::with_capacity(count.min(reader.remaining() / 18));
                for _ in 0..count {
                    let flags = reader.u8("range flags")?;
                    if flags > 3 {
                        return Err(DecodeError { field: "range flags", fault: Fault::FromTheFuture });
                    }
                    let after = if flags & 1 == 0 { None } else { Some(take_key(reader)?) };
                    let end = if flags & 2 == 0 { None } else { Some(take_key(reader)?) };
                    let entries = reader.varint("range entries")?;
                    ranges.push(Range {
                        after,
                        end,
                        entries,
                        digest: u128::from_le_bytes(reader.array("range digest")?),
                    });
                }
                Self::Ranges(ranges)
            }
            REPAIR => Self::Repair(take_parts(reader, origins)?),
            _ => return Err(DecodeError { field: "message kind", fault: Fault::FromTheFuture }),
        };
        reader.finish("message")?;
        Ok(message)
    }
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.protocols.0, self.protocols.1]);
        out.extend_from_slice(&self.network);
        out.extend_from_slice(&self.replica.0);
        out.extend_from_slice(&self.log.0);
        out.extend_from_slice(&self.boot.to_le_bytes());
        put_blob(out, self.node.as_str().as_bytes());
        out.extend_from_slice(&self.wall.0.to_le_bytes());
        put_varint(out, self.window);
        put_varint(out, self.own_seq);
        self.vector.encode(out);
        self.floor.encode(out);
        out.extend_from_slice(&self.floor_stamp.0.to_le_bytes());
        self.owed.encode(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocols: (reader.u8("oldest protocol")?, reader.u8("newest protocol")?),
            network: reader.array("network")?,
            replica: ReplicaId(reader.array("replica")?),
            log: LogId(reader.array("log")?),
            boot: reader.u64("boot")?,
            node: take_node_id(reader)?,
            wall: take_wall(reader)?,
            window: reader.varint("window")?,
            own_seq: reader.varint("own seq")?,
            vector: VersionVector::decode(reader, "vector")?,
            floor: VersionVector::decode(reader, "floor")?,
            floor_stamp: Stamp(reader.u64("floor stamp")?),
            owed: match reader.remaining() {
                0 => VersionVector::EMPTY,
                _ => VersionVector::decode(reader, "owed vector")?,
            },
        })
    }
}

impl Pulse {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        out.extend_from_slice(&self.wall.0.to_le_bytes());
        put_varint(out, self.feed.0);
        out.push(u8::from(self.exact) | u8::from(self.waits) << 1);
        out.extend_from_slice(&self.digest.to_le_bytes());
        self.vector.encode(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = reader.varint("ping number")?;
        let wall = take_wall(reader)?;
        let feed = Lsn(reader.varint("ping LSN")?);
        let flags = reader.u8("ping flags")?;
        Ok(Self {
            number,
            wall,
            feed,
            exact: flags & 1 != 0,
            waits: flags & 2 != 0,
            digest: u128::from_le_bytes(reader.array("ping digest")?),
            vector: VersionVector::decode(reader, "ping vector")?,
        })
    }
}

fn put_set(out: &mut Vec<u8>, set: &BTreeSet<ReplicaId>) {
    put_varint(out, set.len() as u64);
    for replica in set {
        out.extend_from_slice(&replica.0);
    }
}

fn take_set(reader: &mut Reader<'_>) -> Result<BTreeSet<ReplicaId>, DecodeError> {
    let count = take_count(reader, "direct", MAX_MEMBERS)?;
    (0..count).map(|_| reader.array("direct").map(ReplicaId)).collect()
}

fn take_count(reader: &mut Reader<'_>, field: &'static str, max: usize) -> Result<usize, DecodeError> {
    let count = usize::try_from(reader.varint(field)?).unwrap_or(usize::MAX);
    if count > max { Err(DecodeError { field, fault: Fault::Invalid }) } else { Ok(count) }
}

#[cfg(test)]
mod tests;
