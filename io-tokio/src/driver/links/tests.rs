use super::*;
use crate::tcp::Tcp;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

struct Side {
    links: Links<Tcp>,
    facts: mpsc::Receiver<NetFact<Tcp>>,
}

impl Side {
    fn new() -> Self {
        let (links, facts) = Links::new(Arc::new(Tcp));
        Self { links, facts }
    }

    async fn next(&mut self) -> NetFact<Tcp> {
        timeout(SOON, self.facts.recv()).await.expect("something should have happened").unwrap()
    }

    /// Stands a link to a plain socket, and gives that.
    async fn stand(&mut self, link: u64) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.links.dial(LinkId(link), listener.local_addr().unwrap().into());
        let (stream, _) = listener.accept().await.unwrap();
        let NetFact::Dialled { link, result: Ok(connection) } = self.next().await else { panic!("not dialled") };
        self.links.stand(link, connection);
        stream
    }

    /// The next fact of a link.
    async fn fact(&mut self) -> (LinkId, LinkFact, Taken) {
        match self.next().await {
            NetFact::Link { link, fact, taken } => (link, fact, taken),
            _ => panic!("another fact than one of a link"),
        }
    }
}

#[tokio::test]
async fn bytes_go_both_ways_in_order_and_are_counted() {
    let mut side = Side::new();
    let mut peer = side.stand(1).await;
    assert!(peer.nodelay().is_ok());
    for text in ["a", "", "bc", "def"] {
        side.links.send(LinkId(1), Bytes::from(text));
    }
    let mut got = [0; 6];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcdef");
    let mut written = 0;
    while written < 6 {
        match side.fact().await {
            (LinkId(1), LinkFact::Written(count), None) => written += count,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written, 6);
    peer.write_all(b"answer").await.unwrap();
    let (link, fact, taken) = side.fact().await;
    assert_eq!((link, fact), (LinkId(1), LinkFact::Bytes(Bytes::from_static(b"answer"))));
    drop(taken);
    drop(peer);
    assert_eq!(side.fact().await.1, LinkFact::Ended { error: None });
}

#[tokio::test]
async fn nothing_is_read_on_while_the_node_has_not_taken_what_was_read() {
    let mut side = Side::new();
    let mut peer = side.stand(1).await;
    let flood = tokio::spawn(async move {
        let mut sent = 0_usize;
        // Ends when all buffers between here and there are full.
        while let Ok(count) = timeout(Duration::from_millis(300), peer.write(&[7; 64 << 10])).await {
            sent += count.unwrap();
        }
        (sent, peer)
    });
    let (_, fact, first) = side.fact().await;
    let LinkFact::Bytes(bytes) = fact else { panic!("{fact:?}") };
    let (sent, mut peer) = flood.await.unwrap();
    assert!(side.facts.try_recv().is_err(), "a second chunk was read with the first not taken");
    drop(first);
    let mut received = bytes.len();
    let mut greatest = 0;
    while received < sent {
        let (_, fact, taken) = side.fact().await;
        let LinkFact::Bytes(bytes) = fact else { panic!("{fact:?}") };
        received += bytes.len();
        greatest = greatest.max(bytes.len());
        drop(taken);
    }
    assert_eq!((received, greatest), (sent, 64 << 10));
    // Others are read meanwhile.
    let mut other = side.stand(2).await;
    peer.write_all(b"x").await.unwrap();
    let (_, _, held) = side.fact().await;
    other.write_all(b"y").await.unwrap();
    let (link, _, _) = side.fact().await;
    assert_eq!(link, LinkId(2));
    drop(held);
}

#[tokio::test]
async fn closing_writes_what_was_sent_even_with_bytes_unread() {
    let mut side = Side::new();
    let mut peer = side.stand(1).await;
    peer.write_all(&[1; 1000]).await.unwrap();
    let (_, _, _unread) = side.fact().await;
    peer.write_all(&[2; 1000]).await.unwrap();
    side.links.send(LinkId(1), Bytes::from(vec![3; 100_000]));
    side.links.close(LinkId(1));
    assert!(!side.links.is_open(LinkId(1)));
    let mut all = Vec::new();
    timeout(SOON, peer.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all.len(), 100_000);
    drop(peer);
    timeout(SOON, side.links.finish()).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_a_closed_link_for_a_second_at_most() {
    let mut side = Side::new();
    let _peer = side.stand(1).await;
    side.links.send(LinkId(1), Bytes::from(vec![3; 64 << 20]));
    let began = tokio::time::Instant::now();
    side.links.close(LinkId(1));
    side.links.finish().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn only_so_many_closed_links_linger() {
    let mut side = Side::new();
    let mut peer = side.stand(1).await;
    let _all_places = side.links.lingering.clone().try_acquire_many_owned(MOST_LINGERING as u32).unwrap();
    let began = tokio::time::Instant::now();
    side.links.close(LinkId(1));
    // The answer to the first write makes a later one fail.
    while peer.write_all(b"x").await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() < Duration::from_millis(900), "it lingered");
}

#[tokio::test]
async fn a_dial_that_fails_says_where_and_one_given_up_says_nothing() {
    let mut side = Side::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    side.links.dial(LinkId(1), free.into());
    let NetFact::Dialled { link: LinkId(1), result: Err(error) } = side.next().await else { panic!("dialled") };
    assert!(error.starts_with(&format!("{free}: ")) && error.contains("refused"), "{error}");

    side.links.dial(LinkId(2), "no-such-name.invalid:1".parse().unwrap());
    let NetFact::Dialled { link: LinkId(2), result: Err(error) } = side.next().await else { panic!("dialled") };
    assert!(error.starts_with("no-such-name.invalid:1: "), "{error}");

    // A listener whose backlog is full answers nobody: the dial waits until it is given up.
    side.links.dial(LinkId(3), free.into());
    side.links.close(LinkId(3));
    timeout(SOON, side.links.finish()).await.unwrap();
}

#[tokio::test]
async fn a_name_is_dialled_at_whichever_of_its_addresses_answers() {
    let mut side = Side::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    side.links.dial(LinkId(1), format!("localhost:{port}").parse().unwrap());
    assert!(matches!(side.next().await, NetFact::Dialled { result: Ok(_), .. }));

    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return eprintln!("this machine has no IPv6") };
    let port = listener.local_addr().unwrap().port();
    side.links.dial(LinkId(2), format!("[::1]:{port}").parse().unwrap());
    assert!(matches!(side.next().await, NetFact::Dialled { result: Ok(_), .. }));
}

#[tokio::test]
async fn listening_can_be_stopped_and_the_address_used_again() {
    let mut side = Side::new();
    let (listener, at) = Tcp.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    side.links.listen(vec![listener]);
    let stream = TcpStream::connect(at).await.unwrap();
    let NetFact::Arrived { connection, from, .. } = side.next().await else { panic!("nobody came") };
    assert_eq!(from, stream.local_addr().unwrap());
    side.links.stand(LinkId(1), connection);
    side.links.stop_listening().await;
    TcpStream::connect(at).await.unwrap_err();
    Tcp.listen(at).await.unwrap();
}

#[tokio::test]
async fn while_the_loop_is_busy_a_crowd_waits_where_it_costs_no_file_descriptor() {
    let mut side = Side::new();
    let (listener, at) = Tcp.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    side.links.listen(vec![listener]);
    let crowd = 100;
    let mut held = Vec::new();
    for _ in 0..crowd {
        held.push(TcpStream::connect(at).await.unwrap());
    }
    let mut most_waiting = 0;
    for _ in 0..crowd {
        // Long enough for the listener to take everybody, if it did.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        most_waiting = most_waiting.max(side.facts.len());
        assert!(matches!(side.next().await, NetFact::Arrived { taken: Some(_), .. }));
    }
    assert_eq!(most_waiting, 32);
}
