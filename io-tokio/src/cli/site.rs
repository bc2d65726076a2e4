//! Where a command is carried out: by the node that answers on the control socket, else in this process.

use std::time::Duration;

use softadastra_core::error::Code;
use softadastra_core::wal;
use tokio::time::Instant;

use super::output::{Done, Failure, Output};
use crate::control::{Backend, Fault, Local, Remote};
use crate::settings::Settings;
use crate::{Client, ClientOptions};

/// How long a command waits for another one to let go of the directory, unless configured.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How often it looks meanwhile: whoever holds the lock may be a node whose socket is about to answer.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a command does, on either backend.
pub(super) trait Act {
    /// Does it.
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure>;
}

/// Carries out an action where it can be.
pub(super) async fn run<A: Act>(settings: &Settings, out: &mut Output, action: A) -> Result<Done, Failure> {
    match reach(settings).await? {
        Site::Node(remote) => act(remote, action, out).await,
        Site::Here(local) => act(local, action, out).await,
    }
}

async fn act<B: Backend, A: Act>(mut backend: B, action: A, out: &mut Output) -> Result<Done, Failure> {
    let done = action.act(&mut backend, out).await;
    let closed = backend.close().await;
    let done = done?;
    closed?;
    Ok(done)
}

enum Site {
    Node(Remote),
    Here(Local),
}

async fn reach(settings: &Settings) -> Result<Site, Fault> {
    let deadline = Instant::now() + settings.lock_wait.unwrap_or(LOCK_WAIT);
    loop {
        if let Some(remote) = Remote::connect(&settings.data_dir).await? {
            return Ok(Site::Node(remote));
        }
        match Client::open(options(settings).create(false)).await {
            Ok(client) => return Ok(Site::Here(Local::for_one_command(client))),
            Err(error) if error.code() == Code::Locked && Instant::now() < deadline => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            Err(error) => return Err(absent_or(settings, error.into())),
        }
    }
}

/// How the engine is to be opened by these settings.
pub(super) fn options(settings: &Settings) -> ClientOptions {
    let mut options = ClientOptions::local(&settings.data_dir).durability(settings.durability);
    if let Some(node_id) = &settings.node_id {
        options = options.node_id(node_id.clone());
    }
    if let Some(bytes) = settings.max_value_len {
        options = options.max_value_len(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if let Some(bytes) = settings.max_pending_bytes {
        options = options.max_pending_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if settings.first_segment.is_some() || settings.max_segment.is_some() {
        let defaults = wal::Settings::default();
        let first = settings.first_segment.unwrap_or(defaults.first_segment);
        options = options.segments(first, settings.max_segment.unwrap_or(defaults.max_segment.max(first)));
    }
    if let Some(bytes) = settings.snapshot_after {
        options = options.snapshot_after(bytes);
    }
    options
}

/// A missing directory is told with what creates one.
fn absent_or(settings: &Settings, fault: Fault) -> Fault {
    if !fault.is(Code::NotFound) {
        return fault;
    }
    let next = format!("create it with `softadastra init --data-dir {}`", settings.data_dir.display());
    Fault { next, ..fault }
}
