//! Nodes that know nobody, and find each other.

use super::*;
use crate::discovery::{GROUP_V4, Interface, Loss, NodeState, Target};
use crate::node::{DatagramFact, Presence};
use core::net::IpAddr;

const GROUP: Target = Target::Multicast { group: SocketAddr::new(IpAddr::V4(GROUP_V4), 4444), on: Interface::Any };

impl Network {
    /// The next datagram arrives wherever it can.
    pub(super) fn deliver(&mut self) -> bool {
        let Some((sender, to, bytes)) = self.air.pop_front() else { return false };
        let from: SocketAddr = format!("10.0.0.{}:9000", sender + 1).parse().unwrap();
        for host in 0..self.hosts.len() {
            let reached = match to {
                Target::Unicast(address) => address.to_string() == format!("10.0.0.{}:9000", host + 1),
                Target::Multicast { .. } | Target::Broadcast(_) => host != sender,
            };
            if reached && !self.is_cut(sender, host) {
                let now = self.now(host);
                let fact = DatagramFact::Arrived { from, bytes: bytes.clone() };
                self.hosts[host].node.handle(now, Input::Datagram(fact));
            }
        }
        true
    }

    fn discover(&mut self, host: usize, secret: u8, auto_connect: bool) {
        let now = self.now(host);
        let presence = Presence {
            identity: Self::identity(host),
            secret: Some(NetworkSecret::from_bytes([secret; 32])),
            settings: crate::discovery::Settings::default(),
            listeners: vec!["0.0.0.0:4000".parse().unwrap()],
            targets: vec![GROUP],
            auto_connect,
        };
        self.hosts[host].node.start_discovery(now, presence).unwrap();
    }

    fn found(&self, host: usize) -> Vec<String> {
        let status = self.hosts[host].node.discovery_status(self.now(host)).unwrap();
        let there = status.nodes.into_iter().filter(|node| node.state != NodeState::Expired);
        let mut names: Vec<_> = there.map(|node| node.node.to_string()).collect();
        names.sort();
        names
    }

    fn connected(&self, host: usize) -> usize {
        self.hosts[host].node.status().connected
    }

    fn dialled(&self, host: usize) -> usize {
        let peers = self.hosts[host].node.peers(self.now(host));
        peers.iter().filter(|peer| peer.found && peer.link.wanted).count()
    }
}

#[test]
fn nodes_that_find_each_other_converge_without_being_told_of_each_other() {
    let mut network = Network::of(3);
    for host in 0..3 {
        network.start(host);
        network.discover(host, 9, true);
    }
    network.put(0, "till", "open");
    network.put(2, "desk", "closed");
    network.settle();
    network.assert_converged();
    assert_eq!(network.value(2, "till").as_deref(), Some("open"));
    assert_eq!((network.found(1), network.connected(1)), (vec!["n0".into(), "n2".into()], 2));
}

#[test]
fn found_is_not_dialled_unless_the_operator_wants_that() {
    let mut network = Network::of(2);
    for host in 0..2 {
        network.start(host);
        network.discover(host, 9, false);
    }
    network.settle();
    assert_eq!((network.found(0), network.connected(0)), (vec!["n1".into()], 0));
    assert!(network.hosts[0].node.peers(network.now(0)).is_empty(), "nobody is remembered as a peer");
}

#[test]
fn another_network_is_neither_found_nor_dialled() {
    let mut network = Network::of(2);
    for (host, secret) in [(0, 9), (1, 8)] {
        network.start(host);
        network.discover(host, secret, true);
    }
    network.settle();
    assert!(network.found(0).is_empty() && network.found(1).is_empty());
    let status = network.hosts[0].node.discovery_status(network.now(0)).unwrap();
    assert!(status.counters.ignored[&crate::discovery::Ignored::Unauthenticated] > 0);
    assert_eq!(network.connected(0), 0);
}

#[test]
fn whoever_leaves_is_dialled_no_more_and_whoever_comes_back_is() {
    let mut network = Network::of(2);
    for host in 0..2 {
        network.start(host);
        network.discover(host, 9, host == 0);
    }
    network.settle();
    assert_eq!((network.connected(0), network.dialled(0)), (1, 1));

    let now = network.now(1);
    network.hosts[1].node.stop_discovery(now);
    network.settle();
    let lost = network.hosts[0].events.iter().any(|event| matches!(event, Event::NodeLost { why: Loss::Goodbye, .. }));
    assert!(lost, "{:?}", network.hosts[0].events);
    assert_eq!((network.connected(0), network.dialled(0)), (1, 0), "the link stays");
    network.part(0, 1);
    network.mend(0, 1);
    network.live(60_000);
    assert_eq!(network.connected(0), 0, "but it is not made again");

    network.discover(1, 9, false);
    network.settle();
    assert_eq!((network.connected(0), network.dialled(0)), (1, 1));
}

