//! What discovery asks of the world and tells the layer above.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;

use crate::identity::NodeKey;
use crate::ids::NodeId;
use crate::time::Instant;

/// The UDP port, unless the operator chooses another: the number that links use over TCP.
pub const DEFAULT_PORT: u16 = 4444;
/// The IPv4 group, of the range for private use within a site.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 83, 65);
/// The IPv6 group, transient and of the one link.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x5341, 0x4453);

/// Which interface a multicast leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interface {
    /// The one the system chooses.
    Any,
    /// The one of this index.
    Index(u32),
    /// The loopback interface: what leaves here stays on this machine, and may name loopback addresses.
    Loopback,
}

/// Where datagrams go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Whoever has joined the group.
    Multicast {
        /// The group and port.
        group: SocketAddr,
        /// By which interface.
        on: Interface,
    },
    /// All hosts of one IPv4 network, or of all that the host is in (255.255.255.255).
    Broadcast(SocketAddr),
    /// One host.
    Unicast(SocketAddr),
}

impl Target {
    /// Group or host, and port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Multicast { group: address, .. } | Self::Broadcast(address) | Self::Unicast(address) => *address,
        }
    }

    pub(super) const fn stays_here(&self) -> bool {
        match self {
            Self::Multicast { on, .. } => matches!(on, Interface::Loopback),
            Self::Broadcast(_) => false,
            Self::Unicast(address) => match address.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => ip.is_loopback(),
            },
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multicast { group, on: Interface::Any } => write!(f, "multicast {group}"),
            Self::Multicast { group, on: Interface::Index(index) } => {
                write!(f, "multicast {group} on interface {index}")
            }
            Self::Multicast { group, on: Interface::Loopback } => write!(f, "multicast {group} on loopback"),
            Self::Broadcast(address) => write!(f, "broadcast {address}"),
            Self::Unicast(address) => write!(f, "{address}"),
        }
    }
}

/// What a node says about itself. Nothing about its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The operator's name.
    pub node: NodeId,
    /// Where its transport listens: as bound (0.0.0.0 for all IPv4 addresses, `[::]` for all IPv6 ones; both if one
    /// socket serves both), or as the operator says that it is reached. At most 16.
    pub listeners: Vec<SocketAddr>,
    /// What it can do: at most 16 words of 1 to 32 characters of `[a-z0-9._-]`.
    pub capabilities: Vec<String>,
}

/// What discovery wants from the world, and tells the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a datagram, from a socket with a port of its own: answers come to where it was sent from.
    Send {
        /// Where to.
        to: Target,
        /// What: at most 1,200 bytes.
        bytes: Bytes,
    },
    /// A node is there that was not, or was lost.
    Found(Box<Sighting>),
    /// A node has another name, other addresses or capabilities, or was started anew.
    Changed(Box<Sighting>),
    /// A node said goodbye, or was not heard for too long.
    Lost {
        /// Who.
        key: NodeKey,
        /// Its name.
        node: NodeId,
        /// Why.
        why: Loss,
    },
    /// Something an operator wants to read.
    Notice(Notice),
}

/// Why a node is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It said goodbye.
    Goodbye,
    /// It was not heard for `expire_after`.
    Silence,
}

