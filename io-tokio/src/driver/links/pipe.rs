//! One connection that stands: a task that reads, a task that writes, and how both end.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use softadastra_core::node::LinkFact;
use softadastra_core::transport::endpoint::LinkId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{NetFact, Taken};
use crate::world::{Connection, Net};

/// How long a closed connection may take to write what was sent, and to hear that it arrived.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What an idle connection keeps ready for bytes, and what a busy one does. A thousand idle ones cost 4 MiB.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 64 << 10;

/// Messages written with one call.
const MOST_SLICES: usize = 64;

/// The loop's end of a connection. Dropping it closes the connection in order.
pub(super) struct Pipe {
    /// Not bounded here: the node stops sending at its window of unwritten bytes.
    out: mpsc::UnboundedSender<Bytes>,
    _closing: DropGuard,
}

impl Pipe {
    pub(super) fn send(&self, bytes: Bytes) {
        if self.out.send(bytes).is_err() {
            tracing::trace!(step = "sent_too_late", "the connection has ended; the node is being told");
        }
    }
}

/// The loop's end, and the two tasks to run.
pub(super) fn lay<N: Net>(
    link: LinkId,
    (reader, writer): Connection<N>,
    told: mpsc::Sender<NetFact<N>>,
    lingering: Arc<Semaphore>,
) -> (Pipe, impl Future<Output = ()> + Send + 'static, impl Future<Output = ()> + Send + 'static) {
    let (out, queue) = mpsc::unbounded_channel();
    let closing = CancellationToken::new();
    let reading = read(link, reader, told.clone(), closing.clone(), lingering);
    let writing = write(link, writer, queue, told, closing.clone());
    (Pipe { out, _closing: closing.drop_guard() }, reading, writing)
}

/// Tells the loop. When it has ended, nobody wants to know any more.
pub(super) async fn tell<N: Net>(told: &mpsc::Sender<NetFact<N>>, fact: NetFact<N>) {
    if told.send(fact).await.is_err() {
        tracing::trace!(step = "fact_unheard", "the loop has ended");
    }
}

async fn read<N: Net>(
    link: LinkId,
    mut reader: N::Reader,
    told: mpsc::Sender<NetFact<N>>,
    closing: CancellationToken,
    lingering: Arc<Semaphore>,
) {
    let tell_end = async {
        let one_chunk = Arc::new(Semaphore::new(1));
        let mut size = LEAST_READ;
        loop {
            // Closed by nobody; without a permit the bytes before have not been taken in.
            let Ok(taken) = one_chunk.clone().acquire_owned().await else { return };
            let mut buffer = BytesMut::with_capacity(size);
            let error = match reader.read_buf(&mut buffer).await {
                Ok(0) => None,
                Ok(count) => {
                    size = next_size(size, count);
                    let fact = LinkFact::Bytes(buffer.freeze());
                    tell(&told, NetFact::Link { link, fact, taken: Some(taken) }).await;
                    continue;
                }
                Err(error) => Some(error.to_string()),
            };
            return tell(&told, NetFact::Link { link, fact: LinkFact::Ended { error }, taken: None }).await;
        }
    };
    tokio::select! {
        biased;
        () = closing.cancelled() => {}
        () = tell_end => closing.cancelled().await,
    }
    let Ok(_place) = lingering.try_acquire() else { return };
    // To close a connection with unread bytes would destroy what was just written: the other side has to read first
    // why this one goes, and ends the connection itself.
    let gone = async {
        let mut rest = BytesMut::with_capacity(LEAST_READ);
        while let Ok(1..) = reader.read_buf(&mut rest).await {
            rest.clear();
        }
    };
    drop(tokio::time::timeout(CLOSE_WITHIN, gone).await);
}

/// The buffer for the next read: four times as large when this one was full, half as large when most of it was not
/// needed.
fn next_size(size: usize, count: usize) -> usize {
    if count >= size {
        (size * 4).min(MOST_READ)
    } else if count < size / 4 {
        (size / 2).max(LEAST_READ)
    } else {
        size
    }
}

async fn write<N: Net>(
    link: LinkId,
    mut writer: N::Writer,
    mut queue: mpsc::UnboundedReceiver<Bytes>,
    told: mpsc::Sender<NetFact<N>>,
    closing: CancellationToken,
) {
    let tell_fact = async |fact, taken: Taken| {
        // Of a closed connection the node wants to hear nothing; the loop may be waiting for this very task.
        tokio::select! {
            biased;
            () = closing.cancelled() => {}
            () = tell(&told, NetFact::Link { link, fact, taken }) => {}
        }
    };
    let all = async {
        let mut batch = Vec::with_capacity(MOST_SLICES);
        while queue.recv_many(&mut batch, MOST_SLICES).await > 0 {
            let mut left: VecDeque<Bytes> = batch.drain(..).collect();
            while !left.is_empty() {
                let count = write_some(&mut writer, &mut left).await?;
                tell_fact(LinkFact::Written(count), None).await;
            }
        }
        writer.shutdown().await
    };
    let too_late = async {
        closing.cancelled().await;
        tokio::time::sleep(CLOSE_WITHIN).await;
    };
    let result: io::Result<()> = tokio::select! {
        biased;
        result = all => result,
        () = too_late => Ok(()),
    };
    if let Err(error) = result {
        tell_fact(LinkFact::Ended { error: Some(error.to_string()) }, None).await;
    }
}

/// Writes once, and takes what was written off the front.
async fn write_some(writer: &mut (impl AsyncWriteExt + Unpin), left: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let slices: Vec<IoSlice<'_>> = left.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let count = writer.write_vectored(&slices).await?;
    let empty_only = left.iter().all(Bytes::is_empty);
    if count == 0 && !empty_only {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut taken = count;
    if cfg!(planted = "driver_loses_the_rest_of_a_short_write") {
        taken = left.iter().map(Bytes::len).sum();
    }
    while let Some(first) = left.front_mut() {
        let part = taken.min(first.len());
        first.advance(part);
        taken -= part;
        if !first.is_empty() {
            break;
        }
        left.pop_front();
    }
    Ok(count)
}
