//! What an operator says of peers, keys and the network, and what the node tells him of them.

use super::*;
use crate::node::Presence;
use crate::transport::endpoint::{PeerId, PeerState};

impl Network {
    /// The number that host `of` gives to `peer`.
    fn number(&self, of: usize, peer: usize) -> PeerId {
        let peers = self.hosts[of].node.peers(self.now(of));
        let key = Some(Self::identity(peer).key());
        peers.iter().find(|status| status.link.key == key).expect("it is known").link.id
    }

    /// Names of those that are linked to a host, in the order in which they became known.
    fn linked(&self, host: usize) -> Vec<String> {
        let peers = self.hosts[host].node.peers(self.now(host));
        let up = peers.iter().filter(|peer| peer.link.state == PeerState::Connected);
        up.map(|peer| peer.link.node.clone().unwrap().to_string()).collect()
    }

    fn presence(host: usize) -> Presence {
        Presence {
            identity: Self::identity(host),
            secret: Some(NetworkSecret::from_bytes([9; 32])),
            settings: crate::discovery::Settings::default(),
            listeners: vec!["0.0.0.0:4000".parse().unwrap()],
            targets: Vec::new(),
            auto_connect: false,
        }
    }
}

fn invalid<T: core::fmt::Debug>(result: Result<T, Error>) -> bool {
    matches!(result, Err(error) if error.code() == Code::InvalidState)
}

#[test]
fn a_node_tells_its_key_its_links_and_each_of_its_peers() {
    let mut network = Network::of(3);
    let node = &network.hosts[0].node;
    assert_eq!((node.key(), node.count_links(), node.transport_running()), (None, (0, 0), false));
    assert!(node.trust().is_none() && node.peer_link(at(0), PeerId(1)).is_none());
    for host in 0..3 {
        network.start(host);
    }
    for to in [1, 2] {
        network.join(0, to);
    }
    network.settle();
    let (node, now) = (&network.hosts[0].node, network.now(0));
    assert_eq!((node.key(), node.count_links()), (Some(Network::identity(0).key()), (2, 0)));
    assert_eq!(node.required_acks(), Config::default().sync.required_acks);
    let pins: Vec<NodeKey> = node.trust().unwrap().pins().map(|(_, key)| *key).collect();
    assert_eq!(pins, [1, 2].map(|host| Network::identity(host).key()));
    for to in [1, 2] {
        let status = node.peer_link(now, network.number(0, to)).unwrap();
        assert_eq!(status.node.unwrap().as_str(), format!("n{to}"));
        assert_eq!(status.key, Some(Network::identity(to).key()));
    }
    for peer in node.peers(now) {
        assert_eq!(peer.sync.unwrap().node, peer.link.node, "what flows is told of the peer that it flows to");
    }
    let source: SocketAddr = "10.0.0.9:50000".parse().unwrap();
    network.hosts[0].node.incoming(now, source).unwrap();
    assert_eq!(network.hosts[0].node.count_links(), (3, 1), "one more that does not stand yet");
}

#[test]
fn how_many_must_acknowledge_is_what_was_configured() {
    for acks in [1, 2, 5] {
        let mut config = Config::default();
        config.sync.required_acks = acks;
        assert_eq!(Network::with(1, config).hosts[0].node.required_acks(), acks);
    }
}

#[test]
fn a_new_secret_ends_the_links_of_the_old_network_until_the_others_have_it_too() {
    let mut network = Network::mesh(2);
    let other = Some(NetworkSecret::from_bytes([7; 32]));
    let now = network.now(0);
    network.hosts[0].node.set_secret(now, other.clone()).unwrap();
    network.live(60_000);
    assert!(network.linked(0).is_empty() && network.linked(1).is_empty());
    let now = network.now(1);
    network.hosts[1].node.set_secret(now, other).unwrap();
    network.live(120_000);
    assert_eq!((network.linked(0), network.linked(1)), (vec!["n1".into()], vec!["n0".into()]));
}

#[test]
fn a_removed_peer_is_unlinked_and_unknown_and_its_key_still_trusted() {
    let mut network = Network::of(2);
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.settle();
    let (peer, now) = (network.number(0, 1), network.now(0));
    network.hosts[0].node.remove_peer(now, peer).unwrap();
    network.live(60_000);
    assert!(network.hosts[0].node.peers(network.now(0)).is_empty());
    assert!(network.linked(1).is_empty());
    let now = network.now(0);
    let again = network.hosts[0].node.remove_peer(now, peer).unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    network.join(0, 1);
    network.settle();
    assert_eq!(network.linked(0), ["n1"]);
}

