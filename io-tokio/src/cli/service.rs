//! Tells the service manager how the node does, in the words of `sd_notify(3)`: that it is ready, that it still does its
//! work, that it stops. Without `NOTIFY_SOCKET` in the environment there is nobody to tell.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{Client, events};

/// Signs of life come no faster, whatever is asked for.
const SHORTEST_BEAT: Duration = Duration::from_millis(50);

/// Who started this process and wants to be told.
pub(super) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// So long without a sign of life, and the process is ended.
    patience: Option<Duration>,
}

impl Manager {
    /// The service manager that the environment names.
    pub(super) fn of_environment() -> Option<Self> {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let patience = patience(|name| std::env::var(name).ok());
        let reached = address_of(&name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket, address, patience })
        });
        reached.inspect_err(events::service_manager_unheard).ok()
    }

    /// Commands are taken.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=commands are taken\n");
    }

    /// The node is being stopped.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping\n");
    }

    /// Gives a sign of life whenever the event loop has taken its turn; never without one.
    pub(super) async fn keep_alive(&self, client: &Client) {
        self.keep_alive_by(|| async { client.pulse().await.is_ok() }).await;
    }

    async fn keep_alive_by<F: Future<Output = bool>>(&self, pulse: impl Fn() -> F) {
        let Some(patience) = self.patience else { return std::future::pending().await };
        // Twice as often as needed: one that is late is no reason to end the process.
        let mut beats = interval((patience / 2).max(SHORTEST_BEAT));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if timeout(patience, pulse()).await == Ok(true) {
                self.tell("WATCHDOG=1\n");
            }
        }
    }

    fn tell(&self, what: &str) {
        if let Err(error) = self.socket.send_to_addr(what.as_bytes(), &self.address) {
            events::service_manager_unheard(&error);
        }
    }
}

/// A path, or a name in the abstract space, which only Linux has.
fn address_of(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().split_first() {
        Some((b'/', _)) => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        Some((b'@', abstract_name)) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(abstract_name)
        }
        _ => {
            let what = format!("NOTIFY_SOCKET is {name:?}, which is neither a path nor an abstract name");
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}

/// How long the service manager waits for a sign of life, if it waits for one of this process.
fn patience(look: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let meant = look("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let micros = look("WATCHDOG_USEC")?.parse().ok().filter(|micros| *micros > 0)?;
    meant.then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A manager with so much patience, and where it is heard, as long as the directory is kept.
    fn manager(patience: Duration) -> (Manager, UnixDatagram, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        let address = address_of(path.as_os_str()).unwrap();
        (Manager { socket, address, patience: Some(patience) }, listener, dir)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 256];
        let mut all = Vec::new();
        while let Ok(count) = socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_gives_no_sign_of_life() {
        let (manager, listener, _dir) = manager(Duration::from_secs(10));
        let moves = AtomicBool::new(true);
        let pulse = || async {
            if !moves.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            true
        };
        let beat = manager.keep_alive_by(pulse);
        tokio::pin!(beat);
        assert!(timeout(Duration::from_secs(26), &mut beat).await.is_err());
        assert_eq!(heard(&listener), vec!["WATCHDOG=1\n"; 6], "at once, then every 5 s");
        moves.store(false, Ordering::Relaxed);
        assert!(timeout(Duration::from_secs(60), &mut beat).await.is_err());
        assert_eq!(heard(&listener), Vec::<String>::new());
        moves.store(true, Ordering::Relaxed);
        assert!(timeout(Duration::from_secs(20), &mut beat).await.is_err());
        assert!(!heard(&listener).is_empty(), "it goes on as the loop does");
    }

    #[tokio::test(start_paused = true)]
    async fn a_manager_without_any_patience_is_not_given_all_there_is() {
        let (manager, listener, _dir) = manager(Duration::from_micros(1));
        let beats = timeout(Duration::from_millis(220), manager.keep_alive_by(|| async { true }));
        assert!(beats.await.is_err());
        assert_eq!(heard(&listener).len(), 5, "at once, then every 50 ms");
    }

    #[test]
    fn only_the_process_that_is_meant_gives_signs_of_life() {
        let own = std::process::id().to_string();
        let asked = |pid: Option<&str>, micros: Option<&str>| {
            patience(|name| if name == "WATCHDOG_PID" { pid } else { micros }.map(str::to_owned))
        };
        assert_eq!(asked(Some(&own), Some("30000000")), Some(Duration::from_secs(30)));
        assert_eq!(asked(None, Some("1000")), Some(Duration::from_millis(1)));
        assert_eq!(asked(Some("1"), Some("1000")), None);
        assert_eq!(asked(None, None), None);
        assert_eq!(asked(None, Some("0")), None);
        assert_eq!(asked(None, Some("soon")), None);
    }

    #[test]
    fn an_address_is_a_path_or_an_abstract_name() {
        assert!(address_of(OsStr::new("/run/systemd/notify")).is_ok());
        #[cfg(target_os = "linux")]
        assert!(address_of(OsStr::new("@notify")).is_ok());
        for name in ["notify", "vsock:2:1234"] {
            assert!(address_of(OsStr::new(name)).is_err());
        }
    }
}
