//! A server of somebody else, in a process that ends with the scene.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::ending::Process;
use crate::engine::Fault;

/// How long a server may take for an answer, or for those of one batch, before it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a round may take. It takes less than a minute where servers answer as they should.
const ROUND: Duration = Duration::from_secs(180);

/// How long what was written may take to be on the other side.
pub(crate) const CATCHING_UP: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Server {
    _process: Process,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program that listens on `port`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(program: &str, arguments: &[String], dir: &Path, port: u16) -> Result<Self, Fault> {
        std::fs::create_dir_all(dir)?;
        let log = std::fs::File::create(dir.join("log"))?;
        let process = Process::start(
            Command::new(program)
                .args(arguments)
                .current_dir(dir)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log),
        )?;
        Ok(Self { _process: process, port })
    }
}

/// What a server has to give, within `patience`: it may have stopped to answer for good.
///
/// # Errors
/// Those of what it does, and when it takes longer.
pub(crate) async fn within<T>(
    patience: Duration,
    who: &str,
    what: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = |_| format!("{who} has not answered for {} s", patience.as_secs_f64());
    tokio::time::timeout(patience, what).await.map_err(late)?
}

/// One round of servers that have these directories. If it fails, what they have said last stands beside it, since an answer
/// that does not come gives no reason.
///
/// # Errors
/// Those of the round, and when it takes longer than [`ROUND`].
pub(crate) async fn round<T>(
    who: &str,
    dirs: &[PathBuf],
    what: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = |_| format!("{who} has not got through a round in {} s", ROUND.as_secs());
    let done = tokio::time::timeout(ROUND, what).await.map_err(late).map_err(Fault::from).flatten();
    done.map_err(|error| {
        let mut text = error.to_string();
        for dir in dirs {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            if let Some(line) = log.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
                let name = dir.file_name().unwrap_or_default().to_string_lossy();
                text.push_str(&format!("; {name} said last: {line}"));
            }
        }
        text.into()
    })
}

/// A port that nobody has at this moment.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port() -> Result<u16, Fault> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether a program can be started.
///
/// # Errors
/// When it is not there.
pub(crate) fn find(program: &str) -> Result<(), Fault> {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("there is no {program} to be started").into()),
    }
}

/// A connection to a server that may still be starting.
///
/// # Errors
/// When it cannot be had in ten seconds.
pub(crate) async fn connect(port: u16) -> Result<TcpStream, Fault> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if began.elapsed() > Duration::from_secs(10) => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// A server for tests: to each that connects it says what it is given, and nothing more; it keeps the connection unless it is to close it.
#[cfg(test)]
pub(crate) fn silent(greeting: &'static [u8], closes: bool) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(greeting).unwrap();
        if closes {
            // Everything that is asked, so that the connection is closed and not reset.
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink())
    });
    port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_said_last_stands_beside_the_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (full, mute) = (dir.path().join("hub"), dir.path().join("leaf"));
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("log"), "starting\nno space left on device\n\n").unwrap();
        let dirs = [full, mute];
        let failing = round::<()>("", &dirs, async { Err("no answer".into()) });
        let error = crate::net::nodes::runtime().unwrap().block_on(failing).unwrap_err().to_string();
        assert_eq!(error, "no answer; hub said last: no space left on device");
    }
}
