//! The links and the discovery of a node that `softadastra node start` runs.

use std::time::Duration;

use softadastra_core::error::Code;
use tokio::task::JoinSet;

use super::output::Failure;
use crate::control::Fault;
use crate::control::local::TransportTrouble;
use crate::discovery::Listing;
use crate::settings::Settings;
use crate::{Client, DiscoveryOptions, Error, TransportOptions, events};

/// The pause before links, or the console, are tried to be opened again; each further one doubles it.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Opens links. An address that cannot be had is no reason not to work locally: it is told, and tried again by what is
/// given back, until that is dropped.
pub(super) async fn open(
    client: &Client,
    options: TransportOptions,
    trouble: &TransportTrouble,
) -> Result<JoinSet<()>, Failure> {
    let mut trying = JoinSet::new();
    match client.start_transport(options.clone()).await {
        Ok(_addresses) => {}
        Err(error) if error.code() == Code::InvalidArgument => return Err(Failure::Usage(error.into())),
        Err(error) if leaves_local_work_alone(&error) => {
            told(&error, trouble);
            trying.spawn(open_in_time(client.clone(), options, trouble.clone()));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(trying)
}

/// Looks for other nodes. Sockets that cannot be had are tried again by discovery itself.
pub(super) async fn discover(client: &Client, options: DiscoveryOptions) -> Result<(), Failure> {
    match client.start_discovery(options).await {
        Ok(()) => Ok(()),
        Err(error) if error.code() == Code::InvalidArgument => Err(Failure::Usage(error.into())),
        // Told where links are opened.
        Err(error) if leaves_local_work_alone(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is about addresses, or a `network.json` that cannot be read or written, and not about what was asked for.
fn leaves_local_work_alone(error: &Error) -> bool {
    matches!(error.code(), Code::TransportError | Code::FormatTooNew | Code::IoError | Code::DiskFull)
}

/// Lists the node by mDNS. Without that everything else goes on.
pub(super) fn list(client: &Client, settings: &Settings) -> Option<Listing> {
    let (node, key) = (client.node_info().ok()?.node_id, client.key().ok()?);
    match Listing::open(&node, &key, &client.listening(), &settings.discovery.interfaces) {
        Ok(listing) => {
            events::mdns_listed(&listing);
            Some(listing)
        }
        Err(trouble) => {
            events::mdns_failed(&trouble);
            None
        }
    }
}

async fn open_in_time(client: Client, options: TransportOptions, trouble: TransportTrouble) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        match client.start_transport(options.clone()).await {
            Ok(_addresses) => return trouble.set(None),
            Err(error) if error.code() == Code::InvalidState => return,
            Err(error) => told(&error, &trouble),
        }
    }
}

fn told(error: &Error, trouble: &TransportTrouble) {
    trouble.set(Some(Fault::from(error.clone()).to_string()));
}
