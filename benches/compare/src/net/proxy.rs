//! A wire that counts what crosses it, and that can be cut and mended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::Fault;

/// A wire to a listener. It is gone when this is dropped.
pub(crate) struct Wire {
    /// Where to dial instead.
    pub(crate) address: SocketAddr,
    bytes: Arc<AtomicU64>,
    state: watch::Sender<State>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct State {
    whole: bool,
    /// Connections that it carries.
    carried: usize,
}

impl Wire {
    /// Lays a wire.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn to(target: SocketAddr) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let (state, _) = watch::channel(State { whole: true, carried: 0 });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, target, Arc::clone(&bytes), state.clone()));
        Ok(Self { address, bytes, state, _tasks: tasks })
    }

    /// Bytes that have crossed it, in both directions.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends what crosses it, and lets nothing through until [`Self::mend`]. When this has returned nothing moves any more.
    pub(crate) async fn cut(&self) {
        let mut state = self.state.subscribe();
        self.state.send_modify(|state| state.whole = false);
        // The other end of the channel is here, so it cannot be closed.
        _ = state.wait_for(|state| state.carried == 0).await;
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.state.send_modify(|state| state.whole = true);
    }
}

/// A connection that a wire carries, until this is dropped.
struct Carried(watch::Sender<State>);

impl Carried {
    /// Nothing, where the wire is cut.
    fn by(state: &watch::Sender<State>) -> Option<Self> {
        let begin = |state: &mut State| {
            state.carried += usize::from(state.whole);
            state.whole
        };
        state.send_if_modified(begin).then(|| Self(state.clone()))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.carried -= 1);
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, bytes: Arc<AtomicU64>, state: watch::Sender<State>) {
    let mut pairs = JoinSet::new();
    while let Ok((here, _)) = listener.accept().await {
        let Some(carried) = Carried::by(&state) else { continue };
        let (bytes, mut state) = (Arc::clone(&bytes), state.subscribe());
        pairs.spawn(async move {
            tokio::select! {
                biased;
                _ = state.wait_for(|state| !state.whole) => {}
                () = carry(here, target, &bytes) => {}
            }
            // Both connections are closed by now.
            drop(carried);
        });
        while pairs.try_join_next().is_some() {}
    }
}

async fn carry(here: TcpStream, target: SocketAddr, bytes: &AtomicU64) {
    let Ok(there) = TcpStream::connect(target).await else { return };
    if here.set_nodelay(true).and_then(|()| there.set_nodelay(true)).is_err() {
        return;
    }
    let ((mut here_in, mut here_out), (mut there_in, mut there_out)) = (here.into_split(), there.into_split());
    tokio::select! {
        () = pump(&mut here_in, &mut there_out, bytes) => {}
        () = pump(&mut there_in, &mut here_out, bytes) => {}
    }
}

async fn pump(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: &AtomicU64,
) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read as _, Write as _};

    #[test]
    fn nothing_moves_once_a_wire_has_been_cut() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        // One thread for everything: what `cut` does not wait for has not come to pass when it returns.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let wire = Wire::to(target).await.unwrap();
            let mut here = std::net::TcpStream::connect(wire.address).unwrap();
            let accepting = tokio::task::spawn_blocking(move || {
                let mut there = listener.accept().unwrap().0;
                there.read_exact(&mut [0; 4]).unwrap();
                (there, listener)
            });
            here.write_all(b"word").unwrap();
            let (mut there, listener) = accepting.await.unwrap();
            for stream in [&here, &there] {
                stream.set_nonblocking(true).unwrap();
            }
            let crossed = wire.bytes();
            here.write_all(b"too late").unwrap();
            wire.cut().await;
            for stream in [&mut here, &mut there] {
                match stream.read(&mut [0; 1]) {
                    Ok(count) => assert_eq!(count, 0),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it is still open"),
                }
            }
            assert_eq!(wire.bytes(), crossed);
            wire.mend();
            let mut again = std::net::TcpStream::connect(wire.address).unwrap();
            let reading = tokio::task::spawn_blocking(move || listener.accept()?.0.read_exact(&mut [0; 4]));
            again.write_all(b"word").unwrap();
            reading.await.unwrap().unwrap();
            assert_eq!(wire.bytes(), crossed + 4);
        });
    }
}
