//! Carries out commands on a client that is open in this process.

mod discovery;
mod http;
mod log;
mod network;
mod sync;

use std::path::Path;

use bytes::Bytes;
use softadastra_core::error::Code;
use softadastra_core::ids::Lsn;

use super::answer::{
    Backup, Batch, Change, Console, Contains, Log, Node, Page, Put, Record, Recovery, Removed, Size, Snapshot, Status,
    Wal,
};
use super::backend::{Backend, Changes, PAGE_BYTES, PAGE_RECORDS, Scan};
use super::fault::Fault;
use crate::data_dir::free_bytes;
use crate::discovery::DiscoveryOptions;
use crate::model::{self, NodeState, Outcome, ScanOptions};
use crate::{Client, Watch};

pub use self::http::HttpStanding;
pub(crate) use self::log::{backup, damage, log};
pub use self::network::TransportTrouble;

/// An open client, and whether it is a node that runs for others.
#[derive(Clone, Debug)]
pub struct Local {
    client: Client,
    running: bool,
    trouble: TransportTrouble,
    /// How the node is configured to find others.
    discovery: DiscoveryOptions,
    http: HttpStanding,
}

impl Local {
    /// A client that this command has opened for itself.
    #[must_use]
    pub fn for_one_command(client: Client) -> Self {
        let discovery = DiscoveryOptions::default();
        Self { client, running: false, trouble: TransportTrouble::default(), discovery, http: HttpStanding::default() }
    }

    /// A client that a running node shares with whoever asks over its control socket, and what keeps it from opening
    /// links, and how it is configured to find others.
    #[must_use]
    pub fn for_a_node(client: Client, trouble: TransportTrouble, discovery: DiscoveryOptions) -> Self {
        Self { client, running: true, trouble, discovery, http: HttpStanding::default() }
    }
}

impl Local {
    /// With what is told here of metrics and the console.
    #[must_use]
    pub fn with_http(self, http: HttpStanding) -> Self {
        Self { http, ..self }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }
}

impl Backend for Local {
    type Watch = LocalWatch;

    async fn put(&mut self, key: Bytes, value: Bytes, if_version: Option<u64>) -> Result<Put, Fault> {
        let written = match if_version {
            Some(version) => self.client.put_if_version(key.clone(), value, version).await?,
            None => self.client.put(key.clone(), value).await?,
        };
        let outcome = written.outcome.as_str().to_owned();
        Ok(Put { key, version: written.version, outcome, lsn: written.lsn.0 })
    }

    async fn get(&mut self, key: Bytes) -> Result<Record, Fault> {
        match self.client.get(&key)? {
            Some(value) => Ok(record(key, value)),
            None => Err(Fault::key_not_found(&key)),
        }
    }

    async fn remove(&mut self, key: Bytes) -> Result<Removed, Fault> {
        let written = self.client.remove(key.clone()).await?;
        if written.outcome == Outcome::Absent {
            return Err(Fault::key_not_found(&key));
        }
        Ok(Removed { key, version: written.version, lsn: written.lsn.0 })
    }

    async fn contains(&mut self, key: Bytes) -> Result<Contains, Fault> {
        let contains = self.client.contains(&key)?;
        Ok(Contains { key, contains })
    }

    async fn scan(&mut self, scan: &Scan) -> Result<Page, Fault> {
        let limit = scan.limit.clamp(1, PAGE_RECORDS);
        let options =
            ScanOptions { prefix: scan.prefix.clone(), after: scan.after.clone(), limit, ..ScanOptions::default() };
        let page = self.client.scan(&options)?;
        let found = page.items.len();
        let mut bytes = 0;
        let records: Vec<_> = page
            .items
            .into_iter()
            .take_while(|item| {
                let room = bytes < PAGE_BYTES;
                bytes += item.key.len() + item.value.bytes.len();
                room
            })
            .map(|item| record(item.key, item.value))
            .collect();
        Ok(Page { more: page.next.is_some() || records.len() < found, records })
    }

    async fn size(&mut self) -> Result<Size, Fault> {
        let status = self.client.status()?;
        Ok(Size { keys: status.keys, tombstones: status.tombstones, live_bytes: status.live_bytes })
    }

    async fn batch(&mut self, records: &[(Bytes, Bytes)]) -> Result<Batch, Fault> {
        let mut batch = crate::Batch::new();
        for (key, value) in records {
            batch.put(key.clone(), value.clone());
        }
        let mut done = Batch::default();
        for written in self.client.batch(batch).await? {
            match written.outcome {
                Outcome::Created => done.created += 1,
                Outcome::Unchanged => done.unchanged += 1,
                Outcome::Updated | Outcome::Deleted | Outcome::Absent => done.updated += 1,
            }
        }
        Ok(done)
    }

    async fn watch(&mut self, prefix: Bytes, from: Option<u64>) -> Result<LocalWatch, Fault> {
        let after = match from {
            Some(lsn) => Lsn(lsn),
            None => self.client.last_lsn()?,
        };
        Ok(LocalWatch { watch: self.client.watch(prefix, after)?, running: self.running })
    }

