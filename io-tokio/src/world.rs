//! What surrounds a node: a disk, a clock, a network, a seed. The driver is generic over it, so that the same driver runs
//! on this machine and inside a simulation.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use softadastra_core::dice::Seed;
use softadastra_core::discovery::Target;
use softadastra_core::error::{Code, Error};
use softadastra_core::metadata::Surroundings;
use softadastra_core::time::{Instant, Now, WallTime};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::discovery::{DiscoveryOptions, Survey, Trouble, TroubleKind};
use crate::network::Book;
use crate::tcp::Tcp;

/// Tells the time and wakes.
pub trait Clock: Send + Sync + 'static {
    /// Both clocks, now. Monotonic time never goes back.
    fn now(&self) -> Now;

    /// The monotonic one alone.
    fn mono(&self) -> Instant {
        self.now().mono
    }

    /// Completes when the monotonic clock shows `at` or more.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static;
}

/// Makes connections and takes them: ordered streams of bytes between two addresses.
pub trait Net: Send + Sync + 'static {
    /// Takes connections at one address, until it is dropped.
    type Listener: Send + 'static;
    /// What the other side sends. The connection is closed when both halves are dropped.
    type Reader: AsyncRead + Send + Unpin + 'static;
    /// What goes to the other side. Shutting it down says that nothing more comes.
    type Writer: AsyncWrite + Send + Unpin + 'static;
    /// Sends and receives datagrams, until it is dropped. [`NoRadio`] for a network without.
    type Radio: Radio;

    /// Opens what discovery speaks and listens by.
    ///
    /// # Errors
    /// The trouble that keeps it from being had; it is tried again.
    fn radio(&self, options: &DiscoveryOptions) -> Result<Self::Radio, Trouble>;

    /// The addresses of a host name, best first.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static;

    /// Listens, and says where: port 0 asks for any free one.
    fn listen(&self, at: SocketAddr)
    -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send + 'static;

    /// The next connection that somebody opens, and from where.
    fn accept(listener: &mut Self::Listener)
    -> impl Future<Output = io::Result<(Connection<Self>, SocketAddr)>> + Send;

    /// Opens a connection. Dropping the future gives up.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Connection<Self>>> + Send + 'static;
}

/// Sends and receives the datagrams of discovery.
pub trait Radio: Send + 'static {
    /// Looks which ways there are now, and listens there.
    fn survey(&mut self) -> Survey;

    /// Sends a datagram, or says why not. It never waits.
    ///
    /// # Errors
    /// What the system says.
    fn send(&mut self, to: Target, bytes: &[u8]) -> io::Result<()>;

    /// Waits until something may have arrived. Dropping the future loses nothing.
    fn ready(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Hands out what has arrived, about `most` datagrams at most, and says how many those were.
    ///
    /// # Errors
    /// What the system says; what was handed out before stays handed out.
    fn take(&mut self, most: usize, each: &mut (dyn FnMut(SocketAddr, &[u8]) + Send)) -> io::Result<usize>;
}

/// For networks without datagrams. There is none of it.
#[derive(Clone, Copy, Debug)]
pub enum NoRadio {}

impl NoRadio {
    /// What such a network answers when asked for one.
    ///
    /// # Errors
    /// Always.
    pub fn open() -> Result<Self, Trouble> {
        Err(Trouble::new(TroubleKind::NoNetwork, "this network has no datagrams"))
    }
}

impl Radio for NoRadio {
    fn survey(&mut self) -> Survey {
        match *self {}
    }

    fn send(&mut self, _: Target, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    async fn ready(&mut self) -> io::Result<()> {
        match *self {}
    }

    fn take(&mut self, _: usize, _: &mut (dyn FnMut(SocketAddr, &[u8]) + Send)) -> io::Result<usize> {
        match *self {}
    }
}

/// The two halves of a connection.
pub type Connection<N> = (<N as Net>::Reader, <N as Net>::Writer);

/// Everything a driver needs from outside.
#[derive(Debug)]
pub struct World<D, C, N = Tcp> {
    /// The log directory; `None` keeps everything in memory.
    pub disk: Option<D>,
    /// The time.
    pub clock: C,
    /// Where other nodes are.
    pub net: N,
    /// Who the node is on the network, and whom it knows there. A simulation hands the same one to each start of a node.
    pub book: Book,
    /// Where all randomness of this run comes from. Never the same twice, outside a simulation.
    pub seed: Seed,
    /// What the node says about the machine it runs on.
    pub surroundings: Surroundings,
}

impl<D> World<D, SystemClock> {
    /// This machine, with this disk, and a book of its own that nobody keeps.
    ///
    /// # Errors
    /// [`Code::IoError`] when the operating system has no random bytes.
    pub fn real(disk: Option<D>) -> Result<Self, Error> {
        let seed = system_seed()?;
        let book = Book::in_memory(&seed);
        Ok(Self { disk, clock: SystemClock::start(), net: Tcp, book, seed, surroundings: this_machine() })
    }
}

/// What can be found out about this machine. What cannot stays empty: a node works without.
#[must_use]
pub fn this_machine() -> Surroundings {
    Surroundings {
        display_name: String::new(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: ["discovery", "store", "sync", "transport", "wal"].map(str::to_owned).into(),
    }
}

/// The clocks of this machine. Monotonic time is tokio's, so that a paused runtime pauses it too.
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that starts now. Needs a tokio runtime with time enabled for [`Clock::sleep_until`].
    #[must_use]
    pub fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn mono(&self) -> Instant {
        Instant(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn now(&self) -> Now {
        // A wall clock before 1970 is shown as 1970; stamps never go back whatever it shows.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Now { mono: self.mono(), wall: WallTime(wall) }
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        let deadline = self.origin.checked_add(Duration::from_micros(at.0));
        async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                // Beyond what the machine can count: never.
                None => std::future::pending().await,
            }
        }
    }
}

/// 32 bytes from the operating system.
///
/// # Errors
/// [`Code::IoError`] when it has none to give.
pub fn system_seed() -> Result<Seed, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            Code::IoError,
            format!("the operating system gave no random bytes: {error}"),
            "check that /dev/urandom is there",
        )
    })?;
    Ok(Seed(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleeping_ends_when_the_clock_shows_the_deadline() {
        let clock = SystemClock::start();
        let deadline = clock.now().mono + Duration::from_secs(3);
        clock.sleep_until(deadline).await;
        let late = clock.now().mono.since(deadline);
        assert!(clock.now().mono >= deadline && late < Duration::from_millis(5), "{late:?}");
        // A deadline that has passed does not wait.
        clock.sleep_until(Instant(0)).await;
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(system_seed().unwrap(), system_seed().unwrap());
    }
}
