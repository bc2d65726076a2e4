//! Nodes of one machine that find each other over the loopback interface.

use super::network::{SOON, agree, at, event, memory, shows};
use super::*;
use crate::discovery::{DiscoveryMode, DiscoveryOptions, TroubleKind};
use crate::model::FoundState;
use crate::watch::{Event, Events};
use softadastra_core::discovery::{Ignored, Loss};
use softadastra_core::identity::NetworkSecret;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::timeout;

/// A port that no other test uses.
fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

fn nearby(port: u16) -> DiscoveryOptions {
    let mut options = DiscoveryOptions { port, interfaces: vec!["127.0.0.1".into()], ..DiscoveryOptions::default() };
    options.settings.first_interval = Duration::from_millis(100);
    options
}

fn dialling(port: u16) -> DiscoveryOptions {
    DiscoveryOptions { auto_connect: true, ..nearby(port) }
}

async fn member(name: &str, secret: u8) -> Client {
    let client = memory(name).await;
    client.set_network_secret(NetworkSecret::from_bytes([secret; 32])).await.unwrap();
    client
}

async fn found(events: &mut Events) -> String {
    let name = |event| match event {
        Event::NodeFound(sighting) => Some(sighting.node.to_string()),
        _ => None,
    };
    event(events, name).await
}

/// Waits until discovery says what is looked for.
async fn state<T>(client: &Client, mut wanted: impl FnMut(crate::DiscoveryState) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = wanted(client.discovery_state().unwrap()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, search).await.unwrap_or_else(|_| panic!("{:?}", client.discovery_state()))
}

fn trouble(state: crate::DiscoveryState) -> Option<TroubleKind> {
    state.trouble.map(|trouble| trouble.kind)
}

#[tokio::test]
async fn nodes_of_one_machine_find_each_other_and_learn_of_a_leave() {
    let port = free_port();
    let (a, b) = (member("a", 1).await, member("b", 1).await);
    let (mut of_a, mut of_b) = (a.events().unwrap(), b.events().unwrap());
    let listening = b.start_transport(at("127.0.0.1:0")).await.unwrap();
    a.start_discovery(nearby(port)).await.unwrap();
    b.start_discovery(nearby(port)).await.unwrap();
    assert_eq!((found(&mut of_a).await, found(&mut of_b).await), ("b".into(), "a".into()));

    let node = a.discovered().unwrap().pop().unwrap();
    assert_eq!((node.key, node.addresses, node.state), (b.key().unwrap(), listening, FoundState::Available));
    assert!(!node.connected && a.peers().unwrap().is_empty(), "found is not connected");
    let state = a.discovery_state().unwrap();
    assert_eq!((state.running, state.mode, state.found), (true, Some(DiscoveryMode::Announce), 1));
    assert_eq!(state.trouble, None, "{state:?}");
    assert_eq!(state.targets[0].target, format!("multicast 239.255.83.65:{port} on loopback"));

    b.stop_discovery().await.unwrap();
    assert!(!b.discovery_running() && !b.discovery_state().unwrap().running);
    let why = |event| match event {
        Event::NodeLost { why, .. } => Some(why),
        _ => None,
    };
    assert_eq!(event(&mut of_a, why).await, Loss::Goodbye);
    assert_eq!(a.discovered().unwrap()[0].state, FoundState::Expired);

    b.start_discovery(nearby(port)).await.unwrap();
    assert_eq!(found(&mut of_a).await, "b");
    let again = b.start_discovery(nearby(port)).await;
    assert_eq!(code(again), Code::InvalidState);
    b.close().await.unwrap();
    assert_eq!(event(&mut of_a, why).await, Loss::Goodbye, "a close says goodbye, too");
}

#[tokio::test]
async fn who_is_found_is_dialled_if_that_is_wanted_and_data_converges() {
    let port = free_port();
    let (a, b, c) = (member("a", 1).await, member("b", 1).await, member("c", 1).await);
    for client in [&a, &b, &c] {
        client.start_discovery(dialling(port)).await.unwrap();
    }
    // Links are taken only now, and that is announced.
    for client in [&a, &b, &c] {
        client.start_transport(at("127.0.0.1:0")).await.unwrap();
    }
    a.put("from a", "1").await.unwrap();
    c.put("from c", "3").await.unwrap();
    for client in [&a, &b, &c] {
        shows(client, "from a", Some("1")).await;
        shows(client, "from c", Some("3")).await;
    }
    agree(&a, &b).await;
    assert!(a.peers().unwrap().iter().any(|peer| peer.found), "{:?}", a.peers());
    assert!(a.remembered_peers().unwrap().is_empty(), "what was found is not remembered");
}

#[tokio::test]
async fn another_network_is_counted_and_not_found() {
    let port = free_port();
    let (a, b) = (member("a", 1).await, member("b", 2).await);
    for client in [&a, &b] {
        client.start_discovery(nearby(port)).await.unwrap();
    }
    let strangers = |state: crate::DiscoveryState| {
        let count = state.counters.ignored.get(&Ignored::Unauthenticated).copied().unwrap_or(0);
        (count >= 2).then_some(())
    };
    state(&a, strangers).await;
    state(&b, strangers).await;
    assert!(a.discovered().unwrap().is_empty() && b.discovered().unwrap().is_empty());

    // With the right secret, discovery goes on under it by itself.
    let mut events = a.events().unwrap();
    b.set_network_secret(NetworkSecret::from_bytes([1; 32])).await.unwrap();
    assert_eq!(found(&mut events).await, "b");
}

