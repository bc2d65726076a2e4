//! A server of somebody else, in a process that ends with the scene.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::ending::Process;
use crate::engine::Fault;

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
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
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
