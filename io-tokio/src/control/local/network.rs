//! Links and peers of a client that is open in this process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use softadastra_core::error::Code;
use softadastra_core::ids::{NodeId, ReplicaId};
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::NodeKey;
use softadastra_core::transport::ticket::Ticket;

use super::{Local, millis};
use crate::control::answer::{
    Connecting, Disconnected, Flow, Forgotten, Joined, Peer, PeerError, Peers, Refused, Ticket as TicketAnswer,
    Transport, Trusted,
};
use crate::control::backend::Peering;
use crate::control::fault::Fault;
use crate::model::{PeerInfo, PeerSync, Phase, Refusal};
use crate::network::{KnownPeer, PeerSpec};

/// Why links are not opened although they should be: told by whoever tries, shown to whoever asks.
#[derive(Clone, Debug, Default)]
pub struct TransportTrouble(Arc<Mutex<Option<String>>>);

impl TransportTrouble {
    /// Links cannot be opened, for this reason; or `None`: all is well.
    pub fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Peering for Local {
    async fn peers(&mut self) -> Result<Peers, Fault> {
        let (transport, sync) = (self.transport(), self.client.sync_state()?);
        let held = |replica| {
            let member = sync.members.iter().find(|member| member.replica == replica);
            member.map_or(0, |member| member.acknowledged)
        };
        let peers = if transport.running {
            self.client.peers()?.into_iter().map(|info| peer(info, held)).collect()
        } else {
            let named = self
                .client
                .named_peers()
                .into_iter()
                .map(|known| Peer { state: "configured".to_owned(), ..remembered((None, known)) });
            self.client.remembered_peers()?.into_iter().map(remembered).chain(named).collect()
        };
        let refused = self.client.refusals().into_iter().map(refused).collect();
        let forgotten = match self.client.forgotten_keys() {
            Ok(keys) => keys.iter().map(ToString::to_string).collect(),
            // Told with the transport.
            Err(_) if transport.running || transport.error.is_some() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Peers { transport, accepted: sync.outbox.last, peers, refused, forgotten })
    }

    async fn ticket(&mut self, addresses: &[String], new_secret: bool) -> Result<TicketAnswer, Fault> {
        let addresses = addresses.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
        let given = !addresses.is_empty();
        if new_secret {
            self.client.renew_network().await?;
        }
        let mut ticket = self.client.ticket(addresses).await?;
        if !given {
            ticket.addresses.extend(own_addresses(&self.client.listening()));
        }
        Ok(TicketAnswer {
            ticket: ticket.reveal().to_string(),
            public_key: ticket.key.to_string(),
            addresses: ticket.addresses.iter().map(ToString::to_string).collect(),
            secret: ticket.secret.is_some(),
        })
    }

    async fn join(&mut self, ticket: &str, leave: bool) -> Result<Joined, Fault> {
        let ticket: Ticket = ticket.parse().map_err(|error| {
            Fault::new(Code::InvalidArgument, format!("{error}"), "`softadastra ticket` there prints it")
        })?;
        if leave && let Some(secret) = &ticket.secret {
            self.client.set_network_secret(secret.clone()).await?;
        }
        self.client.join(&ticket).await?;
        Ok(Joined {
            public_key: ticket.key.to_string(),
            dialling: self.client.transport_running() && !ticket.addresses.is_empty(),
            addresses: ticket.addresses.iter().map(ToString::to_string).collect(),
        })
    }

    async fn connect(&mut self, spec: &str) -> Result<Connecting, Fault> {
        let peer = self.name_of(spec)?;
        self.client.connect(spec).await?;
        Ok(Connecting { peer })
    }

    async fn disconnect(&mut self, spec: &str) -> Result<Disconnected, Fault> {
        let peer = self.name_of(spec)?;
        self.client.disconnect(spec).await?;
        Ok(Disconnected { peer })
    }

    async fn trust(&mut self, key: &str) -> Result<Trusted, Fault> {
        let key: NodeKey = key.parse().map_err(|_| not_a_key(key))?;
        let new = self.client.trust(key).await?;
        Ok(Trusted { public_key: key.to_string(), new })
    }

    async fn forget(&mut self, name: &str) -> Result<Forgotten, Fault> {
        if name.contains(':') {
            return self.forget_address(name).await;
        }
        let mut forgotten = Forgotten::default();
        if let Ok(key) = name.parse::<NodeKey>() {
            if !self.client.forget_peer(key).await? {
                let what = format!("no peer is known by the key {name}");
                return Err(Fault::new(Code::NotFound, what, "see `softadastra peers` for those there are"));
            }
            forgotten.public_keys.push(key.to_string());
            return Ok(forgotten);
        }
        if let Some(key) = self.only_key_of(name)?
            && self.client.forget_peer(key).await?
        {
            forgotten.public_keys.push(key.to_string());
        }
        match self.client.forget(name).await {
            Ok(replicas) => forgotten.replica_ids = replicas.iter().map(ToString::to_string).collect(),
            Err(error) if error.code() == Code::NotFound && !forgotten.public_keys.is_empty() => {}
            Err(error) if error.code() == Code::NotFound => {
                let what = format!("no peer and no other replica is known as {name}");
                let next = "see `softadastra peers` and `softadastra sync status` for those there are";
                return Err(Fault::new(Code::NotFound, what, next));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(forgotten)
    }
}

impl Local {
    /// The links as a whole.
    pub(super) fn transport(&self) -> Transport {
        let running = self.client.transport_running();
        Transport {
            running,
            listening: self.client.listening().iter().map(ToString::to_string).collect(),
            error: if running { None } else { self.trouble.get() },
            trust: self.client.trust_mode().map(|mode| mode.as_str().to_owned()),
        }
    }

    /// The key of the one node that is known by this name; `None` when it has said none.
    fn only_key_of(&self, name: &str) -> Result<Option<NodeKey>, Fault> {
        let Ok(node) = NodeId::new(name) else { return Ok(None) };
        let keys = self.client.keys_of(&node)?;
        let members = self.client.sync_state()?.members;
        let replicas = members.iter().filter(|member| member.node == node && !member.forgotten).count();
        if keys.len() > 1 || replicas > 1 {
            return Err(Fault::new(
                Code::InvalidArgument,
                format!("more than one peer is known as {name}"),
                "name it by its public key (`softadastra peers --json`), or a history by its replica id (`softadastra sync \
                 status`)",
            ));
        }
        Ok(keys.into_iter().next())
    }

    /// Forgets a peer that is remembered by where it is, and with it the key that answers there, if that is known.
    async fn forget_address(&self, text: &str) -> Result<Forgotten, Fault> {
        let at = address(text)?;
        let keys = self.client.forget_address(&at).await?.ok_or_else(|| {
            let what = format!("no peer is remembered at {at}");
            Fault::new(Code::NotFound, what, "see `softadastra peers` for those there are")
        })?;
        let mut forgotten = Forgotten { addresses: vec![at.to_string()], ..Forgotten::default() };
        for key in keys {
            self.client.forget_peer(key).await?;
            forgotten.public_keys.push(key.to_string());
        }
        Ok(forgotten)
    }

    /// A peer as it may be shown, if there are links that it could have.
    fn name_of(&self, spec: &str) -> Result<String, Fault> {
        let spec: PeerSpec = spec.parse()?;
        if !self.running {
            return Err(Fault::new(
                Code::InvalidState,
                "no node runs on this data directory, so there are no links",
                "start one with `softadastra node start`; `softadastra join TICKET` works without",
            ));
        }
        Ok(spec.to_string())
    }
}

fn address(text: &str) -> Result<Address, Fault> {
    text.parse().map_err(|error| Fault::new(Code::InvalidArgument, format!("{text:?}: {error}"), "correct it"))
}

fn not_a_key(text: &str) -> Fault {
    let what = format!("{text:?} is no public key: those have 52 letters and digits");
    Fault::new(Code::InvalidArgument, what, "copy it from `softadastra node info` on that node")
}

/// Where a node that listens at all addresses of this machine can be dialled: its address on the way out.
fn own_addresses(listening: &[SocketAddr]) -> Vec<Address> {
    let everywhere = listening.iter().filter(|at| at.ip().is_unspecified());
    let mut found = Vec::new();
    for at in everywhere {
        let ways: &[IpAddr] = match at.ip() {
            IpAddr::V4(_) => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            IpAddr::V6(_) => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        };
        for ip in ways.iter().filter_map(|from| way_out(*from)) {
            let address = Address::from(SocketAddr::new(ip, at.port()));
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found
}

/// The address from which this machine reaches others. Nothing is sent: only the routing table is asked.
fn way_out(from: IpAddr) -> Option<IpAddr> {
    // Of the blocks that are kept for documentation: everybody's, and nobody's.
    let far = match from {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    };
    let socket = UdpSocket::bind(SocketAddr::new(from, 0)).ok()?;
    socket.connect(SocketAddr::new(far, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// A peer; `held` tells how many own operations a history holds.
fn peer(info: PeerInfo, held: impl Fn(ReplicaId) -> u64) -> Peer {
    Peer {
        node_id: info.node.map(|node| node.to_string()),
        public_key: info.key.map(|key| key.to_string()),
        addresses: info.addresses.iter().map(ToString::to_string).collect(),
        state: info.state.as_str().to_owned(),
        wanted: info.wanted,
        found: info.found,
        held: info.held,
        up_ms: info.up_for.map(millis),
        silent_ms: Some(millis(info.silent_for)),
        round_trip_us: info.round_trip.map(micros),
        last_error: info.last_error.map(|error| PeerError {
            code: error.code.to_owned(),
            message: error.text,
            needs_operator: error.needs_operator,
        }),
        failures: info.failures,
        next_dial_ms: info.next_dial_in.map(millis),
        sync: info.sync.map(|sync| flow(sync, held)),
    }
}

fn refused(refusal: Refusal) -> Refused {
    Refused {
        address: refusal.from.to_string(),
        code: refusal.code.to_owned(),
        message: refusal.text,
        count: refusal.count,
        last_at_ms: refusal.last.0,
    }
}

fn flow(sync: PeerSync, held: impl Fn(ReplicaId) -> u64) -> Flow {
    let phase = match sync.phase {
        Phase::Greeting => "greeting",
        Phase::Open => "open",
        Phase::FullExchange => "full_exchange",
        Phase::Closing => "closing",
    };
    Flow {
        phase: phase.to_owned(),
        replica_id: sync.replica.map(|replica| replica.to_string()),
        holds: sync.replica.map_or(0, held),
        acknowledged_lsn: sync.acknowledged.0,
        taken_lsn: sync.taken.0,
        lag: sync.lag,
        in_flight_bytes: sync.in_flight,
        clock_ahead_ms: sync.clock_ahead_ms,
    }
}

/// A peer that nobody dials while no links are opened.
fn remembered((node, known): (Option<NodeId>, KnownPeer)) -> Peer {
    Peer {
        node_id: node.map(|node| node.to_string()),
        public_key: known.key.map(|key| key.to_string()),
        addresses: known.addresses.iter().map(ToString::to_string).collect(),
        state: "remembered".to_owned(),
        wanted: !known.held,
        found: false,
        held: known.held,
        up_ms: None,
        silent_ms: None,
        round_trip_us: None,
        last_error: None,
        failures: 0,
        next_dial_ms: None,
        sync: None,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, ClientOptions, DiscoveryOptions, TransportOptions};

    #[tokio::test]
    async fn links_that_are_open_have_no_trouble() {
        let trouble = TransportTrouble::default();
        trouble.set(Some("the port is taken".to_owned()));
        let client = Client::open(ClientOptions::memory_only()).await.unwrap();
        let local = Local::for_a_node(client.clone(), trouble, DiscoveryOptions::default());
        assert_eq!(local.transport().error.as_deref(), Some("the port is taken"));
        // Whoever asks may come between the opening and the word of it.
        client.start_transport(TransportOptions::default()).await.unwrap();
        let open = Transport { running: true, trust: Some("open".to_owned()), ..Transport::default() };
        assert_eq!(local.transport(), open);
    }

    #[test]
    fn only_who_listens_everywhere_is_found_on_the_way_out() {
        assert!(own_addresses(&["127.0.0.1:4444".parse().unwrap()]).is_empty());
        for found in own_addresses(&["0.0.0.0:4444".parse().unwrap(), "[::]:4444".parse().unwrap()]) {
            assert!(found.as_str().ends_with(":4444") && !found.as_str().starts_with("127."), "{found}");
        }
    }
}
