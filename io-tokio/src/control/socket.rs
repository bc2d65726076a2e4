//! The control socket's place in the file system.
//!
//! The address of a Unix socket holds about a hundred bytes, a path far more. On Linux a directory too deep for that
//! is reached through its descriptor in `/proc`; elsewhere the error of the operating system says what is wrong.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::SOCKET_NAME;
use crate::held_dir::HeldDir;

/// The most bytes of a socket's path that every supported system takes, its final zero left out.
const MAX_PATH: usize = 103;

/// The path by which the socket in a directory is addressed, and what must stay open while it is used.
struct Address {
    path: PathBuf,
    _dir: Option<File>,
}

impl Address {
    fn of(dir: &Path) -> io::Result<Self> {
        let path = dir.join(SOCKET_NAME);
        if path.as_os_str().as_bytes().len() <= MAX_PATH || !cfg!(target_os = "linux") {
            return Ok(Self { path, _dir: None });
        }
        let open = File::open(dir)?;
        let path =
            Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&open).to_string()).join(SOCKET_NAME);
        Ok(Self { path, _dir: Some(open) })
    }
}

/// Connects to the node on this data directory.
///
/// # Errors
/// Those of the operating system. `NotFound` and `ConnectionRefused` mean that none listens.
pub(super) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let address = Address::of(dir)?;
    UnixStream::connect(&address.path).await
}

/// Creates the control socket, for its owner alone, in place of one that a dead node left behind. The caller holds the
/// lock of the data directory, so the one found there is nobody's.
///
/// # Errors
/// Those of the operating system.
pub(super) fn listen(dir: &HeldDir) -> io::Result<UnixListener> {
    remove(dir)?;
    // Binding knows no descriptors. It makes a new name or fails, so that it harms nobody who has taken the path since.
    if let Some(lost) = dir.lost() {
        return Err(io::Error::other(format!("{} {lost}", dir.path().display())));
    }
    let address = Address::of(dir.path())?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(&address.path)?;
    // Nobody can connect before `listen`, so the mode is right from the first moment on.
    dir.restrict(SOCKET_NAME)?;
    socket.listen(128)
}

/// Removes the socket of a directory; that there is none is fine.
///
/// # Errors
/// Those of the operating system, and `AlreadyExists` when the name belongs to something else.
pub(super) fn remove(dir: &HeldDir) -> io::Result<()> {
    match dir.look(SOCKET_NAME) {
        Ok(found) if found.kind.is_socket() => dir.remove(SOCKET_NAME),
        Ok(_) => {
            let path = dir.path().join(SOCKET_NAME);
            Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not a socket", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn listen_at(dir: &Path) -> io::Result<UnixListener> {
        listen(&HeldDir::open(dir).unwrap())
    }

    async fn round_trip(dir: &Path) {
        let listener = listen_at(dir).unwrap();
        let (near, far) = tokio::join!(connect(dir), listener.accept());
        near.unwrap();
        far.unwrap();
        let mode = std::fs::metadata(dir.join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
        // What a dead node leaves behind answers nobody and is in nobody's way.
        assert_eq!(connect(dir).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        drop(listen_at(dir).unwrap());
        remove(&HeldDir::open(dir).unwrap()).unwrap();
        assert_eq!(connect(dir).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_replaces_a_dead_one() {
        round_trip(tempfile::tempdir().unwrap().path()).await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_deep_directory_has_a_socket_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        round_trip(&deep).await;
    }

    #[tokio::test]
    async fn the_socket_of_whoever_took_the_path_is_left_alone() {
        let top = tempfile::tempdir().unwrap();
        let (path, moved) = (top.path().join("d"), top.path().join("d.old"));
        std::fs::create_dir(&path).unwrap();
        let ours = HeldDir::open(&path).unwrap();
        let _first = listen(&ours).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        let _second = listen_at(&path).unwrap();
        assert!(listen(&ours).unwrap_err().to_string().contains("another directory now"));
        assert!(!moved.join(SOCKET_NAME).exists() && path.join(SOCKET_NAME).exists());
    }

    #[tokio::test]
    async fn a_file_of_that_name_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SOCKET_NAME), "mine").unwrap();
        assert_eq!(listen_at(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
