//! Redis: a primary and a replica, both with `appendfsync always`, spoken to in its own protocol.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::nodes::BATCH;
use super::proxy::Wire;
use super::server::{self, CATCHING_UP, PATIENCE, Server, free_port, round, within};
use super::{noise, spread};
use crate::engine::Fault;
use crate::plan::Figure;
use crate::scenes::replication::{
    CATCH_UP, FIRST, LATE_BYTES, LIVE_BYTES, PENDING, REDIS, STREAMED, WINDOW, per_second,
};
use crate::work::key;

const PROGRAM: &str = "redis-server";
const WHO: &str = "Redis";

/// Whether it is there.
///
/// # Errors
/// When it is not, or cannot be started.
pub(crate) fn find() -> Result<Option<String>, Fault> {
    server::version(Path::new(PROGRAM), PATIENCE).map(|_| None)
}

fn start(dir: &Path, primary: Option<u16>) -> Result<Server, Fault> {
    let port = free_port()?;
    let mut arguments = format!(
        "--bind 127.0.0.1 --port {port} --appendonly yes --appendfsync always --repl-backlog-size 256mb \
         --repl-timeout 60 --daemonize no"
    );
    if let Some(primary) = primary {
        arguments.push_str(&format!(" --replicaof 127.0.0.1 {primary}"));
    }
    let mut arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    arguments.extend(["--save".to_owned(), String::new()]);
    Server::start(PROGRAM, &arguments, dir, port)
}

struct Connection {
    stream: BufReader<TcpStream>,
    patience: Duration,
}

impl Connection {
    async fn to(port: u16, patience: Duration) -> Result<Self, Fault> {
        Ok(Self { stream: BufReader::new(server::connect(port).await?), patience })
    }

    /// The first line of an answer, without what it begins with; the rest is read and dropped.
    async fn answer(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err("Redis has closed the connection".into());
        }
        let line = line.trim_end().to_owned();
        match line.split_at_checked(1) {
            Some(("$", len)) => {
                let mut body = server::room_for(WHO, len)?;
                self.stream.read_exact(&mut body).await?;
                Ok(String::from_utf8_lossy(&body).into_owned())
            }
            Some(("+" | ":", rest)) => Ok(rest.to_owned()),
            _ => Err(format!("Redis answers {line}").into()),
        }
    }

    async fn ask(&mut self, words: &str) -> Result<String, Fault> {
        let patience = self.patience;
        let asking = async {
            self.stream.write_all(format!("{words}\r\n").as_bytes()).await?;
            self.answer().await
        };
        within(patience, WHO, asking).await
    }

    /// Sets so many keys in one go, and waits for all answers.
    async fn set(&mut self, first: u64, count: u64) -> Result<(), Fault> {
        let mut text = Vec::new();
        for number in first..first + count {
            text.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n");
            text.extend_from_slice(&key(spread(number)));
            text.extend_from_slice(b"\r\n$100\r\n");
            text.extend_from_slice(&noise(number, 100));
            text.extend_from_slice(b"\r\n");
        }
        let patience = self.patience;
        let batch = async {
            self.stream.write_all(&text).await?;
            for _ in 0..count {
                self.answer().await?;
            }
            Ok(())
        };
        within(patience, WHO, batch).await
    }

    async fn size(&mut self) -> Result<u64, Fault> {
        Ok(self.ask("DBSIZE").await?.parse()?)
    }

    async fn reaches(&mut self, size: u64) -> Result<(), Fault> {
        let began = Instant::now();
        while self.size().await? < size {
            if began.elapsed() > CATCHING_UP {
                return Err("the replica of Redis does not catch up".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// One round.
///
/// # Errors
/// Those of processes and network.
pub(crate) async fn measure(dir: &Path) -> Result<Vec<Figure>, Fault> {
    round(WHO, &["primary", "replica"].map(|name| dir.join(name)), play(dir)).await
}

async fn play(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let mut primary = start(&dir.join("primary"), None)?;
    let port = primary.port;
    let mut here = primary.starting(WHO, Connection::to(port, PATIENCE)).await?;
    let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let mut replica = start(&dir.join("replica"), Some(wire.address.port()))?;
    let port = replica.port;
    let mut there = replica.starting(WHO, Connection::to(port, PATIENCE)).await?;
    here.set(0, BATCH).await?;
    there.reaches(BATCH).await?;

    let before = wire.bytes();
    let began = Instant::now();
    for first in (1_000_000..1_000_000 + STREAMED).step_by(64) {
        here.set(first, 64.min(1_000_000 + STREAMED - first)).await?;
        // The replica answers when it has executed them, and it syncs before it answers.
        here.ask("WAIT 1 0").await?;
    }
    let window = began.elapsed();
    there.reaches(BATCH + STREAMED).await?;
    let live = (wire.bytes() - before) as f64 / STREAMED as f64;

    wire.cut().await;
    let cut = Instant::now();
    for first in (2_000_000..2_000_000 + PENDING).step_by(BATCH as usize) {
        here.set(first, BATCH).await?;
    }
    tokio::time::sleep_until((cut + Duration::from_secs(5)).into()).await;
    if there.size().await? > BATCH + STREAMED {
        return Err("primary and replica of Redis speak past the wire that was cut".into());
    }
    let before = wire.bytes();
    wire.mend();
    let mended = Instant::now();
    there.reaches(BATCH + STREAMED + 1).await?;
    let first = mended.elapsed();
    there.reaches(BATCH + STREAMED + PENDING).await?;
    let all = mended.elapsed();
    let late = (wire.bytes() - before) as f64 / PENDING as f64;
    Ok(vec![
        Figure::of(REDIS, WINDOW, per_second(STREAMED, window)),
        Figure::of(REDIS, CATCH_UP, per_second(PENDING, all)),
        Figure::of(REDIS, FIRST, first.as_secs_f64() * 1e3),
        Figure::of(REDIS, LIVE_BYTES, live),
        Figure::of(REDIS, LATE_BYTES, late),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_stopped_to_answer_is_given_up() {
        let failure = async |closes| {
            let port = server::silent(b"", closes);
            let mut connection = Connection::to(port, Duration::from_millis(200)).await.unwrap();
            let asked = connection.ask("WAIT 1 0").await.unwrap_err().to_string();
            assert_eq!(connection.set(0, 1).await.unwrap_err().to_string(), asked);
            asked
        };
        crate::net::nodes::runtime().unwrap().block_on(async {
            assert_eq!(failure(false).await, "Redis has not answered for 0.2 s");
            assert_eq!(failure(true).await, "Redis has closed the connection");
        });
    }
}
