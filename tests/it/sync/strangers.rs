//! Whoever does not belong: refused or shed, by name, while local writes and the links of friends go on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::peer::Peer;
use super::records::{Dice, records};
use super::{until, until_agreed};

/// Far more than a local write takes on a busy machine, and less than any timeout of a link.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Two friends, the first of which strangers can reach.
fn friends() -> (Peer, Peer) {
    let (mut a, mut b) = (Peer::new("a"), Peer::new("b"));
    a.up();
    b.up();
    b.join(&a);
    b.until_peer("a", "connected");
    (a, b)
}

/// Asserts that local writes and the link between friends work as ever, and that their link has never ended.
fn assert_unharmed(a: &Peer, b: &Peer) {
    let slowest = (0..5).map(|n| a.put("harmed", &format!("no {n}"))).max().unwrap();
    assert!(slowest < AT_ONCE, "a local write took {slowest:?}");
    until_agreed(&[a, b]);
    assert_eq!(b.get("harmed").as_deref(), Some("no 4"));
    for (peer, other) in [(a, "b"), (b, "a")] {
        assert!(!peer.log().contains("link_down"), "{}", peer.log());
        assert!(peer.peer(other).is_some_and(|peer| peer["state"] == "connected"));
    }
}

#[test]
fn a_node_of_another_network_is_refused_by_name() {
    let (a, b) = friends();
    let mut stranger = Peer::new("stranger");
    // It founds a network of its own, so it has a secret, and the wrong one.
    stranger.ticket(None);
    stranger.up();
    stranger.put("evil", "1");
    stranger.run(&["connect", a.address()]).ok();
    until("it was refused", || {
        let peers = stranger.ask("/v1/peers")["peers"].clone();
        peers[0]["last_error"]["code"] == "wrong_secret" && peers[0]["state"] == "faulted"
    });
    let shown = stranger.run(&["peers"]).ok();
    assert!(shown.contains("secret"), "an operator sees why: {shown}");
    assert_eq!(stranger.state().pending(), 1, "its own write waits");
    assert_unharmed(&a, &b);
    assert_eq!((a.keys(), stranger.keys()), (1, 1), "nothing went either way");
}

#[test]
fn a_key_that_is_not_on_the_list_is_refused_by_name_until_it_is() {
    let pinned = ["--set", "trust=pinned"];
    let (mut a, mut b) = (Peer::with("a", &pinned), Peer::with("b", &pinned));
    a.up();
    b.up();
    a.put("k", "v");
    // Without a secret, because this network goes by lists; so b trusts a and not the other way round.
    b.join(&a);
    until("it was refused", || b.ask("/v1/peers")["peers"][0]["last_error"]["code"] == "untrusted_key");
    a.until_logged("peer_distrusted");
    assert_eq!(b.keys(), 0);
    let key = b.ask("/v1/node")["public_key"].as_str().unwrap().to_owned();
    a.run(&["peers", "trust", &key]).ok();
    b.run(&["connect", "a"]);
    b.run(&["sync", "retry"]).ok();
    until_agreed(&[&a, &b]);
    assert_eq!(b.get("k").as_deref(), Some("v"));
}

#[test]
fn garbage_and_halves_of_handshakes_harm_nothing() {
    let (a, b) = friends();
    let address = a.address().to_owned();
    let mut dice = Dice::of(6);
    // The first message of a real handshake, as a node sends it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut dialler = Peer::new("dialler");
    dialler.up();
    dialler.run(&["connect", &listener.local_addr().unwrap().to_string()]).ok();
    let mut opening = vec![0; 4096];
    let count = listener.accept().unwrap().0.read(&mut opening).unwrap();
    opening.truncate(count);
    assert!(opening.len() > 16, "a handshake begins with more than {count} bytes");
    dialler.stop();

    let mut held = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(&address).unwrap();
        let bytes = match n % 4 {
            // Plain garbage, up to 64 KiB of it.
            0 => (0..dice.below(1 << 16)).map(|_| dice.next() as u8).collect(),
            // Half a handshake.
            1 => opening[..1 + dice.below(opening.len() - 1)].to_vec(),
            // A whole first message, and then nothing, or the same again.
            2 => opening.repeat(1 + dice.below(3)),
            // A whole one with a bit flipped, and another protocol.
            _ if n % 8 == 3 => {
                let mut flipped = opening.clone();
                flipped[dice.below(count)] ^= 1 << dice.below(8);
                flipped
            }
            _ => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        };
        // It may have been hung up already.
        drop(stream.write_all(&bytes));
        // Some hang up, the others wait to be hung up.
        if dice.below(2) == 0 {
            held.push(stream);
        }
    }
    assert_unharmed(&a, &b);
    // Each is ended in time, and is told next to nothing.
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "still connected: {error}"),
        }
        assert!(answer.len() < 1024, "a stranger was told {} bytes", answer.len());
    }
    assert_unharmed(&a, &b);
}

#[test]
fn ten_thousand_idle_connections_take_nothing_from_anybody() {
    let wanted = 10_000;
    // As many at once as this process may have open; the rest in further waves.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let may_open = limit.maximum.map_or(usize::MAX, |limit| limit as usize).saturating_sub(1_000);
    let wave = wanted.min(may_open.max(500));

    let (a, b) = friends();
    let before = a.node().descriptors().len();
    let mut opened = 0;
    let mut most = 0;
    let mut slowest = Duration::ZERO;
    while opened < wanted {
        let mut held = Vec::new();
        for n in 0..wave.min(wanted - opened) {
            held.push(TcpStream::connect(a.address()).unwrap());
            if n % 500 == 0 {
                slowest = slowest.max(a.put("under siege", &n.to_string()));
            }
        }
        opened += held.len();
        slowest = slowest.max(a.put("under siege", "and still"));
        let used = a.node().descriptors().len();
        most = most.max(used.saturating_sub(before));
        assert!(most < 300, "{used} file descriptors are open under {} connections", held.len());
        a.import(&records("siege", opened as u32..opened as u32 + 100));
        until_agreed(&[&a, &b]);
    }
    println!(
        "{opened} idle connections, {wave} at once: {most} more file descriptors, the slowest local write took {slowest:?}"
    );
    assert!(slowest < AT_ONCE, "a local write took {slowest:?}");
    assert_unharmed(&a, &b);
    // A friend who comes now is let in.
    let mut c = Peer::new("c");
    let begun = Instant::now();
    c.up();
    c.join(&a);
    until_agreed(&[&a, &b, &c]);
    println!("a newcomer was served within {:?}", begun.elapsed());
}
