//! What a node counts, in the text that Prometheus reads, or as OpenMetrics for who asks for it.
//!
//! [`FAMILIES`] is all there is; the table in `docs/operations.md` is checked against it.

mod text;

use softadastra_core::transport::endpoint::PeerState;

use self::text::Text;
use super::process;
use crate::control::{Fault, Local};
use crate::data_dir::free_bytes;
use crate::logging::{self, Recent};
use crate::measures::Measures;
use crate::model::{DiscoveryState, FoundNode, FoundState, NodeState, PeerInfo, Status, SyncState};

/// The most peers that are told one by one.
const MOST_PEERS: usize = 256;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the process runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many took how long.
    Histogram,
}

impl Kind {
    /// Its name in the text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Numbers of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name, with its unit.
    pub name: &'static str,
    /// What they are.
    pub kind: Kind,
    /// What tells them apart.
    pub labels: &'static [&'static str],
    /// What they mean.
    pub help: &'static str,
}

const fn family(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind, labels, help }
}

use Kind::{Counter, Gauge, Histogram};

/// All families, in the order of the text.
pub const FAMILIES: &[Family] = &[
    family("softadastra_build_info", Gauge, &["version"], "Always 1; says which software this is."),
    family(
        "softadastra_node_info",
        Gauge,
        &["node", "replica"],
        "Always 1; says which node and which history this is.",
    ),
    family("softadastra_uptime_seconds", Gauge, &[], "Time since the node was opened."),
    family("softadastra_state", Gauge, &["state"], "1 for the present state: ready, no_room, degraded or closing."),
    family(
        "softadastra_halted",
        Gauge,
        &[],
        "1 when nothing is exchanged any more because this history is not unique.",
    ),
    family("softadastra_keys", Gauge, &[], "Keys that have a value."),
    family("softadastra_tombstones", Gauge, &[], "Deleted keys still remembered."),
    family("softadastra_live_bytes", Gauge, &[], "Bytes of keys and values."),
    family("softadastra_waiting_writes", Gauge, &[], "Writes that wait for the disk."),
    family("softadastra_write_duration_seconds", Histogram, &[], "Time from a write to its answer."),
    family("softadastra_writes_failed_total", Counter, &[], "Writes that the disk refused."),
    family("softadastra_log_sync_duration_seconds", Histogram, &[], "Time of a write and sync of the log."),
    family("softadastra_log_last_lsn", Gauge, &[], "Position of the last record accepted."),
    family("softadastra_log_durable_lsn", Gauge, &[], "Position up to which everything survives a crash."),
    family("softadastra_log_segments", Gauge, &[], "Segment files of the log."),
    family("softadastra_log_bytes", Gauge, &[], "Bytes of all files of the log."),
    family("softadastra_log_tail_bytes", Gauge, &[], "Bytes that an opening would have to replay."),
    family("softadastra_snapshot_bytes", Gauge, &[], "Size of the latest snapshot."),
    family("softadastra_disk_free_bytes", Gauge, &[], "Room on the disk of the data directory."),
    family(
        "softadastra_operations_accepted_total",
        Counter,
        &[],
        "Own operations accepted here, in all of this history.",
    ),
    family(
        "softadastra_operations_acknowledged_total",
        Counter,
        &[],
        "Own operations that enough other nodes hold durably.",
    ),
    family(
        "softadastra_outbox_operations",
        Gauge,
        &["state"],
        "Own operations not acknowledged: queued, in_flight or failed.",
    ),
    family("softadastra_retries_total", Counter, &[], "Links that broke without progress."),
    family("softadastra_entries_sent_total", Counter, &[], "Entries sent to peers."),
    family("softadastra_entries_received_total", Counter, &[], "Entries received of peers."),
    family("softadastra_entries_taken_total", Counter, &[], "Entries received that were not here before."),
    family("softadastra_conflicts_total", Counter, &[], "Concurrent writes that met, in all of this log."),
    family("softadastra_conflicts_open", Gauge, &[], "Conflicts that wait for a decision."),
    family("softadastra_divergences_total", Counter, &[], "Times that a peer with the same claims had another state."),
    family("softadastra_diverged_peers", Gauge, &[], "Peers with the same claims and another state."),
    family("softadastra_transport_running", Gauge, &[], "1 while links are opened and taken."),
    family("softadastra_peers", Gauge, &["state"], "Peers by their state."),
    family("softadastra_peer_up", Gauge, &["peer"], "1 while a link to the peer stands."),
    family(
        "softadastra_peer_lag_operations",
        Gauge,
        &["peer"],
        "Changes here that the peer lacks; at most 10,000 are counted.",
    ),
    family("softadastra_peer_in_flight_bytes", Gauge, &["peer"], "Bytes sent to the peer and not acknowledged."),
    family("softadastra_peer_round_trip_seconds", Gauge, &["peer"], "The latest round trip to the peer."),
    family(
        "softadastra_peer_clock_ahead_seconds",
        Gauge,
        &["peer"],
        "How far the clock of the peer is ahead of this node's.",
    ),
    family("softadastra_peer_silent_seconds", Gauge, &["peer"], "Time since anything was heard of the peer."),
    family("softadastra_discovery_running", Gauge, &[], "1 while discovery is wanted."),
    family("softadastra_discovery_hindered", Gauge, &[], "1 while something keeps datagrams from coming or going."),
    family("softadastra_found_nodes", Gauge, &["state"], "Nodes on record of discovery: available, stale or expired."),
    family("softadastra_datagrams_received_total", Counter, &[], "Datagrams that discovery received."),
    family("softadastra_datagrams_believed_total", Counter, &[], "Of these, those of nodes of this network."),
    family("softadastra_log_lines_total", Counter, &["level"], "Log lines by their level: error, warn or info."),
    family("softadastra_log_lines_held_back_total", Counter, &[], "Log lines that only said again what was said."),
    family(
        "softadastra_log_lines_dropped_total",
        Counter,
        &[],
        "Log lines dropped because standard error was not read.",
    ),
    family("process_resident_memory_bytes", Gauge, &[], "Memory of the process."),
    family("process_open_fds", Gauge, &[], "Open file descriptors."),
    family("process_max_fds", Gauge, &[], "File descriptors it may have."),
    family("process_cpu_seconds_total", Counter, &[], "Time on processors."),
    family("process_start_time_seconds", Gauge, &[], "When the node was opened, in seconds since 1970."),
];