#[tokio::test]
async fn a_port_that_another_program_keeps_is_told_and_tried_again() {
    let port = free_port();
    let keeper = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    let (a, b) = (member("a", 1).await, member("b", 1).await);
    a.start_transport(at("127.0.0.1:0")).await.unwrap();
    a.start_discovery(nearby(port)).await.unwrap();
    state(&a, |state| (trouble(state) == Some(TroubleKind::PortInUse)).then_some(())).await;
    let trouble_of_a = a.discovery_state().unwrap().trouble.unwrap();
    assert!(trouble_of_a.what.contains(&format!("UDP port {port}")), "{trouble_of_a}");
    assert!(a.discovery_running() && a.transport_running(), "links are not touched");
    a.put("k", "v").await.unwrap();

    drop(keeper);
    let mut events = a.events().unwrap();
    b.start_discovery(nearby(port)).await.unwrap();
    assert_eq!(found(&mut events).await, "b");
    state(&a, |state| trouble(state).is_none().then_some(())).await;
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_told() {
    let a = member("a", 1).await;
    let options = DiscoveryOptions { interfaces: vec!["nowhere7".into()], ..nearby(free_port()) };
    a.start_discovery(options).await.unwrap();
    let told = state(&a, |state| state.trouble).await;
    assert_eq!(told.kind, TroubleKind::NoInterface);
    assert!(told.what.contains("nowhere7"), "{told}");
    a.stop_discovery().await.unwrap();
    a.stop_discovery().await.unwrap();
    assert_eq!(a.discovery_state().unwrap().trouble, None);
}

#[tokio::test]
async fn a_network_without_datagrams_leaves_everything_else_alone() {
    let world = crate::world::World::<crate::disk::FsDisk, _>::real(None).unwrap();
    let world = crate::world::World {
        disk: world.disk,
        clock: world.clock,
        net: crate::testing::Wires::default(),
        book: world.book,
        seed: world.seed,
        surroundings: world.surroundings,
    };
    let a = Client::open_with(world, ClientOptions::memory_only()).await.unwrap();
    a.start_discovery(DiscoveryOptions::default()).await.unwrap();
    state(&a, |state| (trouble(state) == Some(TroubleKind::NoNetwork)).then_some(())).await;
    a.put("k", "v").await.unwrap();
    a.stop_discovery().await.unwrap();
    a.close().await.unwrap();
}

#[tokio::test]
async fn whoever_only_listens_finds_and_is_not_found() {
    let port = free_port();
    let (a, b) = (member("a", 1).await, member("b", 1).await);
    let mut events = a.events().unwrap();
    a.start_discovery(DiscoveryOptions { mode: DiscoveryMode::Listen, ..nearby(port) }).await.unwrap();
    state(&a, |state| (!state.interfaces.is_empty()).then_some(())).await;
    b.start_discovery(nearby(port)).await.unwrap();
    assert_eq!(found(&mut events).await, "b");
    assert_eq!(a.discovery_state().unwrap().counters.sent, 0);
    assert!(b.discovered().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_rule_nobody_is_dialled_by_chance() {
    let a = memory("a").await;
    let refused = a.start_discovery(dialling(free_port())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.what().contains("auto_connect"), "{refused}");
    assert!(!a.discovery_running());
    a.start_discovery(nearby(free_port())).await.unwrap();
}

#[tokio::test]
async fn one_host_can_be_asked_and_told() {
    let port = free_port();
    let (a, b) = (member("a", 1).await, member("b", 1).await);
    let mut events = b.events().unwrap();
    a.start_discovery(nearby(port)).await.unwrap();
    // Only one of the two at the port of the group would get it, so the other one has another port.
    let elsewhere = free_port();
    b.start_discovery(DiscoveryOptions {
        targets: vec![format!("127.0.0.1:{port}").parse().unwrap()],
        ..nearby(elsewhere)
    })
    .await
    .unwrap();
    assert_eq!(found(&mut events).await, "a");
    assert_eq!(a.discovered().unwrap()[0].node.as_str(), "b");
}

/// Whoever can send datagrams costs this node neither its work nor its friends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forged_datagrams_is_counted_and_hinders_nobody() {
    let port = free_port();
    let (a, b) = (member("a", 1).await, member("b", 1).await);
    a.start_discovery(nearby(port)).await.unwrap();
    state(&a, |state| (!state.interfaces.is_empty()).then_some(())).await;
    let flooding = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let go_on = flooding.clone();
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut forged = vec![7; 1200];
        forged[..7].copy_from_slice(b"SADDSC\x01");
        let mut sent = 0_u64;
        while go_on.load(std::sync::atomic::Ordering::Relaxed) {
            // Several times what the queue of the socket holds. If it were full at all times, no friend's datagram
            // would get in, whatever the node did.
            for _ in 0..500 {
                sent += u64::from(socket.send_to(&forged, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        sent
    });
    let dropped = |state: crate::DiscoveryState| state.counters.ignored.get(&Ignored::Unauthenticated).copied();
    state(&a, |state| dropped(state).filter(|count| *count > 5000)).await;
    let mut events = a.events().unwrap();
    let mut often = nearby(port);
    often.settings.interval = Duration::from_secs(1);
    b.start_discovery(often).await.unwrap();
    assert_eq!(found(&mut events).await, "b");
    for number in 0..100 {
        a.put(format!("k{number}"), "v").await.unwrap();
    }
    flooding.store(false, std::sync::atomic::Ordering::Relaxed);
    assert!(flood.join().unwrap() > 5000);
    let state = a.discovery_state().unwrap();
    assert!(state.counters.believed > 0 && state.found == 1, "{state:?}");
}
