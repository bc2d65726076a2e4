//! Settings of discovery.

use std::net::SocketAddr;
use std::time::Duration;

use super::catalog::Key;
use super::network::parts;
use super::{choice, duration, yes_or_no};
use crate::discovery::{DiscoveryMode, DiscoveryOptions, TargetSpec};

/// Settings of discovery, resolved. `None`, and an empty list, leave the engine's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// Whether a node discovers, and is seen by others. Default `None`: it does not.
    pub mode: Option<DiscoveryMode>,
    /// Where to announce and to ask. Default: multicast.
    pub targets: Vec<TargetSpec>,
    /// Which interfaces to use, by name or address. Default: all that are up.
    pub interfaces: Vec<String>,
    /// The UDP port. Default 4444.
    pub port: Option<u16>,
    /// Where links are taken, as others reach it. Default: where the node listens.
    pub advertise: Vec<SocketAddr>,
    /// Dial whoever is found. Default no.
    pub auto_connect: bool,
    /// List the node as a service by mDNS. Default no.
    pub mdns: bool,
    /// The pause between announcements. Default 30 s.
    pub interval: Option<Duration>,
    /// A node not heard for this long is stale. Default 90 s, or three intervals.
    pub stale_after: Option<Duration>,
    /// A node not heard for this long is lost. Default 5 min, or ten intervals.
    pub expire_after: Option<Duration>,
    /// A node not heard for this long is forgotten. Default 1 h, or as soon as it is lost.
    pub prune_after: Option<Duration>,
}

impl DiscoverySettings {
    /// How others are to be found, whether that is wanted or not. Ranges are checked when it is started.
    #[must_use]
    pub fn options(&self) -> DiscoveryOptions {
        let mut options = DiscoveryOptions {
            mode: self.mode.unwrap_or_default(),
            interfaces: self.interfaces.clone(),
            advertise: self.advertise.clone(),
            auto_connect: self.auto_connect,
            ..DiscoveryOptions::default()
        };
        if !self.targets.is_empty() {
            options.targets.clone_from(&self.targets);
        }
        options.port = self.port.unwrap_or(options.port);
        let times = &mut options.settings;
        times.interval = self.interval.unwrap_or(times.interval);
        times.first_interval = times.first_interval.min(times.interval);
        // Who announces himself more seldom is given as many announcements to be lost.
        times.stale_after = self.stale_after.unwrap_or(times.stale_after.max(times.interval * 3));
        times.expire_after =
            self.expire_after.unwrap_or(times.expire_after.max(times.interval * 10).max(times.stale_after));
        times.prune_after = self.prune_after.unwrap_or(times.prune_after.max(times.expire_after));
        options
    }

    /// Takes the text of a setting. What is said of an unknown one is the caller's mistake.
    pub(super) fn apply(&mut self, key: Key, text: &str) -> Result<(), String> {
        match key {
            Key::Discovery => {
                let modes = [DiscoveryMode::Listen, DiscoveryMode::Announce].map(|mode| (mode.as_str(), Some(mode)));
                self.mode = choice(text, &[&[("off", None)], &modes[..]].concat())?;
            }
            Key::DiscoveryTargets => self.targets = list(text, |part| part.parse::<TargetSpec>().map_err(said))?,
            Key::DiscoveryInterfaces => self.interfaces = list(text, |part| Ok(part.to_owned()))?,
            Key::DiscoveryPort => {
                let port = text.parse().ok().filter(|port| *port != 0);
                self.port = Some(port.ok_or_else(|| format!("{text:?} is not a port from 1 to 65535"))?);
            }
            Key::DiscoveryAdvertise => {
                let address = |part: &str| part.parse().map_err(|_| format!("{part:?} is not IP:PORT"));
                self.advertise = list(text, address)?;
            }
            Key::DiscoveryInterval => self.interval = Some(duration(text)?),
            Key::DiscoveryStaleAfter => self.stale_after = Some(duration(text)?),
            Key::DiscoveryExpireAfter => self.expire_after = Some(duration(text)?),
            Key::DiscoveryPruneAfter => self.prune_after = Some(duration(text)?),
            Key::DiscoveryMdns => self.mdns = yes_or_no(text)?,
            Key::AutoConnect => self.auto_connect = yes_or_no(text)?,
            _ => unreachable!("{key:?} is no setting of discovery"),
        }
        Ok(())
    }
}

fn said(error: crate::Error) -> String {
    error.what().to_owned()
}

fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    parts(text).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_times_follow_a_longer_interval() {
        let seconds = Duration::from_secs;
        for interval in [1, 30, 600, 3600] {
            let settings = DiscoverySettings { interval: Some(seconds(interval)), ..DiscoverySettings::default() };
            settings.options().validate().unwrap();
        }
        let settings = DiscoverySettings { interval: Some(seconds(600)), ..DiscoverySettings::default() };
        let times = settings.options().settings;
        assert_eq!((times.stale_after, times.expire_after), (seconds(1800), seconds(6000)));
        assert_eq!(DiscoverySettings::default().options(), DiscoveryOptions::default());
    }
}