/// The media type of the text.
#[must_use]
pub const fn content_type(open: bool) -> &'static str {
    if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

/// All numbers of a node, now. `open`: as OpenMetrics.
///
/// # Errors
/// When the node has closed.
pub async fn render(local: &Local, recent: &Recent, open: bool) -> Result<String, Fault> {
    let client = local.client();
    let (status, sync) = (client.status()?, client.sync_state()?);
    let peers = if client.transport_running() { client.peers()? } else { Vec::new() };
    let info = client.node_info()?;
    let dir = info.data_dir.clone();
    // Asks the file system, which may be slow.
    let (process, free) = tokio::task::spawn_blocking(move || (process::look(), dir.as_deref().and_then(free_bytes)))
        .await
        .unwrap_or_default();
    let mut text = Text::new(open);
    text.one("softadastra_build_info", &[&info.version], 1_u64);
    text.one("softadastra_node_info", &[info.node_id.as_str(), &info.replica_id.to_string()], 1_u64);
    text.one("softadastra_uptime_seconds", &[], info.uptime.as_secs_f64());
    of_status(&mut text, &status, free);
    of_measures(&mut text, client.measures());
    of_sync(&mut text, &sync);
    let open_conflicts = client.open_conflicts()?;
    text.one("softadastra_conflicts_open", &[], open_conflicts as u64);
    text.one("softadastra_transport_running", &[], u64::from(client.transport_running()));
    of_peers(&mut text, &peers);
    of_discovery(&mut text, &client.discovery_state()?, &client.discovered()?);
    let ([errors, warnings, others], held_back) = recent.counts();
    for (level, count) in [("error", errors), ("warn", warnings), ("info", others)] {
        text.one("softadastra_log_lines_total", &[level], count);
    }
    text.one("softadastra_log_lines_held_back_total", &[], held_back);
    text.one("softadastra_log_lines_dropped_total", &[], logging::dropped());
    text.some("process_resident_memory_bytes", process.resident_bytes);
    text.some("process_open_fds", process.open_fds);
    text.some("process_max_fds", process.max_fds);
    text.one("process_cpu_seconds_total", &[], process.cpu_seconds);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact")]
    text.one("process_start_time_seconds", &[], info.started_at.0 as f64 / 1000.0);
    Ok(text.finish())
}

