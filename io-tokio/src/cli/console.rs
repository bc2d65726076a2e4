//! Metrics and console of a node that `softadastra node start` runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use softadastra_core::error::Code;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use super::links::{FIRST_PAUSE, LONGEST_PAUSE};
use super::output::Failure;
use crate::control::local::HttpStanding;
use crate::control::{Fault, Local};
use crate::http::{Http, Token};
use crate::logging::Recent;
use crate::settings::Settings;
use crate::{events, off_thread};

/// An address that other machines reach is served only for who says so.
pub(super) fn refuse_exposure(settings: &Settings) -> Result<(), Failure> {
    match settings.http {
        Some(address) if !address.ip().to_canonical().is_loopback() && !settings.http_expose => {
            let what = format!("http {address}: other machines reach this address, and nothing there is encrypted");
            let next = "listen at 127.0.0.1, or add --http-expose and put a proxy with TLS before it";
            Err(Failure::Usage(Fault::new(Code::InvalidArgument, what, next)))
        }
        Some(_) | None => Ok(()),
    }
}

/// A port that says, in a task of its own, that the node is opening.
pub(super) struct Waiting {
    /// It ends when this is dropped.
    opened: DropGuard,
    port: JoinHandle<Http>,
}

/// Listens, if that is wanted. A port that is not to be had is asked for again in [`serve`]: the node that held the data
/// directory may hold it still.
pub(super) async fn wait(settings: &Settings) -> Option<Waiting> {
    let http = Http::bind(settings.http?).await.ok()?;
    let opened = CancellationToken::new();
    let until = opened.clone();
    let port = tokio::spawn(async move {
        http.wait(until).await;
        http
    });
    Some(Waiting { opened: opened.drop_guard(), port })
}

/// What the port serves.
pub(super) struct Site {
    pub(super) local: Local,
    pub(super) recent: Arc<Recent>,
    pub(super) standing: HttpStanding,
    pub(super) stop: CancellationToken,
}

/// Serves the console of a node that is open, until it is told to stop or what is given back is dropped. A port that cannot
/// be had, or a token that cannot be read, is told and tried again; everything else goes on meanwhile.
pub(super) async fn serve(settings: &Settings, waiting: Option<Waiting>, site: Site) -> JoinSet<()> {
    let mut serving = JoinSet::new();
    let Some(address) = settings.http else { return serving };
    let dir = settings.data_dir.clone();
    match open(&dir, address, waiting).await {
        Ok(opened) => {
            site.told_of(&opened);
            serving.spawn(site.serve(opened).in_current_span())
        }
        Err(error) => {
            site.told_of_failure(address, error);
            serving.spawn(site.serve_in_time(dir, address).in_current_span())
        }
    };
    serving
}

/// The port, and the token of the data directory.
async fn open(dir: &Path, address: SocketAddr, waiting: Option<Waiting>) -> Result<(Http, Token), String> {
    let dir = dir.to_owned();
    let token = off_thread(move || Token::of(&dir)).await.map_err(|error| error.to_string())?;
    let http = match waiting {
        Some(Waiting { opened, port }) => {
            drop(opened);
            port.await.map_err(|error| error.to_string())?
        }
        None => Http::bind(address).await.map_err(|error| error.to_string())?,
    };
    Ok((http, token))
}

impl Site {
    async fn serve(self, (http, token): (Http, Token)) {
        http.serve(token, self.local, self.recent, self.stop).await;
    }

    async fn serve_in_time(self, dir: PathBuf, address: SocketAddr) {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match open(&dir, address, None).await {
                Ok(opened) => {
                    self.told_of(&opened);
                    return self.serve(opened).await;
                }
                Err(error) => self.told_of_failure(address, error),
            }
        }
    }

    fn told_of(&self, (http, token): &(Http, Token)) {
        self.standing.served(http.address(), http.link(token));
        events::http_started(http.address());
    }

    fn told_of_failure(&self, address: SocketAddr, error: String) {
        events::http_failed(address, &error);
        self.standing.failed(address, error);
    }
}
