//! The ways to name a peer.

use std::fmt;
use std::str::FromStr;

use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::transport::ticket::{InvalidTicket, Ticket};

/// A peer, named in one of four ways, told apart by their form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSpec {
    /// A ticket: where to dial, which key must answer, and the secret of its network.
    Ticket(Ticket),
    /// `HOST:PORT`.
    Address(Address),
    /// The public key of a peer that is known already: 52 characters.
    Key(NodeKey),
    /// The name of a peer that is known already.
    Node(NodeId),
}

impl PeerSpec {
    /// It does not say where the peer is: somebody else has to know that.
    pub(crate) const fn is_name(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Node(_))
    }

    /// The error where nobody knows.
    pub(crate) fn unknown(&self) -> Error {
        Error::new(
            Code::NotFound,
            format!("it is not known where the peer {self} is"),
            "name it by HOST:PORT or by a ticket",
        )
    }
}

impl FromStr for PeerSpec {
    type Err = Error;

    /// Never repeats the text in an error: it may be most of a ticket.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let refuse = |what: String| {
            Error::new(Code::InvalidArgument, what, "name a peer by ticket, HOST:PORT, node id or public key")
        };
        match text.parse() {
            Ok(ticket) => return Ok(Self::Ticket(ticket)),
            Err(InvalidTicket::NotATicket) => {}
            Err(error) => return Err(refuse(error.to_string())),
        }
        if text.contains(':') {
            return text.parse().map(Self::Address).map_err(|error| refuse(format!("not an address: {error}")));
        }
        if let Ok(key) = text.parse() {
            return Ok(Self::Key(key));
        }
        NodeId::new(text).map(Self::Node).map_err(|error| refuse(format!("not a node id: {error}")))
    }
}

impl fmt::Display for PeerSpec {
    /// As it was given; of a ticket, only whose it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ticket(ticket) => write!(f, "the ticket of {}", ticket.key),
            Self::Address(address) => address.fmt(f),
            Self::Key(key) => key.fmt(f),
            Self::Node(node) => node.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use softadastra_core::transport::identity::NetworkSecret;

    #[test]
    fn the_form_says_what_it_is() {
        let key = NodeKey([7; 32]);
        let ticket =
            Ticket { key, secret: Some(NetworkSecret::from_bytes([9; 32])), addresses: vec!["a:1".parse().unwrap()] };
        let text = ticket.reveal();
        assert_eq!(text.parse::<PeerSpec>().unwrap(), PeerSpec::Ticket(ticket));
        assert_eq!("[::1]:4444".parse::<PeerSpec>().unwrap(), PeerSpec::Address("[::1]:4444".parse().unwrap()));
        assert_eq!(key.to_string().parse::<PeerSpec>().unwrap(), PeerSpec::Key(key));
        assert_eq!(" till-3 ".parse::<PeerSpec>().unwrap(), PeerSpec::Node(NodeId::new("till-3").unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        let ticket = Ticket { key: NodeKey([7; 32]), secret: None, addresses: vec![] };
        let mistyped = format!("{}x", ticket.reveal().as_str());
        for (text, what) in [
            (mistyped.as_str(), "incomplete or mistyped"),
            ("host:", "HOST:PORT"),
            ("::1:80", "HOST:PORT"),
            ("", "node id"),
            ("a b", "node id"),
        ] {
            let error = text.parse::<PeerSpec>().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.what().contains(what), "{error}");
            assert!(text.len() < 5 || !error.to_string().contains(text), "{error}");
        }
    }
}
