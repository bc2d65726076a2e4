//! What an endpoint asks of the world and tells the layer above.

use core::fmt;

use bytes::Bytes;

use super::super::address::Address;
use super::super::identity::NodeKey;
use super::super::reason::CloseReason;
use super::super::session::{Lane, LinkInfo};
use super::super::trust::Distrust;
use crate::ids::NodeId;

/// Names one connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names one entry of the list of peers. Two entries that turn out to be one node become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What an endpoint wants from the world, and tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a connection.
    Dial {
        /// Its name from now on.
        link: LinkId,
        /// For whom.
        peer: PeerId,
        /// Where to.
        address: Address,
    },
    /// Bytes for a connection.
    Send {
        /// Which.
        link: LinkId,
        /// What.
        bytes: Bytes,
    },
    /// Close a connection, or give up making it.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// There is a link to this peer now. At most one at any time.
    PeerUp {
        /// Who.
        peer: NodeKey,
        /// Over which connection.
        link: LinkId,
        /// What was agreed.
        info: LinkInfo,
    },
    /// The link to this peer has ended. What was sent and not answered may or may not have arrived.
    PeerDown {
        /// Who.
        peer: NodeKey,
        /// Why.
        reason: CloseReason,
    },
    /// A message has arrived.
    Message {
        /// From whom.
        peer: NodeKey,
        /// On which lane.
        lane: Lane,
        /// What.
        bytes: Bytes,
    },
    /// The bulk queue to this peer is half empty again.
    Room {
        /// Whose.
        peer: NodeKey,
    },
    /// This name was pinned to this key: keep it.
    Pin {
        /// The name.
        node: NodeId,
        /// The key.
        key: NodeKey,
    },
    /// Something an operator wants to read.
    Notice(Notice),
}

/// Something an operator wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A link ended before it stood.
    Failed {
        /// Which.
        link: LinkId,
        /// For whom it was dialled.
        peer: Option<PeerId>,
        /// Why.
        reason: CloseReason,
    },
    /// A proven key was not let in. A changed key is the loud one.
    Distrusted {
        /// The name it gave.
        node: NodeId,
        /// The key.
        key: NodeKey,
        /// Why.
        why: Distrust,
    },
    /// Another running node has the same key as this peer, or as this node itself: a directory was copied.
    IdentityClone {
        /// The key.
        key: NodeKey,
    },
}

/// Why a connection is turned away before its first byte; the driver closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The endpoint is stopped.
    Stopped,
    /// There are as many links as there may be.
    Full,
    /// There are as many links from that address as there may be.
    TooManyFromAddress,
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "the transport is stopped",
            Self::Full => "too many links",
            Self::TooManyFromAddress => "too many links from that address",
        })
    }
}
