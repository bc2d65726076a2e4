//! NATS JetStream: a leaf that takes writes, and a hub whose stream takes them over. Spoken to in its own protocol. It
//! answers before anything is synced.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::proxy::Wire;
use super::server::{self, CATCHING_UP, PATIENCE, Server, free_port, round, within};
use super::{noise, spread};
use crate::engine::Fault;
use crate::plan::Figure;
use crate::scenes::replication::{
    CATCH_UP, FIRST, LATE_BYTES, LIVE_BYTES, NATS, PENDING, STREAM, STREAMED, per_second,
};
use crate::work::key;

const PROGRAM: &str = "nats-server";
const WHO: &str = "NATS";
const WINDOW: u64 = 64;

/// Whether it is there.
///
/// # Errors
/// When it is not, or cannot be started.
pub(crate) fn find() -> Result<Option<String>, Fault> {
    server::version(Path::new(PROGRAM), PATIENCE).map(|_| None)
}

fn start(dir: &Path, name: &str, leafnodes: &str) -> Result<Server, Fault> {
    let (dir, port) = (dir.join(name), free_port()?);
    std::fs::create_dir_all(&dir)?;
    let config = format!(
        "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"store\", domain: {name} }}\n\
         leafnodes {{ {leafnodes} }}\n"
    );
    std::fs::write(dir.join("config"), config)?;
    Server::start(PROGRAM, &["-c".to_owned(), "config".to_owned()], &dir, port)
}

/// A client, and the subject on which it is answered. No two may share one: leaf and hub pass on what either wants.
struct Connection {
    stream: BufReader<TcpStream>,
    subject: String,
    patience: Duration,
}

impl Connection {
    async fn to(port: u16, patience: Duration) -> Result<Self, Fault> {
        let stream = server::connect(port).await?;
        let subject = format!("answers.{port}");
        let hello = format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {subject} 1\r\nPING\r\n");
        let mut connection = Self { stream: BufReader::new(stream), subject, patience };
        let greeting = async {
            connection.stream.write_all(hello.as_bytes()).await?;
            while connection.line().await? != "PONG" {}
            Ok(connection)
        };
        within(patience, WHO, greeting).await
    }

    async fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err("NATS has closed the connection".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The next message on the own subject.
    async fn answer(&mut self) -> Result<String, Fault> {
        loop {
            let line = self.line().await?;
            if line == "PING" {
                self.stream.write_all(b"PONG\r\n").await?;
            } else if line.starts_with("MSG ") || line.starts_with("HMSG ") {
                let mut body = server::room_for(WHO, line.rsplit(' ').next().unwrap_or_default())?;
                self.stream.read_exact(&mut body).await?;
                return Ok(String::from_utf8_lossy(&body).into_owned());
            } else {
                return Err(format!("NATS answers {line}").into());
            }
        }
    }

    async fn ask(&mut self, subject: &str, body: &str) -> Result<String, Fault> {
        let text = format!("PUB {subject} {} {}\r\n{body}\r\n", self.subject, body.len());
        let patience = self.patience;
        let asking = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.answer().await
        };
        let answer = within(patience, WHO, asking).await?;
        if answer.contains("\"error\"") { Err(format!("NATS answers {answer}").into()) } else { Ok(answer) }
    }

    /// Publishes so many values, 64 in one go, each answered.
    async fn publish(&mut self, first: u64, count: u64) -> Result<(), Fault> {
        let patience = self.patience;
        for start in (first..first + count).step_by(WINDOW as usize) {
            let end = (start + WINDOW).min(first + count);
            let mut text = Vec::new();
            for number in start..end {
                text.extend_from_slice(b"PUB ops.");
                text.extend_from_slice(&key(spread(number)));
                text.extend_from_slice(format!(" {} 100\r\n", self.subject).as_bytes());
                text.extend_from_slice(&noise(number, 100));
                text.extend_from_slice(b"\r\n");
            }
            let batch = async {
                self.stream.write_all(&text).await?;
                for _ in start..end {
                    let answer = self.answer().await?;
                    if !answer.contains("\"seq\"") {
                        return Err(format!("NATS answers {answer}").into());
                    }
                }
                Ok(())
            };
            within(patience, WHO, batch).await?;
        }
        Ok(())
    }

