//! A network inside the process, for the tests of this crate: no sockets, and failures on command.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;

use crate::discovery::{DiscoveryOptions, Trouble};
use crate::world::{Connection, Net, NoRadio};

/// Bytes that one direction of a connection holds.
const HOLDS: usize = 8 << 10;

type Arrivals = mpsc::UnboundedSender<(DuplexStream, SocketAddr)>;

/// One network; clones are on the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wires {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    listening: Mutex<BTreeMap<SocketAddr, Arrivals>>,
    ports: AtomicU64,
    failures: AtomicU64,
    asked: AtomicU64,
}

/// Takes connections at one address.
#[derive(Debug)]
pub(crate) struct Listening {
    arrivals: mpsc::UnboundedReceiver<(DuplexStream, SocketAddr)>,
    shared: Arc<Shared>,
}

impl Wires {
    /// The next so many connections cannot be taken when asked for.
    pub(crate) fn fail_to_accept(&self, times: u64) {
        self.shared.failures.store(times, Ordering::SeqCst);
    }

    /// How often a connection was asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Net for Wires {
    type Listener = Listening;
    type Reader = ReadHalf<DuplexStream>;
    type Writer = WriteHalf<DuplexStream>;
    type Radio = NoRadio;

    fn radio(&self, _: &DiscoveryOptions) -> Result<NoRadio, Trouble> {
        NoRadio::open()
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let known = (host == "wire").then(|| vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]);
        std::future::ready(known.ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn listen(&self, mut at: SocketAddr) -> impl Future<Output = io::Result<(Listening, SocketAddr)>> + Send + 'static {
        if at.port() == 0 {
            at.set_port(1 + u16::try_from(self.shared.ports.fetch_add(1, Ordering::SeqCst)).unwrap());
        }
        let (sender, arrivals) = mpsc::unbounded_channel();
        self.shared.listening.lock().unwrap().insert(at, sender);
        std::future::ready(Ok((Listening { arrivals, shared: self.shared.clone() }, at)))
    }

    async fn accept(listener: &mut Listening) -> io::Result<(Connection<Self>, SocketAddr)> {
        listener.shared.asked.fetch_add(1, Ordering::SeqCst);
        let failures = &listener.shared.failures;
        if failures.load(Ordering::SeqCst) > 0 {
            failures.fetch_sub(1, Ordering::SeqCst);
            return Err(io::Error::other("too many open files"));
        }
        match listener.arrivals.recv().await {
            Some((stream, from)) => Ok((split(stream), from)),
            None => std::future::pending().await,
        }
    }

    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Connection<Self>>> + Send + 'static {
        let (near, far) = duplex(HOLDS);
        let from = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9);
        let arrivals = self.shared.listening.lock().unwrap().get(&to).cloned();
        let taken = arrivals.is_some_and(|arrivals| arrivals.send((far, from)).is_ok());
        std::future::ready(if taken { Ok(split(near)) } else { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}
