//! Taking connections, through every failure: a listener never gives up.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::NetFact;
use crate::descriptors::share;
use crate::events;
use crate::world::Net;

/// The pause after a failure; doubled with each further one. Sockets of others are closed meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connections that may wait for the loop. Those beyond wait in the backlog, where they cost no file descriptor.
const MOST_WAITING: usize = 32;

/// Hands every connection to the loop, until the loop has ended.
pub(super) async fn run<N: Net>(mut listener: N::Listener, told: mpsc::Sender<NetFact<N>>) {
    let places = Arc::new(Semaphore::new(share(MOST_WAITING, 1)));
    let mut pause = None;
    loop {
        // Closed by nobody.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match N::accept(&mut listener).await {
            Ok((connection, from)) => {
                if pause.take().is_some() {
                    events::accepting_again();
                }
                if told.send(NetFact::Arrived { connection, from, taken: Some(place) }).await.is_err() {
                    return;
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most often the process has as many open files as it may have. The backlog keeps who comes meanwhile.
                let now = pause.map_or(FIRST_PAUSE, |before: Duration| (before * 2).min(LONGEST_PAUSE));
                if pause.replace(now).is_none() {
                    events::accept_failed(&error);
                }
                tokio::time::sleep(now).await;
            }
        }
    }
}

/// Whether only the connection that was about to be taken is lost.
fn is_of_one_connection(error: &io::Error) -> bool {
    use ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::NotConnected)
        || matches!(error.kind(), K::Interrupted | K::TimedOut | K::InvalidInput)
}
