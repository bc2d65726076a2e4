//! `softadastra ticket`, `join`, `connect`, `disconnect` and `peers`.

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;

use softadastra_core::error::Code;
use softadastra_core::ids::NodeId;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::transport::ticket::Ticket as AnyTicket;

use super::args::PeersCommand;
use super::input;
use super::output::{Done, Failure, Output};
use super::site::Act;
use crate::PeerSpec;
use crate::control::{Backend, Fault};

/// An argument that is not what it should be, told before anything is opened or locked.
fn mistake(what: &impl fmt::Display, next: &str) -> Failure {
    Failure::Usage(Fault::new(Code::InvalidArgument, what.to_string(), next))
}

/// `softadastra ticket`.
pub(super) struct Ticket {
    addresses: Vec<String>,
    new_secret: bool,
}

impl Ticket {
    pub(super) fn of(addresses: Vec<String>, new_secret: bool) -> Result<Self, Failure> {
        if addresses.len() > AnyTicket::MAX_ADDRESSES {
            let what = format!("{} addresses are more than a ticket holds", addresses.len());
            return Err(mistake(&what, "give at most 16, the best ones first"));
        }
        for text in &addresses {
            let at = text.parse::<Address>().map_err(|error| mistake(&format!("{text:?}: {error}"), "correct it"))?;
            if at.as_str().parse::<SocketAddr>().is_ok_and(|at| at.ip().to_canonical().is_unspecified()) {
                let what = format!("nobody can dial {text}: it stands for all addresses of a machine");
                return Err(mistake(&what, "name the one by which others reach it"));
            }
        }
        Ok(Self { addresses, new_secret })
    }
}

impl Act for Ticket {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        let ticket = backend.ticket(&self.addresses, self.new_secret).await?;
        out.answer(&ticket)?;
        if ticket.addresses.is_empty() {
            out.note(
                "This ticket says nowhere to dial: no node here takes links from other machines. Give it an address with \
                 --address HOST:PORT, or start the node with --listen ADDR.",
            );
        }
        if !ticket.secret {
            out.note("It holds no secret, because this node lets in by a list: trust the key of the other node, too.");
        }
        Ok(Done::Yes)
    }
}

/// `softadastra join`.
pub(super) struct Join {
    ticket: String,
    leave: bool,
}

impl Join {
    /// Reads the ticket, before anything is opened or locked.
    pub(super) fn of(ticket: String, leave: bool) -> Result<Self, Failure> {
        let ticket = if ticket == "-" { read_ticket()? } else { ticket };
        ticket.parse::<AnyTicket>().map_err(|error| mistake(&error, "`softadastra ticket` there prints it"))?;
        Ok(Self { ticket, leave })
    }
}

/// Reads a ticket from stdin, and no more than any ticket is long.
fn read_ticket() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let most = AnyTicket::MAX_LEN as u64 + 1024;
    input::stdin()?.lock().take(most).read_to_end(&mut bytes).map_err(|error| Fault::io("read stdin", &error))?;
    String::from_utf8(bytes).map_err(|_| {
        mistake(&"what stdin holds is no ticket: it is not even text", "`softadastra ticket` there prints it")
    })
}

impl Act for Join {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.join(&self.ticket, self.leave).await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra connect`.
pub(super) struct Connect {
    peer: String,
}

impl Connect {
    pub(super) fn of(peer: String) -> Result<Self, Failure> {
        check_peer(&peer)?;
        Ok(Self { peer })
    }
}

fn check_peer(text: &str) -> Result<(), Failure> {
    text.parse::<PeerSpec>().map(drop).map_err(|error| Failure::Usage(error.into()))
}

impl Act for Connect {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.connect(&self.peer).await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra disconnect`.
pub(super) struct Disconnect {
    peer: String,
}

impl Disconnect {
    pub(super) fn of(peer: String) -> Result<Self, Failure> {
        check_peer(&peer)?;
        Ok(Self { peer })
    }
}

impl Act for Disconnect {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.disconnect(&self.peer).await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra peers`, its arguments checked.
pub(super) struct Peers(Option<PeersCommand>);

impl Peers {
    pub(super) fn of(command: Option<PeersCommand>) -> Result<Self, Failure> {
        match &command {
            None => {}
            Some(PeersCommand::Trust { key }) => {
                let what = format!("{key:?} is no public key: those have 52 letters and digits");
                let next = "copy it from `softadastra node info` on that node";
                key.parse::<NodeKey>().map_err(|_| mistake(&what, next))?;
            }
            Some(PeersCommand::Forget { name }) if name.contains(':') => {
                let next = "name a node id, a public key, a replica id or HOST:PORT";
                name.parse::<Address>().map_err(|error| mistake(&error, next))?;
            }
            // A public key and a replica id have the form of a node id, too.
            Some(PeersCommand::Forget { name }) => {
                let next = "name a node id, a public key, a replica id or HOST:PORT";
                NodeId::new(name).map_err(|error| mistake(&error, next))?;
            }
        }
        Ok(Self(command))
    }
}

impl Act for Peers {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        match self.0 {
            None => out.answer(&backend.peers().await?)?,
            Some(PeersCommand::Trust { key }) => out.answer(&backend.trust(&key).await?)?,
            Some(PeersCommand::Forget { name }) => out.answer(&backend.forget(&name).await?)?,
        }
        Ok(Done::Yes)
    }
}
