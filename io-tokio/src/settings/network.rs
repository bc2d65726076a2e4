//! Settings of links and sync.

use std::time::Duration;

use softadastra_core::sync::{self, ClockPolicy, Policy};
use softadastra_core::transport::trust::TrustMode;

use super::{choice, duration};
use crate::network::{PeerSpec, TransportOptions};

/// Settings of links and sync, resolved. `None` leaves the engine's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Where to listen: `HOST:PORT`, several with commas between. Default: nowhere; a node that only dials needs no open
    /// port.
    pub listen: Vec<String>,
    /// Peers to dial besides those that are remembered: addresses or tickets, with commas between. Default: none.
    pub peers: Vec<PeerSpec>,
    /// Whom to let in: `network` (whoever holds the secret), `pinned` (trusted keys), `open`. Default: the strictest that
    /// there is something for, a secret, then trusted keys.
    pub trust: Option<TrustMode>,
    /// Serve beyond loopback although anybody may come in. Default no: they could read and write everything.
    pub insecure: bool,
    /// Whether to compress what is sent where that pays. Default yes: links of tills are slow.
    pub compress: Option<bool>,
    /// How many other replicas must hold an operation before it counts as acknowledged. Default 1: two copies.
    pub required_acks: Option<u64>,
    /// A link on which something stays unanswered for so long is closed and made anew. Default 15 s: beyond what a slow
    /// disk takes.
    pub ack_timeout: Option<Duration>,
    /// After so many broken links without progress, operations are shown as failed. Default 8: some minutes of trouble.
    pub max_retries: Option<u64>,
    /// What to do about concurrent writes. Default `last_write_wins`: it costs no message.
    pub conflict_policy: Option<ConflictPolicy>,
    /// What to do about a peer whose clock is off: `warn` or `refuse`. Default `warn`: data flows, and order is by the
    /// operations' own stamps.
    pub clock_policy: Option<ClockPolicy>,
    /// A peer whose clock is off by more is said to be skewed. Default 5 minutes: any time service keeps within it.
    pub max_clock_skew: Option<Duration>,
    /// A replica not heard for so long no longer holds back the collection of deleted keys. Default 30 days: longer than
    /// most holidays.
    pub member_lease: Option<Duration>,
    /// Whether operations are sent by themselves. Default yes; else only `sync tick` sends them, for links that cost
    /// money.
    pub auto_tick: Option<bool>,
}

/// The policies for concurrent writes that can be set by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// The later write stands.
    LastWriteWins,
    /// The version that was here stands.
    KeepLocal,
    /// The version that came in stands.
    ApplyRemote,
    /// The later write stands, and the conflict stays open until somebody resolves it.
    KeepBoth,
}

impl From<ConflictPolicy> for Policy {
    fn from(policy: ConflictPolicy) -> Self {
        match policy {
            ConflictPolicy::LastWriteWins => Self::LastWriteWins,
            ConflictPolicy::KeepLocal => Self::KeepLocal,
            ConflictPolicy::ApplyRemote => Self::ApplyRemote,
            ConflictPolicy::KeepBoth => Self::KeepBoth,
        }
    }
}

impl NetworkSettings {
    /// How links are to be opened.
    #[must_use]
    pub fn transport_options(&self) -> TransportOptions {
        let mut options = TransportOptions {
            listen: self.listen.clone(),
            peers: self.peers.clone(),
            insecure: self.insecure,
            trust: self.trust,
            ..TransportOptions::default()
        };
        if let Some(compress) = self.compress {
            options.settings.link.compress = compress;
        }
        options
    }

    /// How sync is to behave. Ranges are checked when the node is opened.
    #[must_use]
    pub fn sync_settings(&self) -> sync::Settings {
        let mut settings = sync::Settings::default();
        let set = |to: &mut Duration, value: Option<Duration>| *to = value.unwrap_or(*to);
        set(&mut settings.ack_timeout, self.ack_timeout);
        set(&mut settings.max_clock_skew, self.max_clock_skew);
        set(&mut settings.member_lease, self.member_lease);
        if let Some(acks) = self.required_acks {
            settings.required_acks = usize::try_from(acks).unwrap_or(usize::MAX);
        }
        if let Some(retries) = self.max_retries {
            settings.max_retries = u32::try_from(retries).unwrap_or(u32::MAX);
        }
        settings.conflict_policy = self.conflict_policy.map_or(settings.conflict_policy, Policy::from);
        settings.clock_policy = self.clock_policy.unwrap_or(settings.clock_policy);
        settings.auto_tick = self.auto_tick.unwrap_or(settings.auto_tick);
        settings
    }
}

/// Addresses with commas or spaces between.
pub(super) fn addresses(text: &str) -> Result<Vec<String>, String> {
    let good = |part: &str| {
        let (host, port) = part.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| part.to_owned())
    };
    parts(text).map(|part| good(part).ok_or_else(|| format!("{part:?} is not HOST:PORT"))).collect()
}

/// Peers with commas or spaces between. What is wrong with one is told without repeating it: it may be most of a ticket.
pub(super) fn peers(text: &str) -> Result<Vec<PeerSpec>, String> {
    parts(text).map(|part| part.parse().map_err(|error: crate::Error| error.what().to_owned())).collect()
}

pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\n', '\t']).filter(|part| !part.is_empty())
}

pub(super) fn trust_mode(text: &str) -> Result<TrustMode, String> {
    let all = [TrustMode::Network, TrustMode::Pinned, TrustMode::Open].map(|mode| (mode.as_str(), mode));
    choice(text, &all)
}

pub(super) fn conflict_policy(text: &str) -> Result<ConflictPolicy, String> {
    use ConflictPolicy as P;
    let all = [P::LastWriteWins, P::KeepLocal, P::ApplyRemote, P::KeepBoth];
    choice(text, &all.map(|policy| (Policy::from(policy).as_str(), policy)))
}

pub(super) fn clock_policy(text: &str) -> Result<ClockPolicy, String> {
    choice(text, &[("warn", ClockPolicy::Warn), ("refuse", ClockPolicy::Refuse)])
}

pub(super) fn some_duration(text: &str) -> Result<Option<Duration>, String> {
    duration(text).map(Some)
}

pub(super) fn count(text: &str) -> Result<Option<u64>, String> {
    text.parse().map(Some).map_err(|_| format!("{text:?} is not a whole number"))
}
