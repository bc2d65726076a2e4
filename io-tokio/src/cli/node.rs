//! `softadastra init` and `softadastra node start`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use softadastra_core::error::Code;
use softadastra_core::ids::NodeId;
use softadastra_core::transport::trust::Trust;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::args::Start;
use super::output::{Done, Failure, Output};
use super::service::Manager;
use super::site::options;
use super::{console, links, site, sound};
use crate::client::discovery::nobody_to_trust;
use crate::control::answer::Init;
use crate::control::local::{HttpStanding, TransportTrouble};
use crate::control::server::Server;
use crate::control::{Backend as _, Fault, Local};
use crate::logging::Recent;
use crate::settings::Settings;
use crate::{Client, PeerSpec, TrustMode, data_dir, descriptors, events, network};

/// How long a stopping node waits for those it is answering.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a starting node waits for a command to let go of the directory, unless configured.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A node id from the command line.
pub(super) fn parse_node_id(text: String) -> Result<NodeId, Failure> {
    NodeId::new(text)
        .map_err(|error| Failure::Usage(Fault::new(Code::InvalidArgument, error.to_string(), "choose another")))
}

/// Whether anything lies in the log directory of `dir`.
fn holds_files(dir: &Path) -> Result<bool, Fault> {
    let wal = dir.join(data_dir::WAL_DIR);
    Ok(wal.is_dir() && !data_dir::names(&wal)?.is_empty())
}

/// Creates a data directory; one that is there already is left alone.
pub(super) async fn init(
    settings: &Settings,
    node_id: Option<String>,
    new_history: bool,
    out: &mut Output,
) -> Result<Done, Failure> {
    let dir = &settings.data_dir;
    let mut wanted = options(settings).new_history(new_history);
    if let Some(node_id) = node_id {
        wanted = wanted.node_id(parse_node_id(node_id)?);
    }
    let there = || {
        let what = format!("{} already holds a node", dir.display());
        Fault::new(Code::AlreadyExists, what, "use it as it is, or choose another data directory")
    };
    // An empty log directory is what an earlier init left that was cut short; opening tells whether more is there.
    let mut local = match Client::open(wanted.clone()).await {
        Ok(client) => Local::for_one_command(client),
        // It runs, or was born under another name than the one wanted now.
        Err(error)
            if matches!(error.code(), Code::Locked | Code::InvalidArgument)
                && wanted.validate().is_ok()
                && holds_files(dir)? =>
        {
            return Err(there().into());
        }
        Err(error) => return Err(error.into()),
    };
    let node = local.node().await?;
    local.close().await?;
    if !node.recovery.created {
        return Err(there().into());
    }
    out.answer(&Init {
        data_dir: dir.display().to_string(),
        node_id: node.node_id,
        replica_id: node.replica_id,
        log_id: node.log_id,
    })?;
    Ok(Done::Yes)
}

/// A clock that says a moment before 1970 was never set. What serves commands cannot name such a day, and versions of
/// writes would begin at nought.
fn check_clock(now: SystemTime) -> Result<(), Fault> {
    if now >= UNIX_EPOCH {
        return Ok(());
    }
    let what = "the clock of this machine says that it is before 1970";
    Err(Fault::new(Code::InvalidState, what, "set the clock, and start the node again"))
}

/// Runs a node until it is told to stop, or until it cannot go on.
pub(super) async fn start(
    settings: &Settings,
    args: Start,
    recent: Arc<Recent>,
    out: &mut Output,
) -> Result<Done, Failure> {
    let mut wanted = options(settings);
    if let Some(node_id) = args.node_id {
        wanted = wanted.node_id(parse_node_id(node_id)?);
    }
    let wait = match settings.lock_wait {
        Some(wait) => wait,
        // A node does not let go; what asks the same of it will say how.
        None if matches!(site::node(settings).await, Ok(Some(_))) => Duration::ZERO,
        None => LOCK_WAIT,
    };
    wanted = wanted.lock_wait(wait);
    check_clock(SystemTime::now())?;
    if let Some(limit) = descriptors::limit().filter(|limit| *limit < descriptors::ENOUGH) {
        events::few_descriptors(limit);
    }
    sound::for_a_node(settings)?;
    sound::for_its_links(settings).await?;
    // From here on a signal is a request to stop cleanly, even one that comes while the log is being read.
    let mut signals = Signals::new()?;
    let http = console::wait(settings).await;
    let client = tokio::select! {
        opened = Client::open(wanted) => opened.inspect_err(|error| {
            // Who it is stands in the directory that was not opened: its name is known only where it is configured.
            let _node = settings.node_id.as_ref().map(|node| events::span(node).entered());
            events::open_failed(&settings.data_dir, error);
        })?,
        name = signals.next() => {
            events::tell!(info, events::kinds::SIGNAL, name, "stopped before the node was up");
            return Ok(Done::Yes);
        }
    };
    let span = events::span(&client.node_info()?.node_id);
    let served = serve(settings, &client, signals, (http, recent), out).instrument(span).await;
    let closed = client.close().await;
    served?;
    closed?;
    Ok(Done::Yes)
}

