//! Metrics and console of a node that `softadastra node start` runs.

use softadastra_core::error::Code;

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

/// Listens, if that is wanted. Without it everything else goes on.
pub(super) async fn open(settings: &Settings) -> Option<Http> {
    let address = settings.http?;
    let dir = settings.data_dir.clone();
    let token = match off_thread(move || Token::of(&dir)).await {
        Ok(token) => token,
        Err(error) => {
            events::http_failed(address, &error);
            return None;
        }
    };
    match Http::bind(address, token).await {
        Ok(http) => {
            events::http_started(http.address());
            Some(http)
        }
        Err(error) => {
            events::http_failed(address, &error);
            None
        }
    }
}
