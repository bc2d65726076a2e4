//! The network of this machine: links over TCP, discovery over UDP.

use std::io;
use std::net::SocketAddr;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::discovery::{DiscoveryOptions, Trouble, Udp};
use crate::world::{Connection, Net};

/// Connections that may wait to be taken. In excess of it the system lets them hang, friends among strangers.
const BACKLOG: u32 = 1024;

/// The TCP of this machine, and for discovery its UDP. Needs a tokio runtime with I/O enabled.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Net for Tcp {
    type Listener = TcpListener;
    type Reader = OwnedReadHalf;
    type Writer = OwnedWriteHalf;
    type Radio = Udp;

    fn radio(&self, options: &DiscoveryOptions) -> Result<Udp, Trouble> {
        Udp::open(options)
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let host = host.to_owned();
        async move { Ok(lookup_host((host, port)).await?.collect()) }
    }

    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<(TcpListener, SocketAddr)>> + Send + 'static {
        std::future::ready(listen(at))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(Connection<Self>, SocketAddr)> {
        let (stream, from) = listener.accept().await?;
        // An IPv4 peer of a socket that serves both families is shown as what it is.
        Ok((split(stream)?, SocketAddr::new(from.ip().to_canonical(), from.port())))
    }

    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Connection<Self>>> + Send + 'static {
        connect(to)
    }
}

fn listen(at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A node that was just stopped leaves connections behind that the system still remembers.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    let listener = socket.listen(BACKLOG)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

async fn connect(to: SocketAddr) -> io::Result<Connection<Tcp>> {
    split(TcpStream::connect(to).await?)
}

fn split(stream: TcpStream) -> io::Result<Connection<Tcp>> {
    // Messages are gathered into records before they come here; waiting for more would only delay answers.
    stream.set_nodelay(true)?;
    Ok(stream.into_split())
}