    async fn reaches_at_once(&mut self, count: u64) -> Result<bool, Fault> {
        let state = self.ask("$JS.API.STREAM.INFO.COPY", "").await?;
        let (_, rest) = state.split_once("\"messages\":").ok_or("a stream that does not say its length")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse::<u64>()? >= count)
    }

    async fn reaches(&mut self, count: u64) -> Result<(), Fault> {
        let began = Instant::now();
        while !self.reaches_at_once(count).await? {
            if began.elapsed() > CATCHING_UP {
                return Err("the hub of NATS does not catch up".into());
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
    round(WHO, &["hub", "leaf"].map(|name| dir.join(name)), play(dir)).await
}

async fn play(dir: &Path) -> Result<Vec<Figure>, Fault> {
    let port = free_port()?;
    let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    // A leaf also dials what the hub says of itself.
    let listen = format!("listen: \"127.0.0.1:{port}\", advertise: \"{}\"", wire.address);
    let mut hub = start(dir, "hub", &listen)?;
    let port = hub.port;
    let mut there = hub.starting(WHO, Connection::to(port, PATIENCE)).await?;
    let remote = format!("reconnect: 1, remotes: [ {{ url: \"nats://{}\" }} ]", wire.address);
    let mut leaf = start(dir, "leaf", &remote)?;
    let port = leaf.port;
    let mut here = leaf.starting(WHO, Connection::to(port, PATIENCE)).await?;
    here.ask("$JS.API.STREAM.CREATE.OPS", r#"{"name":"OPS","subjects":["ops.>"],"storage":"file"}"#).await?;
    let copy =
        r#"{"name":"COPY","storage":"file","sources":[{"name":"OPS","external":{"api":"$JS.leaf.API","deliver":""}}]}"#;
    there.ask("$JS.API.STREAM.CREATE.COPY", copy).await?;
    // The source begins some seconds after it was asked for.
    here.publish(0, 64).await?;
    there.reaches(64).await?;

    let before = wire.bytes();
    let began = Instant::now();
    here.publish(1_000_000, STREAMED).await?;
    there.reaches(64 + STREAMED).await?;
    let streamed = began.elapsed();
    let live = (wire.bytes() - before) as f64 / STREAMED as f64;

    wire.cut().await;
    let cut = Instant::now();
    here.publish(2_000_000, PENDING).await?;
    tokio::time::sleep_until((cut + Duration::from_secs(5)).into()).await;
    if there.reaches_at_once(64 + STREAMED + 1).await? {
        return Err("leaf and hub of NATS speak past the wire that was cut".into());
    }
    let before = wire.bytes();
    wire.mend();
    let mended = Instant::now();
    there.reaches(64 + STREAMED + 1).await?;
    let first = mended.elapsed();
    there.reaches(64 + STREAMED + PENDING).await?;
    let all = mended.elapsed();
    let late = (wire.bytes() - before) as f64 / PENDING as f64;
    Ok(vec![
        Figure::of(NATS, STREAM, per_second(STREAMED, streamed)),
        Figure::of(NATS, CATCH_UP, per_second(PENDING, all)),
        Figure::of(NATS, FIRST, first.as_secs_f64() * 1e3),
        Figure::of(NATS, LIVE_BYTES, live),
        Figure::of(NATS, LATE_BYTES, late),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_stopped_to_answer_is_given_up() {
        let failure = async |greeting, closes| {
            let port = server::silent(greeting, closes);
            let mut connection = match Connection::to(port, Duration::from_millis(200)).await {
                Ok(connection) => connection,
                Err(error) => return error.to_string(),
            };
            let asked = connection.ask("any", "").await.unwrap_err().to_string();
            assert_eq!(connection.publish(0, 1).await.unwrap_err().to_string(), asked);
            asked
        };
        crate::net::nodes::runtime().unwrap().block_on(async {
            let silent = "NATS has not answered for 0.2 s";
            assert_eq!(failure(b"INFO {}\r\n", false).await, silent, "from the beginning");
            assert_eq!(failure(b"INFO {}\r\nPONG\r\n", false).await, silent, "when it is asked");
            assert_eq!(failure(b"INFO {}\r\nPONG\r\n", true).await, "NATS has closed the connection");
        });
    }
}
