//! The simulated network, as the driver sees it. Around the connections of turmoil it adds what that has not: a
//! connection that is reset while both hosts live, and reads and writes that take only a piece of what is there.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};

use softadastra::DiscoveryOptions;
use softadastra::discovery::Trouble;
use softadastra::world::{Connection, Net, NoRadio};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

use super::host::hold;
use crate::chance;

/// The greatest piece, where only a piece is taken.
const PIECE: u64 = 64;

/// The halves of an end.
const READING: usize = 0;
const WRITING: usize = 1;

/// Every connection between hosts.
#[derive(Debug)]
pub struct Wires {
    salt: u64,
    pieces: u64,
    ends: Mutex<Ends>,
}

#[derive(Debug, Default)]
struct Ends {
    made: u64,
    open: Vec<Weak<End>>,
}

/// One host's end of a connection.
#[derive(Debug)]
struct End {
    here: usize,
    there: usize,
    salt: u64,
    pieces: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    /// Reads and writes that took something.
    takes: u64,
    /// Who reads, and who writes.
    waiting: [Option<Waker>; 2],
}

impl Wires {
    /// No connections yet. Of a hundred reads and writes, `pieces` will take only a piece.
    #[must_use]
    pub fn new(salt: u64, pieces: u64) -> Self {
        Self { salt, pieces, ends: Mutex::default() }
    }

    /// Resets all connections between two hosts, and says how many ends they had.
    pub fn cut(&self, a: usize, b: usize) -> usize {
        let open: Vec<Arc<End>> = hold(&self.ends).open.iter().filter_map(Weak::upgrade).collect();
        let between = |end: &&Arc<End>| (end.here, end.there) == (a, b) || (end.here, end.there) == (b, a);
        open.iter().filter(between).map(|end| end.cut()).filter(|cut| *cut).count()
    }

    fn lay(&self, here: usize, there: usize, stream: TcpStream) -> Connection<SimNet> {
        let mut ends = hold(&self.ends);
        ends.made += 1;
        let salt = chance::mix(self.salt, 300, ends.made);
        let end = Arc::new(End { here, there, salt, pieces: self.pieces, state: Mutex::default() });
        ends.open.retain(|end| end.strong_count() > 0);
        ends.open.push(Arc::downgrade(&end));
        let (reader, writer) = stream.into_split();
        (Reader { half: reader, end: end.clone() }, Writer { half: writer, end })
    }
}

impl End {
    /// Whether it still stood.
    fn cut(&self) -> bool {
        let mut state = hold(&self.state);
        let stood = !std::mem::replace(&mut state.cut, true);
        state.waiting.iter_mut().filter_map(Option::take).for_each(Waker::wake);
        stood
    }

    /// Wakes who polls when it is cut, or fails if it is.
    fn stands(&self, half: usize, cx: &Context<'_>) -> io::Result<()> {
        let mut state = hold(&self.state);
        if state.cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if let Some(waiting) = state.waiting.get_mut(half) {
            *waiting = Some(cx.waker().clone());
        }
        Ok(())
    }

    /// How much the next read or write takes at most, if it takes only a piece.
    fn piece(&self) -> Option<usize> {
        let takes = hold(&self.state).takes;
        let small = chance::percent(chance::mix(self.salt, takes, 0), self.pieces);
        small.then(|| 1 + chance::below(chance::mix(self.salt, takes, 1), PIECE) as usize)
    }

    fn took(&self) {
        hold(&self.state).takes += 1;
    }
}

/// What a peer sends.
#[derive(Debug)]
pub struct Reader {
    half: OwnedReadHalf,
    end: Arc<End>,
}

/// What goes to a peer.
#[derive(Debug)]
pub struct Writer {
    half: OwnedWriteHalf,
    end: Arc<End>,
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.end.stands(READING, cx)?;
        if let Some(most) = this.end.piece() {
            let mut bytes = [0; PIECE as usize];
            let room = most.min(into.remaining());
            let mut piece = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
            ready!(Pin::new(&mut this.half).poll_read(cx, &mut piece))?;
            into.put_slice(piece.filled());
        } else {
            ready!(Pin::new(&mut this.half).poll_read(cx, into))?;
        }
        this.end.took();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.end.stands(WRITING, cx)?;
        let most = this.end.piece().unwrap_or(bytes.len()).min(bytes.len());
        let written = ready!(Pin::new(&mut this.half).poll_write(cx, bytes.get(..most).unwrap_or(bytes)))?;
        this.end.took();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().half).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().half).poll_shutdown(cx)
    }
}

/// The network of one host in the simulation that is running.
#[derive(Clone, Debug)]
pub struct SimNet {
    me: usize,
    /// The hosts there are. Asked for any other name, the simulation would invent an address.
    hosts: Arc<[String]>,
    wires: Arc<Wires>,
}

/// A port that is open.
#[expect(missing_debug_implementations, reason = "the listener of turmoil has none")]
pub struct Listener {
    inner: TcpListener,
    net: SimNet,
}

impl SimNet {
    /// The network of host `me` among these hosts.
    #[must_use]
    pub const fn new(me: usize, hosts: Arc<[String]>, wires: Arc<Wires>) -> Self {
        Self { me, hosts, wires }
    }

    fn lay(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Connection<Self>> {
        let name = turmoil::reverse_lookup(peer.ip()).ok_or(io::ErrorKind::NotFound)?;
        let there = self.hosts.iter().position(|host| *host == name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.wires.lay(self.me, there, stream))
    }
}

impl Net for SimNet {
    type Listener = Listener;
    type Reader = Reader;
    type Writer = Writer;
    type Radio = NoRadio;

    fn radio(&self, _: &DiscoveryOptions) -> Result<NoRadio, Trouble> {
        NoRadio::open()
    }

    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static {
        let known = self.hosts.iter().any(|name| name == host);
        let found = known.then(|| vec![SocketAddr::new(turmoil::lookup(host), port)]);
        std::future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<(Listener, SocketAddr)>> + Send + 'static {
        let net = self.clone();
        async move {
            let inner = TcpListener::bind(at).await?;
            let bound = inner.local_addr()?;
            Ok((Listener { inner, net }, bound))
        }
    }

    async fn accept(listener: &mut Listener) -> io::Result<(Connection<Self>, SocketAddr)> {
        let (stream, from) = listener.inner.accept().await?;
        Ok((listener.net.lay(stream, from)?, from))
    }

    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Connection<Self>>> + Send + 'static {
        let net = self.clone();
        async move { net.lay(TcpStream::connect(to).await?, to) }
    }
}
