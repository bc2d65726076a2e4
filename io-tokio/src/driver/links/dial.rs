//! Making one connection: the name first, then its addresses in turn.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use softadastra_core::transport::address::Address;
use tokio::time::timeout;

use crate::world::{Connection, Net};

/// For a name to be resolved. Resolvers ask their servers for far longer; a dial is soon tried again.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// For one address to answer while there are others. The node ends the whole dial when it has had enough.
const TRY_FOR: Duration = Duration::from_secs(2);

/// The most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Connects to the first address that answers, or tells what became of the last one.
pub(super) async fn run<N: Net>(net: &N, address: &Address) -> Result<Connection<N>, String> {
    let addresses = resolve(net, address.as_str()).await.map_err(|error| format!("{address}: {error}"))?;
    let mut failure = format!("{address}: the name has no address");
    let mut left = addresses.len();
    for at in addresses {
        left -= 1;
        let connected = match net.connect(at) {
            connecting if left == 0 => connecting.await,
            connecting => timeout(TRY_FOR, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        match connected {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = format!("{at}: {error}"),
        }
    }
    Err(failure)
}

/// The addresses that a text stands for: one if it is one, else those of the name.
pub(super) async fn resolve<N: Net>(net: &N, text: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let unclear = || io::Error::new(io::ErrorKind::InvalidInput, "it is not HOST:PORT, IPv6 in brackets");
    let (host, port) = text.rsplit_once(':').ok_or_else(unclear)?;
    let port = port.parse().map_err(|_| unclear())?;
    // An IPv6 address with a zone, which only the resolver understands.
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(unclear());
    }
    let resolved = timeout(RESOLVE_WITHIN, net.resolve(host, port)).await;
    let resolved =
        resolved.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time"))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in resolved? {
        if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
            addresses.push(address);
        }
    }
    Ok(addresses)
}
