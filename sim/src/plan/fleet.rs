//! Several nodes: where they sit, whom they call, what their network is like.

use std::time::Duration;

use softadastra_core::discovery;
use softadastra_core::op::Body;
use softadastra_core::sync::{self, Met};
use softadastra_core::transport::{endpoint, session};

use super::{HostId, Knobs};
use crate::chance;

/// The nodes of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// One for each node. A node alone has no transport.
    pub seats: Vec<Seat>,
    /// Who wants a link to whom.
    pub roads: Vec<(HostId, HostId)>,
    /// What the network is like.
    pub climate: Climate,
    /// The node, which is alone, finds a directory that an older version has written.
    pub inherits: bool,
    /// Directories are copied back in this run: names of operations may be given twice, so that only what clients see, and
    /// the end, is judged.
    pub rollbacks: bool,
    /// What becomes of datagrams, if nodes look for each other by them; else discovery is off.
    pub air: Option<Air>,
}

/// What becomes of datagrams, each share in hundredths of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Air {
    /// Never arrive.
    pub lost: u8,
    /// Arrive twice, the second time up to a hundred times later.
    pub doubled: u8,
    /// Arrive with one byte changed.
    pub damaged: u8,
    /// Cannot be sent.
    pub refused: u8,
    /// The longest way, in microseconds; each datagram has one of its own, so they overtake each other.
    pub latency: u64,
    /// Milliseconds between announcements.
    pub interval_ms: u64,
}

impl Air {
    /// Everything arrives, once.
    pub const CLEAR: Self = Self { lost: 0, doubled: 0, damaged: 0, refused: 0, latency: 500, interval_ms: 2_000 };

    /// How the nodes' discovery is set.
    #[must_use]
    pub fn settings(&self) -> discovery::Settings {
        let interval = Duration::from_millis(self.interval_ms);
        discovery::Settings {
            first_interval: Duration::from_millis(200),
            interval,
            stale_after: interval * 3,
            expire_after: interval * 8,
            prune_after: interval * 40,
            ..discovery::Settings::default()
        }
    }
}

/// Where one node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// How it is configured at first.
    pub knobs: Knobs,
    /// How far its wall clock is ahead at first, in milliseconds.
    pub skew_ms: i64,
    /// How much too fast its wall clock goes, in millionths.
    pub drift_ppm: i64,
}

/// What the network is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Climate {
    /// Decides everything that happens on the way.
    pub salt: u64,
    /// The longest way, in microseconds; each way of each pair has a length of its own.
    pub latency: u64,
    /// Microseconds for each KiB.
    pub per_kib: u64,
    /// Bytes that the systems at both ends keep between them.
    pub buffer: usize,
    /// How links behave.
    pub manners: Manners,
    /// Checksums stand for all cryptography: it is most of the work, and the same whatever happens.
    pub pretends: bool,
}

/// How links behave: patience, sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// As by default.
    #[default]
    Calm,
    /// Short timeouts, small records, keys that change often.
    Hasty,
}

/// What a plan varies in how a node exchanges operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Copies elsewhere that make an operation acknowledged.
    pub required_acks: u8,
    /// Bytes of batches not acknowledged.
    pub window: u64,
    /// Milliseconds.
    pub ack_timeout_ms: u64,
    /// Broken links before operations show as failed.
    pub max_retries: u32,
    /// Milliseconds; a hundred times that is the longest pause.
    pub backoff_ms: u64,
    /// Milliseconds.
    pub ping_ms: u64,
    /// Milliseconds.
    pub collect_ms: u64,
    /// Hours.
    pub lease_hours: u64,
    /// Whether a lease must have run out by the time that the node was up, too: as by default, but no run is long enough for that.
    pub steady_lease: bool,
    /// What to do about conflicts.
    pub policy: Policy,
    /// Whether operations are sent without a tick.
    pub auto_tick: bool,
    /// Whether peers with wrong clocks are refused.
    pub refuse_skew: bool,
}

/// Conflict policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The merge decides.
    Last,
    /// What was here stands.
    Local,
    /// What came stands.
    Remote,
    /// Both are kept.
    Both,
    /// The longer value stands.
    Longer,
}

impl Exchange {
    /// As by default.
    pub const DEFAULT: Self = Self {
        required_acks: 1,
        window: 1 << 20,
        ack_timeout_ms: 15_000,
        max_retries: 8,
        backoff_ms: 500,
        ping_ms: 10_000,
        collect_ms: 600_000,
        lease_hours: 720,
        steady_lease: false,
        policy: Policy::Last,
        auto_tick: true,
        refuse_skew: false,
    };