/// A node that has no rule yet whom to let in, and is to listen beyond loopback, is refused before anything is created.
/// Names are not resolved here: they, and nodes that have a `network.json`, are judged when links are opened.
pub(super) fn refuse_strangers(settings: &Settings) -> Result<(), Failure> {
    let network = &settings.network;
    let has_rules = settings.data_dir.join(network::FILE_NAME).exists()
        || network.peers.iter().any(|peer| matches!(peer, PeerSpec::Ticket(_)));
    if has_rules {
        return Ok(());
    }
    let trust = network.trust.unwrap_or(TrustMode::Open);
    judge_trust(settings, trust, false)
}

/// What a node with these rules would refuse, names left out.
pub(super) fn judge_trust(settings: &Settings, mode: TrustMode, has_secret: bool) -> Result<(), Failure> {
    let network = &settings.network;
    if settings.discovery.mode.is_some() && settings.discovery.auto_connect && mode == TrustMode::Open {
        return Err(sound::of_settings(settings, nobody_to_trust()));
    }
    let mut addresses = network.listen.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
    let beyond_loopback = addresses.any(|address| !address.ip().to_canonical().is_loopback());
    let trust = Trust::new(mode, [], []);
    trust.check(has_secret, beyond_loopback, network.insecure).map_err(|error| sound::of_settings(settings, error))
}

async fn serve(
    settings: &Settings,
    client: &Client,
    mut signals: Signals,
    (http, recent): (Option<console::Waiting>, Arc<Recent>),
    out: &mut Output,
) -> Result<(), Failure> {
    let server = Server::bind(client)?;
    let trouble = TransportTrouble::default();
    let mut links = settings.network.transport_options();
    links.settings.max_links = descriptors::share(links.settings.max_links, 6);
    links.settings.max_half_open = descriptors::share(links.settings.max_half_open, 1).max(4);
    let _trying = links::open(client, links, &trouble).await?;
    let discovery = settings.discovery.options();
    if settings.discovery.mode.is_some() {
        links::discover(client, discovery.clone()).await?;
    }
    let listing = if settings.discovery.mdns { links::list(client, settings) } else { None };
    let standing = HttpStanding::default();
    let mut local = Local::for_a_node(client.clone(), trouble, discovery).with_http(standing.clone());
    let stop = CancellationToken::new();
    let site = console::Site { local: local.clone(), recent, standing, stop: stop.clone() };
    // It ends within a moment when this is dropped: nobody waits for a console.
    let _console = console::serve(settings, http, site).await;
    let mut serving = tokio::spawn(server.serve(local.clone(), stop.clone()).in_current_span());
    let node = local.node().await?;
    events::tell!(info, events::kinds::READY, pid = node.pid, "commands are taken");
    if out.is_json() {
        out.document(&node)?;
        out.flush()?;
    }
    let manager = Manager::of_environment();
    if let Some(manager) = &manager {
        manager.ready();
    }
    let ended = tokio::select! {
        name = signals.next() => {
            events::tell!(info, events::kinds::SIGNAL, name, "stopping");
            Ok(())
        }
        () = client.closed() => {
            Err(Fault::new(Code::InternalError, "the engine has stopped by itself", "see the log above, then start again"))
        }
        served = &mut serving => {
            return Err(ended_early(served).into());
        }
        () = keep_alive(manager.as_ref(), client) => unreachable!("signs of life have no end"),
    };
    if let Some(manager) = &manager {
        manager.stopping();
    }
    if let Some(listing) = listing {
        listing.withdraw().await;
    }
    stop.cancel();
    match tokio::time::timeout(FAREWELL, &mut serving).await {
        Ok(Ok(())) => {}
        Ok(Err(panicked)) => return Err(ended_early(Err(panicked)).into()),
        Err(_elapsed) => {
            events::tell!(warn, events::kinds::FAREWELL_CUT_SHORT, "somebody was still being answered");
            serving.abort();
        }
    }
    Ok(ended?)
}

async fn keep_alive(manager: Option<&Manager>, client: &Client) {
    match manager {
        Some(manager) => manager.keep_alive(client).await,
        None => std::future::pending().await,
    }
}

fn ended_early(served: Result<(), tokio::task::JoinError>) -> Fault {
    match served {
        Ok(()) => Fault::new(Code::InternalError, "the control socket has closed by itself", "start the node again"),
        Err(panicked) => Fault::new(Code::InternalError, format!("the control socket: {panicked}"), "report this"),
    }
}

/// What asks a process to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal has gone away; `None` where that is to be ignored, as `nohup` asks for.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Fault::io("listen for signals", &error));
        let hangup = if ignores_hangup() { None } else { Some(listen(SignalKind::hangup())?) };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())?, hangup })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hung_up => "SIGHUP",
        }
    }
}

/// Whether this process was started with SIGHUP ignored, as far as the system tells.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (rustix::process::Signal::HUP.as_raw() - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_named() {
        assert!(check_clock(SystemTime::now()).is_ok() && check_clock(UNIX_EPOCH).is_ok());
        let refused = check_clock(UNIX_EPOCH - Duration::from_secs(1)).unwrap_err();
        assert!(refused.is(Code::InvalidState) && refused.message.contains("before 1970"));
    }
}
