//! The node itself: whether one runs, its log, who it is, its clock, its peers, and what it has to deliver.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use softadastra_core::error::Code;

use super::super::render::bytes;
use super::super::upkeep::verdict;
use crate::cli::{site, sound};
use crate::control::answer::{Check, Log, Peer, Peers, Status};
use crate::control::backend::{Backend as _, Peering as _};
use crate::control::{Fault, local};
use crate::data_dir::WAL_DIR;
use crate::lock::{DirLock, Holder};
use crate::settings::Settings;
use crate::{network, off_thread, tools};

/// How long a running node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The software is younger than this moment, in milliseconds since 1970: no clock that is right shows an earlier one.
const YOUNGEST_MS: u64 = 1_735_689_600_000;

/// From where on a clock is off, unless configured.
const SKEW: Duration = Duration::from_secs(300);

/// What was found of the node, asked once.
pub(super) struct Found {
    answered: Option<Answered>,
    /// Why a node that seems to run did not answer.
    silent: Option<Fault>,
    /// Who else has the directory.
    holder: Option<Holder>,
    log: Result<Log, Fault>,
    book: Result<Option<network::Known>, Fault>,
    /// When the latest file was changed, and now, in milliseconds since 1970.
    latest_ms: u64,
    now_ms: u64,
}

/// What a running node answered.
struct Answered {
    pid: u32,
    status: Status,
    peers: Peers,
}

impl Found {
    pub(super) async fn look(settings: &Settings) -> Self {
        let dir = settings.data_dir.clone();
        let (answered, silent) = match ask(settings).await {
            Ok(answered) => (answered, None),
            Err(fault) => (None, Some(fault)),
        };
        let log = log_of(settings, answered.is_some()).await;
        let holder = if answered.is_none() { DirLock::holder(&dir) } else { None };
        let read = dir.clone();
        let book = off_thread(move || network::look(&read, &[])).await.map_err(Fault::from);
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |past| past.as_millis());
        let changed =
            |path: std::path::PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).map_or(0, since);
        let wal = dir.join(WAL_DIR);
        let files = std::fs::read_dir(&wal).into_iter().flatten().flatten().map(|entry| entry.path());
        let latest = files.chain([wal.clone()]).map(changed).max().unwrap_or(0);
        let millis = |ms: u128| u64::try_from(ms).unwrap_or(u64::MAX);
        let (latest_ms, now_ms) = (millis(latest), millis(since(SystemTime::now())));
        Self { answered, silent, holder, log, book, latest_ms, now_ms }
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.answered.as_ref().map(|answered| &answered.status)
    }

    pub(super) fn live_bytes(&self) -> Option<u64> {
        let stored = || Some(self.log.as_ref().ok()?.content.as_ref()?.live_bytes);
        self.status().map(|status| status.live_bytes).or_else(stored)
    }

    fn peers(&self) -> Option<&Peers> {
        self.answered.as_ref().map(|answered| &answered.peers)
    }
}

