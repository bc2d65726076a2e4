//! Opening the addresses at which a node is to be reached, all of them or none.

use std::io;
use std::net::SocketAddr;

use softadastra_core::error::{Code, Error};
use softadastra_core::transport::trust::Trust;

use super::dial::resolve;
use crate::world::Net;

/// Listeners and where they are.
pub(in super::super) type Bound<N> = (Vec<<N as Net>::Listener>, Vec<SocketAddr>);

/// Listens at every address that `listen` stands for, if the rules of trust are strict enough for them.
///
/// # Errors
/// [`Code::InvalidArgument`] for what is no address, and by [`Trust::check`]; [`Code::TransportError`] when a name
/// cannot be resolved or an address cannot be had.
pub(in super::super) async fn bind<N: Net>(
    net: &N,
    listen: &[String],
    trust: &Trust,
    has_secret: bool,
    insecure: bool,
) -> Result<Bound<N>, Error> {
    let mut addresses = Vec::new();
    for text in listen {
        let found = resolve(net, text).await.map_err(|error| unusable(text, &error))?;
        if found.is_empty() {
            return Err(unusable(text, &io::Error::other("the name has no address")));
        }
        addresses.extend(found);
    }
    let beyond_loopback = addresses.iter().any(|address| !address.ip().to_canonical().is_loopback());
    trust.check(has_secret, beyond_loopback, insecure)?;
    let (mut listeners, mut bound) = (Vec::new(), Vec::new());
    for at in addresses {
        let (listener, address) = net.listen(at).await.map_err(|error| unusable(&at.to_string(), &error))?;
        listeners.push(listener);
        bound.push(address);
    }
    Ok((listeners, bound))
}

fn unusable(text: &str, error: &io::Error) -> Error {
    let (code, next) = match error.kind() {
        io::ErrorKind::InvalidInput => (Code::InvalidArgument, "give HOST:PORT, such as 0.0.0.0:4444 or [::1]:4444"),
        io::ErrorKind::AddrInUse => {
            (Code::TransportError, "another program, or this node, listens there: choose another port or stop that one")
        }
        io::ErrorKind::AddrNotAvailable => {
            (Code::TransportError, "give an address of this machine, or 0.0.0.0 for all of them")
        }
        io::ErrorKind::PermissionDenied => (Code::TransportError, "choose a port above 1023"),
        _ => (Code::TransportError, "check the name and the network of this machine"),
    };
    Error::new(code, format!("cannot listen at {text:?}: {error}"), next)
}
