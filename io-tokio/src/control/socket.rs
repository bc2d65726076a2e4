//! The control socket's place in the file system.
//!
//! The address of a Unix socket holds about a hundred bytes, a path far more. On Linux a directory too deep for that
//! is reached through its descriptor in `/proc`; elsewhere the error of the operating system says what is wrong.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::SOCKET_NAME;

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
pub(super) fn listen(dir: &Path) -> io::Result<UnixListener> {
    remove(&dir.join(SOCKET_NAME))?;
    let address = Address::of(dir)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(&address.path)?;
    // Nobody can connect before `listen`, so the mode is right from the first moment on.
    std::fs::set_permissions(&address.path, Permissions::from_mode(0o600))?;
    socket.listen(128)
}

/// Removes a socket; that there is none is fine.
///
/// # Errors
/// Those of the operating system, and `AlreadyExists` when the name belongs to something else.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not a socket", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn round_trip(dir: &Path) {
        let listener = listen(dir).unwrap();
        let (near, far) = tokio::join!(connect(dir), listener.accept());
        near.unwrap();
        far.unwrap();
        let mode = std::fs::metadata(dir.join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
        // What a dead node leaves behind answers nobody and is in nobody's way.
        assert_eq!(connect(dir).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        drop(listen(dir).unwrap());
        remove(&dir.join(SOCKET_NAME)).unwrap();
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
    async fn a_file_of_that_name_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SOCKET_NAME), "mine").unwrap();
        assert_eq!(listen(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
