//! The simulated network, as the driver sees it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use softadastra::DiscoveryOptions;
use softadastra::discovery::Trouble;
use softadastra::world::{Connection, Net, NoRadio};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the simulation that is running.
#[derive(Clone, Debug)]
pub struct SimNet {
    /// The hosts there are. Asked for any other name, the simulation would invent an address.
    hosts: Arc<[String]>,
}

impl SimNet {
    /// The network of these hosts.
    #[must_use]
    pub const fn new(hosts: Arc<[String]>) -> Self {
        Self { hosts }
    }
}

impl Net for SimNet {
    type Listener = TcpListener;
    type Reader = OwnedReadHalf;
    type Writer = OwnedWriteHalf;
    type Radio = NoRadio;

    fn radio(&self, _: &DiscoveryOptions) -> Result<NoRadio, Trouble> {
        NoRadio::open()
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let known = self.hosts.iter().any(|name| name == host);
        let found = known.then(|| vec![SocketAddr::new(turmoil::lookup(host), port)]);
        std::future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<(TcpListener, SocketAddr)>> + Send + 'static {
        listen(at)
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(Connection<Self>, SocketAddr)> {
        let (stream, from) = listener.accept().await?;
        Ok((stream.into_split(), from))
    }

    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Connection<Self>>> + Send + 'static {
        connect(to)
    }
}

async fn listen(at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(at).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

async fn connect(to: SocketAddr) -> io::Result<Connection<SimNet>> {
    Ok(TcpStream::connect(to).await?.into_split())
}