/// Something an operator wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Datagrams are dropped for this reason. Told once a minute for each reason, with the latest sender.
    Ignored {
        /// Why.
        why: Ignored,
        /// Where the datagram came from. Anybody can send from any address.
        from: SocketAddr,
    },
    /// A node's wall clock is off from ours by more than `freshness`, or no longer (`None`).
    ClockSkew {
        /// Who.
        key: NodeKey,
        /// Its name.
        node: NodeId,
        /// Milliseconds by which it is ahead of ours; negative when it is behind.
        ahead: Option<i64>,
    },
    /// Two running nodes have this key: a directory was copied.
    IdentityClone {
        /// The key; perhaps our own.
        key: NodeKey,
        /// Where the second one was heard.
        from: SocketAddr,
    },
    /// Several keys go by one name. Which of them may have it is for the transport's trust to say. Told once for each key
    /// that comes with it, and no more often than about once a second.
    SharedName {
        /// The name.
        node: NodeId,
        /// Who came with it now.
        key: NodeKey,
        /// Who has it already; perhaps this node itself.
        other: NodeKey,
        /// How many have it already.
        others: usize,
    },
    /// Datagrams to this target cannot be sent. Told once until it works again.
    TargetFailing {
        /// Which.
        target: Target,
        /// What the system said.
        error: String,
    },
    /// Datagrams to this target go out again.
    TargetWorks {
        /// Which.
        target: Target,
    },
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// It is not a datagram of discovery.
    NotDiscovery,
    /// It is of a version that this software does not speak.
    OtherVersion,
    /// Its sender does not have our network secret: another network, a wrong secret, or a forger.
    Unauthenticated,
    /// Its sender has our secret and makes no sense.
    Malformed,
    /// It speaks in the name of a key that has not signed it.
    Forged,
    /// It is our own.
    Own,
    /// It was heard before, or is older than what was heard.
    Replayed,
    /// Its sender's clock is off, and it has not (yet) answered our question.
    Unproven,
    /// There were too many for all their signatures to be checked.
    Overload,
    /// The registry is full of nodes that are there.
    Full,
}

impl Ignored {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDiscovery => "not_discovery",
            Self::OtherVersion => "other_version",
            Self::Unauthenticated => "unauthenticated",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Own => "own",
            Self::Replayed => "replayed",
            Self::Unproven => "unproven",
            Self::Overload => "overload",
            Self::Full => "registry_full",
        }
    }

    /// Whether an operator wants to know. The others happen every day, or cost nothing.
    pub(super) const fn is_news(self) -> bool {
        !matches!(self, Self::NotDiscovery | Self::Own | Self::Replayed)
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDiscovery => "it is not a datagram of discovery",
            Self::OtherVersion => "it is of another version of discovery",
            Self::Unauthenticated => "its sender has another network secret, or none",
            Self::Malformed => "its sender has the network secret, but what it says makes no sense",
            Self::Forged => "it speaks in the name of another node",
            Self::Own => "it is our own",
            Self::Replayed => "it was heard before",
            Self::Unproven => "its sender's clock is off, and it has not answered whether it is alive",
            Self::Overload => "there are too many to check all signatures",
            Self::Full => "the registry is full",
        })
    }
}

/// How a node in the registry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Heard lately.
    Available,
    /// Not heard for `stale_after`.
    Stale,
    /// Lost: it said goodbye, or was not heard for `expire_after`. Forgotten after `prune_after`.
    Expired,
}

impl NodeState {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

/// What is known of a node that was heard. Only its key and what it says are proven; that it is reached at the addresses is
/// for the link to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who.
    pub key: NodeKey,
    /// The name it gives.
    pub node: NodeId,
    /// Where to dial it, the latest heard first; at most 8.
    pub addresses: Vec<SocketAddr>,
    /// What it can do, sorted.
    pub capabilities: Vec<String>,
    /// How it does.
    pub state: NodeState,
    /// Drawn by it at each start.
    pub boot: u64,
    /// When it was first heard.
    pub first_heard: Instant,
    /// When it was last heard.
    pub last_heard: Instant,
    /// Milliseconds by which its wall clock is ahead of ours, as of the last datagram.
    pub clock_ahead: i64,
}

/// How it goes with one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Which.
    pub target: Target,
    /// What the system said to the latest attempt that failed; `None` when datagrams go out.
    pub error: Option<String>,
}

/// What was counted since the machine was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams handed out.
    pub sent: u64,
    /// Of these, datagrams that the driver could not send.
    pub failed: u64,
    /// Datagrams handed in.
    pub received: u64,
    /// Of these, datagrams believed.
    pub believed: u64,
    /// Of these, datagrams dropped, by reason.
    pub ignored: BTreeMap<Ignored, u64>,
    /// Probes not answered because there were too many.
    pub unanswered: u64,
}

/// All that discovery knows, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it announces and listens.
    pub running: bool,
    /// Where it announces.
    pub targets: Vec<TargetStatus>,
    /// In how long it announces next.
    pub next_announcement: Option<Duration>,
    /// Who was heard, by key.
    pub nodes: Vec<Sighting>,
    /// What was counted.
    pub counters: Counters,
}
