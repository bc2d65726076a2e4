//! A server of somebody else, in a process that ends with the scene.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::engine::Fault;

/// A running server.
pub(crate) struct Server {
    child: Child,
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
        let child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
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