#[test]
fn a_forgotten_key_may_be_pinned_anew_and_a_refused_one_stays_out_until_it_is_pardoned() {
    let mut network = Network::of(2);
    network.start(0);
    network.start(1);
    network.join(1, 0);
    network.settle();
    let (key, stranger) = (Network::identity(1).key(), Network::identity(5).key());

    let now = network.now(0);
    assert!(!network.hosts[0].node.forget_key(now, &stranger).unwrap(), "there was nothing to forget");
    assert!(network.hosts[0].node.forget_key(now, &key).unwrap());
    assert_eq!(network.hosts[0].node.trust().unwrap().pins().count(), 0);
    assert!(network.linked(0).is_empty(), "its link has ended");
    network.live(120_000);
    assert_eq!(network.linked(0), ["n1"], "whoever holds the secret may come again");

    let now = network.now(0);
    assert!(!network.hosts[0].node.refuse_key(now, stranger).unwrap(), "nothing was known of it");
    assert!(network.hosts[0].node.refuse_key(now, key).unwrap());
    network.live(120_000);
    assert!(network.linked(0).is_empty() && network.linked(1).is_empty());
    assert!(network.hosts[0].node.pardon_key(&key).unwrap());
    assert!(!network.hosts[0].node.pardon_key(&key).unwrap(), "it was pardoned before");
    let (peer, now) = (network.number(1, 0), network.now(1));
    network.hosts[1].node.connect(now, peer).unwrap();
    network.settle();
    assert_eq!(network.linked(0), ["n1"]);
}

#[test]
fn what_does_not_run_says_so_and_what_runs_is_not_started_twice() {
    let mut network = Network::of(1);
    let (now, key) = (network.now(0), Network::identity(1).key());
    let node = &mut network.hosts[0].node;
    assert!(invalid(node.set_secret(now, None)));
    assert!(invalid(node.add_peer(now, Some(key), Vec::new())));
    assert!(invalid(node.remove_peer(now, PeerId(1))));
    assert!(invalid(node.forget_key(now, &key)));
    assert!(invalid(node.refuse_key(now, key)));
    assert!(invalid(node.pardon_key(&key)));
    assert!(invalid(node.aim_discovery(now, Vec::new())));
    assert!(invalid(node.announce_listeners(now, Vec::new())));
    assert!(invalid(node.probe(now, None)));
    network.start(0);
    let node = &mut network.hosts[0].node;
    let links = super::super::super::Network {
        identity: Network::identity(0),
        secret: None,
        trust: Trust::new(TrustMode::Open, [], []),
        settings: endpoint::Settings::default(),
    };
    assert!(invalid(node.start_transport(now, links)));
    node.start_discovery(now, Network::presence(0)).unwrap();
    assert!(invalid(node.start_discovery(now, Network::presence(0))));
    assert!(node.discovery_running() && !node.auto_connects());
    node.stop_discovery(now);
    node.start_discovery(now, Presence { auto_connect: true, ..Network::presence(0) }).unwrap();
    assert!(node.auto_connects());
}

#[test]
fn discovery_is_aimed_asked_and_told_of_listeners_while_it_runs() {
    let mut network = Network::of(2);
    for host in 0..2 {
        let now = network.now(host);
        network.hosts[host].node.start_discovery(now, Network::presence(host)).unwrap();
    }
    network.settle();
    let heard = |network: &Network| network.hosts[1].node.discovery_status(network.now(1)).unwrap().nodes;
    assert!(heard(&network).is_empty(), "nobody was aimed at");

    let to = Target::Unicast("10.0.0.2:9000".parse().unwrap());
    let now = network.now(0);
    network.hosts[0].node.aim_discovery(now, vec![to]).unwrap();
    network.settle();
    assert_eq!(heard(&network).len(), 1);
    let status = network.hosts[0].node.discovery_status(network.now(0)).unwrap();
    assert_eq!(status.targets.len(), 1);

    let now = network.now(0);
    network.hosts[0].node.announce_listeners(now, vec!["10.0.0.1:4111".parse().unwrap()]).unwrap();
    network.settle();
    assert_eq!(heard(&network)[0].addresses[0], "10.0.0.1:4111".parse().unwrap());

    let now = network.now(1);
    network.hosts[1].node.probe(now, Some("10.0.0.1:9000".parse().unwrap())).unwrap();
    assert!(network.poll(1) && !network.air.is_empty(), "the question is on its way");
    let refused = (0..20).find_map(|_| network.hosts[1].node.probe(now, None).err());
    assert_eq!(refused.expect("not as often as one likes").code(), Code::Overloaded);
}

