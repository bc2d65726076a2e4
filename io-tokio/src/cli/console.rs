//! Metrics and console of a node that `softadastra node start` runs.

use softadastra_core::error::Code;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::output::Failure;
use crate::control::Fault;
use crate::http::{Http, Token};
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

/// Listens, if that is wanted. A port that is not to be had is asked for again in [`open`]: the node that held the data
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

/// The port for a node that is open, and the token of its data directory. Without them everything else goes on.
pub(super) async fn open(settings: &Settings, waiting: Option<Waiting>) -> Option<(Http, Token)> {
    let address = settings.http?;
    let dir = settings.data_dir.clone();
    let opened = async {
        let token = off_thread(move || Token::of(&dir)).await.map_err(|error| error.to_string())?;
        let http = match waiting {
            Some(Waiting { opened, port }) => {
                drop(opened);
                port.await.map_err(|error| error.to_string())?
            }
            None => Http::bind(address).await.map_err(|error| error.to_string())?,
        };
        Ok::<_, String>((http, token))
    };
    match opened.await {
        Ok((http, token)) => {
            events::http_started(http.address());
            Some((http, token))
        }
        Err(error) => {
            events::http_failed(address, &error);
            None
        }
    }
}