#[test]
fn what_the_operator_says_of_a_peer_outweighs_that_it_was_found() {
    let mut network = Network::of(2);
    for host in 0..2 {
        network.start(host);
        network.discover(host, 9, host == 0);
    }
    network.settle();
    let peer = network.hosts[0].node.peers(network.now(0))[0].link.id;
    let now = network.now(0);
    network.hosts[0].node.disconnect(now, peer).unwrap();
    // It is started anew, and so announces itself in all its youth.
    let now = network.now(1);
    network.hosts[1].node.stop_discovery(now);
    network.discover(1, 9, false);
    network.settle();
    assert_eq!(network.connected(0), 0, "disconnected by hand");

    let now = network.now(0);
    network.hosts[0].node.connect(now, peer).unwrap();
    assert!(!network.hosts[0].node.peers(now)[0].found, "no longer for the one reason that it was found");
    let now = network.now(1);
    network.hosts[1].node.stop_discovery(now);
    network.settle();
    let peers = network.hosts[0].node.peers(network.now(0));
    assert!(peers[0].link.wanted && !peers[0].found, "wanted by hand, it is wanted for good");
}

#[test]
fn without_a_secret_only_listed_keys_are_dialled() {
    let mut network = Network::of(3);
    for host in 0..3 {
        let now = network.now(host);
        let links = super::super::super::Network {
            identity: Network::identity(host),
            secret: None,
            trust: Trust::new(TrustMode::Open, [], []),
            settings: endpoint::Settings::default(),
        };
        network.hosts[host].node.start_transport(now, links).unwrap();
        network.discover(host, 9, host == 0);
    }
    network.settle();
    assert_eq!((network.found(0).len(), network.connected(0)), (2, 0));
    let now = network.now(0);
    network.hosts[0].node.trust_key(now, Network::identity(2).key()).unwrap();
    network.settle();
    assert_eq!(network.connected(0), 1);
    assert_eq!(network.hosts[0].node.peers(network.now(0))[0].link.key, Some(Network::identity(2).key()));
}

#[test]
fn links_that_are_opened_late_go_to_whoever_was_found_before() {
    let mut network = Network::of(2);
    for host in 0..2 {
        network.discover(host, 9, true);
    }
    network.settle();
    assert_eq!((network.found(0), network.connected(0)), (vec!["n1".into()], 0));
    for host in 0..2 {
        network.start(host);
    }
    network.settle();
    assert_eq!(network.connected(0), 1);

    let now = network.now(0);
    network.hosts[0].node.close(now);
    network.settle();
    assert!(network.found(1).is_empty(), "a clean close says goodbye");
}

#[test]
fn a_silent_node_hears_everybody_and_says_nothing() {
    let mut network = Network::of(2);
    let now = network.now(0);
    let presence = Presence {
        identity: Network::identity(0),
        secret: Some(NetworkSecret::from_bytes([9; 32])),
        settings: crate::discovery::Settings { silent: true, ..Default::default() },
        listeners: Vec::new(),
        targets: vec![GROUP],
        auto_connect: false,
    };
    network.hosts[0].node.start_discovery(now, presence).unwrap();
    network.discover(1, 9, false);
    network.live(60_000);
    let now = network.now(0);
    network.hosts[0].node.stop_discovery(now);
    network.settle();
    let counters = network.hosts[0].node.discovery_status(network.now(0)).unwrap().counters;
    assert_eq!((counters.sent, counters.believed > 3), (0, true), "{counters:?}");
    assert!(network.found(1).is_empty());
    assert_eq!(network.found(0), ["n1"]);
}

#[test]
fn who_was_added_by_hand_or_is_found_by_nobody_any_more_is_dialled_for_no_such_reason() {
    let mut network = Network::of(3);
    for host in 0..3 {
        network.start(host);
        network.discover(host, 9, host == 0);
    }
    network.settle();
    assert_eq!((network.connected(0), network.dialled(0)), (2, 2));
    network.join(0, 1);
    assert_eq!(network.dialled(0), 1, "the other one alone");
    let now = network.now(0);
    network.hosts[0].node.stop_discovery(now);
    assert_eq!((network.connected(0), network.dialled(0)), (2, 0), "links stay");
    assert!(network.hosts[0].node.peers(now).iter().all(|peer| !peer.found));
    for other in [1, 2] {
        network.part(0, other);
        network.mend(0, other);
    }
    network.live(60_000);
    let linked = network.hosts[0].node.peers(network.now(0));
    let up: Vec<_> = linked.iter().filter(|peer| peer.sync.is_some()).map(|peer| peer.link.key.unwrap()).collect();
    assert_eq!(up, [Network::identity(1).key()]);
}
