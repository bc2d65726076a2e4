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
    whole: watch::Sender<bool>,
    _tasks: JoinSet<()>,
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
        let (whole, state) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, target, Arc::clone(&bytes), state));
        Ok(Self { address, bytes, whole, _tasks: tasks })
    }

    /// Bytes that have crossed it, in both directions.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends what crosses it, and lets nothing through until [`Self::mend`].
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, bytes: Arc<AtomicU64>, state: watch::Receiver<bool>) {
    let mut pairs = JoinSet::new();
    while let Ok((here, _)) = listener.accept().await {
        if !*state.borrow() {
            continue;
        }
        let (bytes, mut state) = (Arc::clone(&bytes), state.clone());
        pairs.spawn(async move {
            tokio::select! {
                () = carry(here, target, &bytes) => {}
                _ = state.wait_for(|whole| !whole) => {}
            }
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
