//! Nodes with links over loopback.

use super::*;
use crate::model::{PeerState, Resolution};
use crate::network::{FILE_NAME, TransportOptions};
use crate::testing::Wires;
use crate::watch::{Event, Events};
use softadastra_core::transport::ticket::Ticket;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) const SOON: Duration = Duration::from_secs(30);

pub(super) fn at(listen: &str) -> TransportOptions {
    let mut options = TransportOptions { listen: vec![listen.to_owned()], ..TransportOptions::default() };
    options.settings.first_pause = Duration::from_millis(20);
    options.settings.longest_pause = Duration::from_millis(200);
    options.settings.link.handshake_timeout = Duration::from_secs(5);
    options
}

fn loopback() -> TransportOptions {
    at("127.0.0.1:0")
}

pub(super) async fn memory(name: &str) -> Client {
    let options = ClientOptions::memory_only().node_id(softadastra_core::ids::NodeId::new(name).unwrap());
    Client::open(options).await.unwrap()
}

async fn on_disk(dir: &TempDir, name: &str) -> Client {
    let options = ClientOptions::local(dir.path()).node_id(softadastra_core::ids::NodeId::new(name).unwrap());
    Client::open(options).await.unwrap()
}

/// Waits for an event that `wanted` makes something of.
pub(super) async fn event<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            let event = events.next().await.expect("the node has closed");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(SOON, search).await.expect("the event has not come")
}

async fn link_up(events: &mut Events) {
    event(events, |event| matches!(event, Event::LinkUp { .. }).then_some(())).await;
}

async fn link_down(events: &mut Events) -> &'static str {
    let reason = |event| match event {
        Event::LinkDown { reason, .. } => Some(reason.as_str()),
        _ => None,
    };
    event(events, reason).await
}

async fn link_failed(events: &mut Events) -> &'static str {
    let reason = |event| match event {
        Event::LinkFailed { reason, .. } => Some(reason.as_str()),
        _ => None,
    };
    event(events, reason).await
}

/// Waits until a node shows this value.
pub(super) async fn shows(client: &Client, key: &str, wanted: Option<&str>) {
    let mut published = client.inner.reach.published.clone();
    let search = async {
        while value(client, key).as_deref() != wanted {
            published.changed().await.expect("the node has closed");
        }
    };
    timeout(SOON, search).await.unwrap_or_else(|_| panic!("{key} is {:?}, not {wanted:?}", value(client, key)));
}

/// Waits until two nodes hold the same.
pub(super) async fn agree(a: &Client, b: &Client) {
    let (mut of_a, mut of_b) = (a.inner.reach.published.clone(), b.inner.reach.published.clone());
    let search = async {
        while a.status().unwrap().digest != b.status().unwrap().digest {
            tokio::select! {
                changed = of_a.changed() => changed.expect("the node has closed"),
                changed = of_b.changed() => changed.expect("the node has closed"),
            }
        }
    };
    timeout(SOON, search).await.expect("the two have not come together");
}

