//! What keeps datagrams from coming or going.

use std::{fmt, io};

/// Kinds of trouble, each with something else to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// Another program has the port for itself.
    PortInUse,
    /// The system forbids it: a port below 1024, a firewall, a sandbox.
    NoPermission,
    /// There is no interface to use.
    NoInterface,
    /// There are interfaces, and no way to anywhere.
    NoNetwork,
    /// Anything else that a socket may say.
    SocketFailed,
}

impl TroubleKind {
    /// The stable name, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PortInUse => "port_in_use",
            Self::NoPermission => "no_permission",
            Self::NoInterface => "no_interface",
            Self::NoNetwork => "no_network",
            Self::SocketFailed => "socket_failed",
        }
    }

    /// The kind of what a socket said.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as E;
        match error.kind() {
            E::AddrInUse => Self::PortInUse,
            E::PermissionDenied => Self::NoPermission,
            E::NetworkDown | E::NetworkUnreachable | E::HostUnreachable | E::AddrNotAvailable => Self::NoNetwork,
            _ => Self::SocketFailed,
        }
    }
}

/// What keeps datagrams from coming or going. Links and local work do not depend on it; it is tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// What happened, and where.
    pub what: String,
    /// What can be done about it.
    pub next: &'static str,
}

impl Trouble {
    /// Trouble of this kind, with what is usually done about it.
    #[must_use]
    pub fn new(kind: TroubleKind, what: impl Into<String>) -> Self {
        let next = match kind {
            TroubleKind::PortInUse => {
                "end the program that has the port for itself, or set another discovery_port, the same on all nodes"
            }
            TroubleKind::NoPermission => "allow it in the firewall or sandbox, or choose a port above 1023",
            TroubleKind::NoInterface => "connect a network, or correct discovery_interfaces",
            TroubleKind::NoNetwork => "see to the network and its routes",
            TroubleKind::SocketFailed => "see what the system says",
        };
        Self { kind, what: what.into(), next }
    }

    /// What a socket said when it was to do something.
    #[must_use]
    pub fn of(act: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(TroubleKind::of(error), format!("cannot {act}: {error}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]; {}; it is tried again by itself", self.what, self.kind.as_str(), self.next)
    }
}
