//! A server of somebody else, in a process that ends with the scene.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::ending::Process;
use crate::engine::Fault;
use crate::hearing::{Lines, last_line};

/// How long a server may take for an answer, or for those of one batch, before it is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a round may take. It takes less than a minute where servers answer as they should.
const ROUND: Duration = Duration::from_secs(180);

/// How long what was written may take to be on the other side.
pub(crate) const CATCHING_UP: Duration = Duration::from_secs(60);

/// Answers are of some hundred bytes.
const LONGEST: usize = 1 << 20;

/// A running server.
pub(crate) struct Server {
    _process: Process,
    end: oneshot::Receiver<String>,
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
        let (tell, end) = oneshot::channel();
        let to_come = process.end_to_come();
        std::thread::spawn(move || to_come.recv().map(|how| tell.send(how)));
        Ok(Self { _process: process, end, port })
    }

    /// What is tried while it starts, unless it ends meanwhile.
    ///
    /// # Errors
    /// Those of what is tried, and when it ends.
    pub(crate) async fn starting<T>(
        &mut self,
        who: &str,
        what: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        tokio::select! {
            done = what => done,
            Ok(how) = &mut self.end => Err(format!("a server of {who} {how}").into()),
        }
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
            let line = last_line(&std::fs::read(dir.join("log")).unwrap_or_default());
            if !line.is_empty() {
                let name = dir.file_name().unwrap_or_default().to_string_lossy();
                text.push_str(&format!("; {name} said last: {line}"));
            }
        }
        text.into()
    })
}

/// Room for an answer whose length a server announces, and the end of the line behind it.
///
/// # Errors
/// When that is no length, or more than anybody is asked for here.
pub(crate) fn room_for(who: &str, len: &str) -> Result<Vec<u8>, Fault> {
    match len.parse::<usize>() {
        Ok(len @ ..=LONGEST) => Ok(vec![0; len + 2]),
        _ => Err(format!("{who} announces an answer of {len} bytes").into()),
    }
}

/// A port that nobody has at this moment.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port() -> Result<u16, Fault> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What a program says of its version, in a line.
///
/// # Errors
/// When it cannot be started, does not say so in time, or fails.
pub(crate) fn version(program: &Path, patience: Duration) -> Result<String, Fault> {
    let who = format!("{} --version", program.file_name().unwrap_or_default().display());
    let mut asked = Process::heard(Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let said = Lines::of(asked.pipes().stdout.take().ok_or("a process without stdout")?);
    asked.ended(&who, patience)?;
    Ok(said.next(&who, patience)?.map(|line| line.text).unwrap_or_default())
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
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_a_server_said_last_stands_beside_the_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (full, mute) = (dir.path().join("hub"), dir.path().join("leaf"));
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("log"), b"starting\nno space left on d\xffvice\n\n").unwrap();
        let dirs = [full, mute];
        let failing = round::<()>("", &dirs, async { Err("no answer".into()) });
        let error = crate::net::nodes::runtime().unwrap().block_on(failing).unwrap_err().to_string();
        assert_eq!(error, "no answer; hub said last: no space left on d\u{fffd}vice");
    }

    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("server");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_program_that_hangs_when_it_is_asked_for_its_version_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let asked = |text: &str, patience| {
            version(&script(dir.path(), text), Duration::from_millis(patience)).map_err(|error| error.to_string())
        };
        assert_eq!(asked("echo v1.2", 60_000), Ok("v1.2".to_owned()));
        assert_eq!(asked("exec sleep 60", 200), Err("server --version has not ended for 0.2 s".to_owned()));
        let failed = "server --version has ended with exit status 1; it said last: no library";
        assert_eq!(asked("echo no library >&2; exit 1", 60_000), Err(failed.to_owned()), "it is there all the same");
        let none = version(&dir.path().join("none"), PATIENCE).unwrap_err().to_string();
        assert!(none.contains("none cannot be started: No such file"), "{none}");
    }

    #[test]
    fn nobody_waits_for_a_server_that_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let program = script(dir.path(), "echo bad option; exit 3");
        let began = Instant::now();
        let failing = async {
            let port = free_port()?;
            let mut server = Server::start(&program.to_string_lossy(), &[], dir.path(), port)?;
            server.starting("it", async { connect(port).await.map(drop) }).await
        };
        let dirs = [dir.path().to_owned()];
        let failing = round("it", &dirs, failing);
        let error = crate::net::nodes::runtime().unwrap().block_on(failing).unwrap_err().to_string();
        assert!(error.starts_with("a server of it has ended with exit status 3; "), "{error}");
        assert!(error.ends_with(" said last: bad option"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(8));
    }
}