async fn ask(settings: &Settings) -> Result<Option<Answered>, Fault> {
    let asking = async {
        let Some(mut node) = site::node(settings).await? else { return Ok(None) };
        let (info, status, peers) = (node.node().await?, node.status().await?, node.peers().await?);
        Ok(Some(Answered { pid: info.pid, status, peers }))
    };
    let silent = |_elapsed| {
        let what = format!("the node does not answer within {} s", PATIENCE.as_secs());
        Err(Fault::new(Code::IoError, what, "see its log and its disk; then start it again"))
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(silent)
}

/// The log as the running node reads it, else as it lies there.
async fn log_of(settings: &Settings, runs: bool) -> Result<Log, Fault> {
    if runs && let Some(mut node) = site::node(settings).await? {
        return node.log().await;
    }
    Ok(local::log(tools::inspect(&settings.data_dir).await?))
}

/// Whether a node runs, and works.
pub(super) fn running(found: &Found) -> Check {
    let name = "node";
    if let Some(fault) = &found.silent {
        return of(name, fault);
    }
    match (&found.answered, &found.holder) {
        (Some(Answered { pid, status, .. }), _) => match (status.state.as_str(), &status.halted) {
            (_, Some(finding)) => Check::failed(
                name,
                format!("nothing is exchanged any more: {finding}"),
                "see The data directory in the operations manual: it was rolled back, or a copy of it runs",
            ),
            ("ready", None) => Check::ok(name, format!("runs as process {pid}, and takes writes")),
            ("no_room", None) => {
                Check::failed(name, "writes are refused: the disk is full", "make room; no restart is needed")
            }
            (state, None) => {
                let why = status.reason.as_deref().unwrap_or("it is being stopped");
                Check::failed(name, format!("{state}: {why}"), "see to the disk, then start the node again")
            }
        },
        // Another command ends by itself.
        (None, Some(Holder { pid, command })) if command.contains(" node start") => Check::failed(
            name,
            format!("process {pid} ({command}) has the directory open, and takes no commands"),
            "wait if it was started just now: it may be reading a long log; else its control.sock was removed, and it \
             has to be stopped by its process id and started again",
        ),
        (None, None) if matches!(&found.log, Err(fault) if fault.is(Code::Locked)) => Check::failed(
            name,
            "another process has the directory open, and takes no commands; its LOCK was removed",
            "find it by its command line, `softadastra … node start`, stop it, and start the node again",
        ),
        (None, Some(Holder { pid, command })) => Check::warning(
            name,
            format!("process {pid} ({command}) has the directory open, and takes no commands"),
            "wait for it to end, or end it",
        ),
        (None, None) => Check::ok(name, "none runs here"),
    }
}

/// Whether the log is sound.
pub(super) fn log(found: &Found) -> Check {
    let name = "log";
    match &found.log {
        Err(fault) if fault.is(Code::Locked) => Check::skipped(name, "another process has it open"),
        Err(fault) => of(name, fault),
        Ok(log) => match verdict(log) {
            Err(fault) => of(name, &fault),
            Ok(()) => sound(log),
        },
    }
}

fn sound(log: &Log) -> Check {
    let name = "log";
    let total = log.segments.iter().map(|segment| segment.bytes).sum::<u64>();
    let read = format!("sound up to LSN {}, {}", log.next_lsn.saturating_sub(1), bytes(total));
    if let Some(doubt) = log.doubts.first() {
        return Check::warning(name, format!("{read}; but {doubt}"), "see `softadastra wal verify`, and keep a backup");
    }
    if let Some(stranger) = log.strangers.first() {
        return Check::warning(name, format!("{read}; {stranger} is no file of the log"), "move it away");
    }
    match &log.torn {
        Some(torn) if !log.in_use => {
            let cut = bytes(torn.bytes);
            Check::ok(name, format!("{read}; the next start cuts {cut} of a write that was cut short"))
        }
        Some(_) | None => Check::ok(name, read),
    }
}

/// Who the node is to others.
pub(super) fn identity(settings: &Settings, found: &Found) -> Check {
    let name = "identity";
    let content = found.log.as_ref().ok().and_then(|log| log.content.as_ref());
    if let (Some(wanted), Some(content)) = (&settings.node_id, content)
        && wanted.as_str() != content.node_id
    {
        return of(name, &sound::foreign_name(settings, wanted.as_str(), &content.node_id));
    }
    let who = content.map_or_else(String::new, |content| format!("{}, ", content.node_id));
    match &found.book {
        Err(fault) => of(name, fault),
        Ok(None) => Check::warning(
            name,
            format!(
                "{} is missing: the next start makes a new key, and peers that know the old one refuse it",
                network::FILE_NAME
            ),
            "put the copy that you keep of it back before that",
        ),
        Ok(Some(known)) => {
            let network = if known.in_network { "in a network" } else { "in no network yet" };
            Check::ok(name, format!("{who}key {}, {network}", known.key))
        }
    }
}

/// Whether this machine knows the time.
pub(super) fn clock(settings: &Settings, found: &Found) -> Check {
    let limit = settings.network.max_clock_skew.unwrap_or(SKEW);
    let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let ahead: Vec<(String, i64)> = found
        .peers()
        .iter()
        .flat_map(|peers| &peers.peers)
        .filter_map(|peer| Some((called(peer), peer.sync.as_ref()?.clock_ahead_ms)))
        .collect();
    judge_clock(found.now_ms, found.latest_ms, limit, &ahead)
}

/// `latest`: when the latest file was changed. `ahead`: how far the clocks of peers are ahead.
fn judge_clock(now: u64, latest: u64, limit: u64, ahead: &[(String, i64)]) -> Check {
    let (name, set) = ("clock", "set it, and let a time service keep it");
    if now < YOUNGEST_MS {
        return Check::failed(name, "not set: it shows a time before this software was made", set);
    }
    if latest > now.saturating_add(limit) {
        let found = format!(
            "files of the log are from {} s in the future: it was ahead, or is behind now",
            (latest - now) / 1000
        );
        return Check::failed(name, found, set);
    }
    let off: Vec<&(String, i64)> = ahead.iter().filter(|(_, by)| by.unsigned_abs() > limit).collect();
    match off.as_slice() {
        [] => Check::ok(name, if ahead.is_empty() { "plausible" } else { "agrees with those of the peers" }),
        [(peer, by), ..] => {
            let found = format!(
                "that of {peer} is {} s {}",
                by.unsigned_abs() / 1000,
                if *by > 0 { "ahead" } else { "behind" }
            );
            // One peer may be wrong; all of them hardly.
            if off.len() == ahead.len() && ahead.len() > 1 {
                return Check::failed(
                    name,
                    format!("{found}, and those of all others are off as well: this one is wrong"),
                    set,
                );
            }
            Check::warning(name, found, "see to the clocks of both machines")
        }
    }
}

/// Whether peers are reached.
pub(super) fn peers(found: &Found) -> Check {
    let name = "peers";
    let Some(Peers { peers, refused, .. }) = found.peers() else {
        let known = found.book.as_ref().ok().and_then(Option::as_ref).map_or(0, |known| known.peers);
        return Check::skipped(name, format!("{known} remembered; no node runs here to reach them"));
    };
    let connected = peers.iter().filter(|peer| peer.state == "connected").count();
    let told = format!("{connected} of {} connected", peers.len());
    if let Some((peer, error)) =
        peers.iter().find_map(|peer| Some((peer, peer.last_error.as_ref().filter(|error| error.needs_operator)?)))
    {
        let found = format!("{told}; {}: {} [{}]", called(peer), error.message, error.code);
        return Check::failed(name, found, "see to it, here or there as it says: trying again by itself is useless");
    }
    let wanted = peers.iter().filter(|peer| peer.wanted && !peer.held && peer.state != "connected");
    if let Some(peer) = wanted.clone().next() {
        let why = peer.last_error.as_ref().map_or_else(|| peer.state.clone(), |error| error.message.clone());
        let (found, next) = (
            format!("{told}; {} is not: {why}", called(peer)),
            "see `softadastra peers`; it is dialled again by itself",
        );
        return if connected == 0 { Check::failed(name, found, next) } else { Check::warning(name, found, next) };
    }
    if let Some(last) = refused.first() {
        let found = format!("{told}; links from {} were refused: {} [{}]", last.address, last.message, last.code);
        return Check::warning(
            name,
            found,
            "see `softadastra peers`: who belongs here needs a fresh ticket of this network",
        );
    }
    Check::ok(name, if peers.is_empty() { "none are known".to_owned() } else { told })
}

fn called(peer: &Peer) -> String {
    let named = peer.node_id.as_ref().or(peer.public_key.as_ref()).or_else(|| peer.addresses.first());
    named.cloned().unwrap_or_else(|| "a peer".to_owned())
}

/// Whether what was accepted here gets there.
pub(super) fn delivery(found: &Found) -> Check {
    let name = "delivery";
    let Some(Status { delivery, open_conflicts, .. }) = found.status() else {
        return Check::skipped(name, "no node runs here");
    };
    let told = format!("{} of {} own operations acknowledged", delivery.acknowledged, delivery.accepted);
    if delivery.failed > 0 {
        let why = delivery.reason.as_deref().unwrap_or("links broke");
        let found = format!("{told}; {} failed: {why}", delivery.failed);
        return Check::warning(name, found, "nothing is lost: see to the peers, then `softadastra sync retry`");
    }
    if delivery.required_acks > delivery.replicas && delivery.required_acks > 1 {
        let found = format!(
            "{told}; required_acks asks for {} other replicas, and {} are known: nothing more will be acknowledged",
            delivery.required_acks, delivery.replicas
        );
        return Check::warning(name, found, "add a node, or lower required_acks");
    }
    if *open_conflicts > 0 {
        let found = format!("{told}; {open_conflicts} conflicts wait for a decision");
        return Check::warning(name, found, "see `softadastra conflicts list`");
    }
    Check::ok(name, told)
}

fn of(name: &str, fault: &Fault) -> Check {
    Check::failed(name, fault.message.clone(), fault.next.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_judged_by_files_and_peers() {
        let (now, limit) = (YOUNGEST_MS + 1_000_000, 300_000);
        let peers = |ahead: &[i64]| -> Vec<(String, i64)> {
            ahead.iter().enumerate().map(|(number, by)| (format!("till-{number}"), *by)).collect()
        };
        let judge = |now, latest, ahead: &[i64]| judge_clock(now, latest, limit, &peers(ahead));
        assert_eq!(judge(now, now, &[]).state, "ok");
        assert_eq!(judge(now, now + limit, &[limit as i64]).state, "ok");
        assert_eq!(judge(1000, 0, &[]).state, "failed");
        assert_eq!(judge(now, now + limit + 1, &[]).state, "failed");
        let one = judge(now, now, &[0, -400_000]);
        assert!(one.state == "warning" && one.found.contains("till-1 is 400 s behind"), "{one:?}");
        let all = judge(now, now, &[400_000, 400_000]);
        assert!(all.state == "failed" && all.found.contains("this one is wrong"), "{all:?}");
        assert_eq!(judge(now, now, &[400_000]).state, "warning", "which of two is wrong cannot be told");
    }
}
