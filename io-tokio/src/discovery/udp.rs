//! The UDP sockets of this machine.
//!
//! Two for each family: one with a port of its own, by which everything leaves and to which answers come, and one at the
//! port of discovery, which it shares with the other nodes of the machine, and which joins the groups.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use softadastra_core::discovery::{GROUP_V4, GROUP_V6, Interface, Target};
use tokio::net::UdpSocket;

use super::interfaces::{self, Join, Plan};
use super::{DiscoveryOptions, Survey, Trouble};
use crate::world::Radio;

/// One byte more than any datagram of discovery: what fills it is too long.
const BUFFER: usize = 1201;

/// The sockets of discovery.
#[derive(Debug)]
pub struct Udp {
    options: DiscoveryOptions,
    own: Pair,
    shared: Pair,
    joined: BTreeSet<Join>,
    senders: BTreeMap<u32, Ipv4Addr>,
    buffer: Box<[u8; BUFFER]>,
}

/// A socket for each family that the machine has.
#[derive(Debug)]
struct Pair {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
}

impl Udp {
    /// Opens the sockets. Groups are joined by [`Radio::survey`].
    ///
    /// # Errors
    /// The trouble, when a socket cannot be had.
    pub fn open(options: &DiscoveryOptions) -> Result<Self, Trouble> {
        Ok(Self {
            own: Pair::bind(0)?,
            shared: Pair::bind(options.port)?,
            options: options.clone(),
            joined: BTreeSet::new(),
            senders: BTreeMap::new(),
            buffer: Box::new([0; BUFFER]),
        })
    }

    fn plan(&self) -> Plan {
        match interfaces::enumerate() {
            Ok(found) => interfaces::plan(&found, &self.options),
            Err(error) => {
                let trouble = Some(Trouble::of("list the network interfaces", &error));
                Plan { survey: Survey { trouble, ..Survey::default() }, ..Plan::default() }
            }
        }
    }

    /// Joins and leaves groups. An interface that cannot be listened on is told; the others are.
    fn join(&mut self, wanted: &BTreeSet<Join>) -> Option<Trouble> {
        let mut trouble = None;
        let gone: Vec<Join> = self.joined.difference(wanted).copied().collect();
        for join in gone {
            self.joined.remove(&join);
            // Of an interface that is gone the system knows no more.
            drop(self.shared.change_group(join, false));
        }
        let new: Vec<Join> = wanted.difference(&self.joined).copied().collect();
        for join in new {
            match self.shared.change_group(join, true) {
                Ok(()) => drop(self.joined.insert(join)),
                Err(error) => {
                    let (Join::V4(index) | Join::V6(index)) = join;
                    trouble = Some(Trouble::of(format_args!("listen to the group on interface {index}"), &error));
                }
            }
        }
        trouble
    }

    fn aim(&self, to: Target) -> io::Result<()> {
        let Target::Multicast { group, on } = to else { return Ok(()) };
        let gone = || io::Error::new(io::ErrorKind::AddrNotAvailable, "the interface has no address any more");
        match (group.ip(), on) {
            (_, Interface::Any) => Ok(()),
            (IpAddr::V4(_), Interface::Index(index)) => {
                let sender = self.senders.get(&index).ok_or_else(gone)?;
                SockRef::from(self.own.of(group)?).set_multicast_if_v4(sender)
            }
            (IpAddr::V4(_), Interface::Loopback) => {
                SockRef::from(self.own.of(group)?).set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            }
            (IpAddr::V6(_), Interface::Index(index)) => SockRef::from(self.own.of(group)?).set_multicast_if_v6(index),
            (IpAddr::V6(_), Interface::Loopback) => Err(gone()),
        }
    }
}

impl Radio for Udp {
    fn survey(&mut self) -> Survey {
        let Plan { mut survey, joins, senders } = self.plan();
        self.senders = senders;
        let trouble = self.join(&joins);
        survey.trouble = survey.trouble.or(trouble);
        survey
    }