/// Waits for something that no event tells of.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let search = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, search).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Founds a network at `first` and lets `second` join it; gives where the first one listens.
pub(super) async fn join(first: &Client, second: &Client) -> SocketAddr {
    let (mut ups, mut downs) = (first.events().unwrap(), second.events().unwrap());
    let ticket = first.ticket(Vec::new()).await.unwrap();
    assert!(ticket.addresses.is_empty() && ticket.secret.is_some());
    let at = first.start_transport(loopback()).await.unwrap()[0];
    let ticket = first.ticket(Vec::new()).await.unwrap();
    assert_eq!(ticket.addresses, [at.into()]);
    second.start_transport(TransportOptions { listen: Vec::new(), ..loopback() }).await.unwrap();
    second.connect(&ticket.reveal()).await.unwrap();
    link_up(&mut ups).await;
    link_up(&mut downs).await;
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_converge_are_parted_and_meet_again() {
    let (a, b) = (memory("a").await, memory("b").await);
    a.put("from/a", "1").await.unwrap();
    b.put("from/b", "1").await.unwrap();
    join(&a, &b).await;
    shows(&a, "from/b", Some("1")).await;
    shows(&b, "from/a", Some("1")).await;
    until("both were acknowledged", || [&a, &b].iter().all(|node| node.sync_state().unwrap().outbox.size() == 0)).await;
    assert_eq!(a.status().unwrap().digest, b.status().unwrap().digest);
    let peer = &b.peers().unwrap()[0];
    assert_eq!((peer.node.as_ref().unwrap().as_str(), peer.state), ("a", PeerState::Connected));
    assert_eq!(peer.key, Some(a.key().unwrap()));
    assert!(peer.sync.is_some() && peer.wanted);

    let (mut of_a, mut of_b) = (a.events().unwrap(), b.events().unwrap());
    b.disconnect("a").await.unwrap();
    assert_eq!(link_down(&mut of_a).await, "disconnected");
    link_down(&mut of_b).await;
    a.put("x", "a").await.unwrap();
    b.put("x", "b").await.unwrap();
    a.remove("from/b").await.unwrap();
    assert!(b.peers().unwrap()[0].held);
    assert_eq!(a.sync_state().unwrap().outbox.queued, 2);

    b.connect("a").await.unwrap();
    link_up(&mut of_a).await;
    agree(&a, &b).await;
    assert_eq!(value(&b, "from/b"), None);
    until("the conflict is on record on both sides", || {
        [&a, &b].iter().all(|node| node.conflicts().unwrap().len() == 1)
    })
    .await;
    let (here, there) = (&b.conflicts().unwrap()[0], &a.conflicts().unwrap()[0]);
    assert_eq!((&here.winner, &here.loser, here.remote_won), (&there.winner, &there.loser, !there.remote_won));
    assert_eq!(
        (&here.key[..], here.winner.value.as_deref()),
        (&b"x"[..], value(&b, "x").as_deref().map(str::as_bytes))
    );
    let conflict = here;
    b.resolve(conflict.id, Resolution::Value("both".into())).await.unwrap();
    shows(&a, "x", Some("both")).await;
    assert_eq!(code(b.resolve(99, Resolution::Winner).await), Code::NotFound);

    b.stop_transport().await.unwrap();
    link_down(&mut of_a).await;
    assert!(!b.transport_running() && a.transport_running());
    b.put("late", "1").await.unwrap();
    b.start_transport(loopback()).await.unwrap();
    shows(&a, "late", Some("1")).await;
    a.close().await.unwrap();
    b.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_joined_survives_a_restart_of_either_side() {
    let (dir_a, dir_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (on_disk(&dir_a, "a").await, on_disk(&dir_b, "b").await);
    let at = join(&a, &b).await;
    let keys = (a.key().unwrap(), b.key().unwrap());
    a.put("k", "1").await.unwrap();
    shows(&b, "k", Some("1")).await;
    b.close().await.unwrap();
    a.put("k", "2").await.unwrap();

    let b = on_disk(&dir_b, "b").await;
    assert_eq!(b.key().unwrap(), keys.1);
    b.start_transport(loopback()).await.unwrap();
    shows(&b, "k", Some("2")).await;

    let mut of_b = b.events().unwrap();
    a.close().await.unwrap();
    assert_eq!(link_down(&mut of_b).await, "upper_layer", "it went without a farewell");
    let a = on_disk(&dir_a, "a").await;
    a.put("k", "3").await.unwrap();
    // It is dialled at its old address until it is there again, and refuses a stranger with a pinned name.
    a.start_transport(at_address(at)).await.unwrap();
    shows(&b, "k", Some("3")).await;
    assert_eq!(a.key().unwrap(), keys.0);

    let thief = memory("b").await;
    let mut of_thief = thief.events().unwrap();
    thief.start_transport(loopback()).await.unwrap();
    thief.join(&a.ticket(Vec::new()).await.unwrap()).await.unwrap();
    assert_eq!(link_failed(&mut of_thief).await, "peer_key_changed");
    a.close().await.unwrap();
    b.close().await.unwrap();
}

fn at_address(address: SocketAddr) -> TransportOptions {
    at(&address.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_refused_by_name_and_harms_nothing() {
    let (a, b) = (memory("a").await, memory("b").await);
    let at = {
        a.ticket(Vec::new()).await.unwrap();
        a.start_transport(loopback()).await.unwrap()[0]
    };
    b.ticket(Vec::new()).await.unwrap();
    b.start_transport(loopback()).await.unwrap();
    let mut of_b = b.events().unwrap();
    b.connect(&at.to_string()).await.unwrap();
    assert_eq!(link_failed(&mut of_b).await, "wrong_secret");
    let peer = &b.peers().unwrap()[0];
    assert!(peer.state == PeerState::Faulted && peer.last_error.as_ref().unwrap().needs_operator, "{peer:?}");
    a.put("still", "works").await.unwrap();
    // It has a network already; the ticket of another one does not take it away.
    let ticket = a.ticket(Vec::new()).await.unwrap();
    assert_eq!(code(b.join(&ticket).await), Code::InvalidState);
    let mut of_a = a.events().unwrap();
    b.set_network_secret(ticket.secret.unwrap()).await.unwrap();
    link_up(&mut of_a).await;
    shows(&b, "still", Some("works")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_trusted_and_distrusted_by_hand() {
    let (a, b) = (memory("a").await, memory("b").await);
    let pinned =
        || TransportOptions { trust: Some(softadastra_core::transport::trust::TrustMode::Pinned), ..loopback() };
    let at = a.start_transport(pinned()).await.unwrap()[0];
    b.trust(a.key().unwrap()).await.unwrap();
    b.start_transport(pinned()).await.unwrap();
    let (mut of_a, mut of_b) = (a.events().unwrap(), b.events().unwrap());
    b.connect(&at.to_string()).await.unwrap();
    assert_eq!(link_failed(&mut of_b).await, "untrusted_key");
    assert!(a.trust(b.key().unwrap()).await.unwrap());
    b.connect(&at.to_string()).await.unwrap();
    link_up(&mut of_a).await;
    assert!(a.distrust(b.key().unwrap()).await.unwrap() && !a.distrust(b.key().unwrap()).await.unwrap());
    link_down(&mut of_a).await;
    assert_eq!(code(b.connect("nobody").await), Code::NotFound);
    assert_eq!(code(b.connect("a b").await), Code::InvalidArgument);
}

#[tokio::test]
async fn a_node_names_what_is_at_work() {
    let (dir, memory) = (tempfile::tempdir().unwrap(), memory("a").await);
    assert_eq!(memory.node_info().unwrap().capabilities, ["store", "sync"]);
    let disk = on_disk(&dir, "b").await;
    disk.start_transport(loopback()).await.unwrap();
    assert_eq!(disk.node_info().unwrap().capabilities, ["store", "sync", "transport", "wal"]);
    disk.stop_transport().await.unwrap();
    assert_eq!(disk.node_info().unwrap().capabilities, ["store", "sync", "wal"]);
}

#[tokio::test]
async fn nothing_is_served_beyond_loopback_without_a_rule() {
    let a = memory("a").await;
    let error = a.start_transport(at("0.0.0.0:0")).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.next().contains("--insecure") && !a.transport_running(), "{error}");
    a.start_transport(TransportOptions { insecure: true, ..at("0.0.0.0:0") }).await.unwrap();
    assert_eq!(code(a.start_transport(loopback()).await), Code::InvalidState);
    a.stop_transport().await.unwrap();
    a.stop_transport().await.unwrap();
    a.ticket(Vec::new()).await.unwrap();
    a.start_transport(at("0.0.0.0:0")).await.unwrap();
    a.close().await.unwrap();
    assert_eq!(code(a.start_transport(loopback()).await), Code::InvalidState);
}

#[tokio::test]
async fn addresses_that_cannot_be_had_are_named_and_nothing_is_left_behind() {
    let (a, b) = (memory("a").await, memory("b").await);
    let taken = b.start_transport(loopback()).await.unwrap()[0];
    let mut options = loopback();
    options.listen.push(taken.to_string());
    let error = a.start_transport(options).await.unwrap_err();
    assert_eq!(error.code(), Code::TransportError);
    assert!(error.what().contains(&taken.to_string()), "{error}");
    for (text, wanted) in [
        ("localhost", Code::InvalidArgument),
        ("localhost:x", Code::InvalidArgument),
        (":80", Code::InvalidArgument),
        ("no-such-name.invalid:80", Code::TransportError),
        ("192.0.2.1:0", Code::InvalidArgument),
    ] {
        let error = a.start_transport(at(text)).await.unwrap_err();
        assert_eq!(error.code(), wanted, "{text}: {error}");
    }
    b.stop_transport().await.unwrap();
    let mut options = at_address(taken);
    options.listen.push("localhost:0".to_owned());
    assert!(a.start_transport(options).await.unwrap().contains(&taken));
    assert!(a.listening().contains(&taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_names_and_ipv6_work() {
    let (a, b) = (memory("a").await, memory("b").await);
    let bound = a.start_transport(at("localhost:0")).await.unwrap();
    b.start_transport(loopback()).await.unwrap();
    let mut of_b = b.events().unwrap();
    b.connect(&format!("localhost:{}", bound[0].port())).await.unwrap();
    link_up(&mut of_b).await;

    let (c, d) = (memory("c").await, memory("d").await);
    let bound = match c.start_transport(at("[::1]:0")).await {
        Ok(bound) => bound,
        Err(error) => return eprintln!("this machine has no IPv6: {error}"),
    };
    d.start_transport(loopback()).await.unwrap();
    let mut of_d = d.events().unwrap();
    d.connect(&bound[0].to_string()).await.unwrap();
    link_up(&mut of_d).await;
    d.put("six", "1").await.unwrap();
    shows(&c, "six", Some("1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_of_garbage_keep_no_friend_out() {
    let (a, b) = (memory("a").await, memory("b").await);
    let at = join(&a, &b).await;
    let strangers: Vec<_> = (0..1000_u32)
        .map(|n| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(at).await.unwrap();
                // A third begins like a friend and then says nothing: those are shed. The others are closed at once.
                let garbage: Vec<u8> = match n % 3 {
                    0 => b"SADLNK".to_vec(),
                    _ => (0..=n).map(|i| (i * 31 + n) as u8).collect(),
                };
                // It may be closed already.
                drop(stream.write_all(&garbage).await);
                let mut answer = Vec::new();
                drop(stream.read_to_end(&mut answer).await);
                answer.len()
            })
        })
        .collect();
    for n in 0..20 {
        a.put("k", n.to_string()).await.unwrap();
        shows(&b, "k", Some(&n.to_string())).await;
    }
    let c = memory("c").await;
    c.start_transport(TransportOptions { listen: Vec::new(), ..loopback() }).await.unwrap();
    c.join(&a.ticket(Vec::new()).await.unwrap()).await.unwrap();
    shows(&c, "k", Some("19")).await;
    for (n, stranger) in strangers.into_iter().enumerate() {
        let answered =
            timeout(SOON, stranger).await.unwrap_or_else(|_| panic!("stranger {n} is still connected")).unwrap();
        assert!(answered < 1024, "a stranger was told {answered} bytes");
    }
    assert_eq!(b.peers().unwrap()[0].state, PeerState::Connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_slowly_holds_up_nobody_and_gets_everything() {
    let (a, b) = (memory("a").await, memory("b").await);
    a.ticket(Vec::new()).await.unwrap();
    let at = a.start_transport(loopback()).await.unwrap()[0];
    // Between the two: passes everything on, what goes to b a little at a time.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap();
    let slow = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(at).await.unwrap();
        let ((mut from_b, mut to_b), (mut from_a, mut to_a)) = (near.into_split(), far.into_split());
        let up = tokio::spawn(async move { tokio::io::copy(&mut from_b, &mut to_a).await });
        let mut some = vec![0; 8 << 10];
        while let Ok(count @ 1..) = from_a.read(&mut some).await {
            to_b.write_all(&some[..count]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        up.abort();
    });
    let ticket: Ticket = Ticket { addresses: vec![between.into()], ..a.ticket(Vec::new()).await.unwrap() };
    b.start_transport(TransportOptions { listen: Vec::new(), ..loopback() }).await.unwrap();
    b.join(&ticket).await.unwrap();
    let mut dice = softadastra_core::dice::Seed::from_number(1).stream("values that do not shrink");
    for n in 0..64 {
        let value: Vec<u8> = (0..8 << 10).flat_map(|_| dice.next_u64().to_le_bytes()).collect();
        let began = std::time::Instant::now();
        a.put(format!("big/{n:02}"), value).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "a local write waited for a slow peer");
    }
    a.put("end", "1").await.unwrap();
    assert!(b.len().unwrap() < 65, "the peer was not slow");
    let mut published = b.inner.reach.published.clone();
    timeout(Duration::from_secs(60), async {
        while b.len().unwrap() < 65 {
            published.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    b.close().await.unwrap();
    slow.abort();
}

#[tokio::test]
async fn an_unusable_book_leaves_local_work_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let a = on_disk(&dir, "a").await;
    a.put("k", "1").await.unwrap();
    a.close().await.unwrap();
    let path = dir.path().join(FILE_NAME);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let a = on_disk(&dir, "a").await;
    assert_eq!(value(&a, "k").as_deref(), Some("1"));
    a.put("k", "2").await.unwrap();
    let error = a.start_transport(loopback()).await.unwrap_err();
    assert_eq!(error.code(), Code::TransportError);
    assert!(error.next().contains("chmod 600"), "{error}");
    assert_eq!(code(a.ticket(Vec::new()).await), Code::TransportError);
    assert_eq!(code(a.key()), Code::TransportError);
    a.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_holds_no_identity() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = on_disk(&dir, "a").await;
    a.ticket(Vec::new()).await.unwrap();
    a.put("k", "1").await.unwrap();
    let backup = to.path().join("backup");
    a.backup(&backup).await.unwrap();
    let key = a.key().unwrap();
    a.close().await.unwrap();
    assert!(
        std::fs::read_dir(&backup).unwrap().all(|file| !file
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("network"))
    );
    crate::restore(&backup, &to.path().join("restored"), None).await.unwrap();
    let restored = Client::open(ClientOptions::durable(to.path().join("restored"))).await.unwrap();
    assert_ne!(restored.key().unwrap(), key);
    restored.close().await.unwrap();
}

async fn on_wires(name: &str, wires: &Wires) -> Client {
    let World { disk, clock, book, seed, surroundings, net: _ } = World::real(None::<FsDisk>).unwrap();
    let options = ClientOptions::memory_only().node_id(softadastra_core::ids::NodeId::new(name).unwrap());
    let world = World { disk, clock, book, seed, surroundings, net: wires.clone() };
    Client::open_with(world, options).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_world_brings_its_own_network_and_a_listener_outlasts_a_shortage() {
    let wires = Wires::default();
    let (a, b) = (on_wires("a", &wires).await, on_wires("b", &wires).await);
    let began = tokio::time::Instant::now();
    wires.fail_to_accept(10);
    a.ticket(Vec::new()).await.unwrap();
    let at = a.start_transport(at("wire:0")).await.unwrap();
    b.start_transport(TransportOptions::default()).await.unwrap();
    b.join(&a.ticket(Vec::new()).await.unwrap()).await.unwrap();
    b.put("big", vec![7; 1 << 20]).await.unwrap();
    let mut published = a.inner.reach.published.clone();
    while a.get("big").unwrap().is_none() {
        published.changed().await.unwrap();
    }
    // Ten failures: 20 ms doubled six times to the longest pause, then that.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(20 + 40 + 80 + 160 + 320 + 640 + 4 * 1000), "{took:?}");
    assert!(wires.asked() < 20, "it was asked {} times without a pause", wires.asked());
    assert_eq!(a.listening(), at);
    a.close().await.unwrap();
    b.close().await.unwrap();
}