fn of_status(text: &mut Text, status: &Status, free: Option<u64>) {
    let states = [NodeState::Ready, NodeState::NoRoom, NodeState::Degraded(String::new()), NodeState::Closing]
        .map(|state| state.as_str());
    for state in states {
        text.one("softadastra_state", &[state], u64::from(state == status.state.as_str()));
    }
    text.one("softadastra_keys", &[], status.keys);
    text.one("softadastra_tombstones", &[], status.tombstones);
    text.one("softadastra_live_bytes", &[], status.live_bytes);
    text.one("softadastra_waiting_writes", &[], status.waiting);
    if let Some(wal) = &status.wal {
        text.one("softadastra_log_last_lsn", &[], wal.last_lsn.0);
        text.one("softadastra_log_durable_lsn", &[], wal.durable_lsn.0);
        text.one("softadastra_log_segments", &[], wal.segments);
        text.one("softadastra_log_bytes", &[], wal.bytes);
        text.one("softadastra_log_tail_bytes", &[], wal.tail_bytes);
        text.one("softadastra_snapshot_bytes", &[], wal.snapshot_bytes);
    }
    text.some("softadastra_disk_free_bytes", free);
}

fn of_measures(text: &mut Text, measures: &Measures) {
    text.durations("softadastra_write_duration_seconds", &measures.writes.read());
    text.one("softadastra_writes_failed_total", &[], measures.failed_writes());
    text.durations("softadastra_log_sync_duration_seconds", &measures.syncs.read());
}

fn of_sync(text: &mut Text, sync: &SyncState) {
    text.one("softadastra_halted", &[], u64::from(sync.halted.is_some()));
    text.one("softadastra_operations_accepted_total", &[], sync.outbox.last);
    text.one("softadastra_operations_acknowledged_total", &[], sync.outbox.acknowledged);
    let outbox = &sync.outbox;
    for (state, count) in [("queued", outbox.queued), ("in_flight", outbox.in_flight), ("failed", outbox.failed)] {
        text.one("softadastra_outbox_operations", &[state], count);
    }
    text.one("softadastra_retries_total", &[], outbox.retries);
    text.one("softadastra_entries_sent_total", &[], sync.traffic.sent);
    text.one("softadastra_entries_received_total", &[], sync.traffic.received);
    text.one("softadastra_entries_taken_total", &[], sync.traffic.taken);
    text.one("softadastra_conflicts_total", &[], sync.conflicts);
    text.one("softadastra_divergences_total", &[], sync.divergences);
    text.one("softadastra_diverged_peers", &[], sync.diverged);
}

fn of_peers(text: &mut Text, peers: &[PeerInfo]) {
    use PeerState as P;
    for state in [P::Available, P::Connecting, P::Connected, P::Stale, P::Expired, P::Faulted] {
        let count = peers.iter().filter(|peer| peer.state == state).count();
        text.one("softadastra_peers", &[state.as_str()], count as u64);
    }
    let mut told = std::collections::BTreeSet::new();
    for peer in peers.iter().take(MOST_PEERS) {
        let address = || peer.addresses.first().map(ToString::to_string);
        let name = peer.node.as_ref().map(ToString::to_string).or_else(address);
        let Some(name) = name.or_else(|| peer.key.map(|key| key.to_string())) else { continue };
        // Two keys may give one name; a series is told once.
        if !told.insert(name.clone()) {
            continue;
        }
        let labels: &[&str] = &[&name];
        text.one("softadastra_peer_up", labels, u64::from(peer.state == P::Connected));
        if let Some(sync) = &peer.sync {
            text.one("softadastra_peer_lag_operations", labels, sync.lag);
            text.one("softadastra_peer_in_flight_bytes", labels, sync.in_flight);
            #[expect(clippy::cast_precision_loss, reason = "a difference of clocks is small")]
            text.one("softadastra_peer_clock_ahead_seconds", labels, sync.clock_ahead_ms as f64 / 1000.0);
        }
        if let Some(time) = peer.round_trip {
            text.one("softadastra_peer_round_trip_seconds", labels, time.as_secs_f64());
        }
        text.one("softadastra_peer_silent_seconds", labels, peer.silent_for.as_secs_f64());
    }
}

fn of_discovery(text: &mut Text, state: &DiscoveryState, found: &[FoundNode]) {
    text.one("softadastra_discovery_running", &[], u64::from(state.running));
    text.one("softadastra_discovery_hindered", &[], u64::from(state.trouble.is_some()));
    for state in [FoundState::Available, FoundState::Stale, FoundState::Expired] {
        let count = found.iter().filter(|node| node.state == state).count();
        text.one("softadastra_found_nodes", &[state.as_str()], count as u64);
    }
    text.one("softadastra_datagrams_received_total", &[], state.counters.received);
    text.one("softadastra_datagrams_believed_total", &[], state.counters.believed);
}