    fn send(&mut self, to: Target, bytes: &[u8]) -> io::Result<()> {
        self.aim(to)?;
        let address = to.address();
        // Past the runtime: a datagram that the system has no room for now is lost like any other.
        let sent = SockRef::from(self.own.of(address)?).send_to(bytes, &address.into())?;
        debug_assert_eq!(sent, bytes.len(), "datagrams go whole");
        Ok(())
    }

    async fn ready(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = readable(self.own.v4.as_ref()) => ready,
            ready = readable(self.own.v6.as_ref()) => ready,
            ready = readable(self.shared.v4.as_ref()) => ready,
            ready = readable(self.shared.v6.as_ref()) => ready,
        }
    }

    fn take(&mut self, most: usize, each: &mut (dyn FnMut(SocketAddr, &[u8]) + Send)) -> io::Result<usize> {
        let sockets = [&self.own.v4, &self.own.v6, &self.shared.v4, &self.shared.v6];
        let mut taken = 0;
        // None of them can keep the others from being heard.
        for socket in sockets.into_iter().flatten() {
            for _ in 0..most.div_ceil(sockets.len()) {
                match socket.try_recv_from(&mut self.buffer[..]) {
                    Ok((len, from)) => {
                        taken += 1;
                        each(from, self.buffer.get(..len).unwrap_or_default());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(taken)
    }
}

impl Pair {
    fn bind(port: u16) -> Result<Self, Trouble> {
        let pair =
            Self { v4: bind(Ipv4Addr::UNSPECIFIED.into(), port)?, v6: bind(Ipv6Addr::UNSPECIFIED.into(), port)? };
        if pair.v4.is_none() && pair.v6.is_none() {
            let error = io::Error::from(io::ErrorKind::NetworkDown);
            return Err(Trouble::of("open a socket: this machine has neither IPv4 nor IPv6", &error));
        }
        Ok(pair)
    }

    /// The socket that speaks with this address.
    fn of(&self, address: SocketAddr) -> io::Result<&UdpSocket> {
        let socket = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        socket
            .as_ref()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NetworkUnreachable, "this machine lacks that family"))
    }

    fn change_group(&self, join: Join, enter: bool) -> io::Result<()> {
        match join {
            Join::V4(index) => {
                let socket = SockRef::from(self.of(SocketAddr::new(GROUP_V4.into(), 0))?);
                let on = InterfaceIndexOrAddress::Index(index);
                if enter {
                    socket.join_multicast_v4_n(&GROUP_V4, &on)
                } else {
                    socket.leave_multicast_v4_n(&GROUP_V4, &on)
                }
            }
            Join::V6(index) => {
                let socket = SockRef::from(self.of(SocketAddr::new(GROUP_V6.into(), 0))?);
                if enter {
                    socket.join_multicast_v6(&GROUP_V6, index)
                } else {
                    socket.leave_multicast_v6(&GROUP_V6, index)
                }
            }
        }
    }
}

/// A socket on all addresses of a family; `None` when the machine does not have it. Port 0 is one of its own.
fn bind(ip: IpAddr, port: u16) -> Result<Option<UdpSocket>, Trouble> {
    let at = SocketAddr::new(ip, port);
    let socket = match Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP)) {
        Ok(socket) => socket,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => return Ok(None),
        Err(error) => return Err(Trouble::of("open a UDP socket", &error)),
    };
    let opened = prepare(&socket, at).and_then(|()| UdpSocket::from_std(socket.into()));
    match opened {
        Ok(socket) => Ok(Some(socket)),
        // IPv6 that is switched off.
        Err(error) if ip.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable => Ok(None),
        Err(error) if port == 0 => Err(Trouble::of("open a UDP socket", &error)),
        Err(error) => Err(Trouble::of(format_args!("take UDP port {port}"), &error)),
    }
}

fn prepare(socket: &Socket, at: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
        // Groups of other programs are theirs.
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_broadcast(true)?;
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v4(false)?;
    }
    if at.port() != 0 {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    socket.bind(&at.into())
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}
