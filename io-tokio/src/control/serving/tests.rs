//! Callers that take their time, or too much of everything.

use std::path::Path;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const LIMITS: Limits = Limits { connections: 3, head: Duration::from_secs(30), life: None };

/// A server whose `/slow` answers when it is told to.
struct Served {
    dir: tempfile::TempDir,
    slow: Arc<Notify>,
    arrived: Arc<Semaphore>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Served {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let (slow, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let arrived = Arc::new(Semaphore::new(0));
        let (waits, arrives) = (slow.clone(), arrived.clone());
        let router = Router::new().route("/", get(|| async { "hello" })).route(
            "/slow",
            post(|| async move {
                arrives.add_permits(1);
                waits.notified().await;
                "at last"
            }),
        );
        let refuse = Router::new().fallback(|| async { "too many" });
        let serving = tokio::spawn(serve(listener, router, refuse, LIMITS, stop.clone()));
        Self { dir, slow, arrived, stop, serving }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path().join("s")).await.unwrap()
    }

    async fn send(&self, text: &str) -> UnixStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// One request that is answered at once, as often as it takes for the server to have seen what came before it.
    async fn ask(&self) -> String {
        to_end(self.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await).await
    }
}

const SLOW: &str = "POST /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

async fn to_end(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut may say so as an error.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn who_holds_connections_without_using_them_keeps_nobody_out() {
    let served = Served::start();
    let mut held = Vec::new();
    for n in 0..50 {
        // Some say nothing, some say half of something.
        held.push(served.send(if n % 2 == 0 { "" } else { "GET / HT" }).await);
        assert!(served.ask().await.ends_with("hello"), "{n}");
    }
    for (n, stream) in held.drain(..47).enumerate() {
        assert_eq!(to_end(stream).await, "", "{n}: it had to give way");
    }
    served.stop.cancel();
    served.serving.await.unwrap();
}

#[tokio::test]
async fn requests_are_answered_to_the_end_and_who_comes_on_top_is_refused() {
    let served = Served::start();
    let busy = [served.send(SLOW).await, served.send(SLOW).await, served.send(SLOW).await];
    drop(served.arrived.acquire_many(3).await.unwrap());
    assert!(served.ask().await.ends_with("too many"));
    served.stop.cancel();
    for _ in 0..3 {
        served.slow.notify_one();
    }
    for stream in busy {
        assert!(to_end(stream).await.ends_with("at last"));
    }
    served.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let served = Served::start();
    let began = tokio::time::Instant::now();
    for text in ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let answer = to_end(served.send(text).await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(began.elapsed() >= LIMITS.head && began.elapsed() < 3 * LIMITS.head, "{:?}", began.elapsed());
    // A byte now and then does not help.
    let mut slow = served.connect().await;
    let began = tokio::time::Instant::now();
    while slow.write_all(b"G").await.is_ok() {
        sleep(LIMITS.head / 7).await;
    }
    assert!(began.elapsed() < 2 * LIMITS.head, "{:?}", began.elapsed());
    served.stop.cancel();
    served.serving.await.unwrap();
}

/// One that says when it was made cannot be made before 1970.
#[tokio::test]
async fn no_answer_bears_a_date() {
    let served = Served::start();
    let busy = [served.send(SLOW).await, served.send(SLOW).await, served.send(SLOW).await];
    drop(served.arrived.acquire_many(3).await.unwrap());
    let refused = served.ask().await;
    for _ in 0..3 {
        served.slow.notify_one();
    }
    for stream in busy {
        to_end(stream).await;
    }
    for answer in [refused, served.ask().await] {
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.to_lowercase().contains("\r\ndate:"), "{answer}");
    }
    served.stop.cancel();
    served.serving.await.unwrap();
}

#[tokio::test]
async fn half_a_request_does_not_hold_up_the_end() {
    let served = Served::start();
    let half = served.send("GET / HT").await;
    assert!(served.ask().await.ends_with("hello"));
    served.stop.cancel();
    served.serving.await.unwrap();
    assert_eq!(to_end(half).await, "");
}