#[test]
fn what_a_node_can_do_is_what_is_at_work() {
    let mut network = Network::of(1);
    let now = network.now(0);
    let all = ["discovery", "store", "transport", "wal"].map(String::from);
    network.hosts[0].node.refresh_metadata(crate::metadata::Surroundings {
        hostname: "box".into(),
        capabilities: all.to_vec(),
        ..Default::default()
    });
    let can = |network: &Network| network.hosts[0].node.info(network.now(0)).capabilities;
    assert_eq!(network.hosts[0].node.info(now).hostname, "box");
    assert_eq!(can(&network), ["store", "wal"]);
    network.start(0);
    assert_eq!(can(&network), ["store", "transport", "wal"]);
    network.hosts[0].node.start_discovery(now, Network::presence(0)).unwrap();
    assert_eq!(can(&network), all);
    network.hosts[0].node.stop_transport(now);
    assert_eq!(can(&network), ["discovery", "store", "wal"]);
    let mut memory = Network::with(1, Config { durability: Durability::Memory, ..Config::default() });
    memory.hosts[0]
        .node
        .refresh_metadata(crate::metadata::Surroundings { capabilities: all.to_vec(), ..Default::default() });
    assert_eq!(can(&memory), ["store"]);
    assert!(network.hosts[0].node.log().is_some() && memory.hosts[0].node.log().is_none());
}

#[test]
fn a_node_with_nothing_to_do_at_once_names_a_later_moment() {
    let mut network = Network::of(2);
    assert!(network.hosts[0].node.poll_timeout().is_none_or(|due| due > network.now(0).mono));
    network.start(0);
    network.start(1);
    network.join(0, 1);
    network.settle();
    let due = network.hosts[0].node.poll_timeout().expect("links have deadlines");
    assert!(due > network.now(0).mono, "{due:?}");
    let now = network.now(0);
    network.hosts[0].node.start_discovery(now, Network::presence(0)).unwrap();
    network.settle();
    assert!(network.hosts[0].node.poll_timeout().unwrap() > network.now(0).mono);
}

#[test]
fn the_last_32_sessions_that_ended_can_still_be_spoken_of() {
    let mut network = Network::mesh(2);
    let (peer, mut ended) = (network.number(1, 0), 0);
    while ended < 36 {
        let now = network.now(1);
        network.hosts[1].node.disconnect(now, peer).unwrap();
        network.live(100);
        ended += 1;
        let now = network.now(1);
        network.hosts[1].node.connect(now, peer).unwrap();
        network.live(200);
    }
    let up = network.hosts[1].events.iter().filter(|event| matches!(event, Event::LinkUp { .. })).count() as u64;
    assert!(up > 33, "{up} sessions");
    let (node, now) = (&network.hosts[1].node, network.now(1));
    let known: Vec<u64> = (0..=up + 1).filter(|id| node.session_link(now, sync::PeerId(*id)).is_some()).collect();
    assert_eq!(known, (up - 32..=up).collect::<Vec<_>>(), "32 that ended and the one that stands");
}

#[test]
fn a_dial_that_nobody_answers_is_told() {
    let mut network = Network::of(2);
    network.start(0);
    network.cut.push((0, 1));
    network.join(0, 1);
    network.settle();
    assert!(network.hosts[0].events.iter().any(|event| matches!(event, Event::LinkFailed { .. })));
}

#[test]
fn short_links_that_bring_something_are_no_failures() {
    for brings in [true, false] {
        let mut network = Network::of(2);
        network.start(0);
        network.start(1);
        network.join(0, 1);
        network.settle();
        let mut failures = 0;
        for round in 0..4 {
            if brings {
                network.put(1, "k", &format!("{round}"));
            }
            network.live(1000);
            network.part(0, 1);
            network.mend(0, 1);
            failures = network.hosts[0].node.peers(network.now(0))[0].link.failures;
            network.live(4000);
        }
        assert_eq!(failures == 0, brings, "{failures} failures");
    }
}

#[test]
fn a_retry_dials_at_once_whom_a_pause_keeps_waiting() {
    let mut network = Network::of(2);
    network.start(0);
    network.start(1);
    network.cut.push((0, 1));
    network.join(0, 1);
    network.live(60_000);
    network.mend(0, 1);
    let waits = network.hosts[0].node.peers(network.now(0))[0].link.next_dial_in.expect("it is tried again");
    assert!(waits > Duration::from_millis(100), "{waits:?}");
    let now = network.now(0);
    network.hosts[0].node.retry(now);
    network.live(20);
    assert_eq!(network.linked(0), ["n1"]);
}

#[test]
fn a_link_that_ends_before_sync_has_said_who_it_is_bears_the_name_of_its_handshake() {
    let mut network = Network::of(3);
    (0..3).for_each(|host| network.start(host));
    network.join(1, 0);
    network.settle();
    network.join(2, 0);
    let named = |network: &Network, host: usize, up: bool| {
        network.hosts[host].events.iter().rev().find_map(|event| match event {
            Event::LinkUp { node, .. } if up => Some(node.to_string()),
            Event::LinkDown { node, .. } if !up => Some(node.to_string()),
            _ => None,
        })
    };
    while named(&network, 0, true).as_deref() != Some("n2") {
        assert!(network.step());
    }
    network.part(2, 0);
    while network.step() {}
    assert_eq!(named(&network, 0, false).as_deref(), Some("n2"));
}