    async fn status(&mut self) -> Result<Status, Fault> {
        let (status, sync) = (self.client.status()?, self.client.sync_state()?);
        let own = self.client.node_info()?.replica_id;
        let open = self.client.open_conflicts()?;
        let (state, reason) = match status.state {
            NodeState::Ready => ("ready", None),
            NodeState::NoRoom => ("no_room", None),
            NodeState::Degraded(why) => ("degraded", Some(why)),
            NodeState::Closing => ("closing", None),
        };
        Ok(Status {
            state: state.to_owned(),
            reason,
            keys: status.keys,
            tombstones: status.tombstones,
            live_bytes: status.live_bytes,
            digest: format!("{:032x}", status.digest),
            outbox: status.outbox,
            delivery: sync::delivery(&sync),
            // A peer may claim anything.
            received: sync
                .vector
                .iter()
                .filter(|(replica, _)| *replica != own)
                .fold(0, |all, (_, seq)| all.saturating_add(*seq)),
            conflicts: sync.conflicts,
            open_conflicts: open as u64,
            transport: self.transport(),
            discovery: self.discovery_in_short().await?,
            http: self.http.in_short(),
            connected: sync.connected,
            halted: sync.halted,
            wal: status.wal.map(|wal| Wal {
                free_bytes: free_bytes(&wal.path),
                path: wal.path.display().to_string(),
                last_lsn: wal.last_lsn.0,
                durable_lsn: wal.durable_lsn.0,
                segments: wal.segments,
                bytes: wal.bytes,
                tail_bytes: wal.tail_bytes,
                snapshot_lsn: wal.snapshot_lsn.0,
                snapshot_bytes: wal.snapshot_bytes,
                snapshot_running: wal.snapshot_running,
            }),
        })
    }

    async fn node(&mut self) -> Result<Node, Fault> {
        let info = self.client.node_info()?;
        let report = self.client.recovery_report();
        Ok(Node {
            node_id: info.node_id.to_string(),
            replica_id: info.replica_id.to_string(),
            log_id: info.log_id.map(|id| id.to_string()),
            public_key: self.client.key().ok().map(|key| key.to_string()),
            listening: self.client.listening().iter().map(ToString::to_string).collect(),
            display_name: info.display_name,
            capabilities: info.capabilities,
            hostname: info.hostname,
            os: info.os,
            version: info.version,
            data_dir: info.data_dir.map(|dir| dir.display().to_string()),
            running: self.running,
            pid: std::process::id(),
            started_at_ms: info.started_at.0,
            uptime_ms: millis(info.uptime),
            recovery: Recovery {
                created: report.created,
                clean: report.clean,
                records: report.records,
                snapshot_lsn: report.snapshot_lsn.0,
                snapshot_entries: report.snapshot_entries,
                torn_bytes: report.torn_bytes,
                last_lsn: report.last_lsn.0,
                took_ms: millis(report.took),
            },
        })
    }

    async fn console(&mut self) -> Result<Console, Fault> {
        Ok(Console { link: self.http.link()? })
    }

    async fn snapshot(&mut self) -> Result<Snapshot, Fault> {
        let done = self.client.snapshot().await?;
        Ok(Snapshot { at: done.at.0, bytes: done.bytes })
    }

    async fn backup(&mut self, dir: &Path) -> Result<Backup, Fault> {
        let done = self.client.backup(dir).await?;
        Ok(backup(dir, &done))
    }

    async fn log(&mut self) -> Result<Log, Fault> {
        let mut log = log(self.client.inspect().await?);
        if self.running {
            log.in_use = true;
            // Those that hold were told when it was opened; what is being written now raises false ones.
            log.doubts.clear();
            // The node knows more than its files say so far, and may have gone on since they were read.
            let durable = self.client.status()?.wal.map_or(0, |wal| wal.durable_lsn.0);
            log.durable_seen = log.durable_seen.max(durable.min(log.next_lsn.saturating_sub(1)));
        }
        Ok(log)
    }

    async fn close(self) -> Result<(), Fault> {
        Ok(self.client.close().await?)
    }
}

/// A watch in this process.
#[derive(Debug)]
pub struct LocalWatch {
    watch: Watch,
    running: bool,
}

impl Changes for LocalWatch {
    async fn next(&mut self) -> Result<Change, Fault> {
        let change = if self.running {
            self.watch.next().await.ok_or_else(stopped)?
        } else {
            // Nobody else can write while this process holds the directory: what is there is all there will be.
            self.watch.ready(1)?.pop().ok_or_else(|| {
                Fault::new(
                    Code::InvalidState,
                    "no node runs on this data directory, so nothing further can change",
                    "start one with `softadastra node start` and watch again",
                )
            })?
        };
        let removed = change.value.is_none();
        Ok(Change { key: change.key, value: change.value, removed, version: change.version, lsn: change.lsn.0 })
    }
}

/// The end of a watch when its node stops.
pub(super) fn stopped() -> Fault {
    Fault::new(Code::InvalidState, "the node has stopped", "watch again from the last position when it runs")
}

fn record(key: Bytes, value: model::Value) -> Record {
    Record { key, value: value.bytes, version: value.version, stamp: value.stamp.to_string(), lsn: value.lsn.0 }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
