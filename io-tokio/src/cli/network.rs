//! `softadastra ticket`, `join`, `connect`, `disconnect` and `peers`.

use std::io::{self, Read as _};

use softadastra_core::error::Code;
use softadastra_core::transport::ticket::Ticket as AnyTicket;

use super::args::PeersCommand;
use super::output::{Done, Failure, Output};
use super::site::Act;
use crate::control::{Backend, Fault};

/// `softadastra ticket`.
pub(super) struct Ticket {
    pub(super) addresses: Vec<String>,
}

impl Act for Ticket {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        let ticket = backend.ticket(&self.addresses).await?;
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
}

impl Join {
    /// Reads the ticket, before anything is opened or locked.
    pub(super) fn of(ticket: String) -> Result<Self, Failure> {
        let ticket = if ticket == "-" { read_ticket()? } else { ticket };
        ticket.parse::<AnyTicket>().map_err(|error| {
            let next = "copy it whole from `softadastra ticket`";
            Failure::Usage(Fault::new(Code::InvalidArgument, error.to_string(), next))
        })?;
        Ok(Self { ticket })
    }
}

/// Reads a ticket from stdin, and no more than any ticket is long.
fn read_ticket() -> Result<String, Failure> {
    let mut text = String::new();
    let most = AnyTicket::MAX_LEN as u64 + 1024;
    io::stdin().lock().take(most).read_to_string(&mut text).map_err(|error| Fault::io("read stdin", &error))?;
    Ok(text)
}

impl Act for Join {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.join(&self.ticket).await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra connect`.
pub(super) struct Connect {
    pub(super) peer: String,
}

impl Act for Connect {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.connect(&self.peer).await?)?;
        Ok(Done::Yes)
    }
}

/// `softadastra disconnect`.
pub(super) struct Disconnect {
    pub(super) peer: String,
}

impl Act for Disconnect {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        out.answer(&backend.disconnect(&self.peer).await?)?;
        Ok(Done::Yes)
    }
}

impl Act for Option<PeersCommand> {
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure> {
        match self {
            None => out.answer(&backend.peers().await?)?,
            Some(PeersCommand::Trust { key }) => out.answer(&backend.trust(&key).await?)?,
            Some(PeersCommand::Forget { name }) => out.answer(&backend.forget(&name).await?)?,
        }
        Ok(Done::Yes)
    }
}