    /// What of these settings a plan could vary.
    pub(super) fn of(settings: &sync::Settings) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            required_acks: u8::try_from(settings.required_acks).unwrap_or(u8::MAX),
            window: settings.window,
            ack_timeout_ms: millis(settings.ack_timeout),
            max_retries: settings.max_retries,
            backoff_ms: millis(settings.backoff_first),
            ping_ms: millis(settings.ping_every),
            collect_ms: millis(settings.collect_every),
            lease_hours: settings.member_lease.as_secs() / 3600,
            steady_lease: matches!(settings.lease_clock, sync::LeaseClock::Steady),
            policy: match settings.conflict_policy {
                sync::Policy::LastWriteWins => Policy::Last,
                sync::Policy::KeepLocal => Policy::Local,
                sync::Policy::ApplyRemote => Policy::Remote,
                sync::Policy::KeepBoth => Policy::Both,
                sync::Policy::Custom(_) => Policy::Longer,
            },
            auto_tick: settings.auto_tick,
            refuse_skew: matches!(settings.clock_policy, sync::ClockPolicy::Refuse),
        }
    }

    pub(super) fn settings(&self) -> sync::Settings {
        sync::Settings {
            required_acks: usize::from(self.required_acks),
            window: self.window,
            ack_timeout: Duration::from_millis(self.ack_timeout_ms),
            max_retries: self.max_retries,
            backoff_first: Duration::from_millis(self.backoff_ms),
            backoff_max: Duration::from_millis(self.backoff_ms * 100),
            ping_every: Duration::from_millis(self.ping_ms),
            collect_every: Duration::from_millis(self.collect_ms),
            member_lease: Duration::from_secs(3600 * self.lease_hours),
            lease_clock: if self.steady_lease { sync::LeaseClock::Steady } else { sync::LeaseClock::Wall },
            conflict_policy: match self.policy {
                Policy::Last => sync::Policy::LastWriteWins,
                Policy::Local => sync::Policy::KeepLocal,
                Policy::Remote => sync::Policy::ApplyRemote,
                Policy::Both => sync::Policy::KeepBoth,
                Policy::Longer => sync::Policy::Custom(longer),
            },
            auto_tick: self.auto_tick,
            clock_policy: if self.refuse_skew { sync::ClockPolicy::Refuse } else { sync::ClockPolicy::Warn },
            ..sync::Settings::default()
        }
    }
}

fn longer(met: &Met) -> Option<Body> {
    let rank = |body: &Body| body.value().map(|value| (value.len(), value.clone()));
    let (local, remote) = (&met.local.body, &met.remote.body);
    Some(if rank(local) >= rank(remote) { local.clone() } else { remote.clone() })
}

impl Climate {
    /// A quick network without surprises.
    pub const QUICK: Self =
        Self { salt: 0, latency: 300, per_kib: 10, buffer: 64 << 10, manners: Manners::Calm, pretends: false };

    /// How long `len` bytes take from one host to another.
    #[must_use]
    pub fn crossing(&self, from: HostId, to: HostId, name: u64, len: usize) -> u64 {
        let pair = u64::from(from.0) << 8 | u64::from(to.0);
        let way = 1 + chance::below(chance::mix(self.salt, pair, 11), self.latency + 1);
        let bits = chance::mix(self.salt, name, 12);
        // Now and then something is sent twice or more before it comes through.
        let again = if chance::percent(bits, 2) { 3 } else { 1 };
        (way + chance::below(bits, way / 4 + 1)) * again + self.per_kib * len as u64 / 1024
    }

    /// How the nodes' endpoints are set.
    #[must_use]
    pub fn endpoint(&self) -> endpoint::Settings {
        match self.manners {
            Manners::Calm => endpoint::Settings::default(),
            Manners::Hasty => endpoint::Settings {
                link: session::Settings {
                    handshake_timeout: Duration::from_secs(3),
                    idle_timeout: Duration::from_secs(3),
                    keep_alive: Duration::from_secs(1),
                    write_timeout: Duration::from_secs(3),
                    record_size: 2 << 10,
                    send_window: 8 << 10,
                    bulk_queue: 16 << 10,
                    rekey_records: 50,
                    ..session::Settings::default()
                },
                dial_timeout: Duration::from_secs(3),
                first_pause: Duration::from_millis(150),
                longest_pause: Duration::from_secs(5),
                steady_after: Duration::from_secs(1),
                ..endpoint::Settings::default()
            },
        }
    }
}

impl Fleet {
    /// One node.
    #[must_use]
    pub fn alone(knobs: Knobs) -> Self {
        Self::of(1, knobs)
    }

    /// Nodes that are alike, each of which wants a link to each one before it.
    #[must_use]
    pub fn of(count: u8, knobs: Knobs) -> Self {
        let roads = (0..count).flat_map(|from| (0..from).map(move |to| (HostId(from), HostId(to)))).collect();
        let seat = Seat { knobs, skew_ms: 0, drift_ppm: 0 };
        Self {
            seats: vec![seat; usize::from(count)],
            roads,
            climate: Climate::QUICK,
            inherits: false,
            rollbacks: false,
            air: None,
        }
    }

    /// Nodes that are alike, each linked with the next.
    #[must_use]
    pub fn chain(count: u8, knobs: Knobs) -> Self {
        let roads = (1..count).map(|from| (HostId(from), HostId(from - 1))).collect();
        Self { roads, ..Self::of(count, knobs) }
    }

    /// Nodes that are alike and know nobody: they find each other.
    #[must_use]
    pub fn strangers(count: u8, knobs: Knobs, air: Air) -> Self {
        Self { roads: Vec::new(), air: Some(air), ..Self::of(count, knobs) }
    }

    /// How many nodes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.seats.len()
    }
}
